//! Scripts and RTMP clients: who may come in, calls both ways, and what a broken script costs.

use ramona_amf::Value;
use ramona_testkit::{ClientOptions, RtmpClient, Stage, TestNode, WebSocketClient, pictures, wait};

async fn node(script: &str) -> TestNode {
    TestNode::builder("N").www("main.lua", script).start().await
}

async fn open(node: &TestNode, app: &str) -> RtmpClient {
    RtmpClient::open(node.rtmp(), app, ClientOptions::default()).await
}

fn rejected(text: &str) -> (String, String) {
    ("NetConnection.Connect.Rejected".to_owned(), text.to_owned())
}

#[tokio::test]
async fn evt_03_connect_carries_arguments_in_and_the_table_of_on_connection_out() {
    let node = node(
        r#"function onConnection(client, name, level, info)
            return { hello = name.."!", rank = level + 1, kind = info.kind, path = client.path,
                app = client.properties.app, protocol = client.protocol }
        end"#,
    )
    .await;
    let info = ramona_amf::Object::new().with("kind", "guest");
    let args = vec!["Ann".into(), 4.0.into(), info.into()];
    let options = ClientOptions { args, ..ClientOptions::default() };
    let client = RtmpClient::connect_with(node.rtmp(), "?x=1", options).await;
    let info = client.info().await;
    let text = |key| info.get(key).and_then(Value::as_string).cloned();
    assert_eq!(text("hello"), Some("Ann!".into()));
    assert_eq!(info.get("rank"), Some(&5.0.into()));
    assert_eq!(text("kind"), Some("guest".into()));
    assert_eq!(text("path"), Some("".into()));
    assert_eq!(text("protocol"), Some("RTMP".into()));
    assert_eq!(text("code"), Some("NetConnection.Connect.Success".into()));
}

#[tokio::test]
async fn sta_02_a_client_is_refused_with_the_text_of_the_error_and_closed() {
    let node = node(
        r#"function onConnection(client, text)
            if text then error(text) end
            error("")
        end"#,
    )
    .await;
    let options = ClientOptions { args: vec!["not tonight".into()], ..ClientOptions::default() };
    let client = RtmpClient::open(node.rtmp(), "", options).await;
    assert_eq!(client.refusal().await, rejected("not tonight"));
    client.closed().await;
    assert_eq!(open(&node, "").await.refusal().await, rejected("client rejected"));
}

#[tokio::test]
async fn env_05_and_07_an_application_that_does_not_exist_or_does_not_load_refuses_its_clients() {
    let node = TestNode::builder("N").www("broken/main.lua", "function (").start().await;
    let invalid = "NetConnection.Connect.InvalidApp".to_owned();
    let client = open(&node, "nowhere").await;
    let text = "Application /nowhere doesn't exist".to_owned();
    assert_eq!(client.refusal().await, (invalid, text));
    client.closed().await;
    let (code, text) = open(&node, "broken").await.refusal().await;
    assert_eq!(code, "NetConnection.Connect.Rejected");
    assert!(text.contains("main.lua:1:"), "{text}");
    node.logged(&["ERROR", "broken/main.lua:1:"]).await;
}

