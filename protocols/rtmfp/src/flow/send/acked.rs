//! What acknowledgements tell a sending flow: what arrived, what was lost
//! (RFC 7016 §3.6.2.4 to §3.6.2.6).

use std::time::{Duration, Instant};

use crate::chunk::Ack;
use crate::flow::fragment::Fragment;
use crate::flow::send::{SendFlow, State};

/// Negative acknowledgements after which a fragment is lost.
const NAKS_OF_A_LOSS: u8 = 3;
/// A completed flow is remembered this long (RFC 7016 §3.6.2.9).
const COMPLETE_LINGER: Duration = Duration::from_secs(130);

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckOutcome {
    /// Bytes of chunks that left the flight.
    pub(crate) bytes: usize,
    /// Latest transmission that was acknowledged.
    pub(crate) latest: Option<u64>,
    /// The flow is over.
    pub(crate) completed: bool,
}

impl AckOutcome {
    fn settle(&mut self, tsn: u64, bytes: usize) {
        self.bytes += bytes;
        self.latest = self.latest.max(Some(tsn));
    }
}

/// Losses that acknowledgements showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    /// Something sent before the latest acknowledged transmission is not acknowledged.
    pub(crate) naks: bool,
    /// Bytes that left the flight.
    pub(crate) bytes: usize,
    /// The latest transmission that was lost.
    pub(crate) latest: Option<u64>,
}

impl SendFlow {
    /// Takes an acknowledgement; numbers never sent are ignored.
    pub(crate) fn acknowledged(&mut self, now: Instant, ack: &Ack<'_>) -> AckOutcome {
        let mut outcome = AckOutcome::default();
        if self.first_sent.is_none() {
            return outcome;
        }
        self.starting = false;
        self.window = ack.buffer_blocks.saturating_mul(1024);
        let cumulative = ack.cumulative.min(self.highest_sent);
        self.acknowledge(self.first, cumulative, &mut outcome);
        self.cumulative = self.cumulative.max(cumulative);
        for (from, to) in ack.ranges() {
            if from > self.highest_sent {
                break;
            }
            self.acknowledge(from, to.min(self.highest_sent), &mut outcome);
        }
        if let Some(update) = self.update.take_if(|u| u.sequence <= cumulative)
            && update.in_flight
        {
            self.outstanding -= update.size;
            outcome.settle(update.tsn, update.size);
        }
        self.advance();
        if let State::Closing { last } = self.state
            && self.cumulative >= last
        {
            self.state = State::Complete { until: now + COMPLETE_LINGER };
            outcome.completed = true;
        }
        outcome
    }

    fn acknowledge(&mut self, from: u64, to: u64, outcome: &mut AckOutcome) {
        let from = from.max(self.first);
        if to < from {
            return;
        }
        let start = (from - self.first) as usize;
        let end = ((to - self.first) as usize).saturating_add(1).min(self.fragments.len());
        for fragment in self.fragments.range_mut(start.min(end)..end) {
            // One that was queued but never sent cannot have been received.
            if fragment.acked || !fragment.sent {
                continue;
            }
            fragment.acked = true;
            if fragment.in_flight {
                self.retransmissions_in_flight -= usize::from(fragment.land());
                let size = usize::from(fragment.size);
                self.outstanding -= size;
                outcome.settle(fragment.tsn, size);
            }
        }
    }

    /// Counts a negative acknowledgement for everything sent before `latest`.
    pub(crate) fn detect_losses(&mut self, latest: u64) -> Losses {
        let mut losses = Losses::default();
        if let Some(update) = self.update.as_mut().filter(|u| u.in_flight && u.tsn < latest) {
            losses.naks = true;
            update.naks += 1;
            if update.naks >= NAKS_OF_A_LOSS {
                update.in_flight = false;
                self.outstanding -= update.size;
                losses.bytes += update.size;
                losses.latest = losses.latest.max(Some(update.tsn));
            }
        }
        let mut lost = false;
        for (i, fragment) in self.fragments.iter_mut().enumerate() {
            if !fragment.in_flight {
                // Abandoned numbers may never have been sent, others are sent in order.
                if !fragment.sent && !fragment.abandoned {
                    break;
                }
                continue;
            }
            if fragment.tsn >= latest {
                // Without retransmissions in flight, later numbers left later.
                if self.retransmissions_in_flight == 0 {
                    break;
                }
                continue;
            }
            losses.naks = true;
            fragment.naks += 1;
            if fragment.naks >= NAKS_OF_A_LOSS {
                self.retransmissions_in_flight -= usize::from(fragment.land());
                self.outstanding -= usize::from(fragment.size);
                losses.bytes += usize::from(fragment.size);
                losses.latest = losses.latest.max(Some(fragment.tsn));
                self.scan = self.scan.min(i);
                lost = true;
            }
        }
        if lost {
            self.give_up_unreliable();
            self.advance();
        }
        losses
    }

    /// Everything in flight is lost; gives its bytes.
    pub(crate) fn lose_all(&mut self) -> usize {
        let bytes = self.outstanding;
        for fragment in &mut self.fragments {
            fragment.land();
        }
        if let Some(update) = &mut self.update {
            update.in_flight = false;
        }
        self.outstanding = 0;
        self.retransmissions_in_flight = 0;
        self.scan = 0;
        if bytes > 0 {
            self.give_up_unreliable();
            self.advance();
        }
        bytes
    }

    /// Abandons messages that are sent once, and have lost something.
    fn give_up_unreliable(&mut self) {
        for i in 0..self.messages.len() {
            let message = &self.messages[i];
            if message.retransmit || message.abandoned {
                continue;
            }
            if !message.started {
                break;
            }
            let start = message.first.saturating_sub(self.first) as usize;
            let end = ((message.last + 1 - self.first) as usize).min(self.fragments.len());
            let lost = |f: &Fragment| f.sent && f.is_sendable();
            if self.fragments.range(start..end).any(lost) {
                self.abandon(i);
            }
        }
    }
}
