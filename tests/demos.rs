//! The applications of `www/` do what their first lines say.

use ramona_testkit::ffmpeg::{Ffmpeg, png_size};
use ramona_testkit::{NodeBuilder, RtmpClient, TestNode, flv, pictures};

fn node(name: &str) -> NodeBuilder {
    TestNode::builder(name)
        .www("main.lua", include_str!("../www/main.lua"))
        .www("live/main.lua", include_str!("../www/live/main.lua"))
        .www("relay/main.lua", include_str!("../www/relay/main.lua"))
        .www("loadbalance/main.lua", include_str!("../www/loadbalance/main.lua"))
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
