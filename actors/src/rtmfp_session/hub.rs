//! The RTMFP sessions of one arbiter: who gets which datagram, one timer for all of them.
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
use std::time::Instant;

use actix::prelude::*;
use ramona_rtmfp::SessionId;
use tokio::sync::Notify;

use super::carrier::RtmfpCarrier;
use crate::messages::rtmfp::{Datagrams, SessionOrder, ToEndpoint, ToRtmfpSession};
use crate::metrics::Metrics;
use crate::udp::Udp;

pub(crate) struct RtmfpHub {
    pub(super) udp: Udp,
    pub(super) endpoint: Recipient<ToEndpoint>,
    pub(super) metrics: Arc<Metrics>,
    sessions: RefCell<HashMap<SessionId, Rc<RtmfpCarrier>>>,
    deadlines: RefCell<BinaryHeap<Reverse<(Instant, SessionId)>>>,
    /// What the timer waits for.
    sleeping_until: Cell<Option<Instant>>,
    earlier: Notify,
    /// Within a turn: datagrams leave together at its end.
    in_turn: Cell<bool>,
}

impl RtmfpHub {
    pub(crate) fn new(
        udp: Udp,
        endpoint: Recipient<ToEndpoint>,
        metrics: Arc<Metrics>,
    ) -> Rc<Self> {
        let hub = Rc::new(Self {
            udp,
            endpoint,
            metrics,
            sessions: RefCell::default(),
            deadlines: RefCell::default(),
            sleeping_until: Cell::new(None),
            earlier: Notify::new(),
            in_turn: Cell::new(false),
        });
        let keeper = Rc::downgrade(&hub);
        actix_rt::spawn(async move {
            while let Some(hub) = keeper.upgrade() {
                hub.keep_time().await;
            }
        });
        hub
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
        if self.sessions.borrow_mut().remove(&id).is_some() {
            self.metrics.rtmfp.sessions.fetch_sub(1, Relaxed);
            self.endpoint.do_send(ToEndpoint::Ended(id));
        }
    }

    fn find(&self, id: SessionId) -> Option<Rc<RtmfpCarrier>> {
        self.sessions.borrow().get(&id).cloned()
    }

    /// Gives each datagram to its session.
    pub(crate) fn take(&self, mut datagrams: Datagrams) {
        let now = Instant::now();
        self.turn(|| {
            let mut touched: Vec<Rc<RtmfpCarrier>> = Vec::new();
            let mut rest = &mut datagrams.bytes[..];
            for (id, from, to, length) in datagrams.items {
                let (datagram, after) = rest.split_at_mut(length);
                rest = after;
                let Some(carrier) = self.find(id) else { continue };
                carrier.take(now, from, to, datagram);
                if !touched.iter().any(|known| Rc::ptr_eq(known, &carrier)) {
                    touched.push(carrier);
                }
            }
            for carrier in touched {
                carrier.after_input();
            }
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
