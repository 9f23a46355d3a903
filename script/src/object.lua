-- Engine objects are plain tables: user fields are raw fields, everything built in comes through
-- the metatable of the class, and what the engine knows of an object stands in `state`.
local R = ...
local native, names = R.native, R.names
local pairs, rawset, setmetatable, tostring, type = pairs, rawset, setmetatable, tostring, type

local ERROR, WARN = 3, 4

-- Weak keys: an object that nobody holds takes its state with it. A state that refers back to its
-- own object would keep it for ever, so only objects with an end (`R.kill`) may do so.
local state = setmetatable({}, { __mode = "k" })
local metas = {}
R.state, R.metas = state, metas

function R.foreign(label)
	native.log(ERROR, label .. " needs an object of its class before ':' (called with '.' ?)")
end

function R.gone(label)
	native.log(ERROR, label .. " is called on an object that has ended")
end

-- GEN-11: numeric strings count as numbers, numbers as strings, others as the default.
function R.str(value, default)
	local kind = type(value)
	if kind == "string" then return value end
	if kind == "number" then return tostring(value) end
	return default
end

function R.num(value, default)
	local kind = type(value)
	if kind == "number" then return value end
	if kind == "string" then return tonumber(value) or default end
	return default
end

-- Adds the members of ITR-* to a class whose objects are collections.
-- `list(s)` is a fresh array of the elements, `keys(s, list)` the keys of `pairs`.
local function add_collection(def, meta)
	local c = def.collection
	local function count(s)
		if c.count then return c.count(s) end
		return #c.list(s)
	end
	local function each_pair(s)
		local list = c.list(s)
		local keys, i = c.keys(s, list), 0
		return function()
			i = i + 1
			if keys[i] ~= nil then return keys[i], list[i] end
		end
	end
	local function each_index(s)
		local list, i = c.sequence and c.sequence(s) or c.list(s), 0
		return function()
			i = i + 1
			if list[i] ~= nil then return i, list[i] end
		end
	end
	def.get.count = def.get.count or count
	def.methods.pairs = each_pair
	def.methods.ipairs = each_index
	local function alive(o)
		local s = state[o]
		if s and not s.dead then return s end
	end
	local function none() end
	function meta.__pairs(o)
		local s = alive(o)
		return s and each_pair(s) or none
	end
	function meta.__ipairs(o)
		local s = alive(o)
		return s and each_index(s) or none
	end
	function meta.__len(o)
		local s = alive(o)
		return s and count(s) or 0
	end
	function meta.__call(o, ...)
		local s = alive(o)
		if not s then return R.gone(s and s.class or "collection") end
		if c.call then return c.call(s, ...) end
		return (c.find(s, (...)))
	end
	-- The `next` of scripts: the pair after `key` in a snapshot of now.
	meta.__ramona_next = function(o, key)
		local s = alive(o)
		if not s then return nil end
		local list = c.list(s)
		local keys = c.keys(s, list)
		if key == nil then return keys[1], list[1] end
		for i = 1, #keys do
			if keys[i] == key then return keys[i + 1], list[i + 1] end
		end
	end
	def.dynamic = def.dynamic or c.find
end

