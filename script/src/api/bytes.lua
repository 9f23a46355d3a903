-- ByteReader and ByteWriter: what `__readExternal` and `__writeExternal` of externalizable AMF3
-- objects get (BIO-01..03). Names and forms are those of AS3's IDataInput and IDataOutput.
local R = ...
local native = R.native
local rawget, select, type = rawget, select, type

local function reads(kind)
	return function(s) return s.read(kind) end
end

-- With a count of bytes.
local function reads_many(kind, least)
	return function(s, _, count) return s.read(kind, R.num(count, least)) end
end

R.class("bytereader", {
	label = "reader",
	methods = {
		readBoolean = reads("boolean"),
		readByte = reads("byte"),
		readUnsignedByte = reads("ubyte"),
		readShort = reads("short"),
		readUnsignedShort = reads("ushort"),
		readInt = reads("int"),
		readUnsignedInt = reads("uint"),
		readFloat = reads("float"),
		readDouble = reads("double"),
		readUTF = reads("utf"),
		readUTFBytes = reads_many("bytes", 0),
		readMultiByte = reads_many("bytes", 0),
		readBytes = reads_many("bytes", 0),
		readAMF = reads_many("amf", 1),
	},
})

local function writes(kind)
	return function(s, _, value)
		if type(value) == "boolean" then value = value and 1 or 0 end
		s.n = s.n + 1
		s.parts[s.n] = native.pack_number(kind, R.num(value, 0))
	end
end

local function writes_text(with_length)
	return function(s, _, value)
		value = R.str(value, "")
		if with_length then
			if #value > 65535 then
				native.log(4, "writer:writeUTF: " .. #value .. " bytes cut to 65535")
				value = value:sub(1, 65535)
			end
			value = native.pack_number("short", #value) .. value
		end
		s.n = s.n + 1
		s.parts[s.n] = value
	end
end

R.class("bytewriter", {
	label = "writer",
	methods = {
		writeBoolean = function(s, _, value)
			s.n = s.n + 1
			s.parts[s.n] = value and "\1" or "\0"
		end,
		writeByte = writes("byte"),
		writeShort = writes("short"),
		writeInt = writes("int"),
		writeUnsignedInt = writes("int"),
		writeFloat = writes("float"),
		writeDouble = writes("double"),
		writeUTF = writes_text(true),
		writeUTFBytes = writes_text(false),
		writeMultiByte = writes_text(false),
		writeBytes = writes_text(false),
		writeAMF = function(s, _, ...)
			for i = 1, select("#", ...) do
				s.n = s.n + 1
				s.parts[s.n] = { (select(i, ...)) }
			end
		end,
	},
})

-- Reads the body of an object; true when that went well.
function R.read_external(object, name, read)
	local f = rawget(object, "__readExternal")
	local reader = R.new("bytereader", { read = read })
	local ok = R.invoke(f, name .. ":__readExternal", 0, object, reader)
	R.kill(reader)
	return ok
end

-- The body of an object: strings, and tables that hold one AMF value; nil when that went wrong.
function R.write_external(object, name)
	local f = rawget(object, "__writeExternal")
	local s = { parts = {}, n = 0 }
	local writer = R.new("bytewriter", s)
	local ok = R.invoke(f, name .. ":__writeExternal", 0, object, writer)
	R.kill(writer)
	return ok and s.parts or nil
end
