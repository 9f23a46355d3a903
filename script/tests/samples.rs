//! SMP-*, DEF-*: the scalability scripts, with the same calls as their originals.

mod common;

use bytes::Bytes;
use common::*;
use ramona_amf::Value;
use ramona_media::{MediaFrame, MediaKind};
use ramona_script::*;

#[test]
fn smp_01_a_target_is_announced() {
    let mut node = Node::root(
        "function onServerConnection(peer)
            if peer.isTarget then
                NOTE(\"Target gotten : \", peer.address, \" (\", peer.host, \" for clients)\")
            end
        end",
    );
    let info = ServerInfo { host: "www.hostB.com".into(), ..node.server(2, true) };
    node.engine.server_up(info).unwrap();
    node.link(3, false).unwrap();
    assert_eq!(node.notes(), ["Target gotten : 192.168.0.2 (www.hostB.com for clients)"]);
    node.quiet();
}

#[test]
fn smp_02_an_initiator_is_no_target() {
    let mut node = Node::root("function onServerConnection(peer)\n NOTE(peer.isTarget)\nend");
    node.link(1, false).unwrap();
    assert_eq!(node.notes(), ["false"]);
    node.quiet();
}

#[test]
fn smp_03_the_configuration_is_visible() {
    let mut node = Node::with_entries(
        &[(
            "",
            "NOTE(mona.configs.host == 'www.myhost.com:1935', ' ', mona.configs.servers.targets)",
        )],
        &[
            ("host", "www.myhost.com:1935"),
            ("servers.targets", "192.168.0.2:1936?type=master;192.168.0.3:1936"),
        ],
    );
    node.engine.start();
    assert_eq!(node.notes(), ["true 192.168.0.2:1936?type=master;192.168.0.3:1936"]);
}

#[test]
fn smp_04_the_property_of_a_target_is_seen_for_it_alone() {
    let mut node = Node::root(
        "function onServerConnection(peer)
            if peer.type==\"master\" then NOTE(\"Master server connected\") end
        end
        function onServerDisconnection(peer)
            if peer.type==\"master\" then NOTE(\"Master server disconnected\") end
        end",
    );
    let properties = vec![("type".to_owned(), "master".to_owned())];
    let master = ServerInfo { properties, configs: Vec::new(), ..node.server(2, true) };
    node.engine.server_up(master).unwrap();
    node.link(3, true).unwrap();
    node.engine.server_down(ServerId(3), None);
    node.engine.server_down(ServerId(2), None);
    assert_eq!(node.notes(), ["Master server connected", "Master server disconnected"]);
    node.quiet();
}

#[test]
fn smp_05_and_def_01_and_02_strangers_are_refused_with_the_whole_text() {
    let mut node = Node::root(
        "function onServerConnection(peer)
            if peer.address is not \"127.0.0.1\" then
                error(peer.address, \" is trying to connect to the server => rejected\")
            end
        end",
    );
    assert_eq!(node.warnings().len(), 1);
    let text = "10.0.0.9 is trying to connect to the server => rejected";
    let stranger = ServerInfo { ip: "10.0.0.9".into(), ..node.server(1, false) };
    assert_eq!(node.engine.server_up(stranger), Err(text.into()));
    let local = ServerInfo { ip: "127.0.0.1".into(), ..node.server(2, false) };
    node.engine.server_up(local).unwrap();
    let errors = node.errors();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].ends_with(text), "{errors:?}");
}

