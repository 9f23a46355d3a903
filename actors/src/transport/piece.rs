//! Pieces of what is sent: borrowed while the kernel takes them, shared memory while they wait.

use std::time::Instant;

use bytes::{Buf, Bytes};

/// Bytes to send, borrowed as long as the kernel takes them at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    /// A chunk header of the viewer's own: too small to be worth an allocation.
    Header(Inline),
    /// A part of shared or control bytes.
    Part {
        /// The whole.
        bytes: &'a Bytes,
        /// First byte.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
}

impl Piece<'_> {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Header(header) => header.as_slice(),
            Self::Part { bytes, start, end, .. } => &bytes[*start..*end],
        }
    }

    /// Bytes of its own; shared ones stay shared.
    pub(crate) fn to_bytes(self) -> Bytes {
        match self {
            Self::Header(header) => Bytes::copy_from_slice(header.as_slice()),
            Self::Part { bytes, start, end } => bytes.slice(start..end),
        }
    }

    /// What is left of it behind `offset`, to be kept.
    pub(super) fn keep(&self, offset: usize, since: Instant) -> Queued {
        let rest = match *self {
            Self::Header(mut header) => {
                header.start += offset as u8;
                Rest::Header(header)
            }
            Self::Part { bytes, start, end } => Rest::Shared(bytes.slice(start + offset..end)),
        };
        Queued { rest, since }
    }
}

/// Up to 18 bytes in place: a type 0 chunk header with an extended timestamp and a three-byte
/// basic header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inline {
    bytes: [u8; 18],
    start: u8,
    end: u8,
}

impl Inline {
    /// Keeps at most the first 18 bytes; headers are never longer.
    pub(crate) fn new(slice: &[u8]) -> Self {
        let len = slice.len().min(18);
        debug_assert_eq!(len, slice.len());
        let mut bytes = [0; 18];
        bytes[..len].copy_from_slice(&slice[..len]);
        Self { bytes, start: 0, end: len as u8 }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }
}

/// What is left of a piece.
#[derive(Debug)]
enum Rest {
    Header(Inline),
    Shared(Bytes),
}

/// What the kernel did not take.
#[derive(Debug)]
pub(super) struct Queued {
    rest: Rest,
    pub(super) since: Instant,
}

impl Queued {
    pub(super) fn as_slice(&self) -> &[u8] {
        match &self.rest {
            Rest::Header(header) => header.as_slice(),
            Rest::Shared(bytes) => bytes,
        }
    }

    pub(super) fn advance(&mut self, n: usize) {
        match &mut self.rest {
            Rest::Header(header) => header.start += n as u8,
            Rest::Shared(bytes) => bytes.advance(n),
        }
    }
}
