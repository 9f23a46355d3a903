//! Noise (revision 34) for links with a secret: `NNpsk0`, X25519, AES-256-GCM, SHA-256.
//!
//! `NNpsk0` proves to both ends that the other one has the secret before anything else is said,
//! and gives keys that the secret alone does not reveal later. Everything travels in records:
//! `u16` length (big endian), then that many bytes.

use bytes::{BufMut, BytesMut};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher as CipherImpl, Dh, Hash, Random};
use snow::{Builder, HandshakeState, TransportState};

use crate::aes_gcm::{AesGcm, TAG};
use crate::preamble::{Mode, preamble};
use crate::secret::Secret;

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// Bytes of a record's length.
pub(crate) const RECORD_LENGTH_BYTES: usize = 2;
/// A Noise message has at most 65535 bytes (Noise §3).
const MAX_RECORD: usize = 65_535;
/// Plain bytes of a full record.
pub(crate) const MAX_RECORD_PLAIN: usize = MAX_RECORD - TAG;
/// Each handshake message: an X25519 public key and the tag of an empty payload.
pub(crate) const HANDSHAKE_MESSAGE: usize = 32 + TAG;

/// Records under one key, then both ends rekey (Noise §4.2).
///
/// 2^20 full records are 2^32 AES blocks under one key, where the advantage of an attacker is
/// still below 2^-60 (TLS 1.3 allows 2^24.5 records of 16 KiB, RFC 8446 §5.5).
const REKEY_AFTER: u64 = 1 << 20;

/// A record or handshake message that the other end did not make with our keys (or, when writing,
/// more than a record holds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoiseError;

/// The handshake of one end, two messages: dialler, then acceptor.
pub(crate) struct Handshake(Box<HandshakeState>);

impl Handshake {
    pub(crate) fn dial(secret: &Secret, entropy: [u8; 32]) -> Self {
        Self::new(secret, entropy, true)
    }

    pub(crate) fn accept(secret: &Secret, entropy: [u8; 32]) -> Self {
        Self::new(secret, entropy, false)
    }

    fn new(secret: &Secret, entropy: [u8; 32], dials: bool) -> Self {
        let pattern = PATTERN.parse().expect("a pattern that snow supports");
        let resolver = Box::new(Resolver { entropy });
        let prologue = preamble(Mode::Secret);
        let state = Builder::with_resolver(pattern, resolver)
            .prologue(&prologue)
            .and_then(|builder| builder.psk(0, secret.key()))
            .and_then(
                |builder| if dials { builder.build_initiator() } else { builder.build_responder() },
            )
            .expect("the manifest builds snow with the primitives of the pattern");
        Self(Box::new(state))
    }

    /// Appends this end's message as a record.
    pub(crate) fn write(&mut self, out: &mut BytesMut) -> Result<(), NoiseError> {
        let mut message = [0; HANDSHAKE_MESSAGE];
        let length = self.0.write_message(&[], &mut message).map_err(|_| NoiseError)?;
        out.put_u16(length as u16);
        out.put_slice(&message[..length]);
        Ok(())
    }

    /// Reads the other end's message (without record length).
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<(), NoiseError> {
        let mut payload = [0; HANDSHAKE_MESSAGE];
        self.0.read_message(message, &mut payload).map(|_| ()).map_err(|_| NoiseError)
    }

    /// The keys for everything after both messages.
    pub(crate) fn finish(self) -> Result<Cipher, NoiseError> {
        let state = self.0.into_transport_mode().map_err(|_| NoiseError)?;
        Ok(Cipher { state: Box::new(state), sealed: 0, opened: 0, rekey_after: REKEY_AFTER })
    }
}

/// Seals and opens the records of one link.
pub(crate) struct Cipher {
    state: Box<TransportState>,
    sealed: u64,
    opened: u64,
    rekey_after: u64,
}