#[tokio::test]
async fn cli_20_to_22_calls_answer_values_nothing_or_failures_and_the_server_calls_back() {
    let node = node(
        r#"function onConnection(client)
            function client:sum(a, b) return a + b, "sum" end
            function client:echo(...) return ... end
            function client:fails() error("it went wrong") end
            function client:callMe(name, ...)
                self.writer:writeInvocation(name, ...)
                return "called"
            end
            function client:onPublish(p) end
        end"#,
    )
    .await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let sum = client.call("sum", &[2.0.into(), 3.0.into()]).await;
    assert_eq!(sum, Ok(vec![5.0.into(), "sum".into()]));
    let bytes: bytes::Bytes = (0..=255).collect::<Vec<u8>>().into();
    let values = vec![Value::String(bytes), true.into(), Value::Null, 0.5.into()];
    assert_eq!(client.call("echo", &values).await, Ok(values));
    let (code, text) = client.call("fails", &[]).await.expect_err("it fails");
    assert_eq!(code, "NetConnection.Call.Failed");
    assert!(text.contains("main.lua:4: it went wrong"), "{text}");
    node.logged(&["ERROR", "it went wrong"]).await;
    for name in ["nothing", "onPublish"] {
        let failed = client.call(name, &[]).await.expect_err("no such method");
        let text = format!("Method '{name}' not found");
        assert_eq!(failed, ("NetConnection.Call.Failed".to_owned(), text));
    }
    let called = client.call("callMe", &["onNews".into(), "x".into(), 7.0.into()]).await;
    assert_eq!(called, Ok(vec!["called".into()]));
    assert_eq!(client.called("onNews").await, ["x".into(), 7.0.into()]);
}

#[tokio::test]
async fn sta_10_and_13_publish_and_play_are_refused_by_false_or_with_the_text_of_the_error() {
    let node = node(
        r#"function onConnection(client)
            function client:onPublish(publication)
                if publication.name == "closed" then return false end
                if publication.name == "full" then error("no room on stage") end
            end
            function client:onSubscribe(listener)
                if listener.publication.name == "closed" then return false end
                if listener.publication.name == "full" then error("sold out") end
            end
        end"#,
    )
    .await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let error = |text: &str| ("error".to_owned(), text.to_owned());
    for (name, publish, play) in [
        ("closed", "Not allowed to publish closed", "Not authorized to play closed"),
        ("full", "no room on stage", "sold out"),
    ] {
        let stream = client.ask_publish(name).await;
        let status = client.status(stream, "NetStream.Publish.Failed").await;
        assert_eq!(status, error(publish));
        let stream = client.ask_play(name).await;
        assert_eq!(client.status(stream, "NetStream.Play.Failed").await, error(play));
    }
    client.publish("open").await;
    client.play("open").await;
}

#[tokio::test]
async fn gen_17_and_pub_02_and_wri_01_what_a_handler_pushes_and_writes_leaves_when_it_returns() {
    let node = node(
        r#"local copy
        function onConnection(client)
            copy = copy or mona:publish("pushed")
            function client:push(packet, time)
                copy:pushVideo(packet, time)
                for _, other in mona.clients:ipairs() do other.writer:writeInvocation("onPush", time) end
            end
        end"#,
    )
    .await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("pushed").await;
    let frame = pictures::video(0, true, 300);
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let packet = Value::String(frame.payload.clone());
    client.with(|machine| {
        let mut args = Vec::new();
        for value in [packet, 40.0.into()] {
            value.encode_amf0(&mut args).expect("a value of AMF0");
        }
        machine.call("push", &args).expect("the call fits")
    });
    viewer.frames_to(play, &frame).await;
    assert_eq!(viewer.called("onPush").await, [40.0.into()]);
}

async fn set(script: &str) -> (TestNode, Stage) {
    let node = node(script).await;
    let stage = Stage::on(&node).await;
    (node, stage)
}

