//! Values that come from text: configuration, environment, URL queries (GEN-15).

use mlua::{Lua, Value};
use ramona_formats::{TypedText, typed_text};

/// The Lua value of a text.
pub(crate) fn typed_value(lua: &Lua, text: &[u8]) -> mlua::Result<Value> {
    Ok(match typed_text(text) {
        TypedText::Null => Value::Nil,
        TypedText::Boolean(value) => Value::Boolean(value),
        TypedText::Number(value) => Value::Number(value),
        TypedText::Text(text) => Value::String(lua.create_string(text)?),
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
    use super::parse_query;
    use proptest::prelude::*;

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
    }
}
