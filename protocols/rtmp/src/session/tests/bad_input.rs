//! What must cost a peer its connection, and nobody else anything.

use super::*;
use crate::chunk::ChunkError;
use crate::command::CommandError;
use crate::limits::MAX_URL;

fn reason_of(pair: &mut Pair) -> String {
    pair.drive();
    let reason = pair.closed().unwrap_or_else(|| panic!("still open: {:?}", pair.events));
    assert!(reason.is_protocol_error(), "{reason}");
    reason.to_string()
}

fn command(pair: &mut Pair, body: Vec<u8>) {
    let (stream, payload) = (StreamId(0), body.into());
    let message = Message { kind: 20, stream, timestamp_ms: 0, payload };
    pair.client.send_message(&message).expect("fits");
}

/// A session that got these bytes as the first ones.
fn first_bytes(bytes: &[u8]) -> (Vec<Event>, usize) {
    let now = start();
    let mut session = Session::new(now, SessionConfig::default(), [0; 64]);
    let mut input = BytesMut::from(bytes);
    session.handle_input(now, &mut input);
    let mut events = Vec::new();
    loop {
        match session.poll_output() {
            Output::Event(event) => events.push(event),
            Output::Transmit(_) => {}
            Output::Timeout(_) => return (events, input.len()),
        }
    }
}

#[test]
fn garbage_and_other_protocols_end_with_their_first_byte() {
    for (bytes, text) in [
        (&b"GET / HTTP/1.1\r\n"[..], "first byte 0x47 is not the handshake of RTMP version 3: it"),
        (
            &[0x16, 3, 1],
            "first byte 0x16 is not the handshake of RTMP version 3: it looks like TLS",
        ),
        (&[0xfe], "first byte 0xfe is not the handshake of RTMP version 3"),
        (&[6], "handshake version 6 is RTMPE, which this node does not speak"),
    ] {
        let (events, left) = first_bytes(bytes);
        let [Event::Closed(reason)] = &events[..] else { panic!("{events:?}") };
        assert!(reason.to_string().starts_with(text), "{reason}");
        assert_eq!(left, 0, "the input of an ended session is emptied");
    }
}

#[test]
fn garbage_after_the_handshake_ends_the_session() {
    let mut pair = Pair::new();
    pair.drive();
    pair.inject(&[0xFF; 64]);
    assert_eq!(
        reason_of(&mut pair),
        "first chunk of chunk stream 63 has type 3, which needs an earlier header"
    );
}

#[test]
fn truncated_input_waits_until_the_timeout() {
    let mut pair = Pair::new();
    pair.drive();
    pair.inject(&[3, 0, 0, 0, 0, 1, 0, 20, 0]);
    pair.drive();
    assert_eq!(pair.closed(), None);
    pair.pass(Duration::from_secs(10));
    let expected = CloseReason::HandshakeTimeout(Duration::from_secs(10));
    assert_eq!(pair.closed(), Some(&expected));
}

#[test]
fn oversized_command_is_refused_at_its_header() {
    let mut pair = Pair::new();
    pair.drive();
    pair.inject(&[3, 0, 0, 0, 0x10, 0, 1, 20, 0, 0, 0, 0]);
    assert_eq!(
        reason_of(&mut pair),
        "message of type 20 claims 1048577 bytes; at most 1048576 are accepted"
    );
}

#[test]
fn chunk_size_of_4_gib_is_refused() {
    let mut pair = Pair::new();
    pair.drive();
    pair.inject(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(reason_of(&mut pair), "chunk size 4294967295 is not between 1 and 2147483647");
}

#[test]
fn message_that_grows_for_ever_ends_at_its_claim_or_at_the_limit_of_all() {
    let mut pair = Pair::new();
    pair.drive();
    // 127 bytes claimed on each of many chunk streams would be nothing; so three of 8 MiB.
    pair.inject(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF]);
    for id in [3, 4, 5] {
        pair.inject(&[id, 0, 0, 0, 0x80, 0, 0, 9, 1, 0, 0, 0]);
        pair.inject(&vec![0; 0x7F_FFFF]);
    }
    pair.drive();
    assert_eq!(pair.closed(), Some(&CloseReason::Chunk(ChunkError::TooMuchPartial)));
}

#[test]
fn amf_nested_10_000_deep_ends_connect_with_the_reason() {
    let mut body = amf0(&["connect".into(), 1.0.into()]);
    for _ in 0..10_000 {
        body.extend_from_slice(b"\x03\x00\x01a");
    }
    let mut pair = Pair::new();
    command(&mut pair, body);
    let text = reason_of(&mut pair);
    assert!(text.starts_with("command connect: nested too deep"), "{text}");
}

