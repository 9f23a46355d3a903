-- `writer`: what a script writes to a client (WRI-*).
local R = ...
local native = R.native
local select, type = select, type

local ERROR, WARN = 3, 4

-- Writing in onDisconnection has no effect (EVT-04).
local function open(s)
	return not s.client.closing
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
			if open(s) then native.write_invocation(s.client.id, R.str(name, "onMessage"), ...) end
		end,
		writeMessage = function(s, _, ...)
			if open(s) then native.write_message(s.client.id, ...) end
		end,
		writeRaw = function(s, _, ...)
			for i = 1, select("#", ...) do
				local value = (select(i, ...))
				local data = R.str(value)
				if not data then
					native.log(WARN, "writer:writeRaw skips a value of type " .. type(value))
				elseif open(s) then
					native.write_raw(s.client.id, data)
				end
			end
		end,
		writeStatusResponse = function(s, _, code, description)
			if open(s) then
				native.write_status(s.client.id, R.str(code, ""), R.str(description, ""))
			end
		end,
		-- WRI-05. What a handler wrote leaves when it returns (GEN-17); the host may send earlier.
		flush = function(s)
			if not s.client.connected then
				native.log(ERROR, "writer:flush before the connection is accepted")
				return false
			end
			if not open(s) then return false end
			return native.flush_client(s.client.id)
		end,
		-- WRI-06: protocols without flows have one writer.
		newFlowWriter = function(_, o) return o end,
		newWriter = function(_, o) return o end,
		close = function(s, _, code)
			if open(s) then native.close_client(s.client.id, R.num(code, 0)) end
		end,
	},
})
