use std::time::Duration;

/// Shortest wait before a target is dialled again.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);

/// Longest wait; the script API's documents promise a try every 10 s (CLU-01).
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A link that lived this long starts the next series of waits from the beginning. A shorter one
/// does not: a target that accepts and then refuses must not be dialled twice a second for ever.
const SETTLED_AFTER: Duration = BACKOFF_MAX;

/// Wait before dial number `attempt` (0 = the first one after a failure).
///
/// The ceiling doubles from 1 s to [`BACKOFF_MAX`]; `random` (uniform over all of `u64`) picks a
/// point in its upper half, so that nodes which lost the same peer together come back apart.
pub fn backoff_delay(attempt: u32, random: u64) -> Duration {
    let ceiling = (BACKOFF_MIN * 2).saturating_mul(1 << attempt.min(16)).min(BACKOFF_MAX);
    let half = ceiling / 2;
    // The upper 32 bits as a fraction of 2^32; `half` is at most 5e9 ns, so the product fits.
    let jitter = (half.as_nanos() as u64).saturating_mul(random >> 40) >> 24;
    half + Duration::from_nanos(jitter)
}

/// The waits of one target: longer after each failure, short again after a link that lasted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    attempt: u32,
}

impl Backoff {
    /// Wait before the next dial; each call counts as one failure.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let delay = backoff_delay(self.attempt, random);
        self.attempt = self.attempt.saturating_add(1);
        delay
    }

    /// Tells that a link to the target ended after being up for `up_for`.
    pub fn link_ended(&mut self, up_for: Duration) {
        if up_for >= SETTLED_AFTER {
            self.attempt = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_wait_is_within_the_bounds(attempt: u32, random: u64) {
            let delay = backoff_delay(attempt, random);
            prop_assert!((BACKOFF_MIN..=BACKOFF_MAX).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let ms: Vec<_> = (0..7).map(|_| backoff.next_delay(0).as_millis()).collect();
        assert_eq!(ms, [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        let longest = backoff_delay(9, u64::MAX);
        assert!(longest > BACKOFF_MAX - Duration::from_millis(1), "{longest:?}");
    }

    #[test]
    fn waits_spread_over_half_of_the_ceiling() {
        assert_eq!(backoff_delay(0, 1 << 63).as_millis(), 750);
        assert_eq!(backoff_delay(5, 1 << 62).as_millis(), 6_250);
    }

    #[test]
    fn only_a_link_that_lasted_starts_over() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next_delay(0);
        }
        backoff.link_ended(Duration::from_secs(9));
        assert_eq!(backoff.next_delay(0).as_millis(), 5_000);
        backoff.link_ended(Duration::from_secs(10));
        assert_eq!(backoff.next_delay(0).as_millis(), 500);
    }
}
