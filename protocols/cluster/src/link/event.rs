use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{MAX_APP_PATH, MAX_QUEUED};
use crate::frame::Call;
use crate::hello::Hello;
use crate::reason::CloseReason;

/// What [`Link::poll_output`](crate::Link::poll_output) asks its owner to do.
#[derive(Debug)]
pub enum Output {
    /// Write these bytes, in order.
    Transmit(Bytes),
    /// Act on this.
    Event(Event),
    /// Nothing more for now; call [`Link::handle_timeout`](crate::Link::handle_timeout) at this time at the latest.
    Timeout(Instant),
}

/// News of one link, in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Both hellos are done, on this side; the own one is queued or sent. On both ends `properties`
    /// are those of the target entry that was dialled (SRV-04).
    Up(Hello),
    /// Calls of the peer, in order; all that one read completed, unless another event is between.
    Calls(Vec<Call>),
    /// The peer loaded or reloaded the application of this path (CLU-12); the text is the peer's and
    /// may be anything of up to [`MAX_APP_PATH`] bytes.
    App(Bytes),
    /// The peer refuses this node (CLU-10); `Closed` follows.
    Rejected(Bytes),
    /// A heartbeat came back after this time. At most one per read.
    RoundTrip(Duration),
    /// The link ended; the last event.
    Closed(CloseReason),
}

/// Why frames were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The link is closed.
    #[error("the link is closed")]
    Closed,
    /// More than [`MAX_QUEUED`] bytes would wait.
    #[error("the link's queue of {MAX_QUEUED} bytes is full")]
    QueueFull,
    /// An application path longer than [`MAX_APP_PATH`].
    #[error("an application path of {0} bytes, at most {MAX_APP_PATH}")]
    PathTooLong(usize),
}
