//! The client's side of one session, for tools and tests: connect, publish, play, calls and
//! groups. It is as strict as clients of rtmfp-cpp about what the server's flows answer (quirk
//! Q17), so that tests notice.

mod commands;
mod incoming;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use ramona_rtmfp::{
    Address, FlowOptions, PeerId, Priority, RecvFlowId, SendFlowId, Session, WriteError,
};
use ramona_rtmp::StreamId;

use crate::metadata::FlowKind;

use commands::Expected;

/// A group that a client asked to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupHandle(pub(crate) SendFlowId);

/// What a client wants of its owner.
#[derive(Debug)]
pub enum ClientOutput<'a> {
    /// Send `bytes` to `to`.
    Transmit {
        /// Usually the server's address.
        to: SocketAddr,
        /// One datagram; valid until the next call.
        bytes: &'a [u8],
    },
    /// Something happened.
    Event(ClientEvent),
    /// Nothing until then; call [`Client::handle_timeout`]. `None` when the session is closed and
    /// has nothing more to say.
    Timeout(Option<Instant>),
}

/// What happened on a client's connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// What a client of RTMP is told too.
    Net(ramona_rtmp::ClientEvent),
    /// How often the server wants sessions to be kept alive, in milliseconds.
    Keepalive {
        /// The session with the server; obeyed, 5 s at least.
        server_ms: u32,
        /// Sessions with peers.
        peer_ms: u32,
    },
    /// The server tells a member of a group.
    Member {
        /// The group.
        group: GroupHandle,
        /// The member.
        peer: PeerId,
    },
    /// A flow of a stream was rejected by the server.
    FlowRejected {
        /// The stream; 0 for the connection.
        stream: StreamId,
        /// The code that the server gave.
        code: u64,
    },
    /// A group flow was rejected by the server.
    GroupRefused(GroupHandle),
    /// The server gave messages of a stream up.
    Gap(StreamId),
    /// A flow of the server was rejected, for it does not answer the client's own.
    FlowRefused {
        /// What it is for.
        metadata: Bytes,
    },
    /// The server's control flow is over.
    ControlEnded,
    /// An introduction: answer with [`Endpoint::respond`](ramona_rtmfp::Endpoint::respond).
    ForwardedHello {
        /// Endpoint discriminator.
        epd: Bytes,
        /// Where to answer to.
        reply: Address,
        /// To be returned.
        tag: Bytes,
    },
    /// The server's address is another, and was checked.
    AddressChanged {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// The session is over.
    Closed(ramona_rtmfp::CloseReason),
}

/// The client's flows of one stream.
#[derive(Debug)]
struct ClientStream {
    id: StreamId,
    data: Option<SendFlowId>,
    audio: Option<SendFlowId>,
    video: Option<SendFlowId>,
}

/// What a flow of the server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Stream(StreamId),
    Group(GroupHandle),
}

/// The client's side of one session.
///
/// After each call, [`poll_output`](Self::poll_output) is called until it answers
/// [`ClientOutput::Timeout`].
pub struct Client {
    session: Box<Session>,
    now: Instant,
    near_control: Option<SendFlowId>,
    far_control: Option<RecvFlowId>,
    incoming: HashMap<RecvFlowId, Purpose>,
    streams: Vec<ClientStream>,
    groups: Vec<GroupHandle>,
    last_transaction: u32,
    open_calls: VecDeque<(f64, Expected)>,
    events: VecDeque<ClientEvent>,
    datagram: Vec<u8>,
}

impl Client {
    /// A client over a session that this end opened.
    pub fn new(now: Instant, session: Box<Session>) -> Self {
        Self {
            session,
            now,
            near_control: None,
            far_control: None,
            incoming: HashMap::new(),
            streams: Vec::new(),
            groups: Vec::new(),
            last_transaction: 0,
            open_calls: VecDeque::new(),
            events: VecDeque::new(),
            datagram: Vec::new(),
        }
    }