-- Makes a class from its definition and checks it against the table of built-in names.
-- methods: name -> function(s, object, ...); get: name -> function(s, object);
-- set: name -> function(s, object, value); dynamic: function(s, key) for unknown names;
-- assign: function(s, object, key, value), true when it refused a user field.
-- text, compare and copy make objects values.
function R.class(class, def)
	local known = names[class] or {}
	local label = def.label or class
	def.get, def.set, def.methods = def.get or {}, def.set or {}, def.methods or {}
	local meta = { __metatable = class }
	if def.collection then add_collection(def, meta) end
	local get, set, methods = def.get, def.set, {}

	for name, body in pairs(def.methods) do
		local full = label .. ":" .. name
		if def.plain and def.plain[name] then
			methods[name] = body
		else
			methods[name] = function(o, ...)
				local s = state[o]
				if s == nil or s.class ~= class then return R.foreign(full) end
				if s.dead then return R.gone(full) end
				return body(s, o, ...)
			end
		end
	end
	for name, kind in pairs(known) do
		if kind == "method" and not methods[name]
			or (kind == "value" or kind == "writable") and not get[name]
			or kind == "writable" and not set[name] then
			error("built-in name without implementation: " .. class .. "." .. name)
		end
	end
	for _, group in pairs { def.methods, get } do
		for name in pairs(group) do
			if not known[name] then
				error("name missing in the table of names: " .. class .. "." .. name)
			end
		end
	end

	-- Objects that are values: `text(s)` is what they say, `compare(s, other)` below, at or above
	-- zero, `copy(s)` another one.
	if def.text then
		local function said(o)
			local s = state[o]
			if s and s.class == class then return def.text(s) end
			return tostring(o)
		end
		meta.__tostring = said
		meta.__concat = function(a, b) return said(a) .. said(b) end
	end
	if def.compare then
		local function order(a, b) return def.compare(state[a], state[b]) end
		meta.__eq = function(a, b) return order(a, b) == 0 end
		meta.__lt = function(a, b) return order(a, b) < 0 end
		meta.__le = function(a, b) return order(a, b) <= 0 end
		meta.__call = function(o) return def.copy(state[o]) end
	end

	local dynamic, assign = def.dynamic, def.assign
	function meta.__index(o, key)
		if key == nil then return nil end
		local method = methods[key]
		if method then return method end
		local s = state[o]
		if s == nil or s.dead then return nil end
		local getter = get[key]
		if getter then return getter(s, o) end
		if dynamic then return dynamic(s, key, o) end
	end
	function meta.__newindex(o, key, value)
		local s = state[o]
		if key ~= nil and s then
			local setter = set[key]
			if setter then
				if s.dead then return R.gone(label .. "." .. tostring(key)) end
				return setter(s, o, value)
			end
			if methods[key] or get[key] then
				native.log(WARN, label .. "." .. tostring(key) .. " is read-only, assignment ignored")
				return
			end
			if assign and assign(s, o, key, value) then return end
		end
		rawset(o, key, value)
	end
	metas[class] = meta
end

-- A new object of a class; `s` becomes its state.
function R.new(class, s)
	s.class = class
	local o = setmetatable({}, metas[class])
	state[o] = s
	return o
end

-- GEN-07: the object has ended. Its user fields stay, everything else is dropped.
function R.kill(o)
	local s = state[o]
	if s then state[o] = { class = s.class, dead = true } end
end

-- The state of an object of a class, nil for anything else and for the dead.
function R.get(class, o)
	local s = o ~= nil and state[o] or nil
	if s and s.class == class and not s.dead then return s end
end

-- A read-only collection refuses user fields (SVS-06).
function R.read_only(s)
	native.log(ERROR, s.class .. " is read-only, assignment ignored")
	return true
end

-- Ordered maps: key -> value in order of insertion, removal in constant time.
local ordered = {}
R.ordered = ordered

function ordered.new()
	return { slot = {}, keys = {}, values = {}, last = 0, n = 0 }
end

function ordered.set(m, key, value)
	local i = m.slot[key]
	if not i then
		i = m.last + 1
		m.last, m.n = i, m.n + 1
		m.slot[key], m.keys[i] = i, key
	end
	m.values[i] = value
end

function ordered.get(m, key)
	if key == nil then return nil end
	local i = m.slot[key]
	return i and m.values[i]
end

function ordered.remove(m, key)
	local i = m.slot[key]
	if not i then return nil end
	local value = m.values[i]
	m.slot[key], m.keys[i], m.values[i] = nil, nil, nil
	m.n = m.n - 1
	if m.n == 0 then
		m.last = 0
	elseif m.last > 32 and m.last > 2 * m.n then
		local keys, values, n = {}, {}, 0
		for j = 1, m.last do
			if m.keys[j] ~= nil then
				n = n + 1
				keys[n], values[n] = m.keys[j], m.values[j]
				m.slot[keys[n]] = n
			end
		end
		m.keys, m.values, m.last = keys, values, n
	end
	return value
end

function ordered.list(m)
	local list, n = {}, 0
	for i = 1, m.last do
		local value = m.values[i]
		if value ~= nil then
			n = n + 1
			list[n] = value
		end
	end
	return list
end

-- GEN-14: the 32 raw bytes of an id given raw or as 64 hex digits, else nil.
function R.raw_id(id)
	if type(id) ~= "string" then return nil end
	if #id == 32 then return id end
	if #id == 64 and not id:find("%X") then
		return (id:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
	end
end

function R.hex_id(raw)
	return (raw:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end
