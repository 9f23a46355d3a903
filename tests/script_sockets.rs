//! Sockets of scripts against real ones, and blocked addresses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use ramona_testkit::wait::until_some;
use ramona_testkit::{ClientOptions, RtmpClient, Stage, TestNode, free_port};

async fn node(script: &str) -> TestNode {
    TestNode::builder("N").www("main.lua", script).start().await
}

/// What the script noted behind a word.
async fn noted(node: &TestNode, word: &str) -> String {
    let line = node.logged(&["NOTE", word]).await;
    let text = line.split(word).nth(1).expect("a text");
    text.split(" file=").next().unwrap_or(text).trim().to_owned()
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream
}

#[tokio::test]
async fn tcs_01_and_02_a_server_echoes_and_starts_once() {
    let node = node(
        r#"
        server = mona:createTCPServer()
        function server:onConnection(client)
            NOTE("peer ", client.peerAddress, " ", client.connected, " ", client.address == server.address)
            function client:onData(data) self:send(data) end
            function client:onDisconnection(peer, problem) NOTE("gone ", peer, " ", problem) end
        end
        NOTE("first ", server.running, server:start("127.0.0.1", 0), server.running)
        NOTE("address ", server.address)
        NOTE("again ", server:start("127.0.0.1:0"))
        local other = mona:createTCPServer()
        NOTE("taken ", other:start("nonsense.invalid:1"), other.running)
        "#,
    )
    .await;
    assert_eq!(noted(&node, "first ").await, "falsetruetrue");
    assert_eq!(noted(&node, "again ").await, "true");
    assert_eq!(noted(&node, "taken ").await, "falsefalse");
    node.logged(&["ERROR", "TCPServer:start"]).await;
    let address = noted(&node, "address ").await;
    let mut stream = patient(TcpStream::connect(&address).expect("it listens"));
    let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut writer = stream.try_clone().expect("a clone");
    let copy = sent.clone();
    let writing = std::thread::spawn(move || writer.write_all(&copy).expect("it reads"));
    let mut got = vec![0; sent.len()];
    let (stream, got) = tokio::task::spawn_blocking(move || {
        stream.read_exact(&mut got).expect("it answers");
        (stream, got)
    })
    .await
    .expect("no panic");
    writing.join().expect("no panic");
    assert!(got == sent);
    let own = stream.local_addr().expect("an address").to_string();
    assert_eq!(noted(&node, "peer ").await, format!("{own} true true"));
    drop(stream);
    assert_eq!(noted(&node, "gone ").await, format!("{own} (null)"));
}

#[tokio::test]
async fn tcc_01_to_05_a_client_connects_keeps_bytes_and_ends_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let node = node(&format!(
        r#"
        tcp = mona:createTCPClient()
        NOTE("before ", tcp.connected, tcp.peerAddress, tcp.error, type(tcp.idleTime))
        function tcp:onData(data)
            NOTE("data <", data, "> ", self.connected, " ", self.peerAddress)
            if data == "half" then return #data end
            if data == "abcd" then return 2 end
            if data == "cdef" then return data.length end
            if data == "bye" then self:disconnect() end
        end
        function tcp:onDisconnection(peer, problem)
            NOTE("ended ", peer, " ", problem, " ", self.connected, " ", self.peerAddress)
        end
        NOTE("connect ", tcp:connect("127.0.0.1", {port}))
        NOTE("twice ", tcp:connect("127.0.0.1", {port}))
        NOTE("send ", tcp:send("hello"))
        NOTE("bad ", mona:createTCPClient():connect("127.0.0.1:port"))
        "#
    ))
    .await;
    assert_eq!(noted(&node, "before ").await, "false(null)(null)number");
    assert_eq!(noted(&node, "connect ").await, "");
    assert_eq!(noted(&node, "twice ").await, "connected or connecting already");
    assert_eq!(noted(&node, "send ").await, "");
    assert!(noted(&node, "bad ").await.contains("no port"));
    let accepted = tokio::task::spawn_blocking(move || listener.accept().expect("it connects"));
    let mut stream = patient(accepted.await.expect("no panic").0);
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).expect("what was sent before the connection");
    assert_eq!(&hello, b"hello");
    let peer = format!("127.0.0.1:{port}");
    for (send, sees) in [
        ("half", "half"),
        ("moon", "halfmoon"),
        ("abcd", "abcd"),
        ("ef", "cdef"),
        ("x", "x"),
        ("bye", "bye"),
    ] {
        stream.write_all(send.as_bytes()).expect("it reads");
        assert_eq!(noted(&node, &format!("data <{sees}> ")).await, format!("true {peer}"));
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an orderly end");
    assert_eq!(noted(&node, "ended ").await, format!("{peer} (null) false (null)"));
    assert_eq!(node.count_logged(&["NOTE", "ended "]), 1);
}

