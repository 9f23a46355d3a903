-- Introduces RTMFP clients to each other: they then talk from peer to peer, without the node.
-- And a client that may go to a busier node is sent to a linked one before it connects.
--
-- To try it:
--   cargo run --release
--   ramona probe rtmfp://127.0.0.1/rendezvous --meet anybody 60
-- The log, and the probe's line "identity", show its peer id. In another terminal:
--   ramona probe rtmfp://127.0.0.1/rendezvous --meet PEERID 10
-- prints the address that the node gives ("redirect"), and the session with the peer ("met").
-- On several nodes: cargo xtask cluster, the first one at port 1935, the second at 1945.
-- Who asks for ?elsewhere=true is sent on to the nodes that this one dials (onHandshake), not to
-- those that dial it: they would send him back.
--   ramona probe 'rtmfp://127.0.0.1:1935/rendezvous?elsewhere=true'
--
-- How it works. A node introduces the peers that are connected to it by itself. A peer that it
-- does not know may be on a linked node: onRendezVousUnknown says which nodes are asked. It is
-- a function of the root, ../main.lua, because the question names no application.

function onConnection(client)
	NOTE(client.id, " can be met, ", client.address)

	-- For applications: who is here? An array of peer ids.
	function client:peers()
		local ids = {}
		for id, other in pairs(clients) do
			if other ~= client then ids[#ids + 1] = id end
		end
		return ids
	end
end

function onDisconnection(client)
	NOTE(client.id, " is gone")
end

-- Before any client object: nothing is kept of who is sent on. Who asks a third time stays.
function onHandshake(address, path, properties, attempts)
	if properties.elsewhere and attempts < 3 then
		NOTE(address, " is sent on, attempt ", attempts)
		return mona.servers.targets
	end
end
