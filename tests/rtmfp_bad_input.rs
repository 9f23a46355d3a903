//! What strangers and broken clients send to the RTMFP port: counted, bounded, and nobody else
//! notices.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_actors::metrics::ActorKind;
use ramona_rtmfp::{
    Endpoint, EndpointConfig, EndpointOutput, Entropy, Epd, FlowOptions, Group, Identity, KeyPair,
    Message, Policy,
};
use ramona_testkit::{RtmfpClient, RtmfpOptions, RtmpClient, TestNode, pictures, wait};
use tokio::net::UdpSocket;

const ECHO: &str = r#"
function onConnection(client)
    function client:echo(...) return ... end
end"#;

async fn node() -> TestNode {
    TestNode::builder("A").www("main.lua", ECHO).start().await
}

/// The node serves as before: an old client and a new one.
async fn serves(node: &TestNode, old: &RtmfpClient) {
    assert_eq!(old.call("echo", &["still".into()]).await, Ok(vec!["still".into()]));
    let new = RtmfpClient::connect(node.rtmfp(), "").await;
    assert_eq!(new.call("echo", &["new".into()]).await, Ok(vec!["new".into()]));
    assert_eq!(node.panics(), 0);
}

async fn rises(node: &TestNode, counter: &str, from: f64) {
    wait::until(&format!("{counter} to rise"), || node.sample(counter) > from).await;
}

