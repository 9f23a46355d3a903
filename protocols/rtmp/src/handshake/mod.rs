//! C0, C1, C2 and S0, S1, S2 (RTMP 1.0 §5.2), simple and with digest.
//!
//! The server answers what the client sent: a digest is answered with a digest of the same
//! scheme, anything else with the plain echo. C2 is not checked: encoders exist that send
//! anything there, and it proves nothing. Only version 3 is spoken; the encrypted versions
//! (RTMPE: 6 and 8) are refused by name.

mod digest;

use bytes::{Buf, BytesMut};

use digest::{DIGEST, Scheme, Side};

/// Bytes of C1, C2, S1 and S2 (RTMP 1.0 §5.2.3).
const PACKET: usize = 1536;

/// The only version spoken (RTMP 1.0 §5.2.2).
const VERSION: u8 = 3;

/// Bytes 4 to 7 of S1 when the client sent a digest: a version of at least 3 tells clients that
/// the packet holds one.
const DIGEST_SERVER_VERSION: [u8; 4] = [5, 0, 17, 1];

/// Bytes 4 to 7 of C1 that announce a digest: a version of Flash Player at least 9.
const DIGEST_CLIENT_VERSION: [u8; 4] = [10, 0, 45, 2];

/// Why a handshake ended without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// RTMPE, which is not spoken.
    #[error("handshake version {0} is RTMPE, which this node does not speak")]
    Encrypted(u8),
    /// Not RTMP at all, or a version nobody uses.
    #[error("first byte 0x{0:02x} is not the handshake of RTMP version 3{hint}", hint = hint(*.0))]
    Version(u8),
    /// Seen by the client only: the server's answer to a digest does not fit it.
    #[error("S2 is not signed for the digest of C1")]
    Signature,
}

/// What a first byte most likely belongs to, and what to do about it.
fn hint(first: u8) -> &'static str {
    match first {
        0x16 => ": it looks like TLS; for RTMPS put a TLS proxy in front of this port",
        b'G' | b'P' | b'H' | b'O' => ": it looks like HTTP, which has a port of its own",
        _ => "",
    }
}

/// Expands the entropy given by the caller to the random bytes of one packet.
fn fill_random(packet: &mut [u8], entropy: &[u8; 64], label: u8) {
    for (counter, block) in packet.chunks_mut(DIGEST).enumerate() {
        let counter = (counter as u32).to_be_bytes();
        block.copy_from_slice(&digest::hmac(entropy, &[&[label], &counter])[..block.len()]);
    }
}

/// Takes the first [`PACKET`] bytes off `input`; the caller has checked that they are there.
fn take_packet(input: &mut BytesMut) -> Box<[u8; PACKET]> {
    let mut packet = Box::new([0; PACKET]);
    input.copy_to_slice(&mut packet[..]);
    packet
}

fn check_version(version: u8) -> Result<(), HandshakeError> {
    match version {
        VERSION => Ok(()),
        6 | 8 => Err(HandshakeError::Encrypted(version)),
        other => Err(HandshakeError::Version(other)),
    }
}

/// The server's half.
#[derive(Debug)]
pub(crate) struct ServerHandshake {
    entropy: [u8; 64],
    state: ServerState,
}

#[derive(Debug, PartialEq, Eq)]
enum ServerState {
    /// C0 and C1 are awaited.
    C1,
    /// S0, S1 and S2 are written, C2 is awaited.
    C2,
    Done,
}

impl ServerHandshake {
    pub(crate) fn new(entropy: [u8; 64]) -> Self {
        Self { entropy, state: ServerState::C1 }
    }

