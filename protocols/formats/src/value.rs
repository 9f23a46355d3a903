//! Trees of values, for what the node itself reads and writes.

use ramona_amf::{DecodeError, Value, ValueBuilder};

use crate::document::Document;
use crate::encoder::Encoder;
use crate::error::WriteError;

/// Writes one value.
///
/// Undefined is null, an ECMA array an object; a dictionary is an object of its entries whose
/// keys are strings or numbers (CNV-07).
///
/// # Errors
/// The first of what could not be written. The text is complete even so: null stands in place of
/// a value, a member with such a key is missing.
pub fn write_value(to: &mut impl Encoder, value: &Value) -> Result<(), WriteError> {
    let mut first = Ok(());
    write(to, value, &mut first);
    first
}

/// The values of a document that were not yet handed on.
///
/// # Errors
/// More than a tree of values may hold: [`DecodeError::TooManyNodes`],
/// [`DecodeError::TooManyBytes`].
pub fn read_values(document: &mut Document) -> Result<Vec<Value>, DecodeError> {
    let mut builder = ValueBuilder::default();
    let mut values = Vec::new();
    while let Some(node) = document.next(&mut builder)? {
        values.push(builder.finish(node)?);
    }
    Ok(values)
}

fn write(to: &mut impl Encoder, value: &Value, first: &mut Result<(), WriteError>) {
    let done = match value {
        Value::Undefined | Value::Null => {
            to.null();
            Ok(())
        }
        Value::Bool(value) => {
            to.boolean(*value);
            Ok(())
        }
        Value::Number(value) => {
            to.number(*value);
            Ok(())
        }
        Value::String(value) => {
            to.string(value);
            Ok(())
        }
        Value::ByteArray(value) => {
            to.bytes(value);
            Ok(())
        }
        Value::Date(ms) => to.date(*ms),
        Value::Object(object) => to.begin_object(object.type_name.as_deref()).map(|()| {
            members(to, &object.members, first);
            to.end_object();
        }),
        Value::EcmaArray(list) => to.begin_object(None).map(|()| {
            members(to, list, first);
            to.end_object();
        }),
        Value::Array(elements) => to.begin_array(elements.len(), false).map(|()| {
            elements.iter().for_each(|element| write(to, element, first));
            to.end_array();
        }),
        Value::MixedArray { members: list, elements } => {
            to.begin_array(elements.len(), true).map(|()| {
                members(to, list, first);
                to.begin_elements();
                elements.iter().for_each(|element| write(to, element, first));
                to.end_array();
            })
        }
        Value::Dictionary { entries, .. } => to.begin_object(None).map(|()| {
            for (key, value) in entries {
                match key {
                    Value::String(key) => member(to, key, value, first),
                    Value::Number(key) => member(to, key.to_string().as_bytes(), value, first),
                    _ => *first = first.and(Err(WriteError::KeyNotText)),
                }
            }
            to.end_object();
        }),
    };
    if done.is_err() {
        *first = first.and(done);
        to.null();
    }
}

fn members<K: AsRef<[u8]>>(
    to: &mut impl Encoder,
    members: &[(K, Value)],
    first: &mut Result<(), WriteError>,
) {
    for (key, value) in members {
        member(to, key.as_ref(), value, first);
    }
}

fn member(to: &mut impl Encoder, key: &[u8], value: &Value, first: &mut Result<(), WriteError>) {
    match to.key(key) {
        Ok(()) => write(to, value, first),
        Err(error) => *first = first.and(Err(error)),
    }
}
