//! Everything that a peer or a script can make grow, with where the number comes from.

use std::time::Duration;

use ramona_rtmp::limits::{MAX_COMMAND_MESSAGE, MAX_MEDIA_MESSAGE};

/// Receiving flows before connect is accepted: the control flow.
pub const FLOWS_BEFORE_CONNECT: usize = 1;

/// Receiving flows that a session may have besides those of streams and groups: control, and some
/// that wait to be refused.
pub const BASE_FLOWS: usize = 16;

/// Receiving flows for each stream: clients use 3 or 4 (commands, data, audio, video).
pub const FLOWS_PER_STREAM: usize = 6;

/// NetGroups that one client is in at a time, each on a flow of its own.
pub const MAX_GROUPS: usize = 64;

/// Flows of scripts (`newFlowWriter`) on one connection.
pub const MAX_WRITERS: usize = 64;

/// Largest message of a group flow: the specification of a group, in text.
pub const MAX_GROUP_MESSAGE: usize = 8 << 10;

/// Addresses taken of one `setPeerInfo`; a Redirect carries 7 of them and more interfaces are
/// rare.
pub const MAX_PEER_ADDRESSES: usize = 16;

/// Receive buffer of the control flow: the largest command, and what its fragments cost.
pub(crate) const CONTROL_BUFFER: usize = with_overhead(MAX_COMMAND_MESSAGE);

/// Receive buffer of a flow of a stream: the largest frame, and what its fragments cost.
pub(crate) const STREAM_BUFFER: usize = with_overhead(MAX_MEDIA_MESSAGE);

/// Fragments carry a kilobyte and are stored with 64 bytes more; an eighth is on the safe side.
const fn with_overhead(bytes: usize) -> usize {
    bytes + bytes / 8
}

/// From the end of the control flow to the end of the session, for the last messages to arrive.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(3);
