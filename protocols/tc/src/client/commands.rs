//! What a client says.

use std::net::SocketAddr;

use bytes::Bytes;
use ramona_amf::{Object, Value};
use ramona_media::MediaFrame;
use ramona_rtmfp::{GroupId, Message, Priority, WriteError, encode_join};
use ramona_rtmp::{PublishMode, StreamId};

use super::{Client, GroupHandle};
use crate::message::{event, kind, kind_of, user_control};
use crate::metadata::FlowKind;
use crate::peer_info;

/// Calls that may be unanswered at once; beyond it the oldest is forgotten.
const MAX_OPEN_CALLS: usize = 1024;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Connect,
    CreateStream,
    Call,
}

impl Client {
    /// connect to `rtmfp://host/app`, with AMF0 values after the object.
    ///
    /// # Errors
    /// See [`WriteError`], as for all that follow.
    pub fn connect(&mut self, url: &str, args: &[u8]) -> Result<(), WriteError> {
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let app = path.map_or("", |(_, path)| path).to_owned();
        let object = Object::new()
            .with("app", Bytes::from(app))
            .with("flashVer", "WIN 20,0,0,286")
            .with("tcUrl", Bytes::from(url.to_owned()))
            .with("fpad", false)
            .with("capabilities", 235.0)
            .with("audioCodecs", 3575.0)
            .with("videoCodecs", 252.0)
            .with("videoFunction", 1.0)
            .with("objectEncoding", 3.0);
        self.connect_with(object, args)
    }

