//! When a thread stays awake: only while the last calls say that it is worth it.

use std::time::{Duration, Instant};

/// Calls in a row that came soon enough, before the thread stays awake for the next one.
const LEAST_PROOF: u32 = 4;

/// The proof that is asked for after many misses: a window in which nothing came is then one for so
/// many calls.
const MOST_PROOF: u32 = 128;

/// Hits in a row after which half the proof is enough again.
const FORGIVEN_AFTER: u32 = 64;

/// Arrivals since the script's last call that still are a conversation: a stream of calls that nobody
/// waits for is not worth a core.
const MOST_UNANSWERED: u32 = 4;

/// Threads that slept made the last call late: what came within so many windows may come within one
/// when they are awake. If it does not, that is a miss, and more proof is asked for.
const SLEEPY: u32 = 2;

/// Learns from the times between server calls. Without clock: time is an argument.
///
/// Of `n` arrivals, at most 6 + `n` / 40 cost a window in which nothing came.
#[derive(Debug)]
pub(super) struct Policy {
    window: Duration,
    last: Option<Instant>,
    unanswered: u32,
    /// Arrivals that came soon, of a conversation; each that did not halves it.
    proof: u32,
    /// How many are asked for.
    wanted: u32,
    hits: u32,
    /// Since when and until when the thread is awake.
    awake: Option<(Instant, Instant)>,
}

/// How a wait without sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The call came in time.
    pub(super) hit: bool,
    /// How long it took.
    pub(super) waited: Duration,
}

