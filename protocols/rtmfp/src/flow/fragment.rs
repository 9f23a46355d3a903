//! Messages and their fragments on the sending side.

use std::time::Instant;

use bytes::Bytes;

use crate::chunk::Fraction;
use crate::flow::MAX_MESSAGE_HEADER;

/// Data bytes of a full fragment. The 28 other bytes of a packet are enough for a session sequence
/// number of 5 bytes and a checksum, the header, a flow of 3 bytes and numbers of 4.
pub(crate) const MAX_FRAGMENT: usize = 1172;

/// A queued message. Its fragments have the numbers first..=last.
#[derive(Debug)]
pub(crate) struct Queued {
    header: [u8; MAX_MESSAGE_HEADER],
    header_len: u8,
    payload: Bytes,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) written: Instant,
    pub(crate) start_by: Option<Instant>,
    pub(crate) finish_by: Option<Instant>,
    pub(crate) retransmit: bool,
    pub(crate) dependent: bool,
    pub(crate) started: bool,
    pub(crate) abandoned: bool,
}

impl Queued {
    /// `header` fits: the caller has checked.
    pub(crate) fn new(header: &[u8], payload: Bytes, first: u64, last: u64, now: Instant) -> Self {
        let mut copy = [0; MAX_MESSAGE_HEADER];
        copy[..header.len()].copy_from_slice(header);
        Self {
            header: copy,
            header_len: header.len() as u8,
            payload,
            first,
            last,
            written: now,
            start_by: None,
            finish_by: None,
            retransmit: true,
            dependent: false,
            started: false,
            abandoned: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.header_len) + self.payload.len()
    }

    /// Gives the message up and its bytes free.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.header_len = 0;
        self.payload = Bytes::new();
    }

    /// Appends the bytes from `offset`, `len` of them, of header and payload.
    pub(crate) fn copy(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        let header = &self.header[..usize::from(self.header_len)];
        let from_header = header.get(offset..).unwrap_or_default();
        let from_header = &from_header[..from_header.len().min(len)];
        out.extend_from_slice(from_header);
        let start = (offset + from_header.len()).saturating_sub(header.len());
        out.extend_from_slice(&self.payload[start..start + len - from_header.len()]);
    }

    /// The earliest moment at which the message may have to be abandoned.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.abandoned {
            return None;
        }
        let start_by = self.start_by.filter(|_| !self.started);
        [start_by, self.finish_by].into_iter().flatten().min()
    }
}

/// One number of a flow that is not yet acknowledged or passed by the forward number.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) offset: u32,
    pub(crate) len: u16,
    pub(crate) fraction: Fraction,
    /// Bytes of the chunk as it was sent last.
    pub(crate) size: u16,
    pub(crate) naks: u8,
    pub(crate) acked: bool,
    pub(crate) abandoned: bool,
    pub(crate) in_flight: bool,
    pub(crate) sent: bool,
    /// What is in flight is not its first transmission.
    pub(crate) resent: bool,
    /// Transmission sequence number of the packet that carried it last.
    pub(crate) tsn: u64,
}

impl Fragment {
    pub(crate) fn new(offset: usize, len: usize, total: usize) -> Self {
        let fraction = match (offset == 0, offset + len == total) {
            (true, true) => Fraction::Whole,
            (true, false) => Fraction::Begin,
            (false, true) => Fraction::End,
            (false, false) => Fraction::Middle,
        };
        Self {
            offset: offset as u32,
            len: len as u16,
            fraction,
            size: 0,
            naks: 0,
            acked: false,
            abandoned: false,
            in_flight: false,
            sent: false,
            resent: false,
            tsn: 0,
        }
    }

    /// Takes the fragment out of flight; whether it was a retransmission.
    pub(crate) fn land(&mut self) -> bool {
        self.in_flight = false;
        std::mem::take(&mut self.resent)
    }

    /// Whether it waits to be sent, for the first time or again.
    pub(crate) fn is_sendable(&self) -> bool {
        !(self.in_flight || self.acked || self.abandoned)
    }
}
