use std::fmt;

use snow::params::HashChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};

/// Domain of the key derivation: another use of the same text gives another key.
const KEY_LABEL: &[u8] = b"ramona link secret v1";

/// Bytes below which a secret is called short.
///
/// Somebody who can answer a dial sees a value that lets him try guesses off line, so the text has
/// to be beyond guessing: 16 random letters and digits are 95 bits.
pub const SHORT_SECRET: usize = 16;

/// What both ends of a link must share (`servers.secret`), as the key derived from the text.
///
/// The text itself is not kept, and `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct Secret {
    key: [u8; 32],
    is_short: bool,
}

impl Secret {
    /// Derives the key: HKDF (RFC 5869) with SHA-256 and a label as salt.
    ///
    /// `None` for an empty text, which means "no secret" in the configuration.
    pub fn new(text: impl AsRef<[u8]>) -> Option<Self> {
        let text = text.as_ref();
        if text.is_empty() {
            return None;
        }
        let mut hash = DefaultResolver
            .resolve_hash(&HashChoice::SHA256)
            .expect("the manifest builds snow with SHA-256");
        let mut key = [0; 32];
        hash.hkdf(KEY_LABEL, text, 1, &mut key, &mut [], &mut []);
        Some(Self { key, is_short: text.len() < SHORT_SECRET })
    }

    /// Whether the text has fewer than [`SHORT_SECRET`] bytes; worth a warning at start.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_text_nor_key() {
        let secret = Secret::new("tell nobody of this text").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(not shown)");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret(not shown))");
    }

    #[test]
    fn an_empty_text_is_no_secret() {
        assert!(Secret::new("").is_none());
    }

    #[test]
    fn the_key_follows_the_whole_text_and_is_not_the_text() {
        let long = "x".repeat(300);
        let key = |text: &str| *Secret::new(text).unwrap().key();
        assert_eq!(key("one text"), key("one text"));
        assert_ne!(key("one text"), key("one texu"));
        assert_ne!(key(&long), key(&long[1..]));
        let exact = "0123456789abcdef0123456789abcdef";
        assert_ne!(&key(exact)[..], exact.as_bytes());
    }

    /// HMAC-SHA256(HMAC-SHA256(label, "abc"), 0x01), computed apart with another implementation.
    #[test]
    fn the_derivation_is_hkdf_and_never_changes() {
        let hex: String =
            Secret::new("abc").unwrap().key().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "4b12bb67f014fb8b62c38fecea7df031e2625a53982f4fc9fa3a920753522584");
    }

    #[test]
    fn short_texts_are_told_apart() {
        assert!(Secret::new("fifteen letters").unwrap().is_short());
        assert!(!Secret::new("sixteen letters!").unwrap().is_short());
    }
}
