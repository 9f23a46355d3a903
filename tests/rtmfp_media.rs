//! Media over RTMFP: published and played, across protocols, byte for byte.

use std::time::Duration;

use ramona_amf::Value;
use ramona_media::{MediaFrame, MediaKind};
use ramona_rtmfp::{Group, Policy};
use ramona_testkit::ffmpeg::Ffmpeg;
use ramona_testkit::{
    Machine, NetClient, Path, Play, RtmfpClient, RtmfpOptions, RtmpClient, TestNode, flv, pictures,
    wait,
};

async fn node() -> TestNode {
    TestNode::builder("A").start().await
}

/// Publishes a stream of pictures and sounds that a viewer waits for; both must be the same.
async fn carries<P: Machine, V: Machine>(publisher: &NetClient<P>, viewer: &NetClient<V>) {
    let play = viewer.play("test").await;
    let stream = publisher.publish("test").await;
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    // Group after group: a key frame cuts the life of what still waits of the group before it.
    let frames = pictures::stream(150, 25, 6_000);
    for end in (52..=frames.len()).step_by(50) {
        publisher.send(stream, &frames[if end == 52 { 0 } else { end - 50 }..end]);
        frames_of_all(viewer, play, &frames[..end]).await;
    }
    let received = frames_of_all(viewer, play, &frames).await;
    same(&frames, &received);
}

/// Audio and video are flows of their own, so that the last frame of one may come before the last
/// of the other.
async fn frames_of_all<V: Machine>(
    viewer: &NetClient<V>,
    play: Play,
    sent: &[MediaFrame],
) -> Vec<MediaFrame> {
    let count = flv::pictures_and_sound(sent).len();
    let enough = |frames: &[MediaFrame]| flv::pictures_and_sound(frames).len() >= count;
    flv::pictures_and_sound(&viewer.frames_until(play, "all frames", enough).await)
}

/// Each kind in its order, with its times and bytes.
fn same(sent: &[MediaFrame], received: &[MediaFrame]) {
    let sent = flv::pictures_and_sound(sent);
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let of = |frames: &[MediaFrame]| -> Vec<(u32, bytes::Bytes)> {
            let frames = frames.iter().filter(|frame| frame.kind == kind);
            frames.map(|frame| (frame.timestamp_ms, frame.payload.clone())).collect()
        };
        let (sent, received) = (of(&sent), of(received));
        assert_eq!(sent.len(), received.len(), "{kind:?}");
        for (at, (sent, received)) in sent.iter().zip(&received).enumerate() {
            assert!(sent.1 == received.1, "{kind:?} {at} has other bytes");
            assert_eq!(sent.0, received.0, "time of {kind:?} {at}");
        }
    }
}

