//! Packets, timestamps, pings, addresses and closing.

use super::*;

/// No answer, a counter grows.
#[test]
fn rtmfp_005_bad_packets_are_counted_and_not_answered() {
    let mut raw = Raw::new(plain());
    let header = raw.header();
    let good = raw.seal(header, &[1, 0, 0]);
    let mut wrong_sum = good.clone();
    wrong_sum[15] ^= 1;
    // The scrambled ID depends on the first words only.
    assert!(matches!(raw.deliver(raw.far, &mut wrong_sum), Err(PacketError::Open(_))));
    let mut short = [&good[..], &[0; 4]].concat();
    assert!(matches!(raw.deliver(raw.far, &mut short), Err(PacketError::Open(_))));
    for mode in [Mode::Responder, Mode::Startup] {
        let mut reflected = raw.seal(Header { mode, ..header }, &[1, 0, 0]);
        assert_eq!(raw.deliver(raw.far, &mut reflected), Err(PacketError::Mode));
    }
    let mut none = raw.seal(header, &[]);
    let len = none.len();
    assert_eq!(raw.deliver(raw.far, &mut none[..len]), Ok(()), "a packet without chunks is one");
    assert_eq!(raw.session.stats().packets_dropped, 4);
    assert!(raw.take_sent().is_empty());
}

/// 30 s of everything that a session says: data, acknowledgements, answers, pings, the end.
#[test]
fn rtmfp_006_every_packet_has_a_timestamp_and_so_an_echo_never_stands_alone() {
    for negotiation in [plain(), secure()] {
        let mut raw = Raw::new(negotiation);
        let flow = raw.session.open_flow(FlowOptions {
            metadata: Bytes::from_static(b"TC\x04\x00"),
            ..FlowOptions::default()
        });
        let flow = flow.expect("opens");
        let mut packets = Vec::new();
        for second in 0..30u64 {
            let message = Message::reliable(b"", Bytes::from(vec![7; 3_000]));
            raw.session.write(raw.now, flow, &message).expect("there is room");
            raw.poll();
            let header =
                Header { timestamp: (second % 3 > 0).then_some(second as u16), ..raw.header() };
            raw.send_with(header, &data(2, second + 1, second, b"x"));
            raw.send(&[1, 0, 2, 8, 8]);
            raw.advance_ms(1_000);
            packets.append(&mut raw.take_sent());
        }
        raw.session.close(raw.now);
        raw.poll();
        packets.append(&mut raw.take_sent());
        assert!(packets.len() > 60, "{}", packets.len());
        assert!(packets.iter().all(|packet| packet.header.timestamp.is_some()));
        assert!(packets.iter().any(|packet| packet.header.timestamp_echo.is_some()));
    }
}

#[test]
fn rtmfp_007_an_echo_counts_the_time_it_was_held() {
    let mut raw = Raw::new(plain());
    let header = Header { timestamp: Some(1000), ..raw.header() };
    raw.send_with(header, &[1, 0, 0]);
    assert_eq!(raw.take_sent()[0].header.timestamp_echo, Some(1000));
    raw.advance_ms(100);
    raw.send_with(Header { timestamp: None, ..header }, &[1, 0, 0]);
    assert_eq!(raw.take_sent()[0].header.timestamp_echo, Some(1025));
    // The same timestamp again is no news.
    raw.send_with(header, &[1, 0, 0]);
    assert_eq!(raw.take_sent()[0].header.timestamp_echo, Some(1025));
    raw.send_with(Header { timestamp: Some(0xffff), ..header }, &[1, 0, 0]);
    raw.advance_ms(8);
    raw.take_sent();
    raw.send_with(Header { timestamp: None, ..header }, &[1, 0, 0]);
    assert_eq!(raw.take_sent()[0].header.timestamp_echo, Some(1), "ticks wrap");
}

/// The echo is dropped after 128 s without a timestamp.
#[test]
fn rtmfp_007_an_old_timestamp_is_not_echoed() {
    let mut raw = Raw::new(plain());
    let header = raw.header();
    raw.send_with(header, &[1, 0, 0]);
    for _ in 0..13 {
        raw.advance_ms(10_000);
        raw.send_with(Header { timestamp: None, ..header }, &[1, 0, 0]);
    }
    let sent = raw.take_sent();
    let echoes: Vec<bool> = sent.iter().map(|p| p.header.timestamp_echo.is_some()).collect();
    assert_eq!(echoes[..13], [true; 13]);
    assert!(!echoes[13], "after 130 s");
}

#[test]
fn rtmfp_009_an_unknown_chunk_is_skipped_and_the_next_is_taken() {
    let mut raw = Raw::new(plain());
    raw.send(&[hex("ec000105"), first_data(2, None, b"hello"), hex("4d000102")].concat());
    assert!(matches!(raw.take_events()[..], [Event::Confirmed, Event::FlowOpened { .. }]));
    assert_eq!(raw.session.stats().chunks_dropped, 2);
}

