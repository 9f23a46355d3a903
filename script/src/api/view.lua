-- Read-only maps of flat keys (`servers.port`), nested by their dots (ITR-08): configurations,
-- parameters, properties of clients.
local R = ...
local native = R.native
local setmetatable, select, type = setmetatable, select, type

local function find(s, key)
	key = R.str(key)
	if not key then return nil end
	local value = s.flat[key]
	if value ~= nil then return value end
	-- Names of headers have no case.
	local same = s.fold and s.fold[key:lower()]
	if same then return s.flat[same] end
	local section = s.sections[key]
	if section ~= nil then return section or nil end
	local prefix, sub = key .. ".", nil
	for _, name in ipairs(s.keys) do
		if #name > #prefix and name:sub(1, #prefix) == prefix then
			sub = sub or {}
			sub[#sub + 1] = { name:sub(#prefix + 1), s.flat[name] }
		end
	end
	section = sub and R.new_view(sub) or false
	-- Only sections that exist are remembered: scripts ask for any name.
	if section then s.sections[key] = section end
	return section or nil
end

R.class("view", {
	label = "properties",
	collection = {
		list = function(s)
			local list = {}
			for i, name in ipairs(s.keys) do list[i] = s.flat[name] end
			return list
		end,
		keys = function(s)
			local keys = {}
			for i, name in ipairs(s.keys) do keys[i] = name end
			return keys
		end,
		sequence = function() return {} end,
		find = find,
		call = function(s, ...)
			if s.cookies then return R.set_cookie(s, ...) end
			if not s.callable then
				native.log(3, "this collection is read with [key], it cannot be called")
				return
			end
			local values, n = { ... }, select("#", ...)
			for i = 1, n do values[i] = find(s, values[i]) end
			return unpack(values, 1, n)
		end,
	},
	assign = R.read_only,
})

-- `entries` is a list of { key, value }; later duplicates win, nil values (GEN-15 `null`) are
-- keys that read as nil.
function R.new_view(entries, callable)
	local s = { flat = {}, keys = {}, sections = {}, callable = callable }
	local view = R.new("view", s)
	for _, entry in ipairs(entries) do R.view_set(view, entry[1], entry[2]) end
	return view
end

function R.view_put(s, key, value)
	if s.flat[key] == nil and value ~= nil then s.keys[#s.keys + 1] = key end
	if value ~= nil then
		s.flat[key] = value
		if s.fold then s.fold[key:lower()] = key end
	end
	s.sections = {}
end

function R.view_set(view, key, value)
	R.view_put(R.state[view], key, value)
end

-- Begins anew with other entries and fields; scripts may hold the view.
function R.view_reset(view, entries, fields)
	local s = R.state[view]
	s.flat, s.keys, s.sections = {}, {}, {}
	s.fold = s.fold and {}
	for _, entry in ipairs(entries) do R.view_put(s, entry[1], entry[2]) end
	if fields then R.view_add(view, fields) end
end

-- The value of a key, for the dynamic properties of objects (GEN-06).
function R.view_get(view, key)
	return find(R.state[view], key)
end

-- Adds a decoded table, nested tables flattened with dots (CLI-10, PUB-15).
function R.view_add(view, t, prefix, depth)
	depth = depth or 1
	for key, value in next, t do
		local name = (prefix or "") .. tostring(key)
		if type(value) ~= "table" then
			R.view_set(view, name, value)
		elseif depth < 8 then
			R.view_add(view, value, name .. ".", depth + 1)
		end
	end
end

-- A nesting by dots deeper than this stays a name with dots.
local DEEPEST = 16

-- A copy in plain tables, nested as its keys are by their dots: what a message carries of a view.
function R.view_plain(view)
	local s = R.state[view]
	if s.class == "data" then return R.data_plain(s) end
	local plain = {}
	for _, name in ipairs(s.keys) do
		local at, rest = plain, name
		for _ = 1, DEEPEST do
			local dot = rest:find(".", 1, true)
			if not dot or dot == 1 or dot == #rest then break end
			local head = rest:sub(1, dot - 1)
			local inner = at[head]
			-- A key that is a value as well as a section.
			if inner ~= nil and type(inner) ~= "table" then break end
			if not inner then
				inner = {}
				at[head] = inner
			end
			at, rest = inner, rest:sub(dot + 1)
		end
		if at[rest] == nil then at[rest] = s.flat[name] end
	end
	return plain
end
