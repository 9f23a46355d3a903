//! No allocation per packet once a session runs: counted by the allocator of this program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_rtmfp::{
    Delivery, Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, Entropy, Epd, Event,
    FlowOptions, Group, Identity, KeyPair, Message, Output, Policy, Route, Session,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that ends has no counter any more.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// Two sessions with each other: the server's, the client's.
fn connected(now: Instant, policy: Policy) -> (Session, Session) {
    let mut entropy = Entropy::from_seed([1; 32]);
    let server = Identity::server(&[Group::Modp1024], &mut entropy);
    let pair = KeyPair::generate(Group::Modp1024, &mut entropy);
    let client = Identity::client(vec![pair]).expect("a key");
    let mut endpoints = [server, client].map(|identity| {
        let mut config = EndpointConfig::new(Arc::new(identity));
        (config.hmac, config.sequence_numbers) = (policy, policy);
        Endpoint::new(now, config, entropy.fork())
    });
    endpoints[1].open(now, Epd::of_server(b"x", None), &[address(0)]).expect("opens");
    let mut sessions = [None, None];
    while sessions.iter().any(Option::is_none) {
        for i in 0..2 {
            loop {
                match endpoints[i].poll_output() {
                    EndpointOutput::Transmit { mut bytes, .. } => {
                        let from = address(i as u16);
                        let route = endpoints[1 - i].handle_datagram(now, from, &mut bytes);
                        assert_eq!(route, Route::Handled);
                    }
                    EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                        endpoints[i].handle_agreement(now, job.run());
                    }
                    EndpointOutput::Event(EndpointEvent::SessionOpened { session, .. }) => {
                        sessions[i] = Some(*session);
                    }
                    EndpointOutput::Event(event) => panic!("{event:?}"),
                    EndpointOutput::Timeout(_) => break,
                }
            }
        }
    }
    let [server, client] = sessions.map(|s| s.expect("open"));
    (server, client)
}

/// Gives the datagrams of one session to the other; counts messages that were given out.
fn exchange(
    now: Instant,
    (from, at): (&mut Session, SocketAddr),
    to: &mut Session,
    buffer: &mut [u8; 1300],
) -> (usize, usize) {
    let (mut packets, mut messages) = (0, 0);
    loop {
        match from.poll_output() {
            Output::Transmit { bytes, .. } => {
                let datagram = &mut buffer[..bytes.len()];
                datagram.copy_from_slice(bytes);
                to.handle_packet(now, at, datagram).expect("valid");
                packets += 1;
            }
            Output::Event(Event::FlowOpened { flow, .. }) => {
                from.accept_flow(now, flow, Delivery::InOrder, 1 << 20);
            }
            Output::Event(Event::Message { .. }) => messages += 1,
            Output::Event(_) => {}
            Output::Timeout(_) => return (packets, messages),
        }
    }
}

#[test]
fn a_running_session_sends_and_receives_without_allocation() {
    for policy in [Policy::ON_REQUEST, Policy::STRICT] {
        #[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
        let mut now = Instant::now();
        let (mut server, mut client) = connected(now, policy);
        let flow = server.open_flow(FlowOptions::default()).expect("opens");
        let payload = Bytes::from(vec![7; 700]);
        let mut buffer = [0; 1300];
        let (mut before, mut packets, mut messages) = (0, 0, 0);
        for round in 0..3000 {
            if round == 1000 {
                (before, packets, messages) = (allocations(), 0, 0);
            }
            now += Duration::from_millis(20);
            let message = Message {
                start_within: Some(Duration::from_secs(2)),
                ..Message::reliable(&[9, 0, 0, 0, 0], payload.clone())
            };
            server.write(now, flow, &message).expect("writes");
            for _ in 0..2 {
                server.handle_timeout(now);
                client.handle_timeout(now);
                packets += exchange(now, (&mut server, address(0)), &mut client, &mut buffer).0;
                let (sent, got) =
                    exchange(now, (&mut client, address(1)), &mut server, &mut buffer);
                packets += sent;
                messages += got;
            }
        }
        let made = allocations() - before;
        assert_eq!(messages, 2000);
        assert!(packets >= 3000, "{packets}");
        // Received messages share pieces of 16 KiB: about one allocation in 20 messages.
        assert!(made <= messages as u64 / 10, "{made} allocations for {packets} packets");
    }
}
