//! The answering side of session startup (RFC 7016 §3.5.1.3 and §3.5.1.5).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::address::{Address, Origin};
use crate::certificate::{Certificate, Epd, PeerId};
use crate::chunk::{
    CookieChange, InitiatorHello, InitiatorKeying, Redirect, ResponderHello, ResponderKeying,
};
use crate::cookie::CookieCheck;
use crate::crypto::{Negotiation, Offer, sha256};
use crate::endpoint::agree::{Agreed, NearComponent, NearKey, far_key};
use crate::endpoint::table::{Answered, Entry};
use crate::endpoint::{AgreeJob, Agreement, Endpoint, EndpointEvent, HelloPolicy};
use crate::session::{Established, Role, Session, SessionId};

/// Longest endpoint discriminator that is looked at. It holds the URL, and rtmfp-cpp sends one of
/// any length that a datagram takes.
const MAX_EPD: usize = 4096;
/// Longest tag that is looked at.
const MAX_TAG: usize = 255;
/// One byte 'X': what every implementation sends, and none checks.
pub(super) const SIGNATURE: &[u8] = &[0x58];
/// A job that did not come back for this long never will.
const JOB_LIFETIME: Duration = Duration::from_secs(30);

/// An Initial Keying whose agreement is computed.
pub(super) struct Keying {
    job: u64,
    from: SocketAddr,
    initiator: SessionId,
    component: [u8; 32],
    certificate: [u8; 32],
    peer: PeerId,
    deadline: Instant,
}