    /// connect with an object of the caller.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn connect_with(&mut self, object: Object, args: &[u8]) -> Result<(), WriteError> {
        let transaction = self.expect(Expected::Connect);
        self.command(StreamId(0), "connect", transaction, &object.into(), args)
    }

    /// createStream; answered by
    /// [`StreamCreated`](ramona_rtmp::ClientEvent::StreamCreated).
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn create_stream(&mut self) -> Result<(), WriteError> {
        let transaction = self.expect(Expected::CreateStream);
        self.command(StreamId(0), "createStream", transaction, &Value::Null, &[])
    }

    /// deleteStream; the client's flows of the stream end.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn delete_stream(&mut self, stream: StreamId) -> Result<(), WriteError> {
        let id = encode(&[Value::Number(f64::from(stream.0))]);
        self.command(StreamId(0), "deleteStream", 0.0, &Value::Null, &id)?;
        if let Some(at) = self.streams.iter().position(|known| known.id == stream) {
            let flows = self.streams.swap_remove(at);
            for flow in [flows.data, flows.audio, flows.video].into_iter().flatten() {
                self.session.close_flow(flow);
            }
        }
        Ok(())
    }

    /// closeStream.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn close_stream(&mut self, stream: StreamId) -> Result<(), WriteError> {
        self.stream_command(stream, "closeStream", &[])
    }

    /// publish.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn publish(
        &mut self,
        stream: StreamId,
        name: &str,
        mode: PublishMode,
    ) -> Result<(), WriteError> {
        let mode = match mode {
            PublishMode::Live => "live",
            PublishMode::Record => "record",
            PublishMode::Append => "append",
        };
        self.stream_command(stream, "publish", &[name.to_owned().into(), mode.into()])
    }

    /// play with the default arguments.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn play(&mut self, stream: StreamId, name: &str) -> Result<(), WriteError> {
        self.stream_command(stream, "play", &[name.to_owned().into()])
    }

    /// Any command on a stream, transaction 0, with these arguments.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn stream_command(
        &mut self,
        stream: StreamId,
        name: &str,
        args: &[Value],
    ) -> Result<(), WriteError> {
        self.command(stream, name, 0.0, &Value::Null, &encode(args))
    }

    /// Calls a function of the server with AMF0 values; the transaction of the answer.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn call(&mut self, name: &str, args: &[u8]) -> Result<f64, WriteError> {
        let transaction = self.expect(Expected::Call);
        self.command(StreamId(0), name, transaction, &Value::Null, args)?;
        Ok(transaction)
    }

    /// Tells how much the player buffers.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn set_buffer_length(
        &mut self,
        stream: StreamId,
        length_ms: u32,
    ) -> Result<(), WriteError> {
        let payload = user_control(event::SET_BUFFER_LENGTH, &[stream.0, length_ms]);
        self.send_message(&ramona_rtmp::Message {
            kind: kind::USER_CONTROL,
            stream: StreamId(0),
            timestamp_ms: 0,
            payload,
        })
    }

    /// Sends audio, video or data of a publication, with the frame's time. Without `is_reliable`,
    /// what is lost of it is not sent again.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn send_frame(
        &mut self,
        stream: StreamId,
        frame: &MediaFrame,
        is_reliable: bool,
    ) -> Result<(), WriteError> {
        let message = ramona_rtmp::Message {
            kind: kind_of(frame),
            stream,
            timestamp_ms: frame.timestamp_ms,
            payload: frame.payload.clone(),
        };
        self.send(&message, is_reliable)
    }

    /// Reports addresses at which this client can be reached; answered by
    /// [`Keepalive`](super::ClientEvent::Keepalive).
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn set_peer_info(&mut self, addresses: &[SocketAddr]) -> Result<(), WriteError> {
        let texts: Vec<Value> = addresses.iter().map(|a| a.to_string().into()).collect();
        let name = std::str::from_utf8(peer_info::NAME).unwrap_or_default();
        self.command(StreamId(0), name, 0.0, &Value::Null, &encode(&texts))
    }

    /// Joins the group of this id.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn join_group(&mut self, group: &[u8; 32]) -> Result<GroupHandle, WriteError> {
        self.send_join(encode_join(GroupId(*group)))
    }

    /// Joins the group of this plain specification.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn join_group_of(&mut self, specification: &[u8]) -> Result<GroupHandle, WriteError> {
        self.send_join(encode_join_of(specification).into())
    }

    /// Opens a group flow with any bytes as its message.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn send_join(&mut self, message: Bytes) -> Result<GroupHandle, WriteError> {
        let flow = self
            .open_flow(FlowKind::Group, self.far_control, Priority::Routine, false)
            .ok_or(WriteError::Closed)?;
        self.session.write(self.now, flow, &Message::reliable(&[], message))?;
        let group = GroupHandle(flow);
        self.groups.push(group);
        Ok(group)
    }

    /// Leaves a group: its flow ends.
    pub fn leave_group(&mut self, group: GroupHandle) {
        self.groups.retain(|known| *known != group);
        self.session.close_flow(group.0);
    }

    fn expect(&mut self, expected: Expected) -> f64 {
        if self.open_calls.len() >= MAX_OPEN_CALLS {
            self.open_calls.pop_front();
        }
        self.last_transaction += 1;
        let transaction = f64::from(self.last_transaction);
        self.open_calls.push_back((transaction, expected));
        transaction
    }

    pub(super) fn take_expected(&mut self, transaction: f64) -> Option<Expected> {
        let at = self.open_calls.iter().position(|(open, _)| *open == transaction)?;
        self.open_calls.remove(at).map(|(_, expected)| expected)
    }

    fn command(
        &mut self,
        stream: StreamId,
        name: &str,
        transaction: f64,
        object: &Value,
        args: &[u8],
    ) -> Result<(), WriteError> {
        let head = [name.to_owned().into(), Value::Number(transaction), object.clone()];
        let mut payload = encode(&head);
        payload.extend_from_slice(args);
        let payload = payload.into();
        let kind = kind::COMMAND_AMF0;
        self.send_message(&ramona_rtmp::Message { kind, stream, timestamp_ms: 0, payload })
    }
}

/// Join by plain specification: the option 10 with the text, up to 16,382 bytes.
fn encode_join_of(specification: &[u8]) -> Vec<u8> {
    const BY_SPECIFICATION: u8 = 0x10;
    let length = specification.len() + 1;
    let mut out = vec![0x01];
    if length >= 128 {
        out.push(0x80 | (length >> 7) as u8 & 0x7f);
    }
    out.extend_from_slice(&[(length & 0x7f) as u8, BY_SPECIFICATION]);
    out.extend_from_slice(specification);
    out
}

/// AMF0 of the client's own values; one that cannot be written is sent as null.
fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        if value.encode_amf0(&mut out).is_err() {
            out.push(5);
        }
    }
    out
}
