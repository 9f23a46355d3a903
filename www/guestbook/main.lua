-- A guestbook that survives restarts: the persistent table `data`, and news for every open page.
--
-- To try it:
--   cargo run --release
--   open http://localhost:8080/guestbook/ in two windows; sign; stop the node, start it again.
-- Without a browser:
--   curl -H 'Content-Type: application/json' -d '["sign", "Ann", "Nice place"]' http://localhost:8080/guestbook/
--   curl http://localhost:8080/guestbook/entries

-- Entries that are kept; the oldest goes.
MOST_ENTRIES = 200

-- data.entries[number] = { name =, text =, time = }; numbers grow. Keys and numbers are strings in
-- `data`, hence tonumber.
if not data.entries then data.entries = {} end

function numbers()
	local list = {}
	for key in pairs(data.entries) do list[#list + 1] = tonumber(key) end
	table.sort(list)
	return list
end

function entry(number)
	local kept = data.entries[tostring(number)]
	return { number = number, name = kept.name, text = kept.text, time = tonumber(kept.time) }
end

function line(value, length)
	return (tostring(value or ""):gsub("%c", " "):match("^%s*(.-)%s*$"):sub(1, length))
end

function onConnection(client)
	-- The newest first.
	function client:entries()
		local list, all = {}, numbers()
		for at = #all, 1, -1 do list[#list + 1] = entry(all[at]) end
		return list
	end

	function client:sign(name, text)
		name, text = line(name, 40), line(text, 500)
		if name == "" or text == "" then error("a name and a text, please", 0) end
		local all = numbers()
		local number = (all[#all] or 0) + 1
		data.entries[tostring(number)] = { name = name, text = text, time = mona:time() }
		for at = 1, #all - MOST_ENTRIES + 1 do data.entries[tostring(all[at])] = nil end
		NOTE(name, " signed")
		-- To every page that is open, this one too.
		for _, other in clients:ipairs() do
			if other.protocol == "WebSocket" then other.writer:writeInvocation("onSigned", entry(number)) end
		end
		return number
	end

	return { index = "index.html" }
end