#[tokio::test]
async fn rtmfp_087_a_publisher_of_rtmp_is_played_over_rtmfp_byte_for_byte() {
    let node = node().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let viewer = RtmfpClient::connect(node.rtmfp(), "").await;
    carries(&publisher, &viewer).await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn rtmfp_087_a_publisher_of_rtmfp_is_played_over_rtmp_byte_for_byte() {
    let node = node().await;
    let publisher = RtmfpClient::connect(node.rtmfp(), "").await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    carries(&publisher, &viewer).await;
}

#[tokio::test]
async fn rtmfp_086_a_publisher_of_rtmfp_is_played_over_rtmfp_with_either_cryptography() {
    for (checks, group) in
        [(Policy::ON_REQUEST, Group::Modp1024), (Policy::STRICT, Group::Modp2048)]
    {
        let node = node().await;
        let options = RtmfpOptions { checks, group, ..RtmfpOptions::default() };
        let publisher = RtmfpClient::connect_with(node.rtmfp(), "", options.clone()).await;
        let viewer = RtmfpClient::connect_with(node.rtmfp(), "", options).await;
        carries(&publisher, &viewer).await;
        // RTMFP-008: no datagram is larger than an IPv6 path takes.
        let largest = viewer.received_sizes().into_iter().max();
        let limit = if checks == Policy::STRICT { 1220 } else { 1204 };
        assert!(largest.is_some_and(|size| size <= limit), "{largest:?}");
    }
}

#[tokio::test]
async fn rtmfp_067_a_stream_arrives_whole_and_in_order_through_loss_in_both_directions() {
    let node = node().await;
    let path = Path { loss: 5, delay: Duration::from_millis(5) };
    let lossy = RtmfpOptions { path, ..RtmfpOptions::default() };
    let publisher = RtmfpClient::connect_with(node.rtmfp(), "", lossy.clone()).await;
    let viewer = RtmfpClient::connect_with(node.rtmfp(), "", lossy).await;
    let play = viewer.play("test").await;
    let stream = publisher.publish("test").await;
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    // One group: nothing cuts the life of a frame but its own deadline.
    let frames = pictures::stream(60, 1_000, 3_000);
    for frames in frames.chunks(2) {
        publisher.send(stream, frames);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let received = frames_of_all(&viewer, play, &frames).await;
    same(&frames, &received);
}

#[tokio::test]
async fn many_viewers_get_every_frame_and_calls_are_answered_while_acknowledgements_wait() {
    let app = "function onConnection(client) function client:echo(value) return value end end";
    let node = TestNode::builder("A").www("main.lua", app).start().await;
    let mut viewers = Vec::new();
    for index in 0..14 {
        let checks = if index % 2 == 0 { Policy::STRICT } else { Policy::ON_REQUEST };
        let loss = if index < 2 { 5 } else { 0 };
        let path = Path { loss, ..Path::default() };
        let options = RtmfpOptions { checks, path, ..RtmfpOptions::default() };
        let viewer = RtmfpClient::connect_with(node.rtmfp(), "", options).await;
        let play = viewer.play("test").await;
        viewers.push((viewer, play));
    }
    let caller = RtmfpClient::connect(node.rtmfp(), "").await;
    let publisher = RtmfpClient::connect(node.rtmfp(), "").await;
    let stream = publisher.publish("test").await;
    for (viewer, play) in &viewers {
        viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    }
    let frames = pictures::stream(60, 1_000, 3_000);
    for (index, frames) in frames.chunks(4).enumerate() {
        publisher.send(stream, frames);
        let value = Value::Number(index as f64);
        assert_eq!(caller.call("echo", std::slice::from_ref(&value)).await, Ok(vec![value]));
    }
    for (viewer, play) in &viewers {
        same(&frames, &frames_of_all(viewer, *play, &frames).await);
    }
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn rtmfp_084_a_viewer_gets_begin_reset_start_metadata_headers_and_a_key_frame_in_order() {
    let node = node().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("test").await;
    let mut frames = pictures::stream(30, 10, 1_000);
    frames.insert(0, pictures::metadata("sunrise"));
    publisher.send(stream, &frames);
    node.logged(&["publication started"]).await;
    let early = RtmpClient::connect(node.rtmp(), "").await;
    let play = early.play("test").await;
    early.frames_to(play, &frames[frames.len() - 1]).await;

    let viewer = RtmfpClient::connect(node.rtmfp(), "").await;
    let play = viewer.play("test").await;
    viewer.frames_to(play, &frames[frames.len() - 2]).await;
    let mut order: Vec<String> = Vec::new();
    for event in viewer.events() {
        use ramona_rtmp::ClientEvent as Event;
        order.push(match event {
            Event::Control(control) => format!("{control:?}"),
            Event::Status { code, .. } => ramona_testkit::text(&code),
            Event::Media { frame, .. } if frame.kind == MediaKind::Video => {
                let what = if frame.is_header { "header" } else { "picture" };
                format!("{what}{}", if frame.is_keyframe { " key" } else { "" })
            }
            Event::Media { frame, .. } if frame.kind == MediaKind::Data => {
                let is_metadata = frame.payload.windows(10).any(|part| part == b"onMetaData");
                (if is_metadata { "metadata" } else { "access" }).to_owned()
            }
            _ => continue,
        });
    }
    let at = |what: &str| {
        let found = order.iter().position(|known| known == what);
        found.unwrap_or_else(|| panic!("{what} is missing: {order:?}"))
    };
    let steps = [
        at("StreamBegin(StreamId(1))"),
        at("NetStream.Play.Reset"),
        at("NetStream.Play.Start"),
        at("access"),
        at("metadata"),
        at("header"),
        at("picture key"),
        at("picture"),
    ];
    assert!(steps.is_sorted(), "{steps:?}: {order:?}");
    assert!(at("NetStream.Play.PublishNotify") < at("metadata"), "{order:?}");
}

#[tokio::test]
async fn rtmfp_083_the_second_publisher_of_a_name_gets_bad_name() {
    let node = node().await;
    let first = RtmfpClient::connect(node.rtmfp(), "").await;
    first.publish("test").await;
    let second = RtmfpClient::connect(node.rtmfp(), "").await;
    let stream = second.ask_publish("test").await;
    let (level, _) = second.status(stream, "NetStream.Publish.BadName").await;
    assert_eq!(level, "error");
    assert!(!first.is_closed() && !second.is_closed());
}

#[tokio::test]
async fn frames_of_data_reach_players_of_both_protocols_from_either() {
    let node = node().await;
    let rtmfp = RtmfpClient::connect(node.rtmfp(), "").await;
    let rtmp = RtmpClient::connect(node.rtmp(), "").await;
    let said = |text: &str| {
        let mut body = b"\x02\0\x05onSay\x02".to_vec();
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
        MediaFrame::new(MediaKind::Data, 7, body.into())
    };
    let stream = rtmfp.publish("of rtmfp").await;
    let play = rtmp.play("of rtmfp").await;
    rtmp.status(play.0, "NetStream.Play.PublishNotify").await;
    rtmfp.send(stream, [&said("hello")]);
    rtmp.frames_to(play, &said("hello")).await;

    let stream = rtmp.publish("of rtmp").await;
    let play = rtmfp.play("of rtmp").await;
    rtmfp.status(play.0, "NetStream.Play.PublishNotify").await;
    rtmp.send(stream, [&said("world")]);
    rtmfp.frames_to(play, &said("world")).await;
}

#[tokio::test]
async fn what_ffmpeg_publishes_over_rtmp_arrives_over_rtmfp_as_it_was_sent() {
    let node = node().await;
    let url = format!("rtmp://{}/live/test", node.rtmp());
    node.write_www("live/main.lua", "");
    let viewer = RtmfpClient::connect(node.rtmfp(), "live").await;
    let play = viewer.play("test").await;
    let mut publisher = Ffmpeg::publish(&url, 3.0);
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    publisher.finished().await;
    let sent = flv::pictures_and_sound(&flv::read(&publisher.file()));
    let received = frames_of_all(&viewer, play, &sent).await;
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let of = |frames: &[MediaFrame]| -> Vec<bytes::Bytes> {
            let frames = frames.iter().filter(|frame| frame.kind == kind);
            frames.map(|frame| frame.payload.clone()).collect()
        };
        assert!(of(&sent) == of(&received), "{kind:?}");
    }
}

#[tokio::test]
async fn lis_07_and_08_an_unbuffered_viewer_gets_key_frames_and_headers_through_loss() {
    let node = node().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("test").await;
    node.logged(&["publication started"]).await;
    let path = Path { loss: 10, delay: Duration::from_millis(2) };
    let viewer = RtmfpClient::connect(node.rtmfp(), "").await;
    let play = viewer.play("test?unbuffered=true").await;
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    viewer.set_path(path);
    let frames = pictures::stream(400, 40, 900);
    for frames in frames.chunks(2) {
        publisher.send(stream, frames);
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    let last_key = frames.iter().rfind(|frame| frame.is_keyframe).expect("a key frame");
    let received = viewer.frames_to(play, last_key).await;
    let keys = received.iter().filter(|frame| frame.is_keyframe).count();
    // In virtual time protocols/tc shows that all are; here the machine may be busy.
    assert!(keys >= 8, "{keys} of 10 key frames: they are repeated until they arrive");
    let sounds = received.iter().filter(|frame| frame.kind == MediaKind::Audio).count();
    assert!(sounds < 395, "{sounds} of 400 sounds: what was lost was repeated");
}

/// Deadlines end frames inside a session, long after the viewer's gate let them pass.
#[tokio::test]
async fn frames_that_get_too_old_on_their_way_are_counted_as_dropped() {
    let node = node().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("test").await;
    let viewer = RtmfpClient::connect(node.rtmfp(), "").await;
    let play = viewer.play("test").await;
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    viewer.cut(true);
    let sounds: Vec<_> = pictures::stream(20, 20, 100)
        .into_iter()
        .filter(|frame| frame.kind == MediaKind::Audio && !frame.is_header)
        .collect();
    publisher.send(stream, &sounds);
    let dropped = || node.sample("ramona_media_dropped_frames_total{protocol=\"rtmfp\"}");
    wait::until("all frames to expire", || dropped() >= sounds.len() as f64).await;
    assert_eq!(dropped(), sounds.len() as f64);
}

#[tokio::test]
async fn a_viewer_that_vanishes_and_one_that_leaves_end_their_subscriptions() {
    let script = r#"
    function onConnection(client)
        function client:onUnsubscribe(listener) NOTE("no more of ", listener.publication.name) end
    end
    function onDisconnection(client) NOTE("gone: ", client.protocol) end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    publisher.publish("test").await;
    let viewer = RtmfpClient::connect(node.rtmfp(), "").await;
    viewer.play("test").await;
    viewer.leave();
    node.logged(&["no more of test"]).await;
    node.logged(&["gone: RTMFP"]).await;
    wait::until("the session to end", || {
        node.alive(ramona_actors::metrics::ActorKind::RtmfpSession) == 0
    })
    .await;
}
