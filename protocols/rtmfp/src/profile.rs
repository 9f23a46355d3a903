//! The Flash profile (RFC 7425 §5): which flows carry a NetConnection, and how its messages are
//! framed.
//!
//! A message is `type u8 | timestamp u32 | payload`; the stream is in the metadata of the flow. One
//! control flow each way carries stream 0. Each stream has up to three flows each way, opened when
//! they are first used: commands with data, audio, video. What the messages say is for the layer above.

mod deadlines;
mod metadata;
mod receiving;
mod sending;
mod sync;

pub use deadlines::{Lifetime, MediaClass};
pub use metadata::StreamMetadata;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use crate::certificate::PeerId;
use crate::flow::{OpenFlowError, RecvFlowId, SendFlowId, WriteError};
use crate::netgroup::GroupId;
use crate::session::{Event, FlowEnd, Session};

use sync::Synchronizer;

/// Message types that choose a flow.
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const USER_CONTROL: u8 = 4;
/// Bytes before the payload of a message.
const HEADER_LEN: usize = 5;

/// Receive buffer of flows that carry commands: messages of up to 1 MiB, with what their fragments
/// cost besides.
const COMMAND_CAPACITY: usize = 5 << 18;
/// Receive buffer of flows that carry media: no message is larger.
const MEDIA_CAPACITY: usize = (16 << 20) - 1024;
/// Receive buffer of flows that join a group: a specification is at most 8,192 bytes.
const GROUP_CAPACITY: usize = 16_384;
/// Receiving flows of a connection without streams, and more for each stream.
const BASE_FLOWS: usize = 16;
const FLOWS_PER_STREAM: usize = 6;
/// Groups that one client may be in.
const MAX_GROUPS: usize = 256;

/// Which end of a NetConnection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Accepts the control flow.
    Server,
    /// Opens it.
    Client,
}

/// A message of a NetConnection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcMessage {
    /// 0: the connection itself.
    pub stream: u32,
    /// RTMP message type.
    pub kind: u8,
    /// Milliseconds.
    pub timestamp_ms: u32,
    /// Without the header.
    pub payload: Bytes,
}

/// What happened on the flows of a NetConnection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcEvent {
    /// A message.
    Message(TcMessage),
    /// Messages of a stream were abandoned; of media, what follows is broken until the next
    /// keyframe.
    Gap {
        /// On this stream.
        stream: u32,
        /// The type of the messages before, if there were any: tells audio from video.
        kind: Option<u8>,
    },
    /// The client is in a group from now on.
    GroupJoined {
        /// Identifies the membership.
        flow: RecvFlowId,
        /// The group.
        group: GroupId,
    },
    /// The client left a group.
    GroupLeft {
        /// The membership.
        flow: RecvFlowId,
        /// The group.
        group: GroupId,
    },
    /// At a client: the server names a member of a group.
    GroupMember {
        /// The member.
        peer: PeerId,
    },
    /// Room for messages again, after a full flow.
    Writable {
        /// On this stream.
        stream: u32,
    },
    /// The far end closed or rejected the connection's control flow: close the session.
    Closed,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The flow for it could not be opened.
    #[error("no flow: {0}")]
    Open(#[from] OpenFlowError),
    /// The flow did not take it.
    #[error("not queued: {0}")]
    Write(#[from] WriteError),
    /// What came before it is so late that it was dropped at once.
    #[error("the flow is too late")]
    Late,
    /// At a server, the client has not opened its control flow.
    #[error("the connection has no control flow")]
    NotConnected,
}

/// The flows that a sender has for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Channel {
    Commands,
    Audio,
    Video,
}

#[derive(Clone, Debug)]
enum Purpose {
    Control,
    Stream {
        id: u32,
        kind: Option<u8>,
    },
    /// Asks to join, then is a member.
    Group {
        joined: Option<GroupId>,
    },
}

/// The flows of one NetConnection.
pub struct NetConnectionFlows {
    side: Side,
    /// The far end's control flow.
    far_control: Option<RecvFlowId>,
    near_control: Option<SendFlowId>,
    sending: HashMap<(u32, Channel), SendFlowId>,
    /// Answers on group flows.
    members: HashMap<RecvFlowId, SendFlowId>,
    receiving: HashMap<RecvFlowId, Purpose>,
    streams: usize,
    synchronizer: Synchronizer,
    events: VecDeque<TcEvent>,
    closed: bool,
}

