//! Query strings (`application/x-www-form-urlencoded`; script API spec CNV-35, CNV-36).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::document::{Document, Kind, Node, Span, Tape};
use crate::encoder::Encoder;
use crate::error::{ReadError, WriteError};
use crate::limits::MAX_DEPTH;
use crate::text::{TypedText, plain_number, typed_text};
use crate::{binary, date};

/// Everything but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Reads a query string (CNV-35).
///
/// Neighbouring `key=value` parts make one object, each bare word is a value of its own; both are
/// typed (GEN-15) after `+` and `%XX` were decoded. A `%` that begins no `%XX` stays. Empty parts
/// are nothing. Keys of equal names come all, in order. There is no malformed query.
///
/// # Errors
/// The bounds of [`ReadError`].
pub fn read_query(query: &[u8]) -> Result<Document, ReadError> {
    let mut tape = Tape::for_input(query.len())?;
    let mut values = 0;
    let mut open: Option<(usize, u32)> = None;
    let close = |tape: &mut Tape, open: &mut Option<(usize, u32)>| {
        if let Some((at, members)) = open.take() {
            tape.set(at, Node::Object { type_name: Span::default(), members });
        }
    };
    for part in query.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        let Some(equals) = part.iter().position(|byte| *byte == b'=') else {
            close(&mut tape, &mut open);
            values += 1;
            typed(&mut tape, &decode(part))?;
            continue;
        };
        let (at, members) = match open {
            Some(open) => open,
            None => {
                values += 1;
                (tape.open()?, 0)
            }
        };
        open = Some((at, members + 1));
        tape.key(&decode(&part[..equals]))?;
        typed(&mut tape, &decode(&part[equals + 1..]))?;
    }
    close(&mut tape, &mut open);
    Ok(Document::new(Kind::Query, tape, values))
}

fn decode(part: &[u8]) -> Cow<'_, [u8]> {
    if !part.contains(&b'+') {
        return percent_decode(part).into();
    }
    let mut part = part.to_vec();
    part.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    percent_decode(&part).collect::<Vec<_>>().into()
}

/// Adds the value that a text looks like (GEN-15).
pub(crate) fn typed(tape: &mut Tape, text: &[u8]) -> Result<(), ReadError> {
    match typed_text(text) {
        TypedText::Null => tape.push(Node::Null),
        TypedText::Boolean(value) => tape.push(Node::Boolean(value)),
        TypedText::Number(value) => tape.push(Node::Number(value)),
        TypedText::Text(text) => tape.text(text),
    }
}

/// Appends a query string to a buffer (CNV-36).
///
/// Members are `key=value`, other values bare. A query has no inner containers, so they are laid
/// flat: elements of an array that is a member repeat its key, members of an inner object keep
/// their own. A type name is not written.
#[derive(Debug)]
pub struct QueryEncoder<'a> {
    out: &'a mut Vec<u8>,
    /// Whether a part came before.
    joined: bool,
    /// Key of the next value, encoded.
    key: Option<Vec<u8>>,
    /// Keys of the containers around, to come back to.
    outer: Vec<Option<Vec<u8>>>,
}

impl<'a> QueryEncoder<'a> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, joined: false, key: None, outer: Vec::new() }
    }

    /// Ends the text; writes nothing.
    pub fn finish(self) {
        debug_assert_eq!(self.outer.len(), 0, "every container is ended");
    }

    /// Writes a value: what comes before it, then its text.
    fn part(&mut self) {
        if self.joined {
            self.out.push(b'&');
        }
        self.joined = true;
        if let Some(key) = &self.key {
            self.out.extend_from_slice(key);
            self.out.push(b'=');
        }
    }

    fn begin(&mut self) -> Result<(), WriteError> {
        if self.outer.len() >= MAX_DEPTH {
            return Err(WriteError::TooDeep);
        }
        self.outer.push(self.key.clone());
        Ok(())
    }

    fn end(&mut self) {
        let outer = self.outer.pop();
        debug_assert!(outer.is_some(), "end without begin");
        self.key = outer.flatten();
    }
}

fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for text in percent_encode(bytes, RESERVED) {
        out.extend_from_slice(text.as_bytes());
    }
}

impl Encoder for QueryEncoder<'_> {
    fn null(&mut self) {
        self.part();
        self.out.extend_from_slice(b"null");
    }

    fn boolean(&mut self, value: bool) {
        self.part();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn number(&mut self, value: f64) {
        self.part();
        if !plain_number(self.out, value) {
            self.out.extend_from_slice(b"null");
        }
    }

    fn string(&mut self, value: &[u8]) {
        self.part();
        encode(self.out, value);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.part();
        let mut text = Vec::new();
        binary::write(&mut text, value);
        encode(self.out, &text);
    }

    fn date(&mut self, ms: f64) -> Result<(), WriteError> {
        let mut text = Vec::new();
        date::write(&mut text, ms, date::Style::Basic)?;
        self.part();
        self.out.extend_from_slice(&text);
        Ok(())
    }

    fn begin_object(&mut self, _type_name: Option<&[u8]>) -> Result<(), WriteError> {
        self.begin()
    }

    fn end_object(&mut self) {
        self.end();
    }

    fn begin_array(&mut self, _len: usize, _mixed: bool) -> Result<(), WriteError> {
        self.begin()
    }

    /// Members end: elements have the key of the array again.
    fn begin_elements(&mut self) {
        self.key = self.outer.last().cloned().flatten();
    }

    fn end_array(&mut self) {
        self.end();
    }

    fn key(&mut self, key: &[u8]) -> Result<(), WriteError> {
        let mut encoded = Vec::with_capacity(key.len());
        encode(&mut encoded, key);
        self.key = Some(encoded);
        Ok(())
    }

    fn depth(&self) -> usize {
        self.outer.len()
    }
}
