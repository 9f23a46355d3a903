//! The load: one publisher and many viewers that only read and count.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::ready;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

use super::stream::{self, Stamp, WARM_UP};
use super::support::{Outcome, say};
use super::{flv, rtmp};

/// What is published and played.
const NAME: &str = "bench";

/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How viewers and publisher talk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// RTMP from the handshake on.
    Rtmp,
    /// Published by RTMP, played by HTTP-FLV.
    Flv,
    /// To the bare loop: nothing but messages; the publisher says their length in front.
    Bare,
}

impl Carrier {
    /// A player; the name need not be running.
    fn play(self, address: SocketAddr, name: &str) -> std::io::Result<(TcpStream, Reader)> {
        match self {
            Self::Rtmp => {
                let (socket, reader) = rtmp::play(address, name)?;
                Ok((socket, Reader::Chunks(reader)))
            }
            Self::Flv => {
                let (socket, reader) = flv::play(address, name)?;
                Ok((socket, Reader::Tags(reader)))
            }
            Self::Bare => {
                let reader = rtmp::Reader::new(rtmp::CHUNK_SIZE as usize);
                Ok((TcpStream::connect(address)?, Reader::Chunks(reader)))
            }
        }
    }
}

/// Finds messages in what a player is sent.
enum Reader {
    Chunks(rtmp::Reader),
    Tags(flv::Reader),
}

impl Reader {
    fn read(&mut self, input: &[u8], on_message: impl FnMut(u8, &[u8])) -> std::io::Result<()> {
        match self {
            Self::Chunks(reader) => reader.read(input, on_message),
            Self::Tags(reader) => reader.read(input, on_message),
        }
    }
}

/// What the viewers have seen, of messages after the warm-up.
#[derive(Default)]
struct Seen {
    messages: u64,
    /// Messages that did not follow the one before.
    disorder: u64,
    latencies_us: Vec<u32>,
}

/// Where to go and how much to do.
pub(crate) struct Load {
    pub(crate) carrier: Carrier,
    pub(crate) viewers_at: SocketAddr,
    pub(crate) publisher_at: SocketAddr,
    pub(crate) viewers: usize,
    pub(crate) messages: u32,
}

impl Load {
    /// Says `begin` after the warm-up, `end` when all has arrived, and then the figures.
    pub(crate) fn run(self) -> Outcome<()> {
        let failed = |error: std::io::Error| format!("the load failed: {error}");
        let mut sockets = Vec::new();
        for _ in 0..self.viewers {
            let (socket, reader) = self.carrier.play(self.viewers_at, NAME).map_err(failed)?;
            socket.set_nonblocking(true).map_err(failed)?;
            sockets.push((socket, reader));
        }
        let clock = Instant::now();
        let (sent, all_sent) = sync_channel(1);
        let expected = self.viewers as u64 * u64::from(self.messages);
        std::thread::spawn(move || self.publish(clock, &sent));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let seen = Rc::new(RefCell::new(Seen::default()));
        let watching = watch(sockets, clock, seen.clone(), expected, all_sent);
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime.map_err(failed)?, watching).map_err(failed)?;
        say("end");
        // The measured process is looked at before its viewers leave.
        sleep(Duration::from_millis(300));
        let mut seen = seen.borrow_mut();
        seen.latencies_us.sort_unstable();
        let at = |part: f64| {
            let index = (seen.latencies_us.len() as f64 * part) as usize;
            seen.latencies_us.get(index).copied().unwrap_or(0)
        };
        say(&format!(
            "figures {} {} {} {} {}",
            seen.messages,
            expected,
            seen.disorder,
            at(0.5),
            at(0.99)
        ));
        Ok(())
    }

    /// Sends each message when it is due, its stamp inside.
    fn publish(&self, clock: Instant, sent: &SyncSender<std::io::Result<()>>) {
        // Viewers' requests are all answered by then.
        sleep(Duration::from_secs(1));
        // Nobody waits any more when the load has failed.
        let _ = sent.send(self.try_publish(clock));
    }

    fn try_publish(&self, clock: Instant) -> std::io::Result<()> {
        let mut socket = match self.carrier {
            Carrier::Rtmp | Carrier::Flv => rtmp::publish(self.publisher_at, NAME)?,
            Carrier::Bare => TcpStream::connect(self.publisher_at)?,
        };
        socket.set_nodelay(true)?;
        let mut send = |bytes: Vec<u8>| match self.carrier {
            Carrier::Rtmp | Carrier::Flv => socket.write_all(&bytes),
            Carrier::Bare => {
                let length = (bytes.len() as u32).to_be_bytes();
                socket.write_all(&[&length[..], &bytes].concat())
            }
        };
        for message in stream::headers() {
            send(rtmp::media(message.kind, 0, &message.payload))?;
        }
        let begin = Instant::now();
        let numbers = 0..WARM_UP + self.messages;
        for (number, mut message) in numbers.zip(stream::messages()) {
            if let Some(early) = message.due.checked_sub(begin.elapsed()) {
                sleep(early);
            }
            if number == WARM_UP {
                say("begin");
            }
            let nanos = clock.elapsed().as_nanos() as u64;
            Stamp { nanos, number }.write(&mut message.payload);
            let time_ms = message.due.as_millis() as u32;
            send(rtmp::media(message.kind, time_ms, &message.payload))?;
        }
        // The connection stays open as long as this process: the end of a stream is no part of it.
        std::mem::forget(socket);
        Ok(())
    }
}

