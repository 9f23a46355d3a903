use super::*;
use crate::flow::{FlowOptions, Message};
use crate::netgroup::GROUP_METADATA;
use crate::session::SessionId;
use crate::testing::hex;
use crate::testing::net::{CLEAN, Net};
use std::time::Duration;

const SERVER: usize = 0;
const CLIENT: usize = 1;

/// A client and a server with a NetConnection between them.
struct Pair {
    net: Net,
    ids: [SessionId; 2],
    flows: [NetConnectionFlows; 2],
    events: [Vec<TcEvent>; 2],
    streams: Vec<u32>,
}

impl Pair {
    fn new() -> Self {
        let (mut net, s, c) = Net::connected(CLEAN, 1);
        for host in &mut net.hosts {
            host.accepts_flows = false;
            host.events.clear();
        }
        Self {
            net,
            ids: [s, c],
            flows: [NetConnectionFlows::new(Side::Server), NetConnectionFlows::new(Side::Client)],
            events: [Vec::new(), Vec::new()],
            streams: Vec::new(),
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.send(CLIENT, &message(0, 20, b"connect"));
        pair.send(SERVER, &message(0, 20, b"_result"));
        for events in &mut pair.events {
            assert_eq!(events.len(), 1);
            events.clear();
        }
        pair
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.net.run(Duration::from_millis(1));
            for host in [SERVER, CLIENT] {
                self.digest(host);
            }
        }
    }

    fn digest(&mut self, host: usize) {
        let now = self.net.now;
        for (id, event) in std::mem::take(&mut self.net.hosts[host].events) {
            let streams = self.streams.clone();
            let Some(session) = self.net.hosts[host].sessions.get_mut(&id) else { continue };
            self.flows[host].handle_event(now, session, event, |id| streams.contains(&id));
        }
        while let Some(event) = self.flows[host].poll_event() {
            self.events[host].push(event);
        }
    }

    fn send(&mut self, host: usize, message: &TcMessage) {
        self.try_send(host, message).expect("sends");
        self.run(60);
    }

    fn try_send(&mut self, host: usize, message: &TcMessage) -> Result<(), SendError> {
        let now = self.net.now;
        let session = self.net.session(host, self.ids[host]);
        self.flows[host].send(now, session, message)
    }

    fn take(&mut self, host: usize) -> Vec<TcEvent> {
        std::mem::take(&mut self.events[host])
    }
}

fn message(stream: u32, kind: u8, payload: &'static [u8]) -> TcMessage {
    TcMessage { stream, kind, timestamp_ms: 0x0102_0304, payload: Bytes::from_static(payload) }
}

/// Each direction has its control flow, the server's answers the client's.
#[test]
fn rtmfp_081_a_connection_has_a_control_flow_each_way() {
    let mut pair = Pair::new();
    assert_eq!(pair.try_send(SERVER, &message(0, 20, b"x")), Err(SendError::NotConnected));
    let connect = message(0, 20, b"connect");
    pair.send(CLIENT, &connect);
    assert_eq!(pair.take(SERVER), [TcEvent::Message(connect)]);
    let keepalive = set_keepalive(15_000, 10_000);
    assert_eq!(keepalive.payload, hex("002900003a9800002710"));
    pair.send(SERVER, &keepalive);
    assert_eq!(pair.take(CLIENT), [TcEvent::Message(keepalive)]);
    let far = pair.flows[CLIENT].far_control.expect("the server's");
    let near = pair.flows[CLIENT].near_control.expect("the client's");
    let (metadata, associated) =
        pair.net.session(CLIENT, pair.ids[CLIENT]).recv_flow(far).expect("known");
    assert_eq!((&metadata[..], associated), (&hex("54430400")[..], Some(near)));
}

/// Flows of streams are opened on first use and answer the control flow.
#[test]
fn rtmfp_081_a_stream_has_a_flow_for_commands_audio_and_video() {
    let mut pair = Pair::connected();
    pair.streams.push(1);
    let control = pair.flows[CLIENT].near_control.expect("open");
    for (kind, count) in [(20, 1), (18, 1), (8, 2), (9, 3), (9, 3), (17, 3)] {
        pair.send(SERVER, &message(1, kind, b"x"));
        assert_eq!(pair.flows[SERVER].sending.len(), count);
    }
    assert_eq!(pair.take(CLIENT).len(), 6);
    let id = pair.ids[CLIENT];
    for flow in pair.flows[CLIENT].receiving.keys().copied().collect::<Vec<_>>() {
        let (_, associated) = pair.net.session(CLIENT, id).recv_flow(flow).expect("known");
        assert_eq!(associated, Some(control));
    }
    pair.flows[SERVER].close_stream(pair.net.session(SERVER, pair.ids[SERVER]), 1);
    assert!(pair.flows[SERVER].sending.is_empty());
}

