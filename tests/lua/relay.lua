-- Shares publications with the node that this one targets, one hop: names and packets go by
-- server:send, the other node publishes copies. With more than LIMIT viewers here, further ones
-- are sent to the other node.
LIMIT = tonumber(mona.configs["relay.limit"] or 400)

onward = nil
viewers = 0

local function tell(...)
	if onward then onward:send(...) end
end

function onConnection(client, ...)
	INFO("client of ", mona.configs["host"])

	function client:onPublish(publication)
		tell("publish", publication.name)

		function publication:onVideo(time, packet)
			tell("video", publication.name, time, packet)
		end
		function publication:onAudio(time, packet)
			tell("audio", publication.name, time, packet)
		end
		function publication:onData(name, packet)
			tell("data", publication.name, name, packet)
		end
	end

	function client:onUnpublish(publication)
		tell("unpublish", publication.name)
	end

	function client:onSubscribe(listener)
		if onward and viewers >= LIMIT then error(onward.host) end
		viewers = viewers + 1
	end

	function client:onUnsubscribe(listener)
		viewers = viewers - 1
	end
end

local function receive_from(server)
	server.copies = {}
	function server:publish(name)
		self.copies[name] = mona:publish(name)
	end
	function server:unpublish(name)
		if self.copies[name] then self.copies[name]:close() end
		self.copies[name] = nil
	end
	function server:video(name, time, packet)
		local copy = self.copies[name]
		if copy then copy:pushVideo(packet, time) end
	end
	function server:audio(name, time, packet)
		local copy = self.copies[name]
		if copy then copy:pushAudio(packet, time) end
	end
	function server:data(name, handler, packet)
		local copy = self.copies[name]
		if copy then copy:pushData(packet) end
	end
end

function onServerConnection(server)
	if not server.isTarget then return receive_from(server) end
	if onward then error("there is a following server already") end
	onward = server
	for _, publication in pairs(mona.publications) do
		onward:send("publish", publication.name)
	end
end

function onServerDisconnection(server)
	if server.isTarget then
		onward = nil
		return
	end
	for _, copy in pairs(server.copies) do copy:close() end
end
