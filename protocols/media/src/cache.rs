//! What a publication keeps so that a viewer sees a picture at once: metadata, the codec
//! configurations and the group of pictures since the last key frame.

use bytes::Bytes;

use crate::data::DataMessage;
use crate::frame::{HeaderKey, MediaFrame, MediaKind};

/// Bounds of one publication's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Payload bytes of the group of pictures. A group that grows past it is forgotten: new
    /// viewers wait for the next key frame.
    pub bytes: usize,
    /// Length of the group in milliseconds of stream time; same policy.
    pub age_ms: u32,
}

impl Default for CacheLimits {
    /// 16 MiB and 30 s: x264's default of 250 frames between key frames is 10 s at 25 frames/s;
    /// 30 s of 4 Mbit/s are 15 MB.
    fn default() -> Self {
        Self { bytes: 16 << 20, age_ms: 30_000 }
    }
}

/// Codec configurations one publication may have: two tracks of each kind of an ordinary stream
/// and the tracks of a multitrack one. Further ones replace the oldest.
const MAX_HEADERS: usize = 32;

/// Frames of one group that cost no bytes (empty bodies) must be bounded too: 30 s of 1,000
/// frames a second.
const MAX_GROUP_FRAMES: usize = 30_000;

/// Largest metadata message kept for late viewers; encoders send some hundred bytes.
const MAX_METADATA: usize = 256 << 10;

/// The cache of one publication.
#[derive(Debug, Default)]
pub struct StreamCache {
    limits: CacheLimits,
    metadata: Option<MediaFrame>,
    headers: Vec<(HeaderKey, MediaFrame)>,
    group: Vec<MediaFrame>,
    group_bytes: usize,
    has_video: bool,
    has_audio: bool,
    overflows: u64,
}

