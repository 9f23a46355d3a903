//! Round trip estimation from echoed timestamps, and the retransmission timeout
//! (RFC 7016 §3.5.2.2).

use std::time::Duration;

use crate::packet::TICK_MS;

/// Before the first sample.
const INITIAL_ERTO: Duration = Duration::from_secs(3);
/// The smallest timeout.
const MIN_ERTO: Duration = Duration::from_millis(250);
/// Back-off stops here.
const MAX_ERTO: Duration = Duration::from_secs(10);
/// Covers the delay of acknowledgements.
const ACK_DELAY: Duration = Duration::from_millis(200);
/// Growth of the timeout at each loss of everything.
const BACKOFF: f64 = std::f64::consts::SQRT_2;

/// SRTT, RTTVAR, MRTO and ERTO of a session.
#[derive(Debug)]
pub(crate) struct Rtt {
    srtt: Option<Duration>,
    rttvar: Duration,
    mrto: Duration,
    erto: Duration,
    last_echo: Option<u16>,
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            srtt: None,
            rttvar: Duration::ZERO,
            mrto: MIN_ERTO,
            erto: INITIAL_ERTO,
            last_echo: None,
        }
    }
}

impl Rtt {
    /// Takes an echoed timestamp that arrived at tick `now`, or up to `waited` ticks before.
    /// Repeated and future ones count not. Of the times that it may have taken, the one nearest to
    /// the smoothed round trip is taken, the longest for a first sample.
    pub(crate) fn echoed(&mut self, now: u16, waited: u16, echo: u16) {
        if self.last_echo == Some(echo) {
            return;
        }
        self.last_echo = Some(echo);
        let ticks = now.wrapping_sub(echo);
        if ticks > i16::MAX as u16 {
            return;
        }
        let time = |ticks: u16| Duration::from_millis(u64::from(ticks) * TICK_MS);
        let (shortest, longest) = (time(ticks.saturating_sub(waited)), time(ticks));
        let rtt = self.srtt.map_or(longest, |srtt| srtt.clamp(shortest, longest));
        let srtt = match self.srtt {
            None => {
                self.rttvar = rtt / 2;
                rtt
            }
            Some(srtt) => {
                self.rttvar = (self.rttvar * 3 + srtt.abs_diff(rtt)) / 4;
                (srtt * 7 + rtt) / 8
            }
        };
        self.srtt = Some(srtt);
        self.mrto = srtt + self.rttvar * 4 + ACK_DELAY;
        self.erto = self.mrto.max(MIN_ERTO);
    }

    /// Everything in flight was lost.
    pub(crate) fn back_off(&mut self) {
        self.erto = self.erto.mul_f64(BACKOFF).min(MAX_ERTO).max(self.mrto);
    }

    /// Smoothed round trip, once there is a sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    /// Effective retransmission timeout.
    pub(crate) fn erto(&self) -> Duration {
        self.erto
    }

    /// The path changed: the next sample counts as the first.
    pub(crate) fn reset(&mut self) {
        *self = Self { last_echo: self.last_echo, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn rtmfp_069_samples_follow_the_formulas() {
        let mut rtt = Rtt::default();
        assert_eq!((rtt.srtt(), rtt.erto()), (None, ms(3000)));
        rtt.echoed(125, 0, 100);
        assert_eq!((rtt.srtt(), rtt.rttvar, rtt.mrto), (Some(ms(100)), ms(50), ms(500)));
        rtt.echoed(155, 0, 110);
        // RTTVAR = (150 + 80) / 4, SRTT = (700 + 180) / 8.
        assert_eq!((rtt.srtt(), rtt.rttvar), (Some(ms(110)), Duration::from_micros(57_500)));
        assert_eq!(rtt.erto(), ms(110 + 230 + 200));
    }

    #[test]
    fn a_short_path_has_the_smallest_timeout() {
        let mut rtt = Rtt::default();
        rtt.echoed(1, 0, 1);
        assert_eq!((rtt.srtt(), rtt.erto()), (Some(ms(0)), ms(250)));
    }

    #[test]
    fn repeated_and_future_echoes_are_ignored() {
        let mut rtt = Rtt::default();
        rtt.echoed(100, 0, 90);
        let erto = rtt.erto();
        rtt.echoed(500, 0, 90);
        rtt.echoed(500, 0, 501);
        assert_eq!((rtt.srtt(), rtt.erto()), (Some(ms(40)), erto));
        rtt.echoed(3, 0, 65_533);
        assert_ne!(rtt.erto(), erto, "ticks wrap");
    }

    #[test]
    fn a_packet_that_waited_to_be_read_makes_the_round_trip_no_longer() {
        let mut rtt = Rtt::default();
        rtt.echoed(110, 5, 100);
        assert_eq!(rtt.srtt(), Some(ms(40)), "the first sample has nothing to compare with");
        let mut now = 110;
        for _ in 0..50 {
            now += 100;
            // It took between 20 and 40 ms, and later between 60 and 80.
            rtt.echoed(now, 5, now - 10);
        }
        assert_eq!(rtt.srtt(), Some(ms(40)));
        rtt.echoed(now + 100, 5, now + 100 - 20);
        assert_eq!(rtt.srtt(), Some((ms(40) * 7 + ms(60)) / 8));
        rtt.echoed(now + 200, 0, now + 200 - 1);
        assert!(rtt.srtt() < Some(ms(40)));
    }

    #[test]
    fn rtmfp_069_the_timeout_grows_to_ten_seconds() {
        let mut rtt = Rtt::default();
        let mut last = rtt.erto();
        for _ in 0..4 {
            rtt.back_off();
            let growth = rtt.erto().as_secs_f64() / last.as_secs_f64();
            assert!(rtt.erto() == MAX_ERTO || (growth - BACKOFF).abs() < 1e-4);
            last = rtt.erto();
        }
        assert_eq!(rtt.erto(), MAX_ERTO);
        rtt.echoed(100, 0, 0);
        assert_eq!(rtt.erto(), ms(400 + 800 + 200));
    }
}
