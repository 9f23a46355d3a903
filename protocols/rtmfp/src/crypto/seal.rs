//! Sealing and opening of datagrams (RFC 7016 §2.2, RFC 7425 §4.6), in place.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::crypto::aes_cbc::{BLOCK, CbcDecrypt, CbcEncrypt};
use crate::crypto::checksum::checksum;
use crate::crypto::equal;
use crate::crypto::keys::Negotiation;
use crate::crypto::replay::ReplayWindow;
use crate::vlu;

/// The key of packets outside sessions.
const DEFAULT_KEY: [u8; 16] = *b"Adobe Systems 02";
/// Bytes of the scrambled session ID.
pub(crate) const SSID_LEN: usize = 4;
/// Shortest datagram that can hold a packet: session ID and one block.
pub(crate) const MIN_DATAGRAM: usize = SSID_LEN + BLOCK;
const CHECKSUM_LEN: usize = 2;

/// The session ID a datagram is for: the first word, unscrambled with the two after it. `None` for
/// a datagram that is too short to hold a packet.
pub(crate) fn session_id(datagram: &[u8]) -> Option<u32> {
    if datagram.len() < MIN_DATAGRAM {
        return None;
    }
    let word = |i: usize| u32::from_be_bytes([0, 1, 2, 3].map(|b| datagram[4 * i + b]));
    Some(word(0) ^ word(1) ^ word(2))
}

/// Why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Not a session ID, whole blocks and the tag.
    #[error("length is not of whole cipher blocks")]
    Length,
    /// The HMAC tag is another.
    #[error("message authentication code differs")]
    Authentication,
    /// The checksum is another, or there is no room for one.
    #[error("checksum differs")]
    Checksum,
    /// The session sequence number was seen or is older than the window.
    #[error("session sequence number was seen before")]
    Replay,
    /// Nothing is left for a packet.
    #[error("packet is empty")]
    Empty,
}

/// Sends: encrypts packets of one direction.
pub(crate) struct Sealer {
    cipher: CbcEncrypt,
    mac: Option<(Hmac<Sha256>, usize)>,
    sequence: Option<u64>,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32], mac_key: &[u8; 32], negotiation: &Negotiation) -> Self {
        Self {
            cipher: CbcEncrypt::new(key.first_chunk().expect("16 of 32 bytes")),
            mac: negotiation.send_mac.map(|len| (keyed(mac_key), len)),
            sequence: negotiation.send_sequence.then_some(0),
        }
    }

    /// For packets outside sessions.
    pub(crate) fn startup() -> Self {
        Self { cipher: CbcEncrypt::new(&DEFAULT_KEY), mac: None, sequence: None }
    }

    /// Begins a datagram in `out`, which is emptied; the packet is appended next.
    pub(crate) fn begin(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&[0; SSID_LEN]);
        if let Some(sequence) = self.sequence {
            vlu::encode(sequence, out);
        }
        if self.mac.is_none() {
            out.extend_from_slice(&[0; CHECKSUM_LEN]);
        }
    }

    /// Where the packet begins in what [`begin`](Self::begin) wrote.
    pub(crate) fn packet_start(&self) -> usize {
        let checksum = if self.mac.is_none() { CHECKSUM_LEN } else { 0 };
        SSID_LEN + self.sequence.map_or(0, vlu::encoded_len) + checksum
    }

    /// Pads what [`begin`](Self::begin) started: the next packet may begin, and this one waits for
    /// [`seal`](Self::seal).
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let padded = SSID_LEN + (out.len() - SSID_LEN).next_multiple_of(BLOCK);
        out.resize(padded, 0xff);
        if self.mac.is_none() {
            let at = SSID_LEN + self.sequence.map_or(0, vlu::encoded_len);
            let sum = checksum(&out[at + CHECKSUM_LEN..]);
            out[at..at + CHECKSUM_LEN].copy_from_slice(&sum.to_be_bytes());
        }
        if let Some(sequence) = &mut self.sequence {
            // 2^64 packets are never reached.
            *sequence = sequence.wrapping_add(1);
        }
    }

    /// Encrypts what [`finish`](Self::finish) padded, all for one session.
    pub(crate) fn seal(&self, session_id: u32, packets: &mut [Vec<u8>]) {
        self.cipher.encrypt(packets.iter_mut().map(|packet| &mut packet[SSID_LEN..]));
        for out in packets {
            if let Some((mac, len)) = &self.mac {
                let mut mac = mac.clone();
                mac.update(&out[SSID_LEN..]);
                out.extend_from_slice(&mac.finalize().into_bytes()[..*len]);
            }
            let scrambled: [u8; SSID_LEN] = {
                let id = session_id.to_be_bytes();
                std::array::from_fn(|i| id[i] ^ out[SSID_LEN + i] ^ out[2 * SSID_LEN + i])
            };
            out[..SSID_LEN].copy_from_slice(&scrambled);
        }
    }

    /// Bytes that the tag adds after the blocks.
    #[cfg(test)]
    pub(crate) fn tag_len(&self) -> usize {
        self.mac.as_ref().map_or(0, |(_, len)| *len)
    }
}

