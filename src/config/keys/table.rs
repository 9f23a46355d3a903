//! The rows, in the order of `config/ramona.ini` and `ramona --help`.

use super::{Key, Kind};

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    unit: &'static str,
    effect: &'static str,
) -> Key {
    Key { name, kind, default, unit, effect }
}

const fn whole(min: u64, max: u64) -> Kind {
    Kind::Whole { min, max }
}

const fn decimal(min: f64, max: f64) -> Kind {
    Kind::Decimal { min, max }
}

/// An hour: no wait of the node is longer.
const HOUR: f64 = 3600.0;

/// Upper bound of every size in bytes that an operator may set: 4 GiB.
const MAX_BYTES: u64 = 1 << 32;

/// All keys that the node reads.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    // Without section.
    key("host", Kind::Host, "", "",
        "public address of this node, told to other nodes and used in redirections; not the address it listens on"),
    key("publicHost", Kind::Host, "", "",
        "goes before host in redirections (a node behind a router)"),
    key("threads", whole(0, 1024), "0", "threads",
        "worker threads for clients and publications; 0: one per core"),
    key("socketBufferSize", whole(0, 1 << 30), "0", "bytes",
        "send and receive buffer of each socket; 0: what the operating system gives"),

    key("application.dir", Kind::Folder, "", "",
        "folder that holds www/ (applications) and data/; nothing: the working folder; --dir goes before it"),

    key("RTMP.port", Kind::Port, "1935", "",
        "TCP port for RTMP clients"),
    key("RTMP.host", Kind::Ip, "0.0.0.0", "",
        "address that the RTMP port is opened on"),
    key("RTMP.publicHost", Kind::Host, "", "",
        "goes before publicHost and host when a client is sent to this node by RTMP"),
    key("RTMP.timeout", decimal(1.0, HOUR), "60", "s",
        "an RTMP client that is silent for this long is closed"),

    key("RTMPS.port", Kind::Port, "0", "",
        "TCP port for RTMP clients through TLS (rtmps://); needs tls.certificate and tls.key"),
    key("RTMPS.host", Kind::Ip, "0.0.0.0", "",
        "address that the RTMPS port is opened on"),

    key("RTMFP.port", Kind::Port, "1935", "",
        "UDP port for RTMFP clients; linked nodes learn it for redirections"),
    key("RTMFP.host", Kind::Ip, "0.0.0.0", "",
        "address that the RTMFP port is opened on"),
    key("RTMFP.publicHost", Kind::Host, "", "",
        "goes before publicHost and host when a client is sent to this node by RTMFP"),
    key("RTMFP.keepaliveServer", whole(5, 255), "15", "s",
        "period of a client's keep-alive to the server"),
    key("RTMFP.keepalivePeer", whole(5, 255), "10", "s",
        "period of keep-alives between two peers"),
    key("RTMFP.newSessions", whole(1, 100_000), "50", "sessions/s",
        "RTMFP sessions that one IP address may open in a second; many users may be behind one"),
    key("RTMFP.sessionsPerAddress", whole(1, 100_000), "1024", "sessions",
        "RTMFP sessions of one IP address at a time"),
    key("RTMFP.timesBeforeTurn", Kind::OptionalWhole { min: 0, max: 255 }, "", "attempts",
        "failed peer-to-peer attempts before a relay address is offered; nothing: never"),

    key("HTTP.port", Kind::Port, "8080", "",
        "TCP port for HTTP and WebSocket, /metrics and /health"),
    key("HTTP.host", Kind::Ip, "0.0.0.0", "",
        "address that the HTTP port is opened on"),
    key("HTTP.publicHost", Kind::Host, "", "",
        "goes before publicHost and host when a client is sent to this node by HTTP"),
    key("HTTP.timeout", decimal(1.0, HOUR), "7", "s",
        "an HTTP connection that is silent for this long is closed"),
    key("HTTP.index", Kind::BoolOrFile, "true", "",
        "what a folder answers: true lists it, false refuses, a name answers with that file"),
    key("HTTP.maxBody", whole(0, MAX_BYTES), "8388608", "bytes",
        "longest body of a request; a longer one is refused"),
    key("HTTPS.port", Kind::Port, "0", "",
        "TCP port for HTTP and WebSocket through TLS (https://, wss://); needs tls.certificate and tls.key"),
    key("HTTPS.host", Kind::Ip, "0.0.0.0", "",
        "address that the HTTPS port is opened on"),
    key("tls.certificate", Kind::Folder, "", "",
        "PEM file with the certificate and those of its issuers; read again when it changes; a relative path starts at application.dir"),
    key("tls.key", Kind::Folder, "", "",
        "PEM file with the private key of the certificate"),
    key("WebSocket.publicHost", Kind::Host, "", "",
        "goes before publicHost and host when a client is sent to this node by WebSocket"),
    key("WebSocket.timeout", decimal(1.0, HOUR), "120", "s",
        "a WebSocket client that is silent for this long is closed"),
    key("RTSP.port", Kind::Reserved, "", "", "known from MonaServer; this version has no RTSP"),
    key("RTSP.timeout", Kind::Reserved, "", "", "known from MonaServer; this version has no RTSP"),

    key("servers.port", Kind::Port, "0", "",
        "TCP port for links from other nodes"),
    key("servers.host", Kind::Ip, "0.0.0.0", "",
        "address that the link port is opened on; other than loopback it needs servers.secret"),
    key("servers.targets", Kind::Targets, "", "",
        "nodes to link to, dialled for ever; the properties are server.<key> for scripts of both ends"),
    key("servers.secret", Kind::Secret, "", "",
        "shared by all linked nodes; links are then authenticated and encrypted"),
    key("servers.insecure", Kind::Bool, "false", "",
        "true opens the link port without a secret on an address that others reach; warns at every start"),
    key("servers.share", Kind::Names, "", "",
        "own sections or keys of this file that linked nodes may read as server[\"section.key\"]"),
    key("servers.heartbeat", decimal(0.1, 60.0), "1", "s",
        "period of the sign of life on a link"),
    key("servers.timeout", decimal(0.5, HOUR), "5", "s",
        "a link that is silent for this long is closed; at least twice servers.heartbeat"),
    key("servers.queue", whole(1 << 20, MAX_BYTES), "67108864", "bytes",
        "what may wait to be sent on one link; past it server:send is refused"),
    key("servers.spin", whole(0, 10_000), "250", "µs",
        "while server calls and answers follow each other this closely, the threads that handle them stay awake in between; 0: never"),

    key("media.gopBytes", whole(0, MAX_BYTES), "8388608", "bytes",
        "frames since the last keyframe that one publication keeps, so that a new viewer sees a picture at once; 0: none"),
    key("media.gopAge", decimal(0.0, HOUR), "20", "s",
        "and their greatest age"),
    key("media.queueBytes", whole(1 << 16, MAX_BYTES), "16777216", "bytes",
        "frames that may wait for one slow viewer; past it, frames are dropped up to the next keyframe"),
    key("media.queueAge", decimal(0.1, HOUR), "5", "s",
        "and how long they may wait"),

    key("script.slow", whole(0, 60_000), "50", "ms",
        "a handler of a script that takes longer is named in the log; 0: never"),

    key("script.budget", decimal(0.0, HOUR), "2", "s",
        "a handler of a script that takes more processor time, or ten times that by the clock, is interrupted by an error; 0: never"),
    key("script.memory", whole(0, 1 << 40), "1073741824", "bytes",
        "what all scripts together may hold; a handler that passes it ends with 'not enough memory'; 0: no limit"),

    key("metrics.period", decimal(0.0, HOUR), "10", "s",
        "period of the metrics lines in the log; 0: none"),

    key("status.user", Kind::Secret, "", "",
        "with status.password: who logs in sees the page from everywhere; without both and without a token, only this machine does"),
    key("status.password", Kind::Secret, "", "",
        "and the password; use it behind TLS only, or in a closed network"),
    key("status.token", Kind::Secret, "", "",
        "another way in: http://host:port/status?token=TEXT, or as Bearer"),

    key("logs.directory", Kind::Folder, "logs", "",
        "folder of the log files, made when missing; a relative path starts at application.dir"),
    key("logs.name", Kind::FileName, "log", "",
        "the log files are name.0 (current), name.1 (the one before), and so on"),
    key("logs.rotation", whole(0, 1000), "10", "files",
        "how many log files are kept; 0: one file without number, started anew when it is full"),
    key("logs.maxSize", whole(1000, MAX_BYTES), "1000000", "bytes",
        "size at which the next log file is begun"),
];