#[test]
fn amf_nested_10_000_deep_in_a_call_reaches_the_script_raw() {
    let (mut pair, _) = Pair::with_stream();
    let deep = b"\x03\x00\x01a".repeat(10_000);
    let transaction = pair.client.call("f", &deep).expect("fits");
    pair.drive();
    let name = Bytes::from_static(b"f");
    assert_eq!(pair.events, [Event::Call { transaction, name, args: deep.into() }]);
}

#[test]
fn amf_nested_10_000_deep_as_a_name_stops_nothing_but_the_command() {
    let (mut pair, stream) = Pair::with_stream();
    let mut body = amf0(&["play".into(), 0.0.into(), Value::Null]);
    body.extend(b"\x03\x00\x01a".repeat(10_000));
    let message = Message { kind: 20, stream, timestamp_ms: 0, payload: body.into() };
    pair.client.send_message(&message).expect("fits");
    pair.drive();
    assert_eq!(pair.events, []);
}

#[test]
fn commands_out_of_place_name_what_was_wrong() {
    type Act = fn(&mut Pair);
    let cases: [(Act, &str); 7] = [
        (|pair| pair.client.create_stream(), "command createStream before connect"),
        (|pair| command(pair, vec![5]), "command message does not begin with a name"),
        (|pair| command(pair, vec![]), "command message does not begin with a name"),
        (
            |pair| command(pair, amf0(&["connect".into(), 1.0.into()])),
            "connect command without an object",
        ),
        (
            |pair| {
                pair.client.connect("rtmp://h/a", &[]).expect("fits");
                pair.client.connect("rtmp://h/a", &[]).expect("fits");
            },
            "connect on a connection that is connected",
        ),
        (
            |pair| {
                pair.client.connect("rtmp://h/a", &[]).expect("fits");
                pair.client.play(StreamId(7), "x").expect("fits");
            },
            "command play on stream 7, which does not exist",
        ),
        (
            |pair| command(pair, amf0(&["x".repeat(300).into(), 1.0.into()])),
            "name of a command has 300 bytes; at most 256 are accepted",
        ),
    ];
    for (act, text) in cases {
        let mut pair = Pair::new();
        act(&mut pair);
        assert_eq!(reason_of(&mut pair), text);
    }
}

#[test]
fn overlong_url_and_name_are_refused() {
    let mut pair = Pair::new();
    pair.client.connect(&format!("rtmp://h/{}", "a".repeat(MAX_URL)), &[]).expect("fits");
    assert_eq!(reason_of(&mut pair), "tcUrl has 8201 bytes; at most 8192 are accepted");
    let (mut pair, stream) = Pair::with_stream();
    pair.client.play(stream, &"a".repeat(5000)).expect("fits");
    assert_eq!(reason_of(&mut pair), "name to play has 5000 bytes; at most 4096 are accepted");
}

#[test]
fn connect_object_of_many_members_is_refused() {
    let members = (0..300).map(|index| (format!("k{index}").into(), Value::Null)).collect();
    let object = Object { type_name: None, members };
    let mut pair = Pair::new();
    pair.client.connect_with(object, &[]).expect("fits");
    pair.drive();
    let expected = CloseReason::Command(CommandError::TooManyMembers(300));
    assert_eq!(pair.closed(), Some(&expected));
}

#[test]
fn short_control_message_is_refused() {
    let mut pair = Pair::new();
    pair.drive();
    pair.inject(&[2, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 1, 2, 3]);
    assert_eq!(reason_of(&mut pair), "control message of type 1 has only 3 bytes");
}

#[test]
fn nothing_follows_the_end() {
    let (mut pair, stream) = Pair::with_stream();
    pair.inject(&[0xFF; 64]);
    pair.drive();
    assert!(pair.closed().is_some());
    let count = pair.events.len();
    pair.transmits = 0;
    pair.session.accept_connect(&[]);
    pair.session.accept_publish(stream);
    pair.session.play_published(stream);
    pair.session.close(CloseKind::AppShutdown);
    pair.session.invoke(b"f", &[]).expect("short");
    pair.session.handle_timeout(pair.now + Duration::from_secs(1000));
    pair.inject(b"more");
    pair.drive();
    assert_eq!((pair.events.len(), pair.transmits, pair.unconsumed()), (count, 0, 0));
}
