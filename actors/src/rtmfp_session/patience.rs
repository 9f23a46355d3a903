//! When a hub reads small datagrams, mostly acknowledgements: at once, or those of many sessions
//! together. No socket and no clock: the hub has them.

use std::time::{Duration, Instant};

/// Sessions that owe acknowledgements, from which on the hub waits for all of them together, unless a
/// session cannot send before: it reads them right before the next frame leaves, or after
/// [`PATIENCE`]. Many viewers acknowledge a message one after another, and each on its own would cost
/// a wake-up of the thread, which is more than to send the message. Read before the frame, and
/// answered with it, they bring their sessions into the cache once for both.
const MANY: usize = 8;

/// See [`MANY`]. Frames of the usual sound (AAC at 44.1 kHz) are 23.2 ms apart.
const PATIENCE: Duration = Duration::from_millis(25);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Patience {
    /// Small datagrams come apart from others.
    is_possible: bool,
    /// Sessions that wait for acknowledgements to send more.
    held: usize,
    /// Sessions whose far ends have not acknowledged everything.
    unacknowledged: usize,
    /// Whether the reader waits, and if so, with patience.
    waits: Option<bool>,
    /// Whether it did last time.
    was_patient: bool,
    /// When small datagrams were read last.
    read_at: Instant,
}

impl Patience {
    pub(super) fn new(is_possible: bool, now: Instant) -> Self {
        Self {
            is_possible,
            held: 0,
            unacknowledged: 0,
            waits: None,
            was_patient: false,
            read_at: now,
        }
    }

    /// A session begins or ceases to wait for acknowledgements.
    pub(super) fn count_held(&mut self, is_held: bool) {
        count(&mut self.held, is_held);
    }

    /// A session begins or ceases to have something unacknowledged.
    pub(super) fn count_unacknowledged(&mut self, is_unacknowledged: bool) {
        count(&mut self.unacknowledged, is_unacknowledged);
    }

    /// Whether small datagrams are read late.
    pub(super) fn is_patient(&self) -> bool {
        self.is_possible && self.unacknowledged >= MANY && self.held == 0
    }

    /// The reader begins to wait: until when for small datagrams, if with patience.
    pub(super) fn begin_wait(&mut self, now: Instant) -> Option<Instant> {
        let is_patient = self.is_patient();
        if is_patient && !self.was_patient {
            // Until now what came was read at once.
            self.read_at = now;
        }
        self.was_patient = is_patient;
        self.waits = Some(is_patient);
        is_patient.then(|| self.read_at + PATIENCE)
    }

    /// The reader waits no longer.
    pub(super) fn end_wait(&mut self) {
        self.waits = None;
    }

    /// Whether the reader waits, and not as it would now.
    pub(super) fn has_changed(&self) -> bool {
        self.waits.is_some_and(|is_patient| is_patient != self.is_patient())
    }

    /// Whether small datagrams are to be read behind the last wait, whatever else it brought.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.was_patient || now.saturating_duration_since(self.read_at) >= PATIENCE
    }

    /// They are read now: how long they may have waited.
    pub(super) fn read(&mut self, now: Instant) -> Duration {
        let waited = now.saturating_duration_since(std::mem::replace(&mut self.read_at, now));
        if self.was_patient { waited } else { Duration::ZERO }
    }
}

fn count(counter: &mut usize, begins: bool) {
    *counter = if begins { *counter + 1 } else { counter.saturating_sub(1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// As many sessions owe acknowledgements.
    fn owed(sessions: usize, now: Instant) -> Patience {
        let mut patience = Patience::new(true, now);
        (0..sessions).for_each(|_| patience.count_unacknowledged(true));
        patience
    }

    #[test]
    fn acknowledgements_of_few_sessions_or_without_a_socket_of_their_own_are_read_at_once() {
        let now = Instant::now();
        let mut apart = owed(MANY, now);
        apart.is_possible = false;
        for mut patience in [owed(MANY - 1, now), apart] {
            assert_eq!(patience.begin_wait(now), None);
            patience.end_wait();
            assert!(patience.is_due(now));
            assert_eq!(patience.read(now + 9 * MS), Duration::ZERO);
        }
    }

    #[test]
    fn acknowledgements_of_many_wait_for_a_frame_or_for_patience_to_end() {
        let start = Instant::now();
        let mut patience = owed(MANY, start);
        // What came before was read at once, so nothing has waited since the start.
        let now = start + 100 * MS;
        assert_eq!(patience.begin_wait(now), Some(now + PATIENCE));
        patience.end_wait();
        // A frame, 10 ms later: they are read with it, and not again behind it.
        assert_eq!(patience.read(now + 10 * MS), 10 * MS);
        assert!(!patience.is_due(now + 11 * MS));
        // Parts of frames do not put the end off.
        for later in [15, 20, 30] {
            assert_eq!(patience.begin_wait(now + later * MS), Some(now + 10 * MS + PATIENCE));
            patience.end_wait();
            assert!(!patience.is_due(now + later * MS));
        }
        assert!(patience.is_due(now + 35 * MS));
        assert_eq!(patience.read(now + 35 * MS), PATIENCE);
    }

    #[test]
    fn a_session_that_cannot_send_before_ends_the_wait_and_so_does_the_last_acknowledgement() {
        let now = Instant::now();
        let mut patience = owed(MANY, now);
        patience.begin_wait(now);
        assert!(!patience.has_changed());
        patience.count_held(true);
        assert!(patience.has_changed());
        assert_eq!(patience.begin_wait(now + MS), None);
        patience.count_held(false);
        assert!(patience.has_changed());
        // The wait counts anew.
        assert_eq!(patience.begin_wait(now + 5 * MS), Some(now + 5 * MS + PATIENCE));
        patience.count_unacknowledged(false);
        assert!(patience.has_changed());
        patience.end_wait();
        assert!(!patience.has_changed(), "nobody waits");
    }
}
