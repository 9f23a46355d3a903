//! Which members of a NetGroup a newcomer is told, so that a group of thousands stays connected.
//!
//! Members stand on a ring in the order of their group addresses; a newcomer is told its nearest
//! neighbours in both directions, and all of a small group.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Members told to a newcomer (MEM-04).
pub(crate) const TOLD_MEMBERS: usize = 6;

/// Peer id: fingerprint of a client's certificate.
pub(crate) type Peer = [u8; 32];

/// The ring of one group.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// By group address; counted, for one peer may be a member by several links and scripts.
    members: BTreeMap<[u8; 32], (Peer, usize)>,
}

impl Ring {
    /// Adds a membership; true when the peer is new here.
    pub(crate) fn add(&mut self, peer: Peer) -> bool {
        let (_, count) = self.members.entry(address(&peer)).or_insert((peer, 0));
        *count += 1;
        *count == 1
    }

    /// Takes a membership away; true when it was the peer's last.
    pub(crate) fn remove(&mut self, peer: Peer) -> bool {
        let key = address(&peer);
        let Some((_, count)) = self.members.get_mut(&key) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.members.remove(&key);
        }
        last
    }

    /// Whom a newcomer meets: everybody in a small group, else the nearest in both directions;
    /// never itself.
    pub(crate) fn neighbours(&self, peer: Peer) -> Vec<Peer> {
        let key = address(&peer);
        let others = || self.members.values().map(|(other, _)| *other).filter(|p| *p != peer);
        if self.members.len() <= TOLD_MEMBERS + usize::from(self.members.contains_key(&key)) {
            return others().collect();
        }
        let half = TOLD_MEMBERS / 2;
        let after = self.members.range(key..).chain(self.members.range(..key));
        let before = self.members.range(..key).rev().chain(self.members.range(key..).rev());
        let other = |(_, (member, _)): (&[u8; 32], &(Peer, usize))| *member;
        let mut told: Vec<Peer> = after.map(other).filter(|p| *p != peer).take(half).collect();
        for member in before.map(other).filter(|p| *p != peer) {
            if told.len() == TOLD_MEMBERS {
                break;
            }
            if !told.contains(&member) {
                told.push(member);
            }
        }
        told
    }
}

/// Group address of a peer: SHA-256 of its discriminator.
fn address(peer: &Peer) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([0x21, 0x0F]);
    hash.update(peer);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn peer(n: u16) -> Peer {
        let mut peer = [0; 32];
        peer[..2].copy_from_slice(&n.to_be_bytes());
        peer
    }

    #[test]
    fn a_newcomer_to_a_small_group_is_told_everybody_but_itself() {
        let mut ring = Ring::default();
        for n in 0..6 {
            ring.add(peer(n));
        }
        assert_eq!(ring.neighbours(peer(99)).len(), 6);
        let told = ring.neighbours(peer(3));
        assert_eq!(told.len(), 5);
        assert!(!told.contains(&peer(3)));
    }

    #[test]
    fn a_newcomer_to_a_large_group_is_told_six_different_members() {
        let mut ring = Ring::default();
        for n in 0..100 {
            ring.add(peer(n));
            let told = ring.neighbours(peer(n));
            assert_eq!(told.len(), TOLD_MEMBERS.min(usize::from(n)), "at {n}");
            assert_eq!(told.iter().collect::<HashSet<_>>().len(), told.len());
            assert!(!told.contains(&peer(n)));
        }
    }

    #[test]
    fn what_newcomers_are_told_connects_a_group_of_thousands() {
        let mut ring = Ring::default();
        let mut links: HashMap<Peer, Vec<Peer>> = HashMap::new();
        for n in 0..2_000 {
            ring.add(peer(n));
            for other in ring.neighbours(peer(n)) {
                links.entry(peer(n)).or_default().push(other);
                links.entry(other).or_default().push(peer(n));
            }
        }
        let mut seen = HashSet::from([peer(0)]);
        let mut next = vec![peer(0)];
        while let Some(at) = next.pop() {
            next.extend(links[&at].iter().copied().filter(|p| seen.insert(*p)));
        }
        assert_eq!(seen.len(), 2_000);
    }

    #[test]
    fn memberships_of_one_peer_are_counted() {
        let mut ring = Ring::default();
        assert!(ring.add(peer(1)));
        assert!(!ring.add(peer(1)));
        assert!(!ring.remove(peer(1)));
        assert_eq!(ring.members.len(), 1);
        assert!(ring.remove(peer(1)));
        assert!(!ring.remove(peer(1)) && ring.members.is_empty());
    }
}
