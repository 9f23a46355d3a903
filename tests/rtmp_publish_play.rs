//! RTMP publishers and players: one publisher per name, whole streams, late and slow viewers.

use std::sync::atomic::Ordering::Relaxed;

use ramona_actors::metrics::Protocol;
use ramona_amf::Value;
use ramona_media::MediaFrame;
use ramona_rtmp::ClientEvent;
use ramona_testkit::ffmpeg::Ffmpeg;
use ramona_testkit::{
    ClientOptions, Machine, NetClient, Play, RtmfpClient, RtmpClient, TestNode, flv, pictures, wait,
};

const WITNESS: &str = r#"
function onConnection(client)
	function client:sync() return true end
	function client:onUnpublish(publication) NOTE("end of ", publication.name) end
	function client:onUnsubscribe(listener) NOTE("no viewer of ", listener.publication.name) end
end
function onDisconnection(client) NOTE("client left") end
"#;

async fn node() -> TestNode {
    TestNode::builder("N").www("main.lua", WITNESS).start().await
}

/// Answers when the node has worked on everything the client sent before.
async fn sync(client: &RtmpClient) {
    client.call("sync", &[]).await.expect("sync works");
}

fn bodies(frames: &[MediaFrame]) -> Vec<(ramona_media::MediaKind, &[u8])> {
    frames.iter().map(|frame| (frame.kind, &frame.payload[..])).collect()
}

/// Frames are counted a moment after they were sent or lost: waits until so many are.
async fn counted(node: &TestNode, frames: u64) {
    let media = node.metrics().media(Protocol::Rtmp);
    wait::until("each frame to be counted once", || {
        let (out, lost) = (media.frames_out.load(Relaxed), media.frames_dropped.load(Relaxed));
        assert!(out + lost <= frames, "{out} out and {lost} lost of {frames}");
        out + lost == frames
    })
    .await;
}

fn last(frames: &[MediaFrame]) -> &MediaFrame {
    frames.last().expect("frames")
}

#[tokio::test]
async fn a_second_publisher_of_a_running_name_is_refused_and_the_first_goes_on() {
    let node = node().await;
    let first = RtmpClient::connect(node.rtmp(), "").await;
    let stream = first.publish("stage").await;
    let second = RtmpClient::connect(node.rtmp(), "").await;
    let refused = second.ask_publish("stage").await;
    let status = second.status(refused, "NetStream.Publish.BadName").await;
    assert_eq!(status, ("error".to_owned(), "stage is already publishing".to_owned()));
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let frames = pictures::stream(10, 5, 100);
    first.send(stream, &frames);
    viewer.frames_to(play, last(&frames)).await;
    // When the first one leaves, the name is free; a moment later than the status says so.
    first.with(|machine| machine.close_stream(stream));
    first.status(stream, "NetStream.Unpublish.Success").await;
    let accepted = async |client: &RtmpClient| {
        let stream = client.ask_publish("stage").await;
        let answer = client.wait("an answer to publish", |events| {
            events.iter().find_map(|event| match event {
                ClientEvent::Status { stream: on, level, .. } if *on == stream => {
                    Some(level == "status")
                }
                _ => None,
            })
        });
        answer.await
    };
    while !accepted(&second).await {}
}

#[tokio::test]
async fn evt_04_and_cli_34_a_publisher_that_vanishes_ends_its_stream_before_it_leaves() {
    let node = node().await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let frames = pictures::stream(10, 5, 100);
    publisher.send(stream, &frames);
    viewer.frames_to(play, last(&frames)).await;
    drop(publisher);
    let told = viewer.status(play.0, "NetStream.Play.UnpublishNotify").await;
    assert_eq!(told, ("status".to_owned(), "stage is now unpublished".to_owned()));
    node.logged(&["client left"]).await;
    let lines = node.log_lines();
    let at = |part: &str| lines.iter().position(|line| line.contains(part));
    assert!(at("end of stage") < at("client left"), "onUnpublish comes before onDisconnection");
}

