//! Values that come from text: configuration, environment, URL queries (GEN-15).

use mlua::{Lua, Value};

/// A text with the type that scripts see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Typed<'a> {
    /// `null` in any case.
    Nil,
    /// `true` or `false` in any case.
    Boolean(bool),
    /// Decimal number: `-`?digits with at most one `.` after a digit.
    Number(f64),
    /// Anything else.
    Text(&'a [u8]),
}

/// Gives a text its type (GEN-15).
pub(crate) fn typed(text: &[u8]) -> Typed<'_> {
    if text.eq_ignore_ascii_case(b"true") {
        return Typed::Boolean(true);
    }
    if text.eq_ignore_ascii_case(b"false") {
        return Typed::Boolean(false);
    }
    if text.eq_ignore_ascii_case(b"null") {
        return Typed::Nil;
    }
    match number(text) {
        Some(value) => Typed::Number(value),
        None => Typed::Text(text),
    }
}

fn number(text: &[u8]) -> Option<f64> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let text = &text[blanks..];
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let points = digits.iter().filter(|byte| **byte == b'.').count();
    if points > 1 || !digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The Lua value of a text.
pub(crate) fn typed_value(lua: &Lua, text: &[u8]) -> mlua::Result<Value> {
    Ok(match typed(text) {
        Typed::Nil => Value::Nil,
        Typed::Boolean(value) => Value::Boolean(value),
        Typed::Number(value) => Value::Number(value),
        Typed::Text(text) => Value::String(lua.create_string(text)?),
    })
}

/// Splits a URL query into keys and values, `%XX` and `+` decoded. A word without `=` is a key
/// with an empty value; empty parts are dropped.
pub(crate) fn parse_query(query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    query
        .split(|byte| *byte == b'&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let equals = part.iter().position(|byte| *byte == b'=');
            let (key, value) = match equals {
                Some(at) => (&part[..at], &part[at + 1..]),
                None => (part, &part[part.len()..]),
            };
            (unescape(key), unescape(value))
        })
        .collect()
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = after;
            }
            _ => out.push(first),
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{Typed, parse_query, typed};
    use proptest::prelude::*;

    #[test]
    fn gen_15_text_gets_its_type() {
        assert_eq!(typed(b"TRUE"), Typed::Boolean(true));
        assert_eq!(typed(b"False"), Typed::Boolean(false));
        assert_eq!(typed(b"NULL"), Typed::Nil);
        assert_eq!(typed(b"5"), Typed::Number(5.0));
        assert_eq!(typed(b" -2.5"), Typed::Number(-2.5));
        assert_eq!(typed(b"5."), Typed::Number(5.0));
        for text in ["", "-", ".5", "+5", "1e5", "1.2.3", "5 ", "1,5", "0x10", "x", "--5", "5-"] {
            assert_eq!(typed(text.as_bytes()), Typed::Text(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn a_query_is_decoded_and_keeps_its_order() {
        let parts = parse_query(b"a=1&b=x+y&&%41=%zz%2&word&c==");
        let expected: Vec<(Vec<u8>, Vec<u8>)> =
            [("a", "1"), ("b", "x y"), ("A", "%zz%2"), ("word", ""), ("c", "=")]
                .map(|(key, value)| (key.into(), value.into()))
                .into();
        assert_eq!(parts, expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_query(query: Vec<u8>) {
            for (key, value) in parse_query(&query) {
                prop_assert!(key.len() + value.len() <= query.len());
            }
        }

        #[test]
        fn numbers_that_are_written_plainly_are_numbers(value in -1.0e9..1.0e9) {
            let text = format!("{value:.3}");
            prop_assert!(matches!(typed(text.as_bytes()), Typed::Number(_)));
        }
    }
}
