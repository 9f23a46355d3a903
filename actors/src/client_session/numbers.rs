//! What a viewer counts, without atomics, and shows to scripts once a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind, raw_data};
use ramona_script::{ClientStats, MediaQos};
use tracing::warn;

use crate::metrics::RateMeter;
use crate::services::epoch_ms;
use crate::text::shown;

/// One log line of dropped frames at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Numbers of one subscription. What every frame moves comes first.
#[repr(C)]
pub(crate) struct ViewerNumbers {
    bytes: [u64; 3],
    last_ms: u32,
    name: Bytes,
    qos: Arc<MediaQos>,
    meters: [RateMeter; 3],
    dropped: u64,
    /// Those of all viewers of the publication.
    all_dropped: Arc<AtomicU64>,
    /// Those of all subscriptions of the client.
    client: Option<Arc<ClientStats>>,
    last_log: Option<Instant>,
    /// Bytes that are no message were left out, and it was said.
    said_raw: bool,
    /// Bytes sent and lost on the path, up to now and within the window.
    path: (u64, u64),
    sent_meter: RateMeter,
    lost_meter: RateMeter,
}

impl ViewerNumbers {
    pub(crate) fn new(name: Bytes, qos: Arc<MediaQos>) -> Self {
        Self {
            bytes: [0; 3],
            last_ms: 0,
            name,
            qos,
            meters: Default::default(),
            dropped: 0,
            all_dropped: Arc::default(),
            client: None,
            last_log: None,
            said_raw: false,
            path: (0, 0),
            sent_meter: RateMeter::default(),
            lost_meter: RateMeter::default(),
        }
    }

    /// Frames lost from now on count here as well: for the publication, and for the client.
    pub(crate) fn count_drops(&mut self, all: Arc<AtomicU64>, client: Arc<ClientStats>) {
        self.all_dropped = all;
        self.client = Some(client);
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
        self.all_dropped.fetch_add(frames, Relaxed);
        if let Some(client) = &self.client {
            client.dropped_frames.fetch_add(frames, Relaxed);
        }
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

    /// What a carrier that knows its path says of it (QOS-02, QOS-03): smoothed round trip, bytes
    /// sent and lost since its begin. They are the session's: all kinds of media share the path.
    pub(crate) fn path(&mut self, round_trip: Option<Duration>, sent: u64, lost: u64) {
        let now = epoch_ms();
        let (sent_before, lost_before) = std::mem::replace(&mut self.path, (sent, lost));
        self.sent_meter.add(now, sent.saturating_sub(sent_before));
        self.lost_meter.add(now, lost.saturating_sub(lost_before));
        let (sent, lost) = (self.sent_meter.per_second(now), self.lost_meter.per_second(now));
        let lost_ppm = (lost.min(sent) * 1_000_000).checked_div(sent).unwrap_or(0) as u32;
        let latency_ms = round_trip.map_or(0, |time| time.as_millis() / 2) as u32;
        for qos in [&self.qos.audio, &self.qos.video, &self.qos.data] {
            qos.lost_ppm.store(lost_ppm, Relaxed);
            qos.latency_ms.store(latency_ms, Relaxed);
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
