//! Node: opens the ports, starts every other actor, stops them in order.
//!
//! ```text
//! Node ─┬─ Worker × arbiters ── RtmpSession*, HttpSession*, WebSocketSession*, ServerConnection*
//!       ├─ ScriptBridge (an arbiter of its own)
//!       ├─ Directory ── Publication* (on the workers' arbiters)
//!       ├─ Listener × (RTMP, HTTP) ── give sockets to workers
//!       ├─ RtmfpEndpoint (an arbiter of its own) ── gives sessions and datagrams to workers
//!       ├─ Groups ── Group* (on the workers' arbiters)
//!       ├─ Servers ── dials and accepts links
//!       └─ MetricsLog
//! ```
//!
//! Everything an actor needs comes in its constructor; several nodes fit in one process.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_cluster::Hello;
use ramona_media::CacheLimits;
use ramona_rtmfp as rtmfp;
use ramona_rtmfp::{EndpointConfig, Entropy, Group, HelloPolicy, Identity};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::directory::Directory;
use crate::groups::Groups;
use crate::http_session::{self, HttpConfig};
use crate::listener::{Door, Listener, StopListening};
use crate::messages::script::ToScript;
use crate::metrics::{ActorKind, Metrics};
use crate::metrics_log::MetricsLog;
use crate::outbox::{Backlog, Ticketed};
use crate::publication::{Publication, PublicationContext};
use crate::rtmfp_endpoint::{RtmfpEndpoint, RtmfpEndpointConfig, StopEndpoint};
use crate::rtmfp_session::RtmfpConfig;
use crate::rtmp_session::{self, RtmpConfig};
use crate::script_bridge::{Late, ScriptBridge, ScriptConfig};
use crate::servers::{Servers, ServersConfig, StopServers};
use crate::services::{Ids, Services};
use crate::status_page::{Status, StatusConfig};
use crate::tls::{CertificateWatch, Certificates, TlsConfig};
use crate::websocket_session::WebSocketConfig;
use crate::worker::{StartSession, StopSessions, Worker, WorkerHandle};

/// Connections that may wait for `accept`.
const LISTEN_BACKLOG: i32 = 1_024;

/// How long each step of a shutdown may take: telling servers and running `onStop`, then telling
/// clients. Together with the sessions' linger the node ends within five seconds.
const STOP_STEP: Duration = Duration::from_secs(2);

/// A node's whole configuration, one section per component.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Arbiters for sessions and publications; 0 is one per core.
    pub threads: usize,
    /// RTMP port; `None` is off, port 0 any free port.
    pub rtmp: Option<Port>,
    /// RTMPS port: RTMP through TLS.
    pub rtmps: Option<Port>,
    /// RTMP sessions.
    pub rtmp_session: RtmpConfig,
    /// RTMFP port (UDP); `None` is off, port 0 any free port.
    pub rtmfp: Option<Port>,
    /// RTMFP sessions.
    pub rtmfp_session: RtmfpConfig,
    /// Send and receive buffers of clients' sockets in bytes; `None` leaves the system's choice.
    pub socket_buffer: Option<usize>,
    /// Public address of this node, for redirects to itself.
    pub host: Option<String>,
    /// HTTP port.
    pub http: Option<Port>,
    /// HTTPS port, for WSS as well.
    pub https: Option<Port>,
    /// The certificate of the ports for TLS.
    pub tls: Option<TlsConfig>,
    /// HTTP sessions.
    pub http_session: HttpConfig,
    /// WebSocket sessions, which begin at the HTTP port.
    pub websocket_session: WebSocketConfig,
    /// Port for links of other nodes.
    pub servers: Option<Port>,
    /// Links.
    pub servers_config: ServersConfig,
    /// Bounds of each publication's cache.
    pub cache: CacheLimits,
    /// Scripts.
    pub script: ScriptConfig,
    /// The operator's page.
    pub status: StatusConfig,
    /// Between two metrics lines; zero is none.
    pub metrics_period: Duration,
}

