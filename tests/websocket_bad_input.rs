//! WebSocket clients that lie, flood, do not read or break the protocol.

use ramona_actors::metrics::ActorKind;
use ramona_testkit::{
    RawWebSocket, Stage, Stranger, TestNode, WebSocketClient, frame_header, masked_frame, wait,
};

const ECHO: &str = r#"function onConnection(client)
    function client:echo(...) return ... end
    function client:onMessage(...) return ... end
end"#;

async fn node() -> TestNode {
    TestNode::builder("N").www("main.lua", ECHO).start().await
}

/// The code with which a client that sends these bytes is closed.
async fn code_for(node: &TestNode, bytes: &[u8]) -> u16 {
    let mut raw = RawWebSocket::connect(node.http(), "/").await;
    raw.send(bytes).await;
    let code = raw.close_code().await;
    raw.ended().await;
    code
}

#[tokio::test]
async fn frames_that_lie_about_their_length_are_refused_before_they_are_kept() {
    let node = node().await;
    let mut stage = Stage::on(&node).await;
    for length in [(1 << 20) + 1, 1 << 32, 1 << 62, u64::MAX] {
        let mut raw = RawWebSocket::connect(node.http(), "/").await;
        raw.send(&frame_header(0x82, length)).await;
        assert_eq!(raw.close_code().await, 1009, "{length}");
        // Whatever it sends now is not taken.
        let taken = raw.flood(&[7; 64 << 10], 1 << 30).await;
        assert!(taken < 64 << 20, "{taken} bytes were taken");
    }
    node.logged(&["the peer broke the protocol", "1048576 are allowed"]).await;
    stage.assert_untouched(&node).await;
    assert_eq!(node.sample("ramona_protocol_errors_total"), 4.0);
}

#[tokio::test]
async fn a_frame_that_is_never_finished_holds_no_more_than_its_bytes_and_times_out() {
    let node = TestNode::builder("N").www("main.lua", ECHO).ini("WebSocket.timeout = 1");
    let node = node.start().await;
    let mut raw = RawWebSocket::connect(node.http(), "/").await;
    raw.send(&frame_header(0x81, 1_000)).await;
    raw.send(&[1, 2, 3, 4, b'x']).await;
    assert_eq!(raw.close_code().await, 1001);
}

#[tokio::test]
async fn the_largest_message_passes_and_one_more_byte_does_not() {
    let node = node().await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    let largest = "x".repeat(1 << 20);
    client.text(&largest).await;
    assert_eq!(client.next_bytes().await, largest.as_bytes());
    let mut halves = masked_frame(0x01, &largest.as_bytes()[..1 << 19]);
    halves.extend(masked_frame(0x80, &largest.as_bytes()[..=1 << 19]));
    assert_eq!(code_for(&node, &halves).await, 1009);
}

#[tokio::test]
async fn fragments_without_end_are_refused() {
    let node = node().await;
    let mut raw = RawWebSocket::connect(node.http(), "/").await;
    raw.send(&masked_frame(0x01, b"")).await;
    raw.flood(&masked_frame(0x00, b"").repeat(100), 1 << 20).await;
    assert_eq!(raw.close_code().await, 1009);
}

