//! The asking side of session startup (RFC 7016 §3.5.1.1 and §3.5.1.2).

mod progress;

pub use progress::OpeningProgress;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::address::canonical;
use crate::certificate::{Certificate, Epd};
use crate::chunk::{
    Chunks, CookieChange, InitiatorHello, InitiatorKeying, Redirect, ResponderHello,
    ResponderKeying, kind,
};
use crate::crypto::{Group, Negotiation, Offer, encode_offer, option_kind, sha256};
use crate::endpoint::agree::{Agreed, NearComponent, NearKey, far_key};
use crate::endpoint::responder::SIGNATURE;
use crate::endpoint::table::Entry;
use crate::endpoint::{AgreeJob, Agreement, Endpoint, EndpointEvent};
use crate::option;
use crate::session::{Established, Role, Session, SessionId};
use crate::vlu;

/// An opening is given up after this time (RFC 7016 §3.5.1.1.1).
const TIMEOUT: Duration = Duration::from_secs(95);
/// The first repetition, and how much longer each next one waits.
const FIRST_GAP: Duration = Duration::from_secs(1);
const GAP_STEP: Duration = Duration::from_millis(1500);
/// Addresses that are tried (RFC 7016 §3.5.1.4).
const MAX_CANDIDATES: usize = 24;
/// Session packets that overtake the agreement and are kept.
const MAX_EARLY: usize = 18;
/// Openings at a time.
const MAX_OPENINGS: usize = 1024;

/// An opening session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenId(pub u64);

/// Why no session is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The identity has no static keys: it is a server's.
    #[error("identity has no static keys to open sessions with")]
    NoStaticKey,
    /// No address to ask.
    #[error("no address to open a session with")]
    NoAddress,
    /// More than 1,024 are under way.
    #[error("too many sessions are being opened")]
    TooMany,
}

/// When something is sent again.
struct Repeat {
    at: Instant,
    gap: Duration,
}

impl Repeat {
    fn new(now: Instant) -> Self {
        Self { at: now, gap: FIRST_GAP }
    }

    /// Whether it is due; then the next time is later.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.at <= now;
        if due {
            self.at = now + self.gap;
            self.gap += GAP_STEP;
        }
        due
    }
}

enum State {
    Hello(Vec<(SocketAddr, Repeat)>),
    Keying(Box<KeyingSent>),
}

struct KeyingSent {
    to: SocketAddr,
    certificate: Certificate,
    group: Group,
    cookie: Vec<u8>,
    component: Vec<u8>,
    repeat: Repeat,
    cookie_changed: bool,
    /// The agreement that is computed, and the responder that it is for.
    job: Option<(u64, SessionId)>,
}

pub(super) struct Opening {
    id: OpenId,
    near_id: SessionId,
    tag: [u8; 16],
    epd: Epd,
    state: State,
    until: Instant,
    early: Vec<(SocketAddr, Vec<u8>)>,
}

impl Opening {
    pub(super) fn session_id(&self) -> SessionId {
        self.near_id
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let next = match &self.state {
            State::Hello(candidates) => candidates.iter().map(|(_, repeat)| repeat.at).min(),
            State::Keying(keying) => Some(keying.repeat.at).filter(|_| keying.job.is_none()),
        };
        Some(next.map_or(self.until, |next| next.min(self.until)))
    }
}

