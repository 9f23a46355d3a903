//! What a text of a client asks for.

use bytes::Bytes;
use ramona_amf::Value;
use ramona_formats::{Document, read_json, read_values};

use crate::limits::MAX_STREAM_NAME;

/// A text frame, read as far as the connection itself must understand it (WSK-01, WSK-03).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `["__publish", name, mode]`. The mode is accepted and changes nothing: nothing is
    /// recorded.
    Publish {
        /// Name without query.
        name: Bytes,
        /// What followed `?` in the name.
        query: Bytes,
    },
    /// `["__play", name]`.
    Play {
        /// Name without query.
        name: Bytes,
        /// What followed `?` in the name (LIS-07).
        query: Bytes,
    },
    /// `["__closePublish"]`.
    ClosePublish,
    /// `["__closePlay"]`.
    ClosePlay,
    /// `["__close"]`: ends both; the connection stays.
    Close,
    /// What begins like a JSON array and is none of these: a call, or values for `onMessage`.
    /// Whoever reads it finds out whether it is one.
    Array,
    /// Text that is no JSON array: one string for `onMessage`.
    Text,
    /// A reserved method with wrong arguments, in words.
    Malformed(&'static str),
}

impl Command {
    /// Reads a text, which is UTF-8.
    pub fn read(text: &[u8]) -> Self {
        if !starts_array(text) {
            return Self::Text;
        }
        if !is_reserved(text) {
            return Self::Array;
        }
        // CNV-17.
        let Ok(document) = read_json(text) else { return Self::Text };
        Self::reserved(document).unwrap_or(Self::Array)
    }

    /// The reserved method of that name, if there is one.
    fn reserved(mut document: Document) -> Option<Self> {
        // Too many values for a reserved method: a call of that name, which will not be found.
        let values = read_values(&mut document).ok()?;
        let name = values.first()?.as_string()?;
        let args = &values[1..];
        Some(match &name[..] {
            b"__publish" => match stream_name(args) {
                Some((name, query)) => Self::Publish { name, query },
                None => Self::Malformed("__publish takes the name of a stream, 1 to 4096 bytes"),
            },
            b"__play" => match stream_name(args) {
                Some((name, query)) => Self::Play { name, query },
                None => Self::Malformed("__play takes the name of a stream, 1 to 4096 bytes"),
            },
            b"__closePublish" => Self::ClosePublish,
            b"__closePlay" => Self::ClosePlay,
            b"__close" => Self::Close,
            _ => return None,
        })
    }
}

/// Name and query of a stream.
fn stream_name(args: &[Value]) -> Option<(Bytes, Bytes)> {
    let name = args.first()?.as_string()?;
    let end = name.iter().position(|byte| *byte == b'?').unwrap_or(name.len());
    if end == 0 || name.len() > MAX_STREAM_NAME {
        return None;
    }
    let query = name.get(end + 1..).map_or_else(Bytes::new, Bytes::copy_from_slice);
    Some((Bytes::copy_from_slice(&name[..end]), query))
}

fn starts_array(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'[')
}

/// Whether the first element begins like a reserved name. Written with escapes it is none, which
/// then is a call of a method that nobody defines.
fn is_reserved(text: &[u8]) -> bool {
    let inside = text.trim_ascii_start().get(1..).unwrap_or_default();
    inside.trim_ascii_start().starts_with(b"\"__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(name: &'static str, query: &'static str) -> Command {
        Command::Publish { name: name.into(), query: query.into() }
    }

    #[test]
    fn wsk_01_arrays_are_calls_and_everything_else_is_one_string() {
        for text in ["[]", " [1] ", r#"["test","a"]"#, "[[1,2]]", r#"["_","x"]"#, "\n[null]"] {
            assert_eq!(Command::read(text.as_bytes()), Command::Array, "{text}");
        }
        for text in ["", "hello", "{}", r#"{"a":[1]}"#, "1", "\"a\"", r#"["__play""#] {
            assert_eq!(Command::read(text.as_bytes()), Command::Text, "{text}");
        }
    }

    #[test]
    fn wsk_03_reserved_methods_are_known() {
        let read = |text: &str| Command::read(text.as_bytes());
        assert_eq!(read(r#"["__publish","s"]"#), publish("s", ""));
        assert_eq!(read(r#" [ "__publish" , "s?a=1&b" , "live" ] "#), publish("s", "a=1&b"));
        let play = Command::Play { name: "s".into(), query: "dataType=amf".into() };
        assert_eq!(read(r#"["__play","s?dataType=amf"]"#), play);
        assert_eq!(read(r#"["__closePublish"]"#), Command::ClosePublish);
        assert_eq!(read(r#"["__closePlay","s"]"#), Command::ClosePlay);
        assert_eq!(read(r#"["__close"]"#), Command::Close);
        assert_eq!(read(r#"["__other"]"#), Command::Array);
        assert_eq!(read(r#"["__publish","s""#), Command::Text);
    }

    #[test]
    fn wsk_02_reserved_methods_without_a_name_are_malformed() {
        let long = format!(r#"["__play","{}"]"#, "x".repeat(MAX_STREAM_NAME + 1));
        for text in [
            r#"["__publish"]"#,
            r#"["__publish",1]"#,
            r#"["__publish",""]"#,
            r#"["__play","?a=1"]"#,
            r#"["__play",null]"#,
            &long,
        ] {
            let command = Command::read(text.as_bytes());
            assert!(matches!(command, Command::Malformed(_)), "{text}: {command:?}");
        }
    }
}