/// A port to open and the configuration key it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Where to listen.
    pub address: SocketAddr,
    /// Key for error messages, such as `RTMP.port`.
    pub key: &'static str,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be opened.
    #[error(
        "cannot listen on {} ({}): {error}; another program uses it, or it is not allowed: \
         change {} in the configuration", .port.address, .port.key, .port.key
    )]
    Port {
        /// Which.
        port: Port,
        /// The system's words.
        error: std::io::Error,
    },
    /// A port for TLS without a certificate that can be used.
    #[error("{0} needs a certificate and its key: {1}; see tls.certificate and tls.key")]
    Tls(&'static str, String),
    /// The Lua state could not be made.
    #[error("the script engine does not start: {0}")]
    Script(String),
    /// The system gives no random bytes.
    #[error("RTMFP does not start, the system gives no randomness: {0}")]
    Randomness(String),
}

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

/// Where a node listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// RTMP.
    pub rtmp: Option<SocketAddr>,
    /// RTMP through TLS.
    pub rtmps: Option<SocketAddr>,
    /// RTMFP (UDP).
    pub rtmfp: Option<SocketAddr>,
    /// HTTP.
    pub http: Option<SocketAddr>,
    /// HTTP through TLS.
    pub https: Option<SocketAddr>,
    /// Links of other nodes.
    pub servers: Option<SocketAddr>,
}

impl Node {
    /// Starts a node. Runs inside an actix system; nothing is started when a port cannot be opened.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        let tls = load_certificates(&config)?;
        let rtmp = open(config.rtmp.as_ref())?;
        let rtmps = open(config.rtmps.as_ref())?;
        let rtmfp = open_udp(config.rtmfp.as_ref(), config.rtmfp_session.socket_buffer)?;
        let http = open(config.http.as_ref())?;
        let https = open(config.https.as_ref())?;
        let servers = open(config.servers.as_ref())?;
        let local = |listener: &Option<TcpListener>| {
            listener.as_ref().and_then(|listener| listener.local_addr().ok())
        };
        let addresses = Addresses {
            rtmp: local(&rtmp),
            rtmps: local(&rtmps),
            rtmfp: rtmfp.as_ref().and_then(|socket| socket.local_addr().ok()),
            http: local(&http),
            https: local(&https),
            servers: local(&servers),
        };

        let metrics = Arc::new(Metrics::default());
        let ids = Arc::new(Ids::default());
        let mut arbiters = Vec::new();
        let (workers, mut worker_arbiters) = start_workers(config.threads, &metrics);
        arbiters.append(&mut worker_arbiters);

        let late = Arc::new(Late::default());
        let bridge_arbiter = actix_rt::Arbiter::new();
        let bridge =
            start_bridge(&bridge_arbiter, config.script.clone(), &late, &ids, &metrics).await?;
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

