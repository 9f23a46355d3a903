//! Text that becomes a value by its look, and numbers as such text (GEN-15).

use std::io::Write;

/// A text with the type that scripts see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TypedText<'a> {
    /// `null` in any case.
    Null,
    /// `true` or `false` in any case.
    Boolean(bool),
    /// `-`?digits with at most one `.` after a digit, after leading blanks.
    Number(f64),
    /// Anything else, whole.
    Text(&'a [u8]),
}

/// Gives a text its type (GEN-15). More digits than a double holds are rounded; beyond its range
/// they are infinite.
pub fn typed_text(text: &[u8]) -> TypedText<'_> {
    if text.eq_ignore_ascii_case(b"true") {
        TypedText::Boolean(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        TypedText::Boolean(false)
    } else if text.eq_ignore_ascii_case(b"null") {
        TypedText::Null
    } else {
        number(text).map_or(TypedText::Text(text), TypedText::Number)
    }
}

fn number(text: &[u8]) -> Option<f64> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let text = &text[blanks..];
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let mut points = 0;
    for byte in digits {
        match byte {
            b'0'..=b'9' => {}
            b'.' if points == 0 => points = 1,
            _ => return None,
        }
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether a number is whole and exact as an `i64`; −0 is not, for it has a sign.
pub(crate) fn whole(value: f64) -> Option<i64> {
    /// Doubles are exact up to 2^53.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = value.abs() <= EXACT && value.trunc() == value;
    (exact && !(value == 0.0 && value.is_sign_negative())).then_some(value as i64)
}

/// Appends the shortest decimal that reads back equal, without exponent, so that it is a number
/// by GEN-15: at most 345 bytes. Answers false, appending nothing, for what is no number.
pub(crate) fn plain_number(out: &mut Vec<u8>, value: f64) -> bool {
    if !value.is_finite() {
        return false;
    }
    // Writing to a vector cannot fail.
    let _ = match whole(value) {
        Some(whole) => write!(out, "{whole}"),
        None => write!(out, "{value}"),
    };
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{TypedText, plain_number, typed_text};

    #[test]
    fn gen_15_text_gets_its_type() {
        assert_eq!(typed_text(b"TRUE"), TypedText::Boolean(true));
        assert_eq!(typed_text(b"False"), TypedText::Boolean(false));
        assert_eq!(typed_text(b"NULL"), TypedText::Null);
        assert_eq!(typed_text(b"5"), TypedText::Number(5.0));
        assert_eq!(typed_text(b" -2.5"), TypedText::Number(-2.5));
        assert_eq!(typed_text(b"5."), TypedText::Number(5.0));
        for text in ["", "-", ".5", "+5", "1e5", "1.2.3", "5 ", "1,5", "0x10", "x", "--5", "5-"] {
            assert_eq!(typed_text(text.as_bytes()), TypedText::Text(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_written() {
        let mut out = Vec::new();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!plain_number(&mut out, value));
        }
        assert_eq!(out, b"");
    }

    proptest! {
        #[test]
        fn cnv_03_every_number_reads_back_equal(bits: u64) {
            let value = f64::from_bits(bits);
            let mut out = Vec::new();
            if plain_number(&mut out, value) {
                prop_assert_eq!(typed_text(&out), TypedText::Number(value));
                prop_assert!(out.len() <= 345);
            }
        }
    }
}
