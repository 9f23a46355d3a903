//! The client's side of one connection, for tools and tests: handshake, connect, publish, play
//! and calls. It trusts its server more than a [`Session`](crate::Session) trusts a client, but
//! reads through the same bounded chunk reader.

mod incoming;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ramona_amf::{Object, Value};
use ramona_media::{MediaFrame, MediaKind};

use crate::chunk::{Reader, TooLong, Writer};
use crate::close::CloseReason;
use crate::command::amf0_body;
use crate::event::PublishMode;
use crate::handshake::{ClientHandshake, Greeting};
use crate::message::{Message, StreamId, UserControl, event, kind};
use crate::url::after_authority;

/// How a client behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The handshake.
    pub greeting: Greeting,
    /// Chunk size announced and used for what the client sends, 1..=0xFFFFFF bytes.
    pub chunk_size: usize,
    /// `objectEncoding` of the connect object: 0 or 3.
    pub object_encoding: u8,
    /// From the start to the answer to connect.
    pub connect_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            greeting: Greeting::default(),
            chunk_size: 4096,
            object_encoding: 0,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// What happened on a client's connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// The handshake is done; true when both sides used digests.
    HandshakeDone(bool),
    /// connect was accepted.
    Connected {
        /// The properties object of the server.
        properties: Object,
        /// The info object: code, description and what `onConnection` returned.
        info: Object,
    },
    /// connect was refused, with the info object.
    Refused(Object),
    /// createStream was answered.
    StreamCreated(StreamId),
    /// A call was answered.
    Result {
        /// Its transaction; 0 for a message that answers none.
        transaction: f64,
        /// The values.
        values: Vec<Value>,
    },
    /// A call failed, or the server says why it closes (transaction 0).
    Error {
        /// Its transaction.
        transaction: f64,
        /// The info object.
        info: Object,
    },
    /// `onStatus`.
    Status {
        /// The stream; 0 for the connection.
        stream: StreamId,
        /// `status`, `warning` or `error`.
        level: Bytes,
        /// Such as `NetStream.Play.Start`.
        code: Bytes,
        /// Text for people.
        description: Bytes,
    },
    /// Audio, video or data.
    Media {
        /// Its stream.
        stream: StreamId,
        /// The message.
        frame: MediaFrame,
    },
    /// The server calls a function of the client; also `close` and `onFCPublish`.
    Call {
        /// The stream; 0 for the connection.
        stream: StreamId,
        /// Name of the function.
        name: Bytes,
        /// The arguments as far as they are sound.
        args: Vec<Value>,
    },
    /// A user control message other than a ping (which is answered).
    Control(UserControl),
    /// The chunk size of the server.
    ChunkSize(u32),
    /// The server wants its bytes acknowledged at least so often, in bytes.
    WindowAcknowledgementSize(u32),
    /// So many unacknowledged bytes the server lets the client have sent.
    PeerBandwidth(u32),
    /// The server acknowledged so many bytes.
    Acknowledged(u32),
    /// The connection is over; nothing follows.
    Closed(CloseReason),
}

/// What [`Client::poll_output`] gives out.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientOutput {
    /// Bytes for the socket.
    Transmit(Bytes),
    /// Something happened.
    Event(ClientEvent),
    /// Nothing more now: call [`Client::handle_timeout`] at this time if nothing comes before.
    /// `None`: there is nothing to wait for.
    Timeout(Option<Instant>),
}

#[derive(Debug)]
enum Carrier {
    Handshake(Box<ClientHandshake>),
    Chunks,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Connect,
    CreateStream,
    Call,
}

/// Calls of a client that may be unanswered at once; beyond it the oldest is forgotten.
const MAX_OPEN_CALLS: usize = 1024;

/// The client's side of one RTMP connection.
///
/// Requests may be made at once; before the handshake is done they wait. What needs the answer
/// to an earlier one (publish needs the stream of createStream) is the owner's to order.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    carrier: Carrier,
    reader: Reader,
    /// Messages, kept back until the handshake is done.
    writer: Writer,
    /// Bytes of the handshake.
    handshake_out: BytesMut,
    events: std::collections::VecDeque<ClientEvent>,
    open_calls: Vec<(f64, Expected)>,
    last_transaction: u32,
    connect_by: Option<Instant>,
    received: u32,
    acknowledged: u32,
    window: u32,
}