#[test]
fn rtmfp_085_a_flow_of_a_stream_that_was_not_made_is_rejected() {
    let mut pair = Pair::connected();
    pair.streams.push(3);
    pair.send(CLIENT, &message(2, 20, b"publish"));
    pair.send(CLIENT, &message(3, 20, b"publish"));
    assert_eq!(pair.take(SERVER), [TcEvent::Message(message(3, 20, b"publish"))]);
    let refused = pair.try_send(CLIENT, &message(2, 20, b"again"));
    assert_eq!(refused, Err(SendError::Write(WriteError::Closed)));
}

/// Only the control flow before it is there, and one of them.
#[test]
fn rtmfp_112_nothing_is_accepted_before_the_control_flow() {
    let mut pair = Pair::new();
    pair.streams.push(1);
    let all: [&[u8]; 5] = [b"TC\x04\x01", GROUP_METADATA, b"??", b"TC\x04\0", b"TC\x04\0"];
    for metadata in all {
        let (now, id) = (pair.net.now, pair.ids[CLIENT]);
        let session = pair.net.session(CLIENT, id);
        let metadata = Bytes::from_static(metadata);
        let flow =
            session.open_flow(FlowOptions { metadata, ..FlowOptions::default() }).expect("opens");
        let payload = Bytes::from_static(b"\x14\0\0\0\0x");
        session.write(now, flow, &Message::reliable(&[], payload)).expect("writes");
        pair.run(60);
    }
    assert_eq!(pair.take(SERVER).len(), 1);
    assert_eq!(pair.flows[SERVER].receiving.len(), 1);
}

#[test]
fn rtmfp_088_the_end_of_the_control_flow_is_the_end_of_the_connection() {
    let mut pair = Pair::connected();
    pair.streams.push(1);
    pair.send(SERVER, &message(1, 9, b"video"));
    pair.take(CLIENT);
    let control = pair.flows[CLIENT].near_control.expect("open");
    pair.net.session(CLIENT, pair.ids[CLIENT]).close_flow(control);
    pair.run(500);
    assert_eq!(pair.take(SERVER), [TcEvent::Closed]);
    // The server's control flow ended too, so the client knows.
    assert_eq!(pair.take(CLIENT), [TcEvent::Closed]);
    let closed = pair.try_send(SERVER, &message(0, 20, b"x"));
    assert_eq!(closed, Err(SendError::Write(WriteError::Closed)));
}

#[test]
fn a_rejected_control_flow_is_the_end_of_the_connection() {
    let mut pair = Pair::connected();
    let control = pair.flows[CLIENT].far_control.expect("open");
    pair.net.session(CLIENT, pair.ids[CLIENT]).reject_flow(control, 7);
    pair.run(500);
    assert!(pair.take(SERVER).contains(&TcEvent::Closed));
}

#[test]
fn a_closed_connection_says_what_was_queued() {
    let mut pair = Pair::connected();
    let last = message(0, 20, b"onStatus");
    pair.try_send(SERVER, &last).expect("sends");
    let session = pair.net.session(SERVER, pair.ids[SERVER]);
    pair.flows[SERVER].close(session);
    pair.run(500);
    assert_eq!(pair.take(CLIENT), [TcEvent::Message(last), TcEvent::Closed]);
}

/// Flows wait for each other at a mark, which is not given out.
#[test]
fn rtmfp_090_synchronized_flows_wait_for_each_other() {
    let mut pair = Pair::connected();
    pair.streams.push(1);
    let mark = |count| {
        let mut payload = hex("002200000007");
        payload.extend_from_slice(&u32::to_be_bytes(count));
        Bytes::from(payload)
    };
    let sync = |pair: &mut Pair, kind: u8, count: u32| {
        // The mark goes on the flow of a media type.
        let now = pair.net.now;
        let session = pair.net.session(SERVER, pair.ids[SERVER]);
        let flow = pair.flows[SERVER].sending_flow(session, 1, kind).expect("flow");
        let message = Message::reliable(&[4, 0, 0, 0, 0], mark(count));
        session.write(now, flow, &message).expect("writes");
        pair.run(60);
    };
    pair.send(SERVER, &message(1, 8, b"audio 1"));
    sync(&mut pair, 8, 2);
    pair.send(SERVER, &message(1, 8, b"audio 2"));
    assert_eq!(pair.take(CLIENT), [TcEvent::Message(message(1, 8, b"audio 1"))]);
    pair.send(SERVER, &message(1, 9, b"video 1"));
    assert_eq!(pair.take(CLIENT), [TcEvent::Message(message(1, 9, b"video 1"))]);
    sync(&mut pair, 9, 2);
    pair.run(60);
    assert_eq!(pair.take(CLIENT), [TcEvent::Message(message(1, 8, b"audio 2"))]);
    // A flow that ends releases the others.
    sync(&mut pair, 8, 2);
    pair.send(SERVER, &message(1, 8, b"audio 3"));
    assert!(pair.take(CLIENT).is_empty());
    let flow = pair.flows[SERVER].sending[&(1, Channel::Video)];
    pair.net.session(SERVER, pair.ids[SERVER]).close_flow(flow);
    pair.run(200);
    assert_eq!(pair.take(CLIENT), [TcEvent::Message(message(1, 8, b"audio 3"))]);
}

