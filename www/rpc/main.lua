-- Calls from a page: over a WebSocket, by HTTP with JSON, and by XML-RPC.
--
-- To try it:
--   cargo run --release
--   open http://localhost:8080/rpc/
-- Without a browser:
--   curl -H 'Content-Type: application/json' -d '["add", 2, 3]' http://localhost:8080/rpc/
--   curl 'http://localhost:8080/rpc/greet?name=Ann'
-- RTMP and RTMFP clients call the same functions by NetConnection.call.

function onConnection(client)
	-- A function on the client is what the client may call; its results are the answer.
	function client:add(...)
		local sum = 0
		for _, number in ipairs({ ... }) do sum = sum + (tonumber(number) or 0) end
		return sum
	end

	function client:echo(...)
		return ...
	end

	-- The query of a GET comes as one table.
	function client:greet(who)
		local name = type(who) == "table" and who.name or who
		return "Hello, " .. tostring(name or "stranger") .. "!"
	end

	function client:now()
		return { __time = mona:time() }
	end

	function client:fails()
		error("this function always fails")
	end

	-- To everybody who stays connected to this application; a browser gets ["onNews", text] on its
	-- WebSocket. Plain HTTP cannot be told anything.
	function client:tellAll(text)
		local told = 0
		for _, other in clients:ipairs() do
			if other.protocol ~= "HTTP" then
				other.writer:writeInvocation("onNews", tostring(text))
				told = told + 1
			end
		end
		return told
	end

	INFO(client.address, " calls by ", client.protocol)
	return { index = "index.html" }
end
