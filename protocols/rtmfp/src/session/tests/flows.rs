//! Receiving flows: opening, order, acknowledgements, limits.

use super::*;

const CAPACITY: usize = 65_536;

/// A session with the far end's flow 2 open and accepted.
fn with_flow(negotiation: Negotiation, delivery: Delivery) -> Raw {
    let mut raw = Raw::new(negotiation);
    raw.send(&first_data(2, None, b"one"));
    let events = raw.take_events();
    let opened = Event::FlowOpened {
        flow: RecvFlowId(2),
        metadata: Bytes::from_static(b"TC\x04\0"),
        associated: None,
    };
    assert_eq!(events, [Event::Confirmed, opened]);
    raw.session.accept_flow(raw.now, RecvFlowId(2), delivery, CAPACITY);
    raw.poll();
    assert_eq!(raw.take_messages(), ["one"]);
    raw
}

fn open_flow() -> Raw {
    let mut raw = with_flow(plain(), Delivery::InOrder);
    raw.take_sent();
    raw
}

/// The only acknowledgement of the packets: (blocks, cumulative, ranges).
fn only_ack(packets: &[crate::testing::raw::Packet]) -> (u64, u64, Vec<(u64, u64)>) {
    let acks: Vec<_> = packets.iter().flat_map(|p| p.of(kind::RANGE_ACK)).collect();
    assert_eq!(acks.len(), 1, "{packets:?}");
    let ack = Ack::decode_ranges(acks[0]).expect("ack");
    (ack.buffer_blocks, ack.cumulative, ack.ranges().collect())
}

/// Exception 0 before every acknowledgement.
#[test]
fn rtmfp_061_a_flow_that_cannot_be_opened_is_rejected() {
    let chunks = [
        ("no metadata", data(9, 1, 0, b"x")),
        ("no options", hex("1000058009010100 78")),
        ("association with nothing", first_data(9, Some(77), b"x")),
        ("unknown mandatory option", hex("10000e80090101050054430400 0205ff 00 78")),
    ];
    for (what, chunk) in chunks {
        let mut raw = Raw::new(plain());
        raw.send(&chunk);
        assert_eq!(raw.take_events(), [Event::Confirmed], "{what}");
        let sent = raw.take_sent();
        assert_eq!(sent.len(), 1, "{what}: at once");
        let kinds: Vec<u8> = sent[0].chunks.iter().map(|(k, _)| *k).collect();
        assert_eq!(kinds, [kind::FLOW_EXCEPTION, kind::RANGE_ACK], "{what}");
        assert_eq!(sent[0].of(kind::FLOW_EXCEPTION), [[9, 0]], "{what}");
        assert_eq!(only_ack(&sent).1, 1, "{what}");
        assert_eq!(raw.session.stats().flows_rejected, 1);
        // Again with the next chunk, and still nothing for the application.
        raw.send(&data(9, 2, 1, b"y"));
        let sent = raw.take_sent();
        assert_eq!(sent[0].of(kind::FLOW_EXCEPTION), [[9, 0]], "{what}");
        assert_eq!(only_ack(&sent).1, 2);
        assert!(raw.take_events().is_empty());
    }
}

#[test]
fn a_flow_that_the_application_refuses_is_rejected_with_its_code() {
    let mut raw = Raw::new(plain());
    raw.send(&first_data(9, None, b"x"));
    raw.session.reject_flow(RecvFlowId(9), 300);
    raw.poll();
    let sent = raw.take_sent();
    let last = sent.last().expect("sent");
    assert_eq!(last.of(kind::FLOW_EXCEPTION), [hex("09822c")]);
    assert_eq!(raw.take_messages(), Vec::<Bytes>::new());
    // RTMFP-072, the other side: its end is acknowledged and then forgotten.
    raw.send(&fragment(ABANDONED | FINAL, Fraction::Whole, 9, 2, 2, b""));
    assert_eq!(only_ack(&raw.take_sent()).1, 2);
    raw.advance_ms(1000);
    assert!(raw.take_events().is_empty());
}

