//! The main job on real input: ffmpeg publishes on A, the relay script forwards with server:send,
//! and what clients of B receive is what was published.

use ramona_media::MediaFrame;
use ramona_testkit::ffmpeg::{Ffmpeg, png_size};
use ramona_testkit::{Play, RtmpClient, TestNode, flv, link, link_secretly, pictures};

const RELAY: &str = include_str!("lua/relay.lua");

fn bodies(frames: &[MediaFrame]) -> Vec<(ramona_media::MediaKind, &[u8])> {
    frames.iter().map(|frame| (frame.kind, &frame.payload[..])).collect()
}

/// Where the frames begin in what was sent: there must be exactly these from there on.
fn assert_run_of(received: &[MediaFrame], sent: &[MediaFrame]) -> usize {
    let first = received.first().expect("frames were received");
    let start = sent
        .iter()
        .position(|frame| frame.kind == first.kind && frame.payload == first.payload)
        .expect("the first frame was sent");
    let sent = &sent[start..];
    assert!(received.len() <= sent.len(), "{} received, {} sent", received.len(), sent.len());
    for (index, (received, sent)) in received.iter().zip(sent).enumerate() {
        assert_eq!(received.kind, sent.kind, "frame {index} from {start}");
        assert!(received.payload == sent.payload, "frame {index} from {start} has other bytes");
    }
    start
}

/// From the first key frame on.
fn from_key(frames: &[MediaFrame]) -> Vec<MediaFrame> {
    let key = frames.iter().position(|frame| frame.is_keyframe).expect("a key frame");
    frames[key..].to_vec()
}

