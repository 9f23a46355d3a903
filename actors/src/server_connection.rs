//! ServerConnection: one link to another node; its TCP socket is that node's mailbox.
//!
//! Started by [`Servers`](crate::servers::Servers) for a socket it dialled or accepted. The
//! protocol is [`cluster::Link`]; here are its socket, its timer and its neighbours:
//!
//! | state | input | leaves by |
//! |---|---|---|
//! | opening | hello awaited | hello: tells `Servers`; end: tells `Servers` |
//! | awaiting | not read: `Servers` decides whether this link stays (CLU-08) | decision |
//! | live | calls go to the script bridge, in batches of one read | end of the link |
//! | closing | discarded until the peer closes, 1 s at most | stop |
//!
//! Calls that the bridge has no room for stop the reading, so TCP slows the other node down; its
//! own queue is bounded too, and what that refuses is counted and logged there (CLU-26).

mod incoming;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use ramona_cluster as cluster;
use ramona_cluster::{CloseReason, Hello, Link};
use ramona_script::ServerId;
use tracing::{Span, debug, error, info, warn};

use crate::awake::Awake;
use crate::messages::cluster::ToServer;
use crate::messages::script::ToScript;
use crate::metrics::{ActorKind, Alive, LinkStats, Metrics};
use crate::outbox::{Backlog, Outbox, Ticket, Ticketed};
use crate::servers::{LinkEnded, Servers};
use crate::shared_link::SharedLink;
use crate::transport::Transport;

/// Bytes of calls that may wait for the script; beyond, the socket is not read.
const CALL_BACKLOG: usize = 16 << 20;

/// Bytes taken by one read.
const READ_SIZE: usize = 256 << 10;

/// How long a closing link may take to send what it still has to say.
const LINGER: Duration = Duration::from_secs(1);

/// What a link needs to know of its start.
pub(crate) struct LinkStart {
    pub(crate) server: ServerId,
    /// Index of the target that was dialled; `None` for an accepted link.
    pub(crate) target: Option<usize>,
    pub(crate) peer: SocketAddr,
    /// SRV-09: configured port of a target, source port of an initiator.
    pub(crate) port: u16,
    /// Bytes that may be on their way out (`servers.queue`).
    pub(crate) queue: usize,
    /// How long the queue may stay full before the link is closed.
    pub(crate) full_for: Duration,
    pub(crate) servers: Addr<Servers>,
    pub(crate) script: Recipient<Ticketed<ToScript>>,
    pub(crate) metrics: Arc<Metrics>,
}

/// See the module's text.
pub(crate) struct ServerConnection {
    start: LinkStart,
    link: Arc<SharedLink>,
    transport: Rc<Transport>,
    script: Outbox<ToScript>,
    input: BytesMut,
    events: VecDeque<cluster::Event>,
    state: State,
    hello: Option<Hello>,
    held: Option<(ToScript, usize)>,
    awake: Rc<Awake>,
    /// Calls of the script until the last ones came from the far end.
    called: u64,
    stats: Arc<LinkStats>,
    /// Places in the outbound queue, given back when the socket took the bytes before the mark.
    tickets: VecDeque<(u64, Ticket)>,
    /// Sent bytes of which [`LinkStats::bytes_out`] knows.
    counted: u64,
    full_since: Option<Instant>,
    up_since: Option<Instant>,
    deadline: Instant,
    timer: Option<(SpawnHandle, Instant)>,
    span: Span,
    reason: Option<CloseReason>,
    _alive: Alive,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Opening,
    Awaiting,
    Live,
    Closing,
}

struct Readable(std::io::Result<()>);
struct Wrote(std::io::Result<()>);

