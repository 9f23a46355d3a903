use crate::NodeId;

/// What tells one link apart from another between the same two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkIdentity {
    /// Node at the other end.
    pub peer: NodeId,
    /// Incarnation of the other end, from its hello: larger after each start of that node.
    pub peer_incarnation: u64,
    /// This node opened the link (`server.isTarget`).
    pub dialled_here: bool,
    /// Number of the dial, counted by the node that dialled (`Hello::dial`).
    pub dial: u64,
}

/// Which of two links stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The links lead to different nodes.
    Both,
    /// The link that was up before.
    Existing,
    /// The link that just came up; the existing one is closed.
    New,
}

/// The rule for two links between one pair of nodes (CLU-08).
///
/// Both ends know both links and come to the same answer without asking each other, whatever
/// order the links came up in:
///
/// 1. Links of different incarnations of the peer: the later incarnation. The other link belongs
///    to a process that is gone and whose end was not noticed here yet, so a restarted node is
///    never locked out by its own ghost.
/// 2. Links dialled by different ends: the one dialled by the smaller node id.
/// 3. Links dialled by the same end: the later dial. Either the dialler lost the earlier link and
///    this end has not noticed yet, or one node is listed twice in `servers.targets`.
///
/// The loser is closed with `Link::close_duplicate`, which tells the peer, so that its dialler
/// rests for as long as the other link lives. When nothing lives there (rule 2 met a link that
/// only the other end still believes in) it goes on with its backoff; the believer notices within
/// its `dead_after`.
pub fn keep_which(own: NodeId, existing: &LinkIdentity, new: &LinkIdentity) -> Keep {
    if existing.peer != new.peer {
        return Keep::Both;
    }
    let new_wins = if existing.peer_incarnation != new.peer_incarnation {
        new.peer_incarnation > existing.peer_incarnation
    } else if existing.dialled_here != new.dialled_here {
        new.dialled_here == (own < new.peer)
    } else {
        new.dial >= existing.dial
    };
    if new_wins { Keep::New } else { Keep::Existing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: NodeId = NodeId([1; 16]);
    const LARGE: NodeId = NodeId([2; 16]);

    fn link(peer: NodeId, peer_incarnation: u64, dialled_here: bool, dial: u64) -> LinkIdentity {
        LinkIdentity { peer, peer_incarnation, dialled_here, dial }
    }

    #[test]
    fn of_two_nodes_that_dial_each_other_the_smaller_ids_dial_stays_on_both_ends() {
        let (dialled, accepted) = (link(LARGE, 7, true, 1), link(LARGE, 7, false, 1));
        assert_eq!(keep_which(SMALL, &dialled, &accepted), Keep::Existing);
        assert_eq!(keep_which(SMALL, &accepted, &dialled), Keep::New);
        let (dialled, accepted) = (link(SMALL, 9, true, 1), link(SMALL, 9, false, 1));
        assert_eq!(keep_which(LARGE, &dialled, &accepted), Keep::New);
        assert_eq!(keep_which(LARGE, &accepted, &dialled), Keep::Existing);
    }

    #[test]
    fn a_restarted_node_replaces_its_old_link_whoever_dialled() {
        for (old_here, new_here) in [(true, false), (false, true), (true, true), (false, false)] {
            let old = link(SMALL, 7, old_here, 90);
            let new = link(SMALL, 8, new_here, 1);
            assert_eq!(keep_which(LARGE, &old, &new), Keep::New);
            assert_eq!(keep_which(LARGE, &new, &old), Keep::Existing, "a ghost's hello comes late");
        }
    }

    #[test]
    fn a_redial_replaces_the_link_that_only_this_end_believes_in() {
        let old = link(LARGE, 7, false, 4);
        let new = link(LARGE, 7, false, 5);
        assert_eq!(keep_which(SMALL, &old, &new), Keep::New);
    }

    #[test]
    fn links_to_different_nodes_are_no_duplicates() {
        let other = link(NodeId([3; 16]), 7, true, 1);
        assert_eq!(keep_which(SMALL, &link(LARGE, 7, true, 1), &other), Keep::Both);
    }

    proptest! {
        /// Two links of one pair of running nodes; each end sees them in its own order.
        #[test]
        fn both_ends_keep_the_same_link(
            ids in any::<[[u8; 16]; 2]>().prop_filter("two nodes", |ids| ids[0] != ids[1]),
            by_first: [bool; 2],
            dials in any::<[u64; 2]>().prop_filter("numbers are unique", |d| d[0] != d[1]),
            first_sees_swapped: bool,
            second_sees_swapped: bool,
        ) {
            let view = |own: usize, n: usize| {
                link(NodeId(ids[1 - own]), 1, by_first[n] == (own == 0), dials[n])
            };
            let kept = |own: usize, swapped: bool| {
                let (existing, new) = if swapped { (1, 0) } else { (0, 1) };
                match keep_which(NodeId(ids[own]), &view(own, existing), &view(own, new)) {
                    Keep::Existing => existing,
                    Keep::New => new,
                    Keep::Both => unreachable!("the peers are equal"),
                }
            };
            prop_assert_eq!(kept(0, first_sees_swapped), kept(1, second_sees_swapped));
        }
    }
}
