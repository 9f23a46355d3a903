//! Everything that a peer can make grow, with where the number comes from.

/// Bytes of one message, all its fragments together; what RTMP allows a command. Past it the
/// connection is closed with 1009 as soon as a frame header announces more.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Frames of one message. Browsers send one; a library that cuts at 4 KiB needs 256. Each costs
/// some dozen bytes beside its content, so empty ones must not be free.
pub const MAX_FRAGMENTS: u32 = 4_096;

/// Bytes of a name given to `__publish` or `__play`, query included; as for RTMP.
pub const MAX_STREAM_NAME: usize = 4 << 10;

/// Payload of a control frame (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// Text in a close frame: its payload less the code.
pub const MAX_CLOSE_TEXT: usize = MAX_CONTROL_PAYLOAD - 2;

/// Messages that may wait to be given out before the session counts as broken; its owner takes
/// them after each call, so only one message that asks for many answers could get there.
pub(crate) const MAX_OUTPUT: usize = 65_536;
