//! Values of the server as one line of text.

use bytes::Bytes;
use ramona_amf::Value;

/// Values inside each other that are shown; deeper ones are dots.
const DEPTH: usize = 4;

/// One line for any value.
pub(super) fn show(value: &Value) -> String {
    at_depth(value, DEPTH)
}

/// Bytes as text, with control characters escaped.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

fn at_depth(value: &Value, depth: usize) -> String {
    let Some(depth) = depth.checked_sub(1) else { return "...".to_owned() };
    let list = |values: &[Value]| {
        let parts: Vec<_> = values.iter().map(|value| at_depth(value, depth)).collect();
        parts.join(", ")
    };
    let members = |members: &[(Bytes, Value)]| {
        let part =
            |(key, value): &(Bytes, Value)| format!("{}={}", text(key), at_depth(value, depth));
        members.iter().map(part).collect::<Vec<_>>().join(", ")
    };
    match value {
        Value::Undefined => "undefined".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => format!("\"{}\"", text(value)),
        Value::Object(object) => format!("{{{}}}", members(&object.members)),
        Value::EcmaArray(array) => format!("{{{}}}", members(array)),
        Value::Array(values) => format!("[{}]", list(values)),
        Value::MixedArray { members: named, elements } => {
            format!("{{{}; {}}}", members(named), list(elements))
        }
        Value::Dictionary { entries, .. } => format!("a dictionary of {} entries", entries.len()),
        Value::Date(ms) => format!("date {ms} ms"),
        Value::ByteArray(bytes) => format!("{} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use ramona_amf::Object;

    use super::*;

    #[test]
    fn values_are_one_line_and_not_endless() {
        let inner = Object::new().with("b", "x\ny");
        let array = Value::Array(vec![Value::Null, inner.into(), 1.5.into()]);
        assert_eq!(show(&array), "[null, {b=\"x\\ny\"}, 1.5]");
        let deep = (0..50).fold(Value::Null, |value, _| Value::Array(vec![value]));
        assert_eq!(show(&deep), "[[[[...]]]]");
    }
}
