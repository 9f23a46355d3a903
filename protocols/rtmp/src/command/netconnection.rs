//! NetConnection commands (RTMP 1.0 §7.2.1): connect, createStream, calls, and what encoders
//! send besides.

mod actions;
mod encoder;

use encoder::EncoderCall;
use ramona_amf::{Object, Value};
use ramona_media::{MediaFrame, MediaKind};

use super::netstream::{Decision, NetStream, Queues};
use super::on_status::{command, put_key, put_number};
use super::{Command, CommandError, amf0_body, check_length};
use crate::close::CloseReason;
use crate::event::{Connect, Event};
use crate::limits::{MAX_CONNECT_MEMBERS, MAX_STREAMS, MAX_URL};
use crate::message::{Message, StreamId, kind};
use crate::url::application;

/// Why a connect is refused (STA-02 to STA-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectCode {
    /// By the script, or because the application did not load: NetConnection.Connect.Rejected.
    Rejected,
    /// There is no such application: NetConnection.Connect.InvalidApp.
    InvalidApp,
    /// Anything else: NetConnection.Connect.Failed.
    Failed,
}

impl RejectCode {
    fn code(self) -> &'static [u8] {
        match self {
            Self::Rejected => b"NetConnection.Connect.Rejected",
            Self::InvalidApp => b"NetConnection.Connect.InvalidApp",
            Self::Failed => b"NetConnection.Connect.Failed",
        }
    }
}

const CONNECTION: StreamId = StreamId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Connect,
    Publish(StreamId),
    Play(StreamId),
}

#[derive(Debug)]
enum Phase {
    /// Before connect, and while it waits for a decision: the transaction, and what Enhanced RTMP
    /// properties are answered with.
    Connecting {
        transaction: f64,
        properties: Vec<u8>,
    },
    Connected,
    Closed,
}

/// The command state machine of one connection, whatever carries its messages: decoded messages
/// in, messages and events out. RTMP carries it in chunks ([`Session`](crate::Session)), RTMFP in
/// flows.
#[derive(Debug)]
pub struct NetConnection {
    phase: Phase,
    pending: Option<Pending>,
    object_encoding: u8,
    /// At most [`MAX_STREAMS`], in no order.
    streams: Vec<NetStream>,
    queues: Queues,
    /// At most [`MAX_ENCODER_CALLS`](crate::limits::MAX_ENCODER_CALLS), at the script.
    encoder_calls: Vec<EncoderCall>,
    closed: Option<CloseReason>,
}

impl Default for NetConnection {
    fn default() -> Self {
        Self::new()
    }
}

impl NetConnection {
    /// A connection on which nothing was said yet.
    pub fn new() -> Self {
        Self {
            phase: Phase::Connecting { transaction: 0.0, properties: Vec::new() },
            pending: None,
            object_encoding: 0,
            streams: Vec::new(),
            queues: Queues::default(),
            encoder_calls: Vec::new(),
            closed: None,
        }
    }

