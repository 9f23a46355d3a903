//! Watchdog: the thread that interrupts handlers which take longer than `script.budget`.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ramona_script::Interrupter;
use tracing::{error, warn};

/// The watchdog looks this often within one budget, so a handler gets at most an eighth more.
const LOOKS: u32 = 8;

/// And not more often than this.
const SHORTEST: Duration = Duration::from_millis(5);

/// Watches one engine until it is dropped.
pub(super) struct Watchdog(#[expect(dead_code, reason = "its end is the message")] SyncSender<()>);

impl Watchdog {
    pub(super) fn start(interrupter: Interrupter, budget: Duration) -> Self {
        let (end, ended) = sync_channel::<()>(0);
        let look = (budget / LOOKS).max(SHORTEST);
        let watch = move || {
            let mut watched = Watched::default();
            while ended.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
                watched.look(&interrupter, budget);
            }
        };
        let started = std::thread::Builder::new().name("script-watchdog".to_owned()).spawn(watch);
        if let Err(error) = started {
            error!(%error, "no thread for script.budget: handlers that do not end are not interrupted");
        }
        Self(end)
    }
}

/// The handler seen last.
#[derive(Default)]
struct Watched {
    run: Option<u64>,
    since: Option<Instant>,
    /// The stubborn one was logged.
    warned: bool,
}

impl Watched {
    fn look(&mut self, interrupter: &Interrupter, budget: Duration) {
        let run = interrupter.running();
        if run != self.run {
            *self = Self { run, since: run.map(|_| Instant::now()), warned: false };
            return;
        }
        let (Some(run), Some(since)) = (run, self.since) else { return };
        let elapsed = since.elapsed();
        if elapsed >= budget {
            interrupter.interrupt(run);
        }
        if elapsed >= budget * 3 && !self.warned {
            self.warned = true;
            warn!(
                ?elapsed,
                "a handler is not interrupted, it is inside a C function such as a string pattern, \
                 os.execute or a blocking read: scripts answer nothing until that returns"
            );
        }
    }
}
