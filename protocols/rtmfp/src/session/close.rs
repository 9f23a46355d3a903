//! The end of a session (RFC 7016 §3.5.5).

use std::time::{Duration, Instant};

use crate::session::transmit::Control;
use crate::session::{CloseReason, Event, Session};

/// A closing end repeats its request at this interval, and gives up after that time.
const REQUEST_INTERVAL: Duration = Duration::from_secs(5);
const NEAR_CLOSE_TIMEOUT: Duration = Duration::from_secs(90);
/// A closed end answers repeated requests for this long.
const FAR_CLOSE_LINGER: Duration = Duration::from_secs(19);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseState {
    Open,
    NearClose { request_at: Instant, until: Instant },
    FarCloseLinger { until: Instant },
    Closed,
}

impl Session {
    /// Closes the session in order: flows end at once, the far end is told until it confirms or
    /// 90 s have passed. [`Event::Closed`] follows.
    pub fn close(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.is_open() {
            self.drop_flows();
            self.close = CloseState::NearClose {
                request_at: self.now,
                until: self.now + NEAR_CLOSE_TIMEOUT,
            };
            self.close_timeout();
        }
    }

    /// Ends the session at once with a single word to the far end.
    pub fn abort(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if !self.is_closed() {
            self.controls.clear();
            self.push_control(Control::CloseAck { to: self.far_address });
            self.finish(CloseReason::Local);
        }
    }

    /// Ends the session without a word: it was replaced.
    pub fn discard(&mut self) {
        self.controls.clear();
        self.finish(CloseReason::Local);
    }

    pub(super) fn finish(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.drop_flows();
            let told = matches!(self.close, CloseState::FarCloseLinger { .. });
            self.close = CloseState::Closed;
            if !told {
                self.events.push_back(Event::Closed(reason));
            }
        }
    }

    /// Breaks the session off: the far end misbehaves or does not answer.
    pub(super) fn break_off(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.controls.clear();
            self.push_control(Control::CloseAck { to: self.far_address });
            self.finish(reason);
        }
    }

    fn drop_flows(&mut self) {
        self.send_flows.clear();
        self.recv_flows.clear();
        self.recv_changed = true;
        self.outstanding = 0;
        self.buffered = 0;
        self.ack_now = false;
        self.ack_at = None;
        self.retransmit_at = None;
        self.unacked_since = None;
        self.probe_at = None;
        self.stalled_since = None;
        self.pace_at = None;
    }

    pub(super) fn handle_close_request(&mut self, from: std::net::SocketAddr) {
        self.push_control(Control::CloseAck { to: from });
        match self.close {
            CloseState::Open => {
                self.drop_flows();
                self.close = CloseState::FarCloseLinger { until: self.now + FAR_CLOSE_LINGER };
                // The application need not wait for the end of the linger.
                self.events.push_back(Event::Closed(CloseReason::Remote));
            }
            CloseState::NearClose { .. } | CloseState::FarCloseLinger { .. } => {}
            CloseState::Closed => {}
        }
    }

    pub(super) fn handle_close_ack(&mut self, from: std::net::SocketAddr) {
        match self.close {
            CloseState::Open => {
                self.push_control(Control::CloseAck { to: from });
                self.finish(CloseReason::Remote);
            }
            CloseState::NearClose { .. } => self.finish(CloseReason::Local),
            CloseState::FarCloseLinger { .. } => self.close = CloseState::Closed,
            CloseState::Closed => {}
        }
    }

    pub(super) fn close_deadline(&self) -> Option<Instant> {
        match self.close {
            CloseState::NearClose { request_at, until } => Some(request_at.min(until)),
            CloseState::FarCloseLinger { until } => Some(until),
            CloseState::Open | CloseState::Closed => None,
        }
    }

    pub(super) fn close_timeout(&mut self) {
        match self.close {
            CloseState::NearClose { until, .. } if until <= self.now => {
                self.finish(CloseReason::Local);
            }
            CloseState::NearClose { request_at, until } if request_at <= self.now => {
                self.push_control(Control::Close);
                let request_at = self.now + REQUEST_INTERVAL;
                self.close = CloseState::NearClose { request_at, until };
            }
            CloseState::FarCloseLinger { until } if until <= self.now => {
                self.close = CloseState::Closed;
            }
            _ => {}
        }
    }
}
