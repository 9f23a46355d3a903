//! A value that must not reach a log.

use std::fmt;

/// The text of `servers.secret`. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text; it should not be empty (an empty `servers.secret` is no secret).
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The bytes that both ends of a link derive their key from.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_only() {
        let secret = Secret::new("correct horse");
        assert_eq!(format!("{secret:?}"), "Secret(13 bytes)");
        assert_eq!(secret.expose(), b"correct horse");
    }
}
