//! Datagrams for the far end, and the table of timers.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::address::Address;
use crate::chunk::{self, ForwardedHello, kind};
use crate::congestion::SMSS;
use crate::crypto::SSID_LEN;
use crate::flow::{RecvFlow, SendFlow, SendFlowId};
use crate::packet::Header;
use crate::session::config::{
    ECHO_LIFETIME, MAX_BURST, MAX_CONTROLS, MIN_PACED_RTT, PROBE_GROWTH, PROBE_MAX, PROBE_MIN,
    STALL_TIMEOUT,
};
use crate::session::{CloseReason, Event, FlowEnd, Output, Session};

/// Bytes of a datagram before its tag: 75 cipher blocks and the session ID. With a tag of 16 bytes
/// it has 1,220, which fits every path of IPv6.
const MAX_SEALED: usize = SSID_LEN + 1200;

/// A packet that is not about flows.
#[derive(Debug)]
pub(super) enum Control {
    Ping { to: SocketAddr, message: Vec<u8> },
    PingReply { to: SocketAddr, message: Vec<u8> },
    ForwardedHello { epd: Bytes, reply: Address, tag: Bytes },
    Probe { flow: u64 },
    Close,
    CloseAck { to: SocketAddr },
}

impl Session {
    /// What to do next: events first, then datagrams, then the time to wait for. Call it until it
    /// answers [`Output::Timeout`] after every other call.
    pub fn poll_output(&mut self) -> Output<'_> {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if self.buffer.is_drained() {
            self.build_packets();
        }
        if let Some(to) = self.buffer.advance() {
            let bytes = self.buffer.latest();
            self.stats.packets_sent += 1;
            self.stats.bytes_sent += bytes.len() as u64;
            return Output::Transmit { to, bytes };
        }
        // Building a packet may have closed something.
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        self.send_flows.settle();
        Output::Timeout(self.deadline())
    }

    /// Time has passed: rings every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.close_timeout();
        self.keepalive_timeout();
        if self.is_open() {
            self.flow_timeouts();
            self.retransmission_timeout_alarm();
            self.stall_timeout();
        }
        if self.ack_at.is_some_and(|at| at <= self.now) {
            self.ack_now = true;
        }
    }

    pub(super) fn push_control(&mut self, control: Control) {
        if self.controls.len() < MAX_CONTROLS {
            self.controls.push_back(control);
        } else {
            self.stats.controls_dropped += 1;
        }
    }

    // --- timers ----------------------------------------------------------------------------------

    fn deadline(&self) -> Option<Instant> {
        let mut deadline = [
            self.close_deadline(),
            self.keepalive_deadline(),
            self.ack_at,
            self.retransmit_at,
            self.pace_at,
            self.probe_at,
            self.stalled_since.filter(|_| !self.is_authenticated()).map(|t| t + STALL_TIMEOUT),
        ]
        .into_iter()
        .flatten()
        .min();
        let mut add = |at: Option<Instant>| {
            if let Some(at) = at {
                deadline = Some(deadline.map_or(at, |d| d.min(at)));
            }
        };
        for flow in self.send_flows.busy() {
            add(flow.deadline());
            add(flow.linger_deadline());
            add(flow.acceptance_deadline());
        }
        add(if self.recv_changed { self.first_linger() } else { self.recv_linger });
        deadline
    }

    /// When the first of the receiving flows that are over is forgotten.
    fn first_linger(&self) -> Option<Instant> {
        self.recv_flows.values().filter_map(RecvFlow::linger_deadline).min()
    }

    fn flow_timeouts(&mut self) {
        let now = self.now;
        let mut i = 0;
        while i < self.send_flows.busy_len() {
            let flow = self.send_flows.busy_at(i);
            let before = flow.stats().abandoned;
            flow.handle_timeout(now);
            self.stats.messages_expired += flow.stats().abandoned - before;
            let id = SendFlowId(flow.id());
            if flow.take_writable() {
                self.events.push_back(Event::Writable { flow: id });
            }
            if flow.acceptance_deadline().is_some_and(|at| at <= now) {
                self.outstanding -= flow.outstanding();
                self.send_flows.remove(id);
                let reason = FlowEnd::Unanswered;
                self.events.push_back(Event::FlowEnded { flow: id, reason });
                if !self.send_flows.busy().any(SendFlow::has_unacked) {
                    self.unacked_since = None;
                }
            } else if flow.linger_deadline().is_some_and(|at| at <= now) {
                self.send_flows.remove(id);
            } else {
                i += 1;
            }
        }
        if self.recv_changed || self.recv_linger.is_some_and(|at| at <= now) {
            self.recv_flows.retain(|_, flow| flow.linger_deadline().is_none_or(|at| at > now));
            self.recv_changed = true;
        }
    }

    /// Nothing was acknowledged for a whole ERTO (RFC 7016 §3.6.2.6).
    fn retransmission_timeout_alarm(&mut self) {
        if self.retransmit_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.retransmit_at = None;
        let mut lost = 0;
        self.send_flows.for_busy(|flow| lost += flow.lose_all());
        self.outstanding = 0;
        self.burst = 0;
        self.pace_at = None;
        self.congestion.timed_out(lost > 0);
        if lost > 0 {
            self.stats.timeouts += 1;
            self.stats.data_bytes_lost += lost as u64;
            self.recovery = self.next_tsn - 1;
            self.rtt.back_off();
        }
    }

    /// A receiver has no room: probes tell when it has (RFC 7016 §3.6.2.9.1). Peers without HMAC
    /// are never probed, for librtmfp and MonaServer close on it (quirk Q6).
    fn stall_timeout(&mut self) {
        let now = self.now;
        let stalled = self.send_flows.busy().find(|f| f.is_stalled()).map(SendFlow::id);
        let Some(flow) = stalled else {
            self.stalled_since = None;
            self.probe_at = None;
            return;
        };
        let since = *self.stalled_since.get_or_insert(now);
        if !self.is_authenticated() {
            if since + STALL_TIMEOUT <= now {
                self.break_off(CloseReason::Stalled);
            }
            return;
        }
        match self.probe_at {
            None => {
                self.probe_interval = self.rtt.erto().max(PROBE_MIN);
                self.probe_at = Some(now + self.probe_interval);
            }
            Some(at) if at <= now => {
                self.push_control(Control::Probe { flow });
                self.probe_interval = self.probe_interval.mul_f64(PROBE_GROWTH).min(PROBE_MAX);
                self.probe_at = Some(now + self.probe_interval);
            }
            Some(_) => {}
        }
    }

    // --- packets ---------------------------------------------------------------------------------

    /// Builds the next datagrams, as many as there are up to a burst, and encrypts them together.
    fn build_packets(&mut self) {
        self.buffer.clear();
        // What an event may change is not built before it was given out.
        while self.buffer.kept().len() < MAX_BURST as usize && self.events.is_empty() {
            let Some(to) = self.build_packet() else { break };
            self.sealer.finish(&mut self.buffer.out);
            self.buffer.keep(to);
        }
        let kept = self.buffer.kept();
        if !kept.is_empty() {
            self.sealer.seal(self.far_id.0, kept);
        }
    }

    /// Builds the next packet in `out`, if there is one.
    fn build_packet(&mut self) -> Option<SocketAddr> {
        if let Some(control) = self.controls.pop_front() {
            return Some(self.build_control(&control));
        }
        self.is_held = false;
        if !self.is_open() {
            return None;
        }
        let busy = self.send_flows.busy_len();
        let eligible = (0..busy).any(|at| self.send_flows.busy_at(at).is_eligible())
            && !(self.full_only && self.waiting_bytes() < MAX_SEALED);
        if !eligible {
            self.pace_at = None;
        }
        let sends_data = eligible && self.may_send();
        self.is_held = eligible && !sends_data;
        if !sends_data && !self.ack_now {
            return None;
        }
        self.begin_packet();
        let empty = self.buffer.out.len();
        self.append_acks();
        if sends_data {
            self.append_data();
        }
        if self.buffer.out.len() == empty {
            return None;
        }
        Some(self.far_address)
    }

    /// Bytes of chunks that could leave now, counted as far as they fill a packet.
    fn waiting_bytes(&mut self) -> usize {
        let mut bytes = 0;
        self.send_flows.for_busy(|flow| {
            if flow.is_eligible() {
                bytes += flow.waiting_bytes(MAX_SEALED);
            }
        });
        bytes
    }

    fn begin_packet(&mut self) {
        self.sealer.begin(&mut self.buffer.out);
        let echo = self.echo.and_then(|(timestamp, received)| {
            let held = self.now.saturating_duration_since(received);
            let ticks = held.as_millis() as u64 / crate::packet::TICK_MS;
            (held <= ECHO_LIFETIME).then(|| timestamp.wrapping_add(ticks as u16))
        });
        if echo.is_none() {
            self.echo = None;
        }
        let header = Header {
            mode: Self::mode_of(self.role),
            time_critical: false,
            time_critical_reverse: self
                .time_critical
                .was_received_elsewhere(self.now, self.near_id.0),
            timestamp: Some(self.ticks()),
            timestamp_echo: echo,
        };
        header.encode(&mut self.buffer.out);
    }

    fn build_control(&mut self, control: &Control) -> SocketAddr {
        self.begin_packet();
        let out = &mut self.buffer.out;
        match control {
            Control::Ping { to, message } => {
                chunk::encode_plain(kind::PING, message, out);
                *to
            }
            Control::PingReply { to, message } => {
                chunk::encode_plain(kind::PING_REPLY, message, out);
                *to
            }
            Control::ForwardedHello { epd, reply, tag } => {
                ForwardedHello { epd, reply: *reply, tag }.encode(out);
                self.far_address
            }
            Control::Probe { flow } => {
                chunk::encode_probe(*flow, out);
                self.far_address
            }
            Control::Close => {
                chunk::encode_plain(kind::CLOSE, &[], out);
                self.far_address
            }
            Control::CloseAck { to } => {
                chunk::encode_plain(kind::CLOSE_ACK, &[], out);
                *to
            }
        }
    }

    /// Whether congestion, the burst limit and pacing allow a packet with data now.
    fn may_send(&mut self) -> bool {
        if self.outstanding >= self.congestion.cwnd() {
            self.pace_at = None;
            return false;
        }
        if self.burst < MAX_BURST {
            return true;
        }
        match self.rtt.srtt() {
            Some(srtt) if srtt >= MIN_PACED_RTT => {
                let cwnd = self.congestion.cwnd().max(SMSS);
                let step = srtt.mul_f64(SMSS as f64 / cwnd as f64);
                let at = *self.pace_at.get_or_insert(self.now + step);
                at <= self.now
            }
            _ => false,
        }
    }

    fn append_acks(&mut self) {
        if self.recv_changed && !self.append_changed_acks() {
            return;
        }
        // Also without any, for datagrams of flows that are not known count as data.
        self.ack_now = false;
        self.ack_at = None;
        self.data_packets = 0;
    }

    /// Whether all that wait found room.
    fn append_changed_acks(&mut self) -> bool {
        let mut complete = true;
        for flow in self.recv_flows.values_mut().filter(|f| f.is_ack_pending()) {
            if self.buffer.out.len() + flow.ack_len() > MAX_SEALED {
                complete = false;
                continue;
            }
            flow.encode_ack(MAX_SEALED, &mut self.buffer.out);
        }
        if complete {
            self.recv_linger = self.first_linger();
            self.recv_changed = false;
        }
        complete
    }

    fn append_data(&mut self) {
        let tsn = self.next_tsn;
        let start = self.buffer.out.len();
        let mut critical = false;
        // Strict priorities; equal ones take turns.
        self.turn = self.turn.wrapping_add(1);
        let count = self.send_flows.busy_len();
        let mut below = None;
        loop {
            let mut next = None;
            self.send_flows.for_busy(|flow| {
                let priority = flow.priority();
                if below.is_none_or(|below| priority < below)
                    && Some(priority) > next
                    && flow.is_eligible()
                {
                    next = Some(priority);
                }
            });
            let Some(priority) = next else { break };
            for i in 0..count {
                let at = (self.turn + i) % count;
                let flow = self.send_flows.busy_at(at);
                if flow.priority() != priority || !flow.is_eligible() {
                    continue;
                }
                let (before, len) = (flow.outstanding(), self.buffer.out.len());
                flow.emit(self.now, tsn, MAX_SEALED, &mut self.buffer.out);
                let sent = flow.outstanding() - before;
                self.outstanding += sent;
                self.stats.data_bytes_sent += sent as u64;
                critical |= flow.is_time_critical() && self.buffer.out.len() > len;
            }
            below = Some(priority);
        }
        if self.buffer.out.len() == start {
            return;
        }
        self.next_tsn += 1;
        self.burst += 1;
        self.pace_at = None;
        self.retransmit_at = Some(self.now + self.rtt.erto());
        self.unacked_since.get_or_insert(self.now);
        if critical {
            self.time_critical_sent = Some(self.now);
            self.time_critical.note_sent(self.now);
            let at = self.sealer.packet_start();
            Header::mark_time_critical(&mut self.buffer.out[at]);
        }
    }
}
