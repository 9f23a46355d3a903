//! What sessions tell their owner.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use crate::address::Address;
use crate::crypto::OpenError;
use crate::flow::{RecvFlowId, SendFlowId};

/// What a session wants of its owner.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send `bytes` to `to`.
    Transmit {
        /// Usually the far end's address; another for answers and checks of new addresses.
        to: SocketAddr,
        /// One datagram; valid until the next call.
        bytes: &'a [u8],
    },
    /// Something happened.
    Event(Event),
    /// Nothing until then; call [`Session::handle_timeout`](crate::Session::handle_timeout). `None` when the session is closed.
    Timeout(Option<Instant>),
}

/// What happened in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// At a responder, the first valid packet came: the far end has its keys. Until then its peer
    /// ID is a claim.
    Confirmed,
    /// The far end opens a flow: answer with [`Session::accept_flow`](crate::Session::accept_flow) or [`Session::reject_flow`](crate::Session::reject_flow).
    FlowOpened {
        /// The new flow.
        flow: RecvFlowId,
        /// What it is for.
        metadata: Bytes,
        /// This end's flow that it answers.
        associated: Option<SendFlowId>,
    },
    /// A message is complete.
    Message {
        /// On this flow.
        flow: RecvFlowId,
        /// Number of its first fragment; tells the order where messages come as received.
        sequence: u64,
        /// Its bytes.
        payload: Bytes,
    },
    /// Fragments were abandoned by the far end; the messages that they belong to are lost.
    Gap {
        /// On this flow.
        flow: RecvFlowId,
        /// First number lost.
        first: u64,
        /// Last number lost.
        last: u64,
    },
    /// Everything of a flow was received, or rejected for a message larger than its buffer.
    FlowCompleted {
        /// The flow.
        flow: RecvFlowId,
    },
    /// A sending flow is over.
    FlowEnded {
        /// The flow.
        flow: SendFlowId,
        /// Why.
        reason: FlowEnd,
    },
    /// There is room again after [`WriteError::BufferFull`](crate::WriteError::BufferFull).
    Writable {
        /// On this flow.
        flow: SendFlowId,
    },
    /// An introduction: somebody at `reply` seeks `epd`. Answer with
    /// [`Endpoint::respond`](crate::Endpoint::respond).
    ForwardedHello {
        /// Endpoint discriminator.
        epd: Bytes,
        /// Where to answer to.
        reply: Address,
        /// To be returned.
        tag: Bytes,
    },
    /// The far end's address is another, and was checked.
    AddressChanged {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// The session is over; its last event. Go on with [`Session::poll_output`](crate::Session::poll_output) until it answers
    /// [`Output::Timeout`] with `None`: the far end may have to be told again.
    Closed(CloseReason),
}

/// Why a sending flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// Closed by this end, and everything is acknowledged or abandoned.
    Completed,
    /// Rejected by the far end. Nothing more is sent.
    Exception(u64),
    /// The far end neither acknowledged nor rejected it for 30 s (quirk Q13).
    Unanswered,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This end closed it.
    Local,
    /// The far end closed it.
    Remote,
    /// Nothing came for too long.
    Idle,
    /// Data was not acknowledged for too long.
    Unacknowledged,
    /// No valid packet followed the handshake.
    Unconfirmed,
    /// A receiver had no room for too long.
    Stalled,
    /// The far end broke the protocol, or held more memory than it may.
    Violation(Violation),
}

/// How the far end broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// A sequence number jumped.
    #[error("sequence number jumped by more than a million")]
    SequenceJump,
    /// Too much waits for missing fragments.
    #[error("more bytes wait for reassembly than a session may hold")]
    Buffered,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PacketError {
    /// Not opened: wrong key, wrong checksum, replayed.
    #[error("not opened: {0}")]
    Open(#[from] OpenError),
    /// The header is cut off or of mode 0.
    #[error("header is not valid")]
    Header,
    /// A packet of the own role, or of startup: a reflection.
    #[error("mode is not the far end's")]
    Mode,
    /// The session is closed.
    #[error("session is closed")]
    Closed,
}
