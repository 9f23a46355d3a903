//! Batches that wait for an empty mailbox. Those of one publication leave together: a worker that is
//! behind catches up by fewer and larger writes.

use ramona_media::MediaFrame;
use smallvec::{SmallVec, smallvec};

use crate::messages::media::Deliver;
use crate::outbox::{Ticket, Ticketed};

/// Frames that are sent as one although they came apart: as many as one read of a publisher's socket
/// holds at a usual rate. Behind that a viewer's own queue would be passed over for too long.
pub(super) const MERGED_FRAMES: usize = 64;

/// Batches looked at to find one of the same publication that still waits.
const MERGED_AMONG: usize = 8;

/// See the module's text.
#[derive(Default)]
pub(super) struct Waiting(Vec<Merged>);

/// Frames of one publication that came one after the other.
struct Merged {
    batch: Deliver,
    /// Those behind the batch.
    more: Vec<MediaFrame>,
    /// Places in the mailbox, kept until all is sent.
    tickets: SmallVec<[Ticket; 1]>,
}

impl Waiting {
    /// How many will be sent.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps a batch behind those of its publication that wait.
    pub(super) fn keep(&mut self, message: Ticketed<Deliver>) {
        let Ticketed { message: batch, ticket } = message;
        let mut newest = self.0.iter_mut().rev().take(MERGED_AMONG);
        if let Some(merged) = newest.find(|merged| merged.batch.stream == batch.stream)
            && !batch.after_gap
            && merged.batch.frames.len() + merged.more.len() + batch.frames.len() <= MERGED_FRAMES
        {
            merged.more.extend(batch.frames.iter().cloned());
            merged.batch.has_video = batch.has_video;
            merged.tickets.push(ticket);
            return;
        }
        self.0.push(Merged { batch, more: Vec::new(), tickets: smallvec![ticket] });
    }

    /// Gives each to `send`, the oldest first; its places in the mailbox are free behind that.
    pub(super) fn send_all(&mut self, mut send: impl FnMut(&Deliver)) {
        for Merged { mut batch, more, tickets } in self.0.drain(..) {
            if !more.is_empty() {
                batch.frames = batch.frames.iter().cloned().chain(more).collect();
            }
            send(&batch);
            drop(tickets);
        }
    }
}
