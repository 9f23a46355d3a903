//! `ramona probe`: what it tells of a server, and why it fails.

use std::time::Duration;

use ramona::probe::{Probe, run};
use ramona_testkit::{RtmfpClient, RtmpClient, TestNode, pictures};

const REFUSE: &str = r#"function onConnection() error("not today, ", "try again") end"#;

/// The lines of a probe and how it ended.
async fn probe(probe: &Probe) -> (String, Result<(), String>) {
    let mut out = Vec::new();
    let result = run(probe, &mut out).await.map_err(|error| error.to_string());
    (String::from_utf8(out).expect("text"), result)
}

fn has(lines: &str, about: &str, part: &str) {
    let found = lines.lines().any(|line| line.contains(about) && line.contains(part));
    assert!(found, "no line about {about} with {part:?} in\n{lines}");
}

fn impatient(url: String) -> Probe {
    Probe { timeout: Duration::from_millis(700), ..Probe::new(url) }
}

#[tokio::test]
async fn over_rtmfp_each_step_is_told_with_what_was_negotiated() {
    let node = TestNode::builder("A").www("live/main.lua", "").start().await;
    let (lines, result) = probe(&Probe::new(format!("rtmfp://{}/live", node.rtmfp()))).await;
    assert_eq!(result, Ok(()), "{lines}");
    let server = node.logged(&["RTMFP certificate"]).await;
    let server = server.split("peer_id=").nth(1).expect("a peer id").to_owned();
    has(&lines, "hello", &format!("answered by {}", node.rtmfp()));
    has(&lines, "hello", server.trim());
    has(&lines, "keying", "with group 16");
    has(&lines, "keying", "the probe's own computing");
    has(&lines, "session", "sends packets with an HMAC of 16 bytes, numbered");
    has(&lines, "session", "receives packets with an HMAC of 16 bytes, numbered");
    has(&lines, "info", "NetConnection.Connect.Success");
    has(&lines, "round trip", "5 pings");
    has(&lines, "end", "closed by the probe");
    node.logged(&["client disconnected"]).await;
}

#[tokio::test]
async fn over_rtmp_each_step_is_told_too() {
    let node = TestNode::builder("A").www("live/main.lua", "").start().await;
    let (lines, result) = probe(&Probe::new(format!("rtmp://{}/live", node.rtmp()))).await;
    assert_eq!(result, Ok(()), "{lines}");
    has(&lines, "tcp", "connected");
    has(&lines, "handshake", "with digests");
    has(&lines, "info", "NetConnection.Connect.Success");
    has(&lines, "round trip", "5 pings");
}

#[tokio::test]
async fn a_stream_is_played_and_counted_over_both_protocols() {
    let node = TestNode::builder("A").start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("test").await;
    let frames = pictures::stream(20, 10, 2_000);
    publisher.send(stream, &frames);
    node.logged(&["publication started"]).await;
    for url in [format!("rtmfp://{}/", node.rtmfp()), format!("rtmp://{}/", node.rtmp())] {
        let play = Some(("test".to_owned(), Duration::from_millis(500)));
        let (lines, result) = probe(&Probe { play, ..Probe::new(&url) }).await;
        assert_eq!(result, Ok(()), "{url}\n{lines}");
        has(&lines, "status", "NetStream.Play.Start");
        has(&lines, "play", "first message after");
        // The cached group: headers, ten pictures with a key frame, ten sounds.
        has(&lines, "play", "video: 11 messages");
        has(&lines, "play", "1 key frames");
        has(&lines, "play", "audio: 11 messages");
    }
}

#[tokio::test]
async fn a_stream_that_nobody_publishes_is_a_failure() {
    let node = TestNode::builder("A").start().await;
    for url in [format!("rtmfp://{}/", node.rtmfp()), format!("rtmp://{}/", node.rtmp())] {
        let play = Some(("nothing".to_owned(), Duration::from_millis(300)));
        let (lines, result) = probe(&Probe { play, ..Probe::new(&url) }).await;
        let text = result.expect_err(&lines);
        assert!(text.contains("nobody publishes that name"), "{url}: {text}");
    }
}

