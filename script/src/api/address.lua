-- `IPAddress` and `SocketAddress` (MON-27, MON-28, IPA-*, SKA-01): values, compared by what they
-- say.
local R = ...
local native, state = R.native, R.state
local type = type

local ERROR = 3

local ip_flags = {
	"isWildcard", "isBroadcast", "isAnyBroadcast", "isLoopback", "isMulticast", "isUnicast",
	"isLinkLocal", "isSiteLocal", "isIPv4Compatible", "isIPv4Mapped", "isWellKnownMC",
	"isNodeLocalMC", "isLinkLocalMC", "isSiteLocalMC", "isOrgLocalMC", "isGlobalMC", "isLocal",
	"isIPv6",
}

local function comparison(s, other) return native.compare_addresses(s.value, other.value) end

local ip_get = { value = function(s) return s.value end }
for _, name in ipairs(ip_flags) do
	ip_get[name] = function(s) return native.ip_flag(s.value, name) end
end

R.class("ipaddress", {
	label = "IPAddress",
	get = ip_get,
	text = function(s) return s.value end,
	compare = comparison,
	copy = function(s) return R.new("ipaddress", { value = s.value }) end,
})

local function new_ip(text) return R.new("ipaddress", { value = text }) end

local function new_socket(ip, port)
	local v6 = ip:find(":", 1, true) ~= nil
	local value = (v6 and "[" .. ip .. "]:" or ip .. ":") .. ("%d"):format(port)
	return R.new("socketaddress", { ip = ip, port = port, v6 = v6, value = value })
end

R.class("socketaddress", {
	label = "SocketAddress",
	get = {
		host = function(s)
			s.host = s.host or new_ip(s.ip)
			return s.host
		end,
		port = function(s) return s.port end,
		isIPv6 = function(s) return s.v6 end,
		value = function(s) return s.value end,
	},
	text = function(s) return s.value end,
	compare = comparison,
	copy = function(s) return new_socket(s.ip, s.port) end,
})

-- The host of an argument as text, and its port where it has one of its own.
local function parts(x)
	local s = state[x]
	if not s or s.dead then return nil end
	if s.class == "ipaddress" then return s.value end
	if s.class == "socketaddress" then return s.ip, s.port end
	if s.class == "server" then return s.address, s.port end
end

local function tell(label, handler, problem)
	if handler then
		handler(problem)
	else
		native.log(ERROR, label .. ": " .. problem)
	end
	return nil
end

-- MON-27.
function R.create_ip(label, dns, first, ...)
	local handler, x = nil, first
	if type(first) == "function" then handler, x = first, (...) end
	if x == nil then return new_ip("0.0.0.0") end
	local text = type(x) == "table" and parts(x) or R.str(x)
	if not text then return tell(label, handler, "an address is needed, got " .. type(x)) end
	local ip, problem = native.resolve(text, dns)
	if not ip then return tell(label, handler, problem) end
	return new_ip(ip)
end

-- MON-28.
function R.create_socket(label, dns, ...)
	local handler, x, port = nil, ...
	if type((...)) == "function" then handler, x, port = ... end
	if x == nil and port == nil then return new_socket("0.0.0.0", 0) end
	local host
	if type(x) == "table" then
		local own
		host, own = parts(x)
		if port == nil then port = own end
		if not host then return tell(label, handler, "an address is needed, got " .. type(x)) end
	elseif port == nil and type(x) ~= "boolean" and R.num(x) then
		host, port = "0.0.0.0", x
	else
		host = R.str(x)
		if not host then return tell(label, handler, "an address is needed, got " .. type(x)) end
		if port == nil then
			local text = host
			host, port = text:match("^%[([^%]]*)%]:(%d+)$")
			if not host then host, port = text:match("^([^:]*):(%d+)$") end
			if not host then return tell(label, handler, "'" .. text .. "' has no port") end
		end
	end
	local number = R.num(port)
	if not number or number < 0 or number > 65535 or number % 1 ~= 0 then
		return tell(label, handler, "'" .. tostring(port) .. "' is no port")
	end
	local ip, problem = native.resolve((host:gsub("^%[(.*)%]$", "%1")), dns)
	if not ip then return tell(label, handler, problem) end
	return new_socket(ip, number)
end

-- MON-24: what is no address is logged, the others count.
function R.blacklist(label, blocked, ...)
	for i = 1, select("#", ...) do
		local x = (select(i, ...))
		local text = type(x) == "table" and parts(x) or R.str(x)
		if not text or not native.blacklist(text, blocked) then
			native.log(ERROR, label .. ": " .. (text and "'" .. text .. "'" or type(x)) .. " is no address")
		end
	end
end
