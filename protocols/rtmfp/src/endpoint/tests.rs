use super::*;
use crate::address::Origin;
use crate::chunk::{CookieChange, InitiatorHello, InitiatorKeying, ResponderHello};
use crate::chunk::{Redirect, ResponderKeying};
use crate::crypto::{Group, KeyPair, Keys, Policy};
use crate::session::Event;
use crate::testing::hex;
use crate::testing::net::{CLEAN, Net, client_identity, config, server_identity};
use crate::testing::raw::TestInstant;
use crate::testing::vectors::*;
use std::time::Duration;

mod initiator;
mod introductions;
mod keying;

/// A server and datagrams written by hand.
struct Bare {
    endpoint: Endpoint,
    now: Instant,
    events: Vec<EndpointEvent>,
    sessions: Vec<Session>,
    sent: Vec<(SocketAddr, SessionId, u8, Vec<u8>)>,
    datagrams: Vec<Vec<u8>>,
    hold_jobs: bool,
    jobs: Vec<AgreeJob>,
}

fn a() -> SocketAddr {
    "192.0.2.1:1000".parse().expect("address")
}

fn b() -> SocketAddr {
    "192.0.2.1:1001".parse().expect("address")
}

/// The initiator of V3: certificate, component.
fn v3() -> (Vec<u8>, Vec<u8>) {
    (hex(&format!("81021d02{V3_Y_I}")), hex(V3_SKIC))
}

impl Bare {
    fn new() -> Self {
        Self::with(config(server_identity(1)))
    }

    fn with(config: EndpointConfig) -> Self {
        let now = Instant::now_for_tests();
        Self {
            endpoint: Endpoint::new(now, config, Entropy::from_seed([3; 32])),
            now,
            events: Vec::new(),
            sessions: Vec::new(),
            sent: Vec::new(),
            datagrams: Vec::new(),
            hold_jobs: false,
            jobs: Vec::new(),
        }
    }

    fn advance_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.endpoint.handle_timeout(self.now);
        self.poll();
    }

    fn poll(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                EndpointOutput::Event(EndpointEvent::Agree(job)) if self.hold_jobs => {
                    self.jobs.push(*job);
                }
                EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                    self.endpoint.handle_agreement(self.now, job.run());
                }
                EndpointOutput::Event(EndpointEvent::SessionOpened { session, .. }) => {
                    self.sessions.push(*session);
                }
                EndpointOutput::Event(event) => self.events.push(event),
                EndpointOutput::Transmit { to, bytes } => {
                    self.datagrams.push(bytes.clone());
                    let mut bytes = bytes;
                    let id = SessionId(session_id(&bytes).expect("long enough"));
                    let packet = Opener::startup().open(&mut bytes).expect("opens").to_vec();
                    let (header, chunks) = Header::decode(&packet).expect("header");
                    assert_eq!(header.mode, Mode::Startup);
                    assert!(header.timestamp.is_some(), "flags 0b");
                    let (kind, payload) = Chunks::new(chunks).next().expect("a chunk");
                    self.sent.push((to, id, kind, payload.to_vec()));
                }
                EndpointOutput::Timeout(_) => return,
            }
        }
    }

    fn send(&mut self, from: SocketAddr, chunk: &[u8]) {
        let mut sealer = Sealer::startup();
        let mut out = Vec::new();
        sealer.begin(&mut out);
        out.extend_from_slice(&[0x0b, 0, 1]);
        out.extend_from_slice(chunk);
        sealer.finish(&mut out);
        sealer.seal(0, std::slice::from_mut(&mut out));
        let route = self.endpoint.handle_datagram(self.now, from, &mut out);
        assert_eq!(route, Route::Handled);
        self.poll();
    }

    fn hello(&mut self, from: SocketAddr, epd: &str) {
        let mut chunk = Vec::new();
        InitiatorHello { epd: &hex(epd), tag: &[7; 16] }.encode(&mut chunk);
        self.send(from, &chunk);
    }

    /// Asks and gives the cookie.
    fn cookie(&mut self, from: SocketAddr) -> Vec<u8> {
        self.hello(from, "050a6c697665");
        let (_, _, kind, payload) = self.sent.pop().expect("answered");
        assert_eq!(kind, kind::RESPONDER_HELLO);
        ResponderHello::decode(&payload).expect("hello").cookie.to_vec()
    }

    fn key(
        &mut self,
        from: SocketAddr,
        id: u32,
        cookie: &[u8],
        (certificate, component): &(Vec<u8>, Vec<u8>),
    ) {
        let mut chunk = Vec::new();
        InitiatorKeying { session_id: id, cookie, certificate, component, signature: b"X" }
            .encode(&mut chunk);
        self.send(from, &chunk);
    }

    /// The answer to a keying.
    fn answer(&mut self) -> Option<(SessionId, Vec<u8>)> {
        let (_, id, kind, payload) = self.sent.pop()?;
        assert_eq!(kind, kind::RESPONDER_KEYING);
        Some((id, payload))
    }
}

