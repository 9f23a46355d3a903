//! Data Acknowledgement chunks, by bitmap and by ranges (RFC 7016 §2.3.13 and §2.3.14).

use crate::chunk::{self, HEADER_LEN, kind};
use crate::reader::Reader;
use crate::vlu;

/// What either acknowledgement says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack<'a> {
    pub(crate) flow: u64,
    /// Receive buffer that is free, in blocks of 1,024 bytes.
    pub(crate) buffer_blocks: u64,
    /// Every number up to this one was received.
    pub(crate) cumulative: u64,
    ranges: Ranges<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Ranges<'a> {
    Pairs(&'a [u8]),
    Bits(&'a [u8]),
}

impl<'a> Ack<'a> {
    pub(crate) fn decode_ranges(payload: &'a [u8]) -> Option<Self> {
        Self::decode(payload, Ranges::Pairs)
    }

    pub(crate) fn decode_bitmap(payload: &'a [u8]) -> Option<Self> {
        Self::decode(payload, Ranges::Bits)
    }

    fn decode(payload: &'a [u8], ranges: fn(&'a [u8]) -> Ranges<'a>) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self {
            flow: reader.vlu()?,
            buffer_blocks: reader.vlu()?,
            cumulative: reader.vlu()?,
            ranges: ranges(reader.rest()),
        })
    }

    /// The received numbers above the cumulative one, as inclusive ranges in ascending order. A
    /// truncated last pair is ignored, and so is what would pass 64 bits.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let mut last = self.cumulative;
        let mut ranges = self.ranges;
        let mut bit = 0_u64;
        std::iter::from_fn(move || match &mut ranges {
            Ranges::Pairs(bytes) => {
                let mut reader = Reader::new(bytes);
                let holes = reader.vlu()?;
                let received = reader.vlu()?;
                *bytes = reader.rest();
                let from = last.checked_add(holes)?.checked_add(2)?;
                last = from.checked_add(received)?;
                Some((from, last))
            }
            Ranges::Bits(bytes) => {
                let set = |bit: u64| {
                    let byte = bytes.get(usize::try_from(bit / 8).ok()?)?;
                    Some(byte >> (bit % 8) & 1 == 1)
                };
                while !set(bit)? {
                    bit += 1;
                }
                let start = bit;
                while set(bit) == Some(true) {
                    bit += 1;
                }
                let from = last.checked_add(start)?.checked_add(2)?;
                Some((from, from.checked_add(bit - start - 1)?))
            }
        })
    }
}

/// Appends a range acknowledgement. `above` are the received ranges above `cumulative + 1`; only
/// as many are written as keep the chunk within `limit` bytes.
pub(crate) fn encode_range_ack(
    flow: u64,
    buffer_blocks: u64,
    cumulative: u64,
    above: impl Iterator<Item = (u64, u64)>,
    limit: usize,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    chunk::encode(kind::RANGE_ACK, out, |out| {
        vlu::encode(flow, out);
        vlu::encode(buffer_blocks, out);
        vlu::encode(cumulative, out);
        let mut last = cumulative;
        for (from, to) in above {
            let (holes, received) = (from - last - 2, to - from);
            let len = vlu::encoded_len(holes) + vlu::encoded_len(received);
            if out.len() + len > start + limit {
                break;
            }
            vlu::encode(holes, out);
            vlu::encode(received, out);
            last = to;
        }
    });
}

/// Bytes of a range acknowledgement without ranges, with its header.
pub(crate) fn range_ack_len(flow: u64, buffer_blocks: u64, cumulative: u64) -> usize {
    HEADER_LEN
        + vlu::encoded_len(flow)
        + vlu::encoded_len(buffer_blocks)
        + vlu::encoded_len(cumulative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;
    use proptest::prelude::*;

    fn ranges(ack: &Ack<'_>) -> Vec<(u64, u64)> {
        ack.ranges().collect()
    }

    /// Vector V13.
    #[test]
    fn rtmfp_063_range_acks_have_the_bytes_of_the_vectors() {
        for (bytes, flow, blocks, cumulative, above) in [
            ("510007033f0a00000102", 3, 63, 10, vec![(12, 12), (15, 17)]),
            ("5100050283fe7f01", 2, 65407, 1, vec![]),
            ("510009822cff7f84a2700800", 300, 16383, 70000, vec![(70010, 70010)]),
        ] {
            let bytes = hex(bytes);
            let ack = Ack::decode_ranges(&bytes[HEADER_LEN..]).expect("ack");
            assert_eq!((ack.flow, ack.buffer_blocks, ack.cumulative), (flow, blocks, cumulative));
            assert_eq!(ranges(&ack), above);
            let mut out = Vec::new();
            encode_range_ack(flow, blocks, cumulative, above.into_iter(), 1000, &mut out);
            assert_eq!(out, bytes);
        }
    }

    /// Vector V13.
    #[test]
    fn rtmfp_063_a_bitmap_ack_says_the_same_as_ranges() {
        let bytes = hex("500004033f0a39");
        let ack = Ack::decode_bitmap(&bytes[HEADER_LEN..]).expect("ack");
        assert_eq!((ack.flow, ack.buffer_blocks, ack.cumulative), (3, 63, 10));
        assert_eq!(ranges(&ack), [(12, 12), (15, 17)]);
        let bytes = hex("033f0a 80 01 00 ff");
        let ack = Ack::decode_bitmap(&bytes).expect("ack");
        assert_eq!(ranges(&ack), [(19, 20), (36, 43)]);
    }

    /// The rest stays valid.
    #[test]
    fn rtmfp_063_a_truncated_range_is_ignored() {
        let bytes = hex("033f0a000001");
        let ack = Ack::decode_ranges(&bytes).expect("ack");
        assert_eq!(ranges(&ack), [(12, 12)]);
        assert!(Ack::decode_ranges(&hex("033f")).is_none());
    }

    #[test]
    fn ranges_beyond_64_bits_end_the_list() {
        let bytes = hex("030181ffffffffffffffff7f0000");
        let ack = Ack::decode_ranges(&bytes).expect("ack");
        assert_eq!(ranges(&ack), []);
    }

    #[test]
    fn a_limit_truncates_the_ranges() {
        let mut out = Vec::new();
        let above = (1..100).map(|i| (10 * i, 10 * i));
        encode_range_ack(3, 8, 5, above, 20, &mut out);
        assert_eq!(out.len(), 20);
        let ack = Ack::decode_ranges(&out[HEADER_LEN..]).expect("ack");
        assert_eq!(ranges(&ack).len(), 7);
        assert_eq!(range_ack_len(3, 8, 5), 6);
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            cumulative in 0..1_u64 << 40,
            steps in proptest::collection::vec((0..1000_u64, 0..1000_u64), 0..20),
        ) {
            let mut last = cumulative;
            let above: Vec<_> = steps.into_iter().map(|(holes, received)| {
                let from = last + holes + 2;
                last = from + received;
                (from, last)
            }).collect();
            let mut out = Vec::new();
            encode_range_ack(9, 70, cumulative, above.iter().copied(), 1000, &mut out);
            let ack = Ack::decode_ranges(&out[HEADER_LEN..]).expect("ack");
            prop_assert_eq!(ack.cumulative, cumulative);
            prop_assert_eq!(ranges(&ack), above);
        }
    }
}
