-- A small REST service: resources by GET, changes by POST, one of them as a file that is made on
-- the fly.
--
-- To try it:
--   cargo run --release
--   open http://localhost:8080/rest/
-- Without a browser:
--   curl 'http://localhost:8080/rest/cities'
--   curl 'http://localhost:8080/rest/city?name=Oslo'
--   curl -d 'name=Turin&people=841600' http://localhost:8080/rest/
--   curl 'http://localhost:8080/rest/cities.csv'

-- Kept as long as this file is not changed; see www/guestbook for what survives a restart.
cities = cities or { Oslo = 717710, Porto = 231800, Ghent = 265086 }

-- Names that the service keeps at most.
MOST_CITIES = 100

function names()
	local list = {}
	for name in pairs(cities) do list[#list + 1] = name end
	table.sort(list)
	return list
end

function onConnection(client)
	-- GET /rest/cities: a name without extension is a function; its result is the answer, in JSON.
	function client:cities()
		local list = {}
		for index, name in ipairs(names()) do list[index] = { name = name, people = cities[name] } end
		return list
	end

	-- GET /rest/city?name=Oslo: the query comes as a table with typed values.
	function client:city(query)
		local people = query and cities[query.name]
		if not people then
			-- An error page with this status.
			self.writer:close(404)
			return
		end
		return { name = query.name, people = people }
	end

	-- POST of a form or of a JSON object: no method is named, so it is a message.
	function client:onMessage(city)
		local name = type(city) == "table" and city.name
		local people = name and tonumber(city.people)
		if not people or tostring(name):match("^%s*$") then error("a city has a name and a number of people") end
		name = tostring(name):sub(1, 60)
		if not cities[name] and #names() >= MOST_CITIES then error("there are enough cities") end
		cities[name] = people
		NOTE(name, " has ", people, " people")
		return { name = name, people = people }
	end

	-- GET of any other name: a file, or what the script writes instead.
	function client:onRead(file)
		if file ~= "cities.csv" then return file end
		local lines = { "name,people" }
		for _, name in ipairs(names()) do
			lines[#lines + 1] = ('"%s",%d'):format(name:gsub('"', '""'), cities[name])
		end
		self.writer:writeRaw(table.concat(lines, "\n") .. "\n")
		return nil
	end

	return { index = "index.html" }
end