impl Endpoint {
    /// Opens a session with whoever matches `epd`, asking at all `addresses`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        &mut self,
        now: Instant,
        epd: Epd,
        addresses: &[SocketAddr],
    ) -> Result<OpenId, OpenError> {
        self.now = self.now.max(now);
        if self.identity.certificate().is_ephemeral() {
            return Err(OpenError::NoStaticKey);
        }
        if addresses.is_empty() {
            return Err(OpenError::NoAddress);
        }
        if self.openings.len() >= MAX_OPENINGS {
            return Err(OpenError::TooMany);
        }
        self.next_opening += 1;
        let id = OpenId(self.next_opening);
        let near_id = self.fresh_session_id(false);
        let mut candidates: Vec<(SocketAddr, Repeat)> = Vec::new();
        for address in addresses.iter().copied().map(canonical).take(MAX_CANDIDATES) {
            if candidates.iter().all(|(known, _)| *known != address) {
                candidates.push((address, Repeat::new(self.now)));
            }
        }
        self.openings.push(Opening {
            id,
            near_id,
            tag: self.entropy.array(),
            epd,
            state: State::Hello(candidates),
            until: self.now + TIMEOUT,
            early: Vec::new(),
        });
        self.opening_timeouts();
        Ok(id)
    }

    /// Gives an opening up without an event.
    pub fn cancel(&mut self, opening: OpenId) {
        self.openings.retain(|o| o.id != opening);
    }

    /// Asks, or keys, again.
    pub(super) fn opening_timeouts(&mut self) {
        let now = self.now;
        for at in (0..self.openings.len()).rev() {
            if self.openings[at].until <= now {
                let opening = self.openings.remove(at).id;
                self.events.push_back(EndpointEvent::OpenFailed { opening });
            }
        }
        for at in 0..self.openings.len() {
            let opening = &mut self.openings[at];
            match &mut opening.state {
                State::Hello(candidates) => {
                    let due: Vec<SocketAddr> = candidates
                        .iter_mut()
                        .filter_map(|(to, repeat)| repeat.is_due(now).then_some(*to))
                        .collect();
                    for to in due {
                        self.send_initiator_hello(at, to);
                    }
                }
                State::Keying(keying) => {
                    if keying.job.is_none() && keying.repeat.is_due(now) {
                        self.send_initiator_keying(at);
                    }
                }
            }
        }
    }

    fn send_initiator_hello(&mut self, at: usize, to: SocketAddr) {
        let opening = &self.openings[at];
        let (epd, tag) = (opening.epd.bytes().clone(), opening.tag);
        let datagram = self.seal_startup(SessionId(0), |out| {
            InitiatorHello { epd: &epd, tag: &tag }.encode(out);
        });
        self.transmit(to, datagram);
    }

    fn send_initiator_keying(&mut self, at: usize) {
        let opening = &self.openings[at];
        let State::Keying(keying) = &opening.state else { return };
        let (to, session_id) = (keying.to, opening.near_id.0);
        let (cookie, component) = (keying.cookie.clone(), keying.component.clone());
        let certificate = self.identity.certificate_bytes().clone();
        let datagram = self.seal_startup(SessionId(0), |out| {
            let keying = InitiatorKeying {
                session_id,
                cookie: &cookie,
                certificate: &certificate,
                component: &component,
                signature: SIGNATURE,
            };
            keying.encode(out);
        });
        self.transmit(to, datagram);
    }

    pub(super) fn take_redirect(&mut self, from: SocketAddr, payload: &[u8]) {
        let Some(redirect) = Redirect::decode(payload) else { return };
        let now = self.now;
        let opening = self.openings.iter_mut().find(|o| o.tag == redirect.tag);
        let Some(State::Hello(candidates)) = opening.map(|o| &mut o.state) else { return };
        let mut addresses: Vec<SocketAddr> =
            redirect.addresses().map(|a| a.socket).take(MAX_CANDIDATES).collect();
        if addresses.is_empty() {
            // The implied redirect.
            addresses.push(from);
        }
        for address in addresses {
            let known = candidates.iter().any(|(known, _)| *known == address);
            if !known && candidates.len() < MAX_CANDIDATES {
                candidates.push((address, Repeat::new(now)));
            }
        }
        self.opening_timeouts();
    }

    pub(super) fn take_responder_hello(&mut self, from: SocketAddr, payload: &[u8]) {
        let Some(hello) = ResponderHello::decode(payload) else { return };
        let Some(at) = self.openings.iter().position(|o| o.tag == hello.tag) else { return };
        if !matches!(self.openings[at].state, State::Hello(_)) {
            return;
        }
        let Some(certificate) = Certificate::decode(hello.certificate) else { return };
        if !self.openings[at].epd.matches(&certificate) {
            return;
        }
        let Some(group) = self.choose_group(&certificate) else { return };
        let mut component = Vec::with_capacity(76);
        let mut id = Vec::new();
        vlu::encode(group.id(), &mut id);
        option::encode(option_kind::GROUP_SELECT, &id, &mut component);
        let random: [u8; 64] = self.entropy.array();
        option::encode(option_kind::EXTRA_RANDOMNESS, &random, &mut component);
        encode_offer(self.config.hmac, self.config.sequence_numbers, &mut component);
        self.openings[at].state = State::Keying(Box::new(KeyingSent {
            to: from,
            certificate,
            group,
            cookie: hello.cookie.to_vec(),
            component,
            repeat: Repeat::new(self.now),
            cookie_changed: false,
            job: None,
        }));
        self.opening_timeouts();
    }

    /// The strongest group of both; group 2 from a server that does not list it, like librtmfp.
    fn choose_group(&self, far: &Certificate) -> Option<Group> {
        let mut listed: Vec<Group> = far.groups().filter_map(Group::from_id).collect();
        listed.sort_unstable_by(|a, b| b.cmp(a));
        if far.is_ephemeral() {
            listed.push(Group::Modp1024);
        }
        listed.into_iter().find(|group| self.identity.key(*group).is_some())
    }

    /// A datagram for an opening's ID: Responder Keying, Cookie Change, or session packets that came
    /// too early.
    pub(super) fn take_for_opening(&mut self, at: usize, from: SocketAddr, datagram: &[u8]) {
        let mut copy = datagram.to_vec();
        let Some(chunks) = self.open_startup(&mut copy) else {
            let opening = &mut self.openings[at];
            if matches!(opening.state, State::Keying(_)) && opening.early.len() < MAX_EARLY {
                opening.early.push((from, datagram.to_vec()));
            }
            return;
        };
        for (kind, payload) in Chunks::new(chunks) {
            match kind {
                kind::RESPONDER_KEYING => self.take_responder_keying(at, payload),
                kind::COOKIE_CHANGE => self.take_cookie_change(at, from, payload),
                _ => {}
            }
        }
    }

    fn take_cookie_change(&mut self, at: usize, from: SocketAddr, payload: &[u8]) {
        let Some(change) = CookieChange::decode(payload) else { return };
        let State::Keying(keying) = &mut self.openings[at].state else { return };
        // Once: else two addresses could play the initiator for ever.
        if keying.cookie_changed || change.old != keying.cookie {
            return;
        }
        keying.cookie_changed = true;
        keying.cookie = change.new.to_vec();
        keying.to = from;
        self.send_initiator_keying(at);
    }

    fn take_responder_keying(&mut self, at: usize, payload: &[u8]) {
        let Some(answer) = ResponderKeying::decode(payload).filter(|k| k.session_id != 0) else {
            return;
        };
        self.next_job += 1;
        let (id, entropy) = (self.next_job, self.entropy.fork());
        let State::Keying(keying) = &mut self.openings[at].state else { return };
        if keying.job.is_some() {
            return;
        }
        // What cannot be combined is ignored: the far end repeats nothing, this end does.
        let group = keying.group;
        let far = far_key(&keying.certificate, answer.component, Some(group));
        let negotiation = Offer::decode(answer.component).and_then(|offer| {
            Negotiation::agree(&offer, self.config.hmac, self.config.sequence_numbers)
        });
        let pair = self.identity.key(group).cloned();
        let (Some((_, far_public)), Some(negotiation), Some(pair)) = (far, negotiation, pair)
        else {
            self.stats.keyings_refused += 1;
            return;
        };
        keying.job = Some((id, SessionId(answer.session_id)));
        self.events.push_back(EndpointEvent::Agree(Box::new(AgreeJob {
            id,
            group,
            near_key: NearKey::Static(pair),
            far_public,
            near_component: NearComponent::Sent(keying.component.clone()),
            far_component: answer.component.to_vec(),
            negotiation,
            entropy,
        })));
    }

    /// The result of an initiator's agreement.
    pub(super) fn finish_opening(&mut self, agreement: Agreement) {
        let is_it = |o: &Opening| match &o.state {
            State::Keying(keying) => keying.job.is_some_and(|(job, _)| job == agreement.id),
            State::Hello(_) => false,
        };
        let Some(at) = self.openings.iter().position(is_it) else { return };
        let State::Keying(keying) = &mut self.openings[at].state else { return };
        let (Some(agreed), Some((_, far_id))) = (agreement.result, keying.job) else {
            keying.job = None;
            self.stats.keyings_refused += 1;
            return;
        };
        let opening = self.openings.remove(at);
        let State::Keying(keying) = opening.state else { return };
        self.open_initiator(opening.id, opening.near_id, far_id, &keying, agreed, opening.early);
    }

    fn open_initiator(
        &mut self,
        opening: OpenId,
        near_id: SessionId,
        far_id: SessionId,
        keying: &KeyingSent,
        agreed: Agreed,
        early: Vec<(SocketAddr, Vec<u8>)>,
    ) {
        let peer_id = keying.certificate.fingerprint();
        self.table.insert(
            near_id,
            Entry {
                role: Role::Initiator,
                address: keying.to,
                counted: keying.to.ip(),
                peer: peer_id,
                certificate: sha256(keying.certificate.bytes()),
                keying: None,
            },
        );
        let mut session = Session::new(
            self.now,
            Established {
                role: Role::Initiator,
                near_id,
                far_id,
                address: keying.to,
                peer_id,
                keys: agreed.keys,
                negotiation: agreed.negotiation,
                time_critical: self.time_critical.clone(),
                secret: self.entropy.array(),
                config: self.config.session.clone(),
            },
        );
        for (from, mut datagram) in early {
            // What does not open was not for this session; it is counted there.
            let _ = session.handle_packet(self.now, from, &mut datagram);
        }
        self.table.confirm(near_id);
        self.stats.sessions_opened += 1;
        let session = Box::new(session);
        self.events.push_back(EndpointEvent::SessionOpened { session, opening: Some(opening) });
    }

    /// Glare (RFC 7016 §3.5.1.3): both ends key each other. The lower certificate stays initiator.
    /// Whether this end takes the far end's keying.
    pub(super) fn yields_to(&mut self, from: SocketAddr, certificate: &[u8]) -> bool {
        let is_rival = |o: &Opening| match &o.state {
            State::Keying(keying) => keying.to == from,
            State::Hello(_) => false,
        };
        let Some(at) = self.openings.iter().position(is_rival) else { return true };
        if &self.identity.certificate_bytes()[..] <= certificate {
            return false;
        }
        let State::Keying(keying) = &self.openings[at].state else { return true };
        if keying.certificate.bytes() == certificate {
            let opening = self.openings.remove(at).id;
            self.events.push_back(EndpointEvent::OpenFailed { opening });
        }
        true
    }
}
