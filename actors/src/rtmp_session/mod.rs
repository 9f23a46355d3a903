//! RtmpSession: one RTMP connection, from accept to close, on one arbiter.
//!
//! - It owns the socket ([`Transport`]) and the protocol's state machine ([`rtmp::Session`]);
//!   commands and their answers are the machine's, bytes are the transport's.
//! - It asks the script bridge whether its client may connect, publish and play, and goes on when
//!   the answer comes; meanwhile the machine takes no input, so TCP holds the client back.
//! - As publisher it hands each read's frames to its publication in one batch. As viewer it is
//!   written to by its arbiter's worker through [`viewer::RtmpViewer`], not through its mailbox.
//! - What it owes others when it ends (end of runs, subscriptions, the client itself) is paid in
//!   `stopped`, which runs after a panic too.

mod events;
mod shared;
mod viewer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use ramona_media::QueueLimits;
use ramona_rtmp as rtmp;
use ramona_rtmp::StreamId;
use ramona_script::{ClientId, ClientStats, ListenerId, PublicationInfo};
use tokio::net::TcpStream;
use tracing::{Span, debug, info, info_span};

use crate::directory::{Claim, Subscription};
use crate::messages::client::ToSession;
use crate::messages::script::ToScript;
use crate::messages::stream::ToPublication;
use crate::metrics::{ActorKind, Alive, Metrics};
use crate::outbox::{Backlog, Offer, Outbox};
use crate::services::{Services, epoch_ms};
use crate::worker::Local;
use shared::Shared;
use viewer::RtmpViewer;

/// How RTMP sessions behave.
#[derive(Clone, Debug)]
pub struct RtmpConfig {
    /// The protocol's own timers and bounds.
    pub session: rtmp::SessionConfig,
    /// Bounds of each viewer's queue.
    pub queue: QueueLimits,
    /// `RTMP.*` keys as scripts see them in `client.parameters` (CLI-12).
    pub parameters: Vec<(String, String)>,
    /// Send and receive buffers of sockets in bytes; `None` leaves the system's choice.
    pub socket_buffer: Option<usize>,
}

/// Bytes of one client's calls that may wait for the script; beyond, its socket is not read.
const CALL_BACKLOG: usize = 1 << 20;

/// Bytes written by scripts, answers and the like that may wait for one client: it is closed
/// beyond, for it does not read.
pub(crate) const CONTROL_BACKLOG: usize = 8 << 20;

/// Reads of one socket in one turn, so that a busy one does not hold its arbiter.
const READS_PER_TURN: usize = 4;

/// How soon a full mailbox is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// How long a closing session may take to send what it still has to say.
const LINGER: Duration = Duration::from_secs(1);

/// See the module's text.
pub(crate) struct RtmpSession {
    shared: Rc<Shared>,
    local: Rc<Local>,
    services: Arc<Services>,
    script: Outbox<ToScript>,
    client: ClientId,
    peer: SocketAddr,
    stats: Arc<ClientStats>,
    input: BytesMut,
    state: State,
    publishing: HashMap<StreamId, Publishing>,
    playing: HashMap<StreamId, Playing>,
    /// Messages that found a full mailbox, in order: nothing is read until they are gone.
    held: Vec<Held>,
    timer: Option<(SpawnHandle, Instant)>,
    span: Span,
    reason: String,
    _alive: Alive,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the script accepted the client.
    Opening,
    /// Accepted: the script is told when it ends.
    Open,
    /// Sending its last words.
    Closing,
}

struct Publishing {
    info: PublicationInfo,
    claim: Claim,
    accepted: bool,
}

struct Playing {
    listener: ListenerId,
    name: Bytes,
    viewer: Rc<RtmpViewer>,
    /// From the moment the script accepted.
    subscription: Option<Subscription>,
    sample_access: (bool, bool),
}

enum Held {
    Frames(StreamId, crate::messages::media::PublishBatch),
    Script(ToScript, usize),
}

/// Something to read.
struct Readable(std::io::Result<()>);

impl RtmpSession {
    /// Starts a session on the present arbiter.
    pub(crate) fn start_here(
        stream: TcpStream,
        peer: SocketAddr,
        local: Rc<Local>,
        services: Arc<Services>,
    ) -> Addr<Self> {
        let mut entropy = [0; 64];
        // Without entropy the handshake is predictable, which RTMP allows (it proves nothing).
        if getrandom::fill(&mut entropy).is_err() {
            entropy[..8].copy_from_slice(&epoch_ms().to_be_bytes());
        }
        let machine = rtmp::Session::new(Instant::now(), services.rtmp.session.clone(), entropy);
        let client = services.ids.client();
        Self::create(|_| Self {
            shared: Rc::new(Shared::new(machine, stream)),
            local,
            script: Outbox::from_recipient(
                services.script.clone(),
                Arc::new(Backlog::default()),
                CALL_BACKLOG,
            ),
            client,
            peer,
            stats: Arc::default(),
            input: BytesMut::new(),
            state: State::Opening,
            publishing: HashMap::new(),
            playing: HashMap::new(),
            held: Vec::new(),
            timer: None,
            span: info_span!("rtmp", client = client.0, %peer),
            reason: String::new(),
            _alive: services.metrics.alive(ActorKind::RtmpSession),
            services,
        })
    }

