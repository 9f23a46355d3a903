//! Initial Keyings: repetition, cookies, keys, limits, policies.

use super::*;

/// The client of V3.
#[test]
fn rtmfp_017_and_034_a_repeated_keying_gets_the_same_bytes_and_one_session() {
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

#[test]
fn rtmfp_032_a_wrong_or_old_cookie_is_ignored() {
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

#[test]
fn rtmfp_033_a_cookie_of_another_address_is_exchanged() {
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

/// Silence, and nothing else happens.
#[test]
fn rtmfp_011_and_018_keyings_that_cannot_be_combined_are_ignored() {
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

/// The three static keys of rtmfp-cpp make 1,076 bytes.
#[test]
fn rtmfp_011_and_010_a_keying_of_three_static_keys_is_accepted() {
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

#[test]
fn rtmfp_036_a_client_that_starts_anew_replaces_its_session() {
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

#[test]
fn rtmfp_037_the_older_session_of_a_peer_ends_when_the_newer_is_proven() {
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

#[test]
fn rtmfp_111_agreements_under_way_are_bounded_and_not_repeated() {
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

/// Per address.
#[test]
fn rtmfp_111_an_address_opens_only_so_many_sessions() {
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

/// What each end wants of checks, over a whole session.
#[test]
fn rtmfp_016_every_combination_of_policies_that_can_agree_does() {
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
                assert_eq!(id.0 & SessionId::AUTHENTICATED != 0, strict, "the ID says so");
                assert_eq!(net.hosts[s].events[0], (id, Event::Confirmed));
            }
        }
    }
}
