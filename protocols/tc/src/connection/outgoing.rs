//! What the NetConnection says: which flow it leaves on, and how.

use bytes::Bytes;
use ramona_rtmfp::{Message, Priority, SendFlowId, WriteError};
use ramona_rtmp::StreamId;

use super::flows::Slot;
use super::{Connection, Event, Phase, Writer};
use crate::limits::MAX_WRITERS;
use crate::message::{event, header, kind, read_user_control};
use crate::metadata::FlowKind;

const CONNECTION: StreamId = StreamId(0);

/// Where messages of the connection go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    writer: Option<SendFlowId>,
    is_reliable: bool,
}

impl Default for Route {
    fn default() -> Self {
        Self { writer: None, is_reliable: true }
    }
}

impl Connection {
    /// Opens a flow of its own for messages of the connection (WRI-06). `None` before connect,
    /// after the end, and past [`MAX_WRITERS`].
    pub fn open_writer(&mut self) -> Option<Writer> {
        if !self.is_connected() || self.writers.len() >= MAX_WRITERS {
            return None;
        }
        let far = self.far_control?;
        let kind = FlowKind::Stream(CONNECTION);
        let flow = self.open_flow(kind, far, Priority::Immediate, false)?;
        self.writers.push(flow);
        Some(Writer(flow))
    }

    /// Ends the flow of a writer after what is queued.
    pub fn close_writer(&mut self, writer: Writer) {
        self.flush_net();
        if self.route.writer == Some(writer.0) {
            self.route.writer = None;
        }
        if let Some(at) = self.writers.iter().position(|flow| *flow == writer.0) {
            self.writers.remove(at);
            self.session.close_flow(writer.0);
        }
    }

    /// Which flow carries the messages of the connection (not of its streams) that
    /// [`net`](Self::net) produces from now on, and whether what is lost of them is sent again
    /// (WRI-08). `None`, or a writer that is over: the control flow.
    pub fn set_writer(&mut self, writer: Option<Writer>, is_reliable: bool) {
        self.flush_net();
        self.route = Route { writer: writer.map(|writer| writer.0), is_reliable };
    }

    /// Takes what the NetConnection produced.
    pub(super) fn flush_net(&mut self) {
        while let Some(message) = self.net.poll_message() {
            self.send(&message);
        }
        while let Some(event) = self.net.poll_event() {
            self.push_event(Event::Net(event));
        }
        if self.phase != Phase::Open {
            return;
        }
        if let Some(reason) = self.net.closed() {
            let reason = reason.to_string();
            return self.begin_close(reason);
        }
        self.update_streams();
        if self.net.is_connected() {
            self.connect_by = None;
        }
    }

    fn send(&mut self, message: &ramona_rtmp::Message) {
        let stream = match message.kind {
            // Chunk size, abort, acknowledgements, windows: RTMFP has its own.
            1..=3 | 5..=6 => {
                self.stats.messages_unsent += 1;
                return;
            }
            // Begin and end of a stream go with its status.
            kind::USER_CONTROL => match read_user_control(&message.payload) {
                Some((event::STREAM_BEGIN | event::STREAM_EOF, [Some(stream), None])) => {
                    StreamId(stream)
                }
                _ => message.stream,
            },
            _ => message.stream,
        };
        let (flow, is_reliable) = if stream == CONNECTION {
            let writer = self.route.writer.filter(|flow| self.writers.contains(flow));
            (writer.or_else(|| self.control_flow()), self.route.is_reliable)
        } else {
            (self.data_flow(stream), true)
        };
        match flow {
            Some(flow) => {
                let head = header(message.kind, message.timestamp_ms);
                self.write(flow, &head, message.payload.clone(), is_reliable);
            }
            None => self.stats.messages_unsent += 1,
        }
    }

    /// The server's control flow, opened when first used.
    pub(super) fn control_flow(&mut self) -> Option<SendFlowId> {
        if self.near_control.is_none() && self.phase == Phase::Open {
            let far = self.far_control?;
            let kind = FlowKind::Stream(CONNECTION);
            self.near_control = self.open_flow(kind, far, Priority::Immediate, false);
        }
        self.near_control
    }

    /// The flow of a stream's commands and data, opened when first used.
    pub(super) fn data_flow(&mut self, stream: StreamId) -> Option<SendFlowId> {
        let far = self.far_control?;
        match self.stream(stream)?.data {
            Slot::Open(flow) => Some(flow),
            Slot::Refused => None,
            Slot::Unused => {
                let kind = FlowKind::Stream(stream);
                let flow = self.open_flow(kind, far, Priority::Immediate, false)?;
                self.stream(stream)?.data = Slot::Open(flow);
                Some(flow)
            }
        }
    }

    /// Writes what never gets too late. A client that lets too much wait is closed.
    pub(super) fn write(
        &mut self,
        flow: SendFlowId,
        header: &[u8],
        payload: Bytes,
        is_reliable: bool,
    ) {
        let message = Message { retransmit: is_reliable, ..Message::reliable(header, payload) };
        match self.session.write(self.now, flow, &message) {
            Ok(()) => {}
            Err(WriteError::BufferFull { queued_bytes, .. }) => {
                self.stats.messages_unsent += 1;
                let reason = format!("the client lets {queued_bytes} bytes of commands wait");
                self.begin_close(reason);
                self.session.abort(self.now);
            }
            Err(_) => self.stats.messages_unsent += 1,
        }
    }
}
