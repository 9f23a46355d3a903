//! What a link port must stand: each has a text that says what was wrong, and costs only that peer.

use std::time::Duration;

use bytes::BytesMut;

use super::hello;
use super::pair::{Pair, drain, secret, start};
use crate::{CloseReason, Event, Link, LinkConfig, Stranger};

const SETTLE: Duration = Duration::from_millis(900);

fn acceptor(text: &str) -> Link {
    Link::accept(start(), LinkConfig::default(), hello(2), secret(text), [2; 32]).unwrap()
}

fn dialler(text: &str) -> Link {
    Link::dial(start(), LinkConfig::default(), hello(1), secret(text), [1; 32]).unwrap()
}

/// Gives the bytes to a fresh acceptor; what it wrote and why it closed.
fn accept(text: &str, bytes: &[u8]) -> (Vec<u8>, Option<CloseReason>) {
    feed(&mut acceptor(text), bytes)
}

fn feed(link: &mut Link, bytes: &[u8]) -> (Vec<u8>, Option<CloseReason>) {
    let mut input = BytesMut::from(bytes);
    link.handle_input(start(), &mut input);
    let (wire, events) = drain(link);
    assert!(events.iter().all(|e| matches!(e, Event::Closed(_))), "no other event: {events:?}");
    match events.into_iter().next() {
        Some(Event::Closed(reason)) => (wire, Some(reason)),
        _ => (wire, None),
    }
}

fn reasons(pair: &mut Pair) -> (CloseReason, CloseReason) {
    pair.run(SETTLE);
    let only = |events: Vec<Event>| match <[Event; 1]>::try_from(events) {
        Ok([Event::Closed(reason)]) => reason,
        other => panic!("{other:?}"),
    };
    (only(pair.dialler.take()), only(pair.acceptor.take()))
}

#[test]
fn strangers_are_named_and_get_no_answer() {
    for (bytes, text) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "not a link of a Ramona node: it speaks HTTP"),
        (
            b"\x03\0\0\0\0\0\0\0\0",
            "not a link of a Ramona node: it speaks RTMP, which has a port of its own (RTMP.port)",
        ),
        (
            b"\x13\x37garbage",
            "not a link of a Ramona node: unknown first bytes [13, 37, 67, 61, 72, 62, 61, 67]",
        ),
    ] {
        for secret in ["", "s"] {
            let (wire, reason) = accept(secret, bytes);
            assert_eq!(reason.unwrap().to_string(), text);
            assert!(wire.is_empty());
            let mut link = dialler(secret);
            drain(&mut link);
            assert_eq!(feed(&mut link, bytes).1.unwrap().to_string(), text);
        }
    }
    assert!(matches!(
        accept("", b"\0\0\0\0\0\0\0\0").1,
        Some(CloseReason::Stranger(Stranger::Unknown(_)))
    ));
}

#[test]
fn a_peer_without_secret_is_refused_and_both_logs_say_so() {
    let mut pair = Pair::new(1, hello(1), hello(2), ["", "secret"]);
    let (dialler, acceptor) = reasons(&mut pair);
    assert_eq!(
        acceptor.to_string(),
        "the peer has no servers.secret, this node has one: set the same servers.secret on both nodes"
    );
    assert_eq!(
        dialler.to_string(),
        "the peer has a servers.secret, this node has none: set the same servers.secret on both nodes"
    );
}

#[test]
fn a_peer_with_a_secret_for_a_node_without_is_refused_and_both_logs_say_so() {
    let mut pair = Pair::new(1, hello(1), hello(2), ["secret", ""]);
    let (dialler, acceptor) = reasons(&mut pair);
    assert_eq!(acceptor, CloseReason::NoSecretHere);
    assert_eq!(dialler, CloseReason::PeerWithoutSecret);
}

#[test]
fn a_wrong_secret_is_refused_and_both_logs_say_so() {
    let mut pair = Pair::new(1, hello(1), hello(2), ["one text", "another text"]);
    let (dialler, acceptor) = reasons(&mut pair);
    assert_eq!((&dialler, &acceptor), (&CloseReason::WrongSecret, &CloseReason::WrongSecret));
    assert_eq!(dialler.to_string(), "wrong secret: set the same servers.secret on both nodes");
}

