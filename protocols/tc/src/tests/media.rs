use super::*;

/// 25 pictures and 43 sounds a second, a keyframe each second.
fn second_of(second: u32) -> Vec<MediaFrame> {
    let mut frames: Vec<MediaFrame> = (0..25)
        .map(|n| video(second * 1000 + n * 40, n == 0, if n == 0 { 20_000 } else { 4_000 }))
        .chain((0..43).map(|n| audio(second * 1000 + n * 23)))
        .collect();
    frames.sort_by_key(|frame| frame.timestamp_ms);
    frames
}

fn of(kind: MediaKind, frames: &[MediaFrame]) -> Vec<MediaFrame> {
    frames.iter().filter(|frame| frame.kind == kind).cloned().collect()
}

/// Sends frames to the viewer at their times; how many were taken.
fn show(
    world: &mut World,
    at: usize,
    id: StreamId,
    frames: &[MediaFrame],
    is_reliable: bool,
) -> usize {
    let start = world.now;
    let mut taken = 0;
    for frame in frames {
        let due = start + ms(u64::from(frame.timestamp_ms - frames[0].timestamp_ms));
        world.run(due.saturating_duration_since(world.now));
        let (now, time) = (world.now, frame.timestamp_ms);
        let sent = world.served(at).connection.send_media(now, id, frame, time, is_reliable);
        taken += usize::from(sent);
    }
    world.run(5 * SECOND);
    taken
}

/// A picture needs the one before it, 40 ms earlier, unless it is a keyframe.
fn assert_pictures_are_whole(frames: &[MediaFrame]) {
    let mut last = None;
    for frame in of(MediaKind::Video, frames).iter().filter(|frame| !frame.is_header) {
        let follows = last.is_some_and(|time: u32| frame.timestamp_ms == time + 40);
        assert!(frame.is_keyframe || follows, "{} after {last:?}", frame.timestamp_ms);
        last = Some(frame.timestamp_ms);
    }
}

/// The server's part: what a publisher sends arrives byte for byte, also under loss.
#[test]
fn rtmfp_086_reliable_frames_of_a_publisher_arrive_whole_and_in_order_under_loss() {
    for (seed, loss) in [(40, 0), (41, 10)] {
        let mut world = connected(seed, 1);
        let id = publishing(&mut world, 0, "a");
        world.loss = loss;
        let frames: Vec<_> = (0..3).flat_map(second_of).collect();
        for frame in &frames {
            world.client(0).send_frame(id, frame, true).expect("queued");
        }
        world.run(60 * SECOND);
        let got = published(&mut world, 0);
        for kind in [MediaKind::Audio, MediaKind::Video] {
            assert_eq!(of(kind, &got), of(kind, &frames), "loss {loss}");
        }
    }
}

/// Towards a viewer.
#[test]
fn rtmfp_086_and_087_reliable_frames_for_a_viewer_arrive_whole_and_in_order_under_loss() {
    for (seed, loss) in [(42, 0), (43, 10)] {
        let mut world = connected(seed, 1);
        let id = playing(&mut world, 0, "a");
        world.loss = loss;
        let mut frames = vec![metadata(), audio_header(), video_header()];
        frames.extend((0..4).flat_map(second_of));
        let before = seen(&world, 0).len();
        let taken = show(&mut world, 0, id, &frames, true);
        let got = &seen(&world, 0)[before..];
        assert_pictures_are_whole(got);
        if loss == 0 {
            assert_eq!(taken, frames.len());
            for kind in [MediaKind::Audio, MediaKind::Video, MediaKind::Data] {
                assert_eq!(of(kind, got), of(kind, &frames));
            }
        } else {
            assert_eq!(of(MediaKind::Video, got)[0], video_header());
            assert!(got.len() * 100 > frames.len() * 90, "{} of {}", got.len(), frames.len());
        }
    }
}

/// After a picture is lost, the rest of its group ends within `slack` of stream time.
fn assert_groups_end_after_a_loss(frames: &[MediaFrame], slack: u32) {
    let pictures = of(MediaKind::Video, frames);
    let times: Vec<u32> =
        pictures.iter().filter(|frame| !frame.is_header).map(|frame| frame.timestamp_ms).collect();
    for &time in &times {
        let group = time / 1000 * 1000;
        let lost = (group..time).step_by(40).find(|before| !times.contains(before));
        assert!(lost.is_none_or(|lost| time - lost <= slack), "{time}, without {lost:?}");
    }
}

