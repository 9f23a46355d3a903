//! What the documents of MonaServer show of linked servers, in words of our own: SMP-01 to SMP-07
//! between real nodes.

use ramona_actors::metrics::ActorKind;
use ramona_testkit::{RtmpClient, TestNode, link, wait};

const RELAY: &str = include_str!("lua/relay.lua");

#[tokio::test]
async fn smp_01_the_dialling_node_sees_a_target_with_its_address_and_its_host_for_clients() {
    let script = r#"
    function onServerConnection(server)
        if server.isTarget then
            NOTE("linked to ", server.address, ", clients find it at ", server.host)
        end
    end"#;
    let (a, b) = link(script, script).await;
    a.logged(&["NOTE script: linked to 127.0.0.1, clients find it at b.example"]).await;
    assert!(!b.has_logged(&["linked to"]), "for B it is an initiator");
}

#[tokio::test]
async fn smp_02_the_dialled_node_sees_an_initiator() {
    let (_a, b) = link("", "function onServerConnection(server) NOTE(server.isTarget) end").await;
    b.logged(&["NOTE script: false"]).await;
}

#[tokio::test]
async fn smp_03_and_04_a_property_of_one_of_two_targets_is_seen_for_that_one_only() {
    let script = r#"
    function onServerConnection(server)
        if server.type == "master" then NOTE("the master is ", server.host)
        else NOTE("no master: ", server.host) end
    end
    function onServerDisconnection(server)
        if server.type == "master" then NOTE("the master is gone")
        else NOTE("another is gone") end
    end"#;
    let remote = |name: &str| TestNode::builder(name).linkable().ini(&format!("host = {name}"));
    let mut master = remote("master.example").start().await;
    let mut other = remote("other.example").start().await;
    // As in a file: a semicolon between two entries is no comment.
    let targets = format!("targets = {}?type=master;{}", master.links(), other.links());
    let ini = format!("; two targets\nhost = www.example.com:1935\n[servers]\n{targets}");
    let a = TestNode::builder("A").ini(&ini).www("main.lua", script).start().await;
    a.logged(&["the master is master.example"]).await;
    a.logged(&["no master: other.example"]).await;
    other.stop().await;
    a.logged(&["another is gone"]).await;
    assert!(!a.has_logged(&["the master is gone"]));
    master.stop().await;
    a.logged(&["the master is gone"]).await;
}

#[tokio::test]
async fn smp_05_is_not_and_an_error_of_several_values_refuse_a_server_with_the_whole_text() {
    let script = r#"
    function onServerConnection(server)
        if server.address is not "192.0.2.7" then
            error(server.address, " may not come in, only ", "192.0.2.7")
        end
    end"#;
    let (a, b) = link("", script).await;
    let text = "127.0.0.1 may not come in, only 192.0.2.7";
    a.logged(&["ERROR", &format!("Connection with 127.0.0.1 server, {text}")]).await;
    b.logged(&["server refused", text]).await;
    b.logged(&["WARN", "is not"]).await;
}

#[tokio::test]
async fn smp_06_servers_exchange_their_names_and_find_them_everywhere() {
    let script = r#"
    function onServerConnection(server)
        function server:onName(name)
            self.name = name
            NOTE("heard of ", name)
        end
        server:send("onName", "node "..mona.configs.host)
    end
    for _, server in mona.servers:ipairs() do
        NOTE("at load: ", server.name, " at ", server.address)
    end
    function onConnection(client)
        function client:names()
            local names = {}
            for index, server in mona.servers:ipairs() do
                names[index] = server.name.." at "..server.address
            end
            return names
        end
    end"#;
    let (a, b) = link(script, script).await;
    for (node, other) in [(&a, "b"), (&b, "a")] {
        node.logged(&[&format!("heard of node {other}.example")]).await;
        let client = RtmpClient::connect(node.rtmp(), "").await;
        let names = client.call("names", &[]).await.expect("names works");
        let expected = format!("node {other}.example at 127.0.0.1").into();
        assert_eq!(names, [ramona_amf::Value::Array(vec![expected])]);
        assert!(!node.has_logged(&["at load"]), "no server was there");
    }
}

/// The script is ours, and so is its limit's key: the documents' script has the same 400 inside.
#[tokio::test]
async fn smp_07_and_08_and_cli_36_with_400_viewers_the_next_one_is_sent_to_the_following_server() {
    let counting = format!("{RELAY}\nfunction onManage() NOTE('now ', viewers, ' viewers') end");
    let (a, b) = link(&counting, RELAY).await;
    // Eight connections of at most 64 streams each; one client may play a name once.
    let mut clients = Vec::new();
    let mut count = 0;
    for _ in 0..8 {
        let client = RtmpClient::connect(a.rtmp(), "").await;
        for _ in 0..50 {
            client.play(&format!("stage{count}")).await;
            count += 1;
        }
        clients.push(client);
    }
    assert_eq!(count, 400);
    let one_too_many = RtmpClient::connect(a.rtmp(), "").await;
    let stream = one_too_many.ask_play("stage0").await;
    let refused = one_too_many.status(stream, "NetStream.Play.Failed").await;
    // The last word of the description is where to go (SMP-08).
    assert_eq!(refused, ("error".to_owned(), "b.example".to_owned()));
    // Who leaves makes room.
    clients.pop();
    a.logged(&["client disconnected"]).await;
    one_too_many.play("stage0").await;
    // B has no following server: it takes everybody.
    let there = RtmpClient::connect(b.rtmp(), "").await;
    there.play("stage0").await;
    // When all vanish, none is counted any more (CLI-36).
    drop((clients, one_too_many));
    wait::until("all to be gone", || a.alive(ActorKind::RtmpSession) == 0).await;
    a.logged_since(a.log_mark(), &["NOTE", "now 0 viewers"]).await;
}

#[tokio::test]
async fn smp_07_a_second_target_is_refused_and_its_end_leaves_the_first_one_in_place() {
    let b = TestNode::builder("B").linkable().ini("host = b.example").start().await;
    let mut c = TestNode::builder("C").linkable().ini("host = c.example").start().await;
    let ask = r#"
    local connect = onConnection
    function onConnection(client, ...)
        connect(client, ...)
        function client:onward() return onward and onward.host end
    end"#;
    let a = TestNode::builder("A").www("main.lua", &format!("{RELAY}{ask}"));
    let a = a.target(b.links()).start().await;
    a.logged(&["linked"]).await;
    let client = RtmpClient::connect(a.rtmp(), "").await;
    assert_eq!(client.call("onward", &[]).await, Ok(vec!["b.example".into()]));
    drop(a);
    let a = TestNode::builder("A").www("main.lua", &format!("{RELAY}{ask}"));
    let a = a.target(b.links()).target(c.links()).start().await;
    a.logged(&["server refused", "there is a following server already"]).await;
    let client = RtmpClient::connect(a.rtmp(), "").await;
    let first = client.call("onward", &[]).await.expect("onward works");
    let b_was_first = first == ["b.example".into()];
    assert!(b_was_first || first == ["c.example".into()], "{first:?}");
    let mark = a.log_mark();
    c.kill().await;
    a.logged_since(mark, &["target does not answer", &c.links().to_string()]).await;
    let left = client.call("onward", &[]).await.expect("onward works");
    if b_was_first {
        assert_eq!(left, first, "the end of one that was refused changes nothing");
    } else {
        assert_ne!(left, first, "the first one is gone");
    }
    assert_eq!(a.panics(), 0);
}
