//! RTMP (Adobe's specification 1.0) without input or output: bytes and time in, bytes, events and
//! one deadline out.
//!
//! - [`Session`] is the server's side of one TCP connection: handshake, chunks, control messages,
//!   timers, and the [`NetConnection`] that answers commands.
//! - Media of viewers does not pass through it: [`media_header`] and [`continuation_header`] frame
//!   a payload that all viewers share.
//! - [`Client`] is the other side, for tools and tests.
//!
//! The bounds on what a peer can make grow are in [`limits`].

#![forbid(unsafe_code)]

mod chunk;
mod client;
mod close;
mod command;
mod event;
pub mod fuzz;
mod handshake;
pub mod limits;
mod message;
mod session;
mod url;

pub use chunk::{
    ChunkError, HeaderBytes, MAX_PAYLOAD, OUT_CHUNK_SIZE, TooLong, continuation_header,
    media_header,
};
pub use client::{Client, ClientConfig, ClientEvent, ClientOutput};
pub use close::{CloseKind, CloseReason};
pub use command::{CommandError, MAX_DESCRIPTION, NetConnection, PublishRefusal, RejectCode};
pub use event::{Connect, Event, PublishMode};
pub use handshake::{Greeting, HandshakeError};
pub use message::{Message, MessageError, StreamId, UserControl};
pub use session::{Output, Session, SessionConfig};
pub use url::split_url;
