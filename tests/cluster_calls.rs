//! Calls between scripts of linked nodes: CLU-12, CLU-13 and CLU-20 to CLU-27.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ramona_testkit::{Proxy, RtmpClient, Stage, TestNode, link, link_secretly, wait};

const ECHO: &str = include_str!("lua/echo.lua");

#[tokio::test]
async fn clu_21_values_of_all_kinds_come_back_as_they_left() {
    let (a, _b) = link(ECHO, ECHO).await;
    let line = a.logged(&["all back: "]).await;
    assert!(line.contains("all back: same"), "{line}");
}

#[tokio::test]
async fn clu_21_values_of_all_kinds_come_back_as_they_left_over_a_secret_link() {
    let (a, _b) = link_secretly(ECHO, ECHO).await;
    let line = a.logged(&["all back: "]).await;
    assert!(line.contains("all back: same"), "{line}");
}

#[tokio::test]
async fn clu_23_and_24_ten_thousand_calls_of_send_and_broadcast_arrive_in_the_order_of_sending() {
    let send = r#"
    function onServerConnection(server)
        for n = 1, 10000 do
            if n % 3 == 0 then mona.servers:broadcast("count", n) else server:send("count", n) end
        end
        server:send("done")
    end"#;
    let receive = r#"
    function onServerConnection(server)
        local last, wrong = 0, 0
        function server:count(n)
            if n ~= last + 1 then wrong = wrong + 1 end
            last = n
        end
        function server:done() NOTE("counted to ", last, ", out of order: ", wrong) end
    end"#;
    let (_a, b) = link(send, receive).await;
    b.logged(&["counted to 10000, out of order: 0"]).await;
}

#[tokio::test]
async fn clu_20_a_call_without_a_proper_name_is_an_error_and_sends_nothing() {
    let send = r#"
    function onServerConnection(server)
        server:send("") server:send(".") server:send(nil, 1) server:send({}, 1)
        mona.servers:broadcast("") mona.servers:broadcast(".")
        server:send(("n"):rep(300), "cut")
        server:send("done")
    end"#;
    let receive = r#"
    function onServerConnection(server)
        server[("n"):rep(255)] = function(self, what) NOTE("name of 255 bytes: ", what) end
        function server:done() NOTE("done") end
    end"#;
    let (a, b) = link(send, receive).await;
    b.logged(&["NOTE", "done"]).await;
    assert!(b.has_logged(&["name of 255 bytes: cut"]));
    assert_eq!(a.count_logged(&["ERROR", "needs the name of a function"]), 6);
    a.logged(&["WARN", "name of 300 bytes cut to 255"]).await;
}

#[tokio::test]
async fn clu_22_a_call_without_a_function_is_ignored_and_built_ins_cannot_be_called() {
    let send = r#"
    function onServerConnection(server)
        for _, name in ipairs{"nothing", "send", "reject", "isTarget", "address", "configs"} do
            server:send(name, "nothing", 1)
        end
        server:send("field")
        server:send("broken")
        server:send("done")
    end"#;
    let receive = r#"
    function onServerConnection(server)
        server.field = "no function"
        function server:broken() error("this handler fails") end
        function server:done() NOTE("still linked: ", mona.servers.count) end
        function server:nothings() end
    end
    function onServerDisconnection() NOTE("the link ended") end"#;
    let (a, b) = link(send, receive).await;
    b.logged(&["still linked: 1"]).await;
    b.logged(&["ERROR", "this handler fails"]).await;
    assert!(!b.has_logged(&["the link ended"]));
    assert!(!a.has_logged(&["link ended"]));
}

#[tokio::test]
async fn clu_25_a_broadcast_reaches_the_servers_of_the_moment_and_no_later_one() {
    let caller = r#"
    function onConnection(client)
        function client:shout(text) mona.servers:broadcast("hear", text) return mona.servers.count end
    end"#;
    let hearer = r#"
    function onServerConnection(server)
        function server:hear(text) NOTE("heard ", text) end
    end"#;
    let hearing = |name: &str| TestNode::builder(name).linkable().www("main.lua", hearer);
    let (b, mut c) = (hearing("B").start().await, hearing("C").start().await);
    c.stop().await;
    let a = TestNode::builder("A").www("main.lua", caller).target(b.links()).target(c.links());
    let a = a.start().await;
    b.logged(&["linked"]).await;
    let client = RtmpClient::connect(a.rtmp(), "").await;
    let shout = async |text: &'static str| client.call("shout", &[text.into()]).await;
    assert_eq!(shout("early").await, Ok(vec![1.0.into()]));
    let mark = a.log_mark();
    c.start().await;
    a.logged_since(mark, &["linked"]).await;
    assert_eq!(shout("late").await, Ok(vec![2.0.into()]));
    for node in [&b, &c] {
        node.logged(&["heard late"]).await;
    }
    assert!(b.has_logged(&["heard early"]));
    assert!(!c.has_logged(&["heard early"]));
}

