//! Node: opens the ports, starts every other actor, stops them in order.
//!
//! ```text
//! Node ─┬─ Worker × arbiters ── RtmpSession*, HttpSession*, WebSocketSession*, ServerConnection*
//!       ├─ ScriptBridge (an arbiter of its own)
//!       ├─ Directory ── Publication* (on the workers' arbiters)
//!       ├─ Listener × (RTMP, HTTP) ── give sockets to workers
//!       ├─ RtmfpEndpoint (an arbiter of its own) ── gives sessions to workers
//!       ├─ Groups ── Group* (on the workers' arbiters)
//!       ├─ Servers ── dials and accepts links
//!       └─ MetricsLog
//! ```
//!
//! Everything an actor needs comes in its constructor; several nodes fit in one process.

mod config;
mod ports;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actix::prelude::*;
use ramona_rtmfp as rtmfp;
use ramona_rtmfp::{EndpointConfig, Entropy, Group, HelloPolicy, Identity};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::directory::Directory;
use crate::groups::Groups;
use crate::http_session;
use crate::listener::{Door, Listener, StopListening};
use crate::messages::script::ToScript;
use crate::metrics::{ActorKind, Metrics};
use crate::metrics_log::MetricsLog;
use crate::outbox::{Backlog, Ticketed};
use crate::publication::{Publication, PublicationContext};
use crate::rtmfp_endpoint::{RtmfpEndpoint, RtmfpEndpointConfig, StopEndpoint};
use crate::rtmp_session;
use crate::script_bridge::{Late, ScriptBridge, ScriptConfig};
use crate::servers::{Servers, StopServers};
use crate::services::{Ids, Services};
use crate::status_page::Status;
use crate::tls::{CertificateWatch, Certificates};
use crate::worker::{StartSession, StopSessions, Worker, WorkerHandle};

pub use config::{NodeConfig, StartError};
use ports::Ports;
pub use ports::{Addresses, Port};

/// How long each step of a shutdown may take: telling servers and running `onStop`, then telling
/// clients. Together with the sessions' linger the node ends within five seconds.
const STOP_STEP: Duration = Duration::from_secs(2);

/// A running node.
pub struct Node {
    addresses: Addresses,
    services: Arc<Services>,
    workers: Arc<[WorkerHandle]>,
    arbiters: Vec<actix_rt::Arbiter>,
    /// The TCP ports of clients.
    listeners: Vec<Addr<Listener>>,
    rtmfp: Option<Addr<RtmfpEndpoint>>,
    servers: Addr<Servers>,
    metrics_log: Addr<MetricsLog>,
}

impl Node {
    /// Starts a node. Runs inside an actix system; nothing is started when a port cannot be opened.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        let tls = load_certificates(&config)?;
        let threads = threads(config.threads);
        let ports = Ports::open(&config, threads)?;
        let addresses = ports.addresses();

        let metrics = Arc::new(Metrics::default());
        let ids = Arc::new(Ids::default());
        let mut arbiters = Vec::new();
        let (workers, mut worker_arbiters) =
            start_workers(threads, config.servers_config.spin, &metrics);
        arbiters.append(&mut worker_arbiters);

        let late = Arc::new(Late::default());
        let bridge_arbiter = actix_rt::Arbiter::new();
        let bridge = start_bridge(
            &bridge_arbiter,
            config.script.clone(),
            config.servers_config.spin,
            &late,
            &ids,
            &metrics,
        )
        .await?;
        arbiters.push(bridge_arbiter);
        let script = bridge.recipient();

        let context = PublicationContext {
            workers: workers.clone(),
            script: script.clone(),
            metrics: metrics.clone(),
            cache: config.cache,
        };
        let services = Arc::new(Services {
            directory: Arc::new(Directory::new(publication_starter(context))),
            script: script.clone(),
            metrics: metrics.clone(),
            ids: ids.clone(),
            blacklist: late.blacklist().clone(),
            clients: Arc::default(),
            groups: Arc::new(Groups::new(workers.clone(), metrics.clone())),
            rtmfp: config.rtmfp_session.clone(),
            rtmp: config.rtmp_session.clone(),
            tls: tls.clone(),
            http: config.http_session.clone(),
            status: Status::new(config.status),
            websocket: config.websocket_session.clone(),
            http_bodies: Arc::default(),
            socket_buffer: config.socket_buffer,
        });
        late.set(services.directory.clone(), services.groups.clone());