/// Players of a name that nobody publishes, until this process is ended.
pub(crate) fn idle(carrier: Carrier, address: SocketAddr, viewers: usize) -> Outcome<()> {
    let played: Result<Vec<_>, _> = (0..viewers).map(|_| carrier.play(address, "nobody")).collect();
    let sockets = played.map_err(|error| format!("idle viewers failed: {error}"))?;
    sleep(Duration::from_secs(2));
    say("ready");
    sleep(Duration::from_secs(600));
    drop(sockets);
    Ok(())
}

/// Reads on all sockets until all has arrived, or too long after the last message was sent.
async fn watch(
    sockets: Vec<(TcpStream, Reader)>,
    clock: Instant,
    seen: Rc<RefCell<Seen>>,
    expected: u64,
    all_sent: Receiver<std::io::Result<()>>,
) -> std::io::Result<()> {
    seen.borrow_mut().latencies_us.reserve(expected as usize);
    let scratch = Rc::new(RefCell::new(vec![0; 256 << 10]));
    for (socket, reader) in sockets {
        let socket = tokio::net::TcpStream::from_std(socket)?;
        let (seen, scratch) = (seen.clone(), scratch.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = view(socket, reader, clock, &seen, &scratch).await {
                eprintln!("a viewer ended: {error}");
            }
        });
    }
    let mut deadline = None;
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Ok(result) = all_sent.try_recv() {
            result?;
            deadline = Some(Instant::now() + PATIENCE);
        }
        if seen.borrow().messages >= expected || deadline.is_some_and(|at| Instant::now() >= at) {
            return Ok(());
        }
    }
}

/// Reads as much as there is at each turn; all viewers share one buffer.
async fn view(
    mut socket: tokio::net::TcpStream,
    mut reader: Reader,
    clock: Instant,
    seen: &RefCell<Seen>,
    scratch: &RefCell<Vec<u8>>,
) -> std::io::Result<()> {
    let mut next = None;
    loop {
        let open = poll_fn(|cx| {
            let mut scratch = scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut socket).poll_read(cx, &mut buffer))?;
            let now = clock.elapsed().as_nanos() as u64;
            let read = reader.read(buffer.filled(), |_, body| {
                let Some(stamp) = Stamp::read(body) else { return };
                let follows = next.is_none_or(|next| next == stamp.number);
                next = Some(stamp.number + 1);
                if stamp.number >= WARM_UP {
                    let mut seen = seen.borrow_mut();
                    seen.messages += 1;
                    seen.disorder += u64::from(!follows);
                    seen.latencies_us.push((now.saturating_sub(stamp.nanos) / 1000) as u32);
                }
            });
            std::task::Poll::Ready(read.map(|()| !buffer.filled().is_empty()))
        });
        if !open.await? {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
