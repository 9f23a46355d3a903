//! RtmfpEndpoint: the UDP port of RTMFP.
//!
//! Each worker reads a socket of its own ([`RtmfpHub`]) and hands over what is for none of its
//! sessions. The endpoint runs the handshakes ([`rtmfp::Endpoint`]) and gives each session to the
//! worker that its ID says, which is what the kernel goes by as well. Where it does not, datagrams
//! come to any worker and go through the endpoint. Key agreements run on the blocking pool. It introduces peers to each other and asks the
//! script where hellos and unknown peers shall go; whoever asks repeats the question, so questions
//! are bounded and a slow script costs nothing but time.

mod questions;
mod rendezvous;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ramona_rtmfp as rtmfp;
use ramona_rtmfp::{EndpointEvent, EndpointOutput, PeerId, Route, SessionId};
use tracing::{debug, error, info, warn};

use crate::messages::rtmfp::{
    Datagrams, Redirects, SessionOrder, Strangers, ToEndpoint, ToRtmfpSession,
};
use crate::metrics::{ActorKind, Alive, Metrics};
use crate::outbox::{Offer, Outbox, Ticketed};
use crate::rtmfp_session::{self, RtmfpHub};
use crate::services::Services;
use crate::udp::{Shares, Udp};
use crate::worker::{StartSession, WorkerHandle};
use questions::Questions;
use rendezvous::Rendezvous;

/// Datagrams that may wait for one worker; beyond, they are lost as if on their way. None is larger
/// than 8 KiB (`MAX_STRANGER` of the hub).
const DATAGRAM_BACKLOG: usize = 4_096;

/// Datagrams of all workers that may wait for the endpoint; the same happens to more.
const STRANGERS_BACKLOG: usize = 16_384;

/// How RTMFP listens.
#[derive(Clone, Debug)]
pub struct RtmfpEndpointConfig {
    /// Port that clients reach, for `"again"` (RED-06).
    pub port: u16,
    /// Public host of this node, for `"again"`.
    pub host: Option<String>,
}

/// See the module's text.
pub(crate) struct RtmfpEndpoint {
    endpoint: rtmfp::Endpoint,
    /// One for each worker, until it starts.
    sockets: Vec<Shares>,
    /// To answer.
    udp: Option<Udp>,
    /// By which of our addresses the datagram in hand came.
    own: Option<IpAddr>,
    services: Arc<Services>,
    metrics: Arc<Metrics>,
    workers: Vec<WorkerOut>,
    routes: HashMap<SessionId, usize>,
    rendezvous: Rendezvous,
    questions: Questions,
    timer: Option<(SpawnHandle, Instant)>,
    limited: u64,
    is_stopping: bool,
    _alive: Alive,
}

struct WorkerOut {
    handle: WorkerHandle,
    orders: Recipient<ToRtmfpSession>,
    datagrams: Outbox<Datagrams>,
    batch: Datagrams,
}

/// The node stops: no more handshakes. Sessions still get their datagrams, for they say goodbye.
pub(crate) struct StopEndpoint;

impl Message for StopEndpoint {
    type Result = ();
}

impl RtmfpEndpoint {
    pub(crate) fn new(
        sockets: Vec<Shares>,
        endpoint: rtmfp::Endpoint,
        config: RtmfpEndpointConfig,
        services: Arc<Services>,
        workers: &[WorkerHandle],
    ) -> Self {
        let metrics = services.metrics.clone();
        let workers = workers.iter().map(|worker| WorkerOut {
            handle: worker.clone(),
            orders: worker.to.clone().recipient(),
            datagrams: Outbox::new(worker.to.clone(), Arc::default(), DATAGRAM_BACKLOG),
            batch: Datagrams::default(),
        });
        let alive = metrics.alive(ActorKind::RtmfpEndpoint);
        Self {
            endpoint,
            sockets,
            udp: None,
            own: None,
            workers: workers.collect(),
            routes: HashMap::new(),
            rendezvous: Rendezvous::default(),
            questions: Questions::new(config, services.script.clone()),
            timer: None,
            limited: 0,
            is_stopping: false,
            _alive: alive,
            metrics,
            services,
        }
    }

    fn take(
        &mut self,
        now: Instant,
        from: SocketAddr,
        own: Option<IpAddr>,
        datagram: &mut [u8],
        ctx: &mut Context<Self>,
    ) {
        match self.endpoint.handle_datagram(now, from, datagram) {
            Route::Session(id) => {
                let Some(worker) = self.routes.get(&id) else { return };
                self.workers[*worker].batch.push(Some(id), from, own, datagram);
            }
            // Nothing that was queued is answered any more.
            Route::Handled if self.is_stopping => {
                while !matches!(self.endpoint.poll_output(), EndpointOutput::Timeout(_)) {}
            }
            Route::Handled => {
                // Its answer leaves from the address that it came to.
                self.own = own;
                self.drain(ctx);
                self.own = None;
            }
        }
    }