#[test]
fn rtmfp_019_replayed_packets_are_dropped_and_reordered_ones_taken() {
    let mut raw = Raw::new(secure());
    let header = raw.header();
    let packets: Vec<Vec<u8>> = (0..33).map(|_| raw.seal(header, &[1, 0, 0])).collect();
    for packet in packets.iter().rev() {
        assert_eq!(raw.deliver(raw.far, &mut packet.clone()), Ok(()), "out of order by up to 32");
    }
    for packet in &packets {
        let replayed = raw.deliver(raw.far, &mut packet.clone());
        assert_eq!(replayed, Err(PacketError::Open(OpenError::Replay)));
    }
    assert_eq!(raw.take_sent().len(), 33);
}

#[test]
fn rtmfp_050_a_ping_is_answered_with_its_message() {
    let mut raw = Raw::new(plain());
    for message in [&b""[..], b"abc", &[7; 1000]] {
        let mut chunk = Vec::new();
        chunk::encode_plain(kind::PING, message, &mut chunk);
        raw.send(&chunk);
        let sent = raw.take_sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].chunks, [(kind::PING_REPLY, message.to_vec())]);
    }
    let mut chunk = Vec::new();
    chunk::encode_plain(kind::PING, &[7; 1001], &mut chunk);
    raw.send(&chunk);
    assert!(raw.take_sent().is_empty());
    assert_eq!(raw.session.stats().pings_ignored, 1);
}

/// Section 10: at most 50 answers a second.
#[test]
fn a_flood_of_pings_is_answered_in_part() {
    let mut raw = Raw::new(plain());
    for _ in 0..200 {
        raw.send(&[1, 0, 0]);
    }
    assert_eq!(raw.take_sent().len(), 50);
    raw.advance_ms(1000);
    raw.send(&[1, 0, 0]);
    assert_eq!(raw.take_sent().len(), 1);
    assert_eq!(raw.session.stats().pings_ignored, 150);
}

/// With the bounds of the amendment: pings after 15 s, the end after 75 s.
#[test]
fn rtmfp_051_a_silent_peer_is_pinged_and_given_up() {
    let mut raw = Raw::new(plain());
    raw.send(&[]);
    raw.advance_ms(14_999);
    assert!(raw.take_sent().is_empty());
    raw.advance_ms(1);
    let sent = raw.take_sent();
    assert_eq!(sent[0].chunks, [(kind::PING, vec![])]);
    raw.advance_ms(59_999);
    let pings: Vec<u64> =
        raw.take_sent().iter().map(|p| p.at.duration_since(raw.start).as_millis() as u64).collect();
    assert_eq!(pings[0], 18_000, "after an ERTO");
    assert_eq!(pings[1], 22_242, "which backs off");
    assert!(pings.windows(2).all(|w| w[1] - w[0] <= 10_000) && pings.len() > 5);
    assert_eq!(raw.take_events(), [Event::Confirmed]);
    raw.advance_ms(1);
    assert_eq!(raw.take_events(), [Event::Closed(CloseReason::Idle)]);
    assert_eq!(raw.take_sent()[0].chunks, [(kind::CLOSE_ACK, vec![])], "one last word");
    assert!(raw.session.is_closed());
    raw.advance_ms(600_000);
    assert!(raw.take_sent().is_empty());
}

#[test]
fn an_answer_keeps_a_session_alive() {
    let mut raw = Raw::new(plain());
    raw.send(&[]);
    for _ in 0..100 {
        raw.advance_ms(16_000);
        assert_eq!(raw.take_sent().len(), 1);
        raw.send(&hex("410000"));
    }
    assert!(raw.session.is_open());
    raw.session.set_keepalive(Duration::from_secs(5));
    raw.poll();
    raw.advance_ms(5000);
    assert_eq!(raw.take_sent().len(), 1, "the interval can be changed");
}

#[test]
fn rtmfp_035_a_session_without_a_valid_packet_ends_after_30_s() {
    let mut raw = Raw::new(plain());
    raw.advance_ms(29_999);
    assert!(raw.session.is_open());
    raw.advance_ms(1);
    assert_eq!(raw.take_events(), [Event::Closed(CloseReason::Unconfirmed)]);
    assert!(raw.take_sent().is_empty(), "nobody is told");
}

