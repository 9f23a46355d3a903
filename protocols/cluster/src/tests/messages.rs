use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::hello;
use super::pair::Pair;
use crate::{Call, Event, encode_call};

const SETTLE: Duration = Duration::from_millis(900);

fn calls(events: &[Event]) -> Vec<Call> {
    let of = |event: &Event| match event {
        Event::Calls(calls) => calls.clone(),
        _ => Vec::new(),
    };
    events.iter().flat_map(of).collect()
}

fn call(handler: &str, args: &[u8]) -> Call {
    Call { handler: handler.to_owned().into(), args: Bytes::copy_from_slice(args) }
}

fn frame(handler: &str, args: &[u8]) -> Bytes {
    let mut out = Vec::new();
    encode_call(&mut out, handler.as_bytes(), args).unwrap();
    out.into()
}

/// CLU-03, CLU-04, SRV-04 over plain and secret links, whatever the cuts and delays.
#[test]
fn both_ends_get_the_others_hello_and_the_properties_of_the_target_entry() {
    for seed in 0..40 {
        for secret in ["", "the same text on both nodes"] {
            let mut one = hello(1);
            one.properties = vec![("type".into(), "master".into())];
            let mut pair = Pair::new(seed, one.clone(), hello(2), [secret; 2]);
            pair.run(SETTLE);
            assert_eq!(pair.acceptor.events[0], Event::Up(one.clone()), "seed {seed}");
            let mut two = hello(2);
            two.properties = one.properties.clone();
            assert_eq!(pair.dialler.events[0], Event::Up(two), "seed {seed}");
            let identity = pair.dialler.link.identity().unwrap();
            assert!(identity.dialled_here && identity.dial == one.dial);
            let identity = pair.acceptor.link.identity().unwrap();
            assert!(!identity.dialled_here && identity.dial == one.dial);
            assert_eq!(identity.peer, one.node_id);
        }
    }
}