#[test]
fn an_impostor_that_answers_without_secret_is_not_believed() {
    let plain = {
        let mut pair = Pair::new(1, hello(1), hello(2), [""; 2]);
        let (first, _) = drain(&mut pair.dialler.link);
        accept_wire("", &first)
    };
    let mut link = dialler("s");
    drain(&mut link);
    let (wire, reason) = feed(&mut link, &plain);
    assert_eq!(reason, Some(CloseReason::PeerWithoutSecret));
    assert!(wire.is_empty(), "nothing is told to somebody who proved nothing");
}

#[test]
fn an_impostor_without_the_secret_cannot_answer_the_handshake() {
    let first = drain(&mut dialler("guess")).0;
    let answer = accept_wire("guess", &first);
    let mut link = dialler("the real one");
    drain(&mut link);
    assert_eq!(feed(&mut link, &answer).1, Some(CloseReason::WrongSecret));
}

fn accept_wire(text: &str, bytes: &[u8]) -> Vec<u8> {
    let mut link = acceptor(text);
    link.handle_input(start(), &mut BytesMut::from(bytes));
    drain(&mut link).0
}

/// A recorded dialler can be played back, but not further than the acceptor's first answer.
#[test]
fn a_replayed_link_never_comes_up() {
    let mut pair = Pair::up(1, "s");
    pair.run(SETTLE);
    let recorded = pair.dialled_bytes.clone();
    // Another run of the acceptor has other entropy.
    let mut again =
        Link::accept(start(), LinkConfig::default(), hello(2), secret("s"), [99; 32]).unwrap();
    let (_, reason) = feed(&mut again, &recorded);
    assert_eq!(reason, Some(CloseReason::Tampered));
}

#[test]
fn another_version_is_named_on_both_ends() {
    for secret in ["", "s"] {
        let mut first = drain(&mut dialler(secret)).0;
        first[6] = 9;
        let (wire, reason) = accept(secret, &first);
        let text =
            "the peer speaks link version 9, this node version 1: run the same release on both";
        assert_eq!(reason.unwrap().to_string(), text);
        // The refusal has the form that every version reads; here is what version 9 sees.
        assert!(wire.starts_with(b"RAMONA\x01\xFF\x02"), "{wire:?}");
        let mut theirs = wire;
        theirs[6] = 9;
        let mut link = dialler(secret);
        drain(&mut link);
        assert_eq!(feed(&mut link, &theirs).1, Some(CloseReason::Version { theirs: 9 }));
    }
}

#[test]
fn truncated_bytes_wait_until_the_timeout_and_no_event_comes_before() {
    for secret in ["", "s"] {
        let first = drain(&mut dialler(secret)).0;
        for cut in 0..first.len() {
            let mut link = acceptor(secret);
            let (wire, reason) = feed(&mut link, &first[..cut]);
            assert_eq!((wire.len(), reason), (0, None), "cut at {cut}");
            link.handle_timeout(start() + Duration::from_secs(10));
            let (_, events) = drain(&mut link);
            assert!(matches!(events[..], [Event::Closed(CloseReason::HelloTimeout(_))]), "{cut}");
        }
    }
}

#[test]
fn a_frame_of_four_gigabytes_is_refused_by_its_length_alone() {
    let (_, reason) = accept("", b"RAMONA\x01\x00\xff\xff\xff\xff");
    let text = "a frame of 4294967295 bytes, at most 65536 are allowed here";
    assert_eq!(reason.unwrap().to_string(), text);
    let mut pair = Pair::up(1, "");
    let (wire, reason) = feed(&mut pair.acceptor.link, b"\xff\xff\xff\xff");
    let text = "a frame of 4294967295 bytes, at most 67108864 are allowed here";
    assert_eq!(reason.unwrap().to_string(), text);
    let told = feed(&mut pair.dialler.link, &wire).1.unwrap().to_string();
    assert_eq!(told, format!("closed by peer because of an error: {text}"));
}

#[test]
fn an_oversized_hello_is_refused_before_it_is_there() {
    let (wire, reason) = accept("", b"RAMONA\x01\x00\x00\x01\x00\x01");
    assert_eq!(reason, Some(CloseReason::FrameTooLarge { claimed: 65_537, limit: 65_536 }));
    assert!(wire.starts_with(b"RAMONA\x01\xFF"), "told in a refusal");
    // What was limited before the hello is not limited after it.
    let mut pair = Pair::up(1, "");
    assert_eq!(feed(&mut pair.acceptor.link, b"\x00\x01\x00\x01").1, None);
}

