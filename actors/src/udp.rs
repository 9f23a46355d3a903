//! A UDP socket that reads and writes in batches.
//!
//! Several arbiters share one port: each has a duplicate of the socket. The endpoint's reads all
//! datagrams, every worker's writes those of its own sessions.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Bytes that one call of the kernel may take: the largest UDP payload.
const MAX_BATCH: usize = 65_000;

/// Room for one received batch of one source: datagrams that the kernel joined (GRO).
const RECEIVE_BUFFER: usize = 65_535;

/// Bytes of the socket's buffers that are asked for: 40 viewers of one key frame are one burst of
/// a megabyte.
const SOCKET_BUFFER: usize = 4 << 20;

/// Opens a port for both families where the address is the unspecified one of IPv4 and the system
/// has IPv6; elsewhere exactly the address. Without a size of its buffers, [`SOCKET_BUFFER`].
pub(crate) fn bind(address: SocketAddr, buffer: Option<usize>) -> io::Result<std::net::UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = |address: SocketAddr| -> io::Result<std::net::UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // Smaller buffers than asked for still work.
        let buffer = buffer.unwrap_or(SOCKET_BUFFER);
        let _ = socket.set_recv_buffer_size(buffer);
        let _ = socket.set_send_buffer_size(buffer);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(std::net::UdpSocket::from(socket))
    };
    if address.ip() == IpAddr::from([0, 0, 0, 0]) {
        let both = SocketAddr::new(IpAddr::from([0u16; 8]), address.port());
        match open(both) {
            // Without IPv6 in the system the other one remains.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    open(address)
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
    out: RefCell<Batch>,
    sent_bytes: Cell<u64>,
    /// Datagrams the kernel had no room for: lost as if on the way, and repeated as such.
    dropped: Cell<u64>,
}

/// Datagrams of one size for one address, which the kernel takes in one call (GSO).
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    segment: usize,
    count: usize,
    to: Option<(SocketAddr, Option<IpAddr>)>,
    /// A shorter datagram ends a batch.
    closed: bool,
}

impl Udp {
    /// Takes a duplicate of the socket onto the present arbiter.
    pub(crate) fn new(socket: &std::net::UdpSocket) -> io::Result<Self> {
        let socket = socket.try_clone()?;
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        let socket = UdpSocket::from_std(socket)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
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

    /// Waits until there is something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Queues one datagram; [`flush`](Self::flush) sends what is left.
    pub(crate) fn send(&self, to: SocketAddr, from: Option<IpAddr>, datagram: &[u8]) {
        let mut batch = self.out.borrow_mut();
        let segments = self.state.max_gso_segments();
        if batch.count > 0
            && (batch.to != Some((to, from))
                || batch.closed
                || datagram.len() > batch.segment
                || batch.count >= segments
                || batch.bytes.len() + datagram.len() > MAX_BATCH)
        {
            self.write(&mut batch);
        }
        if batch.count == 0 {
            batch.to = Some((to, from));
            batch.segment = datagram.len();
        }
        batch.closed = datagram.len() < batch.segment;
        batch.bytes.extend_from_slice(datagram);
        batch.count += 1;
    }

    /// Sends what waits.
    pub(crate) fn flush(&self) {
        let mut batch = self.out.borrow_mut();
        if batch.count > 0 {
            self.write(&mut batch);
        }
    }

    fn write(&self, batch: &mut Batch) {
        let Some((to, from)) = batch.to.take() else { return };
        let transmit = Transmit {
            destination: self.mapped(to),
            ecn: None,
            contents: &batch.bytes,
            segment_size: (batch.count > 1).then_some(batch.segment),
            src_ip: from,
        };
        // Past tokio's readiness: nobody waits for room, what finds none is lost.
        let sent = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        match sent {
            Ok(()) => self.sent_bytes.set(self.sent_bytes.get() + batch.bytes.len() as u64),
            // Full buffers and unreachable hosts alike: lost, as datagrams may be.
            Err(_) => self.dropped.set(self.dropped.get() + batch.count as u64),
        }
        batch.bytes.clear();
        batch.count = 0;
        batch.closed = false;
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
    /// to; `false` when nothing is there.
    pub(crate) fn receive(
        &self,
        buffers: &mut ReceiveBuffers,
        mut take: impl FnMut(SocketAddr, Option<IpAddr>, &mut [u8]),
    ) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = {
            let mut slices: Vec<_> =
                buffers.0.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            let result = self.socket.try_io(Interest::READABLE, || {
                self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
            });
            match result {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // An ICMP answer to something sent before: not a fault of this socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
                Err(error) => return Err(error),
            }
        };
        for (meta, buffer) in metas.iter().zip(&mut buffers.0).take(received) {
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            if meta.len == 0 {
                take(from, meta.dst_ip, &mut []);
            }
            for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                take(from, meta.dst_ip, datagram);
            }
        }
        Ok(true)
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

    /// No buffers, in place of ones that are in use.
    pub(crate) fn empty() -> Self {
        Self(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn datagrams_of_all_sizes_arrive_whole_and_in_order_through_batches() {
        let near = bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let far = bind("0.0.0.0:0".parse().unwrap(), None).unwrap();
        let to = SocketAddr::new([127, 0, 0, 1].into(), far.local_addr().unwrap().port());
        let (near, far) = (Udp::new(&near).unwrap(), Udp::new(&far).unwrap());
        let sizes = [100, 100, 100, 40, 1_200, 1_200, 7, 0, 1_200, 1_300];
        for (index, size) in sizes.into_iter().enumerate() {
            near.send(to, None, &vec![index as u8; size]);
        }
        near.flush();
        let mut got = Vec::new();
        let mut buffers = ReceiveBuffers::new();
        while got.len() < sizes.len() {
            far.readable().await.unwrap();
            far.receive(&mut buffers, |from, _, datagram| {
                assert!(from.is_ipv4(), "{from}");
                got.push((datagram.first().copied(), datagram.len()));
            })
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
}
