//! One subscription of an RTMP client, written to directly by its arbiter's worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind, QueueLimits, Queued, Verdict, ViewerGate};
use ramona_rtmp::{OUT_CHUNK_SIZE, StreamId, continuation_header, media_header};
use ramona_script::MediaQos;
use smallvec::SmallVec;

use super::carrier::RtmpCarrier;
use crate::client_session::{Carrier as _, ViewerNumbers};
use crate::messages::client::ToSession;
use crate::metrics::Protocol;
use crate::transport::{Inline, Piece};
use crate::worker::{Sent, Viewer};

/// See the module's text. What every frame needs comes first, in as few lines of memory as it fits.
#[repr(C)]
pub(crate) struct RtmpViewer {
    carrier: Rc<RtmpCarrier>,
    stream: StreamId,
    closing: Cell<bool>,
    pub(super) gate: RefCell<ViewerGate>,
    pub(super) numbers: RefCell<ViewerNumbers>,
    session: Recipient<ToSession>,
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
            stream,
            closing: Cell::new(false),
            gate: RefCell::new(ViewerGate::new(limits)),
            numbers: RefCell::new(ViewerNumbers::new(name, qos)),
            session,
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
            if frame.kind == MediaKind::Data && self.numbers.borrow_mut().passes_over(frame) {
                continue;
            }
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
            self.numbers.borrow_mut().dropped(sent.dropped, transport.queued_bytes());
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

    fn look_ahead(&self, _: usize) -> bool {
        // Looks at whatever `send` needs, see `worker::AHEAD`.
        let is_free = self.gate.try_borrow().is_ok() & self.numbers.try_borrow().is_ok();
        std::hint::black_box(is_free & !self.closing.get() & self.carrier.transport.is_idle());
        false
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
        self.numbers.borrow_mut().measure();
        self.carrier.show_traffic();
    }
}
