//! One session: packets, timers, flows, from the moment both ends have keys (RFC 7016 §3.5).
//!
//! Bytes, messages and time go in; [`Session::poll_output`] gives events, then datagrams, then the
//! moment at which [`Session::handle_timeout`] wants to be called.

mod close;
mod config;
mod event;
mod keepalive;
mod memory;
mod mobility;
mod packets;
mod receive;
mod stats;
mod transmit;

pub use config::SessionConfig;
pub use event::{CloseReason, Event, FlowEnd, Output, PacketError, Violation};
pub use memory::MemoryVisitor;
pub use packets::PacketBuffer;
pub use stats::SessionStats;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::address::Address;
use crate::certificate::PeerId;
use crate::congestion::Congestion;
use crate::crypto::{Keys, Negotiation, Nonces, Opener, Sealer};
use crate::flow::{
    Arrival, Delivery, FlowOptions, FlowStats, MAX_METADATA, Message, OpenFlowError, Priority,
    RecvFlow, RecvFlowId, RecvState, SendFlow, SendFlowId, SendFlows, WriteError,
};
use crate::packet::{Mode, TICK_MS};
use crate::rtt::Rtt;
use crate::timecritical::TimeCritical;

use close::CloseState;
use keepalive::Keepalive;
use mobility::Mobility;
use transmit::Control;

/// Identifies a session at the end that receives; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u32);

impl SessionId {
    /// Set in IDs that an [`Endpoint`](crate::Endpoint) gives as responder to sessions whose far ends
    /// authenticate their packets, clear in all others that it gives: who routes datagrams knows by
    /// it how long a tag they carry at least.
    pub const AUTHENTICATED: u32 = 1 << 31;
}

/// Which end opened the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// This end did.
    Initiator,
    /// The far end did.
    Responder,
}

/// What the handshake found out, of which a session is made.
pub(crate) struct Established {
    pub(crate) role: Role,
    pub(crate) near_id: SessionId,
    pub(crate) far_id: SessionId,
    pub(crate) address: SocketAddr,
    pub(crate) peer_id: PeerId,
    pub(crate) keys: Keys,
    pub(crate) negotiation: Negotiation,
    pub(crate) time_critical: TimeCritical,
    pub(crate) secret: [u8; 32],
    pub(crate) config: SessionConfig,
}

/// One session.
pub struct Session {
    role: Role,
    near_id: SessionId,
    far_id: SessionId,
    far_address: SocketAddr,
    peer_id: PeerId,
    nonces: Nonces,
    negotiation: Negotiation,
    config: SessionConfig,
    sealer: Sealer,
    opener: Opener,
    time_critical: TimeCritical,

    epoch: Instant,
    now: Instant,
    close: CloseState,
    keepalive: Keepalive,
    mobility: Mobility,
    /// The far end's latest timestamp and when it came.
    echo: Option<(u16, Instant)>,
    rtt: Rtt,
    congestion: Congestion,

    send_flows: SendFlows,
    next_flow: u64,
    /// Where the round of equal priorities goes on.
    turn: usize,
    outstanding: usize,
    next_tsn: u64,
    /// Losses of transmissions up to this one belong to the last cut of the window.
    recovery: u64,
    /// Packets with data since the last acknowledgement or timeout.
    burst: u32,
    pace_at: Option<Instant>,
    /// See [`is_held`](Self::is_held).
    is_held: bool,
    /// See [`send_full_packets_only`](Self::send_full_packets_only).
    full_only: bool,
    retransmit_at: Option<Instant>,
    /// When data that is not acknowledged began to wait.
    unacked_since: Option<Instant>,
    probe_at: Option<Instant>,
    probe_interval: Duration,
    stalled_since: Option<Instant>,
    /// Time-critical packets: sent last on this session; announced last by the far end.
    time_critical_sent: Option<Instant>,
    time_critical_reverse: Option<Instant>,

    recv_flows: BTreeMap<u64, RecvFlow>,
    /// Receiving flows may have something to acknowledge, or another time to end; otherwise they are
    /// not looked at, and this is when the first of them ends.
    recv_changed: bool,
    recv_linger: Option<Instant>,
    buffered: usize,
    ack_now: bool,
    ack_at: Option<Instant>,
    /// Packets with user data since acknowledgements were sent.
    data_packets: u32,