#[tokio::test]
async fn gen_09_an_error_in_each_handler_is_logged_with_its_line_and_costs_only_that_handler() {
    let script = r#"
    function onManage() error("in onManage") end
    function onConnection(client)
        function client:onManage() error("in client onManage") end
        function client:onPublish(publication)
            function publication:onVideo(time, packet) error("in onVideo") end
            function publication:onAudio(time, packet) error("in onAudio") end
            function publication:onData(name, packet) error("in onData") end
        end
        function client:onUnpublish(publication) error("in onUnpublish") end
        function client:onUnsubscribe(listener) error("in onUnsubscribe") end
        function client:call() error("in a call") end
    end
    function onDisconnection(client) error("in onDisconnection") end
    function onServerConnection(server)
        function server:fail() error("in a call of a server") end
    end
    function onServerDisconnection(server) error("in onServerDisconnection") end"#;
    let (node, mut stage) = set(script).await;
    stage.publish_data(&pictures::metadata("x"));
    for handler in ["onVideo", "onAudio", "onData", "onManage", "client onManage"] {
        node.logged(&["ERROR", "main.lua:", &format!("in {handler}")]).await;
    }
    let other = RtmpClient::connect(node.rtmp(), "").await;
    let own = other.publish("other").await;
    other.play("stage").await;
    other.call("call", &[]).await.expect_err("it fails");
    other.with(|machine| machine.close_stream(own));
    node.logged(&["ERROR", "in onUnpublish"]).await;
    drop(other);
    node.logged(&["ERROR", "in onUnsubscribe"]).await;
    node.logged(&["ERROR", "in onDisconnection"]).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn env_07_a_script_broken_while_it_runs_refuses_newcomers_and_spares_the_stream() {
    let (node, mut stage) = set("-- a good one").await;
    node.write_www("main.lua", "function onConnection( broken, and of another length");
    node.logged(&["ERROR", "main.lua:1:"]).await;
    let (code, text) = open(&node, "").await.refusal().await;
    assert_eq!(code, "NetConnection.Connect.Rejected");
    assert!(text.contains("main.lua:1:"), "{text}");
    stage.assert_untouched(&node).await;
    node.write_www("main.lua", "-- repaired, of yet another length again");
    let mark = node.log_mark();
    node.logged_since(mark, &["Application www loaded"]).await;
    RtmpClient::connect(node.rtmp(), "").await;
    stage.assert_untouched(&node).await;
}

const GENEROUS: &str = r#"
function onConnection(client)
	function client:huge(size)
		self.writer:writeInvocation("onHuge", ("x"):rep(size))
		return "done"
	end
	function client:many(count, length)
		local text = ("x"):rep(length)
		for n = 1, count do self.writer:writeInvocation("onMany", n, text) end
		return "done"
	end
end
"#;

#[tokio::test]
async fn a_string_of_100_mb_for_a_client_costs_at_most_that_client() {
    let (node, mut stage) = set(GENEROUS).await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    client.with(|machine| {
        let mut args = Vec::new();
        Value::from(100e6).encode_amf0(&mut args).expect("a number");
        machine.call("huge", &args).expect("the call fits");
    });
    node.logged(&["WARN", "a script writes faster than its session sends"]).await;
    client.closed().await;
    stage.assert_untouched(&node).await;
    RtmpClient::connect(node.rtmp(), "").await;
}

#[tokio::test]
async fn messages_without_end_for_a_client_that_does_not_read_close_that_client_only() {
    let (node, mut stage) = set(GENEROUS).await;
    let options = ClientOptions { receive_buffer: Some(16_384), ..ClientOptions::default() };
    let client = RtmpClient::connect_with(node.rtmp(), "", options).await;
    client.set_reading(false);
    client.with(|machine| {
        let mut args = Vec::new();
        for number in [200e3, 100.0] {
            Value::from(number).encode_amf0(&mut args).expect("a number");
        }
        machine.call("many", &args).expect("the call fits");
    });
    node.logged(&["client disconnected", &client.local().to_string()]).await;
    stage.assert_untouched(&node).await;
}

/// What one handler writes waits for the client's session: this stays below the bound of 8 MiB.
#[tokio::test]
async fn fifty_thousand_messages_reach_a_client_that_reads_them_in_order() {
    let (node, mut stage) = set(GENEROUS).await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let done = client.call("many", &[50_000.0.into(), 10.0.into()]).await;
    assert_eq!(done, Ok(vec!["done".into()]));
    let calls = client.calls("onMany");
    assert_eq!(calls.len(), 50_000);
    let in_order = calls.iter().zip(1..).all(|(args, n)| args[0] == f64::from(n).into());
    assert!(in_order);
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn sta_07_and_16_a_script_closes_clients_and_publications_and_tells_them_why() {
    let node = node(
        r#"function onConnection(client)
            function client:leave(code) self.writer:close(code) end
            function client:stop(name) mona.publications(name):close("Play.Failed", "the show is over") end
        end"#,
    )
    .await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    let call = |client: &RtmpClient, name: &str, value: Value| {
        let mut args = Vec::new();
        value.encode_amf0(&mut args).expect("a value of AMF0");
        client.with(|machine| machine.call(name, &args).expect("the call fits"));
    };
    call(&publisher, "stop", "stage".into());
    let status = publisher.status(stream, "NetStream.Play.Failed").await;
    assert_eq!(status, ("error".to_owned(), "the show is over".to_owned()));
    viewer.status(play.0, "NetStream.Play.UnpublishNotify").await;
    // The name is free again, for the same client as well.
    publisher.publish("stage").await;
    call(&viewer, "leave", 2.0.into());
    viewer.closed().await;
    let told = format!("{:?}", viewer.events());
    assert!(told.contains("NetConnection.Connect.AppShutdown"), "{told}");
    let idle = RtmpClient::connect(node.rtmp(), "").await;
    call(&idle, "leave", 1.0.into());
    idle.closed().await;
    assert!(format!("{:?}", idle.events()).contains("NetConnection.Connect.IdleTimeout"));
}

#[tokio::test]
async fn cli_12_on_connection_may_shorten_the_timeout_of_its_client() {
    let node = node("function onConnection(client, s) return { timeout = s } end").await;
    let options = ClientOptions { args: vec![1.0.into()], ..ClientOptions::default() };
    let client = RtmpClient::connect_with(node.rtmp(), "", options).await;
    client.set_reading(false);
    node.logged(&["nothing received for 1s", &client.local().to_string()]).await;
}

#[tokio::test]
async fn gen_01_clients_of_two_protocols_count_in_one_global_without_losing_any() {
    let node = node(
        r#"total = 0
        function onConnection(client)
            function client:inc() total = total + 1 end
            function client:read() return total end
        end"#,
    )
    .await;
    let rtmp = RtmpClient::connect(node.rtmp(), "").await;
    let mut websocket = WebSocketClient::connect(node.http(), "/").await;
    for _ in 0..5_000 {
        rtmp.with(|machine| machine.call("inc", &[]).expect("the call fits"));
        websocket.text(r#"["inc"]"#).await;
    }
    // Their calls are answered in order, so both have counted.
    websocket.call(r#"["read"]"#).await;
    assert_eq!(rtmp.call("read", &[]).await, Ok(vec![10_000.0.into()]));
}

#[tokio::test]
async fn evt_05_and_cli_38_and_gen_09_on_manage_comes_every_two_seconds_also_after_an_error() {
    let script = r#"
    function onManage() NOTE("root at ", mona:time()) error("again") end
    function onConnection(client)
        function client:onManage() NOTE("client at ", mona:time()) end
    end
    children("child")"#;
    let node = TestNode::builder("N")
        .www("main.lua", script)
        .www("child/main.lua", r#"function onManage() NOTE("child") end"#)
        .start()
        .await;
    let _client = RtmpClient::connect(node.rtmp(), "child").await;
    wait::until("six turns", || {
        node.count_logged(&["NOTE", "root at "]) >= 6
            && node.count_logged(&["NOTE", "client at "]) >= 6
    })
    .await;
    for whose in ["root at ", "client at "] {
        let lines = node.log_lines().into_iter().filter(|line| line.contains(whose));
        let times: Vec<f64> = lines
            .filter_map(|line| line.split(whose).nth(1)?.split(' ').next()?.parse().ok())
            .collect();
        // Five turns in ten seconds, one more or less.
        let took = (times[5] - times[0]) / 1_000.0;
        assert!((8.0..=12.5).contains(&took), "{whose}: {times:?}");
    }
    assert_eq!(node.count_logged(&["NOTE", "child"]), 0, "a child has no turns of its own");
}
