//! FLV as a file or an endless HTTP body: FLV file format 10.1 annex E.2 and E.3.

use bytes::{BufMut, Bytes, BytesMut};

use crate::data::leading_name;
use crate::frame::{MediaFrame, MediaKind};

/// Longest tag body, 24 bits of length (E.4.1).
pub const MAX_FLV_BODY: usize = (1 << 24) - 1;

/// Bytes of a tag before its body (E.4.1).
pub const FLV_HEAD: usize = 11;

/// Bytes of a tag around its body: its head, and its whole length behind it.
pub const FLV_TAG_OVERHEAD: usize = FLV_HEAD + 4;

/// File header and the length of the tag before the first, which is none. Players wait for every
/// kind of media that is announced here.
pub fn flv_header(has_audio: bool, has_video: bool) -> [u8; 13] {
    let flags = u8::from(has_audio) << 2 | u8::from(has_video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// The 11 bytes before a tag's body; `None` for a body longer than [`MAX_FLV_BODY`].
pub fn flv_tag_header(kind: MediaKind, time_ms: u32, length: usize) -> Option<[u8; FLV_HEAD]> {
    let [0, l2, l1, l0] = u32::try_from(length).ok()?.to_be_bytes() else { return None };
    let [t3, t2, t1, t0] = time_ms.to_be_bytes();
    let kind = match kind {
        MediaKind::Audio => 8,
        MediaKind::Video => 9,
        MediaKind::Data => 18,
    };
    Some([kind, l2, l1, l0, t2, t1, t0, t3, 0, 0, 0])
}

/// A whole tag with the length behind it, in one piece for all viewers; `None` for a body longer
/// than [`MAX_FLV_BODY`].
pub fn flv_tag(kind: MediaKind, time_ms: u32, body: &[u8]) -> Option<Bytes> {
    let header = flv_tag_header(kind, time_ms, body.len())?;
    let mut tag = BytesMut::with_capacity(body.len() + FLV_TAG_OVERHEAD);
    tag.put_slice(&header);
    tag.put_slice(body);
    tag.put_u32((header.len() + body.len()) as u32);
    Some(tag.freeze())
}

/// Which kinds of media some frames are or announce, audio and video, for [`flv_header`]. What an
/// encoder sends first is its metadata, which names the codecs; nothing known is both.
pub fn announced(frames: &[MediaFrame]) -> (bool, bool) {
    let (mut audio, mut video) = (false, false);
    for frame in frames {
        match frame.kind {
            MediaKind::Audio => audio = true,
            MediaKind::Video => video = true,
            MediaKind::Data => {
                if matches!(leading_name(&frame.payload), Some((b"onMetaData", _))) {
                    audio |= contains(&frame.payload, b"audiocodecid");
                    video |= contains(&frame.payload, b"videocodecid");
                }
            }
        }
    }
    if audio || video { (audio, video) } else { (true, true) }
}

/// The tag of each frame, in one piece for all viewers, with its publisher's time; a viewer has a
/// head of its own instead, [`flv_head`]. Empty for a body too long for FLV.
pub fn flv_tags(frames: &[MediaFrame]) -> Vec<Bytes> {
    let tag = |frame: &MediaFrame| {
        flv_tag(frame.kind, frame.timestamp_ms, &frame.payload).unwrap_or_default()
    };
    frames.iter().map(tag).collect()
}

/// The head of a tag with another time: the [`FLV_HEAD`] bytes before the body. `None` for what is
/// shorter.
pub fn flv_head(tag: &[u8], time_ms: u32) -> Option<[u8; FLV_HEAD]> {
    let mut head = *tag.first_chunk::<FLV_HEAD>()?;
    let [t3, t2, t1, t0] = time_ms.to_be_bytes();
    head[4..8].copy_from_slice(&[t2, t1, t0, t3]);
    Some(head)
}

/// What a new viewer gets of the past, behind the file header, each frame with the time that it has
/// for that viewer: slices that share the frames' bodies with everybody else. Bodies that FLV cannot carry are
/// left out.
pub fn flv_past(frames: &[MediaFrame], times: &[u32]) -> Vec<Bytes> {
    let mut between = BytesMut::with_capacity(frames.len() * FLV_TAG_OVERHEAD);
    let mut pieces = Vec::with_capacity(2 * frames.len() + 1);
    for (frame, time) in frames.iter().zip(times) {
        let length = frame.payload.len();
        if let Some(header) = flv_tag_header(frame.kind, *time, length) {
            between.put_slice(&header);
            pieces.push(between.split().freeze());
            pieces.push(frame.payload.clone());
            between.put_u32((header.len() + length) as u32);
        }
    }
    pieces.push(between.freeze());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn header_and_tag_are_those_of_the_specification() {
        assert_eq!(flv_header(true, true), *b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        assert_eq!(flv_header(false, true)[4], 1);
        assert_eq!(flv_header(true, false)[4], 4);
        let tag = flv_tag(MediaKind::Video, 0x0102_0304, b"\x17\x01").unwrap();
        // Type, length, time with its highest byte last, stream 0, body, length of all before.
        assert_eq!(tag, &b"\x09\0\0\x02\x02\x03\x04\x01\0\0\0\x17\x01\0\0\0\x0d"[..]);
    }

    #[test]
    fn a_body_of_more_than_24_bits_of_length_is_no_tag() {
        assert!(flv_tag_header(MediaKind::Audio, 0, MAX_FLV_BODY).is_some());
        assert!(flv_tag_header(MediaKind::Audio, 0, MAX_FLV_BODY + 1).is_none());
    }

    #[test]
    fn the_header_announces_what_is_there_or_what_the_metadata_names() {
        let frame = |kind, body: &'static [u8]| MediaFrame::new(kind, 0, Bytes::from_static(body));
        let audio = frame(MediaKind::Audio, b"\xAF\x00");
        let both = b"\x02\x00\x0aonMetaData\x08\0\0\0\0\x00\x0caudiocodecid\x00\x0cvideocodecid";
        assert_eq!(announced(&[]), (true, true));
        assert_eq!(announced(std::slice::from_ref(&audio)), (true, false));
        assert_eq!(announced(&[frame(MediaKind::Data, both), audio]), (true, true));
        let other = frame(MediaKind::Data, b"\x02\x00\x06onTextaudiocodecid");
        assert_eq!(announced(&[other]), (true, true), "other data names nothing");
    }

    #[test]
    fn pub_19_a_viewers_own_head_changes_nothing_but_the_time() {
        let frame = |time, body: &'static [u8]| {
            MediaFrame::new(MediaKind::Video, time, Bytes::from_static(body))
        };
        let frames = [frame(900, b"\x17\x01key"), frame(u32::MAX, b"\x27\x01")];
        let tags = flv_tags(&frames);
        let mut own = Vec::new();
        for (tag, time) in tags.iter().zip([0, 0x0102_0304]) {
            own.extend(flv_head(tag, time).unwrap());
            own.extend(&tag[FLV_HEAD..]);
        }
        let past = flv_past(&frames, &[0, 0x0102_0304]);
        assert_eq!(own, past.concat());
        assert_eq!(past[1].as_ptr(), frames[0].payload.as_ptr(), "not copied");
        assert_eq!(flv_head(&tags[1], u32::MAX).unwrap(), tags[1][..FLV_HEAD]);
        assert!(flv_past(&[], &[]).is_empty());
        assert_eq!(flv_head(b"short", 0), None);
    }

    proptest! {
        #[test]
        fn a_tag_says_twice_how_long_it_is(
            body in proptest::collection::vec(any::<u8>(), 0..500),
            time in any::<u32>(),
        ) {
            let tag = flv_tag(MediaKind::Audio, time, &body).unwrap();
            prop_assert_eq!(tag.len(), body.len() + FLV_TAG_OVERHEAD);
            prop_assert_eq!(u32::from_be_bytes([0, tag[1], tag[2], tag[3]]) as usize, body.len());
            prop_assert_eq!(u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]]), time);
            prop_assert_eq!(&tag[11..tag.len() - 4], &body[..]);
            let last: [u8; 4] = tag[tag.len() - 4..].try_into().unwrap();
            prop_assert_eq!(u32::from_be_bytes(last) as usize, tag.len() - 4);
        }
    }
}
