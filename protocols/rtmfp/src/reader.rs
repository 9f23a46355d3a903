//! A cursor over received bytes. Every method answers `None` at the first byte that is missing, so
//! that no chunk can be read past its end.

use crate::vlu;

/// Reads the primitive encodings of RFC 7016 §2.1 from a slice.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn vlu(&mut self) -> Option<u64> {
        let (value, len) = vlu::decode(self.0)?;
        self.0 = &self.0[len..];
        Some(value)
    }

    /// A VLU length and that many bytes.
    pub(crate) fn field(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.vlu()?).ok()?;
        self.bytes(len)
    }
}
