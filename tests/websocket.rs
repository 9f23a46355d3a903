//! WebSocket clients and scripts: calls, messages, publications, who may come in and how it ends.

use std::time::Duration;

use ramona_actors::metrics::ActorKind;
use ramona_amf::Value;
use ramona_media::{MediaFrame, MediaKind};
use ramona_testkit::{RawWebSocket, RtmpClient, TestNode, WebSocketClient, masked_frame, wait};
use tokio_tungstenite::tungstenite::Message;

async fn node(script: &str) -> TestNode {
    TestNode::builder("N").www("main.lua", script).start().await
}

async fn open(node: &TestNode, path: &str) -> Result<WebSocketClient, (u16, String)> {
    WebSocketClient::open(node.http(), path, &[]).await
}

#[tokio::test]
async fn wsk_01_arrays_call_functions_and_everything_else_is_a_message() {
    let node = node(
        r#"function onConnection(client)
            function client:test(a) return "test " .. a end
            function client:two(...) return ... end
            function client:nothing() end
            function client:onMessage(...)
                local first = ...
                if type(first) == "string" then return "got " .. first end
                return select('#', ...), ...
            end
        end"#,
    )
    .await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    assert_eq!(client.call(r#"["test","a"]"#).await, r#"["test a"]"#);
    assert_eq!(client.call(r#"["two",1,{"x":[null]},true]"#).await, r#"[1,{"x":[]},true]"#);
    assert_eq!(client.call("[1,2,3]").await, "[3,1,2,3]");
    client.text(r#"["nothing"]"#).await;
    client.text("hello").await;
    assert_eq!(client.next_bytes().await, b"got hello");
    client.text(r#"{"a":1}"#).await;
    assert_eq!(client.next_bytes().await, br#"got {"a":1}"#);
    client.text("[1,").await;
    assert_eq!(client.next_bytes().await, b"got [1,");
    client.bytes(b"\x00\xff").await;
    assert_eq!(client.next_bytes().await, b"got \x00\xff");
}

#[tokio::test]
async fn cli_30_a_text_arrives_as_one_string() {
    let node = node(
        r#"function onConnection(client)
            function client:onMessage(...)
                NOTE("message ", select('#', ...), " ", type(...), " ", ...)
            end
        end"#,
    )
    .await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    client.text("hello").await;
    node.logged(&["message 1 string hello"]).await;
}

#[tokio::test]
async fn wsk_02_a_failed_call_and_an_unknown_method_close_with_1002() {
    let node = node(
        r#"function onConnection(client)
            function client:fails() error("it went wrong") end
            function client:onSubscribe() end
        end"#,
    )
    .await;
    let close = async |message: &str| {
        let mut client = WebSocketClient::connect(node.http(), "/").await;
        client.text(message).await;
        client.closed().await
    };
    let (code, text) = close(r#"["fails"]"#).await;
    assert_eq!(code, 1002);
    assert!(text.ends_with("main.lua:2: it went wrong"), "{text}");
    for name in ["none", "onSubscribe", "onPublish", "send", "__index", "connect", "writer"] {
        let expected = (1002, format!("Method '{name}' not found"));
        assert_eq!(close(&format!(r#"["{name}"]"#)).await, expected);
    }
    assert_eq!(close("no handler").await, (1002, "Method 'onMessage' not found".to_owned()));
    assert_eq!(close(r#"["__play"]"#).await.0, 1007);
    wait::until("the sessions to end", || node.alive(ActorKind::WebSocketSession) == 0).await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn wsk_02_a_refused_client_gets_an_error_of_http_instead_of_101() {
    let node = TestNode::builder("N")
        .www("main.lua", "function onConnection(client) error('not tonight') end")
        .www("broken/main.lua", "function (")
        .www("parent/child/main.lua", "")
        .start()
        .await;
    let (code, text) = open(&node, "/").await.expect_err("refused");
    assert_eq!(code, 500);
    assert!(text.contains("not tonight"), "{text}");
    let (code, text) = open(&node, "/broken").await.expect_err("refused");
    assert_eq!(code, 500);
    assert!(text.contains("main.lua:1:"), "{text}");
    let (code, text) = open(&node, "/no/where").await.expect_err("refused");
    assert_eq!(code, 503);
    assert!(text.contains("Application /no"), "{text}");
    assert!(text.contains("doesn&#39;t exist"), "{text}");
    wait::until("the sessions to end", || node.alive(ActorKind::WebSocketSession) == 0).await;
    assert!(!node.has_logged(&["client connected"]));
}

#[tokio::test]
async fn htt_01_a_url_is_an_application_or_a_name_in_its_parent() {
    let report = r#"function onConnection(client)
        function client:where() return client.path, client.query, client.protocol end
    end"#;
    let node = TestNode::builder("N")
        .www("main.lua", report)
        .www("live/main.lua", "")
        .www("Games/my game/main.lua", "")
        .start()
        .await;
    for (url, expected) in [
        ("/", r#"["","","WebSocket"]"#),
        ("/live", r#"["/live","","WebSocket"]"#),
        ("/live/?x=1", r#"["/live","x=1","WebSocket"]"#),
        ("/other?y", r#"["","y","WebSocket"]"#),
        ("/live/name", r#"["/live","","WebSocket"]"#),
        ("/Games/my%20game", r#"["/Games/my game","","WebSocket"]"#),
        ("/other/../live//", r#"["/live","","WebSocket"]"#),
    ] {
        let mut client = WebSocketClient::connect(node.http(), url).await;
        assert_eq!(client.call(r#"["where"]"#).await, expected, "{url}");
    }
}

#[tokio::test]
async fn cli_06_and_cli_10_and_evt_03_the_script_sees_protocol_query_headers_and_cookies() {
    let node = node(
        r#"function onConnection(client, first, second)
            client.first, client.second = first, second
            function client:see()
                return client.protocol, client.first, client.second.a, client.a,
                    client.properties["X-Colour"], client.properties.size, #client.rawId,
                    client.address:match("^127%.0%.0%.1:%d+$") ~= nil
            end
        end"#,
    )
    .await;
    let headers = [("X-Colour", "blue"), ("Cookie", "size=12; name=x")];
    let mut client =
        WebSocketClient::open(node.http(), "/?word&a=5", &headers).await.expect("accepted");
    let seen = client.call(r#"["see"]"#).await;
    assert_eq!(seen, r#"["WebSocket","word",5,5,"blue",12,32,true]"#);
}

#[tokio::test]
async fn wri_01_and_02_and_03_writers_push_texts_and_bytes() {
    let node = node(
        r#"function onConnection(client)
            client.writer:writeInvocation("early", 1)
            function client:push()
                client.writer:writeInvocation("onNews", "x", {a=1})
                client.writer:writeInvocation()
                client.writer:writeMessage("m", 2)
                client.writer:writeRaw("raw\0", 7)
                client.writer:writeStatusResponse("Call.Failed", "x")
                return "done"
            end
        end"#,
    )
    .await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    assert_eq!(client.next_text().await, r#"["early",1]"#);
    client.text(r#"["push"]"#).await;
    assert_eq!(client.next_text().await, r#"["onNews","x",{"a":1}]"#);
    assert_eq!(client.next_text().await, r#"["onMessage"]"#);
    assert_eq!(client.next_text().await, r#"["m",2]"#);
    assert_eq!(client.next_bytes().await, b"raw\0");
    assert_eq!(client.next_bytes().await, b"7");
    assert_eq!(client.next_text().await, r#"["done"]"#);
    node.logged(&["WARN", "writeStatusResponse"]).await;
}

#[tokio::test]
async fn wri_05_flush_sends_before_the_handler_ends() {
    let node = TestNode::builder("N")
        .www(
            "main.lua",
            r#"function onConnection(client)
                function client:slow(file)
                    client.writer:writeInvocation("first")
                    local sent = client.writer:flush()
                    while not io.open(file) do end
                    return sent
                end
            end"#,
        )
        .ini("script.budget = 60")
        .start()
        .await;
    // The handler returns when this file is there, which is written when "first" has come.
    let file = node.dir().join("go on");
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    let call = format!(r#"["slow","{}"]"#, file.display());
    assert_eq!(client.call(&call).await, r#"["first"]"#);
    std::fs::write(&file, "").expect("the file is written");
    assert_eq!(client.next_text().await, "[true]");
}

#[tokio::test]
async fn wri_07_close_of_a_script_is_a_close_frame_with_its_code() {
    let node = node(
        r#"function onConnection(client)
            function client:close(code) client.writer:close(code) end
        end
        function onDisconnection(client) NOTE("gone ", client.path) end"#,
    )
    .await;
    for (argument, code) in
        [("", 1000), (",0", 1000), (",4001", 4001), (",1008", 1008), (",2", 1001)]
    {
        let mark = node.log_mark();
        let mut client = WebSocketClient::connect(node.http(), "/").await;
        client.text(&format!(r#"["close"{argument}]"#)).await;
        assert_eq!(client.closed().await.0, code, "{argument}");
        client.ended().await;
        node.logged_since(mark, &["gone"]).await;
    }
}

#[tokio::test]
async fn the_close_frame_of_a_client_is_answered_and_ends_its_session() {
    let node = node("function onDisconnection(client) NOTE('gone') end").await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    client.close().await;
    client.ended().await;
    node.logged(&["gone"]).await;
    let mut raw = RawWebSocket::connect(node.http(), "/").await;
    raw.send(&masked_frame(0x88, &[0x0F, 0xA1, b'b', b'y', b'e'])).await;
    assert_eq!(raw.close_code().await, 4001);
    raw.ended().await;
    drop(WebSocketClient::connect(node.http(), "/").await);
    wait::until("the sessions to end", || node.alive(ActorKind::WebSocketSession) == 0).await;
    wait::until("the connections to end", || node.alive(ActorKind::HttpSession) == 0).await;
}

const OPEN_STAGE: &str = r#"
    function onConnection(client)
        function client:onPublish(publication)
            NOTE("publish ", publication.name, " ", client.protocol)
            if publication.name == "closed" then return false end
        end
        function client:onUnpublish(publication) NOTE("unpublish ", publication.name) end
        function client:onSubscribe(listener)
            NOTE("subscribe ", listener.publication.name, " ", listener.a)
            if listener.publication.name == "closed" then error("go to b.example") end
        end
        function client:onUnsubscribe(listener) NOTE("unsubscribe ", listener.publication.name) end
    end"#;

#[tokio::test]
async fn wsk_03_publish_and_play_raise_the_events_of_the_script() {
    let node = node(OPEN_STAGE).await;
    let mut publisher = WebSocketClient::connect(node.http(), "/").await;
    publisher.text(r#"["__publish","s"]"#).await;
    node.logged(&["publish s WebSocket"]).await;
    let mut player = WebSocketClient::connect(node.http(), "/").await;
    player.text(r#"["__play","s?a=7"]"#).await;
    node.logged(&["subscribe s 7"]).await;
    assert_eq!(player.next_text().await, r#"["__publishing","s"]"#);
    publisher.text(r#"["onData",{"x":1},"ä"]"#).await;
    assert_eq!(player.next_text().await, r#"["onData",{"x":1},"ä"]"#);
    publisher.text(r#"["__closePublish"]"#).await;
    assert_eq!(player.next_text().await, r#"["__unpublishing","s"]"#);
    node.logged(&["unpublish s"]).await;
    player.text(r#"["__closePlay"]"#).await;
    node.logged(&["unsubscribe s"]).await;
    // Both at once, and by the end of the connection.
    publisher.text(r#"["__publish","t"]"#).await;
    publisher.text(r#"["__play","u"]"#).await;
    node.logged(&["subscribe u"]).await;
    publisher.text(r#"["__close"]"#).await;
    node.logged(&["unpublish t"]).await;
    node.logged(&["unsubscribe u"]).await;
    publisher.text(r#"["__publish","v"]"#).await;
    node.logged(&["publish v"]).await;
    drop(publisher);
    node.logged(&["unpublish v"]).await;
}

#[tokio::test]
async fn wsk_02_refused_publications_and_subscriptions_close_with_1002_and_the_text() {
    let node = node(OPEN_STAGE).await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    client.text(r#"["__play","closed"]"#).await;
    assert_eq!(client.closed().await, (1002, "go to b.example".to_owned()));
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    client.text(r#"["__publish","closed"]"#).await;
    assert_eq!(client.closed().await, (1002, "Not allowed to publish closed".to_owned()));
    let first = RtmpClient::connect(node.rtmp(), "").await;
    first.publish("taken").await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    client.text(r#"["__publish","taken"]"#).await;
    assert_eq!(client.closed().await, (1002, "the name is already publishing".to_owned()));
}

#[tokio::test]
async fn wsk_04_data_messages_pass_between_rtmp_and_websocket_and_media_does_not() {
    let node = node("").await;
    let mut player = WebSocketClient::connect(node.http(), "/").await;
    player.text(r#"["__play","s"]"#).await;
    let mut amf = WebSocketClient::connect(node.http(), "/").await;
    amf.text(r#"["__play","s?dataType=amf"]"#).await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("s").await;
    assert_eq!(player.next_text().await, r#"["__publishing","s"]"#);
    assert_eq!(amf.next_text().await, r#"["__publishing","s"]"#);
    let mut body = Vec::new();
    for value in [Value::from("f"), 1.0.into(), "x".into()] {
        value.encode_amf0(&mut body).expect("AMF0");
    }
    let video = MediaFrame::new(MediaKind::Video, 0, bytes::Bytes::from_static(b"\x17\x01key"));
    let data = MediaFrame::new(MediaKind::Data, 10, body.clone().into());
    publisher.send(stream, [&video, &data]);
    assert_eq!(player.next_text().await, r#"["f",1,"x"]"#);
    assert_eq!(amf.next_bytes().await, body);

    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("t").await;
    player.text(r#"["__publish","t"]"#).await;
    player.text(r#"["f",1,"x"]"#).await;
    let is_data = |frames: &[MediaFrame]| {
        frames.iter().find(|frame| frame.payload == body).map(|frame| frame.kind)
    };
    let kind = wait::until_some("the data message", || is_data(&viewer.frames(play))).await;
    assert_eq!(kind, MediaKind::Data);
    let sample = r#"ramona_media_out_frames_total{protocol="websocket"}"#;
    assert_eq!(node.sample(sample), 2.0);
}

#[tokio::test]
async fn wsk_04_a_player_in_the_publishers_format_gets_the_same_values_in_the_same_order() {
    let node = node("").await;
    let mut player = WebSocketClient::connect(node.http(), "/").await;
    player.text(r#"["__play","s"]"#).await;
    let mut publisher = WebSocketClient::connect(node.http(), "/").await;
    publisher.text(r#"["__publish","s"]"#).await;
    assert_eq!(player.next_text().await, r#"["__publishing","s"]"#);
    for json in [
        r#"["f"]"#,
        r#"["f",{},[],[{}],[[]],""]"#,
        r#"["f",{"z":1,"a":{"y":null,"b":[true,false,null]}}]"#,
        r#"["f",1e300,-0.5,9007199254740991,0.1,123456789.125]"#,
        r#"["f","\u0000 \" \\ é \ud83d\ude00",{"":1,"é":2}]"#,
        r#"["f",{"__type":"Cat","name":"Tom"},{"__raw":"/wA="}]"#,
        r#"["f","1998-09-16T23:48:10.435Z","2014-01-01"]"#,
        r#"[1,"no name first"]"#,
    ] {
        publisher.text(json).await;
        let back = player.next_text().await;
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(numbers(value(&back)), numbers(value(json)), "{json} came as {back}");
        // Byte for byte, unless there are several ways to write it.
        if !json.contains("1e300") && !json.contains("\\u") {
            assert_eq!(back, json);
        }
    }
}

/// 1 and 1.0 are one number.
fn numbers(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(values) => values.into_iter().map(numbers).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, numbers(value))).collect())
        }
        other => other,
    }
}

#[tokio::test]
async fn pub_18_and_22_bytes_and_json_of_a_script_reach_a_websocket_as_they_are() {
    let node = node(
        r#"stream = mona:publish("s")
        function onConnection(client)
            function client:push() stream:pushData("raw \1 bytes") stream:pushData('["f",1]') end
            function client:json(text) stream:pushData(text) stream:pushJSONData(text) end
        end"#,
    )
    .await;
    let flash = RtmpClient::connect(node.rtmp(), "").await;
    let shown = flash.play("s").await;
    let mut player = WebSocketClient::connect(node.http(), "/").await;
    player.text(r#"["__play","s"]"#).await;
    assert_eq!(player.next_text().await, r#"["__publishing","s"]"#);
    player.text(r#"["push"]"#).await;
    assert_eq!(player.next_bytes().await, b"raw \x01 bytes");
    assert_eq!(player.next_text().await, r#"["f",1]"#);
    // What is JSON stays the same JSON, and is a message of AMF for players of Flash.
    let json = r#"["g",{},[],[1,null,2.5,[]],{"a":{},"b":[null],"c":"é\n"},null,true]"#;
    player.text(&format!(r#"["json",{}]"#, serde_json::json!(json))).await;
    for _ in 0..2 {
        assert_eq!(player.next_text().await, json);
    }
    let is_g = |frame: &&ramona_media::MediaFrame| frame.payload.starts_with(b"\x02\0\x01g");
    let frames = flash
        .frames_until(shown, "both messages", |frames| frames.iter().filter(is_g).count() == 2);
    let frames = frames.await;
    let (values, problem) =
        ramona_amf::decode_amf0_all(&frames.iter().rfind(is_g).expect("it came").payload);
    assert!(problem.is_none(), "{problem:?}");
    assert_eq!(values.len(), 7);
    assert_eq!(values[2], Value::Array(Vec::new()));
    let list = [1.0.into(), Value::Null, 2.5.into(), Value::Array(Vec::new())];
    assert_eq!(values[3], Value::Array(list.into()));
    assert_eq!(values[5..], [Value::Null, true.into()]);
}

#[tokio::test]
async fn pub_05_a_script_ends_the_publication_of_a_client_which_is_told() {
    let node = node(
        r#"function onConnection(client)
            function client:onPublish(publication) client.publication = publication end
            function client:stop() client.publication:close("Publish.Error", "enough") end
        end"#,
    )
    .await;
    let mut publisher = WebSocketClient::connect(node.http(), "/").await;
    publisher.text(r#"["__publish","s"]"#).await;
    let other = node.logged(&["publication started"]).await;
    assert!(other.contains("s"), "{other}");
    let mut second = WebSocketClient::connect(node.http(), "/").await;
    second.text(r#"["__play","s"]"#).await;
    assert_eq!(second.next_text().await, r#"["__publishing","s"]"#);
    // A publisher's arrays are data, so the order comes from the script's own time.
    node.write_www(
        "main.lua",
        r#"function onManage()
            for id, client in pairs(mona.clients) do
                if client.publication then client:stop() client.publication = nil end
            end
        end"#,
    );
    assert_eq!(publisher.next_text().await, r#"["__closePublish","Publish.Error","enough"]"#);
    assert_eq!(second.next_text().await, r#"["__unpublishing","s"]"#);
}

#[tokio::test]
async fn cfg_17_and_wsk_05_only_clients_that_answer_pings_outlive_the_timeout() {
    let node = TestNode::builder("N")
        .www("main.lua", "function onDisconnection(client) NOTE('gone') end")
        .ini("WebSocket.timeout = 2")
        .start()
        .await;
    let mut silent = RawWebSocket::connect(node.http(), "/").await;
    let mut alive = WebSocketClient::connect(node.http(), "/").await;
    let ended = async {
        let begin = std::time::Instant::now();
        assert_eq!(silent.close_code().await, 1001);
        begin.elapsed()
    };
    // Reading answers the pings.
    let (after, ()) = tokio::join!(ended, async {
        alive.text("x").await;
        assert_eq!(alive.closed().await.0, 1002, "the message had no handler");
    });
    assert!(after >= Duration::from_millis(1_900), "{after:?}");
    node.logged(&["idle timeout"]).await;
    let mut listener = WebSocketClient::connect(node.http(), "/").await;
    let stays = tokio::time::timeout(Duration::from_secs(5), listener.next()).await;
    assert!(stays.is_err(), "a client that answers pings stays: {stays:?}");
}

#[tokio::test]
async fn evt_03_the_table_of_on_connection_sets_the_timeout() {
    let node = node("function onConnection(client) return {timeout = 1} end").await;
    let mut silent = RawWebSocket::connect(node.http(), "/").await;
    assert_eq!(silent.close_code().await, 1001);
}

#[tokio::test]
async fn cli_07_a_ping_is_measured_early_and_clients_may_ping_too() {
    let node =
        node("function onConnection(client) function client:ping_() return client.ping end end")
            .await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    assert_eq!(client.call(r#"["ping_"]"#).await, "[0]");
    client.send(Message::Ping(bytes::Bytes::from_static(b"mine"))).await;
    assert_eq!(client.pong().await, b"mine");
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    while client.call(r#"["ping_"]"#).await == "[0]" {
        assert!(std::time::Instant::now() < deadline, "no ping was measured");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn fragments_become_one_message_and_a_subprotocol_is_taken_as_asked() {
    let node =
        node("function onConnection(client) function client:onMessage(...) return ... end end")
            .await;
    let mut raw = RawWebSocket::connect(node.http(), "/").await;
    let mut frames = masked_frame(0x01, b"[1,");
    frames.extend(masked_frame(0x89, b"p"));
    frames.extend(masked_frame(0x00, b"2"));
    frames.extend(masked_frame(0x80, b",3]"));
    raw.send(&frames).await;
    assert_eq!(raw.frame().await, (0x8A, b"p".to_vec()));
    assert_eq!(raw.frame().await, (0x81, b"[1,2,3]".to_vec()));
    let headers = [("Sec-WebSocket-Protocol", "chat.v2, chat")];
    let client = WebSocketClient::open(node.http(), "/", &headers).await.expect("accepted");
    assert_eq!(client.subprotocol(), Some("chat.v2"));
}

#[tokio::test]
async fn a_stopping_node_says_1001() {
    let mut node = node("").await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    let (time, closed) = tokio::join!(node.stop(), client.closed());
    assert_eq!(closed, (1001, "the server stops".to_owned()));
    assert!(time < Duration::from_secs(30), "{time:?}");
}

#[tokio::test]
async fn all_protocols_are_clients_of_one_application() {
    let node = node(
        r#"function onConnection(client)
            function client:say(text)
                for id, other in pairs(mona.clients) do
                    other.writer:writeInvocation("onSay", client.protocol, text)
                end
            end
        end"#,
    )
    .await;
    let flash = RtmpClient::connect(node.rtmp(), "").await;
    let mut page = WebSocketClient::connect(node.http(), "/").await;
    page.text(r#"["say","hi"]"#).await;
    assert_eq!(page.next_text().await, r#"["onSay","WebSocket","hi"]"#);
    assert_eq!(flash.called("onSay").await, ["WebSocket".into(), "hi".into()]);
}

#[tokio::test]
async fn mon_10_and_pub_16_and_sta_12_who_waits_hears_of_a_script_that_publishes_and_ends() {
    let node = node(
        r#"function onConnection(client)
            function client:onSubscribe() NOTE("waits") end
            function client:begin() stage = mona:publish("s") return #stage.listeners, stage.running end
            function client:about()
                stage:writeProperties({ width = 320 })
                stage:writeProperties("onOther", { x = 1 })
                stage:pushData("f", 1)
            end
            function client:finish() stage:close() return #mona.publications end
            function client:forget() stage = nil collectgarbage() collectgarbage() return #mona.publications end
        end"#,
    )
    .await;
    let mut player = WebSocketClient::connect(node.http(), "/").await;
    player.text(r#"["__play","s"]"#).await;
    node.logged(&["NOTE", "waits"]).await;
    let mut asker = WebSocketClient::connect(node.http(), "/").await;
    for end in ["finish", "forget"] {
        assert_eq!(asker.call(r#"["begin"]"#).await, "[1,true]");
        assert_eq!(player.next_text().await, r#"["__publishing","s"]"#);
        asker.text(r#"["about"]"#).await;
        assert_eq!(player.next_text().await, r#"["onMetaData",{"width":320}]"#);
        assert_eq!(player.next_text().await, r#"["onOther",{"x":1}]"#);
        assert_eq!(player.next_text().await, r#"["f",1]"#);
        assert_eq!(asker.call(&format!(r#"["{end}"]"#)).await, "[0]");
        assert_eq!(player.next_text().await, r#"["__unpublishing","s"]"#);
    }
}