impl Policy {
    /// A thread that waits for at most `window` after a call; zero is never.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            last: None,
            unanswered: MOST_UNANSWERED,
            proof: 0,
            wanted: LEAST_PROOF,
            hits: 0,
            awake: None,
        }
    }

    /// Whether the thread is to be awake.
    pub(super) fn is_awake(&self) -> bool {
        self.awake.is_some()
    }

    /// Calls came. `answered`: the script has sent some since the last ones came, for which the far
    /// end may have waited.
    pub(super) fn arrived(&mut self, now: Instant, answered: bool) -> Option<Ended> {
        let ended = self.end(now);
        self.unanswered = if answered { 0 } else { self.unanswered.saturating_add(1) };
        let Some(last) = self.last.replace(now) else { return ended };
        let is_soon = now.saturating_duration_since(last) <= self.window * SLEEPY;
        let is_talk = self.unanswered < MOST_UNANSWERED;
        // One call of a hundred is late by chance, and no reason to begin anew.
        self.proof = if is_soon && is_talk { self.proof.saturating_add(1) } else { self.proof / 2 };
        if self.proof >= self.wanted && !self.window.is_zero() {
            self.awake = Some((now, now + self.window));
        }
        ended
    }

    /// Nothing came until `now`: whether that ends the wait.
    pub(super) fn waited(&mut self, now: Instant) -> Option<Ended> {
        self.awake.filter(|(_, until)| now > *until)?;
        self.end(now)
    }

    fn end(&mut self, now: Instant) -> Option<Ended> {
        let (since, until) = self.awake.take()?;
        let hit = now <= until;
        if hit {
            self.hits += 1;
            if self.hits == FORGIVEN_AFTER {
                self.hits = 0;
                self.wanted = (self.wanted / 2).max(LEAST_PROOF);
            }
        } else {
            self.hits = 0;
            self.proof = 0;
            self.wanted = (self.wanted * 2).min(MOST_PROOF);
        }
        Some(Ended { hit, waited: now.saturating_duration_since(since) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_micros(250);

    /// Calls one after the other, and a thread that looks at the clock each microsecond.
    struct Thread {
        policy: Policy,
        now: Instant,
        hits: u32,
        misses: u32,
        wasted: Duration,
    }

    impl Thread {
        fn new(window: Duration) -> Self {
            let (policy, now) = (Policy::new(window), Instant::now());
            Self { policy, now, hits: 0, misses: 0, wasted: Duration::ZERO }
        }

        fn count(&mut self, ended: Option<Ended>) {
            let Some(Ended { hit, waited }) = ended else { return };
            self.hits += u32::from(hit);
            self.misses += u32::from(!hit);
            if !hit {
                self.wasted += waited;
            }
        }

        fn call_after(&mut self, gap: Duration, answered: bool) {
            let looked = self.now + WINDOW + Duration::from_micros(1);
            self.now += gap;
            if self.now > looked {
                let ended = self.policy.waited(looked);
                self.count(ended);
            }
            let ended = self.policy.arrived(self.now, answered);
            self.count(ended);
        }

        fn calls(&mut self, count: u32, gap_us: u64, answered: bool) {
            (0..count).for_each(|_| self.call_after(Duration::from_micros(gap_us), answered));
        }
    }

    #[test]
    fn a_thread_stays_awake_while_calls_and_answers_follow_each_other() {
        let mut thread = Thread::new(WINDOW);
        // Slow at first, because everybody sleeps.
        thread.calls(1 + LEAST_PROOF, 400, true);
        assert_eq!((thread.hits, thread.policy.is_awake()), (0, true));
        thread.calls(1_000, 70, true);
        assert_eq!((thread.hits, thread.misses), (1_000, 0));
    }

    #[test]
    fn it_sleeps_when_the_conversation_ends() {
        let mut thread = Thread::new(WINDOW);
        thread.calls(100, 70, true);
        let begun = thread.now;
        assert_eq!(thread.policy.waited(begun + WINDOW), None);
        let late = begun + WINDOW + Duration::from_micros(1);
        let ended = thread.policy.waited(late).unwrap();
        assert_eq!((ended.hit, ended.waited), (false, late - begun));
        assert!(!thread.policy.is_awake());
        assert_eq!(thread.policy.waited(late), None, "said once");
    }

    #[test]
    fn calls_that_nobody_answers_keep_no_thread_awake() {
        let mut thread = Thread::new(WINDOW);
        thread.calls(10_000, 10, false);
        assert_eq!((thread.hits, thread.misses), (0, 0));
        assert!(!thread.policy.is_awake());
    }

    #[test]
    fn calls_further_apart_than_two_windows_keep_no_thread_awake() {
        let mut thread = Thread::new(WINDOW);
        thread.calls(10_000, 501, true);
        assert_eq!((thread.hits, thread.misses), (0, 0));
    }

    #[test]
    fn calls_that_come_a_little_too_late_are_given_up() {
        let mut thread = Thread::new(WINDOW);
        thread.calls(10_000, 333, true);
        assert_eq!(thread.hits, 0);
        // 4, 8, 16 … calls before each try, then 128.
        assert_eq!(thread.misses, 5 + (10_000 - 1 - (4 + 8 + 16 + 32 + 64)) / 128);
    }

    #[test]
    fn a_late_call_of_a_hundred_does_not_end_the_conversation() {
        let mut thread = Thread::new(WINDOW);
        for _ in 0..100 {
            thread.calls(99, 70, true);
            thread.calls(1, 5_000, true);
        }
        assert_eq!(thread.misses, 100);
        assert!(thread.hits > 100 * 90, "{}", thread.hits);
    }

    #[test]
    fn the_misses_of_an_evil_hour_are_forgiven() {
        let mut thread = Thread::new(WINDOW);
        thread.calls(5_000, 333, true);
        assert_eq!(thread.policy.wanted, MOST_PROOF);
        thread.calls(MOST_PROOF + 8 * FORGIVEN_AFTER, 70, true);
        assert_eq!(thread.policy.wanted, LEAST_PROOF);
    }

    #[test]
    fn a_call_that_comes_after_the_window_is_a_miss_even_if_the_thread_had_no_time_to_look() {
        let mut thread = Thread::new(WINDOW);
        thread.calls(10, 70, true);
        let ended = thread.policy.arrived(thread.now + WINDOW * 4, true).unwrap();
        assert!(!ended.hit);
        assert!(!thread.policy.is_awake());
    }

    #[test]
    fn a_window_of_zero_is_never() {
        let mut thread = Thread::new(Duration::ZERO);
        thread.calls(1_000, 0, true);
        assert!(!thread.policy.is_awake());
    }

    proptest! {
        #[test]
        fn misses_are_few_beside_the_calls(
            parts in proptest::collection::vec((0..1_500_u32, 0..800_u64, any::<bool>()), 1..30),
        ) {
            let mut thread = Thread::new(WINDOW);
            let mut calls = 0;
            for (count, gap_us, answered) in parts {
                thread.calls(count, gap_us, answered);
                calls += count;
                prop_assert!(thread.misses <= 6 + calls / 40);
                prop_assert!(thread.wasted <= (WINDOW + Duration::from_micros(1)) * thread.misses);
            }
        }
    }
}
