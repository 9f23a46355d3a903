//! Flow synchronization: a mark in several flows at which each waits for the others.

use std::collections::HashMap;

use crate::flow::RecvFlowId;
use crate::profile::TcEvent;
use crate::reader::Reader;

/// User control event.
const EVENT: u16 = 34;
/// Marks that may be waited for at a time; further ones are passed.
const MAX_WAITING: usize = 16;

/// A mark: its identifier and in how many flows it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Synchronization {
    id: u32,
    count: u32,
}

impl Synchronization {
    /// Reads the payload of a user control message; `None` when it is another event.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        if reader.u16()? != EVENT {
            return None;
        }
        Some(Self { id: reader.u32()?, count: reader.u32()? })
    }
}

/// Flows that wait, and what they have to say afterwards.
#[derive(Debug, Default)]
pub(super) struct Synchronizer {
    waiting: HashMap<u32, (u32, Vec<RecvFlowId>)>,
    held: HashMap<RecvFlowId, Vec<TcEvent>>,
}

impl Synchronizer {
    /// A mark came on a flow. `suspend` is called with a flow that has to wait. Gives what may go
    /// on, with what it had to say meanwhile.
    pub(super) fn arrived(
        &mut self,
        flow: RecvFlowId,
        sync: Synchronization,
        suspend: impl FnOnce(RecvFlowId),
    ) -> Vec<(RecvFlowId, Vec<TcEvent>)> {
        let known = self.waiting.contains_key(&sync.id);
        if sync.count < 2
            || self.held.contains_key(&flow)
            || !known && self.waiting.len() >= MAX_WAITING
        {
            return Vec::new();
        }
        let (_, flows) = self.waiting.entry(sync.id).or_insert((sync.count, Vec::new()));
        flows.push(flow);
        if flows.len() >= sync.count as usize {
            return self.release(sync.id, Some(flow));
        }
        self.held.insert(flow, Vec::new());
        suspend(flow);
        Vec::new()
    }

    /// Gives an event back, or keeps it while its flow waits.
    pub(super) fn hold(&mut self, flow: RecvFlowId, event: TcEvent) -> Option<TcEvent> {
        match self.held.get_mut(&flow) {
            Some(events) => {
                events.push(event);
                None
            }
            None => Some(event),
        }
    }

    /// A flow is over: who waits with it goes on.
    pub(super) fn ended(&mut self, flow: RecvFlowId) -> Vec<(RecvFlowId, Vec<TcEvent>)> {
        // One that does not wait may be the one that all wait for.
        let ids: Vec<u32> = self.waiting.keys().copied().collect();
        ids.into_iter()
            .flat_map(|id| self.release(id, None))
            .collect::<Vec<_>>()
            .into_iter()
            .chain(self.held.remove(&flow).map(|events| (flow, events)))
            .collect()
    }

    fn release(&mut self, id: u32, last: Option<RecvFlowId>) -> Vec<(RecvFlowId, Vec<TcEvent>)> {
        let (_, flows) = self.waiting.remove(&id).unwrap_or_default();
        flows
            .into_iter()
            .filter(|flow| Some(*flow) != last)
            .map(|flow| (flow, self.held.remove(&flow).unwrap_or_default()))
            .collect()
    }
}
