//! An RTMP client over TCP, around [`ramona_rtmp::Client`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use ramona_amf::Value;
use ramona_media::MediaFrame;
use ramona_rtmp::{
    Client, ClientConfig, ClientEvent, ClientOutput, Message, PublishMode, StreamId,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::{Machine, NetClient, Shared, amf0};
use crate::wait;

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

/// A client over TCP.
pub type RtmpClient = NetClient<Rtmp>;

/// The machine of an [`RtmpClient`].
pub struct Rtmp {
    client: Client,
    out: BytesMut,
    reading: watch::Sender<bool>,
}

impl Machine for Rtmp {
    type Client = Client;

    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn create_stream(&mut self) {
        self.client.create_stream();
    }

    fn publish(&mut self, stream: StreamId, name: &str) {
        self.client.publish(stream, name, PublishMode::Live).expect("it fits");
    }

    fn play(&mut self, stream: StreamId, name: &str) {
        self.client.play(stream, name).expect("it fits");
    }

    fn call(&mut self, name: &str, args: &[u8]) -> f64 {
        self.client.call(name, args).expect("the call fits")
    }

    fn send_frame(&mut self, stream: StreamId, frame: &MediaFrame) {
        self.client.send_frame(stream, frame).expect("a frame fits a message");
    }

    fn send_message(&mut self, message: &Message) {
        self.client.send_message(message).expect("it fits");
    }

    fn drain(&mut self, events: &mut Vec<ClientEvent>) -> bool {
        let mut closed = false;
        loop {
            match self.client.poll_output() {
                ClientOutput::Transmit(bytes) => self.out.extend_from_slice(&bytes),
                ClientOutput::Event(event) => {
                    closed |= matches!(event, ClientEvent::Closed(_));
                    events.push(event);
                }
                ClientOutput::Timeout(_) => return closed,
            }
        }
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
        let client = Client::new(Instant::now(), config, entropy);
        let (reading, may_read) = watch::channel(true);
        let shared = Shared::new(Rtmp { client, out: BytesMut::new(), reading });
        let (read, write) = stream.into_split();
        let tasks = vec![
            tokio::spawn(read_all(shared.clone(), read, may_read)),
            tokio::spawn(write_all(shared.clone(), write)),
        ];
        let client = Self { shared, tasks, local };
        client.with(|_| ());
        client
    }

    /// Stops or starts reading the socket.
    pub fn set_reading(&self, on: bool) {
        // The reading task may have ended.
        let _ = self.shared.lock().machine.reading.send(on);
    }

    /// Waits until all that was sent was taken by the operating system.
    pub async fn sent(&self) {
        wait::until("the client's bytes to leave", || self.shared.lock().machine.out.is_empty())
            .await;
    }
}

async fn read_all(
    shared: Arc<Shared<Rtmp>>,
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
            Ok(_) => shared.work(|machine| machine.client.handle_input(Instant::now(), &mut input)),
        }
    }
}

async fn write_all(shared: Arc<Shared<Rtmp>>, mut socket: OwnedWriteHalf) {
    loop {
        shared.work.notified().await;
        loop {
            let mut bytes = shared.lock().machine.out.split();
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
