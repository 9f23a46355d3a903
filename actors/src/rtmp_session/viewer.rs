//! One subscription of an RTMP client, written to directly by its arbiter's worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{MediaFrame, QueueLimits, Queued, Verdict, ViewerGate};
use ramona_rtmp::{OUT_CHUNK_SIZE, StreamId, continuation_header, media_header};
use ramona_script::MediaQos;
use smallvec::SmallVec;
use tracing::warn;

use super::carrier::RtmpCarrier;
use crate::client_session::Carrier;
use crate::messages::client::ToSession;
use crate::metrics::{Protocol, RateMeter};
use crate::services::epoch_ms;
use crate::transport::{Inline, Piece};
use crate::worker::{Sent, Viewer};

/// One log line of dropped frames at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) struct RtmpViewer {
    carrier: Rc<RtmpCarrier>,
    session: Recipient<ToSession>,
    stream: StreamId,
    name: Bytes,
    pub(super) gate: RefCell<ViewerGate>,
    qos: Arc<MediaQos>,
    numbers: RefCell<Numbers>,
    closing: Cell<bool>,
}

/// Counted here without atomics, shown to scripts once a second.
#[derive(Default)]
struct Numbers {
    bytes: [u64; 3],
    meters: [RateMeter; 3],
    last_ms: u32,
    dropped: u64,
    last_log: Option<Instant>,
}

impl RtmpViewer {
    pub(super) fn new(
        carrier: Rc<RtmpCarrier>,
        session: Recipient<ToSession>,
        stream: StreamId,
        name: Bytes,
        limits: QueueLimits,
        qos: Arc<MediaQos>,
    ) -> Self {
        Self {
            carrier,
            session,
            stream,
            name,
            gate: RefCell::new(ViewerGate::new(limits)),
            qos,
            numbers: RefCell::default(),
            closing: Cell::new(false),
        }
    }

    /// Sends the frames that the gate lets pass, all in one write.
    fn send(&self, frames: &[MediaFrame], has_video: bool, burst: bool) -> Sent {
        let mut sent = Sent::default();
        if self.closing.get() {
            return sent;
        }
        let transport = &self.carrier.transport;
        let mut gate = self.gate.borrow_mut();
        let mut pieces = SmallVec::<[Piece<'_>; 16]>::new();
        let waiting = transport.queued_bytes();
        let waited_ms = if burst { 0 } else { transport.waited_ms() };
        for frame in frames {
            // The cached group passes whole: it is bounded by the cache.
            let queued =
                Queued { bytes: if burst { 0 } else { waiting + sent.bytes as usize }, waited_ms };
            match gate.offer(frame, queued, has_video) {
                Verdict::Send(time) => {
                    if self.push(frame, time, &mut pieces) {
                        sent.frames += 1;
                        sent.bytes += frame.payload.len() as u64;
                        self.numbers.borrow_mut().count(frame, time);
                    } else {
                        sent.dropped += 1;
                    }
                }
                Verdict::Skip => {}
                Verdict::Drop => sent.dropped += 1,
                Verdict::Close => {
                    self.closing.set(true);
                    sent.closed = 1;
                    let why = "does not read: its queue passed twice its bound".to_owned();
                    self.session.do_send(ToSession::Broken(why));
                    break;
                }
            }
        }
        transport.send(&pieces);
        if sent.dropped > 0 {
            self.note_drops(sent.dropped);
        }
        sent
    }

    /// Frames one message: a header of this viewer's own around the payload that all share.
    fn push<'a>(
        &self,
        frame: &'a MediaFrame,
        time: u32,
        pieces: &mut SmallVec<[Piece<'a>; 16]>,
    ) -> bool {
        let length = frame.payload.len();
        let Some(header) = media_header(frame.kind, self.stream, time, length) else {
            return false; // longer than RTMP can say
        };
        pieces.push(Piece::Header(Inline::new(&header)));
        let mut start = 0;
        while start < length {
            if start > 0 {
                pieces.push(Piece::Header(Inline::new(&continuation_header(frame.kind, time))));
            }
            let end = (start + OUT_CHUNK_SIZE).min(length);
            pieces.push(Piece::Part { bytes: &frame.payload, start, end });
            start = end;
        }
        true
    }

    fn note_drops(&self, dropped: u64) {
        let mut numbers = self.numbers.borrow_mut();
        numbers.dropped += dropped;
        self.qos.video.dropped_frames.store(numbers.dropped, Relaxed);
        if numbers.last_log.is_none_or(|last| last.elapsed() > LOG_INTERVAL) {
            numbers.last_log = Some(Instant::now());
            warn!(
                name = %self.name.escape_ascii(),
                dropped = numbers.dropped,
                queued = self.carrier.transport.queued_bytes(),
                "viewer too slow, frames dropped to the next key frame"
            );
        }
    }
}

impl Numbers {
    fn count(&mut self, frame: &MediaFrame, time: u32) {
        self.bytes[frame.kind as usize] += frame.payload.len() as u64;
        self.last_ms = time;
    }
}

impl Viewer for RtmpViewer {
    fn protocol(&self) -> Protocol {
        Protocol::Rtmp
    }

    fn welcome(&self, running: bool, frames: &[MediaFrame], has_video: bool) -> Sent {
        if running {
            self.run_changed(true);
        }
        self.send(frames, has_video, true)
    }

    fn is_idle(&self) -> bool {
        // Looks at whatever `send` needs, see `worker::AHEAD`.
        let is_free = self.gate.try_borrow().is_ok() & self.numbers.try_borrow().is_ok();
        is_free & !self.closing.get() & self.carrier.transport.is_idle()
    }

    fn deliver(&self, frames: &[MediaFrame], has_video: bool, after_gap: bool) -> Sent {
        if after_gap {
            self.gate.borrow_mut().after_gap();
        }
        self.send(frames, has_video, false)
    }

    fn run_changed(&self, running: bool) {
        if running {
            self.carrier.speak(|connection| connection.play_published(self.stream));
        } else {
            self.carrier.speak(|connection| connection.play_unpublished(self.stream));
            self.gate.borrow_mut().next_run();
        }
    }

    fn measure(&self) {
        let mut numbers = self.numbers.borrow_mut();
        let now = epoch_ms();
        let Numbers { bytes, meters, last_ms, .. } = &mut *numbers;
        let shown = [&self.qos.audio, &self.qos.video, &self.qos.data];
        for ((bytes, meter), qos) in bytes.iter_mut().zip(meters).zip(shown) {
            if *bytes > 0 {
                qos.last_sending_ms.store(now, Relaxed);
            }
            meter.add(now, std::mem::take(bytes));
            qos.byte_rate.store(meter.per_second(now), Relaxed);
        }
        self.qos.last_time_ms.store(*last_ms, Relaxed);
    }
}
