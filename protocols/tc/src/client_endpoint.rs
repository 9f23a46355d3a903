//! The client's end of RTMFP as a whole: one endpoint, the session with its server, and sessions
//! with peers that it was introduced to. What drives it has a socket and a clock.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use ramona_rtmfp::{
    AgreeJob, Agreement, Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, Entropy, Epd,
    Event, OpenId, OpenSessionError, OpeningProgress, Output, PeerId, Route, Session, SessionId,
};

use crate::client::{Client, ClientEvent, ClientOutput};

/// What a client's endpoint wants of its owner.
#[derive(Debug)]
pub enum ClientEndpointOutput {
    /// Send `bytes` to `to`.
    Transmit {
        /// The server, a peer, or an address that one of them gave.
        to: SocketAddr,
        /// One datagram.
        bytes: Vec<u8>,
    },
    /// Run the job and return its result with [`ClientEndpoint::handle_agreement`].
    Agree(Box<AgreeJob>),
    /// The session with the server: what happened.
    Server(ClientEvent),
    /// A session began: [`ClientEndpoint::visit`] it if its opening was towards a server; else it
    /// stays as one with a peer.
    Opened {
        /// What opened it; `None` when the other end did.
        opening: Option<OpenId>,
        /// The session.
        session: SessionId,
    },
    /// Nobody answered an opening, or it lost a glare and goes on as a responder.
    OpenFailed(OpenId),
    /// Nothing until then; call [`ClientEndpoint::handle_timeout`].
    Timeout(Option<Instant>),
}

/// One endpoint of a client with all its sessions.
///
/// After each call, [`poll_output`](Self::poll_output) is called until it answers
/// [`ClientEndpointOutput::Timeout`]. A peer that the server forwards a hello of is answered;
/// flows of peers are rejected, for there is nothing that this client would say to them.
#[derive(Debug)]
pub struct ClientEndpoint {
    endpoint: Endpoint,
    server: Option<Client>,
    peers: HashMap<SessionId, Box<Session>>,
    now: Instant,
    ready: VecDeque<ClientEndpointOutput>,
}

impl ClientEndpoint {
    /// An endpoint without sessions.
    pub fn new(now: Instant, config: EndpointConfig, entropy: Entropy) -> Self {
        Self {
            endpoint: Endpoint::new(now, config, entropy),
            server: None,
            peers: HashMap::new(),
            now,
            ready: VecDeque::new(),
        }
    }

    /// Seeks a server or a peer at these addresses.
    ///
    /// # Errors
    /// See [`OpenSessionError`].
    pub fn open(
        &mut self,
        now: Instant,
        epd: Epd,
        at: &[SocketAddr],
    ) -> Result<OpenId, OpenSessionError> {
        self.now = self.now.max(now);
        self.endpoint.open(self.now, epd, at)
    }

    /// Gives an opening up.
    pub fn cancel(&mut self, opening: OpenId) {
        self.endpoint.cancel(opening);
    }

    /// How far an opening is; `None` when it is over.
    pub fn progress(&self, opening: OpenId) -> Option<OpeningProgress> {
        self.endpoint.opening_progress(opening)
    }

    /// The session becomes the one with the server; false when it is none of ours.
    pub fn visit(&mut self, now: Instant, session: SessionId) -> bool {
        let Some(session) = self.peers.remove(&session) else { return false };
        self.server = Some(Client::new(now, session));
        true
    }

    /// The session with the server.
    pub fn server(&self) -> Option<&Client> {
        self.server.as_ref()
    }

    /// The session with the server, told what time it is.
    pub fn server_mut(&mut self, now: Instant) -> Option<&mut Client> {
        let server = self.server.as_mut()?;
        server.set_now(now);
        Some(server)
    }