#[test]
fn a_flow_may_answer_an_open_flow_of_this_end() {
    let mut raw = Raw::new(plain());
    let near = raw.session.open_flow(FlowOptions::default()).expect("opens");
    raw.send(&first_data(9, Some(near.0), b"x"));
    let events = raw.take_events();
    assert!(
        matches!(&events[1], Event::FlowOpened { associated, .. } if *associated == Some(near)),
        "{events:?}"
    );
    let (metadata, associated) = raw.session.recv_flow(RecvFlowId(9)).expect("known");
    assert_eq!((&metadata[..], associated), (&b"TC\x04\0"[..], Some(near)));
}

/// Fragments in chunks of type 11.
#[test]
fn rtmfp_060_fragments_are_joined() {
    let mut raw = open_flow();
    raw.send(&hex("10000a1002020100010203040511000730060708090a0b110004200c0d0e"));
    assert_eq!(raw.take_messages(), [Bytes::from_iter(0..15)]);
    // A next chunk without one before it is nothing.
    raw.send(&hex("110004000c0d0e"));
    assert!(raw.take_messages().is_empty());
    assert_eq!(raw.session.stats().chunks_dropped, 1);
}

#[test]
fn messages_are_given_out_in_order_whatever_order_they_came_in() {
    let mut raw = open_flow();
    raw.send(&data(2, 4, 1, b"four"));
    raw.send(&fragment(0, Fraction::End, 2, 3, 1, b"-end"));
    assert!(raw.take_messages().is_empty());
    raw.send(&fragment(0, Fraction::Begin, 2, 2, 1, b"begin"));
    assert_eq!(raw.take_messages(), ["begin-end", "four"]);
    raw.send(&data(2, 4, 1, b"four"));
    assert!(raw.take_messages().is_empty(), "once");
}

#[test]
fn as_received_messages_do_not_wait() {
    let mut raw = with_flow(plain(), Delivery::AsReceived);
    raw.send(&data(2, 5, 1, b"five"));
    raw.send(&fragment(0, Fraction::End, 2, 3, 1, b"-end"));
    raw.send(&fragment(0, Fraction::Begin, 2, 2, 1, b"begin"));
    let message = |sequence, payload: &'static str| Event::Message {
        flow: RecvFlowId(2),
        sequence,
        payload: Bytes::from_static(payload.as_bytes()),
    };
    assert_eq!(raw.take_events(), [message(5, "five"), message(2, "begin-end")]);
    // Number 4 is abandoned.
    raw.send(&data(2, 6, 4, b"six"));
    let gap = Event::Gap { flow: RecvFlowId(2), first: 4, last: 4 };
    assert_eq!(raw.take_events(), [gap, message(6, "six")]);
}

/// A gap is told before what follows it.
#[test]
fn rtmfp_075_abandoned_messages_are_a_gap() {
    let mut raw = open_flow();
    let message = |sequence, payload: &'static str| Event::Message {
        flow: RecvFlowId(2),
        sequence,
        payload: Bytes::from_static(payload.as_bytes()),
    };
    let gap = |first, last| Event::Gap { flow: RecvFlowId(2), first, last };
    // Numbers 2 and 3 never come.
    raw.send(&data(2, 4, 1, b"four"));
    assert!(raw.take_events().is_empty());
    raw.send(&data(2, 5, 3, b"five"));
    assert_eq!(raw.take_events(), [gap(2, 3), message(4, "four"), message(5, "five")]);
    // Part of a message came.
    raw.send(&fragment(0, Fraction::Begin, 2, 6, 5, b"begin"));
    raw.send(&data(2, 8, 7, b"eight"));
    assert_eq!(raw.take_events(), [gap(6, 7), message(8, "eight")]);
    // Explicit: nothing follows yet.
    raw.send(&fragment(ABANDONED, Fraction::Whole, 2, 9, 9, b""));
    assert_eq!(raw.take_events(), [gap(9, 9)]);
    // A middle without a begin.
    raw.send(&fragment(0, Fraction::Middle, 2, 10, 9, b"x"));
    assert_eq!(raw.take_events(), [gap(10, 10)]);
}