impl Client {
    /// A client whose socket was connected at `now`; `entropy` seeds the bytes of the handshake.
    pub fn new(now: Instant, config: ClientConfig, entropy: [u8; 64]) -> Self {
        let mut handshake_out = BytesMut::new();
        let handshake = ClientHandshake::new(entropy, config.greeting, &mut handshake_out);
        let mut writer = Writer::new();
        let chunk_size = config.chunk_size.clamp(1, 0xFF_FFFF);
        let payload = Bytes::copy_from_slice(&(chunk_size as u32).to_be_bytes());
        writer
            .write(&Message::control(kind::SET_CHUNK_SIZE, payload))
            .expect("four bytes fit a message");
        writer.set_chunk_size(chunk_size);
        Self {
            carrier: Carrier::Handshake(Box::new(handshake)),
            reader: Reader::new(),
            writer,
            handshake_out,
            events: Default::default(),
            open_calls: Vec::new(),
            last_transaction: 0,
            connect_by: Some(now + config.connect_timeout),
            received: 0,
            acknowledged: 0,
            window: 2_500_000,
            config,
        }
    }

    /// Takes received bytes; what stays in `input` is incomplete.
    pub fn handle_input(&mut self, _now: Instant, input: &mut BytesMut) {
        let before = input.len();
        if let Err(reason) = self.read(input) {
            self.close(reason);
        }
        self.received = self.received.wrapping_add((before - input.len()) as u32);
        if self.received.wrapping_sub(self.acknowledged) >= self.window / 2 {
            self.acknowledged = self.received;
            let payload = Bytes::copy_from_slice(&self.received.to_be_bytes());
            self.write_control(Message::control(kind::ACKNOWLEDGEMENT, payload));
        }
        if matches!(self.carrier, Carrier::Closed) {
            input.clear();
        }
    }

    fn read(&mut self, input: &mut BytesMut) -> Result<(), CloseReason> {
        if let Carrier::Handshake(handshake) = &mut self.carrier {
            if !handshake.handle_input(input, &mut self.handshake_out)? {
                return Ok(());
            }
            let digest = handshake.has_digest_answer();
            self.carrier = Carrier::Chunks;
            self.events.push_back(ClientEvent::HandshakeDone(digest));
        }
        while matches!(self.carrier, Carrier::Chunks) {
            let Some(message) = self.reader.read(input)? else { break };
            self.handle_message(message)?;
        }
        Ok(())
    }

    fn close(&mut self, reason: CloseReason) {
        if !matches!(self.carrier, Carrier::Closed) {
            self.carrier = Carrier::Closed;
            self.connect_by = None;
            self.events.push_back(ClientEvent::Closed(reason));
        }
    }