#[tokio::test]
async fn broken_frames_close_with_1002_and_broken_text_with_1007() {
    let node = node().await;
    for (what, bytes, code) in [
        ("no mask", b"\x81\x01a".to_vec(), 1002),
        ("reserved bits", masked_frame(0xC1, b"a"), 1002),
        ("reserved opcode", masked_frame(0x83, b"a"), 1002),
        ("reserved control opcode", masked_frame(0x8B, b"a"), 1002),
        ("continuation of nothing", masked_frame(0x80, b"a"), 1002),
        ("text in a message", [masked_frame(0x01, b"a"), masked_frame(0x81, b"b")].concat(), 1002),
        ("fragmented ping", masked_frame(0x09, b"a"), 1002),
        ("long ping", masked_frame(0x89, &[b'a'; 126]), 1002),
        ("not UTF-8", masked_frame(0x81, b"a\xffb"), 1007),
        (
            "not UTF-8 in fragments",
            [masked_frame(0x01, b"\xc3"), masked_frame(0x80, b"\x28")].concat(),
            1007,
        ),
        ("no name", masked_frame(0x81, br#"["__publish"]"#), 1007),
    ] {
        assert_eq!(code_for(&node, &bytes).await, code, "{what}");
    }
    // A character cut by a fragment's end is none of these.
    let mut client = RawWebSocket::connect(node.http(), "/").await;
    client.send(&[masked_frame(0x01, b"\xc3"), masked_frame(0x80, b"\xa4")].concat()).await;
    assert_eq!(client.frame().await, (0x82, "ä".into()));
    wait::until("the sessions to end", || node.alive(ActorKind::WebSocketSession) == 1).await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn bombs_of_json_are_strings_or_refused_and_the_node_goes_on() {
    let node = node().await;
    let mut stage = Stage::on(&node).await;
    let deep = "[".repeat(400_000);
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let number = format!("[1{}]", "0".repeat(900_000));
    for (what, text) in [("deep", deep), ("nested", nested), ("number", number)] {
        let mut client = WebSocketClient::connect(node.http(), "/").await;
        client.text(&text).await;
        // Taken as one string, and answered as such.
        assert_eq!(client.next_bytes().await.len(), text.len(), "{what}");
        // As a data message of a publication.
        client.text(r#"["__publish","bomb"]"#).await;
        client.text(&text).await;
        assert_eq!(client.next_bytes().await.len(), text.len(), "{what}");
        client.close().await;
        client.ended().await;
    }
    // Many values are a message all the same, cut to what a function takes, but no data message.
    let wide = format!("[{}1]", "{},".repeat(300_000));
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    client.text(&wide).await;
    assert!(client.next_text().await.starts_with("[[],[],"));
    client.text(r#"["__publish","bomb"]"#).await;
    client.text(&wide).await;
    assert_eq!(client.closed().await.0, 1007);
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_disturbs_nobody() {
    let node = TestNode::builder("N")
        .www(
            "main.lua",
            r#"local text = ("x"):rep(64 * 1024)
            function onConnection(client)
                function client:pour() client.writer:writeRaw(text) end
            end"#,
        )
        .start()
        .await;
    let mut stage = Stage::on(&node).await;
    let mut raw = RawWebSocket::connect(node.http(), "/").await;
    let call = masked_frame(0x81, br#"["pour"]"#);
    // 64 KiB for each call: far more than the queue and all buffers below it hold.
    let poured = raw.flood(&call.repeat(16), call.len() * 4_000).await;
    assert!(poured > 0);
    node.logged(&["client disconnected", "does not read"]).await;
    wait::until("the session to end", || node.alive(ActorKind::WebSocketSession) == 0).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_viewer_that_does_not_read_loses_its_connection_and_nobody_else_a_message() {
    let node = TestNode::builder("N").ini("media.queueBytes = 1048576\nmedia.gopBytes = 1048576");
    let node = node.start().await;
    let mut good = WebSocketClient::connect(node.http(), "/").await;
    good.text(r#"["__play","s"]"#).await;
    let mut bad = RawWebSocket::connect(node.http(), "/").await;
    bad.send(&masked_frame(0x81, br#"["__play","s"]"#)).await;
    let mut publisher = WebSocketClient::connect(node.http(), "/").await;
    publisher.text(r#"["__publish","s"]"#).await;
    assert_eq!(good.next_text().await, r#"["__publishing","s"]"#);
    assert_eq!(bad.frame().await, (0x81, br#"["__publishing","s"]"#.to_vec()));
    let text = format!(r#"["f","{}"]"#, "x".repeat(100_000));
    for index in 0..200 {
        publisher.text(&text).await;
        assert_eq!(good.next_text().await.len(), text.len(), "message {index}");
    }
    node.logged(&["does not read"]).await;
    let closed = r#"ramona_media_closed_viewers_total{protocol="websocket"}"#;
    assert_eq!(node.sample(closed), 1.0);
}

#[tokio::test]
async fn a_client_that_calls_faster_than_the_script_answers_is_not_read_on() {
    let node = TestNode::builder("N")
        .www(
            "main.lua",
            r#"function onConnection(client)
                function client:slow()
                    local t = os.clock()
                    while os.clock() - t < 0.02 do end
                end
                function client:done() return "done" end
            end"#,
        )
        .start()
        .await;
    let mut client = WebSocketClient::connect(node.http(), "/").await;
    let padded = format!(r#"["slow","{}"]"#, "x".repeat(100_000));
    for _ in 0..40 {
        client.text(&padded).await;
    }
    assert_eq!(client.call(r#"["done"]"#).await, r#"["done"]"#);
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn upgrades_that_are_none_are_errors_of_http() {
    let node = node().await;
    let ask = async |head: &str| {
        let mut stranger = Stranger::connect(node.http()).await;
        stranger.send(head.as_bytes()).await;
        let answer = stranger.read(12).await.expect("an answer");
        String::from_utf8(answer).expect("text")
    };
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let no_key = format!("{upgrade}Sec-WebSocket-Version: 13\r\n\r\n");
    assert_eq!(ask(&no_key).await, "HTTP/1.1 400");
    let old = format!("{upgrade}Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: x\r\n\r\n");
    assert_eq!(ask(&old).await, "HTTP/1.1 426");
    let paths = ["/../../etc", "/%2e%2e/x", "/a%00b", "/a%5cb", "/.git", "/%ff"];
    for (path, status) in paths.into_iter().zip([400, 400, 400, 400, 403, 400]) {
        let refused = WebSocketClient::open(node.http(), path, &[]).await;
        assert_eq!(refused.expect_err("refused").0, status, "{path}");
    }
    assert_eq!(node.alive(ActorKind::WebSocketSession), 0);
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_while_the_script_decides_leaves_nothing_behind() {
    let node = TestNode::builder("N")
        .www(
            "main.lua",
            r#"function onConnection(client)
                NOTE("deciding")
                local t = os.clock()
                while os.clock() - t < 0.3 do end
            end
            function onDisconnection(client) NOTE("gone") end"#,
        )
        .start()
        .await;
    let mut stranger = Stranger::connect(node.http()).await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stranger.send(request.as_bytes()).await;
    node.logged(&["deciding"]).await;
    drop(stranger);
    wait::until("the session to end", || node.alive(ActorKind::WebSocketSession) == 0).await;
    wait::until("the connection to end", || node.alive(ActorKind::HttpSession) == 0).await;
}
