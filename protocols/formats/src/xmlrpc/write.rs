//! Writing XML-RPC.

use std::io::Write;

use crate::encoder::Encoder;
use crate::error::WriteError;
use crate::limits::MAX_DEPTH;
use crate::text::plain_number;
use crate::xml::text::{chars, escape, escape_attribute};
use crate::{binary, date};

const HEAD: &[u8] = b"<?xml version=\"1.0\"?>";

/// Appends an XML-RPC message to a buffer (CNV-25).
///
/// A string that XML cannot hold is written as bytes, `<base64>` (CNV-27); a key of that kind is
/// refused. A mixed array is written as an array whose first element is a struct, and takes two
/// levels of depth.
#[derive(Debug)]
pub struct XmlRpcEncoder<'a> {
    out: &'a mut Vec<u8>,
    tail: &'static [u8],
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Struct,
    Array,
}

impl<'a> XmlRpcEncoder<'a> {
    /// An encoder of a response, as `mona:toXMLRPC` writes it. Ends with
    /// [`finish`](Self::finish).
    pub fn response(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(HEAD);
        out.extend_from_slice(b"<methodResponse><params>");
        Self { out, tail: b"</params></methodResponse>", open: Vec::new() }
    }

    /// An encoder of a call. Ends with [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`WriteError::KeyNotText`]; nothing is written.
    pub fn call(out: &'a mut Vec<u8>, method: &[u8]) -> Result<Self, WriteError> {
        let method = chars(method).ok_or(WriteError::KeyNotText)?;
        out.extend_from_slice(HEAD);
        out.extend_from_slice(b"<methodCall><methodName>");
        escape(out, method);
        out.extend_from_slice(b"</methodName><params>");
        Ok(Self { out, tail: b"</params></methodCall>", open: Vec::new() })
    }

    /// Ends the text.
    pub fn finish(self) {
        debug_assert_eq!(self.open, [], "every container is ended");
        self.out.extend_from_slice(self.tail);
    }

    fn before(&mut self) {
        if self.open.is_empty() {
            self.out.extend_from_slice(b"<param>");
        }
        self.out.extend_from_slice(b"<value>");
    }

    fn after(&mut self) {
        self.out.extend_from_slice(b"</value>");
        match self.open.last() {
            None => self.out.extend_from_slice(b"</param>"),
            Some(Open::Struct) => self.out.extend_from_slice(b"</member>"),
            Some(Open::Array) => {}
        }
    }

    fn scalar(&mut self, begin: &[u8], text: impl FnOnce(&mut Vec<u8>), end: &[u8]) {
        self.before();
        self.out.extend_from_slice(begin);
        text(self.out);
        self.out.extend_from_slice(end);
        self.after();
    }

    fn room(&self, levels: usize) -> Result<(), WriteError> {
        if self.open.len() + levels > MAX_DEPTH { Err(WriteError::TooDeep) } else { Ok(()) }
    }

    fn end(&mut self, open: Open, text: &[u8]) {
        let ended = self.open.pop();
        debug_assert_eq!(ended, Some(open), "end without begin");
        self.out.extend_from_slice(text);
        self.after();
    }
}

impl Encoder for XmlRpcEncoder<'_> {
    fn null(&mut self) {
        self.scalar(b"", |_| (), b"");
    }

    fn boolean(&mut self, value: bool) {
        self.scalar(b"<boolean>", |out| out.push(b'0' + u8::from(value)), b"</boolean>");
    }

    fn number(&mut self, value: f64) {
        if !value.is_finite() {
            self.null();
        } else if value == f64::from(value as i32) {
            // Writing to a vector cannot fail.
            let text = |out: &mut Vec<u8>| {
                let _ = write!(out, "{}", value as i32);
            };
            self.scalar(b"<int>", text, b"</int>");
        } else {
            let text = |out: &mut Vec<u8>| {
                plain_number(out, value);
            };
            self.scalar(b"<double>", text, b"</double>");
        }
    }

    fn string(&mut self, value: &[u8]) {
        match chars(value) {
            Some(text) => self.scalar(b"<string>", |out| escape(out, text), b"</string>"),
            None => self.bytes(value),
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        self.scalar(b"<base64>", |out| binary::write(out, value), b"</base64>");
    }

    fn date(&mut self, ms: f64) -> Result<(), WriteError> {
        let mut text = Vec::new();
        date::write(&mut text, ms, date::Style::XmlRpc)?;
        let (begin, end) = (b"<dateTime.iso8601>", b"</dateTime.iso8601>");
        self.scalar(begin, |out| out.extend_from_slice(&text), end);
        Ok(())
    }

    fn begin_object(&mut self, type_name: Option<&[u8]>) -> Result<(), WriteError> {
        self.room(1)?;
        let type_name = chars(type_name.unwrap_or_default()).ok_or(WriteError::KeyNotText)?;
        self.before();
        if type_name.is_empty() {
            self.out.extend_from_slice(b"<struct>");
        } else {
            self.out.extend_from_slice(b"<struct type=\"");
            escape_attribute(self.out, type_name);
            self.out.extend_from_slice(b"\">");
        }
        self.open.push(Open::Struct);
        Ok(())
    }

    fn end_object(&mut self) {
        self.end(Open::Struct, b"</struct>");
    }

    fn begin_array(&mut self, len: usize, mixed: bool) -> Result<(), WriteError> {
        self.room(1 + usize::from(mixed))?;
        self.before();
        // Writing to a vector cannot fail.
        let _ = write!(self.out, "<array size=\"{}\"><data>", len + usize::from(mixed));
        self.open.push(Open::Array);
        if mixed {
            self.out.extend_from_slice(b"<value><struct>");
            self.open.push(Open::Struct);
        }
        Ok(())
    }

    fn begin_elements(&mut self) {
        self.end(Open::Struct, b"</struct>");
    }

    fn end_array(&mut self) {
        self.end(Open::Array, b"</data></array>");
    }

    fn key(&mut self, key: &[u8]) -> Result<(), WriteError> {
        let key = chars(key).ok_or(WriteError::KeyNotText)?;
        self.out.extend_from_slice(b"<member><name>");
        escape(self.out, key);
        self.out.extend_from_slice(b"</name>");
        Ok(())
    }

    fn depth(&self) -> usize {
        self.open.len()
    }
}
