//! Sockets of scripts (4.13): TCP clients and servers, UDP.
//!
//! They live on the script bridge's thread, one task for each, for all that they read is for the
//! script: a task hands over what it read and reads on when the handler is done, so that a slow
//! script slows its own peers down and nothing piles up. What a script sends waits in a bounded
//! queue; nothing here blocks.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use ramona_script::{SocketEvent, SocketId};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::blacklist::Blacklist;
use crate::metrics::Metrics;
use crate::services::Ids;
use crate::socket_options::prepare;

/// Sockets of all scripts together.
const MAX_SOCKETS: usize = 1_024;

/// Those among them that servers accepted: strangers leave room for what scripts open themselves.
const MAX_ACCEPTED: usize = MAX_SOCKETS - 64;

/// Bytes that may wait to be sent on one TCP socket, [`EACH`] for each message among them.
const SEND_BACKLOG: usize = 8 << 20;

/// What a message costs beside its bytes: a script may send them one by one.
const EACH: usize = 64;

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;

/// Largest UDP datagram.
const MAX_DATAGRAM: usize = 65_535;

/// A connection that is not there by then failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What waits when a script disconnects is sent for this long.
const LINGER: Duration = Duration::from_secs(2);

/// After a failed accept: others must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After a failed receive: one that fails for ever must not take the thread.
const RECEIVE_PAUSE: Duration = Duration::from_millis(1);

/// An event on its way to the script; the answer says that its handler is done.
#[derive(Debug)]
pub(crate) struct SocketNews(pub(crate) SocketEvent);

impl Message for SocketNews {
    type Result = ();
}

/// All sockets of a node's scripts.
pub(super) struct Sockets {
    ids: Arc<Ids>,
    blacklist: Arc<Blacklist>,
    metrics: Arc<Metrics>,
    news: RefCell<Option<Recipient<SocketNews>>>,
    open: RefCell<HashMap<SocketId, Open>>,
}

/// The socket itself is here alone, so that its port is free when the script closes it, and a
/// script may open it again in the same handler: an aborted task ends at its next turn only.
enum Open {
    Tcp(Rc<Out>),
    Listener { _socket: Rc<TcpListener>, task: JoinHandle<()> },
    Udp(Rc<Udp>, JoinHandle<()>),
}

/// What waits to be sent on one TCP socket.
#[derive(Default)]
struct Out {
    queue: RefCell<VecDeque<Bytes>>,
    queued: Cell<usize>,
    wake: Notify,
    /// The script disconnected.
    closing: Cell<bool>,
    closed: Notify,
}

struct Udp {
    socket: UdpSocket,
    /// Whom it is connected to.
    peer: Cell<Option<SocketAddr>>,
}

impl Sockets {
    pub(super) fn new(ids: Arc<Ids>, blacklist: Arc<Blacklist>, metrics: Arc<Metrics>) -> Rc<Self> {
        let (news, open) = (RefCell::default(), RefCell::default());
        Rc::new(Self { ids, blacklist, metrics, news, open })
    }

    /// Where events go; nothing can be opened before.
    pub(super) fn tell(&self, news: Recipient<SocketNews>) {
        *self.news.borrow_mut() = Some(news);
    }

    fn place(&self, most: usize) -> Result<(SocketId, Recipient<SocketNews>), String> {
        if self.open.borrow().len() >= most {
            // One line, then the counter.
            if self.metrics.script.sockets_refused.fetch_add(1, Relaxed) == 0 {
                warn!(limit = most, "scripts have as many sockets as they may");
            }
            return Err(format!("{most} sockets are open, no more are allowed"));
        }
        let news = self.news.borrow().clone().ok_or("the node is starting")?;
        Ok((self.ids.socket(), news))
    }

