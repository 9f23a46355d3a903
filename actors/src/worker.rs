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
use smallvec::{SmallVec, smallvec};

use crate::http_live::Containers;
use crate::http_session::HttpService;
use crate::messages::client::ToSession;
use crate::messages::media::{Deliver, RunChanged, StreamKey, Welcome};
use crate::messages::rtmfp::{Datagrams, ToRtmfpSession};
use crate::metrics::{ActorKind, Alive, Metrics, Protocol};
use crate::outbox::{Backlog, Outbox, Ticket, Ticketed};
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

/// Frames that are sent as one although they came apart: as many as one read of a publisher's socket
/// holds at a usual rate. Behind that a viewer's own queue would be passed over for too long.
const MERGED_FRAMES: usize = 64;

/// Batches that wait for an empty mailbox; beyond, they are sent in the middle of it.
const MOST_WAITING: usize = 64;

/// Batches looked at to find one of the same publication that still waits.
const MERGED_AMONG: usize = 8;

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
    /// Batches that are sent as soon as the mailbox is empty. Those of one publication leave
    /// together: a worker that is behind catches up by fewer and larger writes.
    waiting: Vec<Waiting>,
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
            let local = Rc::new(Local::new(index));
            Self { local, waiting: Vec::new(), metrics, _alive: alive }
        });
        WorkerHandle { index, to, arbiter: arbiter.clone(), backlog }
    }
}

fn count(metrics: &Metrics, sent: [Sent; Protocol::ALL.len()]) {
    for (protocol, sent) in Protocol::ALL.into_iter().zip(sent) {
        if sent.frames + sent.dropped + sent.closed == 0 {
            continue;
        }
        let stats = metrics.media(protocol);
        stats.frames_out.fetch_add(sent.frames, Relaxed);
        stats.bytes_out.fetch_add(sent.bytes, Relaxed);
        stats.frames_dropped.fetch_add(sent.dropped, Relaxed);
        stats.viewers_closed.fetch_add(sent.closed, Relaxed);
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

/// Frames of one publication that came one after the other.
struct Waiting {
    batch: Deliver,
    /// Those behind the batch.
    more: Vec<MediaFrame>,
    /// Places in the mailbox, kept until all is sent.
    tickets: SmallVec<[Ticket; 1]>,
}

impl Worker {
    /// Keeps a batch behind those of its publication that wait.
    fn keep(&mut self, message: Ticketed<Deliver>) {
        let Ticketed { message: batch, ticket } = message;
        let mut newest = self.waiting.iter_mut().rev().take(MERGED_AMONG);
        if let Some(waiting) = newest.find(|waiting| waiting.batch.stream == batch.stream)
            && !batch.after_gap
            && waiting.batch.frames.len() + waiting.more.len() + batch.frames.len() <= MERGED_FRAMES
        {
            waiting.more.extend(batch.frames.iter().cloned());
            waiting.batch.has_video = batch.has_video;
            waiting.tickets.push(ticket);
            return;
        }
        self.waiting.push(Waiting { batch, more: Vec::new(), tickets: smallvec![ticket] });
    }

    /// Sends all that waits.
    fn deliver(&mut self) {
        for Waiting { mut batch, more, tickets } in self.waiting.drain(..) {
            if !more.is_empty() {
                batch.frames = batch.frames.iter().cloned().chain(more).collect();
            }
            let sent = send(&self.local, &batch);
            count(&self.metrics, sent);
            drop(tickets);
        }
    }
}

fn send(local: &Local, batch: &Deliver) -> [Sent; Protocol::ALL.len()] {
    local.turn.set(local.turn.get() + 1);
    let viewers = local.viewers.borrow();
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
    match local.rtmfp() {
        Some(hub) => hub.turn(deliver),
        None => deliver(),
    }
    sent
}

impl Handler<Ticketed<Deliver>> for Worker {
    type Result = ();

    fn handle(&mut self, message: Ticketed<Deliver>, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Worker);
        if self.waiting.is_empty() {
            // Handled when the mailbox is empty.
            ctx.notify(SendWaiting);
        }
        self.keep(message);
        if self.waiting.len() >= MOST_WAITING {
            self.deliver();
        }
    }
}

/// The mailbox is empty.
struct SendWaiting;

impl Message for SendWaiting {
    type Result = ();
}

impl Handler<SendWaiting> for Worker {
    type Result = ();

    fn handle(&mut self, _: SendWaiting, _: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Worker);
        self.deliver();
    }
}

impl Handler<Welcome> for Worker {
    type Result = ();

    fn handle(&mut self, message: Welcome, _: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Worker);
        // What came before is part of the cached group.
        self.deliver();
        let mut viewers = self.local.viewers.borrow_mut();
        let slots = viewers.get_mut(&message.stream).into_iter().flatten();
        if let Some(slot) = slots.into_iter().find(|slot| slot.listener == message.listener) {
            slot.joined = true;
            let mut sent = [Sent::default(); Protocol::ALL.len()];
            sent[slot.viewer.protocol() as usize] =
                slot.viewer.welcome(message.running, &message.frames, message.has_video);
            count(&metrics, sent);
        }
    }
}

