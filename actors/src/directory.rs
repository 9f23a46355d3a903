//! Names of publications and who uses them.
//!
//! Claiming a name is atomic, so that `mona:publish(name)` answers at once and two publishers of
//! one name never both win. A publication actor lives as long as its name has a publisher or a
//! viewer, so that viewers may come first. The lock is taken at publish, play and their ends,
//! never for a frame.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use bytes::Bytes;
use ramona_script::{MediaQos, PublicationId, PublishError};

use crate::messages::media::{PublishBatch, StreamKey};
use crate::messages::stream::ToPublication;
use crate::outbox::{Backlog, Outbox};
use crate::publication::Publication;

/// Names in use at once, published or awaited. Viewers may wait for any name they like, so this
/// bounds what they can make the node keep: about 1 kB each.
pub const MAX_NAMES: usize = 65_536;

/// Payload bytes of one publisher that may wait in its publication's mailbox. A TCP publisher is
/// slowed beyond, a script's frames are dropped to the next key frame.
pub const PUBLISH_BACKLOG: usize = 16 << 20;

/// Starts a publication actor for a new name.
pub type Starter = Box<dyn Fn(StreamKey, Bytes) -> Addr<Publication> + Send + Sync>;

/// See the module's text.
pub struct Directory {
    names: Mutex<HashMap<Bytes, Entry>>,
    keys: AtomicU64,
    start: Starter,
}

struct Entry {
    key: StreamKey,
    to: Addr<Publication>,
    run: Option<PublicationId>,
    /// Numbers of the run, once its claim was accepted.
    running: Option<Arc<MediaQos>>,
    viewers: usize,
    /// Frames that viewers lost since the name came up.
    dropped: Arc<AtomicU64>,
}

/// A name that is published or awaited.
pub(crate) struct NameInUse {
    /// As it was published.
    pub(crate) name: Bytes,
    /// Of this node.
    pub(crate) viewers: usize,
    /// Frames that viewers lost.
    pub(crate) dropped: u64,
    /// Numbers of the run; `None` while viewers wait.
    pub(crate) qos: Option<Arc<MediaQos>>,
}

/// A claimed name: the way for its publisher's frames.
#[derive(Debug)]
pub struct Claim {
    /// Frames of the publisher.
    pub frames: Outbox<PublishBatch>,
    /// Start, end and the like.
    pub control: Recipient<ToPublication>,
}

/// A viewer's tie to a publication, running or not.
#[derive(Debug)]
pub struct Subscription {
    /// Names the publication in worker messages.
    pub key: StreamKey,
    /// Join and leave.
    pub control: Recipient<ToPublication>,
    /// Counts what viewers of the name lose.
    pub dropped: Arc<AtomicU64>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("names", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Directory {
    /// An empty directory.
    pub fn new(start: Starter) -> Self {
        Self { names: Mutex::default(), keys: AtomicU64::new(1), start }
    }

    /// Claims a name for a run.
    ///
    /// # Errors
    /// The name has a publisher, or [`MAX_NAMES`] are in use.
    pub fn claim(&self, name: &Bytes, run: PublicationId) -> Result<Claim, PublishError> {
        let mut names = self.lock();
        let entry = self.entry(&mut names, name).ok_or(PublishError::Refused)?;
        if entry.run.is_some() {
            return Err(PublishError::AlreadyPublishing);
        }
        entry.run = Some(run);
        entry.running = None;
        let frames = Outbox::new(entry.to.clone(), Arc::new(Backlog::default()), PUBLISH_BACKLOG);
        Ok(Claim { frames, control: entry.to.clone().recipient() })
    }

    /// Marks a claimed name as running: viewers that ask from now on find a publication.
    pub fn started(&self, name: &Bytes, run: PublicationId, qos: &Arc<MediaQos>) {
        if let Some(entry) = self.lock().get_mut(name)
            && entry.run == Some(run)
        {
            entry.running = Some(qos.clone());
        }
    }

    /// Gives a claimed name back.
    pub fn release(&self, name: &Bytes, run: PublicationId) {
        let mut names = self.lock();
        if let Some(entry) = names.get_mut(name)
            && entry.run == Some(run)
        {
            entry.run = None;
            entry.running = None;
            self.forget_unused(&mut names, name);
        }
    }

    /// Ties a viewer to a name, whether it runs or not; `None` when [`MAX_NAMES`] are in use.
    pub fn subscribe(&self, name: &Bytes) -> Option<Subscription> {
        let mut names = self.lock();
        let entry = self.entry(&mut names, name)?;
        entry.viewers += 1;
        Some(Subscription {
            key: entry.key,
            control: entry.to.clone().recipient(),
            dropped: entry.dropped.clone(),
        })
    }

    /// Unties a viewer of the publication with this key.
    pub fn unsubscribe(&self, name: &Bytes, key: StreamKey) {
        let mut names = self.lock();
        if let Some(entry) = names.get_mut(name)
            && entry.key == key
        {
            entry.viewers = entry.viewers.saturating_sub(1);
            self.forget_unused(&mut names, name);
        }
    }

    /// The run of a name, when it is running.
    pub fn running(&self, name: &Bytes) -> Option<PublicationId> {
        self.lock().get(name).filter(|entry| entry.running.is_some()).and_then(|entry| entry.run)
    }

    /// All names as they are now, for people to look at.
    pub(crate) fn snapshot(&self) -> Vec<NameInUse> {
        let names = self.lock();
        let row = |(name, entry): (&Bytes, &Entry)| NameInUse {
            name: name.clone(),
            viewers: entry.viewers,
            dropped: entry.dropped.load(Ordering::Relaxed),
            qos: entry.running.clone(),
        };
        names.iter().map(row).collect()
    }

    /// Names in use.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no name is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry<'a>(
        &self,
        names: &'a mut HashMap<Bytes, Entry>,
        name: &Bytes,
    ) -> Option<&'a mut Entry> {
        if !names.contains_key(name) && names.len() >= MAX_NAMES {
            return None;
        }
        // A name sliced out of a read buffer would keep the whole buffer.
        let owned = Bytes::copy_from_slice(name);
        Some(names.entry(owned.clone()).or_insert_with(|| {
            let key = StreamKey(self.keys.fetch_add(1, Ordering::Relaxed));
            let to = (self.start)(key, owned);
            Entry { key, to, run: None, running: None, viewers: 0, dropped: Arc::default() }
        }))
    }

    fn forget_unused(&self, names: &mut HashMap<Bytes, Entry>, name: &Bytes) {
        if names.get(name).is_some_and(|entry| entry.run.is_none() && entry.viewers == 0)
            && let Some(entry) = names.remove(name)
        {
            entry.to.do_send(ToPublication::Stop);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, Entry>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