#[test]
fn the_end_of_a_flow_is_told_after_its_messages() {
    let mut raw = open_flow();
    raw.send(&fragment(ABANDONED | FINAL, Fraction::Whole, 2, 3, 3, b""));
    let gap = Event::Gap { flow: RecvFlowId(2), first: 2, last: 2 };
    let completed = Event::FlowCompleted { flow: RecvFlowId(2) };
    assert_eq!(raw.take_events(), [gap, completed.clone()]);
    let mut raw = open_flow();
    raw.send(&fragment(ABANDONED | FINAL, Fraction::Whole, 2, 2, 2, b""));
    assert_eq!(raw.take_events(), std::slice::from_ref(&completed), "an empty end is no loss");
    // Data with the end, which comes first.
    let mut raw = open_flow();
    raw.send(&fragment(FINAL, Fraction::Whole, 2, 3, 1, b"last"));
    assert!(raw.take_events().is_empty());
    raw.send(&data(2, 2, 1, b"two"));
    let events = raw.take_events();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2], completed);
}

#[test]
fn nothing_is_after_the_end_of_a_flow() {
    let mut raw = open_flow();
    raw.send(&fragment(FINAL, Fraction::Whole, 2, 3, 1, b"last"));
    raw.send(&data(2, 4, 1, b"after"));
    raw.send(&data(2, 5, 4, b"after"));
    raw.take_sent();
    raw.send(&data(2, 2, 1, b"two"));
    assert_eq!(raw.take_messages(), ["two", "last"]);
    assert_eq!(only_ack(&raw.take_sent()).1, 3);
    // An end below what was seen is none.
    let mut raw = open_flow();
    raw.send(&data(2, 4, 1, b"four"));
    raw.send(&fragment(FINAL, Fraction::Whole, 2, 3, 1, b"three"));
    raw.send(&data(2, 2, 1, b"two"));
    raw.send(&data(2, 5, 4, b"five"));
    assert_eq!(raw.take_messages(), ["two", "three", "four", "five"]);
}

#[test]
fn rtmfp_064_an_acknowledgement_waits_for_a_second_packet_or_200_ms() {
    let mut raw = open_flow();
    raw.send(&data(2, 2, 1, b"two"));
    assert!(raw.take_sent().is_empty());
    raw.send(&data(2, 3, 2, b"three"));
    assert_eq!(only_ack(&raw.take_sent()), (64, 3, vec![]));
    raw.advance_ms(1000);
    assert!(raw.take_sent().is_empty(), "once");
    raw.send(&data(2, 4, 3, b"four"));
    raw.advance_ms(199);
    assert!(raw.take_sent().is_empty());
    raw.advance_ms(1);
    assert_eq!(only_ack(&raw.take_sent()).1, 4);
}

#[test]
fn rtmfp_064_what_is_urgent_is_acknowledged_at_once() {
    let mut raw = Raw::new(plain());
    raw.send(&first_data(2, None, b"one"));
    assert_eq!(only_ack(&raw.take_sent()).1, 1, "a new flow");
    raw.session.accept_flow(raw.now, RecvFlowId(2), Delivery::InOrder, CAPACITY);
    raw.poll();
    raw.take_sent();
    let mut at_once = |what: &str, chunk: Vec<u8>, cumulative: u64, above: &[(u64, u64)]| {
        raw.send(&chunk);
        let (_, c, a) = only_ack(&raw.take_sent());
        assert_eq!((c, &a[..]), (cumulative, above), "{what}");
        raw.advance_ms(1000);
    };
    at_once("a gap", data(2, 3, 1, b"x"), 1, &[(3, 3)]);
    at_once("a filled gap", data(2, 2, 1, b"x"), 3, &[]);
    at_once("a duplicate", data(2, 2, 1, b"x"), 3, &[]);
    at_once("abandoned", fragment(ABANDONED, Fraction::Whole, 2, 4, 4, b""), 4, &[]);
    at_once("the end", fragment(FINAL, Fraction::Whole, 2, 5, 4, b""), 5, &[]);
    at_once("after the end", data(2, 5, 4, b""), 5, &[]);
}

