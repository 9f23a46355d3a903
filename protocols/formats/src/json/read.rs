//! Reading JSON.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::de::{Deserializer, SliceRead, StrRead};

use super::{RAW, TYPE};
use crate::document::{Document, Kind, Node, Span, Tape};
use crate::error::ReadError;
use crate::limits::MAX_DEPTH;
use crate::{binary, date};

/// Reads a JSON text (CNV-20..23).
///
/// The elements of an outer array are the values; any other outermost value is the only one, and
/// [`Document::kind`] tells. Strings of exactly the form `2014-01-01T00:00:00.000Z` are dates, an
/// object with `__type` in any position is typed, one with only `__raw` is bytes: one whose
/// `__raw` is no base64 is a [`Problem`](crate::Problem). Members of equal names come all, in
/// order.
///
/// # Errors
/// [`ReadError`]; text that is not UTF-8, a number beyond the range of a double and a lone
/// surrogate are malformed.
pub fn read_json(text: &[u8]) -> Result<Document, ReadError> {
    let mut reader =
        Reader { tape: Tape::for_input(text.len())?, depth: 0, outer: Outer::Scalar, failed: None };
    // Looked at once, and not string by string; what is no UTF-8 ends with the place where it is not.
    let result = match std::str::from_utf8(text) {
        Ok(text) => read(&mut reader, StrRead::new(text)),
        Err(_) => read(&mut reader, SliceRead::new(text)),
    };
    if let Err(error) = result {
        let malformed = || ReadError::malformed("JSON", error.to_string());
        return Err(reader.failed.unwrap_or_else(malformed));
    }
    let (kind, values) = match reader.outer {
        Outer::Array(values) => (Kind::JsonArray, values),
        Outer::Object => (Kind::JsonObject, 1),
        Outer::Scalar => (Kind::JsonScalar, 1),
    };
    Ok(Document::new(kind, reader.tape, values))
}

fn read<'t>(reader: &mut Reader, text: impl serde_json::de::Read<'t>) -> serde_json::Result<()> {
    let mut json = Deserializer::new(text);
    // Depth is bounded below, with the outer array not counted.
    json.disable_recursion_limit();
    OuterSeed(reader).deserialize(&mut json)?;
    json.end()
}

enum Outer {
    Array(usize),
    Object,
    Scalar,
}

struct Reader {
    tape: Tape,
    depth: usize,
    outer: Outer,
    /// Why the reader itself gave up: serde's error holds only text.
    failed: Option<ReadError>,
}

impl Reader {
    /// Hands an error of the tape through serde.
    fn done<E: de::Error>(&mut self, result: Result<(), ReadError>) -> Result<(), E> {
        result.map_err(|error| {
            let text = E::custom(&error);
            self.failed = Some(error);
            text
        })
    }

    fn open<E: de::Error>(&mut self) -> Result<usize, E> {
        let opened =
            if self.depth >= MAX_DEPTH { Err(ReadError::TooDeep) } else { self.tape.open() };
        match opened {
            Ok(at) => {
                self.depth += 1;
                Ok(at)
            }
            Err(error) => self.done(Err(error)).map(|()| 0),
        }
    }

    /// Turns an object with nothing but a `__raw` string, which begins at a place, into bytes.
    fn raw<E: de::Error>(&mut self, at: usize, text: Span) -> Result<(), E> {
        self.tape.truncate(at);
        let result = match binary::read(self.tape.get(text)) {
            Some(bytes) => self.tape.bytes(&bytes),
            None => {
                let text = self.tape.get(text).to_vec();
                self.tape.problem(b"base64", &text)
            }
        };
        self.done(result)
    }
}

/// The outermost value: an array of it is no value.
struct OuterSeed<'a>(&'a mut Reader);

/// A value, and what it may be.
struct ValueSeed<'a>(&'a mut Reader);

/// The name of a member.
struct KeySeed<'a>(&'a mut Reader);

#[derive(PartialEq)]
enum KeyKind {
    Plain,
    Type,
    Raw,
}

impl<'de> DeserializeSeed<'de> for OuterSeed<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = KeyKind;

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<KeyKind, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for OuterSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        ValueSeed(self.0).visit_unit()
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        ValueSeed(self.0).visit_bool(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        ValueSeed(self.0).visit_i64(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        ValueSeed(self.0).visit_u64(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        ValueSeed(self.0).visit_f64(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        ValueSeed(self.0).visit_str(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut count = 0;
        while elements.next_element_seed(ValueSeed(self.0))?.is_some() {
            count += 1;
        }
        self.0.outer = Outer::Array(count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.0.outer = Outer::Object;
        ValueSeed(self.0).visit_map(members)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        let result = self.0.tape.push(Node::Null);
        self.0.done(result)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        let result = self.0.tape.push(Node::Boolean(value));
        self.0.done(result)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        let result = self.0.tape.push(Node::Number(value));
        self.0.done(result)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        let result = match date::read_exact(value.as_bytes()) {
            Some(ms) => self.0.tape.push(Node::Date(ms)),
            None => self.0.tape.text(value.as_bytes()),
        };
        self.0.done(result)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let at = self.0.open()?;
        let mut elements = 0;
        while seq.next_element_seed(ValueSeed(self.0))?.is_some() {
            // Bounded by MAX_NODES.
            elements += 1;
        }
        self.0.depth -= 1;
        self.0.tape.set(at, Node::Array { members: 0, elements });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let at = self.0.open()?;
        let mut members = 0;
        let mut type_name = Span::default();
        let mut raw = None;
        loop {
            let start = self.0.tape.len();
            let Some(key) = map.next_key_seed(KeySeed(self.0))? else { break };
            map.next_value_seed(ValueSeed(self.0))?;
            match (key, self.0.tape.last()) {
                (KeyKind::Type, Some(Node::Text(name)))
                    if self.0.tape.len() == start + 2 && !self.0.tape.get(name).is_empty() =>
                {
                    type_name = name;
                    self.0.tape.truncate(start);
                    continue;
                }
                (KeyKind::Raw, Some(Node::Text(text))) if self.0.tape.len() == start + 2 => {
                    raw = Some(text);
                }
                _ => {}
            }
            // Bounded by MAX_NODES.
            members += 1;
        }
        self.0.depth -= 1;
        match raw {
            Some(text) if members == 1 && type_name == Span::default() => self.0.raw(at, text),
            _ => {
                self.0.tape.set(at, Node::Object { type_name, members });
                Ok(())
            }
        }
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = KeyKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<KeyKind, E> {
        let result = self.0.tape.key(key.as_bytes());
        self.0.done(result)?;
        Ok(match key {
            TYPE => KeyKind::Type,
            RAW => KeyKind::Raw,
            _ => KeyKind::Plain,
        })
    }
}
