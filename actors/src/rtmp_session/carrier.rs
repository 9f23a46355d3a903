//! RTMP under a client session: chunks over TCP.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use ramona_media::{QueueLimits, ViewerGate};
use ramona_rtmp as rtmp;
use ramona_rtmp::{NetConnection, StreamId};
use ramona_script::{ClientId, ClientStats, Format, MediaQos};
use tracing::{Span, info_span};

use super::RtmpSession;
use super::viewer::RtmpViewer;
use crate::client_session::{Carrier, Reply, Wish, say_flash};
use crate::clients::Traffic;
use crate::messages::client::ToSession;
use crate::metrics::{ActorKind, Protocol};
use crate::services::epoch_ms;
use crate::transport::Transport;

/// Reads of one socket in one turn, so that a busy one does not hold its arbiter.
const READS_PER_TURN: usize = 4;

/// The transport first, which viewers need without the rest.
#[repr(C)]
pub(crate) struct RtmpCarrier {
    pub(super) transport: Transport,
    pub(super) machine: RefCell<rtmp::Session>,
    input: RefCell<BytesMut>,
    events: RefCell<VecDeque<rtmp::Event>>,
    deadline: Cell<Option<Instant>>,
    received: Cell<u64>,
    traffic: Arc<Traffic>,
}

/// Something to read.
struct Readable(std::io::Result<()>);

impl RtmpCarrier {
    pub(super) fn new(config: &rtmp::SessionConfig, transport: Transport) -> Self {
        let mut entropy = [0; 64];
        // Without entropy the handshake is predictable, which RTMP allows (it proves nothing).
        if getrandom::fill(&mut entropy).is_err() {
            entropy[..8].copy_from_slice(&epoch_ms().to_be_bytes());
        }
        Self {
            transport,
            machine: RefCell::new(rtmp::Session::new(Instant::now(), config.clone(), entropy)),
            input: RefCell::default(),
            events: RefCell::default(),
            deadline: Cell::new(None),
            received: Cell::new(0),
            traffic: Arc::default(),
        }
    }

    /// Speaks through the commands' state machine, then sends what it has to say.
    pub(super) fn speak(&self, speak: impl FnOnce(&mut NetConnection)) {
        speak(self.machine.borrow_mut().connection_mut());
        self.drain();
    }
}

impl Carrier for RtmpCarrier {
    type Viewer = RtmpViewer;
    const KIND: ActorKind = ActorKind::RtmpSession;
    const PROTOCOL: &'static str = "RTMP";
    const MEDIA: Protocol = Protocol::Rtmp;
    const FORMAT: Format = Format::Amf0;

    fn span(client: ClientId, peer: SocketAddr) -> Span {
        info_span!("rtmp", client = client.0, %peer)
    }

    fn say(&self, reply: Reply) {
        match reply {
            Reply::ConnectAccepted(info) => {
                self.machine.borrow_mut().accept_connect(&info);
                self.drain();
            }
            reply => self.speak(|connection| say_flash(connection, reply)),
        }
    }

    fn drain(&self) {
        let mut machine = self.machine.borrow_mut();
        loop {
            match machine.poll_output() {
                rtmp::Output::Transmit(bytes) => self.transport.send_bytes(bytes),
                rtmp::Output::Event(event) => self.events.borrow_mut().push_back(event),
                rtmp::Output::Timeout(at) => {
                    self.deadline.set(Some(at));
                    return;
                }
            }
        }
    }

    fn next_wish(&self) -> Option<Wish> {
        self.events.borrow_mut().pop_front().map(Wish::Net)
    }

    fn is_waiting(&self) -> bool {
        self.machine.borrow().is_waiting()
    }

    fn feed(&self) {
        let mut input = self.input.borrow_mut();
        if !input.is_empty() {
            self.machine.borrow_mut().handle_input(Instant::now(), &mut input);
        }
        if input.is_empty() {
            // An idle session keeps no buffer.
            *input = BytesMut::new();
        }
    }

    fn pause_input(&self, paused: bool) {
        self.transport.pause_reading(paused);
    }

    fn touch(&self) {
        self.machine.borrow_mut().touch(Instant::now());
    }

