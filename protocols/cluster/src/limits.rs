//! Sizes that a peer can choose, and how far.

/// Longest frame, not counting its four length bytes (CLU-26). The length is compared before any
/// memory is reserved.
pub const MAX_FRAME: usize = 64 << 20;

/// Longest handler name of a call in bytes (CLU-20); the script layer cuts longer ones.
pub const MAX_HANDLER: usize = 255;

/// Longest frame before a side's hello is done: nobody has proved anything yet. The largest hello
/// stays below.
pub(crate) const MAX_HELLO_FRAME: usize = 64 << 10;

/// Bytes of the length in front of each frame, big endian.
pub(crate) const LENGTH_BYTES: usize = 4;
