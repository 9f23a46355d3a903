//! HTTP as a browser, a monitoring system and a stranger speak it: raw requests over one
//! connection, and whole responses.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificate::Certificate;
use crate::wait;

/// One connection to an HTTP port.
#[derive(Debug)]
pub struct HttpClient {
    stream: Box<dyn Io>,
    host: String,
    received: Vec<u8>,
}

/// What a connection runs on.
trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> Io for T {}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Names in lower case, and values, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, without chunks.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// All headers of that name (lower case).
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl HttpClient {
    /// Connects.
    ///
    /// # Panics
    /// Nobody accepts.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = wait::within("the port to accept", TcpStream::connect(to)).await;
        let stream = stream.expect("the port accepts");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream: Box::new(stream), host: to.to_string(), received: Vec::new() }
    }

    /// Connects through TLS to whoever has this certificate for `localhost`; what is wrong when
    /// the handshake fails.
    ///
    /// # Errors
    /// The other side has another certificate, or speaks no TLS.
    pub async fn connect_tls(to: SocketAddr, certificate: &Certificate) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        let connector = TlsConnector::from(certificate.client());
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = wait::within("a TLS handshake", connector.connect(name, stream)).await?;
        Ok(Self { stream: Box::new(stream), host: to.to_string(), received: Vec::new() })
    }

    /// Sends bytes as they are; answers whether the other side still took them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        wait::within("the port to take bytes", self.stream.write_all(bytes)).await.is_ok()
    }

    /// A request with further head lines, and its response.
    ///
    /// # Panics
    /// The connection ends before.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        lines: &[&str],
        body: &[u8],
    ) -> HttpResponse {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for line in lines {
            head += line;
            head += "\r\n";
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        assert!(self.send(&[head.as_bytes(), body].concat()).await, "the request is taken");
        self.response(method == "HEAD").await.expect("a response")
    }

    /// GET of a path.
    pub async fn get(&mut self, path: &str) -> HttpResponse {
        self.ask("GET", path, &[], b"").await
    }

    /// POST of a body of this content type.
    pub async fn post(&mut self, path: &str, kind: &str, body: &str) -> HttpResponse {
        self.ask("POST", path, &[&format!("Content-Type: {kind}")], body.as_bytes()).await
    }

    /// The next response; `None` when the connection ends before its head. A response to HEAD has
    /// no body whatever its head says.
    pub async fn response(&mut self, to_head: bool) -> Option<HttpResponse> {
        let end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
        self.received.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = HttpResponse { status, headers, body: Vec::new() };
        if to_head || matches!(status, 100..=199 | 204 | 304) {
            return Some(response);
        }
        let length = response.header("content-length").map(|text| text.parse::<usize>());
        response.body = match length {
            Some(length) => self.take(length.ok()?).await?,
            None if response.header("transfer-encoding") == Some("chunked") => {
                self.chunks().await?
            }
            None => {
                while self.more().await {}
                std::mem::take(&mut self.received)
            }
        };
        Some(response)
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.received, b"\r\n") {
                    break at;
                }
                if !self.more().await {
                    return None;
                }
            };
            let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
            self.received.drain(..end + 2);
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let chunk = self.take(length + 2).await?;
            if length == 0 {
                return Some(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.received.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.received.drain(..length).collect())
    }

    /// Whether anything more came.
    async fn more(&mut self) -> bool {
        let read = wait::within("more of a response", self.stream.read_buf(&mut self.received));
        read.await.is_ok_and(|n| n > 0)
    }

    /// Waits until the other side closes; answers what else it said.
    pub async fn closed(mut self) -> Vec<u8> {
        while self.more().await {}
        self.received
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// GET of a path on a connection of its own: status code, head and body.
///
/// # Panics
/// No HTTP comes back.
pub async fn http_get(from: SocketAddr, path: &str) -> (u16, String, String) {
    let mut client = HttpClient::connect(from).await;
    let response = client.ask("GET", path, &["Connection: close"], b"").await;
    let line = |(name, value): &(String, String)| format!("{name}: {value}\r\n");
    let head = response.headers.iter().map(line).collect();
    (response.status, head, response.text())
}

/// The value of a sample in Prometheus text, such as `ramona_link_in_calls_total` (the sum over
/// all its labels) or `name{label="value"}`.
///
/// # Panics
/// There is no such sample.
pub fn sample(text: &str, name: &str) -> f64 {
    let with_labels = name.contains('{');
    let of = |line: &str| {
        let (sample, value) = line.rsplit_once(' ')?;
        let is = sample == name || (!with_labels && sample.split('{').next() == Some(name));
        is.then(|| value.parse::<f64>().expect("a number"))
    };
    let mut values = text.lines().filter(|line| !line.starts_with('#')).filter_map(of).peekable();
    assert!(values.peek().is_some(), "no sample {name} in:\n{text}");
    values.sum()
}
