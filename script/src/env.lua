-- Environments of applications (ENV-20..34) and the functions that every script sees.
local R = ...
local native = R.native
-- The globals of scripts; the prelude itself runs on a copy that scripts cannot change.
local G = R.globals
local error0, pairs0, ipairs0, next0, require0 = error, pairs, ipairs, next, require
local collectgarbage0, getmetatable0, setmetatable0 = collectgarbage, debug.getmetatable, setmetatable
local getfenv, setfenv, load, getinfo = getfenv, setfenv, load, debug.getinfo
local rawget, rawset, select, tostring, type = rawget, rawset, select, tostring, type
local concat = table.concat

local ERROR, WARN = 3, 4

local apps = {} -- path -> application
local env_app = setmetatable0({}, { __mode = "k" }) -- environment -> application
R.apps = apps

-- ENV-20: own field, reserved name, loaded child, then the same in the parent, then Lua globals.
local reserved = {}
local function lookup(app, key)
	local a = app
	while a do
		local value = rawget(a.env, key)
		if value ~= nil then return value end
		local get = reserved[key]
		if get then return get(a) end
		local child = a.children[key]
		if child and child.loaded then return child.handle end
		a = a.parent
	end
	return G[key]
end
R.lookup = lookup

function reserved.name(app) return app.name end
function reserved.path(app) return app.path end
function reserved.this(app) return app.handle end
function reserved.super(app) return app.parent and app.parent.handle or G end
function reserved.children(app) return app.children_object end
function reserved.clients(app) return app.clients_object end
function reserved.mona(app) return app.mona end
function reserved.data(app) return R.app_data(app) end

local env_meta = { __metatable = "environment" }
function env_meta.__index(env, key)
	local app = env_app[env]
	if not app then return G[key] end
	return lookup(app, key)
end
-- ENV-21: a script's own global goes before a reserved name; only ENV-22 and ENV-23 are read-only.
function env_meta.__newindex(env, key, value)
	if key == "name" or key == "path" then
		native.log(WARN, key .. " is read-only, assignment ignored")
		return
	end
	rawset(env, key, value)
end

-- Handles are what scripts get as `this`, `super` and child names. A function read through one
-- and called with it as first argument (a colon call) does not see that argument (ENV-28).
local handle_app = setmetatable0({}, { __mode = "k" })
-- What a wrapper calls: it is that function in every respect but its first argument.
local wrapped = setmetatable0({}, { __mode = "kv" })
R.wrapped = wrapped
local handle_meta = { __metatable = "environment" }
function handle_meta.__index(handle, key)
	local app = handle_app[handle]
	local value = app and lookup(app, key)
	if type(value) ~= "function" then return value end
	local wrapper = app.wrappers[value]
	if not wrapper then
		wrapper = function(first, ...)
			if first == handle then return value(...) end
			return value(first, ...)
		end
		app.wrappers[value], wrapped[wrapper] = wrapper, value
	end
	return wrapper
end
function handle_meta.__newindex(handle, key, value)
	local app = handle_app[handle]
	if app then app.env[key] = value end
end
function handle_meta.__pairs(handle)
	local app = handle_app[handle]
	return next0, app and app.env or {}, nil
end

-- The record of an application; nothing is loaded by this.
function R.new_app(path, parent_path)
	local parent = parent_path and apps[parent_path] or nil
	local app = {
		path = path,
		name = path:match("[^/]*$"),
		parent = parent,
		env = setmetatable0({}, env_meta),
		handle = setmetatable0({}, handle_meta),
		wrappers = setmetatable0({}, { __mode = "kv" }),
		children = {},
		clients = R.ordered.new(),
		loaded = false,
	}
	env_app[app.env] = app
	handle_app[app.handle] = app
	app.mona = R.new_mona(app)
	app.clients_object = R.new("clients", { clients = app.clients })
	app.children_object = R.new("children", { app = app })
	apps[path] = app
	if parent then
		parent.children[app.name] = app
	else
		-- For modules that Lua's own `require` loads: they run in the global table.
		rawset(G, "mona", app.mona)
	end
end

-- Environments that an environment of a script may stand behind (`setfenv`), each the `__index` of
-- the one before.
local MOST_BEHIND = 8

