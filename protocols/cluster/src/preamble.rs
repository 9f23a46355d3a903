//! The first eight bytes of each side, and the refusal that may come instead.
//!
//! ```text
//! preamble = "RAMONA" | u8 version | u8 mode (0 plain, 1 secret)
//! refusal  = "RAMONA" | u8 version | 0xFF | u8 code | u16 length | text
//! ```
//!
//! These two forms are the same in every version of the protocol, so that nodes of different
//! releases can tell each other what is wrong.

use bytes::Bytes;

use crate::code::Code;

/// Version of everything behind the preamble; both ends must have the same.
pub const PROTOCOL_VERSION: u8 = 1;

const MAGIC: [u8; 6] = *b"RAMONA";
const REFUSAL: u8 = 0xFF;
pub(crate) const PREAMBLE_BYTES: usize = 8;

/// Longest text of a refusal, which comes from somebody who proved nothing: a line in a log.
pub(crate) const MAX_REFUSAL_TEXT: usize = 512;

/// How the rest of the link is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    Secret,
}

impl Mode {
    fn to_wire(self) -> u8 {
        match self {
            Mode::Plain => 0,
            Mode::Secret => 1,
        }
    }
}

/// What the first bytes of a peer say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Preamble(Mode),
    Refusal { code: u8, text: Vec<u8> },
    OtherVersion(u8),
    Stranger(Stranger),
    UnknownMode(u8),
}

/// Who else connects to a link port, or answers there, told by the first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stranger {
    /// A browser, a probe, or an HTTP port.
    #[error("it speaks HTTP")]
    Http,
    /// A publisher or player.
    #[error("it speaks RTMP, which has a port of its own (RTMP.port)")]
    Rtmp,
    /// TLS.
    #[error("it speaks TLS; links are encrypted by servers.secret instead")]
    Tls,
    /// A secure shell.
    #[error("it speaks SSH")]
    Ssh,
    /// A load balancer's PROXY protocol header.
    #[error("it sends a PROXY protocol header; turn that off for the link port")]
    ProxyProtocol,
    /// A MonaServer, whose links are incompatible.
    #[error("it is a MonaServer; its links have another format")]
    MonaServer,
    /// None of these.
    #[error("unknown first bytes {0:02x?}")]
    Unknown([u8; PREAMBLE_BYTES]),
}

/// Reads the opening and the bytes it used; `None` when more bytes are needed.
pub(crate) fn read(input: &[u8]) -> Option<(Opening, usize)> {
    let first = input.first_chunk::<PREAMBLE_BYTES>()?;
    let [magic @ .., version, mode] = first;
    if magic != &MAGIC {
        return Some((Opening::Stranger(recognise(*first)), PREAMBLE_BYTES));
    }
    // Before the mode: a refusal of another version is for us, but its version says enough.
    if *version != PROTOCOL_VERSION {
        return Some((Opening::OtherVersion(*version), PREAMBLE_BYTES));
    }
    let opening = match *mode {
        0 => Opening::Preamble(Mode::Plain),
        1 => Opening::Preamble(Mode::Secret),
        REFUSAL => {
            let [code, high, low] = *input[PREAMBLE_BYTES..].first_chunk()?;
            let claimed = usize::from(u16::from_be_bytes([high, low]));
            let start = PREAMBLE_BYTES + 3;
            // A longer text is cut: the connection ends here anyway.
            let end = start + claimed.min(MAX_REFUSAL_TEXT);
            let text = input.get(start..end)?.to_vec();
            return Some((Opening::Refusal { code, text }, end));
        }
        mode => Opening::UnknownMode(mode),
    };
    Some((opening, PREAMBLE_BYTES))
}

/// The preamble of this node.
pub(crate) fn preamble(mode: Mode) -> [u8; PREAMBLE_BYTES] {
    let [a, b, c, d, e, f] = MAGIC;
    [a, b, c, d, e, f, PROTOCOL_VERSION, mode.to_wire()]
}