impl NetConnectionFlows {
    /// A connection without flows.
    pub fn new(side: Side) -> Self {
        Self {
            side,
            far_control: None,
            near_control: None,
            sending: HashMap::new(),
            members: HashMap::new(),
            receiving: HashMap::new(),
            streams: 0,
            synchronizer: Synchronizer::default(),
            events: VecDeque::new(),
            closed: false,
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TcEvent> {
        self.events.pop_front()
    }

    /// Takes an event of the session. `has_stream`: whether the connection has made that stream;
    /// flows of others are rejected. Gives back what is not about flows of the connection.
    pub fn handle_event(
        &mut self,
        now: Instant,
        session: &mut Session,
        event: Event,
        has_stream: impl Fn(u32) -> bool,
    ) -> Option<Event> {
        match event {
            Event::FlowOpened { flow, metadata, .. } => {
                self.open_receiving(now, session, flow, &metadata, has_stream);
            }
            Event::Message { flow, payload, .. } => self.take_message(now, session, flow, payload),
            Event::Gap { flow, .. } => {
                if let Some(Purpose::Stream { id, kind }) = self.receiving.get(&flow) {
                    let gap = TcEvent::Gap { stream: *id, kind: *kind };
                    self.tell(flow, gap);
                }
            }
            Event::FlowCompleted { flow } => self.end_receiving(now, session, flow),
            Event::FlowEnded { flow, reason } => self.end_sending(session, flow, reason),
            Event::Writable { flow } => {
                let stream = self.sending.iter().find(|(_, f)| **f == flow).map(|((id, _), _)| *id);
                let stream = stream.unwrap_or(0);
                self.events.push_back(TcEvent::Writable { stream });
            }
            other => return Some(other),
        }
        None
    }

    fn group_count(&self) -> usize {
        self.receiving.values().filter(|p| matches!(p, Purpose::Group { .. })).count()
    }

    /// Tells how many streams the connection has, which the limit of flows depends on.
    pub fn set_streams(&mut self, session: &mut Session, streams: usize) {
        self.streams = streams;
        self.limit_flows(session);
    }

    fn limit_flows(&self, session: &mut Session) {
        let groups = self.group_count();
        session.set_max_recv_flows(BASE_FLOWS + FLOWS_PER_STREAM * self.streams + groups);
    }

    fn end_sending(&mut self, session: &mut Session, flow: SendFlowId, reason: FlowEnd) {
        if self.near_control == Some(flow) && reason != FlowEnd::Completed {
            self.end(session);
        }
        // A stream's flow that was refused stays known, so that it is not opened again and again.
        if reason == FlowEnd::Completed {
            self.sending.retain(|_, f| *f != flow);
        }
        let gone = self.members.iter().find(|(_, f)| **f == flow).map(|(join, _)| *join);
        if let Some(join) = gone {
            self.members.remove(&join);
        }
    }

    /// The far end closed or rejected a control flow: everything ends, and its control flow is
    /// rejected too (quirk Q25).
    fn end(&mut self, session: &mut Session) {
        if self.closed {
            return;
        }
        self.closed = true;
        if let Some(control) = self.far_control {
            session.reject_flow(control, 0);
        }
        self.close_flows(session);
        self.events.push_back(TcEvent::Closed);
    }

    /// Ends every sending flow after what is queued: the last thing said on a connection.
    pub fn close(&mut self, session: &mut Session) {
        self.closed = true;
        self.close_flows(session);
    }

    fn close_flows(&mut self, session: &mut Session) {
        let streams = std::mem::take(&mut self.sending).into_values();
        let members = std::mem::take(&mut self.members).into_values();
        for flow in streams.chain(members).chain(self.near_control) {
            session.close_flow(flow);
        }
    }
}

fn header(kind: u8, timestamp_ms: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = timestamp_ms.to_be_bytes();
    [kind, a, b, c, d]
}

/// The user control message that sets keepalive intervals (event 41): of the session with the
/// server, and of the client's sessions with peers, in milliseconds.
pub fn set_keepalive(server_ms: u32, peer_ms: u32) -> TcMessage {
    let mut payload = Vec::with_capacity(10);
    payload.extend_from_slice(&41_u16.to_be_bytes());
    payload.extend_from_slice(&server_ms.to_be_bytes());
    payload.extend_from_slice(&peer_ms.to_be_bytes());
    TcMessage { stream: 0, kind: USER_CONTROL, timestamp_ms: 0, payload: payload.into() }
}

impl std::fmt::Debug for NetConnectionFlows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetConnectionFlows")
            .field("side", &self.side)
            .field("sending", &self.sending.len())
            .field("receiving", &self.receiving.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
