//! A TCP socket with an outbound queue whose payloads are shared between viewers.
//!
//! Writing is immediate: what the kernel takes at once never enters the queue. The rest waits
//! for [`Transport::drive`], one future per session, which writes all that waits at each turn.

mod piece;
mod stream;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use self::piece::Queued;
pub(crate) use self::piece::{Inline, Piece};
use self::stream::Stream;
use crate::tls::TlsSocket;

/// Slices given to one `writev`: enough for 20 messages of a header and a payload, small enough
/// for the stack.
const MAX_SLICES: usize = 64;

/// Pieces that are together at most this long are copied into one: a header and a usual frame.
/// One `send` is cheaper than a `writev` by more than the copy costs.
const COPIED: usize = 8 << 10;

/// See the module's text. All methods run on the socket's own arbiter.
///
/// In this order, what every send of a viewer needs is in one line of memory: between two frames
/// everything leaves the cache, and each line is waited for.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Transport {
    queued_bytes: Cell<usize>,
    sent_bytes: Cell<u64>,
    stream: Stream,
    broken: Cell<bool>,
    reading_paused: Cell<bool>,
    /// Holds no empty bytes: it is empty when `queued_bytes` is 0.
    queue: RefCell<VecDeque<Queued>>,
    writer: RefCell<Option<Waker>>,
    reader: RefCell<Option<Waker>>,
    idle: RefCell<Option<Waker>>,
}