/// Receives: checks and decrypts packets of one direction.
pub(crate) struct Opener {
    cipher: CbcDecrypt,
    mac: Option<(Hmac<Sha256>, usize)>,
    window: Option<ReplayWindow>,
}

impl Opener {
    pub(crate) fn new(key: &[u8; 32], mac_key: &[u8; 32], negotiation: &Negotiation) -> Self {
        Self {
            cipher: CbcDecrypt::new(key.first_chunk().expect("16 of 32 bytes")),
            mac: negotiation.receive_mac.map(|len| (keyed(mac_key), len)),
            window: negotiation.receive_sequence.then(ReplayWindow::default),
        }
    }

    /// For packets outside sessions.
    pub(crate) fn startup() -> Self {
        Self { cipher: CbcDecrypt::new(&DEFAULT_KEY), mac: None, window: None }
    }

    /// Decrypts a datagram in place and gives its packet, with its padding.
    pub(crate) fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        let tag_len = self.mac.as_ref().map_or(0, |(_, len)| *len);
        let len = datagram.len().checked_sub(SSID_LEN + tag_len).ok_or(OpenError::Length)?;
        if len == 0 || !len.is_multiple_of(BLOCK) {
            return Err(OpenError::Length);
        }
        let (blocks, tag) = datagram[SSID_LEN..].split_at_mut(len);
        if let Some((mac, len)) = &self.mac {
            let mut mac = mac.clone();
            mac.update(blocks);
            if !equal(&mac.finalize().into_bytes()[..*len], tag) {
                return Err(OpenError::Authentication);
            }
        }
        self.cipher.decrypt(blocks);
        let mut plain: &[u8] = blocks;
        let mut number = None;
        if let Some(window) = &self.window {
            let (value, len) = vlu::decode(plain).ok_or(OpenError::Empty)?;
            if !window.is_fresh(value) {
                return Err(OpenError::Replay);
            }
            number = Some(value);
            plain = &plain[len..];
        }
        if self.mac.is_none() {
            let (sum, rest) =
                plain.split_first_chunk::<CHECKSUM_LEN>().ok_or(OpenError::Checksum)?;
            if checksum(rest) != u16::from_be_bytes(*sum) {
                return Err(OpenError::Checksum);
            }
            plain = rest;
        }
        if plain.is_empty() {
            return Err(OpenError::Empty);
        }
        if let (Some(window), Some(number)) = (&mut self.window, number) {
            window.mark(number);
        }
        Ok(plain)
    }

    /// Whether packets are authenticated rather than checksummed.
    pub(crate) fn has_mac(&self) -> bool {
        self.mac.is_some()
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests;
