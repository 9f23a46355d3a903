//! An RTMP client over TCP, around [`ramona_rtmp::Client`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ramona_amf::{Object, Value};
use ramona_media::MediaFrame;
use ramona_rtmp::{
    Client, ClientConfig, ClientEvent, ClientOutput, Message, PublishMode, StreamId,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};

use crate::wait::{self, PATIENCE};

/// How a client connects.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Of the protocol.
    pub client: ClientConfig,
    /// Receive buffer of the socket in bytes: a small one makes a viewer slow soon.
    pub receive_buffer: Option<u32>,
    /// Arguments of connect.
    pub args: Vec<Value>,
}

/// A connected client. Its socket is served by two tasks of the present runtime and closed when
/// the client is dropped.
pub struct RtmpClient {
    shared: Arc<Shared>,
    reading: watch::Sender<bool>,
    tasks: [tokio::task::JoinHandle<()>; 2],
    local: SocketAddr,
}

/// A stream that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Play(pub StreamId);

struct Shared {
    state: Mutex<State>,
    /// Something came in, or the connection ended.
    news: Notify,
    /// Something is to be written.
    work: Notify,
}

struct State {
    machine: Client,
    out: BytesMut,
    events: Vec<ClientEvent>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the machine and sends what it wants to send.
    fn with<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        let mut state = self.lock();
        let answer = work(&mut state.machine);
        loop {
            match state.machine.poll_output() {
                ClientOutput::Transmit(bytes) => state.out.extend_from_slice(&bytes),
                ClientOutput::Event(event) => {
                    state.closed |= matches!(event, ClientEvent::Closed(_));
                    state.events.push(event);
                }
                ClientOutput::Timeout(_) => break,
            }
        }
        drop(state);
        self.news.notify_waiters();
        self.work.notify_one();
        answer
    }

    fn close(&self) {
        self.lock().closed = true;
        self.news.notify_waiters();
        self.work.notify_one();
    }
}

impl RtmpClient {
    /// Connects to an application and waits until it is accepted.
    ///
    /// # Panics
    /// The server refuses, or nothing comes in time; so does every other wait of a client.
    pub async fn connect(server: SocketAddr, app: &str) -> Self {
        Self::connect_with(server, app, ClientOptions::default()).await
    }

    /// As [`connect`](Self::connect), with options.
    pub async fn connect_with(server: SocketAddr, app: &str, options: ClientOptions) -> Self {
        let client = Self::open(server, app, options).await;
        client.info().await;
        client
    }

    /// Sends connect and goes on.
    pub async fn open(server: SocketAddr, app: &str, options: ClientOptions) -> Self {
        let client = Self::dial(server, &options).await;
        let url = format!("rtmp://{server}/{app}");
        client.with(|machine| machine.connect(&url, &amf0(&options.args)).expect("connect fits"));
        client
    }

