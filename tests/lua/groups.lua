-- Members of a NetGroup on several nodes know each other: each node tells the others who is in
-- which group, and makes their members virtual members here.

local held = {} -- server -> group id -> client id -> member

function onRendezVousUnknown(peerId)
	return mona.servers
end

function onJoinGroup(client, group)
	NOTE("joins: ", client.id)
	mona.servers:broadcast("join", group.rawId, client.rawId)
end

function onUnjoinGroup(client, group)
	NOTE("leaves: ", client.id)
	mona.servers:broadcast("unjoin", group.rawId, client.rawId)
end

function onServerConnection(server)
	held[server] = {}
	function server:join(groupId, clientId)
		local groups = held[self]
		local member = mona:join(groupId, clientId)
		if not groups or not member then return end
		groups[groupId] = groups[groupId] or {}
		groups[groupId][clientId] = member
		NOTE("is told: ", member.id)
	end
	function server:unjoin(groupId, clientId)
		local members = held[self] and held[self][groupId]
		local member = members and members[clientId]
		if not member then return end
		member:release()
		members[clientId] = nil
		if not next(members) then held[self][groupId] = nil end
		NOTE("is told of the end")
	end
	for _, group in mona.groups:pairs() do
		for _, client in group:ipairs() do
			server:send("join", group.rawId, client.rawId)
		end
	end
end

function onServerDisconnection(server)
	for _, members in pairs(held[server] or {}) do
		for _, member in pairs(members) do member:release() end
	end
	held[server] = nil
	NOTE("released what the server had told")
end
