//! What can be wrong with AMF bytes, and with values to be written as AMF.

use std::fmt;

/// Why decoding stopped. Offsets count bytes from the start of the decoder's input.
///
/// Every variant means that the peer broke the format or a limit: a message is complete before
/// it is decoded, so there is no "need more bytes".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value, or a count claims more than the input can hold.
    Truncated {
        /// Where bytes were missing.
        offset: usize,
    },
    /// A byte that is no type marker of the format.
    UnknownMarker {
        /// The byte.
        marker: u8,
        /// Where it stands.
        offset: usize,
    },
    /// A type of the format that scripts cannot hold: XML, Vector, MovieClip (CNV-14).
    Unsupported {
        /// Name of the type.
        what: &'static str,
        /// Where its marker stands.
        offset: usize,
    },
    /// An externalizable object of a type that nobody can read (CNV-14).
    Externalizable {
        /// The first 64 bytes of the type's name.
        type_name: Box<[u8]>,
        /// Where the body starts.
        offset: usize,
    },
    /// A reference to something that is not in the message so far.
    BadReference {
        /// Index in the table of containers, strings or traits.
        index: usize,
        /// Where the reference stands.
        offset: usize,
    },
    /// More than [`MAX_DEPTH`](crate::limits::MAX_DEPTH) containers inside each other.
    TooDeep {
        /// Where the container one too deep stands.
        offset: usize,
    },
    /// More than [`MAX_CONTAINERS`](crate::limits::MAX_CONTAINERS) containers.
    TooManyContainers {
        /// Where the container one too many stands.
        offset: usize,
    },
    /// More than [`MAX_SEALED_MEMBERS`](crate::limits::MAX_SEALED_MEMBERS) in one class, or
    /// [`MAX_SEALED_MEMBERS_TOTAL`](crate::limits::MAX_SEALED_MEMBERS_TOTAL) in all.
    TooManySealedMembers {
        /// Where the class is described.
        offset: usize,
    },
    /// String and trait references stand for more bytes than
    /// [`MIN_EXPANSION_BYTES`](crate::limits::MIN_EXPANSION_BYTES) allows.
    ReferencesExpandTooFar {
        /// Where the reference one too many stands.
        offset: usize,
    },
    /// More than [`MAX_VALUE_NODES`](crate::limits::MAX_VALUE_NODES) values in a tree.
    TooManyNodes,
    /// More than [`MAX_VALUE_BYTES`](crate::limits::MAX_VALUE_BYTES) bytes in a tree.
    TooManyBytes,
    /// References nest a tree deeper than [`MAX_DEPTH`](crate::limits::MAX_DEPTH).
    TreeTooDeep,
    /// The decoder was asked again after an error: what follows a broken value has no meaning.
    AlreadyFailed {
        /// End of the last complete value.
        offset: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { offset } => write!(f, "input ends inside a value at byte {offset}"),
            Self::UnknownMarker { marker, offset } => {
                write!(f, "unknown type marker {marker:#04x} at byte {offset}")
            }
            Self::Unsupported { what, offset } => {
                write!(f, "unsupported type {what} at byte {offset}")
            }
            Self::Externalizable { type_name, offset } => write!(
                f,
                "externalizable type \"{}\" without a reader at byte {offset}",
                type_name.escape_ascii()
            ),
            Self::BadReference { index, offset } => {
                write!(f, "reference {index} to nothing at byte {offset}")
            }
            Self::TooDeep { offset } => write!(f, "nested too deep at byte {offset}"),
            Self::TooManyContainers { offset } => {
                write!(f, "too many containers at byte {offset}")
            }
            Self::TooManySealedMembers { offset } => {
                write!(f, "too many sealed members at byte {offset}")
            }
            Self::ReferencesExpandTooFar { offset } => {
                write!(f, "references stand for too many bytes at byte {offset}")
            }
            Self::TooManyNodes => write!(f, "too many values in one message"),
            Self::TooManyBytes => write!(f, "too many string bytes in one message"),
            Self::TreeTooDeep => write!(f, "references nest values too deep"),
            Self::AlreadyFailed { offset } => {
                write!(f, "decoding stopped at an earlier error after byte {offset}")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a value cannot be written. Nothing of it was appended by the call that answers so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The container would be more than [`MAX_DEPTH`](crate::limits::MAX_DEPTH) deep; the caller
    /// writes null in its place (CNV-16).
    TooDeep,
    /// A string, byte array or count beyond the format: 2^28 − 1 in AMF3
    /// ([`MAX_AMF3_LENGTH`](crate::limits::MAX_AMF3_LENGTH)), 2^32 − 1 in AMF0.
    TooLong {
        /// Bytes or items asked for.
        length: usize,
    },
    /// A key or type name of more than 65,535 bytes, in AMF0.
    KeyTooLong {
        /// Bytes asked for.
        length: usize,
    },
    /// An empty key, in AMF3, where it would end the container.
    EmptyKey,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "nested too deep"),
            Self::TooLong { length } => write!(f, "length {length} is beyond the format"),
            Self::KeyTooLong { length } => {
                write!(f, "key of {length} bytes is beyond the format")
            }
            Self::EmptyKey => write!(f, "empty keys do not exist in amf3"),
        }
    }
}

impl std::error::Error for EncodeError {}
