-- Chat in a page: who is here, what they say, who is typing.
--
-- Run the node and open http://127.0.0.1:8080/chat/ in two tabs. A Flash client can take part as
-- well: NetConnection.connect("rtmp://127.0.0.1/chat"), then call("join", null, "Ann").
--
-- Functions that a page calls return nothing: what it must know is written to it under a name, so
-- that answers and news cannot be mixed up. A call that fails would close a WebSocket (1002).

local HISTORY = 50 -- messages that a newcomer sees
local LONGEST_TEXT = 1000
local LONGEST_NAME = 24

local history = {}

-- Calls a function of everybody who has joined, but for one.
local function tell(except, name, ...)
	for _, client in pairs(clients) do
		if client.nick and client ~= except then
			client.writer:writeInvocation(name, ...)
		end
	end
end

local function names()
	local list = {}
	for _, client in pairs(clients) do
		if client.nick then table.insert(list, client.nick) end
	end
	table.sort(list, function(a, b) return a:lower() < b:lower() end)
	return list
end

-- A text without blanks at its ends, or nothing when it is none or has too many characters: those of
-- UTF-8, of which all bytes but the first are 128 to 191.
local function clean(text, longest)
	if type(text) ~= "string" then return nil end
	text = text:gsub("%c", " "):match("^%s*(.-)%s*$")
	local _, length = text:gsub("[^\128-\191]", "")
	if text == "" or length > longest then return nil end
	return text
end

local function is_taken(name)
	for _, taken in ipairs(names()) do
		if taken:lower() == name:lower() then return true end
	end
	return false
end

function onConnection(client)
	function client:join(name)
		name = clean(name, LONGEST_NAME)
		if not name then
			return self.writer:writeInvocation("onRefused", "A name has 1 to 24 characters.")
		end
		if self.nick then return end
		if is_taken(name) then
			return self.writer:writeInvocation("onRefused", name .. " is here already.")
		end
		self.nick = name
		self.writer:writeInvocation("onWelcome", name, names(), history)
		tell(self, "onJoin", name)
		NOTE(name, " joined the chat by ", self.protocol)
	end

	function client:say(text)
		if not self.nick then return end
		text = clean(text, LONGEST_TEXT)
		if not text then
			return self.writer:writeInvocation("onRefused", "A message has 1 to 1000 characters.")
		end
		local message = { name = self.nick, text = text, time = os.time() * 1000 }
		table.insert(history, message)
		if #history > HISTORY then table.remove(history, 1) end
		tell(nil, "onSay", message)
	end

	function client:typing()
		if self.nick then tell(self, "onTyping", self.nick) end
	end

	-- For pages over HTTP; other protocols ignore it.
	return { index = "index.html" }
end

function onDisconnection(client)
	if client.nick then
		tell(client, "onLeave", client.nick)
		NOTE(client.nick, " left the chat")
	end
end
