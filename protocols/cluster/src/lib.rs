//! Links between nodes: frames, hello, encryption and the state machine of one link.
//!
//! Everything here is sans-IO: bytes, time and entropy come in as arguments; bytes to transmit,
//! events and one deadline come out of [`Link::poll_output`].
//!
//! ```text
//! TCP bytes = preamble (8 bytes: magic, version, plain or secret)
//!             [secret only: Noise handshake, then everything below inside Noise records]
//!             hello frame, then any frames
//! frame     = u32 length, bincode 2 header, raw payload
//! ```
//!
//! What an owner of a [`Link`] does: give it what was read ([`Link::handle_input`],
//! [`Link::handle_eof`]), call [`Link::handle_timeout`] at the deadline, and drain
//! [`Link::poll_output`] until it answers [`Output::Timeout`]. After [`Event::Closed`] it writes
//! what is left, shuts down the write half, and discards what still arrives until end of file (1 s
//! at most): closing at once could reset the connection and cost the peer our last words.

#![forbid(unsafe_code)]

mod address;
mod aes_gcm;
mod backoff;
mod code;
mod duplicate;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod hello;
mod limits;
mod link;
mod message;
mod noise;
mod outbound;
mod preamble;
mod public_configuration;
mod reason;
mod secret;
mod targets;

pub use address::{AddressError, HostPort};
pub use backoff::{BACKOFF_MAX, BACKOFF_MIN, Backoff, backoff_delay};
pub use duplicate::{Keep, LinkIdentity, keep_which};
pub use frame::{Call, EncodeError, encode_call};
pub use hello::{Capabilities, Hello, HelloError, NodeId, Pairs};
pub use limits::{MAX_FRAME, MAX_HANDLER};
pub use link::{Event, Link, LinkConfig, MAX_APP_PATH, MAX_QUEUED, MAX_TEXT, Output, SendError};
pub use preamble::{PROTOCOL_VERSION, Stranger};
pub use public_configuration::{PublicConfiguration, is_public_key, public_configuration};
pub use reason::{CloseReason, Redial};
pub use secret::{SHORT_SECRET, Secret};
pub use targets::{MAX_TARGETS, Target, TargetError, TargetProblem, parse_targets};

#[cfg(test)]
mod tests;
