-- `mona.servers` and its two halves (SVS-*): the linked nodes in order of connection.
local R = ...
local native, state, ordered = R.native, R.state, R.ordered
local type = type

local list = ordered.new() -- server id -> object
R.server_list = list

local function members(s)
	local all = ordered.list(list)
	if s.targets == nil then return all end
	local some = {}
	for _, o in ipairs(all) do
		if state[o].isTarget == s.targets then some[#some + 1] = o end
	end
	return some
end

-- ITR-01: the address, with its port where two links share one ip.
local function keys(_, objects)
	local seen, result = {}, {}
	for _, o in ipairs(objects) do
		local address = state[o].address
		seen[address] = (seen[address] or 0) + 1
	end
	for i, o in ipairs(objects) do
		local s = state[o]
		result[i] = seen[s.address] > 1 and R.ip_port(s) or s.address
	end
	return result
end

local function find(s, key)
	local all = members(s)
	if type(key) == "number" then return all[key] end
	if type(key) ~= "string" then return nil end
	for _, o in ipairs(all) do
		local server = state[o]
		if server.address == key or R.ip_port(server) == key then return o end
	end
	for _, o in ipairs(all) do
		if state[o].host == key then return o end
	end
	-- GEN-11: what is no address and reads as a number is an index.
	local index = tonumber(key)
	return index and all[index]
end

R.class("servers", {
	label = "servers",
	collection = { list = members, keys = keys, find = find },
	get = {
		initiators = function() return R.initiators end,
		targets = function() return R.targets end,
	},
	methods = {
		-- SVS-03, CLU-25: serialized once, to the servers of now.
		broadcast = function(s, _, handler, ...)
			handler = R.handler_name(handler, "servers:broadcast")
			if not handler then return end
			local objects = members(s)
			local ids = {}
			for i, o in ipairs(objects) do ids[i] = state[o].id end
			native.broadcast(ids, handler, ...)
		end,
		call = function(s, _, key) return (find(s, key)) end,
	},
	assign = R.read_only,
})

R.servers = R.new("servers", {})
R.targets = R.new("servers", { targets = true })
R.initiators = R.new("servers", { targets = false })
