//! One subscription of an HTTP or WebSocket player, written to directly by its arbiter's worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{
    FLV_HEAD, MediaFrame, QueueLimits, Queued, Verdict, ViewerGate, announced, flv_head,
    flv_header, flv_past,
};
use smallvec::SmallVec;

use super::containers::{Container, Containers};
use super::outlet::Outlet;
use crate::client_session::ViewerNumbers;
use crate::clients::Traffic;
use crate::messages::client::ToSession;
use crate::metrics::Protocol;
use crate::transport::{Inline, Piece};
use crate::worker::{Sent, Viewer};

/// How the container's bytes are wrapped for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As they are: the body of an HTTP response that ends with the connection.
    Plain,
    /// Each tag as a binary message (RFC 6455 §5.2).
    WebSocket,
}

/// Who sends pings and reads nothing gets no more pongs.
const MAX_QUEUED_FOR_PONG: usize = 64 << 10;

/// See the module's text. What every frame needs comes first, in as few lines of memory as it fits.
#[repr(C)]
pub(crate) struct LiveViewer {
    outlet: Outlet,
    containers: Rc<Containers>,
    container: Container,
    framing: Framing,
    /// The head of the container has been sent.
    begun: Cell<bool>,
    closing: Cell<bool>,
    pub(super) gate: RefCell<ViewerGate>,
    numbers: RefCell<ViewerNumbers>,
    traffic: Arc<Traffic>,
    session: Recipient<ToSession>,
}

type Pieces<'a> = SmallVec<[Piece<'a>; 16]>;

impl LiveViewer {
    #[expect(clippy::too_many_arguments, reason = "made in one place")]
    pub(crate) fn new(
        outlet: Outlet,
        session: Recipient<ToSession>,
        container: Container,
        framing: Framing,
        containers: Rc<Containers>,
        numbers: ViewerNumbers,
        limits: QueueLimits,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            outlet,
            containers,
            container,
            framing,
            begun: Cell::new(false),
            closing: Cell::new(false),
            gate: RefCell::new(ViewerGate::new(limits)),
            numbers: RefCell::new(numbers),
            traffic,
            session,
        }
    }

    /// What a file starts with. Players wait for every kind of media that it announces, so it
    /// waits for the first frames, which tell.
    fn begin(&self, frames: &[MediaFrame]) -> Option<Bytes> {
        if frames.is_empty() || self.begun.replace(true) || self.container != Container::Flv {
            return None;
        }
        let (audio, video) = announced(frames);
        Some(Bytes::copy_from_slice(&flv_header(audio, video)))
    }

    /// One message of the connection, which is made of some parts.
    fn message<'a>(&self, parts: &'a [Bytes], pieces: &mut Pieces<'a>) {
        let length: usize = parts.iter().map(Bytes::len).sum();
        if length == 0 {
            return;
        }
        if self.framing == Framing::WebSocket {
            pieces.push(Piece::Header(binary_header(length)));
        }
        pieces.extend(parts.iter().filter(|part| !part.is_empty()).map(|bytes| Piece::Part {
            bytes,
            start: 0,
            end: bytes.len(),
        }));
    }

    /// The tag or packets of one frame. A tag has a head of this viewer's own around what all share.
    fn frame<'a>(&self, bytes: &'a Bytes, time: u32, pieces: &mut Pieces<'a>) {
        let head = match self.container {
            Container::Flv => flv_head(bytes, time),
            Container::Ts => None,
        };
        let Some(head) = head else { return self.message(std::slice::from_ref(bytes), pieces) };
        if self.framing == Framing::WebSocket {
            pieces.push(Piece::Header(binary_header(bytes.len())));
        }
        pieces.push(Piece::Header(Inline::new(&head)));
        pieces.push(Piece::Part { bytes, start: FLV_HEAD, end: bytes.len() });
    }

    /// A ping without content; none for a player that does not read.
    pub(super) fn ping(&self) {
        if self.outlet.queued_bytes() < MAX_QUEUED_FOR_PONG {
            self.outlet.send(&[Piece::Header(Inline::new(&[0x89, 0]))]);
        }
    }

    /// A pong; none for a player that does not read.
    pub(super) fn pong(&self, payload: &Bytes) {
        // A control frame has 125 bytes at most (RFC 6455 §5.5).
        if let Ok(length @ ..126) = u8::try_from(payload.len())
            && self.outlet.queued_bytes() < MAX_QUEUED_FOR_PONG
        {
            let head = Piece::Header(Inline::new(&[0x8A, length]));
            self.outlet.send(&[head, Piece::Part { bytes: payload, start: 0, end: payload.len() }]);
        }
    }

    /// The time of a frame that the gate lets pass, which is counted.
    fn passes(
        &self,
        frame: &MediaFrame,
        queued: Queued,
        has_video: bool,
        sent: &mut Sent,
    ) -> Option<u32> {
        match self.gate.borrow_mut().offer(frame, queued, has_video) {
            Verdict::Send(time) => {
                sent.frames += 1;
                sent.bytes += frame.payload.len() as u64;
                self.numbers.borrow_mut().count(frame, time);
                return Some(time);
            }
            Verdict::Skip => {}
            Verdict::Drop => sent.dropped += 1,
            Verdict::Close => {
                self.closing.set(true);
                sent.closed = 1;
                let why = "does not read: its queue passed twice its bound".to_owned();
                self.session.do_send(ToSession::Broken(why));
            }
        }
        None
    }
}