impl Keying {
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Endpoint {
    pub(super) fn take_initiator_hello(&mut self, from: SocketAddr, payload: &[u8]) {
        self.stats.hellos += 1;
        let hello = InitiatorHello::decode(payload)
            .filter(|h| (1..=MAX_TAG).contains(&h.tag.len()) && h.epd.len() <= MAX_EPD);
        let Some((hello, epd)) = hello.and_then(|h| Epd::decode(h.epd).map(|epd| (h, epd))) else {
            self.stats.hellos_ignored += 1;
            return;
        };
        let own = epd.peer_id() == Some(self.identity.peer_id());
        if let Some(peer) = epd.peer_id().filter(|_| !own) {
            if !self.limits.may_introduce(self.now, from, peer) {
                self.stats.introductions_limited += 1;
                return;
            }
            let tag = Bytes::copy_from_slice(hello.tag);
            self.offer(EndpointEvent::Introduce { from, peer, epd: epd.bytes().clone(), tag });
        } else if !epd.matches(self.identity.certificate()) {
            self.stats.hellos_ignored += 1;
        } else if own || self.config.hello == HelloPolicy::Answer {
            self.send_responder_hello(from, hello.tag);
        } else {
            let tag = Bytes::copy_from_slice(hello.tag);
            self.offer(EndpointEvent::Hello { from, epd, tag });
        }
    }

    pub(super) fn send_responder_hello(&mut self, to: SocketAddr, tag: &[u8]) {
        let cookie = self.cookies.make(self.now, to, &mut self.entropy);
        let certificate = self.identity.certificate_bytes().clone();
        let datagram = self.seal_startup(SessionId(0), |out| {
            ResponderHello { tag, cookie: &cookie, certificate: &certificate }.encode(out);
        });
        self.answer(to, datagram);
    }

    pub(super) fn send_redirect(&mut self, to: SocketAddr, tag: &[u8], addresses: &[Address]) {
        let known: Vec<_> =
            addresses.iter().copied().filter(|a| a.origin != Origin::Unknown).collect();
        if known.is_empty() && !addresses.is_empty() {
            return;
        }
        let datagram = self.seal_startup(SessionId(0), |out| Redirect::encode(tag, &known, out));
        self.answer(to, datagram);
    }

    /// Sends to somebody whose address is not proven.
    fn answer(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.limits.may_answer(self.now, to, datagram.len()) {
            self.transmit(to, datagram);
        } else {
            self.stats.answers_limited += 1;
        }
    }

    pub(super) fn take_initiator_keying(&mut self, from: SocketAddr, payload: &[u8]) {
        let Some(keying) = InitiatorKeying::decode(payload) else {
            self.stats.malformed += 1;
            return;
        };
        match self.cookies.check(self.now, keying.cookie, from) {
            CookieCheck::Valid => {}
            CookieCheck::OtherAddress => return self.change_cookie(from, &keying),
            CookieCheck::Invalid => {
                self.stats.bad_cookies += 1;
                return;
            }
        }
        let initiator = SessionId(keying.session_id);
        let component = sha256(keying.component);
        let certificate_hash = sha256(keying.certificate);
        if let Some((_, entry)) = self.table.of_address(from) {
            if let Some(answered) = &entry.keying
                && answered.initiator == initiator
                && answered.component == component
            {
                // The same keying again: the same answer, unless it is known to have come.
                if let Some(answer) = answered.answer.clone() {
                    self.stats.keyings_repeated += 1;
                    self.transmit(from, answer.into_vec());
                }
                return;
            }
            if entry.certificate != certificate_hash {
                self.stats.keyings_refused += 1;
                return;
            }
        }
        let repeated =
            |k: &Keying| k.from == from && k.initiator == initiator && k.component == component;
        if self.keyings.iter().any(repeated) {
            return;
        }
        if self.keyings.len() >= self.config.max_keyings {
            self.stats.keyings_busy += 1;
            return;
        }
        let Some((job, peer)) = self.prepare(&keying) else {
            self.stats.keyings_refused += 1;
            return;
        };
        let full = self.table.len() >= self.config.max_sessions
            || self.table.count_of(from.ip()) >= self.config.max_sessions_per_address;
        if full || !self.limits.may_open(self.now, from) {
            self.stats.keyings_limited += 1;
            return;
        }
        if !self.yields_to(from, keying.certificate) {
            return;
        }
        self.keyings.push(Keying {
            job: job.id,
            from,
            initiator,
            component,
            certificate: certificate_hash,
            peer,
            deadline: self.now + JOB_LIFETIME,
        });
        self.events.push_back(EndpointEvent::Agree(Box::new(job)));
    }

    fn change_cookie(&mut self, from: SocketAddr, keying: &InitiatorKeying<'_>) {
        self.stats.cookie_changes += 1;
        let new = self.cookies.make(self.now, from, &mut self.entropy);
        let datagram = self.seal_startup(SessionId(keying.session_id), |out| {
            CookieChange { old: keying.cookie, new: &new }.encode(out);
        });
        self.answer(from, datagram);
    }

    /// The agreement that an Initial Keying asks for; `None` when it cannot be made.
    fn prepare(&mut self, keying: &InitiatorKeying<'_>) -> Option<(AgreeJob, PeerId)> {
        if keying.session_id == 0 {
            return None;
        }
        let certificate = Certificate::decode(keying.certificate)?;
        let offer = Offer::decode(keying.component)?;
        let negotiation =
            Negotiation::agree(&offer, self.config.hmac, self.config.sequence_numbers)?;
        let (group, far_public) = far_key(&certificate, keying.component, None)?;
        let near_key = match self.identity.key(group) {
            Some(pair) => NearKey::Static(pair.clone()),
            None if self.identity.makes_keys_of(group) => NearKey::Fresh,
            None => return None,
        };
        self.next_job += 1;
        let job = AgreeJob {
            id: self.next_job,
            group,
            near_key,
            far_public,
            near_component: NearComponent::Response,
            far_component: keying.component.to_vec(),
            negotiation,
            entropy: self.entropy.fork(),
        };
        Some((job, certificate.fingerprint()))
    }

    /// Takes the result of an [`AgreeJob`] back.
    pub fn handle_agreement(&mut self, now: Instant, agreement: Agreement) {
        self.now = self.now.max(now);
        let Some(at) = self.keyings.iter().position(|k| k.job == agreement.id) else {
            return self.finish_opening(agreement);
        };
        let keying = self.keyings.swap_remove(at);
        match agreement.result {
            Some(agreed) => self.open_responder(&keying, agreed),
            None => self.stats.keyings_refused += 1,
        }
    }

    fn open_responder(&mut self, keying: &Keying, agreed: Agreed) {
        if let Some((old, entry)) = self.table.of_address(keying.from) {
            if entry.certificate != keying.certificate {
                self.stats.keyings_refused += 1;
                return;
            }
            self.table.remove(old);
            self.events.push_back(EndpointEvent::SessionReplaced { session: old });
        }
        let near_id = self.fresh_session_id(agreed.negotiation.receive_mac.is_some());
        let component = agreed.near_component;
        let datagram = self.seal_startup(keying.initiator, |out| {
            let keying = ResponderKeying {
                session_id: near_id.0,
                component: &component,
                signature: SIGNATURE,
            };
            keying.encode(out);
        });
        self.table.insert(
            near_id,
            Entry {
                role: Role::Responder,
                address: keying.from,
                counted: keying.from.ip(),
                peer: keying.peer,
                certificate: keying.certificate,
                keying: Some(Answered {
                    initiator: keying.initiator,
                    component: keying.component,
                    answer: Some(datagram.clone().into()),
                }),
            },
        );
        self.transmit(keying.from, datagram);
        let session = Session::new(
            self.now,
            Established {
                role: Role::Responder,
                near_id,
                far_id: keying.initiator,
                address: keying.from,
                peer_id: keying.peer,
                keys: agreed.keys,
                negotiation: agreed.negotiation,
                time_critical: self.time_critical.clone(),
                secret: self.entropy.array(),
                config: self.config.session.clone(),
            },
        );
        self.stats.sessions_opened += 1;
        let session = Box::new(session);
        self.events.push_back(EndpointEvent::SessionOpened { session, opening: None });
    }
}
