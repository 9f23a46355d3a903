//! What sessions tell each other about real-time data (RFC 7016 §3.5.2.1): the one thing that they
//! share, made of atomics so that they may live on different threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// News about real-time data counts for this long.
pub(crate) const FRESHNESS: Duration = Duration::from_millis(800);

/// When time-critical packets were last sent by any session and received by which.
#[derive(Clone, Debug)]
pub(crate) struct TimeCritical {
    epoch: Instant,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Milliseconds after the epoch, plus one; 0: never.
    sent: AtomicU64,
    /// The latest reception and the latest one of another session: milliseconds plus one, shifted
    /// over the session's ID. A race between sessions costs an entry, which is harmless.
    received: [AtomicU64; 2],
}

impl TimeCritical {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, shared: Arc::default() }
    }

    fn stamp(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64 + 1
    }

    fn is_fresh(stamp: u64, now: u64) -> bool {
        stamp != 0 && now.saturating_sub(stamp) < FRESHNESS.as_millis() as u64
    }

    pub(crate) fn note_sent(&self, now: Instant) {
        self.shared.sent.store(self.stamp(now), Ordering::Relaxed);
    }

    pub(crate) fn note_received(&self, now: Instant, session: u32) {
        let [latest, other] = &self.shared.received;
        let before = latest.load(Ordering::Relaxed);
        if before as u32 != session && before != 0 {
            other.store(before, Ordering::Relaxed);
        }
        latest.store(self.stamp(now) << 32 | u64::from(session), Ordering::Relaxed);
    }

    /// Whether any session sent time-critical data lately.
    pub(crate) fn was_sent(&self, now: Instant) -> bool {
        Self::is_fresh(self.shared.sent.load(Ordering::Relaxed), self.stamp(now))
    }

    /// Whether a session other than `session` received time-critical data lately.
    pub(crate) fn was_received_elsewhere(&self, now: Instant, session: u32) -> bool {
        let now = self.stamp(now);
        self.shared.received.iter().any(|received| {
            let received = received.load(Ordering::Relaxed);
            received as u32 != session && Self::is_fresh(received >> 32, now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::raw::TestInstant;

    #[test]
    fn rtmfp_074_only_news_of_other_sessions_counts() {
        let start = Instant::now_for_tests();
        let at = |ms| start + Duration::from_millis(ms);
        let shared = TimeCritical::new(start);
        assert!(!shared.was_received_elsewhere(at(0), 1) && !shared.was_sent(at(0)));
        shared.note_received(at(0), 1);
        assert!(!shared.was_received_elsewhere(at(10), 1));
        assert!(shared.was_received_elsewhere(at(10), 2));
        shared.note_received(at(100), 2);
        shared.note_received(at(200), 2);
        assert!(shared.was_received_elsewhere(at(799), 2), "session 1, at 0");
        assert!(!shared.was_received_elsewhere(at(800), 2));
        assert!(shared.was_received_elsewhere(at(999), 1));
        assert!(!shared.was_received_elsewhere(at(1000), 1));
        shared.note_sent(at(1000));
        assert!(shared.was_sent(at(1799)) && !shared.was_sent(at(1800)));
    }
}
