//! RtmpListener: accepts RTMP connections and gives each to a worker, in turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix::prelude::*;
use futures_util::stream;
use tokio::net::TcpStream;
use tracing::{debug, error, warn};

use crate::metrics::{ActorKind, Alive};
use crate::rtmp_session;
use crate::servers::prepare;
use crate::services::Services;
use crate::worker::{StartSession, WorkerHandle};

/// Sessions of one node at once: well above what the sockets of one machine carry, well below
/// what fills its memory (20 kB each: 2 GB).
pub const MAX_SESSIONS: i64 = 100_000;

/// Wait after a failed accept: most likely no file descriptor is left, others must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// See the module's text.
pub(crate) struct RtmpListener {
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

impl RtmpListener {
    pub(crate) fn new(
        listener: std::net::TcpListener,
        services: Arc<Services>,
        workers: Arc<[WorkerHandle]>,
    ) -> Self {
        let alive = services.metrics.alive(ActorKind::RtmpListener);
        Self { listener: Some(listener), services, workers, next: 0, _alive: alive }
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        let metrics = &self.services.metrics;
        if metrics.actor(ActorKind::RtmpSession).alive.load(Relaxed) >= MAX_SESSIONS {
            metrics.connections_refused.fetch_add(1, Relaxed);
            warn!(%peer, limit = MAX_SESSIONS, "connection refused: too many sessions");
            return;
        }
        if let Err(error) = prepare(&stream, self.services.rtmp.socket_buffer) {
            debug!(%peer, %error, "socket options not set");
        }
        let Ok(stream) = stream.into_std() else { return };
        let services = self.services.clone();
        let worker = &self.workers[self.next % self.workers.len()];
        self.next += 1;
        worker.to.do_send(StartSession(Box::new(move |local| match TcpStream::from_std(stream) {
            Ok(stream) => {
                rtmp_session::start_here(stream, peer, local.clone(), services);
            }
            Err(error) => error!(%peer, %error, "session not started"),
        })));
    }
}

impl Actor for RtmpListener {
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
            Err(error) => error!(%error, "RTMP.port cannot be used"),
        }
    }
}

impl StreamHandler<Incoming> for RtmpListener {
    fn handle(&mut self, item: Incoming, _: &mut Self::Context) {
        let metrics = self.services.metrics.clone();
        let _handling = metrics.handling(ActorKind::RtmpListener);
        match item.0 {
            Ok((stream, peer)) => self.accept(stream, peer),
            Err(error) => warn!(%error, "cannot accept a connection"),
        }
    }
}

impl Handler<StopListening> for RtmpListener {
    type Result = ();

    fn handle(&mut self, _: StopListening, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