        if ports.http.is_some() || ports.https.is_some() {
            build_http(&services, &workers).await;
        }
        let doors =
            [(RTMP, ports.rtmp), (RTMPS, ports.rtmps), (HTTP, ports.http), (HTTPS, ports.https)];
        let listeners = doors.into_iter().filter_map(|(door, listener)| {
            Some(Listener::new(door, listener?, services.clone(), workers.clone()).start())
        });
        let listeners = listeners.collect();
        let rtmfp = if ports.rtmfp.is_empty() {
            None
        } else {
            let arbiter = actix_rt::Arbiter::new();
            let started = start_rtmfp(&arbiter, ports.rtmfp, config.host, &services, &workers)?;
            arbiters.push(arbiter);
            Some(started)
        };
        // The root application is loaded after the listeners are open (ENV-02), but before the
        // first link, which it may want to greet.
        let (done, loaded) = oneshot::channel();
        send(&script, ToScript::Start(done));
        if tokio::time::timeout(Duration::from_secs(10), loaded).await.is_err() {
            warn!("www/main.lua takes longer than 10 s to load: the node goes on without waiting");
        }
        let mut servers_config = config.servers_config;
        addresses.tell(&mut servers_config.hello);
        let servers = Servers::new(
            servers_config,
            ports.servers,
            workers.clone(),
            script,
            metrics.clone(),
            ids,
            late.blacklist().clone(),
        )
        .start();
        // It ends with the last who uses the certificate.
        let _ = tls.map(|certificates| CertificateWatch::new(&certificates).start());
        let metrics_log = MetricsLog::new(metrics, config.metrics_period).start();
        addresses.announce();
        Ok(Self { addresses, services, workers, arbiters, listeners, rtmfp, servers, metrics_log })
    }

    /// Where it listens; the real ports where 0 was asked for.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.services.metrics
    }

    /// Stops in order: no new connections; servers are refused and `onStop` runs (ENV-11); clients
    /// are told; then all threads end. Takes five seconds at most.
    pub async fn stop(self) {
        info!("stopping");
        for listener in &self.listeners {
            listener.do_send(StopListening);
        }
        let (done, stopped) = oneshot::channel();
        send(&self.services.script, ToScript::Stop(done));
        if tokio::time::timeout(STOP_STEP, stopped).await.is_err() {
            warn!("scripts did not stop within {STOP_STEP:?}");
        }
        self.servers.do_send(StopServers);
        if let Some(rtmfp) = &self.rtmfp {
            rtmfp.do_send(StopEndpoint);
        }
        for worker in self.workers.iter() {
            worker.to.do_send(StopSessions);
        }
        let waited = tokio::time::Instant::now();
        let alive = |kind| self.services.metrics.actor(kind).alive.load(Relaxed);
        while alive(ActorKind::RtmpSession)
            + alive(ActorKind::RtmfpSession)
            + alive(ActorKind::HttpSession)
            + alive(ActorKind::WebSocketSession)
            + alive(ActorKind::ServerConnection)
            // The machines of RTMFP sessions outlive their actors until the far end has heard.
            + self.services.metrics.rtmfp.sessions.load(Relaxed)
            > 0
            && waited.elapsed() < STOP_STEP
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.metrics_log.do_send(crate::metrics_log::StopLog);
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        // A script that never returns must not keep the process. The blocking pool would: the end of
        // the runtime waits for it.
        let (done, ended) = oneshot::channel();
        std::thread::spawn(move || {
            for arbiter in self.arbiters {
                // A panic in an arbiter was logged where it happened.
                let _ = arbiter.join();
            }
            // The asker may have given up waiting.
            let _ = done.send(());
        });
        if tokio::time::timeout(STOP_STEP, ended).await.is_err() {
            warn!("a thread did not end within {STOP_STEP:?}: a script is still running");
        }
        info!("stopped");
    }
}

/// One per core for 0.
fn threads(wanted: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if wanted == 0 { cores } else { wanted }
}

fn start_workers(
    threads: usize,
    spin: Duration,
    metrics: &Arc<Metrics>,
) -> (Arc<[WorkerHandle]>, Vec<actix_rt::Arbiter>) {
    let arbiters: Vec<_> = (0..threads).map(|_| actix_rt::Arbiter::new()).collect();
    let workers = arbiters
        .iter()
        .enumerate()
        .map(|(index, arbiter)| Worker::start_on(&arbiter.handle(), index, spin, metrics.clone()));
    (workers.collect(), arbiters)
}

/// The RTMP port.
const RTMP: Door = Door {
    key: "RTMP.port",
    listener: ActorKind::RtmpListener,
    sessions: ActorKind::RtmpSession,
    start: rtmp_session::start_here,
};

/// The HTTP port.
const HTTP: Door = Door {
    key: "HTTP.port",
    listener: ActorKind::HttpListener,
    sessions: ActorKind::HttpSession,
    start: http_session::start_here,
};