/// A hello for the server from an endpoint of its own.
fn hello(server: SocketAddr, seed: u8) -> Vec<u8> {
    let mut entropy = Entropy::from_seed([seed; 32]);
    let pair = KeyPair::generate(Group::Modp1024, &mut entropy);
    let identity = Arc::new(Identity::client(vec![pair]).expect("an identity"));
    let mut endpoint = Endpoint::new(Instant::now(), EndpointConfig::new(identity), entropy);
    let epd = Epd::of_server(format!("rtmfp://{server}/").as_bytes(), None);
    endpoint.open(Instant::now(), epd, &[server]).expect("an opening");
    match endpoint.poll_output() {
        EndpointOutput::Transmit { bytes, .. } => bytes,
        other => panic!("a hello was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn rtmfp_005_noise_and_empty_datagrams_are_dropped_counted_and_not_answered() {
    let node = node().await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let before = node.sample("ramona_rtmfp_ignored_datagrams_total");
    let mut random = Entropy::from_seed([1; 32]);
    for round in 0..300usize {
        let mut datagram = vec![0; round % 150];
        datagram.fill_with(|| random.u32() as u8);
        stranger.send_to(&datagram, node.rtmfp()).await.expect("it is sent");
    }
    // Among them empty ones and such that are shorter than any packet.
    wait::until("most of them to be counted", || {
        node.sample("ramona_rtmfp_ignored_datagrams_total") > before + 200.0
    })
    .await;
    let mut buffer = [0; 2_000];
    assert!(stranger.try_recv_from(&mut buffer).is_err(), "nothing is answered");
    serves(&node, &client).await;
}

#[tokio::test]
async fn replayed_truncated_flipped_and_forged_packets_of_a_session_are_dropped_and_counted() {
    for checks in [Policy::ON_REQUEST, Policy::STRICT] {
        let node = node().await;
        let options = RtmfpOptions { checks, ..RtmfpOptions::default() };
        let client = RtmfpClient::connect_with(node.rtmfp(), "", options).await;
        // What an eavesdropper has, sent again in several shapes, from elsewhere.
        client.record(true);
        for _ in 0..10 {
            client.call("echo", &["secret".into()]).await.expect("echo works");
        }
        let recorded = client.recorded();
        assert!(recorded.len() >= 10);
        let stranger = UdpSocket::bind("127.0.0.2:0").await.expect("a port");
        let dropped = "ramona_rtmfp_dropped_packets_total";
        let before = node.sample(dropped);
        let calls = node.sample("ramona_script_calls_total");
        for packet in &recorded {
            let mut shapes = vec![packet.clone(), packet[..packet.len() - 16].to_vec()];
            for at in [4, 9, packet.len() / 2, packet.len() - 1] {
                let mut flipped = packet.clone();
                flipped[at] ^= 0x40;
                shapes.push(flipped);
            }
            for shape in shapes {
                stranger.send_to(&shape, node.rtmfp()).await.expect("it is sent");
            }
        }
        rises(&node, dropped, before).await;
        serves(&node, &client).await;
        assert_eq!(client.with(|server| server.session().far_address()), node.rtmfp());
        // With numbers nothing was taken twice; without them flows do not take a number twice.
        let after = node.sample("ramona_script_calls_total");
        assert!(after - calls <= 10.0, "{calls} {after}");
    }
}

#[tokio::test]
async fn rtmfp_030_and_110_a_flood_of_hellos_makes_no_session_and_others_still_connect() {
    let node = node().await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    let hello = hello(node.rtmfp(), 9);
    let mut sent = 0u64;
    // 250 addresses in as many networks, and 40 hellos from each.
    for network in 0..250u8 {
        let from = IpAddr::from([127, 1, network, 7]);
        let socket = std::net::UdpSocket::bind((from, 0)).expect("a port");
        for _ in 0..40 {
            // What the kernel has no room for is lost, as in any flood.
            sent += u64::from(socket.send_to(&hello, node.rtmfp()).is_ok());
        }
        if network % 50 == 0 {
            let other = RtmfpClient::connect(node.rtmfp(), "").await;
            assert!(other.call("echo", &["x".into()]).await.is_ok());
        }
    }
    assert!(sent > 5_000, "{sent}");
    serves(&node, &client).await;
    assert!(node.sample("ramona_rtmfp_sessions") < 20.0);
}

#[tokio::test]
async fn rtmfp_110_answers_to_one_network_are_limited_and_counted() {
    let node = node().await;
    let hello = hello(node.rtmfp(), 9);
    let socket = UdpSocket::bind("127.2.0.1:0").await.expect("a port");
    let begin = Instant::now();
    for _ in 0..1_000 {
        socket.send_to(&hello, node.rtmfp()).await.expect("it is sent");
    }
    rises(&node, "ramona_rtmfp_limited_handshakes_total", 0.0).await;
    let mut buffer = [0; 2_000];
    let mut answered = 0;
    while let Ok(received) =
        tokio::time::timeout(Duration::from_millis(300), socket.recv_from(&mut buffer)).await
    {
        answered += received.expect("a datagram").0;
    }
    let seconds = begin.elapsed().as_secs_f64().ceil() + 1.0;
    assert!(answered > 0 && answered as f64 <= 32_000.0 * seconds, "{answered} bytes");
}

#[tokio::test]
async fn rtmfp_111_an_address_opens_only_so_many_sessions_and_others_still_can() {
    let ini = "[RTMFP]\nsessionsPerAddress = 3";
    let node = TestNode::builder("A").ini(ini).www("main.lua", ECHO).start().await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(RtmfpClient::connect(node.rtmfp(), "").await);
    }
    let one_more = RtmfpOptions::default();
    let (_waiting, _) = RtmfpClient::seek_server(node.rtmfp(), "", one_more).await;
    rises(&node, "ramona_rtmfp_limited_handshakes_total", 0.0).await;
    let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, 9));
    let elsewhere = RtmfpOptions { from, ..RtmfpOptions::default() };
    let other = RtmfpClient::connect_with(node.rtmfp(), "", elsewhere).await;
    assert!(other.call("echo", &["x".into()]).await.is_ok());
    assert_eq!(node.alive(ActorKind::RtmfpSession), 4);
}

#[tokio::test]
async fn rtmfp_112_a_thousand_flows_in_one_session_are_refused_and_the_others_go_on() {
    let node = node().await;
    let other = RtmfpClient::connect(node.rtmfp(), "").await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    client.with(|server| {
        let session = server.session_mut();
        for n in 0..1_000u32 {
            let metadata = match n % 4 {
                // Streams that do not exist, no metadata of any kind, a group, nothing.
                0 => Bytes::from([b"TC\x04".as_slice(), &[0x81, (n % 128) as u8]].concat()),
                1 => Bytes::from_static(b"nonsense"),
                2 => Bytes::from_static(b"GC"),
                _ => Bytes::new(),
            };
            let options = FlowOptions { metadata, ..FlowOptions::default() };
            let Ok(flow) = session.open_flow(options) else { continue };
            let message = Message::reliable(&[], Bytes::from(vec![n as u8; 10]));
            // Some are refused here already.
            let _ = session.write(Instant::now(), flow, &message);
        }
    });
    rises(&node, "ramona_rtmfp_refused_flows_total", 20.0).await;
    serves(&node, &other).await;
}

