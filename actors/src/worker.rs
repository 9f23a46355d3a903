//! Worker: one per arbiter. It starts sessions there, keeps the arbiter's viewers by publication
//! and hands each batch to all of them in one message: a publication's cost per viewer is the
//! viewer's own write.

mod local;
mod viewer;
mod waiting;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

pub(crate) use self::local::Local;
use self::viewer::count;
pub(crate) use self::viewer::{Sent, Viewer};
use self::waiting::Waiting;
use crate::awake::Awake;
use crate::messages::client::ToSession;
use crate::messages::media::{Deliver, RunChanged, Welcome};
use crate::messages::rtmfp::{Datagrams, ToRtmfpSession};
use crate::metrics::{ActorKind, Alive, Metrics, Protocol};
use crate::outbox::{Backlog, Outbox, Ticketed};
use crate::scheduling::prefer_short_slices;

/// Batches of all publications that may wait for one worker. A batch holds what one read of a
/// publisher's socket held; at 10,000 batches a second this is six seconds of a stopped arbiter.
pub const WORKER_BACKLOG: usize = 65_536;

/// How often viewers' rates are measured.
const MEASURE_PERIOD: Duration = Duration::from_secs(1);

/// Batches that wait for an empty mailbox; beyond, they are sent in the middle of it.
const MOST_WAITING: usize = 64;

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

/// See the module's text.
pub struct Worker {
    local: Rc<Local>,
    /// Batches that are sent as soon as the mailbox is empty.
    waiting: Waiting,
    metrics: Arc<Metrics>,
    _alive: Alive,
}

impl Worker {
    /// Starts a worker on an arbiter; `spin`: how long it stays awake for the next server call.
    pub fn start_on(
        arbiter: &actix_rt::ArbiterHandle,
        index: usize,
        spin: Duration,
        metrics: Arc<Metrics>,
    ) -> WorkerHandle {
        let backlog = metrics.actor(ActorKind::Worker).backlog.clone();
        let to = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(0);
            let alive = metrics.alive(ActorKind::Worker);
            let local = Rc::new(Local::new(index, Awake::start(spin, metrics.links_awake.clone())));
            Self { local, waiting: Waiting::default(), metrics, _alive: alive }
        });
        WorkerHandle { index, to, arbiter: arbiter.clone(), backlog }
    }

    /// Sends all that waits.
    fn deliver(&mut self) {
        let Self { local, waiting, metrics, .. } = self;
        waiting.send_all(|batch| count(metrics, local.deliver(batch)));
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        prefer_short_slices();
        ctx.run_interval(MEASURE_PERIOD, |worker, _| {
            for slot in worker.local.viewers.borrow().values().flatten() {
                slot.viewer.measure();
            }
        });
    }
}

impl Handler<Ticketed<Deliver>> for Worker {
    type Result = ();

    fn handle(&mut self, message: Ticketed<Deliver>, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Worker);
        if self.waiting.len() == 0 {
            // Handled when the mailbox is empty.
            ctx.notify(SendWaiting);
        }
        self.waiting.keep(message);
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
    use ramona_media::{MediaFrame, MediaKind};
    use ramona_script::ListenerId;

    use super::waiting::MERGED_FRAMES;
    use super::*;
    use crate::messages::media::StreamKey;
    use crate::testing::run_until;

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
        fn look_ahead(&self, _: usize) -> bool {
            false
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
        let worker = Worker::start_on(&arbiter, 0, Duration::ZERO, metrics.clone());
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
        let backlog = &metrics.actor(ActorKind::Worker).backlog;
        run_until("all is sent", || first.lock().unwrap().len() >= 6 && backlog.is_empty()).await;
        let common = [('d', vec![4, 5]), ('g', vec![9, 10]), ('r', vec![]), ('d', vec![11])];
        let expected = [&[('w', vec![0]), ('d', vec![1, 2, 3])][..], &common].concat();
        assert_eq!(*first.lock().unwrap(), expected);
        let expected = [&[('w', vec![0])][..], &common].concat();
        assert_eq!(*second.lock().unwrap(), expected);
    }

    #[actix::test]
    async fn a_flood_is_sent_in_pieces_of_a_bounded_number_of_frames() {
        let metrics = Arc::new(Metrics::default());
        let worker =
            Worker::start_on(&actix_rt::Arbiter::current(), 0, Duration::ZERO, metrics.clone());
        let calls = Calls::default();
        let viewer = calls.clone();
        worker.to.do_send(StartSession(Box::new(move |local| {
            local.attach(STREAM, ListenerId(1), Rc::new(Recorder(viewer)));
        })));
        worker.to.do_send(welcome(ListenerId(1)));
        let out = worker.outbox();
        let count = 10 * MERGED_FRAMES as u32 + 1;
        (1..=count).for_each(|time| drop(out.offer(batch(&[time], false), 1)));
        let backlog = &metrics.actor(ActorKind::Worker).backlog;
        run_until("all is sent", || backlog.is_empty()).await;
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), 1 + 11);
        assert!(calls.iter().all(|(_, times)| times.len() <= MERGED_FRAMES));
        let times: Vec<u32> = calls[1..].iter().flat_map(|(_, times)| times.clone()).collect();
        assert_eq!(times, (1..=count).collect::<Vec<_>>());
    }
}
