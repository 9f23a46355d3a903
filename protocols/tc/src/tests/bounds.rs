use ramona_rtmp::limits::MAX_COMMAND_MESSAGE;

use super::*;
use crate::limits::{BASE_FLOWS, FLOWS_PER_STREAM};

/// A command message of any size.
fn long_command(length: usize) -> ramona_rtmp::Message {
    let mut payload = hex("02000166000000000000000000050c");
    payload.extend_from_slice(&(length as u32).to_be_bytes());
    payload.resize(payload.len() + length, b'x');
    let payload = payload.into();
    ramona_rtmp::Message { kind: 20, stream: StreamId(0), timestamp_ms: 0, payload }
}

fn calls(world: &mut World, at: usize) -> usize {
    let call = |e: &&Event| matches!(e, Event::Net(ramona_rtmp::Event::Call { .. }));
    world.served(at).events.iter().filter(call).count()
}

/// One flow before connect.
#[test]
fn rtmfp_112_before_connect_only_the_control_flow_is_taken() {
    let mut world = World::new(80);
    let at = world.add().expect("a session");
    // An open session of a client whose connect is still to come.
    world.client(at).call("early", &[]).expect("queued");
    for metadata in [&b"TC\x04\x01"[..], b"GC", b"TC\x04\x00", b"nonsense"] {
        let flow = raw_flow(&mut world, at, metadata);
        raw_write(&mut world, at, flow, &[1]);
    }
    world.run(SECOND);
    let served = world.served(at);
    let refused = served.connection.stats().flows_refused;
    assert_eq!(refused + served.connection.session().stats().flows_rejected, 4);
    assert!(served.connection.flow_count() <= 1);
    let reason = served.events.last();
    assert!(matches!(reason, Some(Event::Closed(_))), "a call before connect ends it: {reason:?}");
}

/// And the rest of §7.1.
#[test]
fn rtmfp_085_flows_for_streams_that_do_not_exist_a_second_control_flow_and_strangers_are_refused() {
    let mut world = connected(81, 1);
    let id = stream(&mut world, 0);
    let refused_before = world.served(0).connection.stats().flows_refused;
    let metadata: [&[u8]; 8] = [
        b"TC\x04\x02",
        b"TC\x04\x84\x80\x00",
        b"TC\x04\xfa\x89\x01",
        b"TC\x04\x00",
        b"GR\x1c",
        b"TC\x00",
        b"",
        b"TC\x04\x01\x00",
    ];
    for metadata in metadata {
        let flow = raw_flow(&mut world, 0, metadata);
        raw_write(&mut world, 0, flow, &[8, 0, 0, 0, 0, 0xaf, 1]);
    }
    world.run(SECOND);
    let stats = world.served(0).connection.stats();
    let rejected = world.served(0).connection.session().stats().flows_rejected;
    // Empty metadata is a matter of the session or of this crate, whichever sees it first.
    assert_eq!(stats.flows_refused - refused_before + rejected, metadata.len() as u64);
    assert!(world.served(0).connection.is_connected());
    // A stream that was deleted does not exist either.
    world.client(0).delete_stream(id).expect("queued");
    world.run(SECOND);
    let flow = raw_flow(&mut world, 0, b"TC\x04\x01");
    raw_write(&mut world, 0, flow, &[8, 0, 0, 0, 0, 0xaf, 1]);
    world.run(SECOND);
    assert_eq!(world.served(0).connection.stats().flows_refused, stats.flows_refused + 1);
}

/// "a thousand flows in one session".
#[test]
fn rtmfp_112_flows_of_a_stream_and_of_a_connection_are_bounded() {
    let mut world = connected(82, 1);
    stream(&mut world, 0);
    for _ in 0..100 {
        let flow = raw_flow(&mut world, 0, b"TC\x04\x01");
        raw_write(&mut world, 0, flow, &[8, 0, 0, 0, 0, 0xaf, 1]);
    }
    world.run(5 * SECOND);
    let connection = &world.served(0).connection;
    assert_eq!(connection.flow_count(), 1 + FLOWS_PER_STREAM);
    for _ in 0..1000 {
        let flow = raw_flow(&mut world, 0, b"GC");
        raw_write(&mut world, 0, flow, &[9]);
    }
    world.run(10 * SECOND);
    let connection = &world.served(0).connection;
    assert!(connection.flow_count() <= BASE_FLOWS + FLOWS_PER_STREAM, "{connection:?}");
    assert!(connection.is_connected());
    world.client(0).call("still", &[]).expect("queued");
    world.run(5 * SECOND);
    assert_eq!(calls(&mut world, 0), 1);
}

