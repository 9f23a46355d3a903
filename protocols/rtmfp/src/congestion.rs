//! Congestion control with the rules for time-critical data (RFC 7016 §3.5.2 and appendix A).

/// Sender's maximum segment size: the data of a full fragment.
pub(crate) const SMSS: usize = 1172;
/// The window at the start and after idleness.
const INITIAL: usize = 3 * SMSS;
/// Above this window a loss on a session without time-critical neighbours costs an eighth only.
const LARGE_WINDOW: usize = 67_200;

/// What else is going on when the window is adapted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// No time-critical data nearby: none announced by the far end, none sent on any session.
    pub(crate) fast: bool,
    /// This session sent time-critical data lately.
    pub(crate) time_critical: bool,
    /// Bytes in flight before the acknowledgements.
    pub(crate) outstanding: usize,
}

/// The congestion window, in bytes of chunks.
#[derive(Debug)]
pub(crate) struct Congestion {
    cwnd: usize,
    ssthresh: usize,
    acked: usize,
}

impl Default for Congestion {
    fn default() -> Self {
        Self { cwnd: INITIAL, ssthresh: usize::MAX, acked: 0 }
    }
}

impl Congestion {
    pub(crate) fn cwnd(&self) -> usize {
        self.cwnd
    }

    /// Something was lost, for the first time in this window.
    pub(crate) fn lost(&mut self, c: Circumstances) {
        let gentle = c.time_critical || c.outstanding > LARGE_WINDOW && c.fast;
        let keep = if gentle { c.outstanding / 8 * 7 } else { c.outstanding / 2 };
        self.ssthresh = keep.max(INITIAL);
        self.cwnd = self.ssthresh;
        self.acked = 0;
    }

    /// `bytes` were acknowledged by a packet that had no negative ones.
    pub(crate) fn acknowledged(&mut self, bytes: usize, c: Circumstances) {
        if c.outstanding < self.cwnd {
            return;
        }
        let slow_start = self.cwnd < self.ssthresh;
        let increase = match (c.fast, c.time_critical) {
            (true, _) if slow_start => bytes,
            (true, _) => self.linear(bytes, 48, 4800),
            (false, true) if slow_start => bytes.div_ceil(4),
            (false, true) => self.linear(bytes, 24, 2400),
            (false, false) => self.linear(bytes, 24, 4800),
        };
        self.cwnd = (self.cwnd + increase.min(SMSS)).max(INITIAL);
    }

    /// `step` bytes for every cwnd / 16 acknowledged bytes, between 64 and `most`.
    fn linear(&mut self, bytes: usize, step: usize, most: usize) -> usize {
        let threshold = (self.cwnd / 16).clamp(64, most);
        self.acked += bytes;
        let times = self.acked / threshold;
        self.acked %= threshold;
        step * times
    }

    /// The timeout alarm rang.
    pub(crate) fn timed_out(&mut self, anything_in_flight: bool) {
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        self.cwnd = if anything_in_flight { SMSS } else { INITIAL };
        self.acked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(outstanding: usize) -> Circumstances {
        Circumstances { fast: true, time_critical: false, outstanding }
    }

    #[test]
    fn rtmfp_073_slow_start_doubles_each_round_trip() {
        let mut c = Congestion::default();
        assert_eq!(c.cwnd(), 3 * SMSS);
        for packets in [3, 6, 12, 24] {
            for _ in 0..packets {
                c.acknowledged(SMSS, at(c.cwnd()));
            }
            assert_eq!(c.cwnd(), 2 * packets * SMSS);
        }
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut c = Congestion::default();
        c.acknowledged(SMSS, at(2 * SMSS));
        assert_eq!(c.cwnd(), 3 * SMSS);
    }

    #[test]
    fn rtmfp_073_a_loss_halves_and_time_critical_keeps_seven_eighths() {
        let mut c = Congestion { cwnd: 40_000, ..Congestion::default() };
        c.lost(at(40_000));
        assert_eq!(c.cwnd(), 20_000);
        let mut c = Congestion { cwnd: 40_000, ..Congestion::default() };
        c.lost(Circumstances { time_critical: true, ..at(40_000) });
        assert_eq!(c.cwnd(), 35_000);
        let mut c = Congestion { cwnd: 80_000, ..Congestion::default() };
        c.lost(at(80_000));
        assert_eq!(c.cwnd(), 70_000, "large and alone");
        c.lost(at(1000));
        assert_eq!(c.cwnd(), 3 * SMSS, "not below the initial window");
    }

    #[test]
    fn rtmfp_073_a_timeout_leaves_one_segment_and_idleness_three() {
        let mut c = Congestion { cwnd: 40_000, ssthresh: 20_000, acked: 0 };
        c.timed_out(true);
        assert_eq!((c.cwnd(), c.ssthresh), (SMSS, 30_000));
        c.acknowledged(SMSS, at(SMSS));
        assert_eq!(c.cwnd(), 3 * SMSS);
        c.timed_out(false);
        assert_eq!((c.cwnd(), c.ssthresh), (3 * SMSS, 30_000));
    }

    #[test]
    fn avoidance_grows_by_at_most_a_segment_per_round_trip() {
        let start = 32_000;
        let mut c = Congestion { cwnd: start, ssthresh: start, acked: 0 };
        for _ in 0..start / 1000 {
            c.acknowledged(1000, at(c.cwnd()));
        }
        let fast = c.cwnd() - start;
        assert!((700..=800).contains(&fast), "48 bytes sixteen times: {fast}");
        let mut c = Congestion { cwnd: start, ssthresh: start, acked: 0 };
        for _ in 0..start / 1000 {
            let with_neighbour = Circumstances { fast: false, ..at(c.cwnd()) };
            c.acknowledged(1000, with_neighbour);
        }
        assert!(c.cwnd() - start <= fast / 2 + 24, "half as fast beside time-critical data");
    }
}
