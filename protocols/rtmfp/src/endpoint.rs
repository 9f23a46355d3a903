//! One endpoint: everything that happens outside sessions, at both ends (RFC 7016 §3.5.1), and
//! which session a datagram is for.
//!
//! Before a cookie comes back from its address an endpoint keeps nothing of a stranger but entries
//! of tables whose size is fixed. Diffie-Hellman is handed out as a job
//! ([`EndpointEvent::Agree`]) and comes back with [`Endpoint::handle_agreement`], so that no event
//! loop waits for it.

mod agree;
mod config;
mod limiter;
mod opening;
mod responder;
mod table;

pub use agree::{AgreeJob, Agreement};
pub use config::{EndpointConfig, HelloPolicy};
pub use opening::{OpenError, OpenId, OpeningProgress};

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::address::{Address, canonical};
use crate::certificate::{Epd, Identity, PeerId};
use crate::chunk::{Chunks, kind};
use crate::cookie::Cookies;
use crate::crypto::{Opener, Sealer, session_id};
use crate::entropy::Entropy;
use crate::packet::{Header, Mode, TICK_MS};
use crate::session::{Session, SessionId};
use crate::timecritical::TimeCritical;

use limiter::Limits;
use opening::Opening;
use responder::Keying;
use table::Table;

/// Datagrams and events that wait for [`Endpoint::poll_output`]; further ones are dropped, for
/// every startup packet is repeated by its sender.
const MAX_QUEUED: usize = 1024;

/// What an endpoint wants of its owner.
#[derive(Debug)]
pub enum EndpointOutput {
    /// Send the datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// One datagram.
        bytes: Vec<u8>,
    },
    /// Something happened.
    Event(EndpointEvent),
    /// Nothing until then; call [`Endpoint::handle_timeout`]. `None`: nothing is under way.
    Timeout(Option<Instant>),
}

/// What happened at an endpoint.
#[derive(Debug)]
pub enum EndpointEvent {
    /// Somebody seeks this server (only with [`HelloPolicy::Ask`]). Answer with
    /// [`Endpoint::respond`] or [`Endpoint::redirect`], or not at all; later is fine, for nothing
    /// is kept and the initiator repeats its question.
    Hello {
        /// Who asks; not proven.
        from: SocketAddr,
        /// What is sought.
        epd: Epd,
        /// To be returned.
        tag: Bytes,
    },
    /// Somebody seeks another peer. If it is here: [`Endpoint::redirect`] to its addresses and
    /// [`Session::forward_hello`]; if not: nothing. At most one per source and peer in 500 ms.
    Introduce {
        /// Who asks; not proven.
        from: SocketAddr,
        /// Who is sought.
        peer: PeerId,
        /// The discriminator, to be forwarded as it is.
        epd: Bytes,
        /// To be returned.
        tag: Bytes,
    },
    /// Run the job off the event loop and return its result with
    /// [`Endpoint::handle_agreement`].
    Agree(Box<AgreeJob>),
    /// A session began; its datagrams are routed by its ID from now on.
    SessionOpened {
        /// The session, to be moved wherever it shall live.
        session: Box<Session>,
        /// What opened it, at an initiator.
        opening: Option<OpenId>,
    },
    /// The same client began anew at the same address: [`Session::discard`] the old session.
    SessionReplaced {
        /// The old session. It is not routed any more.
        session: SessionId,
    },
    /// Nobody answered in 95 s, or the opening lost a glare and goes on as a responder.
    OpenFailed {
        /// What failed.
        opening: OpenId,
    },
}

/// Where a datagram belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The endpoint has taken or dropped it.
    Handled,
    /// Give it to this session, as it is.
    Session(SessionId),
}

/// The session that a datagram says it is for; `None` when it is none's: a startup packet, or too
/// short for any.
pub fn session_of(datagram: &[u8]) -> Option<SessionId> {
    session_id(datagram).filter(|id| *id != 0).map(SessionId)
}

