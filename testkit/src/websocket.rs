//! WebSocket clients: one of a library, and one that sends whatever bytes it likes.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::stranger::Stranger;
use crate::wait;

/// A client as pages have them. It answers pings while it waits for something.
#[derive(Debug)]
pub struct WebSocketClient {
    stream: WebSocketStream<TcpStream>,
    subprotocol: Option<String>,
}

impl WebSocketClient {
    /// Opens `path`, query included.
    ///
    /// # Panics
    /// It is refused.
    pub async fn connect(to: SocketAddr, path: &str) -> Self {
        Self::open(to, path, &[]).await.expect("the upgrade is accepted")
    }

    /// Opens `path` with more headers, or answers the status and body of the refusal.
    ///
    /// # Errors
    /// Status code and body.
    ///
    /// # Panics
    /// Nobody listens, or what comes back is no HTTP.
    pub async fn open(
        to: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, (u16, String)> {
        let stream = wait::within("the port to accept", TcpStream::connect(to)).await;
        let stream = stream.expect("the port accepts");
        let mut request = format!("ws://{to}{path}").into_client_request().expect("an address");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("the name of a header");
            let value = HeaderValue::from_str(value).expect("the value of a header");
            request.headers_mut().insert(name, value);
        }
        match wait::within("the upgrade", client_async(request, stream)).await {
            Ok((stream, response)) => {
                let name = response.headers().get("sec-websocket-protocol");
                let subprotocol = name.map(|name| name.to_str().expect("a name").to_owned());
                Ok(Self { stream, subprotocol })
            }
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = String::from_utf8(body.to_vec()).expect("text");
                Err((response.status().as_u16(), body))
            }
            Err(error) => panic!("the upgrade: {error}"),
        }
    }

    /// The subprotocol that the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Sends any message.
    ///
    /// # Panics
    /// The connection is over.
    pub async fn send(&mut self, message: Message) {
        let sent = wait::within("the message to be sent", self.stream.send(message)).await;
        sent.expect("the connection is open");
    }

    /// Sends a text.
    pub async fn text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends bytes.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        self.send(Message::binary(bytes.to_vec())).await;
    }

    /// The next message that is no ping and no pong.
    ///
    /// # Panics
    /// None comes.
    pub async fn next(&mut self) -> Message {
        loop {
            let next = wait::within("a message", self.stream.next()).await;
            match next.expect("a message before the end").expect("a message") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next message, a text.
    ///
    /// # Panics
    /// It is another, or none comes.
    pub async fn next_text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("a text expected, got {other:?}"),
        }
    }

    /// The next message, bytes.
    ///
    /// # Panics
    /// It is another, or none comes.
    pub async fn next_bytes(&mut self) -> Vec<u8> {
        match self.next().await {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("bytes expected, got {other:?}"),
        }
    }

    /// Sends a text and waits for the text that answers it.
    pub async fn call(&mut self, text: &str) -> String {
        self.text(text).await;
        self.next_text().await
    }

    /// Waits until a pong of this payload came.
    ///
    /// # Panics
    /// Anything but pings and pongs comes.
    pub async fn pong(&mut self) -> Vec<u8> {
        loop {
            let next = wait::within("a pong", self.stream.next()).await;
            match next.expect("a pong before the end").expect("a pong") {
                Message::Pong(payload) => return payload.to_vec(),
                Message::Ping(_) => {}
                other => panic!("a pong expected, got {other:?}"),
            }
        }
    }

    /// The code and text of the close frame, which comes next but for pings.
    ///
    /// # Panics
    /// Something else comes.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.as_str().to_owned()),
            Message::Close(None) => (1005, String::new()),
            other => panic!("a close frame expected, got {other:?}"),
        }
    }

    /// Closes without waiting for an answer to what it sent.
    ///
    /// # Panics
    /// The connection is over.
    pub async fn close(&mut self) {
        wait::within("the close frame", self.stream.close(None)).await.expect("it is open");
    }

    /// Reads until the server has ended the connection.
    pub async fn ended(&mut self) {
        while let Some(Ok(_)) = wait::within("the end", self.stream.next()).await {}
    }
}

/// A client that shook hands and then sends any bytes.
#[derive(Debug)]
pub struct RawWebSocket {
    stranger: Stranger,
}

impl RawWebSocket {
    /// Shakes hands at `path`.
    ///
    /// # Panics
    /// It is refused.
    pub async fn connect(to: SocketAddr, path: &str) -> Self {
        let mut stranger = Stranger::connect(to).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        assert!(stranger.send(request.as_bytes()).await, "the request is taken");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(stranger.read(1).await.expect("a head"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
        Self { stranger }
    }

    /// Sends bytes as they are; answers whether they were taken.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stranger.send(bytes).await
    }

    /// Sends the same bytes until the other side closes; answers how many it took.
    pub async fn flood(&mut self, bytes: &[u8], at_most: usize) -> usize {
        self.stranger.flood(bytes, at_most).await
    }

    /// The next frame of the server: its first byte and its payload.
    ///
    /// # Panics
    /// The connection ends before.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut read = async |count| self.stranger.read(count).await.expect("a frame");
        let head = read(2).await;
        let length = match head[1] {
            126 => usize::from(u16::from_be_bytes(read(2).await.try_into().expect("2 bytes"))),
            127 => {
                let length = u64::from_be_bytes(read(8).await.try_into().expect("8 bytes"));
                usize::try_from(length).expect("a length")
            }
            short => usize::from(short),
        };
        (head[0], read(length).await)
    }

    /// The code in the close frame, which comes next but for pings.
    ///
    /// # Panics
    /// Something else comes.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.frame().await;
            match first {
                0x89 => {}
                0x88 => return u16::from_be_bytes([payload[0], payload[1]]),
                other => panic!("a close frame expected, got {other:#x} {payload:?}"),
            }
        }
    }

    /// Waits until the server ends the connection.
    pub async fn ended(self) -> Vec<u8> {
        self.stranger.closed().await
    }
}

/// A masked frame: first byte (FIN and opcode), and a payload.
pub fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_header(first, payload.len() as u64);
    let mask = [1, 2, 3, 4];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The header of a masked frame, up to its mask, that announces any length.
pub fn frame_header(first: u8, length: u64) -> Vec<u8> {
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame
}
