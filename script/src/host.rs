//! What the script side asks of the node, and what the node tells it.
//!
//! Calls are plain and never block: the node queues what they ask for. Everything a script
//! wrote during a handler is sent by the node when the handler returned (GEN-17).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind};

use crate::window::Window;

/// A client of this node, for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A live link to another node; a new link gets a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u64);

/// One run of a publication, from its publish to its unpublish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationId(pub u64);

/// One subscription of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u64);

/// Log levels of scripts (LOG-01), with MonaServer's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogLevel {
    /// Something failed.
    Error = 3,
    /// Something is off.
    Warn = 4,
    /// An important event.
    Note = 5,
    /// Ordinary events.
    Info = 6,
    /// Details.
    Debug = 7,
    /// Everything.
    Trace = 8,
}

/// One log line of a script or about one (LOG-03). The host escapes control bytes of `text`.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// How important it is.
    pub level: LogLevel,
    /// Path of the application (`""` is the root).
    pub app: &'a str,
    /// Last two parts of the Lua file's path; empty when no Lua statement is the cause.
    pub file: &'a str,
    /// Line of the calling Lua statement, 0 when unknown.
    pub line: u32,
    /// The message: bytes as the script gave them.
    pub text: &'a [u8],
    /// Of an error, where the script stood: a line for each call, the innermost first. Nothing
    /// when it says no more than the text.
    pub trace: &'a str,
}

/// What became of a message to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Queued in order.
    Queued,
    /// The link's outbound queue is full (CLU-26): the message was refused and counted.
    Full,
    /// The link is gone.
    Gone,
}

/// Why a name could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The name is running already (MON-10).
    AlreadyPublishing,
    /// The node stops, or has as many publications as it allows.
    Refused,
}

/// Encoding of the arguments and results of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// AMF0 values one after another (an AMF3 value is preceded by `0x11`).
    Amf0,
    /// One JSON array of all values (CNV-20).
    Json,
    /// XML-RPC: a `methodCall` comes in, a `methodResponse` goes out (CNV-25, CNV-26).
    XmlRpc,
    /// XML of either dialect (CNV-30..33); a body that is XML-RPC is read as such.
    Xml,
    /// A query string (CNV-35, CNV-36).
    Query,
    /// Bytes as they are: one string comes in; strings and numbers go out, joined.
    Raw,
}

/// A message a script writes to a client (4.4).
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// WRI-01.
    Invocation {
        /// Method name.
        name: Bytes,
        /// For Flash clients (RTMP, RTMFP) the AMF0 values after the name. For all others the
        /// whole message in `format`, its first value the name.
        args: Bytes,
        /// The client's format, or that of the request that is being handled.
        format: Format,
    },
    /// WRI-02: for Flash clients `_result` of the call being handled, of transaction 0 outside
    /// one.
    Message {
        /// Values in `format`.
        values: Bytes,
        /// The client's format, or that of the request that is being handled.
        format: Format,
    },
    /// WRI-03.
    Raw {
        /// Bytes as they are.
        data: Bytes,
    },
    /// HTT-14: the value of a `Set-Cookie` header, for the next response.
    Cookie {
        /// Checked: no control character.
        header: Bytes,
    },
    /// WRI-04: `NetConnection.<code>`.
    Status {
        /// Code without its prefix.
        code: Bytes,
        /// Text for people.
        description: Bytes,
    },
}

/// Numbers of one direction of one kind of media that move by themselves (QOS-01..05).
/// Sessions and publications write them, scripts read them.
#[derive(Debug, Default)]
pub struct Qos {
    /// Bytes per second over the last window.
    pub byte_rate: AtomicU64,
    /// Lost messages, 0..1_000_000 parts per million.
    pub lost_ppm: AtomicU32,
    /// Mean of half round trips in milliseconds.
    pub latency_ms: AtomicU32,
    /// Video frames dropped.
    pub dropped_frames: AtomicU64,
    /// Milliseconds since 1970 of the last sending, 0 before the first.
    pub last_sending_ms: AtomicU64,
}

/// Audio, video and data quality of a publication's reception or a listener's sending.
#[derive(Debug, Default)]
pub struct MediaQos {
    /// Audio messages.
    pub audio: Qos,
    /// Video messages.
    pub video: Qos,
    /// Data messages.
    pub data: Qos,
    /// Milliseconds of the last media message (PUB-14).
    pub last_time_ms: AtomicU32,
}