#[tokio::test]
async fn a_member_of_a_group_is_told_and_met() {
    let node = TestNode::builder("A").start().await;
    let member = RtmfpClient::connect(node.rtmfp(), "").await;
    member.with(|server| server.join_group_of(b"a group").expect("there is room"));
    node.logged(&["group created"]).await;
    let group = Some(("a group".to_owned(), Duration::from_millis(1_500)));
    let url = format!("rtmfp://{}/", node.rtmfp());
    let (lines, result) = probe(&Probe { group, ..Probe::new(url) }).await;
    assert_eq!(result, Ok(()), "{lines}");
    has(&lines, "member", &member.peer_id().to_string());
    has(&lines, "met", &member.local().to_string());
    has(&lines, "keepalive", "every 15000 ms with the server, 10000 ms with peers");
    has(&lines, "group", "1 members were told, 1 met");
}

#[tokio::test]
async fn a_peer_is_met_by_its_id_and_the_failures_say_why() {
    let node = TestNode::builder("A").start().await;
    let url = format!("rtmfp://{}/", node.rtmfp());
    let peer = RtmfpClient::connect(node.rtmfp(), "").await;
    let meet =
        |who: String| Probe { meet: Some((who, Duration::from_secs(2))), ..Probe::new(&url) };
    let (lines, result) = probe(&meet(peer.peer_id().to_string())).await;
    assert_eq!(result, Ok(()), "{lines}");
    has(&lines, "met", &peer.local().to_string());
    let (_, result) = probe(&meet("07".repeat(32))).await;
    assert!(result.expect_err("nobody").contains("the server knows no such peer"));
    let (_, result) = probe(&meet("nonsense".to_owned())).await;
    assert!(result.expect_err("no id").contains("is no peer id of 64 hex digits"));
}

#[tokio::test]
async fn without_a_server_the_step_and_what_may_be_the_reason_are_named() {
    // Ports that were free a moment ago.
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).unwrap();
    let (_, result) = probe(&impatient(format!("rtmfp://{udp}/live"))).await;
    let text = result.expect_err("nobody is there");
    assert!(text.starts_with("answer to Initiator Hello: nothing came within 0.7 s"), "{text}");
    assert!(text.contains("nothing listens on that UDP port"), "{text}");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).unwrap();
    let (lines, result) = probe(&impatient(format!("rtmp://{tcp}/live"))).await;
    let text = result.expect_err("nobody is there");
    assert!(text.starts_with("TCP connection: Connection refused"), "{text}");
    has(&lines, "tcp", &tcp.to_string());
}

#[tokio::test]
async fn who_does_not_speak_the_protocol_is_told_apart_from_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let (_, result) = probe(&impatient(format!("rtmp://{silent}/live"))).await;
    let text = result.expect_err("nothing is said");
    assert!(text.contains("does not speak RTMP"), "{text}");
}

#[tokio::test]
async fn refusals_are_told_with_the_words_of_the_server() {
    let node = TestNode::builder("A").www("closed/main.lua", REFUSE).start().await;
    for url in [format!("rtmfp://{}", node.rtmfp()), format!("rtmp://{}", node.rtmp())] {
        let (_, result) = probe(&Probe::new(format!("{url}/nope"))).await;
        let wrong_app = "connect: refused: NetConnection.Connect.InvalidApp \
                         Application /nope doesn't exist";
        assert_eq!(result, Err(wrong_app.to_owned()));
        let (_, result) = probe(&Probe::new(format!("{url}/closed"))).await;
        let refused =
            "connect: refused: NetConnection.Connect.Rejected not today, try again".to_owned();
        assert_eq!(result, Err(refused));
    }
}

#[tokio::test]
async fn what_is_no_url_and_a_name_without_address_are_told_before_anything_is_sent() {
    for (url, part) in [
        ("http://127.0.0.1/live", "is no URL like rtmp://host[:port]/app"),
        ("rtmfp://name.invalid/live", "name.invalid:1935 has no address"),
    ] {
        let (lines, result) = probe(&Probe::new(url)).await;
        let text = result.expect_err(url);
        assert!(text.contains(part) && lines.is_empty(), "{text}\n{lines}");
    }
}
