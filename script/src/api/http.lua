-- What only clients of HTTP have: files (CLI-39, HTT-04..07), cookies (HTT-14), headers that
-- change with each request (CLI-10).
local R = ...
local native, state, events = R.native, R.state, R.events
local lower, rawget, select, tostring, type = string.lower, rawget, select, tostring, type

local ERROR, WARN = 3, 4

-- Values of a template as a list of { key, text } (HTT-06).
local function texts(app, values)
	local list = {}
	for key, value in next, values do
		local kind = type(value)
		if kind == "string" or kind == "number" or kind == "boolean" then
			list[#list + 1] = { tostring(key), tostring(value) }
		else
			native.log_app(WARN, app, "client:onRead: value of type " .. kind .. " for <% "
				.. tostring(key) .. " %> ignored")
		end
	end
	return list
end

local function answer(app, ok, ...)
	if not ok then return app, "failed", R.refusal((...), "client:onRead failed") end
	if select("#", ...) == 0 then return app, "serve" end
	local file, values = ...
	if file == nil then return app, "nothing" end
	local name = R.str(file)
	if not name then
		native.log_app(ERROR, app, "client:onRead: name of a file expected, got " .. type(file))
	end
	if values == nil then return app, "serve", name end
	if type(values) ~= "table" then
		native.log_app(ERROR, app, "client:onRead: table of values expected, got " .. type(values))
		return app, "serve", name
	end
	return app, "serve", name, texts(app, values)
end

-- CLI-39. Results: path of the application that ran; "serve", the file when another than asked
-- for, the values of its template; or "nothing"; or "failed" and the text.
function events.read(id, file, parameters)
	local o = R.client_object(id)
	local f = o and rawget(o, "onRead")
	if type(f) ~= "function" then return nil, "serve" end
	return answer(R.app_of(f), R.invoke(f, "client:onRead", 2, o, file, parameters))
end

-- Headers and cookies of the request that follows.
function events.request(id, fields)
	local s = R.client_state(id)
	if s then R.view_reset(s.properties, s.asked, fields) end
end

-- Options of a cookie from the form of 2020, a table with keys in any case, or that of 2014.
local function options(first, path, domain, secure, http_only)
	if type(first) ~= "table" then return first, path, domain, secure, http_only end
	local found = {}
	for key, value in next, first do
		if type(key) == "string" then found[lower(key)] = value end
	end
	return found.expires, found.path, found.domain, found.secure, found.httponly
end

local function truth(value)
	return value ~= nil and value ~= false and value ~= 0 and value ~= "false"
end

-- `client.properties(key, value, …)` of an HTTP client. The result is the value.
function R.set_cookie(s, key, value, ...)
	local kind = type(value)
	if type(key) ~= "string" or key == "" then return nil end
	if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then return nil end
	local expires, path, domain, secure, http_only = options(...)
	local done = native.set_cookie(s.cookies, key, tostring(value), R.num(expires), R.str(path),
		R.str(domain), truth(secure), truth(http_only))
	if not done then return nil end
	R.view_put(s, key, value)
	return value
end

-- What the properties of a client with headers have beyond those of others; a WebSocket client has
-- no next response that could carry a cookie.
function R.http_client(s, query)
	s.asked = query
	local view = state[s.properties]
	view.fold = {}
	if s.protocol == "HTTP" then view.cookies = s.id end
	R.view_reset(s.properties, query)
end
