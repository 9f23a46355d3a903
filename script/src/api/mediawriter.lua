-- `mona:createMediaWriter` (MON-29): a container file, piece by piece.
local R = ...
local native = R.native

local ERROR = 3

-- Tracks by name, or by the tag type of FLV.
local kinds = { audio = "audio", video = "video", data = "data", ["8"] = "audio", ["9"] = "video", ["18"] = "data" }

R.class("mediawriter", {
	label = "mediawriter",
	methods = {
		write = function(s, _, track, time, data)
			local kind = kinds[R.str(track)]
			time, data = R.num(time), R.str(data)
			if not kind or not time or not data then
				native.log(ERROR, "mediawriter:write needs 'audio', 'video' or 'data' (8, 9, 18), a time and bytes")
				return ""
			end
			return native.write_media(s.writer, kind, time, data)
		end,
	},
})

function R.create_media_writer(kind)
	kind = R.str(kind, "flv")
	return R.new("mediawriter", { writer = native.media_writer(kind == "mp2t") })
end
