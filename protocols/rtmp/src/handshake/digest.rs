//! The digests that Flash Player 9 and later put into C1, S1, C2 and S2, and that ffmpeg and
//! others still send. They authenticate nobody (the keys are public); a client that sent one
//! only checks that the answer has one too.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::PACKET;

/// Bytes of one HMAC-SHA256.
pub(crate) const DIGEST: usize = 32;

/// Key of the client's digest in C1: the text alone. C2 is signed with the text and [`KEY_TAIL`].
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// Key of the server's digest in S1: the text alone. S2 is signed with the text and [`KEY_TAIL`].
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// The 32 bytes that follow either text in the long form of the key.
const KEY_TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57,
    0x6E, 0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

/// Where the digest lies: each scheme names it by the sum of four bytes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The digest is in the half that begins at byte 8.
    First,
    /// The digest is in the half that begins at byte 772.
    Second,
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    fn short_key(self) -> &'static [u8] {
        match self {
            Self::Client => CLIENT_KEY,
            Self::Server => SERVER_KEY,
        }
    }

    fn long_key(self) -> Vec<u8> {
        [self.short_key(), &KEY_TAIL].concat()
    }
}

/// HMAC-SHA256 over the parts in order.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Offset of the digest in C1 or S1: always leaves [`DIGEST`] bytes in the packet.
pub(crate) fn offset(packet: &[u8; PACKET], scheme: Scheme) -> usize {
    let base = match scheme {
        Scheme::First => 8,
        Scheme::Second => 772,
    };
    let sum: usize = packet[base..base + 4].iter().map(|&byte| usize::from(byte)).sum();
    base + 4 + sum % 728
}

/// The digest that C1 or S1 must carry at `offset`.
fn compute(packet: &[u8; PACKET], offset: usize, side: Side) -> [u8; DIGEST] {
    hmac(side.short_key(), &[&packet[..offset], &packet[offset + DIGEST..]])
}

/// Finds the scheme of C1 or S1 and its digest; none for a packet of the simple handshake.
pub(crate) fn find(packet: &[u8; PACKET], side: Side) -> Option<(Scheme, [u8; DIGEST])> {
    [Scheme::First, Scheme::Second].into_iter().find_map(|scheme| {
        let offset = offset(packet, scheme);
        let digest = compute(packet, offset, side);
        (packet[offset..offset + DIGEST] == digest).then_some((scheme, digest))
    })
}

/// Writes the digest into C1 or S1 and returns it.
pub(crate) fn imprint(packet: &mut [u8; PACKET], scheme: Scheme, side: Side) -> [u8; DIGEST] {
    let offset = offset(packet, scheme);
    let digest = compute(packet, offset, side);
    packet[offset..offset + DIGEST].copy_from_slice(&digest);
    digest
}

/// Signs S2 (or C2) in its last bytes: an answer to the digest that the other side sent.
pub(crate) fn sign(packet: &mut [u8; PACKET], their_digest: &[u8; DIGEST], side: Side) {
    let signature = signature(packet, their_digest, side);
    packet[PACKET - DIGEST..].copy_from_slice(&signature);
}

/// True when S2 (or C2) answers the digest that was sent.
pub(crate) fn is_signed(packet: &[u8; PACKET], our_digest: &[u8; DIGEST], side: Side) -> bool {
    packet[PACKET - DIGEST..] == signature(packet, our_digest, side)
}

