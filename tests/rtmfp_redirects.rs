//! Where `onHandshake` sends clients (EVT-08, RED-*, SMP-09, SMP-10).

use std::net::SocketAddr;
use std::time::Duration;

use ramona_testkit::{NodeBuilder, RtmfpClient, RtmfpOptions, TestNode, wait};

fn builder(name: &str) -> NodeBuilder {
    TestNode::builder(name).ini("host = 127.0.0.1").linkable()
}

/// A node with a script whose links to the others are up.
async fn before(script: &str, others: &[&TestNode]) -> TestNode {
    let mut node = builder("A").www("main.lua", script);
    for other in others {
        node = node.target(other.links());
    }
    let node = node.start().await;
    wait::until("all links", || node.count_logged(&["linked"]) >= others.len()).await;
    node
}

async fn behind(name: &str) -> TestNode {
    let script = "function onConnection(client) NOTE('takes ', client.id) end";
    builder(name).www("main.lua", script).start().await
}

/// Connects by a node; the address of the node that took the client.
async fn lands(node: &TestNode, app: &str) -> SocketAddr {
    let client = RtmfpClient::connect(node.rtmfp(), app).await;
    client.server()
}

#[tokio::test]
async fn red_01_and_13_a_server_object_sends_the_client_there_and_makes_none_here() {
    let b = behind("B").await;
    let script = r#"
    function onHandshake(address, path, properties, attempts) return mona.servers(1) end
    function onConnection(client) NOTE("never here") end"#;
    let a = before(script, &[&b]).await;
    let client = RtmfpClient::connect(a.rtmfp(), "").await;
    assert_eq!(client.server(), b.rtmfp());
    b.logged(&["takes", &client.peer_id().to_string()]).await;
    assert!(!a.has_logged(&["never here"]));
    assert_eq!(a.alive(ramona_actors::metrics::ActorKind::RtmfpSession), 0);
}

#[tokio::test]
async fn smp_09_clients_take_turns_over_the_linked_nodes() {
    let (b, c) = (behind("B").await, behind("C").await);
    let script = r#"
    local turn = 0
    function onHandshake(address, path, properties, attempts)
        turn = turn % math.max(mona.servers.count, 1) + 1
        return mona.servers(turn)
    end"#;
    let a = before(script, &[&b, &c]).await;
    let mut landed = Vec::new();
    for _ in 0..4 {
        landed.push(lands(&a, "").await);
    }
    let of = |node: &TestNode| landed.iter().filter(|at| **at == node.rtmfp()).count();
    assert_eq!((of(&b), of(&c)), (2, 2), "{landed:?}");
}

#[tokio::test]
async fn smp_09_and_red_08_without_a_linked_node_the_client_stays() {
    let script = "function onHandshake() return mona.servers(1) end";
    let a = before(script, &[]).await;
    assert_eq!(lands(&a, "").await, a.rtmfp());
    for nothing in ["nil", "false", "", "mona.servers", "{}"] {
        let a = before(&format!("function onHandshake() return {nothing} end"), &[]).await;
        assert_eq!(lands(&a, "").await, a.rtmfp(), "{nothing}");
        assert_eq!(a.count_logged(&["ERROR"]), 0, "{nothing}");
    }
}

/// Whoever answers first wins: both are named, and one of both takes the client.
#[tokio::test]
async fn smp_10_and_red_02_all_servers_are_offered() {
    let (b, c) = (behind("B").await, behind("C").await);
    let script = r#"
    function onHandshake() return mona.servers end
    function onServerDisconnection() NOTE("one less") end"#;
    let a = before(script, &[&b, &c]).await;
    let client = RtmfpClient::session(a.rtmfp(), "", RtmfpOptions::default()).await;
    assert!([b.rtmfp(), c.rtmfp()].contains(&client.server()));
    // One of them gone, the other one takes everybody.
    let mut c = c;
    c.kill().await;
    a.logged(&["one less"]).await;
    assert_eq!(lands(&a, "").await, b.rtmfp());
}

