//! Windows, limits, congestion, priorities of sending flows.

use super::*;
use crate::congestion::SMSS;
use crate::session::tests::sending::{acknowledge, numbers, open_flow, options, user_data, write};
use crate::timecritical::TimeCritical;

#[test]
fn rtmfp_113_acknowledgements_of_numbers_never_sent_are_ignored() {
    let (mut raw, flow) = open_flow(plain());
    raw.send(&ack(flow.0, 1000, 50, &[]));
    write(&mut raw, flow, &[0; 9000]);
    let sent = numbers(&raw.take_sent());
    assert_eq!(sent, [1, 2, 3]);
    let before = raw.session.congestion().1;
    raw.send(&ack(flow.0, 1000, 1_000_000, &[(1_000_002, 2_000_000)]));
    assert!(raw.session.congestion().1 <= before + SMSS);
    assert_eq!(numbers(&raw.take_sent()), [4, 5, 6, 7], "the rest was not taken for received");
    raw.send(&ack(99, 1000, 1, &[]));
    assert_eq!(raw.session.stats().chunks_dropped, 1, "an unknown flow");
}

/// Section 6.8.
#[test]
fn rtmfp_065_a_full_receiver_is_probed_only_when_it_can_stand_it() {
    let (mut raw, flow) = open_flow(secure());
    write(&mut raw, flow, b"first");
    raw.send(&ack(flow.0, 0, 1, &[]));
    write(&mut raw, flow, b"waits");
    raw.take_sent();
    for _ in 0..25 {
        raw.advance_ms(1000);
        raw.send(&[]);
    }
    let sent = raw.take_sent();
    assert!(user_data(&sent).is_empty());
    let probes: Vec<_> = sent.iter().filter(|p| !p.of(kind::BUFFER_PROBE).is_empty()).collect();
    assert!((3..10).contains(&probes.len()), "{}", probes.len());
    raw.send(&ack(flow.0, 10, 1, &[]));
    assert_eq!(numbers(&raw.take_sent()), [2]);

    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, b"first");
    raw.send(&ack(flow.0, 0, 1, &[]));
    write(&mut raw, flow, b"waits");
    for _ in 0..50 {
        raw.advance_ms(1000);
        if !raw.session.is_open() {
            break;
        }
        raw.send(&[]);
    }
    assert!(raw.take_sent().iter().all(|p| p.of(kind::BUFFER_PROBE).is_empty()));
    assert_eq!(raw.take_events().last(), Some(&Event::Closed(CloseReason::Stalled)));
}

#[test]
fn a_full_flow_refuses_and_tells_when_there_is_room() {
    let config = SessionConfig { send_capacity: 2000, ..SessionConfig::default() };
    let mut raw = Raw::with(plain(), config, None);
    raw.send(&[]);
    raw.take_events();
    let flow = raw.session.open_flow(options()).expect("opens");
    write(&mut raw, flow, &[0; 10_000]);
    let message = Message::reliable(b"", Bytes::from_static(b"x"));
    let full = WriteError::BufferFull { queued_bytes: 10_000, capacity: 2000 };
    assert_eq!(raw.session.write(raw.now, flow, &message), Err(full));
    let mut acked = 0;
    while raw.take_events().is_empty() {
        acked += 2;
        assert!(acked < 20);
        acknowledge(&mut raw, flow, acked, &[]);
    }
    assert!(raw.session.write(raw.now, flow, &message).is_ok());
}

#[test]
fn limits_of_flows_are_told() {
    let config = SessionConfig { max_send_flows: 2, ..SessionConfig::default() };
    let mut raw = Raw::with(plain(), config, None);
    let long = FlowOptions { metadata: Bytes::from(vec![0; 513]), ..FlowOptions::default() };
    assert_eq!(raw.session.open_flow(long), Err(OpenFlowError::Metadata(513)));
    assert!(raw.session.open_flow(options()).is_ok());
    assert!(raw.session.open_flow(options()).is_ok());
    assert_eq!(raw.session.open_flow(options()), Err(OpenFlowError::TooMany(2)));
    raw.session.close(raw.now);
    assert_eq!(raw.session.open_flow(options()), Err(OpenFlowError::Closed));
    let message = Message::reliable(b"", Bytes::new());
    let closed = raw.session.write(raw.now, SendFlowId(2), &message);
    assert_eq!(closed, Err(WriteError::Closed));
}

/// The largest metadata still leaves room for data.
#[test]
fn the_longest_options_fit_a_packet_with_data() {
    for negotiation in [plain(), secure()] {
        let mut raw = Raw::new(negotiation);
        raw.send(&[]);
        let options = FlowOptions { metadata: Bytes::from(vec![7; 512]), ..FlowOptions::default() };
        let flow = raw.session.open_flow(options).expect("opens");
        write(&mut raw, flow, &[1; 3000]);
        let sent = raw.take_sent();
        assert!(sent.len() >= 3);
        assert!(user_data(&sent).iter().all(|d| d.4.len() > 600));
    }
}

/// Full packets are as large as they may be.
#[test]
fn rtmfp_008_full_packets_have_1204_or_1220_bytes() {
    for (negotiation, most) in [(plain(), 1204), (secure(), 1220)] {
        let (mut raw, flow) = open_flow(negotiation);
        write(&mut raw, flow, &[1; 100_000]);
        for _ in 0..40 {
            let last = numbers(&raw.sent).into_iter().max().expect("sent");
            acknowledge(&mut raw, flow, last, &[]);
        }
        let sent = raw.take_sent();
        assert_eq!(sent.iter().map(|p| p.len).max(), Some(most));
    }
}

