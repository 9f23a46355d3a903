//! The thread that brings the changes of `data` into the database, behind the script's back.
//!
//! The database flushes its own journal while it holds the lock that writing needs, and lets writers
//! sleep when it falls behind; a script must not wait for either. So changes wait here, at most
//! [`MAX_QUEUED`] bytes of them: only then does an assignment wait.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fjall::{Keyspace, PartitionHandle, PersistMode};
use ramona_script::DataChange;
use tracing::error;

use super::journal::Segment;
use super::{add, failed};

/// Bytes of changes that the database has not got yet.
pub(super) const MAX_QUEUED: usize = 16 << 20;

/// Changes are on the disk itself after this time: a failing machine loses no more.
const SYNC: Duration = Duration::from_secs(1);

/// How long changes may gather, so that they cost one waking and one batch.
const GATHER: Duration = Duration::from_millis(10);

/// What a change weighs beside its key and value.
const CHANGE_BYTES: usize = 64;

/// See the module's text. Shared by the script's thread and the writer's.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to do.
    filled: Condvar,
    /// There is room again, or all is done.
    drained: Condvar,
    /// Assignments that had to wait for room.
    waits: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    work: Vec<Work>,
    /// Of the changes in `work` and of those that are being brought in.
    bytes: usize,
    /// To go on in, made ahead: making a file takes its time.
    spare: Option<Segment>,
    /// The segment that is being written, which has to be flushed.
    current: Option<Arc<std::fs::File>>,
    ended: bool,
    /// Pieces of work put in and done.
    put: u64,
    done: u64,
}

enum Work {
    Changes(Vec<DataChange>, usize),
    /// Everything of this segment was put in before.
    Sealed(Segment),
}

