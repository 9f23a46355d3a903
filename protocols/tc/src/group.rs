//! NetGroup messages between a client and its server.

use ramona_rtmfp::PeerId;
use sha2::{Digest, Sha256};

/// First byte of a join.
const JOIN: u8 = 0x01;
/// First byte of a member.
const MEMBER: u8 = 0x0b;
/// Option: the group by its id.
const BY_ID: u8 = 0x15;
/// Option: the group by its plain specification.
const BY_SPECIFICATION: u8 = 0x10;

/// What a client asks for on a group flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRequest {
    /// To be a member of the group of this id.
    Join([u8; 32]),
}

impl GroupRequest {
    /// Reads a message; `None` when it is none: another kind, cut off, or an id that has not 32
    /// bytes.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let option = message.strip_prefix(&[JOIN])?;
        let (length, rest) = read_vlu(option)?;
        let option = rest.get(..length)?;
        let (kind, value) = read_vlu(option)?;
        match u8::try_from(kind).ok()? {
            BY_ID => Some(Self::Join(value.try_into().ok()?)),
            BY_SPECIFICATION if !value.is_empty() => {
                Some(Self::Join(group_id_of_specification(value)))
            }
            _ => None,
        }
    }

    /// A join by id.
    pub fn encode_join(group: &[u8; 32]) -> Vec<u8> {
        let mut out = vec![JOIN, 33, BY_ID];
        out.extend_from_slice(group);
        out
    }

    /// A join by plain specification, up to
    /// [`MAX_GROUP_MESSAGE`](crate::limits::MAX_GROUP_MESSAGE) bytes with what is around it.
    pub fn encode_join_of_specification(text: &[u8]) -> Vec<u8> {
        let length = text.len() + 1;
        let mut out = vec![JOIN];
        if length >= 128 {
            out.push(0x80 | (length >> 7) as u8 & 0x7f);
        }
        out.extend_from_slice(&[(length & 0x7f) as u8, BY_SPECIFICATION]);
        out.extend_from_slice(text);
        out
    }
}

/// Id of the group of a plain specification: its SHA-256.
pub fn group_id_of_specification(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The message that tells a member.
pub(crate) fn encode_member(peer: &PeerId) -> [u8; 33] {
    let mut out = [MEMBER; 33];
    out[1..].copy_from_slice(&peer.0);
    out
}

/// The member that a message tells.
pub(crate) fn decode_member(message: &[u8]) -> Option<PeerId> {
    let (&[kind], id) = message.split_first_chunk::<1>()?;
    (kind == MEMBER).then(|| id.try_into().ok().map(PeerId))?
}

/// A number (RFC 7016 §2.1.2) and what follows it.
fn read_vlu(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (i, &byte) in bytes.iter().enumerate() {
        value = value.checked_mul(128)? | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    const ID: &str = "c3ab09fc9d3fd2fe3f4f82762c530b96f2eb1c49d9fe615f48f250545b731dc9";

    /// Vector V14.
    #[test]
    fn join_and_member_have_the_bytes_of_the_vectors() {
        let id: [u8; 32] = hex(ID).try_into().expect("32 bytes");
        let join = GroupRequest::encode_join(&id);
        assert_eq!(join, hex(&format!("012115{ID}")));
        assert_eq!(GroupRequest::decode(&join), Some(GroupRequest::Join(id)));
        let peer = "d7d1705374e7368317c3af4af78bd738dcdf0b6626d398ae800ca47c523eee84";
        let member = PeerId(hex(peer).try_into().expect("32 bytes"));
        let message = encode_member(&member);
        assert_eq!(message[..], hex(&format!("0b{peer}")));
        assert_eq!(decode_member(&message), Some(member));
    }

    /// Vector V14: the id of a plain specification is its hash (RTMFP-104).
    #[test]
    fn a_plain_specification_is_hashed_once() {
        let text = b"G:027f02010101000103010c050e74657374011b";
        let id = hex("8a8b584da2c116ec28b8ce6aeb096d74f68bad5aa70c889264b41c7e9d42fca3");
        assert_eq!(group_id_of_specification(text)[..], id);
        let join = GroupRequest::encode_join_of_specification(text);
        assert_eq!(join[..3], [0x01, 0x29, 0x10]);
        assert_eq!(
            GroupRequest::decode(&join),
            Some(GroupRequest::Join(group_id_of_specification(text)))
        );
    }

    #[test]
    fn ids_of_other_lengths_and_other_messages_are_none() {
        for length in (0..80).filter(|length| *length != 32) {
            let mut message = vec![JOIN, length + 1, BY_ID];
            message.resize(3 + usize::from(length), 7);
            assert_eq!(GroupRequest::decode(&message), None, "{length}");
        }
        let whole = GroupRequest::encode_join(&[9; 32]);
        for cut in 0..whole.len() {
            assert_eq!(GroupRequest::decode(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(GroupRequest::decode(&[JOIN, 1, BY_SPECIFICATION]), None);
        assert_eq!(GroupRequest::decode(&[JOIN, 2, 0x7f, 1]), None);
        assert_eq!(GroupRequest::decode(&[0x02, 33, BY_ID]), None);
        assert_eq!(decode_member(&[MEMBER; 32]), None);
        assert_eq!(decode_member(&[JOIN; 33]), None);
    }

    proptest! {
        #[test]
        fn specifications_of_any_length_are_read(text in prop::collection::vec(any::<u8>(), 1..600)) {
            let message = GroupRequest::encode_join_of_specification(&text);
            let id = group_id_of_specification(&text);
            prop_assert_eq!(GroupRequest::decode(&message), Some(GroupRequest::Join(id)));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(GroupRequest::Join(id)) = GroupRequest::decode(&bytes) {
                prop_assert!(bytes.len() > 3 && id.len() == 32);
            }
        }
    }
}
