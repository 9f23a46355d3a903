//! Servers: dials the targets, accepts the initiators, and keeps one link per pair of nodes.
//!
//! One per node, alive as long as the node. Each link is a
//! [`ServerConnection`](crate::server_connection::ServerConnection) on some worker's arbiter; it
//! tells this actor when its hello arrived ([`LinkUp`]) and when it ended ([`LinkEnded`]). A link
//! that replaces another one waits until the other's end was told, so that scripts never see two
//! servers for one node (CLU-08).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::stream;
use ramona_cluster as cluster;
use ramona_cluster::{Backoff, CloseReason, Hello, Keep, LinkIdentity, NodeId, Redial, Target};
use ramona_script::ServerId;
use tokio::net::TcpStream;
use tracing::{debug, error, info, warn};

use crate::blacklist::Blacklist;
use crate::messages::cluster::{Registration, ToServer};
use crate::messages::script::ToScript;
use crate::metrics::{ActorKind, Alive, Metrics};
use crate::outbox::{Backlog, Ticketed};
use crate::server_connection::{LinkStart, ServerConnection};
use crate::services::Ids;
use crate::socket_options::prepare;
use crate::worker::{StartSession, WorkerHandle};

/// Accepted sockets that have not said hello yet: strangers cost little, but not nothing.
const MAX_UNKNOWN: usize = 256;

/// How long a dial may take before it counts as failed.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a target rests whose node is linked otherwise, before it looks again.
const REST: Duration = Duration::from_secs(10);

/// How links behave.
#[derive(Clone, Debug)]
pub struct ServersConfig {
    /// Entries of `servers.targets`.
    pub targets: Vec<Target>,
    /// `servers.secret`.
    pub secret: Option<cluster::Secret>,
    /// Heartbeat and its bounds.
    pub link: cluster::LinkConfig,
    /// Bytes that may be on their way out on one link (`servers.queue`, CLU-26).
    pub queue: usize,
    /// How long a queue may stay at least half full before its link is closed.
    pub full_for: Duration,
    /// What this node tells others; `properties` and `dial` are filled in per dial.
    pub hello: Hello,
    /// How long threads stay awake for the next call at most (`servers.spin`); zero is never.
    pub spin: Duration,
    /// Socket buffers in bytes; `None` leaves the system's choice.
    pub socket_buffer: Option<usize>,
}

/// See the module's text.
pub(crate) struct Servers {
    blacklist: Arc<Blacklist>,
    config: ServersConfig,
    workers: Arc<[WorkerHandle]>,
    script: Recipient<Ticketed<ToScript>>,
    metrics: Arc<Metrics>,
    ids: Arc<Ids>,
    listener: Option<std::net::TcpListener>,
    targets: Vec<TargetState>,
    links: HashMap<NodeId, Registered>,
    /// Links that replace another one, until its end was told.
    waiting: HashMap<ServerId, LinkUp>,
    unknown: usize,
    dials: u64,
    started_links: usize,
    stopping: bool,
    _alive: Alive,
}

struct TargetState {
    target: Target,
    backoff: Backoff,
    /// The node it led to, once known.
    node: Option<NodeId>,
    /// The log has said that this target is one too many.
    named_duplicate: bool,
}

struct Registered {
    server: ServerId,
    identity: LinkIdentity,
    to: Recipient<Ticketed<ToServer>>,
}

/// The hello of a link arrived.
pub(crate) struct LinkUp {
    pub(crate) server: ServerId,
    pub(crate) target: Option<usize>,
    pub(crate) identity: LinkIdentity,
    pub(crate) to: Recipient<Ticketed<ToServer>>,
}

impl Message for LinkUp {
    type Result = ();
}

/// A link ended.
pub(crate) struct LinkEnded {
    pub(crate) server: ServerId,
    pub(crate) target: Option<usize>,
    pub(crate) reason: CloseReason,
    pub(crate) said_hello: bool,
    pub(crate) up_for: Duration,
}

impl Message for LinkEnded {
    type Result = ();
}

/// The node stops: no more dials, no more accepts, links are closed in order.
pub(crate) struct StopServers;

impl Message for StopServers {
    type Result = ();
}

struct Incoming(std::io::Result<(TcpStream, SocketAddr)>);

