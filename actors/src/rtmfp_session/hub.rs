//! The RTMFP sessions of one arbiter: their sockets, who gets which datagram, one timer for all of
//! them.
//!
//! A datagram is given to its session's machine at once, and what the machine answers leaves in
//! the same turn; the session's actor is only woken for events. Deadlines change with nearly every
//! packet, so they stand in one heap and are looked at when they come, not kept as timers.
//! Acknowledgements of many sessions are read together ([`Patience`]).

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ramona_rtmfp::{PacketBuffer, SessionId, session_of};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tracing::warn;

use super::carrier::RtmfpCarrier;
use super::patience::Patience;
use crate::messages::rtmfp::{Datagrams, SessionOrder, Strangers, ToEndpoint, ToRtmfpSession};
use crate::metrics::Metrics;
use crate::outbox::{Offer, Outbox};
use crate::services::Services;
use crate::udp::{BATCH_SIZE, ReceiveBuffers, Udp, Watch};

/// Batches of datagrams read in one turn, so that a flood does not hold the arbiter.
const BATCHES_PER_TURN: usize = 8;

/// How often other tasks run before what a turn has to send leaves, if the turn brought events: as
/// many as a frame passes from its publisher to its viewers on this thread, and one or two to spare.
/// Its acknowledgement leaves with it then, instead of waking the publisher in between.
const HOPS: usize = 6;

/// After the socket could not be read.
const RETRY: Duration = Duration::from_millis(100);

/// Bytes of a datagram that is handed to the endpoint: a hello with a URL of 4 KiB is the longest
/// that anybody sends.
const MAX_STRANGER: usize = 8 << 10;

pub(crate) struct RtmfpHub {
    pub(super) udp: Udp,
    /// Brings small datagrams, mostly acknowledgements.
    small: Option<Udp>,
    strangers: Outbox<Strangers>,
    services: Arc<Services>,
    pub(super) endpoint: Recipient<ToEndpoint>,
    pub(super) metrics: Arc<Metrics>,
    /// Their IDs are random numbers of our own: nobody can choose them to collide.
    sessions: RefCell<FxHashMap<SessionId, Rc<RtmfpCarrier>>>,
    deadlines: RefCell<BinaryHeap<Reverse<Deadline>>>,
    /// What the timer waits for.
    sleeping_until: Cell<Option<Instant>>,
    earlier: Notify,
    pub(super) patience: RefCell<Patience>,
    /// Tells the reader that its patience is wanted, or no longer.
    changed: Notify,
    buffers: RefCell<ReceiveBuffers>,
    /// Within a turn: datagrams leave together at its end.
    in_turn: Cell<bool>,
    /// Sessions that got datagrams in this turn and have not answered.
    touched: RefCell<Vec<Rc<RtmfpCarrier>>>,
    /// Where all sessions build their datagrams, one after the other.
    pub(super) buffer: RefCell<PacketBuffer>,
}

/// When a session wants to be woken.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    /// The timer rings no later.
    latest: Instant,
    /// From here on any turn will do.
    at: Instant,
    session: SessionId,
}

impl Deadline {
    /// Of the time that a deadline is away it may be late by this part, and by no more than
    /// [`MAX_SLACK`](Self::MAX_SLACK): sessions whose alarms lie close together are woken together,
    /// and those that are sent to all the time in the turns that send. A timer of their own for each
    /// would wake the thread more often than the frames do.
    const SLACK: u32 = 8;
    const MAX_SLACK: Duration = Duration::from_millis(25);

    fn new(at: Instant, now: Instant, session: SessionId) -> Self {
        let slack = at.saturating_duration_since(now) / Self::SLACK;
        Self { latest: at + slack.min(Self::MAX_SLACK), at, session }
    }
}

impl RtmfpHub {
    pub(crate) fn new(
        udp: Udp,
        small: Option<Udp>,
        endpoint: Recipient<ToEndpoint>,
        strangers: Outbox<Strangers>,
        services: &Arc<Services>,
    ) -> Rc<Self> {
        let patience = RefCell::new(Patience::new(small.is_some(), Instant::now()));
        let hub = Rc::new(Self {
            udp,
            small,
            strangers,
            services: services.clone(),
            endpoint,
            metrics: services.metrics.clone(),
            sessions: RefCell::default(),
            deadlines: RefCell::default(),
            sleeping_until: Cell::new(None),
            earlier: Notify::new(),
            patience,
            changed: Notify::new(),
            buffers: RefCell::new(ReceiveBuffers::new()),
            in_turn: Cell::new(false),
            touched: RefCell::default(),
            buffer: RefCell::default(),
        });
        let keeper = Rc::downgrade(&hub);
        actix_rt::spawn(async move {
            while let Some(hub) = keeper.upgrade() {
                hub.keep_time().await;
            }
        });
        let reader = hub.clone();
        actix_rt::spawn(async move {
            loop {
                let Err(error) = reader.read_on().await;
                warn!(%error, "RTMFP port");
                tokio::time::sleep(RETRY).await;
            }
        });
        hub
    }

