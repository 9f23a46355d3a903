//! Sending flows: startup options, retransmission, deadlines, abandonment, closing.

use super::*;
use crate::testing::raw::Packet;

pub(super) fn options() -> FlowOptions {
    FlowOptions { metadata: Bytes::from_static(b"TC\x04\x01"), ..FlowOptions::default() }
}

/// A confirmed session with one flow, and nothing sent.
pub(super) fn open_flow(negotiation: Negotiation) -> (Raw, SendFlowId) {
    let mut raw = Raw::new(negotiation);
    raw.send(&[]);
    raw.take_events();
    let flow = raw.session.open_flow(options()).expect("opens");
    (raw, flow)
}

pub(super) fn write(raw: &mut Raw, flow: SendFlowId, payload: &[u8]) {
    let message = Message::reliable(b"", Bytes::copy_from_slice(payload));
    raw.session.write(raw.now, flow, &message).expect("writes");
    raw.poll();
}

/// All user data of the packets: (number, forward number, flags, data).
pub(super) fn user_data(packets: &[Packet]) -> Vec<(u64, u64, bool, bool, Vec<u8>)> {
    let mut all = Vec::new();
    for packet in packets {
        let mut previous: Option<UserData<'_>> = None;
        for (kind, payload) in &packet.chunks {
            let data = match kind {
                0x10 => UserData::decode(payload),
                0x11 => previous.expect("a chunk before").decode_next(payload),
                _ => continue,
            };
            let data = data.expect("user data");
            all.push((
                data.sequence,
                data.forward,
                data.abandoned,
                data.is_final,
                data.data.to_vec(),
            ));
            previous = Some(data);
        }
    }
    all
}

pub(super) fn numbers(packets: &[Packet]) -> Vec<u64> {
    user_data(packets).iter().map(|d| d.0).collect()
}

/// The far end takes everything at once.
pub(super) fn acknowledge(raw: &mut Raw, flow: SendFlowId, cumulative: u64, above: &[(u64, u64)]) {
    raw.advance_ms(40);
    let echo = raw.sent.last().and_then(|p| p.header.timestamp);
    let header = Header { timestamp_echo: echo, ..raw.header() };
    raw.send_with(header, &ack(flow.0, 1000, cumulative, above));
}

#[test]
fn rtmfp_062_startup_options_are_in_the_first_chunk_of_every_packet_until_an_acknowledgement() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, &[1; 3000]);
    let sent = raw.take_sent();
    assert_eq!(sent.len(), 3);
    for packet in &sent {
        let first = UserData::decode(packet.of(kind::USER_DATA)[0]).expect("user data");
        let startup = first.startup.expect("options");
        assert_eq!(startup.metadata, Some(&b"TC\x04\x01"[..]));
        assert_eq!(startup.association, None);
    }
    acknowledge(&mut raw, flow, 1, &[]);
    write(&mut raw, flow, b"more");
    raw.advance_ms(20_000);
    let later = raw.take_sent();
    assert!(!user_data(&later).is_empty());
    for packet in &later {
        for payload in packet.of(kind::USER_DATA) {
            assert_eq!(UserData::decode(payload).expect("user data").startup, None);
        }
    }
}

/// Vector V12: the answer of a server in the client's control flow.
#[test]
fn an_associated_flow_has_the_bytes_of_the_vector() {
    let mut raw = Raw::new(plain());
    raw.send(&first_data(2, None, b"connect"));
    raw.session.accept_flow(raw.now, RecvFlowId(2), Delivery::InOrder, 65_536);
    let options = FlowOptions {
        metadata: Bytes::from_static(b"TC\x04\0"),
        associated: Some(RecvFlowId(2)),
        ..FlowOptions::default()
    };
    let flow = raw.session.open_flow(options).expect("opens");
    raw.take_sent();
    let payload = Bytes::from(hex("002900003a9800002710"));
    let message = Message::reliable(&[4, 0, 0, 0, 0], payload);
    raw.session.write(raw.now, flow, &message).expect("writes");
    raw.poll();
    let sent = raw.take_sent();
    let bytes = hex("10001d80020101050054430400020a02000400000000002900003a9800002710");
    assert_eq!(sent[0].of(kind::USER_DATA), [&bytes[3..]]);
    let unknown = FlowOptions { associated: Some(RecvFlowId(5)), ..FlowOptions::default() };
    let refused = raw.session.open_flow(unknown);
    assert_eq!(refused, Err(OpenFlowError::Association(RecvFlowId(5))));
}

