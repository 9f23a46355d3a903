//! A receiving flow: what was seen, reassembly, delivery and what its acknowledgements say
//! (RFC 7016 §3.6.3).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::chunk::{Fraction, UserData, encode_exception, encode_range_ack, range_ack_len};
use crate::flow::ranges::Seen;

/// A block of the advertised receive buffer.
const BLOCK: usize = 1024;
/// What a stored fragment costs beyond its data.
const OVERHEAD: usize = 64;
/// Below this free buffer every chunk is acknowledged at once.
const LOW_BUFFER: usize = 1024;
/// librtmfp and MonaServer close a session that advertises nothing (quirk Q6).
const MIN_BLOCKS: usize = 8;
/// A completed flow goes on acknowledging for this long (RFC 7016 §3.6.3.5).
const COMPLETE_LINGER: Duration = Duration::from_secs(120);
/// A number or forward number this far beyond the highest seen breaks the protocol.
const MAX_JUMP: u64 = 1 << 20;
/// What fills the hole at the front may exceed the buffer by this much.
const FRONT_SLACK: usize = 65_536;
/// Fragments are copied into shared pieces of memory of this size.
const ARENA: usize = 16 * 1024;

/// Order in which complete messages are given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// In the order of the sender.
    #[default]
    InOrder,
    /// As soon as they are complete; their sequence numbers tell the order.
    AsReceived,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvState {
    /// The application has not decided: data is kept, not given out.
    Pending,
    Open,
    Rejected {
        code: u64,
    },
    /// Everything was received, or was rejected with a code.
    Complete {
        until: Instant,
        code: Option<u64>,
    },
}

/// What a chunk or a decision brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A message; `sequence` is the number of its first fragment.
    Message { sequence: u64, payload: Bytes },
    /// Numbers that will never arrive, or belong to messages that will never be complete.
    Gap { first: u64, last: u64 },
    /// The flow is over.
    Complete,
    /// A message was larger than the buffer: the flow is rejected.
    TooLarge,
}

/// A number jumped further than any sender can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump;

#[derive(Debug)]
struct Stored {
    sequence: u64,
    fraction: Fraction,
    data: Bytes,
}

#[derive(Debug)]
pub(crate) struct RecvFlow {
    id: u64,
    metadata: Bytes,
    association: Option<u64>,
    state: RecvState,
    delivery: Delivery,
    seen: Seen,
    last: Option<u64>,
    /// The end was told by a number without data, which is no loss.
    last_is_empty: bool,
    stored: VecDeque<Stored>,
    buffered: usize,
    capacity: usize,
    advertised: usize,
    /// The next number to give out, in order.
    cursor: u64,
    suspended: bool,
    ack_pending: bool,
}

impl RecvFlow {
    pub(crate) fn new(
        id: u64,
        metadata: &[u8],
        association: Option<u64>,
        state: RecvState,
        capacity: usize,
    ) -> Self {
        Self {
            id,
            metadata: Bytes::copy_from_slice(metadata),
            association,
            state,
            delivery: Delivery::InOrder,
            seen: Seen::default(),
            last: None,
            last_is_empty: false,
            stored: VecDeque::new(),
            buffered: 0,
            capacity,
            advertised: usize::MAX,
            cursor: 1,
            suspended: false,
            ack_pending: true,
        }
    }

    pub(crate) fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    pub(crate) fn association(&self) -> Option<u64> {
        self.association
    }

    pub(crate) fn state(&self) -> RecvState {
        self.state
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    pub(crate) fn is_ack_pending(&self) -> bool {
        self.ack_pending
    }

    pub(crate) fn request_ack(&mut self) {
        self.ack_pending = true;
    }

    pub(crate) fn linger_deadline(&self) -> Option<Instant> {
        match self.state {
            RecvState::Complete { until, .. } => Some(until),
            _ => None,
        }
    }

    /// The application takes the flow. What arrived meanwhile is given out.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        delivery: Delivery,
        capacity: usize,
        out: &mut Vec<Arrival>,
    ) {
        if self.state == RecvState::Pending {
            self.state = RecvState::Open;
            self.delivery = delivery;
            self.capacity = capacity;
            self.deliver(now, out);
        }
    }