#[test]
fn rtmfp_052_a_close_request_is_confirmed() {
    let mut raw = Raw::new(plain());
    raw.send(&hex("0c0000"));
    assert_eq!(raw.take_sent()[0].chunks, [(kind::CLOSE_ACK, vec![])]);
    assert_eq!(raw.take_events(), [Event::Confirmed, Event::Closed(CloseReason::Remote)]);
    raw.advance_ms(5000);
    raw.send(&hex("0c0000"));
    assert_eq!(raw.take_sent()[0].chunks, [(kind::CLOSE_ACK, vec![])], "again while it lingers");
    assert!(!raw.session.is_closed());
    raw.advance_ms(14_000);
    assert!(raw.session.is_closed(), "19 s");
    assert!(raw.take_events().is_empty(), "told once");
}

#[test]
fn rtmfp_052_a_close_confirmation_ends_an_open_session() {
    let mut raw = Raw::new(plain());
    raw.send(&hex("4c0000"));
    assert_eq!(raw.take_sent()[0].chunks, [(kind::CLOSE_ACK, vec![])]);
    assert_eq!(raw.take_events(), [Event::Confirmed, Event::Closed(CloseReason::Remote)]);
    assert!(raw.session.is_closed());
    let header = raw.header();
    let mut late = raw.seal(header, &[1, 0, 0]);
    assert_eq!(raw.deliver(raw.far, &mut late), Err(PacketError::Closed));
}

#[test]
fn rtmfp_052_a_close_request_is_repeated_every_5_s_for_90_s() {
    let mut raw = Raw::new(plain());
    raw.send(&[]);
    raw.session.close(raw.now);
    raw.poll();
    raw.advance_ms(89_999);
    let sent = raw.take_sent();
    assert_eq!(sent.len(), 18);
    assert!(sent.iter().all(|p| p.chunks == [(kind::CLOSE, vec![])]));
    assert!(sent.windows(2).all(|w| w[1].at - w[0].at == Duration::from_secs(5)));
    assert_eq!(raw.take_events(), [Event::Confirmed]);
    raw.advance_ms(1);
    assert_eq!(raw.take_events(), [Event::Closed(CloseReason::Local)]);
    // Confirmed at once.
    let mut raw = Raw::new(plain());
    raw.session.close(raw.now);
    raw.poll();
    raw.send(&hex("4c0000"));
    assert!(raw.session.is_closed());
    assert_eq!(raw.take_sent().len(), 1);
}

#[test]
fn an_abrupt_close_says_one_word() {
    let mut raw = Raw::new(plain());
    raw.send(&[]);
    raw.session.abort(raw.now);
    raw.poll();
    assert_eq!(raw.take_sent()[0].chunks, [(kind::CLOSE_ACK, vec![])]);
    assert_eq!(raw.take_events(), [Event::Confirmed, Event::Closed(CloseReason::Local)]);
    let mut raw = Raw::new(plain());
    raw.session.discard();
    raw.poll();
    assert!(raw.take_sent().is_empty());
    assert!(raw.session.is_closed());
}

#[test]
fn rtmfp_053_a_new_address_is_checked_before_it_is_used() {
    for negotiation in [plain(), secure()] {
        let mut raw = Raw::new(negotiation);
        raw.send(&[]);
        let (old, new) = (raw.far, other_address());
        let header = raw.header();
        let mut moved = raw.seal(header, &[]);
        raw.deliver(new, &mut moved).expect("valid");
        let sent = raw.take_sent();
        assert_eq!((sent.len(), sent[0].to), (1, new));
        let (kind, message) = sent[0].chunks[0].clone();
        assert_eq!((kind, message[0], message.len()), (kind::PING, 0x4d, 34));
        assert_eq!(raw.session.far_address(), old, "until it answers");
        let mut reply = Vec::new();
        chunk::encode_plain(kind::PING_REPLY, &message, &mut reply);
        raw.advance_ms(300);
        let mut reply = raw.seal(header, &reply);
        raw.deliver(new, &mut reply).expect("valid");
        assert_eq!(raw.session.far_address(), new);
        let events = raw.take_events();
        assert_eq!(events[1..], [Event::AddressChanged { from: old, to: new }]);
        raw.far = new;
        raw.send(&[1, 0, 0]);
        assert!(raw.take_sent().iter().all(|p| p.to == new), "nothing goes to the old address");
    }
}

/// At most one check in a second.
#[test]
fn rtmfp_053_checks_of_addresses_are_limited() {
    let mut raw = Raw::new(plain());
    raw.send(&[]);
    for i in 0..100_u16 {
        let header = raw.header();
        let mut moved = raw.seal(header, &[]);
        let from = SocketAddr::new(other_address().ip(), 1000 + i);
        raw.deliver(from, &mut moved).expect("valid");
        raw.advance_ms(30);
    }
    assert_eq!(raw.take_sent().len(), 3);
}

