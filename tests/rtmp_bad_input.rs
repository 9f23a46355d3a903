//! Whoever sends rubbish to the RTMP port or the link port costs a log line and nothing else: a
//! stream that goes on beside it loses no frame.

use std::sync::atomic::Ordering::Relaxed;

use ramona_cluster::encode_call;
use ramona_rtmp::{Message, StreamId};
use ramona_testkit::{ClientOptions, LinkedStranger, RtmpClient, Stage, Stranger, TestNode, wait};

const SCRIPT: &str = r#"
function onConnection(client)
	function client:take(value) return type(value) end
end
function onServerConnection(server)
	function server:take(value) NOTE("took a ", type(value)) end
end
"#;

async fn set() -> (TestNode, Stage) {
    let node = TestNode::builder("N").linkable().www("main.lua", SCRIPT).start().await;
    let stage = Stage::on(&node).await;
    (node, stage)
}

/// Both halves of a simple handshake; the server's answer is not looked at.
fn handshake() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0; 1_536]);
    bytes.extend([0; 1_536]);
    bytes
}

/// Bytes sent to the RTMP port, and what the log calls them.
async fn rtmp_stranger_is_told_off(bytes: &[u8], named: &str) {
    let (node, mut stage) = set().await;
    let errors = node.metrics().protocol_errors.load(Relaxed);
    let mut stranger = Stranger::connect(node.rtmp()).await;
    let peer = stranger.local().to_string();
    stranger.send(bytes).await;
    stranger.closed().await;
    node.logged(&["WARN", named, &peer]).await;
    assert_eq!(node.metrics().protocol_errors.load(Relaxed), errors + 1);
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn rubbish_on_the_rtmp_port_is_closed_and_named() {
    rtmp_stranger_is_told_off(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n", "RTMP").await;
}

#[tokio::test]
async fn a_message_that_claims_more_than_its_kind_may_have_is_closed_and_named() {
    // Chunk stream 3, type 0: time 0, length 0xFFFFFF, a command, stream 0.
    let mut bytes = handshake();
    bytes.extend(b"\x03\0\0\0\xFF\xFF\xFF\x14\0\0\0\0rubbish");
    rtmp_stranger_is_told_off(&bytes, "16777215").await;
}

#[tokio::test]
async fn unfinished_messages_that_grow_on_many_chunk_streams_are_closed_and_named() {
    let mut bytes = handshake();
    // Media of 8 MiB each, none of which ever ends: 128 bytes of each of some hundred streams.
    for stream in 64..=319_u16 {
        bytes.extend([0, (stream - 64) as u8]);
        bytes.extend(b"\0\0\0\x7F\xFF\xFF\x09\0\0\0\0");
        bytes.extend([0xAA; 128]);
    }
    rtmp_stranger_is_told_off(&bytes, "chunk streams").await;
}

#[tokio::test]
async fn a_message_that_grows_for_ever_ends_at_the_bound_of_its_kind() {
    let (node, mut stage) = set().await;
    let mut stranger = Stranger::connect(node.rtmp()).await;
    let peer = stranger.local().to_string();
    assert!(stranger.send(&handshake()).await);
    // One message of 16 MiB in chunks: refused at its first chunk, however much is sent.
    let mut chunks = b"\x04\0\0\0\xFF\xFF\xFF\x09\0\0\0\0".to_vec();
    chunks.extend([0; 128]);
    for _ in 0..1_000 {
        chunks.push(0xC4);
        chunks.extend([0; 128]);
    }
    stranger.flood(&chunks, 64 << 20).await;
    node.logged(&["WARN", "16777215", &peer]).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_truncated_connection_ends_without_a_trace_in_others() {
    let (node, mut stage) = set().await;
    let whole = handshake();
    for length in [0, 1, 700, 1_537, 2_000, 3_073] {
        let mut stranger = Stranger::connect(node.rtmp()).await;
        let peer = stranger.local().to_string();
        stranger.send(&whole[..length]).await;
        stranger.finish().await;
        stranger.closed().await;
        node.logged(&["connection ended before connect", &peer]).await;
    }
    stage.assert_untouched(&node).await;
}

/// AMF0: strict arrays inside each other.
fn nested_amf0(depth: usize) -> Vec<u8> {
    let mut bytes = b"\x0A\0\0\0\x01".repeat(depth);
    bytes.push(5);
    bytes
}

#[tokio::test]
async fn amf_nested_ten_thousand_deep_on_the_rtmp_port_costs_only_that_message_or_client() {
    let (node, mut stage) = set().await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    client.with(|machine| machine.call("take", &nested_amf0(10_000)).expect("the call fits"));
    let peer = client.local().to_string();
    wait::until("a log line about the nesting", || {
        let lines = node.log_lines();
        lines.iter().any(|line| {
            (line.starts_with("WARN") || line.starts_with("ERROR"))
                && (line.contains(&peer) || line.contains("script"))
                && (line.contains("nest") || line.contains("deep") || line.contains("levels"))
        })
    })
    .await;
    drop(client);
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_connect_object_nested_ten_thousand_deep_is_refused() {
    let (node, mut stage) = set().await;
    let client = RtmpClient::dial(node.rtmp(), &ClientOptions::default()).await;
    let mut payload = b"\x02\0\x07connect\0\x3F\xF0\0\0\0\0\0\0".to_vec();
    payload.extend(b"\x03\0\x03app");
    payload.extend(nested_amf0(10_000));
    payload.extend(b"\0\0\x09");
    client.send_message(&Message {
        kind: 20,
        stream: StreamId(0),
        timestamp_ms: 0,
        payload: payload.into(),
    });
    client.closed().await;
    node.logged(&["WARN", &client.local().to_string()]).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_frame_of_four_gigabytes_closes_its_link_and_nothing_else() {
    let (node, mut stage) = set().await;
    let mut peer = LinkedStranger::link(node.links(), None).await;
    let address = peer.local().to_string();
    peer.send_raw(&[0xFF; 64]).await;
    peer.closed().await;
    node.logged(&["WARN", "link ended", "4294967295", &address]).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_first_frame_of_four_gigabytes_closes_its_link_before_any_hello() {
    let (node, mut stage) = set().await;
    let mut stranger = Stranger::connect(node.links()).await;
    let peer = stranger.local().to_string();
    stranger.send(b"RAMONA\x01\0\xFF\xFF\xFF\xFFrubbish").await;
    stranger.closed().await;
    node.logged(&["WARN", "link ended", "a frame of 4294967295 bytes", &peer]).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn amf_nested_ten_thousand_deep_on_a_link_costs_only_that_call() {
    let (node, mut stage) = set().await;
    let mut peer = LinkedStranger::link(node.links(), None).await;
    // AMF3: arrays with one element inside each other.
    let mut args = b"\x09\x03\x01".repeat(10_000);
    args.push(1);
    let mut frames = Vec::new();
    encode_call(&mut frames, b"take", &args).expect("the call fits");
    encode_call(&mut frames, b"take", b"\x04\x07").expect("the call fits");
    peer.send_frames(frames).await;
    node.logged(&["ERROR", "script"]).await;
    // The link lives, and what comes behind is taken.
    node.logged(&["took a number"]).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn random_bytes_behind_a_right_hello_close_the_link_with_a_warning() {
    let (node, mut stage) = set().await;
    for rubbish in [&[0, 0, 0, 3, 0xFF, 0xFF, 0xFF][..], &[0, 0, 0, 0], &[0, 0, 0, 1, 0xFA]] {
        let mut peer = LinkedStranger::link(node.links(), None).await;
        let address = peer.local().to_string();
        peer.send_raw(rubbish).await;
        peer.closed().await;
        node.logged(&["WARN", "link ended", &address]).await;
    }
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn changed_bytes_behind_a_secret_close_the_link() {
    let secret = "a secret against changed bytes";
    let node = TestNode::builder("N").linkable().secret(secret).start().await;
    let mut peer = LinkedStranger::link(node.links(), Some(secret)).await;
    let address = peer.local().to_string();
    peer.send_raw(&[0, 40]).await;
    peer.send_raw(&[0x55; 200]).await;
    peer.closed().await;
    node.logged(&["WARN", "link ended", "failed its authentication", &address]).await;
}
