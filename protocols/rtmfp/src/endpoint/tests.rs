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
        sealer.finish(0, &mut out);
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

/// RTMFP-005 and section 1.1 of the amendments.
#[test]
fn short_and_unknown_datagrams_are_counted_and_not_answered() {
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

/// RTMFP-031.
#[test]
fn a_hello_is_answered_with_its_tag_a_cookie_and_the_certificate() {
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

/// RTMFP-021 and RTMFP-022.
#[test]
fn only_a_matching_discriminator_is_answered() {
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

/// RTMFP-030.
#[test]
fn hellos_leave_no_state() {
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

/// RTMFP-110.
#[test]
fn answers_to_one_network_are_limited() {
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

/// RTMFP-017, RTMFP-034 and the client of V3.
#[test]
fn a_repeated_keying_gets_the_same_bytes_and_one_session() {
    let mut bare = Bare::new();
    let cookie = bare.cookie(a());
    bare.key(a(), 0x0200_0000, &cookie, &v3());
    let first = bare.datagrams.last().expect("answer").clone();
    let (id, payload) = bare.answer().expect("answered");
    assert_eq!(id, SessionId(0x0200_0000));
    let keying = ResponderKeying::decode(&payload).expect("keying");
    assert_eq!(keying.component[..7], hex("031a0000021e00"));
    assert_eq!(keying.component[7..11], hex("81020d02"));
    assert!(keying.component.len() >= 138 && keying.signature == b"X");
    for _ in 0..3 {
        bare.key(a(), 0x0200_0000, &cookie, &v3());
        assert_eq!(bare.datagrams.last(), Some(&first));
    }
    assert_eq!((bare.sessions.len(), bare.endpoint.session_count()), (1, 1));
    assert_eq!(bare.endpoint.stats().keyings_repeated, 3);
    // RTMFP-013: this end has the keys of that answer.
    let pair = KeyPair::from_exponent(Group::Modp1024, &hex(V3_X_I)).expect("pair");
    let secret = pair.agree(&keying.component[11..]).expect("secret");
    let keys = Keys::derive(&secret, &hex(V3_SKIC), keying.component);
    let session = &bare.sessions[0];
    assert_eq!(session.nonces().near, keys.nonces.far);
    assert_eq!(session.peer_id().0.to_vec(), hex(V3_PEER_ID));
    assert_eq!(session.id().0, keying.session_id);
    // The answer is freed when the session is confirmed, and the keying ignored.
    assert_eq!(bare.endpoint.confirm_session(session.id()), None);
    let count = bare.datagrams.len();
    bare.key(a(), 0x0200_0000, &cookie, &v3());
    assert_eq!(bare.datagrams.len(), count);
}

/// RTMFP-032.
#[test]
fn a_wrong_or_old_cookie_is_ignored() {
    let mut bare = Bare::new();
    let cookie = bare.cookie(a());
    for (wrong, at) in [(1, 10), (255, 0)] {
        let mut forged = cookie.clone();
        forged[at] ^= wrong;
        bare.key(a(), 1, &forged, &v3());
    }
    bare.key(a(), 1, &cookie[..63], &v3());
    bare.advance_ms(96_000);
    bare.key(a(), 1, &cookie, &v3());
    assert!(bare.sent.is_empty() && bare.sessions.is_empty());
    assert_eq!(bare.endpoint.stats().bad_cookies, 4);
}

/// RTMFP-033.
#[test]
fn a_cookie_of_another_address_is_exchanged() {
    let mut bare = Bare::new();
    let cookie = bare.cookie(a());
    bare.key(b(), 0x0200_0000, &cookie, &v3());
    let (to, id, kind, payload) = bare.sent.pop().expect("answered");
    assert_eq!((to, id, kind), (b(), SessionId(0x0200_0000), kind::COOKIE_CHANGE));
    let change = CookieChange::decode(&payload).expect("change");
    assert_eq!((change.old, change.new.len()), (&cookie[..], 64));
    assert!(bare.sessions.is_empty());
    bare.key(b(), 0x0200_0000, change.new, &v3());
    assert_eq!(bare.sessions[0].far_address(), b());
}

/// RTMFP-011 and RTMFP-018: silence, and nothing else happens.
#[test]
fn keyings_that_cannot_be_combined_are_ignored() {
    let mut bare = Bare::new();
    let (certificate, component) = v3();
    let cookie = bare.cookie(a());
    let bad_keys = ["00", "01", "ffff", &"00".repeat(128), &"ff".repeat(128)];
    for key in bad_keys {
        let value = format!("02{key}");
        let mut bad = Vec::new();
        crate::option::encode(0x1d, &hex(&value), &mut bad);
        bare.key(a(), 1, &cookie, &(bad, component.clone()));
    }
    for other in [
        hex("021d0e"),
        hex("021d05"),
        hex("031a020a"),
        hex("021d02031a0703021e02"),
        hex("021d02031a0721021e02"),
    ] {
        bare.key(a(), 1, &cookie, &(certificate.clone(), other));
    }
    bare.key(a(), 1, &cookie, &(hex("010a"), component.clone()));
    bare.key(a(), 0, &cookie, &(certificate, component));
    assert!(bare.sent.is_empty() && bare.sessions.is_empty());
    assert_eq!(bare.endpoint.stats().keyings_refused, 12);
}

/// RTMFP-011 and RTMFP-010: the three static keys of rtmfp-cpp make 1,076 bytes.
#[test]
fn a_keying_of_three_static_keys_is_accepted() {
    let mut entropy = Entropy::from_seed([8; 32]);
    let pairs = [Group::Modp4096, Group::Modp2048, Group::Modp1024]
        .map(|group| KeyPair::generate(group, &mut entropy));
    let identity = Identity::client(pairs.into()).expect("identity");
    assert!((906..=908).contains(&identity.certificate_bytes().len()));
    let mut bare = Bare::new();
    let cookie = bare.cookie(a());
    let mut component = hex("021d0e410e");
    component.extend([5; 64]);
    component.extend(hex("031a0710021e07"));
    let certificate = identity.certificate_bytes().to_vec();
    bare.key(a(), 9, &cookie, &(certificate, component));
    let (_, payload) = bare.answer().expect("answered");
    let keying = ResponderKeying::decode(&payload).expect("keying");
    assert_eq!(keying.component[..7], hex("031a0710021e07"), "RTMFP-016");
    assert!(bare.sessions[0].is_authenticated());
}

/// RTMFP-036.
#[test]
fn a_client_that_starts_anew_replaces_its_session() {
    let mut bare = Bare::new();
    let cookie = bare.cookie(a());
    bare.key(a(), 1, &cookie, &v3());
    let old = bare.sessions[0].id();
    let (certificate, mut component) = v3();
    component[10] ^= 1;
    bare.key(a(), 2, &cookie, &(certificate, component));
    assert!(
        matches!(bare.events[..], [EndpointEvent::SessionReplaced { session }] if session == old)
    );
    assert_eq!((bare.sessions.len(), bare.endpoint.session_count()), (2, 1));
    // Another client at the same address is refused.
    let other = client_identity(77).certificate_bytes().to_vec();
    bare.key(a(), 3, &cookie, &(other, hex(V3_SKIC)));
    assert_eq!((bare.sessions.len(), bare.endpoint.session_count()), (2, 1));
}

/// RTMFP-037.
#[test]
fn the_older_session_of_a_peer_ends_when_the_newer_is_proven() {
    let mut net = Net::new(CLEAN, 1);
    let server = net.add("192.0.2.1:1935", config(server_identity(1)));
    let first = net.add("192.0.2.2:5000", config(client_identity(2)));
    let second = net.add("192.0.2.3:5000", config(client_identity(2)));
    net.open(first, server);
    net.run(Duration::from_secs(16));
    let (old, _) = net.hosts[server].opened[0];
    let peer = net.hosts[first].endpoint.identity().peer_id();
    assert_eq!(net.hosts[server].endpoint.session_of(peer), Some(old));
    net.open(second, server);
    net.run(Duration::from_secs(1));
    let (new, _) = net.hosts[server].opened[1];
    assert!(net.session(server, old).is_open(), "not before a packet proves the new one");
    net.run(Duration::from_secs(20));
    assert_eq!(net.hosts[server].endpoint.session_of(peer), Some(new));
    assert!(!net.hosts[server].sessions.contains_key(&old), "closed");
    assert!(net.session(server, new).is_open());
}

/// RTMFP-111.
#[test]
fn agreements_under_way_are_bounded_and_not_repeated() {
    let mut bare = Bare::new();
    bare.hold_jobs = true;
    for i in 0..30_u16 {
        let from = SocketAddr::new(a().ip(), 2000 + i);
        let cookie = bare.cookie(from);
        bare.key(from, 1, &cookie, &v3());
        bare.key(from, 1, &cookie, &v3());
    }
    assert_eq!(bare.jobs.len(), 16);
    assert_eq!(bare.endpoint.stats().keyings_busy, 28);
    for job in std::mem::take(&mut bare.jobs) {
        bare.endpoint.handle_agreement(bare.now, job.run());
    }
    bare.poll();
    assert_eq!(bare.sessions.len(), 16);
    // Jobs that never come back free their places.
    let cookie = bare.cookie(b());
    bare.key(b(), 1, &cookie, &v3());
    let job = bare.jobs.pop().expect("a job");
    bare.advance_ms(30_000);
    assert!(bare.endpoint.keyings.is_empty());
    bare.endpoint.handle_agreement(bare.now, job.run());
    bare.poll();
    assert_eq!(bare.sessions.len(), 16, "too late");
}

/// RTMFP-111: per address.
#[test]
fn an_address_opens_only_so_many_sessions() {
    let mut limited = config(server_identity(1));
    limited.new_sessions_per_second = 5;
    limited.max_sessions_per_address = 8;
    let mut bare = Bare::with(limited);
    let open = |bare: &mut Bare, from: u16| {
        let from = SocketAddr::new(a().ip(), from);
        let cookie = bare.cookie(from);
        bare.key(from, 1, &cookie, &v3());
    };
    for i in 0..20 {
        open(&mut bare, 2000 + i);
    }
    assert_eq!(bare.sessions.len(), 5, "in a second");
    bare.advance_ms(1000);
    for i in 20..40 {
        open(&mut bare, 2000 + i);
    }
    assert_eq!(bare.sessions.len(), 8, "in all");
    let gone = bare.sessions[0].id();
    bare.endpoint.remove_session(gone);
    bare.advance_ms(1000);
    open(&mut bare, 3000);
    assert_eq!(bare.sessions.len(), 9);
}

/// RTMFP-016: what each end wants of checks, over a whole session.
#[test]
fn every_combination_of_policies_that_can_agree_does() {
    for client in [Policy::ON_REQUEST, Policy::STRICT] {
        for sequence in [Policy::ON_REQUEST, Policy::STRICT] {
            for server in [Policy::ON_REQUEST, Policy::STRICT] {
                let mut net = Net::new(CLEAN, 4);
                let mut strict = config(server_identity(1));
                strict.hmac = server;
                let s = net.add("192.0.2.1:1935", strict);
                let mut wanted = config(client_identity(2));
                (wanted.hmac, wanted.sequence_numbers) = (client, sequence);
                let c = net.add("192.0.2.2:5000", wanted);
                net.open(c, s);
                net.run(Duration::from_secs(20));
                let (id, _) = net.hosts[s].opened[0];
                let strict = client == Policy::STRICT || server == Policy::STRICT;
                assert_eq!(net.session(s, id).is_authenticated(), strict);
                assert_eq!(net.hosts[s].events[0], (id, Event::Confirmed));
            }
        }
    }
}

/// RTMFP-114, for endpoints: noise after valid sealing.
#[test]
fn noise_in_startup_packets_does_no_harm() {
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
        sealer.finish(0, &mut out);
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
