//! Clients that ask for one file over and over, each on a connection of its own.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::ready;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::support::Outcome;

/// What the clients of one round saw together.
pub(crate) struct Requests {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Bytes taken by one read; all clients share one buffer, for nobody looks at a body.
const READ: usize = 256 << 10;

/// Asks on every connection for a time. Every response must be of that many bytes.
pub(crate) fn run(
    port: u16,
    path: &str,
    bytes: usize,
    connections: usize,
    time: Duration,
) -> Outcome<Requests> {
    let failed = |error: std::io::Error| error.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tasks = LocalSet::new();
    tasks.block_on(&runtime.map_err(failed)?, async {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        let scratch = Rc::new(RefCell::new(vec![0; READ]));
        let mut clients = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            clients.push(Client { stream, scratch: scratch.clone() });
        }
        let begin = Instant::now();
        let end = begin + time;
        let ask = |client: Client| {
            let request = request.clone();
            tokio::task::spawn_local(async move { client.ask_until(&request, bytes, end).await })
        };
        let asked: Vec<_> = clients.into_iter().map(ask).collect();
        let mut micros = Vec::new();
        for client in asked {
            let own = client.await.map_err(|error| error.to_string())?;
            micros.extend(own.map_err(|error| format!("{path}: {error}"))?);
        }
        let took = begin.elapsed();
        micros.sort_unstable();
        let at = |part: usize| {
            micros.get(micros.len() * part / 100).copied().map_or(f64::NAN, f64::from)
        };
        Ok(Requests {
            count: micros.len() as u64,
            per_second: micros.len() as f64 / took.as_secs_f64(),
            p50_us: at(50),
            p99_us: at(99),
        })
    })
}

struct Client {
    stream: TcpStream,
    scratch: Rc<RefCell<Vec<u8>>>,
}

impl Client {
    /// Microseconds of each request.
    async fn ask_until(
        mut self,
        request: &str,
        bytes: usize,
        end: Instant,
    ) -> std::io::Result<Vec<u32>> {
        let mut micros = Vec::new();
        loop {
            let begin = Instant::now();
            if begin >= end {
                return Ok(micros);
            }
            self.stream.write_all(request.as_bytes()).await?;
            self.response(bytes).await?;
            micros.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }

    async fn response(&mut self, bytes: usize) -> std::io::Result<()> {
        let length = format!("\r\ncontent-length: {bytes}\r\n");
        let mut head = Vec::new();
        let mut got = 0;
        let mut is_body = false;
        while !is_body || got < bytes {
            let Self { stream, scratch } = self;
            poll_fn(|cx| {
                let mut scratch = scratch.borrow_mut();
                let mut buffer = ReadBuf::new(&mut scratch);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
                let read = buffer.filled();
                if read.is_empty() {
                    let ended = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                    return std::task::Poll::Ready(Err(ended));
                }
                if is_body {
                    got += read.len();
                } else {
                    head.extend_from_slice(read);
                    if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                        is_body = true;
                        got = head.len() - at - 4;
                        head.truncate(at + 2);
                    }
                }
                std::task::Poll::Ready(Ok(()))
            })
            .await?;
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        if got == bytes && head.starts_with("http/1.1 200 ") && head.contains(&length) {
            return Ok(());
        }
        Err(std::io::Error::other(format!("{got} bytes of {bytes} after {head}")))
    }
}