impl StreamCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes note of a frame and answers what viewers get: the frame itself, the metadata behind
    /// `@setDataFrame`, or an empty one for `@clearDataFrame`.
    pub fn push(&mut self, frame: MediaFrame) -> MediaFrame {
        match frame.kind {
            MediaKind::Data => self.push_data(frame),
            MediaKind::Audio | MediaKind::Video => {
                self.push_media(&frame);
                frame
            }
        }
    }

    /// What a viewer that joins now is sent first, in this order: metadata, codec
    /// configurations, the group of pictures. The first two carry the group's first time.
    pub fn snapshot(&self) -> Vec<MediaFrame> {
        let mut frames = self.leading(self.group.first().map(|frame| frame.timestamp_ms));
        frames.extend(self.group.iter().cloned());
        frames
    }

    /// Metadata and codec configurations alone, with the given time or their own: what viewers
    /// need who missed frames.
    pub fn leading(&self, timestamp_ms: Option<u32>) -> Vec<MediaFrame> {
        let leading = self.metadata.iter().chain(self.headers.iter().map(|(_, frame)| frame));
        leading
            .map(|frame| MediaFrame {
                timestamp_ms: timestamp_ms.unwrap_or(frame.timestamp_ms),
                ..frame.clone()
            })
            .collect()
    }

    /// The metadata message as viewers get it.
    pub fn metadata(&self) -> Option<&Bytes> {
        self.metadata.as_ref().map(|frame| &frame.payload)
    }

    /// Whether any video came: viewers then start at a key frame.
    pub fn has_video(&self) -> bool {
        self.has_video
    }

    /// Whether any audio came.
    pub fn has_audio(&self) -> bool {
        self.has_audio
    }

    /// Payload bytes of the cached group of pictures.
    pub fn group_bytes(&self) -> usize {
        self.group_bytes
    }

    /// How often a group of pictures outgrew the limits and was forgotten.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }

    fn push_data(&mut self, frame: MediaFrame) -> MediaFrame {
        match DataMessage::read(&frame.payload) {
            DataMessage::SetDataFrame(payload) => {
                let frame = MediaFrame { payload, ..frame };
                self.keep_metadata(&frame);
                frame
            }
            DataMessage::MetaData => {
                self.keep_metadata(&frame);
                frame
            }
            DataMessage::ClearDataFrame(payload) => {
                self.metadata = None;
                MediaFrame { payload, ..frame }
            }
            DataMessage::Other => frame,
        }
    }

    fn keep_metadata(&mut self, frame: &MediaFrame) {
        self.metadata = (frame.payload.len() <= MAX_METADATA).then(|| frame.clone());
    }

    fn push_media(&mut self, frame: &MediaFrame) {
        match frame.kind {
            MediaKind::Video => self.has_video = true,
            MediaKind::Audio => self.has_audio = true,
            MediaKind::Data => {}
        }
        if frame.is_header {
            self.push_header(frame);
            return;
        }
        if frame.is_keyframe {
            self.forget_group();
        } else if self.group.is_empty() {
            return; // nothing decodes before a key frame
        }
        let age = self.group.first().map_or(0, |first| {
            frame.timestamp_ms.wrapping_sub(first.timestamp_ms).cast_signed().max(0).unsigned_abs()
        });
        if self.group_bytes + frame.payload.len() > self.limits.bytes
            || age > self.limits.age_ms
            || self.group.len() >= MAX_GROUP_FRAMES
        {
            self.forget_group();
            self.overflows += 1;
            return;
        }
        self.group_bytes += frame.payload.len();
        self.group.push(frame.clone());
    }

    fn push_header(&mut self, frame: &MediaFrame) {
        let key = frame.header_key();
        match self.headers.iter_mut().find(|(other, _)| *other == key) {
            Some((_, known)) if known.payload == frame.payload => {}
            Some((_, known)) => {
                *known = frame.clone();
                // The frames in the group need the configuration that was just replaced.
                self.forget_group();
            }
            None => {
                if self.headers.len() == MAX_HEADERS {
                    self.headers.remove(0);
                }
                self.headers.push((key, frame.clone()));
            }
        }
    }

    fn forget_group(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: MediaKind, time: u32, body: &'static [u8]) -> MediaFrame {
        MediaFrame::new(kind, time, Bytes::from_static(body))
    }
    fn key(time: u32) -> MediaFrame {
        frame(MediaKind::Video, time, b"\x17\x01key")
    }
    fn inter(time: u32) -> MediaFrame {
        frame(MediaKind::Video, time, b"\x27\x01inter")
    }
    fn avc_header(body: &'static [u8]) -> MediaFrame {
        frame(MediaKind::Video, 0, body)
    }
    const META: &[u8] = b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05";

    #[test]
    fn a_late_viewer_gets_metadata_headers_and_the_last_group_in_this_order() {
        let mut cache = StreamCache::default();
        let aac = frame(MediaKind::Audio, 0, b"\xAF\x00\x12");
        let audio = frame(MediaKind::Audio, 90, b"\xAF\x01a");
        let meta = cache.push(frame(MediaKind::Data, 0, META));
        assert_eq!(&meta.payload[..13], b"\x02\x00\x0aonMetaData");
        for f in [avc_header(b"\x17\x00A"), aac.clone(), key(0), inter(40), key(80)] {
            cache.push(f);
        }
        cache.push(audio.clone());
        cache.push(inter(120));
        let times: Vec<_> = cache.snapshot().iter().map(|f| f.timestamp_ms).collect();
        assert_eq!(times, [80, 80, 80, 80, 90, 120]);
        let frames = cache.snapshot();
        assert_eq!(frames[0].payload, meta.payload);
        assert!(frames[1].is_header && frames[2].is_header);
        assert_eq!(frames[3..], [key(80), audio, inter(120)]);
    }

    #[test]
    fn a_group_that_outgrows_its_bytes_or_age_is_forgotten_until_the_next_keyframe() {
        let mut cache = StreamCache::new(CacheLimits { bytes: 20, age_ms: 1_000 });
        cache.push(key(0));
        cache.push(inter(40));
        assert_eq!(cache.snapshot().len(), 2);
        cache.push(inter(80));
        cache.push(inter(120));
        assert_eq!((cache.snapshot().len(), cache.group_bytes(), cache.overflows()), (0, 0, 1));
        cache.push(key(160));
        cache.push(inter(2_000));
        assert_eq!((cache.snapshot().len(), cache.overflows()), (0, 2));
        cache.push(key(2_040));
        assert_eq!(cache.snapshot(), [key(2_040)]);
    }

    #[test]
    fn a_changed_header_makes_the_old_group_useless_and_a_repeated_one_does_not() {
        let mut cache = StreamCache::default();
        cache.push(avc_header(b"\x17\x00A"));
        cache.push(key(0));
        cache.push(avc_header(b"\x17\x00A"));
        assert_eq!(cache.snapshot().len(), 2);
        cache.push(avc_header(b"\x17\x00B"));
        assert_eq!(cache.snapshot(), [avc_header(b"\x17\x00B")]);
    }

    #[test]
    fn pub_16_clear_data_frame_forgets_the_metadata_and_shows_an_empty_one() {
        let mut cache = StreamCache::default();
        cache.push(frame(MediaKind::Data, 0, META));
        assert!(cache.metadata().is_some());
        let clear = frame(MediaKind::Data, 7, b"\x02\x00\x0f@clearDataFrame");
        let shown = frame(MediaKind::Data, 7, b"\x02\x00\x0aonMetaData\x03\x00\x00\x09");
        assert_eq!(cache.push(clear), shown);
        assert!(cache.metadata().is_none() && cache.snapshot().is_empty());
    }

    #[test]
    fn other_data_passes_and_is_not_repeated_to_late_viewers() {
        let mut cache = StreamCache::default();
        let data = frame(MediaKind::Data, 5, b"\x02\x00\x01f\x05");
        assert_eq!(cache.push(data.clone()), data);
        assert!(cache.snapshot().is_empty());
    }

    #[test]
    fn headers_of_many_tracks_are_bounded() {
        let mut cache = StreamCache::default();
        for track in 0..=255u8 {
            let body = [b"\x96\x00avc1".as_slice(), &[track]].concat();
            cache.push(MediaFrame::new(MediaKind::Video, 0, body.into()));
        }
        assert_eq!(cache.snapshot().len(), MAX_HEADERS);
    }
}
