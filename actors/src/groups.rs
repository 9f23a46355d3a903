//! Groups: NetGroups by id. A group's actor lives as long as it has a membership, real or virtual;
//! the lock is taken at joins and leaves only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use ramona_script::ClientId;
use tracing::warn;

use crate::group::Group;
use crate::messages::client::ToSession;
use crate::messages::group::{GroupId, ToGroup};
use crate::metrics::Metrics;
use crate::worker::WorkerHandle;

/// Groups at once; each costs about 1 kB and its members.
pub(crate) const MAX_GROUPS: usize = 65_536;

/// Memberships of one group beyond which no client of this node joins it.
pub(crate) const MAX_MEMBERS: usize = 100_000;

/// See the module's text.
pub(crate) struct Groups {
    groups: Mutex<HashMap<GroupId, Entry>>,
    workers: Arc<[WorkerHandle]>,
    metrics: Arc<Metrics>,
}

struct Entry {
    to: Addr<Group>,
    memberships: usize,
}

impl Groups {
    pub(crate) fn new(workers: Arc<[WorkerHandle]>, metrics: Arc<Metrics>) -> Self {
        Self { groups: Mutex::default(), workers, metrics }
    }

    /// A client of this node joins; false when a limit is reached.
    pub(crate) fn join(
        &self,
        group: GroupId,
        client: ClientId,
        peer: [u8; 32],
        join: u64,
        session: Recipient<ToSession>,
    ) -> bool {
        self.add(group, ToGroup::Join { client, peer, join, session })
    }

    /// It leaves.
    pub(crate) fn leave(&self, group: GroupId, client: ClientId, join: u64) {
        self.remove(group, ToGroup::Leave { client, join });
    }

    /// A script adds a virtual member, or takes it away.
    pub(crate) fn set_virtual(&self, group: GroupId, peer: [u8; 32], member: bool) {
        if member {
            self.add(group, ToGroup::AddVirtual(peer));
        } else {
            self.remove(group, ToGroup::RemoveVirtual(peer));
        }
    }

    /// All groups, id and memberships, for people to look at.
    pub(crate) fn snapshot(&self) -> Vec<(String, usize)> {
        let groups = self.lock();
        groups.iter().map(|(id, entry)| (id.to_string(), entry.memberships)).collect()
    }

    fn add(&self, id: GroupId, message: ToGroup) -> bool {
        let mut groups = self.lock();
        let count = groups.len();
        if !groups.contains_key(&id) && count >= MAX_GROUPS {
            warn!(limit = MAX_GROUPS, "join refused: too many groups");
            return false;
        }
        let entry = groups.entry(id).or_insert_with(|| {
            let metrics = self.metrics.clone();
            let arbiter = &self.workers[count % self.workers.len()].arbiter;
            let to = Group::start_in_arbiter(arbiter, move |_| Group::new(id, metrics));
            Entry { to, memberships: 0 }
        });
        let is_real = matches!(message, ToGroup::Join { .. });
        if is_real && entry.memberships >= MAX_MEMBERS {
            warn!(group = %id, limit = MAX_MEMBERS, "join refused: too many members");
            return false;
        }
        entry.memberships += 1;
        entry.to.do_send(message);
        true
    }

    fn remove(&self, id: GroupId, message: ToGroup) {
        let mut groups = self.lock();
        let Some(entry) = groups.get_mut(&id) else { return };
        entry.to.do_send(message);
        entry.memberships = entry.memberships.saturating_sub(1);
        if entry.memberships == 0
            && let Some(entry) = groups.remove(&id)
        {
            entry.to.do_send(ToGroup::Stop);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupId, Entry>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
