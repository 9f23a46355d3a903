//! `mona:createMediaWriter` (MON-29): a container that a script feeds.

use bytes::{BufMut, Bytes, BytesMut};

use crate::flv_file::{flv_header, flv_tag};
use crate::frame::MediaKind;
use crate::ts::TsMuxer;

/// Turns FLV tag bodies into a file, piece by piece.
#[derive(Debug)]
pub struct MediaWriter {
    container: Container,
}

#[derive(Debug)]
enum Container {
    Flv { has_header: bool },
    Ts(TsMuxer),
}

impl MediaWriter {
    /// An FLV file.
    pub fn flv() -> Self {
        Self { container: Container::Flv { has_header: false } }
    }

    /// An MPEG-2 transport stream: H.264, HEVC, AAC and MP3.
    pub fn mp2t() -> Self {
        Self { container: Container::Ts(TsMuxer::new()) }
    }

    /// The container's bytes for one audio or video tag body or data message at `time_ms`,
    /// including what has to stand before the first one. Nothing for what it cannot carry, and for
    /// codec configurations in a transport stream, which come again before key frames.
    pub fn write(&mut self, kind: MediaKind, time_ms: u32, body: &[u8]) -> Bytes {
        match &mut self.container {
            Container::Flv { has_header } => {
                let tag = flv_tag(kind, time_ms, body).unwrap_or_default();
                if std::mem::replace(has_header, true) {
                    return tag;
                }
                // A script may write either kind at any time, so both are announced.
                let mut first = BytesMut::from(&flv_header(true, true)[..]);
                first.put_slice(&tag);
                first.freeze()
            }
            Container::Ts(muxer) => muxer.write(kind, time_ms, body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mon_29_the_first_piece_starts_with_the_header_and_the_others_are_tags() {
        let mut writer = MediaWriter::flv();
        let first = writer.write(MediaKind::Video, 0, b"\x17\x00");
        assert_eq!(&first[..13], b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        assert_eq!(first[13], 9);
        assert_eq!(writer.write(MediaKind::Audio, 5, b"\xAF\x01")[..8], *b"\x08\0\0\x02\0\0\x05\0");
    }

    #[test]
    fn mon_29_a_transport_stream_starts_with_its_tables() {
        let mut writer = MediaWriter::mp2t();
        assert!(writer.write(MediaKind::Audio, 0, b"\xAF\x00\x12\x10").is_empty());
        let first = writer.write(MediaKind::Audio, 0, b"\xAF\x01\x21\x00");
        assert_eq!(first.len(), 3 * 188, "association, map, frame");
        assert!(first.chunks(188).all(|packet| packet[0] == 0x47));
        assert_eq!(writer.write(MediaKind::Audio, 23, b"\xAF\x01\x21\x00").len(), 188);
    }
}
