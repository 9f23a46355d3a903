//! Writing AMF0.

use super::marker;
use crate::amf3::{Amf3Encoder, EncoderTables};
use crate::error::EncodeError;
use crate::limits::MAX_DEPTH;

/// A place in a message; see [`Amf0Encoder::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Amf0Mark {
    length: usize,
    depth: usize,
    containers: usize,
}

/// Appends AMF0 values to a buffer. One encoder is one message: one context of references.
///
/// The caller walks its own data and calls begin, key, value, …, end in order; what it leaves out
/// or doubles makes broken bytes. Each begin answers the index under which
/// [`reference`](Self::reference) names the container later, also from inside it. Scalars and
/// strings allocate nothing but the buffer's own growth.
#[derive(Debug)]
pub struct Amf0Encoder<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    containers: usize,
    amf3: EncoderTables,
}

impl<'a> Amf0Encoder<'a> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: 0, containers: 0, amf3: EncoderTables::default() }
    }

    /// An encoder of values that are put into messages with others.
    pub(crate) fn self_contained(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: 0, containers: 0, amf3: EncoderTables::self_contained() }
    }

    /// Containers begun and not ended.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The present place, to come back to with [`reset`](Self::reset).
    pub fn mark(&self) -> Amf0Mark {
        Amf0Mark { length: self.out.len(), depth: self.depth, containers: self.containers }
    }

    /// Takes back all AMF0 that was written since the mark: the next container gets the index that
    /// the first of those had. Nothing of AMF3 may be among it, whose references stay counted.
    pub fn reset(&mut self, mark: Amf0Mark) {
        self.out.truncate(mark.length);
        (self.depth, self.containers) = (mark.depth, mark.containers);
    }

    /// Writes null.
    #[inline]
    pub fn null(&mut self) {
        self.out.push(marker::NULL);
    }

    /// Writes undefined.
    #[inline]
    pub fn undefined(&mut self) {
        self.out.push(marker::UNDEFINED);
    }

    /// Writes a boolean.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(&[marker::BOOLEAN, u8::from(value)]);
    }

    /// Writes a number: always a double.
    #[inline]
    pub fn number(&mut self, value: f64) {
        let mut bytes = [marker::NUMBER; 9];
        bytes[1..].copy_from_slice(&value.to_be_bytes());
        self.out.extend_from_slice(&bytes);
    }

    /// Writes a string; beyond 65,535 bytes a long string (CNV-04).
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] beyond 2^32 − 1 bytes.
    #[inline]
    pub fn string(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        if let Ok(length) = u16::try_from(value.len()) {
            let [high, low] = length.to_be_bytes();
            self.out.extend_from_slice(&[marker::STRING, high, low]);
        } else {
            let length = length32(value.len())?;
            self.out.push(marker::LONG_STRING);
            self.out.extend_from_slice(&length.to_be_bytes());
        }
        self.out.extend_from_slice(value);
        Ok(())
    }

    /// Writes a date, milliseconds since 1970 UTC.
    pub fn date(&mut self, ms: f64) {
        self.out.push(marker::DATE);
        self.out.extend_from_slice(&ms.to_be_bytes());
        // Time zone: reserved (§2.13).
        self.out.extend_from_slice(&[0, 0]);
    }

    /// Writes a byte array, which AMF0 lacks: as AMF3 value (CNV-05).
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] beyond 2^28 − 1 bytes.
    pub fn byte_array(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        let start = self.out.len();
        let result = self.switch_to_amf3().byte_array(value);
        if result.is_err() {
            self.out.truncate(start);
        }
        result.map(|_index| ())
    }

    /// Begins an object: key and value for each member, then [`end_object`](Self::end_object).
    /// Answers its index for references; `None` past 65,535, where AMF0 cannot name it.
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`], [`EncodeError::KeyTooLong`].
    pub fn begin_object(&mut self, type_name: Option<&[u8]>) -> Result<Option<u16>, EncodeError> {
        let type_name = type_name.filter(|name| !name.is_empty());
        let length = key_length(type_name.unwrap_or_default())?;
        let index = self.begin()?;
        match type_name {
            None => self.out.push(marker::OBJECT),
            Some(name) => {
                self.out.push(marker::TYPED_OBJECT);
                self.out.extend_from_slice(&length.to_be_bytes());
                self.out.extend_from_slice(name);
            }
        }
        Ok(index)
    }

    /// Ends the object.
    pub fn end_object(&mut self) {
        self.out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
        self.end();
    }

    /// Begins an ECMA array: as an object, with the number of members that peers expect to read,
    /// then [`end_ecma_array`](Self::end_ecma_array).
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`], [`EncodeError::TooLong`].
    pub fn begin_ecma_array(&mut self, len_hint: usize) -> Result<Option<u16>, EncodeError> {
        self.begin_counted(marker::ECMA_ARRAY, len_hint)
    }

    /// Ends the ECMA array.
    pub fn end_ecma_array(&mut self) {
        self.end_object();
    }

    /// Begins a strict array of exactly `len` values, then
    /// [`end_strict_array`](Self::end_strict_array).
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`], [`EncodeError::TooLong`].
    pub fn begin_strict_array(&mut self, len: usize) -> Result<Option<u16>, EncodeError> {
        self.begin_counted(marker::STRICT_ARRAY, len)
    }

    /// Ends the strict array; writes nothing.
    pub fn end_strict_array(&mut self) {
        self.end();
    }

    /// Writes the name of the member whose value follows. It may be empty.
    ///
    /// # Errors
    /// [`EncodeError::KeyTooLong`] beyond 65,535 bytes.
    pub fn key(&mut self, key: &[u8]) -> Result<(), EncodeError> {
        let length = key_length(key)?;
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(key);
        Ok(())
    }

    /// Refers to a container written, or being written, in this message.
    pub fn reference(&mut self, index: u16) {
        self.out.push(marker::REFERENCE);
        self.out.extend_from_slice(&index.to_be_bytes());
    }

    /// Switches to AMF3 for exactly one value. All such values of this encoder share their AMF3
    /// references, which are apart from those of AMF0.
    pub fn switch_to_amf3(&mut self) -> Amf3Encoder<'_> {
        self.out.push(marker::AVMPLUS);
        Amf3Encoder::inside(self.out, self.depth, &mut self.amf3)
    }

    fn begin_counted(&mut self, marker: u8, count: usize) -> Result<Option<u16>, EncodeError> {
        let count = length32(count)?;
        let index = self.begin()?;
        self.out.push(marker);
        self.out.extend_from_slice(&count.to_be_bytes());
        Ok(index)
    }

    fn begin(&mut self) -> Result<Option<u16>, EncodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        self.depth += 1;
        let index = u16::try_from(self.containers).ok();
        self.containers += 1;
        Ok(index)
    }

    fn end(&mut self) {
        debug_assert!(self.depth > 0, "end without begin");
        self.depth = self.depth.saturating_sub(1);
    }
}

fn key_length(key: &[u8]) -> Result<u16, EncodeError> {
    u16::try_from(key.len()).map_err(|_| EncodeError::KeyTooLong { length: key.len() })
}

fn length32(length: usize) -> Result<u32, EncodeError> {
    u32::try_from(length).map_err(|_| EncodeError::TooLong { length })
}
