/// Seconds over which a rate is taken (section 4.6 of the script API).
const WINDOW: usize = 4;

/// Amounts per second over a sliding window of four seconds.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    buckets: [u64; WINDOW],
    second: u64,
    started: Option<u64>,
}

impl RateMeter {
    /// Counts an amount at a moment in milliseconds of any clock that does not go back.
    pub fn add(&mut self, now_ms: u64, amount: u64) {
        self.roll(now_ms);
        self.started.get_or_insert(now_ms);
        self.buckets[(self.second % WINDOW as u64) as usize] += amount;
    }

    /// The rate at a moment.
    pub fn per_second(&mut self, now_ms: u64) -> u64 {
        self.roll(now_ms);
        let Some(started) = self.started else { return 0 };
        // The first three buckets are whole seconds, the present one is not.
        let window = (now_ms - self.second * 1_000 + (WINDOW as u64 - 1) * 1_000)
            .min(now_ms.saturating_sub(started))
            .max(1_000);
        self.buckets.iter().sum::<u64>() * 1_000 / window
    }

    fn roll(&mut self, now_ms: u64) {
        let second = now_ms / 1_000;
        if second <= self.second {
            return;
        }
        for passed in self.second + 1..=second.min(self.second + WINDOW as u64) {
            self.buckets[(passed % WINDOW as u64) as usize] = 0;
        }
        self.second = second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_shows_its_rate_and_silence_brings_it_to_zero() {
        let mut meter = RateMeter::default();
        for tick in 0..100u64 {
            meter.add(10_000_000 + tick * 100, 50);
        }
        let rate = meter.per_second(10_000_000 + 9_900);
        assert!((490..=515).contains(&rate), "{rate}");
        assert_eq!(meter.per_second(10_000_000 + 14_000), 0);
    }

    #[test]
    fn the_first_second_is_not_divided_by_the_whole_window() {
        let mut meter = RateMeter::default();
        meter.add(5_000, 300);
        assert_eq!(meter.per_second(5_100), 300);
        assert_eq!(meter.per_second(7_000), 150);
    }
}
