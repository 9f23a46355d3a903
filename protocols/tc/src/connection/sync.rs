//! Flow synchronisation: flows that say the same go on together (user control event 34).

use ramona_rtmfp::RecvFlowId;

use super::Connection;

impl Connection {
    /// A flow says that it waits until `count` flows have said the same. Not forwarded.
    pub(super) fn begin_sync(&mut self, flow: RecvFlowId, id: u32, count: u32) {
        self.stats.flow_syncs += 1;
        let waiting = self.incoming.values().filter(|i| i.sync == Some(id)).count() + 1;
        if waiting as u64 >= u64::from(count) {
            return self.release_syncs(|sync| sync == id);
        }
        if let Some(incoming) = self.incoming.get_mut(&flow) {
            incoming.sync = Some(id);
            self.session.suspend_flow(self.now, flow, true);
        }
    }

    /// A flow is over that others may wait for.
    pub(super) fn release_all_syncs(&mut self) {
        self.release_syncs(|_| true);
    }

    fn release_syncs(&mut self, is_over: impl Fn(u32) -> bool) {
        let released = self.incoming.iter().filter(|(_, i)| i.sync.is_some_and(&is_over));
        let mut released: Vec<RecvFlowId> = released.map(|(flow, _)| *flow).collect();
        // Each goes in front of the last, so the first comes first.
        released.sort_unstable();
        for flow in released.into_iter().rev() {
            let Some(incoming) = self.incoming.get_mut(&flow) else { continue };
            incoming.sync = None;
            for arrival in std::mem::take(&mut incoming.waiting).into_iter().rev() {
                self.inbox.push_front((flow, arrival));
            }
            if !self.is_held {
                self.session.suspend_flow(self.now, flow, false);
            }
        }
    }
}