    /// A session with somebody else than the server.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.peers.get(&id).map(|session| &**session)
    }

    /// Peers with an open session.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.peers.values().map(|session| session.peer_id())
    }

    /// Identity and counters of the endpoint itself.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether every session is closed.
    pub fn is_over(&self) -> bool {
        self.peers.values().all(|session| session.is_closed())
            && self.server.as_ref().is_none_or(|server| server.session().is_closed())
    }

    /// Takes one datagram, which is decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.now = self.now.max(now);
        let route = self.endpoint.handle_datagram(self.now, from, datagram);
        let Route::Session(id) = route else { return };
        match &mut self.server {
            Some(server) if server.session().id() == id => {
                server.handle_packet(self.now, from, datagram);
            }
            _ => {
                if let Some(session) = self.peers.get_mut(&id) {
                    // What is wrong is counted by the session, and nothing answers it.
                    let _ = session.handle_packet(self.now, from, datagram);
                }
            }
        }
    }

    /// To be called at the time given by [`ClientEndpointOutput::Timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.endpoint.handle_timeout(self.now);
        if let Some(server) = &mut self.server {
            server.handle_timeout(self.now);
        }
        for session in self.peers.values_mut() {
            session.handle_timeout(self.now);
        }
    }

    /// Takes the result of [`ClientEndpointOutput::Agree`].
    pub fn handle_agreement(&mut self, now: Instant, agreement: Agreement) {
        self.now = self.now.max(now);
        self.endpoint.handle_agreement(self.now, agreement);
    }

    /// Ends all sessions in order.
    pub fn close(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if let Some(server) = &mut self.server {
            server.close(self.now);
        }
        for session in self.peers.values_mut() {
            session.close(self.now);
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> ClientEndpointOutput {
        if let Some(output) = self.ready.pop_front() {
            return output;
        }
        // The server's session may make the endpoint speak, and the endpoint comes last.
        let server = self.pump_server();
        let peers = self.pump_peers();
        let endpoint = self.pump_endpoint();
        match self.ready.pop_front() {
            Some(output) => output,
            None => {
                let deadlines = [server, peers, endpoint];
                ClientEndpointOutput::Timeout(deadlines.into_iter().flatten().min())
            }
        }
    }

    fn pump_server(&mut self) -> Option<Instant> {
        loop {
            match self.server.as_mut()?.poll_output() {
                ClientOutput::Transmit { to, bytes } => {
                    let bytes = bytes.to_vec();
                    self.ready.push_back(ClientEndpointOutput::Transmit { to, bytes });
                }
                ClientOutput::Event(event) => {
                    if let ClientEvent::ForwardedHello { reply, tag, .. } = &event {
                        self.endpoint.respond(self.now, reply.socket, tag);
                    }
                    self.ready.push_back(ClientEndpointOutput::Server(event));
                }
                ClientOutput::Timeout(at) => return at,
            }
        }
    }

    fn pump_peers(&mut self) -> Option<Instant> {
        let Self { endpoint, peers, ready, .. } = self;
        let mut earliest = None;
        peers.retain(|id, session| {
            loop {
                match session.poll_output() {
                    Output::Transmit { to, bytes } => {
                        let bytes = bytes.to_vec();
                        ready.push_back(ClientEndpointOutput::Transmit { to, bytes });
                    }
                    Output::Event(Event::Confirmed) => {
                        // An older session of the same peer ends by itself.
                        let _ = endpoint.confirm_session(*id);
                    }
                    Output::Event(Event::AddressChanged { to, .. }) => {
                        endpoint.move_session(*id, to);
                    }
                    Output::Event(Event::FlowOpened { flow, .. }) => session.reject_flow(flow, 0),
                    Output::Event(_) => {}
                    Output::Timeout(Some(at)) => {
                        earliest = [earliest, Some(at)].into_iter().flatten().min();
                        return true;
                    }
                    Output::Timeout(None) => {
                        endpoint.remove_session(*id);
                        return false;
                    }
                }
            }
        });
        earliest
    }

    fn pump_endpoint(&mut self) -> Option<Instant> {
        loop {
            match self.endpoint.poll_output() {
                EndpointOutput::Transmit { to, bytes } => {
                    self.ready.push_back(ClientEndpointOutput::Transmit { to, bytes });
                }
                EndpointOutput::Event(EndpointEvent::Agree(job)) => {
                    self.ready.push_back(ClientEndpointOutput::Agree(job));
                }
                EndpointOutput::Event(EndpointEvent::SessionOpened { session, opening }) => {
                    let id = session.id();
                    self.peers.insert(id, session);
                    self.ready.push_back(ClientEndpointOutput::Opened { opening, session: id });
                }
                EndpointOutput::Event(EndpointEvent::SessionReplaced { session }) => {
                    self.peers.remove(&session);
                }
                EndpointOutput::Event(EndpointEvent::OpenFailed { opening }) => {
                    self.ready.push_back(ClientEndpointOutput::OpenFailed(opening));
                }
                EndpointOutput::Event(_) => {}
                EndpointOutput::Timeout(at) => return at,
            }
        }
    }
}
