//! What is promised holds at 0, 1, 10 and 30 % loss, with duplication and reordering
//! (RTMFP-067).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::entropy::Entropy;
use crate::flow::{Delivery, FlowOptions, Message, Priority, SendFlowId};
use crate::session::{Event, FlowEnd, SessionId};
use crate::testing::net::{CLEAN, Link, Net};

const SERVER: usize = 0;
const CLIENT: usize = 1;

fn links() -> Vec<Link> {
    [0, 1, 10, 30]
        .into_iter()
        .map(|loss| Link {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(50),
            loss,
            duplicates: 5,
        })
        .collect()
}

/// A session that was opened before the network became bad.
fn connected(link: Link, seed: u8, delivery: Delivery) -> (Net, SessionId, SessionId) {
    let (mut net, s, c) = Net::connected(CLEAN, seed);
    net.link = link;
    for host in &mut net.hosts {
        host.delivery = delivery;
        host.events.clear();
    }
    (net, s, c)
}

fn payload(entropy: &mut Entropy, number: u32, most: u32) -> Bytes {
    let len = entropy.u32() % most;
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((0..len).map(|i| (number.wrapping_add(i)) as u8));
    Bytes::from(bytes)
}

fn number(payload: &[u8]) -> u32 {
    let number = u32::from_be_bytes(payload[..4].try_into().expect("4 bytes"));
    let right = payload[4..].iter().zip(0..).all(|(b, i)| *b == number.wrapping_add(i) as u8);
    assert!(right, "message {number} is intact");
    number
}

fn open(net: &mut Net, host: usize, id: SessionId, priority: Priority) -> SendFlowId {
    let options = FlowOptions {
        metadata: Bytes::from_static(b"TC\x04\x01"),
        priority,
        ..FlowOptions::default()
    };
    net.session(host, id).open_flow(options).expect("opens")
}

/// Numbers of the messages that a host got, in order, and how many gaps.
fn received(net: &Net, host: usize) -> (Vec<u32>, usize) {
    let mut numbers = Vec::new();
    let mut gaps = 0;
    for (_, event) in &net.hosts[host].events {
        match event {
            Event::Message { payload, .. } => numbers.push(number(payload)),
            Event::Gap { .. } => gaps += 1,
            _ => {}
        }
    }
    (numbers, gaps)
}

#[test]
fn rtmfp_067_reliable_messages_arrive_once_complete_and_in_order_both_ways() {
    for (seed, link) in (1..).zip(links()) {
        let (mut net, s, c) = connected(link, seed, Delivery::InOrder);
        let mut entropy = Entropy::from_seed([seed; 32]);
        let flows = [(SERVER, s), (CLIENT, c)]
            .map(|(host, id)| (host, id, open(&mut net, host, id, Priority::Routine)));
        for n in 0..150 {
            for (host, id, flow) in flows {
                let message = Message::reliable(b"", payload(&mut entropy, n, 6000));
                let now = net.now;
                net.session(host, id).write(now, flow, &message).expect("writes");
            }
            net.run(Duration::from_millis(40));
        }
        for (host, id, flow) in flows {
            net.session(host, id).close_flow(flow);
        }
        net.run(Duration::from_secs(100));
        for (host, id, flow) in flows {
            let (numbers, gaps) = received(&net, host);
            assert_eq!((numbers, gaps), ((0..150).collect(), 0), "{link:?}");
            let ended = Event::FlowEnded { flow, reason: FlowEnd::Completed };
            assert!(net.hosts[host].events.contains(&(id, ended)), "{link:?}");
            assert!(
                net.hosts[host]
                    .events
                    .iter()
                    .any(|(_, e)| matches!(e, Event::FlowCompleted { .. })),
                "{link:?}"
            );
            assert_eq!(net.session(host, id).congestion().0, 0, "nothing is left in flight");
        }
    }
}

#[test]
fn rtmfp_067_as_received_messages_arrive_once_and_complete() {
    for (seed, link) in (11..).zip(links()) {
        let (mut net, s, _) = connected(link, seed, Delivery::AsReceived);
        let mut entropy = Entropy::from_seed([seed; 32]);
        let flow = open(&mut net, SERVER, s, Priority::Routine);
        for n in 0..200 {
            let message = Message::reliable(b"", payload(&mut entropy, n, 3000));
            let now = net.now;
            net.session(SERVER, s).write(now, flow, &message).expect("writes");
            net.run(Duration::from_millis(20));
        }
        net.run(Duration::from_secs(60));
        let (numbers, gaps) = received(&net, CLIENT);
        assert_eq!((numbers.len(), gaps), (200, 0), "{link:?}");
        assert_eq!(BTreeSet::from_iter(numbers.iter().copied()).len(), 200, "{link:?}");
        if link.loss == 30 {
            assert!(!numbers.is_sorted(), "they do not wait for each other");
        }
    }
}

