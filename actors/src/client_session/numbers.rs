//! What a viewer counts, without atomics, and shows to scripts once a second.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind, raw_data};
use ramona_script::MediaQos;
use tracing::warn;

use crate::metrics::RateMeter;
use crate::services::epoch_ms;
use crate::text::shown;

/// One log line of dropped frames at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Numbers of one subscription.
pub(crate) struct ViewerNumbers {
    name: Bytes,
    qos: Arc<MediaQos>,
    bytes: [u64; 3],
    meters: [RateMeter; 3],
    last_ms: u32,
    dropped: u64,
    last_log: Option<Instant>,
    /// Bytes that are no message were left out, and it was said.
    said_raw: bool,
}

impl ViewerNumbers {
    pub(crate) fn new(name: Bytes, qos: Arc<MediaQos>) -> Self {
        Self {
            name,
            qos,
            bytes: [0; 3],
            meters: Default::default(),
            last_ms: 0,
            dropped: 0,
            last_log: None,
            said_raw: false,
        }
    }

    /// Whether a frame is nothing for players of Flash: bytes that a script pushed and that are no
    /// message (PUB-22).
    pub(crate) fn passes_over(&mut self, frame: &MediaFrame) -> bool {
        if frame.kind != MediaKind::Data || raw_data(&frame.payload).is_none() {
            return false;
        }
        if !self.said_raw {
            self.said_raw = true;
            warn!(
                name = %self.name.escape_ascii(),
                "bytes that are no message of AMF or JSON are not sent to a player of Flash"
            );
        }
        true
    }

    /// A frame was given to the transport with this time.
    pub(crate) fn count(&mut self, frame: &MediaFrame, time: u32) {
        self.bytes[frame.kind as usize] += frame.payload.len() as u64;
        self.last_ms = time;
    }

    /// Frames were lost because the viewer is too slow; `queued` bytes wait for it.
    pub(crate) fn dropped(&mut self, frames: u64, queued: usize) {
        self.dropped += frames;
        self.qos.video.dropped_frames.store(self.dropped, Relaxed);
        if self.last_log.is_none_or(|last| last.elapsed() > LOG_INTERVAL) {
            self.last_log = Some(Instant::now());
            warn!(
                name = %shown(&self.name),
                dropped = self.dropped,
                queued,
                "viewer too slow, frames dropped to the next key frame"
            );
        }
    }

    /// Shows the last second to scripts.
    pub(crate) fn measure(&mut self) {
        let now = epoch_ms();
        let shown = [&self.qos.audio, &self.qos.video, &self.qos.data];
        for ((bytes, meter), qos) in self.bytes.iter_mut().zip(&mut self.meters).zip(shown) {
            if *bytes > 0 {
                qos.last_sending_ms.store(now, Relaxed);
            }
            meter.add(now, std::mem::take(bytes));
            qos.byte_rate.store(meter.per_second(now), Relaxed);
        }
        self.qos.last_time_ms.store(self.last_ms, Relaxed);
    }
}