    /// To be called at the time given by [`ClientOutput::Timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.connect_by.is_some_and(|deadline| now >= deadline) {
            self.close(CloseReason::HandshakeTimeout(self.config.connect_timeout));
        }
    }

    /// Gives out bytes first, then events in order, then the deadline.
    pub fn poll_output(&mut self) -> ClientOutput {
        if !self.handshake_out.is_empty() {
            return ClientOutput::Transmit(std::mem::take(&mut self.handshake_out).freeze());
        }
        if !matches!(self.carrier, Carrier::Handshake(_))
            && let Some(bytes) = self.writer.take()
        {
            return ClientOutput::Transmit(bytes);
        }
        match self.events.pop_front() {
            Some(event) => ClientOutput::Event(event),
            None => ClientOutput::Timeout(self.connect_by),
        }
    }

    /// connect to `rtmp://host/path?query`, with AMF0 values as further arguments.
    ///
    /// # Errors
    /// [`TooLong`] when `url` and `args` do not fit a message.
    pub fn connect(&mut self, url: &str, args: &[u8]) -> Result<(), TooLong> {
        let url = Bytes::copy_from_slice(url.as_bytes());
        let app = after_authority(&url).unwrap_or_default();
        let app = app.strip_prefix(b"/").map_or_else(|| app.clone(), |rest| app.slice_ref(rest));
        let object = Object::new()
            .with("app", app)
            .with("flashVer", "LNX 10,0,45,2")
            .with("tcUrl", url)
            .with("fpad", false)
            .with("capabilities", 239.0)
            .with("audioCodecs", 3575.0)
            .with("videoCodecs", 252.0)
            .with("videoFunction", 1.0)
            .with("objectEncoding", f64::from(self.config.object_encoding));
        self.connect_with(object, args)
    }

    /// connect with an object of the caller.
    ///
    /// # Errors
    /// [`TooLong`] when it does not fit a message.
    pub fn connect_with(&mut self, object: Object, args: &[u8]) -> Result<(), TooLong> {
        let transaction = self.expect(Expected::Connect);
        self.command(StreamId(0), "connect", transaction, &object.into(), args)
    }

    /// createStream; answered by [`ClientEvent::StreamCreated`].
    pub fn create_stream(&mut self) {
        let transaction = self.expect(Expected::CreateStream);
        self.short_command(StreamId(0), "createStream", transaction, &[]);
    }

    /// deleteStream.
    pub fn delete_stream(&mut self, stream: StreamId) {
        let transaction = self.expect(Expected::Call);
        let id = Value::Number(f64::from(stream.0));
        self.short_command(StreamId(0), "deleteStream", transaction, &[id]);
    }

    /// closeStream.
    pub fn close_stream(&mut self, stream: StreamId) {
        self.short_command(stream, "closeStream", 0.0, &[]);
    }

    /// publish.
    ///
    /// # Errors
    /// [`TooLong`] when the name does not fit a message.
    pub fn publish(
        &mut self,
        stream: StreamId,
        name: &str,
        mode: PublishMode,
    ) -> Result<(), TooLong> {
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
    /// [`TooLong`] when the name does not fit a message.
    pub fn play(&mut self, stream: StreamId, name: &str) -> Result<(), TooLong> {
        self.stream_command(stream, "play", &[name.to_owned().into()])
    }

    /// Any command on a stream, transaction 0, with these arguments.
    ///
    /// # Errors
    /// [`TooLong`] when the arguments do not fit a message.
    pub fn stream_command(
        &mut self,
        stream: StreamId,
        name: &str,
        args: &[Value],
    ) -> Result<(), TooLong> {
        self.command(stream, name, 0.0, &Value::Null, &encode(args))
    }

    /// Calls a function of the server with AMF0 values; the transaction of the answer.
    ///
    /// # Errors
    /// [`TooLong`] when the arguments do not fit a message.
    pub fn call(&mut self, name: &str, args: &[u8]) -> Result<f64, TooLong> {
        let transaction = self.expect(Expected::Call);
        self.command(StreamId(0), name, transaction, &Value::Null, args)?;
        Ok(transaction)
    }

    /// Tells how much the player buffers.
    pub fn set_buffer_length(&mut self, stream: StreamId, length_ms: u32) {
        self.write_control(Message::user_control(event::SET_BUFFER_LENGTH, &[stream.0, length_ms]));
    }

    /// Sends audio, video or data of a publication.
    ///
    /// # Errors
    /// [`TooLong`] when the payload does not fit a message.
    pub fn send_frame(&mut self, stream: StreamId, frame: &MediaFrame) -> Result<(), TooLong> {
        let kind = match frame.kind {
            MediaKind::Audio => kind::AUDIO,
            MediaKind::Video => kind::VIDEO,
            MediaKind::Data => kind::DATA_AMF0,
        };
        let (timestamp_ms, payload) = (frame.timestamp_ms, frame.payload.clone());
        self.send_message(&Message { kind, stream, timestamp_ms, payload })
    }

    /// Sends any message.
    ///
    /// # Errors
    /// [`TooLong`] when the payload does not fit a message.
    pub fn send_message(&mut self, message: &Message) -> Result<(), TooLong> {
        if matches!(self.carrier, Carrier::Closed) {
            return Ok(());
        }
        self.writer.write(message)
    }

    fn write_control(&mut self, message: Message) {
        self.send_message(&message).expect("control messages have at most 10 bytes");
    }

    fn expect(&mut self, expected: Expected) -> f64 {
        if self.open_calls.len() >= MAX_OPEN_CALLS {
            self.open_calls.remove(0);
        }
        self.last_transaction += 1;
        let transaction = f64::from(self.last_transaction);
        self.open_calls.push((transaction, expected));
        transaction
    }

    fn short_command(&mut self, stream: StreamId, name: &str, transaction: f64, args: &[Value]) {
        self.command(stream, name, transaction, &Value::Null, &encode(args))
            .expect("a name and a number fit a message");
    }

    fn command(
        &mut self,
        stream: StreamId,
        name: &str,
        transaction: f64,
        object: &Value,
        args: &[u8],
    ) -> Result<(), TooLong> {
        let head = [name.to_owned().into(), Value::Number(transaction), object.clone()];
        let mut payload = encode(&head);
        payload.extend_from_slice(args);
        let payload = payload.into();
        self.send_message(&Message { kind: kind::COMMAND_AMF0, stream, timestamp_ms: 0, payload })
    }
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
