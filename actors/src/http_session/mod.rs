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
//!
//! An upgrade to WebSocket docks in [`service`], as do media bodies and pages of the node's own.

mod connection;
mod service;
mod status;
mod stream;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_http::Protocol;
use actix_http::error::DispatchError;
use tokio::net::TcpStream;
use tracing::{Instrument, debug, error, info_span, warn};

pub(crate) use connection::{Connection, End};
pub use connection::{HEAD_TIMEOUT, STALL_TIMEOUT};
pub(crate) use service::{HttpService, build};
pub(crate) use stream::{HttpStream, Socket};

use crate::messages::client::ToSession;
use crate::metrics::{ActorKind, Alive};
use crate::services::Services;
use crate::transport::Transport;
use crate::worker::Local;

/// How HTTP sessions behave.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Idle connections are closed after this (CFG-16).
    pub timeout: Duration,
}

/// See the module's text.
pub(crate) struct HttpSession {
    connection: Rc<Connection>,
    start: Option<(HttpStream, Rc<HttpService>)>,
    _alive: Alive,
}

/// Starts a session on the present arbiter.
pub(crate) fn start_here(
    stream: TcpStream,
    peer: SocketAddr,
    local: &Rc<Local>,
    services: Arc<Services>,
) {
    let Some(service) = local.http() else {
        return error!(%peer, "connection refused: this worker has no HTTP service");
    };
    let number = services.ids.client();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let span = info_span!("http", connection = number.0, %peer);
    let alive = services.metrics.alive(ActorKind::HttpSession);
    let (reading, writing) = stream.into_split();
    let transport = Rc::new(Transport::writing(writing));
    let writing = Some(transport.clone());
    let connection = Rc::new(Connection::new(number, peer, local.clone(), services, span, writing));
    let stream = HttpStream::new(Socket::Plain(reading, transport), connection.clone());
    HttpSession { connection, start: Some((stream, service)), _alive: alive }.start();
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
            Ok(next) => {
                ctx.run_later(next - now, Self::on_timer);
            }
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

    fn handle(&mut self, message: ToSession, _: &mut Self::Context) {
        let metrics = self.connection.services.metrics.clone();
        let _handling = metrics.handling(ActorKind::HttpSession);
        let span = self.connection.span.clone();
        let _entered = span.enter();
        match message {
            ToSession::Shutdown if self.connection.is_upgraded() => {}
            ToSession::Shutdown => self.connection.finish(End::Finish, "the node stops"),
            ToSession::Broken(reason) => self.connection.finish(End::Abort, &reason),
            ToSession::Connected(decision) => self.connection.live().connected(decision),
            ToSession::Subscribed { listener, decision } => {
                self.connection.live().decided(listener, decision);
            }
            ToSession::SetListener { listener, audio, video, .. } => {
                self.connection.live().set_listener(listener, audio, video);
            }
            _ => {}
        }
    }
}
