//! Writing AMF3.

use super::encoder_tables::{ClassHeader, EncoderTables};
use super::{EMPTY_STRING, marker};
use crate::error::EncodeError;
use crate::limits::{MAX_AMF3_LENGTH, MAX_DEPTH};

/// Largest whole number written as integer, either sign (CNV-03).
const MAX_INTEGER: i32 = 268_435_455;

/// Appends AMF3 values to a buffer. One encoder is one message: one context of references.
///
/// The caller walks its own data and calls begin, key, value, …, end in order; what it leaves out
/// or doubles makes broken bytes. Each begin, date and byte array answers the index under which
/// [`reference`](Self::reference) names it later, containers also from inside. Scalars and
/// strings allocate nothing but the buffer's own growth.
#[derive(Debug)]
pub struct Amf3Encoder<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    tables: Tables<'a>,
}

#[derive(Debug)]
enum Tables<'a> {
    Own(EncoderTables),
    /// Of the AMF0 message around.
    Shared(&'a mut EncoderTables),
}

impl Tables<'_> {
    #[inline]
    fn get(&mut self) -> &mut EncoderTables {
        match self {
            Self::Own(tables) => tables,
            Self::Shared(tables) => tables,
        }
    }
}

impl<'a> Amf3Encoder<'a> {
    /// An encoder that appends to `out` and writes every string in full, which is fastest.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: 0, tables: Tables::Own(EncoderTables::default()) }
    }

    /// An encoder that writes repeated strings and keys (up to
    /// [`MAX_REMEMBERED_STRING_BYTES`](crate::limits::MAX_REMEMBERED_STRING_BYTES)) as references,
    /// which is smallest.
    pub fn with_string_references(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: 0, tables: Tables::Own(EncoderTables::with_strings()) }
    }

    /// An encoder of values that are put into messages with others.
    pub(crate) fn self_contained(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: 0, tables: Tables::Own(EncoderTables::self_contained()) }
    }

    /// An encoder of one value inside an AMF0 message.
    pub(crate) fn inside(
        out: &'a mut Vec<u8>,
        depth: usize,
        tables: &'a mut EncoderTables,
    ) -> Self {
        Self { out, depth, tables: Tables::Shared(tables) }
    }

    /// Containers begun and not ended.
    pub fn depth(&self) -> usize {
        self.depth
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
        self.out.push(if value { marker::TRUE } else { marker::FALSE });
    }

    /// Writes a number: as integer when whole and within ±268,435,455, else as double (CNV-03).
    /// Negative zero is a double, so that it stays itself.
    #[inline]
    pub fn number(&mut self, value: f64) {
        // The cast saturates and maps NaN to 0; comparing bits rejects both, and −0.
        #[expect(clippy::cast_possible_truncation, reason = "compared with the original below")]
        let whole = value as i32;
        if f64::from(whole).to_bits() == value.to_bits()
            && (-MAX_INTEGER..=MAX_INTEGER).contains(&whole)
        {
            self.out.push(marker::INTEGER);
            self.u29(whole.cast_unsigned() & 0x1fff_ffff);
        } else {
            self.double(value);
        }
    }

    #[inline]
    fn double(&mut self, value: f64) {
        let mut bytes = [marker::DOUBLE; 9];
        bytes[1..].copy_from_slice(&value.to_be_bytes());
        self.out.extend_from_slice(&bytes);
    }

    /// Writes a string.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] beyond 2^28 − 1 bytes.
    #[inline]
    pub fn string(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        let header = length_header(value.len())?;
        self.out.push(marker::STRING);
        self.string_body(value, header);
        Ok(())
    }

    /// Writes a date, milliseconds since 1970 UTC; answers its index for references.
    pub fn date(&mut self, ms: f64) -> u32 {
        self.out.extend_from_slice(&[marker::DATE, 1]);
        self.out.extend_from_slice(&ms.to_be_bytes());
        self.take_index()
    }

    /// Writes a byte array; answers its index for references.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] beyond 2^28 − 1 bytes.
    pub fn byte_array(&mut self, value: &[u8]) -> Result<u32, EncodeError> {
        let header = length_header(value.len())?;
        self.out.push(marker::BYTE_ARRAY);
        self.u29(header);
        self.out.extend_from_slice(value);
        Ok(self.take_index())
    }

    /// Begins an array of exactly `len` elements: key and value for each associative member, then
    /// [`begin_elements`](Self::begin_elements), the elements, [`end_array`](Self::end_array).
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`], [`EncodeError::TooLong`].
    pub fn begin_array(&mut self, len: usize) -> Result<u32, EncodeError> {
        let header = length_header(len)?;
        let index = self.begin()?;
        self.out.push(marker::ARRAY);
        self.u29(header);
        Ok(index)
    }

    /// Ends the associative part of an array, which may be empty.
    pub fn begin_elements(&mut self) {
        self.out.push(EMPTY_STRING);
    }

    /// Ends the array; writes nothing.
    pub fn end_array(&mut self) {
        self.end();
    }

    /// Begins a dynamic object: key and value for each member, then
    /// [`end_object`](Self::end_object).
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`], [`EncodeError::TooLong`].
    pub fn begin_object(&mut self, type_name: Option<&[u8]>) -> Result<u32, EncodeError> {
        let type_name = type_name.unwrap_or_default();
        let name_header = length_header(type_name.len())?;
        let index = self.begin()?;
        self.out.push(marker::OBJECT);
        match self.tables.get().class(type_name) {
            ClassHeader::Reference(class) => self.u29(class << 2 | 0b01),
            ClassHeader::Inline => {
                // Inline object, inline traits, not externalizable, dynamic, no sealed members.
                self.out.push(0b1011);
                self.string_body(type_name, name_header);
            }
        }
        Ok(index)
    }

    /// Ends the object.
    pub fn end_object(&mut self) {
        self.out.push(EMPTY_STRING);
        self.end();
    }

    /// Begins an externalizable object, whose body only its type knows (AMF3 §3.12): any
    /// [`external_bytes`](Self::external_bytes) and values, then
    /// [`end_external`](Self::end_external). Its class is written in full each time.
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`], [`EncodeError::TooLong`].
    pub fn begin_external(&mut self, type_name: &[u8]) -> Result<u32, EncodeError> {
        let name_header = length_header(type_name.len())?;
        let index = self.begin()?;
        self.tables.get().count_class();
        // Inline object, inline traits, externalizable.
        self.out.extend_from_slice(&[marker::OBJECT, 0b0111]);
        self.string_body(type_name, name_header);
        Ok(index)
    }

    /// Writes bytes of the body of an externalizable object as they are.
    pub fn external_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Ends the externalizable object; writes nothing.
    pub fn end_external(&mut self) {
        self.end();
    }

    /// Begins a dictionary of exactly `len` entries: key value and value for each, then
    /// [`end_dictionary`](Self::end_dictionary).
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`], [`EncodeError::TooLong`].
    pub fn begin_dictionary(&mut self, weak: bool, len: usize) -> Result<u32, EncodeError> {
        let header = length_header(len)?;
        let index = self.begin()?;
        self.out.push(marker::DICTIONARY);
        self.u29(header);
        self.out.push(u8::from(weak));
        Ok(index)
    }

    /// Ends the dictionary; writes nothing.
    pub fn end_dictionary(&mut self) {
        self.end();
    }

    /// Writes the name of the member whose value follows.
    ///
    /// # Errors
    /// [`EncodeError::EmptyKey`]; [`EncodeError::TooLong`] beyond 2^28 − 1 bytes.
    #[inline]
    pub fn key(&mut self, key: &[u8]) -> Result<(), EncodeError> {
        if key.is_empty() {
            return Err(EncodeError::EmptyKey);
        }
        let header = length_header(key.len())?;
        self.string_body(key, header);
        Ok(())
    }

    /// Refers to a container, date or byte array written, or a container being written, in this
    /// message.
    pub fn reference(&mut self, index: u32) {
        // The marker of any type with references will do; readers look at the index alone.
        self.out.push(marker::OBJECT);
        self.u29(index << 1);
    }

    #[inline]
    fn string_body(&mut self, value: &[u8], header: u32) {
        if let Some(index) = self.tables.get().string(value) {
            self.u29(index << 1);
        } else {
            self.u29(header);
            self.out.extend_from_slice(value);
        }
    }

    fn begin(&mut self) -> Result<u32, EncodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        self.depth += 1;
        Ok(self.take_index())
    }

    fn end(&mut self) {
        debug_assert!(self.depth > 0, "end without begin");
        self.depth = self.depth.saturating_sub(1);
    }

    fn take_index(&mut self) -> u32 {
        let tables = self.tables.get();
        let index = tables.containers;
        tables.containers = index.saturating_add(1);
        index
    }

    /// Writes a U29 (§1.3.1); bits above the 29th are not there.
    #[inline]
    fn u29(&mut self, value: u32) {
        match value {
            0..0x80 => self.out.push(value as u8),
            0x80..0x4000 => {
                self.out.extend_from_slice(&[(value >> 7) as u8 | 0x80, value as u8 & 0x7f]);
            }
            0x4000..0x20_0000 => self.out.extend_from_slice(&[
                (value >> 14) as u8 | 0x80,
                (value >> 7) as u8 | 0x80,
                value as u8 & 0x7f,
            ]),
            _ => self.out.extend_from_slice(&[
                (value >> 22) as u8 | 0x80,
                (value >> 15) as u8 | 0x80,
                (value >> 8) as u8 | 0x80,
                value as u8,
            ]),
        }
    }
}

/// Header of something inline: its length and the flag "no reference".
#[inline]
fn length_header(length: usize) -> Result<u32, EncodeError> {
    if length <= MAX_AMF3_LENGTH {
        Ok((length as u32) << 1 | 1)
    } else {
        Err(EncodeError::TooLong { length })
    }
}
