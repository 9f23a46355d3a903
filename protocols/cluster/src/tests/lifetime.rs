use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::hello;
use super::pair::{Pair, drain, start};
use crate::{CloseReason, Event, Link, LinkConfig, Output, Redial, encode_call};

const SETTLE: Duration = Duration::from_millis(900);

fn closed(events: &[Event]) -> Option<&CloseReason> {
    match events.last() {
        Some(Event::Closed(reason)) => Some(reason),
        _ => None,
    }
}

#[test]
fn heartbeats_keep_an_idle_link_up_and_measure_the_round_trip() {
    for secret in ["", "s"] {
        let mut pair = Pair::up(4, secret);
        pair.run(Duration::from_secs(3_600));
        assert!(pair.dialler.link.is_up() && pair.acceptor.link.is_up());
        for end in [&mut pair.dialler, &mut pair.acceptor] {
            let events = end.take();
            assert!((3_590..=3_601).contains(&events.len()), "{}", events.len());
            for event in events {
                match event {
                    Event::RoundTrip(time) => assert!(time < Duration::from_millis(30)),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// CLU-07.
#[test]
fn clu_07_a_pulled_cable_is_noticed_after_five_seconds_of_silence() {
    let mut pair = Pair::up(6, "");
    pair.run(Duration::from_secs(20));
    pair.is_cut = true;
    pair.run(Duration::from_millis(3_900));
    assert!(pair.dialler.link.is_up() && pair.acceptor.link.is_up());
    pair.run(Duration::from_millis(1_200));
    for end in [&pair.dialler, &pair.acceptor] {
        let reason = closed(&end.events).expect("dead");
        assert!(matches!(reason, CloseReason::Dead(_)), "{reason}");
        assert_eq!(reason.to_string(), "nothing heard from the peer for 5.0 s");
        assert_eq!(reason.redial(), Redial::AfterBackoff);
    }
}

/// A peer whose own answers are stuck behind a long queue still lives: its heartbeats arrive.
#[test]
fn any_byte_counts_as_a_sign_of_life() {
    let mut pair = Pair::up(6, "");
    let mut now = pair.now;
    let call = {
        let mut out = Vec::new();
        encode_call(&mut out, b"f", &[0; 100]).unwrap();
        out
    };
    let mut input = BytesMut::new();
    for byte in call {
        now += Duration::from_secs(3);
        pair.acceptor.link.handle_timeout(now);
        input.extend_from_slice(&[byte]);
        pair.acceptor.link.handle_input(now, &mut input);
    }
    assert!(pair.acceptor.link.is_up());
}

#[test]
fn an_owner_that_does_not_read_does_not_take_the_peer_for_dead() {
    let mut pair = Pair::up(2, "");
    let link = &mut pair.acceptor.link;
    let mut now = pair.now;
    for _ in 0..30 {
        now += Duration::from_secs(1);
        link.postpone_silence(now);
        link.handle_timeout(now);
        let (wire, _) = drain(link);
        assert!(!wire.is_empty(), "heartbeats go on");
    }
    assert!(link.is_up());
    link.handle_timeout(now + Duration::from_millis(4_999));
    assert!(link.is_up());
    link.handle_timeout(now + Duration::from_secs(5));
    assert!(link.is_closed());
}

#[test]
fn a_link_before_its_hello_cannot_postpone_the_timeout() {
    let mut pair = Pair::new(2, hello(1), hello(2), [""; 2]);
    let link = &mut pair.acceptor.link;
    link.postpone_silence(start() + Duration::from_secs(9));
    link.handle_timeout(start() + Duration::from_secs(10));
    assert!(link.is_closed());
}

#[test]
fn an_owner_that_slept_gives_the_peer_one_more_heartbeat() {
    let mut pair = Pair::up(2, "");
    let link = &mut pair.acceptor.link;
    let woken = pair.now + Duration::from_secs(60);
    link.handle_timeout(woken);
    assert!(link.is_up(), "what the peer sent may still be unread");
    link.handle_timeout(woken + Duration::from_millis(1_001));
    let (_, events) = drain(link);
    assert!(matches!(closed(&events), Some(CloseReason::Dead(_))), "{events:?}");
}

/// CLU-09.
#[test]
fn clu_09_no_hello_within_ten_seconds_closes_either_end() {
    for secret in ["", "s"] {
        let mut pair = Pair::new(1, hello(1), hello(2), [secret; 2]);
        pair.is_cut = true;
        pair.run(Duration::from_millis(9_999));
        assert!(pair.dialler.events.is_empty() && pair.acceptor.events.is_empty());
        pair.run(Duration::from_millis(2));
        for end in [&pair.dialler, &pair.acceptor] {
            assert_eq!(
                end.events,
                [Event::Closed(CloseReason::HelloTimeout(Duration::from_secs(10)))]
            );
        }
    }
}

#[test]
fn an_orderly_close_arrives_behind_all_calls_with_its_text() {
    for secret in ["", "s"] {
        let mut pair = Pair::up(8, secret);
        let mut frames = Vec::new();
        encode_call(&mut frames, b"last", b"word").unwrap();
        pair.dialler.link.send_frames(frames.into()).unwrap();
        pair.dialler.link.close("shutting down");
        pair.run(SETTLE);
        let reason = closed(&pair.dialler.events).unwrap();
        assert!(reason.is_orderly());
        assert_eq!(reason.to_string(), "closed here: shutting down");
        let events: Vec<_> = pair
            .acceptor
            .take()
            .into_iter()
            .filter(|e| !matches!(e, Event::RoundTrip(_)))
            .collect();
        let [Event::Calls(calls), Event::Closed(reason)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(calls[0].handler, "last");
        assert_eq!(reason.to_string(), "closed by peer: shutting down");
        assert!(reason.is_orderly());
    }
}

/// CLU-10.
#[test]
fn a_rejection_reaches_the_peer_with_its_text() {
    for (secret, by_dialler) in [("", true), ("", false), ("s", true), ("s", false)] {
        let mut pair = Pair::up(8, secret);
        let (rejecting, rejected) = match by_dialler {
            true => (&mut pair.dialler, &mut pair.acceptor),
            false => (&mut pair.acceptor, &mut pair.dialler),
        };
        rejecting.link.reject(b"following server already connected");
        rejected.take();
        pair.run(SETTLE);
        let (rejecting, rejected) = match by_dialler {
            true => (&pair.dialler, &pair.acceptor),
            false => (&pair.acceptor, &pair.dialler),
        };
        let text = Bytes::from_static(b"following server already connected");
        let events: Vec<_> =
            rejected.events.iter().filter(|e| !matches!(e, Event::RoundTrip(_))).collect();
        assert_eq!(
            events,
            [&Event::Rejected(text.clone()), &Event::Closed(CloseReason::Rejected(text.clone()))]
        );
        assert_eq!(closed(&rejecting.events), Some(&CloseReason::RejectedHere(text)));
    }
}

/// A failed root application refuses every node, whatever the link has reached by then.
#[test]
fn a_rejection_before_the_hello_arrives_too() {
    for secret in ["", "s"] {
        // After each number of bytes that the acceptor has read.
        let mut pair = Pair::new(1, hello(1), hello(2), [secret; 2]);
        let (first, _) = drain(&mut pair.dialler.link);
        for read in 8..first.len() {
            let mut pair = Pair::new(1, hello(1), hello(2), [secret; 2]);
            drain(&mut pair.dialler.link);
            let mut input = BytesMut::from(&first[..read]);
            pair.acceptor.link.handle_input(start(), &mut input);
            pair.acceptor.link.reject(b"main.lua:3: broken");
            let (answer, _) = drain(&mut pair.acceptor.link);
            pair.dialler.link.handle_input(start(), &mut BytesMut::from(&answer[..]));
            let (_, events) = drain(&mut pair.dialler.link);
            let text = Bytes::from_static(b"main.lua:3: broken");
            let expected =
                [Event::Rejected(text.clone()), Event::Closed(CloseReason::Rejected(text))];
            assert_eq!(events, expected, "{read} bytes read");
        }
    }
}

#[test]
fn a_long_rejection_text_is_cut() {
    let mut pair = Pair::up(8, "");
    pair.dialler.link.reject(&[b'x'; 100_000]);
    pair.run(SETTLE);
    match closed(&pair.acceptor.events) {
        Some(CloseReason::Rejected(text)) => assert_eq!(text.len(), crate::MAX_TEXT),
        other => panic!("{other:?}"),
    }
}

/// CLU-08: both ends have the same reason, and the dialler rests.
#[test]
fn a_duplicate_is_told_to_the_other_end() {
    for by_dialler in [true, false] {
        let mut pair = Pair::up(8, "s");
        match by_dialler {
            true => pair.dialler.link.close_duplicate(),
            false => pair.acceptor.link.close_duplicate(),
        }
        pair.run(SETTLE);
        for end in [&pair.dialler, &pair.acceptor] {
            let reason = closed(&end.events).unwrap();
            assert_eq!(reason, &CloseReason::Duplicate);
            assert_eq!(reason.redial(), Redial::WhenOtherLinkEnds);
            assert!(reason.is_orderly());
        }
    }
}

#[test]
fn a_node_that_dials_itself_notices_on_both_ends() {
    for secret in ["", "s"] {
        let mut pair = Pair::new(3, hello(1), hello(1), [secret; 2]);
        pair.run(SETTLE);
        assert_eq!(pair.dialler.events, [Event::Closed(CloseReason::SelfLink)]);
        assert_eq!(pair.acceptor.events, [Event::Closed(CloseReason::SelfLink)]);
        assert_eq!(CloseReason::SelfLink.redial(), Redial::Never);
    }
}

#[test]
fn a_copied_node_id_is_not_taken_for_a_self_link() {
    let mut copy = hello(1);
    copy.incarnation += 1;
    let mut pair = Pair::new(3, hello(1), copy, [""; 2]);
    pair.run(SETTLE);
    for end in [&pair.dialler, &pair.acceptor] {
        assert_eq!(end.events, [Event::Closed(CloseReason::SameNodeId)]);
    }
}

#[test]
fn the_end_of_the_connection_is_told_apart_before_and_after_the_hello() {
    let mut pair = Pair::new(3, hello(1), hello(2), [""; 2]);
    pair.dialler.link.handle_eof(pair.now);
    assert_eq!(closed(&drain(&mut pair.dialler.link).1), Some(&CloseReason::LostBeforeHello));
    let mut pair = Pair::up(3, "");
    pair.dialler.link.handle_eof(pair.now);
    pair.dialler.link.handle_eof(pair.now);
    let (wire, events) = drain(&mut pair.dialler.link);
    assert_eq!(events, [Event::Closed(CloseReason::Lost)], "told once");
    assert!(wire.is_empty());
}

#[test]
fn a_closed_link_discards_input_and_lingers_for_a_second() {
    let mut pair = Pair::up(3, "");
    pair.dialler.link.close("bye");
    let (_, events) = drain(&mut pair.dialler.link);
    assert!(closed(&events).is_some());
    let mut input = BytesMut::from(&b"\xff\xff\xff\xff anything"[..]);
    pair.dialler.link.handle_input(pair.now, &mut input);
    assert!(input.is_empty());
    match pair.dialler.link.poll_output() {
        Output::Timeout(at) => assert!(at <= pair.now + Duration::from_secs(1) && at > start()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn intervals_that_make_no_sense_are_raised() {
    let zero = LinkConfig {
        hello_timeout: Duration::from_secs(1),
        ping_interval: Duration::ZERO,
        dead_after: Duration::ZERO,
    };
    let mut dialler = Link::dial(start(), zero, hello(1), None, [0; 32]).unwrap();
    let mut acceptor = Link::accept(start(), zero, hello(2), None, [0; 32]).unwrap();
    for _ in 0..2 {
        acceptor.handle_input(start(), &mut BytesMut::from(&drain(&mut dialler).0[..]));
        dialler.handle_input(start(), &mut BytesMut::from(&drain(&mut acceptor).0[..]));
    }
    dialler.handle_timeout(start());
    drain(&mut dialler);
    match dialler.poll_output() {
        Output::Timeout(at) => assert_eq!(at, start() + Duration::from_millis(10)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hello_past_its_bounds_makes_no_link() {
    let mut hello = hello(1);
    hello.host = "h".repeat(600);
    assert!(Link::dial(start(), LinkConfig::default(), hello, None, [0; 32]).is_err());
}

#[test]
fn a_link_can_live_on_any_thread() {
    fn is_send<T: Send>() {}
    is_send::<Link>();
}