/// The RTMPS port.
const RTMPS: Door = Door { key: "RTMPS.port", start: rtmp_session::start_tls_here, ..RTMP };

/// The HTTPS port.
const HTTPS: Door = Door { key: "HTTPS.port", start: http_session::start_tls_here, ..HTTP };

/// The certificate, before a port is opened that needs it.
fn load_certificates(config: &NodeConfig) -> Result<Option<Arc<Certificates>>, StartError> {
    let Some(port) = config.https.as_ref().or(config.rtmps.as_ref()) else { return Ok(None) };
    let Some(tls) = &config.tls else {
        return Err(StartError::Tls(port.key, "none is configured".to_owned()));
    };
    let loaded = Certificates::load(tls.clone());
    let loaded = loaded.map_err(|error| StartError::Tls(port.key, error.to_string()))?;
    Ok(Some(Arc::new(loaded)))
}

/// Each worker gets its HTTP service before the first connection comes.
async fn build_http(services: &Arc<Services>, workers: &Arc<[WorkerHandle]>) {
    for worker in workers.iter() {
        let (done, built) = oneshot::channel::<()>();
        let services = services.clone();
        worker.to.do_send(StartSession(Box::new(move |local| {
            let local = local.clone();
            actix_rt::spawn(async move {
                if let Some(service) = http_session::build(services).await {
                    local.set_http(service);
                }
                drop(done);
            });
        })));
        // The sender is dropped when the service is there.
        let _ = built.await;
    }
}

/// The Lua state is made on its own thread; whether that worked comes back here.
async fn start_bridge(
    arbiter: &actix_rt::Arbiter,
    config: ScriptConfig,
    spin: Duration,
    late: &Arc<Late>,
    ids: &Arc<Ids>,
    metrics: &Arc<Metrics>,
) -> Result<Addr<ScriptBridge>, StartError> {
    let (answer, made) = oneshot::channel();
    let (late, ids, metrics) = (late.clone(), ids.clone(), metrics.clone());
    arbiter.spawn_fn(move || {
        let bridge = ScriptBridge::new(config, spin, late, ids, metrics);
        // The asker waits.
        let _ = answer.send(bridge.map(Actor::start).map_err(|error| error.to_string()));
    });
    match made.await {
        Ok(result) => result.map_err(StartError::Script),
        Err(_) => Err(StartError::Script("its thread ended".to_owned())),
    }
}

/// The certificate is made anew at each start; clients do not remember it.
fn start_rtmfp(
    arbiter: &actix_rt::Arbiter,
    sockets: Vec<crate::udp::Shares>,
    host: Option<String>,
    services: &Arc<Services>,
    workers: &Arc<[WorkerHandle]>,
) -> Result<Addr<RtmfpEndpoint>, StartError> {
    let mut seed = [0; 32];
    // Its keys must not be guessed: without randomness there is no RTMFP.
    getrandom::fill(&mut seed).map_err(|error| StartError::Randomness(error.to_string()))?;
    let mut entropy = Entropy::from_seed(seed);
    let groups = [Group::Modp1024, Group::Modp2048, Group::Modp4096];
    let identity = Arc::new(Identity::server(&groups, &mut entropy));
    let mut config = EndpointConfig::new(identity);
    config.hello = HelloPolicy::Ask;
    config.new_sessions_per_second = services.rtmfp.new_sessions_per_second;
    config.max_sessions_per_address = services.rtmfp.max_sessions_per_address;
    config.groups = workers.len() as u32;
    let endpoint = rtmfp::Endpoint::new(Instant::now(), config, entropy);
    let port = sockets.first().and_then(|shares| shares.main.local_addr().ok());
    let port = port.map_or(0, |address| address.port());
    let config = RtmfpEndpointConfig { port, host };
    let (services, workers) = (services.clone(), workers.clone());
    Ok(RtmfpEndpoint::start_in_arbiter(&arbiter.handle(), move |ctx| {
        ctx.set_mailbox_capacity(0);
        RtmfpEndpoint::new(sockets, endpoint, config, services, &workers)
    }))
}

/// Publications are spread over the workers' arbiters in turn.
fn publication_starter(context: PublicationContext) -> crate::directory::Starter {
    let next = AtomicUsize::new(0);
    Box::new(move |key, name| {
        let context = context.clone();
        let index = next.fetch_add(1, Relaxed) % context.workers.len();
        let arbiter = context.workers[index].arbiter.clone();
        Publication::start_in_arbiter(&arbiter, move |_| Publication::new(key, name, context))
    })
}

pub(crate) fn send(to: &Recipient<Ticketed<ToScript>>, message: ToScript) {
    to.do_send(Ticketed { message, ticket: Arc::<Backlog>::default().take(0) });
}