    fn metrics(&self) -> Arc<Metrics> {
        self.services.metrics.clone()
    }

    /// Reads what is there, within bounds, and lets the machine work on it.
    fn read(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..READS_PER_TURN {
            if self.is_stalled() {
                break;
            }
            let local = self.local.clone();
            let mut scratch = local.scratch.borrow_mut();
            match self.shared.transport.try_read(&mut scratch) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    self.close(ctx, "closed by the client");
                    return ctx.stop();
                }
                Ok(Some(n)) => self.input.extend_from_slice(&scratch[..n]),
                Err(error) => return self.close(ctx, &format!("cannot read: {error}")),
            }
            drop(scratch);
            self.stats.last_reception_ms.store(epoch_ms(), Relaxed);
            self.feed(ctx);
            if self.state == State::Closing {
                return;
            }
        }
        self.shared.transport.pause_reading(self.is_stalled());
    }

    /// Gives the machine the bytes that wait, then acts on what comes out.
    fn feed(&mut self, ctx: &mut Context<Self>) {
        if !self.input.is_empty() {
            let mut machine = self.shared.machine.borrow_mut();
            machine.handle_input(Instant::now(), &mut self.input);
        }
        if self.input.is_empty() {
            // An idle session keeps no buffer.
            self.input = BytesMut::new();
        }
        self.advance(ctx);
    }

    /// Sends what the machine has to send and acts on its events, until it only waits.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        let mut frames = events::Frames::default();
        while self.held.is_empty() {
            self.shared.drain();
            let Some(event) = self.shared.next_event() else { break };
            self.on_event(event, &mut frames, ctx);
            if self.state == State::Closing {
                break;
            }
        }
        self.flush_frames(&mut frames, ctx);
        if self.shared.transport.queued_bytes() > self.output_bound() {
            return self.close(ctx, "does not read what it is sent");
        }
        self.arm_timer(ctx);
    }

    /// A viewer's queue has the bound of its gate; anybody else only gets control messages.
    fn output_bound(&self) -> usize {
        if self.playing.is_empty() {
            CONTROL_BACKLOG
        } else {
            self.services.rtmp.queue.bytes.saturating_mul(3).saturating_add(CONTROL_BACKLOG)
        }
    }

    fn is_stalled(&self) -> bool {
        !self.held.is_empty() || self.shared.machine.borrow().is_waiting()
    }

    /// Keeps a message that found a full mailbox and tries again soon.
    fn hold(&mut self, held: Held, ctx: &mut Context<Self>) {
        if self.held.is_empty() {
            ctx.run_later(RETRY, Self::retry);
        }
        self.held.push(held);
        self.shared.transport.pause_reading(true);
    }

    fn retry(&mut self, ctx: &mut Context<Self>) {
        // The client is not idle: this end does not read.
        self.shared.machine.borrow_mut().touch(Instant::now());
        for held in std::mem::take(&mut self.held) {
            if !self.held.is_empty() {
                self.held.push(held);
                continue;
            }
            match held {
                Held::Frames(stream, batch) => self.publish(stream, batch, ctx),
                Held::Script(message, bytes) => self.tell_script(message, bytes, ctx),
            }
        }
        if self.held.is_empty() && self.state != State::Closing {
            self.resume(ctx);
        }
    }

    /// After a decision or a stall: bytes may wait in the buffer, events in the machine.
    fn resume(&mut self, ctx: &mut Context<Self>) {
        self.feed(ctx);
        if self.state != State::Closing {
            self.shared.transport.pause_reading(self.is_stalled());
        }
    }

    /// Queues an event of `bytes` for the script, which may be busy.
    fn tell_script(&mut self, message: ToScript, bytes: usize, ctx: &mut Context<Self>) {
        match self.script.offer(message, bytes) {
            Offer::Accepted => {}
            Offer::Full(message) => self.hold(Held::Script(message, bytes), ctx),
            Offer::Gone(_) => debug!("the script bridge has stopped"),
        }
    }

    fn arm_timer(&mut self, ctx: &mut Context<Self>) {
        let Some(deadline) = self.shared.deadline() else { return };
        if let Some((handle, armed)) = self.timer {
            if armed <= deadline {
                return;
            }
            ctx.cancel_future(handle);
        }
        let wait = deadline.saturating_duration_since(Instant::now());
        let handle = ctx.run_later(wait, Self::on_timer);
        self.timer = Some((handle, deadline));
    }

    fn on_timer(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        if self.state == State::Closing {
            return;
        }
        let now = Instant::now();
        if self.shared.deadline().is_some_and(|deadline| deadline <= now) {
            self.shared.machine.borrow_mut().handle_timeout(now);
        }
        self.advance(ctx);
    }

    /// Ends the session after what is queued was sent, at most [`LINGER`] later.
    fn close(&mut self, ctx: &mut Context<Self>, reason: &str) {
        if self.state == State::Closing {
            return;
        }
        self.settle();
        self.state = State::Closing;
        self.reason = reason.to_owned();
        self.shared.drain();
        self.input = BytesMut::new();
        if self.shared.transport.is_broken() {
            return ctx.stop();
        }
        // From here on input is only discarded, until the client closes as well.
        self.shared.transport.pause_reading(false);
        ctx.run_later(LINGER, |_, ctx| ctx.stop());
        let writer = self.shared.clone();
        let last_words = async move { writer.transport.flushed().await };
        ctx.spawn(last_words.into_actor(self).map(|(), session, _| {
            session.shared.transport.shutdown_write();
        }));
    }

    /// Reads and forgets until the client closes.
    fn discard(&mut self, ctx: &mut Context<Self>) {
        let local = self.local.clone();
        let mut scratch = local.scratch.borrow_mut();
        for _ in 0..READS_PER_TURN {
            match self.shared.transport.try_read(&mut scratch) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => return ctx.stop(),
                Ok(Some(_)) => {}
            }
        }
    }

    /// Tells everybody who knew this client, in the order of events of section 3.1.
    fn settle(&mut self) {
        let publishing: Vec<_> =
            self.publishing.drain().map(|(_, publishing)| publishing).collect();
        for publishing in publishing {
            self.end_publishing(publishing);
        }
        let playing: Vec<_> = self.playing.drain().map(|(_, playing)| playing).collect();
        for playing in playing {
            self.end_playing(playing);
        }
        if self.state == State::Open {
            self.script.push(ToScript::Disconnect(self.client));
        }
    }

    fn end_publishing(&self, publishing: Publishing) {
        let run = publishing.info.id;
        if publishing.accepted {
            publishing.claim.control.do_send(ToPublication::End { run });
        }
        self.services.directory.release(&publishing.info.name, run);
    }

    fn end_playing(&self, playing: Playing) {
        let Some(subscription) = playing.subscription else { return };
        self.local.detach(subscription.key, playing.listener);
        subscription.control.do_send(ToPublication::Leave { worker: self.local.index });
        self.services.directory.unsubscribe(&playing.name, subscription.key);
        self.script.push(ToScript::Unsubscribe(playing.listener));
    }
}

