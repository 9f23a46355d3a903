//! Helpers of the unit tests.

pub(crate) mod net;
pub(crate) mod raw;
pub(crate) mod vectors;

/// Bytes of a hexadecimal text; white space is skipped.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("hexadecimal digit") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "odd count of digits");
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