#[test]
fn header_and_payload_are_one_message() {
    let (mut raw, flow) = open_flow(plain());
    let payload: Vec<u8> = (0..2500_u32).map(|i| i as u8).collect();
    let message = Message::reliable(b"header", Bytes::from(payload.clone()));
    raw.session.write(raw.now, flow, &message).expect("writes");
    raw.poll();
    let data: Vec<u8> =
        user_data(&raw.take_sent()).into_iter().flat_map(|(_, _, _, _, d)| d).collect();
    assert_eq!(data, [b"header", &payload[..]].concat());
    let long = Message::reliable(&[0; 17], Bytes::new());
    assert_eq!(raw.session.write(raw.now, flow, &long), Err(WriteError::Header(17)));
}

#[test]
fn small_messages_share_a_packet() {
    let (mut raw, flow) = open_flow(plain());
    for i in 0..10 {
        let message = Message::reliable(b"", Bytes::from(vec![i; 20]));
        raw.session.write(raw.now, flow, &message).expect("writes");
    }
    raw.poll();
    let sent = raw.take_sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].of(kind::NEXT_USER_DATA).len(), 9);
    assert_eq!(numbers(&sent), (1..=10).collect::<Vec<_>>());
}

/// Three later acknowledgements, long before the timeout.
#[test]
fn rtmfp_068_a_lost_fragment_is_sent_again_after_three_naks() {
    let (mut raw, flow) = open_flow(plain());
    for i in 0..6 {
        write(&mut raw, flow, &[i; 500]);
    }
    assert_eq!(numbers(&raw.sent), [1, 2, 3, 4, 5, 6]);
    let start = raw.ms();
    acknowledge(&mut raw, flow, 1, &[(3, 3)]);
    acknowledge(&mut raw, flow, 1, &[(3, 4)]);
    raw.take_sent();
    acknowledge(&mut raw, flow, 1, &[(3, 5)]);
    let again = raw.take_sent();
    assert_eq!(numbers(&again), [2]);
    assert!(raw.ms() - start < 250, "before any timeout");
    assert_eq!(raw.session.stats().losses, 1);
    assert_eq!(raw.session.flow_stats(flow).expect("open").retransmitted, 1);
    acknowledge(&mut raw, flow, 6, &[]);
    assert_eq!(raw.session.congestion().0, 0, "nothing is in flight");
    raw.advance_ms(10_000);
    assert!(raw.take_sent().is_empty());
}

/// Everything again at growing intervals.
#[test]
fn rtmfp_069_without_acknowledgements_everything_is_sent_again_at_growing_intervals() {
    let config = SessionConfig {
        idle_timeout: Duration::from_secs(1000),
        unacknowledged_timeout: Duration::from_secs(1000),
        keepalive: Duration::from_secs(2000),
        ..SessionConfig::default()
    };
    let mut raw = Raw::with(plain(), config, None);
    raw.send(&[]);
    let flow = raw.session.open_flow(options()).expect("opens");
    write(&mut raw, flow, b"first");
    acknowledge(&mut raw, flow, 1, &[]);
    // The sample: SRTT 40 ms, RTTVAR 20 ms, so ERTO 320 ms.
    assert_eq!(raw.session.retransmission_timeout(), Duration::from_millis(320));
    raw.take_sent();
    write(&mut raw, flow, b"second");
    raw.advance_ms(60_000);
    let sent = raw.take_sent();
    assert!(numbers(&sent).iter().all(|n| *n == 2));
    let at: Vec<u128> = sent.iter().map(|p| (p.at - raw.start).as_millis()).collect();
    let gaps: Vec<u128> = at.windows(2).map(|w| w[1] - w[0]).collect();
    assert_eq!(gaps[..4], [320, 452, 640, 905]);
    assert!(gaps.contains(&10_000) && gaps.iter().all(|g| *g <= 10_000));
}

/// Section 5.2: 45 s.
#[test]
fn a_session_that_never_acknowledges_is_closed() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, b"first");
    acknowledge(&mut raw, flow, 1, &[]);
    write(&mut raw, flow, b"second");
    for _ in 0..44 {
        raw.advance_ms(1000);
        raw.send(&[]);
    }
    assert!(raw.session.is_open());
    raw.advance_ms(1000);
    assert_eq!(raw.take_events().last(), Some(&Event::Closed(CloseReason::Unacknowledged)));
}

/// Quirk Q13: a flow that is neither acknowledged nor rejected.
#[test]
fn a_flow_that_nobody_knows_is_given_up_after_30_s() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, b"hello?");
    for _ in 0..29 {
        raw.advance_ms(1000);
        raw.send(&[]);
    }
    assert!(raw.take_events().is_empty());
    raw.advance_ms(1000);
    let ended = Event::FlowEnded { flow, reason: FlowEnd::Unanswered };
    assert_eq!(raw.take_events(), [ended]);
    raw.take_sent();
    for _ in 0..60 {
        raw.advance_ms(1000);
        raw.send(&[]);
    }
    assert!(raw.session.is_open());
    assert!(user_data(&raw.take_sent()).is_empty());
    assert_eq!(raw.session.congestion().0, 0);
}