/// Numbers of one client that move by themselves.
#[derive(Debug, Default)]
pub struct ClientStats {
    /// Round trip in milliseconds, 0 before the first measure (CLI-07).
    pub ping_ms: AtomicU32,
    /// Milliseconds since 1970 of the last byte received (CLI-08).
    pub last_reception_ms: AtomicU64,
    /// Whether a script wants to be asked before files are read (CLI-39): it set `onRead`.
    pub reads: AtomicBool,
    /// Bytes sent to it (WRI-10, QOS-01).
    pub sent: Window,
    /// Bytes sent on a path that tells losses, and those lost there (QOS-02).
    pub path_sent: Window,
    /// See there.
    pub path_lost: Window,
    /// Frames that its subscriptions lost because it is too slow (QOS-04).
    pub dropped_frames: AtomicU64,
    /// Milliseconds since 1970 of the last sending, 0 before the first (QOS-05).
    pub last_sending_ms: AtomicU64,
}

/// A client that asks to connect.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// Its number at this node.
    pub id: ClientId,
    /// CLI-02: 32 bytes.
    pub raw_id: [u8; 32],
    /// CLI-01: `ip:port`.
    pub address: String,
    /// CLI-06: `RTMP`, `RTMFP`, `HTTP`, `WebSocket`.
    pub protocol: &'static str,
    /// What its writer writes outside of a request: AMF0 for Flash, JSON for WebSocket; for HTTP
    /// that of its first request (JSON when it has none).
    pub format: Format,
    /// CLI-04: `""` or `/a/b`, normalised by ENV-01.
    pub path: String,
    /// CLI-05: URL query without `?`.
    pub query: Bytes,
    /// CLI-10: fields of the connect object, or headers and cookies, flat, as AMF0 object members
    /// (u16 length, key, value, repeated; no end marker). Texts of HTTP and WebSocket get the
    /// type they look like (GEN-15).
    pub properties: Bytes,
    /// EVT-03: extra arguments of connect, AMF0 values. Nothing for HTTP and WebSocket: their
    /// arguments are made of `query`.
    pub args: Bytes,
    /// CLI-12: configuration of the protocol, key (without section) and text.
    pub parameters: Vec<(String, String)>,
    /// Moving numbers.
    pub stats: Arc<ClientStats>,
}

/// Why a client, a publisher or a player is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A handler raised, answered false, or the application failed to load: text for the peer.
    Rejected(Bytes),
    /// ENV-05: neither file nor folder.
    InvalidApp(Bytes),
    /// Anything else that went wrong, of the node's own (STA-04).
    Failed(Bytes),
}

/// What `onConnection` allowed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// AMF0 object members (u16 length, key, value, repeated; no end marker) added to the info
    /// object of Connect.Success.
    pub info: Bytes,
    /// The same string keys with scalar values, as text: they override the client's parameters.
    pub parameters: Vec<(String, String)>,
}

/// A publication that is about to start or has started.
#[derive(Clone, Debug)]
pub struct PublicationInfo {
    /// This run.
    pub id: PublicationId,
    /// PUB-01, bytes as the publisher gave them, without query.
    pub name: Bytes,
    /// Query after the name.
    pub query: Bytes,
    /// Moving numbers.
    pub qos: Arc<MediaQos>,
}

/// A client that asks to play.
#[derive(Clone, Debug)]
pub struct ListenerInfo {
    /// This subscription.
    pub id: ListenerId,
    /// Who plays.
    pub client: ClientId,
    /// Name asked for, without query.
    pub name: Bytes,
    /// LIS-07: query after the name.
    pub query: Bytes,
    /// Moving numbers.
    pub qos: Arc<MediaQos>,
}

/// A linked node, after both hellos (CLU-03).
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// This link.
    pub id: ServerId,
    /// SRV-01.
    pub is_target: bool,
    /// SRV-02: IP without port.
    pub ip: String,
    /// SRV-09.
    pub port: u16,
    /// SRV-03: the remote's `host` value verbatim, empty when it has none.
    pub host: String,
    /// SRV-04: query properties of the target entry, on both ends.
    pub properties: Vec<(String, String)>,
    /// SRV-08: the remote's public configuration, flat.
    pub configs: Vec<(String, String)>,
}

/// How a call or a message of a client ended.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    /// The function returned values, in order, in the format of the call; explicit nil is a null.
    Values(Bytes),
    /// The same for a message that is [`Format::Raw`], or was no text of its format and therefore
    /// taken as one: bytes as they are (WSK-01).
    Raw(Bytes),
    /// It returned nothing: no response (CLI-20).
    Nothing,
    /// It raised (STA-06): text for the peer, with its position (GEN-12).
    Failed(Bytes),
    /// There is no such function (CLI-22): text for the peer.
    Unknown(Bytes),
}