fn signature(packet: &[u8; PACKET], their_digest: &[u8; DIGEST], side: Side) -> [u8; DIGEST] {
    let key = hmac(&side.long_key(), &[their_digest]);
    hmac(&key, &[&packet[..PACKET - DIGEST]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Bytes 0, 1, 2, … after four zero bytes and the version of a Flash Player.
    fn counting() -> [u8; PACKET] {
        let mut packet = [0; PACKET];
        for (index, byte) in packet.iter_mut().enumerate().skip(8) {
            *byte = index as u8;
        }
        packet[4..8].copy_from_slice(&[9, 0, 124, 2]);
        packet
    }

    // The expected values were computed with Python's hmac and hashlib.
    #[test]
    fn digests_of_both_schemes_and_sides_are_the_known_ones() {
        let vectors = [
            (Scheme::First, Side::Client, VECTOR_FIRST_CLIENT),
            (Scheme::Second, Side::Client, VECTOR_SECOND_CLIENT),
            (Scheme::First, Side::Server, VECTOR_FIRST_SERVER),
            (Scheme::Second, Side::Server, VECTOR_SECOND_SERVER),
        ];
        for (scheme, side, (at, expected)) in vectors {
            let mut packet = counting();
            assert_eq!(offset(&packet, scheme), at);
            let digest = imprint(&mut packet, scheme, side);
            assert_eq!(hex(&digest), expected, "{scheme:?} {side:?}");
            assert_eq!(find(&packet, side), Some((scheme, digest)));
        }
    }

    #[test]
    fn signature_of_the_answer_is_the_known_one() {
        let mut packet = counting();
        let digest: [u8; DIGEST] = std::array::from_fn(|index| index as u8);
        sign(&mut packet, &digest, Side::Server);
        assert_eq!(hex(&packet[PACKET - DIGEST..]), VECTOR_SIGNATURE_SERVER);
        assert!(is_signed(&packet, &digest, Side::Server));
        sign(&mut packet, &digest, Side::Client);
        assert_eq!(hex(&packet[PACKET - DIGEST..]), VECTOR_SIGNATURE_CLIENT);
        assert!(!is_signed(&packet, &digest, Side::Server));
    }

    #[test]
    fn digest_in_what_ffmpeg_sends_is_found() {
        let captured = include_bytes!("../../corpus/handshake/ffmpeg_c0c1");
        let packet: &[u8; PACKET] = captured[1..].try_into().expect("the capture is whole");
        let (scheme, digest) = find(packet, Side::Client).expect("ffmpeg sends a digest");
        assert_eq!(scheme, Scheme::First);
        assert_eq!(offset(packet, scheme), 494);
        assert_eq!(
            hex(&digest),
            "650bfb9b65f953d848e3456965d0d76b627a84e35e9ddabd8b43f0fadaee458c"
        );
    }

    #[test]
    fn one_flipped_bit_hides_the_digest() {
        let mut packet = counting();
        imprint(&mut packet, Scheme::Second, Side::Client);
        packet[1000] ^= 1;
        assert_eq!(find(&packet, Side::Client), None);
    }

    #[test]
    fn digest_never_leaves_the_packet() {
        let full = [0xFF; PACKET];
        for scheme in [Scheme::First, Scheme::Second] {
            assert!(offset(&full, scheme) + DIGEST <= PACKET);
        }
    }

    const VECTOR_FIRST_CLIENT: (usize, &str) =
        (50, "847b0a67b05fc66226127cd092337f2f9d2150340f81eafde5b40988a40a60b8");
    const VECTOR_FIRST_SERVER: (usize, &str) =
        (50, "4aefe72200bbd75fad199fa1aac9fa0d290ff0b9f8d56b7412d5aca980ca7016");
    const VECTOR_SECOND_CLIENT: (usize, &str) =
        (798, "2e064d617800c563ffdb6ff67e2084be69f21576d0e3449c252dccae7bd4ce49");
    const VECTOR_SECOND_SERVER: (usize, &str) =
        (798, "a03a2ae0be22600f81d19fca938b6e258b9fcc97a1c54362a72ea90147d20483");
    const VECTOR_SIGNATURE_SERVER: &str =
        "14c248c2f3b367b12b80ecd0ae9642db9e876aeed654b92f0e697d5808fba672";
    const VECTOR_SIGNATURE_CLIENT: &str =
        "6806f59489966cb58495b51c90e1151609cc4dd1fa7144aa2677a2b97a456414";
}
