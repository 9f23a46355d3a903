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
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[actix::test]
    async fn datagrams_of_all_sizes_arrive_whole_and_in_order_through_batches() {
        let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
        let far = bind("0.0.0.0:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
        let to = SocketAddr::new([127, 0, 0, 1].into(), far.local_addr().unwrap().port());
        let (near, far) = (Udp::new(near).unwrap(), Udp::new(far).unwrap());
        let sizes = [100, 100, 100, 40, 1_200, 1_200, 7, 0, 1_200, 1_300];
        for (index, size) in sizes.into_iter().enumerate() {
            near.send(to, None, &vec![index as u8; size]);
        }
        near.flush();
        let mut got = Vec::new();
        let mut buffers = ReceiveBuffers::new();
        while got.len() < sizes.len() {
            far.readable().await.unwrap();
            far.receive(
                &mut buffers,
                |_| {},
                |from, _, datagram| {
                    assert!(from.is_ipv4(), "{from}");
                    got.push((datagram.first().copied(), datagram.len()));
                },
            )
            .unwrap();
        }
        let sent: Vec<_> = sizes
            .into_iter()
            .enumerate()
            .map(|(index, size)| ((size > 0).then_some(index as u8), size))
            .collect();
        assert_eq!(got, sent);
        assert_eq!(near.take_dropped(), 0);
    }

    #[actix::test]
    async fn one_batch_reaches_many_and_one_that_cannot_be_sent_costs_no_other() {
        let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
        let near = Udp::new(near).unwrap();
        let far: Vec<_> = (0..2 * MAX_ADDRESSES + 3)
            .map(|_| bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main)
            .map(|socket| (socket.local_addr().unwrap(), Udp::new(socket).unwrap()))
            .collect();
        let nowhere = "127.0.0.1:0".parse().unwrap();
        for (index, (to, _)) in far.iter().enumerate() {
            for length in [300, 300, index, 1_200] {
                near.send(*to, None, &vec![index as u8; length]);
            }
            if index == 5 {
                near.send(nowhere, None, b"lost");
            }
        }
        near.flush();
        assert_eq!(near.take_dropped(), 1);
        let mut buffers = ReceiveBuffers::new();
        for (index, (_, udp)) in far.iter().enumerate() {
            let mut got = Vec::new();
            while got.len() < 4 {
                udp.readable().await.unwrap();
                udp.receive(
                    &mut buffers,
                    |_| {},
                    |_, _, datagram| {
                        assert!(datagram.iter().all(|byte| *byte == index as u8));
                        got.push(datagram.len());
                    },
                )
                .unwrap();
            }
            assert_eq!(got, [300, 300, index, 1_200]);
        }
    }

    #[actix::test]
    async fn what_the_kernel_does_not_cut_is_sent_one_by_one() {
        let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
        let near = Udp::new(near).unwrap();
        let far = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
        let (to, far) = (far.local_addr().unwrap(), Udp::new(far).unwrap());
        // More than the kernel cuts at a time: it says EINVAL, as for what it never cuts.
        near.segments.set(usize::MAX);
        let count = 300;
        (0..count).for_each(|_| near.send(to, None, &[7; 20]));
        near.flush();
        assert_eq!((near.segments.get(), near.take_dropped()), (1, 0));
        let mut buffers = ReceiveBuffers::new();
        let mut got = 0;
        while got < count {
            far.readable().await.unwrap();
            far.receive(
                &mut buffers,
                |_| {},
                |_, _, datagram| {
                    assert_eq!(datagram, [7; 20]);
                    got += 1;
                },
            )
            .unwrap();
        }
    }

    #[actix::test]
    async fn a_watched_socket_is_told_of_again_until_all_was_read_and_of_each_later_datagram() {
        let near = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
        let far = bind("127.0.0.1:0".parse().unwrap(), None, 1).unwrap().remove(0).main;
        let to = far.local_addr().unwrap();
        let (near, far) = (Udp::new(near).unwrap(), Udp::new(far).unwrap());
        let watch = far.watch().unwrap();
        let mut buffers = ReceiveBuffers::new();
        let mut read = || {
            let mut count = 0;
            let is_more = far.receive(&mut buffers, |_| {}, |_, _, _| count += 1).unwrap();
            (is_more, count)
        };
        // More than one batch: what is left must not be forgotten.
        const COUNT: usize = BATCH_SIZE + 5;
        near.segments.set(1);
        (0..COUNT).for_each(|_| near.send(to, None, b"one of many"));
        near.flush();
        for expected in [(true, BATCH_SIZE), (false, COUNT - BATCH_SIZE)] {
            let mut ready = watch.readable().await.unwrap();
            assert_eq!(read(), expected);
            if !expected.0 {
                ready.clear_ready();
            }
        }
        for _ in 0..3 {
            assert!(watch.readable().now_or_never().is_none(), "all was read");
            near.send(to, None, b"one more");
            near.flush();
            let mut ready = watch.readable().await.unwrap();
            assert_eq!(read(), (false, 1));
            ready.clear_ready();
        }
    }

    /// A datagram for a session: its ID, scrambled with words of which `salt` is a part.
    fn for_session(id: u32, salt: u32, length: usize) -> Vec<u8> {
        let mut datagram = vec![0; length];
        let (a, b) = (0x1234_5678_u32 ^ salt, 0x9abc_def0_u32 ^ id.rotate_left(7));
        for (word, value) in [id ^ a ^ b, a, b].into_iter().enumerate() {
            datagram[4 * word..][..4].copy_from_slice(&value.to_be_bytes());
        }
        assert_eq!(ramona_rtmfp::session_of(&datagram).map_or(0, |id| id.0), id);
        datagram
    }

    /// Reads so many datagrams, and all that are there: their session IDs and lengths.
    async fn read(socket: UdpSocket, expected: usize) -> Vec<(u32, usize)> {
        let udp = Udp::new(socket).unwrap();
        let mut buffers = ReceiveBuffers::new();
        let mut got = Vec::new();
        loop {
            let take = |_, _, datagram: &mut [u8]| {
                let id = ramona_rtmfp::session_of(datagram).map_or(0, |id| id.0);
                got.push((id, datagram.len()));
            };
            let is_more = udp.receive(&mut buffers, |_| {}, take).unwrap();
            match is_more {
                true => {}
                false if got.len() < expected => udp.readable().await.unwrap(),
                false => return got,
            }
        }
    }

    #[actix::test]
    async fn readers_of_one_port_get_the_datagrams_of_their_sessions_and_the_small_ones_apart() {
        const READERS: u32 = 3;
        let shares = bind("127.0.0.1:0".parse().unwrap(), None, READERS as usize).unwrap();
        let at = shares[0].main.local_addr().unwrap();
        let sources: Vec<_> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let ids = [1, 2, 3, 4, 700_000_001, u32::MAX, u32::MAX - 1, 0x8000_0000];
        let lengths = [20, 36, 52, 68, 1_220];
        let is_small = |id, length| match id & ramona_rtmfp::SessionId::AUTHENTICATED {
            0 => length <= 36,
            _ => length <= 52,
        };
        for source in &sources {
            for id in ids {
                for length in lengths {
                    source.send_to(&for_session(id, 0, length), at).unwrap();
                }
            }
        }
        for (index, shares) in shares.into_iter().enumerate() {
            for (small, socket) in [(false, shares.main), (true, shares.small.unwrap())] {
                let own = ids.iter().filter(|id| *id % READERS == index as u32);
                let mut expected: Vec<_> = own
                    .flat_map(|id| lengths.map(|length| (*id, length)))
                    .filter(|(id, length)| is_small(*id, *length) == small)
                    .flat_map(|one| [one; 4])
                    .collect();
                let mut got = read(socket, expected.len()).await;
                expected.sort_unstable();
                got.sort_unstable();
                assert_eq!(got, expected, "reader {index}, small: {small}");
            }
        }
    }

    #[actix::test]
    async fn readers_of_one_port_share_what_is_outside_sessions_and_no_stranger_joins_them() {
        let shares = bind("127.0.0.1:0".parse().unwrap(), None, 2).unwrap();
        let at = shares[0].main.local_addr().unwrap();
        let error = bind(at, None, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let source = UdpSocket::bind("127.0.0.1:0").unwrap();
        for salt in 0..64 {
            source.send_to(&for_session(0, salt, 36), at).unwrap();
        }
        for shares in shares {
            assert_eq!(read(shares.main, 32).await.len(), 32);
            assert!(read(shares.small.unwrap(), 0).await.is_empty());
        }
    }
}
