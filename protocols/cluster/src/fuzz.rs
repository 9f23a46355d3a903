//! Bodies of fuzz targets: run over a seed corpus by this crate's tests, and by cargo-fuzz.
//!
//! Each asserts what must hold for any bytes; none of them may panic, hang, or reserve memory that
//! the input did not pay for.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::frame::split_first;
use crate::hello::{Hello, NodeId};
use crate::link::{Event, Link, LinkConfig, Output};
use crate::message::{Message, decode, encode};
use crate::secret::Secret;
use crate::targets::parse_targets;

/// Bytes of an accepted peer, after its hello, in pieces that the first byte decides.
pub fn frames(data: &[u8]) {
    let (mut dialler, mut acceptor) = (fuzz_link(true, false), fuzz_link(false, false));
    join(&mut dialler, &mut acceptor);
    feed(&mut acceptor, data);
}

/// Bytes of a peer that proved nothing, to both ends of a plain link and of a secret one.
pub fn hello(data: &[u8]) {
    for dials in [false, true] {
        for secret in [false, true] {
            let mut link = fuzz_link(dials, secret);
            transmitted(&mut link);
            feed(&mut link, data);
        }
    }
    if let Ok((Message::Hello(wire), _)) = decode(data)
        && let Ok(hello) = wire.to_hello()
    {
        let mut frame = Vec::new();
        let wire = crate::hello::HelloWire::new(&hello);
        encode(&mut frame, &Message::Hello(wire), b"").expect("a hello within its bounds fits");
        let (frame, rest) = split_first(&frame).expect("encode writes a whole frame");
        assert!(rest.is_empty());
        assert!(matches!(decode(frame), Ok((Message::Hello(_), _))));
    }
}

/// Bytes in place of the records of a peer that knows the secret.
pub fn noise_records(data: &[u8]) {
    let (mut dialler, mut acceptor) = (fuzz_link(true, true), fuzz_link(false, true));
    join(&mut dialler, &mut acceptor);
    let events = feed(&mut acceptor, data);
    let forged = events.iter().any(|e| matches!(e, Event::Calls(_) | Event::App(_)));
    assert!(!forged, "nothing is taken that was not sealed with the keys");
}

/// Text of `servers.targets`.
pub fn targets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (targets, errors) = parse_targets(&text);
    assert!(targets.len() <= crate::MAX_TARGETS);
    assert!(targets.len() + errors.len() <= text.split(';').count());
    for target in targets {
        let again = parse_targets(&target.address.to_string()).0;
        assert_eq!(again.len(), 1, "an address is read back as it is shown");
        assert_eq!(again[0].address, target.address);
        let hello = Hello { properties: target.properties, ..fuzz_hello(true) };
        assert_eq!(hello.check(), Ok(()), "accepted properties fit a hello");
    }
}

fn fuzz_hello(dials: bool) -> Hello {
    Hello {
        node_id: NodeId([dials.into(); 16]),
        incarnation: 1,
        capabilities: Default::default(),
        dial: 1,
        host: String::new(),
        ports: Vec::new(),
        configuration: Vec::new(),
        properties: Vec::new(),
    }
}

/// One fixed instant: virtual time starts there.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn fuzz_link(dials: bool, secret: bool) -> Link {
    let secret = if secret { Secret::new("fuzz") } else { None };
    let make = if dials { Link::dial } else { Link::accept };
    make(start(), LinkConfig::default(), fuzz_hello(dials), secret, [dials.into(); 32])
        .expect("an empty hello is within its bounds")
}

fn drain(link: &mut Link) -> (BytesMut, Vec<Event>) {
    let (mut wire, mut events) = (BytesMut::new(), Vec::new());
    loop {
        match link.poll_output() {
            Output::Transmit(bytes) => wire.extend_from_slice(&bytes),
            Output::Event(event) => events.push(event),
            Output::Timeout(_) => return (wire, events),
        }
    }
}

fn transmitted(link: &mut Link) -> BytesMut {
    drain(link).0
}

fn join(a: &mut Link, b: &mut Link) {
    for _ in 0..3 {
        b.handle_input(start(), &mut transmitted(a));
        a.handle_input(start(), &mut transmitted(b));
    }
    assert!(a.is_up() && b.is_up());
    transmitted(a);
    transmitted(b);
}

/// Gives `data` in pieces and checks what holds for any input.
fn feed(link: &mut Link, data: &[u8]) -> Vec<Event> {
    let step = usize::from(data.first().copied().unwrap_or(0)) % 61 + 1;
    let mut input = BytesMut::new();
    let mut all = Vec::new();
    let mut now = start();
    for piece in data.chunks(step) {
        now += Duration::from_millis(1);
        input.extend_from_slice(piece);
        link.handle_input(now, &mut input);
        let (wire, events) = drain(link);
        assert!(wire.len() <= 4_096, "a peer cannot make a link write much: {}", wire.len());
        let closed = events.iter().filter(|e| matches!(e, Event::Closed(_))).count();
        assert!(closed <= 1);
        if link.is_closed() {
            assert!(input.is_empty());
            assert!(matches!(events.last(), None | Some(Event::Closed(_))));
        }
        all.extend(events);
    }
    let calls = all.iter().map(|event| match event {
        Event::Calls(calls) => {
            assert!(!calls.is_empty());
            calls.iter().map(|call| call.handler.len() + call.args.len()).sum()
        }
        Event::App(path) => path.len(),
        _ => 0,
    });
    assert!(calls.sum::<usize>() <= data.len());
    link.handle_timeout(now + Duration::from_secs(3_600));
    link.handle_timeout(now + Duration::from_secs(7_200));
    drain(link);
    assert!(link.is_closed(), "silence ends every link");
    link.handle_input(now, &mut BytesMut::from(data));
    assert_eq!(link.send_frames(Bytes::from_static(b"x")), Err(crate::SendError::Closed));
    all
}