    /// True while a decision (connect, publish, play) is open: no message may be given.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// True from the acceptance of connect until the end.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Whether createStream made the stream and nothing has deleted it.
    pub fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.iter().any(|known| known.id == stream)
    }

    /// The streams that createStream made, in no order; at most [`MAX_STREAMS`].
    pub fn streams(&self) -> impl ExactSizeIterator<Item = StreamId> + '_ {
        self.streams.iter().map(|stream| stream.id)
    }

    /// The next message to the peer.
    pub fn poll_message(&mut self) -> Option<Message> {
        self.queues.messages.pop_front()
    }

    /// The next event. [`Event::Closed`] is not among them: see [`closed`](Self::closed).
    pub fn poll_event(&mut self) -> Option<Event> {
        self.queues.events.pop_front()
    }

    /// Why the connection is over, once it is.
    pub fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }

    /// Takes one message: commands, media and data. Other types mean nothing here.
    ///
    /// # Errors
    /// [`CommandError`] when the peer broke the protocol; the connection is then of no more use.
    pub fn handle_message(&mut self, message: Message) -> Result<(), CommandError> {
        match message.kind {
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                let command = Command::read(message.kind, &message.payload)?;
                self.handle_command(message.stream, command)
            }
            _ => {
                self.handle_media(message);
                Ok(())
            }
        }
    }

    /// Takes an audio, video or data message; anything else means nothing.
    pub(crate) fn handle_media(&mut self, message: Message) {
        let (media, payload) = match message.kind {
            kind::AUDIO => (MediaKind::Audio, message.payload),
            kind::VIDEO => (MediaKind::Video, message.payload),
            kind::DATA_AMF0 => (MediaKind::Data, message.payload),
            kind::DATA_AMF3 => (MediaKind::Data, amf0_body(true, &message.payload)),
            _ => return,
        };
        if let Some(stream) = self.streams.iter().find(|stream| stream.id == message.stream) {
            let frame = MediaFrame::new(media, message.timestamp_ms, payload);
            stream.handle_media(frame, &mut self.queues);
        }
    }

    /// Takes the length of the player's buffer, which a user control message told.
    pub fn handle_buffer_length(&mut self, stream: StreamId, length_ms: u32) {
        if let Some(known) = self.streams.iter_mut().find(|known| known.id == stream) {
            known.buffer_ms = Some(length_ms);
            self.queues.events.push_back(Event::BufferLength { stream, length_ms });
        }
    }

    fn handle_command(&mut self, stream: StreamId, command: Command) -> Result<(), CommandError> {
        match &self.phase {
            Phase::Closed => return Ok(()),
            Phase::Connecting { .. } if command.name == "connect" => return self.connect(command),
            Phase::Connecting { .. } => return Err(CommandError::BeforeConnect(command.name)),
            Phase::Connected => {}
        }
        if self.handle_stream_command(stream, &command)? {
            return Ok(());
        }
        let transaction = command.transaction;
        match &command.name[..] {
            b"connect" => return Err(CommandError::ConnectTwice),
            b"createStream" => self.create_stream(transaction)?,
            b"deleteStream" => self.delete_stream(&command),
            b"close" if stream == CONNECTION => self.end(CloseReason::Peer),
            // Answers to what the server called; it expects none.
            b"_result" | b"_error" | b"onStatus" | b"close" => {}
            // Names that the connection owns (CLI-21), without meaning over RTMP.
            b"setPeerInfo" | b"initStream" => {}
            _ => self.call(command),
        }
        Ok(())
    }

    /// True when the command was one of NetStream.
    fn handle_stream_command(
        &mut self,
        id: StreamId,
        command: &Command,
    ) -> Result<bool, CommandError> {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else {
            return match &command.name[..] {
                b"publish" | b"play" | b"play2" => {
                    Err(CommandError::UnknownStream { name: command.name.clone(), stream: id })
                }
                // May cross with the end of the stream, or be meant for none.
                b"closeStream" | b"pause" | b"pauseRaw" | b"seek" | b"receiveAudio"
                | b"receiveVideo" => Ok(true),
                _ => Ok(false),
            };
        };
        let decision = stream.handle_command(command, &mut self.queues)?;
        match decision {
            Some(Decision::Publish) => self.pending = Some(Pending::Publish(id)),
            Some(Decision::Play) => self.pending = Some(Pending::Play(id)),
            Some(Decision::None) | None => {}
        }
        Ok(decision.is_some())
    }

    fn connect(&mut self, command: Command) -> Result<(), CommandError> {
        let properties = match command.object {
            Ok(Value::Object(object)) => object,
            Ok(Value::EcmaArray(members)) => Object { type_name: None, members },
            Ok(_) => return Err(CommandError::NoConnectObject),
            Err(error) => return Err(CommandError::Amf { name: command.name, error }),
        };
        if properties.members.len() > MAX_CONNECT_MEMBERS {
            return Err(CommandError::TooManyMembers(properties.members.len()));
        }
        let text = |key| properties.get(key).and_then(Value::as_string).cloned();
        let (app, tc_url) = (text("app").unwrap_or_default(), text("tcUrl").unwrap_or_default());
        check_length("app", app.len(), MAX_URL)?;
        check_length("tcUrl", tc_url.len(), MAX_URL)?;
        let encoding = properties.get("objectEncoding").and_then(Value::as_number);
        self.object_encoding = if encoding == Some(3.0) { 3 } else { 0 };
        self.phase = Phase::Connecting {
            transaction: command.transaction,
            properties: enhanced_properties(&properties),
        };
        self.pending = Some(Pending::Connect);
        let (path, query) = application(&tc_url, &app);
        let object_encoding = self.object_encoding;
        let args = command.args;
        let connect = Connect { app, tc_url, path, query, properties, args, object_encoding };
        self.queues.events.push_back(Event::Connect(Box::new(connect)));
        Ok(())
    }

    fn create_stream(&mut self, transaction: f64) -> Result<(), CommandError> {
        if self.streams.len() >= MAX_STREAMS {
            return Err(CommandError::TooManyStreams);
        }
        let is_free = |id: &u32| self.streams.iter().all(|stream| stream.id.0 != *id);
        let id = (1..=MAX_STREAMS as u32).find(is_free).ok_or(CommandError::TooManyStreams)?;
        self.streams.push(NetStream::new(StreamId(id)));
        let mut body = command_body(transaction);
        put_number(&mut body, f64::from(id));
        self.queues.command(CONNECTION, body.into());
        Ok(())
    }

    fn delete_stream(&mut self, command: &Command) {
        let [id] = command.arguments();
        let found = id
            .as_number()
            .and_then(|id| self.streams.iter().position(|stream| f64::from(stream.id.0) == id));
        if let Some(index) = found {
            self.streams.swap_remove(index).stop(&mut self.queues);
        }
    }

    /// Nothing is sent or accepted from now on; the first reason stays.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.pending = None;
        self.streams.clear();
        self.encoder_calls.clear();
        self.closed.get_or_insert(reason);
    }
}

fn command_body(transaction: f64) -> Vec<u8> {
    command(b"_result", transaction)
}

/// Enhanced RTMP ("Enhancing NetConnection connect Command"): a server names the codecs it takes
/// in the properties of the result. Bodies pass untouched, so the client's own list is repeated,
/// and of the newer maps everything can be forwarded (bit 2).
fn enhanced_properties(connect: &Object) -> Vec<u8> {
    const CAN_FORWARD: f64 = 4.0;
    let mut out = Vec::new();
    if let Some(list @ Value::Array(_)) = connect.get("fourCcList") {
        let mut value = Vec::new();
        if list.encode_amf0(&mut value).is_ok() {
            put_key(&mut out, "fourCcList");
            out.extend_from_slice(&value);
        }
    }
    for key in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
        let map = Value::from(Object::new().with("*", CAN_FORWARD));
        let mut value = Vec::new();
        if connect.get(key).is_some() && map.encode_amf0(&mut value).is_ok() {
            put_key(&mut out, key);
            out.extend_from_slice(&value);
        }
    }
    out
}