#[tokio::test]
async fn tcs_01_and_udp_01_and_03_a_port_that_a_script_closed_is_free_in_the_same_handler() {
    let node = node(
        r#"
        server, udp = mona:createTCPServer(), mona:createUDPSocket()
        function server:onConnection(client) client:send("hello") end
        function udp:onPacket(data, address) NOTE("packet ", data) end
        server:start("127.0.0.1", 0) udp:bind("127.0.0.1", 0)
        local tcp_at, udp_at = server.address, udp.address
        server:stop() udp:close()
        NOTE("closed ", server.running, server.address, udp.address)
        NOTE("tcp ", server:start(tcp_at), " ", server.running, " ", server.address == tcp_at)
        NOTE("udp ", udp:bind(udp_at), " ", udp.address == udp_at)
        NOTE("bound again ", udp:bind(udp_at), " ", udp.address == udp_at)
        -- On every address, with the same port.
        NOTE("moved ", server:start(tcp_at:match("%d+$")), " ", server.address)
        NOTE("at ", server.address:match("%d+$"), " ", udp_at)
        "#,
    )
    .await;
    assert_eq!(noted(&node, "closed ").await, "false(null)(null)");
    assert_eq!(noted(&node, "tcp ").await, "true true true");
    assert_eq!(noted(&node, "udp ").await, "(null) true");
    assert_eq!(noted(&node, "bound again ").await, "(null) true");
    assert!(noted(&node, "moved ").await.starts_with("true 0.0.0.0:"));
    let at = noted(&node, "at ").await;
    let (port, udp) = at.split_once(' ').expect("two addresses");
    let mut stream = patient(TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens"));
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).expect("the server of now accepts");
    assert_eq!(&hello, b"hello");
    UdpSocket::bind("127.0.0.1:0").expect("a port").send_to(b"one", udp).expect("it is sent");
    node.logged(&["NOTE", "packet one"]).await;
}

#[tokio::test]
async fn env_09_and_gen_18_a_script_that_is_loaded_again_opens_its_ports_again() {
    let script = |version: u32, port: u16| {
        format!(
            r#"
            version = {version}
            server, udp = mona:createTCPServer(), mona:createUDPSocket()
            function server:onConnection(client)
                function client:onData(data) self:send(data .. version) end
            end
            function udp:onPacket(data) NOTE("packet of ", version) end
            NOTE("open ", version, " ", server:start("127.0.0.1", {port}), " ", udp:bind("127.0.0.1", {port}))
            "#
        )
    };
    let port = free_port();
    let node = node(&script(1, port)).await;
    node.logged(&["NOTE", "open 1 true "]).await;
    let mut old = patient(TcpStream::connect(("127.0.0.1", port)).expect("it listens"));
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"v").expect("it reads");
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).expect("it answers");
        answer
    };
    assert_eq!(&ask(&mut old), b"v1");
    node.write_www("main.lua", &format!("{}-- another length", script(2, port)));
    node.logged(&["NOTE", "open 2 true "]).await;
    let mut new = patient(TcpStream::connect(("127.0.0.1", port)).expect("it listens"));
    assert_eq!(&ask(&mut new), b"v2");
    // Who was connected stays, with the functions of the old version and the globals of now.
    assert_eq!(&ask(&mut old), b"v2");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.send_to(b"x", ("127.0.0.1", port)).expect("it is sent");
    node.logged(&["NOTE", "packet of 2"]).await;
}

