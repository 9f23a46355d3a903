-- `groups`, `group` and `member` (GRS-*, GRP-*, MEM-*): NetGroups as scripts see them. Virtual
-- members are peers of other nodes that a script made known here.
local R = ...
local native, state, ordered, events = R.native, R.state, R.ordered, R.events

local ERROR = 3

local groups = ordered.new() -- raw group id -> record
local tokens, last_token = {}, 0 -- member token -> { group record, raw peer id }
local owned = setmetatable({}, { __mode = "k" }) -- member -> guard (GEN-18)

local function record(raw)
	local g = ordered.get(groups, raw)
	if not g then
		g = { raw = raw, hex = R.hex_id(raw), clients = ordered.new(), peers = ordered.new() }
		g.object = R.new("group", { group = g })
		ordered.set(groups, raw, g)
	end
	return g
end

-- GRP-06.
local function release_group(g)
	if g.clients.n == 0 and g.peers.n == 0 and ordered.get(groups, g.raw) == g then
		ordered.remove(groups, g.raw)
		R.kill(g.object)
	end
end

local client_collection = {
	list = function(s) return ordered.list(s.group.clients) end,
	keys = R.client_ids,
	count = function(s) return s.group.clients.n end,
	find = function(s, key) return ordered.get(s.group.clients, R.raw_id(key)) end,
}

R.class("group", {
	label = "group",
	collection = client_collection,
	get = {
		id = function(s) return s.group.hex end,
		rawId = function(s) return s.group.raw end,
		members = function(s)
			s.members = s.members or R.new("members", { group = s.group })
			return s.members
		end,
	},
	methods = { size = function(s) return s.group.clients.n end },
})
R.class("members", { label = "members", collection = client_collection, assign = R.read_only })

local function drop(token)
	local entry = tokens[token]
	if not entry then return end
	tokens[token] = nil
	local g, peer = entry[1], entry[2]
	local left = (ordered.get(g.peers, peer) or 0) - 1
	if left > 0 then
		ordered.set(g.peers, peer, left)
	else
		ordered.remove(g.peers, peer)
		native.group_changed(g.raw, peer, false)
	end
	release_group(g)
end

R.class("member", {
	label = "member",
	get = {
		id = function(s) return R.hex_id(s.peer) end,
		rawId = function(s) return s.peer end,
	},
	plain = { release = true },
	methods = {
		-- MEM-01: further calls have no effect.
		release = function(o)
			local s = state[o]
			if s == nil or s.class ~= "member" then return R.foreign("member:release") end
			if s.dead then return end
			R.kill(o)
			drop(s.token)
		end,
	},
})

R.class("groups", {
	label = "groups",
	collection = {
		list = function()
			R.collect()
			local list = {}
			for i, g in ipairs(ordered.list(groups)) do list[i] = g.object end
			return list
		end,
		keys = function(_, list)
			local keys = {}
			for i, o in ipairs(list) do keys[i] = state[o].group.hex end
			return keys
		end,
		find = function(_, key)
			R.collect()
			local g = ordered.get(groups, R.raw_id(key))
			return g and g.object or nil
		end,
	},
	methods = {
		join = function(_, _, peer, group) return R.join_group(group, peer, "groups:join") end,
	},
	assign = R.read_only,
})
R.groups = R.new("groups", {})

-- MON-11, MON-12, GRS-01.
function R.join_group(group, peer, label)
	local raw_group, raw_peer = R.raw_id(group), R.raw_id(peer)
	if not raw_group or not raw_peer then
		native.log(ERROR, label .. " needs a group id and a peer id of 32 bytes or 64 hex digits")
		return nil
	end
	if raw_group == raw_peer then
		native.log(ERROR, label .. ": peer id and group id are the same")
		return nil
	end
	R.collect()
	local g = record(raw_group)
	local count = ordered.get(g.peers, raw_peer) or 0
	ordered.set(g.peers, raw_peer, count + 1)
	last_token = last_token + 1
	tokens[last_token] = { g, raw_peer }
	local o = R.new("member", { peer = raw_peer, token = last_token })
	owned[o] = native.own("member", last_token)
	if count == 0 then native.group_changed(raw_group, raw_peer, true) end
	return o
end

function R.member_collected(token) drop(token) end

-- EVT-13 and EVT-14 of real clients.
function events.join(client_id, raw)
	local client = R.client_object(client_id)
	if not client then return nil end
	local s, g = state[client], record(raw)
	ordered.set(g.clients, s.raw, client)
	local f = R.client_handler(client, s.app, "onJoinGroup")
	if not f then return nil end
	R.invoke(f, "onJoinGroup", 0, client, g.object)
	return R.app_of(f)
end

function events.unjoin(client_id, raw)
	local client, g = R.client_object(client_id), ordered.get(groups, raw)
	if not client or not g then return nil end
	local s = state[client]
	if not ordered.remove(g.clients, s.raw) then return nil end
	local f = R.client_handler(client, s.app, "onUnjoinGroup")
	if f then R.invoke(f, "onUnjoinGroup", 0, client, g.object) end
	release_group(g)
	return f and R.app_of(f)
end
