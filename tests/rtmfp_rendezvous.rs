//! Peers that the server introduces to each other, on one node and across nodes.

use std::time::Duration;

use ramona_rtmfp::PeerId;
use ramona_testkit::{NodeBuilder, RtmfpClient, RtmfpOptions, TestNode, link, wait};

/// Sends whoever seeks an unknown peer on to all linked nodes (SMP-11).
const TO_ALL: &str = "function onRendezVousUnknown(peerId) return mona.servers end";

fn host(builder: NodeBuilder, name: &str) -> NodeBuilder {
    builder.ini(&format!("host = {name}"))
}

/// Two linked nodes that redirect to each other: a node's address is its RTMFP port on this
/// machine, for that is what each has as `host`.
async fn pair(script: &str) -> (TestNode, TestNode) {
    let b = host(TestNode::builder("B"), "127.0.0.1").linkable().www("main.lua", script);
    let b = b.start().await;
    let a = host(TestNode::builder("A"), "127.0.0.1").linkable().www("main.lua", script);
    let a = a.target(b.links()).start().await;
    a.logged(&["linked"]).await;
    b.logged(&["linked"]).await;
    (a, b)
}

#[tokio::test]
async fn rtmfp_042_two_clients_of_one_node_meet_and_each_sees_the_others_address() {
    let node = TestNode::builder("A").start().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    assert_eq!(second.meet(first.peer_id()).await, first.local());
    assert_eq!(first.met(second.peer_id()).await, second.local());
    assert_eq!(node.sample("ramona_rtmfp_introductions_total"), 1.0);
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn rtmfp_042_and_046_who_is_sought_hears_who_asks_with_an_origin() {
    let node = TestNode::builder("A").start().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    second.seek(first.peer_id());
    let reply = first.own("a forwarded hello", |event| match event {
        ramona_tc::ClientEvent::ForwardedHello { reply, .. } => Some(*reply),
        _ => None,
    });
    let reply = reply.await;
    assert_eq!(reply.socket, second.local());
    assert_eq!(reply.origin, ramona_rtmfp::Origin::Observed);
}

#[tokio::test]
async fn rtmfp_042_peers_that_seek_each_other_at_the_same_time_get_one_session() {
    let node = TestNode::builder("A").start().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    first.seek(second.peer_id());
    second.seek(first.peer_id());
    assert_eq!(first.met(second.peer_id()).await, second.local());
    assert_eq!(second.met(first.peer_id()).await, first.local());
}

/// The peer moved to a port that the server does not know yet; what it told of itself is right.
#[tokio::test]
async fn rtmfp_045_a_peer_is_found_at_an_address_that_it_reported() {
    let node = TestNode::builder("A").start().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    let moved = first.rebind().await;
    first.with(|server| server.set_peer_info(&[moved]).expect("there is room"));
    first
        .own("the keepalive periods", |event| match event {
            ramona_tc::ClientEvent::Keepalive { .. } => Some(()),
            _ => None,
        })
        .await;
    assert_eq!(second.meet(first.peer_id()).await, moved);
}

#[tokio::test]
async fn rtmfp_043_an_unknown_peer_stays_unanswered_and_is_counted() {
    let node = TestNode::builder("A").start().await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    client.seek(PeerId([7; 32]));
    wait::until("the question to be counted", || {
        node.sample("ramona_rtmfp_unknown_peers_total") >= 1.0
    })
    .await;
    assert_eq!(client.address_of(PeerId([7; 32])), None);
    // A client before the end of its connect is no peer to introduce.
    let half = RtmfpClient::session(node.rtmfp(), "", RtmfpOptions::default()).await;
    client.seek(half.peer_id());
    wait::until("the second question to be counted", || {
        node.sample("ramona_rtmfp_unknown_peers_total") >= 2.0
    })
    .await;
    assert_eq!(node.sample("ramona_rtmfp_introductions_total"), 0.0);
}

#[tokio::test]
async fn a_peer_that_left_is_not_introduced_any_more() {
    let node = TestNode::builder("A").start().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    let id = first.peer_id();
    first.leave();
    node.logged(&["client disconnected"]).await;
    second.seek(id);
    wait::until("the question to be counted", || {
        node.sample("ramona_rtmfp_unknown_peers_total") >= 1.0
    })
    .await;
    assert_eq!(node.sample("ramona_rtmfp_introductions_total"), 0.0);
}

#[tokio::test]
async fn smp_11_and_evt_09_clients_of_two_nodes_find_each_other_through_the_cluster() {
    let (a, b) = pair(TO_ALL).await;
    let on_a = RtmfpClient::connect(a.rtmfp(), "").await;
    let on_b = RtmfpClient::connect(b.rtmfp(), "").await;
    // A does not know the peer and names B, which introduces them.
    assert_eq!(on_a.meet(on_b.peer_id()).await, on_b.local());
    assert_eq!(on_b.met(on_a.peer_id()).await, on_a.local());
    assert_eq!(a.sample("ramona_rtmfp_introductions_total"), 0.0);
    assert!(b.sample("ramona_rtmfp_introductions_total") >= 1.0);
    // And the other way round.
    let second_on_a = RtmfpClient::connect(a.rtmfp(), "").await;
    assert_eq!(on_b.meet(second_on_a.peer_id()).await, second_on_a.local());
    assert_eq!((a.panics(), b.panics()), (0, 0));
}

#[tokio::test]
async fn evt_09_the_id_is_32_raw_bytes_and_two_parameters_get_the_protocol_first() {
    let script = r#"
    function onRendezVousUnknown(peerId)
        NOTE("one parameter: ", #peerId, " bytes")
    end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    client.seek(PeerId([9; 32]));
    node.logged(&["one parameter: 32 bytes"]).await;
    let script = r#"
    function onRendezVousUnknown(protocol, peerId)
        NOTE("two parameters: ", protocol, " ", #peerId)
    end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    client.seek(PeerId([9; 32]));
    node.logged(&["two parameters: RTMFP 32"]).await;
}

/// An address, a server object, and a table of both are answers (section 6).
#[tokio::test]
async fn red_01_to_05_an_unknown_peer_is_sought_where_the_script_says() {
    let (b, _) = {
        let b = host(TestNode::builder("B"), "127.0.0.1").linkable().start().await;
        (b, ())
    };
    let on_b = RtmfpClient::connect(b.rtmfp(), "").await;
    for answer in [
        format!("'{}'", b.rtmfp()),
        "mona.servers(1)".to_owned(),
        format!("{{'127.0.0.1:1', {{mona.servers(1)}}, '{}'}}", b.rtmfp()),
        format!("'127.0.0.1:1', '{}'", b.rtmfp()),
    ] {
        let script = format!("function onRendezVousUnknown(peerId) return {answer} end");
        let a = TestNode::builder("A").www("main.lua", &script).target(b.links()).start().await;
        a.logged(&["linked"]).await;
        let on_a = RtmfpClient::connect(a.rtmfp(), "").await;
        assert_eq!(on_a.meet(on_b.peer_id()).await, on_b.local(), "{answer}");
    }
}

#[tokio::test]
async fn red_06_and_08_again_and_nothing_leave_a_question_unanswered() {
    for answer in ["'again'", "nil", "false", ""] {
        let script =
            format!("function onRendezVousUnknown(peerId) NOTE('asked') return {answer} end");
        let node = TestNode::builder("A").www("main.lua", &script).start().await;
        let client = RtmfpClient::connect(node.rtmfp(), "").await;
        client.seek(PeerId([5; 32]));
        node.logged(&["asked"]).await;
        // Asked again after a second, for nobody answered.
        wait::until("the question to be repeated", || node.count_logged(&["asked"]) >= 2).await;
        assert_eq!(client.address_of(PeerId([5; 32])), None, "{answer}");
        assert_eq!(node.count_logged(&["ERROR"]), 0, "{answer}");
    }
}

#[tokio::test]
async fn a_script_that_fails_leaves_the_question_unanswered_and_the_node_goes_on() {
    let script = "function onRendezVousUnknown(peerId) error('no idea') end";
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let client = RtmfpClient::connect(node.rtmfp(), "").await;
    client.seek(PeerId([5; 32]));
    node.logged(&["ERROR", "no idea"]).await;
    let other = RtmfpClient::connect(node.rtmfp(), "").await;
    assert_eq!(client.meet(other.peer_id()).await, other.local());
}

/// Who knows more asks less: nothing of this goes through a script, or over the link.
#[tokio::test]
async fn a_peer_of_the_same_node_is_introduced_without_asking_the_script() {
    let (a, _b) =
        link("function onRendezVousUnknown() NOTE('asked') return mona.servers end", "").await;
    let first = RtmfpClient::connect(a.rtmfp(), "").await;
    let second = RtmfpClient::connect(a.rtmfp(), "").await;
    assert_eq!(second.meet(first.peer_id()).await, first.local());
    assert!(!a.has_logged(&["asked"]));
}

/// RTMFP-044: floods of questions for one peer are answered twice a second.
#[tokio::test]
async fn rtmfp_044_the_same_question_is_answered_at_most_twice_a_second() {
    let node = TestNode::builder("A").start().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    let begin = std::time::Instant::now();
    for _ in 0..40 {
        second.seek(first.peer_id());
    }
    second.met(first.peer_id()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let allowed = 2.0 * (begin.elapsed().as_secs_f64() / 0.5).ceil();
    let introductions = node.sample("ramona_rtmfp_introductions_total");
    assert!(introductions >= 1.0 && introductions <= allowed, "{introductions} of {allowed}");
}
