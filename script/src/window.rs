//! Amounts per second of the last four seconds, between threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Seconds that count (section 4.6 of the script API).
const SECONDS: u64 = 4;

/// Amounts of the last four seconds: one thread counts, any may look.
///
/// Each place holds a second in its upper half and the amount of that second in its lower one, so
/// that both are seen together. Milliseconds are those of any clock whose seconds fit 32 bits.
#[derive(Debug, Default)]
pub struct Window([AtomicU64; SECONDS as usize]);

impl Window {
    /// Counts an amount; at most `u32::MAX` of one second are known.
    pub fn add(&self, now_ms: u64, amount: u64) {
        let second = (now_ms / 1_000) & 0xFFFF_FFFF;
        let place = &self.0[(second % SECONDS) as usize];
        let held = place.load(Relaxed);
        let before = if held >> 32 == second { held & 0xFFFF_FFFF } else { 0 };
        let amount = before.saturating_add(amount).min(0xFFFF_FFFF);
        place.store(second << 32 | amount, Relaxed);
    }

    /// The rate at a moment, over the time since the first second that counts, one at least.
    pub fn per_second(&self, now_ms: u64) -> u64 {
        let second = (now_ms / 1_000) & 0xFFFF_FFFF;
        let places = self.0.iter().map(|place| place.load(Relaxed)).filter(|held| {
            let age = second.wrapping_sub(held >> 32);
            *held != 0 && age < SECONDS
        });
        let (mut sum, mut first) = (0, second);
        for held in places {
            sum += held & 0xFFFF_FFFF;
            first = first.min(held >> 32);
        }
        let elapsed_ms = (second - first) * 1_000 + now_ms % 1_000;
        sum * 1_000 / elapsed_ms.max(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qos_01_a_steady_flow_shows_its_rate_and_silence_brings_it_to_zero() {
        let window = Window::default();
        let start = 1_700_000_000_000;
        assert_eq!(window.per_second(start), 0);
        for tick in 0..100 {
            window.add(start + tick * 100, 50);
        }
        let rate = window.per_second(start + 9_900);
        assert!((480..=520).contains(&rate), "{rate}");
        assert!(window.per_second(start + 12_500) > 0);
        assert_eq!(window.per_second(start + 14_000), 0);
        window.add(start + 60_000, 300);
        assert_eq!(window.per_second(start + 60_100), 300, "not divided by the whole window");
    }

    #[test]
    fn a_second_holds_no_more_than_its_half_of_a_place() {
        let window = Window::default();
        window.add(5_000, u64::MAX);
        window.add(5_000, 1);
        assert_eq!(window.per_second(5_000), u64::from(u32::MAX));
        window.add(6_000, 7);
        assert_eq!(window.per_second(9_000), 7 / 3);
    }
}
