//! The applications of `www/` do what their first lines say.

use std::time::Duration;

use ramona::probe::Probe;
use ramona_testkit::ffmpeg::{Ffmpeg, png_size};
use ramona_testkit::{NodeBuilder, RtmfpClient, RtmpClient, TestNode, flv, pictures};

fn node(name: &str) -> NodeBuilder {
    TestNode::builder(name)
        .www("main.lua", include_str!("../www/main.lua"))
        .www("live/main.lua", include_str!("../www/live/main.lua"))
        .www("relay/main.lua", include_str!("../www/relay/main.lua"))
        .www("loadbalance/main.lua", include_str!("../www/loadbalance/main.lua"))
        .www("groups/main.lua", include_str!("../www/groups/main.lua"))
        .www("rendezvous/main.lua", include_str!("../www/rendezvous/main.lua"))
        .ini(&format!("host = {}.example", name.to_lowercase()))
        .linkable()
}

/// a targets b, b targets c.
async fn chain(more: &str) -> [TestNode; 3] {
    let c = node("C").ini(more).start().await;
    let b = node("B").ini(more).target(c.links()).start().await;
    let a = node("A").ini(more).target(b.links()).start().await;
    for node in [&a, &b, &c] {
        node.logged(&["linked"]).await;
    }
    [a, b, c]
}

#[tokio::test]
async fn live_is_published_and_played_on_one_node() {
    let node = node("A").start().await;
    let url = format!("rtmp://{}/live/test", node.rtmp());
    let _publisher = Ffmpeg::publish(&url, 60.0);
    node.logged(&["publication started", "test"]).await;
    let mut picture = Ffmpeg::grab_picture(&url);
    picture.finished().await;
    assert_eq!(png_size(&picture.picture()), (320, 180));
}

#[tokio::test]
async fn relay_carries_a_stream_over_two_links_byte_for_byte_in_either_direction() {
    let [a, _b, c] = chain("").await;
    for (from, to, name) in [(&a, &c, "onwards"), (&c, &a, "back")] {
        let viewer = RtmpClient::connect(to.rtmp(), "relay").await;
        let play = viewer.play(name).await;
        let publisher = RtmpClient::connect(from.rtmp(), "relay").await;
        let stream = publisher.publish(name).await;
        viewer.status(play.0, "NetStream.Play.PublishNotify").await;
        let frames = pictures::stream(100, 10, 3_000);
        publisher.send(stream, &frames);
        let received = viewer.frames_to(play, &frames[frames.len() - 1]).await;
        let received = flv::pictures_and_sound(&received);
        let sent = flv::pictures_and_sound(&frames);
        assert_eq!(received.len(), sent.len());
        for (received, sent) in received.iter().zip(&sent) {
            assert!(received.kind == sent.kind && received.payload == sent.payload);
        }
        drop(publisher);
        viewer.status(play.0, "NetStream.Play.UnpublishNotify").await;
    }
}

#[tokio::test]
async fn relay_shows_a_picture_of_ffmpeg_two_nodes_away() {
    let [a, _b, c] = chain("").await;
    let _publisher = Ffmpeg::publish(&format!("rtmp://{}/relay/test", a.rtmp()), 60.0);
    c.logged(&["publication started", "test"]).await;
    let mut picture = Ffmpeg::grab_picture(&format!("rtmp://{}/relay/test", c.rtmp()));
    picture.finished().await;
    assert_eq!(png_size(&picture.picture()), (320, 180));
}