/// What is received is acknowledged, and nothing else.
#[test]
fn rtmfp_063_acknowledgements_name_every_hole() {
    let mut raw = open_flow();
    for n in [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17] {
        raw.send(&data(2, n, 1, b"x"));
    }
    let last = raw.take_sent().pop().expect("sent");
    let (_, cumulative, above) = only_ack(&[last]);
    assert_eq!((cumulative, above), (10, vec![(12, 12), (15, 17)]));
}

#[test]
fn rtmfp_066_a_probe_is_answered_by_an_acknowledgement() {
    let mut raw = open_flow();
    raw.send(&hex("18000102"));
    assert_eq!(only_ack(&raw.take_sent()), (64, 1, vec![]));
    raw.send(&hex("18000163"));
    assert!(raw.take_sent().is_empty(), "not of an unknown flow");
}

/// Never fewer than 8 blocks, and yet bounded memory.
#[test]
fn rtmfp_065_a_full_buffer_advertises_eight_blocks_and_takes_no_more() {
    let mut raw = open_flow();
    raw.session.suspend_flow(raw.now, RecvFlowId(2), true);
    let payload = [7; 1000];
    let mut taken = 0;
    for n in 2..400 {
        raw.send(&data(2, n, 1, &payload));
        for packet in raw.take_sent() {
            for ack in packet.of(kind::RANGE_ACK) {
                let ack = Ack::decode_ranges(ack).expect("ack");
                assert!(ack.buffer_blocks >= 8);
                taken = ack.cumulative;
            }
        }
    }
    assert!((60..135).contains(&taken), "64 KiB and what fills the front: {taken}");
    assert!(raw.take_messages().is_empty());
    raw.session.suspend_flow(raw.now, RecvFlowId(2), false);
    raw.poll();
    assert_eq!(raw.take_messages().len() as u64, taken - 1);
    let (blocks, cumulative, _) = only_ack(&raw.take_sent());
    assert_eq!((blocks, cumulative), (64, taken), "told at once");
}

/// A message larger than the buffer of its flow.
#[test]
fn rtmfp_112_a_message_that_cannot_fit_rejects_its_flow() {
    let mut raw = open_flow();
    raw.send(&fragment(0, Fraction::Begin, 2, 2, 1, &[1; 1000]));
    for n in 3..400 {
        raw.send(&fragment(0, Fraction::Middle, 2, n, 1, &[1; 1000]));
    }
    assert_eq!(raw.take_events(), [Event::FlowCompleted { flow: RecvFlowId(2) }]);
    assert_eq!(raw.session.stats().oversized_messages, 1);
    let last = raw.take_sent().pop().expect("sent");
    assert_eq!(last.of(kind::FLOW_EXCEPTION), [[2, 0]]);
    assert!(raw.session.is_open(), "other flows go on");
}

/// 32 MiB over all flows.
#[test]
fn rtmfp_112_a_session_that_holds_too_much_is_closed() {
    let mut raw = Raw::new(plain());
    for flow in 2..10 {
        raw.send(&first_data(flow, None, b""));
        let id = RecvFlowId(flow);
        raw.session.accept_flow(raw.now, id, Delivery::InOrder, 16 << 20);
    }
    let mut closed = false;
    'flows: for flow in 2..10 {
        for n in (3..40_000).step_by(2) {
            // Holes everywhere: at most 4,096 ranges a flow.
            raw.session.take_user_data(&UserData {
                flow,
                sequence: n,
                forward: 1,
                fraction: Fraction::Whole,
                abandoned: false,
                is_final: false,
                startup: None,
                data: &[1; 1100],
            });
            if raw.session.is_closed() {
                closed = true;
                break 'flows;
            }
            if n > 9000 {
                break;
            }
        }
    }
    assert!(closed);
    raw.poll();
    let reason = CloseReason::Violation(Violation::Buffered);
    assert_eq!(raw.take_events().last(), Some(&Event::Closed(reason)));
}

