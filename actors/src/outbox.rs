//! The one way to send on a bounded mailbox.
//!
//! actix 0.13: `do_send` ignores a mailbox's capacity, and each clone of an `Addr` brings a slot
//! of its own, so that only a long-lived sender is bounded at all. An [`Outbox`] therefore counts
//! for itself: units of its own choosing (messages, bytes) that are in flight between the sender
//! and the end of the receiver's handler. All outboxes of one receiver may share one [`Backlog`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::dev::ToEnvelope;
use actix::prelude::*;

/// Units that wait in a mailbox, and the highest count since it was last asked.
#[derive(Debug, Default)]
pub struct Backlog {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Backlog {
    /// Units that wait.
    pub fn len(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest count since the last call.
    pub fn take_peak(&self) -> usize {
        let now = self.len();
        self.peak.swap(now, Ordering::Relaxed).max(now)
    }

    /// Takes `units` unless that would pass `capacity`; a single message larger than the capacity
    /// is taken when nothing waits, or it could never be sent.
    pub(crate) fn try_take(self: &Arc<Self>, units: usize, capacity: usize) -> Option<Ticket> {
        let taken = self
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |now| {
                (now == 0 || now.saturating_add(units) <= capacity).then(|| now + units)
            })
            .ok()?;
        self.peak.fetch_max(taken + units, Ordering::Relaxed);
        Some(Ticket { backlog: self.clone(), units })
    }

    /// Counts `units` without a bound, for rare control messages that must not be refused.
    pub fn take(self: &Arc<Self>, units: usize) -> Ticket {
        let now = self.now.fetch_add(units, Ordering::AcqRel) + units;
        self.peak.fetch_max(now, Ordering::Relaxed);
        Ticket { backlog: self.clone(), units }
    }
}

/// A place in a mailbox: travels inside the message and is given back when the receiver drops it.
#[derive(Debug)]
pub struct Ticket {
    backlog: Arc<Backlog>,
    units: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.backlog.now.fetch_sub(self.units, Ordering::AcqRel);
    }
}

/// What became of an offered message.
#[derive(Debug)]
pub enum Offer<M> {
    /// In the mailbox, in order.
    Accepted,
    /// The bound is reached; the message comes back.
    Full(M),
    /// The receiver has stopped; the message comes back.
    Gone(M),
}

/// A message and its place in the mailbox.
#[derive(Debug)]
pub struct Ticketed<M> {
    /// The message.
    pub message: M,
    /// Given back when the handler lets go of it.
    pub ticket: Ticket,
}

impl<M: Message> Message for Ticketed<M> {
    type Result = M::Result;
}

/// Bounded sender of `M` to one actor.
#[derive(Debug)]
pub struct Outbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to: Recipient<Ticketed<M>>,
    backlog: Arc<Backlog>,
    capacity: usize,
}

impl<M> Outbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// A sender to `to` that lets at most `capacity` units wait in `backlog`.
    pub fn new<A>(to: Addr<A>, backlog: Arc<Backlog>, capacity: usize) -> Self
    where
        A: Actor + Handler<Ticketed<M>>,
        A::Context: ToEnvelope<A, Ticketed<M>>,
    {
        Self::from_recipient(to.recipient(), backlog, capacity)
    }

    /// The same, for an actor whose type the sender does not know.
    pub fn from_recipient(
        to: Recipient<Ticketed<M>>,
        backlog: Arc<Backlog>,
        capacity: usize,
    ) -> Self {
        Self { to, backlog, capacity }
    }

    /// Puts a message that weighs `units` into the mailbox, or gives it back.
    pub fn offer(&self, message: M, units: usize) -> Offer<M> {
        let Some(ticket) = self.backlog.try_take(units, self.capacity) else {
            return if self.to.connected() { Offer::Full(message) } else { Offer::Gone(message) };
        };
        if !self.to.connected() {
            return Offer::Gone(message);
        }
        self.to.do_send(Ticketed { message, ticket });
        Offer::Accepted
    }

    /// Puts a message into the mailbox whatever waits there: for control messages, whose number
    /// is bounded by what they control.
    pub fn push(&self, message: M) {
        self.to.do_send(Ticketed { message, ticket: self.backlog.take(0) });
    }

    /// Units that wait.
    pub fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::testing::run_until;

    #[derive(Message, Debug, PartialEq)]
    #[rtype(result = "()")]
    struct Number(u32);

    struct Sink(Rc<RefCell<Vec<u32>>>);
    impl Actor for Sink {
        type Context = Context<Self>;
    }
    impl Handler<Ticketed<Number>> for Sink {
        type Result = ();
        fn handle(&mut self, message: Ticketed<Number>, _: &mut Self::Context) {
            self.0.borrow_mut().push(message.message.0);
        }
    }

    #[actix::test]
    async fn an_outbox_refuses_beyond_its_capacity_and_recovers_when_the_receiver_handled() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = Sink(seen.clone()).start();
        let backlog = Arc::new(Backlog::default());
        let outbox = Outbox::new(sink, backlog.clone(), 10);
        assert!(matches!(outbox.offer(Number(1), 6), Offer::Accepted));
        assert!(matches!(outbox.offer(Number(2), 6), Offer::Full(Number(2))));
        assert!(matches!(outbox.offer(Number(3), 4), Offer::Accepted));
        run_until("both are handled", || backlog.is_empty()).await;
        assert_eq!(*seen.borrow(), [1, 3]);
        assert_eq!((backlog.take_peak(), backlog.take_peak()), (10, 0));
        assert!(matches!(outbox.offer(Number(4), 99), Offer::Accepted), "alone, any size passes");
    }

    #[actix::test]
    async fn an_outbox_knows_that_its_receiver_is_gone() {
        struct Stop;
        impl Message for Stop {
            type Result = ();
        }
        impl Handler<Stop> for Sink {
            type Result = ();
            fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
                ctx.stop();
            }
        }
        let sink = Sink(Rc::default()).start();
        let backlog = Arc::new(Backlog::default());
        let outbox = Outbox::new(sink.clone(), backlog.clone(), 10);
        sink.do_send(Stop);
        run_until("the receiver is gone", || !sink.connected()).await;
        assert!(matches!(outbox.offer(Number(1), 1), Offer::Gone(Number(1))));
        assert!(backlog.is_empty(), "what could not be sent does not count");
    }
}