    fn advance(&mut self, ctx: &mut Context<Self>) {
        self.drain(ctx);
        if let Some(udp) = &self.udp {
            udp.flush();
        }
        self.count();
    }

    fn drain(&mut self, ctx: &mut Context<Self>) {
        loop {
            match self.endpoint.poll_output() {
                EndpointOutput::Transmit { to, bytes } => {
                    if let Some(udp) = &self.udp {
                        udp.send(to, self.own, &bytes);
                    }
                }
                EndpointOutput::Event(event) => self.on_event(event, ctx),
                EndpointOutput::Timeout(at) => {
                    self.arm_timer(at, ctx);
                    return;
                }
            }
        }
    }

    fn on_event(&mut self, event: EndpointEvent, ctx: &mut Context<Self>) {
        match event {
            EndpointEvent::Hello { from, epd, tag } => {
                let answer = ctx.address().recipient();
                if !self.questions.ask_handshake(from, self.own, &epd, tag, answer) {
                    self.metrics.rtmfp.questions_dropped.fetch_add(1, Relaxed);
                }
            }
            EndpointEvent::Introduce { from, peer, epd, tag } => {
                self.introduce(from, peer, epd, tag, ctx);
            }
            EndpointEvent::Agree(job) => {
                let to = ctx.address();
                actix_rt::task::spawn_blocking(move || {
                    to.do_send(ToEndpoint::Agreed(Box::new(job.run())));
                });
            }
            EndpointEvent::SessionOpened { session, .. } => self.start_session(session),
            EndpointEvent::SessionReplaced { session } => {
                self.order(session, SessionOrder::Discard);
            }
            EndpointEvent::OpenFailed { .. } => {}
        }
    }

    /// Introduces two peers: the asker is told where the other one is, the other one is asked to
    /// answer (spec 4.3). The answer to the asker goes first.
    fn introduce(
        &mut self,
        from: SocketAddr,
        peer: PeerId,
        epd: bytes::Bytes,
        tag: bytes::Bytes,
        ctx: &mut Context<Self>,
    ) {
        let Some(known) = self.rendezvous.find(peer) else {
            self.metrics.rtmfp.unknown_peers.fetch_add(1, Relaxed);
            let answer = ctx.address().recipient();
            if !self.questions.ask_rendezvous(from, self.own, peer, tag, answer) {
                self.metrics.rtmfp.questions_dropped.fetch_add(1, Relaxed);
            }
            return;
        };
        debug!(%peer, %from, "introduction");
        self.metrics.rtmfp.introductions.fetch_add(1, Relaxed);
        let (session, addresses) = (known.session, known.addresses());
        let replies = self.rendezvous.reply_addresses(from, &addresses);
        self.endpoint.redirect(Instant::now(), from, &tag, &addresses);
        for reply in replies {
            let (epd, tag) = (epd.clone(), tag.clone());
            self.order(session, SessionOrder::ForwardHello { epd, reply, tag });
        }
    }

    fn start_session(&mut self, session: Box<rtmfp::Session>) {
        // The group of its ID; the kernel reads it there as well.
        let index = session.id().0 as usize % self.workers.len();
        self.routes.insert(session.id(), index);
        let services = self.services.clone();
        self.workers[index].handle.to.do_send(StartSession(Box::new(move |local| {
            match local.rtmfp() {
                Some(hub) => rtmfp_session::start_here(session, local, &hub, services),
                None => error!("RTMFP session lost: its arbiter has no socket"),
            }
        })));
    }

    fn order(&self, session: SessionId, order: SessionOrder) {
        if let Some(worker) = self.routes.get(&session) {
            self.workers[*worker].orders.do_send(ToRtmfpSession { session, order });
        }
    }

    fn arm_timer(&mut self, at: Option<Instant>, ctx: &mut Context<Self>) {
        let Some(at) = at else { return };
        if let Some((handle, armed)) = self.timer {
            if armed <= at {
                return;
            }
            ctx.cancel_future(handle);
        }
        let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let handle = ctx.run_later(wait, |endpoint, ctx| {
            endpoint.timer = None;
            endpoint.endpoint.handle_timeout(Instant::now());
            endpoint.advance(ctx);
        });
        self.timer = Some((handle, at));
    }

    fn count(&mut self) {
        let stats = self.endpoint.stats();
        let shown = &self.metrics.rtmfp;
        let ignored = stats.too_short + stats.unknown_session + stats.malformed + stats.bad_cookies;
        shown.datagrams_ignored.store(ignored, Relaxed);
        let limited = stats.answers_limited
            + stats.introductions_limited
            + stats.keyings_busy
            + stats.keyings_limited
            + stats.queue_dropped;
        shown.handshakes_limited.store(limited, Relaxed);
        if self.limited == 0 && limited > 0 {
            warn!(limited, "RTMFP handshakes limited: see ramona_rtmfp_limited_handshakes_total");
        }
        self.limited = limited;
    }
}

