//! Flows: unidirectional sequences of messages inside a session (RFC 7016 §3.6).

mod fragment;
mod ranges;
mod recv;
mod send;

pub use recv::Delivery;
pub(crate) use recv::{Arrival, RecvFlow, RecvState};
pub(crate) use send::{SendFlow, SendFlows};

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

/// Largest metadata, so that the first packet of a flow has room for data (RFC 7016 §2.3.11.1.1).
pub const MAX_METADATA: usize = 512;
/// Largest [`Message::header`].
pub const MAX_MESSAGE_HEADER: usize = 16;

/// A flow that this end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendFlowId(pub u64);

/// A flow that the far end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecvFlowId(pub u64);

/// Which flow goes first when not everything fits; strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// After everything else.
    Background,
    /// Ordinary data.
    #[default]
    Routine,
    /// Video.
    Flash,
    /// Audio, commands and data that goes with them.
    Immediate,
}

/// How a sending flow is opened.
#[derive(Clone, Debug, Default)]
pub struct FlowOptions {
    /// What the receiver accepts or rejects the flow by; up to [`MAX_METADATA`] bytes.
    pub metadata: Bytes,
    /// The receiving flow that this flow answers (return flow association).
    pub associated: Option<RecvFlowId>,
    /// Which flow goes first.
    pub priority: Priority,
    /// Real-time data: packets that carry it are flagged and the congestion window is defended.
    pub time_critical: bool,
}

/// One message to send.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Bytes before the payload, copied; up to [`MAX_MESSAGE_HEADER`].
    pub header: &'a [u8],
    /// Shared, never copied before encryption.
    pub payload: Bytes,
    /// Abandoned when its first fragment has not left after this time; `None`: never.
    pub start_within: Option<Duration>,
    /// Abandoned when not acknowledged after this time; `None`: never.
    pub finish_within: Option<Duration>,
    /// Lost fragments are sent again; otherwise the message is abandoned at its first loss.
    pub retransmit: bool,
    /// Useless without the message before it, and abandoned with it: a video frame that is no
    /// keyframe.
    pub dependent: bool,
}

impl<'a> Message<'a> {
    /// A message that is sent until it is acknowledged.
    pub fn reliable(header: &'a [u8], payload: Bytes) -> Self {
        Self {
            header,
            payload,
            start_within: None,
            finish_within: None,
            retransmit: true,
            dependent: false,
        }
    }
}

/// Why a flow was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenFlowError {
    /// The session is closing or closed.
    #[error("session is not open")]
    Closed,
    /// More than [`MAX_METADATA`] bytes.
    #[error("metadata has {0} bytes, more than {MAX_METADATA}")]
    Metadata(usize),
    /// More sending flows than the session's limit.
    #[error("session has {0} sending flows, its limit")]
    TooMany(usize),
    /// The associated receiving flow is not open.
    #[error("associated flow {} is not open", .0.0)]
    Association(RecvFlowId),
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// No such flow, or it is closed, or its receiver reported an exception.
    #[error("flow is not open")]
    Closed,
    /// The flow holds as many bytes as it may; [`Event::Writable`](crate::Event::Writable) tells
    /// when there is room.
    #[error("flow has {queued_bytes} of {capacity} bytes queued")]
    BufferFull {
        /// Bytes waiting.
        queued_bytes: usize,
        /// The limit.
        capacity: usize,
    },
    /// The message depends on one that was abandoned.
    #[error("the message that this one depends on was abandoned")]
    PredecessorAbandoned,
    /// The header is longer than [`MAX_MESSAGE_HEADER`].
    #[error("message header has {0} bytes, more than {MAX_MESSAGE_HEADER}")]
    Header(usize),
}

/// What a sending flow did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Bytes of messages not yet acknowledged or abandoned.
    pub queued_bytes: usize,
    /// Bytes of chunks sent, with retransmissions.
    pub sent_bytes: u64,
    /// Messages queued.
    pub messages: u64,
    /// Messages given up.
    pub abandoned: u64,
    /// Fragments sent again.
    pub retransmitted: u64,
}
