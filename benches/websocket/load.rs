//! Clients that call and wait for the answer, over and over.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Outcome;

/// What the clients of one round saw together.
pub(crate) struct Calls {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

const CALL: &[u8] = br#"["echo","0123456789 0123456789 0123456789",12345]"#;

/// Calls on every connection for a time.
pub(crate) fn run(port: u16, connections: usize, time: Duration) -> Outcome<Calls> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(connect(port).await?);
        }
        let begin = Instant::now();
        let end = begin + time;
        let tasks: Vec<_> =
            clients.into_iter().map(|client| tokio::spawn(call_until(client, end))).collect();
        let mut micros = Vec::new();
        for task in tasks {
            micros.extend(task.await.map_err(|error| error.to_string())??);
        }
        let took = begin.elapsed();
        micros.sort_unstable();
        let at = |part: usize| {
            let index = micros.len() * part / 100;
            micros.get(index).copied().map_or(f64::NAN, f64::from)
        };
        Ok(Calls {
            count: micros.len() as u64,
            per_second: micros.len() as f64 / took.as_secs_f64(),
            p50_us: at(50),
            p99_us: at(99),
        })
    })
}

async fn connect(port: u16) -> Outcome<TcpStream> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(failed)?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(format!("no upgrade: {}", head.escape_ascii()));
    }
    Ok(stream)
}

/// Microseconds of each call.
async fn call_until(mut stream: TcpStream, end: Instant) -> Outcome<Vec<u32>> {
    let call = masked_text(CALL);
    let mut micros = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(micros);
        }
        stream.write_all(&call).await.map_err(|error| error.to_string())?;
        answer(&mut stream, &mut buffer).await?;
        micros.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// Reads up to the end of a text; pings are passed over.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Outcome<()> {
    let mut have = 0;
    loop {
        have += match stream.read(&mut buffer[have..]).await {
            Ok(0) => return Err("the server closed".to_owned()),
            Ok(read) => read,
            Err(error) => return Err(error.to_string()),
        };
        // All answers are short: two bytes of header.
        let mut at = 0;
        while have >= at + 2 && have >= at + 2 + usize::from(buffer[at + 1]) {
            match buffer[at] {
                0x81 => return Ok(()),
                0x89 => at += 2 + usize::from(buffer[at + 1]),
                other => return Err(format!("a frame that begins with {other:#x}")),
            }
        }
    }
}

fn masked_text(text: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x81, 0x80 | text.len() as u8];
    frame.extend_from_slice(&mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
