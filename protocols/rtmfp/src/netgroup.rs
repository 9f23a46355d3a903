//! What a server has to know of NetGroups: identifiers, joining, and which members a newcomer is
//! told. The group's data travels between the peers.

use bytes::Bytes;

use crate::certificate::{Epd, PeerId};
use crate::crypto::{hmac_sha256, sha256};
use crate::option::{self, Item};
use crate::reader::Reader;

/// Metadata of the flows by which a client joins, and of the answers.
pub const GROUP_METADATA: &[u8] = b"GC";
/// Members that a newcomer is told at most.
pub const MAX_BOOTSTRAP: usize = 6;

/// First byte of a join message, and of one that names a member.
const JOIN: u8 = 0x01;
const MEMBER: u8 = 0x0b;
/// Options of a join message: plain specification, identifier.
const SPECIFICATION: u64 = 0x10;
const IDENTIFIER: u64 = 0x15;
/// Option of a specification: its version.
const VERSION: u8 = 0x7f;
/// Longest specification that is hashed.
const MAX_SPECIFICATION: usize = 8192;

/// Identifies a group: a hash of the meaningful part of its specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub [u8; 32]);

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        PeerId(self.0).fmt(f)
    }
}

impl GroupId {
    /// The identifier of a specification, `G:` and hexadecimal digits. `None` when it is none, or
    /// longer than 8,192 bytes.
    pub fn of_specification(text: &[u8]) -> Option<Self> {
        let (meaningful, version) = meaningful(text)?;
        let hash = sha256(meaningful);
        Some(Self(if version == 2 { sha256(&hash) } else { hash }))
    }
}

/// The part of a specification that makes the group: `G:` and the options before the mark that
/// ends them; and its version.
fn meaningful(text: &[u8]) -> Option<(&[u8], u8)> {
    let digits = text.strip_prefix(b"G:").filter(|_| text.len() <= MAX_SPECIFICATION)?;
    let byte = |i: usize| -> Option<u8> {
        let pair = digits.get(2 * i..2 * i + 2)?;
        let digit = |c: u8| char::from(c).to_digit(16);
        Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)
    };
    let (mut at, mut version) = (0, 1);
    while let Some(len) = byte(at).filter(|len| *len > 0) {
        if byte(at + 1) == Some(VERSION) && len == 2 {
            version = byte(at + 2)?;
        }
        at += 1 + usize::from(len);
    }
    // Without a mark the options end with the text.
    let end = (2 + 2 * at).min(text.len());
    Some((&text[..end], version))
}

/// The group that a message on a [`GROUP_METADATA`] flow joins, by identifier or by plain
/// specification, which is hashed as it is. `None` when it says something else.
pub fn decode_join(message: &[u8]) -> Option<GroupId> {
    let mut reader = Reader::new(message.strip_prefix(&[JOIN])?);
    match option::decode(&mut reader)? {
        Item::Option(IDENTIFIER, id) => Some(GroupId(id.try_into().ok()?)),
        Item::Option(SPECIFICATION, text) if text.len() <= MAX_SPECIFICATION => {
            Some(GroupId(sha256(text)))
        }
        _ => None,
    }
}

/// The message by which a client joins a group.
pub fn encode_join(group: GroupId) -> Bytes {
    let mut out = vec![JOIN];
    option::encode(IDENTIFIER, &group.0, &mut out);
    out.into()
}

/// The message that tells a client of a member.
pub fn encode_member(peer: PeerId) -> Bytes {
    let mut out = Vec::with_capacity(33);
    out.push(MEMBER);
    out.extend_from_slice(&peer.0);
    out.into()
}

/// The member that a message of a server names.
pub fn decode_member(message: &[u8]) -> Option<PeerId> {
    Some(PeerId(message.strip_prefix(&[MEMBER])?.try_into().ok()?))
}

/// Where a peer is in the ring of a group.
pub fn group_address(peer: PeerId) -> [u8; 32] {
    sha256(Epd::of_peer(peer).bytes())
}

