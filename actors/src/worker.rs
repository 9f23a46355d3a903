//! Worker: one per arbiter. It starts sessions there, keeps the arbiter's viewers by publication
//! and hands each batch to all of them in one message: a publication's cost per viewer is the
//! viewer's own write.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix::prelude::*;
use ramona_media::MediaFrame;
use ramona_script::{ClientId, ListenerId};

use crate::http_live::Containers;
use crate::http_session::HttpService;
use crate::messages::client::ToSession;
use crate::messages::media::{Deliver, RunChanged, StreamKey, Welcome};
use crate::messages::rtmfp::{Datagrams, ToRtmfpSession};
use crate::metrics::{ActorKind, Alive, Metrics, Protocol};
use crate::outbox::{Backlog, Outbox, Ticketed};
use crate::rtmfp_session::RtmfpHub;
use crate::websocket_session::Texts;

/// Batches of all publications that may wait for one worker. A batch holds what one read of a
/// publisher's socket held; at 10,000 batches a second this is six seconds of a stopped arbiter.
pub const WORKER_BACKLOG: usize = 65_536;

/// Bytes that one read of a socket may take: one buffer per worker serves all its sessions.
pub(crate) const READ_BUFFER: usize = 64 << 10;

/// How often viewers' rates are measured.
const MEASURE_PERIOD: Duration = Duration::from_secs(1);

/// Viewers whose memory is fetched ahead of sending to them. Between two batches it has left the
/// cache; one after the other, each viewer would wait for its own two or three lines, while many
/// looked at in a row wait together. So many lines stay in the first level cache.
const AHEAD: usize = 16;

/// A viewer on this worker's arbiter. Calls come from the worker's handlers and must not call
/// back into [`Local`].
pub(crate) trait Viewer {
    /// Whose counters it moves.
    fn protocol(&self) -> Protocol;
    /// The cached group, at the start of the subscription.
    fn welcome(&self, running: bool, frames: &[MediaFrame], has_video: bool) -> Sent;
    /// Whether frames would leave at once; asked some viewers ahead of [`deliver`](Self::deliver).
    fn is_idle(&self) -> bool;
    /// Frames as they come.
    fn deliver(&self, frames: &[MediaFrame], has_video: bool, after_gap: bool) -> Sent;
    /// The publication started or ended.
    fn run_changed(&self, running: bool);
    /// Once a second: refresh the numbers that scripts read.
    fn measure(&self);
}

/// What a viewer did with a batch: summed up before it reaches the node's counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
    pub(crate) closed: u64,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.dropped += other.dropped;
        self.closed += other.closed;
    }
}

/// The way to a worker from any thread.
#[derive(Clone)]
pub struct WorkerHandle {
    /// Its index.
    pub index: usize,
    /// Its mailbox.
    pub to: Addr<Worker>,
    /// Its arbiter.
    pub arbiter: actix_rt::ArbiterHandle,
    backlog: Arc<Backlog>,
}

impl WorkerHandle {
    /// A bounded way for batches; all of them share one bound.
    pub fn outbox(&self) -> Outbox<Deliver> {
        Outbox::new(self.to.clone(), self.backlog.clone(), WORKER_BACKLOG)
    }
}

/// What the sessions of one arbiter share.
pub(crate) struct Local {
    /// Index of the worker.
    pub(crate) index: usize,
    viewers: RefCell<HashMap<StreamKey, Vec<Slot>>>,
    sessions: RefCell<HashMap<ClientId, Recipient<ToSession>>>,
    rtmfp: RefCell<Option<Rc<RtmfpHub>>>,
    containers: RefCell<HashMap<StreamKey, Weak<Containers>>>,
    /// Counts batches: [`Containers`] are made once per turn.
    turn: Rc<Cell<u64>>,
    http: RefCell<Option<Rc<HttpService>>>,
    /// Data messages as WebSocket viewers get them.
    pub(crate) texts: RefCell<Texts>,
    /// Read buffer of all sessions here: a session reads, then leaves it empty.
    pub(crate) scratch: RefCell<Box<[u8]>>,
}