#[test]
fn rtmfp_054_forged_stale_and_replayed_answers_do_not_move_a_session() {
    let mut raw = Raw::new(secure());
    raw.send(&[]);
    let (old, new) = (raw.far, other_address());
    let third: SocketAddr = "192.0.2.88:8888".parse().expect("address");
    let check = |raw: &mut Raw, from: SocketAddr| {
        raw.advance_ms(1000);
        let header = raw.header();
        let mut moved = raw.seal(header, &[]);
        raw.deliver(from, &mut moved).expect("valid");
        let sent = raw.take_sent();
        sent.iter().flat_map(|p| p.of(kind::PING)).next().expect("a check").to_vec()
    };
    let answer = |raw: &mut Raw, from: SocketAddr, message: &[u8]| {
        let mut chunk = Vec::new();
        chunk::encode_plain(kind::PING_REPLY, message, &mut chunk);
        let header = raw.header();
        let mut reply = raw.seal(header, &chunk);
        raw.deliver(from, &mut reply).expect("valid");
        raw.session.far_address()
    };
    let message = check(&mut raw, new);
    let mut forged = message.clone();
    forged[20] ^= 1;
    assert_eq!(answer(&mut raw, new, &forged), old, "forged");
    assert_eq!(answer(&mut raw, third, &message), old, "for another address");
    assert_eq!(answer(&mut raw, new, &[]), old, "an empty answer proves nothing with HMAC");
    raw.advance_ms(1000);
    assert_eq!(answer(&mut raw, new, &message), new);
    // Back at the old address, then the old answer again.
    let back = check(&mut raw, old);
    assert_eq!(answer(&mut raw, old, &back), old);
    assert_eq!(answer(&mut raw, new, &message), old, "replayed");
    let stale = check(&mut raw, new);
    for _ in 0..13 {
        raw.advance_ms(10_000);
        raw.far = old;
        raw.send(&[]);
    }
    assert_eq!(answer(&mut raw, new, &stale), old, "older than 120 s");
}

/// Section 5.3: librtmfp answers every ping with an empty one.
#[test]
fn an_empty_answer_counts_only_without_hmac_and_while_the_old_address_is_silent() {
    let moved = |config: SessionConfig, old_speaks: bool, wait: u64| {
        let mut raw = Raw::with(plain(), config, None);
        raw.send(&[]);
        let header = raw.header();
        let mut packet = raw.seal(header, &[]);
        raw.deliver(other_address(), &mut packet).expect("valid");
        if old_speaks {
            raw.send(&[]);
        }
        raw.advance_ms(wait);
        let mut reply = raw.seal(header, &hex("410000"));
        raw.deliver(other_address(), &mut reply).expect("valid");
        raw.session.far_address() == other_address()
    };
    assert!(moved(SessionConfig::default(), false, 3000));
    assert!(!moved(SessionConfig::default(), false, 3001));
    assert!(!moved(SessionConfig::default(), true, 100));
    let off = SessionConfig { legacy_mobility: false, ..SessionConfig::default() };
    assert!(!moved(off, false, 100));
}

#[test]
fn an_introduction_is_passed_on_and_told() {
    let mut raw = Raw::new(plain());
    let hello = hex(
        "0f003a22210fd7d1705374e7368317c3af4af78bd738dcdf0b6626d398ae800ca47c523eee8402c0000202e4ba\
         0bdfe700a3c813ab5d8ecff5b5a91644",
    );
    raw.send(&hello);
    let events = raw.take_events();
    let Event::ForwardedHello { epd, reply, tag } = events[1].clone() else {
        panic!("{events:?}");
    };
    assert_eq!((epd.len(), tag.len()), (34, 16));
    // RTMFP-042: the bytes of the vector, in the other direction.
    raw.session.forward_hello(raw.now, epd, reply, tag);
    raw.poll();
    assert_eq!(raw.take_sent()[0].chunks, [(kind::FORWARDED_HELLO, hello[3..].to_vec())]);
}

#[test]
fn waiting_answers_are_bounded() {
    let mut raw = Raw::new(plain());
    for _ in 0..100 {
        let address = Address::new(other_address(), crate::address::Origin::Observed);
        raw.session.forward_hello(
            raw.now,
            Bytes::from_static(b"e"),
            address,
            Bytes::from_static(b"t"),
        );
    }
    raw.poll();
    assert_eq!(raw.take_sent().len(), 64);
    assert_eq!(raw.session.stats().controls_dropped, 36);
    // The longest that fits, and one more.
    let address =
        Address::new("[::1]:1".parse().expect("address"), crate::address::Origin::Observed);
    for len in [845, 846] {
        let epd = Bytes::from(vec![1; len]);
        raw.session.forward_hello(raw.now, epd, address, Bytes::from(vec![2; 255]));
    }
    raw.poll();
    assert_eq!(raw.take_sent().len(), 1);
    assert_eq!(raw.session.stats().controls_dropped, 37);
}