#[tokio::test]
async fn tcc_01_and_udp_01_a_port_alone_is_one_of_this_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
    peer.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let udp = peer.local_addr().expect("an address").port();
    let node = node(&format!(
        r#"
        tcp, udp = mona:createTCPClient(), mona:createUDPSocket()
        function tcp:onData(data) NOTE("from ", self.peerAddress, " ", self.idleTime < 60000) end
        NOTE("tcp ", tcp:connect({port}), tcp:connect(nil, {port}))
        NOTE("udp ", udp:connect("{udp}"), " ", udp.peerAddress, udp:send("a"), udp:send("b", {udp}))
        "#
    ))
    .await;
    assert_eq!(noted(&node, "tcp ").await, "(null)connected or connecting already");
    assert_eq!(noted(&node, "udp ").await, format!("(null) 127.0.0.1:{udp}(null)(null)"));
    let mut stream = listener.accept().expect("it connects").0;
    stream.write_all(b"x").expect("it reads");
    assert_eq!(noted(&node, "from ").await, format!("127.0.0.1:{port} true"));
    let mut buffer = [0; 10];
    for text in ["a", "b"] {
        let length = peer.recv(&mut buffer).expect("a datagram");
        assert_eq!(&buffer[..length], text.as_bytes());
    }
}

#[tokio::test]
async fn tcc_01_and_05_a_refused_port_comes_to_on_disconnection_with_its_error() {
    let script = format!(
        r#"
        tcp = mona:createTCPClient()
        function tcp:onDisconnection(peer, problem) NOTE("end ", problem == self.error, " ", problem) end
        tcp:connect({})
        "#,
        free_port()
    );
    let node = node(&script).await;
    let told = noted(&node, "end ").await;
    assert!(told.starts_with("true ") && told.contains("refused"), "{told}");
}

#[tokio::test]
async fn def_24_and_25_older_names_work_and_a_nil_keeps_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let node = node(&format!(
        r#"
        tcp, udp = mona:createTCPClient(), mona:createUDPSocket()
        function tcp:onReception(data) NOTE("tcp <", data, ">") return data.length end
        function udp:onReception(data, address) NOTE("udp <", data, ">") end
        tcp:connect("127.0.0.1", {port})
        udp:bind("127.0.0.1", 0)
        NOTE("at ", udp.address)
        "#
    ))
    .await;
    let mut stream = listener.accept().expect("it connects").0;
    for text in ["one", "two"] {
        stream.write_all(text.as_bytes()).expect("it reads");
        node.logged(&["NOTE", &format!("tcp <{text}>")]).await;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.send_to(b"three", noted(&node, "at ").await).expect("it is sent");
    node.logged(&["NOTE", "udp <three>"]).await;
}

