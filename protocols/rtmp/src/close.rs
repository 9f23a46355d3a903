//! Why a connection ended.

use std::time::Duration;

use crate::chunk::{ChunkError, TooLong};
use crate::command::CommandError;
use crate::handshake::HandshakeError;
use crate::message::MessageError;

/// How the node itself closes a connection (WRI-07).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseKind {
    /// Without a status.
    Normal,
    /// With NetConnection.Connect.IdleTimeout (STA-07).
    IdleTimeout,
    /// With NetConnection.Connect.AppShutdown (STA-07).
    AppShutdown,
}

/// Why a connection ended, in words for a log line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The handshake was not one of RTMP.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk stream was broken or beyond a limit.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A control or aggregate message was broken.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A command was broken, beyond a limit or out of place.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// No connect command came in time.
    #[error("no connect command within {0:?}")]
    HandshakeTimeout(Duration),
    /// Nothing at all came for the time given.
    #[error("nothing received for {0:?}")]
    Idle(Duration),
    /// The connect command was refused.
    #[error("connect refused")]
    Rejected,
    /// The client said `close`.
    #[error("closed by the client")]
    Peer,
    /// The node closed it.
    #[error("closed by the server side")]
    Local(CloseKind),
    /// Something that had to be sent cannot be carried.
    #[error("cannot send: {0}")]
    Unsendable(#[from] TooLong),
}

impl CloseReason {
    /// True when the peer broke the protocol or a limit.
    pub fn is_protocol_error(&self) -> bool {
        matches!(self, Self::Handshake(_) | Self::Chunk(_) | Self::Message(_) | Self::Command(_))
    }
}
