//! Endpoints on a network with seeded delay, loss, duplication and reordering, in virtual time.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certificate::{Epd, Identity};
use crate::crypto::{Group, KeyPair};
use crate::endpoint::{
    AgreeJob, Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, OpenId, Route,
};
use crate::entropy::Entropy;
use crate::flow::Delivery;
use crate::session::{Event, Output, Session, SessionId};
use crate::testing::raw::TestInstant;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// Added at random, so that datagrams overtake each other.
    pub(crate) jitter: Duration,
    /// Of 100.
    pub(crate) loss: u32,
    /// Of 100.
    pub(crate) duplicates: u32,
}

pub(crate) const CLEAN: Link =
    Link { delay: Duration::from_millis(10), jitter: Duration::ZERO, loss: 0, duplicates: 0 };

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) sessions: HashMap<SessionId, Session>,
    pub(crate) events: Vec<(SessionId, Event)>,
    pub(crate) endpoint_events: Vec<EndpointEvent>,
    /// Sessions in the order of their opening.
    pub(crate) opened: Vec<(SessionId, Option<OpenId>)>,
    /// How flows are accepted.
    pub(crate) delivery: Delivery,
    pub(crate) capacity: usize,
    /// Whether flows are accepted here, or by whom the events are given to.
    pub(crate) accepts_flows: bool,
    /// Jobs are kept instead of run.
    pub(crate) hold_jobs: bool,
    pub(crate) jobs: Vec<AgreeJob>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) link: Link,
    pub(crate) hosts: Vec<Host>,
    /// Every datagram that was sent, with its way.
    pub(crate) wire: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub(crate) keep_wire: bool,
    /// Datagrams of this ordinal (from 0) are lost.
    pub(crate) drop_nth: Option<usize>,
    pub(crate) sent: usize,
    /// Network address translation: packets from the first arrive as from the second.
    pub(crate) nat: Vec<(SocketAddr, SocketAddr)>,
    pub(crate) entropy: Entropy,
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    order: u64,
}

pub(crate) fn server_identity(seed: u8) -> Identity {
    let groups = [Group::Modp1024, Group::Modp2048];
    Identity::server(&groups, &mut Entropy::from_seed([seed; 32]))
}

/// A client with a key of group 2, like librtmfp's.
pub(crate) fn client_identity(seed: u8) -> Identity {
    let pair = KeyPair::generate(Group::Modp1024, &mut Entropy::from_seed([seed; 32]));
    Identity::client(vec![pair]).expect("a key")
}

pub(crate) fn config(identity: Identity) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(identity));
    config.new_sessions_per_second = 1000;
    config
}

impl Net {
    pub(crate) fn new(link: Link, seed: u8) -> Self {
        let start = Instant::now_for_tests();
        Self {
            now: start,
            link,
            hosts: Vec::new(),
            wire: Vec::new(),
            keep_wire: false,
            drop_nth: None,
            sent: 0,
            nat: Vec::new(),
            entropy: Entropy::from_seed([seed; 32]),
            flying: BTreeMap::new(),
            order: 0,
        }
    }

    pub(crate) fn add(&mut self, address: &str, config: EndpointConfig) -> usize {
        let endpoint = Endpoint::new(self.now, config, self.entropy.fork());
        self.hosts.push(Host {
            address: address.parse().expect("address"),
            endpoint,
            sessions: HashMap::new(),
            events: Vec::new(),
            endpoint_events: Vec::new(),
            opened: Vec::new(),
            delivery: Delivery::InOrder,
            capacity: 1 << 20,
            accepts_flows: true,
            hold_jobs: false,
            jobs: Vec::new(),
        });
        self.hosts.len() - 1
    }

    /// A server and a client with a session between them.
    pub(crate) fn connected(link: Link, seed: u8) -> (Self, SessionId, SessionId) {
        let mut net = Self::new(link, seed);
        let server = net.add("192.0.2.1:1935", config(server_identity(1)));
        let client = net.add("192.0.2.2:5000", config(client_identity(2)));
        net.open(client, server);
        net.run(Duration::from_secs(20));
        let (s, _) = *net.hosts[server].opened.last().expect("server session");
        let (c, _) = *net.hosts[client].opened.last().expect("client session");
        (net, s, c)
    }

    pub(crate) fn open(&mut self, client: usize, server: usize) -> OpenId {
        let to = self.hosts[server].address;
        let epd = Epd::of_server(b"rtmfp://example/live", None);
        self.hosts[client].endpoint.open(self.now, epd, &[to]).expect("opens")
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let from = self.nat.iter().find(|(inner, _)| *inner == from).map_or(from, |n| n.1);
        if self.keep_wire {
            self.wire.push((from, to, bytes.clone()));
        }
        let nth = self.sent;
        self.sent += 1;
        let mut copies = 1;
        if self.entropy.u32() % 100 < self.link.loss || self.drop_nth == Some(nth) {
            copies -= 1;
        }
        if self.entropy.u32() % 100 < self.link.duplicates {
            copies += 1;
        }
        for _ in 0..copies {
            let jitter = self.link.jitter.as_micros() as u32;
            let extra = if jitter == 0 { 0 } else { self.entropy.u32() % jitter };
            let at = self.now + self.link.delay + Duration::from_micros(u64::from(extra));
            self.order += 1;
            self.flying.insert((at, self.order), (from, to, bytes.clone()));
        }
    }

