use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ramona_media::{MediaFrame, MediaKind};

use super::Histogram;
use crate::outbox::Backlog;

/// Kinds of actors, as they stand in logs and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActorKind {
    /// Accept loop of the RTMP port.
    RtmpListener,
    /// Accept loop of the HTTP port.
    HttpListener,
    /// One RTMP connection.
    RtmpSession,
    /// One connection of the HTTP port.
    HttpSession,
    /// One WebSocket connection, on top of one of the HTTP port.
    WebSocketSession,
    /// The RTMFP port: datagrams, handshakes, introductions.
    RtmfpEndpoint,
    /// One RTMFP session.
    RtmfpSession,
    /// One NetGroup.
    Group,
    /// One published or awaited name.
    Publication,
    /// One per arbiter: starts sessions, hands batches to viewers.
    Worker,
    /// The one Lua state.
    ScriptBridge,
    /// Registry and dialler of links.
    Servers,
    /// One link to another node.
    ServerConnection,
}

impl ActorKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::RtmpListener,
        Self::HttpListener,
        Self::RtmpSession,
        Self::HttpSession,
        Self::WebSocketSession,
        Self::RtmfpEndpoint,
        Self::RtmfpSession,
        Self::Group,
        Self::Publication,
        Self::Worker,
        Self::ScriptBridge,
        Self::Servers,
        Self::ServerConnection,
    ];

    /// Its name in logs and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::RtmpListener => "rtmp_listener",
            Self::HttpListener => "http_listener",
            Self::RtmpSession => "rtmp_session",
            Self::HttpSession => "http_session",
            Self::WebSocketSession => "websocket_session",
            Self::RtmfpEndpoint => "rtmfp_endpoint",
            Self::RtmfpSession => "rtmfp_session",
            Self::Group => "group",
            Self::Publication => "publication",
            Self::Worker => "worker",
            Self::ScriptBridge => "script_bridge",
            Self::Servers => "servers",
            Self::ServerConnection => "server_connection",
        }
    }
}

/// What is known of all actors of one kind.
#[derive(Debug, Default)]
pub struct ActorStats {
    /// Actors alive now.
    pub alive: AtomicI64,
    /// Actors started since the node started.
    pub started: AtomicU64,
    /// Actors that ended by a panic.
    pub panics: AtomicU64,
    /// Time from the start to the end of a handler; its count is the messages handled.
    pub handling: Histogram,
    /// Units that wait in bounded mailboxes (messages, or bytes where the outbox counts bytes).
    pub backlog: Arc<Backlog>,
}

/// Counts an actor as alive until it is dropped.
#[derive(Debug)]
pub struct Alive(Arc<Metrics>, ActorKind);

impl Drop for Alive {
    fn drop(&mut self) {
        let stats = self.0.actor(self.1);
        stats.alive.fetch_sub(1, Relaxed);
        if std::thread::panicking() {
            stats.panics.fetch_add(1, Relaxed);
            tracing::error!(actor = self.1.name(), "an actor ended by a panic: please report it");
        }
    }
}

/// Measures one handler until it is dropped.
#[derive(Debug)]
pub struct Handling<'a>(&'a ActorStats, Instant);

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        self.0.handling.record(self.1.elapsed());
    }
}

/// Protocols that carry media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RTMP over TCP.
    Rtmp,
    /// RTMFP over UDP.
    Rtmfp,
    /// FLV and transport streams over HTTP.
    Http,
    /// WebSocket.
    WebSocket,
    /// Publications that a script feeds (`mona:publish`).
    Script,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 5] = [Self::Rtmp, Self::Rtmfp, Self::Http, Self::WebSocket, Self::Script];

    /// Its name in logs and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmfp => "rtmfp",
            Self::Http => "http",
            Self::WebSocket => "websocket",
            Self::Script => "script",
        }
    }
}

/// Media counters of one protocol. A frame counts once for its publisher and once for each viewer.
#[derive(Debug, Default)]
pub struct MediaStats {
    /// Frames received from publishers.
    pub frames_in: AtomicU64,
    /// Payload bytes received from publishers.
    pub bytes_in: AtomicU64,
    /// Frames given to viewers' transports.
    pub frames_out: AtomicU64,
    /// Payload bytes given to viewers' transports.
    pub bytes_out: AtomicU64,
    /// Frames that a viewer lost because it was too slow.
    pub frames_dropped: AtomicU64,
    /// Viewers closed because they read nothing.
    pub viewers_closed: AtomicU64,
}

