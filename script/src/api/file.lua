-- `file`: one entry of a folder, as `mona:listPaths` found it (FIL-*, MON-22).
local R = ...
local native = R.native

local function value(name)
	return function(s) return s[name] end
end

R.class("file", {
	label = "file",
	get = {
		name = value("name"),
		baseName = value("base"),
		extension = value("extension"),
		size = value("size"),
		lastModified = value("modified"),
		isDirectory = value("folder"),
		isFolder = value("folder"),
		fullPath = value("path"),
		path = value("path"),
		value = value("path"),
		parent = value("parent"),
		isAbsolute = function() return true end,
	},
	text = function(s) return s.path end,
})

-- MON-22: the files and folders of `<www>/<dir>`, by name.
function R.list_paths(dir, label)
	local list = {}
	for i, entry in ipairs(native.list_paths(R.str(dir, ""), label) or {}) do
		list[i] = R.new("file", entry)
	end
	return list
end