#[tokio::test]
async fn red_03_to_05_and_07_addresses_alone_several_in_tables_and_as_objects() {
    let b = behind("B").await;
    let (at, port) = (b.rtmfp(), b.rtmfp().port());
    for answer in [
        format!("'{at}'"),
        format!("'127.0.0.1', {port}"),
        format!("'127.0.0.1', '{port}'"),
        format!("'localhost:{port}'"),
        format!("'127.0.0.1:1', '{at}'"),
        format!("{{'127.0.0.1:1', {{'{at}'}}}}"),
        "{first = '127.0.0.1:1', second = {mona.servers}}".to_owned(),
        format!("5, '{at}'"),
        format!("'name.invalid:1935', '{at}'"),
    ] {
        let script = format!("function onHandshake() return {answer} end");
        let a = before(&script, &[&b]).await;
        assert_eq!(lands(&a, "").await, at, "{answer}");
    }
}

#[tokio::test]
async fn red_06_again_lists_this_node_too() {
    // The only other address is nobody's.
    for again in ["'again'", "'myself'", "'AGAIN'"] {
        let script = format!(
            r#"
        function onHandshake(address, path, properties, attempts)
            NOTE("attempt ", attempts)
            if attempts == 1 then return "127.0.0.1:1", {again} end
        end"#
        );
        let a = before(&script, &[]).await;
        let port = a.rtmfp().port();
        assert_eq!(lands(&a, "").await.port(), port, "{again}");
        a.logged(&["attempt 1"]).await;
        a.logged(&["attempt 2"]).await;
    }
}

/// Carries the datagrams of one client to a node and back, as a router does whose port is forwarded.
async fn forwarded_to(node: SocketAddr) -> SocketAddr {
    let bind = async || tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let (outside, inside) = (bind().await, bind().await);
    inside.connect(node).await.expect("the node's address");
    let address = outside.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut out, mut back) = ([0; 2048], [0; 2048]);
        let mut client = None;
        loop {
            // A datagram that is lost is sent again.
            tokio::select! {
                Ok((n, from)) = outside.recv_from(&mut out) => {
                    client = Some(from);
                    let _ = inside.send(&out[..n]).await;
                }
                Ok(n) = inside.recv(&mut back) => {
                    if let Some(client) = client {
                        let _ = outside.send_to(&back[..n], client).await;
                    }
                }
            }
        }
    });
    address
}

#[tokio::test]
async fn red_06_again_is_the_address_in_the_url_of_the_client() {
    let script = r#"
    function onHandshake(address, path, properties, attempts)
        if attempts == 1 then return "again" end
    end"#;
    // The node's own port is another one: a client that is sent there does not come by the router.
    let node = before(script, &[]).await;
    let router = forwarded_to(node.rtmfp()).await;
    let client = RtmfpClient::session(router, "", RtmfpOptions::default()).await;
    assert_eq!(client.server(), router);
}

#[tokio::test]
async fn red_09_what_is_no_address_is_logged_and_skipped() {
    let script = "function onHandshake() return function() end, 'no port' end";
    let a = before(script, &[]).await;
    assert_eq!(lands(&a, "").await, a.rtmfp());
    a.logged(&["ERROR"]).await;
}

#[tokio::test]
async fn red_10_to_12_a_server_is_where_its_configuration_says() {
    let b = behind("B").await;
    // RED-10: the port in `host` goes before RTMFP.port.
    let relay = builder("C").ini(&format!("publicHost = {}", b.rtmfp())).start().await;
    let a = before("function onHandshake() return mona.servers(1) end", &[&relay]).await;
    assert_eq!(lands(&a, "").await, b.rtmfp());
    // RED-12: a node without RTMFP.
    let without = builder("D").config(|config| config.rtmfp.bind = None).start().await;
    let a = before("function onHandshake() return mona.servers(1) end", &[&without]).await;
    assert_eq!(lands(&a, "").await, a.rtmfp());
    a.logged(&["WARN"]).await;
}

