//! A sending flow: fragmentation, retransmission, abandonment and closing
//! (RFC 7016 §3.6.2).
//!
//! Numbers below the queue are settled: acknowledged, or abandoned and passed by the forward
//! sequence number. Where that number passes one that the receiver has not acknowledged, a chunk
//! "abandoned, number = forward number" is sent until it is acknowledged, for librtmfp knows no other
//! sign of a gap (quirk Q7). The end of the flow is such a chunk too (quirk Q25).

mod acked;
mod flows;

pub(crate) use flows::SendFlows;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::chunk::{
    ABANDONED, FINAL, Fraction, Startup, encode_next_user_data, encode_user_data,
    next_user_data_len, user_data_len,
};
use crate::flow::fragment::{Fragment, MAX_FRAGMENT, Queued};
use crate::flow::{FlowOptions, FlowStats, MAX_MESSAGE_HEADER, Message, Priority, WriteError};
use crate::session::MemoryVisitor;

/// What the receiver may be sent before its first acknowledgement.
const INITIAL_WINDOW: u64 = 65_536;
/// A receiver that neither acknowledges nor rejects a new flow for this long does not know it
/// (quirk Q13).
const ACCEPTANCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Everything queued is still delivered; then this number ends the flow.
    Closing {
        last: u64,
    },
    Complete {
        until: Instant,
    },
}

/// The chunk that tells the forward number, or the end of the flow.
#[derive(Debug)]
struct Update {
    sequence: u64,
    tsn: u64,
    size: usize,
    naks: u8,
    in_flight: bool,
}

#[derive(Debug)]
pub(crate) struct SendFlow {
    id: u64,
    metadata: Bytes,
    association: Option<u64>,
    priority: Priority,
    time_critical: bool,
    state: State,
    /// Metadata and association are repeated until the first acknowledgement.
    starting: bool,
    first_sent: Option<Instant>,
    exception: bool,
    messages: VecDeque<Queued>,
    fragments: VecDeque<Fragment>,
    /// Number of the first fragment of the queue.
    first: u64,
    /// Fragments before this index are not sendable.
    scan: usize,
    update: Option<Update>,
    cumulative: u64,
    highest_sent: u64,
    outstanding: usize,
    retransmissions_in_flight: usize,
    window: u64,
    capacity: usize,
    wants_room: bool,
    last_abandoned: bool,
    deadline: Option<Instant>,
    stats: FlowStats,
}

