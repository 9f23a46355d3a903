-- The functions of `table` on tables of `data`: Lua's own work past metamethods, so past the disk. A
-- list is what `ipairs` finds (ITR-10). Everything else goes on to Lua's functions by a tail call,
-- which the compiler makes one check.
local R = ...
local native, state = R.native, R.state
local error, getmetatable, ipairs, pairs, select, tonumber, tostring, type =
	error, getmetatable, ipairs, pairs, select, tonumber, tostring, type
local G, table = R.globals, table
local concat0, sort0, unpack0 = table.concat, table.sort, unpack

local ERROR = 3

-- The state of a table of `data`; false and a logged error for one that has ended.
local function alive(t, name)
	local s = state[t]
	if s and s.class == "data" and not s.dead then return s end
	R.gone("table." .. name)
	return false
end

-- The list of a table of `data` in a plain one; empty for one that has ended.
local function listed(t, name)
	local list = {}
	if alive(t, name) then
		for i, value in ipairs(t) do list[i] = value end
	end
	return list
end

local function integer(value, argument, name)
	local number = tonumber(value)
	if not number then
		error("bad argument #" .. argument .. " to '" .. name .. "' (number expected, got "
			.. (value == nil and "no value" or type(value)) .. ")", 3)
	end
	return number - number % 1
end

local function insert(t, ...)
	local n = select("#", ...)
	if n ~= 1 and n ~= 2 then error("wrong number of arguments to 'insert'", 2) end
	local place, value = ...
	local s = alive(t, "insert")
	if not s then return end
	if n == 1 then
		t[R.data_border(s) + 1] = place
		return
	end
	local last = #listed(t, "insert")
	place = integer(place, 2, "insert")
	if place >= 1 and place <= last then
		R.data_insert(s, place, value)
	else
		t[place] = value
	end
end

local function remove(t, place)
	local s = alive(t, "remove")
	if not s then return end
	local last = #listed(t, "remove")
	place = place == nil and last or integer(place, 2, "remove")
	if place >= 1 and place <= last then return R.data_remove(s, place) end
end

local function sort(t, order)
	if not alive(t, "sort") then return end
	local list = listed(t, "sort")
	sort0(list, order)
	local s = R.get("data", t)
	if s and R.data_reorder(s, list) then return end
	native.log(ERROR, "table.sort: the table of data was changed meanwhile and stays as it is")
end

local function concat(t, separator, first, last)
	local list = listed(t, "concat")
	for i = integer(first or 1, 3, "concat"), integer(last or #list, 4, "concat") do
		-- What is in no list may be asked for as well; Lua names the first that is no text.
		list[i] = list[i] or t[i]
		if list[i] == nil then break end
	end
	return concat0(list, separator, first, last)
end

local function unpack_list(t, first, last)
	local list = listed(t, "unpack")
	local from, to = integer(first or 1, 2, "unpack"), integer(last or #list, 3, "unpack")
	-- More than that are too many for Lua.
	for i = from, to - from < 8000 and to or from - 1 do
		if list[i] == nil then list[i] = t[i] end
	end
	return unpack0(list, from, to)
end

local function getn(t) return #listed(t, "getn") end

local function maxn(t)
	local most = 0
	for key in pairs(t) do
		local number = tonumber(key)
		if number and number > most and tostring(number) == key then most = number end
	end
	return most
end

local function foreach(t, f)
	for key, value in pairs(t) do
		local result = f(key, value)
		if result ~= nil then return result end
	end
end

local function foreachi(t, f)
	for i, value in ipairs(listed(t, "foreachi")) do
		local result = f(i, value)
		if result ~= nil then return result end
	end
end

-- Functions of so many arguments that nil stands for one that is left out: cheaper than any number.
local function replace(library, name, own)
	local plain = library[name]
	if not plain then return end
	library[name] = function(t, a, b, c)
		if getmetatable(t) == "data" and state[t] then return own(t, a, b, c) end
		return plain(t, a, b, c)
	end
end

local insert0 = table.insert
function table.insert(t, ...)
	if getmetatable(t) == "data" and state[t] then return insert(t, ...) end
	return insert0(t, ...)
end

replace(table, "remove", remove)
replace(table, "sort", sort)
replace(table, "concat", concat)
replace(table, "unpack", unpack_list)
replace(table, "getn", getn)
replace(table, "maxn", maxn)
replace(table, "foreach", foreach)
replace(table, "foreachi", foreachi)
replace(G, "unpack", unpack_list)