/// Section 1.1 of the amendments.
#[test]
fn rtmfp_005_short_and_unknown_datagrams_are_counted_and_not_answered() {
    let mut bare = Bare::new();
    for len in 0..20 {
        assert_eq!(bare.endpoint.handle_datagram(bare.now, a(), &mut vec![0; len]), Route::Handled);
    }
    bare.endpoint.handle_datagram(bare.now, a(), &mut [1; 36]);
    let mut wrong = hex(V2_DATAGRAM);
    wrong[30] ^= 1;
    bare.endpoint.handle_datagram(bare.now, a(), &mut wrong);
    bare.poll();
    assert!(bare.sent.is_empty() && bare.events.is_empty());
    let stats = bare.endpoint.stats();
    assert_eq!((stats.too_short, stats.unknown_session, stats.malformed), (20, 1, 1));
}

#[test]
fn rtmfp_031_a_hello_is_answered_with_its_tag_a_cookie_and_the_certificate() {
    let mut bare = Bare::new();
    let route = bare.endpoint.handle_datagram(bare.now, a(), &mut hex(V16_IHELLO));
    assert_eq!(route, Route::Handled);
    bare.poll();
    let (to, id, kind, payload) = bare.sent.pop().expect("answered");
    assert_eq!((to, id, kind), (a(), SessionId(0), kind::RESPONDER_HELLO));
    let hello = ResponderHello::decode(&payload).expect("hello");
    assert_eq!(hello.tag, hex("d2201cea02e0435ba345aca24918e4b5"));
    assert_eq!(hello.cookie.len(), 64);
    assert_eq!(hello.certificate, bare.endpoint.identity().certificate_bytes());
}

#[test]
fn rtmfp_021_and_022_only_a_matching_discriminator_is_answered() {
    let mut bare = Bare::new();
    let own = format!("210f{}", bare.endpoint.identity().peer_id());
    let uri = "1c0a72746d66703a2f2f3132372e302e302e313a323935302f6c697665";
    for (epd, answered) in [
        ("050a6c697665", true),
        (uri, true),
        (&own, true),
        (&format!("{own}050a6c697665"), true),
        (&format!("08006578616d706c65{uri}"), false),
        (&format!("210f{}050a6c697665", "22".repeat(32)), false),
        ("", false),
        ("00", false),
        ("0109", false),
        ("050a6c69", false),
    ] {
        bare.sent.clear();
        bare.hello(a(), epd);
        assert_eq!(bare.sent.len(), usize::from(answered), "{epd}");
    }
    let mut empty_tag = Vec::new();
    InitiatorHello { epd: &hex("050a6c697665"), tag: &[] }.encode(&mut empty_tag);
    let mut long_tag = Vec::new();
    InitiatorHello { epd: &hex("050a6c697665"), tag: &[1; 256] }.encode(&mut long_tag);
    bare.sent.clear();
    bare.send(a(), &empty_tag);
    bare.send(a(), &long_tag);
    assert!(bare.sent.is_empty());
}