    /// Reads as long as the socket does not fail.
    async fn read_on(&self) -> io::Result<Infallible> {
        let watch = self.udp.watch()?;
        loop {
            self.read(&watch).await?;
        }
    }

    /// Waits until there is something to read, then runs a turn.
    async fn read(&self, watch: &Watch<'_>) -> io::Result<()> {
        let until = self.patience.borrow_mut().begin_wait(Instant::now());
        let small = async {
            match (until, &self.small) {
                (Some(until), _) => {
                    tokio::time::sleep_until(until.into()).await;
                    Ok(())
                }
                (None, Some(small)) => small.readable().await,
                (None, None) => std::future::pending().await,
            }
        };
        let readable = tokio::select! {
            biased;
            readable = watch.readable() => readable.map(Some),
            readable = small => readable.map(|()| None),
            () = self.changed.notified() => return Ok(()),
        };
        self.patience.borrow_mut().end_wait();
        if let Some(mut ready) = readable? {
            let outer = self.in_turn.replace(true);
            if self.receive(&self.udp, Duration::ZERO) {
                ready.clear_ready();
            }
            if self.answer() {
                // What brings a frame brings the acknowledgements of the one before.
                if until.is_some() {
                    self.receive_small();
                }
                for _ in 0..HOPS {
                    hop().await;
                }
            }
            self.end_turn(outer);
        }
        // When a part of a frame came, acknowledgements wait for the rest.
        if self.patience.borrow().is_due(Instant::now()) {
            self.turn(|| self.receive_small());
        }
        Ok(())
    }

    /// Reads the small datagrams that are there.
    fn receive_small(&self) {
        if let Some(small) = &self.small {
            let waited = self.patience.borrow_mut().read(Instant::now());
            self.receive(small, waited);
        }
    }

    /// Reads what there is, of which nothing has waited longer than `waited`; the sessions
    /// [`answer`](Self::answer) at the end of the turn. Whether that was all.
    fn receive(&self, udp: &Udp, waited: Duration) -> bool {
        let mut buffers = self.buffers.borrow_mut();
        let now = Instant::now();
        let mut strangers = Datagrams::default();
        let mut touched = self.touched.borrow_mut();
        let mut count = 0;
        let mut was_all = false;
        for _ in 0..BATCHES_PER_TURN {
            let ahead = |datagrams: &mut dyn Iterator<Item = &[u8]>| self.look_ahead(datagrams);
            let received = udp.receive(&mut buffers, ahead, |from, own, datagram| {
                count += 1;
                if self.services.blacklist.blocks(from.ip()) {
                    return;
                }
                let session = session_of(datagram);
                match session.and_then(|id| self.find(id)) {
                    Some(carrier) => {
                        carrier.take(now, waited, from, own, datagram);
                        if !carrier.is_touched.replace(true) {
                            touched.push(carrier);
                        }
                    }
                    None if datagram.len() > MAX_STRANGER => {
                        self.metrics.rtmfp.datagrams_dropped.fetch_add(1, Relaxed);
                    }
                    None => strangers.push(session, from, own, datagram),
                }
            });
            match received {
                Ok(true) => {}
                Ok(false) => {
                    was_all = true;
                    break;
                }
                Err(error) => {
                    warn!(%error, "cannot receive");
                    break;
                }
            }
        }
        self.metrics.rtmfp.datagrams_in.fetch_add(count, Relaxed);
        self.hand_over(strangers);
        was_all
    }

    /// Lets the sessions answer that got datagrams in this turn; whether one has events.
    fn answer(&self) -> bool {
        let mut brought_events = false;
        let mut touched = self.touched.take();
        for carrier in touched.drain(..) {
            carrier.is_touched.set(false);
            brought_events |= carrier.after_input();
        }
        self.touched.replace(touched);
        brought_events
    }

    /// Fetches the memory of the sessions that datagrams are for.
    fn look_ahead(&self, datagrams: &mut dyn Iterator<Item = &[u8]>) {
        let sessions = self.sessions.borrow();
        let carrier = |datagram| sessions.get(&session_of(datagram)?).map(|carrier| &**carrier);
        let carriers: SmallVec<[&RtmfpCarrier; BATCH_SIZE]> =
            datagrams.filter_map(carrier).collect();
        let look = |step| carriers.iter().fold(false, |more, one| more | one.look_ahead(step));
        (0..).find(|step| !look(*step));
    }

