use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Powers of two from 256 ns to 2^39 ns (9 minutes), each cut in four: a quantile is at most a
/// quarter too high.
const STEPS: usize = 4;
const FIRST_BIT: u32 = 8;
const LAST_BIT: u32 = 39;
const BUCKETS: usize = (LAST_BIT - FIRST_BIT) as usize * STEPS + 1;

/// Durations in fixed buckets of atomics: any thread records, one reads.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

/// What a histogram says of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Durations recorded.
    pub count: u64,
    /// Half took at most this.
    pub p50: Duration,
    /// 99 % took at most this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// Counts of all buckets at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot([u64; BUCKETS]);

impl Default for Snapshot {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
        self.max_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// Sum of all durations since the start.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }

    /// How many durations were recorded since the start.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Quantiles of what came since `last`, which becomes the present; the maximum starts anew.
    pub fn since(&self, last: &mut Snapshot) -> Quantiles {
        let mut now = Snapshot::default();
        for (slot, bucket) in now.0.iter_mut().zip(&self.buckets) {
            *slot = bucket.load(Ordering::Relaxed);
        }
        let period: Vec<u64> =
            now.0.iter().zip(&last.0).map(|(now, last)| now.saturating_sub(*last)).collect();
        *last = now;
        let count: u64 = period.iter().sum();
        let max = Duration::from_nanos(self.max_ns.swap(0, Ordering::Relaxed));
        let quantile = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            for (index, n) in period.iter().enumerate() {
                seen += n;
                if seen >= rank {
                    return Duration::from_nanos(upper_bound(index)).min(max);
                }
            }
            max
        };
        if count == 0 {
            return Quantiles::default();
        }
        Quantiles { count, p50: quantile(50), p99: quantile(99), max }
    }
}

fn bucket(ns: u64) -> usize {
    let bit = 63 - (ns | 1).leading_zeros();
    if bit < FIRST_BIT {
        return 0;
    }
    if bit >= LAST_BIT {
        return BUCKETS - 1;
    }
    let step = (ns >> (bit - 2)) as usize & (STEPS - 1);
    (bit - FIRST_BIT) as usize * STEPS + step
}

fn upper_bound(index: usize) -> u64 {
    let bit = FIRST_BIT + (index / STEPS) as u32;
    let step = (index % STEPS) as u64 + 1;
    (1 << bit) + step * (1 << (bit - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_quarter_too_high() {
        let histogram = Histogram::default();
        let mut last = Snapshot::default();
        for us in 1..=1_000 {
            histogram.record(Duration::from_micros(us));
        }
        let q = histogram.since(&mut last);
        assert_eq!((q.count, q.max), (1_000, Duration::from_millis(1)));
        for (found, exact) in [(q.p50, 500), (q.p99, 990)] {
            let exact = Duration::from_micros(exact);
            assert!(found >= exact && found <= exact * 5 / 4, "{found:?} for {exact:?}");
        }
    }

    #[test]
    fn a_period_forgets_the_one_before() {
        let histogram = Histogram::default();
        let mut last = Snapshot::default();
        histogram.record(Duration::from_secs(1));
        histogram.since(&mut last);
        assert_eq!(histogram.since(&mut last), Quantiles::default());
        histogram.record(Duration::from_nanos(1));
        let q = histogram.since(&mut last);
        assert_eq!((q.count, q.max), (1, Duration::from_nanos(1)));
        assert_eq!(histogram.count(), 2);
    }

    #[test]
    fn extremes_have_a_bucket() {
        for ns in [0, 1, 255, 256, 1 << 38, (1 << 39) - 1, 1 << 39, u64::MAX] {
            let index = bucket(ns);
            assert!(index < BUCKETS);
            assert!(index == BUCKETS - 1 || upper_bound(index) >= ns, "{ns}");
        }
    }
}