/// LIS-07 and WRI-08: nothing is sent again but keyframes and headers. Of a group that lost a
/// picture only what had left before the loss was known still comes.
#[test]
fn unreliable_frames_are_not_repeated_and_their_group_ends_with_a_loss() {
    let mut world = connected(44, 1);
    let id = playing(&mut world, 0, "a");
    world.loss = 10;
    let mut frames = vec![audio_header(), video_header()];
    frames.extend((0..6).flat_map(second_of));
    let before = seen(&world, 0).len();
    show(&mut world, 0, id, &frames, false);
    let got = &seen(&world, 0)[before..];
    assert_groups_end_after_a_loss(got, 480);
    assert!(got.contains(&video_header()) && got.contains(&audio_header()));
    let keyframes = got.iter().filter(|frame| frame.is_keyframe && !frame.is_header).count();
    assert!(keyframes >= 5, "{keyframes} of 6");
    let audio = of(MediaKind::Audio, got).len();
    assert!((150..259).contains(&audio), "some are lost for good: {audio} of 259");
}

#[test]
fn a_stream_is_shown_until_it_or_its_connection_ends() {
    let mut world = connected(47, 2);
    for at in 0..2 {
        let id = playing(&mut world, at, "a");
        assert!(world.served(at).connection.is_shown(id));
        assert!(!world.served(at).connection.is_shown(StreamId(id.0 + 1)));
        let now = world.now;
        match at {
            0 => world.client(at).delete_stream(id).expect("queued"),
            _ => world.client(at).session_mut().abort(now),
        }
        world.run(SECOND);
        assert!(!world.served(at).connection.is_shown(id));
        let now = world.now;
        let sent = world.served(at).connection.send_media(now, id, &audio_header(), 0, true);
        assert!(!sent, "what has no viewer is not sent");
    }
}

/// Nothing of a client for 5 s. Frames expire; headers, metadata and statuses do not.
#[test]
fn rtmfp_091_late_frames_expire_and_headers_metadata_and_commands_never() {
    let mut world = connected(45, 1);
    let id = playing(&mut world, 0, "a");
    show(&mut world, 0, id, &second_of(0), true);
    let before = seen(&world, 0).len();
    world.peers[0].is_cut = true;
    let now = world.now;
    let connection = &mut world.served(0).connection;
    for frame in [metadata(), video_header(), audio_header()] {
        assert!(connection.send_media(now, id, &frame, 1000, true));
    }
    connection.net(connection.now()).play_unpublished(id);
    let mut frames = second_of(1);
    frames.extend(second_of(2));
    let start = world.now;
    for frame in &frames {
        let due = start + ms(u64::from(frame.timestamp_ms - 1000));
        world.run(due.saturating_duration_since(world.now));
        let now = world.now;
        world.served(0).connection.send_media(now, id, frame, frame.timestamp_ms, true);
    }
    let queued = world.served(0).connection.queued(id);
    assert!(queued.bytes > 100_000 && queued.waited_ms > 500, "{queued:?}");
    world.run(3 * SECOND);
    let queued = world.served(0).connection.queued(id);
    assert!(queued.bytes < 1000, "headers alone are left: {queued:?}");
    world.peers[0].is_cut = false;
    world.run(20 * SECOND);
    let got = &seen(&world, 0)[before..];
    let expected = [metadata(), video_header(), audio_header()];
    for frame in &expected {
        let as_sent = MediaFrame { timestamp_ms: 1000, ..frame.clone() };
        assert!(got.contains(&as_sent), "{frame:?}");
    }
    assert_eq!(
        got.len(),
        3,
        "{:?}",
        got.iter().map(|f| (f.kind, f.timestamp_ms)).collect::<Vec<_>>()
    );
    assert!(codes(&world, 0, id).contains(&"NetStream.Play.UnpublishNotify".to_owned()));
    // The picture goes on at a keyframe.
    let now = world.now;
    let connection = &mut world.served(0).connection;
    assert!(!connection.send_media(now, id, &video(9000, false, 100), 9000, true));
    assert!(connection.send_media(now, id, &video(9040, true, 100), 9040, true));
    assert!(connection.send_media(now, id, &video(9080, false, 100), 9080, true));
    world.run(SECOND);
    let times: Vec<_> = seen(&world, 0)[before + 3..].iter().map(|f| f.timestamp_ms).collect();
    assert_eq!(times, [9040, 9080]);
}

/// §7.9: the frames before a keyframe are worth little when it is there.
#[test]
fn a_keyframe_shortens_the_life_of_the_group_before_it() {
    let mut world = connected(46, 1);
    let id = playing(&mut world, 0, "a");
    world.peers[0].is_cut = true;
    let now = world.now;
    let connection = &mut world.served(0).connection;
    assert!(connection.send_media(now, id, &video(0, true, 30_000), 0, true));
    assert!(connection.send_media(now, id, &video(40, false, 30_000), 40, true));
    world.run(ms(50));
    assert!(world.served(0).connection.queued(id).bytes > 60_000);
    let now = world.now;
    assert!(world.served(0).connection.send_media(now, id, &video(80, true, 1000), 80, true));
    world.run(ms(150));
    let bytes = world.served(0).connection.queued(id).bytes;
    assert!((1000..1100).contains(&bytes), "{bytes}");
    assert_eq!(world.served(0).connection.session().stats().messages_expired, 2);
    world.peers[0].is_cut = false;
    world.run(5 * SECOND);
    let times: Vec<_> =
        of(MediaKind::Video, &seen(&world, 0)).iter().map(|frame| frame.timestamp_ms).collect();
    assert_eq!(times, [80]);
}