impl Cipher {
    /// Appends `plain` (1 to [`MAX_RECORD_PLAIN`] bytes) as one record.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut BytesMut) -> Result<(), NoiseError> {
        let start = out.len() + RECORD_LENGTH_BYTES;
        let sealed = plain.len() + TAG;
        out.reserve(RECORD_LENGTH_BYTES + sealed);
        out.put_u16(u16::try_from(sealed).map_err(|_| NoiseError)?);
        out.resize(start + sealed, 0);
        self.state.write_message(plain, &mut out[start..]).map_err(|_| NoiseError)?;
        self.sealed += 1;
        if self.sealed.is_multiple_of(self.rekey_after) {
            self.state.rekey_outgoing();
        }
        Ok(())
    }

    /// Opens every complete record of `input` and appends what was inside to `plain`.
    pub(crate) fn open(
        &mut self,
        input: &mut BytesMut,
        plain: &mut BytesMut,
    ) -> Result<(), NoiseError> {
        let mut used = 0;
        while let Some(length) = input[used..].first_chunk::<RECORD_LENGTH_BYTES>() {
            let length = usize::from(u16::from_be_bytes(*length));
            // An empty record would be authentic noise; nobody sends one.
            if length <= TAG {
                return Err(NoiseError);
            }
            let start = used + RECORD_LENGTH_BYTES;
            let Some(record) = input.get(start..start + length) else { break };
            let old = plain.len();
            plain.resize(old + length - TAG, 0);
            if self.state.read_message(record, &mut plain[old..]).is_err() {
                plain.truncate(old);
                return Err(NoiseError);
            }
            self.opened += 1;
            if self.opened.is_multiple_of(self.rekey_after) {
                self.state.rekey_incoming();
            }
            used = start + length;
        }
        drop(input.split_to(used));
        Ok(())
    }
}

/// snow's own primitives, but for the cipher, with the caller's randomness, so that tests repeat.
struct Resolver {
    entropy: [u8; 32],
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(CallerEntropy { entropy: self.entropy, block: 0 }))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn CipherImpl>> {
        match choice {
            CipherChoice::AESGCM => Some(Box::new(AesGcm::default())),
            _ => None,
        }
    }
}

/// SHA-256(entropy, block number) for each 32 bytes asked for; the pattern asks once, for the
/// ephemeral key.
struct CallerEntropy {
    entropy: [u8; 32],
    block: u64,
}