#[tokio::test]
async fn udp_01_to_04_datagrams_come_and_go() {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
    peer.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let address = peer.local_addr().expect("an address");
    let node = node(&format!(
        r#"
        udp = mona:createUDPSocket()
        function udp:onPacket(data, address)
            NOTE("packet ", #data, " ", address)
            if data == "echo" then self:send(data, address) end
        end
        NOTE("unset ", udp.peerAddress, udp:send("x"))
        NOTE("bind ", udp:bind("127.0.0.1", 0))
        NOTE("own ", udp.address)
        local second = mona:createUDPSocket()
        NOTE("used ", second:bind("{address}"))
        NOTE("connected ", udp:connect("{address}"), udp.peerAddress)
        NOTE("sent ", udp:send("to the peer"))
        udp:disconnect()
        NOTE("after ", udp.peerAddress)
        NOTE("direct ", udp:send("direct", "{address}"))
        third = mona:createUDPSocket(true)
        NOTE("third ", third:send("unbound", "127.0.0.1", {}), third.address ~= nil)
        "#,
        address.port()
    ))
    .await;
    assert_eq!(noted(&node, "unset ").await, "(null)not connected: an address is needed");
    assert_eq!(noted(&node, "bind ").await, "");
    assert!(noted(&node, "used ").await.contains("in use"));
    assert_eq!(noted(&node, "connected ").await, format!("(null){address}"));
    assert_eq!(noted(&node, "after ").await, "(null)");
    assert_eq!(noted(&node, "third ").await, "(null)true");
    let mut buffer = [0; 100];
    for text in ["to the peer", "direct", "unbound"] {
        let length = peer.recv(&mut buffer).expect("a datagram");
        assert_eq!(&buffer[..length], text.as_bytes());
    }
    let own = noted(&node, "own ").await;
    peer.send_to(b"echo", &own).expect("it is sent");
    let length = peer.recv(&mut buffer).expect("an answer");
    assert_eq!(&buffer[..length], b"echo");
    assert_eq!(noted(&node, "packet 4 ").await, address.to_string());
}

#[tokio::test]
async fn gen_18_sockets_that_a_script_drops_are_closed() {
    let node = node(
        r#"
        local server = mona:createTCPServer()
        server:start("127.0.0.1", 0)
        NOTE("at ", server.address)
        function onConnection(client)
            function client:drop() server = nil collectgarbage() collectgarbage() return true end
        end
        "#,
    )
    .await;
    let address = noted(&node, "at ").await;
    TcpStream::connect(&address).expect("it listens");
    let client = RtmpClient::connect(node.rtmp(), "").await;
    client.call("drop", &[]).await.expect("it answers");
    until_some("the port to be closed", || TcpStream::connect(&address).err()).await;
}

#[tokio::test]
async fn bounds_of_sockets_are_errors_and_the_node_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let node = node(&format!(
        r#"
        tcp = mona:createTCPClient()
        tcp:connect("127.0.0.1", {port})
        local text
        for i = 1, 100 do text = text or tcp:send(("x"):rep(1000000)) end
        NOTE("full ", text)
        local all, problem = {{}}, nil
        for i = 1, 2000 do
            all[i] = mona:createUDPSocket()
            problem = problem or all[i]:bind("127.0.0.1", 0)
        end
        NOTE("many ", problem)
        for _, udp in ipairs(all) do udp:close() end
        NOTE("back ", mona:createUDPSocket():bind("127.0.0.1", 0))
        "#
    ))
    .await;
    assert!(noted(&node, "full ").await.starts_with("send queue is full"));
    let many = noted(&node, "many ").await;
    assert!(many.starts_with("1024 sockets are open") || many.contains("Too many open"), "{many}");
    assert_eq!(noted(&node, "back ").await, "");
    Stage::on(&node).await.assert_untouched(&node).await;
}

#[tokio::test]
async fn mon_24_a_blocked_address_cannot_connect_and_open_sessions_stay() {
    let node = node(
        r#"
        udp = mona:createUDPSocket()
        function udp:onPacket(data) NOTE("packet ", data) end
        udp:bind("127.0.0.1", 0)
        NOTE("at ", udp.address)
        function onConnection(client)
            function client:block(block)
                if block then mona:addToBlacklist("nonsense", "127.0.0.1", mona:createIPAddress("10.0.0.1"))
                else mona:removeFromBlacklist("127.0.0.1") end
                return true
            end
        end
        "#,
    )
    .await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let mut stage = Stage::on(&node).await;
    client.call("block", &[true.into()]).await.expect("it answers");
    node.logged(&["ERROR", "mona:addToBlacklist: 'nonsense' is no address"]).await;
    let mark = node.log_mark();
    RtmpClient::open(node.rtmp(), "", ClientOptions::default()).await.closed().await;
    node.logged_since(mark, &["INFO", "connection dropped: the address is blacklisted"]).await;
    let mut web = patient(TcpStream::connect(node.http()).expect("the port is open"));
    let _ = web.write_all(b"GET /health HTTP/1.0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = web.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    stage.assert_untouched(&node).await;
    let (socket, at) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), noted(&node, "at ").await);
    let dropped = node.sample("ramona_blacklisted_total");
    socket.send_to(b"blocked", &at).expect("it is sent");
    ramona_testkit::wait::until("the datagram to be dropped", || {
        node.sample("ramona_blacklisted_total") > dropped
    })
    .await;
    client.call("block", &[false.into()]).await.expect("it answers");
    RtmpClient::connect(node.rtmp(), "").await;
    socket.send_to(b"welcome", &at).expect("it is sent");
    node.logged(&["NOTE", "packet welcome"]).await;
    assert!(!node.has_logged(&["NOTE", "packet blocked"]));
}

