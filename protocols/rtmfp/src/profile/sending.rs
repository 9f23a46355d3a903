//! Messages of this end, and the flows that are opened for them.

use std::time::Instant;

use bytes::Bytes;

use crate::certificate::PeerId;
use crate::flow::{FlowOptions, Message, Priority, RecvFlowId, SendFlowId, WriteError};
use crate::netgroup::{self, GROUP_METADATA, GroupId};
use crate::profile::{
    AUDIO, Channel, Lifetime, MediaClass, NetConnectionFlows, Purpose, SendError, Side,
    StreamMetadata, TcMessage, VIDEO, header,
};
use crate::session::Session;

impl NetConnectionFlows {
    /// Sends a message that never expires: commands, data, control.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(
        &mut self,
        now: Instant,
        session: &mut Session,
        message: &TcMessage,
    ) -> Result<(), SendError> {
        let flow = self.sending_flow(session, message.stream, message.kind)?;
        let header = header(message.kind, message.timestamp_ms);
        let message = Message::reliable(&header, message.payload.clone());
        Ok(session.write(now, flow, &message)?)
    }

    /// Sends audio or video, which may expire as `lifetime` says. A keyframe shortens the life of
    /// what waits before it; a frame that is no keyframe depends on the frame before it.
    ///
    /// # Errors
    /// See [`SendError`]; the next frame that can be sent after an error is a keyframe.
    pub fn send_media(
        &mut self,
        now: Instant,
        session: &mut Session,
        message: &TcMessage,
        class: MediaClass,
        lifetime: Lifetime,
    ) -> Result<(), SendError> {
        let flow = self.sending_flow(session, message.stream, message.kind)?;
        let limits = lifetime.limits(class);
        if let Some((start_within, _)) = limits {
            let late = session.oldest_unsent(flow).is_some_and(|at| at + start_within * 2 < now);
            if late {
                return Err(SendError::Late);
            }
            if class == MediaClass::Keyframe {
                session.expire_queued(now, flow, Lifetime::BEFORE_KEYFRAME);
            }
        }
        let header = header(message.kind, message.timestamp_ms);
        let message = Message {
            header: &header,
            payload: message.payload.clone(),
            start_within: limits.map(|(start, _)| start),
            finish_within: limits.map(|(_, finish)| finish),
            retransmit: lifetime.retransmits(class),
            dependent: class == MediaClass::Dependent,
        };
        Ok(session.write(now, flow, &message)?)
    }

    /// Tells a client of a member, on the flow that answers its join.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send_member(
        &mut self,
        now: Instant,
        session: &mut Session,
        join: RecvFlowId,
        peer: PeerId,
    ) -> Result<(), SendError> {
        let flow = match self.members.get(&join) {
            Some(flow) => *flow,
            None => {
                let flow = session.open_flow(FlowOptions {
                    metadata: Bytes::from_static(GROUP_METADATA),
                    associated: Some(join),
                    ..FlowOptions::default()
                })?;
                self.members.insert(join, flow);
                flow
            }
        };
        let message = Message::reliable(&[], netgroup::encode_member(peer));
        Ok(session.write(now, flow, &message)?)
    }

    /// At a client, joins a group. Closing the flow leaves it.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn join_group(
        &mut self,
        now: Instant,
        session: &mut Session,
        group: GroupId,
    ) -> Result<SendFlowId, SendError> {
        let flow = session.open_flow(FlowOptions {
            metadata: Bytes::from_static(GROUP_METADATA),
            associated: self.far_control,
            ..FlowOptions::default()
        })?;
        let message = Message::reliable(&[], netgroup::encode_join(group));
        session.write(now, flow, &message)?;
        Ok(flow)
    }

    /// Ends the flows of a stream that is deleted, in both directions.
    pub fn close_stream(&mut self, session: &mut Session, stream: u32) {
        self.sending.retain(|(id, _), flow| {
            if *id == stream {
                session.close_flow(*flow);
            }
            *id != stream
        });
        let ended: Vec<RecvFlowId> = self
            .receiving
            .iter()
            .filter(|(_, p)| matches!(p, Purpose::Stream { id, .. } if *id == stream))
            .map(|(flow, _)| *flow)
            .collect();
        for flow in ended {
            session.reject_flow(flow, 0);
            self.receiving.remove(&flow);
        }
    }

    /// Bytes that wait on all flows of a stream.
    pub fn queued_bytes(&self, session: &Session, stream: u32) -> usize {
        [Channel::Commands, Channel::Audio, Channel::Video]
            .iter()
            .filter_map(|channel| self.sending.get(&(stream, *channel)))
            .chain(self.near_control.iter().filter(|_| stream == 0))
            .filter_map(|flow| session.flow_stats(*flow))
            .map(|stats| stats.queued_bytes)
            .sum()
    }

    /// The flow for a message, opened when it is the first.
    pub(super) fn sending_flow(
        &mut self,
        session: &mut Session,
        stream: u32,
        kind: u8,
    ) -> Result<SendFlowId, SendError> {
        if self.closed {
            return Err(SendError::Write(WriteError::Closed));
        }
        if stream == 0 {
            return self.control_flow(session);
        }
        let channel = match kind {
            AUDIO => Channel::Audio,
            VIDEO => Channel::Video,
            _ => Channel::Commands,
        };
        if let Some(flow) = self.sending.get(&(stream, channel)) {
            return Ok(*flow);
        }
        // Of the far end's control flow, never of its stream's (quirk Q17).
        let associated = Some(self.far_control.ok_or(SendError::NotConnected)?);
        let flow = session.open_flow(FlowOptions {
            metadata: StreamMetadata::of(stream).encode(),
            associated,
            priority: match channel {
                Channel::Video => Priority::Flash,
                Channel::Commands | Channel::Audio => Priority::Immediate,
            },
            time_critical: true,
        })?;
        self.sending.insert((stream, channel), flow);
        Ok(flow)
    }

    fn control_flow(&mut self, session: &mut Session) -> Result<SendFlowId, SendError> {
        if let Some(flow) = self.near_control {
            return Ok(flow);
        }
        let associated = match self.side {
            Side::Client => None,
            Side::Server => Some(self.far_control.ok_or(SendError::NotConnected)?),
        };
        let flow = session.open_flow(FlowOptions {
            metadata: StreamMetadata::of(0).encode(),
            associated,
            priority: Priority::Immediate,
            time_critical: false,
        })?;
        self.near_control = Some(flow);
        Ok(flow)
    }
}
