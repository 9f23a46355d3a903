//! Links between nodes from dial to end: CLU-01 to CLU-11, secrets, duplicates, death.

use std::time::Duration;

use ramona_actors::metrics::ActorKind;
use ramona_testkit::{NodeBuilder, Proxy, RtmpClient, Stranger, TestNode, free_port, link, wait};

/// Says what happens to links; clients may ask and send.
const WITNESS: &str = r#"
function onServerConnection(server)
	NOTE("up ", server.host, " at ", server.address, " target=", server.isTarget,
		" listed=", mona.servers.count, " same=", mona.servers(server.address) == server)
	function server:greet(name) NOTE("greeting of ", name) end
	server:send("greet", mona.configs.host)
end
function onServerDisconnection(server, text)
	NOTE("down ", server.host, " error=", text, " listed=", mona.servers.count)
	server:send("greet", "nobody")
end
function onConnection(client)
	function client:count() return mona.servers.count end
	function client:greetAll(name)
		mona.servers:broadcast("greet", name)
		return true
	end
	function client:isTarget() return mona.servers(1).isTarget end
end
"#;

const DUPLICATE: &[&str] = &["WARN", "two links to one node"];

fn node(name: &str) -> NodeBuilder {
    let host = format!("host = {}.example", name.to_lowercase());
    TestNode::builder(name).linkable().www("main.lua", WITNESS).ini(&host)
}

#[tokio::test]
async fn clu_01_a_target_that_starts_later_is_linked_when_it_is_there() {
    let mut b = node("B").start().await;
    b.stop().await;
    let a = node("A").target(b.links()).start().await;
    a.logged(&["INFO", "dialling", &b.links().to_string()]).await;
    a.logged(&["WARN", "target does not answer", "refused"]).await;
    b.start().await;
    a.logged(&["NOTE", "linked", "b.example"]).await;
    a.logged(&["NOTE", "up b.example at 127.0.0.1 target=true"]).await;
    b.logged(&["NOTE", "up a.example at 127.0.0.1 target=false"]).await;
}

#[tokio::test]
async fn clu_03_what_scripts_send_in_the_connection_event_arrives_behind_the_hello_on_both_sides() {
    let (a, b) = link(WITNESS, WITNESS).await;
    a.logged(&["greeting of b.example"]).await;
    b.logged(&["greeting of a.example"]).await;
}

#[tokio::test]
async fn clu_05_and_mon_01_and_svs_01_a_server_is_listed_from_before_its_first_event_to_before_its_last()
 {
    let (a, mut b) = link(WITNESS, WITNESS).await;
    a.logged(&["up b.example", "listed=1 same=true"]).await;
    b.stop().await;
    a.logged(&["down b.example", "listed=0"]).await;
}

#[tokio::test]
async fn clu_04_and_srv_08_properties_of_a_target_entry_and_the_public_configuration_are_visible_on_both_ends()
 {
    let script = r#"
    function onServerConnection(server)
        NOTE("type=", server.type, " level=", server.level + 1, " host=", server.configs.host,
            " rtmp=", server["RTMP.port"], " shared=", server["game.mode"],
            " hidden=", server["servers.secret"], server["application.dir"], server["own.key"])
    end"#;
    let secret = "a secret that no script of another node sees";
    let b = TestNode::builder("B").linkable().www("main.lua", script).secret(secret);
    let b = b.ini("host = b.example\nservers.share = game\n[game]\nmode = free\n[own]\nkey = 1");
    let b = b.start().await;
    let target = format!("{}?type=master&level=7", b.links());
    let a = TestNode::builder("A").linkable().www("main.lua", script).secret(secret);
    let a = a.ini("host = a.example").target(target).start().await;
    let hidden = "hidden=(null)(null)(null)";
    // The port that is open, whatever the file says.
    let rtmp = format!("host=b.example rtmp={} shared=free", b.rtmp().port());
    a.logged(&["type=master level=8", &rtmp, hidden]).await;
    let rtmp = format!("host=a.example rtmp={} shared=(null)", a.rtmp().port());
    b.logged(&["type=master level=8", &rtmp, hidden]).await;
}