    fn hand_over(&self, datagrams: Datagrams) {
        let count = datagrams.items.len();
        if count == 0 {
            return;
        }
        if let Offer::Full(_) = self.strangers.offer(Strangers(datagrams), count) {
            self.metrics.rtmfp.datagrams_dropped.fetch_add(count as u64, Relaxed);
        }
    }

    /// Sleeps to the next deadline, or to an earlier one that came up meanwhile.
    async fn keep_time(&self) {
        let next = self.deadlines.borrow().peek().map(|Reverse(deadline)| deadline.latest);
        self.sleeping_until.set(next);
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => self.turn(|| self.on_deadlines()),
            () = self.earlier.notified() => {}
        }
    }

    /// Wakes the sessions whose time has come.
    fn on_deadlines(&self) {
        let now = Instant::now();
        loop {
            let due = {
                let mut deadlines = self.deadlines.borrow_mut();
                match deadlines.peek() {
                    Some(Reverse(deadline)) if deadline.at <= now => deadlines.pop(),
                    _ => None,
                }
            };
            let Some(Reverse(Deadline { at, session, .. })) = due else { break };
            if let Some(carrier) = self.find(session) {
                carrier.on_deadline(at, now);
            }
        }
    }

    /// Wakes `session` at `at` or a little later; the carrier asks only for times earlier than those
    /// it asked for before.
    pub(super) fn wake(&self, at: Instant, session: SessionId) {
        let deadline = Deadline::new(at, Instant::now(), session);
        let latest = deadline.latest;
        self.deadlines.borrow_mut().push(Reverse(deadline));
        if self.sleeping_until.get().is_none_or(|until| latest < until) {
            self.sleeping_until.set(Some(latest));
            self.earlier.notify_one();
        }
    }

    /// Runs a turn that sends media to viewers.
    pub(crate) fn deliver(&self, run: impl FnOnce()) {
        let outer = self.in_turn.get();
        self.turn(|| {
            // Within a turn of the reader, it has.
            if !outer && self.patience.borrow().is_patient() {
                self.receive_small();
            }
            run();
        });
    }

    /// Runs a turn: what its sessions send leaves together at the end.
    pub(crate) fn turn(&self, run: impl FnOnce()) {
        let outer = self.in_turn.replace(true);
        run();
        self.end_turn(outer);
    }

    /// Ends a turn that is not part of an `outer` one.
    fn end_turn(&self, outer: bool) {
        if !outer {
            self.answer();
            self.on_deadlines();
            self.in_turn.set(false);
            self.flush();
            if self.patience.borrow().has_changed() {
                self.changed.notify_one();
            }
        }
    }

    /// After a session spoke: sends at once unless a turn will.
    pub(super) fn spoke(&self) {
        if !self.in_turn.get() {
            self.flush();
        }
    }

    fn flush(&self) {
        self.udp.flush();
        let dropped = self.udp.take_dropped();
        if dropped > 0 {
            self.metrics.rtmfp.sends_dropped.fetch_add(dropped, Relaxed);
        }
    }

    pub(crate) fn add(&self, carrier: Rc<RtmfpCarrier>) {
        self.metrics.rtmfp.sessions.fetch_add(1, Relaxed);
        self.sessions.borrow_mut().insert(carrier.id(), carrier);
    }

    pub(super) fn remove(&self, id: SessionId) {
        let removed = self.sessions.borrow_mut().remove(&id);
        if let Some(carrier) = removed {
            carrier.set_held(false);
            carrier.set_unacknowledged(false);
            self.metrics.rtmfp.sessions.fetch_sub(1, Relaxed);
            self.endpoint.do_send(ToEndpoint::Ended(id));
        }
    }

    fn find(&self, id: SessionId) -> Option<Rc<RtmfpCarrier>> {
        self.sessions.borrow().get(&id).cloned()
    }

    /// Gives each datagram to its session: those that came to another worker.
    pub(crate) fn take(&self, datagrams: Datagrams) {
        let now = Instant::now();
        self.turn(|| {
            datagrams.each(|item, datagram| {
                let Some(carrier) = item.session.and_then(|id| self.find(id)) else { return };
                carrier.take(now, Duration::ZERO, item.from, item.own, datagram);
                carrier.after_input();
            });
        });
    }

    /// Does what the endpoint asks of a session.
    pub(crate) fn order(&self, order: ToRtmfpSession) {
        let Some(carrier) = self.find(order.session) else { return };
        self.turn(|| match order.order {
            SessionOrder::ForwardHello { epd, reply, tag } => {
                carrier.forward_hello(epd, reply, tag);
            }
            SessionOrder::Discard => carrier.discard(),
            SessionOrder::Replaced => carrier.replaced(),
        });
    }
}

/// Lets the tasks run that are ready now.
async fn hop() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            // Not tokio's `yield_now`, which waits for the event loop too.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