/// Counters of an endpoint, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Datagrams shorter than a packet can be, empty ones too.
    pub too_short: u64,
    /// Datagrams for a session that is not known.
    pub unknown_session: u64,
    /// Startup packets that were not opened, or are malformed.
    pub malformed: u64,
    /// Initiator Hellos taken.
    pub hellos: u64,
    /// Initiator Hellos for somebody else, without a meaning, or too long.
    pub hellos_ignored: u64,
    /// Answers not sent, for their receiver had its share of bytes.
    pub answers_limited: u64,
    /// Introductions not made, for they come too often.
    pub introductions_limited: u64,
    /// Cookies that were forged or too old.
    pub bad_cookies: u64,
    /// Cookies of another address, exchanged.
    pub cookie_changes: u64,
    /// Initial Keyings dropped for a certificate, key, group or negotiation that cannot be used.
    pub keyings_refused: u64,
    /// Initial Keyings dropped because too many are computed.
    pub keyings_busy: u64,
    /// Initial Keyings dropped because their address has too many sessions or opens too fast.
    pub keyings_limited: u64,
    /// Responder Keyings sent again.
    pub keyings_repeated: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Datagrams and events dropped because the owner does not take them.
    pub queue_dropped: u64,
}

/// One endpoint.
pub struct Endpoint {
    config: EndpointConfig,
    identity: Arc<Identity>,
    entropy: Entropy,
    epoch: Instant,
    now: Instant,
    sealer: Sealer,
    opener: Opener,
    cookies: Cookies,
    limits: Limits,
    table: Table,
    keyings: Vec<Keying>,
    next_job: u64,
    openings: Vec<Opening>,
    next_opening: u64,
    time_critical: TimeCritical,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<EndpointEvent>,
    stats: EndpointStats,
}

impl Endpoint {
    /// An endpoint. `entropy` makes its cookies, session IDs and keys.
    pub fn new(now: Instant, config: EndpointConfig, mut entropy: Entropy) -> Self {
        Self {
            identity: Arc::clone(&config.identity),
            limits: Limits::new(now, &config, entropy.array()),
            cookies: Cookies::new(now, &mut entropy),
            config,
            entropy,
            epoch: now,
            now,
            sealer: Sealer::startup(),
            opener: Opener::startup(),
            table: Table::default(),
            keyings: Vec::new(),
            next_job: 0,
            openings: Vec::new(),
            next_opening: 0,
            time_critical: TimeCritical::new(now),
            datagrams: VecDeque::new(),
            events: VecDeque::new(),
            stats: EndpointStats::default(),
        }
    }

    /// Who this endpoint is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Counters.
    pub fn stats(&self) -> EndpointStats {
        self.stats
    }

    /// Sessions that are routed.
    pub fn session_count(&self) -> usize {
        self.table.len()
    }

    /// The confirmed session of a peer.
    pub fn session_of(&self, peer: PeerId) -> Option<SessionId> {
        self.table.of_peer(peer)
    }

