-- The root application: what it defines here is inherited by the applications in the folders
-- beside this file (live, relay, groups and others; each says on top how to try it). An application is
-- a folder with a main.lua; folders may hold further ones. The root itself serves clients too: its
-- path is empty, hence the two slashes.
--
-- To try it:
--   cargo run --release
--   ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=25 -c:v libx264 -pix_fmt yuv420p -g 50 \
--     -f flv rtmp://127.0.0.1//first
--   ffplay rtmp://127.0.0.1//first
-- Change this file while the node runs: it is loaded again within 2 s.

function onStart(path)
	-- Inherited: applications without an onStart of their own come here too.
	NOTE("application ", path == "" and "/" or path, " is ready")
end

function onServerConnection(server)
	NOTE("node ", server.host, " is linked, as ", server.isTarget and "target" or "initiator")
end

function onServerDisconnection(server, problem)
	NOTE("node ", server.host, " is gone", problem and ": " .. problem or "")
end

-- An RTMFP client seeks a peer that is not here: whoever has it introduces them. See groups and
-- rendezvous.
function onRendezVousUnknown(peerId)
	return mona.servers
end
