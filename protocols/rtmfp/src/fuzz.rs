//! Bodies of the fuzz targets: plain functions that assert what must hold for any input. The
//! crate's tests run them over its corpus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::certificate::{Certificate, Epd, Identity, PeerId};
use crate::chunk::{
    Ack, Chunks, CookieChange, ForwardedHello, InitiatorHello, InitiatorKeying, Redirect,
    ResponderHello, ResponderKeying, UserData, encode_range_ack, encode_user_data, kind,
};
use crate::crypto::{Keys, Negotiation, Offer, Sealer};
use crate::endpoint::{Endpoint, EndpointConfig, EndpointEvent, EndpointOutput};
use crate::entropy::Entropy;
use crate::flow::{Delivery, FlowOptions, Message};
use crate::packet::{Header, Mode};
use crate::profile::{NetConnectionFlows, Side};
use crate::reader::Reader;
use crate::session::{Established, Output, Role, Session, SessionConfig, SessionId};
use crate::timecritical::TimeCritical;
use crate::{Group, netgroup};

/// Largest datagram of a session.
const MAX_DATAGRAM: usize = 1220;

/// Any bytes as a plain packet: what can be read can be written and is read the same.
#[doc(hidden)]
pub fn packet(data: &[u8]) {
    let Some((header, chunks)) = Header::decode(data) else { return };
    let mut out = Vec::new();
    header.encode(&mut out);
    assert_eq!(Header::decode(&out), Some((header, &[][..])));
    let mut previous: Option<UserData<'_>> = None;
    for (kind, payload) in Chunks::new(chunks) {
        out.clear();
        match kind {
            kind::USER_DATA => {
                previous = UserData::decode(payload);
                if let Some(data) = &previous {
                    user_data(data, &mut out);
                }
            }
            kind::NEXT_USER_DATA => {
                let next = previous.as_ref().and_then(|p| p.decode_next(payload));
                assert!(next.is_none_or(|n| previous.is_some_and(|p| p.sequence < n.sequence)));
                previous = next;
            }
            kind::RANGE_ACK | kind::BITMAP_ACK => ack(kind, payload, &mut out),
            _ => startup(kind, payload, &mut out),
        }
    }
}

fn user_data(data: &UserData<'_>, out: &mut Vec<u8>) {
    assert!(data.forward <= data.sequence);
    let startup = data.startup.filter(|s| !s.unknown_mandatory);
    encode_user_data(
        u8::from(data.is_final) | u8::from(data.abandoned) << 1,
        data.fraction,
        data.flow,
        data.sequence,
        data.forward,
        startup,
        out,
        |out| out.extend_from_slice(data.data),
    );
    if startup == data.startup && out.len() <= usize::from(u16::MAX) {
        let again = UserData::decode(&out[3..]);
        assert_eq!(again.as_ref(), Some(data));
    }
}

fn ack(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    let decode = if kind == kind::RANGE_ACK { Ack::decode_ranges } else { Ack::decode_bitmap };
    let Some(ack) = decode(payload) else { return };
    let mut last = ack.cumulative;
    for (from, to) in ack.ranges() {
        assert!(from > last.saturating_add(1) && to >= from, "ranges ascend and are apart");
        last = to;
    }
    let limit = usize::from(u16::MAX);
    let (flow, blocks) = (ack.flow, ack.buffer_blocks);
    encode_range_ack(flow, blocks, ack.cumulative, ack.ranges(), limit, out);
    let again = Ack::decode_ranges(&out[3..]).map(|a| a.ranges().collect::<Vec<_>>());
    assert_eq!(again, Some(ack.ranges().collect()));
}

fn startup(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    macro_rules! again {
        ($type:ident) => {
            if let Some(chunk) = $type::decode(payload) {
                chunk.encode(out);
                assert_eq!($type::decode(&out[3..]), Some(chunk));
            }
        };
    }
    match kind {
        kind::INITIATOR_HELLO => again!(InitiatorHello),
        kind::RESPONDER_HELLO => again!(ResponderHello),
        kind::INITIATOR_KEYING => again!(InitiatorKeying),
        kind::RESPONDER_KEYING => again!(ResponderKeying),
        kind::COOKIE_CHANGE => again!(CookieChange),
        kind::FORWARDED_HELLO => again!(ForwardedHello),
        kind::REDIRECT => {
            if let Some(redirect) = Redirect::decode(payload) {
                let addresses: Vec<_> = redirect.addresses().collect();
                Redirect::encode(redirect.tag, &addresses, out);
                let again = Redirect::decode(&out[3..]).map(|r| r.addresses().collect::<Vec<_>>());
                assert_eq!(again, Some(addresses));
            }
        }
        _ => {}
    }
}

/// Any bytes as certificate, discriminator, keying component, group message and specification.
#[doc(hidden)]
pub fn options(data: &[u8]) {
    if let Some(certificate) = Certificate::decode(data) {
        assert_eq!(certificate.bytes(), data);
        assert!(certificate.groups().count() > 0);
    }
    if let Some(epd) = Epd::decode(data) {
        assert_eq!(Epd::decode(epd.bytes()), Some(epd));
    }
    if let Some(offer) = Offer::decode(data) {
        for policy in [crate::Policy::ON_REQUEST, crate::Policy::STRICT] {
            if let Some(agreed) = Negotiation::agree(&offer, policy, policy) {
                assert!(agreed.receive_mac.is_none_or(|len| (4..=32).contains(&len)));
                let mut out = Vec::new();
                agreed.encode_response(&mut out);
                assert_eq!(out.len(), 7);
            }
        }
    }
    if let Some(group) = netgroup::decode_join(data)
        && data.len() == 36
    {
        assert_eq!(netgroup::decode_join(&netgroup::encode_join(group)), Some(group));
    }
    let _ = netgroup::GroupId::of_specification(data);
    let _ = netgroup::connect_key(data, &[0; 32]);
}

