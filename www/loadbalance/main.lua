-- Spreads viewers: a node with enough of them sends the next one to a node it links to.
--
-- To try it, three nodes on this machine (a links to b, b to c; a and b take two viewers here):
--   cargo xtask cluster
--   ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=25 -c:v libx264 -pix_fmt yuv420p -g 50 \
--     -f flv rtmp://127.0.0.1:1935/relay/test
--   ffplay rtmp://127.0.0.1:1935/loadbalance/test      (three times)
-- The third viewer is refused with NetStream.Play.Failed; the last word of its description is the
-- host to connect to instead, 127.0.0.1:1945. Players of your own follow it, ffplay prints it:
-- play rtmp://127.0.0.1:1945/loadbalance/test. Streams come to all nodes by the application relay.

-- Key "viewers" in the section [loadbalance] of the configuration; without it, 400.
function limit()
	return tonumber(mona.configs["loadbalance.viewers"]) or 400
end

-- Of all streams of this node, whatever application they were asked through.
function viewers()
	local count = 0
	for _, publication in pairs(mona.publications) do count = count + publication.listeners.count end
	return count
end

-- The nodes that this one dialled, in turn; nil without any: the last node takes everybody.
function nextServer()
	local targets = mona.servers.targets
	if targets.count == 0 then return nil end
	turn = (turn or 0) % targets.count + 1
	return targets(turn)
end

function onSubscribe(client, listener)
	local count = viewers()
	if count < limit() then return end
	local server = nextServer()
	if not server then return end
	INFO(client.address, " is sent to ", server.host, ", ", count, " viewers are here")
	error(server.host)
end

-- RTMFP clients, once the node serves them, are spread before they connect: this node and its
-- targets take turns.
function onHandshake(address, path, properties, attempts)
	local targets = mona.servers.targets
	handshakes = (handshakes or 0) % (targets.count + 1) + 1
	if handshakes <= targets.count then return targets(handshakes) end
end
