//! Anti-replay window over session sequence numbers.

/// Numbers below the highest seen that are told apart. 32 is what peers expect at least; 128 let
/// packets be reordered further, at the cost of two words.
const WIDTH: u64 = 128;

/// Which of the latest numbers were seen; older ones count as seen.
#[derive(Debug, Default)]
pub(crate) struct ReplayWindow {
    /// One more than the highest number seen; 0 before the first.
    next: u64,
    /// Bit i: number next - 1 - i was seen.
    seen: u128,
}

impl ReplayWindow {
    /// Whether a number may be accepted.
    pub(crate) fn is_fresh(&self, number: u64) -> bool {
        if number >= self.next {
            return number != u64::MAX;
        }
        let age = self.next - 1 - number;
        age < WIDTH && self.seen >> age & 1 == 0
    }

    /// Notes a number whose packet was authentic.
    pub(crate) fn mark(&mut self, number: u64) {
        if number >= self.next {
            let shift = number.saturating_add(1) - self.next;
            self.seen = if shift < WIDTH { self.seen << shift } else { 0 } | 1;
            self.next = number.saturating_add(1);
        } else if self.next - 1 - number < WIDTH {
            self.seen |= 1 << (self.next - 1 - number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtmfp_019_a_number_is_accepted_once() {
        let mut window = ReplayWindow::default();
        for number in [0, 1, 5, 3, 40, 9, 41] {
            assert!(window.is_fresh(number), "{number}");
            window.mark(number);
            assert!(!window.is_fresh(number), "{number}");
        }
        assert!(window.is_fresh(2) && window.is_fresh(4) && window.is_fresh(10));
    }

    #[test]
    fn rtmfp_019_numbers_below_the_window_count_as_seen() {
        let mut window = ReplayWindow::default();
        window.mark(1000);
        assert!(window.is_fresh(1000 - 32), "the window has at least 32 numbers");
        assert!(window.is_fresh(1000 - 127));
        assert!(!window.is_fresh(1000 - 128));
        assert!(!window.is_fresh(0));
        window.mark(1_000_000);
        assert!(!window.is_fresh(1000));
        assert!(window.is_fresh(999_999));
    }

    #[test]
    fn the_largest_number_does_not_wrap() {
        let mut window = ReplayWindow::default();
        assert!(!window.is_fresh(u64::MAX), "a saturated number is never valid");
        assert!(window.is_fresh(u64::MAX - 1));
        window.mark(u64::MAX - 1);
        assert!(!window.is_fresh(u64::MAX - 1) && !window.is_fresh(u64::MAX));
    }
}