#[test]
fn a_header_in_the_middle_of_a_broken_group_does_not_mend_it() {
    let mut world = connected(47, 1);
    let id = playing(&mut world, 0, "a");
    world.peers[0].is_cut = true;
    let now = world.now;
    let connection = &mut world.served(0).connection;
    assert!(connection.send_media(now, id, &video(0, true, 100), 0, true));
    assert!(connection.send_media(now, id, &video(40, false, 100), 40, true));
    world.run(3 * SECOND);
    let now = world.now;
    let connection = &mut world.served(0).connection;
    assert!(connection.send_media(now, id, &video_header(), 80, true));
    assert!(!connection.send_media(now, id, &video(80, false, 100), 80, true));
    assert!(connection.send_media(now, id, &video(120, true, 100), 120, true));
    assert_eq!(connection.stats().frames_dropped, 1);
}

/// A publisher that repeats nothing, through loss.
#[test]
fn rtmfp_075_after_a_gap_no_frame_of_a_publisher_is_forwarded_before_a_keyframe() {
    let mut world = connected(48, 1);
    let id = publishing(&mut world, 0, "a");
    world.client(0).send_frame(id, &video_header(), true).expect("queued");
    world.run(SECOND);
    world.loss = 10;
    let frames: Vec<_> = (0..8).flat_map(second_of).collect();
    let start = world.now;
    for frame in &frames {
        let due = start + ms(u64::from(frame.timestamp_ms));
        world.run(due.saturating_duration_since(world.now));
        world.client(0).send_frame(id, frame, false).expect("queued");
    }
    world.loss = 0;
    world.run(20 * SECOND);
    let got = published(&mut world, 0);
    assert_pictures_are_whole(&got);
    let stats = world.served(0).connection.stats();
    assert!(stats.media_gaps > 3 && stats.broken_frames > 3, "{stats:?}");
    let sounds = of(MediaKind::Audio, &got);
    assert!(sounds.len() > 200, "gaps of audio or video stop no sound: {}", sounds.len());
    assert!(sounds.is_sorted_by_key(|frame| frame.timestamp_ms), "in the publisher's order");
    let gap = Event::MediaGap { stream: id };
    assert!(world.served(0).events.contains(&gap));
}

/// What is lost of a flow without video is no picture.
#[test]
fn a_gap_in_a_flow_of_data_stops_no_video() {
    let mut world = connected(50, 1);
    let id = publishing(&mut world, 0, "a");
    world.client(0).send_frame(id, &metadata(), true).expect("queued");
    world.client(0).send_frame(id, &video(0, true, 10), true).expect("queued");
    world.run(SECOND);
    world.peers[0].is_cut = true;
    world.client(0).send_frame(id, &metadata(), false).expect("queued");
    world.run(ms(100));
    world.peers[0].is_cut = false;
    world.client(0).send_frame(id, &metadata(), true).expect("queued");
    world.client(0).send_frame(id, &video(40, false, 10), true).expect("queued");
    world.run(5 * SECOND);
    assert_eq!(world.served(0).connection.stats().media_gaps, 1);
    let got = published(&mut world, 0);
    assert_eq!(of(MediaKind::Data, &got).len(), 2);
    assert_eq!(of(MediaKind::Video, &got), [video(0, true, 10), video(40, false, 10)]);
}

#[test]
fn frames_for_a_stream_that_is_gone_are_dropped_and_its_flows_end() {
    let mut world = connected(49, 1);
    let id = playing(&mut world, 0, "a");
    let now = world.now;
    assert!(world.served(0).connection.send_media(now, id, &video(0, true, 10), 0, true));
    assert!(!world.served(0).connection.send_media(now, StreamId(9), &audio(0), 0, true));
    world.client(0).delete_stream(id).expect("queued");
    world.run(SECOND);
    let now = world.now;
    assert!(!world.served(0).connection.send_media(now, id, &video(40, false, 10), 40, true));
    assert_eq!(world.served(0).connection.queued(id), ramona_media::Queued::default());
    let stop = codes(&world, 0, id);
    assert_eq!(stop.last().map(String::as_str), Some("NetStream.Play.Stop"), "said before the end");
    let second = playing(&mut world, 0, "b");
    assert_eq!(second, id, "ids are used again, with flows of their own");
    let now = world.now;
    assert!(world.served(0).connection.send_media(now, second, &audio(7), 7, true));
    world.run(SECOND);
    assert_eq!(seen(&world, 0).last().map(|frame| frame.timestamp_ms), Some(7));
}
