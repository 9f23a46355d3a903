//! The server's side of one session: NetConnection, its streams and its groups, over flows.
//!
//! Events of the session become messages by the meaning of their flow, messages go through the
//! [`NetConnection`], and what that says leaves on the flow where it belongs. While a decision is
//! open every flow is suspended, so that nothing overtakes it.

mod closing;
mod flows;
mod groups;
mod incoming;
mod media;
mod outgoing;
mod sync;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_rtmfp::{Address, RecvFlowId, SendFlowId, Session};
use ramona_rtmp::{NetConnection, StreamId};

use crate::limits::FLOWS_BEFORE_CONNECT;

use flows::{Arrival, Incoming, StreamFlows};
use groups::Join;
use outgoing::Route;

/// When media is too late to be worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaDeadlines {
    /// Audio begins to leave within this time.
    pub audio: Duration,
    /// Video does.
    pub video: Duration,
    /// Both are acknowledged within this time more.
    pub finish: Duration,
    /// What is left of the frames before a keyframe, from then on.
    pub previous_group: Duration,
}

impl Default for MediaDeadlines {
    /// The values of the profile's author.
    fn default() -> Self {
        Self {
            audio: Duration::from_millis(2200),
            video: Duration::from_secs(2),
            finish: Duration::from_millis(100),
            previous_group: Duration::from_millis(100),
        }
    }
}

/// Times and sizes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// What a client is told to keep its session with the server alive with; it takes 5 s at least.
    pub keepalive_server: Duration,
    /// What a client is told to keep its sessions with peers alive with.
    pub keepalive_peer: Duration,
    /// From the start of the session to the connect command.
    pub connect_timeout: Duration,
    /// When media is too late.
    pub deadlines: MediaDeadlines,
    /// Bytes of commands and data that may wait for a client on one flow. One that lets more wait
    /// does not read, and is closed.
    pub control_queue: usize,
    /// Bytes of audio or video that may wait on one flow; further frames are dropped. A viewer's
    /// gate drops long before.
    pub media_queue: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            keepalive_server: Duration::from_secs(15),
            keepalive_peer: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            deadlines: MediaDeadlines::default(),
            // The largest message of a script, twice.
            control_queue: 32 << 20,
            // Twice the bytes at which a viewer's gate begins to drop.
            media_queue: 32 << 20,
        }
    }
}

/// One membership of a NetGroup: the flow that it was asked for on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupJoin(pub(crate) RecvFlowId);

/// A flow of a script's own (`newFlowWriter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writer(pub(crate) SendFlowId);

/// What a connection wants of its owner.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send `bytes` to `to`.
    Transmit {
        /// Usually the client's address.
        to: SocketAddr,
        /// One datagram; valid until the next call.
        bytes: &'a [u8],
    },
    /// Something happened.
    Event(Event),
    /// Nothing until then; call [`Connection::handle_timeout`]. `None` when the session is closed
    /// and has nothing more to say.
    Timeout(Option<Instant>),
}

/// What happened on a connection, in the order in which the client caused it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first valid packet came: the client's peer ID is proven.
    Confirmed,
    /// What the NetConnection tells, the same as over RTMP.
    Net(ramona_rtmp::Event),
    /// The client told at which addresses it can be reached besides the observed one; they replace
    /// what it told before. At most
    /// [`MAX_PEER_ADDRESSES`](crate::limits::MAX_PEER_ADDRESSES). Answered already.
    PeerInfo(Vec<SocketAddr>),
    /// The client joins a group: tell it members with [`Connection::tell_member`].
    JoinGroup {
        /// This membership.
        join: GroupJoin,
        /// The group.
        group: [u8; 32],
    },
    /// A membership is over. Also given for each one before [`Event::Closed`].
    LeaveGroup {
        /// This membership.
        join: GroupJoin,
        /// The group.
        group: [u8; 32],
    },
    /// The client's address is another, and was checked.
    AddressChanged {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// The publisher gave frames up: its video is dropped up to the next keyframe
    /// (RTMFP-075), nobody need do anything.
    MediaGap {
        /// Its stream.
        stream: StreamId,
    },
    /// An introduction reached this end, which is a client of the far end.
    ForwardedHello {
        /// Endpoint discriminator.
        epd: Bytes,
        /// Where to answer to.
        reply: Address,
        /// To be returned.
        tag: Bytes,
    },
    /// The connection is over, with the reason; its last event. Go on with
    /// [`Connection::poll_output`] until it answers [`Output::Timeout`] with `None`: last messages
    /// may be under way, and the far end may have to be told again.
    Closed(String),
}

/// Counters of a connection, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Flows refused: unknown metadata, a second control flow, a stream that does not exist, too
    /// many for their stream, too many groups, or out of place. What the session itself refused
    /// is in its own counters.
    pub flows_refused: u64,
    /// Messages too short, of a type without meaning, or of a flow that is over.
    pub messages_ignored: u64,
    /// Group messages that ask for no group that can be: the flow is refused.
    pub bad_joins: u64,
    /// Gaps in flows of publishers.
    pub media_gaps: u64,
    /// Frames of publishers dropped between a gap and the next keyframe.
    pub broken_frames: u64,
    /// Frames not sent: too late, waiting for a keyframe, or the flow is full or refused.
    pub frames_dropped: u64,
    /// Messages of the server that no flow could carry.
    pub messages_unsent: u64,
    /// Flow synchronisations begun.
    pub flow_syncs: u64,
}

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
    /// How many streams there were when flows were compared with them.
    known_streams: Option<usize>,
    events: VecDeque<Event>,
    datagram: Vec<u8>,
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
            known_streams: None,
            events: VecDeque::new(),
            datagram: Vec::new(),
            stats: ConnectionStats::default(),
        }
    }

    /// Takes one datagram, which is decrypted in place. One that is not valid is dropped and
    /// counted by the session.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.now = self.now.max(now);
        // The error is in the session's counters, and nothing is answered to it.
        let _ = self.session.handle_packet(self.now, from, datagram);
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
                ramona_rtmfp::Output::Transmit { to, bytes } => {
                    // Copied, for a loop cannot hand the session's own buffer out.
                    self.datagram.clear();
                    self.datagram.extend_from_slice(bytes);
                    return Output::Transmit { to, bytes: &self.datagram };
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

    /// The NetConnection, for decisions and for what the server does of its own accord; its
    /// messages leave with the next [`poll_output`](Self::poll_output).
    pub fn net(&mut self) -> &mut NetConnection {
        &mut self.net
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

    /// Counters.
    pub fn stats(&self) -> ConnectionStats {
        self.stats
    }

    /// Passes an introduction on to the client (see [`Session::forward_hello`]).
    pub fn forward_hello(&mut self, epd: Bytes, reply: Address, tag: Bytes) {
        self.session.forward_hello(epd, reply, tag);
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
            if self.net.is_waiting() {
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