-- The application of an environment: of itself, of a handle, or of what a table of the script that
-- serves as one inherits from.
local function app_of_env(env)
	for _ = 1, MOST_BEHIND do
		local app = env_app[env] or handle_app[env]
		if app then return app end
		local meta = getmetatable0(env)
		env = type(meta) == "table" and rawget(meta, "__index")
		if type(env) ~= "table" then return nil end
	end
end
R.app_of_env = app_of_env

-- Environments and their handles are tables without state.
function R.is_environment(value)
	return env_app[value] ~= nil or handle_app[value] ~= nil or value == G
end

function R.remove_app(path)
	local app = apps[path]
	if not app then return end
	apps[path] = nil
	if app.parent then app.parent.children[app.name] = nil end
end

function R.clear_env(path)
	local env = apps[path].env
	for key in next0, env do rawset(env, key, nil) end
end

R.class("children", {
	label = "children",
	collection = {
		list = function(s)
			local list = {}
			for _, name in ipairs0(R.child_names(s.app)) do list[#list + 1] = s.app.children[name].handle end
			return list
		end,
		keys = function(s) return R.child_names(s.app) end,
		sequence = function() return {} end,
		find = function(s, name)
			local child = s.app.children[name]
			return child and child.loaded and child.handle or nil
		end,
		call = function(s, name)
			name = R.str(name)
			if not name then
				native.log(ERROR, "children needs the name of an application")
				return nil
			end
			local path = native.open_app(s.app.path, name)
			return path and apps[path] and apps[path].handle or nil
		end,
	},
	assign = R.read_only,
})

function R.child_names(app)
	local names = {}
	for name, child in next0, app.children do
		if child.loaded then names[#names + 1] = name end
	end
	table.sort(names)
	return names
end

-- The application whose code called a prelude function: the first environment on the stack.
local function calling_app()
	for level = 3, 64 do
		local info = getinfo(level, "f")
		if not info then break end
		local app = app_of_env(getfenv(info.func))
		if app then return app end
	end
	return apps[R.current or ""] or apps[""]
end

-- LOG-02: one text of all arguments, without separator.
local function text_of(value)
	local kind = type(value)
	if kind == "string" then return value end
	if kind == "number" or kind == "boolean" then return tostring(value) end
	if kind == "nil" then return "(null)" end
	local meta = getmetatable0(value)
	if type(meta) == "table" and rawget(meta, "__tostring") then return tostring(value) end
	return (kind .. "_" .. tostring(value):gsub("^[%w ]*: ", ""))
end

local function join(...)
	local n = select("#", ...)
	if n == 1 then return text_of((...)) end
	local parts = { ... }
	for i = 1, n do parts[i] = text_of(parts[i]) end
	return concat(parts, "", 1, n)
end
R.join = join

-- A level that the node does not show costs no concatenation (LOG-01).
local function logger(level)
	return function(...)
		if native.log_enabled(level) then native.log(level, join(...)) end
	end
end
G.ERROR, G.WARN, G.NOTE = logger(3), logger(4), logger(5)
G.INFO, G.DEBUG, G.TRACE = logger(6), logger(7), logger(8)

function G.print(...)
	local n = select("#", ...)
	local parts = { ... }
	for i = 1, n do parts[i] = tostring(parts[i]) end
	native.print(concat(parts, "\t", 1, n))
end

-- ENV-35: standard, and more than one value is concatenated.
function G.error(message, level, ...)
	if level == nil then error0(message, 2) end
	if type(level) == "number" then
		if level > 0 then level = level + 1 end
		error0(message, level)
	end
	error0(join(message, level, ...), 2)
end

-- ENV-34: plain tables, everything with the metamethods, and engine collections.
local function metamethod(value, name)
	local meta = getmetatable0(value)
	return type(meta) == "table" and rawget(meta, name) or nil
end

function G.pairs(value)
	if type(value) == "table" or metamethod(value, "__pairs") then return pairs0(value) end
	native.log(ERROR, "pairs needs a table, got " .. type(value))
end

function G.ipairs(value)
	if type(value) == "table" or metamethod(value, "__ipairs") then return ipairs0(value) end
	native.log(ERROR, "ipairs needs a table, got " .. type(value))
end

function G.next(value, key)
	if type(value) ~= "table" then
		native.log(ERROR, "next needs a table, got " .. type(value))
		return
	end
	local step = metamethod(value, "__ramona_next")
	if step then return step(value, key) end
	return next0(value, key)
end

-- GEN-18: what the collector found is ended before the caller goes on.
function G.collectgarbage(...)
	if select("#", ...) == 0 then
		local result = collectgarbage0()
		R.collect()
		return result
	end
	local result = collectgarbage0(...)
	R.collect()
	return result
end

-- The chunk of a file as a function in the environment of the application that holds it
-- (ENV-37), or nil and what was wrong; `false` when there is no such file.
local function load_chunk(name)
	local source, chunk, path = native.find_chunk(calling_app().path, name)
	if not source then return false, chunk end
	R.chunk_loaded(chunk)
	local f, problem = load(source, chunk, "t", apps[path] and apps[path].env or G)
	return f, problem
end

-- C functions that call script functions: LuaJIT does not count how deep they stand inside each
-- other, and the thread's stack has an end.
local function guard()
	if native.deep() then error0("stack overflow (C functions nested too deep)", 3) end
end

local function guarded(library, name)
	local f = library[name]
	library[name] = function(...)
		guard()
		return f(...)
	end
end

-- These two are called often, and rarely with what calls back.
local format0, gsub0 = string.format, string.gsub
local function calls_back(value)
	local kind = type(value)
	return kind == "table" or kind == "function" or kind == "userdata"
end
function string.format(...)
	for i = 1, select("#", ...) do
		if calls_back((select(i, ...))) then
			guard()
			break
		end
	end
	return format0(...)
end
function string.gsub(...)
	if calls_back((select(3, ...))) then guard() end
	return gsub0(...)
end

guarded(table, "sort")
guarded(coroutine, "resume")

-- Memory is looked at between statements; this one makes a gigabyte in one.
local rep0 = string.rep
function string.rep(text, count, separator)
	local size = type(count) == "number" and type(text) == "string" and #text * count or 0
	if size > 1048576 and not native.room(size) then error0("not enough memory", 2) end
	if separator == nil then return rep0(text, count) end
	return rep0(text, count, separator)
end

-- LuaJIT calls no hooks while it handles the error of one: the handler of an interrupted script
-- would be out of reach, so it is not called.
local xpcall0 = xpcall
function G.xpcall(f, handler, ...)
	guard()
	return xpcall0(f, function(problem)
		if native.interrupted() then return problem end
		return handler(problem)
	end, ...)
end

guarded(G, "module")

local wrap0 = coroutine.wrap
function coroutine.wrap(f)
	local resume = wrap0(f)
	return function(...)
		guard()
		return resume(...)
	end
end

-- Chunks of strings and functions belong to the application that loads them, as its files do.
function G.load(chunk, name, mode, ...)
	guard()
	if select("#", ...) > 0 then return load(chunk, name, mode, ...) end
	return load(chunk, name, mode, calling_app().env)
end

function G.loadstring(chunk, name)
	return load(chunk, name, nil, calling_app().env)
end

function G.loadfile(name)
	name = R.str(name)
	local f, problem = load_chunk(name or "")
	if f then return f end
	native.log(ERROR, problem)
	if f == nil then return nil, problem end
end

function G.dofile(name)
	name = R.str(name)
	local f, problem = load_chunk(name or "")
	if f then return f() end
	if f == nil then error0(problem, 0) end
	native.log(ERROR, problem)
end

function G.require(name)
	if type(name) == "string" and name:sub(-4) == ".lua" then
		local f, problem = load_chunk(name)
		if f then return f() end
		if f == nil then error0(problem, 0) end
	end
	guard()
	return require0(name)
end

-- ENV-33: scripts may add to the global table, not change what it is.
local globals_meta = { __metatable = "globals" }
setmetatable0(G, globals_meta)
R.metas.environment, R.metas.handle, R.metas.globals = env_meta, handle_meta, globals_meta

function R.set_loaded(path, loaded)
	if apps[path] then apps[path].loaded = loaded end
end