/// With the amendment: 1 MiB passes, more does not.
#[test]
fn rtmfp_112_a_command_of_a_mebibyte_is_taken_and_a_larger_one_ends_the_connection() {
    let mut world = connected(83, 2);
    let overhead = 19;
    let largest = long_command(MAX_COMMAND_MESSAGE - overhead);
    assert_eq!(largest.payload.len(), MAX_COMMAND_MESSAGE);
    world.client(0).send_message(&largest).expect("queued");
    world.run(20 * SECOND);
    assert_eq!(calls(&mut world, 0), 1);
    world.client(0).send_message(&long_command(MAX_COMMAND_MESSAGE)).expect("queued");
    world.client(1).send_message(&long_command(2 * MAX_COMMAND_MESSAGE)).expect("queued");
    world.run(30 * SECOND);
    for at in 0..2 {
        let served = world.served(at);
        assert!(matches!(served.events.last(), Some(Event::Closed(_))), "{at}");
    }
    assert_eq!(calls(&mut world, 0), 1);
}

/// What waits for a client that takes no commands is bounded.
#[test]
fn a_client_that_takes_no_commands_is_closed() {
    let mut world = World::new(84);
    world.config.control_queue = 1 << 20;
    let at = connect(&mut world);
    world.peers[at].is_cut = true;
    let mut args = vec![0x0c, 0, 1, 0, 0];
    args.resize(5 + (64 << 10), b'x');
    for _ in 0..40 {
        let connection = &mut world.served(at).connection;
        connection.net(connection.now()).invoke(b"f", &args).expect("fits");
        world.run(ms(10));
    }
    let served = world.served(at);
    let Some(Event::Closed(reason)) = served.events.last() else { panic!("{:?}", served.events) };
    assert!(reason.contains("bytes of commands wait"), "{reason}");
    assert!(served.connection.stats().messages_unsent > 0);
    assert!(served.is_over, "nothing is left to wait for");
}

/// A client that takes no media loses frames, and its queue stays within bounds.
#[test]
fn media_that_waits_is_bounded_by_the_flow() {
    let mut world = World::new(85);
    world.config.media_queue = 100_000;
    let at = connect(&mut world);
    let id = playing(&mut world, at, "a");
    world.peers[at].is_cut = true;
    let now = world.now;
    let connection = &mut world.served(at).connection;
    let sent: Vec<_> = (0..20)
        .map(|n| connection.send_media(now, id, &video(n * 40, n == 0, 10_000), n * 40, true))
        .collect();
    assert_eq!(sent.iter().filter(|sent| **sent).count(), 9);
    assert!(connection.queued(id).bytes <= 100_000);
    assert_eq!(connection.stats().frames_dropped, 11);
    assert!(sent[..9].iter().all(|sent| *sent), "and none after the first that found no room");
}

#[test]
fn messages_that_rtmfp_has_no_use_for_are_ignored_and_counted() {
    let mut world = connected(86, 1);
    for kind in [1, 2, 3, 5, 6, 7, 16, 19, 22, 99] {
        let payload = Bytes::from_static(&[0, 0, 0, 1]);
        let stream = StreamId(0);
        let message = ramona_rtmp::Message { kind, stream, timestamp_ms: 0, payload };
        world.client(0).send_message(&message).expect("queued");
    }
    world.run(SECOND);
    let served = world.served(0);
    assert_eq!(served.connection.stats().messages_ignored, 10);
    assert!(served.connection.is_connected());
    assert_eq!(served.connection.session().stats().flows_rejected, 0);
}

/// What a client sends while a decision is open waits in the buffers of its flows, which are
/// bounded and slow it down, also on a flow that it opens meanwhile.
#[test]
fn what_waits_for_a_decision_is_bounded() {
    let mut world = connected(87, 1);
    stream(&mut world, 0);
    let known = raw_flow(&mut world, 0, b"TC\x04\x01");
    raw_write(&mut world, 0, known, &[8, 0, 0, 0, 0, 0xaf, 1]);
    world.run(SECOND);
    world.decide = |_, _| {};
    world.client(0).play(StreamId(1), "a").expect("queued");
    world.run(SECOND);
    assert!(world.served(0).connection.is_waiting());
    let before = world.served(0).connection.session().stats().messages_received;
    let opened = raw_flow(&mut world, 0, b"TC\x04\x01");
    for flow in [known, opened] {
        for _ in 0..1000 {
            raw_write(&mut world, 0, flow, &[8, 0, 0, 0, 0, 0xaf, 1]);
        }
    }
    world.run(5 * SECOND);
    let after = world.served(0).connection.session().stats().messages_received;
    assert_eq!(after, before, "messages are not taken out of their flows");
    let now = world.now;
    world.served(0).connection.net(now).accept_play(StreamId(1), true, true, true);
    world.run(5 * SECOND);
    let after = world.served(0).connection.session().stats().messages_received;
    assert_eq!(after, before + 2000);
}
