//! One server and some clients on a network with seeded loss, in virtual time: for tests and fuzz
//! bodies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ramona_rtmfp::{
    Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, Entropy, Epd, Group, Identity,
    KeyPair, PeerId, Route, Session, SessionId,
};

use crate::client::{Client, ClientEvent, ClientOutput};
use crate::connection::{Connection, ConnectionConfig, Event, Output};

const SERVER: &str = "192.0.2.1:1935";
/// One way.
const DELAY: Duration = Duration::from_millis(10);

/// The server's side of one session.
pub(crate) struct Served {
    pub(crate) id: SessionId,
    pub(crate) connection: Connection,
    pub(crate) events: Vec<Event>,
    /// It wants nothing more.
    pub(crate) is_over: bool,
}

/// One client.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) client: Option<Client>,
    pub(crate) events: Vec<ClientEvent>,
    /// Nothing reaches it and nothing leaves it.
    pub(crate) is_cut: bool,
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Instant,
    /// Datagrams lost of a hundred.
    pub(crate) loss: u32,
    pub(crate) config: ConnectionConfig,
    /// Answers the questions of connections.
    pub(crate) decide: fn(&mut Connection, &Event),
    pub(crate) server: Endpoint,
    pub(crate) served: Vec<Served>,
    pub(crate) peers: Vec<Peer>,
    entropy: Entropy,
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    order: u64,
}

/// Accepts everything; every publication runs.
pub(crate) fn accept(connection: &mut Connection, event: &Event) {
    use ramona_rtmp::Event as Net;
    match event {
        Event::Net(Net::Connect(_)) => connection.net(connection.now()).accept_connect(&[]),
        Event::Net(Net::Publish { stream, .. }) => {
            connection.net(connection.now()).accept_publish(*stream)
        }
        Event::Net(Net::Play { stream, .. }) => {
            connection.net(connection.now()).accept_play(*stream, true, true, true);
        }
        _ => {}
    }
}

/// A moment to begin with.
#[expect(clippy::disallowed_methods, reason = "there is no other way to get an instant")]
fn start() -> Instant {
    Instant::now()
}

impl World {
    /// A server alone.
    pub(crate) fn new(seed: u8) -> Self {
        let now = start();
        let mut entropy = Entropy::from_seed([seed; 32]);
        let identity = Identity::server(&[Group::Modp1024], &mut entropy.fork());
        let mut config = EndpointConfig::new(Arc::new(identity));
        config.new_sessions_per_second = 1000;
        let server = Endpoint::new(now, config, entropy.fork());
        Self {
            now,
            loss: 0,
            config: ConnectionConfig::default(),
            decide: accept,
            server,
            served: Vec::new(),
            peers: Vec::new(),
            entropy,
            flying: BTreeMap::new(),
            order: 0,
        }
    }

    /// One more client with an open session; its index. `None` when no session came about.
    pub(crate) fn add(&mut self) -> Option<usize> {
        let at = self.peers.len();
        let pair = KeyPair::generate(Group::Modp1024, &mut self.entropy);
        let identity = Identity::client(vec![pair])?;
        let config = EndpointConfig::new(Arc::new(identity));
        let endpoint = Endpoint::new(self.now, config, self.entropy.fork());
        let address = SocketAddr::from(([192, 0, 2, 2], 5000 + at as u16));
        let (client, events) = (None, Vec::new());
        self.peers.push(Peer { address, endpoint, client, events, is_cut: false });
        let server = SERVER.parse().ok()?;
        let epd = Epd::of_server(b"rtmfp://192.0.2.1/live", None);
        self.peers[at].endpoint.open(self.now, epd, &[server]).ok()?;
        for _ in 0..900 {
            self.run(Duration::from_millis(100));
            if self.peers[at].client.is_some() {
                return Some(at);
            }
        }
        None
    }

    /// The client at an index.
    pub(crate) fn client(&mut self, at: usize) -> &mut Client {
        let now = self.now;
        let client = self.peers[at].client.as_mut().expect("a session was opened");
        client.set_now(now);
        client
    }

    /// Who the client at an index is.
    pub(crate) fn peer_id(&self, at: usize) -> PeerId {
        self.peers[at].endpoint.identity().peer_id()
    }