impl Servers {
    /// A registry that dials the targets when started; `listener` is the open `servers.port`.
    pub(crate) fn new(
        config: ServersConfig,
        listener: Option<std::net::TcpListener>,
        workers: Arc<[WorkerHandle]>,
        script: Recipient<Ticketed<ToScript>>,
        metrics: Arc<Metrics>,
        ids: Arc<Ids>,
        blacklist: Arc<Blacklist>,
    ) -> Self {
        let targets = config.targets.iter().cloned();
        let targets = targets
            .map(|target| TargetState {
                target,
                backoff: Backoff::default(),
                node: None,
                named_duplicate: false,
            })
            .collect();
        Self {
            config,
            workers,
            script,
            _alive: metrics.alive(ActorKind::Servers),
            metrics,
            ids,
            listener,
            targets,
            links: HashMap::new(),
            waiting: HashMap::new(),
            unknown: 0,
            dials: 0,
            started_links: 0,
            stopping: false,
            blacklist,
        }
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr, ctx: &mut Context<Self>) {
        if self.blacklist.refuses(peer.ip(), "servers.port") {
            return;
        }
        if self.unknown >= MAX_UNKNOWN {
            self.metrics.connections_refused.fetch_add(1, Relaxed);
            warn!(%peer, limit = MAX_UNKNOWN, "link refused: too many connections without hello");
            return;
        }
        let (config, hello) = (&self.config, self.config.hello.clone());
        let secret = config.secret.clone();
        let entropy = match entropy() {
            Ok(entropy) => entropy,
            Err(error) => return error!(%error, "link refused: the system gives no randomness"),
        };
        let link = cluster::Link::accept(Instant::now(), config.link, hello, secret, entropy);
        match link {
            Ok(link) => {
                self.unknown += 1;
                self.start_link(link, stream, peer, peer.port(), None, ctx);
            }
            Err(error) => error!(%error, "link refused: this node's own hello is too large"),
        }
    }

    fn dial(&mut self, index: usize, ctx: &mut Context<Self>) {
        if self.stopping {
            return;
        }
        let Some(state) = self.targets.get(index) else { return };
        if state.node.is_some_and(|node| self.links.contains_key(&node)) {
            ctx.run_later(REST, move |servers, ctx| servers.dial(index, ctx));
            return;
        }
        let address = state.target.address.clone();
        info!(target = %address, "dialling");
        let connect = async move {
            let dial = TcpStream::connect((address.host.as_str(), address.port));
            match tokio::time::timeout(DIAL_TIMEOUT, dial).await {
                Ok(result) => result.and_then(|stream| Ok((stream.peer_addr()?, stream))),
                Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
            }
        };
        ctx.spawn(connect.into_actor(self).map(move |result, servers, ctx| match result {
            Ok((peer, stream)) => servers.dialled(index, stream, peer, ctx),
            Err(error) => {
                let target = &servers.targets[index].target.address;
                warn!(%target, %error, "target does not answer");
                servers.redial(index, ctx);
            }
        }));
    }

    fn dialled(
        &mut self,
        index: usize,
        stream: TcpStream,
        peer: SocketAddr,
        ctx: &mut Context<Self>,
    ) {
        if self.stopping {
            return;
        }
        self.dials += 1;
        let target = &self.targets[index].target;
        let port = target.address.port;
        let mut hello = self.config.hello.clone();
        hello.dial = self.dials;
        hello.properties = target.properties.clone();
        let secret = self.config.secret.clone();
        let entropy = match entropy() {
            Ok(entropy) => entropy,
            Err(error) => {
                error!(%error, "target not dialled: the system gives no randomness");
                return self.redial(index, ctx);
            }
        };
        match cluster::Link::dial(Instant::now(), self.config.link, hello, secret, entropy) {
            Ok(link) => self.start_link(link, stream, peer, port, Some(index), ctx),
            Err(error) => {
                error!(%error, "target not dialled: this node's own hello is too large");
            }
        }
    }

    fn start_link(
        &mut self,
        link: cluster::Link,
        stream: TcpStream,
        peer: SocketAddr,
        port: u16,
        target: Option<usize>,
        ctx: &mut Context<Self>,
    ) {
        let start = LinkStart {
            server: self.ids.server(),
            target,
            peer,
            port,
            queue: self.config.queue,
            full_for: self.config.full_for,
            servers: ctx.address(),
            script: self.script.clone(),
            metrics: self.metrics.clone(),
        };
        if let Err(error) = prepare(&stream, self.config.socket_buffer) {
            debug!(%error, "socket options not set");
        }
        let Ok(stream) = stream.into_std() else { return };
        let worker = &self.workers[self.started_links % self.workers.len()];
        self.started_links += 1;
        worker.to.do_send(StartSession(Box::new(move |local| match TcpStream::from_std(stream) {
            Ok(stream) => {
                ServerConnection::start_here(start, link, stream, local.awake.clone());
            }
            Err(error) => error!(%error, "link not started"),
        })));
    }

    fn redial(&mut self, index: usize, ctx: &mut Context<Self>) {
        // Jitter only: any number does.
        let random = getrandom::u64().unwrap_or_else(|_| crate::services::epoch_ms() << 40);
        let delay = self.targets[index].backoff.next_delay(random);
        ctx.run_later(delay, move |servers, ctx| servers.dial(index, ctx));
    }

