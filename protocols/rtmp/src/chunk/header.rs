//! Chunk headers of media for viewers: written per viewer, around a payload that all share.

use ramona_media::MediaKind;

use super::EXTENDED;
use crate::message::{StreamId, kind};

/// Chunk size announced to every peer at connect: pieces of media between two headers. Flash
/// Player accepts no larger one.
pub const OUT_CHUNK_SIZE: usize = 65_536;

/// Longest payload that the 24-bit length of a chunk header can state.
pub const MAX_PAYLOAD: usize = 0xFF_FFFF;

/// Chunk stream of commands.
pub(crate) const COMMAND_CHUNK_STREAM: u8 = 3;
/// Chunk stream of protocol and user control messages (RTMP 1.0 §5.4).
pub(crate) const CONTROL_CHUNK_STREAM: u8 = 2;

/// At most 16 header bytes, kept without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBytes {
    bytes: [u8; 16],
    length: u8,
}

impl HeaderBytes {
    fn new() -> Self {
        Self { bytes: [0; 16], length: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }
}

impl std::ops::Deref for HeaderBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl AsRef<[u8]> for HeaderBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Chunk stream and message type of a kind of media. Each kind has its own chunk stream, and none
/// shares one with commands, so that a command may lie between the chunks of a frame.
fn media_ids(media: MediaKind) -> (u8, u8) {
    match media {
        MediaKind::Audio => (4, kind::AUDIO),
        MediaKind::Data => (5, kind::DATA_AMF0),
        MediaKind::Video => (6, kind::VIDEO),
    }
}

/// Header of the first chunk of a media message: always type 0 (12 bytes, 16 with an extended
/// timestamp), so that it depends on nothing sent before.
///
/// After it come up to [`OUT_CHUNK_SIZE`] bytes of payload; each further piece of that size is
/// preceded by [`continuation_header`]. `None` when `payload_len` is above [`MAX_PAYLOAD`]: such a
/// message cannot be sent over RTMP.
pub fn media_header(
    media: MediaKind,
    stream: StreamId,
    timestamp_ms: u32,
    payload_len: usize,
) -> Option<HeaderBytes> {
    let (chunk_stream, message_kind) = media_ids(media);
    type_0(chunk_stream, message_kind, stream, timestamp_ms, payload_len)
}

/// Header between two pieces of one media message: type 3, with the extended timestamp again
/// when the first chunk had one (1 or 5 bytes).
pub fn continuation_header(media: MediaKind, timestamp_ms: u32) -> HeaderBytes {
    type_3(media_ids(media).0, timestamp_ms)
}

/// A type 0 header on a chunk stream of 2..=63.
pub(crate) fn type_0(
    chunk_stream: u8,
    message_kind: u8,
    stream: StreamId,
    timestamp_ms: u32,
    payload_len: usize,
) -> Option<HeaderBytes> {
    debug_assert!((2..64).contains(&chunk_stream));
    if payload_len > MAX_PAYLOAD {
        return None;
    }
    let mut header = HeaderBytes::new();
    header.push(&[chunk_stream]);
    header.push(&timestamp_ms.min(EXTENDED).to_be_bytes()[1..]);
    header.push(&(payload_len as u32).to_be_bytes()[1..]);
    header.push(&[message_kind]);
    header.push(&stream.0.to_le_bytes());
    if timestamp_ms >= EXTENDED {
        header.push(&timestamp_ms.to_be_bytes());
    }
    Some(header)
}

/// A type 3 header on a chunk stream of 2..=63, within a message that began with [`type_0`].
pub(crate) fn type_3(chunk_stream: u8, timestamp_ms: u32) -> HeaderBytes {
    let mut header = HeaderBytes::new();
    header.push(&[0xC0 | chunk_stream]);
    if timestamp_ms >= EXTENDED {
        header.push(&timestamp_ms.to_be_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_header_is_a_type_0_chunk() {
        let header = media_header(MediaKind::Video, StreamId(1), 0x010203, 0x0A0B0C);
        assert_eq!(
            &header.expect("fits")[..],
            [6, 1, 2, 3, 0x0A, 0x0B, 0x0C, 9, 1, 0, 0, 0],
            "stream id is little endian"
        );
        assert_eq!(&continuation_header(MediaKind::Video, 0x010203)[..], [0xC6]);
    }

    #[test]
    fn extended_timestamp_begins_at_its_own_marker() {
        let header = media_header(MediaKind::Audio, StreamId(2), 0xFF_FFFE, 1).expect("fits");
        assert_eq!(&header[1..4], [0xFF, 0xFF, 0xFE]);
        assert_eq!(header.len(), 12);
        let header = media_header(MediaKind::Audio, StreamId(2), 0xFF_FFFF, 1).expect("fits");
        assert_eq!(header.len(), 16);
        assert_eq!(&header[12..], [0, 0xFF, 0xFF, 0xFF]);
        assert_eq!(&continuation_header(MediaKind::Audio, 0x0102_0304)[..], [0xC4, 1, 2, 3, 4]);
    }

    #[test]
    fn payload_that_the_length_cannot_state_has_no_header() {
        assert!(media_header(MediaKind::Data, StreamId(1), 0, MAX_PAYLOAD).is_some());
        assert!(media_header(MediaKind::Data, StreamId(1), 0, MAX_PAYLOAD + 1).is_none());
    }
}