impl ServerConnection {
    /// Starts a link on the present arbiter.
    pub(crate) fn start_here(
        start: LinkStart,
        link: Link,
        stream: tokio::net::TcpStream,
        awake: Rc<Awake>,
    ) -> Addr<Self> {
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(0);
            let role = if start.target.is_some() { "target" } else { "initiator" };
            Self {
                link: Arc::new(SharedLink::new(link, &stream)),
                transport: Rc::new(Transport::new(stream)),
                script: Outbox::from_recipient(
                    start.script.clone(),
                    Arc::new(Backlog::default()),
                    CALL_BACKLOG,
                ),
                input: BytesMut::new(),
                events: VecDeque::new(),
                state: State::Opening,
                hello: None,
                held: None,
                awake,
                called: 0,
                stats: Arc::default(),
                tickets: VecDeque::new(),
                counted: 0,
                full_since: None,
                up_since: None,
                deadline: Instant::now(),
                timer: None,
                span: tracing::info_span!("server", id = start.server.0, peer = %start.peer, role),
                reason: None,
                _alive: start.metrics.alive(ActorKind::ServerConnection),
                start,
            }
        })
    }

    /// Sends what the link has to send; keeps its events.
    fn drain(&mut self) {
        let mut shared = self.link.lock();
        shared.take_rest().into_iter().for_each(|bytes| self.transport.send_bytes(bytes));
        loop {
            match shared.link.poll_output() {
                cluster::Output::Transmit(bytes) => self.transport.send_bytes(bytes),
                cluster::Output::Event(event) => self.events.push_back(event),
                cluster::Output::Timeout(at) => {
                    self.deadline = at;
                    break;
                }
            }
        }
        shared.set_clear(self.state == State::Live && self.transport.is_idle());
    }

    /// Gives back the places of bytes that the socket took.
    fn release(&mut self) {
        let sent = self.transport.sent_bytes();
        // Another thread counts there as well.
        self.stats.bytes_out.fetch_add(sent - self.counted, Relaxed);
        self.counted = sent;
        while self.tickets.front().is_some_and(|(mark, _)| *mark <= sent) {
            self.tickets.pop_front();
        }
    }

    fn on_frames(&mut self, frames: Bytes, ticket: Ticket) {
        if self.state != State::Live {
            return;
        }
        let queued = self.link.lock().link.send_frames(frames);
        match queued {
            Ok(()) => self.on_rest(ticket),
            Err(error) => warn!(%error, "calls lost"),
        }
    }

    /// Sends what waits; the ticket is that of the last bytes.
    fn on_rest(&mut self, ticket: Ticket) {
        self.drain();
        let mark = self.transport.sent_bytes() + self.transport.queued_bytes() as u64;
        self.tickets.push_back((mark, ticket));
        self.release();
    }

    /// A queue that stays full means a peer that does not read: better a new link than a growing
    /// delay (CLU-26).
    fn check_queue(&mut self) {
        if self.stats.queued.len() < self.start.queue / 2 {
            self.full_since = None;
            return;
        }
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.start.full_for && self.state == State::Live {
            error!(queued = self.stats.queued.len(), "outbound queue stays full, link closed");
            self.link.lock().link.close("its queue stays full");
            self.full_since = None;
        }
    }

    fn arm_timer(&mut self, ctx: &mut Context<Self>) {
        if self.state == State::Closing {
            return;
        }
        if let Some((handle, armed)) = self.timer {
            if armed <= self.deadline {
                return;
            }
            ctx.cancel_future(handle);
        }
        let wait = self.deadline.saturating_duration_since(Instant::now());
        self.timer = Some((ctx.run_later(wait, Self::on_timer), self.deadline));
    }

    fn on_timer(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        if self.state == State::Closing {
            return;
        }
        let span = self.span.clone();
        let _entered = span.enter();
        let now = Instant::now();
        if self.is_stalled() {
            self.link.lock().link.postpone_silence(now);
        }
        if self.deadline <= now {
            self.link.lock().link.handle_timeout(now);
        }
        self.release();
        self.check_queue();
        self.advance(ctx);
    }

    /// A flood of messages must not starve the heartbeat: an actor empties its mailbox before its
    /// timers run.
    fn keep_time(&mut self, ctx: &mut Context<Self>) {
        if self.deadline <= Instant::now() {
            if let Some((handle, _)) = self.timer.take() {
                ctx.cancel_future(handle);
            }
            self.on_timer(ctx);
        }
    }

    fn close(&mut self, reason: CloseReason, ctx: &mut Context<Self>) {
        if self.state == State::Closing {
            return;
        }
        // CLU-06, CLU-09; a refusal by the peer was said with its text (CLU-10).
        match (&reason, self.state == State::Live) {
            (CloseReason::Rejected(_) | CloseReason::RejectedHere(_), true) => {
                info!(%reason, "link ended");
            }
            (CloseReason::Lost | CloseReason::Dead(_), true) => error!(%reason, "link ended"),
            _ if reason.is_trouble() => warn!(%reason, "link ended"),
            (_, true) => info!(level_name = "NOTE", %reason, "link ended"),
            _ => info!(%reason, "link ended"),
        }
        self.reason = Some(reason);
        self.settle();
        self.state = State::Closing;
        self.link.lock().end();
        if self.transport.is_broken() {
            return ctx.stop();
        }
        self.transport.pause_reading(false);
        ctx.run_later(LINGER, |_, ctx| ctx.stop());
        let writer = self.transport.clone();
        let last_words = async move { writer.flushed().await };
        ctx.spawn(last_words.into_actor(self).map(|(), connection, _| {
            connection.transport.shutdown_write();
        }));
    }

    /// Tells the script and the registry, once.
    fn settle(&mut self) {
        if self.state == State::Closing {
            return;
        }
        let reason = self.reason.clone().unwrap_or(CloseReason::Lost);
        let server = self.start.server;
        if self.state == State::Live {
            let error = match &reason {
                CloseReason::Rejected(text) => Some(text.clone()),
                // What this node decided is no error of the other one's (EVT-12).
                CloseReason::RejectedHere(_) => None,
                CloseReason::Local(text) => Some(Bytes::from(text.clone())),
                orderly if orderly.is_orderly() => None,
                other => Some(Bytes::from(other.to_string())),
            };
            self.script.push(ToScript::ServerDown { server, error });
        }
        if let Some(identity) = self.link.lock().link.identity() {
            self.start.metrics.forget_link(&identity.peer.to_string(), &self.stats);
        }
        let up_for = self.up_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.start.servers.do_send(LinkEnded {
            server,
            target: self.start.target,
            reason,
            said_hello: self.link.lock().link.identity().is_some(),
            up_for,
        });
    }
}

