//! What each flow is for, and when flows come and go.

use std::collections::VecDeque;

use bytes::Bytes;
use ramona_rtmfp::{
    Delivery, FlowEnd, FlowOptions, Priority, RecvFlowId, SendFlowId, Session as RtmfpSession,
};
use ramona_rtmp::StreamId;

use super::{Connection, Phase};
use crate::limits::{
    BASE_FLOWS, CONTROL_BUFFER, FLOWS_PER_STREAM, MAX_GROUP_MESSAGE, MAX_GROUPS, STREAM_BUFFER,
};
use crate::metadata::FlowKind;

/// Code of a flow exception that says nothing in particular.
pub(super) const REFUSED: u64 = 0;

/// What a receiving flow brought.
#[derive(Debug)]
pub(super) enum Arrival {
    Message(Bytes),
    Gap,
    End,
}

/// What a receiving flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Control,
    Stream(StreamId),
    Group,
}

/// A receiving flow that was accepted.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) purpose: Purpose,
    /// What it carried: a gap in a flow of other things breaks no picture.
    pub(super) has_video: bool,
    pub(super) has_other: bool,
    /// The synchronisation that the flow waits for, and what it brought meanwhile.
    pub(super) sync: Option<u32>,
    pub(super) waiting: VecDeque<Arrival>,
}

/// A sending flow that is opened when first used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Slot {
    #[default]
    Unused,
    Open(SendFlowId),
    /// The client rejected it, and will again.
    Refused,
}

impl Slot {
    pub(super) fn id(self) -> Option<SendFlowId> {
        if let Self::Open(flow) = self { Some(flow) } else { None }
    }

    /// Ends the flow after what is queued.
    pub(super) fn close(&mut self, session: &mut RtmfpSession) {
        if let Self::Open(flow) = std::mem::take(self) {
            session.close_flow(flow);
        }
    }

    /// Notes the end of a flow; whether it was this one.
    pub(super) fn ended(&mut self, flow: SendFlowId, reason: FlowEnd) -> bool {
        let is_this = *self == Self::Open(flow);
        if is_this {
            *self = if reason == FlowEnd::Completed { Self::Unused } else { Self::Refused };
        }
        is_this
    }
}

/// The server's flows of one stream, and the state of its media.
#[derive(Debug)]
pub(super) struct StreamFlows {
    pub(super) id: StreamId,
    /// Commands and data.
    pub(super) data: Slot,
    pub(super) audio: Slot,
    pub(super) video: Slot,
    /// To a viewer: frames are dropped up to the next keyframe.
    pub(super) needs_keyframe: bool,
    /// How many messages of the video flow had been given up when the last keyframe was queued.
    pub(super) abandoned_before: u64,
    /// A codec header came since that keyframe, which cuts the chain of what depends on what.
    pub(super) header_since: bool,
    /// Of a publisher: its frames are broken up to the next keyframe.
    pub(super) is_broken: bool,
}

impl StreamFlows {
    fn new(id: StreamId) -> Self {
        Self {
            id,
            data: Slot::Unused,
            audio: Slot::Unused,
            video: Slot::Unused,
            needs_keyframe: false,
            abandoned_before: 0,
            header_since: false,
            is_broken: false,
        }
    }

    pub(super) fn slots(&mut self) -> [&mut Slot; 3] {
        [&mut self.data, &mut self.audio, &mut self.video]
    }
}

impl Connection {
    pub(super) fn flow_opened(&mut self, flow: RecvFlowId, metadata: &[u8]) {
        let purpose = match FlowKind::decode(metadata) {
            Some(FlowKind::Stream(StreamId(0))) if self.far_control.is_none() => Purpose::Control,
            Some(FlowKind::Stream(stream)) if self.may_open(stream) => Purpose::Stream(stream),
            Some(FlowKind::Group) if self.is_connected() && self.group_flows() < MAX_GROUPS => {
                Purpose::Group
            }
            _ => return self.refuse_flow(flow),
        };
        if self.phase != Phase::Open {
            return self.refuse_flow(flow);
        }
        let capacity = match purpose {
            Purpose::Control => {
                self.far_control = Some(flow);
                CONTROL_BUFFER
            }
            Purpose::Stream(_) => STREAM_BUFFER,
            Purpose::Group => MAX_GROUP_MESSAGE,
        };
        let (sync, waiting) = (None, VecDeque::new());
        let incoming = Incoming { purpose, has_video: false, has_other: false, sync, waiting };
        self.incoming.insert(flow, incoming);
        if self.is_held {
            // Before it is accepted, or what came with it would be given out.
            self.session.suspend_flow(self.now, flow, true);
        }
        self.session.accept_flow(self.now, flow, Delivery::InOrder, capacity);
    }