impl Queue {
    pub(super) fn new(waits: Arc<AtomicU64>) -> Self {
        Self { waits, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: &mut State, work: Work) {
        if state.work.is_empty() {
            self.filled.notify_one();
        }
        state.work.push(work);
        state.put += 1;
    }

    /// Puts changes in; waits for room. Answers whether there is anybody who brings them in.
    pub(super) fn push(&self, changes: Vec<DataChange>) -> bool {
        let bytes = changes.iter().map(weight).sum();
        let mut state = self.lock();
        if state.bytes > 0 && state.bytes + bytes > MAX_QUEUED {
            self.waits.fetch_add(1, Relaxed);
            self.filled.notify_one();
            state = self
                .drained
                .wait_while(state, |state| {
                    state.bytes > 0 && state.bytes + bytes > MAX_QUEUED && !state.ended
                })
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return false;
        }
        state.bytes += bytes;
        self.put(&mut state, Work::Changes(changes, bytes));
        true
    }

    /// A segment to go on in, if one is ready.
    pub(super) fn spare(&self) -> Option<Segment> {
        self.lock().spare.take()
    }

    /// The segment that is written from now on, and the one before.
    pub(super) fn switched(&self, current: Arc<std::fs::File>, before: Option<Segment>) {
        let mut state = self.lock();
        state.current = Some(current);
        if let Some(before) = before {
            self.put(&mut state, Work::Sealed(before));
        }
    }

    /// Waits until all that was put in is done.
    pub(super) fn wait(&self) {
        let state = self.lock();
        let target = state.put;
        self.filled.notify_one();
        let waited = self.drained.wait_while(state, |state| state.done < target && !state.ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// The writer ends when it has done all that was put in.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.filled.notify_one();
        self.drained.notify_all();
    }

    /// Waits for work, or until `until`; `None` at the end.
    fn take(&self, until: Option<Instant>) -> Option<Vec<Work>> {
        let state = self.lock();
        let is_idle = |state: &mut State| state.work.is_empty() && !state.ended;
        let mut state = match until {
            None => self.filled.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let waited = self.filled.wait_timeout_while(state, left, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if state.work.is_empty() {
            return if state.ended { None } else { Some(Vec::new()) };
        }
        let gathers = |state: &mut State| state.bytes < MAX_QUEUED / 2 && !state.ended;
        // Whoever waits for room or for the end says so.
        if gathers(&mut state) {
            let waited = self.filled.wait_timeout(state, GATHER);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(std::mem::take(&mut state.work))
    }
}

fn weight(change: &DataChange) -> usize {
    CHANGE_BYTES
        + match change {
            DataChange::Set(key, value) => key.len() + value.len(),
            DataChange::Table(key) | DataChange::Remove(key) => key.len(),
        }
}

/// The thread's own part.
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) keyspace: Keyspace,
    pub(super) partition: PartitionHandle,
    /// Of the journal.
    pub(super) folder: PathBuf,
    /// Number of the next segment.
    pub(super) next: u64,
    pub(super) failures: Arc<AtomicU64>,
}

impl Drop for Writer {
    /// After a panic nobody waits for it.
    fn drop(&mut self) {
        self.queue.end();
    }
}

impl Writer {
    pub(super) fn run(mut self) {
        let mut sync_at = None;
        self.make_spare();
        while let Some(work) = self.queue.take(sync_at) {
            if !work.is_empty() && sync_at.is_none() {
                sync_at = Some(Instant::now() + SYNC);
            }
            // Before work counts as done: whoever waited for it may go on in a new segment.
            self.make_spare();
            self.work(work);
            if sync_at.is_some_and(|at| at <= Instant::now()) {
                sync_at = None;
                let current = self.queue.lock().current.clone();
                if let Some(Err(problem)) = current.map(|file| file.sync_data()) {
                    failed(&self.failures, &problem);
                }
            }
        }
    }

    fn work(&mut self, work: Vec<Work>) {
        let pieces = work.len() as u64;
        let mut bytes = 0;
        let mut batch = self.keyspace.batch();
        for piece in work {
            match piece {
                Work::Changes(changes, weight) => {
                    bytes += weight;
                    changes.into_iter().for_each(|change| add(&mut batch, &self.partition, change));
                }
                Work::Sealed(segment) => {
                    self.commit(std::mem::replace(&mut batch, self.keyspace.batch()));
                    // Only what the database has on the disk may be forgotten.
                    match self.keyspace.persist(PersistMode::SyncAll) {
                        Ok(()) => {
                            if let Err(problem) = segment.remove() {
                                error!("data: a segment of the journal stays: {problem}");
                            }
                        }
                        Err(problem) => failed(&self.failures, &problem),
                    }
                }
            }
        }
        self.commit(batch);
        let mut state = self.queue.lock();
        state.bytes -= bytes;
        state.done += pieces;
        drop(state);
        self.queue.drained.notify_all();
    }

    fn commit(&self, batch: fjall::Batch) {
        if batch.is_empty() {
            return;
        }
        if let Err(problem) = batch.commit() {
            failed(&self.failures, &problem);
        }
    }

    fn make_spare(&mut self) {
        if self.queue.lock().spare.is_some() {
            return;
        }
        // Without one the present segment grows; the next round tries again.
        if let Ok(segment) = Segment::create(&self.folder, self.next) {
            self.next += 1;
            self.queue.lock().spare = Some(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::testing::block_until;

    fn change(bytes: usize) -> Vec<DataChange> {
        vec![DataChange::Set("k".into(), Bytes::from(vec![0; bytes]))]
    }

    #[test]
    fn changes_wait_for_nobody_until_the_queue_is_full() {
        let queue = Arc::new(Queue::default());
        // Nobody takes any.
        assert!(queue.push(change(MAX_QUEUED - 1_000)));
        assert!(queue.push(change(500)));
        assert_eq!(queue.waits.load(Relaxed), 0);
        let third = queue.clone();
        let waiting = std::thread::spawn(move || third.push(change(1_000)));
        block_until("it waits", || queue.waits.load(Relaxed) > 0);
        let taken = queue.take(None).unwrap();
        assert_eq!(taken.len(), 2);
        queue.lock().bytes = 0;
        queue.drained.notify_all();
        assert!(waiting.join().unwrap());
        assert_eq!(queue.take(None).unwrap().len(), 1);
    }

    #[test]
    fn nobody_waits_for_a_writer_that_has_ended() {
        let queue = Arc::new(Queue::default());
        assert!(queue.push(change(MAX_QUEUED)));
        let second = queue.clone();
        let waiting = std::thread::spawn(move || second.push(change(1)));
        block_until("it waits", || queue.waits.load(Relaxed) > 0);
        queue.end();
        assert!(!waiting.join().unwrap());
        queue.wait();
    }

    #[test]
    fn what_is_larger_than_the_queue_passes_alone() {
        let queue = Queue::default();
        assert!(queue.push(change(2 * MAX_QUEUED)));
        assert_eq!(queue.waits.load(Relaxed), 0);
    }
}