impl Actor for ServerConnection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let reader = self.transport.clone();
        ctx.add_stream(stream::unfold((reader, false), |(reader, failed)| async move {
            if failed {
                return None;
            }
            let ready = reader.readable().await;
            let failed = ready.is_err();
            Some((Readable(ready), (reader, failed)))
        }));
        let writer = self.transport.clone();
        ctx.add_stream(stream::unfold((writer, false), |(writer, failed)| async move {
            if failed {
                return None;
            }
            let written = writer.write_waiting().await;
            let failed = written.is_err();
            Some((Wrote(written), (writer, failed)))
        }));
        let span = self.span.clone();
        let _entered = span.enter();
        self.advance(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let span = self.span.clone();
        let _entered = span.enter();
        self.settle();
        self.link.lock().end();
    }
}

impl StreamHandler<Readable> for ServerConnection {
    fn handle(&mut self, item: Readable, ctx: &mut Self::Context) {
        let metrics = self.start.metrics.clone();
        let _handling = metrics.handling(ActorKind::ServerConnection);
        let span = self.span.clone();
        let _entered = span.enter();
        if self.state == State::Closing {
            self.input.clear();
            match self.transport.try_read_into(&mut self.input, READ_SIZE) {
                Ok(None) | Ok(Some(1..)) if item.0.is_ok() => {}
                _ => ctx.stop(),
            }
            return;
        }
        if item.0.is_err() {
            self.link.lock().link.handle_eof(Instant::now());
        }
        self.read(ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<Wrote> for ServerConnection {
    fn handle(&mut self, item: Wrote, ctx: &mut Self::Context) {
        let span = self.span.clone();
        let _entered = span.enter();
        if let Err(error) = item.0 {
            debug!(%error, "cannot write");
            self.tickets.clear();
            self.link.lock().link.handle_eof(Instant::now());
            self.advance(ctx);
        }
        self.release();
        self.link.lock().set_clear(self.state == State::Live && self.transport.is_idle());
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Ticketed<ToServer>> for ServerConnection {
    type Result = ();

    fn handle(&mut self, message: Ticketed<ToServer>, ctx: &mut Self::Context) {
        let metrics = self.start.metrics.clone();
        let _handling = metrics.handling(ActorKind::ServerConnection);
        let span = self.span.clone();
        let _entered = span.enter();
        match message.message {
            ToServer::Frames(frames) => self.on_frames(frames, message.ticket),
            ToServer::Rest => self.on_rest(message.ticket),
            ToServer::AnnounceApp(path) => {
                if let Err(error) = self.link.lock().link.announce_app(path.as_bytes()) {
                    debug!(%error, path, "application not announced");
                }
            }
            ToServer::Reject(text) => self.link.lock().link.reject(&text),
            ToServer::Registered(registration) => self.on_registered(registration, ctx),
            ToServer::Shutdown => self.link.lock().link.close("Server is stopping"),
        }
        self.keep_time(ctx);
        self.advance(ctx);
    }
}
