//! Listener: accepts the TCP connections of one port and gives each to a worker, in turn.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix::prelude::*;
use futures_util::stream;
use tokio::net::TcpStream;
use tracing::{debug, error, warn};

use crate::metrics::{ActorKind, Alive};
use crate::servers::prepare;
use crate::services::Services;
use crate::worker::{Local, StartSession, WorkerHandle};

/// Sessions of one protocol at a node at once: well above what the sockets of one machine carry,
/// well below what fills its memory (20 kB each: 2 GB).
pub const MAX_SESSIONS: i64 = 100_000;

/// Wait after a failed accept: most likely no file descriptor is left, others must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a port is for.
#[derive(Clone, Copy)]
pub(crate) struct Door {
    /// Its key in the configuration, for log lines.
    pub(crate) key: &'static str,
    /// The listener in metrics.
    pub(crate) listener: ActorKind,
    /// Its sessions in metrics: they are bounded by [`MAX_SESSIONS`].
    pub(crate) sessions: ActorKind,
    /// Starts a session on the worker that was chosen.
    pub(crate) start: fn(TcpStream, SocketAddr, &Rc<Local>, Arc<Services>),
}

/// See the module's text.
pub(crate) struct Listener {
    door: Door,
    listener: Option<std::net::TcpListener>,
    services: Arc<Services>,
    workers: Arc<[WorkerHandle]>,
    next: usize,
    _alive: Alive,
}

struct Incoming(std::io::Result<(TcpStream, SocketAddr)>);

/// The node stops: no more connections.
pub(crate) struct StopListening;

impl Message for StopListening {
    type Result = ();
}

impl Listener {
    pub(crate) fn new(
        door: Door,
        listener: std::net::TcpListener,
        services: Arc<Services>,
        workers: Arc<[WorkerHandle]>,
    ) -> Self {
        let alive = services.metrics.alive(door.listener);
        Self { door, listener: Some(listener), services, workers, next: 0, _alive: alive }
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        let metrics = &self.services.metrics;
        let door = self.door;
        if self.services.blacklist.refuses(peer.ip(), door.key) {
            return;
        }
        if metrics.actor(door.sessions).alive.load(Relaxed) >= MAX_SESSIONS {
            metrics.connections_refused.fetch_add(1, Relaxed);
            warn!(%peer, port = door.key, limit = MAX_SESSIONS, "connection refused: too many sessions");
            return;
        }
        if let Err(error) = prepare(&stream, self.services.socket_buffer) {
            debug!(%peer, %error, "socket options not set");
        }
        let Ok(stream) = stream.into_std() else { return };
        let services = self.services.clone();
        let worker = &self.workers[self.next % self.workers.len()];
        self.next += 1;
        worker.to.do_send(StartSession(Box::new(move |local| match TcpStream::from_std(stream) {
            Ok(stream) => (door.start)(stream, peer, local, services),
            Err(error) => error!(%peer, %error, "session not started"),
        })));
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(listener) = self.listener.take() else { return };
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                ctx.add_stream(stream::unfold(listener, |listener| async move {
                    let incoming = listener.accept().await;
                    if incoming.is_err() {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                    Some((Incoming(incoming), listener))
                }));
            }
            Err(error) => error!(%error, "{} cannot be used", self.door.key),
        }
    }
}

impl StreamHandler<Incoming> for Listener {
    fn handle(&mut self, item: Incoming, _: &mut Self::Context) {
        let metrics = self.services.metrics.clone();
        let _handling = metrics.handling(self.door.listener);
        match item.0 {
            Ok((stream, peer)) => self.accept(stream, peer),
            Err(error) => warn!(%error, port = self.door.key, "cannot accept a connection"),
        }
    }
}

impl Handler<StopListening> for Listener {
    type Result = ();

    fn handle(&mut self, _: StopListening, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