    pub(super) fn connect(self: &Rc<Self>, to: SocketAddr) -> Result<SocketId, String> {
        let (id, news) = self.place(MAX_SOCKETS)?;
        let out = Rc::<Out>::default();
        self.open.borrow_mut().insert(id, Open::Tcp(out.clone()));
        let sockets = self.clone();
        actix_rt::spawn(async move {
            let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(to));
            let closed = out.closed.notified();
            let result = match select(Box::pin(connecting), Box::pin(closed)).await {
                Either::Left((Ok(Ok(stream)), _)) => {
                    let own = stream.local_addr().unwrap_or(to);
                    let event = SocketEvent::Connected { id, own, peer: to };
                    serve(id, stream, &out, &news, event).await
                }
                Either::Left((Ok(Err(error)), _)) => Err(error),
                Either::Left((Err(_), _)) => Err(io::ErrorKind::TimedOut.into()),
                Either::Right(_) => Ok(()),
            };
            sockets.ended(id, result, &news).await;
        });
        Ok(id)
    }

    async fn ended(&self, id: SocketId, result: io::Result<()>, news: &Recipient<SocketNews>) {
        self.open.borrow_mut().remove(&id);
        let error = result.err().map(|error| error.to_string());
        // The bridge is gone at the end of the node.
        let _ = news.send(SocketNews(SocketEvent::Closed { id, error })).await;
    }

    pub(super) fn listen(
        self: &Rc<Self>,
        on: SocketAddr,
    ) -> Result<(SocketId, SocketAddr), String> {
        let (server, news) = self.place(MAX_SOCKETS)?;
        let listener = listener(on).map_err(|error| format!("{on}: {error}"))?;
        let own = listener.local_addr().unwrap_or(on);
        let listener = Rc::new(listener);
        let (sockets, acceptor) = (self.clone(), Rc::downgrade(&listener));
        let task = actix_rt::spawn(async move {
            loop {
                let next = poll_fn(|cx| match acceptor.upgrade() {
                    Some(listener) => listener.poll_accept(cx),
                    None => Poll::Pending,
                });
                match next.await {
                    Ok((stream, peer)) => sockets.accepted(server, stream, peer, &news).await,
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        });
        self.open.borrow_mut().insert(server, Open::Listener { _socket: listener, task });
        Ok((server, own))
    }

    /// One at a time: the next is accepted when the script knows this one.
    async fn accepted(
        self: &Rc<Self>,
        server: SocketId,
        stream: TcpStream,
        peer: SocketAddr,
        news: &Recipient<SocketNews>,
    ) {
        if self.blacklist.refuses(peer.ip(), "of a script") {
            return;
        }
        let Ok((id, _)) = self.place(MAX_ACCEPTED) else { return };
        let out = Rc::<Out>::default();
        self.open.borrow_mut().insert(id, Open::Tcp(out.clone()));
        let own = stream.local_addr().unwrap_or(peer);
        let event = SocketEvent::Accepted { server, id, own, peer };
        let (told, known) = tokio::sync::oneshot::channel();
        let (sockets, news) = (self.clone(), news.clone());
        actix_rt::spawn(async move {
            let _ = news.send(SocketNews(event)).await;
            // The server may have been closed meanwhile.
            let _ = told.send(());
            let result = carry(id, stream, &out, &news).await;
            sockets.ended(id, result, &news).await;
        });
        let _ = known.await;
    }

    pub(super) fn bind(
        self: &Rc<Self>,
        on: SocketAddr,
        broadcast: bool,
    ) -> Result<(SocketId, SocketAddr), String> {
        let (id, news) = self.place(MAX_SOCKETS)?;
        let open = || -> io::Result<UdpSocket> {
            let socket = std::net::UdpSocket::bind(on)?;
            socket.set_nonblocking(true)?;
            socket.set_broadcast(broadcast)?;
            UdpSocket::from_std(socket)
        };
        let socket = open().map_err(|error| format!("{on}: {error}"))?;
        let own = socket.local_addr().unwrap_or(on);
        let udp = Rc::new(Udp { socket, peer: Cell::new(None) });
        let (reader, blacklist) = (Rc::downgrade(&udp), self.blacklist.clone());
        let task = actix_rt::spawn(async move {
            let mut buffer = vec![0; MAX_DATAGRAM];
            loop {
                // What came, from whom, and the only one whom the socket hears.
                let next = poll_fn(|cx| match reader.upgrade() {
                    Some(udp) => {
                        let mut read = ReadBuf::new(&mut buffer);
                        let from = udp.socket.poll_recv_from(cx, &mut read);
                        from.map_ok(|from| (read.filled().len(), from, udp.peer.get()))
                    }
                    None => Poll::Pending,
                });
                // Errors of datagrams that were sent come here: they end nothing.
                let Ok((length, from, peer)) = next.await else {
                    tokio::time::sleep(RECEIVE_PAUSE).await;
                    continue;
                };
                if peer.is_some_and(|peer| peer != from) || blacklist.blocks(from.ip()) {
                    continue;
                }
                let data = Bytes::copy_from_slice(&buffer[..length]);
                if news.send(SocketNews(SocketEvent::Packet { id, data, from })).await.is_err() {
                    break;
                }
            }
        });
        self.open.borrow_mut().insert(id, Open::Udp(udp, task));
        Ok((id, own))
    }

    pub(super) fn connect_udp(&self, id: SocketId, to: Option<SocketAddr>) -> Result<(), String> {
        match self.open.borrow().get(&id) {
            Some(Open::Udp(udp, _)) => {
                udp.peer.set(to);
                Ok(())
            }
            _ => Err("no such socket".to_owned()),
        }
    }

    pub(super) fn send(
        &self,
        id: SocketId,
        data: Bytes,
        to: Option<SocketAddr>,
    ) -> Result<(), String> {
        match self.open.borrow().get(&id) {
            Some(Open::Tcp(out)) if !out.closing.get() => {
                if data.is_empty() {
                    return Ok(());
                }
                let queued = out.queued.get() + data.len() + EACH;
                if queued > SEND_BACKLOG {
                    self.metrics.script.sockets_refused.fetch_add(1, Relaxed);
                    return Err(format!("send queue is full, {SEND_BACKLOG} bytes wait at most"));
                }
                out.queued.set(queued);
                out.queue.borrow_mut().push_back(data);
                out.wake.notify_one();
                Ok(())
            }
            Some(Open::Udp(udp, _)) => {
                let to = to.or(udp.peer.get()).ok_or("an address is needed")?;
                let sent = SockRef::from(&udp.socket).send_to(&data, &to.into());
                sent.map(|_| ()).map_err(|error| error.to_string())
            }
            _ => Err("not connected".to_owned()),
        }
    }

    pub(super) fn close(&self, id: SocketId) {
        let mut open = self.open.borrow_mut();
        match open.get(&id) {
            Some(Open::Tcp(out)) => {
                // The task sends what waits, then says that it ended.
                out.closing.set(true);
                out.wake.notify_one();
                out.closed.notify_one();
                return;
            }
            Some(Open::Listener { task, .. } | Open::Udp(_, task)) => task.abort(),
            None => {}
        }
        open.remove(&id);
    }
}

fn listener(on: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(on), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&on.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

/// Tells the script that a socket is there, then carries its bytes.
async fn serve(
    id: SocketId,
    stream: TcpStream,
    out: &Out,
    news: &Recipient<SocketNews>,
    event: SocketEvent,
) -> io::Result<()> {
    let _ = news.send(SocketNews(event)).await;
    carry(id, stream, out, news).await
}

/// Carries bytes both ways until one end closes.
async fn carry(
    id: SocketId,
    stream: TcpStream,
    out: &Out,
    news: &Recipient<SocketNews>,
) -> io::Result<()> {
    // Who vanished is noticed, for a script may wait without a time.
    let _ = prepare(&stream, None);
    let (mut reader, mut writer) = stream.into_split();
    let reading = async {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            if reader.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            let data = buffer.freeze();
            if !out.closing.get() {
                // The next read follows when the script is done with this one.
                let _ = news.send(SocketNews(SocketEvent::Data { id, data })).await;
            }
        }
    };
    let writing = async {
        loop {
            let next = out.queue.borrow_mut().pop_front();
            match next {
                Some(data) => {
                    writer.write_all(&data).await?;
                    out.queued.set(out.queued.get() - data.len() - EACH);
                }
                None if out.closing.get() => return writer.shutdown().await,
                None => out.wake.notified().await,
            }
        }
    };
    let ending = async {
        while !out.closing.get() {
            out.closed.notified().await;
        }
        tokio::time::sleep(LINGER).await;
        Ok(())
    };
    let both = select(Box::pin(reading), Box::pin(writing));
    match select(Box::pin(both), Box::pin(ending)).await {
        Either::Left((Either::Left((result, writing)), _)) => {
            // The peer ended its half: what waits is still sent.
            let done = result.is_err();
            out.closing.set(true);
            out.wake.notify_one();
            if !done {
                let _ = tokio::time::timeout(LINGER, writing).await;
            }
            result
        }
        Either::Left((Either::Right((result, _)), _)) => result,
        Either::Right((result, _)) => result,
    }
}
