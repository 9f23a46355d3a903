//! One subscription of an RTMFP client, written to directly by its arbiter's worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind, QueueLimits, Queued, Verdict, ViewerGate};
use ramona_rtmp::StreamId;
use ramona_script::MediaQos;

use super::carrier::RtmfpCarrier;
use crate::client_session::{Carrier, ViewerNumbers};
use crate::messages::client::ToSession;
use crate::metrics::Protocol;
use crate::prefetch::prefetch;
use crate::worker::{Sent, Viewer};

pub(crate) struct RtmfpViewer {
    carrier: Rc<RtmfpCarrier>,
    session: Recipient<ToSession>,
    stream: StreamId,
    pub(super) gate: RefCell<ViewerGate>,
    pub(super) numbers: RefCell<ViewerNumbers>,
    /// LIS-07: frames are not repeated when they get lost.
    is_unbuffered: bool,
    closing: Cell<bool>,
}

impl RtmfpViewer {
    pub(super) fn new(
        carrier: Rc<RtmfpCarrier>,
        session: Recipient<ToSession>,
        stream: StreamId,
        name: Bytes,
        limits: QueueLimits,
        qos: Arc<MediaQos>,
        is_unbuffered: bool,
    ) -> Self {
        Self {
            carrier,
            session,
            stream,
            gate: RefCell::new(ViewerGate::new(limits)),
            numbers: RefCell::new(ViewerNumbers::new(name, qos)),
            is_unbuffered,
            closing: Cell::new(false),
        }
    }

    fn send(&self, frames: &[MediaFrame], has_video: bool, burst: bool) -> Sent {
        let mut sent = Sent::default();
        if self.closing.get() {
            return sent;
        }
        let now = Instant::now();
        let mut gate = self.gate.borrow_mut();
        let mut numbers = self.numbers.borrow_mut();
        let mut connection = self.carrier.connection.borrow_mut();
        if !connection.is_shown(self.stream) {
            return sent;
        }
        for frame in frames {
            if frame.kind == MediaKind::Data && numbers.passes_over(frame) {
                continue;
            }
            // The cached group passes whole: it is bounded by the cache.
            let queued = if burst { Queued::default() } else { connection.queued(self.stream) };
            match gate.offer(frame, queued, has_video) {
                Verdict::Send(time) => {
                    let reliable = !self.is_unbuffered || frame.is_keyframe || frame.is_header;
                    if connection.send_media(now, self.stream, frame, time, reliable) {
                        sent.frames += 1;
                        sent.bytes += frame.payload.len() as u64;
                        numbers.count(frame, time);
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
        if sent.dropped > 0 {
            numbers.dropped(sent.dropped, connection.queued(self.stream).bytes);
        }
        drop(connection);
        self.carrier.drain();
        sent
    }
}

impl Viewer for RtmfpViewer {
    fn protocol(&self) -> Protocol {
        Protocol::Rtmfp
    }

    fn welcome(&self, running: bool, frames: &[MediaFrame], has_video: bool) -> Sent {
        if running {
            self.run_changed(true);
        }
        self.send(frames, has_video, true)
    }

    fn look_ahead(&self, step: usize) -> bool {
        match step {
            0 => prefetch(self),
            _ => return self.carrier.look_ahead(step - 1),
        }
        true
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
        let connection = self.carrier.connection.borrow();
        let session = connection.session();
        let (stats, round_trip) = (session.stats(), session.round_trip());
        let mut numbers = self.numbers.borrow_mut();
        numbers.path(round_trip, stats.data_bytes_sent, stats.data_bytes_lost);
        numbers.measure();
        self.carrier.show_traffic();
    }
}