    arena: BytesMut,
    arrivals: Vec<Arrival>,
    controls: VecDeque<Control>,
    events: VecDeque<Event>,
    buffer: PacketBuffer,
    stats: SessionStats,
}

impl Session {
    pub(crate) fn new(now: Instant, established: Established) -> Self {
        let Established { keys, negotiation, config, .. } = established;
        Self {
            role: established.role,
            near_id: established.near_id,
            far_id: established.far_id,
            far_address: established.address,
            peer_id: established.peer_id,
            nonces: keys.nonces,
            negotiation,
            sealer: keys.sealer(&negotiation),
            opener: keys.opener(&negotiation),
            time_critical: established.time_critical,
            epoch: now,
            now,
            close: CloseState::Open,
            keepalive: Keepalive::new(now, established.role, &config),
            mobility: Mobility::new(now, established.secret),
            echo: None,
            rtt: Rtt::default(),
            congestion: Congestion::default(),
            send_flows: SendFlows::default(),
            next_flow: 2,
            turn: 0,
            outstanding: 0,
            next_tsn: 1,
            recovery: 0,
            burst: 0,
            pace_at: None,
            is_held: false,
            full_only: false,
            retransmit_at: None,
            unacked_since: None,
            probe_at: None,
            probe_interval: Duration::ZERO,
            stalled_since: None,
            time_critical_sent: None,
            time_critical_reverse: None,
            recv_flows: BTreeMap::new(),
            recv_changed: false,
            recv_linger: None,
            buffered: 0,
            ack_now: false,
            ack_at: None,
            data_packets: 0,
            arena: BytesMut::new(),
            arrivals: Vec::new(),
            controls: VecDeque::new(),
            events: VecDeque::new(),
            buffer: PacketBuffer::default(),
            stats: SessionStats::default(),
            config,
        }
    }

    /// This end's identifier: what datagrams for the session are routed by.
    pub fn id(&self) -> SessionId {
        self.near_id
    }

    /// Which end opened the session.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Fingerprint of the far end's certificate; a claim until [`Event::Confirmed`].
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where the far end is.
    pub fn far_address(&self) -> SocketAddr {
        self.far_address
    }

    /// Secrets that both ends share, for applications.
    pub fn nonces(&self) -> Nonces {
        self.nonces
    }

    /// Which checks the packets carry.
    pub fn negotiation(&self) -> Negotiation {
        self.negotiation
    }