#[tokio::test]
async fn clu_06_a_link_lost_without_a_word_is_told_to_the_script_and_dialled_again() {
    let (a, mut b) = link(WITNESS, WITNESS).await;
    a.logged(&["greeting of b.example"]).await;
    b.kill().await;
    a.logged(&["ERROR", "link ended", "connection lost"]).await;
    a.logged(&["NOTE", "down b.example error=connection lost listed=0"]).await;
    a.logged(&["ERROR", "server:send"]).await;
    let mark = a.log_mark();
    b.start().await;
    a.logged_since(mark, &["up b.example"]).await;
    a.logged_since(mark, &["greeting of b.example"]).await;
    assert_eq!(a.panics(), 0);
}

#[tokio::test]
async fn clu_11_a_node_without_connection_event_accepts_links() {
    let (a, b) = link("", "").await;
    for node in [&a, &b] {
        wait::until("the link to be up", || node.metrics().links().len() == 1).await;
    }
}

/// Waits until both know exactly one server, which both scripts see once.
async fn assert_one_link(a: &TestNode, b: &TestNode) {
    let (to_a, to_b) =
        (RtmpClient::connect(a.rtmp(), "").await, RtmpClient::connect(b.rtmp(), "").await);
    for (node, client) in [(a, &to_a), (b, &to_b)] {
        wait::until("one link to be left", || node.alive(ActorKind::ServerConnection) == 1).await;
        let count = client.call("count", &[]).await.expect("count works");
        assert_eq!(count, [1.0.into()]);
        let (ups, downs) = (node.count_logged(&["NOTE", "up "]), node.count_logged(&["down "]));
        assert_eq!(ups - downs, 1, "{ups} ups, {downs} downs");
    }
    // The smaller id keeps the link that it dialled.
    let a_dialled = to_a.call("isTarget", &[]).await.expect("isTarget works") == [true.into()];
    let b_dialled = to_b.call("isTarget", &[]).await.expect("isTarget works") == [true.into()];
    assert_eq!(a_dialled, !b_dialled);
    // One broadcast, one greeting; what comes behind it proves that no second one is on its way.
    for name in ["once", "behind"] {
        to_a.call("greetAll", &[name.into()]).await.expect("greetAll works");
    }
    b.logged(&["greeting of behind"]).await;
    assert_eq!(b.count_logged(&["greeting of once"]), 1);
}

#[tokio::test]
async fn clu_08_nodes_that_target_each_other_keep_the_link_dialled_by_the_smaller_id() {
    let (port_a, port_b) = (free_port(), free_port());
    let a = node("A").linkable_on(port_a).target(format!("127.0.0.1:{port_b}")).start().await;
    let b = node("B").linkable_on(port_b).target(format!("127.0.0.1:{port_a}")).start().await;
    wait::until("a warning that names the duplicate", || {
        a.has_logged(DUPLICATE) || b.has_logged(DUPLICATE)
    })
    .await;
    assert_one_link(&a, &b).await;
    let a_is_smaller = a.node_id() < b.node_id();
    let client = RtmpClient::connect(a.rtmp(), "").await;
    let dialled = client.call("isTarget", &[]).await.expect("isTarget works");
    assert_eq!(dialled, [a_is_smaller.into()]);
}

#[tokio::test]
async fn clu_08_a_target_that_is_listed_twice_is_linked_once() {
    let b = node("B").start().await;
    let twice = format!("{0};localhost:{1}", b.links(), b.links().port());
    let a = node("A").target(twice).start().await;
    a.logged(&["WARN", "a second way to a node that is linked already"]).await;
    assert_one_link(&a, &b).await;
}