    /// Opens the socket; the handshake goes on by itself, connect is not sent.
    pub async fn dial(server: SocketAddr, options: &ClientOptions) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = options.receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a receive buffer");
        }
        let stream = wait::within("the RTMP port to accept", socket.connect(server)).await;
        Self::over(stream.expect("the RTMP port accepts"), options.client.clone())
    }

    fn over(stream: TcpStream, config: ClientConfig) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let local = stream.local_addr().expect("an address");
        let mut entropy = [0; 64];
        getrandom::fill(&mut entropy).expect("randomness");
        let machine = Client::new(Instant::now(), config, entropy);
        let state = State { machine, out: BytesMut::new(), events: Vec::new(), closed: false };
        let (news, work) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { state: Mutex::new(state), news, work });
        let (read, write) = stream.into_split();
        let (reading, may_read) = watch::channel(true);
        let tasks = [
            tokio::spawn(read_all(shared.clone(), read, may_read)),
            tokio::spawn(write_all(shared.clone(), write)),
        ];
        let client = Self { shared, reading, tasks, local };
        client.with(|_| ());
        client
    }

    /// Works on the protocol's machine and sends what it wants to send.
    pub fn with<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        self.shared.with(work)
    }

    /// Its own address, as the node's logs show it.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Stops or starts reading the socket.
    pub fn set_reading(&self, on: bool) {
        // The reading task may have ended.
        let _ = self.reading.send(on);
    }

    /// All events so far.
    pub fn events(&self) -> Vec<ClientEvent> {
        self.shared.lock().events.clone()
    }

    /// Whether the connection ended.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Waits until `look` finds something in all events so far.
    pub async fn wait<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&[ClientEvent]) -> Option<T>,
    ) -> T {
        let begin = Instant::now();
        loop {
            let news = self.shared.news.notified();
            let closed = {
                let state = self.shared.lock();
                if let Some(answer) = look(&state.events) {
                    return answer;
                }
                state.closed
            };
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if closed || tokio::time::timeout(left.min(Duration::from_secs(1)), news).await.is_err()
            {
                assert!(
                    !closed && !left.is_zero(),
                    "client {} waited for: {what}; closed: {closed}; events: {:#?}",
                    self.local,
                    self.summary()
                );
            }
        }
    }

    /// Events without the payloads of media, the last 60.
    fn summary(&self) -> Vec<String> {
        let events = self.events();
        let last = events.iter().skip(events.len().saturating_sub(60));
        last.map(|event| match event {
            ClientEvent::Media { stream, frame } => format!(
                "{:?} {} {} ms, {} bytes{}",
                frame.kind,
                stream.0,
                frame.timestamp_ms,
                frame.payload.len(),
                if frame.is_keyframe { ", key" } else { "" }
            ),
            other => format!("{other:?}").chars().take(300).collect(),
        })
        .collect()
    }

    /// Waits until the connection ended.
    pub async fn closed(&self) {
        wait::until(&format!("client {} to be closed", self.local), || self.is_closed()).await;
    }

    /// The info object of the accepted connect.
    pub async fn info(&self) -> Object {
        let answer = self.wait("the answer to connect", |events| {
            events.iter().find_map(|event| match event {
                ClientEvent::Connected { info, .. } => Some(Ok(info.clone())),
                ClientEvent::Refused(info) => Some(Err(info.clone())),
                _ => None,
            })
        });
        answer.await.unwrap_or_else(|info| panic!("connect refused: {info:?}"))
    }

    /// Code and description of the refused connect.
    pub async fn refusal(&self) -> (String, String) {
        let info = self.wait("connect to be refused", |events| {
            events.iter().find_map(|event| match event {
                ClientEvent::Refused(info) => Some(info.clone()),
                ClientEvent::Connected { .. } => panic!("connect was accepted"),
                _ => None,
            })
        });
        let info = info.await;
        (member(&info, "code"), member(&info, "description"))
    }

    /// A new stream.
    pub async fn create_stream(&self) -> StreamId {
        let created = |events: &[ClientEvent]| -> Vec<StreamId> {
            let id = |event: &ClientEvent| match event {
                ClientEvent::StreamCreated(id) => Some(*id),
                _ => None,
            };
            events.iter().filter_map(id).collect()
        };
        let before = created(&self.events()).len();
        self.with(Client::create_stream);
        self.wait("createStream", |events| created(events).get(before).copied()).await
    }

    /// Publishes a name on a new stream.
    pub async fn publish(&self, name: &str) -> StreamId {
        let stream = self.ask_publish(name).await;
        self.status(stream, "NetStream.Publish.Start").await;
        stream
    }

    /// Sends publish on a new stream and goes on.
    pub async fn ask_publish(&self, name: &str) -> StreamId {
        let stream = self.create_stream().await;
        self.with(|machine| machine.publish(stream, name, PublishMode::Live).expect("it fits"));
        stream
    }

    /// Plays a name on a new stream.
    pub async fn play(&self, name: &str) -> Play {
        let stream = self.ask_play(name).await;
        self.status(stream, "NetStream.Play.Start").await;
        Play(stream)
    }

    /// Sends play on a new stream and goes on.
    pub async fn ask_play(&self, name: &str) -> StreamId {
        let stream = self.create_stream().await;
        self.with(|machine| machine.play(stream, name).expect("it fits"));
        stream
    }

    /// Sends frames of a publication.
    pub fn send<'f>(&self, stream: StreamId, frames: impl IntoIterator<Item = &'f MediaFrame>) {
        self.with(|machine| {
            for frame in frames {
                machine.send_frame(stream, frame).expect("a frame fits a message");
            }
        });
    }

    /// Waits until all that was sent was taken by the operating system.
    pub async fn sent(&self) {
        wait::until("the client's bytes to leave", || self.shared.lock().out.is_empty()).await;
    }

    /// Sends any message.
    pub fn send_message(&self, message: &Message) {
        self.with(|machine| machine.send_message(message).expect("it fits"));
    }

    /// Calls a function of the application.
    ///
    /// # Errors
    /// Code and description of the failure.
    pub async fn call(&self, name: &str, args: &[Value]) -> Result<Vec<Value>, (String, String)> {
        let call = self.with(|machine| machine.call(name, &amf0(args)).expect("the call fits"));
        self.wait(&format!("the result of {name}"), |events| {
            events.iter().find_map(|event| match event {
                ClientEvent::Result { transaction, values } if *transaction == call => {
                    Some(Ok(values.clone()))
                }
                ClientEvent::Error { transaction, info } if *transaction == call => {
                    Some(Err((member(info, "code"), member(info, "description"))))
                }
                _ => None,
            })
        })
        .await
    }

    /// Waits for a status of a stream (0: the connection); answers level and description.
    pub async fn status(&self, on: StreamId, awaited: &str) -> (String, String) {
        self.statuses(on, awaited, 1).await
    }

    /// Waits for the `count`th status with this code.
    pub async fn statuses(&self, on: StreamId, awaited: &str, count: usize) -> (String, String) {
        self.wait(&format!("{awaited} on stream {}", on.0), |events| {
            let mut found = events.iter().filter_map(|event| match event {
                ClientEvent::Status { stream, level, code, description }
                    if *stream == on && code == awaited =>
                {
                    Some((text(level), text(description)))
                }
                _ => None,
            });
            found.nth(count - 1)
        })
        .await
    }

    /// Waits for a call of the server; answers its arguments.
    pub async fn called(&self, function: &str) -> Vec<Value> {
        self.wait(&format!("the server to call {function}"), |events| {
            events.iter().find_map(|event| match event {
                ClientEvent::Call { name, args, .. } if name == function => Some(args.clone()),
                _ => None,
            })
        })
        .await
    }

    /// Arguments of all calls of the server to this function so far.
    pub fn calls(&self, function: &str) -> Vec<Vec<Value>> {
        let of = |event: &ClientEvent| match event {
            ClientEvent::Call { name, args, .. } if name == function => Some(args.clone()),
            _ => None,
        };
        self.shared.lock().events.iter().filter_map(of).collect()
    }

    /// Frames received on a stream so far.
    pub fn frames(&self, play: Play) -> Vec<MediaFrame> {
        frames_of(&self.shared.lock().events, play)
    }

    /// Waits until the frames of a stream satisfy `enough`; answers them.
    pub async fn frames_until(
        &self,
        play: Play,
        what: &str,
        mut enough: impl FnMut(&[MediaFrame]) -> bool,
    ) -> Vec<MediaFrame> {
        let mut seen = 0;
        self.wait(what, |events| {
            // Looking costs a copy of the list: only when something came.
            if events.len() == seen {
                return None;
            }
            seen = events.len();
            let frames = frames_of(events, play);
            enough(&frames).then_some(frames)
        })
        .await
    }

    /// Waits until a frame with this payload came; answers all frames up to now.
    pub async fn frames_to(&self, play: Play, last: &MediaFrame) -> Vec<MediaFrame> {
        let mut seen = 0;
        self.wait("the last frame", |events| {
            let new = &events[seen..];
            seen = events.len();
            let came = new.iter().any(|event| match event {
                ClientEvent::Media { stream, frame } => {
                    *stream == play.0 && frame.kind == last.kind && frame.payload == last.payload
                }
                _ => false,
            });
            came.then(|| frames_of(events, play))
        })
        .await
    }
}

