//! Clients of a node over real sockets. What they have in common is here: what they heard, and the
//! waits for it; the transports are beside it.

mod rtmfp;
mod rtmp;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_amf::{Object, Value};
use ramona_media::MediaFrame;
use ramona_rtmp::{ClientEvent, Message, StreamId};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::wait::{self, PATIENCE};

pub use rtmfp::{Path, RtmfpClient, RtmfpOptions};
pub use rtmp::{ClientOptions, RtmpClient};

/// A stream that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Play(pub StreamId);

/// The protocol of a client, with what it wants to send.
pub trait Machine: Send + 'static {
    /// What [`NetClient::with`] gives to work on.
    type Client;
    /// It.
    fn client(&mut self) -> &mut Self::Client;
    /// createStream.
    fn create_stream(&mut self);
    /// publish, live.
    fn publish(&mut self, stream: StreamId, name: &str);
    /// play.
    fn play(&mut self, stream: StreamId, name: &str);
    /// A call with AMF0 arguments; its transaction.
    fn call(&mut self, name: &str, args: &[u8]) -> f64;
    /// A frame of a publication.
    fn send_frame(&mut self, stream: StreamId, frame: &MediaFrame);
    /// Any message.
    fn send_message(&mut self, message: &Message);
    /// Moves out what it has to say; true when the connection ended.
    fn drain(&mut self, events: &mut Vec<ClientEvent>) -> bool;
}

/// A connected client. Its socket is served by tasks of the present runtime and closed when the
/// client is dropped.
pub struct NetClient<M: Machine> {
    shared: Arc<Shared<M>>,
    tasks: Vec<JoinHandle<()>>,
    local: SocketAddr,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    /// Something came in, or the connection ended.
    news: Notify,
    /// Something is to be written.
    work: Notify,
}

struct State<M> {
    machine: M,
    events: Vec<ClientEvent>,
    closed: bool,
}

impl<M: Machine> Shared<M> {
    fn new(machine: M) -> Arc<Self> {
        let state = State { machine, events: Vec::new(), closed: false };
        let (news, work) = (Notify::new(), Notify::new());
        Arc::new(Self { state: Mutex::new(state), news, work })
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the machine and sends what it wants to send.
    fn work<T>(&self, work: impl FnOnce(&mut M) -> T) -> T {
        let mut state = self.lock();
        let State { machine, events, closed } = &mut *state;
        let answer = work(machine);
        *closed |= machine.drain(events);
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

impl<M: Machine> NetClient<M> {
    /// Works on the protocol's machine and sends what it wants to send.
    pub fn with<T>(&self, work: impl FnOnce(&mut M::Client) -> T) -> T {
        self.shared.work(|machine| work(machine.client()))
    }

    /// Its own address, as the node's logs show it.
    pub fn local(&self) -> SocketAddr {
        self.local
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
        self.shared.work(Machine::create_stream);
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
        self.shared.work(|machine| machine.publish(stream, name));
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
        self.shared.work(|machine| machine.play(stream, name));
        stream
    }

    /// Sends frames of a publication.
    pub fn send<'f>(&self, stream: StreamId, frames: impl IntoIterator<Item = &'f MediaFrame>) {
        self.shared.work(|machine| {
            for frame in frames {
                machine.send_frame(stream, frame);
            }
        });
    }

    /// Sends any message.
    pub fn send_message(&self, message: &Message) {
        self.shared.work(|machine| machine.send_message(message));
    }

    /// Calls a function of the application.
    ///
    /// # Errors
    /// Code and description of the failure.
    pub async fn call(&self, name: &str, args: &[Value]) -> Result<Vec<Value>, (String, String)> {
        let call = self.shared.work(|machine| machine.call(name, &amf0(args)));
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

impl<M: Machine> Drop for NetClient<M> {
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