impl Actor for RtmpSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.local.add_session(self.client, ctx.address().recipient());
        let reader = self.shared.clone();
        ctx.add_stream(stream::unfold((reader, false), |(reader, failed)| async move {
            if failed {
                return None;
            }
            let ready = reader.transport.readable().await;
            let failed = ready.is_err();
            Some((Readable(ready), (reader, failed)))
        }));
        let writer = self.shared.clone();
        let drive = async move { writer.transport.drive().await };
        ctx.spawn(drive.into_actor(self).map(|error, session, ctx| {
            session.close(ctx, &format!("cannot write: {error}"));
        }));
        self.advance(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.settle();
        self.local.remove_session(self.client);
        let span = self.span.clone();
        let _entered = span.enter();
        let sent = self.shared.transport.sent_bytes();
        let reason = if self.reason.is_empty() { "node stopped" } else { &self.reason };
        if self.shared.was_connected() {
            info!(reason, sent, "client disconnected");
        } else {
            debug!(reason, sent, "connection ended before connect");
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
            Ok(()) if self.state == State::Closing => self.discard(ctx),
            Ok(()) => self.read(ctx),
            Err(_) if self.state == State::Closing => ctx.stop(),
            Err(error) => self.close(ctx, &format!("cannot read: {error}")),
        }
    }

    /// The stream ends with an error that was handled: not by itself a reason to stop at once.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<ToSession> for RtmpSession {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Self::Context) {
        let metrics = self.metrics();
        let _handling = metrics.handling(ActorKind::RtmpSession);
        let span = self.span.clone();
        let _entered = span.enter();
        if self.state != State::Closing {
            self.on_message(message, ctx);
        }
    }
}
