//! Messages of the client.

use std::net::SocketAddr;

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind};
use ramona_rtmfp::RecvFlowId;
use ramona_rtmp::limits::{MAX_COMMAND_MESSAGE, MAX_CONTROL_MESSAGE, MAX_MEDIA_MESSAGE};
use ramona_rtmp::{Message, StreamId};

use super::flows::{Arrival, Purpose};
use super::{Connection, Event};
use crate::message::{decode, event, header, kind, read_user_control, user_control};
use crate::peer_info;

/// Largest body that a message of a type may have, as over RTMP.
fn max_length(message_kind: u8) -> usize {
    match message_kind {
        1..=7 => MAX_CONTROL_MESSAGE,
        kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => MAX_COMMAND_MESSAGE,
        _ => MAX_MEDIA_MESSAGE,
    }
}

impl Connection {
    pub(super) fn take_arrival(&mut self, flow: RecvFlowId, arrival: Arrival) {
        let Some(incoming) = self.incoming.get_mut(&flow) else {
            self.stats.messages_ignored += u64::from(matches!(arrival, Arrival::Message(_)));
            return;
        };
        if incoming.sync.is_some() {
            incoming.waiting.push_back(arrival);
            return;
        }
        let purpose = incoming.purpose;
        match (arrival, purpose) {
            (Arrival::End, _) => self.flow_finished(flow),
            (Arrival::Gap, Purpose::Stream(stream)) => self.take_gap(flow, stream),
            (Arrival::Gap, _) => {}
            (Arrival::Message(message), Purpose::Group) => self.take_group_message(flow, &message),
            (Arrival::Message(message), Purpose::Control) => {
                self.take_message(flow, StreamId(0), &message);
            }
            (Arrival::Message(message), Purpose::Stream(stream)) => {
                self.take_message(flow, stream, &message);
            }
        }
    }

    fn take_message(&mut self, flow: RecvFlowId, stream: StreamId, message: &Bytes) {
        let Some((message_kind, timestamp_ms, payload)) = decode(message) else {
            self.stats.messages_ignored += 1;
            return;
        };
        if let Some(incoming) = self.incoming.get_mut(&flow) {
            let is_video = message_kind == kind::VIDEO;
            incoming.has_video |= is_video;
            incoming.has_other |= !is_video;
        }
        // A receive buffer takes somewhat more than its size.
        let (length, limit) = (payload.len(), max_length(message_kind));
        if length > limit {
            return self.begin_close(format!(
                "message of type {message_kind} has {length} bytes; at most {limit} are accepted"
            ));
        }
        match message_kind {
            kind::USER_CONTROL => self.take_user_control(flow, &payload),
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                if self.net.is_connected()
                    && let Some(addresses) = peer_info::read(message_kind, &payload)
                {
                    return self.take_peer_info(addresses);
                }
                self.give(Message { kind: message_kind, stream, timestamp_ms, payload });
            }
            kind::AUDIO | kind::VIDEO => {
                if self.is_whole(stream, message_kind, &payload) {
                    self.give(Message { kind: message_kind, stream, timestamp_ms, payload });
                }
            }
            kind::DATA_AMF0 | kind::DATA_AMF3 => {
                self.give(Message { kind: message_kind, stream, timestamp_ms, payload });
            }
            // What RTMFP does itself, shared objects, aggregates.
            _ => self.stats.messages_ignored += 1,
        }
    }

    fn give(&mut self, message: Message) {
        if let Err(error) = self.net.handle_message(message) {
            self.flush_net();
            self.begin_close(error.to_string());
        }
    }

    fn take_peer_info(&mut self, addresses: Vec<SocketAddr>) {
        self.push_event(Event::PeerInfo(addresses));
        let period = |d: std::time::Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
        let periods = [period(self.config.keepalive_server), period(self.config.keepalive_peer)];
        self.write_control(event::SET_KEEPALIVE, &periods);
    }

    /// A user control message on the control flow.
    fn write_control(&mut self, event: u16, values: &[u32]) {
        if let Some(flow) = self.control_flow() {
            let head = header(kind::USER_CONTROL, 0);
            self.write(flow, &head, user_control(event, values), true);
        }
    }

    fn take_user_control(&mut self, flow: RecvFlowId, body: &[u8]) {
        match read_user_control(body) {
            Some((event::SET_BUFFER_LENGTH, [Some(stream), Some(length_ms)])) => {
                if stream == 0 {
                    let streams: Vec<StreamId> = self.net.streams().collect();
                    for stream in streams {
                        self.net.handle_buffer_length(stream, length_ms);
                    }
                } else {
                    self.net.handle_buffer_length(StreamId(stream), length_ms);
                }
            }
            Some((event::PING_REQUEST, [Some(value), _])) => {
                self.write_control(event::PING_RESPONSE, &[value]);
            }
            Some((event::FLOW_SYNC, [Some(id), Some(count)])) => self.begin_sync(flow, id, count),
            Some(_) => {}
            None => self.stats.messages_ignored += 1,
        }
    }

    // --- gaps (RTMFP-075) ------------------------------------------------------------------------

    /// The publisher gave messages of a flow up.
    fn take_gap(&mut self, flow: RecvFlowId, stream: StreamId) {
        self.stats.media_gaps += 1;
        // What was lost of a flow that carried no video was none, most likely.
        let spares_video = self.incoming.get(&flow).is_some_and(|i| i.has_other && !i.has_video);
        if let Some(stream) = self.stream(stream).filter(|_| !spares_video) {
            stream.is_broken = true;
        }
        self.push_event(Event::MediaGap { stream });
    }

    /// Whether a frame can be forwarded: video after a gap only from a keyframe on.
    fn is_whole(&mut self, stream: StreamId, message_kind: u8, payload: &Bytes) -> bool {
        let Some(flows) = self.stream(stream).filter(|_| message_kind == kind::VIDEO) else {
            return true;
        };
        if flows.is_broken {
            let frame = MediaFrame::new(MediaKind::Video, 0, payload.clone());
            if frame.is_keyframe && !frame.is_header {
                flows.is_broken = false;
            } else if !frame.is_header {
                self.stats.broken_frames += 1;
                return false;
            }
        }
        true
    }
}
