//! Chunks to messages.

use bytes::{Buf, Bytes, BytesMut};

use super::{DEFAULT_CHUNK_SIZE, EXTENDED};
use crate::limits::{
    FIRST_RESERVE, MAX_CHUNK_SIZE, MAX_CHUNK_STREAMS, MAX_PARTIAL_BYTES, MIN_SLICE,
};
use crate::message::{Message, StreamId, max_length};

/// A chunk that breaks the protocol or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The first chunk of a chunk stream leans on a header that never came.
    #[error("first chunk of chunk stream {0} has type {1}, which needs an earlier header")]
    NoHeader(u32, u8),
    /// A message began where the one before was not complete.
    #[error("a message begins on chunk stream {0} inside an unfinished one")]
    InsideMessage(u32),
    /// A message claims more than its type may have.
    #[error("message of type {kind} claims {length} bytes; at most {limit} are accepted")]
    TooLong {
        /// Message type id.
        kind: u8,
        /// What the header claims.
        length: usize,
        /// What is accepted for this type.
        limit: usize,
    },
    /// More chunk streams than anybody needs.
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyStreams,
    /// Unfinished messages hold too many bytes.
    #[error("unfinished messages hold more than {MAX_PARTIAL_BYTES} bytes")]
    TooMuchPartial,
    /// SetChunkSize with 0 or with its highest bit set.
    #[error("chunk size {0} is not between 1 and 2147483647")]
    ChunkSize(u32),
}

/// What is known of one chunk stream.
#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    /// Absolute timestamp of the current or last message.
    timestamp_ms: u32,
    /// What a new message without a timestamp of its own adds (RTMP 1.0 §5.3.1.2.4).
    delta_ms: u32,
    /// The extended timestamp field of the last header of type 0 to 2, if it had one.
    extended: Option<u32>,
    length: usize,
    kind: u8,
    stream: StreamId,
    /// Bytes of the message that have come so far, while `in_message`.
    partial: Vec<u8>,
    in_message: bool,
}

/// The chunk whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct Current {
    index: usize,
    left: usize,
}

/// A chunk header that has been read but not yet applied.
struct Header {
    format: u8,
    id: u32,
    /// Bytes of basic header and message header, without the extended timestamp.
    end: usize,
    /// Index of the chunk stream; none when it is new.
    index: Option<usize>,
}

/// Assembles messages out of the chunks of one peer.
#[derive(Debug)]
pub(crate) struct Reader {
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    current: Option<Current>,
    /// Bytes in all `partial`s together.
    partial_bytes: usize,
}

