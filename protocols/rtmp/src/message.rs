//! RTMP messages (RTMP 1.0 §5.4, §6.2, §7.1): types, protocol and user control bodies, and the
//! split of aggregate messages.

use bytes::{Buf, Bytes};

use crate::limits::{MAX_COMMAND_MESSAGE, MAX_CONTROL_MESSAGE, MAX_MEDIA_MESSAGE};

/// Message type ids (RTMP 1.0 §5.4 and §7.1).
pub(crate) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
    pub(crate) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA_AMF0: u8 = 18;
    pub(crate) const COMMAND_AMF0: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}

/// Identifier of a message stream: what createStream answered, 0 for the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One message, whole and free of how it was carried (RTMP chunks or an RTMFP flow).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message type id.
    pub kind: u8,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Absolute timestamp in milliseconds, modulo 2^32.
    pub timestamp_ms: u32,
    /// The body.
    pub payload: Bytes,
}

impl Message {
    pub(crate) fn control(kind: u8, payload: Bytes) -> Self {
        Self { kind, stream: StreamId(0), timestamp_ms: 0, payload }
    }

    /// A user control message (RTMP 1.0 §6.2): event type and its values.
    pub(crate) fn user_control(event: u16, values: &[u32]) -> Self {
        let mut payload = Vec::with_capacity(2 + 4 * values.len());
        payload.extend_from_slice(&event.to_be_bytes());
        for value in values {
            payload.extend_from_slice(&value.to_be_bytes());
        }
        Self::control(kind::USER_CONTROL, payload.into())
    }
}

/// Largest body that a message of this type may have.
pub(crate) fn max_length(message_kind: u8) -> usize {
    match message_kind {
        1..=7 => MAX_CONTROL_MESSAGE,
        kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => MAX_COMMAND_MESSAGE,
        _ => MAX_MEDIA_MESSAGE,
    }
}

/// A control or aggregate message that its type does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A control message with fewer bytes than its values need.
    #[error("control message of type {kind} has only {length} bytes")]
    Short {
        /// Message type id.
        kind: u8,
        /// Bytes of its body.
        length: usize,
    },
    /// An aggregate whose sub-messages do not fill it.
    #[error("aggregate message is cut off {0} bytes after the start of a part")]
    AggregateCut(usize),
    /// An aggregate inside an aggregate.
    #[error("aggregate message inside an aggregate message")]
    AggregateNested,
}

/// Types of user control messages (RTMP 1.0 §7.1.7).
pub(crate) mod event {
    pub(crate) const STREAM_BEGIN: u16 = 0;
    pub(crate) const STREAM_EOF: u16 = 1;
    pub(crate) const SET_BUFFER_LENGTH: u16 = 3;
    pub(crate) const PING_REQUEST: u16 = 6;
    pub(crate) const PING_RESPONSE: u16 = 7;
}

/// What a user control message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserControl {
    /// The stream has become usable.
    StreamBegin(StreamId),
    /// Nothing more comes on the stream for now.
    StreamEof(StreamId),
    /// The player keeps so many milliseconds in its buffer.
    SetBufferLength(StreamId, u32),
    /// To be answered with the same value.
    PingRequest(u32),
    /// The answer to a ping.
    PingResponse(u32),
    /// Any other event type.
    Other(u16),
}

impl UserControl {
    /// Reads the body of a message of type 4.
    pub(crate) fn read(mut body: &[u8]) -> Result<Self, MessageError> {
        let short = MessageError::Short { kind: kind::USER_CONTROL, length: body.len() };
        let event = body.try_get_u16().map_err(|_| short)?;
        let mut value = || body.try_get_u32().map_err(|_| short);
        Ok(match event {
            event::STREAM_BEGIN => Self::StreamBegin(StreamId(value()?)),
            event::STREAM_EOF => Self::StreamEof(StreamId(value()?)),
            event::SET_BUFFER_LENGTH => Self::SetBufferLength(StreamId(value()?), value()?),
            event::PING_REQUEST => Self::PingRequest(value()?),
            event::PING_RESPONSE => Self::PingResponse(value()?),
            other => Self::Other(other),
        })
    }
}

/// The 32-bit value that begins a protocol control message.
pub(crate) fn control_value(message: &Message) -> Result<u32, MessageError> {
    (&message.payload[..])
        .try_get_u32()
        .map_err(|_| MessageError::Short { kind: message.kind, length: message.payload.len() })
}

