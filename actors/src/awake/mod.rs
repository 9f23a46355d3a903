//! Threads that stay awake for a moment because the next server call is on its way.
//!
//! A call from node to node and its answer wake four threads, one after the other, and to wake one
//! whose core sleeps takes about 50 µs in a virtual machine: more than all work of the call. So the
//! thread of a link and the script's thread look for the next call without sleeping, as long as calls
//! and answers follow each other within `servers.spin`. [`Policy`] decides when; [`Awake`] does it,
//! one per thread.
//!
//! Between two looks a thread offers its core to others. Two that look share one core and see a call
//! within some microseconds; a thread with work of its own takes the core for longer than the window,
//! which is a miss, and the policy gives up.

mod policy;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use self::policy::{Ended, Policy};
use crate::metrics::AwakeStats;

/// One thread's waiting without sleep; see the module's text.
pub(crate) struct Awake {
    policy: RefCell<Policy>,
    /// Of the task that looks, while it need not.
    waker: RefCell<Option<Waker>>,
    stats: Arc<AwakeStats>,
}

impl Awake {
    /// For the present arbiter, whose end is its own. Never awake with a `window` of zero, or where
    /// nobody else could run meanwhile.
    pub(crate) fn start(window: Duration, stats: Arc<AwakeStats>) -> Rc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let window = if cores < 2 { Duration::ZERO } else { window };
        let policy = RefCell::new(Policy::new(window));
        let awake = Rc::new(Self { policy, waker: RefCell::default(), stats });
        if !window.is_zero() {
            actix_rt::spawn(awake.clone().run());
        }
        awake
    }

    /// Server calls came. `answered`: the script has sent some since the last ones came, so that
    /// the far end may have waited for them.
    pub(crate) fn arrived(&self, answered: bool) {
        let mut policy = self.policy.borrow_mut();
        let ended = policy.arrived(Instant::now(), answered);
        self.count(ended);
        if policy.is_awake()
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    fn count(&self, ended: Option<Ended>) {
        let Some(Ended { hit, waited }) = ended else { return };
        let counter = if hit { &self.stats.hits } else { &self.stats.misses };
        counter.fetch_add(1, Relaxed);
        self.stats.nanos.fetch_add(waited.as_nanos() as u64, Relaxed);
    }

    async fn run(self: Rc<Self>) {
        loop {
            poll_fn(|cx| {
                if self.policy.borrow().is_awake() {
                    return Poll::Ready(());
                }
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            std::thread::yield_now();
            // In this turn the event loop asks the system for events without waiting for any.
            tokio::task::yield_now().await;
            let ended = self.policy.borrow_mut().waited(Instant::now());
            self.count(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_until;

    #[actix::test]
    async fn a_conversation_keeps_the_thread_awake_and_its_end_lets_it_sleep() {
        let stats = Arc::<AwakeStats>::default();
        // Whoever runs this test beside others is seldom on time.
        let awake = Awake::start(Duration::from_secs(3_600), stats.clone());
        (0..100).for_each(|_| awake.arrived(true));
        if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
            return assert_eq!(stats.hits.load(Relaxed), 0);
        }
        assert_eq!(stats.hits.load(Relaxed), 95);
        assert_eq!(stats.misses.load(Relaxed), 0);

        let brief = Awake::start(Duration::from_millis(5), stats.clone());
        run_until("a look in vain", || {
            // A busy machine may need more than one try.
            if !brief.policy.borrow().is_awake() {
                (0..10).for_each(|_| brief.arrived(true));
            }
            stats.misses.load(Relaxed) > 0
        })
        .await;
        run_until("the thread sleeps", || brief.waker.borrow().is_some()).await;
        assert!(!brief.policy.borrow().is_awake());
    }
}