/// What `onRead` said (HTT-04..07).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A file is the response.
    Serve {
        /// Another one than asked for, as the script wrote it.
        file: Option<Bytes>,
        /// Texts for its `<% key %>` marks (HTT-06).
        values: Option<Vec<(Bytes, Bytes)>>,
    },
    /// It returned nil: what it wrote is the response.
    Nothing,
    /// It raised: text for the peer.
    Failed(Bytes),
}

/// Which kinds of packets a script wants to see (PUB-06..08).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// `onAudio` is set.
    pub audio: bool,
    /// `onVideo` is set.
    pub video: bool,
    /// `onData` is set.
    pub data: bool,
}

impl Watch {
    /// Whether packets of this kind are wanted.
    pub fn wants(self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
            MediaKind::Data => self.data,
        }
    }

    /// Whether any packet is wanted.
    pub fn any(self) -> bool {
        self.audio || self.video || self.data
    }
}

/// A socket of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// What happens to sockets of scripts (4.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketEvent {
    /// A TCP client is connected.
    Connected {
        /// Which.
        id: SocketId,
        /// Its own address.
        own: SocketAddr,
        /// Whom it is connected to.
        peer: SocketAddr,
    },
    /// A TCP server accepted a client.
    Accepted {
        /// Which server.
        server: SocketId,
        /// The client.
        id: SocketId,
        /// The client's own address.
        own: SocketAddr,
        /// Who connected.
        peer: SocketAddr,
    },
    /// A TCP client received bytes.
    Data {
        /// Which.
        id: SocketId,
        /// The bytes.
        data: Bytes,
    },
    /// A UDP socket received a datagram.
    Packet {
        /// Which.
        id: SocketId,
        /// The datagram.
        data: Bytes,
        /// Who sent it.
        from: SocketAddr,
    },
    /// A TCP client's connection ended, or never began; its number is free.
    Closed {
        /// Which.
        id: SocketId,
        /// Why, when it was no orderly end.
        error: Option<String>,
    },
}

/// One entry of the persistent table `data` (DAT-01..07); keys are made by
/// [`data_key`](crate::data_key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataChange {
    /// A value: the text of a string, number or boolean.
    Set(Bytes, Bytes),
    /// A table, also when it has no entry.
    Table(Bytes),
    /// No entry any more. Entries of a table are removed one by one.
    Remove(Bytes),
}

