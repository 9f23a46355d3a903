-- `listener` and `publication.listeners` (LIS-*, ITR-06), with the events of subscriptions.
local R = ...
local native, state, ordered, events = R.native, R.state, R.ordered, R.events
local type = type

local by_id = {} -- listener id -> object

local function value(name)
	return function(s) return s[name] end
end

-- Tells the node; inside onSubscribe once, when the answer is known.
local function changed(s)
	if s.accepted then
		native.set_listener(s.id, s.receiveAudio, s.receiveVideo, s.audioSampleAccess, s.videoSampleAccess)
	else
		s.touched = true
	end
end

local get = {
	publication = function(s) return R.slot_publication(s.slot) end,
	client = value("client"),
	id = function(s)
		local client = state[s.client]
		return client and client.hex
	end,
	parameters = value("parameters"),
	audioQOS = R.qos_getter("listener", "audio"),
	videoQOS = R.qos_getter("listener", "video"),
	dataQOS = R.qos_getter("listener", "data"),
}
local set = {}
for _, name in ipairs { "receiveAudio", "receiveVideo", "audioSampleAccess", "videoSampleAccess" } do
	get[name] = value(name)
	set[name] = function(s, _, v)
		s[name] = v and true or false
		changed(s)
	end
end

R.class("listener", {
	label = "listener",
	get = get,
	set = set,
	dynamic = function(s, key) return R.view_get(s.parameters, key) end,
})

R.class("listeners", {
	label = "listeners",
	collection = {
		list = function(s) return ordered.list(s.slot.listeners) end,
		keys = function(_, list)
			local keys = {}
			for i, o in ipairs(list) do keys[i] = state[o].client end
			return keys
		end,
		count = function(s) return s.slot.listeners.n end,
		find = function(s, key)
			local raw = R.client_raw(key)
			if not raw then return nil end
			for _, o in ipairs(ordered.list(s.slot.listeners)) do
				local client = state[state[o].client]
				if client and client.raw == raw then return o end
			end
		end,
	},
	assign = R.read_only,
})

-- CLI-35. Results: path of the application that ran, nil or the text of the refusal.
function events.subscribe(info, parameters)
	local client = R.client_object(info.client)
	if not client then return nil, "client rejected" end
	local slot = R.slot(info.name)
	local s = {
		id = info.id,
		client = client,
		slot = slot,
		parameters = R.new_view(parameters),
		receiveAudio = true,
		receiveVideo = true,
		audioSampleAccess = true,
		videoSampleAccess = true,
	}
	local o = R.new("listener", s)
	local f = R.client_handler(client, state[client].app, "onSubscribe")
	local ran, refusal
	if f then
		ran = R.app_of(f)
		local ok, result = R.invoke(f, "onSubscribe", 1, client, o)
		if not ok then
			refusal = R.refusal(result, "Not authorized to play " .. info.name)
		elseif result == false then
			refusal = "Not authorized to play " .. info.name
		end
	end
	if refusal then
		R.kill(o)
		R.release_slot(slot)
		return ran, refusal
	end
	by_id[info.id] = o
	ordered.set(slot.listeners, info.id, o)
	s.accepted = true
	if s.touched then changed(s) end
	return ran, nil
end

-- LIS-07: the player told how much it buffers.
function events.buffer_time(id, ms)
	local o = by_id[id]
	if o then R.view_set(state[o].parameters, "bufferTime", ms) end
end

-- CLI-36: the listener still counts during the call.
function events.unsubscribe(id)
	local o = by_id[id]
	if not o then return nil end
	local s = state[o]
	local client = state[s.client]
	local f = client and client.app and R.client_handler(s.client, client.app, "onUnsubscribe")
	local ran = f and R.app_of(f)
	if f then R.invoke(f, "onUnsubscribe", 0, s.client, o) end
	by_id[id] = nil
	ordered.remove(s.slot.listeners, id)
	R.kill(o)
	R.release_slot(s.slot)
	return ran
end
