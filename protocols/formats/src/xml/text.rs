//! Characters of XML: which are allowed, and how the others are escaped.

use crate::binary;

/// The text of bytes, if XML can hold it (XML §2.2).
pub(crate) fn chars(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    forbidden(text).is_none().then_some(text)
}

/// Where the first character stands that XML cannot hold: control characters but tab, line feed
/// and carriage return, U+FFFE and U+FFFF.
pub(crate) fn forbidden(text: &str) -> Option<usize> {
    /// Blocks without anything suspicious are passed in one go, which compilers make vectors of.
    const BLOCK: usize = 64;
    let bytes = text.as_bytes();
    bytes.chunks(BLOCK).enumerate().find_map(|(block, chunk)| {
        let suspicious =
            chunk.iter().fold(false, |any, &byte| any | is_control(byte) | (byte == 0xef));
        let start = block * BLOCK;
        let is_forbidden = |at: &usize| match bytes[*at] {
            // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
            0xef => matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])),
            byte => is_control(byte),
        };
        if suspicious { (start..start + chunk.len()).find(is_forbidden) } else { None }
    })
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20) & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')
}

/// Whether a text can name an element or attribute (XML §2.3).
pub(crate) fn is_name(name: &str) -> bool {
    if let [first, rest @ ..] = name.as_bytes()
        && first.is_ascii_alphabetic()
        && rest.iter().all(u8::is_ascii_alphanumeric)
    {
        return true;
    }
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start)
        && chars.all(|char| {
            is_name_start(char)
                || matches!(char, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}'
                    | '\u{203f}'..='\u{2040}')
        })
}

fn is_name_start(char: char) -> bool {
    matches!(char, 'a'..='z' | 'A'..='Z' | '_' | ':' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
        | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}'
        | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// Appends text between tags. A carriage return is escaped, for readers make a line feed of it.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    escape_as(out, text, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

/// Appends the value of an attribute, between its quotation marks. White space other than blanks
/// is escaped, for readers make blanks of it.
pub(crate) fn escape_attribute(out: &mut Vec<u8>, text: &str) {
    escape_as(out, text, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'"' => Some(b"&quot;"),
        b'\r' => Some(b"&#13;"),
        b'\n' => Some(b"&#10;"),
        b'\t' => Some(b"&#9;"),
        _ => None,
    });
}

fn escape_as(out: &mut Vec<u8>, text: &str, escaped: impl Fn(u8) -> Option<&'static [u8]>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(escape) = escaped(*byte) {
            out.extend_from_slice(&bytes[written..at]);
            out.extend_from_slice(escape);
            written = at + 1;
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// The text of bytes; base64 of those that XML cannot hold.
pub(crate) fn text_of(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match chars(bytes) {
        Some(text) => text.into(),
        None => {
            let mut text = Vec::new();
            binary::write(&mut text, bytes);
            String::from_utf8(text).unwrap_or_default().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{forbidden, is_name};

    #[test]
    fn forbidden_characters_are_found_wherever_they_stand() {
        for at in 0..200 {
            let before = "a".repeat(at);
            for bad in ["\0", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
                assert_eq!(forbidden(&format!("{before}{bad}{before}")), Some(at), "{bad:?}");
            }
            for good in ["\t\r\n ", "\u{fffd}", "\u{ff01}", "\u{7f}\u{85}", "\u{1f600}"] {
                assert_eq!(forbidden(&format!("{before}{good}{before}")), None, "{good:?}");
            }
        }
    }

    #[test]
    fn names_are_those_of_xml() {
        for name in ["a", "_", ":", "a-1.b", "\u{e4}", "__name", "s:Body", "a\u{b7}"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1", "-", ".", "a b", "a&", "\u{b7}", "\u{d7}", "a\u{37e}"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
