//! The HTTP port: /metrics and /health.

use ramona_testkit::{RtmpClient, TestNode, http_get, pictures, sample, wait};

#[tokio::test]
async fn health_tells_that_the_node_works_and_what_it_carries() {
    let node = TestNode::builder("N").start().await;
    let _client = RtmpClient::connect(node.rtmp(), "").await;
    let (code, head, body) = http_get(node.http(), "/health").await;
    assert_eq!(code, 200);
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    assert!(body.contains(r#""status":"ok""#) && body.contains(r#""clients":1"#), "{body}");
    assert!(body.contains(r#""links":0"#) && body.contains(r#""panics":0"#), "{body}");
}

#[tokio::test]
async fn metrics_count_every_frame_in_and_out() {
    let node = TestNode::builder("N").start().await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let viewer = RtmpClient::connect(node.rtmp(), "").await;
        let play = viewer.play("stage").await;
        viewers.push((viewer, play));
    }
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let frames = pictures::stream(50, 10, 1_000);
    publisher.send(stream, &frames);
    for (viewer, play) in &viewers {
        viewer.frames_to(*play, frames.last().expect("frames")).await;
    }
    let count = frames.len() as f64;
    let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
    let out = r#"ramona_media_out_frames_total{protocol="rtmp"}"#;
    wait::until("the counters", || node.sample(out) >= 3.0 * count).await;
    let (code, head, text) = http_get(node.http(), "/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let rtmp = |name: &str| sample(&text, &format!("{name}{{protocol=\"rtmp\"}}"));
    assert_eq!(rtmp("ramona_media_in_frames_total"), count);
    assert_eq!(rtmp("ramona_media_in_bytes_total"), bytes as f64);
    assert_eq!(rtmp("ramona_media_out_frames_total"), 3.0 * count);
    assert_eq!(rtmp("ramona_media_out_bytes_total"), 3.0 * bytes as f64);
    assert_eq!(rtmp("ramona_media_dropped_frames_total"), 0.0);
    assert_eq!(sample(&text, r#"ramona_actors_alive{actor="rtmp_session"}"#), 4.0);
    assert_eq!(sample(&text, "ramona_actor_panics_total"), 0.0);
    // Every sample has its help and its type.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        for word in ["HELP", "TYPE"] {
            assert!(text.contains(&format!("# {word} {name} ")), "{word} of {name}");
        }
    }
}

#[tokio::test]
async fn what_no_application_has_is_not_found() {
    let node = TestNode::builder("N").start().await;
    assert_eq!(http_get(node.http(), "/nothing").await.0, 404);
}
