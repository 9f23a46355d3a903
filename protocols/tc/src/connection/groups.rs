//! NetGroups: a client is a member as long as its group flow is open.

use ramona_rtmfp::{GroupId, PeerId, Priority, RecvFlowId, decode_join, encode_member};

use super::flows::Slot;
use super::{Connection, Event, GroupJoin};
use crate::limits::MAX_GROUP_MESSAGE;
use crate::metadata::FlowKind;

/// One membership.
#[derive(Debug)]
pub(super) struct Join {
    flow: RecvFlowId,
    group: [u8; 32],
    /// The flow that tells members, opened when there is one to tell.
    pub(super) members: Slot,
}

impl Join {
    pub(super) fn flow(&self) -> RecvFlowId {
        self.flow
    }
}

impl Connection {
    pub(super) fn take_group_message(&mut self, flow: RecvFlowId, message: &[u8]) {
        let known = self.joins.iter().find(|join| join.flow == flow).map(|join| join.group);
        let request = decode_join(message).filter(|_| message.len() <= MAX_GROUP_MESSAGE);
        match (request, known) {
            (Some(GroupId(group)), None) => {
                self.joins.push(Join { flow, group, members: Slot::Unused });
                self.push_event(Event::JoinGroup { join: GroupJoin(flow), group });
            }
            (Some(GroupId(group)), Some(known)) if group == known => {}
            _ => {
                self.stats.bad_joins += 1;
                self.refuse_flow(flow);
                self.leave(flow);
            }
        }
    }

    /// The group flow is over.
    pub(super) fn leave(&mut self, flow: RecvFlowId) {
        if let Some(at) = self.joins.iter().position(|join| join.flow == flow) {
            let mut join = self.joins.swap_remove(at);
            join.members.close(&mut self.session);
            self.push_event(Event::LeaveGroup { join: GroupJoin(flow), group: join.group });
        }
    }

    /// Memberships that are open, with their groups.
    pub fn groups(&self) -> impl Iterator<Item = (GroupJoin, [u8; 32])> + '_ {
        self.joins.iter().map(|join| (GroupJoin(join.flow), join.group))
    }

    /// Tells the client a member of the group that it joined. `false`: the membership is over, or
    /// the client rejected to be told.
    pub fn tell_member(&mut self, now: std::time::Instant, join: GroupJoin, peer: PeerId) -> bool {
        self.now = self.now.max(now);
        let Some(at) = self.joins.iter().position(|known| known.flow == join.0) else {
            return false;
        };
        let flow = match self.joins[at].members {
            Slot::Open(flow) => flow,
            Slot::Refused => return false,
            Slot::Unused => {
                let kind = FlowKind::Group;
                let Some(flow) = self.open_flow(kind, join.0, Priority::Routine, false) else {
                    return false;
                };
                self.joins[at].members = Slot::Open(flow);
                flow
            }
        };
        self.write(flow, &[], encode_member(peer), true);
        true
    }

    /// Ends a membership at the server's wish: its flow is rejected.
    /// [`Event::LeaveGroup`] follows.
    pub fn end_join(&mut self, join: GroupJoin) {
        if self.joins.iter().any(|known| known.flow == join.0) {
            self.incoming.remove(&join.0);
            self.session.reject_flow(join.0, super::flows::REFUSED);
            self.leave(join.0);
        }
    }
}
