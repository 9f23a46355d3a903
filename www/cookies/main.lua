-- Cookies: a page that knows you again.
--
-- To try it:
--   cargo run --release
--   open http://localhost:8080/cookies/
-- Without a browser:
--   curl -i -c jar -b jar 'http://localhost:8080/cookies/remember?name=Ann'
--   curl -c jar -b jar http://localhost:8080/cookies/page.html

-- Seconds that a cookie stays: a week.
WEEK = 7 * 24 * 3600

function onConnection(client)
	-- client.properties(name, value, options) sends a cookie with the next answer; what the
	-- browser sends back is client.properties.name.
	local function keep(name, value, seconds)
		client.properties(name, value, { expires = seconds, path = path .. "/", httponly = true })
	end

	function client:remember(query)
		local name = query and tostring(query.name or ""):sub(1, 40) or ""
		if name:match("^[%w .-]+$") then
			keep("demoName", name, WEEK)
			return { name = name }
		end
		return { problem = "letters, digits, blanks, dots and dashes, please" }
	end

	function client:forget()
		-- A time in the past deletes it.
		keep("demoName", "x", -1)
		keep("demoVisits", "x", -1)
		return { forgotten = true }
	end

	-- The page is a template: <% visits %> and <% name %> are replaced.
	function client:onRead(file, query)
		if file ~= "page.html" then return file end
		local visits = (tonumber(self.properties.demoVisits) or 0) + 1
		keep("demoVisits", visits, WEEK)
		local name = self.properties.demoName
		return file, {
			greeting = name and "Welcome back, " .. tostring(name) or "Hello, stranger",
			visits = visits,
			times = visits == 1 and "time" or "times",
		}
	end

	return { index = "index.html" }
end
