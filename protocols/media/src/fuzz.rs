//! Body of the fuzz target: a plain function that asserts what must hold for any bytes. `tests/fuzz.rs`
//! runs it over the seed corpus, its truncations and its flipped bits.

use bytes::Bytes;

use crate::frame::{MediaFrame, MediaKind};
use crate::{FLV_HEAD, FLV_TAG_OVERHEAD, SharedTs, flv_head, flv_past, flv_tags};

/// Frames of any kind, time and body give whole tags and whole packets, and not many more bytes
/// than they have themselves.
pub fn containers(data: &[u8]) {
    let mut ts = SharedTs::default();
    let mut rest = data;
    let mut frames = Vec::new();
    while let Some((&[kind, time, length], after)) = rest.split_first_chunk::<3>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let kind = match kind % 3 {
            0 => MediaKind::Audio,
            1 => MediaKind::Video,
            _ => MediaKind::Data,
        };
        let time = u32::from(time) << (u32::from(length) % 25);
        frames.push(MediaFrame::new(kind, time, Bytes::copy_from_slice(body)));
    }
    for batch in frames.chunks(3) {
        let tags = flv_tags(batch);
        for (tag, frame) in tags.iter().zip(batch) {
            assert_eq!(tag.len(), frame.payload.len() + FLV_TAG_OVERHEAD);
            let same = flv_head(tag, frame.timestamp_ms);
            assert!(same.is_some_and(|head| tag[..FLV_HEAD] == head));
        }
        for (packets, frame) in ts.write(batch).iter().zip(batch) {
            check(packets, frame.payload.len(), 1, data.len());
        }
        if batch.len() == 2 {
            ts.next_run();
        }
    }
    let body: usize = frames.iter().map(|frame| frame.payload.len()).sum();
    let joined: usize = flv_past(&frames, &vec![0; frames.len()]).iter().map(Bytes::len).sum();
    assert_eq!(joined, body + frames.len() * FLV_TAG_OVERHEAD);
    check(&ts.join(&frames), body, frames.len(), data.len());
}

/// NAL units of one byte behind lengths of one byte take five bytes each in a byte stream; a frame
/// adds its tables, its headers and its parameter sets.
fn check(packets: &[u8], body: usize, frames: usize, parameter_sets: usize) {
    assert_eq!(packets.len() % 188, 0);
    assert!(packets.chunks(188).all(|packet| packet[0] == 0x47));
    assert!(
        packets.len() <= 4 * body + frames * (4 * 188 + 4 * parameter_sets),
        "{}",
        packets.len()
    );
}