impl WorkerOut {
    fn flush(&mut self, metrics: &Metrics) {
        if self.batch.items.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let count = batch.items.len();
        match self.datagrams.offer(batch, count) {
            Offer::Accepted | Offer::Gone(_) => {}
            Offer::Full(batch) => {
                let lost = batch.items.len() as u64;
                metrics.rtmfp.datagrams_dropped.fetch_add(lost, Relaxed);
            }
        }
    }
}

impl Actor for RtmfpEndpoint {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let sockets = std::mem::take(&mut self.sockets);
        let own = sockets.first().map(|shares| shares.main.try_clone().and_then(Udp::new));
        match own {
            Some(Ok(udp)) => self.udp = Some(udp),
            Some(Err(error)) => return error!(%error, "RTMFP.port cannot be used"),
            None => return error!("RTMFP.port cannot be used: there is no socket"),
        }
        let backlog = &self.metrics.actor(ActorKind::RtmfpEndpoint).backlog;
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let endpoint = ctx.address().recipient();
            let strangers = Outbox::new(ctx.address(), backlog.clone(), STRANGERS_BACKLOG);
            let services = self.services.clone();
            worker.handle.to.do_send(StartSession(Box::new(move |local| {
                let small = socket.small.map(Udp::new).transpose();
                match Udp::new(socket.main).and_then(|udp| Ok((udp, small?))) {
                    Ok((udp, small)) => {
                        local.set_rtmfp(RtmfpHub::new(udp, small, endpoint, strangers, &services));
                    }
                    Err(error) => error!(%error, "RTMFP.port cannot be used on a worker"),
                }
            })));
        }
        info!(peer_id = %self.endpoint.identity().peer_id(), "RTMFP certificate");
    }
}

impl Handler<Ticketed<Strangers>> for RtmfpEndpoint {
    type Result = ();

    fn handle(&mut self, message: Ticketed<Strangers>, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::RtmfpEndpoint);
        let Strangers(datagrams) = message.message;
        let now = Instant::now();
        datagrams.each(|item, datagram| self.take(now, item.from, item.own, datagram, ctx));
        for worker in &mut self.workers {
            worker.flush(&self.metrics);
        }
        self.advance(ctx);
    }
}

impl Handler<ToEndpoint> for RtmfpEndpoint {
    type Result = ();

    fn handle(&mut self, message: ToEndpoint, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::RtmfpEndpoint);
        match message {
            ToEndpoint::Confirmed(session) => {
                if let Some(older) = self.endpoint.confirm_session(session) {
                    self.order(older, SessionOrder::Replaced);
                }
            }
            ToEndpoint::Connected { session, peer, address } => {
                self.rendezvous.add(session, peer, address);
            }
            ToEndpoint::PeerInfo { session, addresses } => {
                self.rendezvous.set_reported(session, &addresses);
            }
            ToEndpoint::Left(session) => self.rendezvous.remove(session),
            ToEndpoint::Moved { session, to } => {
                self.endpoint.move_session(session, to);
                self.rendezvous.set_address(session, to);
            }
            ToEndpoint::Ended(session) => {
                self.endpoint.remove_session(session);
                self.rendezvous.remove(session);
                self.routes.remove(&session);
            }
            ToEndpoint::Agreed(agreement) => {
                self.endpoint.handle_agreement(Instant::now(), *agreement);
            }
        }
        self.advance(ctx);
    }
}

impl Handler<Redirects> for RtmfpEndpoint {
    type Result = ();

    /// A script answered. Names are looked up aside; the one who asked may have asked again.
    fn handle(&mut self, message: Redirects, ctx: &mut Self::Context) {
        let Some(question) = self.questions.take(message.number) else { return };
        if message.to.is_empty() {
            self.answer(question, Vec::new());
            return self.advance(ctx);
        }
        let lookup = self.questions.resolve(&question, message.to);
        ctx.spawn(lookup.into_actor(self).map(move |addresses, endpoint, ctx| {
            endpoint.answer(question, addresses);
            endpoint.advance(ctx);
        }));
    }
}

impl RtmfpEndpoint {
    fn answer(&mut self, question: questions::Question, addresses: Vec<rtmfp::Address>) {
        let now = Instant::now();
        self.own = question.own;
        match (addresses.is_empty(), question.is_handshake) {
            (true, true) => self.endpoint.respond(now, question.from, &question.tag),
            // An unknown peer that no server knows stays unanswered.
            (true, false) => {}
            (false, _) => self.endpoint.redirect(now, question.from, &question.tag, &addresses),
        }
        // What was just queued leaves from the address that was asked.
        while let EndpointOutput::Transmit { to, bytes } = self.endpoint.poll_output() {
            if let Some(udp) = &self.udp {
                udp.send(to, self.own, &bytes);
            }
        }
        self.own = None;
    }
}

impl Handler<StopEndpoint> for RtmfpEndpoint {
    type Result = ();

    fn handle(&mut self, _: StopEndpoint, _: &mut Self::Context) {
        self.is_stopping = true;
    }
}
