//! The server's side of one session: NetConnection, its streams and its groups, over flows.
//!
//! Events of the session become messages by the meaning of their flow, messages go through the
//! [`NetConnection`], and what that says leaves on the flow where it belongs. While a decision is
//! open every flow is suspended, so that nothing overtakes it.

mod closing;
mod config;
mod event;
mod flows;
mod groups;
mod incoming;
mod media;
mod outgoing;
mod sync;

pub use config::{ConnectionConfig, MediaDeadlines};
pub use event::{ConnectionStats, Event, GroupJoin, Output, Writer};

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_rtmfp::{Address, RecvFlowId, SendFlowId, Session};
use ramona_rtmp::NetConnection;

use crate::limits::FLOWS_BEFORE_CONNECT;

use flows::{Arrival, Incoming, StreamFlows};
use groups::Join;
use outgoing::Route;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The end was told; the session closes when the control flow is through, or at this time.
    Closing {
        until: Instant,
    },
    /// The session is closing by itself.
    Closed,
}

/// The server's side of one session that carries a NetConnection, its streams and groups.
///
/// After each call, [`poll_output`](Self::poll_output) is called until it answers
/// [`Output::Timeout`].
pub struct Connection {
    session: Box<Session>,
    net: NetConnection,
    config: ConnectionConfig,
    now: Instant,
    phase: Phase,
    connect_by: Option<Instant>,
    /// The client's control flow and the server's.
    far_control: Option<RecvFlowId>,
    near_control: Option<SendFlowId>,
    route: Route,
    writers: Vec<SendFlowId>,
    incoming: HashMap<RecvFlowId, Incoming>,
    streams: Vec<StreamFlows>,
    joins: Vec<Join>,
    /// What flows brought and nobody took yet.
    inbox: VecDeque<(RecvFlowId, Arrival)>,
    /// Flows are suspended, for a decision is open.
    is_held: bool,
    /// The owner takes nothing now.
    is_paused: bool,
    /// How many streams there were when flows were compared with them.
    known_streams: Option<usize>,
    events: VecDeque<Event>,
    stats: ConnectionStats,
}

impl Connection {
    /// A connection over a session that began at `now`.
    pub fn new(now: Instant, mut session: Box<Session>, config: ConnectionConfig) -> Self {
        session.set_max_recv_flows(FLOWS_BEFORE_CONNECT);
        Self {
            session,
            net: NetConnection::new(),
            now,
            phase: Phase::Open,
            connect_by: Some(now + config.connect_timeout),
            config,
            far_control: None,
            near_control: None,
            route: Route::default(),
            writers: Vec::new(),
            incoming: HashMap::new(),
            streams: Vec::new(),
            joins: Vec::new(),
            inbox: VecDeque::new(),
            is_held: false,
            is_paused: false,
            known_streams: None,
            events: VecDeque::new(),
            stats: ConnectionStats::default(),
        }
    }

