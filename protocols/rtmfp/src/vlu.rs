//! Variable-length unsigned integers (RFC 7016 §2.1.2): base 128, most significant group first, bit
//! 80 set on every byte but the last.

/// Reads a number and the count of bytes it took.
///
/// Values above 64 bits saturate and leading zero groups are accepted, as the RFC asks. `None` when
/// the input ends inside the number.
pub(crate) fn decode(input: &[u8]) -> Option<(u64, usize)> {
    let mut value: u64 = 0;
    for (i, &byte) in input.iter().enumerate() {
        value = match value.checked_mul(128) {
            Some(shifted) => shifted | u64::from(byte & 0x7f),
            None => u64::MAX,
        };
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Bytes that [`encode`] writes for `value`: 1 to 10.
pub(crate) const fn encoded_len(value: u64) -> usize {
    match value {
        0 => 1,
        _ => (70 - value.leading_zeros() as usize) / 7,
    }
}

/// Appends `value` in its shortest form.
pub(crate) fn encode(value: u64, out: &mut Vec<u8>) {
    for group in (1..encoded_len(value)).rev() {
        out.push(0x80 | (value >> (7 * group)) as u8);
    }
    out.push((value & 0x7f) as u8);
}

/// Appends a field: the length of `bytes` and `bytes`.
pub(crate) fn encode_field(bytes: &[u8], out: &mut Vec<u8>) {
    encode(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out);
        out
    }

    /// Vector V1.
    #[test]
    fn rtmfp_001_values_have_the_bytes_of_the_vectors() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (1, &[0x01]),
            (127, &[0x7f]),
            (128, &[0x81, 0x00]),
            (255, &[0x81, 0x7f]),
            (300, &[0x82, 0x2c]),
            (16383, &[0xff, 0x7f]),
            (16384, &[0x81, 0x80, 0x00]),
            (2_000_001, &[0xfa, 0x89, 0x01]),
            (4_294_967_295, &[0x8f, 0xff, 0xff, 0xff, 0x7f]),
            (1 << 63, &[0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            (u64::MAX, &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ] {
            assert_eq!(encoded(value), bytes, "{value}");
            assert_eq!(decode(bytes), Some((value, bytes.len())), "{value}");
        }
    }

    /// Vector V1 "decode only".
    #[test]
    fn rtmfp_001_long_forms_are_read_and_larger_values_saturate() {
        assert_eq!(decode(&[0x80, 0x01]), Some((1, 2)));
        assert_eq!(decode(&[0x80, 0x80, 0x00]), Some((0, 3)));
        assert_eq!(decode(&[0x81]), None);
        assert_eq!(decode(&[]), None);
        let beyond = [0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x55];
        assert_eq!(decode(&beyond), Some((u64::MAX, 10)));
        let mut far = vec![0xff; 40];
        far.push(0x00);
        assert_eq!(decode(&far), Some((u64::MAX, 41)));
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(value: u64, tail: u8) {
            let mut bytes = encoded(value);
            prop_assert_eq!(bytes.len(), encoded_len(value));
            prop_assert!(bytes.len() <= 10);
            let len = bytes.len();
            bytes.push(tail);
            prop_assert_eq!(decode(&bytes), Some((value, len)));
            prop_assert_eq!(decode(&bytes[..len - 1]), None);
        }
    }
}
