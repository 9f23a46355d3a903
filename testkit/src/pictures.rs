//! Made-up streams: every frame has bytes of its own, so that a lost, doubled or swapped one
//! shows.

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind};

/// AVC and AAC codec headers.
pub fn headers() -> [MediaFrame; 2] {
    [
        MediaFrame::new(MediaKind::Video, 0, Bytes::from_static(b"\x17\0\0\0\0avcC")),
        MediaFrame::new(MediaKind::Audio, 0, Bytes::from_static(b"\xAF\0\x12\x10")),
    ]
}

/// `onMetaData` as encoders send it, with `name` as its only member.
pub fn metadata(name: &str) -> MediaFrame {
    let mut body =
        b"\x02\0\x0D@setDataFrame\x02\0\x0AonMetaData\x08\0\0\0\x01\0\x04name\x02".to_vec();
    body.extend((name.len() as u16).to_be_bytes());
    body.extend(name.as_bytes());
    body.extend(b"\0\0\x09");
    MediaFrame::new(MediaKind::Data, 0, body.into())
}

/// Video frame number `n` of `bytes` bytes, at 40 ms each.
pub fn video(n: u32, is_key: bool, bytes: usize) -> MediaFrame {
    let mut body = vec![if is_key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
    body.extend(n.to_be_bytes());
    // Not all the same byte: a cut at the wrong place shows.
    body.extend(
        (body.len()..bytes).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]),
    );
    MediaFrame::new(MediaKind::Video, n * 40, body.into())
}

/// Audio frame number `n`, at 40 ms each.
pub fn audio(n: u32) -> MediaFrame {
    let mut body = vec![0xAF, 1];
    body.extend(n.to_be_bytes());
    MediaFrame::new(MediaKind::Audio, n * 40, body.into())
}

/// Number of a frame made by [`video`] or [`audio`].
///
/// # Panics
/// It is of another kind.
pub fn number(frame: &MediaFrame) -> u32 {
    let at = match frame.kind {
        MediaKind::Video => 5,
        MediaKind::Audio => 2,
        MediaKind::Data => panic!("data has no number"),
    };
    let bytes = frame.payload[at..at + 4].try_into().expect("four bytes");
    u32::from_be_bytes(bytes)
}

/// Headers, then `count` pictures with sound, a key frame every `every` pictures.
pub fn stream(count: u32, every: u32, bytes: usize) -> Vec<MediaFrame> {
    let mut frames = headers().to_vec();
    frames.extend(range(0..count, every, bytes));
    frames
}

/// Pictures with sound of these numbers.
pub fn range(numbers: std::ops::Range<u32>, every: u32, bytes: usize) -> Vec<MediaFrame> {
    numbers.flat_map(|n| [video(n, n % every == 0, bytes), audio(n)]).collect()
}
