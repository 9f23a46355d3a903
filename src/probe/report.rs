//! The lines of a probe.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Writes lines, each with the time since the beginning.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    begun: Instant,
}

impl<'a> Report<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, begun: Instant::now() }
    }

    /// One line: what it is about, and what there is to say.
    pub(super) fn line(&mut self, about: &str, text: impl Display) {
        let elapsed = millis(self.begun.elapsed());
        // Nobody may be reading any more: the exit code still tells.
        let _ = writeln!(self.out, "{elapsed:>9.1} ms  {about:<11} {text}");
        let _ = self.out.flush();
    }
}

/// Milliseconds with their fraction.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
