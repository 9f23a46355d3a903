//! Media to a viewer: flows with deadlines.

use std::time::{Duration, Instant};

use ramona_media::{MediaFrame, MediaKind, Queued};
use ramona_rtmfp::{Message, Priority, SendFlowId, WriteError};
use ramona_rtmp::StreamId;

use super::flows::Slot;
use super::{Connection, Phase};
use crate::message::{header, kind_of};
use crate::metadata::FlowKind;

impl Connection {
    /// Queues one frame for the viewer on `stream`, on the flow of its kind. The payload is
    /// shared.
    ///
    /// Frames that do not leave in time are given up, and with a video frame those that depend on
    /// it; codec headers, ends of sequence and data never are. A keyframe shortens the life of
    /// what waits before it. Without `is_reliable`, what is lost is not sent again, except
    /// keyframes, headers and data (LIS-07).
    ///
    /// `false`: the frame is dropped, for the stream or its flow is gone, its flow is full or too
    /// late, or a frame that it needs was given up. Video then goes on at a keyframe.
    pub fn send_media(
        &mut self,
        now: Instant,
        stream: StreamId,
        frame: &MediaFrame,
        timestamp_ms: u32,
        is_reliable: bool,
    ) -> bool {
        self.now = self.now.max(now);
        // What was said before goes before.
        self.flush_net();
        let sent = self.phase == Phase::Open
            && self.queue_frame(stream, frame, timestamp_ms, is_reliable).is_some();
        self.stats.frames_dropped += u64::from(!sent);
        sent
    }

    fn queue_frame(
        &mut self,
        stream: StreamId,
        frame: &MediaFrame,
        timestamp_ms: u32,
        is_reliable: bool,
    ) -> Option<()> {
        let flow = match frame.kind {
            MediaKind::Data => self.data_flow(stream)?,
            MediaKind::Audio | MediaKind::Video => self.media_flow(stream, frame.kind)?,
        };
        let now = self.now;
        let deadlines = self.config.deadlines;
        let lifetime = match frame.kind {
            MediaKind::Audio => deadlines.audio,
            _ => deadlines.video,
        };
        let is_lasting =
            frame.kind == MediaKind::Data || frame.is_header || is_end_of_sequence(frame);
        let head = header(kind_of(frame), timestamp_ms);
        let mut message = Message::reliable(&head, frame.payload.clone());
        if !is_lasting {
            let oldest = self.session.oldest_unsent(flow);
            let is_late = oldest.is_some_and(|at| now.saturating_duration_since(at) > 2 * lifetime);
            if frame.kind == MediaKind::Video {
                self.judge_video(flow, stream, frame, is_late)?;
                message.dependent = !frame.is_keyframe;
            } else if is_late {
                return None;
            }
            message.start_within = Some(lifetime);
            message.finish_within = Some(lifetime + deadlines.finish);
            message.retransmit = is_reliable || frame.is_keyframe;
        } else if frame.kind == MediaKind::Video {
            self.stream(stream)?.header_since = true;
        }
        match self.session.write(now, flow, &message) {
            Ok(()) => Some(()),
            Err(WriteError::PredecessorAbandoned | WriteError::BufferFull { .. }) => {
                if frame.kind == MediaKind::Video {
                    self.stream(stream)?.needs_keyframe = true;
                }
                None
            }
            Err(WriteError::Closed | WriteError::Header(_)) => None,
        }
    }

    /// Whether a video frame is worth queueing; what a keyframe replaces expires.
    fn judge_video(
        &mut self,
        flow: SendFlowId,
        stream: StreamId,
        frame: &MediaFrame,
        is_late: bool,
    ) -> Option<()> {
        let abandoned = self.session.flow_stats(flow)?.abandoned;
        if frame.is_keyframe {
            let within = self.config.deadlines.previous_group;
            self.session.expire_queued(self.now, flow, within);
        }
        let stream = self.stream(stream)?;
        if is_late {
            stream.needs_keyframe = true;
            return None;
        }
        if frame.is_keyframe {
            stream.needs_keyframe = false;
            stream.header_since = false;
            stream.abandoned_before = abandoned;
        } else if stream.header_since && abandoned != stream.abandoned_before {
            // The flow forgets at a header that frames before it were given up.
            stream.needs_keyframe = true;
        }
        (!stream.needs_keyframe).then_some(())
    }

    /// The flow of a stream's audio or video, opened when first used.
    fn media_flow(&mut self, stream: StreamId, kind: MediaKind) -> Option<SendFlowId> {
        let far = self.far_control?;
        let is_audio = kind == MediaKind::Audio;
        let flows = self.stream(stream)?;
        match if is_audio { flows.audio } else { flows.video } {
            Slot::Open(flow) => Some(flow),
            Slot::Refused => None,
            Slot::Unused => {
                let priority = if is_audio { Priority::Immediate } else { Priority::Flash };
                let flow = self.open_flow(FlowKind::Stream(stream), far, priority, true)?;
                let flows = self.stream(stream)?;
                *(if is_audio { &mut flows.audio } else { &mut flows.video }) = Slot::Open(flow);
                Some(flow)
            }
        }
    }

    /// Whether `stream` is there to be shown media. Its viewer learns a moment later that it, or the
    /// connection, is over: frames of that moment are nobody's loss.
    pub fn is_shown(&self, stream: StreamId) -> bool {
        self.phase == Phase::Open && self.streams.iter().any(|known| known.id == stream)
    }

    /// What waits for the viewer on the flows of `stream`, for its gate: bytes that are not
    /// acknowledged, and how long the oldest message that has not begun to leave waits.
    pub fn queued(&self, stream: StreamId) -> Queued {
        let mut queued = Queued::default();
        let Some(flows) = self.streams.iter().find(|known| known.id == stream) else {
            return queued;
        };
        for flow in [flows.data, flows.audio, flows.video].into_iter().filter_map(Slot::id) {
            let Some((bytes, oldest)) = self.session.flow_queue(flow) else { continue };
            queued.bytes += bytes;
            let waited = oldest.map_or(Duration::ZERO, |at| self.now.saturating_duration_since(at));
            let waited_ms = u32::try_from(waited.as_millis()).unwrap_or(u32::MAX);
            queued.waited_ms = queued.waited_ms.max(waited_ms);
        }
        queued
    }
}

/// The end of an AVC or HEVC sequence in the legacy form: packet type 2, no picture.
fn is_end_of_sequence(frame: &MediaFrame) -> bool {
    const CODEC: u8 = 0x0f;
    const AVC: u8 = 7;
    const HEVC: u8 = 12;
    const END: u8 = 2;
    frame.kind == MediaKind::Video
        && matches!(&frame.payload[..], [first, END, ..] if first & 0x80 == 0
            && matches!(first & CODEC, AVC | HEVC))
}
