//! Everything that a peer can make grow, with where the number comes from. Past a limit the
//! connection is closed with a text that names it.

/// Largest audio, video, data or aggregate message. A key frame of 4K video at 60 Mbit/s takes
/// 1–2 MB; the wire format would allow 16 MiB less one byte.
pub const MAX_MEDIA_MESSAGE: usize = 8 << 20;

/// Largest command message (connect, publish, calls of scripts): room for a table of 1 MB.
pub const MAX_COMMAND_MESSAGE: usize = 1 << 20;

/// Largest protocol control or user control message. The specified ones have 4 to 10 bytes; raw
/// messages of scripts use the same type.
pub const MAX_CONTROL_MESSAGE: usize = 64 << 10;

/// Chunk streams that one peer may open: encoders use 3 to 6, a Flash client 3 for each of its
/// [`MAX_STREAMS`] and 3 more.
pub const MAX_CHUNK_STREAMS: usize = 3 * MAX_STREAMS + 16;

/// Bytes of unfinished messages on all chunk streams together: one message of the largest kind
/// and as much again for what is interleaved with it.
pub const MAX_PARTIAL_BYTES: usize = 2 * MAX_MEDIA_MESSAGE;

/// Streams (`createStream`) open at once on one connection; encoders use 1, a player of many
/// small pictures a few dozen.
pub const MAX_STREAMS: usize = 64;

/// Commands of encoders (FCPublish and its kin) of one connection that scripts are asked about at a
/// time: an encoder sends three. Those above are answered without the script.
pub const MAX_ENCODER_CALLS: usize = 16;

/// Bytes of `tcUrl` and of `app`: what HTTP servers commonly accept as a request line.
pub const MAX_URL: usize = 8 << 10;

/// Bytes of a name given to publish or play, query included.
pub const MAX_STREAM_NAME: usize = 4 << 10;

/// Bytes of the name of a command.
pub const MAX_COMMAND_NAME: usize = 256;

/// Members of the object given to connect. Flash sends 12, Enhanced RTMP 4 more.
pub const MAX_CONNECT_MEMBERS: usize = 256;

/// Largest chunk size used of what a peer announces: no message is longer (RTMP 1.0 §5.4.1).
pub(crate) const MAX_CHUNK_SIZE: u32 = 0xFF_FFFF;

/// Bytes reserved at the first chunk of a message; more only as its bytes arrive, so that a
/// claim alone costs no memory worth the name.
pub(crate) const FIRST_RESERVE: usize = 32 << 10;

/// A message of at least this many bytes that lies whole in the input is cut out of it instead
/// of being copied. Below it the copy is cheaper than what a small frame would pin.
pub(crate) const MIN_SLICE: usize = 2 << 10;
