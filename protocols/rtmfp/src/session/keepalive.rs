//! Pings, and when a silent far end is given up (RFC 7016 §3.5.4.1).

use std::time::{Duration, Instant};

use crate::session::config::{MAX_PING, MAX_PINGS};
use crate::session::transmit::Control;
use crate::session::{CloseReason, Role, Session, SessionConfig};

/// Unanswered pings are repeated at growing intervals up to this.
const MAX_RETRY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    pub(super) last_received: Instant,
    pub(super) confirmed: bool,
    ping_at: Instant,
    retry: Option<Duration>,
    /// Pings answered in the second that began then.
    answered: u32,
    second: Instant,
}

impl Keepalive {
    pub(super) fn new(now: Instant, role: Role, config: &SessionConfig) -> Self {
        Self {
            interval: config.keepalive,
            last_received: now,
            // An initiator has seen the far end use its keys: they made its own.
            confirmed: role == Role::Initiator,
            ping_at: now + config.keepalive,
            retry: None,
            answered: 0,
            second: now,
        }
    }

    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        if self.retry.is_none() {
            self.ping_at = self.last_received + interval;
        }
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.ping_at = now + self.interval;
        self.retry = None;
    }
}

impl Session {
    pub(super) fn keepalive_deadline(&self) -> Option<Instant> {
        if !self.is_open() {
            return None;
        }
        let silent = self.keepalive.last_received + self.config.idle_timeout;
        let unconfirmed =
            (!self.keepalive.confirmed).then(|| self.epoch + self.config.confirm_timeout);
        let unacked = self.unacked_since.map(|t| t + self.config.unacknowledged_timeout);
        let ping = self.keepalive.confirmed.then_some(self.keepalive.ping_at);
        [Some(silent), unconfirmed, unacked, ping].into_iter().flatten().min()
    }

    pub(super) fn keepalive_timeout(&mut self) {
        if !self.is_open() {
            return;
        }
        let now = self.now;
        let keepalive = &mut self.keepalive;
        if !keepalive.confirmed && self.epoch + self.config.confirm_timeout <= now {
            return self.finish(CloseReason::Unconfirmed);
        }
        if keepalive.last_received + self.config.idle_timeout <= now {
            return self.break_off(CloseReason::Idle);
        }
        if self.unacked_since.is_some_and(|t| t + self.config.unacknowledged_timeout <= now) {
            return self.break_off(CloseReason::Unacknowledged);
        }
        if keepalive.confirmed && keepalive.ping_at <= now {
            let retry = match keepalive.retry {
                None => self.rtt.erto(),
                Some(last) => last.mul_f64(std::f64::consts::SQRT_2).min(MAX_RETRY),
            };
            keepalive.retry = Some(retry);
            keepalive.ping_at = now + retry;
            let to = self.far_address;
            self.push_control(Control::Ping { to, message: Vec::new() });
        }
    }

    pub(super) fn handle_ping(&mut self, from: std::net::SocketAddr, message: &[u8]) {
        let keepalive = &mut self.keepalive;
        if self.now >= keepalive.second + Duration::from_secs(1) {
            keepalive.second = self.now;
            keepalive.answered = 0;
        }
        if message.len() > MAX_PING || keepalive.answered >= MAX_PINGS {
            self.stats.pings_ignored += 1;
            return;
        }
        keepalive.answered += 1;
        self.push_control(Control::PingReply { to: from, message: message.to_vec() });
    }
}
