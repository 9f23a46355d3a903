-- Members of a NetGroup find each other, on whatever linked node they are. The node only tells
-- them of each other: what they say goes from peer to peer.
--
-- To try it, on nodes a and b of three on this machine:
--   cargo xtask cluster
--   ramona probe rtmfp://127.0.0.1:1935/groups --group "meeting point" 60
--   ramona probe rtmfp://127.0.0.1:1945/groups --group "meeting point" 20
-- (`cargo run --release -- probe ...` does the same.) The second one prints the member on the other
-- node ("member") and the session with it ("met"), the first one who asked. One node is enough,
-- too: give both the same port.
--
-- How it works. A node tells its linked nodes who joins and leaves which group here, and makes
-- members of theirs virtual members here (mona:join), which newcomers are told like those of this
-- node. Who then seeks a member that is not here is sent on to all linked nodes
-- (onRendezVousUnknown, in ../main.lua), and the one that has it introduces both.

-- Fields of servers begin with "group", because servers are shared with other applications.

function onJoinGroup(client, group)
	NOTE(client.id, " joins ", group.id, " on this node, members here: ", group:size())
	mona.servers:broadcast("groupJoin", group.rawId, client.rawId)
end

function onUnjoinGroup(client, group)
	NOTE(client.id, " leaves ", group.id)
	mona.servers:broadcast("groupLeave", group.rawId, client.rawId)
end

-- Also called for each linked node when this file is loaded.
function onServerConnection(server)
	release(server)
	server.groupMembers = {} -- group id .. peer id -> member

	function server:groupJoin(groupId, peerId)
		local member = mona:join(groupId, peerId)
		-- An id that is none was logged.
		if not member then return end
		self.groupMembers[groupId .. peerId] = member
		NOTE(member.id, " is a member on ", self.host)
	end

	function server:groupLeave(groupId, peerId)
		local key = groupId .. peerId
		local member = self.groupMembers[key]
		if not member then return end
		NOTE(member.id, " is no member on ", self.host, " any more")
		self.groupMembers[key] = nil
		member:release()
	end

	for _, group in mona.groups:pairs() do
		for _, client in group:ipairs() do
			server:send("groupJoin", group.rawId, client.rawId)
		end
	end
end

function onServerDisconnection(server)
	release(server)
end

-- A member that nobody holds would be released as well, at the next garbage collection.
function release(server)
	for _, member in pairs(server.groupMembers or {}) do member:release() end
	server.groupMembers = nil
end
