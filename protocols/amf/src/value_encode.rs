//! Writing trees of values.

use bytes::Bytes;

use crate::amf0::Amf0Encoder;
use crate::amf3::Amf3Encoder;
use crate::error::EncodeError;
use crate::value::{Object, Value};

impl Value {
    /// Appends the value as AMF0. What AMF0 lacks (byte arrays, dictionaries, arrays with members
    /// and elements) is written as AMF3 after the marker `0x11`. The bytes hold no references, so
    /// several values make a message one after another.
    ///
    /// # Errors
    /// See [`EncodeError`]; `out` is then as it was.
    pub fn encode_amf0(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = amf0(self, &mut Amf0Encoder::self_contained(out));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Appends the value as AMF3. The bytes hold no references, so several values make a message
    /// one after another.
    ///
    /// # Errors
    /// See [`EncodeError`]; `out` is then as it was.
    pub fn encode_amf3(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = amf3(self, &mut Amf3Encoder::self_contained(out));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

impl Object {
    /// Appends the object as AMF0; see [`Value::encode_amf0`].
    ///
    /// # Errors
    /// See [`EncodeError`]; `out` is then as it was.
    pub fn encode_amf0(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = amf0_object(self, &mut Amf0Encoder::self_contained(out));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

fn amf0(value: &Value, to: &mut Amf0Encoder<'_>) -> Result<(), EncodeError> {
    match value {
        Value::Undefined => to.undefined(),
        Value::Null => to.null(),
        Value::Bool(value) => to.boolean(*value),
        Value::Number(value) => to.number(*value),
        Value::String(value) => to.string(value)?,
        Value::Date(ms) => to.date(*ms),
        Value::Object(object) => amf0_object(object, to)?,
        Value::EcmaArray(members) => {
            to.begin_ecma_array(members.len())?;
            amf0_members(members, to)?;
            to.end_ecma_array();
        }
        Value::Array(elements) => {
            to.begin_strict_array(elements.len())?;
            for element in elements {
                amf0(element, to)?;
            }
            to.end_strict_array();
        }
        Value::ByteArray(_) | Value::MixedArray { .. } | Value::Dictionary { .. } => {
            amf3(value, &mut to.switch_to_amf3())?;
        }
    }
    Ok(())
}

fn amf0_object(object: &Object, to: &mut Amf0Encoder<'_>) -> Result<(), EncodeError> {
    to.begin_object(object.type_name.as_deref())?;
    amf0_members(&object.members, to)?;
    to.end_object();
    Ok(())
}

fn amf0_members(members: &[(Bytes, Value)], to: &mut Amf0Encoder<'_>) -> Result<(), EncodeError> {
    for (key, value) in members {
        to.key(key)?;
        amf0(value, to)?;
    }
    Ok(())
}

fn amf3(value: &Value, to: &mut Amf3Encoder<'_>) -> Result<(), EncodeError> {
    match value {
        Value::Undefined => to.undefined(),
        Value::Null => to.null(),
        Value::Bool(value) => to.boolean(*value),
        Value::Number(value) => to.number(*value),
        Value::String(value) => to.string(value)?,
        Value::Date(ms) => {
            to.date(*ms);
        }
        Value::ByteArray(bytes) => {
            to.byte_array(bytes)?;
        }
        Value::Object(object) => {
            to.begin_object(object.type_name.as_deref())?;
            amf3_members(&object.members, to)?;
            to.end_object();
        }
        Value::EcmaArray(members) => amf3_array(members, &[], to)?,
        Value::Array(elements) => amf3_array(&[], elements, to)?,
        Value::MixedArray { members, elements } => amf3_array(members, elements, to)?,
        Value::Dictionary { weak, entries } => {
            to.begin_dictionary(*weak, entries.len())?;
            for (key, value) in entries {
                amf3(key, to)?;
                amf3(value, to)?;
            }
            to.end_dictionary();
        }
    }
    Ok(())
}

fn amf3_array(
    members: &[(Bytes, Value)],
    elements: &[Value],
    to: &mut Amf3Encoder<'_>,
) -> Result<(), EncodeError> {
    to.begin_array(elements.len())?;
    amf3_members(members, to)?;
    to.begin_elements();
    for element in elements {
        amf3(element, to)?;
    }
    to.end_array();
    Ok(())
}

fn amf3_members(members: &[(Bytes, Value)], to: &mut Amf3Encoder<'_>) -> Result<(), EncodeError> {
    for (key, value) in members {
        to.key(key)?;
        amf3(value, to)?;
    }
    Ok(())
}
