//! ClientSession: one client connection above its transport, whatever carries it.
//!
//! The same code serves RTMP, RTMFP and WebSocket: a [`Carrier`] brings the transport, its timers and the
//! way to write media; here is what a client may do.
//!
//! - It asks the script bridge whether its client may connect, publish and play, and goes on when
//!   the answer comes; meanwhile the carrier takes no input, so the client is held back.
//! - As publisher it hands each read's frames to its publication in one batch. As viewer it is
//!   written to by its arbiter's worker through [`Carrier::Viewer`], not through its mailbox.
//! - What it owes others when it ends (end of runs, subscriptions, the client itself) is paid in
//!   `stopped`, which runs after a panic too.

mod carrier;
mod events;
mod flash;
mod numbers;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::QueueLimits;
use ramona_rtmp::StreamId;
use ramona_script::{ClientId, ClientStats, ListenerId, PublicationInfo};
use tracing::{Span, debug, info};

pub(crate) use carrier::{Carrier, Reply, Wish};
pub(crate) use events::Frames;
pub(crate) use flash::say as say_flash;
pub(crate) use numbers::ViewerNumbers;

use crate::clients::Place;
use crate::directory::{Claim, Subscription};
use crate::messages::client::ToSession;
use crate::messages::media::PublishBatch;
use crate::messages::script::ToScript;
use crate::messages::stream::ToPublication;
use crate::metrics::{Alive, Metrics};
use crate::outbox::{Backlog, Offer, Outbox};
use crate::services::Services;
use crate::worker::Local;

/// What sessions of one protocol have in common.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Bounds of each viewer's queue.
    pub queue: QueueLimits,
    /// Keys of the protocol's section as scripts see them in `client.parameters` (CLI-12).
    pub parameters: Vec<(String, String)>,
}

/// Bytes of one client's calls that may wait for the script; beyond, its transport is not read.
const CALL_BACKLOG: usize = 1 << 20;

/// Bytes written by scripts, answers and the like that may wait for one client: it is closed
/// beyond, for it does not read.
pub(crate) const CONTROL_BACKLOG: usize = 8 << 20;

/// How soon a full mailbox is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// How long a closing session may take to send what it still has to say.
const LINGER: Duration = Duration::from_secs(1);

/// See the module's text.
pub(crate) struct ClientSession<C: Carrier> {
    pub(crate) carrier: Rc<C>,
    pub(crate) local: Rc<Local>,
    pub(crate) services: Arc<Services>,
    config: ClientConfig,
    script: Outbox<ToScript>,
    pub(crate) client: ClientId,
    pub(crate) raw_id: [u8; 32],
    pub(crate) peer: SocketAddr,
    pub(crate) stats: Arc<ClientStats>,
    /// Application of the connect.
    path: String,
    /// In the list of clients, once accepted.
    pub(crate) place: Option<Place>,
    state: State,
    /// Its end is worth an info line.
    was_connected: bool,
    publishing: HashMap<StreamId, Publishing>,
    playing: HashMap<StreamId, Playing<C>>,
    /// Messages that found a full mailbox, in order: nothing is read until they are gone.
    held: Vec<Held>,
    timer: Option<(SpawnHandle, Instant)>,
    pub(crate) span: Span,
    reason: String,
    _alive: Alive,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The script knows nothing of the client, or refused it.
    Opening,
    /// The script was asked and may accept the client at any time: it is told when it ends.
    Asked,
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

struct Playing<C: Carrier> {
    listener: ListenerId,
    name: Bytes,
    viewer: Rc<C::Viewer>,
    /// From the moment the script accepted.
    subscription: Option<Subscription>,
    sample_access: (bool, bool),
}

enum Held {
    Frames(StreamId, PublishBatch),
    Script(ToScript, usize),
}

impl<C: Carrier> ClientSession<C> {
    /// Starts a session on the present arbiter. `raw_id` is the client's (CLI-02); random when the
    /// protocol has none.
    pub(crate) fn start_here(
        carrier: Rc<C>,
        peer: SocketAddr,
        raw_id: Option<[u8; 32]>,
        local: Rc<Local>,
        services: Arc<Services>,
        config: ClientConfig,
    ) -> Addr<Self> {
        let client = services.ids.client();
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let stats = carrier.traffic().stats.clone();
        Self::create(|_| Self {
            carrier,
            local,
            config,
            script: Outbox::from_recipient(
                services.script.clone(),
                Arc::new(Backlog::default()),
                CALL_BACKLOG,
            ),
            client,
            raw_id: raw_id.unwrap_or_else(|| random_id(client)),
            peer,
            stats,
            path: String::new(),
            place: None,
            state: State::Opening,
            was_connected: false,
            publishing: HashMap::new(),
            playing: HashMap::new(),
            held: Vec::new(),
            timer: None,
            span: C::span(client, peer),
            reason: String::new(),
            _alive: services.metrics.alive(C::KIND),
            services,
        })
    }

    /// Why it ends, once it does.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.services.metrics.clone()
    }

    /// Whether only last words are sent any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// Sends what the carrier has to send and acts on its events, until it only waits.
    pub(crate) fn advance(&mut self, ctx: &mut Context<Self>) {
        let mut frames = Frames::default();
        while self.held.is_empty() {
            self.carrier.drain();
            let Some(wish) = self.carrier.next_wish() else { break };
            self.on_wish(wish, &mut frames, ctx);
            if self.state == State::Closing {
                break;
            }
        }
        self.flush_frames(&mut frames, ctx);
        C::advanced(self, ctx);
        self.carrier.show_traffic();
        if self.carrier.queued_bytes() > self.output_bound() {
            return self.close(ctx, "does not read what it is sent");
        }
        self.arm_timer(ctx);
    }