impl Drop for RtmpClient {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn frames_of(events: &[ClientEvent], play: Play) -> Vec<MediaFrame> {
    let of = |event: &ClientEvent| match event {
        ClientEvent::Media { stream, frame } if *stream == play.0 => Some(frame.clone()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

async fn read_all(
    shared: Arc<Shared>,
    mut socket: OwnedReadHalf,
    mut may_read: watch::Receiver<bool>,
) {
    let mut input = BytesMut::new();
    loop {
        if may_read.wait_for(|may| *may).await.is_err() {
            return;
        }
        input.reserve(64 << 10);
        let read = tokio::select! {
            read = socket.read_buf(&mut input) => read,
            _ = may_read.changed() => continue,
        };
        match read {
            Ok(0) | Err(_) => return shared.close(),
            Ok(_) => shared.with(|machine| machine.handle_input(Instant::now(), &mut input)),
        }
    }
}

async fn write_all(shared: Arc<Shared>, mut socket: OwnedWriteHalf) {
    loop {
        shared.work.notified().await;
        loop {
            let mut bytes = shared.lock().out.split();
            if bytes.is_empty() {
                break;
            }
            if socket.write_all_buf(&mut bytes).await.is_err() {
                // What the server said before it closed is still read.
                return;
            }
        }
    }
}

fn amf0(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        value.encode_amf0(&mut out).expect("a value of AMF0");
    }
    out
}

fn member(object: &Object, key: &str) -> String {
    object.get(key).and_then(Value::as_string).map(text).unwrap_or_default()
}

/// Bytes as text.
pub fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