#[test]
fn rtmfp_100_and_103_a_client_joins_a_group_is_told_members_and_leaves() {
    let mut pair = Pair::connected();
    let group = GroupId([5; 32]);
    let now = pair.net.now;
    let session = pair.net.session(CLIENT, pair.ids[CLIENT]);
    let join = pair.flows[CLIENT].join_group(now, session, group).expect("joins");
    pair.run(60);
    let events = pair.take(SERVER);
    let [TcEvent::GroupJoined { flow, group: joined }] = events[..] else { panic!("{events:?}") };
    assert_eq!(joined, group);
    assert!(pair.flows[SERVER].members.is_empty(), "no flow unless there is something to say");
    let peer = PeerId([9; 32]);
    let now = pair.net.now;
    let session = pair.net.session(SERVER, pair.ids[SERVER]);
    pair.flows[SERVER].send_member(now, session, flow, peer).expect("sends");
    pair.run(60);
    assert_eq!(pair.take(CLIENT), [TcEvent::GroupMember { peer }]);
    pair.net.session(CLIENT, pair.ids[CLIENT]).close_flow(join);
    pair.run(300);
    assert_eq!(pair.take(SERVER), [TcEvent::GroupLeft { flow, group }]);
    assert!(pair.flows[SERVER].members.is_empty());
}

#[test]
fn a_client_is_in_a_bounded_number_of_groups() {
    let mut pair = Pair::connected();
    for i in 0..300_u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&i.to_be_bytes());
        let now = pair.net.now;
        let session = pair.net.session(CLIENT, pair.ids[CLIENT]);
        pair.flows[CLIENT].join_group(now, session, GroupId(id)).expect("joins");
        pair.run(2);
    }
    pair.run(3000);
    assert_eq!(pair.take(SERVER).len(), MAX_GROUPS);
}

/// Media that is too late is dropped, headers and commands never are.
#[test]
fn rtmfp_091_late_media_is_dropped_and_headers_are_not() {
    let mut pair = Pair::connected();
    pair.streams.push(1);
    pair.send(SERVER, &message(1, 9, b"first"));
    pair.take(CLIENT);
    pair.net.link.loss = 100;
    let frame = TcMessage { payload: Bytes::from(vec![1; 20_000]), ..message(1, 9, b"") };
    for i in 0..125 {
        let now = pair.net.now;
        let session = pair.net.session(SERVER, pair.ids[SERVER]);
        let class = if i % 25 == 0 { MediaClass::Keyframe } else { MediaClass::Dependent };
        // One that needs an abandoned frame may be refused.
        let _ = pair.flows[SERVER].send_media(now, session, &frame, class, Lifetime::Live);
        pair.run(40);
    }
    let now = pair.net.now;
    let session = pair.net.session(SERVER, pair.ids[SERVER]);
    let queued = pair.flows[SERVER].queued_bytes(session, 1);
    assert!(queued < 60 * 20_000, "two seconds at most: {queued}");
    let header = message(1, 9, b"header");
    pair.flows[SERVER]
        .send_media(now, session, &header, MediaClass::Header, Lifetime::Live)
        .expect("a header is always queued");
    pair.try_send(SERVER, &message(1, 20, b"command")).expect("sends");
    pair.run(3000);
    pair.net.link.loss = 0;
    pair.run(12_000);
    let events = pair.take(CLIENT);
    assert!(events.contains(&TcEvent::Gap { stream: 1, kind: Some(9) }));
    assert!(events.contains(&TcEvent::Message(header)));
    assert!(events.contains(&TcEvent::Message(message(1, 20, b"command"))));
    assert!(!events.contains(&TcEvent::Message(frame)), "none of the frames is worth showing");
}
