-- `publication` and `publications` (PUB-*, ITR-03), with the events of publishers.
local R = ...
local native, state, ordered, events = R.native, R.state, R.ordered, R.events
local rawget, rawset, select, tonumber, type = rawget, rawset, select, tonumber, type

local ERROR, WARN = 3, 4

-- One slot per name that is running or has listeners: listeners may wait before the publication
-- starts and stay after it ended.
local slots = {}
local running = ordered.new() -- name -> slot
local by_id = {} -- publication id -> slot
-- Publications of clients that a script ended, until the end is told: id -> object. Their slot may have
-- the next one meanwhile (PUB-05).
local ended = {}
local owned = setmetatable({}, { __mode = "k" }) -- script publication -> guard (GEN-18)

function R.slot(name)
	local slot = slots[name]
	if not slot then
		slot = { name = name, listeners = ordered.new() }
		slots[name] = slot
	end
	return slot
end

function R.release_slot(slot)
	if not slot.box and not slot.pending and slot.listeners.n == 0 and slots[slot.name] == slot then
		slots[slot.name] = nil
	elseif slot.listeners.n == 0 and slot.pending and not slot.box then
		R.kill(slot.pending)
		slot.pending = nil
		if slots[slot.name] == slot then slots[slot.name] = nil end
	end
end

-- The publication of a slot; one that does not run yet is made on demand and becomes the real
-- one when it starts (GEN-04).
function R.slot_publication(slot)
	local o = slot.box and slot.box[1]
	if o then return o end
	if not slot.pending then
		slot.pending = R.new("publication", { name = slot.name, slot = slot, running = false })
	end
	return slot.pending
end

local function start(slot, id, script)
	local o = slot.pending
	if o then
		slot.pending = nil
	else
		o = R.new("publication", { name = slot.name, slot = slot })
	end
	local s = state[o]
	s.id, s.script, s.running = id, script, false
	s.watch_audio, s.watch_video, s.watch_data = false, false, false
	-- A publication of a script lives as long as the script holds it.
	slot.box = setmetatable({ o }, script and { __mode = "v" } or nil)
	slot.id = id
	by_id[id] = slot
	return o, s
end

local function run(slot, s)
	s.running = true
	ordered.set(running, slot.name, slot)
end

local function finish(slot, id)
	local o = slot.box and slot.box[1]
	if ordered.get(running, slot.name) == slot and slot.id == id then ordered.remove(running, slot.name) end
	by_id[id] = nil
	if slot.id == id then slot.box, slot.id = nil, nil end
	if o then R.kill(o) end
	R.release_slot(slot)
end

local watched = {
	onAudio = true, onVideo = true, onData = true,
	onAudioPacket = true, onVideoPacket = true, onDataPacket = true,
}

-- The event of 2014 that is a global and gets client and publication first (as EVT-15).
local function global_handler(s, name)
	local client = s.client and state[s.client]
	return client and client.app and R.handler(client.app.path, name)
end

local function has(o, s, name, older)
	return type(rawget(o, name)) == "function" or type(rawget(o, older)) == "function"
		or global_handler(s, older) ~= nil
end

-- Tells the node which packets of a client's publication a script wants, when that changed.
local function watch(o, s)
	if not s.id or s.script then return end
	local audio = has(o, s, "onAudio", "onAudioPacket")
	local video = has(o, s, "onVideo", "onVideoPacket")
	local data = has(o, s, "onData", "onDataPacket")
	if audio ~= s.watch_audio or video ~= s.watch_video or data ~= s.watch_data then
		s.watch_audio, s.watch_video, s.watch_data = audio, video, data
		native.watch(s.id, audio, video, data)
	end
end

local function is_running(s, label)
	if s.running then return true end
	native.log(ERROR, label .. ": the publication is not running")
	return false
end

local function decimal(value)
	return value:find("^%s*%-?%d+%.?%d*$") and tonumber(value)
end

-- PUB-20: which of the two is the time.
local function order(a, b)
	local ta, tb = type(a), type(b)
	if ta == "number" and tb == "string" then return a, b end
	if ta == "string" and tb == "number" then return b, a end
	if ta == "string" and tb == "string" then
		local na, nb = decimal(a), decimal(b)
		if na and not nb then return na, b end
		if nb then return nb, a end
		return nil
	end
