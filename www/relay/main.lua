-- Shares publications between any number of linked nodes: what is published to this application
-- of one node can be played from every node, over as many nodes between them as it takes.
--
-- To try it, three nodes on this machine (a - b - c):
--   cargo xtask cluster
--   ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=frequency=440 \
--     -c:v libx264 -pix_fmt yuv420p -g 50 -c:a aac -f flv rtmp://127.0.0.1:1935/relay/test
--   ffplay rtmp://127.0.0.1:1955/relay/test
-- The first two are node a, the last line asks node c. Publish to c and play from a: as well.
--
-- How it works. A node offers each stream to its linked nodes, but not to the one it came from,
-- with the route of nodes it passed. A node takes a stream whose name is free there and whose
-- route has not passed it before, and offers it on; otherwise it answers "busy" and gets no
-- packets. So nothing runs in circles, whatever the links look like, and a node that loses its
-- source asks those that had offered the same name; its viewers see the stream end and start.
-- Offers come with the metadata and codec headers of the stream: a node may join, or come back,
-- in the middle of one, and shows a picture from the next key frame on.

-- Nothing in this file is a local of the file: when it is loaded again, functions of the version
-- before, still in use by links, then find the new state. Fields of servers and publications
-- begin with "relay", because these objects are shared with other applications.

-- Nodes that one stream may pass.
MOST_NODES = 16

-- Name of this node in routes; kept when this file is loaded again.
_G.relayNode = _G.relayNode or ("%.0f"):format(mona:time()) .. tostring({}):gsub("^.*:%s*", "-")

-- Name -> publication, of all streams that are shared: published here, or copies.
streams = {}

-- Number of the last offer; a link may still carry answers to an older one.
offers = mona:time()

function passed(route)
	local nodes = 0
	for node in route:gmatch("%S+") do
		if node == relayNode then return true end
		nodes = nodes + 1
	end
	return nodes >= MOST_NODES
end

-- FLV tag bodies, Enhanced RTMP included: is this what a decoder must have first?
function isVideoHeader(packet)
	local first, second = packet:byte(1, 2)
	if not second then return false end
	if first >= 128 then return first % 16 == 0 end
	local codec = first % 16
	return (codec == 7 or codec == 12) and second == 0
end

function isAudioHeader(packet)
	local first, second = packet:byte(1, 2)
	if not second then return false end
	local codec = math.floor(first / 16)
	return codec == 10 and second == 0 or codec == 9 and first % 16 == 0
end

-- To the nodes that took the stream.
function forward(publication, handler, ...)
	for server in pairs(publication.relayTo) do server:send(handler, publication.name, ...) end
end

-- These have the form of publication:onVideo and so on, and serve copies too.
function video(publication, time, packet)
	if isVideoHeader(packet) then publication.relayVideoHeader = packet end
	forward(publication, "relayVideo", time, packet)
end

function audio(publication, time, packet)
	if isAudioHeader(packet) then publication.relayAudioHeader = packet end
	forward(publication, "relayAudio", time, packet)
end

-- `packet` is the whole message, its name included.
function message(publication, name, packet)
	if name == "@setDataFrame" or name == "onMetaData" then
		publication.relayMetadata = packet
	elseif name == "@clearDataFrame" then
		publication.relayMetadata = nil
	end
	forward(publication, "relayData", name, packet)
end

function offer(server, publication)
	if not server.relayReady or server == publication.relayFrom then return end
	local name, time = publication.name, publication.lastTime
	offers = offers + 1
	publication.relayTo[server] = offers
	server:send("relayPublish", name, offers, publication.relayRoute .. " " .. relayNode)
	if publication.relayMetadata then
		server:send("relayData", name, "@setDataFrame", publication.relayMetadata)
	end
	if publication.relayVideoHeader then
		server:send("relayVideo", name, time, publication.relayVideoHeader)
	end
	if publication.relayAudioHeader then
		server:send("relayAudio", name, time, publication.relayAudioHeader)
	end