        if http.is_some() || https.is_some() {
            build_http(&services, &workers).await;
        }
        let doors = [(RTMP, rtmp), (RTMPS, rtmps), (HTTP, http), (HTTPS, https)];
        let listeners = doors.into_iter().filter_map(|(door, listener)| {
            Some(Listener::new(door, listener?, services.clone(), workers.clone()).start())
        });
        let listeners = listeners.collect();
        let rtmfp = match rtmfp {
            Some(socket) => {
                let arbiter = actix_rt::Arbiter::new();
                let started = start_rtmfp(&arbiter, socket, config.host, &services, &workers)?;
                arbiters.push(arbiter);
                Some(started)
            }
            None => None,
        };
        // The root application is loaded after the listeners are open (ENV-02), but before the
        // first link, which it may want to greet.
        let (done, loaded) = oneshot::channel();
        send(&script, ToScript::Start(done));
        if tokio::time::timeout(Duration::from_secs(10), loaded).await.is_err() {
            warn!("www/main.lua takes longer than 10 s to load: the node goes on without waiting");
        }
        let mut servers_config = config.servers_config;
        tell_ports(&mut servers_config.hello, &addresses);
        let servers = Servers::new(
            servers_config,
            servers,
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
        announce(&addresses);
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

fn start_workers(
    threads: usize,
    metrics: &Arc<Metrics>,
) -> (Arc<[WorkerHandle]>, Vec<actix_rt::Arbiter>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores } else { threads };
    let arbiters: Vec<_> = (0..threads).map(|_| actix_rt::Arbiter::new()).collect();
    let workers = arbiters
        .iter()
        .enumerate()
        .map(|(index, arbiter)| Worker::start_on(&arbiter.handle(), index, metrics.clone()));
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
    late: &Arc<Late>,
    ids: &Arc<Ids>,
    metrics: &Arc<Metrics>,
) -> Result<Addr<ScriptBridge>, StartError> {
    let (answer, made) = oneshot::channel();
    let (late, ids, metrics) = (late.clone(), ids.clone(), metrics.clone());
    arbiter.spawn_fn(move || {
        let bridge = ScriptBridge::new(config, late, ids, metrics);
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
    socket: std::net::UdpSocket,
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
    let endpoint = rtmfp::Endpoint::new(Instant::now(), config, entropy);
    let port = socket.local_addr().map_or(0, |address| address.port());
    let config = RtmfpEndpointConfig { port, host };
    let (services, workers) = (services.clone(), workers.clone());
    Ok(RtmfpEndpoint::start_in_arbiter(&arbiter.handle(), move |ctx| {
        ctx.set_mailbox_capacity(0);
        RtmfpEndpoint::new(socket, endpoint, config, services, &workers)
    }))
}

fn open_udp(
    port: Option<&Port>,
    buffer: Option<usize>,
) -> Result<Option<std::net::UdpSocket>, StartError> {
    let Some(port) = port else { return Ok(None) };
    let opened = crate::udp::bind(port.address, buffer);
    opened.map(Some).map_err(|error| StartError::Port { port: port.clone(), error })
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

fn open(port: Option<&Port>) -> Result<Option<TcpListener>, StartError> {
    let Some(port) = port else { return Ok(None) };
    let listen = || {
        let domain = Domain::for_address(port.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        // Restarting must not wait for old connections to time out.
        socket.set_reuse_address(true)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&port.address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(socket.into())
    };
    listen().map(Some).map_err(|error| StartError::Port { port: port.clone(), error })
}

/// Other nodes send clients to where this one listens, which the system chose where the
/// configuration says 0.
fn tell_ports(hello: &mut Hello, addresses: &Addresses) {
    for (protocol, address) in
        [("RTMP", addresses.rtmp), ("RTMFP", addresses.rtmfp), ("HTTP", addresses.http)]
    {
        let port = address.map_or(0, |address| address.port());
        match hello.ports.iter_mut().find(|(name, _)| name == protocol) {
            Some((_, told)) => *told = port,
            None => hello.ports.push((protocol.to_owned(), port)),
        }
        let (key, port) = (format!("{protocol}.port"), Bytes::from(port.to_string()));
        let is_key = |name: &Bytes| name.eq_ignore_ascii_case(key.as_bytes());
        match hello.configuration.iter_mut().find(|(name, _)| is_key(name)) {
            Some((_, told)) => *told = port,
            None => hello.configuration.push((key.into(), port)),
        }
    }
}

fn announce(addresses: &Addresses) {
    let named = [
        ("RTMP", addresses.rtmp),
        ("RTMPS", addresses.rtmps),
        ("RTMFP", addresses.rtmfp),
        ("HTTP", addresses.http),
        ("HTTPS", addresses.https),
        ("links of other nodes", addresses.servers),
    ];
    for (what, address) in named {
        match address {
            Some(address) => info!("{what} on {address}"),
            None => info!("{what}: off"),
        }
    }
}