    /// Takes one datagram, which is decrypted in place. One that is not valid is dropped and
    /// counted by the session.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.handle_late_packet(now, Duration::ZERO, from, datagram);
    }

    /// Takes one datagram that may have waited for so long to be read (see
    /// [`Session::handle_late_packet`]).
    pub fn handle_late_packet(
        &mut self,
        now: Instant,
        waited: Duration,
        from: SocketAddr,
        datagram: &mut [u8],
    ) {
        self.now = self.now.max(now);
        // The error is in the session's counters, and nothing is answered to it.
        let _ = self.session.handle_late_packet(self.now, waited, from, datagram);
    }

    /// To be called at the time given by [`Output::Timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.session.handle_timeout(self.now);
        self.closing_timeout();
    }

    /// What to do next: events first, then datagrams, then the time to wait for.
    pub fn poll_output(&mut self) -> Output<'_> {
        loop {
            self.pump();
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            match self.session.poll_output() {
                ramona_rtmfp::Output::Event(event) => self.handle_session_event(event),
                // Asked for again, for a loop cannot hand out what it borrowed.
                ramona_rtmfp::Output::Transmit { to, .. } => {
                    return Output::Transmit { to, bytes: self.session.datagram() };
                }
                ramona_rtmfp::Output::Timeout(timeout) => {
                    return Output::Timeout(self.deadline(timeout));
                }
            }
        }
    }

    fn deadline(&self, session: Option<Instant>) -> Option<Instant> {
        // A session that is over has no deadline, and then there is none.
        let session = session?;
        let own = match self.phase {
            Phase::Open => self.connect_by.filter(|_| !self.net.is_waiting()),
            Phase::Closing { until } => Some(until),
            Phase::Closed => None,
        };
        Some(own.map_or(session, |own| own.min(session)))
    }

    /// The NetConnection, for decisions and for what the server does of its own accord at `now`; its
    /// messages leave with the next [`poll_output`](Self::poll_output).
    pub fn net(&mut self, now: Instant) -> &mut NetConnection {
        // What is said after a silence must not look as old as the last packet: it would be taken
        // for lost at once, and its timestamp would make a round trip of the silence.
        self.now = self.now.max(now);
        &mut self.net
    }

    /// Holds back what the client sends, or lets it go on: for an owner that has no room. The
    /// client's flows fill up, and it is slowed by what is advertised.
    pub fn pause_input(&mut self, now: Instant, on: bool) {
        self.now = self.now.max(now);
        self.is_paused = on;
    }

    /// True while a decision (connect, publish, play) is open: what the client sends waits.
    pub fn is_waiting(&self) -> bool {
        self.net.is_waiting()
    }

    /// True from the acceptance of connect until the end.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Open && self.net.is_connected()
    }

    /// The session: peer ID, address, round trip, counters.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to discard or abort it.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The latest time that was told.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Flows of the client that are open.
    pub fn flow_count(&self) -> usize {
        self.incoming.len()
    }

    /// Counters.
    pub fn stats(&self) -> ConnectionStats {
        self.stats
    }

    /// Passes an introduction on to the client (see [`Session::forward_hello`]).
    pub fn forward_hello(&mut self, now: Instant, epd: Bytes, reply: Address, tag: Bytes) {
        self.now = self.now.max(now);
        self.session.forward_hello(self.now, epd, reply, tag);
    }

    fn handle_session_event(&mut self, event: ramona_rtmfp::Event) {
        use ramona_rtmfp::Event as Session;
        match event {
            Session::Confirmed => self.push_event(Event::Confirmed),
            Session::FlowOpened { flow, metadata, .. } => self.flow_opened(flow, &metadata),
            Session::Message { flow, payload, .. } => {
                self.inbox.push_back((flow, Arrival::Message(payload)));
            }
            Session::Gap { flow, .. } => self.inbox.push_back((flow, Arrival::Gap)),
            Session::FlowCompleted { flow } => self.inbox.push_back((flow, Arrival::End)),
            Session::FlowEnded { flow, reason } => self.flow_ended(flow, reason),
            Session::Writable { .. } => {}
            Session::ForwardedHello { epd, reply, tag } => {
                self.push_event(Event::ForwardedHello { epd, reply, tag });
            }
            Session::AddressChanged { from, to } => {
                self.push_event(Event::AddressChanged { from, to });
            }
            Session::Closed(reason) => self.session_closed(reason),
        }
    }

    /// Nothing follows [`Event::Closed`].
    fn push_event(&mut self, event: Event) {
        if self.phase == Phase::Open {
            self.events.push_back(event);
        }
    }

    /// Moves what can be moved: messages of the NetConnection into flows, arrivals into the
    /// NetConnection.
    fn pump(&mut self) {
        loop {
            self.flush_net();
            if self.phase != Phase::Open {
                self.inbox.clear();
                return;
            }
            if self.net.is_waiting() || self.is_paused {
                return self.hold(true);
            }
            match self.inbox.pop_front() {
                Some((flow, arrival)) => self.take_arrival(flow, arrival),
                None => return self.hold(false),
            }
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("session", &self.session)
            .field("phase", &self.phase)
            .field("flows", &self.incoming.len())
            .field("groups", &self.joins.len())
            .finish_non_exhaustive()
    }
}