/// Any bytes as the chunks of startup packets, at a server and at a client that opens a session.
/// Each packet: a length byte and that many bytes of chunks.
#[doc(hidden)]
pub fn handshake(data: &[u8]) {
    let mut now = instant();
    let mut entropy = Entropy::from_seed([1; 32]);
    let server = Identity::server(&[Group::Modp1024], &mut entropy);
    let Some(pair) = crate::KeyPair::from_exponent(Group::Modp1024, &[0x5a; 32]) else { return };
    let Some(client) = Identity::client(vec![pair]) else { return };
    for identity in [server, client] {
        let config = EndpointConfig::new(Arc::new(identity));
        let mut endpoint = Endpoint::new(now, config, entropy.fork());
        let from = SocketAddr::from(([192, 0, 2, 1], 1000));
        let _ = endpoint.open(now, Epd::of_server(b"x", None), &[from]);
        let mut input = Reader::new(data);
        while let Some(len) = input.u8() {
            let Some(chunks) = input.bytes(usize::from(len).min(input.rest().len())) else { break };
            let mut sealer = Sealer::startup();
            let mut datagram = Vec::new();
            sealer.begin(&mut datagram);
            datagram.extend_from_slice(&[0x0b, 0, 1]);
            datagram.extend_from_slice(chunks);
            sealer.finish(&mut datagram);
            sealer.seal(0, std::slice::from_mut(&mut datagram));
            endpoint.handle_datagram(now, from, &mut datagram);
            let mut sent = 0;
            loop {
                match endpoint.poll_output() {
                    EndpointOutput::Transmit { .. } => sent += 1,
                    EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                        endpoint.handle_agreement(now, job.run());
                    }
                    EndpointOutput::Event(_) => {}
                    EndpointOutput::Timeout(_) => break,
                }
            }
            assert!(sent <= 100, "a packet causes few");
            now += Duration::from_millis(50);
            endpoint.handle_timeout(now);
        }
        // A cookie cannot be guessed.
        assert_eq!(endpoint.session_count(), 0);
    }
}

/// Any bytes as the chunks of session packets, with messages and time between. Each step: a byte
/// that says what to do, a length byte and that many bytes of chunks.
#[doc(hidden)]
pub fn session(data: &[u8]) {
    let start = instant();
    let mut now = start;
    let far = SocketAddr::from(([192, 0, 2, 1], 1000));
    let negotiation = Negotiation::default();
    let mut session = Session::new(
        now,
        Established {
            role: Role::Responder,
            near_id: SessionId(1),
            far_id: SessionId(2),
            address: far,
            peer_id: PeerId([7; 32]),
            keys: Keys::derive(b"secret", b"near", b"far"),
            negotiation,
            time_critical: TimeCritical::new(now),
            secret: [9; 32],
            config: SessionConfig::default(),
        },
    );
    let mut sealer = Keys::derive(b"secret", b"far", b"near").sealer(&negotiation);
    let mut connection = NetConnectionFlows::new(Side::Server);
    let mut flow = None;
    let mut input = Reader::new(data);
    while let (Some(step), Some(len)) = (input.u8(), input.u8()) {
        let Some(chunks) = input.bytes(usize::from(len).min(input.rest().len())) else { break };
        now += Duration::from_millis(u64::from(step & 0x0f) * 40);
        if step & 0x10 != 0 {
            flow = flow.or_else(|| session.open_flow(FlowOptions::default()).ok());
            if let Some(flow) = flow {
                let payload = Bytes::from(vec![step; usize::from(len) * 20]);
                let message = Message {
                    finish_within: (step & 0x20 != 0).then_some(Duration::from_millis(300)),
                    dependent: step & 0x40 != 0,
                    ..Message::reliable(&[], payload)
                };
                let _ = session.write(now, flow, &message);
            }
        }
        let mut datagram = Vec::new();
        sealer.begin(&mut datagram);
        let header = Header {
            mode: Mode::Initiator,
            time_critical: step & 0x80 != 0,
            time_critical_reverse: false,
            timestamp: Some(u16::from(step)),
            timestamp_echo: Some(u16::from(len)),
        };
        header.encode(&mut datagram);
        datagram.extend_from_slice(chunks);
        sealer.finish(&mut datagram);
        sealer.seal(1, std::slice::from_mut(&mut datagram));
        // Closed sessions refuse.
        let _ = session.handle_packet(now, far, &mut datagram);
        drain(&mut session, &mut connection, now);
        session.handle_timeout(now);
        drain(&mut session, &mut connection, now);
    }
    // Left alone, every session ends.
    for _ in 0..20_000 {
        let Some(at) = drain(&mut session, &mut connection, now) else { return };
        now = now.max(at);
        session.handle_timeout(now);
    }
    assert!(session.is_closed(), "timers ring without end");
}

fn drain(
    session: &mut Session,
    connection: &mut NetConnectionFlows,
    now: Instant,
) -> Option<Instant> {
    for _ in 0..100_000 {
        match session.poll_output() {
            Output::Transmit { bytes, .. } => assert!(bytes.len() <= MAX_DATAGRAM),
            Output::Event(crate::Event::FlowOpened { flow, .. }) if flow.0 % 2 == 1 => {
                session.accept_flow(now, flow, Delivery::AsReceived, 4096);
            }
            Output::Event(event) => {
                let _ = connection.handle_event(now, session, event, |stream| stream < 4);
                while connection.poll_event().is_some() {}
            }
            Output::Timeout(at) => return at,
        }
    }
    panic!("outputs without end");
}

#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn instant() -> Instant {
    Instant::now()
}