impl SendFlow {
    pub(crate) fn new(id: u64, options: FlowOptions, capacity: usize) -> Self {
        Self {
            id,
            metadata: options.metadata,
            association: options.associated.map(|flow| flow.0),
            priority: options.priority,
            time_critical: options.time_critical,
            state: State::Open,
            starting: true,
            first_sent: None,
            exception: false,
            messages: VecDeque::new(),
            fragments: VecDeque::new(),
            first: 1,
            scan: 0,
            update: None,
            cumulative: 0,
            highest_sent: 0,
            outstanding: 0,
            retransmissions_in_flight: 0,
            window: INITIAL_WINDOW,
            capacity,
            wants_room: false,
            last_abandoned: false,
            deadline: None,
            stats: FlowStats::default(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn priority(&self) -> Priority {
        self.priority
    }

    pub(crate) fn set_priority(&mut self, priority: Priority) {
        self.priority = priority;
    }

    pub(crate) fn is_time_critical(&self) -> bool {
        self.time_critical
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open && !self.exception
    }

    pub(crate) fn stats(&self) -> FlowStats {
        self.stats
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// When the oldest message that has not begun to leave was written.
    pub(crate) fn oldest_unsent(&self) -> Option<Instant> {
        self.messages.iter().find(|m| !m.started && !m.abandoned).map(|m| m.written)
    }

    fn next(&self) -> u64 {
        self.first + self.fragments.len() as u64
    }

    pub(crate) fn write(&mut self, now: Instant, message: &Message<'_>) -> Result<(), WriteError> {
        if !self.is_open() {
            return Err(WriteError::Closed);
        }
        if message.header.len() > MAX_MESSAGE_HEADER {
            return Err(WriteError::Header(message.header.len()));
        }
        if message.dependent && self.last_abandoned {
            return Err(WriteError::PredecessorAbandoned);
        }
        let total = message.header.len() + message.payload.len();
        let queued_bytes = self.stats.queued_bytes;
        // An empty flow takes one message of any size.
        if queued_bytes > 0 && queued_bytes + total > self.capacity {
            self.wants_room = true;
            return Err(WriteError::BufferFull { queued_bytes, capacity: self.capacity });
        }
        let limit = match self.startup() {
            Some(startup) => {
                MAX_FRAGMENT - user_data_len(0, 0, 0, Some(startup), 0)
                    + user_data_len(0, 0, 0, None, 0)
            }
            None => MAX_FRAGMENT,
        };
        let first = self.next();
        let mut offset = 0;
        loop {
            let len = limit.min(total - offset);
            self.fragments.push_back(Fragment::new(offset, len, total));
            offset += len;
            if offset == total {
                break;
            }
        }
        let mut queued =
            Queued::new(message.header, message.payload.clone(), first, self.next() - 1, now);
        queued.start_by = message.start_within.map(|d| now + d);
        queued.finish_by = message.finish_within.map(|d| now + d);
        queued.retransmit = message.retransmit;
        queued.dependent = message.dependent;
        self.deadline = earliest(self.deadline, queued.deadline());
        self.messages.push_back(queued);
        self.last_abandoned = false;
        self.stats.queued_bytes += total;
        self.stats.messages += 1;
        Ok(())
    }

    /// Shortens the life of every queued message that has a deadline.
    pub(crate) fn expire_queued(&mut self, now: Instant, within: Duration) {
        let limit = now + within;
        for message in &mut self.messages {
            for deadline in [&mut message.start_by, &mut message.finish_by] {
                if deadline.is_some_and(|d| d > limit) {
                    *deadline = Some(limit);
                    self.deadline = earliest(self.deadline, *deadline);
                }
            }
        }
    }

    /// No more messages; what is queued is still delivered. `true` when the flow is over at once,
    /// for the receiver never heard of it.
    pub(crate) fn close(&mut self) -> bool {
        if self.state == State::Open {
            self.state = State::Closing { last: self.next() };
        }
        self.fragments.is_empty() && self.first_sent.is_none()
    }

    /// The receiver rejected the flow, or does not know it.
    pub(crate) fn fail(&mut self) -> bool {
        self.exception = true;
        while let Some(i) = self.messages.iter().position(|m| !m.abandoned) {
            self.abandon(i);
        }
        self.advance();
        self.close()
    }

    /// Whether a failed flow was never acknowledged for so long that it is given up.
    pub(crate) fn acceptance_deadline(&self) -> Option<Instant> {
        let since = self.first_sent.filter(|_| self.starting && !self.exception)?;
        Some(since + ACCEPTANCE)
    }

    pub(crate) fn linger_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Complete { until } => Some(until),
            _ => None,
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.exception
    }

    /// Whether there is nothing to send, to wait for or to tell, until a message is written, the flow
    /// is closed or the far end says something of it.
    pub(crate) fn is_idle(&self) -> bool {
        self.fragments.is_empty()
            && self.messages.is_empty()
            && self.update.is_none()
            && !self.wants_room
            && self.deadline.is_none()
            && self.linger_deadline().is_none()
            && self.acceptance_deadline().is_none()
            && self.due_update().is_none()
    }

    /// Whether something sent is not settled.
    pub(crate) fn has_unacked(&self) -> bool {
        self.fragments.front().is_some_and(|f| f.sent) || self.update.is_some()
    }

    /// Shows the ends of the queues.
    pub(crate) fn visit_queues(&self, visitor: &mut impl MemoryVisitor) {
        [self.fragments.front(), self.fragments.back()]
            .into_iter()
            .flatten()
            .for_each(|fragment| visitor.visit(fragment));
        [self.messages.front(), self.messages.back()]
            .into_iter()
            .flatten()
            .for_each(|message| visitor.visit(message));
    }

    /// The receiver has no room, and something waits.
    pub(crate) fn is_stalled(&self) -> bool {
        self.window == 0
            && !self.exception
            && self.fragments.iter().skip(self.scan).any(Fragment::is_sendable)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Abandons what is too old.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|d| d > now) {
            return;
        }
        for i in 0..self.messages.len() {
            if self.messages[i].deadline().is_some_and(|d| d <= now) {
                self.abandon(i);
            }
        }
        self.deadline = self.messages.iter().filter_map(Queued::deadline).min();
        self.advance();
    }

    /// Room for messages again, after a write that found none.
    pub(crate) fn take_writable(&mut self) -> bool {
        let writable = self.wants_room && self.stats.queued_bytes <= self.capacity / 2;
        if writable {
            self.wants_room = false;
        }
        writable && self.is_open()
    }

    fn startup(&self) -> Option<Startup<'_>> {
        self.starting.then(|| Startup {
            metadata: Some(&self.metadata),
            association: self.association,
            unknown_mandatory: false,
        })
    }

    /// The number that the forward chunk must tell now, and whether it ends the flow.
    fn due_update(&self) -> Option<(u64, bool)> {
        let due = match self.state {
            State::Closing { last } if self.fragments.is_empty() => (last, true),
            State::Complete { .. } => return None,
            _ => (self.first - 1, false),
        };
        let told = self.update.as_ref().is_some_and(|u| u.in_flight && u.sequence >= due.0);
        (due.0 > self.cumulative && !told).then_some(due)
    }

    /// Whether [`emit`](Self::emit) would add something to an empty packet.
    pub(crate) fn is_eligible(&mut self) -> bool {
        if self.due_update().is_some() {
            return true;
        }
        if self.window <= self.outstanding as u64 {
            return false;
        }
        while self.fragments.get(self.scan).is_some_and(|f| !f.is_sendable()) {
            self.scan += 1;
        }
        self.scan < self.fragments.len()
    }

    /// Bytes of the chunks that [`emit`](Self::emit) would append to packets of any size, counted up
    /// to `limit`.
    pub(crate) fn waiting_bytes(&self, limit: usize) -> usize {
        let mut bytes = 0;
        for fragment in self.fragments.iter().skip(self.scan).filter(|f| f.is_sendable()) {
            if bytes >= limit {
                break;
            }
            bytes += next_user_data_len(usize::from(fragment.len));
        }
        bytes
    }

    /// Appends chunks as long as `out` stays within `limit` bytes.
    pub(crate) fn emit(&mut self, now: Instant, tsn: u64, limit: usize, out: &mut Vec<u8>) {
        let mut previous = None;
        if let Some((sequence, is_final)) = self.due_update() {
            let size = user_data_len(self.id, sequence, sequence, self.startup(), 0);
            if out.len() + size > limit {
                return;
            }
            let flags = if is_final { ABANDONED | FINAL } else { ABANDONED };
            let whole = Fraction::Whole;
            let startup = self.startup();
            encode_user_data(flags, whole, self.id, sequence, sequence, startup, out, |_| {});
            if let Some(old) = self.update.take().filter(|u| u.in_flight) {
                self.outstanding -= old.size;
            }
            self.update = Some(Update { sequence, tsn, size, naks: 0, in_flight: true });
            self.outstanding += size;
            self.sent(now, sequence, size);
            previous = Some(sequence);
        }
        while self.window > self.outstanding as u64 && self.is_eligible() {
            let sequence = self.first + self.scan as u64;
            let fragment = &self.fragments[self.scan];
            let (offset, len) = (fragment.offset as usize, usize::from(fragment.len));
            let follows = previous == Some(sequence - 1);
            let startup = self.startup().filter(|_| previous.is_none());
            let size = if follows {
                next_user_data_len(len)
            } else {
                user_data_len(self.id, sequence, self.first - 1, startup, len)
            };
            if out.len() + size > limit {
                break;
            }
            let at = self.messages.partition_point(|m| m.last < sequence);
            let message = &self.messages[at];
            let fill = |out: &mut Vec<u8>| message.copy(offset, len, out);
            if follows {
                encode_next_user_data(0, fragment.fraction, out, fill);
            } else {
                let (id, forward) = (self.id, self.first - 1);
                encode_user_data(0, fragment.fraction, id, sequence, forward, startup, out, fill);
            }
            self.messages[at].started = true;
            let fragment = &mut self.fragments[self.scan];
            if fragment.sent {
                self.stats.retransmitted += 1;
                self.retransmissions_in_flight += 1;
                fragment.resent = true;
            }
            fragment.sent = true;
            fragment.in_flight = true;
            fragment.naks = 0;
            fragment.tsn = tsn;
            fragment.size = size as u16;
            self.scan += 1;
            self.outstanding += size;
            self.sent(now, sequence, size);
            previous = Some(sequence);
        }
    }

    fn sent(&mut self, now: Instant, sequence: u64, size: usize) {
        self.first_sent.get_or_insert(now);
        self.highest_sent = self.highest_sent.max(sequence);
        self.stats.sent_bytes += size as u64;
    }

    /// Abandons a message and those that depend on it.
    fn abandon(&mut self, index: usize) {
        for i in index..self.messages.len() {
            let message = &mut self.messages[i];
            if i > index && !message.dependent {
                return;
            }
            if !message.abandoned {
                self.stats.queued_bytes -= message.len();
                self.stats.abandoned += 1;
                message.abandon();
                let start = message.first.saturating_sub(self.first) as usize;
                let end = ((message.last + 1).saturating_sub(self.first) as usize)
                    .min(self.fragments.len());
                for fragment in self.fragments.range_mut(start.min(end)..end) {
                    fragment.abandoned = true;
                }
            }
        }
        self.last_abandoned = true;
    }

    /// Drops settled fragments and messages from the front of the queue.
    fn advance(&mut self) {
        while let Some(fragment) = self.fragments.front() {
            let settled = fragment.acked || fragment.abandoned && !fragment.in_flight;
            if !settled {
                break;
            }
            self.fragments.pop_front();
            self.first += 1;
            self.scan = self.scan.saturating_sub(1);
        }
        while let Some(message) = self.messages.front() {
            if message.last >= self.first {
                break;
            }
            self.stats.queued_bytes -= message.len();
            self.messages.pop_front();
        }
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}