impl Viewer for LiveViewer {
    fn protocol(&self) -> Protocol {
        match self.framing {
            Framing::Plain => Protocol::Http,
            Framing::WebSocket => Protocol::WebSocket,
        }
    }

    fn welcome(&self, _: bool, frames: &[MediaFrame], has_video: bool) -> Sent {
        let mut sent = Sent::default();
        // The cached group passes whole: it is bounded by the cache.
        let passed = frames.iter().filter_map(|frame| {
            let time = self.passes(frame, Queued::default(), has_video, &mut sent)?;
            Some((frame.clone(), time))
        });
        let (frames, times): (Vec<MediaFrame>, Vec<u32>) = passed.unzip();
        let mut parts: Vec<Bytes> = self.begin(&frames).into_iter().collect();
        match self.container {
            Container::Flv => parts.extend(flv_past(&frames, &times)),
            Container::Ts => parts.push(self.containers.join_ts(&frames)),
        }
        let mut pieces = Pieces::new();
        self.message(&parts, &mut pieces);
        self.outlet.send(&pieces);
        sent
    }

    fn look_ahead(&self, _: usize) -> bool {
        // Looks at whatever `deliver` needs, see `worker::AHEAD`.
        let is_free = self.gate.try_borrow().is_ok() & self.numbers.try_borrow().is_ok();
        std::hint::black_box(is_free & !self.closing.get() & self.outlet.is_idle());
        false
    }

    fn deliver(&self, frames: &[MediaFrame], has_video: bool, after_gap: bool) -> Sent {
        let mut sent = Sent::default();
        if self.closing.get() {
            return sent;
        }
        if after_gap {
            self.gate.borrow_mut().after_gap();
        }
        let head = self.begin(frames);
        let shared = self.containers.batch(self.container, frames);
        let waiting = self.outlet.queued_bytes();
        let waited_ms = self.outlet.waited_ms();
        let mut pieces = Pieces::new();
        self.message(head.as_slice(), &mut pieces);
        for (frame, bytes) in frames.iter().zip(shared.iter()) {
            let queued = Queued { bytes: waiting + sent.bytes as usize, waited_ms };
            if let Some(time) = self.passes(frame, queued, has_video, &mut sent) {
                self.frame(bytes, time, &mut pieces);
            }
            if self.closing.get() {
                break;
            }
        }
        self.outlet.send(&pieces);
        if sent.dropped > 0 {
            self.numbers.borrow_mut().dropped(sent.dropped, self.outlet.queued_bytes());
        }
        sent
    }

    fn run_changed(&self, running: bool) {
        if !running {
            self.containers.next_run();
            self.gate.borrow_mut().next_run();
        }
    }

    fn measure(&self) {
        self.numbers.borrow_mut().measure();
        self.traffic.show_sent(self.outlet.sent_bytes());
    }
}

/// The head of an unmasked binary message in one frame (RFC 6455 §5.2).
fn binary_header(length: usize) -> Inline {
    match u16::try_from(length) {
        Ok(short) if short < 126 => Inline::new(&[0x82, short as u8]),
        Ok(medium) => {
            let [high, low] = medium.to_be_bytes();
            Inline::new(&[0x82, 126, high, low])
        }
        Err(_) => {
            let mut head = [0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0];
            head[2..].copy_from_slice(&(length as u64).to_be_bytes());
            Inline::new(&head)
        }
    }
}
