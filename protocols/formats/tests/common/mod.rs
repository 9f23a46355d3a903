//! What several tests of this crate share.

#![allow(dead_code, reason = "each test program uses a part")]

use bytes::Bytes;
use ramona_amf::{Object, Value};
use ramona_formats::{
    Document, Encoder, JsonEncoder, QueryEncoder, ReadError, XmlArrayEncoder, XmlRpcEncoder,
    read_values, write_value,
};

pub(crate) fn values(document: Result<Document, ReadError>) -> Vec<Value> {
    read_values(&mut document.unwrap()).unwrap()
}

pub(crate) fn text(value: impl Into<Bytes>) -> Value {
    Value::String(value.into())
}

pub(crate) fn bytes(value: impl Into<Bytes>) -> Value {
    Value::ByteArray(value.into())
}

pub(crate) fn list(elements: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(elements.into_iter().collect())
}

pub(crate) fn numbers(elements: impl IntoIterator<Item = i32>) -> Value {
    list(elements.into_iter().map(|value| Value::Number(value.into())))
}

/// `{x=…, …}`; without members an array.
pub(crate) fn table<const M: usize, const E: usize>(
    members: [(&'static str, Value); M],
    elements: [Value; E],
) -> Value {
    let members = members.map(|(key, value)| (Bytes::from(key), value)).into();
    match E {
        0 => Value::Object(Object { type_name: None, members }),
        _ if M == 0 => list(elements),
        _ => Value::MixedArray { members, elements: elements.into() },
    }
}

pub(crate) fn number(value: f64) -> Value {
    Value::Number(value)
}

fn write(mut to: impl Encoder, values: &[Value]) {
    for value in values {
        write_value(&mut to, value).unwrap();
    }
}

pub(crate) fn json(values: &[Value]) -> String {
    let mut out = Vec::new();
    let mut to = JsonEncoder::list(&mut out);
    for value in values {
        write_value(&mut to, value).unwrap();
    }
    to.finish();
    String::from_utf8(out).unwrap()
}

pub(crate) fn single_json(value: &Value) -> String {
    let mut out = Vec::new();
    write(JsonEncoder::single(&mut out), std::slice::from_ref(value));
    String::from_utf8(out).unwrap()
}

pub(crate) fn query(values: &[Value]) -> String {
    let mut out = Vec::new();
    write(QueryEncoder::new(&mut out), values);
    String::from_utf8(out).unwrap()
}

/// A response; what stands around the parameters is cut off.
pub(crate) fn params(values: &[Value]) -> String {
    let mut out = Vec::new();
    let mut to = XmlRpcEncoder::response(&mut out);
    for value in values {
        write_value(&mut to, value).unwrap();
    }
    to.finish();
    let all = String::from_utf8(out).unwrap();
    let inner = all
        .strip_prefix("<?xml version=\"1.0\"?><methodResponse><params>")
        .and_then(|rest| rest.strip_suffix("</params></methodResponse>"));
    inner.unwrap().to_owned()
}

/// The content of the only parameter's value.
pub(crate) fn param(value: Value) -> String {
    let all = params(&[value]);
    let inner =
        all.strip_prefix("<param><value>").and_then(|rest| rest.strip_suffix("</value></param>"));
    inner.unwrap().to_owned()
}

pub(crate) fn response(inner: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?><methodResponse><params>{inner}</params></methodResponse>")
        .into_bytes()
}

pub(crate) fn array_xml(values: &[Value]) -> String {
    let mut out = Vec::new();
    let mut to = XmlArrayEncoder::new(&mut out);
    for value in values {
        write_value(&mut to, value).unwrap();
    }
    to.finish();
    String::from_utf8(out).unwrap()
}
