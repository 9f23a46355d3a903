//! The server's side of a WebSocket connection above its frames: what a client's messages mean
//! (script API spec 4.15), what it is told, when it is asked for a sign of life.
//!
//! - [`Session`] takes whole messages and time, and gives out messages, events and one deadline.
//!   Frames (RFC 6455 §5) are read and written by a library of whoever owns the socket.
//! - [`FrameGuard`] looks at frame headers before that library does: it refuses a frame by the
//!   length that it announces, and not when so many bytes have been kept.
//! - [`data_message`] and [`DataFormat`] turn data messages of publications to and from text.

#![forbid(unsafe_code)]

mod close;
mod command;
mod data;
pub mod fuzz;
mod guard;
pub mod limits;
mod session;

pub use close::{CloseReason, close_code, code};
pub use command::Command;
pub use data::{DataError, DataFormat, data_message};
pub use guard::{FrameGuard, Violation};
pub use session::{Answer, Event, Input, Message, Session, SessionConfig};