/// What is in flight, round trip by round trip.
#[test]
fn rtmfp_073_the_window_opens_by_slow_start_and_is_cut_by_loss() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, &[1; 400_000]);
    let flight = |raw: &Raw| raw.session.congestion().0 / SMSS;
    let mut flights = vec![flight(&raw)];
    for _ in 0..3 {
        // A round trip: each packet is acknowledged.
        let first = raw.sent.len();
        let due: Vec<u64> = numbers(&raw.sent);
        raw.advance_ms(40);
        for n in due {
            raw.send(&ack(flow.0, 1000, n, &[]));
        }
        assert!(raw.sent.len() > first);
        raw.sent.drain(..first);
        flights.push(flight(&raw));
    }
    assert!(flights[0] >= 3 && flights[0] <= 4, "{flights:?}");
    assert!(flights[1] >= 2 * flights[0] - 2 && flights[3] > 3 * flights[0], "{flights:?}");
    // A timeout: one segment.
    raw.advance_ms(3500);
    assert_eq!(raw.session.congestion().1, SMSS);
    assert_eq!(raw.session.stats().timeouts, 1);
}

#[test]
fn at_most_six_packets_leave_between_acknowledgements_on_a_short_path() {
    let (mut raw, flow) = open_flow(plain());
    // A sample of 0 ms: no pacing.
    write(&mut raw, flow, &[0; 20]);
    let header =
        Header { timestamp_echo: raw.sent.last().and_then(|p| p.header.timestamp), ..raw.header() };
    raw.send_with(header, &ack(flow.0, 1000, 1, &[]));
    raw.take_sent();
    write(&mut raw, flow, &[0; 200_000]);
    let mut acked = 1;
    for _ in 0..30 {
        let before = raw.sent.len();
        acked = numbers(&raw.sent).into_iter().max().unwrap_or(acked);
        raw.send(&ack(flow.0, 1000, acked, &[]));
        assert!(raw.sent.len() - before <= 6);
    }
    assert!(raw.session.congestion().1 >= 6 * SMSS, "although the window is open");
}

#[test]
fn rtmfp_074_time_critical_data_is_flagged_and_announced_to_others() {
    let shared = TimeCritical::new(Raw::new(plain()).start);
    let mut publisher = Raw::with(plain(), SessionConfig::default(), Some(shared.clone()));
    let mut viewer = Raw::with(plain(), SessionConfig::default(), Some(shared.clone()));
    let start = publisher.start.max(viewer.start);
    publisher.now = start;
    viewer.now = start;
    shared.note_received(start, 0x0500_0000);
    let header = Header { time_critical: true, ..publisher.header() };
    publisher.send_with(header, &[1, 0, 0]);
    viewer.send(&[1, 0, 0]);
    publisher.advance_ms(801);
    publisher.send_with(header, &[1, 0, 0]);
    let flags: Vec<bool> =
        publisher.take_sent().iter().map(|p| p.header.time_critical_reverse).collect();
    assert_eq!(flags, [true, false], "another session did, then only itself");
    assert!(viewer.take_sent()[0].header.time_critical_reverse);
    viewer.advance_ms(801);
    viewer.send(&[1, 0, 0]);
    assert!(!viewer.take_sent()[0].header.time_critical_reverse);

    let media = FlowOptions { time_critical: true, ..options() };
    let flow = viewer.session.open_flow(media).expect("opens");
    let quiet = viewer.session.open_flow(options()).expect("opens");
    write(&mut viewer, quiet, b"command");
    write(&mut viewer, flow, b"video");
    let flags: Vec<bool> = viewer.take_sent().iter().map(|p| p.header.time_critical).collect();
    assert_eq!(flags, [false, true]);
}

#[test]
fn a_higher_priority_goes_first() {
    let (mut raw, low) = open_flow(plain());
    let high = raw
        .session
        .open_flow(FlowOptions { priority: Priority::Immediate, ..options() })
        .expect("opens");
    let bulk = Message::reliable(b"", Bytes::from(vec![1; 3000]));
    raw.session.write(raw.now, low, &bulk).expect("writes");
    let audio = Message::reliable(b"", Bytes::from_static(b"audio"));
    raw.session.write(raw.now, high, &audio).expect("writes");
    raw.poll();
    let sent = raw.take_sent();
    let first = UserData::decode(sent[0].of(kind::USER_DATA)[0]).expect("data");
    assert_eq!((first.flow, first.data), (high.0, &b"audio"[..]));
    raw.session.set_priority(low, Priority::Background);
    raw.session.set_flow_capacity(low, 10);
    let full = raw.session.write(raw.now, low, &audio);
    assert!(matches!(full, Err(WriteError::BufferFull { .. })));
}

#[test]
fn acknowledgements_ride_on_data() {
    let (mut raw, flow) = open_flow(plain());
    raw.send(&first_data(2, None, b"x"));
    raw.session.accept_flow(raw.now, RecvFlowId(2), Delivery::InOrder, 65_536);
    raw.poll();
    raw.send(&data(2, 2, 1, b"y"));
    raw.take_sent();
    write(&mut raw, flow, b"z");
    let sent = raw.take_sent();
    assert_eq!((sent.len(), sent[0].of(kind::RANGE_ACK).len()), (1, 1));
    raw.advance_ms(300);
    assert!(raw.take_sent().iter().all(|p| p.of(kind::RANGE_ACK).is_empty()));
}