end

-- `from` and `route`: of a copy.
function share(publication, from, route)
	publication.relayFrom, publication.relayRoute, publication.relayTo = from, route or "", {}
	streams[publication.name] = publication
	for _, server in ipairs(mona.servers) do offer(server, publication) end
end

function unshare(name)
	local ended = streams[name]
	streams[name] = nil
	for _, server in ipairs(mona.servers) do
		if server.relayReady and server ~= ended.relayFrom then server:send("relayUnpublish", name) end
	end
	-- Another node may have offered the same name while it was taken here.
	for _, server in ipairs(mona.servers) do
		if server.relayOffers and server.relayOffers[name] then server:send("relayWant", name) end
	end
end

function dropCopy(name)
	NOTE("relay: ", name, " ends here")
	streams[name]:close()
	unshare(name)
end

function onPublish(client, publication)
	publication.onVideo, publication.onAudio, publication.onData = video, audio, message
	share(publication)
end

function onUnpublish(client, publication)
	if streams[publication.name] == publication then unshare(publication.name) end
end

function onServerConnection(server)
	server.relayOffers = {} -- name -> true, what this server has

	-- The other node runs this application now, or runs it anew: it knows of no stream.
	function server:relayHello(isAnswer)
		if isAnswer and self.relayReady then return end
		self.relayReady = true
		for _, publication in pairs(streams) do offer(self, publication) end
	end
	function server:relayAsk()
		self:send("relayHello", true)
	end

	-- Answers to offers.
	function server:relayBusy(name, number)
		local publication = streams[name]
		if publication and publication.relayTo[self] == number then publication.relayTo[self] = nil end
	end
	function server:relayWant(name)
		local publication = streams[name]
		if publication and not publication.relayTo[self] then offer(self, publication) end
	end

	-- Offers, and what comes with them.
	function server:relayPublish(name, number, route)
		local publication = streams[name]
		if publication and publication.relayFrom == self then return end -- it was loaded anew
		if passed(route) then
			self:send("relayBusy", name, number)
			return
		end
		self.relayOffers[name] = true
		publication = not mona.publications(name) and mona:publish(name)
		if not publication then
			INFO("relay: ", name, " of ", self.host, " not taken, the name runs here already")
			self:send("relayBusy", name, number)
			return
		end
		NOTE("relay: ", name, " comes from ", self.host)
		share(publication, self, route)
	end
	function server:relayUnpublish(name)
		self.relayOffers[name] = nil
		local publication = streams[name]
		if publication and publication.relayFrom == self then dropCopy(name) end
	end
	function server:relayVideo(name, time, packet)
		local publication = streams[name]
		if not publication or publication.relayFrom ~= self then return end
		publication:pushVideo(packet, time)
		video(publication, time, packet)
	end
	function server:relayAudio(name, time, packet)
		local publication = streams[name]
		if not publication or publication.relayFrom ~= self then return end
		publication:pushAudio(packet, time)
		audio(publication, time, packet)
	end
	function server:relayData(name, dataName, packet)
		local publication = streams[name]
		if not publication or publication.relayFrom ~= self then return end
		publication:pushData(packet)
		message(publication, dataName, packet)
	end

	-- Whichever of the two nodes loads this application last, one of these arrives.
	server:send("relayHello")
	server:send("relayAsk")
end

-- A link ended, or this file is about to be loaded again.
function onServerDisconnection(server)
	server.relayReady = nil
	for name, publication in pairs(streams) do
		publication.relayTo[server] = nil
		if publication.relayFrom == server then dropCopy(name) end
	end
end

-- Loaded again: its publishers are still connected.
for name, publication in pairs(mona.publications) do
	local publisher = publication.publisherId and mona.clients(publication.publisherId)
	if publisher and publisher.path == path then onPublish(publisher, publication) end
end
