-- QualityOfService (QOS-*): numbers that the node keeps up to date by itself.
local R = ...
local native = R.native

local get = {}
for _, name in ipairs { "byteRate", "lostRate", "latency", "congestionRate", "droppedFrames", "lastSendingTime" } do
	get[name] = function(s) return native.qos(s.source, s.id, s.kind or "", name) end
end

R.class("qos", { label = "qos", get = get })

-- The QoS object of one kind of media, remembered in the owner's state.
function R.qos_getter(source, kind)
	local field = kind .. "QOS"
	return function(s)
		if not s[field] then s[field] = R.new("qos", { source = source, id = s.id, kind = kind }) end
		return s[field]
	end
end
