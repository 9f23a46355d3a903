//! What a flow is for (RFC 7425 §5.3.1): the metadata that opens it.

use bytes::Bytes;
use ramona_rtmp::StreamId;

/// Stream id of direct streams between two clients.
pub const STREAM_ID_OF_PEERS: u32 = 2_000_001;

/// "TC".
const TC: [u8; 2] = [0x54, 0x43];
/// Flag: a stream id follows.
const HAS_STREAM: u8 = 0x04;
/// "GC".
const GC: [u8; 2] = [0x47, 0x43];

/// What a flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowKind {
    /// Messages of a stream; stream 0 is the NetConnection itself.
    Stream(StreamId),
    /// Membership of a NetGroup.
    Group,
}

impl FlowKind {
    /// Reads metadata; `None` when it is of no kind that a server or client knows. That messages
    /// may be given out in the order of the network is ignored: the order of the sender serves
    /// that wish as well.
    pub fn decode(metadata: &[u8]) -> Option<Self> {
        if metadata == GC {
            return Some(Self::Group);
        }
        let (flags, id) = metadata.strip_prefix(&TC)?.split_first()?;
        if flags & HAS_STREAM == 0 {
            return None;
        }
        let mut value = 0_u32;
        for (i, &byte) in id.iter().enumerate() {
            value = value.checked_mul(128)? | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return (i + 1 == id.len()).then_some(Self::Stream(StreamId(value)));
            }
        }
        None
    }

    /// The metadata. Streams have exactly the flags 04: librtmfp and MonaServer compare all four
    /// bytes (quirk Q9).
    pub fn encode(self) -> Bytes {
        let Self::Stream(StreamId(id)) = self else { return Bytes::from_static(&GC) };
        let mut out = vec![TC[0], TC[1], HAS_STREAM];
        let groups = (32 - id.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group > 0 { 0x80 } else { 0 };
            out.push(more | (id >> (7 * group)) as u8 & 0x7f);
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metadata_has_exactly_the_bytes_that_clients_compare() {
        for (id, bytes) in [
            (0, &[0x54, 0x43, 0x04, 0x00][..]),
            (1, &[0x54, 0x43, 0x04, 0x01]),
            (127, &[0x54, 0x43, 0x04, 0x7f]),
            (128, &[0x54, 0x43, 0x04, 0x81, 0x00]),
            (STREAM_ID_OF_PEERS, &[0x54, 0x43, 0x04, 0xfa, 0x89, 0x01]),
        ] {
            let kind = FlowKind::Stream(StreamId(id));
            assert_eq!(kind.encode(), bytes);
            assert_eq!(FlowKind::decode(bytes), Some(kind));
        }
        assert_eq!(FlowKind::Group.encode(), &b"GC"[..]);
        assert_eq!(FlowKind::decode(b"GC"), Some(FlowKind::Group));
    }

    #[test]
    fn receive_intent_changes_nothing_and_other_metadata_is_of_no_kind() {
        let intent = [0x54, 0x43, 0x05, 0x01];
        assert_eq!(FlowKind::decode(&intent), Some(FlowKind::Stream(StreamId(1))));
        let broken: [&[u8]; 9] = [
            b"",
            b"T",
            b"TC",
            b"TC\x04",
            b"TC\x00\x01",
            b"TC\x04\x81",
            b"TC\x04\x01\x01",
            b"GC\x00",
            b"TC\x04\x9f\xff\xff\xff\x7f",
        ];
        for metadata in broken {
            assert_eq!(FlowKind::decode(metadata), None, "{metadata:?}");
        }
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(id: u32) {
            let kind = FlowKind::Stream(StreamId(id));
            prop_assert_eq!(FlowKind::decode(&kind.encode()), Some(kind));
        }
    }
}
