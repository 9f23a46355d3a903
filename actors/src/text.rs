//! Names and texts of peers in log lines.

use std::borrow::Cow;

/// Bytes of a peer as text, for a log line: what is no UTF-8 is replaced. The log itself escapes
/// control characters and cuts what is long.
pub(crate) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
