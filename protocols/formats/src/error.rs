//! What can be wrong with text that is read, and with values that are to be written.

use thiserror::Error;

use crate::limits::{MAX_ATTRIBUTES, MAX_CONTAINERS, MAX_DEPTH, MAX_INPUT_BYTES, MAX_NODES};
use crate::limits::{MAX_DECLARATIONS, MAX_REASON_BYTES, MAX_XML_DEPTH};

/// Why a text could not be read. A text is complete before it is read, so there is no "need more
/// bytes"; nothing of a refused text reaches the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The text breaks the grammar of its format.
    #[error("malformed {format}: {reason}")]
    Malformed {
        /// `JSON`, `XML`, `XML-RPC`.
        format: &'static str,
        /// What is wrong, and where; at most a few hundred bytes.
        reason: String,
    },
    /// Containers or elements inside each other beyond the bound (CNV-16).
    #[error("more than {MAX_DEPTH} values, or {MAX_XML_DEPTH} XML elements, inside each other")]
    TooDeep,
    /// More bytes than [`MAX_INPUT_BYTES`](crate::limits::MAX_INPUT_BYTES).
    #[error("{bytes} bytes, more than {MAX_INPUT_BYTES}")]
    TooLong {
        /// Bytes of the input.
        bytes: usize,
    },
    /// More values than [`MAX_NODES`](crate::limits::MAX_NODES).
    #[error("more than {MAX_NODES} values")]
    TooManyValues,
    /// More containers than [`MAX_CONTAINERS`](crate::limits::MAX_CONTAINERS).
    #[error("more than {MAX_CONTAINERS} containers")]
    TooManyContainers,
    /// An XML element with more attributes than
    /// [`MAX_ATTRIBUTES`](crate::limits::MAX_ATTRIBUTES).
    #[error("more than {MAX_ATTRIBUTES} attributes of one element")]
    TooManyAttributes,
    /// More declarations than [`MAX_DECLARATIONS`](crate::limits::MAX_DECLARATIONS).
    #[error("more than {MAX_DECLARATIONS} declarations")]
    TooManyDeclarations,
}

impl ReadError {
    pub(crate) fn malformed(format: &'static str, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        shorten(&mut reason);
        Self::Malformed { format, reason }
    }

    pub(crate) fn at(format: &'static str, offset: usize, reason: impl std::fmt::Display) -> Self {
        let mut reason = reason.to_string();
        shorten(&mut reason);
        Self::Malformed { format, reason: format!("{reason} at byte {offset}") }
    }
}

fn shorten(reason: &mut String) {
    if reason.len() > MAX_REASON_BYTES {
        let boundary = |at: &usize| reason.is_char_boundary(*at);
        reason.truncate((0..=MAX_REASON_BYTES).rev().find(boundary).unwrap_or(0));
        reason.push('…');
    }
}

/// Why a value could not be written. Nothing was appended: the caller writes null instead, or
/// leaves the member out, and says so (CNV-16, GEN-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// More than [`MAX_DEPTH`](crate::limits::MAX_DEPTH) containers inside each other.
    #[error("more than {MAX_DEPTH} containers inside each other")]
    TooDeep,
    /// A key or type name that is not UTF-8, or has characters that the format cannot hold.
    #[error("a key that is no text")]
    KeyNotText,
    /// A key that cannot name an XML element or attribute.
    #[error("a key that is no XML name")]
    KeyNotName,
    /// A date that is no number, or outside of the years 0 to 9999.
    #[error("a date outside of the years 0 to 9999")]
    DateOutOfRange,
}

/// A value that could not be read inside of a text that could; null stands in its place (CNV-28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it should have been: `int`, `dateTime.iso8601`, `base64`, or the name of an element
    /// that is no type of XML-RPC.
    pub what: String,
    /// The first bytes of what stands there.
    pub text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bad {}: {:?}", self.what, self.text)
    }
}

impl Problem {
    pub(crate) fn new(what: &[u8], text: &[u8]) -> Self {
        let lossy = |bytes: &[u8]| {
            let end = bytes.len().min(MAX_REASON_BYTES);
            let mut text = String::from_utf8_lossy(&bytes[..end]).into_owned();
            if end < bytes.len() {
                text.push('…');
            }
            text
        };
        Self { what: lossy(what), text: lossy(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Problem, ReadError};

    #[test]
    fn errors_hold_only_the_beginning_of_what_a_peer_sent() {
        let long = "ä".repeat(100_000);
        assert!(ReadError::malformed("JSON", long.as_str()).to_string().len() < 200);
        assert!(ReadError::at("XML", 7, &long).to_string().len() < 220);
        assert!(Problem::new(long.as_bytes(), long.as_bytes()).to_string().len() < 400);
    }
}