#[tokio::test]
async fn clu_08_a_node_never_links_to_itself_and_says_so() {
    let port = free_port();
    let a = node("A").linkable_on(port).target(format!("127.0.0.1:{port}")).start().await;
    a.logged(&["WARN", "dialled itself", "servers.targets"]).await;
    wait::until("no link to be left", || a.alive(ActorKind::ServerConnection) == 0).await;
    let client = RtmpClient::connect(a.rtmp(), "").await;
    assert_eq!(client.call("count", &[]).await, Ok(vec![0.0.into()]));
    assert!(!a.has_logged(&["NOTE", "up "]), "no event for itself");
}

#[tokio::test]
async fn clu_09_who_says_no_hello_in_time_is_closed_with_a_warning_and_without_an_event() {
    let b = node("B")
        .tune(|config| config.servers_config.link.hello_timeout = Duration::from_millis(200))
        .start()
        .await;
    let silent = Stranger::connect(b.links()).await;
    let peer = silent.local().to_string();
    silent.closed().await;
    b.logged(&["WARN", "link ended", "no hello within 0.2 s", &peer]).await;
    assert!(!b.has_logged(&["NOTE", "up "]));
}

#[tokio::test]
async fn whoever_is_no_node_is_closed_with_a_warning_that_names_what_he_speaks() {
    let b = node("B").start().await;
    for (bytes, named) in [
        (&b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"[..], "it speaks HTTP"),
        (b"\x03\0\0\0\0\0\0\0\0", "it speaks RTMP"),
        (b"\xF0\xF1\xF2\xF3\xF4\xF5\xF6\xF7", "not a link of a Ramona node"),
        (b"RAMONA\x63\0", "the peer speaks link version 99"),
    ] {
        let mut stranger = Stranger::connect(b.links()).await;
        let peer = stranger.local().to_string();
        stranger.send(bytes).await;
        stranger.closed().await;
        b.logged(&["WARN", "link ended", named, &peer]).await;
    }
    assert!(!b.has_logged(&["NOTE", "up "]));
}

#[tokio::test]
async fn clu_10_an_error_in_the_connection_event_refuses_the_server_with_its_text() {
    let refuse = r#"
    function onServerConnection(server) error("not from "..server.host) end
    function onServerDisconnection(server) NOTE("down ", server.host) end
    function onConnection(client)
        function client:count() return mona.servers.count end
    end"#;
    let (a, b) = link(WITNESS, refuse).await;
    a.logged(&["ERROR", "Connection with 127.0.0.1 server, not from a.example"]).await;
    // Its own event had run, so the end is told, with the text.
    a.logged(&["NOTE", "down b.example error=not from a.example listed=0"]).await;
    b.logged(&["refused", "not from a.example"]).await;
    // Dialled again and refused again.
    b.logged_since(b.log_mark(), &["server refused", "not from a.example"]).await;
    let client = RtmpClient::connect(b.rtmp(), "").await;
    assert_eq!(client.call("count", &[]).await, Ok(vec![0.0.into()]));
    assert!(!b.has_logged(&["NOTE", "down "]), "no last event for who was refused");
}

#[tokio::test]
async fn clu_10_and_srv_10_and_evt_12_reject_ends_an_accepted_link_with_its_text_and_both_last_events()
 {
    let reject = r#"
    function onServerConnection(server)
        function server:greet(name) self:reject("enough of "..name) end
    end
    function onServerDisconnection(...)
        NOTE("down ", (...).host, " with ", select('#', ...), " error=", (select(2, ...)))
    end"#;
    let (a, b) = link(WITNESS, reject).await;
    a.logged(&["ERROR", "Connection with 127.0.0.1 server, enough of a.example"]).await;
    a.logged(&["NOTE", "down b.example error=enough of a.example"]).await;
    // Who rejected knows why.
    b.logged(&["NOTE", "down a.example with 2 error=(null)"]).await;
}

#[tokio::test]
async fn clu_10_a_failed_root_refuses_servers_with_the_text_of_its_failure() {
    let (a, _b) = link(WITNESS, "this is no Lua").await;
    a.logged(&["ERROR", "Connection with 127.0.0.1 server,", "main.lua:1:"]).await;
}

#[tokio::test]
async fn clu_10_a_node_that_stops_refuses_its_servers_in_order() {
    let (a, mut b) = link(WITNESS, WITNESS).await;
    b.logged(&["greeting of a.example"]).await;
    b.stop().await;
    a.logged(&["ERROR", "Connection with 127.0.0.1 server, Server is stopping"]).await;
    a.logged(&["NOTE", "down b.example error=Server is stopping"]).await;
    b.logged(&["NOTE", "down a.example"]).await;
    assert!(!a.has_logged(&["connection lost"]));
    // Its own end is nothing to warn of.
    b.logged(&["INFO", "link ended", "refused here: Server is stopping"]).await;
    assert_eq!(b.count_logged(&["WARN"]), 0);
}

#[tokio::test]
async fn clu_07_a_peer_that_answers_nothing_any_more_is_dead_after_the_time_configured() {
    let quick = "[servers]\nheartbeat = 0.1\ntimeout = 0.5";
    let b = node("B").ini(quick).start().await;
    let wire = Proxy::to(b.links()).await;
    let a = node("A").ini(quick).target(wire.address()).start().await;
    a.logged(&["up b.example"]).await;
    b.logged(&["greeting of a.example"]).await;
    wire.swallow();
    for node in [&a, &b] {
        node.logged(&["ERROR", "link ended", "nothing heard from the peer for 0.5 s"]).await;
        node.logged(&["NOTE", "down ", "error=nothing heard"]).await;
    }
    let mark = a.log_mark();
    wire.pass();
    a.logged_since(mark, &["up b.example"]).await;
}

#[tokio::test]
async fn nodes_with_the_same_secret_link_and_exchange() {
    let b = node("B").secret("one secret for all nodes").start().await;
    let a = node("A").secret("one secret for all nodes").target(b.links()).start().await;
    a.logged(&["greeting of b.example"]).await;
    b.logged(&["greeting of a.example"]).await;
}

#[tokio::test]
async fn a_wrong_or_missing_secret_is_named_on_both_sides_and_never_reaches_a_script() {
    let (one, other) = (Some("the secret of the one"), Some("the secret of the other"));
    let wrong = "wrong secret";
    let without = "the peer has no servers.secret, this node has one";
    let here = "the peer has a servers.secret, this node has none";
    for (of_a, of_b, says_a, says_b) in
        [(one, other, wrong, wrong), (None, one, here, without), (one, None, without, here)]
    {
        let with = |node: NodeBuilder, secret: Option<&str>| match secret {
            Some(secret) => node.secret(secret),
            None => node,
        };
        let b = with(node("B"), of_b).start().await;
        let a = with(node("A"), of_a).target(b.links()).start().await;
        a.logged(&["WARN", "link ended", says_a]).await;
        b.logged(&["WARN", "link ended", says_b]).await;
        // Dialled again: the operator may be repairing the other node.
        a.logged_since(a.log_mark(), &["dialling"]).await;
        for node in [&a, &b] {
            assert!(!node.has_logged(&["NOTE", "up "]));
        }
    }
}

#[tokio::test]
async fn a_link_port_that_everybody_reaches_is_not_opened_without_a_secret() {
    let open = |config: &mut ramona::config::Config| {
        config.servers.bind = "0.0.0.0:0".parse().ok();
    };
    let a = node("A").config(open).start().await;
    a.logged(&["ERROR", "servers.port is not opened", "servers.secret"]).await;
    assert!(!a.is_linkable());
    let a = node("A").config(open).secret("a secret that is long enough").start().await;
    assert!(a.is_linkable());
    let a = node("A").config(open).ini("servers.insecure = true").start().await;
    a.logged(&["WARN", "servers.insecure"]).await;
    assert!(a.is_linkable());
}
