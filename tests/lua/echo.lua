-- Sends values of every kind to the other node, which sends them back; what comes back must be
-- what left. run() answers "same" or what differs.

local bytes = {}
for code = 0, 255 do bytes[#bytes + 1] = string.char(code) end
bytes = table.concat(bytes)

local self_holding = { name = "ring" }
self_holding.self = self_holding
local pair_a, pair_b = { name = "a" }, { name = "b" }
pair_a.other, pair_b.other = pair_b, pair_a
local shared = { 1, 2, 3 }

local CASES = {
	empty = {},
	bytes = { bytes, bytes:rep(300), "\0", "", ("\195\169\240\159\152\128"):rep(10), "\255\254" },
	numbers = {
		0, 1, -1, 127, 128, 16383, 16384, 268435455, 268435456, -268435456, -268435457,
		2 ^ 31, -2 ^ 31, 2 ^ 53, -2 ^ 53, 0.5, -0.1, 1e300, -1e-300, math.huge, -math.huge,
	},
	booleans = { true, false },
	tables = {
		{ 1, "two", true }, { x = 1, y = { z = "deep" } }, {}, { 1, 2, key = "mixed" },
		{ ["a\0b"] = "key with a zero", ["\255"] = "and one of no alphabet" },
		{ { { { { "five deep" } } } } },
	},
	special = { { __raw = bytes }, { __type = "Player", name = "x", score = 7 } },
	shared = { shared, { shared, shared } },
	ring = { self_holding },
	cycle = { pair_a, pair_b },
}

-- Compares by content; `seen` ends cycles and demands that shared tables stay shared.
local function differ(sent, got, where, seen)
	if type(sent) ~= type(got) then return where .. ": " .. type(sent) .. " became " .. type(got) end
	if type(sent) ~= "table" then
		if sent == got then return end
		return where .. ": " .. tostring(sent) .. " became " .. tostring(got)
	end
	if seen[sent] then
		if seen[sent] ~= got then return where .. ": is not the same table any more" end
		return
	end
	seen[sent] = got
	for key, value in pairs(sent) do
		local found = differ(value, got[key], where .. "." .. tostring(key), seen)
		if found then return found end
	end
	for key in pairs(got) do
		if sent[key] == nil then return where .. "." .. tostring(key) .. ": was not sent" end
	end
end

local left, differences = 0, {}

local function check(name, ...)
	local sent, found = CASES[name], nil
	if name == "nils" then
		local count = select("#", ...)
		if count ~= 5 then found = count .. " arguments instead of 5" end
		local a, b, c, d, e = ...
		if a ~= nil or b ~= 1 or c ~= nil or d ~= nil or e ~= nil then found = "other values" end
	elseif name == "nan" then
		local number = ...
		if number == number then found = "is a number" end
	elseif select("#", ...) ~= #sent then
		found = select("#", ...) .. " arguments instead of " .. #sent
	else
		found = differ(sent, { ... }, name, {})
	end
	if found then differences[#differences + 1] = name .. ": " .. found end
	left = left - 1
	if left == 0 then
		NOTE("all back: ", #differences == 0 and "same" or table.concat(differences, "; "))
	end
end

function onServerConnection(server)
	if not server.isTarget then
		function server:echo(...) self:send("back", ...) end
		return
	end
	function server:back(...) check(...) end
	left = 2
	for _ in pairs(CASES) do left = left + 1 end
	for name, values in pairs(CASES) do server:send("echo", name, unpack(values)) end
	server:send("echo", "nils", nil, 1, nil, nil, nil)
	server:send("echo", "nan", 0 / 0)
end
