-- Calls of script functions: one place that protects, reports and restores.
local R = ...
local native, wrapped, app_of_env = R.native, R.wrapped, R.app_of_env
local getfenv, getinfo, select, type, xpcall = getfenv, debug.getinfo, select, type, xpcall

local ERROR, WARN = 3, 4

-- Events that the engine raises; every one returns first the path of the application whose
-- handler ran, nil when none did.
R.events = {}
-- Application whose handler runs now; nil between handlers.
R.current = nil

-- Application of a function, by its environment; remembered, because calls from links are many.
local function_app = setmetatable({}, { __mode = "k" })
local function app_of(f)
	local path = function_app[f]
	if path == nil then
		local app = app_of_env(getfenv(wrapped[f] or f))
		path = app and app.path or ""
		function_app[f] = path
	end
	return path
end
R.app_of = app_of

-- Number of declared parameters (self included) and whether there are more (GEN-16).
function R.parameters(f)
	local info = getinfo(wrapped[f] or f, "u")
	return info.nparams, info.isvararg
end

-- Frames of scripts that a traceback shows: the innermost of a recursion without end.
local MOST_FRAMES = 16
-- Frames that are looked at.
local MOST_LEVELS = 200
local trace

-- Where scripts stand, innermost first, a line each; the prelude and C are left out.
local function on_error(problem)
	local frames, n = {}, 0
	for level = 2, MOST_LEVELS do
		local info = getinfo(level, "Sln")
		if not info then break end
		if info.currentline > 0 and info.source:sub(1, 8) ~= "=ramona:" then
			if n == MOST_FRAMES then
				frames[n + 1] = "..."
				break
			end
			n = n + 1
			local what = info.what == "main" and "in main chunk"
				or info.name and "in function '" .. info.name .. "'"
				or "in function of line " .. info.linedefined
			frames[n] = info.short_src .. ":" .. info.currentline .. ": " .. what
		end
	end
	trace = table.concat(frames, "\n")
	return problem
end

-- The traceback of the last error; nothing where it says no more than the text does.
local function take_trace(text)
	local lines = trace or ""
	trace = nil
	local place = lines:match("^([^\n]*:%d+): [^\n]*$")
	if place and text:sub(1, #place) == place then return "" end
	return lines
end
R.on_error, R.take_trace = on_error, take_trace

-- GEN-09: a value that is no string has no text.
local function report(app, label, problem)
	local text = type(problem) == "string" and problem or "Unknown error"
	native.handler_failed(app, label, text, take_trace(text))
	return text
end
R.report = report

local function finish(before, app, label, most, ok, ...)
	R.current = before
	if ok then
		if select("#", ...) > most then
			native.log_app(WARN, app, label .. " returned " .. select("#", ...)
				.. " values, " .. (select("#", ...) - most) .. " too many")
		end
		return true, ...
	end
	local problem = ...
	report(app, label, problem)
	if before == nil then native.next_run() end
	return false, problem
end

-- Runs a handler that may return `most` values. Results: true and them, or false and the raw
-- error value, already reported.
function R.invoke(f, label, most, ...)
	local before, app = R.current, app_of(f)
	R.current = app
	return finish(before, app, label, most, xpcall(f, on_error, ...))
end

-- Chunk names as they stand before `:line:` in error texts.
local chunks = {}
function R.chunk_loaded(name)
	local f = load("return 0", name, "t")
	if f then chunks[getinfo(f, "S").short_src] = true end
end

-- GEN-12: a refusal's text without the position that Lua put in front of it.
function R.refusal(problem, default)
	if type(problem) ~= "string" then
		if problem == nil then return default end
		return "Unknown error"
	end
	local from = 1
	while true do
		local first, last = problem:find(":%d+: ", from)
		if not first then break end
		local place = problem:sub(1, first - 1)
		-- Modules that Lua's own `require` loads are known by the name of their file.
		if chunks[place] or place:find("^%[string \".*\"%]$") or place:find("^%S+%.lua$") then
			problem = problem:sub(last + 1)
			break
		end
		from = first + 1
	end
	if problem == "" then return default end
	return problem
end

-- The handler of an event of a client: its own field, else the global of its application.
function R.client_handler(client, app, name)
	local f = rawget(client, name)
	if type(f) ~= "function" then f = R.lookup(app, name) end
	return type(f) == "function" and f or nil
end

-- A global of an application as a function, or nil. `own` asks for the application's own field.
local function handler(path, name, own)
	local app = R.apps[path]
	if not app then return nil end
	local f
	if own then f = rawget(app.env, name) else f = R.lookup(app, name) end
	return type(f) == "function" and f or nil
end
R.handler = handler

-- EVT-01, EVT-02.
function R.events.lifecycle(path, name)
	local f = handler(path, name)
	if not f then return nil end
	R.invoke(f, name, 0, path)
	return app_of(f)
end

-- EVT-05.
function R.events.manage()
	local f = handler("", "onManage")
	if not f then return nil end
	R.invoke(f, "onManage", 0)
	return app_of(f)
end

-- CNV-12: the fields of a date in local time of the node.
local date, floor = os.date, math.floor
function R.date(ms)
	local ok, t = pcall(date, "*t", floor(ms / 1000))
	if not ok or type(t) ~= "table" then t = {} end
	t.__time, t.msec = ms, ms % 1000
	return t
end

-- EVT-06 in the application of the handler that is about to receive the object.
function R.events.typed(app_path, name, object)
	local f = handler(app_path, "onTypedObject")
	if f then R.invoke(f, "onTypedObject", 0, name, object) end
end

-- Where the values of a message are going: path of the application that gets them.
function R.events.client_app(id)
	local s = R.client_state(id)
	return s and s.app.path or ""
end
function R.events.server_function_app(id, name)
	local o = R.server_object(id)
	local f = o and rawget(o, name)
	return type(f) == "function" and app_of(f) or ""
end

-- Runs a chunk in the environment of its application (ENV-06, ENV-07): nil, or what was wrong,
-- and a traceback.
function R.events.run_chunk(path, source, chunk)
	R.chunk_loaded(chunk)
	local f, problem = load(source, chunk, "t", R.apps[path].env)
	if not f then return problem end
	local before = R.current
	R.current = path
	local ok, failure = xpcall(f, on_error)
	R.current = before
	-- What follows in the same event has a time of its own.
	if before == nil then native.next_run() end
	if ok then return nil end
	failure = type(failure) == "string" and failure or "Unknown error"
	return failure, take_trace(failure)
end

-- GEN-18: ends what scripts dropped.
function R.collect()
	while true do
		local kind, key = native.garbage()
		if not kind then return end
		R[kind .. "_collected"](key)
	end
end