    /// A stream that exists and has not too many flows yet.
    fn may_open(&self, stream: StreamId) -> bool {
        let of_stream = |i: &&Incoming| i.purpose == Purpose::Stream(stream);
        self.is_connected()
            && self.net.has_stream(stream)
            && self.incoming.values().filter(of_stream).count() < FLOWS_PER_STREAM
    }

    fn group_flows(&self) -> usize {
        self.incoming.values().filter(|i| i.purpose == Purpose::Group).count()
    }

    pub(super) fn refuse_flow(&mut self, flow: RecvFlowId) {
        self.stats.flows_refused += 1;
        self.incoming.remove(&flow);
        self.session.reject_flow(flow, REFUSED);
    }

    /// A receiving flow is over, or was rejected for a message larger than its buffer.
    pub(super) fn flow_finished(&mut self, flow: RecvFlowId) {
        let Some(incoming) = self.incoming.remove(&flow) else { return };
        match incoming.purpose {
            Purpose::Control => self.control_finished(flow),
            Purpose::Stream(_) => {
                // Others may wait for it (§7.8 of the profile leaves them so for ever).
                self.release_all_syncs();
            }
            Purpose::Group => self.leave(flow),
        }
    }

    /// A sending flow is over.
    pub(super) fn flow_ended(&mut self, flow: SendFlowId, reason: FlowEnd) {
        if self.near_control == Some(flow) {
            return self.near_control_ended(reason);
        }
        if let Some(at) = self.writers.iter().position(|writer| *writer == flow) {
            self.writers.remove(at);
            return;
        }
        let slots = self.streams.iter_mut().flat_map(|stream| stream.slots());
        let slots = slots.chain(self.joins.iter_mut().map(|join| &mut join.members));
        for slot in slots {
            if slot.ended(flow, reason) {
                return;
            }
        }
    }

    /// Compares the streams that there are with the flows that there are.
    pub(super) fn update_streams(&mut self) {
        let count = self.net.is_connected().then(|| self.net.streams().len());
        if count == self.known_streams {
            return;
        }
        self.known_streams = count;
        let (net, session) = (&self.net, &mut self.session);
        self.streams.retain_mut(|stream| {
            let stays = net.has_stream(stream.id);
            if !stays {
                stream.slots().into_iter().for_each(|slot| slot.close(session));
            }
            stays
        });
        for stream in net.streams() {
            if self.streams.iter().all(|known| known.id != stream) {
                self.streams.push(StreamFlows::new(stream));
            }
        }
        self.incoming.retain(|flow, incoming| match incoming.purpose {
            Purpose::Stream(stream) if !net.has_stream(stream) => {
                session.reject_flow(*flow, REFUSED);
                false
            }
            _ => true,
        });
        self.release_all_syncs();
        self.update_flow_limit();
    }

    fn update_flow_limit(&mut self) {
        if self.net.is_connected() {
            let limit = BASE_FLOWS + FLOWS_PER_STREAM * self.streams.len() + MAX_GROUPS;
            self.session.set_max_recv_flows(limit);
        }
    }

    pub(super) fn stream(&mut self, id: StreamId) -> Option<&mut StreamFlows> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    /// Opens a flow to the client, an answer to its control flow: others are rejected by clients
    /// of rtmfp-cpp (quirk Q17).
    pub(super) fn open_flow(
        &mut self,
        kind: FlowKind,
        associated: RecvFlowId,
        priority: Priority,
        is_media: bool,
    ) -> Option<SendFlowId> {
        let options = FlowOptions {
            metadata: kind.encode(),
            associated: Some(associated),
            priority,
            time_critical: is_media,
        };
        let flow = self.session.open_flow(options).ok()?;
        let capacity = if is_media { self.config.media_queue } else { self.config.control_queue };
        self.session.set_flow_capacity(flow, capacity);
        Some(flow)
    }

    /// Holds every flow back, or lets them go on.
    pub(super) fn hold(&mut self, on: bool) {
        if self.is_held == on {
            return;
        }
        self.is_held = on;
        for (flow, incoming) in &self.incoming {
            if incoming.sync.is_none() {
                self.session.suspend_flow(self.now, *flow, on);
            }
        }
    }
}
