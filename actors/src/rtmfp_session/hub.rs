//! The RTMFP sessions of one arbiter: their socket, who gets which datagram, one timer for all of
//! them.
//!
//! A datagram is given to its session's machine at once, and what the machine answers leaves in
//! the same turn; the session's actor is only woken for events. Deadlines change with nearly every
//! packet, so they stand in one heap and are looked at when they come, not kept as timers.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ramona_rtmfp::{PacketBuffer, SessionId, session_of};
use smallvec::SmallVec;
use tokio::sync::Notify;
use tracing::warn;

use super::carrier::RtmfpCarrier;
use crate::messages::rtmfp::{Datagrams, SessionOrder, Strangers, ToEndpoint, ToRtmfpSession};
use crate::metrics::Metrics;
use crate::outbox::{Offer, Outbox};
use crate::services::Services;
use crate::udp::{BATCH_SIZE, ReceiveBuffers, Udp};

/// Batches of datagrams read in one turn, so that a flood does not hold the arbiter.
const BATCHES_PER_TURN: usize = 8;

/// After a turn that brought nothing but acknowledgements, which nothing waited for, the next one
/// comes no earlier. A message to many viewers is acknowledged by one after another: each on its own
/// would cost a wake-up of the thread, which is more than to send the message. The clock of the
/// event loop makes one to two milliseconds of it.
const PAUSE: Duration = Duration::from_millis(1);

/// After the socket could not be read.
const RETRY: Duration = Duration::from_millis(100);

/// Bytes of a datagram that is handed to the endpoint: a hello with a URL of 4 KiB is the longest
/// that anybody sends.
const MAX_STRANGER: usize = 8 << 10;

pub(crate) struct RtmfpHub {
    pub(super) udp: Udp,
    strangers: Outbox<Strangers>,
    services: Arc<Services>,
    pub(super) endpoint: Recipient<ToEndpoint>,
    pub(super) metrics: Arc<Metrics>,
    sessions: RefCell<HashMap<SessionId, Rc<RtmfpCarrier>>>,
    deadlines: RefCell<BinaryHeap<Reverse<(Instant, SessionId)>>>,
    /// What the timer waits for.
    sleeping_until: Cell<Option<Instant>>,
    earlier: Notify,
    /// Sessions that wait for acknowledgements to send more.
    held: Cell<usize>,
    /// The next turn waits for [`PAUSE`].
    pauses: Cell<bool>,
    /// Within a turn: datagrams leave together at its end.
    in_turn: Cell<bool>,
    /// Where all sessions build their datagrams, one after the other.
    pub(super) buffer: RefCell<PacketBuffer>,
}

impl RtmfpHub {
    pub(crate) fn new(
        udp: Udp,
        endpoint: Recipient<ToEndpoint>,
        strangers: Outbox<Strangers>,
        services: &Arc<Services>,
    ) -> Rc<Self> {
        let hub = Rc::new(Self {
            udp,
            strangers,
            services: services.clone(),
            endpoint,
            metrics: services.metrics.clone(),
            sessions: RefCell::default(),
            deadlines: RefCell::default(),
            sleeping_until: Cell::new(None),
            earlier: Notify::new(),
            held: Cell::new(0),
            pauses: Cell::new(false),
            in_turn: Cell::new(false),
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
            let mut buffers = ReceiveBuffers::new();
            loop {
                reader.read(&mut buffers).await;
            }
        });
        hub
    }

    /// Waits until there is something to read, then runs a turn.
    async fn read(&self, buffers: &mut ReceiveBuffers) {
        if self.pauses.take() {
            tokio::time::sleep(PAUSE).await;
        } else if let Err(error) = self.udp.readable().await {
            warn!(%error, "RTMFP port");
            tokio::time::sleep(RETRY).await;
        }
        self.receive(buffers);
    }

    fn receive(&self, buffers: &mut ReceiveBuffers) {
        let now = Instant::now();
        let mut strangers = Datagrams::default();
        let mut touched: Vec<Rc<RtmfpCarrier>> = Vec::new();
        let mut count = 0;
        let mut brought_events = false;
        self.turn(|| {
            for _ in 0..BATCHES_PER_TURN {
                let ahead = |datagrams: &mut dyn Iterator<Item = &[u8]>| self.look_ahead(datagrams);
                let received = self.udp.receive(buffers, ahead, |from, own, datagram| {
                    count += 1;
                    if self.services.blacklist.blocks(from.ip()) {
                        return;
                    }
                    let session = session_of(datagram);
                    match session.and_then(|id| self.find(id)) {
                        Some(carrier) => {
                            carrier.take(now, from, own, datagram);
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
                    Ok(false) => break,
                    Err(error) => {
                        warn!(%error, "cannot receive");
                        break;
                    }
                }
            }
            for carrier in touched.drain(..) {
                carrier.is_touched.set(false);
                brought_events |= carrier.after_input();
            }
        });
        self.metrics.rtmfp.datagrams_in.fetch_add(count, Relaxed);
        let is_quiet = count > 0 && !brought_events && strangers.items.is_empty();
        self.pauses.set(is_quiet && self.held.get() == 0);
        self.hand_over(strangers);
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

    /// A session begins or ceases to wait for acknowledgements.
    pub(super) fn count_held(&self, is_held: bool) {
        let held = self.held.get();
        self.held.set(if is_held { held + 1 } else { held.saturating_sub(1) });
    }

    /// Sleeps to the next deadline, or to an earlier one that came up meanwhile.
    async fn keep_time(&self) {
        let next = self.deadlines.borrow().peek().map(|Reverse((at, _))| *at);
        self.sleeping_until.set(next);
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => self.on_deadlines(),
            () = self.earlier.notified() => {}
        }
    }

    fn on_deadlines(&self) {
        let now = Instant::now();
        self.turn(|| {
            loop {
                let due = {
                    let mut deadlines = self.deadlines.borrow_mut();
                    match deadlines.peek() {
                        Some(Reverse((at, _))) if *at <= now => deadlines.pop(),
                        _ => None,
                    }
                };
                let Some(Reverse((at, id))) = due else { break };
                if let Some(carrier) = self.find(id) {
                    carrier.on_deadline(at, now);
                }
            }
        });
    }

    /// Wakes `id` at `at`; the carrier asks only for times earlier than those it asked for before.
    pub(super) fn wake(&self, at: Instant, id: SessionId) {
        self.deadlines.borrow_mut().push(Reverse((at, id)));
        if self.sleeping_until.get().is_none_or(|until| at < until) {
            self.sleeping_until.set(Some(at));
            self.earlier.notify_one();
        }
    }

    /// Runs a turn: what its sessions send leaves together at the end.
    pub(crate) fn turn(&self, run: impl FnOnce()) {
        let outer = self.in_turn.replace(true);
        run();
        self.in_turn.set(outer);
        if !outer {
            self.flush();
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
                carrier.take(now, item.from, item.own, datagram);
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