const NAMES: &str = "
    function onServerConnection(peer)
        function peer:onHello(name)
            self.name = name
        end
        peer:send(\"onHello\",\"MonaServer A\")
    end

    for index,peer in mona.servers:ipairs() do
        NOTE(\"Server '\"..peer.name..\"' at address \"..peer.address)
    end";

#[test]
fn smp_06_and_def_03_names_are_exchanged() {
    let mut node = Node::root(NAMES);
    node.link(1, true).unwrap();
    assert_eq!(node.sent(), [(1, "onHello".into(), vec![text("MonaServer A")])]);
    node.server_call(1, "onHello", &[text("MonaServer B")]);
    node.file("www/main.lua", NAMES);
    node.tick();
    assert_eq!(node.notes(), ["Server 'MonaServer B' at address 192.168.0.1"]);
    node.quiet();
    // A server without a name while the chunk runs: an ordinary load failure.
    node.link(2, true).unwrap();
    node.file("www/main.lua", NAMES);
    node.tick();
    let errors = node.errors();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("field 'name'"), "{errors:?}");
}

const RELAY: &str = r#"
_nextServer = nil
_subscribers = 0

function onConnection(client,...)
    INFO("Connection of a new client on ", mona.configs["host"])

    function client:onPublish(stream)
        if _nextServer then _nextServer:send("publish", stream.name) end

        function stream:onVideo(time, packet)
            if not _nextServer then return end
            _nextServer:send("video", stream.name, time, packet)
        end
        function stream:onAudio(time, packet)
            if not _nextServer then return end
            _nextServer:send("audio", stream.name, time, packet)
        end
        function stream:onData(name, packet)
            INFO("onData : ", name, " - ", packet)
            if not _nextServer then return end
            _nextServer:send("data", stream.name, name, packet)
        end
    end

    function client:onUnpublish(stream)
        if _nextServer then _nextServer:send("unpublish",stream.name) end
    end

    function client:onSubscribe(listener)
        INFO("Subscription of client ", client.address, " (_subscribers=", _subscribers, ")")
        if _nextServer and _subscribers>=400 then error(_nextServer.host) end
        _subscribers = _subscribers + 1
    end

    function client:onUnsubscribe(listener)
        _subscribers = _subscribers - 1
    end
end

function onServerConnection(server)
    if server.isTarget then
        if _nextServer then error("following server already connected") end
        _nextServer = server
        for id,stream in pairs(mona.publications) do
            _nextServer:send("publish",stream.name)
        end
    else
        server.publications = {}
        function server:publish(name)
            self.publications[name] = mona:publish(name)
        end
        function server:unpublish(name)
            local stream = self.publications[name]
            if stream then stream:close() end
            self.publications[name] = nil
        end
        function server:video(name, time, packet)
            local stream = self.publications[name]
            if stream then stream:pushVideo(packet, time) end
        end
        function server:audio(name, time, packet)
            local stream = self.publications[name]
            if stream then stream:pushAudio(packet, time) end
        end
        function server:data(name, dataname, packet)
            local stream = self.publications[name]
            if stream then stream:pushData(packet) end
        end
    end
end

function onServerDisconnection(server)
    if server.isTarget then
        _nextServer = nil
        return
    end
    for id,stream in pairs(server.publications) do
        stream:close()
    end
end
"#;

/// Carries what one node sent over to the other.
fn carry(from: &Node, to: &mut Node, link: u64) {
    for asked in from.asked() {
        if let Asked::Send { handler, args, .. } = asked {
            to.engine.server_call(ServerId(link), handler.as_bytes(), &args);
        }
    }
}

#[test]
fn smp_07_the_relay_carries_every_packet_and_redirects_the_401st_player() {
    let (mut a, mut b) = (Node::root(RELAY), Node::root(RELAY));
    a.connect(1).unwrap();
    // A publication that runs before the link is told when it comes up.
    a.publish(1, 5, "live").unwrap();
    a.asked();
    b.asked();
    b.link(1, false).unwrap();
    a.link(1, true).unwrap();
    carry(&a, &mut b, 1);
    assert_eq!(b.asked(), [Asked::Publish { name: "live".into(), record: false }]);

    let audio = MediaFrame::new(MediaKind::Audio, 21, Bytes::from_static(b"\xAF\x01\x00\xFF"));
    // What is pushed as data has no time of its own: it is at the media before it.
    let data = MediaFrame::new(MediaKind::Data, 21, amf0(&[text("f"), number(1.0)]).into());
    let frames = [video(20, b"\x17\x01\0\0\0\xFE"), audio, data, video(40, b"\x27\x01\0\0\0")];
    a.engine.media(PublicationId(5), &frames);
    carry(&a, &mut b, 1);
    let copies: Vec<_> = b
        .frames()
        .into_iter()
        .map(|frame| (frame.kind, frame.timestamp_ms, frame.payload))
        .collect();
    let originals: Vec<_> =
        frames.iter().map(|f| (f.kind, f.timestamp_ms, f.payload.clone())).collect();
    assert_eq!(copies, originals);

    // 400 players stay, the next is sent on: the host is the last word of the description.
    for number in 1..=400 {
        a.subscribe(1, number, "live").unwrap();
    }
    let Err(Refusal::Rejected(text)) = a.subscribe(1, 401, "live") else { panic!() };
    assert_eq!(text, "www.host1.com");
    for number in 1..=400 {
        a.engine.unsubscribe(ListenerId(number));
    }
    a.subscribe(1, 500, "live").unwrap();

    // The publisher leaves, and its copy too.
    a.engine.unpublish(PublicationId(5));
    carry(&a, &mut b, 1);
    assert_eq!(b.asked(), [Asked::Close { publication: 1_000, status: None }]);
    assert_eq!(a.errors().len(), 1, "the refusal");
    b.quiet();
}

#[test]
fn smp_07_and_def_04_a_second_target_is_refused_and_the_first_stays() {
    let mut a = Node::root(RELAY);
    a.link(1, true).unwrap();
    assert_eq!(a.link(2, true), Err("following server already connected".into()));
    a.engine.server_down(ServerId(2), None);
    a.connect(1).unwrap();
    a.asked();
    a.publish(1, 5, "live").unwrap();
    assert_eq!(a.sent().len(), 1, "the first target still gets the name");
    // After its end the next target takes its place.
    a.engine.server_down(ServerId(1), None);
    a.link(3, true).unwrap();
    assert_eq!(a.sent(), [(3, "publish".into(), vec![text("live")])]);
}

#[test]
fn smp_07_the_copies_of_a_lost_server_are_closed() {
    let mut b = Node::root(RELAY);
    b.link(1, false).unwrap();
    b.server_call(1, "publish", &[text("x")]);
    b.server_call(1, "publish", &[text("y")]);
    b.server_call(1, "video", &[text("none"), number(1.0), text("p")]);
    b.engine.server_down(ServerId(1), Some(b"reset"));
    let closed = b.asked().iter().filter(|asked| matches!(asked, Asked::Close { .. })).count();
    assert_eq!(closed, 2);
    b.quiet();
}

#[test]
fn def_15_a_name_that_runs_on_b_is_one_log_line() {
    let mut b = Node::root(RELAY);
    b.connect(1).unwrap();
    b.publish(1, 5, "x").unwrap();
    b.host.taken.borrow_mut().insert("x".into());
    b.link(1, false).unwrap();
    b.server_call(1, "publish", &[text("x")]);
    b.server_call(1, "video", &[text("x"), number(1.0), text("p")]);
    assert_eq!(b.errors(), ["mona:publish: x is already publishing"]);
    assert!(b.frames().is_empty());
}

/// The original, whose loops and locals are as they are (DEF-05..09).
const GROUPS: &str = r#"
function onRendezVousUnknown(peerId)
    return mona.servers
end
function onJoinGroup(client,group)
    mona.servers:broadcast("join",group.rawId,client.rawId)
end
function onUnjoinGroup(client,group)
    mona.servers:broadcast("unjoin",group.rawId,client.rawId)
end
function onServerConnection(server)
    for id,group in mona.groups:pairs() do
        for i,client in mona.groups:ipairs() do
            server:send("join",group.rawId,client.rawId)
        end
    end
    server.groups = {}
    function server:join(groupId,clientId)
        local member = mona:join(groupId,clientId)
        if not member then return end
        local group = self.groups[groupId]
        if not group then self.groups[groupId] = {size=0} end
        group.size = group.size + 1
        group[clientId] = member
    end
    function server:unjoin(groupId,clientId)
        if not group then return end
        local member = group[clientId]
        if member then
            member:release()
            group[clientId] = nil
            group.size = group.size - 1
        end
        if group.size==0 then self.groups[groupId]=nil end
    end
end
function onServerDisconnection(server)
    for id,group in pairs(server.groups) do
        for id,member in pairs(group) do
            if id ~= "size" then member:release() end
        end
    end
end
"#;

fn id(byte: u8) -> Value {
    Value::String(Bytes::copy_from_slice(&[byte; 32]))
}

#[test]
fn smp_12_the_original_logs_its_errors_and_keeps_the_link() {
    let mut node = Node::root(GROUPS);
    node.connect(1).unwrap();
    node.link(1, true).unwrap();
    node.asked();
    node.engine.join_group(ClientId(1), [7; 32]);
    let sent = node.sent();
    assert_eq!((sent[0].0, sent[0].1.as_str(), &sent[0].2[0]), (1, "join", &id(7)));
    // DEF-06: the first member of each group is lost, with an ERROR.
    node.server_call(1, "join", &[id(8), id(9)]);
    let errors = node.errors();
    assert!(errors[0].contains("attempt to index local 'group'"), "{errors:?}");
    node.server_call(1, "unjoin", &[id(8), id(9)]);
    node.quiet();
    // DEF-05: pairs of group ids are sent; a receiver refuses those with equal ids (MON-11).
    node.link(2, false).unwrap();
    let sent = node.sent();
    assert!(!sent.is_empty() && sent.iter().all(|call| call.1 == "join"));
    node.server_call(1, "join", &[id(8), id(8)]);
    assert_eq!(node.errors().len(), 1);
    node.engine.server_down(ServerId(1), None);
    node.quiet();
    node.engine.unjoin_group(ClientId(1), [7; 32]);
    assert_eq!(node.sent()[0].1, "unjoin");
}

#[test]
fn smp_12_and_def_05_to_09_the_corrected_sharing_keeps_and_releases_members() {
    let corrected = GROUPS
        .replace("for i,client in mona.groups:ipairs()", "for i,client in group:ipairs()")
        .replace(
            "if not group then self.groups[groupId] = {size=0} end\n        group.size = group.size + 1",
            "if not group then group = {size=0} self.groups[groupId] = group end
             if not group[clientId] then group.size = group.size + 1 end",
        )
        .replace(
            "if not group then return end\n        local member",
            "local group = self.groups[groupId] if not group then return end\n        local member",
        )
        .replace("pairs(server.groups)", "pairs(server.groups or {})");
    let mut node = Node::root(&format!(
        "{corrected} function onManage() collectgarbage() collectgarbage() NOTE(#mona.groups) end"
    ));
    node.connect(1).unwrap();
    node.engine.join_group(ClientId(1), [7; 32]);
    node.link(1, true).unwrap();
    let client = Value::String(Bytes::copy_from_slice(&node.client(1).raw_id));
    assert_eq!(node.sent(), [(1, "join".into(), vec![id(7), client])]);
    node.server_call(1, "join", &[id(8), id(9)]);
    node.server_call(1, "join", &[id(8), id(10)]);
    node.engine.tick();
    node.server_call(1, "unjoin", &[id(8), id(9)]);
    node.engine.tick();
    node.engine.server_down(ServerId(1), None);
    node.engine.tick();
    assert_eq!(node.notes(), ["2", "2", "1"]);
    let told: Vec<_> = node
        .asked()
        .into_iter()
        .filter_map(|asked| match asked {
            Asked::Group { peer, member, .. } => Some((peer[0], member)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(9, true), (10, true), (9, false), (10, false)]);
    node.quiet();
}

#[test]
fn smp_09_the_script_of_the_rotation_loads_and_finds_servers_by_number() {
    let mut node = Node::root(
        "index=0
         function onHandshake(address,path,properties,attempts)
            index=index+1
            if index > mona.servers.count then index=1 end
            return mona.servers(index)
         end
         function onManage() for i = 1, 4 do local s = onHandshake() NOTE(s and s.address) end end",
    );
    node.link(1, true).unwrap();
    node.link(2, true).unwrap();
    node.engine.tick();
    let (one, two) = ("192.168.0.1", "192.168.0.2");
    assert_eq!(node.notes(), [one, two, one, two]);
}
