//! Writing JSON.

use std::io::Write;

use super::{RAW, TYPE};
use crate::encoder::Encoder;
use crate::error::WriteError;
use crate::limits::MAX_DEPTH;
use crate::text::whole;
use crate::{binary, date};

/// Appends JSON to a buffer (CNV-20..23).
///
/// A string that is not UTF-8 is written as bytes, `{"__raw":"base64"}`; a key that is not is
/// refused. A mixed array is written as an array whose first element is an object, and takes two
/// levels of depth.
#[derive(Debug)]
pub struct JsonEncoder<'a> {
    out: &'a mut Vec<u8>,
    list: bool,
    /// Whether a value came before in this container.
    comma: bool,
    depth: usize,
}

impl<'a> JsonEncoder<'a> {
    /// An encoder of one array that holds all values (MON-15). Ends with
    /// [`finish`](Self::finish).
    pub fn list(out: &'a mut Vec<u8>) -> Self {
        out.push(b'[');
        Self { out, list: true, comma: false, depth: 0 }
    }

    /// An encoder of a single value, of which nothing stands around.
    pub fn single(out: &'a mut Vec<u8>) -> Self {
        Self { out, list: false, comma: false, depth: 0 }
    }

    /// Ends the text.
    pub fn finish(self) {
        debug_assert_eq!(self.depth, 0, "every container is ended");
        if self.list {
            self.out.push(b']');
        }
    }

    fn value(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    fn text(&mut self, text: &str) {
        // Writing to a vector cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, text);
    }

    fn begin(&mut self, levels: usize, text: &[u8]) -> Result<(), WriteError> {
        if self.depth + levels > MAX_DEPTH {
            return Err(WriteError::TooDeep);
        }
        self.depth += levels;
        self.value();
        self.out.extend_from_slice(text);
        self.comma = false;
        Ok(())
    }

    fn end(&mut self, text: u8) {
        debug_assert!(self.depth > 0, "end without begin");
        self.depth = self.depth.saturating_sub(1);
        self.out.push(text);
        self.comma = true;
    }
}

impl Encoder for JsonEncoder<'_> {
    fn null(&mut self) {
        self.value();
        self.out.extend_from_slice(b"null");
    }

    fn boolean(&mut self, value: bool) {
        self.value();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// The shortest decimal that reads back equal, with an exponent where that is shorter.
    fn number(&mut self, value: f64) {
        self.value();
        let size = value.abs();
        // Writing to a vector cannot fail.
        let _ = match whole(value) {
            Some(whole) => write!(self.out, "{whole}"),
            None if !value.is_finite() => self.out.write_all(b"null"),
            None if size == 0.0 || (1e-5..1e17).contains(&size) => write!(self.out, "{value}"),
            None => write!(self.out, "{value:e}"),
        };
    }

    fn string(&mut self, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(text) => {
                self.value();
                self.text(text);
            }
            Err(_) => self.bytes(value),
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        self.value();
        self.out.extend_from_slice(b"{\"");
        self.out.extend_from_slice(RAW.as_bytes());
        self.out.extend_from_slice(b"\":\"");
        binary::write(self.out, value);
        self.out.extend_from_slice(b"\"}");
    }

    fn date(&mut self, ms: f64) -> Result<(), WriteError> {
        let (start, comma) = (self.out.len(), self.comma);
        self.value();
        self.out.push(b'"');
        let result = date::write(self.out, ms, date::Style::Extended);
        if result.is_err() {
            self.out.truncate(start);
            self.comma = comma;
        } else {
            self.out.push(b'"');
        }
        result
    }

    fn begin_object(&mut self, type_name: Option<&[u8]>) -> Result<(), WriteError> {
        let Some(name) = type_name.filter(|name| !name.is_empty()) else {
            return self.begin(1, b"{");
        };
        let name = std::str::from_utf8(name).map_err(|_| WriteError::KeyNotText)?;
        self.begin(1, b"{")?;
        self.text(TYPE);
        self.out.push(b':');
        self.text(name);
        self.comma = true;
        Ok(())
    }

    fn end_object(&mut self) {
        self.end(b'}');
    }

    fn begin_array(&mut self, _len: usize, mixed: bool) -> Result<(), WriteError> {
        if mixed { self.begin(2, b"[{") } else { self.begin(1, b"[") }
    }

    fn begin_elements(&mut self) {
        self.end(b'}');
    }

    fn end_array(&mut self) {
        self.end(b']');
    }

    fn key(&mut self, key: &[u8]) -> Result<(), WriteError> {
        let key = std::str::from_utf8(key).map_err(|_| WriteError::KeyNotText)?;
        self.value();
        self.text(key);
        self.out.push(b':');
        self.comma = false;
        Ok(())
    }

    fn depth(&self) -> usize {
        self.depth
    }
}