    /// Whether the packets of the far end are authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.opener.has_mac()
    }

    /// Whether messages can be written.
    pub fn is_open(&self) -> bool {
        self.close == CloseState::Open
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.close == CloseState::Closed
    }

    /// While it is on, data that does not fill a packet waits; nothing wakes for it.
    pub fn send_full_packets_only(&mut self, on: bool) {
        self.full_only = on;
    }

    /// Whether something that could be sent waits for acknowledgements of what was.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Whether the far end has not acknowledged everything that was sent to it.
    pub fn is_unacknowledged(&self) -> bool {
        self.outstanding > 0
    }

    /// Smoothed round trip time, once there is a sample.
    pub fn round_trip(&self) -> Option<Duration> {
        self.rtt.srtt()
    }

    /// Effective retransmission timeout.
    pub fn retransmission_timeout(&self) -> Duration {
        self.rtt.erto()
    }

    /// Bytes of chunks in flight and how many may be.
    pub fn congestion(&self) -> (usize, usize) {
        (self.outstanding, self.congestion.cwnd())
    }

    /// The datagram that [`poll_output`](Self::poll_output) gave out last.
    pub fn datagram(&self) -> &[u8] {
        self.buffer.latest()
    }

    /// Exchanges the memory in which datagrams are built: who drives many sessions lends the same to
    /// each, and takes it back when [`poll_output`](Self::poll_output) has answered
    /// [`Output::Timeout`]. Datagrams that were not given out before are lost.
    pub fn swap_buffer(&mut self, buffer: &mut PacketBuffer) {
        std::mem::swap(&mut self.buffer, buffer);
    }

    /// Counters.
    pub fn stats(&self) -> SessionStats {
        self.stats
    }

    /// When nothing is received for `interval`, a ping is sent.
    pub fn set_keepalive(&mut self, interval: Duration) {
        self.keepalive.set_interval(interval);
    }

    /// How many receiving flows may be open; further ones are rejected. Flows already open stay.
    pub fn set_max_recv_flows(&mut self, limit: usize) {
        self.config.max_recv_flows = limit;
    }

    // --- sending flows ---------------------------------------------------------------------------

    /// Opens a flow. The far end hears of it with its first message.
    ///
    /// # Errors
    /// See [`OpenFlowError`].
    pub fn open_flow(&mut self, options: FlowOptions) -> Result<SendFlowId, OpenFlowError> {
        if !self.is_open() {
            return Err(OpenFlowError::Closed);
        }
        if options.metadata.len() > MAX_METADATA {
            return Err(OpenFlowError::Metadata(options.metadata.len()));
        }
        if self.send_flows.len() >= self.config.max_send_flows {
            return Err(OpenFlowError::TooMany(self.send_flows.len()));
        }
        if let Some(flow) = options.associated {
            let state = self.recv_flows.get(&flow.0).map(RecvFlow::state);
            if !matches!(state, Some(RecvState::Open | RecvState::Pending)) {
                return Err(OpenFlowError::Association(flow));
            }
        }
        let id = self.next_flow;
        self.next_flow += 1;
        self.send_flows.push(SendFlow::new(id, options, self.config.send_capacity));
        Ok(SendFlowId(id))
    }

    /// Queues a message. It leaves with the next [`poll_output`](Self::poll_output) calls.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn write(
        &mut self,
        now: Instant,
        flow: SendFlowId,
        message: &Message<'_>,
    ) -> Result<(), WriteError> {
        self.now = self.now.max(now);
        let now = self.now;
        if !self.is_open() {
            return Err(WriteError::Closed);
        }
        self.send_flows.get_mut(flow).ok_or(WriteError::Closed)?.write(now, message)
    }

    /// Shortens the life of what is queued on a flow and has a deadline: when a keyframe comes,
    /// the frames before it are hardly worth sending.
    pub fn expire_queued(&mut self, now: Instant, flow: SendFlowId, within: Duration) {
        if let Some(flow) = self.send_flows.get_mut(flow) {
            flow.expire_queued(now, within);
        }
    }

    /// Ends a flow after what is queued. [`Event::FlowEnded`] follows.
    pub fn close_flow(&mut self, flow: SendFlowId) {
        if self.send_flows.get_mut(flow).is_some_and(SendFlow::close) {
            self.send_flows.remove(flow);
            self.events.push_back(Event::FlowEnded { flow, reason: FlowEnd::Completed });
        }
    }

    /// Changes which flow goes first.
    pub fn set_priority(&mut self, flow: SendFlowId, priority: Priority) {
        if let Some(flow) = self.send_flows.get_mut(flow) {
            flow.set_priority(priority);
        }
    }

    /// Changes how many bytes may wait on a flow.
    pub fn set_flow_capacity(&mut self, flow: SendFlowId, bytes: usize) {
        if let Some(flow) = self.send_flows.get_mut(flow) {
            flow.set_capacity(bytes);
        }
    }

    /// Counters of a sending flow; `None` when it is over.
    pub fn flow_stats(&self, flow: SendFlowId) -> Option<FlowStats> {
        Some(self.send_flows.get(flow)?.stats())
    }

    /// When the oldest message that has not begun to leave was written: how late the flow is.
    pub fn oldest_unsent(&self, flow: SendFlowId) -> Option<Instant> {
        self.send_flows.get(flow)?.oldest_unsent()
    }

    /// Bytes of messages on a flow that are not yet acknowledged or abandoned, and
    /// [`oldest_unsent`](Self::oldest_unsent), in one look.
    pub fn flow_queue(&self, flow: SendFlowId) -> Option<(usize, Option<Instant>)> {
        let flow = self.send_flows.get(flow)?;
        Some((flow.stats().queued_bytes, flow.oldest_unsent()))
    }

    // --- receiving flows -------------------------------------------------------------------------

    /// Takes a flow that [`Event::FlowOpened`] told of. `capacity` is what may wait for missing
    /// fragments, in bytes, and so the largest message; it is advertised to the sender.
    pub fn accept_flow(
        &mut self,
        now: Instant,
        flow: RecvFlowId,
        delivery: Delivery,
        capacity: usize,
    ) {
        self.now = self.now.max(now);
        let Some(recv) = self.recv_flows.get_mut(&flow.0) else { return };
        self.recv_changed = true;
        let before = recv.buffered();
        recv.accept(self.now, delivery, capacity, &mut self.arrivals);
        self.buffered = self.buffered + recv.buffered() - before;
        self.ack_now = true;
        self.tell_arrivals(flow);
    }

    /// Refuses a flow, when it opens or later: an exception with `code` is sent before each of its
    /// acknowledgements (RFC 7016 §3.6.3.7). Code 0 says nothing in particular.
    pub fn reject_flow(&mut self, flow: RecvFlowId, code: u64) {
        let Some(recv) = self.recv_flows.get_mut(&flow.0) else { return };
        self.recv_changed = true;
        self.buffered -= recv.buffered();
        recv.reject(code);
        self.buffered += recv.buffered();
        self.ack_now = true;
    }

    /// Holds messages of a flow back, or gives them out again: the sender is slowed by what is
    /// advertised.
    pub fn suspend_flow(&mut self, now: Instant, flow: RecvFlowId, on: bool) {
        self.now = self.now.max(now);
        let Some(recv) = self.recv_flows.get_mut(&flow.0) else { return };
        self.recv_changed = true;
        let before = recv.buffered();
        recv.set_suspended(self.now, on, &mut self.arrivals);
        self.buffered = self.buffered + recv.buffered() - before;
        self.ack_now |= !on;
        self.tell_arrivals(flow);
    }

    /// Metadata and association of a receiving flow that is known.
    pub fn recv_flow(&self, flow: RecvFlowId) -> Option<(&Bytes, Option<SendFlowId>)> {
        let recv = self.recv_flows.get(&flow.0)?;
        Some((recv.metadata(), recv.association().map(SendFlowId)))
    }

    /// Turns what a flow brought into events.
    fn tell_arrivals(&mut self, flow: RecvFlowId) {
        for arrival in self.arrivals.drain(..) {
            self.events.push_back(match arrival {
                Arrival::Message { sequence, payload } => {
                    self.stats.messages_received += 1;
                    Event::Message { flow, sequence, payload }
                }
                Arrival::Gap { first, last } => {
                    self.stats.gaps += 1;
                    Event::Gap { flow, first, last }
                }
                Arrival::Complete => Event::FlowCompleted { flow },
                Arrival::TooLarge => {
                    self.stats.oversized_messages += 1;
                    Event::FlowCompleted { flow }
                }
            });
        }
    }

    // --- introductions ---------------------------------------------------------------------------

    /// Passes an Initiator Hello on to the far end, which answers to `reply` itself
    /// (RFC 7016 §3.5.1.5). Dropped when too many wait, for the initiator repeats, and when
    /// discriminator and tag together have more than 1,100 bytes, for a packet has not many more.
    pub fn forward_hello(&mut self, now: Instant, epd: Bytes, reply: Address, tag: Bytes) {
        self.now = self.now.max(now);
        if !self.is_open() {
            return;
        }
        if epd.len() + tag.len() > config::MAX_FORWARDED {
            self.stats.controls_dropped += 1;
            return;
        }
        self.push_control(Control::ForwardedHello { epd, reply, tag });
    }

    /// The far end's mode bits, or this end's.
    fn mode_of(role: Role) -> Mode {
        match role {
            Role::Initiator => Mode::Initiator,
            Role::Responder => Mode::Responder,
        }
    }

    fn ticks(&self) -> u16 {
        (self.now.saturating_duration_since(self.epoch).as_millis() as u64 / TICK_MS) as u16
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.near_id)
            .field("peer_id", &self.peer_id)
            .field("far_address", &self.far_address)
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
