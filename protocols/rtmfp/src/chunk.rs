//! Chunks: the parts of a packet (RFC 7016 §2.3), as borrowed views of received bytes and as
//! functions that append them to a packet being built.

mod ack;
mod startup;
mod user_data;

pub(crate) use ack::{Ack, encode_range_ack, range_ack_len};
pub(crate) use startup::{
    CookieChange, ForwardedHello, InitiatorHello, InitiatorKeying, Redirect, ResponderHello,
    ResponderKeying,
};
pub(crate) use user_data::{
    ABANDONED, FINAL, Fraction, Startup, UserData, encode_next_user_data, encode_user_data,
    next_user_data_len, user_data_len,
};

use crate::reader::Reader;
use crate::vlu;

/// Type and length of a chunk.
pub(crate) const HEADER_LEN: usize = 3;

/// Chunk types (RFC 7016 §2.3).
pub(crate) mod kind {
    pub(crate) const PADDING_ZERO: u8 = 0x00;
    pub(crate) const FORWARDED_HELLO: u8 = 0x0f;
    pub(crate) const INITIATOR_HELLO: u8 = 0x30;
    pub(crate) const RESPONDER_HELLO: u8 = 0x70;
    pub(crate) const REDIRECT: u8 = 0x71;
    pub(crate) const INITIATOR_KEYING: u8 = 0x38;
    pub(crate) const RESPONDER_KEYING: u8 = 0x78;
    pub(crate) const COOKIE_CHANGE: u8 = 0x79;
    pub(crate) const PING: u8 = 0x01;
    pub(crate) const PING_REPLY: u8 = 0x41;
    pub(crate) const USER_DATA: u8 = 0x10;
    pub(crate) const NEXT_USER_DATA: u8 = 0x11;
    pub(crate) const BITMAP_ACK: u8 = 0x50;
    pub(crate) const RANGE_ACK: u8 = 0x51;
    pub(crate) const BUFFER_PROBE: u8 = 0x18;
    pub(crate) const FLOW_EXCEPTION: u8 = 0x5e;
    pub(crate) const CLOSE: u8 = 0x0c;
    pub(crate) const CLOSE_ACK: u8 = 0x4c;
    pub(crate) const PADDING: u8 = 0xff;
}

/// The chunks of a packet, padding skipped. What is left when a length does not fit is padding too
/// (RFC 7016 §2.2.4).
pub(crate) struct Chunks<'a>(Reader<'a>);

impl<'a> Chunks<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let kind = self.0.u8()?;
            let len = self.0.u16()?;
            let payload = self.0.bytes(usize::from(len))?;
            if kind != kind::PADDING && kind != kind::PADDING_ZERO {
                return Some((kind, payload));
            }
        }
    }
}

/// Appends a chunk whose payload `fill` appends.
pub(crate) fn encode(kind: u8, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = begin(kind, out);
    fill(out);
    end(start, out);
}

/// Appends a chunk header; [`end`] with the returned position writes its length.
fn begin(kind: u8, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[kind, 0, 0]);
    out.len()
}

fn end(start: usize, out: &mut [u8]) {
    // A chunk is part of a packet of at most 1,220 (startup: 4,260) bytes.
    let len = (out.len() - start) as u16;
    out[start - 2..start].copy_from_slice(&len.to_be_bytes());
}

/// Appends a chunk that is a copy of `payload`: ping, ping reply, close, close ack.
pub(crate) fn encode_plain(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    encode(kind, out, |out| out.extend_from_slice(payload));
}

/// Appends a Flow Exception Report (RFC 7016 §2.3.16).
pub(crate) fn encode_exception(flow: u64, code: u64, out: &mut Vec<u8>) {
    encode(kind::FLOW_EXCEPTION, out, |out| {
        vlu::encode(flow, out);
        vlu::encode(code, out);
    });
}

/// Appends a Buffer Probe (RFC 7016 §2.3.15).
pub(crate) fn encode_probe(flow: u64, out: &mut Vec<u8>) {
    encode(kind::BUFFER_PROBE, out, |out| vlu::encode(flow, out));
}

/// Flow and code of a Flow Exception Report.
pub(crate) fn decode_exception(payload: &[u8]) -> Option<(u64, u64)> {
    let mut reader = Reader::new(payload);
    Some((reader.vlu()?, reader.vlu()?))
}

/// Flow of a Buffer Probe.
pub(crate) fn decode_probe(payload: &[u8]) -> Option<u64> {
    Reader::new(payload).vlu()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// An unknown chunk is a chunk like another; padding of either kind is not.
    #[test]
    fn rtmfp_009_chunks_are_found_between_padding() {
        let bytes = hex("ec000105 000001aa ff0000 010000 ffffff ffff");
        let chunks: Vec<_> = Chunks::new(&bytes).collect();
        assert_eq!(chunks, [(0xec, &[5][..]), (kind::PING, &[][..])]);
    }

    #[test]
    fn a_length_beyond_the_packet_is_padding() {
        let bytes = hex("4c0000 01000301 02");
        let chunks: Vec<_> = Chunks::new(&bytes).collect();
        assert_eq!(chunks, [(kind::CLOSE_ACK, &[][..])]);
        assert_eq!(Chunks::new(&hex("0100")).next(), None);
    }

    /// Vector V12, last line.
    #[test]
    fn short_chunks_have_the_bytes_of_the_vectors() {
        let mut out = Vec::new();
        encode_exception(4, 0, &mut out);
        encode_probe(4, &mut out);
        encode_plain(kind::CLOSE, &[], &mut out);
        encode_plain(kind::CLOSE_ACK, &[], &mut out);
        encode_plain(kind::PING, &[], &mut out);
        assert_eq!(out, hex("5e00020400 18000104 0c0000 4c0000 010000"));
        let payloads: Vec<_> = Chunks::new(&out).map(|(_, payload)| payload).collect();
        assert_eq!(decode_exception(payloads[0]), Some((4, 0)));
        assert_eq!(decode_exception(&[4]), None);
        assert_eq!(decode_probe(payloads[1]), Some(4));
        assert_eq!(decode_probe(&[]), None);
    }
}