    /// A viewer's queue has the bound of its gate; anybody else only gets control messages.
    fn output_bound(&self) -> usize {
        if self.playing.is_empty() {
            CONTROL_BACKLOG
        } else {
            self.config.queue.bytes.saturating_mul(3).saturating_add(CONTROL_BACKLOG)
        }
    }

    pub(crate) fn is_stalled(&self) -> bool {
        !self.held.is_empty() || self.carrier.is_waiting()
    }

    /// Keeps a message that found a full mailbox and tries again soon.
    fn hold(&mut self, held: Held, ctx: &mut Context<Self>) {
        if self.held.is_empty() {
            ctx.run_later(RETRY, Self::retry);
        }
        self.held.push(held);
        self.carrier.pause_input(true);
    }

    fn retry(&mut self, ctx: &mut Context<Self>) {
        let span = self.span.clone();
        let _entered = span.enter();
        // The client is not idle: this end does not read.
        self.carrier.touch();
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

    /// After a decision or a stall: input may wait in the carrier, events too.
    pub(crate) fn resume(&mut self, ctx: &mut Context<Self>) {
        self.carrier.feed();
        self.advance(ctx);
        if self.state != State::Closing {
            self.carrier.pause_input(self.is_stalled());
        }
    }

    /// Queues an event of `bytes` for the script, which may be busy.
    pub(crate) fn tell_script(&mut self, message: ToScript, bytes: usize, ctx: &mut Context<Self>) {
        match self.script.offer(message, bytes) {
            Offer::Accepted => {}
            Offer::Full(message) => self.hold(Held::Script(message, bytes), ctx),
            Offer::Gone(_) => debug!("the script bridge has stopped"),
        }
    }

    fn arm_timer(&mut self, ctx: &mut Context<Self>) {
        let Some(deadline) = self.carrier.deadline() else { return };
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
        let span = self.span.clone();
        let _entered = span.enter();
        self.carrier.on_timer();
        self.advance(ctx);
    }

    /// Ends the session after what is queued was sent, at most [`LINGER`] later.
    pub(crate) fn close(&mut self, ctx: &mut Context<Self>, reason: &str) {
        if self.state == State::Closing {
            return;
        }
        self.settle();
        self.state = State::Closing;
        self.reason = reason.to_owned();
        self.carrier.drain();
        ctx.run_later(LINGER, |_, ctx| ctx.stop());
        C::say_last_words(self, ctx);
    }

    /// Tells everybody who knew this client, in the order of events of section 3.1. What the script
    /// has still to decide counts as accepted: it decides before this comes, and ends what it never
    /// heard of or refused without a word.
    fn settle(&mut self) {
        // What was not sent yet must not follow the end.
        self.held.clear();
        self.place = None;
        C::settle(self);
        let publishing: Vec<_> =
            self.publishing.drain().map(|(_, publishing)| publishing).collect();
        for publishing in publishing {
            self.end_publishing(publishing);
        }
        let playing: Vec<_> = self.playing.drain().map(|(_, playing)| playing).collect();
        for playing in playing {
            self.end_playing(playing);
        }
        if matches!(self.state, State::Asked | State::Open) {
            self.script.push(ToScript::Disconnect(self.client));
        }
    }

    /// An event that must not be refused, such as those at a client's end.
    pub(crate) fn push_script(&self, message: ToScript) {
        self.script.push(message);
    }

    fn end_publishing(&self, publishing: Publishing) {
        let run = publishing.info.id;
        if publishing.accepted {
            publishing.claim.control.do_send(ToPublication::End { run });
        } else {
            // No packet is on its way.
            self.script.push(ToScript::Unpublished(run));
        }
        self.services.directory.release(&publishing.info.name, run);
    }

    fn end_playing(&self, playing: Playing<C>) {
        if let Some(subscription) = playing.subscription {
            self.local.detach(subscription.key, playing.listener);
            subscription.control.do_send(ToPublication::Leave { worker: self.local.index });
            self.services.directory.unsubscribe(&playing.name, subscription.key);
        }
        self.script.push(ToScript::Unsubscribe(playing.listener));
    }
}

/// Ids must differ, not be secret.
pub(crate) fn random_id(client: ClientId) -> [u8; 32] {
    let mut id = [0; 32];
    if getrandom::fill(&mut id).is_err() {
        id[..8].copy_from_slice(&client.0.to_be_bytes());
    }
    id
}

impl<C: Carrier> Actor for ClientSession<C> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The first packets may have come before the actor began.
        let span = self.span.clone();
        let _entered = span.enter();
        self.local.add_session(self.client, ctx.address().recipient());
        C::started(self, ctx);
        self.advance(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let span = self.span.clone();
        let _entered = span.enter();
        self.settle();
        C::stopped(self);
        self.local.remove_session(self.client);
        let sent = self.carrier.sent_bytes();
        let reason = if self.reason.is_empty() { "node stopped" } else { &self.reason };
        if self.was_connected {
            info!(reason, sent, "client disconnected");
        } else {
            debug!(reason, sent, "connection ended before connect");
        }
    }
}

impl<C: Carrier> Handler<ToSession> for ClientSession<C> {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Self::Context) {
        let metrics = self.metrics();
        let _handling = metrics.handling(C::KIND);
        let span = self.span.clone();
        let _entered = span.enter();
        if self.state != State::Closing {
            self.on_message(message, ctx);
        }
    }
}