impl MediaStats {
    /// Counts frames from a publisher.
    pub fn received(&self, frames: &[MediaFrame]) {
        self.frames_in.fetch_add(frames.len() as u64, Relaxed);
        let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }
}

/// Who is at the far end of a link.
#[derive(Clone, Debug)]
pub struct LinkPeer {
    /// SRV-02.
    pub address: String,
    /// SRV-03: as it says.
    pub host: String,
    /// This node dialled.
    pub is_target: bool,
}

/// Counters of one link.
#[derive(Debug, Default)]
pub struct LinkStats {
    /// Calls sent.
    pub calls_out: AtomicU64,
    /// Calls received.
    pub calls_in: AtomicU64,
    /// Bytes written to the socket.
    pub bytes_out: AtomicU64,
    /// Bytes read from the socket.
    pub bytes_in: AtomicU64,
    /// Calls refused because the outbound queue was full (CLU-26).
    pub refused: AtomicU64,
    /// Last round trip in microseconds, 0 before the first.
    pub round_trip_us: AtomicU64,
    /// The far end, once it is linked.
    pub peer: OnceLock<LinkPeer>,
    /// Bytes on their way out.
    pub queued: Arc<Backlog>,
}

/// How often a thread stayed awake for the next server call (`servers.spin`), and for how long.
#[derive(Debug, Default)]
pub struct AwakeStats {
    /// The call came.
    pub hits: AtomicU64,
    /// It did not come in time, or others wanted the core.
    pub misses: AtomicU64,
    /// Time awake without work, in nanoseconds.
    pub nanos: AtomicU64,
}

/// Counters of the script side.
#[derive(Debug, Default)]
pub struct ScriptStats {
    /// Time of each handler; its count is the calls.
    pub handlers: Histogram,
    /// Handlers that ended by a Lua error.
    pub errors: AtomicU64,
    /// Sockets and sends of scripts that were refused because of a bound.
    pub sockets_refused: AtomicU64,
    /// Connections and datagrams of blocked addresses, read every two seconds.
    pub blacklisted: AtomicU64,
    /// Assignments to `data` that were refused, read every two seconds.
    pub data_refused: AtomicU64,
    /// Assignments to `data` that could not be saved.
    pub data_failures: Arc<AtomicU64>,
    /// Assignments to `data` that waited for the disk, which is far behind.
    pub data_waits: Arc<AtomicU64>,
    /// Handlers that were interrupted (`script.budget`), read every two seconds.
    pub interrupted: AtomicU64,
    /// Times that the state's memory ended (`script.memory`), read every two seconds.
    pub memory_errors: AtomicU64,
    /// Bytes that the Lua state holds, read every two seconds.
    pub memory_bytes: AtomicU64,
    /// Frames of watched publications that the script was too slow for.
    pub frames_dropped: AtomicU64,
    /// Messages to clients refused because they read nothing.
    pub writes_refused: AtomicU64,
    /// The slowest handler since the last metrics line: microseconds, application and function.
    pub slowest: Mutex<Option<(u64, String)>>,
    /// The slowest handler of about the last minute.
    pub slowest_lately: Mutex<Option<SlowHandler>>,
}

/// A handler that took a millisecond or more.
#[derive(Clone, Debug)]
pub struct SlowHandler {
    /// Microseconds.
    pub us: u64,
    /// Application and function.
    pub handler: String,
    /// When it was.
    pub at: Instant,
}

impl SlowHandler {
    /// Whether it was within the last minute.
    pub fn is_recent(&self) -> bool {
        self.at.elapsed() < Duration::from_secs(60)
    }
}

impl ScriptStats {
    /// Notes a handler's time and name.
    pub fn handled(&self, elapsed: Duration, app: &str, handler: &str) {
        self.handlers.record(elapsed);
        let us = elapsed.as_micros() as u64;
        // Ordinary handlers take microseconds: only the slow ones cost a lock.
        if us < 1_000 {
            return;
        }
        let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
        if slowest.as_ref().is_none_or(|(known, _)| *known < us) {
            *slowest = Some((us, format!("{app}/{handler}")));
        }
        drop(slowest);
        let mut lately = self.slowest_lately.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.as_ref().is_none_or(|known| known.us < us || !known.is_recent()) {
            let handler = format!("{app}/{handler}");
            *lately = Some(SlowHandler { us, handler, at: Instant::now() });
        }
    }
}