/// Section 7.9: late frames are given up, commands never are, and what is given up is told.
#[test]
fn rtmfp_067_late_frames_are_gaps_and_commands_arrive() {
    for (seed, link) in (21..).zip(links()) {
        let (mut net, s, _) = connected(link, seed, Delivery::InOrder);
        let mut entropy = Entropy::from_seed([seed; 32]);
        let video = open(&mut net, SERVER, s, Priority::Flash);
        let commands = open(&mut net, SERVER, s, Priority::Immediate);
        let mut refused = 0;
        for n in 0..400 {
            let now = net.now;
            let keyframe = n % 25 == 0;
            let frame = Message {
                start_within: Some(Duration::from_millis(300)),
                finish_within: Some(Duration::from_millis(400)),
                dependent: !keyframe,
                ..Message::reliable(b"", payload(&mut entropy, n, 4000))
            };
            if net.session(SERVER, s).write(now, video, &frame).is_err() {
                refused += 1;
            }
            if n % 40 == 0 {
                let command = Message::reliable(b"", payload(&mut entropy, 1000 + n, 100));
                net.session(SERVER, s).write(now, commands, &command).expect("writes");
            }
            net.run(Duration::from_millis(40));
        }
        net.session(SERVER, s).close_flow(video);
        net.run(Duration::from_secs(60));
        let (numbers, gaps) = received(&net, CLIENT);
        let got: Vec<u32> = numbers.iter().copied().filter(|n| *n >= 1000).collect();
        assert_eq!(got, (0..400).step_by(40).map(|n| 1000 + n).collect::<Vec<_>>(), "{link:?}");
        let frames: Vec<u32> = numbers.into_iter().filter(|n| *n < 1000).collect();
        assert!(frames.is_sorted_by(|a, b| a < b), "{link:?}: in order and once");
        if link.loss == 0 {
            assert_eq!((frames.len(), gaps, refused), (400, 0, 0));
        }
        if link.loss == 30 {
            assert!(frames.len() < 400 && gaps > 0, "{} frames, {gaps} gaps", frames.len());
        }
        // One lost frame costs all until the next keyframe.
        let least = match link.loss {
            0 => 400,
            1 => 300,
            10 => 100,
            _ => 16,
        };
        let count = frames.len();
        assert!(count >= least && count + refused <= 400, "{link:?}: {count} frames");
        // What is missing of the frames that were written was told.
        let lost = 400 - refused - frames.len();
        assert!(lost == 0 || gaps > 0, "{link:?}: {lost} lost, {gaps} gaps");
    }
}

#[test]
fn unreliable_messages_are_sent_once() {
    for (seed, link) in (31..).zip(links()) {
        let (mut net, s, _) = connected(link, seed, Delivery::InOrder);
        let mut entropy = Entropy::from_seed([seed; 32]);
        let flow = open(&mut net, SERVER, s, Priority::Routine);
        for n in 0..300 {
            let now = net.now;
            let message = Message {
                retransmit: false,
                ..Message::reliable(b"", payload(&mut entropy, n, 900))
            };
            net.session(SERVER, s).write(now, flow, &message).expect("writes");
            net.run(Duration::from_millis(30));
        }
        net.run(Duration::from_secs(60));
        let stats = net.session(SERVER, s).flow_stats(flow).expect("open");
        assert_eq!(stats.retransmitted, 0, "{link:?}");
        let (numbers, _) = received(&net, CLIENT);
        assert!(numbers.is_sorted_by(|a, b| a < b));
        let least = match link.loss {
            0 => 300,
            1 => 250,
            10 => 200,
            _ => 100,
        };
        assert!(numbers.len() >= least, "{link:?}: {}", numbers.len());
        assert_eq!(net.session(SERVER, s).congestion().0, 0);
    }
}

/// A whole session, handshake and end included, on a bad network.
#[test]
fn sessions_open_and_close_at_30_percent_loss() {
    let bad = links()[3];
    for seed in 41..49 {
        let (mut net, s, c) = Net::connected(CLEAN, seed);
        net.link = bad;
        // A second client, from the first hello on.
        let other = net.add(
            "192.0.2.9:1",
            crate::testing::net::config(crate::testing::net::client_identity(9)),
        );
        net.open(other, SERVER);
        net.run(Duration::from_secs(90));
        assert_eq!(net.hosts[other].opened.len(), 1, "seed {seed}");
        let now = net.now;
        net.session(SERVER, s).close(now);
        net.run(Duration::from_secs(120));
        assert!(!net.hosts[CLIENT].sessions.contains_key(&c), "seed {seed}");
        assert!(!net.hosts[SERVER].sessions.contains_key(&s), "seed {seed}");
    }
}

/// 100 ms of round trip and no loss: the window opens until the path is full.
#[test]
fn a_clean_path_is_filled() {
    let (mut net, s, _) = Net::connected(CLEAN, 51);
    net.link.delay = Duration::from_millis(50);
    net.hosts[CLIENT].capacity = 16 << 20;
    let flow = open(&mut net, SERVER, s, Priority::Routine);
    let now = net.now;
    let message = Message::reliable(b"", Bytes::from(vec![7; 3 << 20]));
    net.session(SERVER, s).write(now, flow, &message).expect("writes");
    net.run(Duration::from_secs(4));
    let got = net.hosts[CLIENT].events.iter().find_map(|(_, e)| match e {
        Event::Message { payload, .. } => Some(payload.len()),
        _ => None,
    });
    assert_eq!(got, Some(3 << 20), "3 MiB in 4 s");
    assert_eq!(net.session(SERVER, s).stats().losses, 0);
}