#[test]
fn rtmfp_112_flows_beyond_the_limit_are_rejected_and_those_known_are_bounded() {
    let config = SessionConfig { max_recv_flows: 1, ..SessionConfig::default() };
    let mut raw = Raw::with(plain(), config, None);
    for flow in 2..3000 {
        raw.send(&first_data(flow, None, b"x"));
    }
    let opened = raw.take_events();
    assert_eq!(opened.len(), 2, "confirmed, and the control flow");
    let stats = raw.session.stats();
    assert_eq!((stats.flows_rejected, stats.flows_ignored), (1023, 2998 - 1024));
    assert!(raw.session.is_open());
}

#[test]
fn rtmfp_113_a_jump_of_more_than_a_million_closes_the_session() {
    for (sequence, forward, ok) in [
        (1 + (1 << 20), 1, true),
        (2 + (1 << 20), 1, false),
        (u64::MAX, 1, false),
        (2 + (1 << 20), 1 + (1 << 20), false),
    ] {
        let mut raw = open_flow();
        raw.send(&data(2, sequence, forward, b"x"));
        assert_eq!(raw.session.is_open(), ok, "{sequence} {forward}");
        if !ok {
            let reason = CloseReason::Violation(Violation::SequenceJump);
            assert_eq!(raw.take_events(), [Event::Closed(reason)]);
            assert_eq!(raw.take_sent()[0].chunks, [(kind::CLOSE_ACK, vec![])]);
        }
    }
}

#[test]
fn a_completed_flow_acknowledges_for_120_s_and_is_forgotten() {
    let mut raw = open_flow();
    let end = fragment(ABANDONED | FINAL, Fraction::Whole, 2, 2, 2, b"");
    raw.send(&end);
    raw.take_sent();
    for _ in 0..119 {
        raw.advance_ms(1000);
        raw.send(&[]);
    }
    raw.send(&end);
    let sent = raw.take_sent();
    assert_eq!(only_ack(&sent).1, 2);
    assert!(sent.iter().all(|p| p.of(kind::FLOW_EXCEPTION).is_empty()));
    raw.advance_ms(1000);
    raw.send(&end);
    let sent = raw.take_sent();
    assert_eq!(sent[0].of(kind::FLOW_EXCEPTION), [[2, 0]], "a stranger now");
}

/// For sessions: any plaintext after valid sealing.
#[test]
fn rtmfp_114_noise_inside_valid_packets_does_no_harm() {
    let mut entropy = crate::entropy::Entropy::from_seed([42; 32]);
    let kinds = [0x10, 0x11, 0x50, 0x51, 0x18, 0x5e, 0x01, 0x41, 0x0f, 0x7f, 0xec];
    for round in 0..40 {
        let mut raw = with_flow(plain(), Delivery::InOrder);
        let flow = raw.session.open_flow(FlowOptions::default()).expect("opens");
        for _ in 0..50 {
            if !raw.session.is_open() {
                break;
            }
            let message = Message::reliable(b"", Bytes::from(entropy.array::<400>().to_vec()));
            let _ = raw.session.write(raw.now, flow, &message);
            let mut chunks = Vec::new();
            for _ in 0..entropy.u32() % 5 {
                let kind = kinds[entropy.u32() as usize % kinds.len()];
                let len = entropy.u32() as usize % 24;
                let mut payload = entropy.array::<24>();
                if round % 2 == 0 {
                    // Small numbers hit flows that exist.
                    payload.iter_mut().for_each(|b| *b &= 0x83);
                    payload[0] &= 3;
                }
                chunk::encode_plain(kind, &payload[..len], &mut chunks);
            }
            raw.send(&chunks);
            raw.advance_ms(u64::from(entropy.u32() % 300));
        }
    }
}