/// rtmfp-cpp puts URLs of any length into its hello.
#[test]
fn a_discriminator_of_four_kib_is_answered_and_a_longer_one_is_not() {
    let mut bare = Bare::new();
    // Length and type take three bytes of the option.
    for (url, answered) in [(1_100, 1), (4096 - 3, 1), (4096 - 2, 0)] {
        bare.sent.clear();
        let epd = Epd::of_server(&vec![b'u'; url], None);
        let mut chunk = Vec::new();
        InitiatorHello { epd: epd.bytes(), tag: &[7; 16] }.encode(&mut chunk);
        bare.send(a(), &chunk);
        assert_eq!(bare.sent.len(), answered, "{url}");
    }
    assert_eq!(bare.endpoint.stats().hellos_ignored, 1);
}

#[test]
fn rtmfp_030_hellos_leave_no_state() {
    let mut bare = Bare::new();
    for i in 0..20_000_u32 {
        let from = SocketAddr::from((i.to_be_bytes(), 1000));
        bare.endpoint.handle_datagram(bare.now, from, &mut hex(V16_IHELLO));
        while !matches!(bare.endpoint.poll_output(), EndpointOutput::Timeout(_)) {}
    }
    assert_eq!(bare.endpoint.session_count(), 0);
    assert!(bare.endpoint.keyings.is_empty() && bare.endpoint.openings.is_empty());
    assert!(bare.endpoint.datagrams.capacity() < 64 && bare.endpoint.events.capacity() < 64);
    assert_eq!(bare.endpoint.stats().hellos, 20_000);
    // The flood spends the share of everybody; a client connects a second later.
    assert!(bare.endpoint.stats().answers_limited < 20_000);
    bare.advance_ms(1000);
    assert_eq!(bare.cookie("10.9.8.7:1".parse().expect("address")).len(), 64);
}

#[test]
fn rtmfp_110_answers_to_one_network_are_limited() {
    let mut bare = Bare::new();
    for port in 0..2000 {
        bare.hello(SocketAddr::new(a().ip(), port), "050a6c697665");
    }
    let bytes: usize = bare.datagrams.iter().map(Vec::len).sum();
    assert!((31_000..=32_000).contains(&bytes), "{bytes}");
    assert!(bare.endpoint.stats().answers_limited > 1800);
    bare.sent.clear();
    bare.hello("192.0.3.1:5".parse().expect("address"), "050a6c697665");
    assert_eq!(bare.sent.len(), 1, "others are served");
}

/// For endpoints: noise after valid sealing.
#[test]
fn rtmfp_114_noise_in_startup_packets_does_no_harm() {
    let mut bare = Bare::new();
    let mut entropy = Entropy::from_seed([6; 32]);
    let kinds = [0x30, 0x70, 0x71, 0x38, 0x78, 0x79, 0x7f];
    for _ in 0..3000 {
        let mut chunks = Vec::new();
        for _ in 0..1 + entropy.u32() % 3 {
            let mut payload = entropy.array::<40>();
            payload[0] &= 0x1f;
            let len = entropy.u32() as usize % 40;
            let kind = kinds[entropy.u32() as usize % kinds.len()];
            crate::chunk::encode_plain(kind, &payload[..len], &mut chunks);
        }
        let mut sealer = Sealer::startup();
        let mut out = Vec::new();
        sealer.begin(&mut out);
        out.extend_from_slice(&[0x0b, 0, 1]);
        out.extend_from_slice(&chunks);
        sealer.finish(&mut out);
        sealer.seal(0, std::slice::from_mut(&mut out));
        bare.endpoint.handle_datagram(bare.now, a(), &mut out);
        bare.poll();
        bare.now += Duration::from_millis(10);
    }
    assert!(bare.sessions.is_empty());
}

#[test]
fn a_queue_that_nobody_takes_is_bounded() {
    let mut free = config(server_identity(1));
    free.answer_bytes_per_second = u32::MAX;
    free.total_answer_bytes_per_second = u32::MAX;
    let mut bare = Bare::with(free);
    for _ in 0..2000 {
        bare.endpoint.handle_datagram(bare.now, a(), &mut hex(V16_IHELLO));
    }
    assert_eq!(bare.endpoint.datagrams.len(), MAX_QUEUED);
    assert_eq!(bare.endpoint.stats().queue_dropped, 2000 - MAX_QUEUED as u64);
}
