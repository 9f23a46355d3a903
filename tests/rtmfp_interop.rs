//! What real RTMFP clients showed: counters and logs, and what happens around them.

use std::time::Instant;

use ramona_actors::metrics::ActorKind;
use ramona_amf::Value;
use ramona_testkit::{ClientOptions, RtmfpClient, RtmpClient, TestNode, pictures, wait};

#[tokio::test]
async fn frames_of_a_publisher_count_for_the_protocol_that_they_came_by() {
    let node = TestNode::builder("A").www("live/main.lua", "").start().await;
    let received = |protocol: &str| {
        node.sample(&format!("ramona_media_in_frames_total{{protocol=\"{protocol}\"}}"))
    };
    let frames = pictures::stream(20, 10, 100);
    // A frame may be with its viewer before it is counted.
    let all_counted = async |protocol: &str| {
        wait::until("all frames to be counted", || received(protocol) == frames.len() as f64).await;
    };
    let viewer = RtmpClient::connect(node.rtmp(), "live").await;
    for name in ["rtmfp", "rtmp"] {
        let play = viewer.play(name).await;
        if name == "rtmfp" {
            let publisher = RtmfpClient::connect(node.rtmfp(), "live").await;
            publisher.send(publisher.publish(name).await, &frames);
            viewer.frames_to(play, &frames[frames.len() - 1]).await;
            all_counted("rtmfp").await;
            assert_eq!(received("rtmp"), 0.0);
        } else {
            let publisher = RtmpClient::connect(node.rtmp(), "live").await;
            publisher.send(publisher.publish(name).await, &frames);
            viewer.frames_to(play, &frames[frames.len() - 1]).await;
            all_counted("rtmp").await;
        }
        node.logged(&["publication started", name, &format!("by={name}")]).await;
    }
}

/// The session ends a moment before its viewer leaves the publication.
#[tokio::test]
async fn viewers_that_leave_are_not_called_slow() {
    let node = TestNode::builder("A").www("live/main.lua", "").start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "live").await;
    let stream = publisher.publish("test").await;
    let mut sent = 0;
    for _ in 0..6 {
        let viewer = RtmfpClient::connect(node.rtmfp(), "live").await;
        let play = viewer.play("test").await;
        publisher.send(stream, &pictures::range(sent..sent + 50, 10, 100));
        sent += 50;
        viewer.frames_until(play, "ten frames", |frames| frames.len() >= 10).await;
        viewer.with(|client| client.session_mut().abort(Instant::now()));
        // These meet the end of the session on their way.
        for _ in 0..50 {
            publisher.send(stream, &pictures::range(sent..sent + 1, 10, 100));
            sent += 1;
            tokio::task::yield_now().await;
        }
    }
    wait::until("all viewers to be gone", || node.alive(ActorKind::RtmfpSession) == 0).await;
    assert!(!node.has_logged(&["too slow"]));
    assert_eq!(node.sample("ramona_media_dropped_frames_total{protocol=\"rtmfp\"}"), 0.0);
}

#[tokio::test]
async fn names_and_reasons_in_the_log_are_text_as_people_wrote_it() {
    let script =
        "function onConnection(client, wanted) if wanted then error(\"l'été, \", wanted) end end";
    let node = TestNode::builder("A").www("live/main.lua", script).start().await;
    let publisher = RtmfpClient::connect(node.rtmfp(), "live").await;
    publisher.publish("l'été").await;
    node.logged(&["publication started", "name=l'été by"]).await;
    let refused = RtmpClient::open(node.rtmp(), "nowhere", ClientOptions::default()).await;
    refused.refusal().await;
    node.logged(&["client refused", "reason=Application /nowhere doesn't exist"]).await;
}

/// A page of MonaServer's own shows how long ago each publication sent something.
#[tokio::test]
async fn qos_05_publications_tell_when_their_last_frame_of_each_kind_came() {
    let script = r#"
        function onConnection(client)
            function client:ago()
                local publication = mona.publications("test")
                local now = mona:time()
                return now - publication.videoQOS.lastSendingTime,
                    now - publication.audioQOS.lastSendingTime,
                    publication.dataQOS.lastSendingTime
            end
        end"#;
    let node = TestNode::builder("A").www("live/main.lua", script).start().await;
    let viewer = RtmpClient::connect(node.rtmp(), "live").await;
    let play = viewer.play("test").await;
    let publisher = RtmfpClient::connect(node.rtmfp(), "live").await;
    let frames = pictures::stream(3, 10, 100);
    publisher.send(publisher.publish("test").await, &frames);
    viewer.frames_to(play, &frames[frames.len() - 1]).await;
    let ago = viewer.call("ago", &[]).await.expect("an answer");
    let [Value::Number(video), Value::Number(audio), Value::Number(data)] = ago[..] else {
        panic!("{ago:?}")
    };
    assert!((0.0..60_000.0).contains(&video) && (0.0..60_000.0).contains(&audio), "{ago:?}");
    assert_eq!(data, 0.0, "nothing of that kind came");
}
