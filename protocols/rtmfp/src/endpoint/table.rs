//! The sessions of an endpoint: by identifier, address and peer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::certificate::PeerId;
use crate::session::{Role, SessionId};

/// What an endpoint remembers of a session.
pub(super) struct Entry {
    pub(super) role: Role,
    pub(super) address: SocketAddr,
    /// Where it was opened from, which its IP address is counted by.
    pub(super) counted: IpAddr,
    pub(super) peer: PeerId,
    /// Hash of the whole certificate: a replacement has the same.
    pub(super) certificate: [u8; 32],
    /// Responder: the keying it was made of and the answer, until the first packet.
    pub(super) keying: Option<Answered>,
}

/// An answered Initial Keying.
pub(super) struct Answered {
    pub(super) initiator: SessionId,
    /// Hash of the initiator's component.
    pub(super) component: [u8; 32],
    /// The datagram, freed when the initiator has shown that it came.
    pub(super) answer: Option<Box<[u8]>>,
}

/// Sessions of a group before the next one gets any.
const GROUP_BLOCK: usize = 64;

#[derive(Default)]
pub(super) struct Table {
    /// How many sessions each group has, those from the first to the last that was asked for.
    groups: Vec<usize>,
    sessions: HashMap<SessionId, Entry>,
    /// Responders only: an initiator may have any number of sessions with a far address.
    by_address: HashMap<SocketAddr, SessionId>,
    /// Confirmed ones.
    by_peer: HashMap<PeerId, SessionId>,
    per_ip: HashMap<IpAddr, usize>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    pub(super) fn of_peer(&self, peer: PeerId) -> Option<SessionId> {
        self.by_peer.get(&peer).copied()
    }

    pub(super) fn of_address(&self, address: SocketAddr) -> Option<(SessionId, &Entry)> {
        let id = *self.by_address.get(&address)?;
        Some((id, self.sessions.get(&id)?))
    }

    pub(super) fn count_of(&self, ip: IpAddr) -> usize {
        self.per_ip.get(&ip).copied().unwrap_or(0)
    }

    /// The group that the next session is to be of.
    pub(super) fn next_group(&mut self, groups: u32) -> u32 {
        if self.groups.len() != groups as usize {
            self.groups = vec![0; groups as usize];
            for id in self.sessions.keys() {
                self.groups[(id.0 % groups) as usize] += 1;
            }
        }
        // The first of those with the fewest full blocks.
        let next = self.groups.iter().enumerate().min_by_key(|(_, count)| **count / GROUP_BLOCK);
        next.map_or(0, |(group, _)| group as u32)
    }

    fn group_of(&mut self, id: SessionId) -> Option<&mut usize> {
        let groups = self.groups.len().max(1);
        self.groups.get_mut(id.0 as usize % groups)
    }

    pub(super) fn insert(&mut self, id: SessionId, entry: Entry) {
        if let Some(count) = self.group_of(id) {
            *count += 1;
        }
        *self.per_ip.entry(entry.counted).or_default() += 1;
        if entry.role == Role::Responder {
            self.by_address.insert(entry.address, id);
        }
        self.sessions.insert(id, entry);
    }

    /// The older session of the same peer.
    pub(super) fn confirm(&mut self, id: SessionId) -> Option<SessionId> {
        let entry = self.sessions.get_mut(&id)?;
        if let Some(keying) = &mut entry.keying {
            keying.answer = None;
        }
        self.by_peer.insert(entry.peer, id).filter(|old| *old != id)
    }

    pub(super) fn relocate(&mut self, id: SessionId, to: SocketAddr) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let from = std::mem::replace(&mut entry.address, to);
        if entry.role == Role::Responder {
            if self.by_address.get(&from) == Some(&id) {
                self.by_address.remove(&from);
            }
            self.by_address.insert(to, id);
        }
    }

    /// Takes a session out of the indexes of addresses and peers.
    pub(super) fn detach(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.get(&id) else { return };
        if self.by_address.get(&entry.address) == Some(&id) {
            self.by_address.remove(&entry.address);
        }
        if self.by_peer.get(&entry.peer) == Some(&id) {
            self.by_peer.remove(&entry.peer);
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        self.detach(id);
        let Some(entry) = self.sessions.remove(&id) else { return };
        if let Some(count) = self.group_of(id) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.per_ip.get_mut(&entry.counted) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&entry.counted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str, peer: u8) -> Entry {
        let address: SocketAddr = address.parse().expect("address");
        Entry {
            role: Role::Responder,
            address,
            counted: address.ip(),
            peer: PeerId([peer; 32]),
            certificate: [peer; 32],
            keying: None,
        }
    }

    #[test]
    fn a_group_is_filled_before_the_next_and_all_stay_level() {
        let mut table = Table::default();
        let mut ids: Vec<Vec<SessionId>> = vec![Vec::new(); 3];
        let mut number = 0;
        let mut open = |table: &mut Table, ids: &mut Vec<Vec<SessionId>>| {
            let group = table.next_group(3);
            number += 1;
            let id = SessionId(3 * number + group);
            table.insert(id, entry("192.0.2.1:1", 1));
            ids[group as usize].push(id);
        };
        let counts = |ids: &[Vec<SessionId>]| ids.iter().map(Vec::len).collect::<Vec<_>>();
        for (sessions, expected) in
            [(64, [64, 0, 0]), (10, [64, 10, 0]), (118, [64, 64, 64]), (1, [65, 64, 64])]
        {
            (0..sessions).for_each(|_| open(&mut table, &mut ids));
            assert_eq!(counts(&ids), expected);
        }
        // Sessions that end make room.
        ids[1].drain(..20).for_each(|id| table.remove(id));
        (0..20).for_each(|_| open(&mut table, &mut ids));
        assert_eq!(counts(&ids), [65, 64, 64]);
    }

    #[test]
    fn every_index_follows_a_session() {
        let mut table = Table::default();
        let (a, b) = (SessionId(1), SessionId(2));
        let ip = "192.0.2.1".parse().expect("ip");
        let (home, away) =
            ("192.0.2.1:1".parse().expect("home"), "192.0.2.7:7".parse().expect("away"));
        table.insert(a, entry("192.0.2.1:1", 9));
        table.insert(b, entry("192.0.2.1:2", 9));
        assert_eq!((table.len(), table.count_of(ip)), (2, 2));
        assert_eq!(table.of_peer(PeerId([9; 32])), None, "not confirmed");
        assert_eq!(table.confirm(a), None);
        assert_eq!(table.confirm(a), None, "it does not replace itself");
        assert_eq!(table.confirm(b), Some(a));
        table.relocate(a, away);
        assert!(table.of_address(home).is_none());
        assert_eq!(table.of_address(away).map(|(id, _)| id), Some(a));
        table.remove(a);
        assert!(table.of_address(away).is_none());
        assert_eq!(table.of_peer(PeerId([9; 32])), Some(b), "the newer stays");
        table.detach(b);
        assert_eq!(table.of_peer(PeerId([9; 32])), None);
        assert!(table.contains(b), "still routed");
        table.remove(b);
        table.remove(b);
        assert_eq!((table.len(), table.count_of(ip)), (0, 0));
        assert_eq!(table.of_peer(PeerId([9; 32])), None);
        assert_eq!(table.confirm(b), None);
    }
}
