//! What a worker asks of a viewer, and what viewers did.

use std::sync::atomic::Ordering::Relaxed;

use ramona_media::MediaFrame;

use crate::metrics::{Metrics, Protocol};

/// A viewer on this worker's arbiter. Calls come from the worker's handlers and must not call
/// back into [`Local`].
pub(crate) trait Viewer {
    /// Whose counters it moves.
    fn protocol(&self) -> Protocol;
    /// The cached group, at the start of the subscription.
    fn welcome(&self, running: bool, frames: &[MediaFrame], has_video: bool) -> Sent;
    /// Fetches what [`deliver`](Self::deliver) needs of memory, some viewers ahead of it: in steps,
    /// each behind the same of all those viewers, until it answers that nothing is left.
    fn look_ahead(&self, step: usize) -> bool;
    /// Frames as they come.
    fn deliver(&self, frames: &[MediaFrame], has_video: bool, after_gap: bool) -> Sent;
    /// The publication started or ended.
    fn run_changed(&self, running: bool);
    /// Once a second: refresh the numbers that scripts read.
    fn measure(&self);
}

/// What a viewer did with a batch: summed up before it reaches the node's counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
    pub(crate) closed: u64,
}

impl Sent {
    pub(super) fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.dropped += other.dropped;
        self.closed += other.closed;
    }
}

/// Moves the counters of the node.
pub(super) fn count(metrics: &Metrics, sent: [Sent; Protocol::ALL.len()]) {
    for (protocol, sent) in Protocol::ALL.into_iter().zip(sent) {
        if sent.frames + sent.dropped + sent.closed == 0 {
            continue;
        }
        let stats = metrics.media(protocol);
        stats.frames_out.fetch_add(sent.frames, Relaxed);
        stats.bytes_out.fetch_add(sent.bytes, Relaxed);
        stats.frames_dropped.fetch_add(sent.dropped, Relaxed);
        stats.viewers_closed.fetch_add(sent.closed, Relaxed);
    }
}
