-- Publish and play on one node, with a log line for everybody who comes and goes.
--
-- To try it:
--   cargo run --release
--   ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=frequency=440 \
--     -c:v libx264 -pix_fmt yuv420p -g 50 -c:a aac -f flv rtmp://127.0.0.1/live/test
-- Open http://127.0.0.1:8080/live/, or: ffplay rtmp://127.0.0.1/live/test
-- (also http://127.0.0.1:8080/live/test.flv and test.ts)
-- In OBS: server rtmp://127.0.0.1/live, stream key test.

function onConnection(client)
	INFO(client.address, " connected by ", client.protocol)
	-- What http://127.0.0.1:8080/live/ shows: the page with the player.
	if client.protocol == "HTTP" then return {index = "index.html"} end
end

function onDisconnection(client)
	INFO(client.address, " left")
end

function onPublish(client, publication)
	NOTE(client.address, " publishes ", publication.name)
	-- To refuse a publisher: error("this name is not yours")
end

function onUnpublish(client, publication)
	NOTE(client.address, " ends ", publication.name)
end

function onSubscribe(client, listener)
	local publication = listener.publication
	NOTE(client.address, " plays ", publication.name, ", ", publication.listeners.count, " played it before")
end

function onUnsubscribe(client, listener)
	NOTE(client.address, " plays ", listener.publication.name, " no more")
end