#[tokio::test]
async fn loadbalance_sends_the_viewer_that_is_one_too_many_to_the_next_node() {
    let [a, b, c] = chain("[loadbalance]\nviewers = 2").await;
    // Viewers of what runs are counted; the stream comes to all nodes by the application relay.
    let publisher = RtmpClient::connect(a.rtmp(), "relay").await;
    let stream = publisher.publish("test").await;
    publisher.send(stream, &pictures::stream(10, 10, 100));
    c.logged(&["publication started", "test"]).await;
    let mut viewers = Vec::new();
    for (node, next) in [(&a, "b.example"), (&b, "c.example")] {
        for _ in 0..2 {
            let viewer = RtmpClient::connect(node.rtmp(), "loadbalance").await;
            viewer.play("test").await;
            viewers.push(viewer);
        }
        let third = RtmpClient::connect(node.rtmp(), "loadbalance").await;
        let stream = third.ask_play("test").await;
        let (_, text) = third.status(stream, "NetStream.Play.Failed").await;
        assert_eq!(text.rsplit(' ').next(), Some(next), "{text}");
    }
    for _ in 0..3 {
        let viewer = RtmpClient::connect(c.rtmp(), "loadbalance").await;
        viewer.play("test").await;
        viewers.push(viewer);
    }
}

/// Two nodes whose clients find them at this machine's address.
async fn two() -> (TestNode, TestNode) {
    let node = |name: &str| node(name).config(|config| config.host = Some("127.0.0.1".to_owned()));
    let b = node("B").start().await;
    let a = node("A").target(b.links()).start().await;
    for node in [&a, &b] {
        node.logged(&["linked"]).await;
    }
    (a, b)
}

async fn probe(probe: Probe) -> String {
    let mut out = Vec::new();
    let result = ramona::probe::run(&probe, &mut out).await;
    let lines = String::from_utf8(out).expect("text");
    assert!(result.is_ok(), "{result:?}\n{lines}");
    lines
}

#[tokio::test]
async fn groups_members_on_two_nodes_are_told_and_meet() {
    let (a, b) = two().await;
    let first = RtmfpClient::connect(a.rtmfp(), "groups").await;
    let group = first.with(|server| server.join_group_of(b"meeting point").expect("there is room"));
    // The application comes up on B because it did on A (CLU-12).
    let id = first.peer_id().to_string();
    b.logged(&[&id, "is a member on 127.0.0.1"]).await;
    let members = Some(("meeting point".to_owned(), Duration::from_secs(3)));
    let url = format!("rtmfp://{}/groups", b.rtmfp());
    let lines = probe(Probe { group: members, ..Probe::new(url) }).await;
    for part in [format!("member      {id}"), format!("{id} at {}", first.local())] {
        assert!(lines.contains(&part), "{part}\n{lines}");
    }
    a.logged(&["is a member on"]).await;
    first.with(|server| server.leave_group(group));
    b.logged(&[&id, "is no member on 127.0.0.1 any more"]).await;
    for node in [&a, &b] {
        assert_eq!(node.count_logged(&["ERROR"]), 0);
    }
}

#[tokio::test]
async fn rendezvous_a_peer_is_met_on_the_same_and_on_another_node() {
    let (a, b) = two().await;
    let waiting = RtmfpClient::connect(a.rtmfp(), "rendezvous").await;
    let id = waiting.peer_id().to_string();
    a.logged(&[&id, "can be met"]).await;
    for node in [&a, &b] {
        let meet = Some((id.clone(), Duration::from_secs(3)));
        let url = format!("rtmfp://{}/rendezvous", node.rtmfp());
        let lines = probe(Probe { meet, ..Probe::new(url) }).await;
        assert!(lines.contains(&format!("{id} at {}", waiting.local())), "{lines}");
    }
    let other = RtmfpClient::connect(a.rtmfp(), "rendezvous").await;
    let peers = other.call("peers", &[]).await.expect("peers works");
    assert_eq!(peers, [ramona_amf::Value::Array(vec![id.clone().into()])]);
    // Sent on before it connects.
    let elsewhere = RtmfpClient::connect(a.rtmfp(), "rendezvous?elsewhere=true").await;
    assert_eq!(elsewhere.server(), b.rtmfp());
    assert_eq!((a.panics(), b.panics()), (0, 0));
}