/// Header of one part of an aggregate: type, length, timestamp with its high byte last, stream.
const AGGREGATE_HEADER: usize = 11;
/// Length of the part before, after each part; the last one is missing in some senders.
const AGGREGATE_TAIL: usize = 4;

/// Parts of an aggregate message (RTMP 1.0 §7.1.6) in order; their payloads share its bytes.
///
/// The first part gets the timestamp of the aggregate, the others keep their distance to it. All
/// belong to the stream of the aggregate. Iteration ends after an error.
pub(crate) struct Aggregate {
    rest: Bytes,
    stream: StreamId,
    start_ms: u32,
    first_ms: Option<u32>,
}

impl Aggregate {
    pub(crate) fn new(message: Message) -> Self {
        Self {
            rest: message.payload,
            stream: message.stream,
            start_ms: message.timestamp_ms,
            first_ms: None,
        }
    }
}

impl Iterator for Aggregate {
    type Item = Result<Message, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let available = self.rest.len();
        let mut header = std::mem::take(&mut self.rest);
        if available < AGGREGATE_HEADER {
            return Some(Err(MessageError::AggregateCut(available)));
        }
        let message_kind = header.get_u8();
        let length = header.get_uint(3) as usize;
        let low = header.get_uint(3) as u32;
        let timestamp = low | u32::from(header.get_u8()) << 24;
        header.advance(3);
        let mut body = header;
        if message_kind == kind::AGGREGATE {
            return Some(Err(MessageError::AggregateNested));
        }
        if body.len() < length {
            return Some(Err(MessageError::AggregateCut(available)));
        }
        let payload = body.split_to(length);
        body.advance(AGGREGATE_TAIL.min(body.len()));
        self.rest = body;
        let first = *self.first_ms.get_or_insert(timestamp);
        Some(Ok(Message {
            kind: message_kind,
            stream: self.stream,
            timestamp_ms: self.start_ms.wrapping_add(timestamp.wrapping_sub(first)),
            payload,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        let [high, low @ ..] = timestamp.to_be_bytes();
        bytes.extend_from_slice(&low);
        bytes.extend_from_slice(&[high, 0, 0, 0]);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&(11 + body.len() as u32).to_be_bytes());
        bytes
    }

    fn parts_of(payload: &[u8]) -> Vec<Result<Message, MessageError>> {
        Aggregate::new(Message {
            kind: kind::AGGREGATE,
            stream: StreamId(5),
            timestamp_ms: 1000,
            payload: Bytes::copy_from_slice(payload),
        })
        .collect()
    }

    #[test]
    fn aggregate_parts_keep_their_distance_and_get_the_stream() {
        let first = 0x0102_0304;
        let bytes = [part(8, first, b"au"), part(9, first + 40, b"video"), part(18, first, b"")];
        let parts: Vec<_> =
            parts_of(&bytes.concat()).into_iter().map(|part| part.expect("whole")).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(
            (parts[0].kind, parts[0].timestamp_ms, &parts[0].payload[..]),
            (8, 1000, &b"au"[..])
        );
        assert_eq!((parts[1].kind, parts[1].timestamp_ms), (9, 1040));
        assert!(parts.iter().all(|part| part.stream == StreamId(5)));
    }

    #[test]
    fn missing_last_back_pointer_is_tolerated() {
        let mut bytes = part(9, 0, b"frame");
        bytes.truncate(bytes.len() - 4);
        assert_eq!(parts_of(&bytes).len(), 1);
    }

    #[test]
    fn cut_and_nested_aggregates_are_errors_and_end_the_iteration() {
        let whole = part(9, 0, b"frame");
        for cut in 1..16 {
            assert_eq!(parts_of(&whole[..cut]), [Err(MessageError::AggregateCut(cut))]);
        }
        assert_eq!(parts_of(&part(22, 0, &whole)), [Err(MessageError::AggregateNested)]);
    }

    #[test]
    fn user_control_bodies_are_read_and_short_ones_refused() {
        let read = |message: Message| UserControl::read(&message.payload);
        assert_eq!(read(Message::user_control(6, &[77])), Ok(UserControl::PingRequest(77)));
        assert_eq!(
            read(Message::user_control(3, &[1, 3000])),
            Ok(UserControl::SetBufferLength(StreamId(1), 3000))
        );
        assert_eq!(read(Message::user_control(0x1a, &[])), Ok(UserControl::Other(0x1a)));
        assert_eq!(UserControl::read(&[0]), Err(MessageError::Short { kind: 4, length: 1 }));
        assert!(read(Message::user_control(3, &[1])).is_err());
    }
}