    /// Takes one datagram, or tells whose it is. It may be changed unless it is a session's.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Route {
        self.now = self.now.max(now);
        let from = canonical(from);
        let Some(id) = session_id(datagram) else {
            self.stats.too_short += 1;
            return Route::Handled;
        };
        if id == 0 {
            self.take_startup(from, datagram);
            return Route::Handled;
        }
        if self.table.contains(SessionId(id)) {
            return Route::Session(SessionId(id));
        }
        match self.openings.iter().position(|o| o.session_id() == SessionId(id)) {
            Some(at) => self.take_for_opening(at, from, datagram),
            None => self.stats.unknown_session += 1,
        }
        Route::Handled
    }

    /// What to do next: events first, then datagrams, then the time to wait for. Call it until it
    /// answers [`EndpointOutput::Timeout`] after every other call.
    pub fn poll_output(&mut self) -> EndpointOutput {
        if let Some(event) = self.events.pop_front() {
            return EndpointOutput::Event(event);
        }
        if let Some((to, bytes)) = self.datagrams.pop_front() {
            return EndpointOutput::Transmit { to, bytes };
        }
        let openings = self.openings.iter().filter_map(Opening::deadline);
        let keyings = self.keyings.iter().map(Keying::deadline);
        EndpointOutput::Timeout(openings.chain(keyings).min())
    }

    /// Time has passed: repeats what nobody answered.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.keyings.retain(|keying| keying.deadline() > self.now);
        self.opening_timeouts();
    }

    /// Answers an Initiator Hello: cookie and certificate.
    pub fn respond(&mut self, now: Instant, to: SocketAddr, tag: &[u8]) {
        self.now = self.now.max(now);
        self.send_responder_hello(canonical(to), tag);
    }

    /// Sends an initiator elsewhere. Addresses of origin
    /// [`Unknown`](crate::Origin::Unknown) are left out, for librtmfp deletes a peer that has one
    /// (quirk Q12). No addresses means the one that this endpoint sends from.
    pub fn redirect(&mut self, now: Instant, to: SocketAddr, tag: &[u8], addresses: &[Address]) {
        self.now = self.now.max(now);
        self.send_redirect(canonical(to), tag, addresses);
    }

    /// A session reported [`Event::Confirmed`](crate::Event::Confirmed): its peer ID is proven.
    /// Gives the older session of the same peer, which is to be closed.
    pub fn confirm_session(&mut self, session: SessionId) -> Option<SessionId> {
        self.table.confirm(session)
    }

    /// A session reported [`Event::AddressChanged`](crate::Event::AddressChanged).
    pub fn move_session(&mut self, session: SessionId, to: SocketAddr) {
        self.table.relocate(session, canonical(to));
    }

    /// A session is closing: its peer and its address may begin anew at once. It is routed until
    /// [`remove_session`](Self::remove_session), for the far end may repeat itself.
    pub fn detach_session(&mut self, session: SessionId) {
        self.table.detach(session);
    }

    /// A session is over: its ID may be used again.
    pub fn remove_session(&mut self, session: SessionId) {
        self.table.remove(session);
    }

    fn take_startup(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        let Some(chunks) = self.open_startup(datagram) else {
            self.stats.malformed += 1;
            return;
        };
        let mut has_hello = false;
        for (kind, payload) in Chunks::new(chunks) {
            match kind {
                kind::INITIATOR_HELLO if !has_hello => {
                    has_hello = true;
                    self.take_initiator_hello(from, payload);
                }
                kind::INITIATOR_KEYING => self.take_initiator_keying(from, payload),
                kind::RESPONDER_HELLO => self.take_responder_hello(from, payload),
                kind::REDIRECT => self.take_redirect(from, payload),
                _ => {}
            }
        }
    }

    /// The chunks of a startup packet.
    fn open_startup<'a>(&mut self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        let packet = self.opener.open(datagram).ok()?;
        let (header, chunks) = Header::decode(packet)?;
        (header.mode == Mode::Startup).then_some(chunks)
    }

    /// A datagram of one startup chunk.
    fn seal_startup(&mut self, id: SessionId, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        self.sealer.begin(&mut out);
        let elapsed = self.now.saturating_duration_since(self.epoch).as_millis() as u64;
        let header = Header {
            mode: Mode::Startup,
            time_critical: false,
            time_critical_reverse: false,
            timestamp: Some((elapsed / TICK_MS) as u16),
            timestamp_echo: None,
        };
        header.encode(&mut out);
        fill(&mut out);
        self.sealer.finish(&mut out);
        self.sealer.seal(id.0, std::slice::from_mut(&mut out));
        out
    }

    fn transmit(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.datagrams.len() < MAX_QUEUED {
            self.datagrams.push_back((to, datagram));
        } else {
            self.stats.queue_dropped += 1;
        }
    }

    /// An event that the far end causes and repeats.
    fn offer(&mut self, event: EndpointEvent) {
        if self.events.len() < MAX_QUEUED {
            self.events.push_back(event);
        } else {
            self.stats.queue_dropped += 1;
        }
    }

    /// An ID that no session and no opening has, of the group that is to grow, with
    /// [`SessionId::AUTHENTICATED`] as asked.
    fn fresh_session_id(&mut self, is_authenticated: bool) -> SessionId {
        let bit = if is_authenticated { SessionId::AUTHENTICATED } else { 0 };
        let groups = self.config.groups.max(1);
        let group = self.table.next_group(groups);
        loop {
            let random = self.entropy.u32() & !SessionId::AUTHENTICATED | bit;
            let Some(id) = (random - random % groups).checked_add(group).map(SessionId) else {
                continue;
            };
            let opening = self.openings.iter().any(|o| o.session_id() == id);
            // The group may have changed the bit.
            let fits = id.0 & SessionId::AUTHENTICATED == bit;
            if fits && id.0 != 0 && !opening && !self.table.contains(id) {
                return id;
            }
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("peer_id", &self.identity.peer_id())
            .field("sessions", &self.table.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