impl Handler<RunChanged> for Worker {
    type Result = ();

    fn handle(&mut self, message: RunChanged, _: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Worker);
        self.deliver();
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use ramona_media::MediaKind;

    use super::*;

    type Calls = Arc<Mutex<Vec<(char, Vec<u32>)>>>;

    /// Notes the times of what it gets.
    struct Recorder(Calls);

    impl Recorder {
        fn note(&self, kind: char, frames: &[MediaFrame]) -> Sent {
            let times = frames.iter().map(|frame| frame.timestamp_ms).collect();
            self.0.lock().unwrap().push((kind, times));
            Sent::default()
        }
    }

    impl Viewer for Recorder {
        fn protocol(&self) -> Protocol {
            Protocol::Rtmp
        }
        fn welcome(&self, _: bool, frames: &[MediaFrame], _: bool) -> Sent {
            self.note('w', frames)
        }
        fn is_idle(&self) -> bool {
            true
        }
        fn deliver(&self, frames: &[MediaFrame], _: bool, after_gap: bool) -> Sent {
            self.note(if after_gap { 'g' } else { 'd' }, frames)
        }
        fn run_changed(&self, _: bool) {
            self.note('r', &[]);
        }
        fn measure(&self) {}
    }

    fn frames(times: &[u32]) -> Arc<[MediaFrame]> {
        let frame =
            |time: &u32| MediaFrame::new(MediaKind::Audio, *time, Bytes::from_static(b"\xAF\x01a"));
        times.iter().map(frame).collect()
    }

    const STREAM: StreamKey = StreamKey(7);

    fn batch(times: &[u32], after_gap: bool) -> Deliver {
        Deliver { stream: STREAM, frames: frames(times), has_video: false, after_gap }
    }

    fn welcome(listener: ListenerId) -> Welcome {
        Welcome { stream: STREAM, listener, running: true, frames: frames(&[0]), has_video: false }
    }

    #[actix::test]
    async fn batches_that_wait_together_are_sent_together_and_never_past_a_welcome() {
        let metrics = Arc::new(Metrics::default());
        let arbiter = actix_rt::Arbiter::current();
        let worker = Worker::start_on(&arbiter, 0, metrics.clone());
        let (first, second) = (Calls::default(), Calls::default());
        let viewers = [(ListenerId(1), first.clone()), (ListenerId(2), second.clone())];
        worker.to.do_send(StartSession(Box::new(move |local| {
            for (listener, calls) in viewers {
                local.attach(STREAM, listener, Rc::new(Recorder(calls)));
            }
        })));
        let out = worker.outbox();
        worker.to.do_send(welcome(ListenerId(1)));
        out.offer(batch(&[1], false), 1);
        out.offer(batch(&[2, 3], false), 1);
        worker.to.do_send(welcome(ListenerId(2)));
        out.offer(batch(&[4], false), 1);
        out.offer(batch(&[5], false), 1);
        out.offer(batch(&[9], true), 1);
        out.offer(batch(&[10], false), 1);
        worker.to.do_send(RunChanged { stream: STREAM, running: false });
        out.offer(batch(&[11], false), 1);
        // All of it lies in the mailbox: nothing has run on this thread meanwhile.
        while first.lock().unwrap().len() < 6
            || !metrics.actor(ActorKind::Worker).backlog.is_empty()
        {
            tokio::task::yield_now().await;
        }
        let common = [('d', vec![4, 5]), ('g', vec![9, 10]), ('r', vec![]), ('d', vec![11])];
        let expected = [&[('w', vec![0]), ('d', vec![1, 2, 3])][..], &common].concat();
        assert_eq!(*first.lock().unwrap(), expected);
        let expected = [&[('w', vec![0])][..], &common].concat();
        assert_eq!(*second.lock().unwrap(), expected);
    }

    #[actix::test]
    async fn a_flood_is_sent_in_pieces_of_a_bounded_number_of_frames() {
        let metrics = Arc::new(Metrics::default());
        let worker = Worker::start_on(&actix_rt::Arbiter::current(), 0, metrics.clone());
        let calls = Calls::default();
        let viewer = calls.clone();
        worker.to.do_send(StartSession(Box::new(move |local| {
            local.attach(STREAM, ListenerId(1), Rc::new(Recorder(viewer)));
        })));
        worker.to.do_send(welcome(ListenerId(1)));
        let out = worker.outbox();
        let count = 10 * MERGED_FRAMES as u32 + 1;
        (1..=count).for_each(|time| drop(out.offer(batch(&[time], false), 1)));
        while !metrics.actor(ActorKind::Worker).backlog.is_empty() {
            tokio::task::yield_now().await;
        }
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), 1 + 11);
        assert!(calls.iter().all(|(_, times)| times.len() <= MERGED_FRAMES));
        let times: Vec<u32> = calls[1..].iter().flat_map(|(_, times)| times.clone()).collect();
        assert_eq!(times, (1..=count).collect::<Vec<_>>());
    }
}