impl Random for CallerEntropy {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let mut hash = DefaultResolver.resolve_hash(&HashChoice::SHA256).ok_or(snow::Error::Rng)?;
        for chunk in dest.chunks_mut(32) {
            let mut block = [0; 32];
            hash.reset();
            hash.input(&self.entropy);
            hash.input(&self.block.to_be_bytes());
            hash.result(&mut block);
            self.block += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text).unwrap()
    }

    fn pair() -> (Cipher, Cipher) {
        let mut dialler = Handshake::dial(&secret("s"), [1; 32]);
        let mut acceptor = Handshake::accept(&secret("s"), [2; 32]);
        let (mut first, mut second) = (BytesMut::new(), BytesMut::new());
        dialler.write(&mut first).unwrap();
        assert_eq!(first.len(), RECORD_LENGTH_BYTES + HANDSHAKE_MESSAGE);
        acceptor.read(&first[2..]).unwrap();
        acceptor.write(&mut second).unwrap();
        assert_eq!(second.len(), RECORD_LENGTH_BYTES + HANDSHAKE_MESSAGE);
        dialler.read(&second[2..]).unwrap();
        (dialler.finish().unwrap(), acceptor.finish().unwrap())
    }

    fn cross(from: &mut Cipher, to: &mut Cipher, text: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
        from.seal(text, &mut wire).unwrap();
        to.open(&mut wire, &mut plain)?;
        assert!(wire.is_empty());
        Ok(plain.to_vec())
    }

    #[test]
    fn both_directions_carry_records_up_to_the_full_size() {
        let (mut a, mut b) = pair();
        let full = vec![9; MAX_RECORD_PLAIN];
        assert_eq!(cross(&mut a, &mut b, &full).unwrap(), full);
        assert_eq!(cross(&mut b, &mut a, b"x").unwrap(), b"x");
        assert_eq!(a.seal(&vec![0; MAX_RECORD_PLAIN + 1], &mut BytesMut::new()), Err(NoiseError));
    }

    #[test]
    fn entropy_decides_the_handshake_and_nothing_else_does() {
        let first = |entropy| {
            let mut out = BytesMut::new();
            Handshake::dial(&secret("s"), entropy).write(&mut out).unwrap();
            out
        };
        assert_eq!(first([7; 32]), first([7; 32]));
        assert_ne!(first([7; 32]), first([8; 32]));
    }

    #[test]
    fn another_secret_or_a_changed_message_is_not_authentic() {
        let mut wire = BytesMut::new();
        Handshake::dial(&secret("one"), [1; 32]).write(&mut wire).unwrap();
        assert_eq!(Handshake::accept(&secret("two"), [2; 32]).read(&wire[2..]), Err(NoiseError));
        for bit in 0..HANDSHAKE_MESSAGE * 8 {
            let mut message = wire[2..].to_vec();
            message[bit / 8] ^= 1 << (bit % 8);
            // The top bit of an X25519 key means nothing in the exchange, but it is hashed.
            let mut acceptor = Handshake::accept(&secret("one"), [2; 32]);
            assert_eq!(acceptor.read(&message), Err(NoiseError), "bit {bit}");
        }
    }

    #[test]
    fn changed_repeated_and_reordered_records_are_not_authentic() {
        let (mut a, _) = pair();
        let mut wire = BytesMut::new();
        a.seal(b"first", &mut wire).unwrap();
        let one = wire.len();
        a.seal(b"second", &mut wire).unwrap();
        let open = |bytes: &[u8]| {
            let (_, mut b) = pair();
            let mut plain = BytesMut::new();
            b.open(&mut BytesMut::from(bytes), &mut plain).map(|()| plain.to_vec())
        };
        assert_eq!(open(&wire).unwrap(), b"firstsecond");
        assert_eq!(open(&wire[one..]), Err(NoiseError), "second first");
        assert_eq!(open(&[&wire[..one], &wire[..one]].concat()), Err(NoiseError), "repeated");
        for at in 2..one {
            let mut changed = wire.to_vec();
            changed[at] ^= 0x10;
            assert_eq!(open(&changed), Err(NoiseError), "byte {at}");
        }
        for length in 0..=16 {
            let mut short = vec![0, length];
            short.extend([0; 16]);
            assert_eq!(open(&short), Err(NoiseError), "record of {length} bytes");
        }
    }

    #[test]
    fn a_cut_record_waits_for_its_rest() {
        let (mut a, mut b) = pair();
        let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
        a.seal(b"hello", &mut wire).unwrap();
        let mut input = BytesMut::new();
        for &byte in &wire[..] {
            assert!(plain.is_empty());
            input.put_u8(byte);
            b.open(&mut input, &mut plain).unwrap();
        }
        assert_eq!(&plain[..], b"hello");
    }

    #[test]
    fn both_ends_rekey_after_the_same_record() {
        let (mut a, mut b) = pair();
        (a.rekey_after, b.rekey_after) = (3, 3);
        for n in 0..10_u8 {
            assert_eq!(cross(&mut a, &mut b, &[n]).unwrap(), [n]);
            assert_eq!(cross(&mut b, &mut a, &[n, n]).unwrap(), [n, n]);
        }
        b.rekey_after = 7;
        let all = (0..4).try_for_each(|_| cross(&mut a, &mut b, b"x").map(drop));
        assert_eq!(all, Err(NoiseError), "an end that does not rekey cannot read on");
    }
}