impl Transport {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self::over(Stream::Whole(stream))
    }

    /// Only for writing: reading methods find what the other end's owner leaves.
    pub(crate) fn writing(half: OwnedWriteHalf) -> Self {
        Self::over(Stream::Writing(half))
    }

    /// Encrypted: bytes here are the plain ones.
    pub(crate) fn tls(socket: TlsSocket) -> Self {
        Self::over(Stream::Tls(Box::new(socket)))
    }

    fn over(stream: Stream) -> Self {
        Self {
            queued_bytes: Cell::new(0),
            sent_bytes: Cell::new(0),
            stream,
            broken: Cell::new(false),
            reading_paused: Cell::new(false),
            queue: RefCell::default(),
            writer: RefCell::default(),
            reader: RefCell::default(),
            idle: RefCell::default(),
        }
    }

    /// Bytes that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes.get()
    }

    /// Bytes the kernel took since the socket was opened.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.get()
    }

    /// Whether bytes sent now would leave at once. Looked at ahead of sending, this also brings
    /// what sending needs into the cache.
    pub(crate) fn is_idle(&self) -> bool {
        // The socket's number may be behind a pointer.
        std::hint::black_box(self.stream.as_raw_fd());
        (self.queued_bytes.get() == 0) & !self.broken.get()
    }

    /// How long the oldest byte has waited, in milliseconds.
    pub(crate) fn waited_ms(&self) -> u32 {
        if self.queued_bytes.get() == 0 {
            return 0;
        }
        let waited = self.queue.borrow().front().map(|queued| queued.since.elapsed());
        waited.map_or(0, |waited| u32::try_from(waited.as_millis()).unwrap_or(u32::MAX))
    }

    /// Whether the socket failed; [`drive`](Self::drive) tells why.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Sends pieces in order, after all that waits.
    pub(crate) fn send(&self, pieces: &[Piece<'_>]) {
        if self.broken.get() {
            return;
        }
        let is_empty = self.queued_bytes.get() == 0;
        let (first, offset) = if is_empty { self.write_now(pieces) } else { (0, 0) };
        if first == pieces.len() {
            if self.stream.has_pending() {
                self.wake_writer();
            }
            return;
        }
        let mut bytes = 0;
        let now = Instant::now();
        let mut queue = self.queue.borrow_mut();
        for (index, piece) in pieces.iter().enumerate().skip(first) {
            let queued = piece.keep(if index == first { offset } else { 0 }, now);
            let length = queued.as_slice().len();
            if length > 0 {
                bytes += length;
                queue.push_back(queued);
            }
        }
        drop(queue);
        self.queued_bytes.set(self.queued_bytes.get() + bytes);
        self.wake_writer();
    }

    fn wake_writer(&self) {
        if let Some(waker) = self.writer.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether anything waits, here or encrypted below.
    fn is_waiting(&self) -> bool {
        self.queued_bytes.get() > 0 || self.stream.has_pending()
    }

    /// Sends control bytes.
    pub(crate) fn send_bytes(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.send(&[Piece::Part { bytes: &bytes, start: 0, end: bytes.len() }]);
        }
    }

    /// Writes all that waits whenever the socket has room, until it fails.
    pub(crate) async fn drive(&self) -> io::Error {
        loop {
            if let Err(error) = self.write_waiting().await {
                return error;
            }
        }
    }

    /// Writes for somebody who keeps his own queue, as long as nothing waits in this one. Not for
    /// encrypted sockets.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(written) => {
                    self.sent_bytes.set(self.sent_bytes.get() + written as u64);
                    return Poll::Ready(Ok(written));
                }
            }
        }
    }

    /// Waits until something waits and the socket has room, and writes what it takes.
    pub(crate) async fn write_waiting(&self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.is_waiting() {
                return Poll::Ready(());
            }
            *self.writer.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let written = match self.stream.writable().await {
            Ok(()) => self.write_queue(),
            Err(error) => Err(error),
        };
        written.map_err(|error| self.fail(error))
    }

    /// Waits until the socket has something to read and reading is not paused.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.reading_paused.get() {
                *self.reader.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if matches!(&self.stream, Stream::Tls(socket) if socket.is_readable()) {
                return Poll::Ready(Ok(()));
            }
            self.stream.poll_read_ready(cx)
        })
        .await
    }

    /// Reads what is there; `Ok(None)` when nothing is, `Ok(Some(0))` at the end of the stream.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = self.stream.try_read(buffer);
        // A handshake answers while it reads.
        if self.stream.has_pending() {
            self.wake_writer();
        }
        match read {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same into a growing buffer, at most `max` bytes at a time, without a copy. Not for
    /// encrypted sockets.
    pub(crate) fn try_read_into(
        &self,
        buffer: &mut BytesMut,
        max: usize,
    ) -> io::Result<Option<usize>> {
        buffer.reserve(max);
        match self.stream.try_read_buf(&mut buffer.limit(max)) {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until nothing waits; [`drive`](Self::drive) does the writing.
    pub(crate) async fn flushed(&self) {
        poll_fn(|cx| {
            if !self.is_waiting() {
                return Poll::Ready(());
            }
            *self.idle.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Says the last word: what waits was written, nothing follows. The peer can still send, and
    /// what it sends must be read, or closing would reset the connection and cost it our words.
    pub(crate) fn shutdown_write(&self) {
        if let Stream::Tls(socket) = &self.stream {
            return socket.shutdown_write();
        }
        // Fails when the peer is gone already, which is as good.
        let _ = SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write);
    }

    /// Stops or resumes reading: TCP then slows the peer down.
    pub(crate) fn pause_reading(&self, paused: bool) {
        self.reading_paused.set(paused);
        if !paused && let Some(waker) = self.reader.borrow_mut().take() {
            waker.wake();
        }
    }

    fn fail(&self, error: io::Error) -> io::Error {
        self.broken.set(true);
        self.queue.borrow_mut().clear();
        self.queued_bytes.set(0);
        if let Some(waker) = self.idle.borrow_mut().take() {
            waker.wake();
        }
        error
    }

    /// Writes as much as the kernel takes; answers the first piece that is not whole yet and how
    /// much of it is gone. Errors are found again, and reported, by `drive`.
    fn write_now(&self, pieces: &[Piece<'_>]) -> (usize, usize) {
        let mut first = 0;
        let mut offset = 0;
        if let [piece] = pieces {
            // One slice needs no `writev`; as below, past tokio.
            let slice = piece.as_slice();
            let Ok(written) = self.stream.send(slice) else { return (0, 0) };
            self.sent_bytes.set(self.sent_bytes.get() + written as u64);
            return if written == slice.len() { (1, 0) } else { (0, written) };
        }
        let length: usize = pieces.iter().map(|piece| piece.as_slice().len()).sum();
        if pieces.len() > 1 && length <= COPIED {
            let mut copy = SmallVec::<[u8; COPIED]>::new();
            pieces.iter().for_each(|piece| copy.extend_from_slice(piece.as_slice()));
            let Ok(mut written) = self.stream.send(&copy) else { return (0, 0) };
            self.sent_bytes.set(self.sent_bytes.get() + written as u64);
            while first < pieces.len() && written >= pieces[first].as_slice().len() {
                written -= pieces[first].as_slice().len();
                first += 1;
            }
            return (first, written);
        }
        while first < pieces.len() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut total = 0;
            let mut used = 0;
            for (slot, piece) in slices.iter_mut().zip(&pieces[first..]) {
                let bytes = &piece.as_slice()[if used == 0 { offset } else { 0 }..];
                *slot = IoSlice::new(bytes);
                total += bytes.len();
                used += 1;
            }
            let Ok(mut written) = self.stream.try_write_vectored(&slices[..used]) else { break };
            self.sent_bytes.set(self.sent_bytes.get() + written as u64);
            let short = written < total;
            while first < pieces.len() {
                let left = pieces[first].as_slice().len() - offset;
                if written < left {
                    offset += written;
                    break;
                }
                written -= left;
                first += 1;
                offset = 0;
            }
            if short {
                break;
            }
        }
        (first, offset)
    }

    fn write_queue(&self) -> io::Result<()> {
        self.stream.flush()?;
        let mut queue = self.queue.borrow_mut();
        while !queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut used = 0;
            for (slot, queued) in slices.iter_mut().zip(queue.iter()) {
                *slot = IoSlice::new(queued.as_slice());
                used += 1;
            }
            let mut written = match self.stream.try_write_vectored(&slices[..used]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.sent_bytes.set(self.sent_bytes.get() + written as u64);
            self.queued_bytes.set(self.queued_bytes.get() - written);
            while written > 0
                && let Some(front) = queue.front_mut()
            {
                let len = front.as_slice().len();
                if written < len {
                    front.advance(written);
                    break;
                }
                written -= len;
                queue.pop_front();
            }
        }
        if !self.stream.has_pending()
            && let Some(waker) = self.idle.borrow_mut().take()
        {
            waker.wake();
        }
        // A burst leaves its room behind; an idle viewer should not pay for it.
        if queue.capacity() > 256 {
            queue.shrink_to(16);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::rc::Rc;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Transport, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        (Transport::new(near), far)
    }

    #[actix::test]
    async fn bytes_leave_in_order_through_a_full_socket() {
        fill_and_drain(200, 50_000).await;
    }

    #[actix::test]
    async fn copied_messages_leave_in_order_through_a_full_socket() {
        fill_and_drain(10_000, 1_000).await;
    }

    async fn fill_and_drain(rounds: u32, length: usize) {
        let (near, mut far) = pair().await;
        let near = Rc::new(near);
        let mut sent = Vec::new();
        for round in 0..rounds {
            let header = Inline::new(&round.to_be_bytes());
            let payload = Bytes::from(vec![round as u8; length]);
            sent.extend_from_slice(&round.to_be_bytes());
            sent.extend_from_slice(&payload);
            let end = payload.len();
            let part = Piece::Part { bytes: &payload, start: 0, end };
            near.send(&[Piece::Header(header), part]);
        }
        assert!(near.queued_bytes() > 0, "the socket was full");
        let driver = near.clone();
        let task = actix::spawn(async move { driver.drive().await });
        let mut got = vec![0; sent.len()];
        far.read_exact(&mut got).await.unwrap();
        assert!(got == sent);
        assert_eq!((near.queued_bytes(), near.waited_ms()), (0, 0));
        assert_eq!(near.sent_bytes(), sent.len() as u64);
        task.abort();
    }

    #[actix::test]
    async fn a_paused_reader_leaves_bytes_in_the_socket() {
        let (near, far) = pair().await;
        far.writable().await.unwrap();
        far.try_write(b"abc").unwrap();
        near.readable().await.unwrap();
        near.pause_reading(true);
        {
            let readable = near.readable();
            tokio::pin!(readable);
            let pending = poll_fn(|cx| Poll::Ready(readable.as_mut().poll(cx).is_pending())).await;
            assert!(pending);
            near.pause_reading(false);
            readable.await.unwrap();
        }
        let mut buffer = [0; 8];
        assert_eq!(near.try_read(&mut buffer).unwrap(), Some(3));
        assert_eq!(near.try_read(&mut buffer).unwrap(), None);
    }

    #[actix::test]
    async fn a_peer_that_is_gone_ends_the_driver_with_its_error() {
        let (near, far) = pair().await;
        drop(far);
        let big = Bytes::from(vec![0; 64 << 20]);
        near.send_bytes(big);
        let error = near.drive().await;
        assert!(near.is_broken(), "{error}");
        assert_eq!(near.queued_bytes(), 0);
    }
}
