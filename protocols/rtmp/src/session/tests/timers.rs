//! Timeouts, pings, windows and acknowledgements.

use super::*;
use crate::message::{UserControl, event};

#[test]
fn connection_without_connect_ends_after_the_handshake_timeout() {
    let mut pair = Pair::new();
    pair.drive();
    pair.pass(Duration::from_secs(9));
    assert_eq!(pair.closed(), None);
    pair.pass(Duration::from_secs(1));
    assert_eq!(
        pair.closed().map(ToString::to_string).as_deref(),
        Some("no connect command within 10s")
    );
}

#[test]
fn open_decision_is_not_the_silence_of_the_client() {
    let mut pair = Pair::new();
    pair.decide = undecided;
    pair.client.connect("rtmp://host/app", &[]).expect("fits");
    pair.drive();
    pair.pass(Duration::from_secs(119));
    assert_eq!(pair.closed(), None);
    pair.session.accept_connect(&[]);
    pair.decide = accept;
    pair.drive();
    pair.pass(Duration::from_secs(300));
    assert_eq!(pair.closed(), None);
}

#[test]
fn client_that_answers_pings_is_alive_and_measured() {
    let (mut pair, _) = Pair::with_stream();
    pair.pass(Duration::from_secs(301));
    assert_eq!(pair.closed(), None);
    let pings = pair.events.iter().filter(|event| matches!(event, Event::RoundTrip(_)));
    assert_eq!(pings.count(), 11, "one after a second, then every 30");
}

#[test]
fn client_that_is_silent_is_told_and_closed() {
    let (mut pair, _) = Pair::with_stream();
    let before = pair.now;
    loop {
        match pair.session.poll_output() {
            Output::Timeout(deadline) => {
                pair.now = deadline;
                pair.session.handle_timeout(deadline);
            }
            Output::Event(Event::Closed(reason)) => {
                assert_eq!(reason, CloseReason::Idle(Duration::from_secs(60)));
                break;
            }
            Output::Event(other) => panic!("{other:?}"),
            Output::Transmit(bytes) => assert!(bytes.len() < 200),
        }
    }
    assert_eq!(pair.now - before, Duration::from_secs(60));
}

#[test]
fn owner_that_did_not_read_keeps_the_client_alive() {
    let (mut pair, _) = Pair::with_stream();
    let later = pair.now + Duration::from_secs(59);
    pair.session.touch(later);
    pair.session.handle_timeout(pair.now + Duration::from_secs(100));
    while let Output::Transmit(_) = pair.session.poll_output() {}
    assert_eq!(pair.closed(), None);
    assert!(matches!(pair.session.poll_output(), Output::Timeout(_)));
}

#[test]
fn timeout_zero_is_never_and_a_huge_one_does_no_harm() {
    for timeout in [Duration::ZERO, Duration::MAX] {
        let (mut pair, _) = Pair::with_stream();
        pair.session.set_timeout(timeout);
        for hours in 1..50 {
            pair.session.handle_timeout(pair.now + Duration::from_secs(3600 * hours));
            while let Output::Transmit(_) = pair.session.poll_output() {}
            assert!(matches!(pair.session.poll_output(), Output::Timeout(_)));
        }
    }
}

#[test]
fn short_timeout_shortens_the_pings_so_that_a_viewer_stays() {
    let (mut pair, _) = Pair::with_stream();
    pair.session.set_timeout(Duration::from_secs(4));
    pair.pass(Duration::from_secs(100));
    assert_eq!(pair.closed(), None);
}

#[test]
fn round_trip_is_the_time_between_ping_and_its_answer() {
    let (mut pair, _) = Pair::with_stream();
    let sent = pair.now + Duration::from_secs(2);
    pair.session.handle_timeout(sent);
    let Output::Transmit(ping) = pair.session.poll_output() else { panic!("a ping") };
    let mut input = BytesMut::from(&ping[..]);
    pair.client.handle_input(sent, &mut input);
    pair.now = sent + Duration::from_millis(35);
    pair.drive();
    assert_eq!(pair.events, [Event::RoundTrip(Duration::from_millis(35))]);
    pair.client.send_message(&Message::user_control(event::PING_RESPONSE, &[12345])).expect("fits");
    pair.drive();
    assert_eq!(pair.events.len(), 1, "an answer to nothing is no measure");
}

#[test]
fn pings_of_the_client_are_answered() {
    let (mut pair, _) = Pair::with_stream();
    pair.client.send_message(&Message::user_control(event::PING_REQUEST, &[77])).expect("fits");
    pair.drive();
    let expected = ClientEvent::Control(UserControl::PingResponse(77));
    assert_eq!(pair.client_events, [expected]);
}

fn window(size: u32) -> Message {
    Message::control(5, Bytes::copy_from_slice(&size.to_be_bytes()))
}

#[test]
fn acknowledgement_comes_before_the_window_of_the_peer_is_full() {
    let (mut pair, stream) = Pair::with_stream();
    pair.client.send_message(&window(10_000)).expect("fits");
    pair.client.publish(stream, "s", PublishMode::Live).expect("fits");
    pair.drive();
    pair.forget();
    for _ in 0..9 {
        pair.client.send_frame(stream, &frame(MediaKind::Audio, 0, &[0; 1000])).expect("fits");
        pair.drive();
    }
    let acknowledged: Vec<_> = pair
        .client_events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Acknowledged(bytes) => Some(*bytes),
            _ => None,
        })
        .collect();
    assert!(!acknowledged.is_empty() && acknowledged.len() <= 3, "{acknowledged:?}");
}

#[test]
fn tiny_window_costs_one_acknowledgement_per_read() {
    let (mut pair, _) = Pair::with_stream();
    pair.client.send_message(&window(1)).expect("fits");
    pair.drive();
    pair.forget();
    for _ in 0..100 {
        pair.client.set_buffer_length(StreamId(1), 1);
    }
    pair.drive();
    let is_ack = |event: &&ClientEvent| matches!(event, ClientEvent::Acknowledged(_));
    assert_eq!(pair.client_events.iter().filter(is_ack).count(), 1);
}

#[test]
fn bandwidth_of_the_peer_is_answered_with_our_window_when_it_changes() {
    let (mut pair, _) = Pair::with_stream();
    let mut bandwidth = |size: u32, limit: u8| {
        pair.forget();
        let payload = [&size.to_be_bytes()[..], &[limit]].concat().into();
        pair.client.send_message(&Message::control(6, payload)).expect("fits");
        pair.drive();
        pair.transmits
    };
    assert_eq!(bandwidth(2_500_000, 0), 0, "hard, but what it is already");
    assert_eq!(bandwidth(100_000, 0), 1, "hard");
    assert_eq!(bandwidth(200_000, 1), 0, "soft: the smaller one stays");
    assert_eq!(bandwidth(50_000, 1), 1, "soft and smaller");
    assert_eq!(bandwidth(70_000, 2), 0, "dynamic after soft means nothing");
}
