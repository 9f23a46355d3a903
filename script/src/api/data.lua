-- The persistent table `data` (DAT-*, ITR-10). All of it is in memory; each change is given to the
-- host before the assignment returns. A node of the tree holds strings, booleans and other nodes.
local R = ...
local native, state, ordered = R.native, R.state, R.ordered
local next, type, tostring, tonumber = next, type, tostring, tonumber

local ERROR = 3

-- Bounds: tables in tables, bytes of one key and of one value, and of everything.
local MOST_DEPTH, MOST_KEY, MOST_VALUE, MOST_BYTES = 64, 255, 16777216, 268435456
local held = 0

local function new_node(parent, key)
	local prefix = parent and parent.prefix .. key:gsub("%z", "\0\255") .. "\0\1" or ""
	return { entries = ordered.new(), count = 0, parent = parent, prefix = prefix }
end

local root = new_node()

local function is_node(value) return type(value) == "table" end

-- The object of a node, one for its whole life (GEN-04).
local function object(node)
	if not node.object then node.object = R.new("data", { node = node }) end
	return node.object
end

local function key_text(key)
	local kind = type(key)
	if kind == "string" then return key end
	if kind == "number" then
		local text = tostring(key)
		return tonumber(text) == key and text or ("%.17g"):format(key)
	end
end

-- The node of an application's path: an object of an application is where its path leads now.
local function path_node(path)
	local node = root
	for name in path:gmatch("[^/]+") do
		node = ordered.get(node.entries, name)
		if not is_node(node) then return nil end
	end
	return node
end

local function node_of(s) return s.node or path_node(s.path) end

local function shown(value)
	if is_node(value) then return object(value) end
	return value
end