#[tokio::test]
async fn evt_08_the_handler_gets_address_path_properties_and_attempts() {
    let script = r#"
    function onHandshake(address, path, properties, attempts)
        NOTE("hello from ", address, " for ", path, " level ", properties.level + 1, " attempt ", attempts)
        if attempts < (properties.acceptable or 1) then return "127.0.0.1:1" end
    end"#;
    let node = TestNode::builder("A").www("main.lua", script).www("game/main.lua", "");
    let node = node.start().await;
    let client = RtmfpClient::connect(node.rtmfp(), "game?level=4&acceptable=2").await;
    let from = client.local();
    node.logged(&[&format!("hello from {from} for /game level 5 attempt 1")]).await;
    node.logged(&[&format!("hello from {from} for /game level 5 attempt 2")]).await;
    assert_eq!(client.server(), node.rtmfp());
}

#[tokio::test]
async fn evt_08_five_parameters_get_the_protocol_first() {
    let script = r#"
    function onHandshake(protocol, address, path, properties, attempts)
        NOTE(protocol, " ", path, " ", attempts)
    end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    lands(&node, "").await;
    node.logged(&["RTMFP  1"]).await;
}

#[tokio::test]
async fn evt_08_the_application_of_the_path_decides_and_an_error_lets_the_client_in() {
    let root = "function onHandshake() NOTE('root') end";
    let game = "function onHandshake() error('not now') end";
    let node = TestNode::builder("A").www("main.lua", root).www("game/main.lua", game);
    let node = node.start().await;
    assert_eq!(lands(&node, "game").await, node.rtmfp());
    node.logged(&["ERROR", "not now"]).await;
    assert!(!node.has_logged(&["NOTE script: root"]));
    // The path need not exist yet.
    node.write_www("late/main.lua", "");
    assert_eq!(lands(&node, "late").await, node.rtmfp());
}

#[tokio::test]
async fn evt_08_a_slow_handler_holds_up_who_asks_and_nobody_else() {
    let released = tempfile::tempdir().expect("a folder");
    let file = released.path().join("file");
    let script = format!(
        r#"
    function onHandshake(address, path)
        if path == "/slow" then
            NOTE("slow begins")
            while not io.open("{}") do end
            NOTE("slow ends")
        end
    end
    function onConnection(client) end"#,
        file.display()
    );
    let node = TestNode::builder("A").www("main.lua", &script).www("slow/main.lua", "");
    let node = node.start().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    let publisher = ramona_testkit::RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("test").await;
    let play = first.play("test").await;
    first.status(play.0, "NetStream.Play.PublishNotify").await;
    let (slow, opening) =
        RtmfpClient::seek_server(node.rtmfp(), "slow", RtmfpOptions::default()).await;
    node.logged(&["slow begins"]).await;
    // Introductions and media go on: they need no script.
    second.meet(first.peer_id()).await;
    let frames = ramona_testkit::pictures::stream(20, 20, 1_000);
    publisher.send(stream, &frames);
    first.frames_to(play, &frames[frames.len() - 2]).await;
    // Who asked waits for the answer, and gets it.
    assert!(!slow.has_opened(opening));
    assert!(!node.has_logged(&["slow ends"]));
    std::fs::write(&file, "").expect("the file that ends the handler");
    slow.visit(opening).await;
    node.logged(&["slow ends"]).await;
}

/// Nobody answers at the address given: the client asks again after its own patience.
#[tokio::test]
async fn a_client_that_is_sent_to_nobody_asks_again_and_is_counted() {
    let script = r#"
    function onHandshake(address, path, properties, attempts)
        NOTE("attempt ", attempts)
        return "127.0.0.1:1"
    end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let (_client, _) = RtmfpClient::seek_server(node.rtmfp(), "", RtmfpOptions::default()).await;
    node.logged(&["attempt 3"]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.alive(ramona_actors::metrics::ActorKind::RtmfpSession), 0);
}