    /// The application refuses the flow, now or later. What is buffered is dropped.
    pub(crate) fn reject(&mut self, code: u64) {
        self.state = match self.state {
            RecvState::Complete { until, .. } => RecvState::Complete { until, code: Some(code) },
            _ => RecvState::Rejected { code },
        };
        self.stored.clear();
        self.buffered = 0;
        self.ack_pending = true;
    }

    /// Stops or resumes giving out messages; the sender is slowed by the advertised buffer.
    pub(crate) fn set_suspended(&mut self, now: Instant, on: bool, out: &mut Vec<Arrival>) {
        self.suspended = on;
        if !on && self.state == RecvState::Open {
            self.ack_pending = true;
            self.deliver(now, out);
        }
    }

    /// Takes one chunk. `true`: acknowledge at once.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        chunk: &UserData<'_>,
        arena: &mut BytesMut,
        out: &mut Vec<Arrival>,
    ) -> Result<bool, Jump> {
        if chunk.sequence.saturating_sub(self.seen.highest()) > MAX_JUMP {
            return Err(Jump);
        }
        self.ack_pending = true;
        if self.last.is_some_and(|last| chunk.sequence > last) {
            // Nothing is after the end.
            return Ok(true);
        }
        let is_new = !self.seen.contains(chunk.sequence);
        let mut now_due = !matches!(self.state, RecvState::Open | RecvState::Pending)
            || self.advertised < 2
            || chunk.abandoned
            || self.seen.has_gap()
            || !is_new;
        let keeps = matches!(self.state, RecvState::Open | RecvState::Pending);
        let ends = chunk.is_final && chunk.sequence > self.seen.highest();
        if is_new && ends && self.last.is_none() {
            self.last = Some(chunk.sequence);
            self.last_is_empty = chunk.abandoned;
            now_due = true;
        }
        if keeps && self.delivery == Delivery::AsReceived {
            self.report_holes(chunk, is_new, out);
        }
        self.seen.insert_through(chunk.forward);
        if is_new {
            let stores = keeps && !chunk.abandoned;
            // What is refused is not acknowledged, so that it comes again.
            if stores && !self.has_room(chunk, out) {
                return Ok(true);
            }
            if !self.seen.insert(chunk.sequence) {
                return Ok(true);
            }
            if stores {
                self.store(chunk, arena);
            }
        }
        now_due |= self.seen.has_gap();
        if keeps {
            if self.state == RecvState::Open {
                self.deliver(now, out);
            }
            now_due |= self.capacity.saturating_sub(self.buffered) < LOW_BUFFER;
        } else if let RecvState::Rejected { code } = self.state
            && self.last == Some(self.seen.cumulative())
        {
            // Nothing to give out: only the identifier is kept for duplicates.
            let until = now + COMPLETE_LINGER;
            self.state = RecvState::Complete { until, code: Some(code) };
        }
        Ok(now_due)
    }

    /// Whether a new fragment may be stored. One that cannot be although everything before it was
    /// given out is of a message that is larger than the buffer: the flow is rejected.
    fn has_room(&mut self, chunk: &UserData<'_>, out: &mut Vec<Arrival>) -> bool {
        let after = self.buffered + chunk.data.len() + OVERHEAD;
        if after <= self.limit() {
            return true;
        }
        if chunk.sequence != self.seen.cumulative() + 1 {
            return false;
        }
        if after <= self.limit() + FRONT_SLACK {
            return true;
        }
        if self.state == RecvState::Open && !self.suspended {
            self.reject(0);
            out.push(Arrival::TooLarge);
        }
        false
    }

    /// As received, the numbers that will not come any more are told at once.
    fn report_holes(&self, chunk: &UserData<'_>, is_new: bool, out: &mut Vec<Arrival>) {
        for (first, last) in self.seen.holes_through(chunk.forward) {
            let last_is_end = self.last_is_empty && self.last == Some(last);
            let last = if last_is_end { last - 1 } else { last };
            if first <= last {
                out.push(Arrival::Gap { first, last });
            }
        }
        if is_new && chunk.abandoned && !chunk.is_final && chunk.forward < chunk.sequence {
            out.push(Arrival::Gap { first: chunk.sequence, last: chunk.sequence });
        }
    }

    /// Bytes that are stored at most: the advertised minimum can exceed the capacity.
    fn limit(&self) -> usize {
        self.capacity.max(MIN_BLOCKS * BLOCK)
    }

    fn store(&mut self, chunk: &UserData<'_>, arena: &mut BytesMut) {
        if arena.capacity() - arena.len() < chunk.data.len() {
            arena.reserve(chunk.data.len().max(ARENA));
        }
        arena.extend_from_slice(chunk.data);
        let data = arena.split().freeze();
        self.buffered += data.len() + OVERHEAD;
        let stored = Stored { sequence: chunk.sequence, fraction: chunk.fraction, data };
        let at = self.stored.partition_point(|s| s.sequence < stored.sequence);
        self.stored.insert(at, stored);
    }

    fn deliver(&mut self, now: Instant, out: &mut Vec<Arrival>) {
        if self.suspended {
            return;
        }
        match self.delivery {
            Delivery::InOrder => self.deliver_in_order(out),
            Delivery::AsReceived => self.deliver_as_received(out),
        }
        if self.last == Some(self.seen.cumulative()) && self.stored.is_empty() {
            self.state = RecvState::Complete { until: now + COMPLETE_LINGER, code: None };
            out.push(Arrival::Complete);
        }
    }

    fn deliver_in_order(&mut self, out: &mut Vec<Arrival>) {
        let cumulative = self.seen.cumulative();
        let mut gap = None;
        while let Some(front) = self.stored.front() {
            let sequence = front.sequence;
            if sequence > cumulative {
                break;
            }
            if sequence > self.cursor {
                widen(&mut gap, self.cursor, sequence - 1);
                self.cursor = sequence;
            }
            let run = self.run(0);
            let whole = match (front.fraction, run.ends) {
                (Fraction::Whole, _) => true,
                (Fraction::Begin, true) => true,
                (Fraction::Begin, false) if run.last >= cumulative => break,
                _ => false,
            };
            let count = run.count;
            let last = run.last;
            if whole {
                flush(&mut gap, out);
                let payload = self.take(0, count);
                out.push(Arrival::Message { sequence, payload });
            } else {
                self.discard(0, count);
                widen(&mut gap, sequence, last);
            }
            self.cursor = last + 1;
        }
        // A message that waits for its end is at the front; else everything is settled.
        if self.stored.front().is_none_or(|f| f.sequence > cumulative) && self.cursor <= cumulative
        {
            let end = match self.last {
                Some(last) if last == cumulative && self.last_is_empty => cumulative - 1,
                _ => cumulative,
            };
            if self.cursor <= end {
                widen(&mut gap, self.cursor, end);
            }
            self.cursor = cumulative + 1;
        }
        flush(&mut gap, out);
    }

    /// The fragments from `at` that belong together: up to the end of a message, a hole or the
    /// begin of another.
    fn run(&self, at: usize) -> Run {
        let first = &self.stored[at];
        let mut run = Run { count: 1, last: first.sequence, ends: false };
        if first.fraction == Fraction::Whole || first.fraction == Fraction::End {
            run.ends = true;
            return run;
        }
        for next in self.stored.range(at + 1..) {
            let continues = matches!(next.fraction, Fraction::Middle | Fraction::End);
            if next.sequence != run.last + 1 || !continues {
                // A message that another interrupts is never completed.
                break;
            }
            run.count += 1;
            run.last = next.sequence;
            if next.fraction == Fraction::End {
                run.ends = true;
                break;
            }
        }
        run
    }

    fn deliver_as_received(&mut self, out: &mut Vec<Arrival>) {
        let cumulative = self.seen.cumulative();
        let mut at = 0;
        while at < self.stored.len() {
            let run = self.run(at);
            let Stored { sequence, fraction, .. } = self.stored[at];
            let begins = matches!(fraction, Fraction::Whole | Fraction::Begin);
            if begins && run.ends {
                let payload = self.take(at, run.count);
                out.push(Arrival::Message { sequence, payload });
            } else if run.last < cumulative || sequence <= cumulative && !begins {
                // Its missing part is abandoned.
                self.discard(at, run.count);
                out.push(Arrival::Gap { first: sequence, last: run.last });
            } else {
                at += run.count;
            }
        }
    }

    /// Removes `count` fragments and joins their data.
    fn take(&mut self, at: usize, count: usize) -> Bytes {
        if count == 1 {
            let data = self.stored.remove(at).map(|s| s.data).unwrap_or_default();
            self.buffered -= data.len() + OVERHEAD;
            return data;
        }
        let total = self.stored.range(at..at + count).map(|s| s.data.len()).sum();
        let mut joined = BytesMut::with_capacity(total);
        for stored in self.stored.drain(at..at + count) {
            joined.extend_from_slice(&stored.data);
        }
        self.buffered -= total + count * OVERHEAD;
        joined.freeze()
    }

    fn discard(&mut self, at: usize, count: usize) {
        for stored in self.stored.drain(at..at + count) {
            self.buffered -= stored.data.len() + OVERHEAD;
        }
    }

    /// What precedes every acknowledgement of a rejected flow.
    fn exception(&self) -> Option<u64> {
        match self.state {
            RecvState::Rejected { code } => Some(code),
            RecvState::Complete { code, .. } => code,
            RecvState::Pending | RecvState::Open => None,
        }
    }

    fn buffer_blocks(&self) -> usize {
        let free = self.capacity.saturating_sub(self.buffered);
        free.div_ceil(BLOCK).max(MIN_BLOCKS)
    }

    /// Bytes of the acknowledgement without ranges, and of the exception before it.
    pub(crate) fn ack_len(&self) -> usize {
        let exception = self.exception().map_or(0, |code| {
            let mut chunk = Vec::new();
            encode_exception(self.id, code, &mut chunk);
            chunk.len()
        });
        exception + range_ack_len(self.id, self.buffer_blocks() as u64, self.seen.cumulative())
    }

    /// Appends the acknowledgement, its ranges cut so that `out` stays within `limit` bytes. The
    /// caller has made sure that [`ack_len`](Self::ack_len) fits.
    pub(crate) fn encode_ack(&mut self, limit: usize, out: &mut Vec<u8>) {
        if let Some(code) = self.exception() {
            encode_exception(self.id, code, out);
        }
        let blocks = self.buffer_blocks();
        let room = limit.saturating_sub(out.len());
        let above = self.seen.above();
        encode_range_ack(self.id, blocks as u64, self.seen.cumulative(), above, room, out);
        self.advertised = blocks;
        self.ack_pending = false;
    }
}

struct Run {
    count: usize,
    last: u64,
    ends: bool,
}

fn widen(gap: &mut Option<(u64, u64)>, first: u64, last: u64) {
    match gap {
        Some(gap) => gap.1 = last,
        None => *gap = Some((first, last)),
    }
}

fn flush(gap: &mut Option<(u64, u64)>, out: &mut Vec<Arrival>) {
    if let Some((first, last)) = gap.take() {
        out.push(Arrival::Gap { first, last });
    }
}
