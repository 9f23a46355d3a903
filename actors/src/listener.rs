//! Listener: accepts the TCP connections of one port and gives each to a worker, in turn.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::stream;
use tokio::net::TcpStream;
use tracing::{debug, error, warn};

use crate::metrics::{ActorKind, Alive};
use crate::services::Services;
use crate::socket_options::prepare;
use crate::worker::{Local, StartSession, WorkerHandle};

/// Sessions of one protocol at a node at once: well above what the sockets of one machine carry,
/// well below what fills its memory (20 kB each: 2 GB).
pub const MAX_SESSIONS: i64 = 100_000;

/// Wait after a failed accept: most likely no file descriptor is left, others must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two lines that say that connections are refused.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

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
    refused: Refused,
    _alive: Alive,
}

/// Connections that were not taken since the last line about them.
#[derive(Default)]
struct Refused {
    count: u64,
    last_line: Option<Instant>,
}

impl Refused {
    /// Counts one more; how many a line should tell of, when one is due.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.last_line.is_some_and(|last| now - last < LOG_INTERVAL) {
            return None;
        }
        self.last_line = Some(now);
        Some(std::mem::take(&mut self.count))
    }
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
        let refused = Refused::default();
        Self { door, listener: Some(listener), services, workers, next: 0, refused, _alive: alive }
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        let metrics = &self.services.metrics;
        let door = self.door;
        if self.services.blacklist.refuses(peer.ip(), door.key) {
            return;
        }
        if metrics.actor(door.sessions).alive.load(Relaxed) >= MAX_SESSIONS {
            metrics.connections_refused.fetch_add(1, Relaxed);
            if let Some(count) = self.refused.add(Instant::now()) {
                let (port, limit) = (door.key, MAX_SESSIONS);
                warn!(%peer, port, limit, count, "connections refused: too many sessions");
            }
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
            Err(error) => {
                metrics.connections_refused.fetch_add(1, Relaxed);
                if let Some(count) = self.refused.add(Instant::now()) {
                    warn!(%error, port = self.door.key, count, "connections cannot be accepted");
                }
            }
        }
    }
}

impl Handler<StopListening> for Listener {
    type Result = ();

    fn handle(&mut self, _: StopListening, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_connections_are_counted_and_told_once_an_interval() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        assert_eq!(refused.add(start), Some(1));
        for _ in 0..5 {
            assert_eq!(refused.add(start + LOG_INTERVAL / 2), None);
        }
        assert_eq!(refused.add(start + LOG_INTERVAL), Some(6));
    }
}