/// CLU-03, CLU-23: sent before the hello, it still follows it; calls and apps keep their order.
#[test]
fn frames_sent_early_wait_for_the_own_hello() {
    for seed in 0..40 {
        for secret in ["", "s3cret"] {
            let mut pair = Pair::new(seed, hello(1), hello(2), [secret; 2]);
            for end in [&mut pair.dialler, &mut pair.acceptor] {
                end.link.send_frames(frame("first", b"1")).unwrap();
                end.link.announce_app(b"/game").unwrap();
                end.link.send_frames(frame("second", b"2")).unwrap();
                assert!(end.link.queued_bytes() > 0);
            }
            pair.run(SETTLE);
            for end in [&mut pair.dialler, &mut pair.acceptor] {
                let events: Vec<_> = end
                    .take()
                    .into_iter()
                    .filter(|event| !matches!(event, Event::RoundTrip(_)))
                    .collect();
                assert!(matches!(events[0], Event::Up(_)), "seed {seed}");
                assert_eq!(events[1], Event::Calls(vec![call("first", b"1")]));
                assert_eq!(events[2], Event::App("/game".into()));
                assert_eq!(events[3], Event::Calls(vec![call("second", b"2")]));
                assert_eq!(events.len(), 4);
                assert_eq!(end.link.queued_bytes(), 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// CLU-23, CLU-24, CLU-27: in order, once, byte for byte, whatever the sizes and cuts.
    #[test]
    fn clu_24_calls_arrive_in_order_once_and_unchanged(
        seed: u64,
        is_secret: bool,
        largest_piece in 1_u64..5_000,
        sent in proptest::collection::vec(("[a-z]{1,12}", proptest::collection::vec(any::<u8>(), 0..400)), 1..40),
    ) {
        let mut pair = Pair::up(seed, if is_secret { "s" } else { "" });
        pair.largest_piece = largest_piece;
        for (handler, args) in &sent {
            pair.dialler.link.send_frames(frame(handler, args)).unwrap();
        }
        pair.run(Duration::from_secs(60));
        let expected: Vec<_> = sent.iter().map(|(handler, args)| call(handler, args)).collect();
        prop_assert_eq!(calls(&pair.acceptor.events), expected);
    }
}

#[test]
fn clu_23_ten_thousand_numbered_calls_arrive_sorted() {
    for secret in ["", "s"] {
        let mut pair = Pair::up(3, secret);
        pair.largest_piece = 70_000;
        let mut frames = Vec::new();
        for n in 0..10_000_u32 {
            encode_call(&mut frames, b"count", &n.to_be_bytes()).unwrap();
        }
        pair.acceptor.link.send_frames(frames.into()).unwrap();
        pair.run(SETTLE);
        let numbers: Vec<_> = calls(&pair.dialler.events)
            .iter()
            .map(|call| u32::from_be_bytes(call.args[..].try_into().unwrap()))
            .collect();
        assert_eq!(numbers, (0..10_000).collect::<Vec<_>>());
    }
}

#[test]
fn one_read_gives_one_event_that_shares_its_memory() {
    let mut pair = Pair::up(5, "");
    let mut frames = Vec::new();
    for _ in 0..100 {
        encode_call(&mut frames, b"video", &[7; 30]).unwrap();
    }
    let mut input = bytes::BytesMut::from(&frames[..]);
    let read = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
    pair.acceptor.link.handle_input(pair.now, &mut input);
    let (_, events) = super::pair::drain(&mut pair.acceptor.link);
    let [Event::Calls(calls)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(calls.len(), 100);
    assert!(calls.iter().all(|c| read.contains(&(c.args.as_ptr() as usize))), "args are slices");
    assert!(calls.iter().all(|c| read.contains(&(c.handler.as_ptr() as usize))));
}

#[test]
fn a_frame_of_megabytes_crosses_in_small_reads() {
    for secret in ["", "s"] {
        let mut pair = Pair::up(9, secret);
        pair.largest_piece = 60_000;
        let big: Vec<u8> = (0..9_000_000_u32).map(|n| (n >> 3) as u8).collect();
        pair.dialler.link.send_frames(frame("big", &big)).unwrap();
        pair.dialler.link.send_frames(frame("small", b"after")).unwrap();
        pair.run(Duration::from_secs(3));
        let calls = calls(&pair.acceptor.events);
        assert_eq!(calls.len(), 2);
        assert!(calls[0].args == big[..], "unchanged");
        assert_eq!(calls[1], call("small", b"after"));
    }
}

/// The scan of a frame that is not complete must not start over with each read.
#[test]
fn a_huge_frame_in_tiny_reads_is_scanned_once() {
    let mut pair = Pair::up(9, "");
    let big = vec![1; 2_000_000];
    let whole = frame("big", &big);
    let mut input = bytes::BytesMut::new();
    for piece in whole.chunks(16) {
        input.extend_from_slice(piece);
        let before = input.as_ptr();
        pair.acceptor.link.handle_input(pair.now, &mut input);
        // Untouched until complete: neither consumed nor copied.
        assert!(input.is_empty() || input.as_ptr() == before);
    }
    let (_, events) = super::pair::drain(&mut pair.acceptor.link);
    assert_eq!(calls(&events).len(), 1);
}

#[test]
fn nobody_reads_the_secret_the_hello_or_a_call_on_the_wire() {
    let mut pair = Pair::new(1, hello(1), hello(2), ["keep this text"; 2]);
    pair.dialler.link.send_frames(frame("onChat", b"a private word")).unwrap();
    pair.run(SETTLE);
    assert_eq!(calls(&pair.acceptor.events).len(), 1);
    let wire = &pair.dialled_bytes;
    for hidden in [&b"keep this text"[..], b"www.host1", b"onChat", b"private", b"RTMFP"] {
        assert!(!wire.windows(hidden.len()).any(|w| w == hidden), "{hidden:?}");
    }
}

#[test]
fn the_queue_is_bounded_and_a_closed_link_takes_nothing() {
    let mut pair = Pair::new(1, hello(1), hello(2), [""; 2]);
    let half = Bytes::from(vec![0; crate::MAX_QUEUED / 2]);
    let link = &mut pair.acceptor.link;
    link.send_frames(half.clone()).unwrap();
    link.send_frames(half.clone()).unwrap();
    assert_eq!(link.send_frames("x".into()), Err(crate::SendError::QueueFull));
    assert_eq!(link.queued_bytes(), crate::MAX_QUEUED);
    assert_eq!(link.announce_app(&[b'/'; 1_025]), Err(crate::SendError::PathTooLong(1_025)));
    link.close("enough");
    assert_eq!(link.send_frames("x".into()), Err(crate::SendError::Closed));
    assert_eq!(link.announce_app(b"/a"), Err(crate::SendError::Closed));
}