end

local function pusher(kind, label)
	return function(s, _, a, b)
		if not is_running(s, label) then return end
		local time, packet = order(a, b)
		if not time then
			native.log(ERROR, label .. " needs a packet and its time")
			return
		end
		native.push(s.id, kind, time, packet, 0)
	end
end

-- PUB-21: the names of 2014.
local function older_pusher(kind, label)
	return function(s, _, time, packet, offset, lost)
		if not is_running(s, label) then return end
		time, packet = R.num(time), R.str(packet)
		if not time or not packet then
			native.log(ERROR, label .. " needs a time and a packet")
			return
		end
		native.push(s.id, kind, time, packet, R.num(offset, 0))
		lost = R.num(lost, 0)
		s.lossy = s.lossy or lost > 0
		if s.lossy then native.count_lost(s.id, kind, lost) end
	end
end

-- PUB-17: what the present handler flushed; `onFlush` follows when it returned (GEN-01).
local flushed = {}

local function flush(s, o)
	if not is_running(s, "publication:flush") or s.flushing then return end
	if type(rawget(o, "onFlush")) ~= "function" then return end
	s.flushing = true
	flushed[#flushed + 1] = o
	native.defer()
end

local function on_flush(o)
	local f = rawget(o, "onFlush")
	if type(f) ~= "function" then return nil end
	R.invoke(f, "publication:onFlush", 0, o)
	return R.app_of(f)
end

function R.settle()
	local list = flushed
	flushed = {}
	for _, o in ipairs(list) do
		if R.get("publication", o) then on_flush(o) end
		state[o].flushing = nil
	end
end

-- One string is a message in the format of its first byte: AMF, JSON, else bytes (PUB-22). Bytes
-- travel as a message of one AMF3 byte array.
local function push_text(s, label, format, text)
	local byte = text:byte(1)
	if format == "json" or format == "xmlrpc" then
		native.push_text(s.id, format, label, text)
	elseif format or byte == 0x02 or byte == 0x0C or byte == 0x11 then
		native.push(s.id, "data", 0, text, 0)
	elseif not ((byte == 0x5B or byte == 0x7B) and native.push_text(s.id, "json", nil, text)) then
		native.push_values(s.id, "amf", { __raw = text })
	end
end

-- PUB-18, PUB-22: `format` is what a string is in, nil for that of its first byte.
local function data_pusher(label, format, style)
	return function(s, _, ...)
		if not is_running(s, label) then return end
		local n, first = select("#", ...), (...)
		if n == 1 and type(first) == "string" then return push_text(s, label, format, first) end
		if n > 0 then native.push_values(s.id, style, ...) end
	end
end

local function set_properties(s, label, handler, t)
	if not is_running(s, label) then return end
	if type(handler) == "table" then handler, t = nil, handler end
	if type(t) ~= "table" then
		native.log(ERROR, label .. " needs a table")
		return
	end
	s.metadata = R.str(handler, "onMetaData")
	native.push_values(s.id, "amf", "@setDataFrame", s.metadata, t)
end

local function value(name)
	return function(s) return s[name] end
end

R.class("publication", {
	label = "publication",
	get = {
		name = value("name"),
		running = value("running"),
		properties = value("properties"),
		publisherId = function(s)
			local client = s.client and state[s.client]
			return client and client.hex
		end,
		publisher = value("client"),
		listeners = function(s)
			s.listeners = s.listeners or R.new("listeners", { slot = s.slot })
			return s.listeners
		end,
		lastTime = function(s) return s.id and native.publication_time(s.id) or 0 end,
		droppedFrames = function(s)
			return s.id and native.qos("publication", s.id, "video", "droppedFrames") or 0
		end,
		audioQOS = R.qos_getter("publication", "audio"),
		videoQOS = R.qos_getter("publication", "video"),
		dataQOS = R.qos_getter("publication", "data"),
	},
	plain = { close = true },
	methods = {
		pushVideo = pusher("video", "publication:pushVideo"),
		pushAudio = pusher("audio", "publication:pushAudio"),
		pushVideoPacket = older_pusher("video", "publication:pushVideoPacket"),
		pushAudioPacket = older_pusher("audio", "publication:pushAudioPacket"),
		pushData = data_pusher("publication:pushData", nil, "amf0"),
		pushAMFData = data_pusher("publication:pushAMFData", "amf", "amf"),
		pushAMF0Data = data_pusher("publication:pushAMF0Data", "amf", "amf0"),
		pushJSONData = data_pusher("publication:pushJSONData", "json", "amf"),
		pushXMLRPCData = data_pusher("publication:pushXMLRPCData", "xmlrpc", "amf"),
		pushDataPacket = function(s, _, name, packet, offset)
			if not is_running(s, "publication:pushDataPacket") then return end
			native.push_named(s.id, R.str(name, ""), R.str(packet, ""), R.num(offset, 0))
		end,
		writeProperties = function(s, _, handler, t)
			return set_properties(s, "publication:writeProperties", handler, t)
		end,
		clearProperties = function(s)
			if is_running(s, "publication:clearProperties") then
				native.push_values(s.id, "amf0", "@clearDataFrame", s.metadata or "onMetaData")
			end
		end,
		-- PUB-09: a pushed packet leaves without waiting for anything (GEN-17).
		flush = flush,
		-- PUB-05. A second close has no effect.
		close = function(o, code, description)
			local s = state[o]
			if s == nil or s.class ~= "publication" then return R.foreign("publication:close") end
			if s.dead or s.closing or not s.id then return end
			s.closing = true
			code = R.str(code)
			native.close_publication(s.id, code, code and R.str(description, ""))
			if s.script then
				finish(s.slot, s.id)
			elseif s.running then
				s.running = false
				ordered.remove(running, s.name)
				ended[s.id] = o
				s.slot.box, s.slot.id = nil, nil
			end
		end,
	},
	dynamic = function(s, key)
		return s.properties and R.view_get(s.properties, key)
	end,
	assign = function(s, o, key, v)
		if not watched[key] then return false end
		rawset(o, key, v)
		if not s.dead then watch(o, s) end
		return true
	end,
})

R.class("publications", {
	label = "publications",
	collection = {
		list = function()
			R.collect()
			local list = {}
			for _, slot in ipairs(ordered.list(running)) do list[#list + 1] = slot.box and slot.box[1] end
			return list
		end,
		keys = function(_, list)
			local keys = {}
			for i, o in ipairs(list) do keys[i] = state[o].name end
			return keys
		end,
		find = function(_, name)
			R.collect()
			local slot = ordered.get(running, R.str(name))
			return slot and slot.box and slot.box[1] or nil
		end,
	},
	assign = R.read_only,
})
R.publications = R.new("publications", {})

-- MON-10.
function R.publish(name, mode)
	R.collect()
	name = R.str(name, "")
	if mode ~= nil and mode ~= "live" then
		native.log(WARN, "mona:publish: nothing is recorded, " .. name .. " is live")
	end
	local id, problem = native.publish(name, mode == "record")
	if not id then
		native.log(ERROR, "mona:publish: " .. problem)
		return nil
	end
	local slot = R.slot(name)
	local o, s = start(slot, id, true)
	owned[o] = native.own("publication", id)
	run(slot, s)
	return o
end

-- A script dropped its publication (GEN-18).
function R.publication_collected(id)
	local slot = by_id[id]
	if not slot then return end
	native.close_publication(id)
	finish(slot, id)
end

-- CLI-33. Results: path of the application that ran, nil or the text of the refusal.
function events.publish(client_id, id, name)
	local client = R.client_object(client_id)
	if not client then return nil, "client rejected" end
	R.collect()
	local slot = R.slot(name)
	if slot.box then return nil, name .. " is already publishing" end
	local o, s = start(slot, id, false)
	s.client = client
	watch(o, s)
	local f = R.client_handler(client, state[client].app, "onPublish")
	local ran, refusal
	if f then
		ran = R.app_of(f)
		local ok, result = R.invoke(f, "onPublish", 1, client, o)
		if not ok then
			refusal = R.refusal(result, "Not allowed to publish " .. name)
		elseif result == false or s.closing then
			refusal = "Not allowed to publish " .. name
		end
	end
	if refusal then
		finish(slot, id)
		return ran, refusal
	end
	run(slot, s)
	return ran, nil
end

-- CLI-34; for a publication of a script only its end.
function events.unpublish(id)
	local slot = by_id[id]
	if not slot then return nil end
	local o = ended[id]
	-- The name is free for the handler as it is for everybody.
	by_id[id], ended[id] = nil, nil
	if slot.id == id then
		o = slot.box and slot.box[1]
		ordered.remove(running, slot.name)
		slot.box, slot.id = nil, nil
	end
	local s = o and state[o]
	local ran
	if s and not s.dead then
		s.running, s.closing = false, true
		local client = s.client and state[s.client]
		if client and client.app then
			local f = R.client_handler(s.client, client.app, "onUnpublish")
			if f then
				ran = R.app_of(f)
				R.invoke(f, "onUnpublish", 0, s.client, o)
			end
		end
	end
	if o then R.kill(o) end
	R.release_slot(slot)
	return ran
end

-- PUB-06, PUB-07, PUB-25. Results: application's path when a handler ran.
local media_names = {
	audio = { "onAudio", "onAudioPacket" },
	video = { "onVideo", "onVideoPacket" },
	data = { "onData", "onDataPacket" },
}

-- The publication that runs under an id.
local function current(id)
	local slot = by_id[id]
	if slot and slot.id == id and slot.box then return slot.box[1] end
end

-- The handler, its publication, its name, whether it is one of the older ones, and the client that
-- it gets before the publication.
local function media_handler(id, kind)
	local o = current(id)
	if not o then return nil end
	local names = media_names[kind]
	local f = rawget(o, names[1])
	if type(f) == "function" then return f, o, "publication:" .. names[1] end
	f = rawget(o, names[2])
	if type(f) == "function" then return f, o, "publication:" .. names[2], true end
	f = global_handler(state[o], names[2])
	if f then return f, o, names[2], true, state[o].client end
	-- The script took its handlers away: the node need not send any more.
	watch(o, state[o])
	return nil
end

function events.media(id, kind, time, packet)
	local f, o, name, _, client = media_handler(id, kind)
	if not f then return nil end
	if client then
		R.invoke(f, name, 0, client, o, time, packet)
	else
		R.invoke(f, name, 0, o, time, packet)
	end
	return R.app_of(f)
end

-- An application that is loaded or unloaded may bring global handlers, or take them.
local set_loaded = R.set_loaded
function R.set_loaded(path, loaded)
	set_loaded(path, loaded)
	for _, slot in ipairs(ordered.list(running)) do
		local o = slot.box and slot.box[1]
		if o then watch(o, state[o]) end
	end
end

-- PUB-17: the packets of one read of a client were given to the script.
function events.flushed(id)
	local o = current(id)
	return o and on_flush(o)
end

-- How the data handler wants its arguments: nil for no handler, "packet", "name" (PUB-23,
-- PUB-24) or "older" (PUB-25), and its application.
function events.data_form(id)
	local f, _, _, older = media_handler(id, "data")
	if not f then return nil end
	if older then return "older", R.app_of(f) end
	local count, more = R.parameters(f)
	if count == 2 and not more then return "packet", R.app_of(f) end
	return "name", R.app_of(f)
end

function events.data(id, ...)
	local f, o, name, _, client = media_handler(id, "data")
	if not f then return nil end
	if client then
		R.invoke(f, name, 0, client, o, ...)
	else
		R.invoke(f, name, 0, o, ...)
	end
	return R.app_of(f)
end

-- PUB-15, PUB-17: `fields` nil when the metadata was cleared.
function events.metadata(id, fields)
	local o = current(id)
	local s = o and state[o]
	if not s or s.dead then return nil end
	s.properties = nil
	if type(fields) == "table" then
		s.properties = R.new_view({})
		R.view_add(s.properties, fields)
	end
	local f = rawget(o, "onProperties")
	if type(f) ~= "function" then return nil end
	R.invoke(f, "publication:onProperties", 0, o, s.properties)
	return R.app_of(f)
end