/// Counters of the RTMFP port.
#[derive(Debug, Default)]
pub struct RtmfpStats {
    /// Datagrams received.
    pub datagrams_in: AtomicU64,
    /// Datagrams that were no packet, of no session, forged, replayed or cut.
    pub datagrams_ignored: AtomicU64,
    /// Datagrams that a busy worker had no room for: lost as if on their way.
    pub datagrams_dropped: AtomicU64,
    /// Datagrams that the kernel did not take.
    pub sends_dropped: AtomicU64,
    /// Handshakes not answered because of a limit.
    pub handshakes_limited: AtomicU64,
    /// Questions to scripts that were not asked because too many were open.
    pub questions_dropped: AtomicU64,
    /// Peers introduced to each other.
    pub introductions: AtomicU64,
    /// Peers that nobody knew.
    pub unknown_peers: AtomicU64,
    /// Sessions, with those that only say their last words.
    pub sessions: AtomicI64,
    /// Packets of sessions that were forged, replayed, cut or of a wrong mode.
    pub packets_dropped: AtomicU64,
    /// Flows refused: too many, without a meaning or out of place.
    pub flows_refused: AtomicU64,
    /// Messages larger than their flow may hold.
    pub oversized_messages: AtomicU64,
    /// NetGroup joins refused: no such id, or too many.
    pub joins_refused: AtomicU64,
    /// Chunks and messages without a meaning.
    pub messages_ignored: AtomicU64,
}

/// All counters of a node.
#[derive(Debug)]
pub struct Metrics {
    /// When the node started.
    pub started: Instant,
    actors: [ActorStats; ActorKind::ALL.len()],
    media: [MediaStats; Protocol::ALL.len()],
    /// The script side.
    pub script: ScriptStats,
    /// Threads of links.
    pub links_awake: Arc<AwakeStats>,
    /// The script's thread.
    pub script_awake: Arc<AwakeStats>,
    /// Live links by the remote's node id in hex.
    links: Mutex<BTreeMap<String, Arc<LinkStats>>>,
    /// Connections refused or ended because a peer broke a protocol.
    pub protocol_errors: AtomicU64,
    /// What the RTMFP port dropped and refused.
    pub rtmfp: RtmfpStats,
    /// Connections refused because a limit of the node was reached.
    pub connections_refused: AtomicU64,
    /// Groups of pictures that outgrew the cache (see `media.cache` keys).
    pub cache_overflows: AtomicU64,
    /// Batches that a worker was too busy to take.
    pub worker_gaps: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            actors: Default::default(),
            media: Default::default(),
            script: ScriptStats::default(),
            links_awake: Arc::default(),
            script_awake: Arc::default(),
            links: Mutex::default(),
            protocol_errors: AtomicU64::new(0),
            rtmfp: RtmfpStats::default(),
            connections_refused: AtomicU64::new(0),
            cache_overflows: AtomicU64::new(0),
            worker_gaps: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Counters of a kind of actor.
    pub fn actor(&self, kind: ActorKind) -> &ActorStats {
        &self.actors[kind as usize]
    }

    /// Counts an actor as alive as long as the answer lives.
    pub fn alive(self: &Arc<Self>, kind: ActorKind) -> Alive {
        let stats = self.actor(kind);
        stats.alive.fetch_add(1, Relaxed);
        stats.started.fetch_add(1, Relaxed);
        Alive(self.clone(), kind)
    }

    /// Measures a handler as long as the answer lives.
    pub fn handling(&self, kind: ActorKind) -> Handling<'_> {
        Handling(self.actor(kind), Instant::now())
    }

    /// Counters of a protocol.
    pub fn media(&self, protocol: Protocol) -> &MediaStats {
        &self.media[protocol as usize]
    }

    /// Counters of the link to a node; they last until [`forget_link`](Self::forget_link).
    pub fn link(&self, node: &str) -> Arc<LinkStats> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.entry(node.to_owned()).or_default().clone()
    }

    /// Ends the counters of a link, unless a newer link to the same node uses others.
    pub fn forget_link(&self, node: &str, stats: &Arc<LinkStats>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.get(node).is_some_and(|known| Arc::ptr_eq(known, stats)) {
            links.remove(node);
        }
    }

    /// All live links.
    pub fn links(&self) -> Vec<(String, Arc<LinkStats>)> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().map(|(node, stats)| (node.clone(), stats.clone())).collect()
    }

    /// Counts `kind` for frames of this kind of media; used in log lines.
    pub fn kind_name(kind: MediaKind) -> &'static str {
        match kind {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::Data => "data",
        }
    }
}