    /// Takes what is complete from `input`, appends the answer to `out`, and returns true once
    /// C2 has been read. A wrong version shows with the first byte.
    pub(crate) fn handle_input(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<bool, HandshakeError> {
        if self.state == ServerState::C1 {
            let Some(&version) = input.first() else { return Ok(false) };
            check_version(version)?;
            if input.len() < 1 + PACKET {
                return Ok(false);
            }
            input.advance(1);
            let c1 = take_packet(input);
            self.answer(&c1, out);
            self.state = ServerState::C2;
        }
        if self.state == ServerState::C2 {
            if input.len() < PACKET {
                return Ok(false);
            }
            input.advance(PACKET);
            self.state = ServerState::Done;
        }
        Ok(true)
    }

    fn answer(&self, c1: &[u8; PACKET], out: &mut BytesMut) {
        let mut s1 = [0; PACKET];
        fill_random(&mut s1[8..], &self.entropy, 1);
        // Version zero in C1 means that there is no digest: nothing to search for.
        let theirs = if c1[4..8] == [0; 4] { None } else { digest::find(c1, Side::Client) };
        let mut s2 = *c1;
        if let Some((scheme, client_digest)) = theirs {
            s1[4..8].copy_from_slice(&DIGEST_SERVER_VERSION);
            digest::imprint(&mut s1, scheme, Side::Server);
            fill_random(&mut s2, &self.entropy, 2);
            digest::sign(&mut s2, &client_digest, Side::Server);
        }
        out.reserve(1 + 2 * PACKET);
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(&s1);
        out.extend_from_slice(&s2);
    }
}

/// The client's half.
#[derive(Debug)]
pub(crate) struct ClientHandshake {
    entropy: [u8; 64],
    /// The digest in C1, when one was asked for.
    digest: Option<[u8; DIGEST]>,
    has_digest_answer: bool,
}

/// How a client greets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Greeting {
    /// Version zero and random bytes.
    Simple,
    /// A digest in the half of C1 that begins at byte 8, as ffmpeg sends.
    #[default]
    DigestFirst,
    /// A digest in the half of C1 that begins at byte 772.
    DigestSecond,
}

impl ClientHandshake {
    /// Appends C0 and C1 to `out`.
    pub(crate) fn new(entropy: [u8; 64], greeting: Greeting, out: &mut BytesMut) -> Self {
        let mut c1 = [0; PACKET];
        fill_random(&mut c1[8..], &entropy, 3);
        let scheme = match greeting {
            Greeting::Simple => None,
            Greeting::DigestFirst => Some(Scheme::First),
            Greeting::DigestSecond => Some(Scheme::Second),
        };
        let digest = scheme.map(|scheme| {
            c1[4..8].copy_from_slice(&DIGEST_CLIENT_VERSION);
            digest::imprint(&mut c1, scheme, Side::Client)
        });
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(&c1);
        Self { entropy, digest, has_digest_answer: false }
    }

