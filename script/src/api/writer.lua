-- `writer`: what a script writes to a client (WRI-*).
local R = ...
local native, events = R.native, R.events
local rawget, select, type = rawget, select, type

local ERROR, WARN = 3, 4
-- Flows of scripts that one client has at a time; protocols/tc takes no more.
local MOST_FLOWS = 64

local tokens, last_token = {}, 0 -- token of a flow -> { client state, number of the flow }
local owned = setmetatable({}, { __mode = "k" }) -- writer of a flow -> guard (GEN-18)

-- Writing in onDisconnection has no effect (EVT-04).
local function open(s)
	return not s.client.closing
end

-- WRI-06. `o` is the main writer.
local function new_flow(s, o)
	local client = s.client
	-- Protocols without flows have one writer.
	if client.protocol ~= "RTMFP" or not open(s) then return o end
	R.collect()
	client.flows = client.flows or { n = 0, last = 0 }
	local flows = client.flows
	if flows.n >= MOST_FLOWS then
		native.log(WARN, "writer:newFlowWriter: the client has " .. MOST_FLOWS .. " flows, the writer asked stays")
		return o
	end
	flows.n, flows.last = flows.n + 1, flows.last + 1
	last_token = last_token + 1
	tokens[last_token] = { client, flows.last }
	local writer = R.new("writer", { client = client, reliable = true, flow = flows.last, token = last_token })
	owned[writer] = native.own("writer", last_token)
	return writer
end

local function end_flow(token)
	local entry = tokens[token]
	if not entry then return end
	tokens[token] = nil
	local client, flow = entry[1], entry[2]
	client.flows.n = client.flows.n - 1
	if not client.closing then native.close_writer(client.id, flow) end
end
R.writer_collected = end_flow

-- The client is gone, and its writers with it.
function R.end_writers(client)
	for writer in next, owned do
		local s = R.state[writer]
		if s and s.client == client then
			end_flow(s.token)
			R.kill(writer)
		end
	end
	R.kill(client.writer)
end

-- WRI-09: not for main writers.
function events.manage_writers()
	local list, ran = {}, nil
	for writer in next, owned do list[#list + 1] = writer end
	for _, writer in ipairs(list) do
		local f, s = rawget(writer, "onManage"), R.state[writer]
		if type(f) == "function" and s and not s.dead then
			ran = R.app_of(f)
			R.invoke(f, "onManage", 0, writer)
		end
	end
	return ran
end

R.class("writer", {
	label = "writer",
	get = {
		reliable = function(s) return s.reliable end,
		qos = function(s)
			s.qos = s.qos or R.new("qos", { source = "client", id = s.client.id })
			return s.qos
		end,
	},
	set = {
		reliable = function(s, _, value) s.reliable = value and true or false end,
	},
	methods = {
		writeInvocation = function(s, _, name, ...)
			if open(s) then native.write_invocation(s.client.id, s.flow, s.reliable, R.str(name, "onMessage"), ...) end
		end,
		writeMessage = function(s, _, ...)
			if open(s) then native.write_message(s.client.id, s.flow, s.reliable, ...) end
		end,
		writeRaw = function(s, _, ...)
			for i = 1, select("#", ...) do
				local value = (select(i, ...))
				local data = R.str(value)
				if not data then
					native.log(WARN, "writer:writeRaw skips a value of type " .. type(value))
				elseif open(s) then
					native.write_raw(s.client.id, s.flow, s.reliable, data)
				end
			end
		end,
		writeStatusResponse = function(s, _, code, description)
			if open(s) then
				native.write_status(s.client.id, s.flow, s.reliable, R.str(code, ""), R.str(description, ""))
			end
		end,
		-- WRI-05. What a handler wrote leaves when it returns (GEN-17); the host may send earlier.
		flush = function(s, _, full)
			if not s.client.connected then
				native.log(ERROR, "writer:flush before the connection is accepted")
				return false
			end
			if not open(s) then return false end
			return native.flush_client(s.client.id, full ~= false)
		end,
		newFlowWriter = new_flow,
		newWriter = new_flow,
		-- WRI-07.
		close = function(s, o, code)
			if not open(s) then return end
			if not s.flow then return native.close_client(s.client.id, R.num(code, 0)) end
			end_flow(s.token)
			R.kill(o)
		end,
	},
})
