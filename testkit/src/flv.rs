//! FLV files that ffmpeg wrote.

use std::path::Path;

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind};

/// All audio, video and data tags of a file in order. A file that is still written ends with its
/// last whole tag.
///
/// # Panics
/// The file cannot be read or is no FLV.
pub fn read(path: &Path) -> Vec<MediaFrame> {
    let file = Bytes::from(std::fs::read(path).expect("the FLV file"));
    assert_eq!(&file[..3], b"FLV", "the file's first bytes");
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n: u32, byte| n << 8 | u32::from(*byte));
    let mut at = number(&file[5..9]) as usize + 4;
    let mut frames = Vec::new();
    while let Some(head) = file.get(at..at + 11) {
        let length = number(&head[1..4]) as usize;
        if file.len() < at + 11 + length {
            break;
        }
        let kind = match head[0] & 0x1F {
            8 => MediaKind::Audio,
            9 => MediaKind::Video,
            18 => MediaKind::Data,
            other => panic!("tag type {other}"),
        };
        let time = u32::from(head[7]) << 24 | number(&head[4..7]);
        frames.push(MediaFrame::new(kind, time, file.slice(at + 11..at + 11 + length)));
        at += 11 + length + 4;
    }
    frames
}

/// Audio and video only: the file's metadata is not the wire's (its duration is filled in later).
pub fn audio_and_video(frames: &[MediaFrame]) -> Vec<MediaFrame> {
    frames.iter().filter(|frame| frame.kind != MediaKind::Data).cloned().collect()
}

/// Frames that are no codec headers.
pub fn pictures_and_sound(frames: &[MediaFrame]) -> Vec<MediaFrame> {
    let is = |frame: &&MediaFrame| frame.kind != MediaKind::Data && !frame.is_header;
    frames.iter().filter(is).cloned().collect()
}
