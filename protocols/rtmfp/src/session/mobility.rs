//! Change of the far end's address, checked before it is believed (RFC 7016 §3.5.4.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::{Address, Origin};
use crate::crypto::{equal, hmac_sha256};
use crate::reader::Reader;
use crate::session::transmit::Control;
use crate::session::{Event, Session};
use crate::vlu;

/// First byte of the message of a check.
const MARK: u8 = 0x4d;
/// At most one check in this time.
const INTERVAL: Duration = Duration::from_secs(1);
/// An answer older than this is stale.
const LIFETIME: Duration = Duration::from_secs(120);
/// How long an empty answer of a peer without HMAC counts as one.
const LEGACY_LIFETIME: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Mobility {
    secret: [u8; 32],
    last_check: Option<Instant>,
    /// The time of the last answer that was accepted.
    accepted: Option<u64>,
    /// Where the last check went, and whether the old address was silent since.
    candidate: Option<(SocketAddr, Instant)>,
    epoch: Instant,
}

impl Mobility {
    pub(super) fn new(now: Instant, secret: [u8; 32]) -> Self {
        Self { secret, last_check: None, accepted: None, candidate: None, epoch: now }
    }

    /// Milliseconds: finer than seconds, so that two moves in a second are told apart.
    fn time(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64
    }

    fn message(&self, time: u64, address: SocketAddr) -> Vec<u8> {
        let mut message = vec![MARK];
        vlu::encode(time, &mut message);
        let mut encoded = Vec::with_capacity(19);
        Address::new(address, Origin::Observed).encode(&mut encoded);
        let hash = hmac_sha256(&self.secret, &[&message, &encoded]);
        message.extend_from_slice(&hash);
        message
    }

    /// Whether an answer is this end's own check, for that address, fresh and newer than the last.
    fn verify(&self, now: Instant, from: SocketAddr, message: &[u8]) -> Option<u64> {
        let mut reader = Reader::new(message.strip_prefix(&[MARK])?);
        let time = reader.vlu()?;
        let age = self.time(now).checked_sub(time)?;
        let fresh = u128::from(age) <= LIFETIME.as_millis()
            && self.accepted.is_none_or(|accepted| time > accepted);
        (fresh && equal(&self.message(time, from), message)).then_some(time)
    }
}

impl Session {
    /// After a valid packet from `from`.
    pub(super) fn check_address(&mut self, from: SocketAddr) {
        if from == self.far_address {
            // The old address is alive: an empty answer proves nothing any more.
            self.mobility.candidate = None;
            return;
        }
        if !self.is_open()
            || self.mobility.last_check.is_some_and(|last| self.now < last + INTERVAL)
        {
            return;
        }
        self.mobility.last_check = Some(self.now);
        self.mobility.candidate = Some((from, self.now));
        let message = self.mobility.message(self.mobility.time(self.now), from);
        self.push_control(Control::Ping { to: from, message });
    }

    pub(super) fn handle_ping_reply(&mut self, from: SocketAddr, message: &[u8]) {
        if !self.is_open() || from == self.far_address {
            return;
        }
        if let Some(time) = self.mobility.verify(self.now, from, message) {
            self.mobility.accepted = Some(time);
            self.move_to(from);
        } else if message.is_empty() && !self.is_authenticated() && self.config.legacy_mobility {
            let checked = self
                .mobility
                .candidate
                .is_some_and(|(to, at)| to == from && self.now <= at + LEGACY_LIFETIME);
            if checked {
                self.move_to(from);
            }
        }
    }

    fn move_to(&mut self, to: SocketAddr) {
        let from = std::mem::replace(&mut self.far_address, to);
        self.mobility.candidate = None;
        self.rtt.reset();
        self.events.push_back(Event::AddressChanged { from, to });
    }
}