struct Slot {
    listener: ListenerId,
    viewer: Rc<dyn Viewer>,
    /// Got its [`Welcome`]; batches before it are part of the cached group.
    joined: bool,
}

impl Local {
    fn new(index: usize) -> Self {
        Self {
            index,
            viewers: RefCell::default(),
            sessions: RefCell::default(),
            rtmfp: RefCell::default(),
            containers: RefCell::default(),
            turn: Rc::default(),
            http: RefCell::default(),
            texts: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_BUFFER].into()),
        }
    }

    /// The RTMFP sessions of this arbiter, once the node has an RTMFP port.
    pub(crate) fn rtmfp(&self) -> Option<Rc<RtmfpHub>> {
        self.rtmfp.borrow().clone()
    }

    /// Gives the arbiter its RTMFP sessions.
    pub(crate) fn set_rtmfp(&self, hub: Rc<RtmfpHub>) {
        *self.rtmfp.borrow_mut() = Some(hub);
    }

    /// What serves HTTP connections here, once the node has an HTTP port.
    pub(crate) fn http(&self) -> Option<Rc<HttpService>> {
        self.http.borrow().clone()
    }

    /// Gives the arbiter its HTTP service.
    pub(crate) fn set_http(&self, service: Rc<HttpService>) {
        *self.http.borrow_mut() = Some(service);
    }

    /// The containers that all viewers of a publication share here; they last as long as one of
    /// them does.
    pub(crate) fn containers(&self, stream: StreamKey) -> Rc<Containers> {
        let mut all = self.containers.borrow_mut();
        if let Some(known) = all.get(&stream).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, containers| containers.strong_count() > 0);
        let new = Rc::new(Containers::new(self.turn.clone()));
        all.insert(stream, Rc::downgrade(&new));
        new
    }

    /// Remembers a session, to tell it when the node stops.
    pub(crate) fn add_session(&self, client: ClientId, session: Recipient<ToSession>) {
        self.sessions.borrow_mut().insert(client, session);
    }

    /// Forgets a session.
    pub(crate) fn remove_session(&self, client: ClientId) {
        self.sessions.borrow_mut().remove(&client);
    }

    /// Adds a viewer, which waits for its [`Welcome`].
    pub(crate) fn attach(&self, stream: StreamKey, listener: ListenerId, viewer: Rc<dyn Viewer>) {
        let slot = Slot { listener, viewer, joined: false };
        self.viewers.borrow_mut().entry(stream).or_default().push(slot);
    }

    /// Takes a viewer away.
    pub(crate) fn detach(&self, stream: StreamKey, listener: ListenerId) {
        let mut viewers = self.viewers.borrow_mut();
        if let Some(slots) = viewers.get_mut(&stream) {
            if let Some(index) = slots.iter().position(|slot| slot.listener == listener) {
                slots.swap_remove(index);
            }
            if slots.is_empty() {
                viewers.remove(&stream);
            }
        }
    }
}

/// See the module's text.
pub struct Worker {
    local: Rc<Local>,
    metrics: Arc<Metrics>,
    _alive: Alive,
}

impl Worker {
    /// Starts a worker on an arbiter.
    pub fn start_on(
        arbiter: &actix_rt::ArbiterHandle,
        index: usize,
        metrics: Arc<Metrics>,
    ) -> WorkerHandle {
        let backlog = metrics.actor(ActorKind::Worker).backlog.clone();
        let to = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(0);
            let alive = metrics.alive(ActorKind::Worker);
            Self { local: Rc::new(Local::new(index)), metrics, _alive: alive }
        });
        WorkerHandle { index, to, arbiter: arbiter.clone(), backlog }
    }
}

impl Worker {
    fn count(&self, sent: [Sent; Protocol::ALL.len()]) {
        for (protocol, sent) in Protocol::ALL.into_iter().zip(sent) {
            if sent.frames + sent.dropped + sent.closed == 0 {
                continue;
            }
            let stats = self.metrics.media(protocol);
            stats.frames_out.fetch_add(sent.frames, Relaxed);
            stats.bytes_out.fetch_add(sent.bytes, Relaxed);
            stats.frames_dropped.fetch_add(sent.dropped, Relaxed);
            stats.viewers_closed.fetch_add(sent.closed, Relaxed);
        }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(MEASURE_PERIOD, |worker, _| {
            for slot in worker.local.viewers.borrow().values().flatten() {
                slot.viewer.measure();
            }
        });
    }
}

