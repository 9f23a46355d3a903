//! Bodies of `_result`, `_error` and `onStatus` (script API spec section 8).

use bytes::Bytes;
use ramona_amf::Amf0Encoder;

/// Bytes of a description sent to a client; longer ones are cut. Descriptions are texts for
/// people, and one that had the size of a message could not be sent at all.
pub const MAX_DESCRIPTION: usize = 16 << 10;

/// The end of an AMF0 object: an empty key and the end marker.
const OBJECT_END: [u8; 3] = [0, 0, 9];
const OBJECT: u8 = 3;
const NULL: u8 = 5;

/// The level of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Status,
    Error,
}

impl Level {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Status => b"status",
            Self::Error => b"error",
        }
    }

    /// Level of a code that a script made up (STA-16, WRI-04).
    pub(crate) fn of_code(code: &[u8]) -> Self {
        let failed = [&b"Error"[..], b"Failed", b"Rejected"];
        if failed.iter().any(|end| code.ends_with(end)) { Self::Error } else { Self::Status }
    }
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    Amf0Encoder::new(out).string(text).expect("a text in memory is shorter than 4 GiB");
}

pub(crate) fn put_key(out: &mut Vec<u8>, key: &str) {
    Amf0Encoder::new(out).key(key.as_bytes()).expect("keys of this crate are short");
}

pub(crate) fn put_number(out: &mut Vec<u8>, value: f64) {
    Amf0Encoder::new(out).number(value);
}

fn put_member(out: &mut Vec<u8>, key: &str, text: &[u8]) {
    put_key(out, key);
    put_string(out, text);
}

/// Name, transaction and an empty command object; arguments follow.
pub(crate) fn command(name: &[u8], transaction: f64) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_string(&mut out, name);
    put_number(&mut out, transaction);
    out.push(NULL);
    out
}

/// A command with its arguments, which are AMF0 values already.
pub(crate) fn command_with(name: &[u8], transaction: f64, args: &[u8]) -> Bytes {
    let mut out = command(name, transaction);
    out.extend_from_slice(args);
    out.into()
}

/// Appends the object of a status, with more members before its end.
fn put_info(out: &mut Vec<u8>, level: Level, code: &[u8], description: &[u8], more: &[u8]) {
    out.push(OBJECT);
    put_member(out, "level", level.name());
    put_member(out, "code", cut(code));
    put_member(out, "description", cut(description));
    out.extend_from_slice(more);
    out.extend_from_slice(&OBJECT_END);
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(MAX_DESCRIPTION)]
}

/// A command whose only argument is a status.
pub(crate) fn status(
    name: &[u8],
    transaction: f64,
    level: Level,
    code: &[u8],
    description: &[u8],
) -> Bytes {
    let mut out = command(name, transaction);
    put_info(&mut out, level, code, description, &[]);
    out.into()
}

/// `_result` of connect (STA-01).
///
/// `properties` and `info` are AMF0 members that follow the standard ones of the two objects.
pub(crate) fn connect_result(
    transaction: f64,
    object_encoding: u8,
    properties: &[u8],
    info: &[u8],
) -> Bytes {
    let mut out = Vec::with_capacity(320 + properties.len() + info.len());
    put_string(&mut out, b"_result");
    put_number(&mut out, transaction);
    out.push(OBJECT);
    // Clients look for this form of version; the numbers only tell that H.264 and AMF3 are known.
    put_member(&mut out, "fmsVer", b"FMS/3,5,7,7009");
    put_key(&mut out, "capabilities");
    put_number(&mut out, 31.0);
    put_key(&mut out, "mode");
    put_number(&mut out, 1.0);
    out.extend_from_slice(properties);
    out.extend_from_slice(&OBJECT_END);
    let mut more = Vec::with_capacity(32 + info.len());
    put_key(&mut more, "objectEncoding");
    put_number(&mut more, f64::from(object_encoding));
    more.extend_from_slice(info);
    let code = b"NetConnection.Connect.Success";
    put_info(&mut out, Level::Status, code, b"Connection succeeded", &more);
    out.into()
}

/// `<name><rest>`, the form of most descriptions.
pub(crate) fn sentence(before: &str, name: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), name, after.as_bytes()].concat()
}

/// Data message `|RtmpSampleAccess` with the two rights of a player (LIS-06).
pub(crate) fn sample_access(audio: bool, video: bool) -> Bytes {
    let mut out = Vec::with_capacity(24);
    put_string(&mut out, b"|RtmpSampleAccess");
    let mut encoder = Amf0Encoder::new(&mut out);
    encoder.boolean(audio);
    encoder.boolean(video);
    out.into()
}

#[cfg(test)]
mod tests {
    use ramona_amf::{Value, decode_amf0_all};

    use super::*;

    #[test]
    fn status_has_level_code_and_description_in_this_order() {
        let body = status(b"onStatus", 0.0, Level::Error, b"NetStream.Play.Failed", b"no");
        let (values, error) = decode_amf0_all(&body);
        assert_eq!(error, None);
        assert_eq!(values[..3], [Value::from("onStatus"), Value::Number(0.0), Value::Null]);
        let info = values[3].as_object().expect("an object");
        let members: Vec<_> = info.members.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(members, [&b"level"[..], b"code", b"description"]);
        assert_eq!(info.get("level"), Some(&Value::from("error")));
    }

    #[test]
    fn overlong_description_is_cut() {
        let body = status(b"_error", 1.0, Level::Error, b"c", &vec![b'x'; MAX_DESCRIPTION + 1]);
        let (values, _) = decode_amf0_all(&body);
        let text = values[3].get("description").and_then(Value::as_string).expect("text");
        assert_eq!(text.len(), MAX_DESCRIPTION);
    }

    #[test]
    fn level_of_a_code_follows_its_end() {
        assert_eq!(Level::of_code(b"Publish.Error"), Level::Error);
        assert_eq!(Level::of_code(b"Play.Failed"), Level::Error);
        assert_eq!(Level::of_code(b"Connect.Rejected"), Level::Error);
        assert_eq!(Level::of_code(b"Error.Play"), Level::Status);
        assert_eq!(Level::of_code(b""), Level::Status);
    }
}
