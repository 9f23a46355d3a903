-- What `onHandshake` and `onRendezVousUnknown` return (EVT-08, EVT-09, RED-*), taken apart into a
-- flat list of pairs: a kind and its value. Rust reads the texts.
local R = ...
local state, metas, events = R.state, R.metas, R.events
local getmetatable, huge, ipairs, next = debug.getmetatable, math.huge, ipairs, next
local lower, rawget, sort, tostring, type = string.lower, rawget, table.sort, tostring, type

local PROTOCOL = "RTMFP"
-- Values of one answer that are read: more than any packet could carry as addresses.
local MOST_VALUES = 4096
-- Tables inside each other.
local MOST_DEPTH = 16

local engine_metas = {}
for _, meta in next, metas do engine_metas[meta] = true end

local function put(out, kind, value)
	local n = out.n
	if n >= 2 * MOST_VALUES then
		out.cut = true
		return
	end
	out[n + 1], out[n + 2], out.n = kind, value, n + 2
end

local function filled(text)
	text = R.str(text)
	return text ~= "" and text or nil
end

-- Where clients find a server (RED-10). Its configuration stays what it is for the life of the
-- link; keys are matched without case (CFG-04).
local function place(s)
	if s.place then return s.place end
	local configs, all = state[s.configs], {}
	for _, key in ipairs(configs.keys) do all[lower(key)] = configs.flat[key] end
	local protocol = lower(PROTOCOL)
	s.place = {
		address = s.address,
		host = filled(all[protocol .. ".publichost"]) or filled(all.publichost) or s.host,
		port = all[protocol .. ".port"],
	}
	return s.place
end

-- Numbers in their order, then texts in theirs, then what has none.
local rank = { number = 1, string = 2 }
local function before(a, b)
	local ra, rb = rank[type(a)] or 3, rank[type(b)] or 3
	if ra ~= rb then return ra < rb end
	return ra < 3 and a < b
end

local read

local function read_table(out, value, depth)
	-- A host does not find its port on the other side of a brace.
	put(out, "nothing", false)
	if out.seen[value] then return end
	out.seen[value] = true
	local keys, n = {}, 0
	for key in next, value do
		if n == MOST_VALUES then
			out.cut = true
			break
		end
		n = n + 1
		keys[n] = key
	end
	sort(keys, before)
	for i = 1, n do read(out, rawget(value, keys[i]), depth + 1) end
	put(out, "nothing", false)
end

local function read_object(out, value, s)
	if s.dead then return put(out, "bad", "a " .. s.class .. " that has ended") end
	if s.class == "server" then return put(out, "server", place(s)) end
	if s.class == "servers" then
		put(out, "nothing", false)
		for _, server in metas.servers.__ipairs(value) do put(out, "server", place(state[server])) end
		return
	end
	if s.class == "ipaddress" or s.class == "socketaddress" then
		return put(out, "text", tostring(value.value))
	end
	put(out, "bad", "an object of class " .. s.class)
end

function read(out, value, depth)
	local kind = type(value)
	if not value then return put(out, "nothing", false) end
	if kind == "string" then return put(out, "text", value) end
	if kind == "number" then return put(out, "number", value) end
	if kind ~= "table" then return put(out, "bad", "a " .. kind) end
	local s = state[value]
	if s then return read_object(out, value, s) end
	if engine_metas[getmetatable(value)] then return put(out, "bad", "an environment") end
	if depth > MOST_DEPTH then return put(out, "bad", "a table too deep in others") end
	return read_table(out, value, depth)
end

local function answer(ok, ...)
	if not ok then return nil end
	local out, values = { n = 0, seen = {} }, { ... }
	for i = 1, select("#", ...) do read(out, values[i], 1) end
	put(out, "nothing", false)
	return out
end

-- EVT-08. `app` is where the handler is looked for, `path` what the client asked for.
function events.handshake(app, address, path, query, attempts)
	local f = R.handler(app, "onHandshake")
	if not f then return nil end
	local properties = {}
	for _, entry in ipairs(query) do properties[entry[1]] = entry[2] end
	local ran = R.app_of(f)
	if R.parameters(f) >= 5 then
		return ran, answer(
			R.invoke(f, "onHandshake", huge, PROTOCOL, address, path, properties, attempts))
	end
	return ran, answer(R.invoke(f, "onHandshake", huge, address, path, properties, attempts))
end

-- EVT-09.
function events.rendezvous_unknown(peer)
	local f = R.handler("", "onRendezVousUnknown")
	if not f then return nil end
	local ran = R.app_of(f)
	if R.parameters(f) >= 2 then
		return ran, answer(R.invoke(f, "onRendezVousUnknown", huge, PROTOCOL, peer))
	end
	return ran, answer(R.invoke(f, "onRendezVousUnknown", huge, peer))
end
