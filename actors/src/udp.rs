//! A UDP socket that reads and writes in batches.
//!
//! Several threads share one port: each worker has two sockets of its own, and the kernel gives them
//! the datagrams of its sessions, small ones apart ([`SMALL`]). Who reads has a socket in its event
//! loop only to read ([`Watch`]): one that waits for room too wakes its thread for each datagram that
//! has left.

mod sys;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

pub(crate) use quinn_udp::BATCH_SIZE;
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tracing::{info, warn};

use sys::{Headers, Message, Small};

/// Bytes for one address that the kernel cuts into datagrams: the largest UDP payload.
const MAX_SEGMENTED: usize = 65_000;

/// What waits for one call of the kernel: addresses, and bytes of all. A frame of 4 kB for 40 viewers
/// is one call. Much more would leave the second level cache before the kernel copies it.
const MAX_ADDRESSES: usize = 64;
const MAX_BATCH: usize = 256 << 10;

/// Room for one received batch of one source: datagrams that the kernel joined (GRO).
const RECEIVE_BUFFER: usize = 65_535;

/// Bytes of the socket's buffers that are asked for: 40 viewers of one key frame are one burst of
/// a megabyte.
const SOCKET_BUFFER: usize = 4 << 20;

/// One reader's share of a port.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Brings everything, or all that is not for `small`.
    pub(crate) main: UdpSocket,
    /// Brings [`SMALL`] datagrams of sessions.
    pub(crate) small: Option<UdpSocket>,
}

/// Datagrams of sessions of at most so many bytes are read from a socket of their own: there is room
/// for acknowledgements of two flows or a ping in them (32 bytes), and for hardly anything else: the
/// shortest command has more.
pub(crate) const SMALL: Small = Small { plain: 36, authenticated: 52 };