impl Handler<Ticketed<Deliver>> for Worker {
    type Result = ();

    fn handle(&mut self, message: Ticketed<Deliver>, _: &mut Self::Context) {
        let _handling = self.metrics.handling(ActorKind::Worker);
        let batch = message.message;
        self.local.turn.set(self.local.turn.get() + 1);
        let viewers = self.local.viewers.borrow();
        let mut sent = [Sent::default(); Protocol::ALL.len()];
        let slots = viewers.get(&batch.stream).map(Vec::as_slice).unwrap_or_default();
        let mut deliver = || {
            for slots in slots.chunks(AHEAD) {
                for slot in slots {
                    std::hint::black_box(slot.viewer.is_idle());
                }
                for slot in slots.iter().filter(|slot| slot.joined) {
                    let done = slot.viewer.deliver(&batch.frames, batch.has_video, batch.after_gap);
                    sent[slot.viewer.protocol() as usize].add(done);
                }
            }
        };
        match self.local.rtmfp() {
            Some(hub) => hub.turn(deliver),
            None => deliver(),
        }
        self.count(sent);
    }
}

impl Handler<Welcome> for Worker {
    type Result = ();

    fn handle(&mut self, message: Welcome, _: &mut Self::Context) {
        let _handling = self.metrics.handling(ActorKind::Worker);
        let mut viewers = self.local.viewers.borrow_mut();
        let slots = viewers.get_mut(&message.stream).into_iter().flatten();
        if let Some(slot) = slots.into_iter().find(|slot| slot.listener == message.listener) {
            slot.joined = true;
            let mut sent = [Sent::default(); Protocol::ALL.len()];
            sent[slot.viewer.protocol() as usize] =
                slot.viewer.welcome(message.running, &message.frames, message.has_video);
            self.count(sent);
        }
    }
}

impl Handler<RunChanged> for Worker {
    type Result = ();

    fn handle(&mut self, message: RunChanged, _: &mut Self::Context) {
        let _handling = self.metrics.handling(ActorKind::Worker);
        let viewers = self.local.viewers.borrow();
        for slot in viewers.get(&message.stream).into_iter().flatten().filter(|slot| slot.joined) {
            slot.viewer.run_changed(message.running);
        }
    }
}

/// Runs a function on the worker's arbiter with what its sessions share: how sessions start there.
pub(crate) struct StartSession(pub(crate) Start);

type Start = Box<dyn FnOnce(&Rc<Local>) + Send>;

impl Message for StartSession {
    type Result = ();
}

impl Handler<StartSession> for Worker {
    type Result = ();

    fn handle(&mut self, message: StartSession, _: &mut Self::Context) {
        let _handling = self.metrics.handling(ActorKind::Worker);
        (message.0)(&self.local);
    }
}

/// The node stops: every session here is told.
pub(crate) struct StopSessions;

impl Message for StopSessions {
    type Result = ();
}

impl Handler<StopSessions> for Worker {
    type Result = ();

    fn handle(&mut self, _: StopSessions, _: &mut Self::Context) {
        for session in self.local.sessions.borrow().values() {
            session.do_send(ToSession::Shutdown);
        }
    }
}

impl Handler<Ticketed<Datagrams>> for Worker {
    type Result = ();

    fn handle(&mut self, message: Ticketed<Datagrams>, _: &mut Self::Context) {
        let _handling = self.metrics.handling(ActorKind::Worker);
        if let Some(hub) = self.local.rtmfp() {
            hub.take(message.message);
        }
    }
}

impl Handler<ToRtmfpSession> for Worker {
    type Result = ();

    fn handle(&mut self, message: ToRtmfpSession, _: &mut Self::Context) {
        let _handling = self.metrics.handling(ActorKind::Worker);
        if let Some(hub) = self.local.rtmfp() {
            hub.order(message);
        }
    }
}
