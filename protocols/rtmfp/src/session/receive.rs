//! Datagrams of the far end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::address::canonical;
use crate::chunk::{Ack, Chunks, ForwardedHello, UserData, decode_exception, decode_probe, kind};
use crate::congestion::Circumstances;
use crate::flow::{RecvFlow, RecvFlowId, RecvState, SendFlow, SendFlowId};
use crate::packet::{Header, TICK_MS};
use crate::session::config::{
    ACK_DELAY, ECHO_LIFETIME, MAX_BUFFERED, MAX_KNOWN_RECV_FLOWS, PENDING_CAPACITY,
};
use crate::session::{CloseReason, Event, FlowEnd, PacketError, Role, Session, Violation};
use crate::timecritical;

/// What the acknowledgements of one packet did.
#[derive(Default)]
struct Acks {
    any: bool,
    bytes: usize,
    latest: Option<u64>,
}

impl Session {
    /// Takes one datagram, which is decrypted in place.
    ///
    /// # Errors
    /// [`PacketError`]: the datagram was dropped and counted; nothing is sent in answer.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<(), PacketError> {
        self.handle_late_packet(now, Duration::ZERO, from, datagram)
    }

    /// Takes one datagram that may have waited for so long to be read: the round trip does not count
    /// it.
    ///
    /// # Errors
    /// As [`handle_packet`](Self::handle_packet).
    pub fn handle_late_packet(
        &mut self,
        now: Instant,
        waited: Duration,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<(), PacketError> {
        self.now = self.now.max(now);
        let result = self.take(waited, canonical(from), datagram);
        if result.is_err() {
            self.stats.packets_dropped += 1;
        }
        result
    }

    fn take(
        &mut self,
        waited: Duration,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<(), PacketError> {
        if self.is_closed() {
            return Err(PacketError::Closed);
        }
        let len = datagram.len();
        let packet = self.opener.open(datagram)?;
        let (header, chunks) = Header::decode(packet).ok_or(PacketError::Header)?;
        let far = match self.role {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        };
        if header.mode != Self::mode_of(far) {
            return Err(PacketError::Mode);
        }
        self.stats.packets_received += 1;
        self.stats.bytes_received += len as u64;
        self.keepalive.received(self.now);
        if !self.keepalive.confirmed {
            self.keepalive.confirmed = true;
            self.events.push_back(Event::Confirmed);
        }
        self.take_header(&header, waited);
        self.take_chunks(from, chunks);
        self.check_address(from);
        Ok(())
    }

    fn take_header(&mut self, header: &Header, waited: Duration) {
        let now = self.now;
        if let Some(timestamp) = header.timestamp {
            let repeated = self.echo.is_some_and(|(last, at)| {
                last == timestamp && now.saturating_duration_since(at) <= ECHO_LIFETIME
            });
            if !repeated {
                self.echo = Some((timestamp, now));
            }
        }
        if let Some(echo) = header.timestamp_echo {
            let waited = waited.as_millis() as u64 / TICK_MS;
            self.rtt.echoed(self.ticks(), waited.min(u64::from(u16::MAX)) as u16, echo);
        }
        if header.time_critical {
            self.time_critical.note_received(now, self.near_id.0);
        }
        if header.time_critical_reverse {
            self.time_critical_reverse = Some(now);
        }
    }

    fn take_chunks(&mut self, from: SocketAddr, chunks: &[u8]) {
        let mut acks = Acks::default();
        let outstanding = self.outstanding;
        let mut previous: Option<UserData<'_>> = None;
        let mut has_data = false;
        for (kind, payload) in Chunks::new(chunks) {
            match kind {
                kind::CLOSE => self.handle_close_request(from),
                kind::CLOSE_ACK => self.handle_close_ack(from),
                _ if !self.is_open() => {}
                kind::USER_DATA | kind::NEXT_USER_DATA => {
                    let data = match &previous {
                        _ if kind == kind::USER_DATA => UserData::decode(payload),
                        Some(previous) => previous.decode_next(payload),
                        None => None,
                    };
                    match data {
                        Some(data) => {
                            has_data = true;
                            self.take_user_data(&data);
                        }
                        None => self.stats.chunks_dropped += 1,
                    }
                    previous = data;
                }
                kind::RANGE_ACK => self.take_ack(Ack::decode_ranges(payload), &mut acks),
                kind::BITMAP_ACK => self.take_ack(Ack::decode_bitmap(payload), &mut acks),
                kind::FLOW_EXCEPTION => self.take_exception(payload),
                kind::BUFFER_PROBE => self.take_probe(payload),
                kind::PING => self.handle_ping(from, payload),
                kind::PING_REPLY => self.handle_ping_reply(from, payload),
                kind::FORWARDED_HELLO => self.take_forwarded_hello(payload),
                _ => self.stats.chunks_dropped += 1,
            }
        }
        if !self.is_open() {
            return;
        }
        if acks.any {
            self.after_acks(&acks, outstanding);
        }
        if has_data {
            self.data_packets += 1;
            if self.data_packets >= 2 {
                self.ack_now = true;
            }
            self.ack_at.get_or_insert(self.now + ACK_DELAY);
        }
    }

    // --- user data -------------------------------------------------------------------------------

    pub(super) fn take_user_data(&mut self, data: &UserData<'_>) {
        if !self.recv_flows.contains_key(&data.flow) && !self.begin_flow(data) {
            return;
        }
        let Some(flow) = self.recv_flows.get_mut(&data.flow) else { return };
        self.recv_changed = true;
        let before = flow.buffered();
        let taken = flow.receive(self.now, data, &mut self.arena, &mut self.arrivals);
        self.buffered = self.buffered + flow.buffered() - before;
        self.tell_arrivals(RecvFlowId(data.flow));
        match taken {
            Ok(ack_now) => self.ack_now |= ack_now,
            Err(_) => {
                return self.break_off(CloseReason::Violation(Violation::SequenceJump));
            }
        }
        if self.buffered > MAX_BUFFERED {
            self.break_off(CloseReason::Violation(Violation::Buffered));
        }
    }

    /// A flow that is not known: offered to the application, or rejected (RFC 7016 §3.6.3.1).
    fn begin_flow(&mut self, data: &UserData<'_>) -> bool {
        if self.recv_flows.len() >= MAX_KNOWN_RECV_FLOWS {
            self.stats.flows_ignored += 1;
            return false;
        }
        let startup = data.startup.unwrap_or_default();
        let open = self
            .recv_flows
            .values()
            .filter(|f| matches!(f.state(), RecvState::Open | RecvState::Pending))
            .count();
        let associated = match startup.association {
            None => Some(None),
            Some(id) => self
                .send_flows
                .get(SendFlowId(id))
                .filter(|flow| flow.is_open())
                .map(|_| Some(SendFlowId(id))),
        };
        let state = match (startup.metadata, associated) {
            (Some(metadata), Some(associated))
                if !startup.unknown_mandatory && open < self.config.max_recv_flows =>
            {
                self.events.push_back(Event::FlowOpened {
                    flow: RecvFlowId(data.flow),
                    metadata: Bytes::copy_from_slice(metadata),
                    associated,
                });
                RecvState::Pending
            }
            _ => {
                self.stats.flows_rejected += 1;
                RecvState::Rejected { code: 0 }
            }
        };
        let metadata = startup.metadata.unwrap_or_default();
        let flow = RecvFlow::new(data.flow, metadata, startup.association, state, PENDING_CAPACITY);
        self.recv_flows.insert(data.flow, flow);
        self.recv_changed = true;
        self.ack_now = true;
        true
    }

    fn take_probe(&mut self, payload: &[u8]) {
        match decode_probe(payload).and_then(|flow| self.recv_flows.get_mut(&flow)) {
            Some(flow) => {
                flow.request_ack();
                self.recv_changed = true;
                self.ack_now = true;
            }
            None => self.stats.chunks_dropped += 1,
        }
    }

    // --- acknowledgements ------------------------------------------------------------------------

    fn take_ack(&mut self, ack: Option<Ack<'_>>, acks: &mut Acks) {
        let flows = &mut self.send_flows;
        let Some((ack, flow)) =
            ack.and_then(|ack| flows.get_mut(SendFlowId(ack.flow)).map(|flow| (ack, flow)))
        else {
            self.stats.chunks_dropped += 1;
            return;
        };
        let before = flow.outstanding();
        let outcome = flow.acknowledged(self.now, &ack);
        self.outstanding = self.outstanding + flow.outstanding() - before;
        acks.any = true;
        acks.bytes += outcome.bytes;
        acks.latest = acks.latest.max(outcome.latest);
        let id = SendFlowId(flow.id());
        if outcome.completed && !flow.is_failed() {
            self.events.push_back(Event::FlowEnded { flow: id, reason: FlowEnd::Completed });
        }
        if flow.take_writable() {
            self.events.push_back(Event::Writable { flow: id });
        }
    }

    /// Losses, the congestion window and the timers, once for all acknowledgements of a packet
    /// (RFC 7016 §3.6.2.5 and appendix A).
    fn after_acks(&mut self, acks: &Acks, outstanding: usize) {
        let mut naks = false;
        let mut lost = None;
        if let Some(latest) = acks.latest {
            let Self { send_flows, outstanding, stats, .. } = self;
            send_flows.for_busy(|flow| {
                let before = flow.outstanding();
                if before == 0 {
                    return;
                }
                let losses = flow.detect_losses(latest);
                *outstanding -= before - flow.outstanding();
                stats.data_bytes_lost += losses.bytes as u64;
                naks |= losses.naks;
                lost = lost.max(losses.latest);
            });
        }
        let circumstances = self.circumstances(outstanding);
        if lost.is_some_and(|tsn| tsn > self.recovery) {
            // One cut for all losses of a window.
            self.recovery = self.next_tsn - 1;
            self.congestion.lost(circumstances);
            self.stats.losses += 1;
        } else if lost.is_none() && !naks && acks.bytes > 0 {
            self.congestion.acknowledged(acks.bytes, circumstances);
        }
        self.burst = 0;
        self.pace_at = None;
        if self.stalled_since.is_some() && !self.send_flows.busy().any(SendFlow::is_stalled) {
            self.stalled_since = None;
            self.probe_at = None;
        }
        if acks.bytes > 0 {
            let waits = self.send_flows.busy().any(SendFlow::has_unacked);
            self.unacked_since = waits.then_some(self.now);
        } else if self.outstanding == 0 && !self.send_flows.busy().any(SendFlow::has_unacked) {
            self.unacked_since = None;
        }
        if self.retransmit_at.is_some() {
            self.retransmit_at = Some(self.now + self.rtt.erto());
        }
    }

    pub(super) fn circumstances(&self, outstanding: usize) -> Circumstances {
        let recent = |at: Option<Instant>| {
            at.is_some_and(|at| self.now.saturating_duration_since(at) < timecritical::FRESHNESS)
        };
        Circumstances {
            fast: !recent(self.time_critical_reverse) && !self.time_critical.was_sent(self.now),
            time_critical: recent(self.time_critical_sent),
            outstanding,
        }
    }

    fn take_exception(&mut self, payload: &[u8]) {
        let flows = &mut self.send_flows;
        let Some((code, flow)) = decode_exception(payload)
            .and_then(|(id, code)| Some((code, flows.get_mut(SendFlowId(id))?)))
        else {
            self.stats.chunks_dropped += 1;
            return;
        };
        if flow.is_failed() || flow.linger_deadline().is_some() {
            return;
        }
        let id = SendFlowId(flow.id());
        let before = flow.outstanding();
        let gone = flow.fail();
        self.outstanding = self.outstanding + flow.outstanding() - before;
        if gone {
            self.send_flows.remove(id);
        }
        self.events.push_back(Event::FlowEnded { flow: id, reason: FlowEnd::Exception(code) });
    }

    fn take_forwarded_hello(&mut self, payload: &[u8]) {
        match ForwardedHello::decode(payload) {
            Some(hello) => self.events.push_back(Event::ForwardedHello {
                epd: Bytes::copy_from_slice(hello.epd),
                reply: hello.reply,
                tag: Bytes::copy_from_slice(hello.tag),
            }),
            None => self.stats.chunks_dropped += 1,
        }
    }
}
