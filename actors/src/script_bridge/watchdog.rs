//! Watchdog: the thread that interrupts handlers which take longer than `script.budget`.
//!
//! The budget is processor time of the script's thread: a handler is not to blame for a machine that
//! lets it wait. A script that waits itself takes none, so [`WALL`] budgets by the clock are the
//! end as well.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ramona_script::Interrupter;
use tracing::{error, warn};

/// The watchdog looks this often within one budget, so a handler gets at most an eighth more.
const LOOKS: u32 = 8;

/// And not more often than this.
const SHORTEST: Duration = Duration::from_millis(5);

/// A handler that takes this many budgets by the clock ends, whatever it does: a loop of
/// `os.execute` or of reads that wait hardly takes processor time. A machine on which the script's
/// thread gets less than a tenth of a core for that long is beyond use.
const WALL: u32 = 10;

/// Watches one engine until it is dropped.
pub(super) struct Watchdog(#[expect(dead_code, reason = "its end is the message")] SyncSender<()>);

impl Watchdog {
    pub(super) fn start(interrupter: Interrupter, budget: Duration) -> Self {
        let (end, ended) = sync_channel::<()>(0);
        let look = (budget / LOOKS).max(SHORTEST);
        let watch = move || {
            let mut watched = Watched::default();
            while ended.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
                // Nothing to watch without a clock: the engine has ended.
                let Some(processor) = interrupter.processor_time() else { continue };
                let times = Times { processor, clock: Instant::now() };
                match watched.look(interrupter.running(), times, budget) {
                    Verdict::Fine => {}
                    Verdict::Over(run) => interrupter.interrupt(run),
                    Verdict::Stubborn(run, elapsed) => {
                        interrupter.interrupt(run);
                        warn!(
                            ?elapsed,
                            "a handler is not interrupted, it is inside a C function such as a \
                             string pattern, os.execute or a blocking read: scripts answer nothing \
                             until that returns"
                        );
                    }
                }
            }
        };
        let started = std::thread::Builder::new().name("script-watchdog".to_owned()).spawn(watch);
        if let Err(error) = started {
            error!(%error, "no thread for script.budget: handlers that do not end are not interrupted");
        }
        Self(end)
    }
}

/// What both clocks say.
#[derive(Clone, Copy, Debug)]
struct Times {
    processor: Duration,
    clock: Instant,
}

/// The handler seen last.
#[derive(Default)]
struct Watched {
    /// Its number, and when it was first seen.
    run: Option<(u64, Times)>,
    /// The stubborn one was logged.
    warned: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// To be interrupted.
    Over(u64),
    /// For long, and the operator shall know; once for each handler.
    Stubborn(u64, Duration),
}

impl Watched {
    fn look(&mut self, running: Option<u64>, now: Times, budget: Duration) -> Verdict {
        let Some(run) = running else {
            *self = Self::default();
            return Verdict::Fine;
        };
        let Some((_, since)) = self.run.filter(|(known, _)| *known == run) else {
            *self = Self { run: Some((run, now)), warned: false };
            return Verdict::Fine;
        };
        let taken = now.processor.saturating_sub(since.processor);
        let elapsed = now.clock.saturating_duration_since(since.clock);
        // Interrupted for two more budgets, and still there.
        if (taken >= budget * 3 || elapsed >= budget * (WALL + 2)) && !self.warned {
            self.warned = true;
            return Verdict::Stubborn(run, elapsed);
        }
        if taken >= budget || elapsed >= budget * WALL { Verdict::Over(run) } else { Verdict::Fine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(2);

    /// Looks at run 1 at these seconds of processor and clock.
    fn looks(times: &[(u64, u64)]) -> Vec<Verdict> {
        let begin = Instant::now();
        let mut watched = Watched::default();
        let mut look = |&(processor, clock): &(u64, u64)| {
            let processor = Duration::from_secs(processor);
            let now = Times { processor, clock: begin + Duration::from_secs(clock) };
            watched.look(Some(1), now, BUDGET)
        };
        times.iter().map(&mut look).collect()
    }

    #[test]
    fn a_handler_is_over_when_it_took_its_budget_of_processor_time() {
        let seen = looks(&[(100, 0), (101, 1), (102, 2), (103, 3)]);
        assert_eq!(seen, [Verdict::Fine, Verdict::Fine, Verdict::Over(1), Verdict::Over(1)]);
    }

    #[test]
    fn a_handler_that_a_busy_machine_lets_wait_is_not_to_blame_before_ten_budgets() {
        let seen = looks(&[(0, 0), (1, 10), (1, 19), (1, 20)]);
        assert_eq!(seen, [Verdict::Fine, Verdict::Fine, Verdict::Fine, Verdict::Over(1)]);
    }

    #[test]
    fn a_handler_that_goes_on_all_the_same_is_named_once() {
        let stubborn = |elapsed| Verdict::Stubborn(1, Duration::from_secs(elapsed));
        assert_eq!(
            looks(&[(0, 0), (6, 6), (8, 8)]),
            [Verdict::Fine, stubborn(6), Verdict::Over(1)]
        );
        assert_eq!(looks(&[(0, 0), (0, 24), (0, 25)])[1..], [stubborn(24), Verdict::Over(1)]);
    }

    #[test]
    fn every_handler_has_its_whole_time() {
        let mut watched = Watched::default();
        let clock = Instant::now();
        let mut look = |run, seconds| {
            let processor = Duration::from_secs(seconds);
            watched.look(run, Times { processor, clock: clock + processor }, BUDGET)
        };
        assert_eq!(look(Some(1), 0), Verdict::Fine);
        assert_eq!(look(Some(1), 2), Verdict::Over(1));
        assert_eq!(look(Some(3), 3), Verdict::Fine);
        assert_eq!(look(None, 4), Verdict::Fine);
        assert_eq!(look(Some(5), 5), Verdict::Fine);
        assert_eq!(look(Some(5), 6), Verdict::Fine);
        assert_eq!(look(Some(5), 7), Verdict::Over(5));
    }
}