#[test]
fn a_handshake_of_another_size_is_refused_by_its_length() {
    for length in [0_u16, 47, 49, 65_535] {
        let bytes = [&b"RAMONA\x01\x01"[..], &length.to_be_bytes()].concat();
        let reason = accept("s", &bytes).1.unwrap();
        let text = format!("protocol error: handshake of {length} bytes, 48 expected");
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn frames_for_another_state_are_protocol_errors() {
    let before = |frame: &[u8]| {
        let bytes = [b"RAMONA\x01\x00", frame].concat();
        accept("", &bytes).1.unwrap().to_string()
    };
    assert_eq!(before(b"\0\0\0\x03\x01\x01f"), "protocol error: call frame before the hello");
    assert_eq!(before(b"\0\0\0\x02\x03\x00"), "protocol error: ping frame before the hello");
    assert_eq!(before(b"\0\0\0\x02\x02\x00"), "protocol error: app frame before the hello");
    let after = |frame: &[u8]| {
        let mut pair = Pair::up(1, "");
        feed(&mut pair.acceptor.link, frame).1.unwrap().to_string()
    };
    let hello = drain(&mut dialler("")).0.split_off(8);
    assert_eq!(after(&hello), "protocol error: hello frame in a link that is up");
    assert_eq!(
        after(b"\0\0\0\x06\x04\xfc\xff\xff\xff\xff"),
        "protocol error: a pong for a ping of the future"
    );
    assert!(after(b"\0\0\0\0").starts_with("protocol error: unreadable frame header"));
    assert!(after(b"\0\0\0\x01\x63").starts_with("protocol error: unreadable frame header"));
    let mut path = b"\0\0\x04\x05\x02\xfb\x01\x04".to_vec();
    path.extend([b'/'; 1_025]);
    assert_eq!(after(&path), "protocol error: an application path of 1025 bytes, at most 1024");
}

#[test]
fn calls_before_a_broken_frame_are_delivered() {
    let mut pair = Pair::up(1, "");
    let mut input = BytesMut::from(&b"\0\0\0\x03\x01\x01f\0\0\0\x01\x63"[..]);
    pair.acceptor.link.handle_input(start(), &mut input);
    let (_, events) = drain(&mut pair.acceptor.link);
    assert!(
        matches!(&events[..], [Event::Calls(calls), Event::Closed(CloseReason::Protocol(_))] if calls.len() == 1),
        "{events:?}"
    );
}

/// However many it sends in one read: memory does not follow.
#[test]
fn a_flood_of_pings_gets_one_answer_per_read() {
    let mut pair = Pair::up(1, "");
    let flood = b"\0\0\0\x02\x03\x07".repeat(100_000);
    let (wire, reason) = feed(&mut pair.acceptor.link, &flood);
    assert_eq!(reason, None);
    assert_eq!(wire, b"\0\0\0\x02\x04\x07");
}

#[test]
fn a_changed_record_ends_the_link_and_what_came_before_counts() {
    let mut pair = Pair::up(1, "s");
    let mut frames = Vec::new();
    crate::encode_call(&mut frames, b"good", b"").unwrap();
    pair.dialler.link.send_frames(frames.into()).unwrap();
    let (mut wire, _) = drain(&mut pair.dialler.link);
    wire.extend(b"\x00\x20 forged record of 32 bytes here!");
    let mut input = BytesMut::from(&wire[..]);
    pair.acceptor.link.handle_input(start(), &mut input);
    let (answer, events) = drain(&mut pair.acceptor.link);
    let calls =
        events.iter().any(|e| matches!(e, Event::Calls(calls) if calls[0].handler == "good"));
    assert!(calls, "{events:?}");
    assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Tampered)));
    let told = feed(&mut pair.dialler.link, &answer).1.unwrap().to_string();
    assert!(told.ends_with("the bytes were changed on their way"), "{told}");
}

#[test]
fn a_hello_past_its_bounds_is_named() {
    use crate::hello::HelloWire;
    use crate::message::{Message, encode};
    let mut bad = hello(1);
    bad.host = "h".repeat(513);
    let mut frame = Vec::new();
    encode(&mut frame, &Message::Hello(HelloWire::new(&bad)), b"").unwrap();
    let bytes = [&b"RAMONA\x01\x00"[..], &frame].concat();
    let reason = accept("", &bytes).1.unwrap();
    assert_eq!(reason.to_string(), "protocol error: host of 513 bytes in the hello, at most 512");
}
