-- TCP clients, TCP servers and UDP sockets of scripts (4.13): TCC-*, TCS-*, UDP-*.
local R = ...
local native, state, events = R.native, R.state, R.events
local rawget, tonumber, type = rawget, tonumber, type

-- What a handler may keep of its data (TCC-04).
local MOST_KEPT = 16777216

-- Socket number -> object. Scripts own what they make (GEN-18); a socket that a server accepted is
-- kept while it is connected (TCS-02).
local sockets = setmetatable({}, { __mode = "v" })
local accepted = {}
-- Connections that a script left for another one of the same object, until their end is told: number
-- -> object and address of the peer.
local left = {}

-- `host[, port]` in all forms as an address object, or nil and what is wrong with them.
local function address_of(label, host, port)
	if host == nil and port ~= nil then host = "127.0.0.1" end
	local problem
	local address = R.create_socket(label, true, function(text) problem = text end, host, port)
	if not address then return nil, problem or "no address" end
	return state[address]
end

-- Whom to connect to: nobody is at the wildcard that a port alone stands for (TCC-01).
local function target_of(label, host, port)
	if port == nil and (type(host) == "number" or type(host) == "string" and tonumber(host)) then
		host, port = "127.0.0.1", host
	end
	return address_of(label, host, port)
end

local function open(o, s, id)
	s.id, s.guard = id, native.own("socket", id)
	sockets[id] = o
end

local function forget(s)
	if s.id then
		sockets[s.id], accepted[s.id] = nil, nil
		s.id, s.guard = nil, nil
	end
end

local function field(name)
	return function(s) return s[name] end
end

-- The function of a name, else of its older name (DEF-24).
local function handler(o, name, older)
	local f = rawget(o, name)
	if type(f) ~= "function" and older then f = rawget(o, older) end
	return type(f) == "function" and f or nil
end

R.class("tcpclient", {
	label = "TCPClient",
	get = {
		connected = function(s) return s.connected and not s.leaving or false end,
		address = field("address"),
		peerAddress = function(s) return s.connected and not s.leaving and s.peerAddress or nil end,
		idleTime = function(s) return native.now() - s.last end,
		error = field("error"),
	},
	methods = {
		connect = function(s, o, host, port)
			if s.id and not s.leaving then return "connected or connecting already" end
			if host == nil and port == nil then return "an address is needed" end
			if s.id then
				left[s.id] = { o, s.peerAddress }
				forget(s)
				s.connected, s.leaving, s.address = false, nil, nil
			end
			local address, problem = target_of("TCPClient:connect", host, port)
			local id
			if address then id, problem = native.tcp_connect(address.ip, address.port) end
			if not id then
				s.error = problem
				return problem
			end
			s.error, s.kept, s.peerAddress, s.last = nil, "", address.value, native.now()
			open(o, s, id)
		end,
		disconnect = function(s)
			if not s.id then return end
			s.leaving = true
			native.socket_close(s.id)
		end,
		send = function(s, _, data)
			data = R.str(data)
			if not data then return "a string is needed" end
			if not s.id or s.leaving then return "not connected" end
			local problem = native.socket_send(s.id, data)
			if problem then
				s.error = problem
				return problem
			end
			s.last = native.now()
		end,
	},
})

local function new_client() return R.new("tcpclient", { kept = "", last = native.now() }) end

R.class("tcpserver", {
	label = "TCPServer",
	get = { address = field("address"), running = function(s) return s.id ~= nil end },
	methods = {
		start = function(s, o, host, port)
			local address, problem = address_of("TCPServer:start", host, port)
			if address and s.id then
				if s.asked == address.value then return true end
				native.socket_close(s.id)
				forget(s)
			end
			local id, own
			if address then id, own = native.tcp_listen(address.ip, address.port) end
			if not id then
				native.log(3, "TCPServer:start: " .. (problem or own or "no address"))
				return false
			end
			s.asked, s.address = address.value, own
			open(o, s, id)
			return true
		end,
		stop = function(s)
			if s.id then native.socket_close(s.id) end
			forget(s)
			s.address = nil
		end,
	},
})

local function close_udp(s)
	if s.id then native.socket_close(s.id) end
	forget(s)
	s.address, s.peerAddress = nil, nil
end

-- The number of the socket, opened on any port when it has none yet.
local function udp_id(o, s, v6)
	if s.id then return s.id end
	local id, own = native.udp_bind(v6 and "::" or "0.0.0.0", 0, s.broadcast)
	if not id then return nil, own end
	s.address = own
	open(o, s, id)
	return id
