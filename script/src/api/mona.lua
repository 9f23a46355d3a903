-- `mona` (MON-*): one object per application, so that fields set on it stay there (ENV-31).
local R = ...
local native = R.native
local unpack = unpack

local ERROR = 3

-- Results that fit on the stack of a Lua function.
local MOST_RESULTS = 4000

-- MON-21: each character of `separators` separates; 1 drops empty tokens, 2 trims, 3 both.
local function split(text, separators, option)
	local tokens, n, from = {}, 0, 1
	local drop, trim = option % 2 == 1, option >= 2
	for i = 1, #text + 1 do
		if i > #text or separators:find(text:sub(i, i), 1, true) then
			local token = text:sub(from, i - 1)
			if trim then token = token:match("^%s*(.-)%s*$") end
			if not (drop and token == "") then
				n = n + 1
				tokens[n] = token
			end
			from = i + 1
		end
	end
	if n > MOST_RESULTS then
		native.log(ERROR, "mona:split: " .. n .. " tokens, only " .. MOST_RESULTS .. " are returned")
		n = MOST_RESULTS
	end
	return unpack(tokens, 1, n)
end

local function shared(name)
	return function() return R[name] end
end

R.class("mona", {
	label = "mona",
	get = {
		servers = shared("servers"),
		groups = shared("groups"),
		publications = shared("publications"),
		clients = shared("clients"),
		configs = shared("configs"),
		environment = shared("environment"),
		arguments = shared("arguments"),
		epochTime = function() return native.now() end,
	},
	methods = {
		time = function() return native.now() end,
		absolutePath = function(_, _, path) return native.absolute_path(R.str(path, "")) end,
		publish = function(_, _, name, mode) return R.publish(name, mode) end,
		join = function(_, _, group, peer) return R.join_group(group, peer, "mona:join") end,
		joinGroup = function(_, _, peer, group) return R.join_group(group, peer, "mona:joinGroup") end,
		toAMF = function(_, _, ...) return native.to_amf(...) end,
		toAMF0 = function(_, _, ...) return native.to_amf0(...) end,
		fromAMF = function(s, _, data) return native.from_amf(s.app.path, R.str(data, "")) end,
		split = function(_, _, text, separators, option)
			return split(R.str(text, ""), R.str(separators, ""), R.num(option, 0))
		end,
	},
	dynamic = function(_, key) return R.view_get(R.configs, key) end,
})

function R.new_mona(app) return R.new("mona", { app = app }) end
