//! HttpSession: one connection of the HTTP port, from accept to close.
//!
//! The bytes are actix-http's: the actor runs its dispatcher, which parses requests one after the
//! other and calls the worker's [`service`] for each, on this arbiter. What a request needs of
//! its connection is in the [`Connection`], which it finds as
//! `request.conn_data::<Rc<Connection>>()`: the arbiter's [`Local`] with its viewers, the node's
//! [`Services`](crate::services::Services). What scripts say to the client comes to the actor as
//! [`ToSession`].
//!
//! | file | what |
//! |---|---|
//! | [`service`] | the routes: which path is answered by whom |
//! | [`stream`], [`connection`] | the socket, its timeouts, its end |
//! | [`status`] | `/metrics`, `/health` |
//! | [`request`] | everything else: from the head to the response |
//! | [`client`] | the client that scripts see, and what is asked of them |
//! | [`body`], [`format`] | what is posted, and how it is read |
//! | [`answer`], [`problem`] | responses of scripts, pages of refusals |
//! | [`files`], [`cors`] | files and listings; pages of other sites |
//!
//! What follows from the specification alone, such as what a path names, is in `ramona_http`.
//!
//! An upgrade to WebSocket docks in [`service`], as do media bodies and pages of the node's own.

mod answer;
mod body;
mod client;
mod connection;
mod cors;
mod files;
mod format;
pub mod limits;
mod problem;
mod request;
mod service;
mod status;
mod stream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_http::Protocol;
use actix_http::error::DispatchError;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, error, info_span, warn};

pub(crate) use connection::{Connection, End};
pub(crate) use problem::Problem;
pub(crate) use request::{refuse, upgrade_path, visitor_properties};
pub(crate) use service::{HttpService, build};
pub(crate) use stream::{HttpStream, Socket};

use client::Index;
use files::Folder;

use crate::messages::client::ToSession;
use crate::metrics::{ActorKind, Alive};
use crate::services::Services;
use crate::tls::TLS_HANDSHAKE_TIMEOUT;
use crate::transport::Transport;
use crate::worker::Local;

/// How HTTP sessions behave.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Idle connections are closed after this (CFG-16).
    pub timeout: Duration,
    /// What a folder answers (HTT-08): `true`, `false`, or the name of a file or function.
    pub index: String,
    /// Keys of the section as scripts see them in `client.parameters` (CLI-12).
    pub parameters: Vec<(String, String)>,
    /// Folder of all applications.
    pub www: PathBuf,
    /// Bytes of one body.
    pub max_body: usize,
    /// Bytes of the bodies of all requests at once: [`limits::BODY_BUDGET`].
    pub body_budget: usize,
}

impl HttpConfig {
    fn folder(&self) -> Folder<'_> {
        Folder::new(&self.www)
    }

    fn index(&self) -> Index {
        Index::of_text(&self.index)
    }
}

/// See the module's text.
pub(crate) struct HttpSession {
    connection: Rc<Connection>,
    start: Option<(HttpStream, Rc<HttpService>)>,
    timer: Option<SpawnHandle>,
    _alive: Alive,
}

/// Starts a session on the present arbiter.
pub(crate) fn start_here(
    stream: TcpStream,
    peer: SocketAddr,
    local: &Rc<Local>,
    services: Arc<Services>,
) {
    let alive = services.metrics.alive(ActorKind::HttpSession);
    let (reading, writing) = stream.into_split();
    let transport = Rc::new(Transport::writing(writing));
    let writing = Some(transport.clone());
    start(Socket::Plain(reading, transport), writing, peer, local, services, alive);
}