/// What a peer shows another to prove that it knows the group: `nonce` is the far one of the
/// session for what is sent, the near one for what is expected.
pub fn connect_key(specification: &[u8], nonce: &[u8; 32]) -> Option<[u8; 32]> {
    Some(hmac_sha256(meaningful(specification)?.0, &[nonce]))
}

/// The members that a newcomer is told: all when they are few, else the three nearest in each
/// direction of the ring. Since everybody knows its neighbours at the time it came, a group of any
/// size stays connected. `ring` ascends by [`group_address`]; the newcomer itself may be in it and
/// is left out.
pub fn bootstrap(ring: &[([u8; 32], PeerId)], newcomer: PeerId) -> Vec<PeerId> {
    let address = group_address(newcomer);
    let at = ring.partition_point(|(other, _)| *other < address);
    let others = ring.len() - usize::from(ring.get(at).is_some_and(|m| m.1 == newcomer));
    let count = others.min(MAX_BOOTSTRAP);
    let mut chosen: Vec<PeerId> = Vec::with_capacity(count);
    let len = ring.len();
    for step in 0..len {
        // In turns: the next after, the next before.
        for index in [(at + step) % len, (at + len - 1 - step) % len] {
            let peer = ring[index].1;
            if chosen.len() < count && peer != newcomer && !chosen.contains(&peer) {
                chosen.push(peer);
            }
        }
        if chosen.len() == count {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Chunks, UserData};
    use crate::testing::hex;
    use crate::testing::vectors::*;
    use std::collections::BTreeSet;

    const SPEC: &[u8] = b"G:027f02010101000103010c050e74657374011b00";

    fn peer(text: &str) -> PeerId {
        text.trim().parse().expect("peer")
    }

    fn message(chunk: &str) -> (u64, Vec<u8>, Option<u64>, Vec<u8>) {
        let chunk = hex(chunk);
        let (_, payload) = Chunks::new(&chunk).next().expect("a chunk");
        let data = UserData::decode(payload).expect("user data");
        let startup = data.startup.expect("options");
        (
            data.flow,
            startup.metadata.expect("metadata").to_vec(),
            startup.association,
            data.data.to_vec(),
        )
    }

    /// Vector V14.
    #[test]
    fn grp_01_a_group_is_the_hash_of_its_meaningful_part() {
        let id = GroupId::of_specification(SPEC).expect("id");
        assert_eq!(id.0.to_vec(), hex(V14_GROUP_ID));
        assert_eq!(id.to_string(), V14_GROUP_ID.trim());
        assert_eq!(sha256(&SPEC[..SPEC.len() - 2]).to_vec(), hex(V14_INNER));
        // What follows the mark, and a missing mark, make no difference.
        let longer = [SPEC, b"0102abcdef"].concat();
        assert_eq!(GroupId::of_specification(&longer), Some(id));
        assert_eq!(GroupId::of_specification(&SPEC[..SPEC.len() - 2]), Some(id));
        // Version 1 is hashed once.
        let first = GroupId::of_specification(b"G:050e7465737400").expect("id");
        assert_eq!(first.0, sha256(b"G:050e74657374"));
        for bad in [&b"G"[..], b"", b"H:00", &[b"G:".as_slice(), &[b'0'; 9000]].concat()] {
            assert_eq!(GroupId::of_specification(bad), None);
        }
        assert!(GroupId::of_specification(b"G:ff").is_some(), "cut off");
    }

    /// Vector V14.
    #[test]
    fn rtmfp_100_joins_and_members_have_the_bytes_of_the_vector() {
        let (flow, metadata, association, join) = message(V14_JOIN);
        assert_eq!((flow, &metadata[..], association), (3, GROUP_METADATA, Some(2)));
        let id = GroupId(hex(V14_GROUP_ID).try_into().expect("32"));
        assert_eq!(decode_join(&join), Some(id));
        assert_eq!(encode_join(id), join);
        let (_, metadata, association, member) = message(V14_MEMBER);
        assert_eq!((&metadata[..], association), (GROUP_METADATA, Some(3)));
        assert_eq!(decode_member(&member), Some(peer(V14_PEER_B)));
        assert_eq!(encode_member(peer(V14_PEER_B)), member);
    }

    #[test]
    fn rtmfp_104_a_plain_specification_is_hashed() {
        let join = hex("01051074657374");
        assert_eq!(decode_join(&join), Some(GroupId(sha256(b"test"))));
    }

    #[test]
    fn groups_of_other_lengths_and_other_messages_are_no_joins() {
        for bad in ["", "01", "0100", "02211500", "01021500", "010415aabbcc", "0121160000"] {
            assert_eq!(decode_join(&hex(bad)), None, "{bad}");
        }
        assert_eq!(decode_join(&[&hex("012215")[..], &[7; 33]].concat()), None);
        let mut long = vec![JOIN];
        option::encode(SPECIFICATION, &vec![1; 9000], &mut long);
        assert_eq!(decode_join(&long), None);
        assert_eq!(decode_member(&[0x0b; 32]), None);
    }

    /// Vector V14.
    #[test]
    fn addresses_and_keys_are_those_of_the_vector() {
        assert_eq!(group_address(peer(V14_PEER_A)).to_vec(), hex(V14_ADDRESS_A));
        let key = |nonce: &str| {
            connect_key(SPEC, &hex(nonce).try_into().expect("32")).expect("key").to_vec()
        };
        assert_eq!(key(V14_NONCE_B), hex(V14_KEY_AB));
        assert_eq!(key(V14_NONCE_A), hex(V14_KEY_BA));
        let connect = hex(V14_PEER_CONNECT);
        assert!(connect.windows(32).any(|w| w == hex(V14_KEY_AB)));
    }

    fn ring(count: u8) -> Vec<([u8; 32], PeerId)> {
        let mut ring: Vec<_> =
            (0..count).map(|i| PeerId([i; 32])).map(|p| (group_address(p), p)).collect();
        ring.sort_unstable();
        ring
    }

    #[test]
    fn rtmfp_101_a_newcomer_is_told_at_most_six_others() {
        for count in 0..30 {
            let ring = ring(count);
            for newcomer in [PeerId([0; 32]), PeerId([count / 2; 32]), PeerId([99; 32])] {
                let chosen = bootstrap(&ring, newcomer);
                let others = ring.iter().filter(|(_, p)| *p != newcomer).count();
                assert_eq!(chosen.len(), others.min(6));
                assert!(!chosen.contains(&newcomer));
                assert_eq!(BTreeSet::from_iter(chosen.iter()).len(), chosen.len());
            }
        }
    }

    #[test]
    fn the_nearest_of_both_directions_are_chosen() {
        let ring = ring(40);
        for (at, (_, newcomer)) in ring.iter().enumerate() {
            let chosen: BTreeSet<PeerId> = bootstrap(&ring, *newcomer).into_iter().collect();
            let near: BTreeSet<PeerId> =
                [1, 2, 3, 37, 38, 39].map(|d| ring[(at + d) % 40].1).into();
            assert_eq!(chosen, near);
        }
    }

    /// A group of any size stays connected when everybody contacts those it was told.
    #[test]
    fn a_group_that_grows_one_by_one_is_connected() {
        let mut members: Vec<([u8; 32], PeerId)> = Vec::new();
        let mut links: Vec<(PeerId, PeerId)> = Vec::new();
        for i in 0..200_u8 {
            let newcomer = PeerId(sha256(&[i]));
            links.extend(bootstrap(&members, newcomer).into_iter().map(|peer| (newcomer, peer)));
            let entry = (group_address(newcomer), newcomer);
            members.insert(members.partition_point(|m| m.0 < entry.0), entry);
        }
        let mut reached = BTreeSet::from([members[0].1]);
        loop {
            let before = reached.len();
            for (a, b) in &links {
                if reached.contains(a) || reached.contains(b) {
                    reached.extend([*a, *b]);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        assert_eq!(reached.len(), 200);
    }
}
