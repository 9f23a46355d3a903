//! First bytes of FLV tag bodies: FLV file format 10.1 annex E.4.2 and E.4.3, Enhanced RTMP v2.

/// What the first bytes of a body say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) is_keyframe: bool,
    pub(crate) is_header: bool,
    /// Enhanced RTMP packet type, 0 in legacy bodies.
    pub(crate) packet_type: u8,
    /// Track of a one-track multitrack body, 0 otherwise.
    pub(crate) track: u8,
}

// Legacy codec ids whose second byte tells configuration (0) from frames (1).
const AUDIO_AAC: u8 = 10;
const VIDEO_AVC: u8 = 7;
/// Not in Adobe's table: what encoders used for HEVC before Enhanced RTMP.
const VIDEO_HEVC: u8 = 12;

// Enhanced RTMP.
const AUDIO_EX_HEADER: u8 = 9;
const VIDEO_EX_HEADER: u8 = 0x80;
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const CODED_FRAMES_X: u8 = 3;
const VIDEO_METADATA: u8 = 4;
const VIDEO_MPEG2TS_SEQUENCE_START: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;
const AUDIO_MULTICHANNEL_CONFIG: u8 = 4;
const AUDIO_MULTITRACK: u8 = 5;
const MOD_EX: u8 = 7;
const ONE_TRACK: u8 = 0;

const FRAME_KEY: u8 = 1;
/// A generated key frame, reserved for servers.
const FRAME_GENERATED_KEY: u8 = 4;

pub(crate) fn classify_audio(body: &[u8]) -> Class {
    let Some(&first) = body.first() else { return Class::default() };
    match first >> 4 {
        AUDIO_AAC => Class { is_header: body.get(1) == Some(&0), ..Class::default() },
        AUDIO_EX_HEADER => {
            let Some((packet_type, track)) =
                packet_type(first & 0x0F, &body[1..], AUDIO_MULTITRACK)
            else {
                return Class::default();
            };
            Class {
                is_keyframe: false,
                is_header: matches!(packet_type, SEQUENCE_START | AUDIO_MULTICHANNEL_CONFIG),
                packet_type,
                track,
            }
        }
        _ => Class::default(),
    }
}

pub(crate) fn classify_video(body: &[u8]) -> Class {
    let Some(&first) = body.first() else { return Class::default() };
    if first & VIDEO_EX_HEADER != 0 {
        let frame_type = (first >> 4) & 0x07;
        let Some((packet_type, track)) = packet_type(first & 0x0F, &body[1..], VIDEO_MULTITRACK)
        else {
            return Class::default();
        };
        return Class {
            is_keyframe: frame_type == FRAME_KEY
                && matches!(packet_type, CODED_FRAMES | CODED_FRAMES_X),
            is_header: matches!(
                packet_type,
                SEQUENCE_START | VIDEO_METADATA | VIDEO_MPEG2TS_SEQUENCE_START
            ),
            packet_type,
            track,
        };
    }
    let key = matches!(first >> 4, FRAME_KEY | FRAME_GENERATED_KEY);
    match first & 0x0F {
        VIDEO_AVC | VIDEO_HEVC => {
            let is_header = body.get(1) == Some(&0);
            Class { is_keyframe: key && body.get(1) == Some(&1), is_header, ..Class::default() }
        }
        _ => Class { is_keyframe: key, ..Class::default() },
    }
}

/// Follows ModEx and multitrack prefixes to the packet type and the track; `None` when the body
/// ends inside them. Each ModEx consumes bytes, so a body bounds the loop.
fn packet_type(mut packet_type: u8, mut rest: &[u8], multitrack: u8) -> Option<(u8, u8)> {
    while packet_type == MOD_EX {
        let (&short, after) = rest.split_first()?;
        let (size, after) = if short == 255 {
            let (long, after) = after.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*long)) + 1, after)
        } else {
            (usize::from(short) + 1, after)
        };
        let (&next, after) = after.get(size..)?.split_first()?;
        packet_type = next & 0x0F;
        rest = after;
    }
    if packet_type != multitrack {
        return Some((packet_type, 0));
    }
    let (&kind, rest) = rest.split_first()?;
    // One track: FourCC, then the track id. The other forms name their tracks inside.
    let track = if kind >> 4 == ONE_TRACK { *rest.get(4)? } else { 0 };
    Some((kind & 0x0F, track))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(hex: &[u8]) -> (bool, bool) {
        let class = classify_video(hex);
        (class.is_keyframe, class.is_header)
    }

    #[test]
    fn legacy_avc_tells_header_keyframe_and_inter_frame_apart() {
        assert_eq!(video(&[0x17, 0, 0, 0, 0]), (false, true));
        assert_eq!(video(&[0x17, 1, 0, 0, 0]), (true, false));
        assert_eq!(video(&[0x27, 1, 0, 0, 0]), (false, false));
        assert_eq!(video(&[0x17, 2, 0, 0, 0]), (false, false), "end of sequence");
    }

    #[test]
    fn hevc_with_codec_id_12_is_read_like_avc() {
        assert_eq!(video(&[0x1C, 0]), (false, true));
        assert_eq!(video(&[0x1C, 1]), (true, false));
        assert_eq!(video(&[0x2C, 1]), (false, false));
    }

    #[test]
    fn codecs_without_configuration_have_keyframes_only() {
        assert_eq!(video(&[0x12]), (true, false), "Sorenson H.263");
        assert_eq!(video(&[0x22]), (false, false));
        assert_eq!(video(&[]), (false, false));
    }

    #[test]
    fn enhanced_video_uses_packet_types() {
        assert_eq!(video(b"\x90hvc1"), (false, true), "sequence start");
        assert_eq!(video(b"\x91hvc1"), (true, false), "coded frames, key");
        assert_eq!(video(b"\x93av01"), (true, false), "coded frames x, key");
        assert_eq!(video(b"\xA1hvc1"), (false, false), "coded frames, inter");
        assert_eq!(video(b"\x94hvc1"), (false, true), "metadata");
    }

    #[test]
    fn enhanced_prefixes_are_followed_to_the_packet_type() {
        // ModEx: 3 bytes of data, then type nibble 0 and packet type 1.
        assert_eq!(video(b"\x97\x02abc\x01hvc1"), (true, false));
        // Multitrack, one track, sequence start, FourCC, track 2.
        let class = classify_video(b"\x96\x00avc1\x02");
        assert_eq!((class.is_header, class.track), (true, 2));
        // Cut inside the prefixes.
        assert_eq!(video(b"\x97\x02ab"), (false, false));
        assert_eq!(video(b"\x97\xFF\xFF"), (false, false));
        assert_eq!(video(b"\x96"), (false, false));
    }

    #[test]
    fn audio_headers_are_aac_and_enhanced_sequence_starts() {
        assert!(classify_audio(&[0xAF, 0, 0x12, 0x10]).is_header);
        assert!(!classify_audio(&[0xAF, 1, 0x21]).is_header);
        assert!(!classify_audio(&[0x2F, 0, 0]).is_header, "MP3 has none");
        assert!(classify_audio(b"\x90Opus").is_header);
        assert!(!classify_audio(b"\x91Opus").is_header);
        assert!(!classify_audio(&[]).is_header);
    }
}