-- ITR-10: the entries "1", "2", … up to the first that is missing.
local function sequence(node)
	local list = {}
	while node do
		local value = ordered.get(node.entries, tostring(#list + 1))
		if value == nil then break end
		list[#list + 1] = value
	end
	return list
end

local function full_key(node, key)
	return node.prefix .. key:gsub("%z", "\0\255") .. "\0\1"
end

-- Puts one entry into the tree; `changes` collects what the host is told.
local function put(node, key, value, changes)
	ordered.set(node.entries, key, value)
	if not is_node(value) then
		node.count = node.count + 1
		held = held + #tostring(value) + #key
		if changes then changes[#changes + 1] = { full_key(node, key), tostring(value) } end
	elseif changes then
		-- A table is there before its first entry.
		changes[#changes + 1] = { full_key(node, key), false }
	end
end

local function names_of(node)
	local keys = {}
	for i = 1, node.entries.last do
		if node.entries.keys[i] ~= nil then keys[#keys + 1] = node.entries.keys[i] end
	end
	return keys
end

local take
-- What `take` does but for the entry itself.
local function drop(node, key, value, changes)
	changes[#changes + 1] = { full_key(node, key) }
	if is_node(value) then
		for _, name in ipairs(names_of(value)) do take(value, name, changes) end
		if value.object then R.kill(value.object) end
	else
		node.count = node.count - 1
		held = held - #tostring(value) - #key
	end
end

function take(node, key, changes)
	local value = ordered.remove(node.entries, key)
	if value ~= nil then drop(node, key, value, changes) end
end

local function refuse(text)
	native.data_refused()
	native.log(ERROR, "data: " .. text)
	return nil
end

-- What is stored for a value (DAT-03, DAT-04): a string, a boolean or a list of { key, value };
-- nil and a logged error for what is not stored. `size` counts bytes in size[1].
local function plan(value, depth, size)
	local kind = type(value)
	if kind == "boolean" then
		size[1] = size[1] + 5
		return value
	end
	if kind == "number" or kind == "string" then
		local text = key_text(value)
		if #text > MOST_VALUE then
			return refuse("a value of " .. #text .. " bytes is not stored, " .. MOST_VALUE .. " at most")
		end
		size[1] = size[1] + #text
		return text
	end
	local s = kind == "table" and state[value] or nil
	local from = s and s.class == "data" and not s.dead and node_of(s)
	if kind ~= "table" or s and not from or R.is_environment(value) then
		return refuse("a value of type " .. (s and s.class or kind) .. " cannot be stored")
	end
	if depth > MOST_DEPTH then
		return refuse("tables nested deeper than " .. MOST_DEPTH .. ", or inside themselves, are not stored")
	end
	local list = {}
	local function add(key, inner)
		local name = key_text(key)
		if not name then return refuse("a key of type " .. type(key) .. " cannot be stored") end
		if #name > MOST_KEY then
			return refuse("a key of " .. #name .. " bytes is not stored, " .. MOST_KEY .. " at most")
		end
		size[1] = size[1] + #name
		if size[1] + held > MOST_BYTES then return refuse("full, " .. MOST_BYTES .. " bytes are stored at most") end
		local planned = plan(inner, depth + 1, size)
		if planned ~= nil then list[#list + 1] = { name, planned } end
		return true
	end
	if from then
		for i = 1, from.entries.last do
			local name = from.entries.keys[i]
			if name ~= nil and not add(name, shown(from.entries.values[i])) then return nil end
		end
	else
		for key, inner in next, value do
			-- What cannot be a key is left out; what does not fit ends the copy.
			if not add(key, inner) and size[1] + held > MOST_BYTES then return nil end
		end
	end
	return list
end

local function grow(node, key, planned, changes)
	if type(planned) ~= "table" then return put(node, key, planned, changes) end
	local inner = ordered.get(node.entries, key)
	if not inner then
		inner = new_node(node, key)
		put(node, key, inner, changes)
	end
	for _, entry in ipairs(planned) do
		local old = ordered.get(inner.entries, entry[1])
		if old ~= nil then take(inner, entry[1], changes) end
		grow(inner, entry[1], entry[2], changes)
	end
end

local function assign(s, _, key, value)
	-- A table that is gone from the tree (GEN-07).
	if s.dead then
		R.gone("data." .. tostring(key))
		return true
	end
	local name = key_text(key)
	if not name then
		refuse("a key of type " .. type(key) .. " cannot be stored")
		return true
	end
	if #name > MOST_KEY then
		refuse("a key of " .. #name .. " bytes is not stored, " .. MOST_KEY .. " at most")
		return true
	end
	local node, changes = node_of(s), {}
	local old = node and ordered.get(node.entries, name)
	if value == nil then
		if old ~= nil then take(node, name, changes) end
		if #changes > 0 then native.save_data(changes) end
		return true
	end
	-- data.list = data.list or {}
	if is_node(old) and value == object(old) then return true end
	local size = { #name }
	local planned = plan(value, 1, size)
	if planned == nil then return true end
	if type(planned) == "table" and is_node(old) then
		refuse("'" .. name .. "' holds a table, set it to nil before another table")
		return true
	end
	if held + size[1] > MOST_BYTES then
		refuse("full, " .. MOST_BYTES .. " bytes are stored at most")
		return true
	end
	if not node then
		-- The first value of an application: its tables come with it.
		node = root
		for part in s.path:gmatch("[^/]+") do
			local inner = ordered.get(node.entries, part)
			if inner ~= nil and not is_node(inner) then
				refuse("the parent of www" .. s.path .. " stores a value named '" .. part .. "', not a table")
				return true
			end
			if not inner then
				inner = new_node(node, part)
				put(node, part, inner, changes)
			end
			node = inner
		end
	end
	if old ~= nil then take(node, name, changes) end
	grow(node, name, planned, changes)
	native.save_data(changes)
	return true
end

R.class("data", {
	label = "data",
	collection = {
		list = function(s)
			local node, list = node_of(s), {}
			for i, value in ipairs(node and ordered.list(node.entries) or list) do list[i] = shown(value) end
			return list
		end,
		keys = function(s)
			local node = node_of(s)
			return node and names_of(node) or {}
		end,
		-- ITR-10.
		sequence = function(s)
			local list = sequence(node_of(s))
			for i, value in ipairs(list) do list[i] = shown(value) end
			return list
		end,
		count = function(s)
			local node = node_of(s)
			return node and node.count or 0
		end,
		find = function(s, key)
			local node, name = node_of(s), key_text(key)
			return node and name and shown(ordered.get(node.entries, name))
		end,
	},
	assign = assign,
})

-- DAT-01.
function R.app_data(app)
	if app.path == "" then return object(root) end
	if not app.data then app.data = R.new("data", { path = app.path }) end
	local node = path_node(app.path)
	-- Where the parent sees a table, the child sees the same one (GEN-04).
	return node and object(node) or app.data
end

local function plain(node)
	local copy, list = {}, sequence(node)
	local n = #list
	local function put_plain(key, value)
		if is_node(value) then value = plain(value) end
		copy[key] = value
	end
	for i, value in ipairs(list) do put_plain(i, value) end
	for i = 1, node.entries.last do
		local key = node.entries.keys[i]
		local index = key ~= nil and tonumber(key)
		local in_list = index and index >= 1 and index <= n and tostring(index) == key
		if key ~= nil and not in_list then put_plain(key, node.entries.values[i]) end
	end
	return copy
end

-- A copy in plain tables, what a message carries: a list where `ipairs` finds one (ITR-10).
function R.data_plain(s)
	local node = not s.dead and node_of(s)
	return node and plain(node) or {}
end

-- Lists in the tree (`datalist`): a table that changes its place keeps its object and gets other keys.
local function rename(node, parent, key, changes)
	node.parent, node.prefix = parent, full_key(parent, key)
	for _, name in ipairs(names_of(node)) do
		local value = ordered.get(node.entries, name)
		changes[#changes + 1] = { full_key(node, name), not is_node(value) and tostring(value) }
		if is_node(value) then rename(value, node, name, changes) end
	end
end

local function forget(node, key, changes)
	changes[#changes + 1] = { full_key(node, key) }
	local value = ordered.get(node.entries, key)
	if not is_node(value) then return end
	for _, name in ipairs(names_of(value)) do forget(value, name, changes) end
end

-- Gives each value `moves[i] = { from, to, value }` of a list its new place; the old ones are free or
-- taken by others afterwards. `from` and `to` are indices.
local function move(node, moves, changes)
	for _, m in ipairs(moves) do forget(node, tostring(m[1]), changes) end
	for _, m in ipairs(moves) do
		local key, value = tostring(m[2]), m[3]
		ordered.set(node.entries, key, value)
		changes[#changes + 1] = { full_key(node, key), not is_node(value) and tostring(value) }
		if is_node(value) then
			rename(value, node, key, changes)
		else
			held = held + #key - #tostring(m[1])
		end
	end
end

-- Puts a value before entry `index` of a list of `s`.
local function insert(s, index, value)
	local node, size = node_of(s), { 16 }
	local planned = plan(value, 1, size)
	if planned == nil then return end
	if held + size[1] > MOST_BYTES then
		return refuse("full, " .. MOST_BYTES .. " bytes are stored at most")
	end
	local list, moves, changes, key = sequence(node), {}, {}, tostring(index)
	for i = index, #list do moves[#moves + 1] = { i, i + 1, list[i] } end
	move(node, moves, changes)
	if type(planned) == "table" then
		local inner = new_node(node, key)
		put(node, key, inner, changes)
		for _, entry in ipairs(planned) do grow(inner, entry[1], entry[2], changes) end
	else
		put(node, key, planned, changes)
	end
	native.save_data(changes)
end

-- Takes entry `index` of a list of `s` out; answers it, a table as a copy.
local function remove(s, index)
	local node, moves, changes = node_of(s), {}, {}
	local list = sequence(node)
	local value = list[index]
	local copy = is_node(value) and plain(value) or value
	drop(node, tostring(index), value, changes)
	for i = index + 1, #list do moves[#moves + 1] = { i, i - 1, list[i] } end
	move(node, moves, changes)
	ordered.remove(node.entries, tostring(#list))
	native.save_data(changes)
	return copy
end

-- Puts a list of `s` into the order of `shown_list`, what `shown` gave for its entries; false when it
-- has others by now.
local function reorder(s, shown_list)
	local node, moves, changes, places = node_of(s), {}, {}, {}
	local list = sequence(node)
	for i, value in ipairs(list) do
		value = shown(value)
		places[value] = places[value] or {}
		places[value][#places[value] + 1] = i
	end
	if #list ~= #shown_list then return false end
	for to, value in ipairs(shown_list) do
		local same = places[value]
		local from = same and same[#same]
		if not from then return false end
		same[#same] = nil
		if from ~= to then moves[#moves + 1] = { from, to, list[from] } end
	end
	move(node, moves, changes)
	if #changes > 0 then native.save_data(changes) end
	return true
end

R.data_insert, R.data_remove, R.data_reorder = insert, remove, reorder

-- The end of a list of `s` in few steps, as Lua's `#` finds it: an entry without one behind it.
function R.data_border(s)
	local entries = node_of(s).entries
	local low, high = 0, 1
	while ordered.get(entries, tostring(high)) ~= nil do low, high = high, 2 * high end
	while high - low > 1 do
		local middle = low + high
		middle = (middle - middle % 2) / 2
		if ordered.get(entries, tostring(middle)) ~= nil then low = middle else high = middle end
	end
	return low
end

-- An entry from the disk (DAT-07): the parts of its key, and a text, or false for a table.
function R.events.load_data(parts, value)
	local node, last = root, parts[#parts]
	for i = 1, #parts - 1 do
		local inner = ordered.get(node.entries, parts[i])
		if inner == nil then
			inner = new_node(node, parts[i])
			put(node, parts[i], inner)
		elseif not is_node(inner) then
			return false
		end
		node = inner
	end
	local old = ordered.get(node.entries, last)
	if old ~= nil then return value == false and is_node(old) end
	if value == "true" then
		put(node, last, true)
	elseif value == false then
		put(node, last, new_node(node, last))
	elseif value == "false" then
		put(node, last, false)
	else
		put(node, last, value)
	end
	return true
end