/// Opens a port for both families where the address is the unspecified one of IPv4 and the system
/// has IPv6; elsewhere exactly the address. Without a size of its buffers, [`SOCKET_BUFFER`]. As many
/// readers as asked for share it: a datagram is read by the one whose index is the remainder of its
/// session's ID, and those outside sessions by any.
pub(crate) fn bind(
    address: SocketAddr,
    buffer: Option<usize>,
    readers: usize,
) -> io::Result<Vec<Shares>> {
    let first = bind_first(address, buffer)?;
    // Only now: a port that another program has is an error, if it shares it or not.
    SockRef::from(&first).set_reuse_port(true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..2 * readers {
        all.push(open(address, buffer, true)?);
    }
    let mut small: Vec<_> = all.drain(readers..).map(Some).collect();
    if let Err(error) = sys::steer(all[0].as_fd(), readers as u32, SMALL) {
        warn!(%error, "RTMFP datagrams are not read by the threads of their sessions");
        small.fill_with(|| None);
    }
    let shares = |(main, small)| Shares { main, small };
    Ok(all.into_iter().zip(small).map(shares).collect())
}

fn bind_first(address: SocketAddr, buffer: Option<usize>) -> io::Result<UdpSocket> {
    if address.ip() == IpAddr::from([0, 0, 0, 0]) {
        let both = SocketAddr::new(IpAddr::from([0u16; 8]), address.port());
        match open(both, buffer, false) {
            // Without IPv6 in the system the other one remains.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    open(address, buffer, false)
}

fn open(address: SocketAddr, buffer: Option<usize>, shares: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Smaller buffers than asked for still work.
    let buffer = buffer.unwrap_or(SOCKET_BUFFER);
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    socket.set_nonblocking(true)?;
    if shares {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(UdpSocket::from(socket))
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
    out: RefCell<Batch>,
    /// Datagrams for one address that the kernel takes together (GSO).
    segments: Cell<usize>,
    sent_bytes: Cell<u64>,
    /// Datagrams the kernel had no room for: lost as if on the way, and repeated as such.
    dropped: Cell<u64>,
}

/// Datagrams that leave with one call of the kernel: a system call for each address costs more than
/// its entry. The receiver may be woken by it and run at once on this processor, and the code of the
/// kernel takes the place of ours in the caches.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    headers: Headers,
}

impl Udp {
    /// For the present thread.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        sys::tell_less(socket.as_fd());
        Ok(Self {
            segments: Cell::new(state.max_gso_segments()),
            socket,
            state,
            is_ipv6,
            out: RefCell::default(),
            sent_bytes: Cell::new(0),
            dropped: Cell::new(0),
        })
    }

    /// Datagrams that the kernel did not take since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.take()
    }

    /// Adds the socket to the event loop of this thread. As long as it is there, each datagram ends
    /// the thread's sleep.
    pub(crate) fn watch(&self) -> io::Result<Watch<'_>> {
        // Not a socket of tokio, which waits for room to write too. The borrow keeps the descriptor
        // open as long as it is registered, which is what the constructor's successor wants in
        // `unsafe`.
        #[expect(deprecated, reason = "its successor is unsafe")]
        AsyncFd::with_interest(self.socket.as_fd(), Interest::READABLE).map(Watch)
    }

    /// Waits until there is something to read; only meanwhile the socket is in the event loop.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.watch()?.0.readable().await?.retain_ready();
        Ok(())
    }

    /// Queues one datagram; [`flush`](Self::flush) sends what is left.
    pub(crate) fn send(&self, to: SocketAddr, from: Option<IpAddr>, datagram: &[u8]) {
        let to = self.mapped(to);
        let mut batch = self.out.borrow_mut();
        let is_full = batch.bytes.len() + datagram.len() > MAX_BATCH;
        let segments = self.segments.get();
        match batch.messages.last_mut() {
            Some(last) if !is_full && last.takes(to, from, datagram.len(), segments) => {
                last.length += datagram.len();
                last.count += 1;
            }
            last => {
                if is_full && last.is_some() || batch.messages.len() == MAX_ADDRESSES {
                    self.write(&mut batch);
                }
                let length = datagram.len();
                batch.messages.push(Message { to, from, length, segment: length, count: 1 });
            }
        }
        batch.bytes.extend_from_slice(datagram);
    }

    /// Sends what waits.
    pub(crate) fn flush(&self) {
        let mut batch = self.out.borrow_mut();
        if !batch.messages.is_empty() {
            self.write(&mut batch);
        }
    }

    /// Sends a batch. Nobody waits for room: what finds none is lost, and so is what is for an
    /// unreachable host, as datagrams may be.
    fn write(&self, batch: &mut Batch) {
        let Batch { bytes, messages, headers } = batch;
        let (mut first, mut offset) = (0, 0);
        while first < messages.len() {
            match headers.send(self.socket.as_fd(), &bytes[offset..], &messages[first..]) {
                Ok(sent) => {
                    let sent = &messages[first..][..sent];
                    let length: usize = sent.iter().map(|message| message.length).sum();
                    self.sent_bytes.set(self.sent_bytes.get() + length as u64);
                    offset += length;
                    first += sent.len();
                }
                // Some interfaces cannot cut, and it shows only here.
                Err(error) if messages[first].count > 1 && cannot_cut(&error) => {
                    info!(%error, "datagrams are no longer cut by the kernel");
                    self.segments.set(1);
                    let whole = messages.split_off(first);
                    messages.extend(whole.iter().flat_map(Message::cut));
                }
                Err(_) => {
                    self.dropped.set(self.dropped.get() + messages[first].count as u64);
                    offset += messages[first].length;
                    first += 1;
                }
            }
        }
        bytes.clear();
        messages.clear();
    }

    /// A socket of both families wants IPv4 addresses as mapped ones.
    fn mapped(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
            }
            _ => to,
        }
    }

    /// Reads one batch and hands over each datagram with its source and the address it was sent
    /// to; `false` when nothing more is there. Before that, `ahead` sees the first datagram of each
    /// source.
    pub(crate) fn receive(
        &self,
        buffers: &mut ReceiveBuffers,
        ahead: impl FnOnce(&mut dyn Iterator<Item = &[u8]>),
        mut take: impl FnMut(SocketAddr, Option<IpAddr>, &mut [u8]),
    ) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = {
            let mut slices: Vec<_> =
                buffers.0.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // An ICMP answer to something sent before: not a fault of this socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
                Err(error) => return Err(error),
            }
        };
        let batches = metas.iter().zip(&buffers.0).take(received);
        ahead(&mut batches.map(|(meta, buffer)| &buffer[..meta.stride.min(meta.len)]));
        for (meta, buffer) in metas.iter().zip(&mut buffers.0).take(received) {
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            if meta.len == 0 {
                take(from, meta.dst_ip, &mut []);
            }
            for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                take(from, meta.dst_ip, datagram);
            }
        }
        // Fewer than fit were all there were.
        Ok(received == BATCH_SIZE)
    }
}

/// How the kernel says that it cannot cut what it was given.
fn cannot_cut(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL))
}

impl Message {
    /// Whether the kernel would cut it right with one more datagram behind it.
    fn takes(&self, to: SocketAddr, from: Option<IpAddr>, length: usize, segments: usize) -> bool {
        // A shorter datagram is the last, and an empty one is its own message.
        let is_open = self.length == self.segment * self.count;
        (self.to, self.from) == (to, from)
            && is_open
            && (1..=self.segment).contains(&length)
            && self.count < segments
            && self.length + length <= MAX_SEGMENTED
    }

    /// Its datagrams, one by one.
    fn cut(&self) -> impl Iterator<Item = Self> + use<> {
        let whole = *self;
        (0..whole.count).map(move |index| {
            let length = whole.segment.min(whole.length - index * whole.segment);
            Self { length, segment: length, count: 1, ..whole }
        })
    }
}

/// A socket in the event loop.
pub(crate) struct Watch<'a>(AsyncFd<BorrowedFd<'a>>);

impl Watch<'_> {
    /// Waits until there is something to read. Whoever has read all of it says so to the guard
    /// (`clear_ready`), and only then: the kernel tells once.
    pub(crate) async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, BorrowedFd<'_>>> {
        self.0.readable().await
    }
}

/// Buffers of [`Udp::receive`], used again for each batch.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers(Vec<Box<[u8]>>);

impl ReceiveBuffers {
    /// Buffers for one batch.
    pub(crate) fn new() -> Self {
        Self((0..BATCH_SIZE).map(|_| vec![0; RECEIVE_BUFFER].into()).collect())
    }
}

#[cfg(test)]
mod tests;
