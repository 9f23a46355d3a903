//! The decoder: one message, one context of references.

use crate::amf3::Amf3Tables;
use crate::builder::Builder;
use crate::cursor::Cursor;
use crate::error::DecodeError;
use crate::limits::{MAX_CONTAINERS, MAX_DEPTH};

/// Reads values one after another from AMF0 or AMF3 bytes.
///
/// A decoder is one context of references, as the formats demand for a message: later values may
/// refer to containers, strings and traits of earlier ones. In AMF0 the marker `0x11` switches
/// one value to AMF3; all such values of a message share their AMF3 references. `V` is the value
/// type of the [`Builder`] in use.
///
/// Scalars and strings are decoded without allocation (up to eight AMF3 strings a message; the
/// tables of references are made when first needed).
#[derive(Debug)]
pub struct Decoder<'a, V> {
    pub(crate) cursor: Cursor<'a>,
    format: Format,
    /// End of the last complete value.
    complete: usize,
    failed: bool,
    /// AMF0 containers in order of their begin.
    pub(crate) amf0_containers: Vec<V>,
    pub(crate) amf3: Amf3Tables<'a, V>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Amf0,
    Amf3,
}

impl<'a, V: Clone> Decoder<'a, V> {
    /// A decoder of AMF0 values, in which `0x11` switches one value to AMF3.
    pub fn amf0(bytes: &'a [u8]) -> Self {
        Self::new(bytes, Format::Amf0)
    }

    /// A decoder of AMF3 values.
    pub fn amf3(bytes: &'a [u8]) -> Self {
        Self::new(bytes, Format::Amf3)
    }

    fn new(bytes: &'a [u8], format: Format) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            format,
            complete: 0,
            failed: false,
            amf0_containers: Vec::new(),
            amf3: Amf3Tables::new(bytes.len()),
        }
    }

    /// Reads the next value, or `None` at the end of the input.
    ///
    /// # Errors
    /// Broken input or a limit ([`DecodeError`]), or whatever the builder answers. After an error
    /// the decoder stays at the end of the last complete value and answers
    /// [`DecodeError::AlreadyFailed`].
    #[inline]
    pub fn next<B>(&mut self, builder: &mut B) -> Result<Option<V>, B::Error>
    where
        B: Builder<Value = V>,
    {
        if self.failed {
            return Err(DecodeError::AlreadyFailed { offset: self.complete }.into());
        }
        if self.cursor.remaining() == 0 {
            return Ok(None);
        }
        let result = match self.format {
            Format::Amf0 => self.read_amf0(builder, 0),
            Format::Amf3 => self.read_amf3(builder, 0),
        };
        match result {
            Ok(value) => {
                self.complete = self.cursor.offset();
                Ok(Some(value))
            }
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    /// What follows the last complete value.
    pub fn remaining(&self) -> &'a [u8] {
        self.cursor.bytes().get(self.complete..).unwrap_or_default()
    }

    /// Takes back the last value, which its receiver could not hold: `left` is what
    /// [`remaining`](Self::remaining) was before it.
    pub(crate) fn refuse_last(&mut self, left: usize) {
        self.complete = self.cursor.bytes().len().saturating_sub(left);
        self.failed = true;
    }

    /// Depth of the children of a container that stands at `depth`.
    pub(crate) fn enter(&self, depth: usize) -> Result<usize, DecodeError> {
        if depth < MAX_DEPTH {
            Ok(depth + 1)
        } else {
            Err(DecodeError::TooDeep { offset: self.cursor.offset() })
        }
    }

    pub(crate) fn check_containers(&self) -> Result<(), DecodeError> {
        if self.amf0_containers.len() + self.amf3.containers() < MAX_CONTAINERS {
            Ok(())
        } else {
            Err(DecodeError::TooManyContainers { offset: self.cursor.offset() })
        }
    }

    /// Refuses counts of items that the rest of the input cannot hold.
    pub(crate) fn check_count(&self, count: usize, bytes_each: usize) -> Result<(), DecodeError> {
        if count <= self.cursor.remaining() / bytes_each {
            Ok(())
        } else {
            Err(self.cursor.truncated())
        }
    }
}

/// The body of an externalizable AMF3 object, for [`Builder::read_external`].
#[derive(Debug)]
pub struct ExternalBody<'d, 'a, V> {
    pub(crate) decoder: &'d mut Decoder<'a, V>,
    pub(crate) type_name: &'a [u8],
    pub(crate) depth: usize,
}

impl<'a, V: Clone> ExternalBody<'_, 'a, V> {
    /// Name of the object's type.
    pub fn type_name(&self) -> &'a [u8] {
        self.type_name
    }

    /// Reads `count` bytes as they are.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        self.decoder.cursor.take(count)
    }

    /// Reads one AMF3 value, with the references of the whole message.
    ///
    /// # Errors
    /// As [`Decoder::next`].
    pub fn value<B>(&mut self, builder: &mut B) -> Result<V, B::Error>
    where
        B: Builder<Value = V>,
    {
        self.decoder.read_amf3(builder, self.depth)
    }
}

#[cfg(test)]
mod tests {
    use super::Decoder;
    use crate::{Amf0Encoder, Amf3Encoder, ValueBuilder};

    #[test]
    fn scalars_and_few_strings_need_no_tables() {
        let mut bytes = Vec::new();
        let mut encoder = Amf3Encoder::new(&mut bytes);
        for word in 0..8_u8 {
            encoder.string(&[word]).unwrap();
            encoder.number(f64::from(word));
            encoder.number(0.5);
            encoder.boolean(true);
            encoder.null();
        }
        let mut decoder = Decoder::amf3(&bytes);
        let mut builder = ValueBuilder::default();
        while decoder.next(&mut builder).unwrap().is_some() {}
        assert_eq!(decoder.amf3.allocated(), 0);

        let mut bytes = Vec::new();
        let mut encoder = Amf0Encoder::new(&mut bytes);
        encoder.string(b"a").unwrap();
        encoder.number(0.5);
        encoder.switch_to_amf3().string(b"b").unwrap();
        let mut decoder = Decoder::amf0(&bytes);
        while decoder.next(&mut builder).unwrap().is_some() {}
        assert_eq!(decoder.amf3.allocated() + decoder.amf0_containers.capacity(), 0);
    }
}
