//! The simple checksum: a one's complement sum of 16 bits.

/// Sums big-endian pairs; a last odd byte counts with its own value, unlike in RFC 1071 (all known
/// implementations agree on that).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    // Pairs summed four at a time: 2^64, 2^48, 2^32 and 2^16 are all 1 modulo 2^16 - 1, and the fold
    // below keeps a sum of nothing but zeros apart from a multiple of ffff.
    let mut words = bytes.chunks_exact(8);
    let mut sum: u128 = 0;
    for word in &mut words {
        sum += u128::from(u64::from_be_bytes(word.try_into().expect("8 bytes")));
    }
    let mut pairs = words.remainder().chunks_exact(2);
    for pair in &mut pairs {
        sum += u128::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    if let [last] = pairs.remainder() {
        sum += u128::from(*last);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;
    use proptest::prelude::*;

    /// The sum as the specification words it.
    fn by_the_book(bytes: &[u8]) -> u16 {
        let mut sum: u64 = 0;
        for pair in bytes.chunks(2) {
            sum += match pair {
                [a, b] => u64::from(u16::from_be_bytes([*a, *b])),
                [a] => u64::from(*a),
                _ => 0,
            };
        }
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }

    /// Vector V7.
    #[test]
    fn rtmfp_002_sums_are_those_of_the_vectors() {
        for (bytes, sum) in [
            ("", 0xffff),
            ("00", 0xffff),
            ("01", 0xfffe),
            ("ff", 0xff00),
            ("0001", 0xfffe),
            ("ffff", 0x0000),
            ("010203", 0xfefa),
            ("0b1234", 0xf4b9),
            ("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0x0eff),
        ] {
            assert_eq!(checksum(&hex(bytes)), sum, "{bytes}");
        }
        assert_eq!(checksum(&[0xff; 33]), 0xff00);
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_sum_of_the_book(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), high: bool,
        ) {
            let bytes: Vec<u8> = if high { bytes.iter().map(|b| b | 0xf0).collect() } else { bytes };
            prop_assert_eq!(checksum(&bytes), by_the_book(&bytes));
            prop_assert_eq!(checksum(&vec![0xff; bytes.len()]), by_the_book(&vec![0xff; bytes.len()]));
        }
    }
}