#[tokio::test]
async fn metadata_that_is_not_what_a_flow_needs_is_refused_and_counted() {
    let node = node().await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    for metadata in [&b"TC"[..], b"TC\x04", b"tc\x04\x00", b"TC\x04\xff\xff\xff\xff\xff\x01", b"\0"]
    {
        let before = node.sample("ramona_rtmfp_refused_flows_total");
        client.with(|server| {
            let metadata = Bytes::copy_from_slice(metadata);
            let options = FlowOptions { metadata, ..FlowOptions::default() };
            let session = server.session_mut();
            let flow = session.open_flow(options).expect("there is room");
            let message = Message::reliable(&[], Bytes::from_static(b"x"));
            session.write(Instant::now(), flow, &message).expect("there is room");
        });
        rises(&node, "ramona_rtmfp_refused_flows_total", before).await;
    }
    serves(&node, &client).await;
}

#[tokio::test]
async fn rtmfp_112_flows_that_never_complete_a_message_are_bounded_and_others_go_on() {
    let node = node().await;
    let other = RtmfpClient::connect(node.rtmfp(), "").await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    // A command of 4 MiB, where 1 MiB is allowed.
    client.with(|server| {
        let payload = Bytes::from(vec![0u8; 4 << 20]);
        let message = ramona_rtmp::Message {
            kind: 20,
            stream: ramona_rtmp::StreamId(0),
            timestamp_ms: 0,
            payload,
        };
        // The client's own bounds may say no: then nothing is sent.
        server.send_message(&message).expect("the client takes it");
    });
    client.closed().await;
    rises(&node, "ramona_rtmfp_oversized_messages_total", 0.0).await;
    serves(&node, &other).await;
}

/// It is fed a stream, takes everything and says nothing any more.
#[tokio::test]
async fn a_viewer_that_never_acknowledges_costs_bounded_memory_and_nobody_waits_for_it() {
    let node = node().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("test").await;
    let (deaf, viewer) = (
        RtmfpClient::connect(node.rtmfp(), "").await,
        RtmfpClient::connect(node.rtmfp(), "").await,
    );
    for client in [&deaf, &viewer] {
        let play = client.play("test").await;
        client.status(play.0, "NetStream.Play.PublishNotify").await;
    }
    deaf.cut(true);
    let play = ramona_testkit::Play(ramona_rtmp::StreamId(1));
    // 30 MB in all: more than may wait for one viewer.
    for n in 0..150u32 {
        let frames = pictures::range(n..n + 1, 10, 200_000);
        publisher.send(stream, &frames);
        viewer.frames_to(play, &frames[0]).await;
    }
    serves(&node, &viewer).await;
    // 45 s without an acknowledgement, and it is given up.
    node.logged(&["client disconnected", &deaf.local().to_string()]).await;
    serves(&node, &viewer).await;
}

#[tokio::test]
async fn bad_commands_and_values_end_or_refuse_and_do_no_harm() {
    let node = node().await;
    let other = RtmfpClient::connect(node.rtmfp(), "").await;
    for (kind, payload) in [
        (20u8, &b""[..]),
        (20, b"\x02\xff\xff"),
        (17, b"\x00\x02\x00\x04echo\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        (20, b"\x05\x05\x05\x05"),
        (4, b"\x00"),
        (4, b"\x00\x29\x00"),
        (18, b"\xff\xff"),
        (8, b""),
        (9, b"\x17"),
        (99, b"what"),
        (22, b"\x01\x02"),
    ] {
        let client = RtmfpClient::connect(node.rtmfp(), "").await;
        client.send_message(&ramona_rtmp::Message {
            kind,
            stream: ramona_rtmp::StreamId(0),
            timestamp_ms: 0,
            payload: Bytes::copy_from_slice(payload),
        });
        // Answered, ignored or closed: in no case is anybody else harmed.
        client.leave();
        serves(&node, &other).await;
    }
}