    /// Takes S0, S1 and S2 once they are whole, appends C2 to `out` and returns true.
    pub(crate) fn handle_input(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<bool, HandshakeError> {
        let Some(&version) = input.first() else { return Ok(false) };
        check_version(version)?;
        if input.len() < 1 + 2 * PACKET {
            return Ok(false);
        }
        input.advance(1);
        let (s1, s2) = (take_packet(input), take_packet(input));
        let theirs = digest::find(&s1, Side::Server);
        let mut c2 = *s1;
        if let (Some(ours), Some((_, server_digest))) = (self.digest, theirs) {
            if !digest::is_signed(&s2, &ours, Side::Server) {
                return Err(HandshakeError::Signature);
            }
            self.has_digest_answer = true;
            fill_random(&mut c2, &self.entropy, 4);
            digest::sign(&mut c2, &server_digest, Side::Client);
        }
        out.extend_from_slice(&c2);
        Ok(true)
    }

    /// True when the server answered the digest with a digest.
    pub(crate) fn has_digest_answer(&self) -> bool {
        self.has_digest_answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTROPY: [u8; 64] = [7; 64];

    /// Gives `bytes` in pieces of `step` and returns the answer and whether it ended.
    fn serve(bytes: &[u8], step: usize) -> Result<(BytesMut, bool, usize), HandshakeError> {
        let mut server = ServerHandshake::new(ENTROPY);
        let (mut input, mut out, mut done) = (BytesMut::new(), BytesMut::new(), false);
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            done = server.handle_input(&mut input, &mut out)?;
        }
        Ok((out, done, input.len()))
    }

    #[test]
    fn simple_c1_is_echoed_whatever_c2_holds() {
        let mut bytes = vec![3];
        bytes.extend((0..PACKET).map(|i| if i < 8 { 0 } else { i as u8 }));
        bytes.extend([0xEE; PACKET]);
        for step in [1, 700, 1537, 4000] {
            let (out, done, left) = serve(&bytes, step).expect("a simple handshake");
            assert!(done);
            assert_eq!(left, 0);
            assert_eq!(out.len(), 1 + 2 * PACKET);
            assert_eq!(out[0], 3);
            assert_eq!(out[5..9], [0; 4]);
            assert_eq!(out[1 + PACKET..], bytes[1..1 + PACKET]);
        }
    }

    #[test]
    fn bytes_after_c2_stay_in_the_input() {
        let (_, done, left) = serve(&[3; 1 + 2 * PACKET + 9], 5000).expect("simple");
        assert!(done);
        assert_eq!(left, 9);
    }

    #[test]
    fn rtmpe_and_other_protocols_are_refused_by_their_first_byte() {
        assert_eq!(serve(&[6], 1).err(), Some(HandshakeError::Encrypted(6)));
        assert_eq!(serve(&[8], 1).err(), Some(HandshakeError::Encrypted(8)));
        assert_eq!(serve(b"GET / HTTP/1.1", 14).err(), Some(HandshakeError::Version(b'G')));
        for (first, text) in [
            (0x17, "first byte 0x17 is not the handshake of RTMP version 3"),
            (
                0x16,
                "first byte 0x16 is not the handshake of RTMP version 3: it looks like TLS; for \
                 RTMPS put a TLS proxy in front of this port",
            ),
            (
                b'P',
                "first byte 0x50 is not the handshake of RTMP version 3: it looks like HTTP, which \
                 has a port of its own",
            ),
        ] {
            assert_eq!(HandshakeError::Version(first).to_string(), text);
        }
    }

    #[test]
    fn client_and_server_agree_on_every_greeting() {
        for (greeting, digest) in [
            (Greeting::Simple, false),
            (Greeting::DigestFirst, true),
            (Greeting::DigestSecond, true),
        ] {
            let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
            let mut client = ClientHandshake::new([9; 64], greeting, &mut up);
            let mut server = ServerHandshake::new(ENTROPY);
            assert_eq!(server.handle_input(&mut up, &mut down), Ok(false));
            assert_eq!(client.handle_input(&mut down, &mut up), Ok(true), "{greeting:?}");
            assert_eq!(server.handle_input(&mut up, &mut down), Ok(true));
            assert_eq!(client.has_digest_answer(), digest, "{greeting:?}");
        }
    }

    #[test]
    fn what_ffmpeg_sends_is_answered_with_a_digest() {
        let mut input = BytesMut::from(&include_bytes!("../../corpus/handshake/ffmpeg_c0c1")[..]);
        let mut out = BytesMut::new();
        let mut server = ServerHandshake::new(ENTROPY);
        assert_eq!(server.handle_input(&mut input, &mut out), Ok(false));
        let s1: &[u8; PACKET] = out[1..1 + PACKET].try_into().expect("S1 is whole");
        assert!(matches!(digest::find(s1, Side::Server), Some((Scheme::First, _))));
    }

    #[test]
    fn unsigned_s2_is_noticed_by_the_client() {
        let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
        let mut client = ClientHandshake::new([9; 64], Greeting::DigestFirst, &mut up);
        let mut server = ServerHandshake::new(ENTROPY);
        assert_eq!(server.handle_input(&mut up, &mut down), Ok(false));
        let last = down.len() - 1;
        down[last] ^= 1;
        assert_eq!(client.handle_input(&mut down, &mut up), Err(HandshakeError::Signature));
    }
}