/// The same through TLS: HTTPS and WSS. The connection counts from its first byte on.
pub(crate) fn start_tls_here(
    stream: TcpStream,
    peer: SocketAddr,
    local: &Rc<Local>,
    services: Arc<Services>,
) {
    let Some(certificates) = services.tls.clone() else { return };
    let alive = services.metrics.alive(ActorKind::HttpSession);
    let local = local.clone();
    actix_rt::spawn(async move {
        let acceptor = TlsAcceptor::from(certificates.http());
        match tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                start(Socket::Tls(Box::new(stream)), None, peer, &local, services, alive);
            }
            Ok(Err(error)) => {
                services.metrics.protocol_errors.fetch_add(1, Relaxed);
                warn!(%peer, %error, "TLS handshake failed");
            }
            Err(_) => {
                services.metrics.protocol_errors.fetch_add(1, Relaxed);
                warn!(%peer, limit = ?TLS_HANDSHAKE_TIMEOUT, "TLS handshake takes too long");
            }
        }
    });
}

fn start(
    socket: Socket,
    transport: Option<Rc<Transport>>,
    peer: SocketAddr,
    local: &Rc<Local>,
    services: Arc<Services>,
    alive: Alive,
) {
    let Some(service) = local.http() else {
        return error!(%peer, "connection refused: this worker has no HTTP service");
    };
    let number = services.ids.client();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let span = info_span!("http", connection = number.0, %peer);
    let connection = Connection::new(number, peer, local.clone(), services, span, transport);
    let connection = Rc::new(connection);
    let stream = HttpStream::new(socket, connection.clone());
    HttpSession { connection, start: Some((stream, service)), timer: None, _alive: alive }.start();
}

impl HttpSession {
    fn ended(&mut self, result: Result<(), DispatchError>, ctx: &mut Context<Self>) {
        let connection = &self.connection;
        let reason = connection.reason();
        match result {
            Ok(()) => {}
            Err(DispatchError::Parse(error)) => {
                connection.services.metrics.protocol_errors.fetch_add(1, Relaxed);
                warn!(%error, "not HTTP, or more than a request may hold");
            }
            Err(error) if reason.is_empty() => debug!(%error, "connection broke"),
            Err(_) => {}
        }
        ctx.stop();
    }

    /// Looks at the connection's bounds, now and then rather than at each request.
    fn on_timer(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        match self.connection.check(now) {
            Ok(next) => self.timer = Some(ctx.run_later(next - now, Self::on_timer)),
            Err(reason) => self.connection.finish(End::Abort, reason),
        }
    }
}

impl Actor for HttpSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let session: Recipient<ToSession> = ctx.address().recipient();
        self.connection.local.add_session(self.connection.number, session.clone());
        self.connection.set_session(Some(session));
        let Some((stream, service)) = self.start.take() else { return ctx.stop() };
        let peer = Some(self.connection.peer);
        let run = actix_service::Service::call(&*service, (stream, Protocol::Http1, peer));
        let run = run.instrument(self.connection.span.clone());
        let span = self.connection.span.clone();
        ctx.spawn(run.into_actor(self).map(move |result, session, ctx| {
            let _entered = span.enter();
            session.ended(result, ctx);
        }));
        self.on_timer(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // The client goes after its subscriptions, which went with the request.
        self.connection.disconnect();
        self.connection.local.remove_session(self.connection.number);
        // It holds an address of the actor's own.
        self.connection.set_session(None);
        let span = self.connection.span.clone();
        let _entered = span.enter();
        let reason = self.connection.reason();
        let reason = if reason.is_empty() { "closed by the client" } else { &reason };
        debug!(
            reason,
            received = self.connection.received_bytes(),
            sent = self.connection.sent_bytes(),
            "connection closed"
        );
    }
}

impl Handler<ToSession> for HttpSession {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Self::Context) {
        let metrics = self.connection.services.metrics.clone();
        let _handling = metrics.handling(ActorKind::HttpSession);
        let span = self.connection.span.clone();
        let _entered = span.enter();
        let before = self.connection.timeout();
        self.connection.on_message(message);
        if self.connection.timeout() != before {
            if let Some(timer) = self.timer.take() {
                ctx.cancel_future(timer);
            }
            self.on_timer(ctx);
        }
    }
}
