//! What an FLV tag body carries, as far as a transport stream can carry it too: FLV file format
//! 10.1 annex E.4.2 and E.4.3, Enhanced RTMP v2.

/// Video codecs with a stream type of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VideoCodec {
    Avc,
    Hevc,
}

/// One video tag body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Video<'a> {
    /// AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord.
    Config(VideoCodec, &'a [u8]),
    /// NAL units, each behind its length; composition time offset in milliseconds.
    Frame(VideoCodec, i32, &'a [u8]),
    /// Configuration or frame of a codec that a transport stream does not carry.
    Foreign,
    /// Nothing to show: end of sequence, commands, cut bodies.
    Nothing,
}

/// One audio tag body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audio<'a> {
    /// AudioSpecificConfig.
    AacConfig(&'a [u8]),
    /// One raw AAC frame.
    Aac(&'a [u8]),
    /// One or more whole MP3 frames.
    Mp3(&'a [u8]),
    /// Of a codec that a transport stream does not carry.
    Foreign,
    /// Nothing to hear.
    Nothing,
}

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const CODED_FRAMES_X: u8 = 3;

pub(super) fn video(body: &[u8]) -> Video<'_> {
    match *body {
        [first, ref rest @ ..] if first & 0x80 != 0 => enhanced_video(first & 0x0F, rest),
        [first, ref rest @ ..] => {
            let codec = match first & 0x0F {
                7 => VideoCodec::Avc,
                12 => VideoCodec::Hevc,
                _ => return Video::Foreign,
            };
            match *rest {
                [0, _, _, _, ref config @ ..] => Video::Config(codec, config),
                [1, c2, c1, c0, ref data @ ..] => Video::Frame(codec, signed([c2, c1, c0]), data),
                _ => Video::Nothing,
            }
        }
        [] => Video::Nothing,
    }
}

fn enhanced_video(packet_type: u8, rest: &[u8]) -> Video<'_> {
    let Some((four_cc, rest)) = rest.split_first_chunk::<4>() else { return Video::Nothing };
    let codec = match four_cc {
        b"avc1" => VideoCodec::Avc,
        b"hvc1" => VideoCodec::Hevc,
        _ => return Video::Foreign,
    };
    match (packet_type, rest) {
        (SEQUENCE_START, config) => Video::Config(codec, config),
        (CODED_FRAMES, &[c2, c1, c0, ref data @ ..]) => {
            Video::Frame(codec, signed([c2, c1, c0]), data)
        }
        (CODED_FRAMES_X, data) => Video::Frame(codec, 0, data),
        _ => Video::Nothing,
    }
}

pub(super) fn audio(body: &[u8]) -> Audio<'_> {
    match *body {
        [first, ref rest @ ..] => match (first >> 4, rest) {
            (10, &[0, ref config @ ..]) => Audio::AacConfig(config),
            (10, &[1, ref data @ ..]) => Audio::Aac(data),
            (10, _) => Audio::Nothing,
            (2 | 14, data) => Audio::Mp3(data),
            (9, &[b'm', b'p', b'4', b'a', ref data @ ..]) => match first & 0x0F {
                SEQUENCE_START => Audio::AacConfig(data),
                CODED_FRAMES => Audio::Aac(data),
                _ => Audio::Nothing,
            },
            (9, &[b'.', b'm', b'p', b'3', ref data @ ..]) if first & 0x0F == CODED_FRAMES => {
                Audio::Mp3(data)
            }
            _ => Audio::Foreign,
        },
        [] => Audio::Nothing,
    }
}

/// SI24.
fn signed([high, middle, low]: [u8; 3]) -> i32 {
    i32::from_be_bytes([high, middle, low, 0]) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_and_enhanced_bodies_say_the_same() {
        use VideoCodec::{Avc, Hevc};
        assert_eq!(video(b"\x17\x00\0\0\0cfg"), Video::Config(Avc, b"cfg"));
        assert_eq!(video(b"\x27\x01\xFF\xFF\xFEnal"), Video::Frame(Avc, -2, b"nal"));
        assert_eq!(video(b"\x1C\x01\0\0\x50nal"), Video::Frame(Hevc, 80, b"nal"));
        assert_eq!(video(b"\x90hvc1cfg"), Video::Config(Hevc, b"cfg"));
        assert_eq!(video(b"\x91hvc1\0\0\x28nal"), Video::Frame(Hevc, 40, b"nal"));
        assert_eq!(video(b"\xA3avc1nal"), Video::Frame(Avc, 0, b"nal"));
        assert_eq!(audio(b"\xAF\x00\x12\x10"), Audio::AacConfig(b"\x12\x10"));
        assert_eq!(audio(b"\x91mp4a\x21"), Audio::Aac(b"\x21"));
        assert_eq!(audio(b"\x2F\xFF"), Audio::Mp3(b"\xFF"));
    }

    #[test]
    fn what_a_transport_stream_cannot_carry_is_foreign_and_the_rest_is_nothing() {
        assert_eq!(video(b"\x90av01x"), Video::Foreign);
        assert_eq!(video(b"\x12x"), Video::Foreign, "Sorenson H.263");
        assert_eq!(audio(b"\x90Opus"), Audio::Foreign);
        assert_eq!(audio(b"\xB2x"), Audio::Foreign, "Speex");
        for body in [&b""[..], b"\x17", b"\x17\x02\0\0\0", b"\x17\x01\0", b"\x91hvc1\0", b"\x90hv"]
        {
            assert_eq!(video(body), Video::Nothing, "{body:?}");
        }
        assert_eq!(audio(b"\xAF"), Audio::Nothing);
        assert_eq!(audio(b""), Audio::Nothing);
    }
}
