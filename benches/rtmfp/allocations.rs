//! Allocations of the crypto and packet path: two sessions in this process, without a socket.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_rtmfp::{
    Delivery, Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, Epd, Event, FlowOptions,
    Group, Identity, KeyPair, Message, Output, Session,
};

use super::peer::{Checks, entropy};
use super::support::Outcome;

/// Messages before the counted ones: buffers and queues find their size.
const WARM_UP: u32 = 2_000;

/// Messages that count, of 700 bytes each: a packet for each, and the acknowledgements.
const MESSAGES: u32 = 20_000;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What was counted in the steady state.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) messages: u64,
    /// At the sending end: sealing packets, taking acknowledgements.
    pub(crate) sender: u64,
    /// At the receiving end: opening packets, giving messages out, acknowledging. Messages that
    /// were received share pieces of 16 KiB.
    pub(crate) receiver: u64,
}

/// One session sends messages to another.
pub(crate) fn measure(checks: Checks) -> Outcome<Count> {
    let mut now = Instant::now();
    let (mut sender, mut receiver) = connected(now, checks)?;
    let flow = sender.open_flow(FlowOptions::default()).map_err(|error| error.to_string())?;
    let payload = Bytes::from(vec![7; 700]);
    let mut buffer = [0; 1300];
    let mut count = Count::default();
    for number in 0..WARM_UP + MESSAGES {
        if number == WARM_UP {
            count = Count::default();
        }
        now += Duration::from_millis(20);
        let message = Message {
            start_within: Some(Duration::from_secs(2)),
            ..Message::reliable(&[9, 0, 0, 0, 0], payload.clone())
        };
        let before = ALLOCATIONS.load(Relaxed);
        sender.write(now, flow, &message).map_err(|error| error.to_string())?;
        sender.handle_timeout(now);
        count.sender += ALLOCATIONS.load(Relaxed) - before;
        let before = ALLOCATIONS.load(Relaxed);
        receiver.handle_timeout(now);
        count.receiver += ALLOCATIONS.load(Relaxed) - before;
        for _ in 0..2 {
            let before = ALLOCATIONS.load(Relaxed);
            let mut taken = 0;
            while let Output::Transmit { bytes, .. } = sender.poll_output() {
                let datagram = &mut buffer[..bytes.len()];
                datagram.copy_from_slice(bytes);
                count.packets += 1;
                let before = ALLOCATIONS.load(Relaxed);
                receiver.handle_packet(now, address(0), datagram).map_err(|e| e.to_string())?;
                taken += ALLOCATIONS.load(Relaxed) - before;
            }
            count.sender += ALLOCATIONS.load(Relaxed) - before - taken;
            let (before, mut taken) = (ALLOCATIONS.load(Relaxed), taken);
            let own = taken;
            loop {
                match receiver.poll_output() {
                    Output::Transmit { bytes, .. } => {
                        let datagram = &mut buffer[..bytes.len()];
                        datagram.copy_from_slice(bytes);
                        count.packets += 1;
                        let before = ALLOCATIONS.load(Relaxed);
                        sender
                            .handle_packet(now, address(1), datagram)
                            .map_err(|e| e.to_string())?;
                        let of_sender = ALLOCATIONS.load(Relaxed) - before;
                        count.sender += of_sender;
                        taken += of_sender;
                    }
                    Output::Event(Event::FlowOpened { flow, .. }) => {
                        receiver.accept_flow(now, flow, Delivery::InOrder, 1 << 20);
                    }
                    Output::Event(Event::Message { .. }) => count.messages += 1,
                    Output::Event(_) => {}
                    Output::Timeout(_) => break,
                }
            }
            count.receiver += own + ALLOCATIONS.load(Relaxed) - before - (taken - own);
        }
    }
    Ok(count)
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 1935))
}

/// Two sessions with each other.
fn connected(now: Instant, checks: Checks) -> Outcome<(Session, Session)> {
    let failed = |error: std::io::Error| error.to_string();
    let mut entropy = entropy().map_err(failed)?;
    let server = Identity::server(&[Group::Modp1024], &mut entropy);
    let pair = KeyPair::generate(Group::Modp1024, &mut entropy);
    let client = Identity::client(vec![pair]).ok_or("no identity")?;
    let mut endpoints = [server, client].map(|identity| {
        let mut config = EndpointConfig::new(Arc::new(identity));
        (config.hmac, config.sequence_numbers) = (checks.policy(), checks.policy());
        Endpoint::new(now, config, entropy.fork())
    });
    let epd = Epd::of_server(b"x", None);
    endpoints[1].open(now, epd, &[address(0)]).map_err(|error| error.to_string())?;
    let mut sessions = [None, None];
    for _ in 0..10 {
        for at in 0..2 {
            loop {
                match endpoints[at].poll_output() {
                    EndpointOutput::Transmit { mut bytes, .. } => {
                        endpoints[1 - at].handle_datagram(now, address(at as u8), &mut bytes);
                    }
                    EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                        endpoints[at].handle_agreement(now, job.run());
                    }
                    EndpointOutput::Event(EndpointEvent::SessionOpened { session, .. }) => {
                        sessions[at] = Some(*session);
                    }
                    EndpointOutput::Event(event) => return Err(format!("unexpected {event:?}")),
                    EndpointOutput::Timeout(_) => break,
                }
            }
        }
    }
    match sessions {
        [Some(server), Some(client)] => Ok((server, client)),
        _ => Err("no session opened".to_owned()),
    }
}
