//! The set of sequence numbers that a receiving flow has seen.

use std::collections::VecDeque;

/// Ranges above the contiguous part that are kept apart; a flow whose losses make more of them
/// loses further fragments until holes are filled.
pub(crate) const MAX_RANGES: usize = 4096;

/// Numbers from 0: a contiguous part and ranges above it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    cumulative: u64,
    /// Ascending, apart by at least one number, above cumulative + 1.
    above: VecDeque<(u64, u64)>,
}

impl Seen {
    /// The last number of the contiguous part, 0 at first.
    pub(crate) fn cumulative(&self) -> u64 {
        self.cumulative
    }

    pub(crate) fn highest(&self) -> u64 {
        self.above.back().map_or(self.cumulative, |(_, to)| *to)
    }

    pub(crate) fn has_gap(&self) -> bool {
        !self.above.is_empty()
    }

    pub(crate) fn above(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.above.iter().copied()
    }

    /// The numbers up to `number` that are missing, as ranges.
    pub(crate) fn holes_through(&self, number: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let end = (number.saturating_add(1), number.saturating_add(1));
        let mut last = self.cumulative;
        self.above().take_while(move |(from, _)| *from <= number).chain([end]).filter_map(
            move |(from, to)| {
                let hole = (last + 1, from - 1);
                last = to;
                (hole.0 <= hole.1).then_some(hole)
            },
        )
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        if number <= self.cumulative {
            return true;
        }
        let i = self.above.partition_point(|(_, to)| *to < number);
        self.above.get(i).is_some_and(|(from, _)| *from <= number)
    }

    /// Adds a number. `false` when that would make one range too many.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return true;
        }
        if number == self.cumulative + 1 {
            self.cumulative = number;
            self.join_cumulative();
            return true;
        }
        let i = self.above.partition_point(|(_, to)| *to < number);
        let touches_left = i > 0 && self.above[i - 1].1 + 1 == number;
        let touches_right = self.above.get(i).is_some_and(|(from, _)| *from == number + 1);
        match (touches_left, touches_right) {
            (true, true) => {
                self.above[i - 1].1 = self.above[i].1;
                self.above.remove(i);
            }
            (true, false) => self.above[i - 1].1 = number,
            (false, true) => self.above[i].0 = number,
            (false, false) => {
                if self.above.len() >= MAX_RANGES {
                    return false;
                }
                self.above.insert(i, (number, number));
            }
        }
        true
    }

    /// Adds every number up to `number`.
    pub(crate) fn insert_through(&mut self, number: u64) {
        if number > self.cumulative {
            self.cumulative = number;
            self.join_cumulative();
        }
    }

    fn join_cumulative(&mut self) {
        while let Some(&(from, to)) = self.above.front() {
            if from > self.cumulative + 1 {
                break;
            }
            self.cumulative = self.cumulative.max(to);
            self.above.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_join_when_their_gap_closes() {
        let mut seen = Seen::default();
        for n in [1, 2, 5, 7, 6, 10] {
            assert!(seen.insert(n));
        }
        assert_eq!((seen.cumulative(), seen.highest()), (2, 10));
        assert_eq!(seen.above().collect::<Vec<_>>(), [(5, 7), (10, 10)]);
        seen.insert_through(4);
        assert_eq!(seen.cumulative(), 7);
        assert!(seen.has_gap());
        seen.insert_through(9);
        assert_eq!((seen.cumulative(), seen.has_gap()), (10, false));
    }

    #[test]
    fn holes_are_told_up_to_a_number() {
        let mut seen = Seen::default();
        for n in [1, 2, 5, 6, 9] {
            seen.insert(n);
        }
        let holes = |n| seen.holes_through(n).collect::<Vec<_>>();
        assert_eq!(holes(2), []);
        assert_eq!(holes(3), [(3, 3)]);
        assert_eq!(holes(6), [(3, 4)]);
        assert_eq!(holes(12), [(3, 4), (7, 8), (10, 12)]);
    }

    #[test]
    fn the_count_of_ranges_is_bounded() {
        let mut seen = Seen::default();
        for n in 1..=MAX_RANGES as u64 {
            assert!(seen.insert(2 * n));
        }
        assert!(!seen.insert(1_000_000));
        assert!(!seen.contains(1_000_000));
        assert!(seen.insert(1), "what closes a gap is always taken");
        assert!(seen.insert(1_000_000));
    }

    proptest! {
        #[test]
        fn the_set_is_the_set(ops in proptest::collection::vec((0..60_u64, any::<bool>()), 0..80)) {
            let mut seen = Seen::default();
            let mut model: BTreeSet<u64> = [0].into();
            for (n, through) in ops {
                if through && n % 7 == 0 {
                    seen.insert_through(n);
                    model.extend(0..=n);
                } else {
                    seen.insert(n);
                    model.insert(n);
                }
                let cumulative = (0..).take_while(|n| model.contains(n)).last().expect("0");
                prop_assert_eq!(seen.cumulative(), cumulative);
                prop_assert_eq!(seen.highest(), *model.last().expect("0"));
                for n in 0..62 {
                    prop_assert_eq!(seen.contains(n), model.contains(&n));
                }
                let ranges: Vec<_> = seen.above().collect();
                for pair in ranges.windows(2) {
                    prop_assert!(pair[0].1 + 1 < pair[1].0);
                }
            }
        }
    }
}
