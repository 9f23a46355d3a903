//! The end of a connection: last messages, then the control flow, then the session.

use std::time::Instant;

use ramona_rtmfp::{CloseReason, FlowEnd, RecvFlowId};
use ramona_rtmp::CloseKind;

use super::flows::REFUSED;
use super::{Connection, Event, Phase};
use crate::limits::CLOSE_WAIT;

impl Connection {
    /// Closes the connection: status, end of the control flow, end of the session.
    /// [`Event::Closed`] follows.
    pub fn close(&mut self, now: Instant, close: CloseKind) {
        self.now = self.now.max(now);
        if self.phase != Phase::Open {
            return;
        }
        self.flush_net();
        if close == CloseKind::Normal {
            let text = b"Client closed by server side";
            self.net.status(None, b"Connect.Closed", text);
        }
        self.net.close(close);
        self.flush_net();
    }

    /// The client ended its control flow, or sent a command that no buffer holds. Its control flow
    /// is rejected too, for AIR waits for that.
    pub(super) fn control_finished(&mut self, flow: RecvFlowId) {
        self.session.reject_flow(flow, REFUSED);
        self.reject_flows();
        self.begin_close("closed by the client".to_owned());
    }

    /// Streams and groups go with the control flow.
    fn reject_flows(&mut self) {
        for flow in self.incoming.keys() {
            self.session.reject_flow(*flow, REFUSED);
        }
    }

    /// The server's control flow is over: its messages arrived, or nobody wants them.
    pub(super) fn near_control_ended(&mut self, reason: FlowEnd) {
        self.near_control = None;
        match (self.phase, reason) {
            (Phase::Closing { .. }, _) => self.close_session(),
            (Phase::Open, FlowEnd::Unanswered) => {
                self.begin_close("the client does not know the control flow".to_owned());
            }
            (Phase::Open, _) => {
                self.reject_flows();
                self.begin_close("the client rejected the control flow".to_owned());
            }
            (Phase::Closed, _) => {}
        }
    }

    /// Ends everything but the session, which follows the control flow.
    pub(super) fn begin_close(&mut self, reason: String) {
        if self.phase != Phase::Open {
            return;
        }
        // The messages go first, and what they belong to is over when the reason is told.
        while let Some(flow) = self.joins.first().map(|join| join.flow()) {
            self.leave(flow);
        }
        for stream in &mut self.streams {
            stream.slots().into_iter().for_each(|slot| slot.close(&mut self.session));
        }
        for writer in self.writers.drain(..) {
            self.session.close_flow(writer);
        }
        self.incoming.clear();
        self.push_event(Event::Closed(reason));
        self.phase = Phase::Closing { until: self.now + CLOSE_WAIT };
        self.end_net();
        match (self.near_control, self.far_control) {
            (Some(flow), _) => self.session.close_flow(flow),
            // What was rejected is still to be told.
            (None, Some(_)) => {}
            (None, None) => self.close_session(),
        }
    }

    /// The NetConnection is over; what it would say has nowhere to go.
    fn end_net(&mut self) {
        self.net.close(CloseKind::Normal);
        while self.net.poll_message().is_some() {}
        while self.net.poll_event().is_some() {}
    }

    fn close_session(&mut self) {
        self.phase = Phase::Closed;
        self.session.close(self.now);
    }

    /// The session is over by itself, or as told.
    pub(super) fn session_closed(&mut self, reason: CloseReason) {
        while let Some(flow) = self.joins.first().map(|join| join.flow()) {
            self.leave(flow);
        }
        self.push_event(Event::Closed(text_of(reason)));
        self.phase = Phase::Closed;
        self.end_net();
    }

    pub(super) fn closing_timeout(&mut self) {
        match self.phase {
            Phase::Closing { until } if until <= self.now => self.close_session(),
            Phase::Open
                if self.connect_by.is_some_and(|by| by <= self.now) && !self.net.is_waiting() =>
            {
                let limit = self.config.connect_timeout;
                self.begin_close(format!("no connect command within {limit:?}"));
            }
            _ => {}
        }
    }
}

fn text_of(reason: CloseReason) -> String {
    match reason {
        CloseReason::Local => "session closed by the server side".to_owned(),
        CloseReason::Remote => "session closed by the client".to_owned(),
        CloseReason::Idle => "nothing received for too long".to_owned(),
        CloseReason::Unacknowledged => "nothing acknowledged for too long".to_owned(),
        CloseReason::Unconfirmed => "no packet after the handshake".to_owned(),
        CloseReason::Stalled => "the client had no room for too long".to_owned(),
        CloseReason::Violation(violation) => violation.to_string(),
    }
}