    /// Takes one datagram, which is decrypted in place. One that is not valid is dropped and
    /// counted by the session.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.now = self.now.max(now);
        // The error is in the session's counters, and nothing is answered to it.
        let _ = self.session.handle_packet(self.now, from, datagram);
    }

    /// To be called at the time given by [`ClientOutput::Timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.session.handle_timeout(self.now);
    }

    /// Tells the time to what is queued next.
    pub fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// What to do next: events first, then datagrams, then the time to wait for.
    pub fn poll_output(&mut self) -> ClientOutput<'_> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return ClientOutput::Event(event);
            }
            match self.session.poll_output() {
                ramona_rtmfp::Output::Event(event) => self.handle_session_event(event),
                ramona_rtmfp::Output::Transmit { to, bytes } => {
                    // Copied, for a loop cannot hand the session's own buffer out.
                    self.datagram.clear();
                    self.datagram.extend_from_slice(bytes);
                    return ClientOutput::Transmit { to, bytes: &self.datagram };
                }
                ramona_rtmfp::Output::Timeout(timeout) => return ClientOutput::Timeout(timeout),
            }
        }
    }

    /// The session: addresses, round trip, counters.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, for what no method here does.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Ends the session in order.
    pub fn close(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.session.close(self.now);
    }

    /// Ends the control flow, as a client does whose NetConnection is closed.
    pub fn close_control(&mut self) {
        if let Some(flow) = self.near_control {
            self.session.close_flow(flow);
        }
    }

    // --- flows -----------------------------------------------------------------------------------

    /// The client's control flow, opened when first used.
    fn control_flow(&mut self) -> Option<SendFlowId> {
        if self.near_control.is_none() {
            let kind = FlowKind::Stream(StreamId(0));
            self.near_control = self.open_flow(kind, None, Priority::Immediate, false);
        }
        self.near_control
    }

    fn open_flow(
        &mut self,
        kind: FlowKind,
        associated: Option<RecvFlowId>,
        priority: Priority,
        time_critical: bool,
    ) -> Option<SendFlowId> {
        let metadata = kind.encode();
        let options = FlowOptions { metadata, associated, priority, time_critical };
        self.session.open_flow(options).ok()
    }

    /// A flow of a stream, opened when first used.
    fn stream_flow(&mut self, id: StreamId, message_kind: u8) -> Option<SendFlowId> {
        use crate::message::kind::{AUDIO, VIDEO};
        if id.0 == 0 {
            return self.control_flow();
        }
        if self.streams.iter().all(|stream| stream.id != id) {
            self.streams.push(ClientStream { id, data: None, audio: None, video: None });
        }
        let stream = self.streams.iter().find(|stream| stream.id == id)?;
        let (known, priority) = match message_kind {
            AUDIO => (stream.audio, Priority::Immediate),
            VIDEO => (stream.video, Priority::Flash),
            _ => (stream.data, Priority::Immediate),
        };
        if known.is_some() {
            return known;
        }
        let is_media = matches!(message_kind, AUDIO | VIDEO);
        let flow = self.open_flow(FlowKind::Stream(id), self.far_control, priority, is_media)?;
        let stream = self.streams.iter_mut().find(|stream| stream.id == id)?;
        let slot = match message_kind {
            AUDIO => &mut stream.audio,
            VIDEO => &mut stream.video,
            _ => &mut stream.data,
        };
        *slot = Some(flow);
        Some(flow)
    }

    /// Writes one message on the flow where it belongs.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn send_message(&mut self, message: &ramona_rtmp::Message) -> Result<(), WriteError> {
        self.send(message, true)
    }

    fn send(&mut self, message: &ramona_rtmp::Message, retransmit: bool) -> Result<(), WriteError> {
        let flow = self.stream_flow(message.stream, message.kind).ok_or(WriteError::Closed)?;
        let header = crate::message::header(message.kind, message.timestamp_ms);
        let reliable = ramona_rtmfp::Message::reliable(&header, message.payload.clone());
        let message = ramona_rtmfp::Message { retransmit, ..reliable };
        self.session.write(self.now, flow, &message)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.session)
            .field("streams", &self.streams.len())
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}
