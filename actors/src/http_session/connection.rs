//! What the socket, the requests and the actor of one HTTP connection share, all on one arbiter.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ramona_script::ClientId;
use tracing::Span;

use super::client::{Asked, Client};
use super::limits::{HEAD_TIMEOUT, STALL_TIMEOUT};
use crate::http_live::Live;
use crate::messages::client::ToSession;
use crate::messages::script::ToScript;
use crate::outbox::Outbox;
use crate::services::Services;
use crate::transport::Transport;
use crate::worker::Local;

/// See the module's text.
pub(crate) struct Connection {
    /// Its number among the node's sessions.
    pub(crate) number: ClientId,
    session: RefCell<Option<Recipient<ToSession>>>,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The arbiter's sessions and viewers.
    pub(crate) local: Rc<Local>,
    /// What the node shares.
    pub(crate) services: Arc<Services>,
    /// Of its log lines.
    pub(crate) span: Span,
    pub(super) client: RefCell<Option<Rc<Client>>>,
    pub(super) asked: RefCell<Asked>,
    script: Rc<Outbox<ToScript>>,
    phase: Cell<Phase>,
    timeout: Cell<Duration>,
    stalled: Cell<Option<Instant>>,
    is_upgraded: Cell<bool>,
    end: Cell<Option<End>>,
    reason: RefCell<String>,
    waker: RefCell<Option<Waker>>,
    transport: Option<Rc<Transport>>,
    after_flush: RefCell<Option<Box<dyn FnOnce()>>>,
    live: Live,
    received_bytes: Cell<u64>,
    sent_bytes: Cell<u64>,
}

/// What the connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing asked since then: bounded by the idle timeout (HTT-13).
    Idle(Instant),
    /// The head of a request is on its way since then: bounded by [`HEAD_TIMEOUT`].
    Head(Instant),
    /// A request is being answered, or the connection was upgraded: no bound but
    /// [`STALL_TIMEOUT`] here; whoever answers has its own.
    Busy,
}

/// How the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As soon as the present response is sent.
    Finish,
    /// At once.
    Abort,
}

impl Connection {
    pub(crate) fn new(
        number: ClientId,
        peer: SocketAddr,
        local: Rc<Local>,
        services: Arc<Services>,
        span: Span,
        transport: Option<Rc<Transport>>,
    ) -> Self {
        Self {
            number,
            session: RefCell::default(),
            peer,
            local,
            client: RefCell::default(),
            asked: RefCell::default(),
            script: Rc::new(Outbox::from_recipient(
                services.script.clone(),
                Arc::default(),
                usize::MAX,
            )),
            phase: Cell::new(Phase::Idle(Instant::now())),
            timeout: Cell::new(services.http.timeout),
            services,
            span,
            stalled: Cell::default(),
            is_upgraded: Cell::default(),
            end: Cell::default(),
            reason: RefCell::default(),
            waker: RefCell::default(),
            transport,
            after_flush: RefCell::default(),
            live: Live::default(),
            received_bytes: Cell::default(),
            sent_bytes: Cell::default(),
        }
    }

    /// Where others send what is for this connection, once its actor runs.
    pub(crate) fn session(&self) -> Option<Recipient<ToSession>> {
        self.session.borrow().clone()
    }

    pub(super) fn set_session(&self, session: Option<Recipient<ToSession>>) {
        *self.session.borrow_mut() = session;
    }

    /// The socket, where bytes can be written past actix-http: not when they are encrypted.
    pub(crate) fn transport(&self) -> Option<&Rc<Transport>> {
        self.transport.as_ref()
    }

    /// Subscriptions of players on this connection.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// Runs something once all that actix-http has to write is in the socket's buffer: called
    /// while a body is polled, whose head is then still to be written.
    pub(crate) fn after_flush(&self, run: impl FnOnce() + 'static) {
        *self.after_flush.borrow_mut() = Some(Box::new(run));
    }

    pub(super) fn flushed(&self) {
        let run = self.after_flush.borrow_mut().take();
        if let Some(run) = run {
            run();
        }
    }

    /// Questions and events for scripts. A connection asks one thing at a time and its body was
    /// bounded when it was read, so the mailbox grows by what is asked at once.
    pub(crate) fn script(&self) -> &Rc<Outbox<ToScript>> {
        &self.script
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.phase.get() == Phase::Busy
    }

    /// Sets the idle timeout that `onConnection` asked for.
    pub(super) fn set_timeout(&self, timeout: Duration) {
        self.timeout.set(timeout);
    }

    /// The idle timeout.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// A request's head is complete.
    pub(super) fn begin_request(&self) {
        self.phase.set(Phase::Busy);
    }

    /// The last byte of a response was given to the socket's buffer.
    pub(super) fn end_request(&self) {
        self.phase.set(Phase::Idle(Instant::now()));
        if let Some(client) = &*self.client.borrow() {
            client.traffic.show(self.received_bytes(), self.sent_bytes());
        }
    }

    /// The connection is no more HTTP: whoever took it over knows when the node stops.
    pub(crate) fn upgraded(&self) {
        self.is_upgraded.set(true);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.is_upgraded.get()
    }

    /// Ends the connection; the first reason given counts.
    pub(crate) fn finish(&self, end: End, reason: &str) {
        if self.reason.borrow().is_empty() {
            *self.reason.borrow_mut() = reason.to_owned();
        }
        if self.end.get() != Some(End::Abort) {
            self.end.set(Some(end));
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    pub(super) fn reason(&self) -> String {
        self.reason.borrow().clone()
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end.get()
    }

    pub(super) fn keep_waker(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if kept.as_ref().is_none_or(|kept| !kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.set(self.received_bytes.get() + bytes as u64);
        if bytes > 0 && matches!(self.phase.get(), Phase::Idle(_)) {
            self.phase.set(Phase::Head(Instant::now()));
        }
    }

    /// Bytes received so far: a request body that makes no progress is seen here.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes.get()
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent_bytes.set(self.sent_bytes.get() + bytes as u64);
        self.stalled.set(None);
    }

    /// Bytes the kernel took so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        // Live viewers write past actix-http.
        self.transport.as_ref().map_or(self.sent_bytes.get(), |transport| transport.sent_bytes())
    }

    pub(super) fn write_stalled(&self) {
        if self.stalled.get().is_none() {
            self.stalled.set(Some(Instant::now()));
        }
    }

    /// When the connection has to be looked at, and what has passed a bound by now.
    pub(super) fn check(&self, now: Instant) -> Result<Instant, &'static str> {
        let timeout = self.timeout.get();
        let (deadline, reason) = match self.phase.get() {
            Phase::Idle(since) => (since + timeout, "silent for longer than its timeout"),
            Phase::Head(since) => (since + HEAD_TIMEOUT, "the head of a request takes too long"),
            Phase::Busy => (now + timeout, ""),
        };
        if deadline <= now {
            return Err(reason);
        }
        let Some(stalled) = self.stalled.get() else { return Ok(deadline) };
        let stall = stalled + STALL_TIMEOUT;
        if stall <= now {
            return Err("does not read what it is sent");
        }
        Ok(deadline.min(stall))
    }
}
