//! The chunk stream (RTMP 1.0 §5.3): messages of several streams cut into interleaved chunks.

mod header;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use header::{HeaderBytes, MAX_PAYLOAD, OUT_CHUNK_SIZE, continuation_header, media_header};
pub use reader::ChunkError;
pub(crate) use reader::Reader;
pub use writer::TooLong;
pub(crate) use writer::Writer;

/// Chunk size of both directions until a peer sets another (RTMP 1.0 §5.4.1).
pub(crate) const DEFAULT_CHUNK_SIZE: usize = 128;

/// A timestamp field of this value says that the 32-bit timestamp follows (RTMP 1.0 §5.3.1.3).
pub(crate) const EXTENDED: u32 = 0xFF_FFFF;
