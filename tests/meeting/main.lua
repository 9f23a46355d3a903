-- One application for a page, a Flash client and a peer: everybody may call, everybody is told.

local names = {}

function onConnection(client, ...)
	function client:hello(name)
		return "hello " .. name, self.protocol, self.path
	end

	-- Answers how many were told; who asks by HTTP has nobody to tell it anything later.
	function client:say(text)
		local told = 0
		for _, other in pairs(clients) do
			if other.protocol ~= "HTTP" then
				other.writer:writeInvocation("onSay", self.protocol, text)
				told = told + 1
			end
		end
		return told
	end

	function client:who()
		local list = {}
		for _, other in pairs(clients) do
			if other.protocol ~= "HTTP" then table.insert(list, other.protocol) end
		end
		table.sort(list)
		return table.concat(list, " ")
	end

	function client:visit()
		local visits = (self.properties.visits or 0) + 1
		self.properties("visits", visits, { path = "/" })
		return visits, self.properties.colour
	end

	-- Protocols of those who watch a stream.
	function client:watchers(name)
		local list, publication = {}, mona.publications(name)
		for _, listener in pairs(publication and publication.listeners or {}) do
			table.insert(list, listener.client.protocol)
		end
		table.sort(list)
		return table.concat(list, " ")
	end

	function client:onRead(file, parameters)
		if file == "card.html" then return file, { name = parameters.name, path = self.path } end
	end

	return { index = "index.html" }
end
