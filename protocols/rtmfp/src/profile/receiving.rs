//! Flows of the far end and what they bring.

use std::time::Instant;

use bytes::{Buf, Bytes};

use crate::flow::{Delivery, RecvFlowId};
use crate::netgroup::{self, GROUP_METADATA};
use crate::profile::sync::Synchronization;
use crate::profile::{
    COMMAND_CAPACITY, GROUP_CAPACITY, HEADER_LEN, MAX_GROUPS, MEDIA_CAPACITY, NetConnectionFlows,
    Purpose, Side, StreamMetadata, TcEvent, TcMessage, USER_CONTROL,
};
use crate::session::Session;

impl NetConnectionFlows {
    pub(super) fn open_receiving(
        &mut self,
        now: Instant,
        session: &mut Session,
        flow: RecvFlowId,
        metadata: &[u8],
        has_stream: impl Fn(u32) -> bool,
    ) {
        let purpose = match StreamMetadata::decode(metadata) {
            _ if self.closed => None,
            Some(StreamMetadata { stream: 0, .. }) if self.far_control.is_none() => {
                Some(Purpose::Control)
            }
            // Nothing else before the control flow, and only one of those.
            _ if self.far_control.is_none() => None,
            Some(StreamMetadata { stream: 0, .. }) => None,
            Some(StreamMetadata { stream, .. }) => {
                has_stream(stream).then_some(Purpose::Stream { id: stream, kind: None })
            }
            None if metadata == GROUP_METADATA && self.group_count() < MAX_GROUPS => {
                Some(Purpose::Group { joined: None })
            }
            None => None,
        };
        let Some(purpose) = purpose else {
            session.reject_flow(flow, 0);
            return;
        };
        let capacity = match purpose {
            Purpose::Control => COMMAND_CAPACITY,
            Purpose::Stream { .. } => MEDIA_CAPACITY,
            Purpose::Group { .. } => GROUP_CAPACITY,
        };
        if matches!(purpose, Purpose::Control) {
            self.far_control = Some(flow);
        }
        self.receiving.insert(flow, purpose);
        // In order whatever the metadata asks for: nobody above reorders.
        session.accept_flow(now, flow, Delivery::InOrder, capacity);
        self.limit_flows(session);
    }

    pub(super) fn take_message(
        &mut self,
        now: Instant,
        session: &mut Session,
        flow: RecvFlowId,
        mut payload: Bytes,
    ) {
        let stream = match self.receiving.get_mut(&flow) {
            Some(Purpose::Control) => 0,
            Some(Purpose::Stream { id, .. }) => *id,
            Some(Purpose::Group { joined }) => {
                let was = *joined;
                if self.side == Side::Client {
                    if let Some(peer) = netgroup::decode_member(&payload) {
                        self.events.push_back(TcEvent::GroupMember { peer });
                    }
                } else if let Some(group) =
                    netgroup::decode_join(&payload).filter(|_| was.is_none())
                {
                    *joined = Some(group);
                    self.events.push_back(TcEvent::GroupJoined { flow, group });
                }
                return;
            }
            None => return,
        };
        if payload.len() < HEADER_LEN {
            return;
        }
        let kind = payload.get_u8();
        let timestamp_ms = payload.get_u32();
        if let Some(Purpose::Stream { kind: last, .. }) = self.receiving.get_mut(&flow) {
            *last = Some(kind);
        }
        if kind == USER_CONTROL
            && let Some(sync) = Synchronization::decode(&payload)
        {
            let released = self.synchronizer.arrived(flow, sync, |held| {
                session.suspend_flow(now, held, true);
            });
            self.release(now, session, released);
            return;
        }
        self.tell(flow, TcEvent::Message(TcMessage { stream, kind, timestamp_ms, payload }));
    }

    /// Gives an event out, or keeps it while its flow waits for others.
    pub(super) fn tell(&mut self, flow: RecvFlowId, event: TcEvent) {
        if let Some(event) = self.synchronizer.hold(flow, event) {
            self.events.push_back(event);
        }
    }

    fn release(
        &mut self,
        now: Instant,
        session: &mut Session,
        released: Vec<(RecvFlowId, Vec<TcEvent>)>,
    ) {
        for (flow, events) in released {
            self.events.extend(events);
            session.suspend_flow(now, flow, false);
        }
    }

    pub(super) fn end_receiving(&mut self, now: Instant, session: &mut Session, flow: RecvFlowId) {
        let released = self.synchronizer.ended(flow);
        self.release(now, session, released);
        match self.receiving.remove(&flow) {
            Some(Purpose::Control) => self.end(session),
            Some(Purpose::Group { joined }) => {
                if let Some(answers) = self.members.remove(&flow) {
                    session.close_flow(answers);
                }
                if let Some(group) = joined {
                    self.events.push_back(TcEvent::GroupLeft { flow, group });
                }
                self.limit_flows(session);
            }
            Some(Purpose::Stream { .. }) | None => {}
        }
    }
}