#[tokio::test]
async fn a_viewer_stays_when_another_publisher_takes_the_name_and_its_time_goes_on() {
    let node = node().await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let mut expected = Vec::new();
    for run in 0..3 {
        let publisher = RtmpClient::connect(node.rtmp(), "").await;
        let stream = publisher.publish("stage").await;
        let mut frames = pictures::headers().to_vec();
        frames.extend(pictures::range(run * 10..run * 10 + 10, 10, 100));
        publisher.send(stream, &frames);
        viewer.frames_to(play, last(&frames)).await;
        expected.extend(frames);
        drop(publisher);
        viewer.statuses(play.0, "NetStream.Play.UnpublishNotify", run as usize + 1).await;
    }
    let received = flv::audio_and_video(&viewer.frames(play));
    assert_eq!(bodies(&received), bodies(&expected));
    let times: Vec<_> = received.iter().map(|frame| frame.timestamp_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn one_connection_publishes_and_plays_several_streams_at_once() {
    let node = node().await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let mut streams = Vec::new();
    for name in ["one", "two", "three"] {
        let play = client.play(name).await;
        let stream = client.publish(name).await;
        streams.push((name, stream, play));
    }
    let frames: Vec<_> = (0..3).map(|n| pictures::stream(30 + n, 10, 5_000)).collect();
    for index in 0..frames[2].len() {
        for (stream, frames) in streams.iter().zip(&frames) {
            client.send(stream.1, frames.get(index));
        }
    }
    for ((_, _, play), frames) in streams.iter().zip(&frames) {
        let received = client.frames_to(*play, last(frames)).await;
        assert_eq!(bodies(&flv::audio_and_video(&received)), bodies(frames));
    }
    // Closing one leaves the others.
    client.with(|machine| machine.delete_stream(streams[0].1));
    client.status(streams[0].2.0, "NetStream.Play.UnpublishNotify").await;
    let more = pictures::range(50..60, 10, 100);
    client.send(streams[1].1, &more);
    client.frames_to(streams[1].2, last(&more)).await;
}

#[tokio::test]
async fn pub_19_a_late_viewer_gets_metadata_headers_and_the_group_of_pictures_at_once_from_time_0()
{
    let node = node().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    publisher.send(stream, &[pictures::metadata("late")]);
    let frames = pictures::stream(35, 10, 1_000);
    publisher.send(stream, &frames);
    sync(&publisher).await;
    wait::until("the frames to be in", || {
        node.metrics().media(Protocol::Rtmp).frames_in.load(Relaxed) == frames.len() as u64 + 1
    })
    .await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let received = viewer.frames_to(play, last(&frames)).await;
    let metadata = pictures::metadata("late").payload.slice(16..);
    let first = received.iter().position(|frame| frame.payload == metadata).expect("metadata");
    let media = flv::audio_and_video(&received);
    assert_eq!(flv::audio_and_video(&received[first..]), media, "metadata comes first");
    let mut expected = pictures::headers().to_vec();
    expected.extend(pictures::range(30..35, 10, 1_000));
    assert_eq!(bodies(&media), bodies(&expected));
    assert!(media[2].is_keyframe && media[2].timestamp_ms == 0, "{:?}", media[2].timestamp_ms);
    assert_eq!(last(&media).timestamp_ms, 160);
}

#[tokio::test]
async fn bodies_of_newer_codecs_pass_untouched_and_late_viewers_start_at_their_key_frames() {
    let node = node().await;
    // Enhanced RTMP's FourCC bodies, and the codec id 12 that was used for HEVC before it.
    for (name, header, key, inter) in [
        ("fourcc", &b"\x90hvc1config"[..], &b"\x91hvc1\0\0\0key"[..], &b"\xA1hvc1\0\0\0rest"[..]),
        ("legacy", b"\x1C\0\0\0\0config", b"\x1C\x01\0\0\0key", b"\x2C\x01\0\0\0rest"),
    ] {
        let frame = |time, body: &'static [u8], n: u8| {
            let body = [body, &[n]].concat();
            MediaFrame::new(ramona_media::MediaKind::Video, time, body.into())
        };
        let mut frames = vec![frame(0, header, 0)];
        for n in 0..30 {
            frames.push(frame(u32::from(n) * 40, if n % 10 == 0 { key } else { inter }, n));
        }
        let early = RtmpClient::connect(node.rtmp(), "").await;
        let early_play = early.play(name).await;
        let publisher = RtmpClient::connect(node.rtmp(), "").await;
        let stream = publisher.publish(name).await;
        publisher.send(stream, &frames);
        let received = early.frames_to(early_play, last(&frames)).await;
        assert_eq!(bodies(&flv::audio_and_video(&received)), bodies(&frames));
        let late = RtmpClient::connect(node.rtmp(), "").await;
        let late_play = late.play(name).await;
        let received = flv::audio_and_video(&late.frames_to(late_play, last(&frames)).await);
        assert_eq!(bodies(&received[..1]), bodies(&frames[..1]));
        assert_eq!(bodies(&received[1..]), bodies(&frames[21..]));
    }
}

#[tokio::test]
async fn pub_19_a_late_viewer_decodes_what_ffmpeg_publishes_from_its_first_frame_on() {
    let node = node().await;
    let ffmpeg = Ffmpeg::publish(&format!("rtmp://{}//stage", node.rtmp()), 60.0);
    wait::until("some groups of pictures", || {
        node.metrics().media(Protocol::Rtmp).frames_in.load(Relaxed) > 60
    })
    .await;
    let mut late = Ffmpeg::decode(&format!("rtmp://{}//stage", node.rtmp()), 1.0);
    late.finished().await;
    assert!(!late.log().contains("rror"), "{}", late.log());
    drop(ffmpeg);
}

#[tokio::test]
async fn a_slow_viewer_drops_to_the_next_key_frame_and_nobody_else_loses_anything() {
    // Small socket buffers, so that little has to be sent until the queue is full.
    let node = TestNode::builder("N")
        .ini("socketBufferSize = 131072\n[media]\ngopBytes = 200000\nqueueBytes = 200000\nqueueAge = 600")
        .start()
        .await;
    let fast = RtmpClient::connect(node.rtmp(), "").await;
    let fast_play = fast.play("stage").await;
    let options = ClientOptions { receive_buffer: Some(16_384), ..ClientOptions::default() };
    let slow = RtmpClient::connect_with(node.rtmp(), "", options).await;
    let slow_play = slow.play("stage").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let mut sent = pictures::stream(20, 10, 5_000);
    publisher.send(stream, &sent);
    slow.frames_to(slow_play, last(&sent)).await;

    slow.set_reading(false);
    let mut n = 20;
    // In steps, each of which the fast viewer has in full: the drops are the slow one's alone.
    let mut step = async |sent: &mut Vec<MediaFrame>| {
        let frames = pictures::range(n..n + 10, 10, 5_000);
        n += 10;
        publisher.send(stream, &frames);
        fast.frames_to(fast_play, last(&frames)).await;
        sent.extend(frames);
    };
    let dropped = || node.metrics().media(Protocol::Rtmp).frames_dropped.load(Relaxed);
    while dropped() < 50 {
        step(&mut sent).await;
    }
    node.logged(&["WARN", "viewer too slow, frames dropped to the next key frame"]).await;
    slow.set_reading(true);
    // Until it is back in step.
    while slow.frames(slow_play).last().map(pictures::number) != Some(pictures::number(last(&sent)))
    {
        step(&mut sent).await;
        let newest = last(&sent).clone();
        wait::until("the slow viewer to go on or to drop", || {
            let frames = slow.frames(slow_play);
            frames.last().is_some_and(|frame| frame.payload == newest.payload) || dropped() > 50
        })
        .await;
    }
    let received = flv::audio_and_video(&slow.frames(slow_play));
    assert_eq!(bodies(&flv::audio_and_video(&fast.frames(fast_play))), bodies(&sent));
    let total = sent.len() as u64;
    let media = node.metrics().media(Protocol::Rtmp);
    counted(&node, 2 * total).await;
    assert_eq!(media.frames_out.load(Relaxed), total + received.len() as u64);
    assert_eq!(dropped(), total - received.len() as u64, "each lost frame is counted once");
    assert_eq!(media.viewers_closed.load(Relaxed), 0);
    // Behind a gap, video starts at a key frame.
    let video: Vec<_> =
        received.iter().filter(|frame| frame.kind == ramona_media::MediaKind::Video).collect();
    for pair in video.windows(2).filter(|pair| !pair[0].is_header) {
        let follows = pictures::number(pair[1]) == pictures::number(pair[0]) + 1;
        assert!(follows || pair[1].is_keyframe, "{} behind a gap", pictures::number(pair[1]));
    }
}

#[tokio::test]
async fn a_viewer_that_reads_nothing_at_all_holds_a_bounded_queue() {
    let node = TestNode::builder("N")
        .ini("socketBufferSize = 131072\n[media]\ngopBytes = 65536\nqueueBytes = 65536\nqueueAge = 600")
        .start()
        .await;
    let options = ClientOptions { receive_buffer: Some(16_384), ..ClientOptions::default() };
    let dead = RtmpClient::connect_with(node.rtmp(), "", options).await;
    dead.play("stage").await;
    dead.set_reading(false);
    let fast = RtmpClient::connect(node.rtmp(), "").await;
    let play = fast.play("stage").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let mut sent = pictures::headers().to_vec();
    publisher.send(stream, &sent);
    // In steps, each of which the other viewer has in full.
    for step in 0..40 {
        let frames = pictures::range(step * 10..step * 10 + 10, 10, 5_000);
        publisher.send(stream, &frames);
        fast.frames_to(play, last(&frames)).await;
        sent.extend(frames);
    }
    let received = fast.frames(play);
    assert_eq!(bodies(&flv::audio_and_video(&received)), bodies(&sent));
    let media = node.metrics().media(Protocol::Rtmp);
    // Both got or lost every frame; what the dead one "got" lies in its queue and its sockets.
    counted(&node, 2 * sent.len() as u64).await;
    let (out, lost) = (media.frames_out.load(Relaxed), media.frames_dropped.load(Relaxed));
    assert!(lost > 300, "{out} out, {lost} dropped of {}", sent.len());
}

#[tokio::test]
async fn lis_05_a_viewer_without_video_gets_sound_only_and_pictures_again_from_a_key_frame() {
    let node = node().await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let switch = async |on: bool| {
        viewer.with(|machine| {
            machine.stream_command(play.0, "receiveVideo", &[on.into()]).expect("it fits");
        });
        sync(&viewer).await;
    };
    let publish = async |frames: Vec<MediaFrame>| {
        publisher.send(stream, &frames);
        viewer.frames_to(play, &frames[frames.len() - 1]).await;
    };
    publish(pictures::stream(10, 10, 100)).await;
    switch(false).await;
    publish(pictures::range(10..20, 10, 100)).await;
    switch(true).await;
    // 21 to 29 need the key frame 20, which the viewer has not.
    publish(pictures::range(21..35, 10, 100)).await;
    let received = viewer.frames(play);
    let of = |kind| -> Vec<u32> {
        let frames = received.iter().filter(|frame| frame.kind == kind && !frame.is_header);
        frames.map(pictures::number).collect()
    };
    let video: Vec<_> = (0..10).chain(30..35).collect();
    let audio: Vec<_> = (0..20).chain(21..35).collect();
    assert_eq!(of(ramona_media::MediaKind::Video), video);
    assert_eq!(of(ramona_media::MediaKind::Audio), audio);
}

#[tokio::test]
async fn a_paused_viewer_gets_nothing_and_goes_on_at_a_key_frame() {
    let node = node().await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let witness = RtmpClient::connect(node.rtmp(), "").await;
    let seen = witness.play("stage").await;
    let pause = async |on: bool| {
        viewer.with(|machine| {
            machine.stream_command(play.0, "pause", &[on.into(), 0.0.into()]).expect("it fits");
        });
        sync(&viewer).await;
    };
    let publish = async |frames: Vec<MediaFrame>| {
        publisher.send(stream, &frames);
        witness.frames_to(seen, &frames[frames.len() - 1]).await;
    };
    publish(pictures::stream(10, 10, 100)).await;
    wait::until("the viewer to have it all", || viewer.frames(play).len() >= 22).await;
    pause(true).await;
    publish(pictures::range(10..20, 10, 100)).await;
    pause(false).await;
    let rest = pictures::range(21..35, 10, 100);
    publish(rest.clone()).await;
    let received = viewer.frames_to(play, last(&rest)).await;
    let video = received
        .iter()
        .filter(|frame| frame.kind == ramona_media::MediaKind::Video && !frame.is_header);
    let video: Vec<_> = video.map(pictures::number).collect();
    assert_eq!(video, (0..10).chain(30..35).collect::<Vec<_>>());
    assert!(!received.iter().any(|frame| frame.payload == pictures::audio(15).payload));
}

#[tokio::test]
async fn evt_16_who_is_silent_too_long_is_closed_and_who_never_connects_as_well() {
    let node = TestNode::builder("N")
        .tune(|config| {
            let session = &mut config.rtmp_session.session;
            session.timeout = std::time::Duration::from_millis(300);
            session.handshake_timeout = std::time::Duration::from_millis(300);
        })
        .start()
        .await;
    let stranger = ramona_testkit::Stranger::connect(node.rtmp()).await;
    let peer = stranger.local().to_string();
    stranger.closed().await;
    node.logged(&["no connect command within 300ms", &peer]).await;
    let silent = RtmpClient::connect(node.rtmp(), "").await;
    silent.closed().await;
    node.logged(&["nothing received for 300ms", &silent.local().to_string()]).await;
}

#[tokio::test]
async fn pub_05_and_sta_15_a_name_is_free_for_whoever_asks_behind_its_publisher() {
    let script = r#"
    function onPublish(client, publication) publication.onVideo = function() end end
    function onUnpublish(client, publication) NOTE("ended") end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let stream = client.publish("s").await;
    for turn in 2..=30 {
        // In one go: the end of the one and the wish for the other come in one read.
        client.with(|machine| {
            machine.send_frame(stream, &pictures::video(0, true, 200)).expect("it fits");
            machine.close_stream(stream);
            machine.publish(stream, "s", ramona_rtmp::PublishMode::Live).expect("it fits");
        });
        client.statuses(stream, "NetStream.Publish.Start", turn).await;
    }
    let refused = |event: &ClientEvent| format!("{event:?}").contains("already publishing");
    assert!(!client.events().iter().any(refused), "{:#?}", client.events());
}

#[tokio::test]
async fn pub_05_a_script_ends_a_publisher_and_goes_on_under_its_name_in_one_handler() {
    let script = r#"
    function onConnection(client)
        function client:replace(name)
            mona.publications(name):close("Publish.Error", "enough")
            slate = mona:publish(name)
            if slate then slate:pushVideo("\23\1\0\0\0slate", 1) end
            return slate ~= nil
        end
        function client:onUnpublish(publication)
            NOTE("ended ", publication.name, ", slate runs: ", slate.running)
        end
    end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("s").await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("s").await;
    let other = RtmpClient::connect(node.rtmp(), "").await;
    assert_eq!(other.call("replace", &["s".into()]).await, Ok(vec![true.into()]));
    let status = publisher.status(stream, "NetStream.Publish.Error").await;
    assert_eq!(status, ("error".to_owned(), "enough".to_owned()));
    node.logged(&["ended s, slate runs: true"]).await;
    viewer.status(play.0, "NetStream.Play.UnpublishNotify").await;
    viewer
        .frames_until(play, "the slate", |frames| {
            frames.iter().any(|frame| frame.payload.ends_with(b"slate"))
        })
        .await;
    // It is the script's now, and stays so.
    let stream = publisher.ask_publish("s").await;
    publisher.status(stream, "NetStream.Publish.BadName").await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn cli_34_a_script_goes_on_under_the_name_of_a_publisher_that_left() {
    let script = r#"
    function onUnpublish(client, publication)
        slate = mona:publish(publication.name)
        slate:pushVideo("\23\1\0\0\0slate", 1)
    end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    publisher.publish("s").await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("s").await;
    drop(publisher);
    viewer
        .frames_until(play, "the slate", |frames| {
            frames.iter().any(|frame| frame.payload.ends_with(b"slate"))
        })
        .await;
}

#[tokio::test]
async fn pub_10_to_12_and_lis_01_to_06_a_script_sees_who_publishes_and_who_plays() {
    let script = r#"
    function onConnection(client)
        function client:onPublish(publication)
            stage = publication
            NOTE("publisher ", publication.publisherId == self.id, " ", publication.running)
        end
        function client:onSubscribe(listener)
            listener.audioSampleAccess = false
            NOTE("player ", listener.publication.name, " ", listener.client == self, " ", listener.id == self.id)
        end
        function client:count()
            local seen = 0
            for player, listener in pairs(stage.listeners) do
                if listener.client == player then seen = seen + 1 end
            end
            return #stage.listeners, stage.listeners.count, seen, stage.running
        end
    end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    publisher.publish("s").await;
    node.logged(&["NOTE", "publisher true false"]).await;
    let mut players = Vec::new();
    for count in 1..=3 {
        let player = RtmpClient::connect(node.rtmp(), "").await;
        let play = player.play("s").await;
        // LIS-06: no sound for the player's own eyes, pictures as they are by default.
        let access = b"\x02\0\x11|RtmpSampleAccess\x01\0\x01\x01";
        player
            .frames_until(play, "the access to samples", |frames| {
                frames.iter().any(|frame| frame.payload[..] == access[..])
            })
            .await;
        let counted = publisher.call("count", &[]).await.expect("an answer");
        let number = f64::from(count);
        assert_eq!(counted, [number.into(), number.into(), number.into(), true.into()]);
        players.push(player);
    }
    assert_eq!(node.count_logged(&["NOTE", "player s true true"]), 3);
}

#[tokio::test]
async fn lis_06_the_access_to_samples_is_sent_again_when_a_script_changes_it() {
    let script = r#"
    function onConnection(client)
        function client:onSubscribe(listener) self.listener = listener end
        function client:access(audio, video)
            self.listener.audioSampleAccess = audio
            self.listener.videoSampleAccess = video
            self.listener.receiveAudio = audio
            return true
        end
    end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let rtmp = RtmpClient::connect(node.rtmp(), "").await;
    let play = rtmp.play("s").await;
    accesses_follow(&rtmp, play).await;
    let rtmfp = RtmfpClient::connect(node.rtmfp(), "").await;
    let play = rtmfp.play("s").await;
    accesses_follow(&rtmfp, play).await;
}

/// Changes the rights of a player, and back, and to what they are: each change is told once.
async fn accesses_follow<M: Machine>(player: &NetClient<M>, play: Play) {
    let message = |audio: bool, video: bool| {
        [&b"\x02\0\x11|RtmpSampleAccess"[..], &[1, u8::from(audio), 1, u8::from(video)]].concat()
    };
    let mut expected = vec![message(true, true)];
    for (audio, video, told) in [
        (false, true, &[(false, true)][..]),
        (false, true, &[]),
        (true, false, &[(true, true), (true, false)]),
    ] {
        player.call("access", &[audio.into(), video.into()]).await.expect("done");
        expected.extend(told.iter().map(|(audio, video)| message(*audio, *video)));
        let seen = player
            .frames_until(play, "the access to samples", |seen| seen.len() >= expected.len())
            .await;
        assert!(seen.iter().map(|frame| &frame.payload[..]).eq(expected.iter().map(|m| &m[..])));
    }
}

#[tokio::test]
async fn sta_10_a_name_is_played_once_by_a_client_and_again_on_the_same_stream() {
    let node = node().await;
    let player = RtmpClient::connect(node.rtmp(), "").await;
    let first = player.play("s").await;
    let second = player.ask_play("s").await;
    let refused = player.status(second, "NetStream.Play.Failed").await;
    assert_eq!(refused, ("error".to_owned(), "Already subscribed to s".to_owned()));
    player.with(|machine| machine.play(first.0, "s").expect("the command fits"));
    player.statuses(first.0, "NetStream.Play.Start", 2).await;
    sync(&player).await;
    assert_eq!(node.count_logged(&["no viewer of s"]), 1);
}

#[tokio::test]
async fn pub_01_the_query_of_a_published_name_is_no_part_of_it() {
    let script = "function onPublish(client, publication) NOTE('<', publication.name, '>') end";
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    publisher.publish("s?token=1").await;
    node.logged(&["NOTE", "<s>"]).await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("s?a=2").await;
    viewer.status(play.0, "NetStream.Play.PublishNotify").await;
}

#[tokio::test]
async fn lis_07_the_buffer_of_a_player_is_a_parameter_of_its_listener() {
    let script = r#"
    function onConnection(client)
        function client:onSubscribe(listener)
            self.listener = listener
            NOTE("asks with ", listener.bufferTime, " ", listener.parameters.a)
        end
        function client:buffer() return self.listener.parameters.bufferTime, self.listener.bufferTime end
    end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let player = RtmpClient::connect(node.rtmp(), "").await;
    let play = player.play("s?a=1").await;
    node.logged(&["NOTE", "asks with (null) 1"]).await;
    assert_eq!(player.call("buffer", &[]).await, Ok(vec![Value::Null, Value::Null]));
    player.with(|machine| machine.set_buffer_length(play.0, 2_500));
    let told = vec![2_500.0.into(), 2_500.0.into()];
    // Both go to the script in the order of sending.
    assert_eq!(player.call("buffer", &[]).await, Ok(told.clone()));
    // What was told is known when the stream plays something else.
    player.with(|machine| machine.play(play.0, "t?a=2").expect("the command fits"));
    node.logged(&["NOTE", "asks with 2500 2"]).await;
    assert_eq!(player.call("buffer", &[]).await, Ok(told));
}

#[tokio::test]
async fn cli_22_a_script_may_define_the_commands_of_encoders() {
    let script = r#"
    function onConnection(client, defines)
        if not defines then return end
        function client:getStreamLength(name) return #name end
        function client:FCSubscribe(name) error("no " .. name) end
        function client:FCPublish(name) NOTE("publishes ", name) end
        function client:releaseStream() self.writer:writeStatusResponse("Test.Done") end
    end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let plain = RtmpClient::connect(node.rtmp(), "").await;
    let name = || [Value::from("seven77")];
    assert_eq!(plain.call("getStreamLength", &name()).await, Ok(vec![0.0.into()]));
    assert_eq!(plain.call("FCSubscribe", &name()).await, Ok(vec![]));
    plain.called("onFCSubscribe").await;
    let options = ClientOptions { args: vec![true.into()], ..ClientOptions::default() };
    let client = RtmpClient::connect_with(node.rtmp(), "", options).await;
    assert_eq!(client.call("getStreamLength", &name()).await, Ok(vec![7.0.into()]));
    let (code, text) = client.call("FCSubscribe", &name()).await.expect_err("the script refuses");
    assert_eq!(code, "NetConnection.Call.Failed");
    assert!(text.ends_with("no seven77"), "{text}");
    // A function that returns nothing leaves the answer to the node.
    assert_eq!(client.call("FCPublish", &name()).await, Ok(vec![]));
    client.called("onFCPublish").await;
    node.logged(&["NOTE", "publishes seven77"]).await;
    let done = client.call("releaseStream", &[]).await.expect("a result");
    assert_eq!(done[0].get("code"), Some(&"NetConnection.Test.Done".into()));
    assert_eq!(client.calls("onFCSubscribe").len(), 0);
}
