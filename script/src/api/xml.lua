-- Elements of XML documents (CNV-32): plain tables with `__name`, attributes as fields, children
-- and texts as sequence, and a metatable that finds children by their name.
local R = ...
local getmetatable, setmetatable, type = debug.getmetatable, setmetatable, type
local insert, rawget, rawset, remove = table.insert, rawget, rawset, table.remove

local function child(t, name)
	for i = 1, #t do
		local element = rawget(t, i)
		if type(element) == "table" and rawget(element, "__name") == name then return element, i end
	end
end

R.dom = {
	-- `t.child`: the first child of that name; `t.__value`: the first of the sequence.
	__index = function(t, key)
		if key == "__value" then return rawget(t, 1) end
		if type(key) == "string" then return (child(t, key)) end
	end,
	-- A table takes the place of the first child of that name, or becomes one; nil removes it.
	-- Anything else is an attribute.
	__newindex = function(t, key, value)
		if key == "__value" then return rawset(t, 1, value) end
		local _, at = child(t, key)
		if type(key) == "string" and type(value) == "table" then
			if rawget(value, "__name") == nil then rawset(value, "__name", key) end
			if getmetatable(value) == nil then setmetatable(value, R.dom) end
			if at then rawset(t, at, value) else insert(t, value) end
		elseif value == nil and at then
			remove(t, at)
		else
			rawset(t, key, value)
		end
	end,
}