    fn set_timeout(&self, timeout: Duration) {
        self.machine.borrow_mut().set_timeout(timeout);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    fn on_timer(&self) {
        let now = Instant::now();
        if self.deadline.get().is_some_and(|deadline| deadline <= now) {
            self.machine.borrow_mut().handle_timeout(now);
        }
    }

    fn queued_bytes(&self) -> usize {
        self.transport.queued_bytes()
    }

    fn sent_bytes(&self) -> u64 {
        self.transport.sent_bytes()
    }

    fn received_bytes(&self) -> u64 {
        self.received.get()
    }

    fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    fn viewer(
        self: &Rc<Self>,
        session: Recipient<ToSession>,
        stream: StreamId,
        name: Bytes,
        _query: &[u8],
        limits: QueueLimits,
        qos: Arc<MediaQos>,
    ) -> RtmpViewer {
        RtmpViewer::new(self.clone(), session, stream, name, limits, qos)
    }

    fn gate(viewer: &RtmpViewer) -> &RefCell<ViewerGate> {
        &viewer.gate
    }

    fn count_drops(viewer: &RtmpViewer, dropped: Arc<AtomicU64>, client: Arc<ClientStats>) {
        viewer.numbers.borrow_mut().count_drops(dropped, client);
    }

    fn started(session: &mut RtmpSession, ctx: &mut Context<RtmpSession>) {
        let reader = session.carrier.clone();
        ctx.add_stream(stream::unfold((reader, false), |(reader, failed)| async move {
            if failed {
                return None;
            }
            let ready = reader.transport.readable().await;
            let failed = ready.is_err();
            Some((Readable(ready), (reader, failed)))
        }));
        let writer = session.carrier.clone();
        let drive = async move { writer.transport.drive().await };
        ctx.spawn(drive.into_actor(session).map(|error, session, ctx| {
            session.close(ctx, &format!("cannot write: {error}"));
        }));
    }

    fn say_last_words(session: &mut RtmpSession, ctx: &mut Context<RtmpSession>) {
        let carrier = session.carrier.clone();
        *carrier.input.borrow_mut() = BytesMut::new();
        if carrier.transport.is_broken() {
            return ctx.stop();
        }
        // From here on input is only discarded, until the client closes as well.
        carrier.transport.pause_reading(false);
        let last_words = async move {
            carrier.transport.flushed().await;
            carrier.transport.shutdown_write();
        };
        ctx.spawn(last_words.into_actor(session));
    }
}

impl RtmpSession {
    /// Reads what is there, within bounds, and lets the machine work on it.
    fn read(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..READS_PER_TURN {
            if self.is_stalled() {
                break;
            }
            let (carrier, local) = (self.carrier.clone(), self.local.clone());
            let mut scratch = local.scratch.borrow_mut();
            match carrier.transport.try_read(&mut scratch) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    self.close(ctx, "closed by the client");
                    return ctx.stop();
                }
                Ok(Some(n)) => {
                    carrier.received.set(carrier.received.get() + n as u64);
                    carrier.input.borrow_mut().extend_from_slice(&scratch[..n]);
                }
                Err(error) => return self.close(ctx, &format!("cannot read: {error}")),
            }
            drop(scratch);
            self.stats.last_reception_ms.store(epoch_ms(), Relaxed);
            carrier.feed();
            self.advance(ctx);
            if self.is_closing() {
                return;
            }
        }
        self.carrier.pause_input(self.is_stalled());
    }

    /// Reads and forgets until the client closes.
    fn discard(&mut self, ctx: &mut Context<Self>) {
        let local = self.local.clone();
        let mut scratch = local.scratch.borrow_mut();
        for _ in 0..READS_PER_TURN {
            match self.carrier.transport.try_read(&mut scratch) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => return ctx.stop(),
                Ok(Some(_)) => {}
            }
        }
    }
}

impl StreamHandler<Readable> for RtmpSession {
    fn handle(&mut self, item: Readable, ctx: &mut Self::Context) {
        let metrics = self.metrics();
        let _handling = metrics.handling(ActorKind::RtmpSession);
        let span = self.span.clone();
        let _entered = span.enter();
        match item.0 {
            Ok(()) if self.is_closing() => self.discard(ctx),
            Ok(()) => self.read(ctx),
            Err(_) if self.is_closing() => ctx.stop(),
            Err(error) => self.close(ctx, &format!("cannot read: {error}")),
        }
    }

    /// The stream ends with an error that was handled: not by itself a reason to stop at once.
    fn finished(&mut self, _: &mut Self::Context) {}
}
