use bytes::Bytes;

use crate::flv;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// FLV audio tag body (RTMP message type 8).
    Audio,
    /// FLV video tag body (RTMP message type 9).
    Video,
    /// AMF data message: handler name, then values. An AMF3 data message (RTMP type 15) is kept
    /// without its leading `0x00`, so that the body always starts with an AMF0 marker.
    Data,
}

/// One audio, video or data message of a publication.
///
/// Cloning shares the payload. The two flags are all that the node needs to know of a codec;
/// they are read once, from the first bytes of the body, when the frame is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFrame {
    /// What the payload is.
    pub kind: MediaKind,
    /// Milliseconds on the publisher's clock, modulo 2^32.
    pub timestamp_ms: u32,
    /// FLV tag body, 0 bytes and more.
    pub payload: Bytes,
    /// Video that decodes without earlier frames.
    pub is_keyframe: bool,
    /// Codec configuration (AVC/HEVC/AV1 sequence header, AAC AudioSpecificConfig, …): a late
    /// viewer needs it before its first frame.
    pub is_header: bool,
}

impl MediaFrame {
    /// Builds a frame and reads its flags from the first bytes of `payload`: legacy FLV, the
    /// HEVC codec id 12 in use before Enhanced RTMP, and Enhanced RTMP FourCC bodies.
    pub fn new(kind: MediaKind, timestamp_ms: u32, payload: Bytes) -> Self {
        let class = match kind {
            MediaKind::Audio => flv::classify_audio(&payload),
            MediaKind::Video => flv::classify_video(&payload),
            MediaKind::Data => flv::Class::default(),
        };
        Self {
            kind,
            timestamp_ms,
            payload,
            is_keyframe: class.is_keyframe,
            is_header: class.is_header,
        }
    }

    /// Which codec configuration this is, for a frame whose `is_header` is true: a publication
    /// keeps the newest of each key.
    pub(crate) fn header_key(&self) -> HeaderKey {
        let class = match self.kind {
            MediaKind::Audio => flv::classify_audio(&self.payload),
            MediaKind::Video => flv::classify_video(&self.payload),
            MediaKind::Data => flv::Class::default(),
        };
        HeaderKey { kind: self.kind, packet_type: class.packet_type, track: class.track }
    }
}

/// Codec configurations of different keys stand side by side: audio and video, the tracks of a
/// multitrack stream, the colour metadata of Enhanced RTMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderKey {
    kind: MediaKind,
    packet_type: u8,
    track: u8,
}