/// The node, as the script side sees it.
pub trait Host {
    /// Writes one log line.
    fn log(&self, record: &LogRecord<'_>);

    /// Milliseconds since 1970-01-01 UTC.
    fn epoch_ms(&self) -> u64;

    /// Queues one call for the remote node. `args` are AMF3 values. The name was checked
    /// (CLU-20): 1 to 255 bytes.
    fn send(&self, server: ServerId, handler: &[u8], args: &[u8]) -> SendOutcome;

    /// Refuses a server: the text is sent, then the link is closed (SRV-10, CLU-10).
    fn reject_server(&self, server: ServerId, text: &[u8]);

    /// Tells all connected servers that the application of this path was loaded (CLU-12).
    fn announce_app(&self, path: &str);

    /// Claims a name for a publication owned by a script and starts it (MON-10).
    ///
    /// # Errors
    /// The name is running, or no more publications are allowed.
    fn publish(&self, name: &Bytes, record: bool) -> Result<PublicationInfo, PublishError>;

    /// Pushes one frame into a script's publication. Data messages are AMF0; bytes that are no
    /// message are one of a single AMF3 byte array (PUB-22, [`ramona_media::raw_data`]).
    fn push(&self, publication: PublicationId, frame: MediaFrame);

    /// Ends a publication (PUB-05): a script's own, or a client's, to whose publisher the status
    /// `NetStream.<code>` is sent first when given.
    fn close_publication(&self, publication: PublicationId, status: Option<(Bytes, Bytes)>);

    /// Says which packets of a client's publication the script wants from now on.
    fn watch(&self, publication: PublicationId, watch: Watch);

    /// Writes one message to a client.
    fn write(&self, client: ClientId, message: ClientMessage);

    /// As [`write`](Self::write), on a flow of its own (WRI-06) that is opened when it is first
    /// used, 0 for the main one; what is lost of it is repeated only when `is_reliable` (WRI-08).
    /// By default there is one flow, and nothing is lost.
    fn write_on(&self, client: ClientId, flow: u32, is_reliable: bool, message: ClientMessage) {
        let _ = (flow, is_reliable);
        self.write(client, message);
    }

    /// Ends a flow of [`write_on`](Self::write_on) after what was written to it.
    fn close_writer(&self, client: ClientId, flow: u32) {
        let _ = (client, flow);
    }

    /// Closes a client's session (WRI-07).
    fn close_client(&self, client: ClientId, code: u32);

    /// Mutes or unmutes a listener (LIS-05); `sample_access` is LIS-06 (audio, video). What
    /// onSubscribe set comes once, before the subscription is answered.
    fn set_listener(
        &self,
        listener: ListenerId,
        audio: bool,
        video: bool,
        sample_access: (bool, bool),
    );

    /// Whether lines of this level are shown; a script's line below it is not even put together.
    fn log_enabled(&self, level: LogLevel) -> bool {
        level <= LogLevel::Info
    }

    /// Writes what a script printed (LOG-04) and a line end; a node in the background drops it.
    fn print(&self, text: &[u8]) {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        // A closed standard output is no reason to end anything.
        let _ = out.write_all(text).and_then(|()| out.write_all(b"\n"));
    }

    /// Looks a host name up (MON-27). It may take a moment, but must not hold up the script's
    /// other clients: a name that is not known in time is an error now, and known the next time.
    ///
    /// # Errors
    /// What the script is told.
    fn resolve(&self, name: &str) -> Result<IpAddr, String> {
        let _ = name;
        Err("names cannot be looked up here".to_owned())
    }

    /// Whether an address is one of this machine (IPA-02).
    fn is_local(&self, ip: IpAddr) -> bool {
        ip.is_loopback()
    }

    /// Begins to connect a TCP client; [`SocketEvent::Connected`] or `Closed` follows.
    ///
    /// # Errors
    /// The text for the script: no more sockets are allowed.
    fn tcp_connect(&self, to: SocketAddr) -> Result<SocketId, String> {
        let _ = to;
        Err("sockets cannot be opened here".to_owned())
    }

    /// Opens a TCP server; answers its address too.
    ///
    /// # Errors
    /// The text for the script.
    fn tcp_listen(&self, on: SocketAddr) -> Result<(SocketId, SocketAddr), String> {
        let _ = on;
        Err("sockets cannot be opened here".to_owned())
    }

    /// Opens a UDP socket; answers its address too.
    ///
    /// # Errors
    /// The text for the script.
    fn udp_bind(&self, on: SocketAddr, broadcast: bool) -> Result<(SocketId, SocketAddr), String> {
        let _ = (on, broadcast);
        Err("sockets cannot be opened here".to_owned())
    }

    /// Connects a UDP socket: where it sends to without an address, and the only one it hears.
    /// `None` ends that.
    ///
    /// # Errors
    /// The text for the script.
    fn udp_connect(&self, id: SocketId, to: Option<SocketAddr>) -> Result<(), String> {
        let _ = (id, to);
        Err("no such socket".to_owned())
    }

    /// Sends bytes in order (TCP) or one datagram (UDP; `to` when it is not for whom it is
    /// connected to). Never waits.
    ///
    /// # Errors
    /// The text for the script: the queue is full, or the system refused.
    fn socket_send(&self, id: SocketId, data: Bytes, to: Option<SocketAddr>) -> Result<(), String> {
        let _ = (id, data, to);
        Err("no such socket".to_owned())
    }

    /// Closes a socket; a TCP client sends what waits first, and [`SocketEvent::Closed`] follows.
    fn socket_close(&self, id: SocketId) {
        let _ = id;
    }

    /// Blocks or unblocks an address (MON-24): no new connection of it is accepted, no datagram of
    /// it is read.
    fn blacklist(&self, ip: IpAddr, blocked: bool) {
        let _ = (ip, blocked);
    }

    /// Everything that `data` held, once, before the root application is loaded (DAT-07).
    fn load_data(&self) -> Vec<DataChange> {
        Vec::new()
    }

    /// Changes `data`: all of one assignment, to be kept together. When this returns, a killed
    /// process has lost nothing.
    fn save_data(&self, changes: Vec<DataChange>) {
        let _ = changes;
    }

    /// Shows bytes as hex, if dumps of that name are wanted (MON-23, CFG-23).
    fn dump(&self, name: &str, data: &[u8]) {
        let _ = (name, data);
    }

    /// A handler of the script returned: `app` is the path of its application, `elapsed` what
    /// it took with its conversions.
    fn handler_done(&self, app: &str, handler: &str, elapsed: std::time::Duration) {
        let _ = (app, handler, elapsed);
    }

    /// Sends what was written to a client so far (WRI-05); true when something was sent. Without
    /// `full` what does not fill a datagram of RTMFP stays until the next flush, at the latest until
    /// the handler returns. By default nothing, for everything leaves then (GEN-17).
    fn flush_client(&self, client: ClientId, full: bool) -> bool {
        let _ = (client, full);
        false
    }

    /// A peer became a virtual member of a group, or is none any more (MEM-04).
    fn group_changed(&self, group: [u8; 32], peer: [u8; 32], member: bool) {
        let _ = (group, peer, member);
    }
}