async fn relay_is_exact(a: TestNode, b: TestNode) {
    let viewer = RtmpClient::connect(b.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let mut ffmpeg = Ffmpeg::publish(&format!("rtmp://{}//stage", a.rtmp()), 3.0);
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
    ffmpeg.finished().await;
    viewer.status(play.0, "NetStream.Play.UnpublishNotify").await;

    // All of it: the viewer was there before the first frame, and the end was told behind the last.
    let received = viewer.frames(play);
    let sent = flv::read(&ffmpeg.file());
    let (sent_media, received_media) =
        (flv::audio_and_video(&sent), flv::audio_and_video(&received));
    assert!(sent_media.len() > 150, "{} frames were sent", sent_media.len());
    assert_eq!(bodies(&received_media).len(), bodies(&sent_media).len());
    assert_eq!(assert_run_of(&received_media, &sent_media), 0);
    assert_same_pace(&received_media, &sent_media);
    assert!(a.panics() + b.panics() == 0);
}

/// Times of a viewer begin at 0 (PUB-19) and go on as the publisher's.
fn assert_same_pace(received: &[MediaFrame], sent: &[MediaFrame]) {
    let pairs = received.iter().zip(sent).filter(|(frame, _)| !frame.is_header);
    let offsets: Vec<_> = pairs
        .map(|(received, sent)| sent.timestamp_ms.wrapping_sub(received.timestamp_ms))
        .collect();
    assert!(offsets.windows(2).all(|pair| pair[0] == pair[1]), "{offsets:?}");
}

#[tokio::test]
async fn clu_27_every_frame_of_ffmpeg_reaches_the_other_node_byte_for_byte_over_a_plain_link() {
    let (a, b) = link(RELAY, RELAY).await;
    relay_is_exact(a, b).await;
}

#[tokio::test]
async fn clu_27_every_frame_of_ffmpeg_reaches_the_other_node_byte_for_byte_over_a_secret_link() {
    let (a, b) = link_secretly(RELAY, RELAY).await;
    relay_is_exact(a, b).await;
}

/// Plays on B from where it is until `enough` frames came.
async fn watch(b: &TestNode, enough: usize) -> (RtmpClient, Play) {
    let viewer = RtmpClient::connect(b.rtmp(), "").await;
    let play = viewer.play("stage").await;
    viewer
        .frames_until(play, "frames on B", |frames| {
            frames.iter().any(|frame| frame.is_keyframe) && frames.len() >= enough
        })
        .await;
    (viewer, play)
}

async fn relay_survives_the_death_of_b(a: TestNode, mut b: TestNode) {
    let ffmpeg = Ffmpeg::publish(&format!("rtmp://{}//stage", a.rtmp()), 60.0);
    let local = RtmpClient::connect(a.rtmp(), "").await;
    let on_a = local.play("stage").await;
    let (before, play_before) = watch(&b, 40).await;

    b.kill().await;
    before.closed().await;
    a.logged(&["NOTE", "lost b.example"]).await;
    let mark = a.log_mark();
    b.start().await;
    a.logged_since(mark, &["linked"]).await;
    let (after, play_after) = watch(&b, 40).await;

    let sent = flv::audio_and_video(&flv::read(&ffmpeg.file()));
    drop(ffmpeg);
    local.status(on_a.0, "NetStream.Play.UnpublishNotify").await;
    after.status(play_after.0, "NetStream.Play.UnpublishNotify").await;
    let on_a = flv::pictures_and_sound(&from_key(&local.frames(on_a)));
    let first = flv::pictures_and_sound(&from_key(&before.frames(play_before)));
    let second = flv::pictures_and_sound(&from_key(&after.frames(play_after)));
    // The file is buffered, so it may end before what was sent: A's viewer is the witness of the
    // end, the file of the beginning.
    let sent = flv::pictures_and_sound(&sent);
    let common = sent.len().min(on_a.len());
    let begin = assert_run_of(&on_a[..common.min(on_a.len() / 2)], &sent);
    assert!(begin < sent.len());
    let first_at = assert_run_of(&first, &on_a_from(&sent, begin, &on_a));
    let second_at = assert_run_of(&second, &on_a_from(&sent, begin, &on_a));
    assert!(second_at >= first_at + first.len(), "B lost what was sent while it was dead");
    assert_eq!(a.panics() + b.panics(), 0);
}

/// What was sent in full: the file up to where A's viewer began, then what that viewer got.
fn on_a_from(sent: &[MediaFrame], begin: usize, on_a: &[MediaFrame]) -> Vec<MediaFrame> {
    sent[..begin].iter().chain(on_a).cloned().collect()
}

#[tokio::test]
async fn a_relay_goes_on_exactly_after_its_target_was_killed_and_restarted() {
    let note = "\nlocal gone = onServerDisconnection\nfunction onServerDisconnection(server)\n\
                NOTE('lost ', server.host)\nreturn gone(server)\nend";
    let (a, b) = link(&format!("{RELAY}{note}"), RELAY).await;
    relay_survives_the_death_of_b(a, b).await;
}

#[tokio::test]
async fn a_secret_relay_goes_on_exactly_after_its_target_was_killed_and_restarted() {
    let note = "\nlocal gone = onServerDisconnection\nfunction onServerDisconnection(server)\n\
                NOTE('lost ', server.host)\nreturn gone(server)\nend";
    let (a, b) = link_secretly(&format!("{RELAY}{note}"), RELAY).await;
    relay_survives_the_death_of_b(a, b).await;
}

#[tokio::test]
async fn ffmpeg_plays_from_the_other_node_and_decodes_without_an_error() {
    let (a, b) = link(RELAY, RELAY).await;
    let ffmpeg = Ffmpeg::publish(&format!("rtmp://{}//stage", a.rtmp()), 60.0);
    let (_viewer, _) = watch(&b, 10).await;
    let mut picture = Ffmpeg::grab_picture(&format!("rtmp://{}//stage", b.rtmp()));
    let mut decoder = Ffmpeg::decode(&format!("rtmp://{}//stage", b.rtmp()), 1.5);
    picture.finished().await;
    assert_eq!(png_size(&picture.picture()), (320, 180), "{}", picture.log());
    decoder.finished().await;
    assert!(!decoder.log().contains("rror"), "{}", decoder.log());
    drop(ffmpeg);
}

#[tokio::test]
async fn clu_27_and_def_12_and_14_and_pub_04_made_up_frames_of_any_bytes_and_data_reach_the_other_node()
 {
    let (a, b) = link(RELAY, RELAY).await;
    let viewer = RtmpClient::connect(b.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let publisher = RtmpClient::connect(a.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let frames = pictures::stream(200, 10, 3_000);
    publisher.send(stream, &[pictures::metadata("café\u{1F600}")]);
    publisher.send(stream, &frames[..200]);
    // NetStream.send("f", 1): the name travels inside of the packet.
    let call = MediaFrame::new(
        ramona_media::MediaKind::Data,
        4_000,
        bytes::Bytes::from_static(b"\x02\0\x01f\0\x3F\xF0\0\0\0\0\0\0"),
    );
    publisher.send(stream, [&call]);
    publisher.send(stream, &frames[200..]);
    let received = viewer.frames_to(play, frames.last().expect("frames")).await;
    let data = received.iter().position(|frame| frame.payload == call.payload);
    let data = data.unwrap_or_else(|| panic!("the call of f is there"));
    assert_eq!(received[data - 1].payload, frames[199].payload, "in its place");
    assert_eq!(bodies(&flv::audio_and_video(&received)), bodies(&frames));
    // Without the handler name that says what to do with it.
    let metadata = pictures::metadata("café\u{1F600}").payload.slice(16..);
    assert!(received.iter().any(|frame| frame.payload == metadata), "{:?}", received[0]);
}

#[tokio::test]
async fn gen_17_each_frame_that_a_relay_pushes_arrives_without_waiting_for_the_next() {
    let (a, b) = link(RELAY, RELAY).await;
    let viewer = RtmpClient::connect(b.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let publisher = RtmpClient::connect(a.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    publisher.send(stream, &pictures::headers());
    let first = pictures::video(0, true, 300);
    publisher.send(stream, [&first]);
    viewer.frames_to(play, &first).await;
    // One after the other: each is the last one that there is until it has arrived.
    let begin = std::time::Instant::now();
    for number in 1..=20 {
        let frame = pictures::video(number, false, 300);
        publisher.send(stream, [&frame]);
        viewer.frames_to(play, &frame).await;
    }
    // 200 ms for each; a flush of every other second would take 20 to 40 s in all.
    let elapsed = begin.elapsed();
    assert!(elapsed < std::time::Duration::from_secs(4), "{elapsed:?}");
}
