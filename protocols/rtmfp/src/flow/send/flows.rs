//! The sending flows of a session, of which most are idle most of the time.

use crate::flow::SendFlowId;
use crate::flow::send::SendFlow;

/// All flows, and which of them may have something to do: a session with a thousand flows looks at
/// those with every packet, and at the others never.
#[derive(Debug, Default)]
pub(crate) struct SendFlows {
    /// Their identifiers ascend.
    all: Vec<SendFlow>,
    /// Indices of those that are not idle, and perhaps of some that are; ascending.
    busy: Vec<usize>,
    /// Indices of the two that were used last, the latest first: mostly sound and picture.
    recent: [usize; 2],
}

impl SendFlows {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds a flow whose identifier is the greatest.
    pub(crate) fn push(&mut self, flow: SendFlow) {
        debug_assert!(self.all.last().is_none_or(|last| last.id() < flow.id()));
        self.all.push(flow);
    }

    pub(crate) fn get(&self, id: SendFlowId) -> Option<&SendFlow> {
        Some(&self.all[self.index(id)?])
    }

    /// A flow that is given something to do: it is looked at until it is idle.
    pub(crate) fn get_mut(&mut self, id: SendFlowId) -> Option<&mut SendFlow> {
        let index = self.index(id)?;
        if let Err(at) = self.busy.binary_search(&index) {
            self.busy.insert(at, index);
        }
        if self.recent[0] != index {
            self.recent = [index, self.recent[0]];
        }
        Some(&mut self.all[index])
    }

    pub(crate) fn remove(&mut self, id: SendFlowId) {
        let Some(index) = self.index(id) else { return };
        self.all.remove(index);
        self.busy.retain(|busy| *busy != index);
        self.busy.iter_mut().filter(|busy| **busy > index).for_each(|busy| *busy -= 1);
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.busy.clear();
    }

    /// How many may have something to do.
    pub(crate) fn busy_len(&self) -> usize {
        self.busy.len()
    }

    /// Those that may have something to do.
    pub(crate) fn busy(&self) -> impl Iterator<Item = &SendFlow> {
        self.busy.iter().map(|index| &self.all[*index])
    }

    /// The `at`th of [`busy`](Self::busy).
    pub(crate) fn busy_at(&mut self, at: usize) -> &mut SendFlow {
        &mut self.all[self.busy[at]]
    }

    /// Shows each of [`busy`](Self::busy) to `visit`.
    pub(crate) fn for_busy(&mut self, mut visit: impl FnMut(&mut SendFlow)) {
        self.busy.iter().for_each(|index| visit(&mut self.all[*index]));
    }

    /// Forgets which flows were busy and are idle.
    pub(crate) fn settle(&mut self) {
        let Self { all, busy, .. } = self;
        busy.retain(|index| !all[*index].is_idle());
    }

    /// Those that will probably be used next.
    pub(crate) fn likely(&self) -> impl Iterator<Item = &SendFlow> {
        self.recent.iter().filter_map(|index| self.all.get(*index))
    }

    fn index(&self, id: SendFlowId) -> Option<usize> {
        self.all.binary_search_by_key(&id.0, SendFlow::id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{FlowOptions, Message};
    use bytes::Bytes;
    use std::time::Instant;

    fn flows(count: u64) -> SendFlows {
        let mut flows = SendFlows::default();
        (0..count).for_each(|id| flows.push(SendFlow::new(id, FlowOptions::default(), 10_000)));
        flows
    }

    fn busy(flows: &SendFlows) -> Vec<u64> {
        flows.busy().map(SendFlow::id).collect()
    }

    #[test]
    fn a_flow_is_looked_at_from_its_message_to_its_end_or_its_acknowledgement() {
        use crate::testing::raw::TestInstant;
        let mut flows = flows(5);
        for id in [3, 1, 4] {
            let message = Message::reliable(&[], Bytes::from_static(b"message"));
            let flow = flows.get_mut(SendFlowId(id)).expect("it is there");
            flow.write(Instant::now_for_tests(), &message).expect("there is room");
        }
        // Asked for, but given nothing.
        flows.get_mut(SendFlowId(2));
        assert_eq!(busy(&flows), [1, 2, 3, 4]);
        flows.settle();
        assert_eq!(busy(&flows), [1, 3, 4]);
        flows.remove(SendFlowId(0));
        assert_eq!(busy(&flows), [1, 3, 4]);
        flows.remove(SendFlowId(3));
        assert_eq!((busy(&flows), flows.len()), (vec![1, 4], 3));
        assert_eq!(flows.busy_at(1).id(), 4);
        flows.clear();
        assert_eq!((flows.busy_len(), flows.len()), (0, 0));
    }
}
