//! The stream that is published: 1 Mbit/s of 25 video and 43 audio messages a second.

use std::time::Duration;

/// Messages before the measurement begins: two seconds.
pub(crate) const WARM_UP: u32 = 2 * 68;

/// Bytes of a key frame, one in [`KEY_EVERY`] video messages.
const KEY_FRAME: usize = 20_000;
/// Two seconds of 25 frames.
const KEY_EVERY: u64 = 50;
/// Bytes of the other frames: with the audio 250,000 bytes in two seconds.
const INTER_FRAME: usize = 4_044;
/// Bytes of an AAC frame of 64 kbit/s at 43 frames a second.
const AUDIO_FRAME: usize = 370;

/// Message types of RTMP.
pub(crate) const AUDIO: u8 = 8;
pub(crate) const VIDEO: u8 = 9;

/// What a message says of itself, behind the bytes in which FLV says what it is.
const STAMP_AT: usize = 8;
const MAGIC: [u8; 4] = *b"rbch";
/// Bytes of a payload that hold its stamp.
pub(crate) const STAMPED: usize = STAMP_AT + 16;

/// One message.
pub(crate) struct Message {
    /// Its type.
    pub(crate) kind: u8,
    /// When it is due, from the first one on.
    pub(crate) due: Duration,
    /// Body of an FLV tag.
    pub(crate) payload: Vec<u8>,
}

/// When a message was sent, in nanoseconds of the load's clock, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) nanos: u64,
    pub(crate) number: u32,
}

impl Stamp {
    /// Puts it into a payload.
    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[STAMP_AT..STAMP_AT + 4].copy_from_slice(&MAGIC);
        payload[STAMP_AT + 4..STAMP_AT + 12].copy_from_slice(&self.nanos.to_be_bytes());
        payload[STAMP_AT + 12..STAMPED].copy_from_slice(&self.number.to_be_bytes());
    }

    /// Finds it at the begin of a payload; codec headers have none.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let stamp = payload.get(STAMP_AT..STAMPED)?;
        let nanos = u64::from_be_bytes(stamp[4..12].try_into().ok()?);
        let number = u32::from_be_bytes(stamp[12..].try_into().ok()?);
        (stamp[..4] == MAGIC).then_some(Self { nanos, number })
    }
}

/// The codec headers of H.264 and AAC, which come before all else.
pub(crate) fn headers() -> [Message; 2] {
    let avc = [
        0x17, 0, 0, 0, 0, 1, 0x42, 0xC0, 0x1E, 0xFF, 0xE1, 0, 9, 0x67, 0x42, 0xC0, 0x1E, 0xD9,
        0x00, 0xA0, 0x47, 0x20, 1, 0, 4, 0x68, 0xCB, 0x83, 0xCB,
    ];
    let due = Duration::ZERO;
    [
        Message { kind: VIDEO, due, payload: avc.to_vec() },
        Message { kind: AUDIO, due, payload: vec![0xAF, 0, 0x12, 0x10] },
    ]
}

/// Messages of video and audio in the order of their times, without an end.
pub(crate) fn messages() -> impl Iterator<Item = Message> {
    let (mut videos, mut audios) = (0, 0);
    std::iter::from_fn(move || {
        let video_due = Duration::from_micros(videos * 1_000_000 / 25);
        // Half a frame later, so that no two messages are due together.
        let audio_due = Duration::from_micros((2 * audios + 1) * 1_000_000 / 86);
        if video_due <= audio_due {
            let is_key = videos % KEY_EVERY == 0;
            let first = if is_key { 0x17 } else { 0x27 };
            let length = if is_key { KEY_FRAME } else { INTER_FRAME };
            videos += 1;
            Some(Message {
                kind: VIDEO,
                due: video_due,
                payload: body(&[first, 1, 0, 0, 0], length),
            })
        } else {
            audios += 1;
            Some(Message { kind: AUDIO, due: audio_due, payload: body(&[0xAF, 1], AUDIO_FRAME) })
        }
    })
}

fn body(begin: &[u8], length: usize) -> Vec<u8> {
    let mut payload = vec![0x55; length];
    payload[..begin.len()].copy_from_slice(begin);
    payload
}
