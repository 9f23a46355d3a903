//! Bytes as base64 text (CNV-05).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// RFC 4648 §4, padded when written; when read, padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends bytes as base64.
pub(crate) fn write(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start));
}

/// The bytes of base64; `None` when it is none.
pub(crate) fn read(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// The bytes of base64 that may have white space anywhere.
pub(crate) fn read_folded(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(u8::is_ascii_whitespace) {
        let text: Vec<u8> =
            text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        return read(&text);
    }
    read(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{read, read_folded, write};

    #[test]
    fn cnv_05_bytes_are_base64() {
        let mut out = b"x".to_vec();
        write(&mut out, b"\xff\0");
        assert_eq!(out, b"x/wA=");
        assert_eq!(read(b"/wA"), Some(b"\xff\0".to_vec()));
        assert_eq!(read_folded(b"/w\n A=\r\n"), Some(b"\xff\0".to_vec()));
        for broken in ["/", "/w*=", "/wA=x", "/w A=", "\u{e4}"] {
            assert_eq!(read(broken.as_bytes()), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn cnv_05_bytes_read_back(bytes: Vec<u8>) {
            let mut out = Vec::new();
            write(&mut out, &bytes);
            prop_assert_eq!(read(&out), Some(bytes));
        }
    }
}
