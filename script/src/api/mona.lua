-- `mona` (MON-*): one object per application, so that fields set on it stay there (ENV-31).
local R = ...
local native = R.native
local select, type, unpack = select, type, unpack

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

-- MON-17: what is wrong goes to a leading function argument, else into the log.
local function tell(label, handler, problem)
	if handler then return handler(problem) end
	native.log(ERROR, label .. ": " .. problem)
end

local function writer(format, label)
	local function write(handler, ...)
		local text, problem = native.to_text(format, label, ...)
		if problem then return tell(label, handler, problem) end
		return text
	end
	return function(_, _, ...)
		local first = (...)
		if format == "xml" and type(first) == "function" then
			return write(first, select(2, ...))
		end
		return write(nil, ...)
	end
end

local function reader(format, label)
	local function finish(handler, problem, ...)
		if problem then return tell(label, handler, problem) end
		return ...
	end
	return function(s, _, first, second)
		local handler, text = nil, first
		if format == "xml" and type(first) == "function" then handler, text = first, second end
		text = R.str(text)
		if not text then return tell(label, handler, "a string is needed") end
		return finish(handler, native.from_text(format, label, s.app.path, text))
	end
end

-- MON-23: `dump(data[, size])`, or `dump(name, data[, size])` for dumps of that name.
local function dump(_, _, first, second, third)
	local name, data, size = nil, R.str(first), second
	if type(second) == "string" then
		name, data, size = data, R.str(second), third
	end
	if not data then
		native.log(ERROR, "mona:dump needs a string")
		return
	end
	native.dump(name, data, R.num(size, -1))
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
		-- As the page of 2014 has it.
		environments = shared("environment"),
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
		toJSON = writer("json", "mona:toJSON"),
		fromJSON = reader("json", "mona:fromJSON"),
		toXML = writer("xml", "mona:toXML"),
		fromXML = reader("xml", "mona:fromXML"),
		toXMLRPC = writer("xmlrpc", "mona:toXMLRPC"),
		fromXMLRPC = reader("xmlrpc", "mona:fromXMLRPC"),
		toQuery = writer("query", "mona:toQuery"),
		fromQuery = reader("query", "mona:fromQuery"),
		md5 = function(_, _, ...) return native.digest("md5", ...) end,
		sha256 = function(_, _, ...) return native.digest("sha256", ...) end,
		dump = dump,
		listPaths = function(_, _, dir) return R.list_paths(dir, "mona:listPaths") end,
		files = function(_, _, dir) return R.list_paths(dir, "mona:files") end,
		createTCPClient = function() return R.create_tcp_client() end,
		createTCPServer = function() return R.create_tcp_server() end,
		createUDPSocket = function(_, _, broadcast) return R.create_udp_socket(broadcast) end,
		addToBlacklist = function(_, _, ...) return R.blacklist("mona:addToBlacklist", true, ...) end,
		removeFromBlacklist = function(_, _, ...)
			return R.blacklist("mona:removeFromBlacklist", false, ...)
		end,
		createMediaWriter = function(_, _, kind) return R.create_media_writer(kind) end,
		sendMail = function() return R.send_mail() end,
		createIPAddress = function(_, _, ...)
			return R.create_ip("mona:createIPAddress", false, ...)
		end,
		createIPAddressWithDNS = function(_, _, ...)
			return R.create_ip("mona:createIPAddressWithDNS", true, ...)
		end,
		createSocketAddress = function(_, _, ...)
			return R.create_socket("mona:createSocketAddress", false, ...)
		end,
		createSocketAddressWithDNS = function(_, _, ...)
			return R.create_socket("mona:createSocketAddressWithDNS", true, ...)
		end,
		split = function(_, _, text, separators, option)
			return split(R.str(text, ""), R.str(separators, ""), R.num(option, 0))
		end,
	},
	dynamic = function(_, key) return R.view_get(R.configs, key) end,
})

function R.new_mona(app) return R.new("mona", { app = app }) end
