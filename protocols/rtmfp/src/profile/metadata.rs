//! Metadata of flows that carry a stream: `"TC" | flags | stream ID`.

use bytes::Bytes;

use crate::reader::Reader;
use crate::vlu;

const SIGNATURE: &[u8] = b"TC";
/// A stream ID follows; the only flag that is sent, for librtmfp compares the byte (quirk Q9).
const HAS_STREAM: u8 = 0x04;
/// The receiver may take messages as they come.
const RECEIVE_INTENT: u8 = 0x01;

/// What the metadata of a stream's flow says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamMetadata {
    /// 0: the connection itself.
    pub stream: u32,
    /// The receiver may take messages as they come rather than in order.
    pub as_received: bool,
}

impl StreamMetadata {
    /// Metadata of a stream's flow, in order.
    pub fn of(stream: u32) -> Self {
        Self { stream, as_received: false }
    }

    /// Reads metadata. `None` when it is something else, or without a stream ID of 32 bits.
    pub fn decode(metadata: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(metadata.strip_prefix(SIGNATURE)?);
        let flags = reader.u8()?;
        if flags & HAS_STREAM == 0 {
            return None;
        }
        let stream = u32::try_from(reader.vlu()?).ok()?;
        Some(Self { stream, as_received: flags & RECEIVE_INTENT != 0 })
    }

    /// As it travels.
    pub fn encode(&self) -> Bytes {
        let mut out = SIGNATURE.to_vec();
        out.push(if self.as_received { HAS_STREAM | RECEIVE_INTENT } else { HAS_STREAM });
        vlu::encode(u64::from(self.stream), &mut out);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// Section 7.1.
    #[test]
    fn metadata_has_the_bytes_of_the_table() {
        for (bytes, stream) in [("54430400", 0), ("54430401", 1), ("544304fa8901", 2_000_001)] {
            assert_eq!(StreamMetadata::of(stream).encode(), hex(bytes));
            assert_eq!(StreamMetadata::decode(&hex(bytes)), Some(StreamMetadata::of(stream)));
        }
        let network_order = StreamMetadata { stream: 1, as_received: true };
        assert_eq!(StreamMetadata::decode(&hex("54430501")), Some(network_order));
        assert_eq!(network_order.encode(), hex("54430501"));
    }

    #[test]
    fn other_metadata_is_none() {
        for bytes in ["", "5443", "544304", "54430001", "4743", "54430490", "544304908080808000"] {
            assert_eq!(StreamMetadata::decode(&hex(bytes)), None, "{bytes}");
        }
    }
}