/// A refusal instead of the preamble.
pub(crate) fn refusal(code: Code, text: &str) -> Bytes {
    let text = &text.as_bytes()[..text.len().min(MAX_REFUSAL_TEXT)];
    let mut out = MAGIC.to_vec();
    out.extend([PROTOCOL_VERSION, REFUSAL, code as u8]);
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
    out.into()
}

fn recognise(first: [u8; PREAMBLE_BYTES]) -> Stranger {
    const HTTP: [&[u8]; 8] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"HTTP/1."];
    match first {
        _ if HTTP.iter().any(|word| first.starts_with(word)) => Stranger::Http,
        [0x03 | 0x06, ..] => Stranger::Rtmp,
        [0x16, 0x03, ..] => Stranger::Tls,
        [b'S', b'S', b'H', b'-', ..] => Stranger::Ssh,
        [b'P', b'R', b'O', b'X', b'Y', b' ', ..] => Stranger::ProxyProtocol,
        [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51] => Stranger::ProxyProtocol,
        // u32 length, control message, hello.
        [0, _, _, _, 0, 1, ..] => Stranger::MonaServer,
        _ => Stranger::Unknown(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_preamble_and_refusal() {
        assert_eq!(&preamble(Mode::Plain), b"RAMONA\x01\x00");
        assert_eq!(&preamble(Mode::Secret), b"RAMONA\x01\x01");
        assert_eq!(&refusal(Code::NoSecret, "why")[..], b"RAMONA\x01\xFF\x04\x00\x03why");
    }

    #[test]
    fn openings_are_read_once_complete() {
        let whole = refusal(Code::WrongSecret, "differs");
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), None, "{cut}");
        }
        let opening = Opening::Refusal { code: Code::WrongSecret as u8, text: b"differs".to_vec() };
        assert_eq!(read(&whole), Some((opening, whole.len())));
        assert_eq!(read(b"RAMONA\x01\x01rest"), Some((Opening::Preamble(Mode::Secret), 8)));
        assert_eq!(read(b"RAMONA\x02\x01rest"), Some((Opening::OtherVersion(2), 8)));
        assert_eq!(read(b"RAMONA\x00\xFF"), Some((Opening::OtherVersion(0), 8)));
        assert_eq!(read(b"RAMONA\x01\x07"), Some((Opening::UnknownMode(7), 8)));
    }

    #[test]
    fn a_refusal_that_claims_more_text_is_cut() {
        let mut bytes = b"RAMONA\x01\xFF\x01\xFF\xFF".to_vec();
        bytes.extend([b'x'; 600]);
        match read(&bytes) {
            Some((Opening::Refusal { text, .. }, used)) => {
                assert_eq!((text.len(), used), (MAX_REFUSAL_TEXT, 11 + MAX_REFUSAL_TEXT));
            }
            other => panic!("{other:?}"),
        }
        let long = "y".repeat(2_000);
        assert!(matches!(read(&refusal(Code::Error, &long)), Some((Opening::Refusal { .. }, 523))));
    }

    #[test]
    fn strangers_are_recognised_by_their_first_bytes() {
        for (bytes, stranger) in [
            (&b"GET / HTTP/1.1\r\n"[..], Stranger::Http),
            (b"HTTP/1.1 400 Bad Request", Stranger::Http),
            (b"\x03\0\0\0\0\0\0\0\0", Stranger::Rtmp),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", Stranger::Tls),
            (b"SSH-2.0-OpenSSH", Stranger::Ssh),
            (b"PROXY TCP4 1.2.3.4", Stranger::ProxyProtocol),
            (b"\r\n\r\n\0\r\nQUIT\n", Stranger::ProxyProtocol),
            (b"\0\0\0\x20\0\x01\x04host", Stranger::MonaServer),
            (b"garbage!", Stranger::Unknown(*b"garbage!")),
        ] {
            assert_eq!(read(bytes), Some((Opening::Stranger(stranger), 8)), "{bytes:?}");
        }
        assert_eq!(read(b"GET /"), None, "too short to be sure");
    }
}