end

R.class("udpsocket", {
	label = "UDPSocket",
	get = { address = field("address"), peerAddress = field("peerAddress") },
	methods = {
		bind = function(s, o, host, port)
			local address, problem = address_of("UDPSocket:bind", host, port)
			if not address then return problem end
			close_udp(s)
			local id, own = native.udp_bind(address.ip, address.port, s.broadcast)
			if not id then return own end
			s.address = own
			open(o, s, id)
		end,
		connect = function(s, o, host, port)
			local address, problem = target_of("UDPSocket:connect", host, port)
			if not address then return problem end
			local id
			id, problem = udp_id(o, s, address.v6)
			if not id then return problem end
			problem = native.udp_connect(id, address.ip, address.port)
			if problem then return problem end
			s.peerAddress = address.value
		end,
		send = function(s, o, data, host, port)
			data = R.str(data)
			if not data then return "a string is needed" end
			if host == nil and port == nil then
				if not s.peerAddress then return "not connected: an address is needed" end
				return native.socket_send(s.id, data)
			end
			local address, problem = target_of("UDPSocket:send", host, port)
			if not address then return problem end
			local id
			id, problem = udp_id(o, s, address.v6)
			if not id then return problem end
			return native.socket_send(id, data, address.ip, address.port)
		end,
		disconnect = function(s)
			if s.id and s.peerAddress then native.udp_disconnect(s.id) end
			s.peerAddress = nil
		end,
		close = close_udp,
	},
})

-- GEN-18.
function R.socket_collected(id) native.socket_close(id) end

-- MON-25.
function R.create_tcp_client() return new_client() end
function R.create_tcp_server() return R.new("tcpserver", {}) end
function R.create_udp_socket(broadcast)
	return R.new("udpsocket", { broadcast = broadcast and true or false })
end

-- Events. Each answers the path of the application whose handler ran.
function events.socket_connected(id, own, peer)
	local s = R.get("tcpclient", sockets[id])
	if s then s.connected, s.address, s.peerAddress, s.last = true, own, peer, native.now() end
end

function events.socket_accepted(server, id, own, peer)
	local o = sockets[server]
	local s = R.get("tcpserver", o)
	if not s then
		native.socket_close(id)
		return
	end
	local client = new_client()
	local c = state[client]
	c.connected, c.address, c.peerAddress = true, own, peer
	open(client, c, id)
	accepted[id] = client
	local f = handler(o, "onConnection")
	if not f then return end
	R.invoke(f, "TCPServer:onConnection", 0, o, client)
	return R.app_of(f)
end

function events.socket_data(id, data)
	local o = sockets[id]
	local s = R.get("tcpclient", o)
	if not s then return end
	s.last = native.now()
	local f = handler(o, "onData", "onReception")
	if s.kept ~= "" then data = s.kept .. data end
	s.kept = ""
	if not f then return end
	local ok, kept = R.invoke(f, "TCPClient:onData", 1, o, data)
	if ok and type(kept) == "number" and kept >= 1 then
		if kept < #data then data = data:sub(-kept) end
		if #data > MOST_KEPT then
			native.log(3, "TCPClient:onData keeps " .. #data .. " bytes, " .. MOST_KEPT .. " at most: closed")
			native.socket_close(id)
		else
			s.kept = data
		end
	end
	return R.app_of(f)
end

function events.socket_packet(id, data, from)
	local o = sockets[id]
	if not R.get("udpsocket", o) then return end
	local f = handler(o, "onPacket", "onReception")
	if not f then return end
	R.invoke(f, "UDPSocket:onPacket", 0, o, data, from)
	return R.app_of(f)
end

-- TCC-05: once for each connection, and for one that failed.
function events.socket_closed(id, problem)
	local o, peer = sockets[id], nil
	local s = o and state[o]
	if s then
		peer = s.peerAddress
		forget(s)
		s.connected, s.leaving, s.peerAddress, s.address, s.kept = false, nil, nil, nil, ""
		if problem then s.error = problem end
	elseif left[id] then
		o, peer = left[id][1], left[id][2]
		s, left[id] = state[o], nil
	else
		return
	end
	local f = s.class == "tcpclient" and handler(o, "onDisconnection")
	if not f then return end
	R.invoke(f, "TCPClient:onDisconnection", 0, o, peer, problem)
	return R.app_of(f)
end