const FLOOD: &str = r#"
local manages = 0
function onManage() manages = manages + 1 end
function onConnection(client)
	function client:flood(count, size)
		local text = ("x"):rep(size)
		local server = mona.servers(1)
		for n = 1, server and count or 0 do server:send("take", text) end
		return collectgarbage("count")
	end
	function client:manages() return manages end
end
function onServerDisconnection(server, text) NOTE("down ", text) end
"#;

#[tokio::test]
async fn clu_26_a_stalled_peer_costs_a_bounded_queue_and_never_stops_the_script() {
    let b = TestNode::builder("B").linkable().start().await;
    let wire = Proxy::to(b.links()).await;
    // The link would be closed sooner by its heartbeat, which is another rule.
    let quiet = "[servers]\nqueue = 1048576\ntimeout = 600";
    let a = TestNode::builder("A").www("main.lua", FLOOD).ini(quiet).target(wire.address());
    let a = a.tune(|config| config.servers_config.full_for = Duration::from_millis(500));
    let a = a.start().await;
    a.logged(&["linked"]).await;
    b.logged(&["linked"]).await;
    wire.stall();
    let (_, stats) = a.metrics().links().pop().expect("a link");
    let client = RtmpClient::connect(a.rtmp(), "").await;
    // 100 MB, of which the sockets in between take some.
    client.call("flood", &[1_000.0.into(), 100_000.0.into()]).await.expect("flood ends");
    assert!(stats.queued.len() <= 1 << 20, "{} bytes wait", stats.queued.len());
    assert!(stats.refused.load(Relaxed) > 500);
    a.logged(&["ERROR", "outbound queue of a server is full"]).await;
    // Once for each time the queue filled up, which the sockets' own buffers made several.
    assert!(a.count_logged(&["outbound queue of a server is full"]) < 20);
    let before = client.call("manages", &[]).await.expect("manages works");
    // The sockets in between may take more for a while: the queue has to stay full.
    while !a.has_logged(&["ERROR", "outbound queue stays full, link closed"]) {
        client.call("flood", &[20.0.into(), 100_000.0.into()]).await.expect("flood ends");
    }
    a.logged(&["NOTE", "down its queue stays full"]).await;
    wait::until("onManage goes on", || a.metrics().script.handlers.count() > 0).await;
    let mut now = before.clone();
    while now == before {
        now = client.call("manages", &[]).await.expect("manages works");
    }
}

#[tokio::test]
async fn clu_26_a_string_larger_than_the_queue_is_refused_with_an_error_and_the_link_stays() {
    let (a, b) =
        link(FLOOD, "function onServerConnection(s) function s:take(t) NOTE('took ', #t) end end")
            .await;
    let (mut on_a, mut on_b) = (Stage::on(&a).await, Stage::on(&b).await);
    let client = RtmpClient::connect(a.rtmp(), "").await;
    client.call("flood", &[1.0.into(), 100e6.into()]).await.expect("flood ends");
    a.logged(&["ERROR", "outbound queue of a server is full"]).await;
    // What fits goes on.
    client.call("flood", &[1.0.into(), 10e6.into()]).await.expect("flood ends");
    b.logged(&["took 10000000"]).await;
    assert!(!a.has_logged(&["link ended"]));
    on_a.assert_untouched(&a).await;
    on_b.assert_untouched(&b).await;
}

#[tokio::test]
async fn a_handler_that_sends_a_million_calls_does_not_stop_its_node_and_loses_none_unsaid() {
    let receive = r#"
    function onServerConnection(server)
        local taken = 0
        function server:take(text)
            taken = taken + 1
        end
        function server:last() NOTE("taken: ", taken) end
    end"#;
    let more = r#"
    local connect = onConnection
    function onConnection(client)
        connect(client)
        function client:last() mona.servers:broadcast("last") return true end
    end"#;
    let (a, b) = link(&format!("{FLOOD}{more}"), receive).await;
    let (mut on_a, mut on_b) = (Stage::on(&a).await, Stage::on(&b).await);
    let client = RtmpClient::connect(a.rtmp(), "").await;
    client.call("flood", &[1e6.into(), 20.0.into()]).await.expect("flood ends");
    let refused = a.sample("ramona_link_refused_calls_total") as u64;
    client.call("last", &[]).await.expect("last works");
    b.logged(&[&format!("taken: {}", 1_000_000 - refused)]).await;
    assert_eq!(refused > 0, a.has_logged(&["outbound queue of a server is full"]));
    on_a.assert_untouched(&a).await;
    on_b.assert_untouched(&b).await;
}

