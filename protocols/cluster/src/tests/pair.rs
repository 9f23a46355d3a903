//! A dialler and an acceptor joined by two byte streams with delay, cut where a seed says.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::{Event, Hello, Link, LinkConfig, Output, Secret};

/// The time at which all tests begin.
#[allow(clippy::disallowed_methods)]
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// xorshift64*: repeatable cuts and delays.
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// One end and the bytes on their way to it.
pub(crate) struct End {
    pub(crate) link: Link,
    pub(crate) events: Vec<Event>,
    input: BytesMut,
    arriving: VecDeque<(Instant, Bytes)>,
    timeout: Instant,
}

impl End {
    fn new(link: Link) -> Self {
        Self {
            link,
            events: Vec::new(),
            input: BytesMut::new(),
            arriving: VecDeque::new(),
            timeout: start(),
        }
    }

    /// Takes the events so far.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) dialler: End,
    pub(crate) acceptor: End,
    /// Bytes vanish while this is set, as behind a pulled cable.
    pub(crate) is_cut: bool,
    pub(crate) seed: Seeded,
    /// Each transmit is cut into pieces of at most this many bytes.
    pub(crate) largest_piece: u64,
    /// Everything the dialler transmitted.
    pub(crate) dialled_bytes: Vec<u8>,
}

pub(crate) fn secret(text: &str) -> Option<Secret> {
    Secret::new(text)
}

impl Pair {
    pub(crate) fn new(seed: u64, dialler: Hello, acceptor: Hello, secrets: [&str; 2]) -> Self {
        let config = LinkConfig::default();
        let [a, b] = secrets;
        let dialler = Link::dial(start(), config, dialler, secret(a), [1; 32]).unwrap();
        let acceptor = Link::accept(start(), config, acceptor, secret(b), [2; 32]).unwrap();
        Self {
            now: start(),
            dialler: End::new(dialler),
            acceptor: End::new(acceptor),
            is_cut: false,
            seed: Seeded::new(seed),
            largest_piece: 40,
            dialled_bytes: Vec::new(),
        }
    }

    /// Nodes 1 (dials) and 2, both up, their events so far dropped.
    pub(crate) fn up(seed: u64, secret: &str) -> Self {
        let mut pair = Self::new(seed, super::hello(1), super::hello(2), [secret; 2]);
        pair.run(Duration::from_millis(500));
        assert!(pair.dialler.link.is_up() && pair.acceptor.link.is_up());
        pair.dialler.take();
        pair.acceptor.take();
        pair
    }

    /// Drives both ends for `time`, jumping from one thing to do to the next.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.poll(true);
            self.poll(false);
            let next = [&self.dialler, &self.acceptor]
                .into_iter()
                .flat_map(|e| {
                    let timeout = (!e.link.is_closed()).then_some(e.timeout);
                    timeout.into_iter().chain(e.arriving.front().map(|(at, _)| *at))
                })
                .min();
            let next = match next {
                Some(next) if next <= end => next.max(self.now),
                _ => break,
            };
            self.now = next;
            for side in [&mut self.dialler, &mut self.acceptor] {
                while side.arriving.front().is_some_and(|(at, _)| *at <= next) {
                    let (_, bytes) = side.arriving.pop_front().unwrap();
                    side.input.extend_from_slice(&bytes);
                    side.link.handle_input(next, &mut side.input);
                }
                if side.timeout <= next {
                    side.link.handle_timeout(next);
                }
            }
        }
        self.now = end;
    }

    fn poll(&mut self, dialler: bool) {
        let (from, to) = match dialler {
            true => (&mut self.dialler, &mut self.acceptor),
            false => (&mut self.acceptor, &mut self.dialler),
        };
        loop {
            match from.link.poll_output() {
                Output::Transmit(mut bytes) => {
                    if dialler {
                        self.dialled_bytes.extend_from_slice(&bytes);
                    }
                    while !bytes.is_empty() && !self.is_cut {
                        let most = (self.seed.below(self.largest_piece) + 1) as usize;
                        let piece = bytes.split_to(most.min(bytes.len()));
                        let delay = Duration::from_micros(self.seed.below(3_000));
                        let last = to.arriving.back().map_or(self.now, |(at, _)| *at);
                        to.arriving.push_back(((self.now + delay).max(last), piece));
                    }
                }
                Output::Event(event) => from.events.push(event),
                Output::Timeout(at) => {
                    from.timeout = at;
                    return;
                }
            }
        }
    }
}

/// Drains one link that has no peer.
pub(crate) fn drain(link: &mut Link) -> (Vec<u8>, Vec<Event>) {
    let (mut wire, mut events) = (Vec::new(), Vec::new());
    loop {
        match link.poll_output() {
            Output::Transmit(bytes) => wire.extend_from_slice(&bytes),
            Output::Event(event) => events.push(event),
            Output::Timeout(_) => return (wire, events),
        }
    }
}