/// The forward number is told until it is acknowledged.
#[test]
fn rtmfp_070_abandoned_numbers_are_told_by_a_chunk_of_their_own() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, b"first");
    acknowledge(&mut raw, flow, 1, &[]);
    raw.take_sent();
    let message = Message {
        finish_within: Some(Duration::from_millis(100)),
        ..Message::reliable(b"", Bytes::from_static(b"video"))
    };
    raw.session.write(raw.now, flow, &message).expect("writes");
    raw.session.write(raw.now, flow, &message).expect("writes");
    raw.poll();
    assert_eq!(numbers(&raw.take_sent()), [2, 3]);
    // Lost; the deadline passes; the timeout finds them abandoned.
    raw.advance_ms(320);
    let told = raw.take_sent();
    assert_eq!(user_data(&told), [(3, 3, true, false, vec![])], "ABN, number = FSN");
    raw.advance_ms(10_000);
    let again = raw.take_sent();
    assert!(again.len() >= 3, "as reliable as data");
    assert!(user_data(&again).iter().all(|d| *d == (3, 3, true, false, vec![])));
    acknowledge(&mut raw, flow, 3, &[]);
    write(&mut raw, flow, b"next");
    assert_eq!(user_data(&raw.take_sent())[0], (4, 3, false, false, b"next".to_vec()));
    assert_eq!(raw.session.flow_stats(flow).expect("open").abandoned, 2);
}

/// Librtmfp discards everything below an abandoned number.
#[test]
fn rtmfp_070_no_number_is_told_abandoned_while_a_lower_one_is_needed() {
    let (mut raw, flow) = open_flow(plain());
    let short = Message {
        finish_within: Some(Duration::from_millis(100)),
        ..Message::reliable(b"", Bytes::from_static(b"short"))
    };
    write(&mut raw, flow, b"needed");
    raw.session.write(raw.now, flow, &short).expect("writes");
    raw.poll();
    write(&mut raw, flow, b"needed too");
    raw.take_sent();
    for _ in 0..5 {
        raw.advance_ms(5000);
        let sent = raw.take_sent();
        for (sequence, forward, abandoned, _, _) in user_data(&sent) {
            assert!(!abandoned || sequence <= forward, "{sequence} {forward}");
            assert_ne!(sequence, 2, "abandoned and not sent again");
        }
        raw.send(&[]);
    }
    acknowledge(&mut raw, flow, 1, &[(3, 3)]);
    let sent = raw.take_sent();
    // Numbers 2 and 3 are settled now.
    assert_eq!(user_data(&sent), [(3, 3, true, false, vec![])]);
}

/// The transport's part: what is late is never sent.
#[test]
fn rtmfp_091_a_message_that_could_not_start_in_time_is_dropped() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, &[0; 5000]);
    let late = Message {
        start_within: Some(Duration::from_millis(2000)),
        ..Message::reliable(b"", Bytes::from_static(b"frame"))
    };
    let dependent = Message { dependent: true, start_within: None, ..late.clone() };
    raw.session.write(raw.now, flow, &late).expect("writes");
    raw.session.write(raw.now, flow, &dependent).expect("writes");
    write(&mut raw, flow, b"command");
    let sent = raw.take_sent();
    assert!(numbers(&sent).len() < 5, "the window holds it back");
    assert_eq!(raw.session.oldest_unsent(flow), Some(raw.start));
    raw.advance_ms(2000);
    let stats = raw.session.flow_stats(flow).expect("open");
    assert_eq!(stats.abandoned, 2, "the frame and the one that needs it");
    acknowledge(&mut raw, flow, 5, &[]);
    let sent = raw.take_sent();
    let last = user_data(&sent).pop().expect("data");
    assert_eq!((last.0, &last.4[..]), (8, &b"command"[..]), "commands never expire");
    assert!(user_data(&sent).iter().all(|d| d.4 != b"frame"));
}

#[test]
fn a_message_that_depends_on_an_abandoned_one_is_refused() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, &[0; 9000]);
    let frame = Message {
        start_within: Some(Duration::from_millis(100)),
        ..Message::reliable(b"", Bytes::from_static(b"frame"))
    };
    raw.session.write(raw.now, flow, &frame).expect("writes");
    raw.poll();
    raw.advance_ms(100);
    let dependent = Message { dependent: true, ..frame.clone() };
    let refused = raw.session.write(raw.now, flow, &dependent);
    assert_eq!(refused, Err(WriteError::PredecessorAbandoned));
    // A keyframe begins anew.
    raw.session.write(raw.now, flow, &frame).expect("writes");
    raw.session.write(raw.now, flow, &dependent).expect("writes");
}