#[tokio::test]
async fn messages_of_one_byte_count_for_what_they_cost_and_empty_ones_are_none() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let node = node(&format!(
        r#"
        tcp = mona:createTCPClient()
        tcp:connect("127.0.0.1", {port})
        for i = 1, 1e6 do assert(tcp:send("") == nil) end
        local count = 0
        while not tcp:send("x") do count = count + 1 end
        NOTE("taken ", count)
        "#
    ))
    .await;
    assert_eq!(noted(&node, "taken ").await, ((8 << 20) / 65).to_string());
    assert!(node.sample("ramona_socket_refused_total") >= 1.0);
}

const SINK: &str = r#"
    server = mona:createTCPServer()
    function server:onConnection(client)
        function client:onData(data)
            if data == "give" then self:send(("y"):rep(1000000)) return 0 end
            return #data
        end
        function client:onDisconnection(peer, problem) NOTE("ended ", problem) end
    end
    server:start("127.0.0.1", 0)
    NOTE("at ", server.address)
    function onConnection(client)
        function client:open() return mona:createUDPSocket():bind("127.0.0.1", 0) == nil end
    end
"#;

#[tokio::test]
async fn a_peer_that_ends_its_half_gets_what_was_sent_to_it() {
    let node = node(SINK).await;
    let address = noted(&node, "at ").await;
    let mut stream = patient(TcpStream::connect(&address).expect("it listens"));
    stream.write_all(b"give").expect("it reads");
    stream.shutdown(std::net::Shutdown::Write).expect("half of it ends");
    let got = tokio::task::spawn_blocking(move || {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).map(|_| got)
    });
    let got = got.await.expect("no panic").expect("an orderly end");
    assert_eq!(got.len(), 1_000_000);
    assert_eq!(noted(&node, "ended ").await, "(null)");
}

#[tokio::test]
async fn a_line_without_end_closes_its_connection_only() {
    let node = node(SINK).await;
    let address = noted(&node, "at ").await;
    let mut other = patient(TcpStream::connect(&address).expect("it listens"));
    let mut endless = patient(TcpStream::connect(&address).expect("it listens"));
    let flood = tokio::task::spawn_blocking(move || {
        let part = vec![b'x'; 1 << 16];
        let mut sent = 0;
        while endless.write_all(&part).is_ok() {
            sent += part.len();
            assert!(sent < 256 << 20, "it ends somewhere");
        }
    });
    node.logged(&["ERROR", "TCPClient:onData keeps", "16777216 at most: closed"]).await;
    flood.await.expect("it ends");
    node.logged(&["NOTE", "ended "]).await;
    other.write_all(b"give").expect("it reads");
    let mut got = vec![0; 1_000_000];
    let got = tokio::task::spawn_blocking(move || other.read_exact(&mut got).map(|()| got)).await;
    assert!(got.expect("no panic").expect("it answers").iter().all(|byte| *byte == b'y'));
}

#[tokio::test]
async fn a_flood_of_connections_meets_the_bound_and_leaves_nothing_behind() {
    let node = node(SINK).await;
    let address = noted(&node, "at ").await;
    let mut stage = Stage::on(&node).await;
    let mut flood = Vec::new();
    let refused = || node.sample("ramona_socket_refused_total");
    while refused() == 0.0 {
        assert!(flood.len() < 2_000, "it ends somewhere");
        // Fails when this process has no more files: the node does not either.
        let Ok(stream) = TcpStream::connect(&address) else { break };
        flood.push(stream);
        tokio::task::yield_now().await;
    }
    node.logged(&["WARN", "scripts have as many sockets as they may", "limit=960"]).await;
    stage.assert_untouched(&node).await;
    // Strangers leave room for what scripts open.
    let client = RtmpClient::connect(node.rtmp(), "").await;
    assert_eq!(client.call("open", &[]).await, Ok(vec![true.into()]));
    drop(flood);
    // All of them end, and there is room again.
    until_some("a new connection to be served", || {
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
        stream.write_all(b"give").ok()?;
        stream.read(&mut [0; 10]).ok().filter(|read| *read > 0)
    })
    .await;
    assert_eq!(node.panics(), 0);
}