#[tokio::test]
async fn threads_stay_awake_during_a_conversation_of_scripts_and_sleep_after_it() {
    let answer = r#"
    function onServerConnection(server)
        function server:ping(n) self:send("pong", n) end
    end"#;
    let ask = r#"
    function onServerConnection(server)
        function server:pong(n)
            if n == 3000 then NOTE("all said") else self:send("ping", n + 1) end
        end
        server:send("ping", 1)
    end"#;
    // The longest: a machine with other work is not on time.
    let node = |name| TestNode::builder(name).linkable().ini("servers.spin = 10000");
    let b = node("B").www("main.lua", answer).start().await;
    let a = node("A").www("main.lua", ask).target(b.links()).start().await;
    a.logged(&["all said"]).await;
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return;
    }
    for node in [&a, &b] {
        let metrics = node.metrics();
        for awake in [&metrics.links_awake, &metrics.script_awake] {
            assert!(awake.hits.load(Relaxed) > 0);
            wait::until("the thread to give up", || awake.misses.load(Relaxed) > 0).await;
            assert!(awake.nanos.load(Relaxed) > 0);
        }
    }
    let text = ramona_actors::metrics::prometheus(a.metrics());
    assert!(text.contains("\nramona_awake_hits_total{thread=\"script\"} "), "{text}");
}

#[tokio::test]
async fn clu_12_and_13_paths_of_running_applications_are_announced_and_loaded_on_the_other_node() {
    let app = "function onStart(path) NOTE('started ', path) end";
    let b = TestNode::builder("B").linkable().www("game/main.lua", app).www("other/main.lua", app);
    let b = b.start().await;
    let a = TestNode::builder("A").www("game/main.lua", app).www("mine/main.lua", app);
    let a = a.target(b.links()).start().await;
    b.logged(&["linked"]).await;
    assert!(!b.has_logged(&["started"]), "nothing runs yet");
    // Only A has this one: B ignores its path.
    let _first = RtmpClient::connect(a.rtmp(), "mine").await;
    let _second = RtmpClient::connect(a.rtmp(), "game").await;
    b.logged(&["started /game"]).await;
    assert!(!b.has_logged(&["mine"]) && !b.has_logged(&["started /other"]));
    // Who links later learns of what runs.
    let c = TestNode::builder("C").linkable().www("game/main.lua", app).target(b.links());
    let c = c.start().await;
    c.logged(&["started /game"]).await;
    assert_eq!(b.count_logged(&["started /game"]), 1, "nothing changed, nothing reloaded");
}

#[tokio::test]
async fn clu_13_a_client_that_opens_a_changed_application_reloads_it_on_both_nodes_and_no_other_way()
 {
    let version =
        |number: u32| format!("function onStart(path) NOTE('version {number} of ', path) end");
    let b = TestNode::builder("B").linkable().www("game/main.lua", &version(1)).start().await;
    let a = TestNode::builder("A").www("game/main.lua", &version(1)).target(b.links());
    let a = a.start().await;
    b.logged(&["linked"]).await;
    let _first = RtmpClient::connect(a.rtmp(), "game").await;
    b.logged(&["version 1 of /game"]).await;
    // A file is looked at every other second at most, so clients come until it was.
    let come_until = async |node: &TestNode, text: &str| {
        let begin = std::time::Instant::now();
        while !node.has_logged(&[text]) {
            RtmpClient::connect(a.rtmp(), "game").await;
            assert!(begin.elapsed() < ramona_testkit::wait::PATIENCE, "waited for {text}");
        }
    };
    for node in [&a, &b] {
        node.write_www("game/main.lua", &version(2));
    }
    come_until(&a, "version 2 of /game").await;
    b.logged(&["version 2 of /game"]).await;
    // Changed on B alone: who comes to A opens nothing that changed, and B hears of nothing.
    b.write_www("game/main.lua", &version(3));
    let begin = std::time::Instant::now();
    while begin.elapsed() < std::time::Duration::from_secs(3) {
        RtmpClient::connect(a.rtmp(), "game").await;
    }
    assert!(!b.has_logged(&["version 3 of /game"]));
    // Until A changes as well.
    a.write_www("game/main.lua", &version(4));
    come_until(&a, "version 4 of /game").await;
    b.logged(&["version 3 of /game"]).await;
}