    /// Drains every host; gives the earliest deadline.
    pub(crate) fn poll(&mut self) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        let mut add = |at: Option<Instant>| {
            earliest = [earliest, at].into_iter().flatten().min();
        };
        for at in 0..self.hosts.len() {
            add(self.poll_endpoint(at));
            let ids: Vec<SessionId> = self.hosts[at].sessions.keys().copied().collect();
            for id in ids {
                add(self.poll_session(at, id));
            }
            // Sessions may have spoken to their endpoint.
            add(self.poll_endpoint(at));
        }
        earliest
    }

    fn poll_endpoint(&mut self, at: usize) -> Option<Instant> {
        loop {
            let now = self.now;
            let host = &mut self.hosts[at];
            match host.endpoint.poll_output() {
                EndpointOutput::Transmit { to, bytes } => {
                    let from = host.address;
                    self.post(from, to, bytes);
                }
                EndpointOutput::Event(EndpointEvent::Agree(job)) if host.hold_jobs => {
                    host.jobs.push(*job);
                }
                EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                    host.endpoint.handle_agreement(now, job.run());
                }
                EndpointOutput::Event(EndpointEvent::SessionOpened { session, opening }) => {
                    host.opened.push((session.id(), opening));
                    host.sessions.insert(session.id(), *session);
                }
                EndpointOutput::Event(event) => {
                    if let EndpointEvent::SessionReplaced { session } = &event
                        && let Some(old) = host.sessions.get_mut(session)
                    {
                        old.discard();
                    }
                    host.endpoint_events.push(event);
                }
                EndpointOutput::Timeout(timeout) => return timeout,
            }
        }
    }

    fn poll_session(&mut self, at: usize, id: SessionId) -> Option<Instant> {
        loop {
            let now = self.now;
            let Host {
                sessions, endpoint, delivery, capacity, events, address, accepts_flows, ..
            } = &mut self.hosts[at];
            let session = sessions.get_mut(&id)?;
            match session.poll_output() {
                Output::Transmit { to, bytes } => {
                    let (from, bytes) = (*address, bytes.to_vec());
                    self.post(from, to, bytes);
                }
                Output::Event(event) => {
                    match &event {
                        Event::FlowOpened { flow, .. } if *accepts_flows => {
                            session.accept_flow(now, *flow, *delivery, *capacity);
                        }
                        Event::Confirmed => {
                            if let Some(old) = endpoint.confirm_session(id) {
                                let old = sessions.get_mut(&old).expect("older session");
                                old.close(now);
                            }
                        }
                        Event::AddressChanged { to, .. } => endpoint.move_session(id, *to),
                        Event::ForwardedHello { reply, tag, .. } => {
                            endpoint.respond(now, reply.socket, tag);
                        }
                        _ => {}
                    }
                    events.push((id, event));
                }
                Output::Timeout(None) => {
                    endpoint.remove_session(id);
                    sessions.remove(&id);
                    return None;
                }
                Output::Timeout(timeout) => return timeout,
            }
        }
    }

    /// Lets time pass: arrivals and timers, one after another.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut idle_rings = 0;
        loop {
            let deadline = self.poll();
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [deadline, arrival].into_iter().flatten().min() else { break };
            if next > until {
                break;
            }
            idle_rings = if next <= self.now { idle_rings + 1 } else { 0 };
            assert!(idle_rings < 10_000, "timers ring without end");
            self.now = self.now.max(next);
            if arrival == Some(next) {
                if let Some((_, (from, to, bytes))) = self.flying.pop_first() {
                    self.arrive(from, to, bytes);
                }
            } else {
                for host in &mut self.hosts {
                    host.endpoint.handle_timeout(self.now);
                    for session in host.sessions.values_mut() {
                        session.handle_timeout(self.now);
                    }
                }
            }
        }
        self.now = until;
    }

    pub(crate) fn arrive(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let to = self.nat.iter().find(|(_, outer)| *outer == to).map_or(to, |n| n.0);
        let now = self.now;
        let Some(host) = self.hosts.iter_mut().find(|h| h.address == to) else { return };
        if let Route::Session(id) = host.endpoint.handle_datagram(now, from, &mut bytes)
            && let Some(session) = host.sessions.get_mut(&id)
        {
            // A datagram that is dropped is counted by the session.
            let _ = session.handle_packet(now, from, &mut bytes);
        }
    }

    pub(crate) fn session(&mut self, host: usize, id: SessionId) -> &mut Session {
        self.hosts[host].sessions.get_mut(&id).expect("session")
    }
}