fn be24(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

/// Bytes of the message header of each type (RTMP 1.0 §5.3.1.2).
const MESSAGE_HEADER: [usize; 4] = [11, 7, 3, 0];

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            current: None,
            partial_bytes: 0,
        }
    }

    /// Chunk size announced by the peer, for the chunks after that message.
    pub(crate) fn set_chunk_size(&mut self, chunk_size: u32) -> Result<(), ChunkError> {
        if chunk_size == 0 || chunk_size > i32::MAX as u32 {
            return Err(ChunkError::ChunkSize(chunk_size));
        }
        self.chunk_size = chunk_size.min(MAX_CHUNK_SIZE) as usize;
        Ok(())
    }

    /// Abort (RTMP 1.0 §5.4.2): forgets the unfinished message of a chunk stream.
    pub(crate) fn abort(&mut self, chunk_stream: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == chunk_stream) {
            self.partial_bytes -= stream.partial.len();
            stream.partial = Vec::new();
            stream.in_message = false;
        }
    }

    /// Bytes reserved for unfinished messages.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.streams.iter().map(|stream| stream.partial.capacity()).sum()
    }

    /// Takes chunks off `input` until a message is complete. `None`: more bytes are needed; what
    /// is left in `input` then is less than one chunk header.
    pub(crate) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            let current = match self.current {
                Some(current) => current,
                None => match self.begin_chunk(input)? {
                    Some(current) => current,
                    None => return Ok(None),
                },
            };
            let complete = self.read_payload(current, input)?;
            if complete.is_some() {
                return Ok(complete);
            }
            if self.current.is_some() {
                return Ok(None);
            }
        }
    }

    /// Reads one chunk header off the input; `None` when it is not whole.
    fn begin_chunk(&mut self, input: &mut BytesMut) -> Result<Option<Current>, ChunkError> {
        let Some(header) = self.find_header(input)? else { return Ok(None) };
        let fields = &input[header.end - MESSAGE_HEADER[usize::from(header.format)]..];
        let known = header.index.map(|index| &self.streams[index]);
        let begins = !known.is_some_and(|stream| stream.in_message);

        let (extended, end) = if header.format < 3 {
            if be24(fields) == EXTENDED {
                let Some(bytes) = input.get(header.end..header.end + 4) else { return Ok(None) };
                (Some(u32::from_be_bytes(bytes.try_into().unwrap_or_default())), header.end + 4)
            } else {
                (None, header.end)
            }
        } else {
            match known.map_or(Repeated::No, |stream| repeated(stream, &input[header.end..])) {
                Repeated::Unknown => return Ok(None),
                Repeated::Yes => (None, header.end + 4),
                Repeated::No => (None, header.end),
            }
        };

        if header.format < 3 && !begins {
            return Err(ChunkError::InsideMessage(header.id));
        }
        if header.format < 2 {
            let (kind, length) = (fields[6], be24(&fields[3..]) as usize);
            let limit = max_length(kind);
            if length > limit {
                return Err(ChunkError::TooLong { kind, length, limit });
            }
        }
        let index = match header.index {
            Some(index) => index,
            // librtmp begins its pings with type 1 on a fresh chunk stream.
            None if header.format < 2 => self.add_stream(header.id)?,
            None => return Err(ChunkError::NoHeader(header.id, header.format)),
        };
        let stream = &mut self.streams[index];
        if header.format < 3 {
            apply_header(stream, header.format, fields, extended);
        } else if begins {
            stream.timestamp_ms = stream.timestamp_ms.wrapping_add(stream.delta_ms);
        }
        stream.in_message = true;
        input.advance(end);
        let left = (stream.length - stream.partial.len()).min(self.chunk_size);
        let current = Current { index, left };
        self.current = Some(current);
        Ok(Some(current))
    }

    /// Basic header, and whether the message header is all there.
    fn find_header(&self, input: &[u8]) -> Result<Option<Header>, ChunkError> {
        let Some(&first) = input.first() else { return Ok(None) };
        let (id, basic) = match (first & 0x3F, input) {
            (0, [_, low, ..]) => (64 + u32::from(*low), 2),
            (1, [_, low, high, ..]) => (64 + u32::from(*low) + 256 * u32::from(*high), 3),
            (0 | 1, _) => return Ok(None),
            (id, _) => (u32::from(id), 1),
        };
        let format = first >> 6;
        let end = basic + MESSAGE_HEADER[usize::from(format)];
        if input.len() < end {
            return Ok(None);
        }
        let index = self.streams.iter().position(|stream| stream.id == id);
        Ok(Some(Header { format, id, end, index }))
    }

    fn add_stream(&mut self, id: u32) -> Result<usize, ChunkError> {
        if self.streams.len() >= MAX_CHUNK_STREAMS {
            return Err(ChunkError::TooManyStreams);
        }
        self.streams.push(ChunkStream { id, ..ChunkStream::default() });
        Ok(self.streams.len() - 1)
    }

    /// Moves payload of the current chunk; the message when it is complete with it.
    fn read_payload(
        &mut self,
        current: Current,
        input: &mut BytesMut,
    ) -> Result<Option<Message>, ChunkError> {
        let stream = &mut self.streams[current.index];
        if stream.partial.is_empty()
            && current.left == stream.length
            && input.len() >= stream.length
        {
            let payload = if stream.length >= MIN_SLICE {
                input.split_to(stream.length).freeze()
            } else {
                let payload = Bytes::copy_from_slice(&input[..stream.length]);
                input.advance(stream.length);
                payload
            };
            self.current = None;
            return Ok(Some(stream.finish(payload)));
        }
        let count = current.left.min(input.len());
        if count > MAX_PARTIAL_BYTES - self.partial_bytes {
            return Err(ChunkError::TooMuchPartial);
        }
        stream.append(&input[..count]);
        input.advance(count);
        self.partial_bytes += count;
        let left = current.left - count;
        self.current = (left > 0).then_some(Current { left, ..current });
        if stream.partial.len() < stream.length {
            return Ok(None);
        }
        self.partial_bytes -= stream.partial.len();
        let payload = std::mem::take(&mut stream.partial).into();
        Ok(Some(stream.finish(payload)))
    }
}

impl ChunkStream {
    /// Appends to the unfinished message. Memory follows what has come, not what is claimed.
    fn append(&mut self, bytes: &[u8]) {
        let have = self.partial.len();
        if self.partial.capacity() - have < bytes.len() {
            let wish = have.max(FIRST_RESERVE).max(bytes.len());
            self.partial.reserve_exact(wish.min(self.length - have));
        }
        self.partial.extend_from_slice(bytes);
    }

    fn finish(&mut self, payload: Bytes) -> Message {
        self.in_message = false;
        Message { kind: self.kind, stream: self.stream, timestamp_ms: self.timestamp_ms, payload }
    }
}

/// Whether a type 3 chunk repeats the extended timestamp.
enum Repeated {
    Yes,
    No,
    /// Too few bytes to tell.
    Unknown,
}

/// RTMP 1.0 §5.3.1.3 says that type 3 chunks repeat the extended timestamp; some senders repeat
/// the absolute one, some none at all. So the bytes are compared with what they would be.
fn repeated(stream: &ChunkStream, input: &[u8]) -> Repeated {
    let Some(extended) = stream.extended else { return Repeated::No };
    let candidates = [extended.to_be_bytes(), stream.timestamp_ms.to_be_bytes()];
    let have = input.len().min(4);
    if !candidates.iter().any(|bytes| bytes[..have] == input[..have]) {
        Repeated::No
    } else if have == 4 {
        Repeated::Yes
    } else {
        Repeated::Unknown
    }
}

/// Applies a message header of type 0, 1 or 2.
fn apply_header(stream: &mut ChunkStream, format: u8, fields: &[u8], extended: Option<u32>) {
    let time = extended.unwrap_or_else(|| be24(fields));
    stream.extended = extended;
    stream.delta_ms = time;
    if format == 0 {
        stream.timestamp_ms = time;
        stream.stream = StreamId(u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]));
        // A type 3 message after a type 0 adds its timestamp again (RTMP 1.0 §5.3.1.2.4), which
        // ffmpeg relies on. After more than four hours it can only be the habit of librtmp, to
        // send type 3 for a message of the same time.
        if extended.is_some() {
            stream.delta_ms = 0;
        }
    } else {
        stream.timestamp_ms = stream.timestamp_ms.wrapping_add(time);
    }
    if format < 2 {
        stream.length = be24(&fields[3..]) as usize;
        stream.kind = fields[6];
    }
}