    /// The server's side of the client at an index: the latest one.
    pub(crate) fn served(&mut self, at: usize) -> &mut Served {
        let peer = self.peer_id(at);
        let is_of = |served: &&mut Served| served.connection.session().peer_id() == peer;
        self.served.iter_mut().rev().find(is_of).expect("a session was opened")
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let is_cut = |peer: &Peer| peer.is_cut && (peer.address == from || peer.address == to);
        if self.peers.iter().any(is_cut) || self.entropy.u32() % 100 < self.loss {
            return;
        }
        self.order += 1;
        self.flying.insert((self.now + DELAY, self.order), (from, to, bytes));
    }

    fn poll_endpoint(&mut self, at: Option<usize>) -> Option<Instant> {
        loop {
            let now = self.now;
            let (endpoint, address) = match at {
                None => (&mut self.server, SERVER.parse().ok()?),
                Some(at) => {
                    let Peer { endpoint, address, .. } = &mut self.peers[at];
                    (endpoint, *address)
                }
            };
            match endpoint.poll_output() {
                EndpointOutput::Transmit { to, bytes } => self.post(address, to, bytes),
                EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                    endpoint.handle_agreement(now, job.run());
                }
                EndpointOutput::Event(EndpointEvent::SessionOpened { session, .. }) => {
                    self.opened(at, session);
                }
                EndpointOutput::Event(_) => {}
                EndpointOutput::Timeout(timeout) => return timeout,
            }
        }
    }

    fn opened(&mut self, at: Option<usize>, session: Box<Session>) {
        match at {
            None => {
                let id = session.id();
                let connection = Connection::new(self.now, session, self.config);
                let (events, is_over) = (Vec::new(), false);
                self.served.push(Served { id, connection, events, is_over });
            }
            Some(at) => self.peers[at].client = Some(Client::new(self.now, session)),
        }
    }

    fn poll_served(&mut self, at: usize) -> Option<Instant> {
        loop {
            let served = &mut self.served[at];
            match served.connection.poll_output() {
                Output::Transmit { to, bytes } => {
                    let bytes = bytes.to_vec();
                    self.post(SERVER.parse().ok()?, to, bytes);
                }
                Output::Event(event) => {
                    if event == Event::Confirmed {
                        self.server.confirm_session(served.id);
                    }
                    (self.decide)(&mut served.connection, &event);
                    served.events.push(event);
                }
                Output::Timeout(None) => {
                    served.is_over = true;
                    self.server.remove_session(served.id);
                    return None;
                }
                Output::Timeout(timeout) => return timeout,
            }
        }
    }

    fn poll_client(&mut self, at: usize) -> Option<Instant> {
        loop {
            let peer = &mut self.peers[at];
            match peer.client.as_mut()?.poll_output() {
                ClientOutput::Transmit { to, bytes } => {
                    let (from, bytes) = (peer.address, bytes.to_vec());
                    self.post(from, to, bytes);
                }
                ClientOutput::Event(event) => peer.events.push(event),
                ClientOutput::Timeout(timeout) => return timeout,
            }
        }
    }

    fn poll(&mut self) -> Option<Instant> {
        let mut earliest = None;
        let mut add = |at: Option<Instant>| {
            earliest = [earliest, at].into_iter().flatten().min();
        };
        add(self.poll_endpoint(None));
        for at in 0..self.peers.len() {
            add(self.poll_endpoint(Some(at)));
            add(self.poll_client(at));
        }
        for at in 0..self.served.len() {
            add(self.poll_served(at));
        }
        earliest
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
                self.ring();
            }
        }
        self.now = until;
    }

    fn ring(&mut self) {
        self.server.handle_timeout(self.now);
        for served in &mut self.served {
            served.connection.handle_timeout(self.now);
        }
        for peer in &mut self.peers {
            peer.endpoint.handle_timeout(self.now);
            if let Some(client) = &mut peer.client {
                client.handle_timeout(self.now);
            }
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let now = self.now;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == to) {
            let route = peer.endpoint.handle_datagram(now, from, &mut bytes);
            if let (Route::Session(_), Some(client)) = (route, &mut peer.client) {
                client.handle_packet(now, from, &mut bytes);
            }
        } else if let Route::Session(id) = self.server.handle_datagram(now, from, &mut bytes)
            && let Some(served) = self.served.iter_mut().find(|served| served.id == id)
        {
            served.connection.handle_packet(now, from, &mut bytes);
        }
    }
}
