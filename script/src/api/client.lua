-- `client` and `clients` (CLI-*, ITR-04), with the events of a client's connection and calls.
local R = ...
local native, state, ordered, events = R.native, R.state, R.ordered, R.events
local rawget, select, type, xpcall = rawget, select, type, xpcall

local ERROR, WARN = 3, 4

local by_id = {} -- client id -> object, from its onConnection on
local all = ordered.new() -- raw id -> object, accepted ones

function R.client_object(id) return by_id[id] end
function R.client_state(id)
	local o = by_id[id]
	return o and state[o]
end

local function value(name)
	return function(s) return s[name] end
end

R.class("client", {
	label = "client",
	get = {
		address = value("address"),
		rawId = value("raw"),
		id = value("hex"),
		path = value("path"),
		query = value("query"),
		protocol = value("protocol"),
		properties = value("properties"),
		parameters = value("parameters"),
		ping = function(s) return native.client_stat(s.id, "ping") end,
		lastReceptionTime = function(s) return native.client_stat(s.id, "reception") end,
		-- CLI-09: gone in onDisconnection.
		writer = function(s)
			if s.closing then
				native.log(ERROR, "client.writer is not available after the disconnection")
				return nil
			end
			return s.writer
		end,
	},
	-- Files are served without asking a script that does not want to be asked (CLI-39).
	assign = function(s, _, key)
		if key == "onRead" and not s.dead then native.client_reads(s.id) end
	end,
	-- CLI-11, CLI-12.
	dynamic = function(s, key)
		local found = R.view_get(s.properties, key)
		if found == nil and key == s.protocol then found = s.parameters end
		-- As the page of 2014 calls this field of the connect object.
		if found == nil and key == "flashVersion" then found = R.view_get(s.properties, "flashVer") end
		return found
	end,
})

local function id_of(key)
	local s = type(key) == "table" and R.get("client", key)
	return s and s.raw or R.raw_id(key)
end
R.client_raw = id_of

local function ids(_, list)
	local keys = {}
	for i, o in ipairs(list) do keys[i] = state[o].hex end
	return keys
end
R.client_ids = ids

R.class("clients", {
	label = "clients",
	collection = {
		list = function(s) return ordered.list(s.clients) end,
		keys = ids,
		count = function(s) return s.clients.n end,
		find = function(s, key) return ordered.get(s.clients, R.raw_id(key)) end,
	},
	assign = R.read_only,
})
R.clients = R.new("clients", { clients = all })

-- CLI-21: names of events, and those that the connection itself answers.
local own_names = { connect = true, setPeerInfo = true, createStream = true, deleteStream = true }
for name, kind in next, R.names.client do
	if kind == "event" and name ~= "onMessage" then own_names[name] = true end
end

local function drop(id)
	local o = by_id[id]
	if not o then return end
	by_id[id] = nil
	R.kill(o)
end

-- EVT-03. Results: path of the application that ran; true and the table of onConnection, or
-- false and the text of the refusal.
function events.connect(info, fields, query, parameters, ...)
	local app = R.apps[info.path]
	local properties = R.new_view(query, true)
	local s = {
		id = info.id,
		raw = info.raw,
		hex = R.hex_id(info.raw),
		address = info.address,
		protocol = info.protocol,
		path = info.path,
		query = info.query,
		properties = properties,
		parameters = R.new_view(parameters),
		app = app,
	}
	if info.protocol == "HTTP" or info.protocol == "WebSocket" then R.http_client(s, query) end
	if fields then R.view_add(properties, fields) end
	local o = R.new("client", s)
	s.writer = R.new("writer", { client = s, reliable = true })
	by_id[info.id] = o
	local ran, result
	local f = R.handler(app.path, "onConnection")
	if f then
		ran = R.app_of(f)
		local ok, first = R.invoke(f, "onConnection", 1, o, ...)
		if not ok then
			drop(info.id)
			return ran, false, R.refusal(first, "client rejected")
		end
		if type(first) == "table" then
			result = first
			for key, v in next, first do
				local kind = type(v)
				if type(key) ~= "string" then
					native.log_app(WARN, ran, "onConnection: key of type " .. type(key) .. " ignored")
				elseif kind == "string" or kind == "number" or kind == "boolean" then
					R.view_set(s.parameters, key, v)
				end
			end
		elseif first ~= nil then
			native.log_app(ERROR, ran, "onConnection: table expected, got " .. type(first))
		end
	end
	s.connected = true
	ordered.set(all, s.raw, o)
	ordered.set(app.clients, s.raw, o)
	return ran, true, result
end

-- EVT-04.
function events.disconnect(id)
	local o = by_id[id]
	if not o then return nil end
	local s = state[o]
	s.closing = true
	if ordered.get(all, s.raw) == o then ordered.remove(all, s.raw) end
	if ordered.get(s.app.clients, s.raw) == o then ordered.remove(s.app.clients, s.raw) end
	local f = R.handler(s.app.path, "onDisconnection")
	local ran = f and R.app_of(f)
	if f then R.invoke(f, "onDisconnection", 0, o) end
	R.end_writers(s)
	drop(id)
	return ran
end

local function finish(before, app, name, ok, ...)
	R.current = before
	if ok then return app, true, ... end
	local text = R.report(app, "client:" .. name, (...))
	if before == nil then native.next_run() end
	return app, false, text
end

-- CLI-20..22. Results: nil when there is no such function; else the application's path, then
-- true and the results, or false and the text of the error with its position.
function events.call(id, name, ...)
	local o = by_id[id]
	local f = o and not own_names[name] and rawget(o, name)
	if type(f) ~= "function" then return nil end
	local before, app = R.current, R.app_of(f)
	R.current = app
	return finish(before, app, name, xpcall(f, R.on_error, o, ...))
end

-- CLI-38.
function events.manage_clients()
	local ran
	for _, o in ipairs(ordered.list(all)) do
		local f = rawget(o, "onManage")
		if type(f) == "function" and R.get("client", o) then
			ran = R.app_of(f)
			R.invoke(f, "onManage", 0, o)
			native.next_run()
		end
	end
	return ran
end

-- CLI-37.
function events.address_changed(id, address)
	local o = by_id[id]
	if not o then return nil end
	local s = state[o]
	local old = s.address
	s.address = address
	local f = rawget(o, "onAddressChanged")
	if type(f) ~= "function" then return nil end
	R.invoke(f, "onAddressChanged", 0, o, old)
	return R.app_of(f)
end