    fn register(&mut self, up: LinkUp) {
        if let Some(index) = up.target {
            self.targets[index].node = Some(up.identity.peer);
        }
        let decide = |to: &Recipient<Ticketed<ToServer>>, registration| {
            let ticket = Arc::<Backlog>::default().take(0);
            to.do_send(Ticketed { message: ToServer::Registered(registration), ticket });
        };
        let own = self.config.hello.node_id;
        if let Some(existing) = self.links.get(&up.identity.peer) {
            match keep(own, existing, &up) {
                Keep::Existing => {
                    warn!(
                        node = %up.identity.peer,
                        "two links to one node (both target each other, or one is listed twice): \
                         the older link stays"
                    );
                    decide(&up.to, Registration::Duplicate);
                    return;
                }
                Keep::New => {
                    warn!(
                        node = %up.identity.peer,
                        "two links to one node (both target each other, or it came back): the \
                         newer link stays"
                    );
                    decide(&existing.to, Registration::Duplicate);
                    let waits = existing.server;
                    if let Some(overtaken) = self.waiting.insert(waits, up) {
                        decide(&overtaken.to, Registration::Duplicate);
                    }
                    return;
                }
                Keep::Both => {}
            }
        }
        decide(&up.to, Registration::Keep);
        let registered = Registered { server: up.server, identity: up.identity, to: up.to };
        self.links.insert(up.identity.peer, registered);
    }
}

fn keep(own: NodeId, existing: &Registered, new: &LinkUp) -> Keep {
    cluster::keep_which(own, &existing.identity, &new.identity)
}

/// Fresh random bytes. A link is refused without them: a key that repeats would be no secret.
fn entropy() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map(|()| bytes)
}

impl Actor for Servers {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(listener) = self.listener.take() {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    ctx.add_stream(stream::unfold(listener, |listener| async move {
                        let incoming = listener.accept().await;
                        if incoming.is_err() {
                            // Most likely no file descriptor is left: others must close first.
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        Some((Incoming(incoming), listener))
                    }));
                }
                Err(error) => error!(%error, "servers.port cannot be used"),
            }
        }
        for index in 0..self.targets.len() {
            self.dial(index, ctx);
        }
    }
}

impl StreamHandler<Incoming> for Servers {
    fn handle(&mut self, item: Incoming, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Servers);
        match item.0 {
            Ok(_) if self.stopping => {}
            Ok((stream, peer)) => self.accept(stream, peer, ctx),
            Err(error) => warn!(%error, "cannot accept a link"),
        }
    }
}

impl Handler<LinkUp> for Servers {
    type Result = ();

    fn handle(&mut self, up: LinkUp, _: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Servers);
        if up.target.is_none() {
            self.unknown = self.unknown.saturating_sub(1);
        }
        self.register(up);
    }
}

impl Handler<LinkEnded> for Servers {
    type Result = ();

    fn handle(&mut self, ended: LinkEnded, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::Servers);
        let was_registered = self.links.values().any(|link| link.server == ended.server);
        self.links.retain(|_, link| link.server != ended.server);
        // A link that waited for another one's end may itself have ended.
        self.waiting.retain(|_, waiting| waiting.server != ended.server);
        if ended.target.is_none() && !ended.said_hello {
            self.unknown = self.unknown.saturating_sub(1);
        }
        if was_registered && let Some(waiting) = self.waiting.remove(&ended.server) {
            self.register(waiting);
        }
        let Some(index) = ended.target else { return };
        if self.stopping {
            return;
        }
        self.targets[index].backoff.link_ended(ended.up_for);
        match ended.reason.redial() {
            Redial::AfterBackoff => self.redial(index, ctx),
            Redial::WhenOtherLinkEnds => {
                let state = &mut self.targets[index];
                if !std::mem::replace(&mut state.named_duplicate, true) {
                    let target = &state.target.address;
                    warn!(%target, "a second way to a node that is linked already: one link stays");
                }
                ctx.run_later(REST, move |servers, ctx| servers.dial(index, ctx));
            }
            Redial::Never => {
                warn!(target = %self.targets[index].target.address, "{}", ended.reason);
            }
        }
    }
}

impl Handler<StopServers> for Servers {
    type Result = ();

    fn handle(&mut self, _: StopServers, ctx: &mut Self::Context) {
        self.stopping = true;
        for link in self.links.values() {
            let ticket = Arc::<Backlog>::default().take(0);
            link.to.do_send(Ticketed { message: ToServer::Shutdown, ticket });
        }
        ctx.stop();
    }
}
