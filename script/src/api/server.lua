-- `server`: one linked node (SRV-*), and the events of links (EVT-10..12, CLU-22).
local R = ...
local native, state, ordered, events = R.native, R.state, R.ordered, R.events
local rawget, select, type, xpcall = rawget, select, type, xpcall

local ERROR, WARN, DEBUG = 3, 4, 7
local on_error, plain_send = R.on_error, native.plain_send

local by_id = {} -- also those refused by a replay, until their link is down

function R.server_object(id) return by_id[id] end

function R.ip_port(s)
	if s.address:find(":", 1, true) then return "[" .. s.address .. "]:" .. s.port end
	return s.address .. ":" .. s.port
end

-- CLU-20: the name as it is sent, nil when there is none.
function R.handler_name(handler, label)
	handler = R.str(handler)
	if not handler or handler == "" or handler == "." then
		native.log(ERROR, label .. " needs the name of a function")
		return nil
	end
	if #handler > 255 then
		native.log(WARN, label .. ": name of " .. #handler .. " bytes cut to 255")
		handler = handler:sub(1, 255)
	end
	return handler
end

local function value(name)
	return function(s) return s[name] end
end

R.class("server", {
	label = "server",
	get = {
		isTarget = value("isTarget"),
		address = value("address"),
		host = value("host"),
		port = value("port"),
		configs = value("configs"),
	},
	plain = { send = true },
	methods = {
		-- SRV-05. Written out because links carry a million of these a second.
		send = function(o, handler, ...)
			local s = state[o]
			if s == nil or s.class ~= "server" then return R.foreign("server:send") end
			if s.dead or s.closing then return R.gone("server:send") end
			if type(handler) ~= "string" or handler == "" or handler == "." or #handler > 255 then
				handler = R.handler_name(handler, "server:send")
				if not handler then return end
			end
			local done = plain_send(s.id, handler, ...)
			if done == false then
				native.send(s.id, handler, ...)
			elseif done ~= true then
				native.not_sent(s.id, done)
			end
		end,
		-- SRV-10.
		reject = function(s, _, message)
			if s.closing then return R.gone("server:reject") end
			native.reject_server(s.id, R.str(message, "unknown error"))
		end,
	},
	-- SRV-04: target properties win over configuration keys.
	dynamic = function(s, key)
		local found = R.view_get(s.properties, key)
		if found == nil then found = R.view_get(s.configs, key) end
		-- As the page of 2014 calls `host`.
		if found == nil and key == "publicAddress" then found = s.host end
		return found
	end,
})

-- EVT-10: the root with inheritance, then other applications that define it themselves.
local function for_each_app(name, call)
	local f = R.handler("", name)
	if f and not call(f) then return f end
	local paths = {}
	for path, app in next, R.apps do
		if path ~= "" and app.loaded then paths[#paths + 1] = path end
	end
	table.sort(paths)
	for _, path in ipairs(paths) do
		f = R.handler(path, name, true)
		if R.current == nil then native.next_run() end
		if f and not call(f) then return f end
	end
end

-- Results: path of the last application that ran, nil or the text of the refusal.
function events.server_up(info, properties, configs, root_failure)
	local o = R.new("server", {
		id = info.id,
		isTarget = info.isTarget,
		address = info.address,
		host = info.host ~= "" and info.host or info.address,
		port = info.port,
		properties = R.new_view(properties),
		configs = R.new_view(configs),
	})
	if root_failure then
		R.kill(o)
		return nil, root_failure
	end
	by_id[info.id] = o
	ordered.set(R.server_list, info.id, o)
	local ran, refusal
	for_each_app("onServerConnection", function(f)
		ran = R.app_of(f)
		local ok, problem = R.invoke(f, "onServerConnection", 0, o)
		if not ok then refusal = R.refusal(problem, "unknown error") end
		return ok
	end)
	if refusal then
		ordered.remove(R.server_list, info.id)
		by_id[info.id] = nil
		R.kill(o)
	end
	return ran, refusal
end

-- EVT-12. `problem` is nil after an orderly end.
function events.server_down(id, problem)
	local o = by_id[id]
	if not o then return nil end
	ordered.remove(R.server_list, id)
	by_id[id] = nil
	state[o].closing = true
	local ran
	for_each_app("onServerDisconnection", function(f)
		ran = R.app_of(f)
		R.invoke(f, "onServerDisconnection", 0, o, problem)
		return true
	end)
	R.kill(o)
	return ran
end

-- ENV-11: all servers were refused, before their applications hear of it.
local refused
function R.refused_servers()
	refused = ordered.list(R.server_list)
	for _, o in ipairs(refused) do
		ordered.remove(R.server_list, state[o].id)
		state[o].closing = true
	end
end

-- EVT-11 and the first step of ENV-09: one application, every linked server.
function events.replay(path, name)
	local f = R.handler(path, name, path ~= "")
	if not f then return nil end
	for _, o in ipairs(refused or ordered.list(R.server_list)) do
		local s = R.get("server", o)
		if s then
			local ok, problem = R.invoke(f, name, 0, o)
			if R.current == nil then native.next_run() end
			if not ok and name == "onServerConnection" then
				ordered.remove(R.server_list, s.id)
				native.reject_server(s.id, R.refusal(problem, "unknown error"))
			end
		end
	end
	return R.app_of(f)
end

local function finish(before, app, name, ok, problem)
	R.current = before
	if not ok then
		R.report(app, "server:" .. name, problem)
		if before == nil then native.next_run() end
	end
	if app ~= "" then return true, app end
	return true
end

-- CLU-22. Results are ignored (SRV-06). Returns true when a function ran, and its application's
-- path when that is not the root.
function events.server_call(id, name, ...)
	local o = by_id[id]
	local f = o and rawget(o, name)
	if type(f) ~= "function" then
		if native.log_enabled(DEBUG) then
			native.log(DEBUG, "server function '" .. name .. "' is not defined, call ignored")
		end
		return false
	end
	local before, app = R.current, R.app_of(f)
	R.current = app
	return finish(before, app, name, xpcall(f, on_error, o, ...))
end
