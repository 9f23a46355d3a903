//! Messages of the node itself to chunks: commands, statuses, control. Small and rare, so every
//! message begins with a type 0 header. Media of viewers is framed by [`super::media_header`].

use bytes::BytesMut;

use super::DEFAULT_CHUNK_SIZE;
use super::header::{COMMAND_CHUNK_STREAM, CONTROL_CHUNK_STREAM, type_0, type_3};
use crate::message::{Message, kind};

/// Appends chunks to one buffer, which is taken as a whole.
#[derive(Debug)]
pub(crate) struct Writer {
    out: BytesMut,
    chunk_size: usize,
}

/// A message is longer than the 24-bit length of a chunk header can state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message of {0} bytes is longer than RTMP can carry")]
pub struct TooLong(pub usize);

impl Writer {
    pub(crate) fn new() -> Self {
        Self { out: BytesMut::new(), chunk_size: DEFAULT_CHUNK_SIZE }
    }

    /// Chunk size of what is written from now on; the peer must have been told before.
    pub(crate) fn set_chunk_size(&mut self, chunk_size: usize) {
        debug_assert!(chunk_size > 0);
        self.chunk_size = chunk_size;
    }

    /// The buffer itself, for the handshake.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Takes everything written so far.
    pub(crate) fn take(&mut self) -> Option<bytes::Bytes> {
        // The buffer is dropped with what it held: an idle connection keeps none.
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).freeze())
    }

    /// Appends one message on the chunk stream of its type.
    pub(crate) fn write(&mut self, message: &Message) -> Result<(), TooLong> {
        self.write_on(chunk_stream(message.kind), message)
    }

    fn write_on(&mut self, chunk_stream: u8, message: &Message) -> Result<(), TooLong> {
        let payload = &message.payload[..];
        let (kind, stream, time) = (message.kind, message.stream, message.timestamp_ms);
        let header = type_0(chunk_stream, kind, stream, time, payload.len())
            .ok_or(TooLong(payload.len()))?;
        self.out.reserve(payload.len() + 16 + 5 * (payload.len() / self.chunk_size));
        self.out.extend_from_slice(&header);
        for (index, piece) in payload.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                self.out.extend_from_slice(&type_3(chunk_stream, time));
            }
            self.out.extend_from_slice(piece);
        }
        Ok(())
    }
}

fn chunk_stream(message_kind: u8) -> u8 {
    match message_kind {
        kind::AUDIO => 4,
        kind::DATA_AMF0 | kind::DATA_AMF3 => 5,
        kind::VIDEO => 6,
        0..=7 => CONTROL_CHUNK_STREAM,
        _ => COMMAND_CHUNK_STREAM,
    }
}
