//! Every bound on what a peer or a script can make this crate do.

/// Containers inside containers, both ways (script API spec CNV-16). A container directly in the
/// message is level 1; level 129 is refused. Real messages stay below 10; each level costs the
/// decoder a stack frame, and 128 of them fit the smallest thread stack with room to spare.
pub const MAX_DEPTH: usize = 128;

/// Containers (and AMF3 dates and byte arrays) that one message may hold, for each takes a place
/// in the reference table. 2^20 tables are ten times more than the largest message of one node to
/// another (64 MiB) holds in practice.
pub const MAX_CONTAINERS: usize = 1 << 20;

/// Sealed members of one AMF3 class. ActionScript classes have tens; the name list is kept for
/// the rest of the message.
pub const MAX_SEALED_MEMBERS: usize = 4_096;

/// Sealed members of all AMF3 classes of one message, so that many classes cannot do together
/// what one may not. Costs 1 MiB at most.
pub const MAX_SEALED_MEMBERS_TOTAL: usize = 65_536;

/// Bytes that AMF3 string and trait references may hand out a second time, at least: a reference
/// of two bytes can stand for a string of megabytes. The bound is this or
/// [`EXPANSION_PER_INPUT_BYTE`] for each byte of input, whichever is more. Four mebibytes are
/// copied in about a millisecond.
pub const MIN_EXPANSION_BYTES: usize = 4 << 20;

/// See [`MIN_EXPANSION_BYTES`]: a repeated key of up to 64 bytes may be written as one byte.
pub const EXPANSION_PER_INPUT_BYTE: usize = 64;

/// Values in all [`Value`](crate::Value) trees of one message, references resolved to copies. The
/// largest of real life is an `onMetaData` with a keyframe index: two numbers for each keyframe,
/// 14,400 for four hours.
pub const MAX_VALUE_NODES: usize = 65_536;

/// Bytes of strings, keys and byte arrays in all [`Value`](crate::Value) trees of one message,
/// references resolved to copies.
pub const MAX_VALUE_BYTES: usize = 4 << 20;

/// Lengths, counts and references of AMF3 have 28 bits (AMF3 §1.3.1: U29 less its flag bit).
pub const MAX_AMF3_LENGTH: usize = (1 << 28) - 1;

/// Distinct strings that an AMF3 encoder with string references remembers; later ones are written
/// in full. Keys of one message are tens.
pub const MAX_REMEMBERED_STRINGS: usize = 1_024;

/// Longest string that an AMF3 encoder with string references remembers, for it keeps a copy.
pub const MAX_REMEMBERED_STRING_BYTES: usize = 256;

/// Class names that an AMF3 encoder remembers, for each is compared with the next one written.
pub const MAX_REMEMBERED_TRAITS: usize = 16;