#[test]
fn a_keyframe_shortens_the_life_of_what_waits() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, &[0; 9000]);
    let frame = Message {
        start_within: Some(Duration::from_secs(2)),
        ..Message::reliable(b"", Bytes::from_static(b"frame"))
    };
    raw.session.write(raw.now, flow, &frame).expect("writes");
    write(&mut raw, flow, b"header");
    raw.session.expire_queued(raw.now, flow, Duration::from_millis(100));
    raw.poll();
    raw.advance_ms(99);
    assert_eq!(raw.session.flow_stats(flow).expect("open").abandoned, 0);
    raw.advance_ms(1);
    assert_eq!(raw.session.flow_stats(flow).expect("open").abandoned, 1, "not the header");
}

#[test]
fn an_unreliable_message_is_abandoned_at_its_first_loss() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, b"first");
    acknowledge(&mut raw, flow, 1, &[]);
    let once = Message { retransmit: false, ..Message::reliable(b"", Bytes::from_static(b"u")) };
    raw.session.write(raw.now, flow, &once).expect("writes");
    write(&mut raw, flow, b"reliable");
    raw.take_sent();
    raw.advance_ms(320);
    let sent = raw.take_sent();
    assert_eq!(
        user_data(&sent),
        [(2, 2, true, false, vec![]), (3, 2, false, false, b"reliable".to_vec())]
    );
}

/// The end is an empty abandoned chunk, after everything else.
#[test]
fn rtmfp_071_a_closed_flow_ends_with_an_empty_chunk() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, b"last words");
    raw.session.close_flow(flow);
    raw.poll();
    let sent = raw.take_sent();
    assert_eq!(user_data(&sent), [(1, 0, false, false, b"last words".to_vec())]);
    acknowledge(&mut raw, flow, 1, &[]);
    let end = (2, 2, true, true, vec![]);
    assert_eq!(user_data(&raw.take_sent()), std::slice::from_ref(&end));
    raw.advance_ms(10_000);
    assert!(user_data(&raw.take_sent()).iter().all(|d| *d == end), "until it is acknowledged");
    acknowledge(&mut raw, flow, 2, &[]);
    assert_eq!(raw.take_events(), [Event::FlowEnded { flow, reason: FlowEnd::Completed }]);
    let message = Message::reliable(b"", Bytes::new());
    assert_eq!(raw.session.write(raw.now, flow, &message), Err(WriteError::Closed));
    // Remembered for 130 s, then forgotten.
    assert!(raw.session.flow_stats(flow).is_some());
    for _ in 0..130 {
        raw.advance_ms(1000);
        raw.send(&[]);
    }
    assert!(raw.session.flow_stats(flow).is_none());
}

#[test]
fn wri_05_data_that_fills_no_packet_waits_while_only_full_packets_are_wanted() {
    let (mut raw, flow) = open_flow(plain());
    raw.session.send_full_packets_only(true);
    write(&mut raw, flow, &[1; 300]);
    write(&mut raw, flow, &[2; 300]);
    assert!(raw.take_sent().is_empty());
    for n in 3..=10 {
        write(&mut raw, flow, &[n; 300]);
    }
    let sent = raw.take_sent();
    assert_eq!(sent.iter().map(|packet| packet.chunks.len()).collect::<Vec<_>>(), [3, 3, 3]);
    raw.session.send_full_packets_only(false);
    raw.poll();
    assert_eq!(numbers(&raw.take_sent()), [10], "then the rest");
}

#[test]
fn a_flow_that_was_never_used_ends_without_a_word() {
    let (mut raw, flow) = open_flow(plain());
    raw.session.close_flow(flow);
    raw.poll();
    assert!(raw.take_sent().is_empty());
    assert_eq!(raw.take_events(), [Event::FlowEnded { flow, reason: FlowEnd::Completed }]);
}

#[test]
fn rtmfp_072_an_exception_ends_a_flow() {
    let (mut raw, flow) = open_flow(plain());
    write(&mut raw, flow, &[0; 9000]);
    raw.take_sent();
    let mut exception = Vec::new();
    chunk::encode_exception(flow.0, 17, &mut exception);
    exception.extend(ack(flow.0, 0, 2, &[]));
    raw.send(&exception);
    let ended = Event::FlowEnded { flow, reason: FlowEnd::Exception(17) };
    assert_eq!(raw.take_events(), [ended]);
    let message = Message::reliable(b"", Bytes::new());
    assert_eq!(raw.session.write(raw.now, flow, &message), Err(WriteError::Closed));
    raw.advance_ms(5000);
    let sent = raw.take_sent();
    let last = user_data(&sent).pop().expect("the end");
    assert_eq!(last, (9, 9, true, true, vec![]), "although the window is closed");
    raw.send(&ack(flow.0, 0, 9, &[]));
    raw.take_sent();
    raw.advance_ms(10_000);
    assert!(raw.take_sent().is_empty());
    assert!(raw.take_events().is_empty(), "told once");
}
