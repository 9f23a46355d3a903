//! Bounded reads from a slice, big-endian.

use crate::error::DecodeError;

/// A position in the input; every read checks the end first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    /// The same input from an offset that was read before.
    pub(crate) const fn at(&self, offset: usize) -> Self {
        Self { bytes: self.bytes, offset }
    }

    /// Whole input, whatever was read.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next byte, not read.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.offset).ok_or_else(|| self.truncated())?;
        self.offset += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let rest = self.bytes.get(self.offset..).and_then(<[u8]>::first_chunk::<N>);
        let array = *rest.ok_or_else(|| self.truncated())?;
        self.offset += N;
        Ok(array)
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self.bytes.get(self.offset..).and_then(|rest| rest.get(..count));
        let taken = taken.ok_or_else(|| self.truncated())?;
        self.offset += count;
        Ok(taken)
    }

    /// AMF3's variable length integer: 7 bits in each of three bytes, 8 in a fourth (§1.3.1).
    #[inline]
    pub(crate) fn u29(&mut self) -> Result<u32, DecodeError> {
        let first = self.u8()?;
        if first < 0x80 { Ok(u32::from(first)) } else { self.u29_rest(u32::from(first & 0x7f)) }
    }

    fn u29_rest(&mut self, mut value: u32) -> Result<u32, DecodeError> {
        for _ in 0..2 {
            let byte = self.u8()?;
            value = value << 7 | u32::from(byte & 0x7f);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Ok(value << 8 | u32::from(self.u8()?))
    }

    #[cold]
    pub(crate) fn truncated(&self) -> DecodeError {
        DecodeError::Truncated { offset: self.bytes.len() }
    }
}
