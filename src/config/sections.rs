//! [`Config`]: what each component of the node is told, with units in the types.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ramona_actors::LogTail;
use ramona_cluster::{SHORT_SECRET, Secret, Target};

use super::ini::Ini;
use super::keys::{Key, Kind, is_engine_section};
use super::link_policy::LinkPolicy;
use super::problem::{Problem, Severity};
use super::settings::Settings;
use super::value::{self, Outcome};
use crate::telemetry::LogLevel;

/// The whole configuration of a node, validated.
///
/// [`Config::default`] is an empty file. A listening address of `None` is off; port 0 cannot come
/// from a file and asks the operating system for a free port (tests).
#[derive(Debug, Clone)]
pub struct Config {
    /// `application.dir`: holds `www/` and `data/`.
    pub dir: PathBuf,
    /// `host`: public address of this node, as written.
    pub host: Option<String>,
    /// `publicHost`, as written.
    pub public_host: Option<String>,
    /// `threads`; 0 is one per core.
    pub threads: usize,
    /// `socketBufferSize` in bytes; `None` leaves the operating system's.
    pub socket_buffer: Option<usize>,
    /// Section `RTMP`.
    pub rtmp: Rtmp,
    /// Section `RTMFP`.
    pub rtmfp: Rtmfp,
    /// Section `HTTP`.
    pub http: Http,
    /// Section `tls`, when both of its keys are set.
    pub tls: Option<Tls>,
    /// Section `WebSocket`.
    pub websocket: WebSocket,
    /// Section `servers`: links between nodes.
    pub servers: Servers,
    /// Section `media`.
    pub media: Media,
    /// Section `script`.
    pub script: Script,
    /// Section `metrics`.
    pub metrics: Metrics,
    /// Section `status`: the operator's page.
    pub status: Status,
    /// Section `logs`, and `--log`.
    pub logs: Logs,
    /// Options of the command line (`mona.arguments`).
    pub arguments: Vec<(String, String)>,
    /// Every key flat, for scripts (`mona.configs`, MON-04): the file's as written, then defaults,
    /// then `application.*`. A key may stand twice; the later one wins. Without `servers.secret`.
    pub entries: Vec<(String, String)>,
}

/// RTMP clients.
#[derive(Debug, Clone)]
pub struct Rtmp {
    /// `RTMP.host` and `RTMP.port`.
    pub bind: Option<SocketAddr>,
    /// `RTMP.publicHost`.
    pub public_host: Option<String>,
    /// `RTMP.timeout`.
    pub timeout: Duration,
    /// `RTMPS.host` and `RTMPS.port`.
    pub tls_bind: Option<SocketAddr>,
}

/// RTMFP clients.
#[derive(Debug, Clone)]
pub struct Rtmfp {
    /// `RTMFP.host` and `RTMFP.port` (UDP).
    pub bind: Option<SocketAddr>,
    /// `RTMFP.publicHost`.
    pub public_host: Option<String>,
    /// `RTMFP.keepaliveServer`.
    pub keepalive_server: Duration,
    /// `RTMFP.keepalivePeer`.
    pub keepalive_peer: Duration,
    /// `RTMFP.newSessions`: of one address in a second.
    pub new_sessions: u32,
    /// `RTMFP.sessionsPerAddress`.
    pub sessions_per_address: usize,
    /// `RTMFP.timesBeforeTurn`; `None` is never.
    pub times_before_turn: Option<u64>,
}

/// HTTP clients.
#[derive(Debug, Clone)]
pub struct Http {
    /// `HTTP.host` and `HTTP.port`.
    pub bind: Option<SocketAddr>,
    /// `HTTP.publicHost`.
    pub public_host: Option<String>,
    /// `HTTP.timeout`.
    pub timeout: Duration,
    /// `HTTP.index`.
    pub index: HttpIndex,
    /// `HTTP.maxBody` in bytes.
    pub max_body: usize,
    /// `HTTPS.host` and `HTTPS.port`.
    pub tls_bind: Option<SocketAddr>,
}

/// The certificate of the ports for TLS; paths joined to [`Config::dir`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `tls.certificate`.
    pub certificate: PathBuf,
    /// `tls.key`.
    pub key: PathBuf,
}

/// What a folder answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpIndex {
    /// A list of its files.
    List,
    /// Nothing.
    Refuse,
    /// The file of that name in the folder.
    File(String),
}

/// WebSocket clients; they come through the HTTP port.
#[derive(Debug, Clone)]
pub struct WebSocket {
    /// `WebSocket.publicHost`.
    pub public_host: Option<String>,
    /// `WebSocket.timeout`.
    pub timeout: Duration,
}

/// Links between nodes.
#[derive(Debug, Clone)]
pub struct Servers {
    /// `servers.host` and `servers.port`.
    pub bind: Option<SocketAddr>,
    /// `servers.targets`.
    pub targets: Vec<Target>,
    /// `servers.secret`.
    pub secret: Option<Secret>,
    /// `servers.insecure`.
    pub insecure: bool,
    /// `servers.heartbeat`.
    pub heartbeat: Duration,
    /// `servers.timeout`; never below twice the heartbeat.
    pub timeout: Duration,
    /// `servers.queue`, bytes that wait on one link.
    pub queue_bytes: usize,
    /// `servers.spin`; zero is never.
    pub spin: Duration,
    /// `servers.share`.
    pub share: Vec<String>,
}

impl Servers {
    /// Whether the link port may be opened. A file that answers [`LinkPolicy::Refused`] is
    /// refused by loading; whoever makes a `Config` by hand asks before it binds.
    pub fn policy(&self) -> LinkPolicy {
        LinkPolicy::of(self.bind, self.secret.is_some(), self.insecure)
    }
}

/// Publications and their viewers.
#[derive(Debug, Clone)]
pub struct Media {
    /// `media.gopBytes` of one publication.
    pub gop_bytes: usize,
    /// `media.gopAge`.
    pub gop_age: Duration,
    /// `media.queueBytes` of one viewer.
    pub queue_bytes: usize,
    /// `media.queueAge`.
    pub queue_age: Duration,
}

/// The script engine.
#[derive(Debug, Clone)]
pub struct Script {
    /// `script.slow`; `None` is never.
    pub slow: Option<Duration>,
    /// `script.budget`; `None` is never.
    pub budget: Option<Duration>,
    /// `script.memory`; 0 is no limit.
    pub memory: usize,
}

/// The metrics lines of the log.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `metrics.period`; `None` is off.
    pub period: Option<Duration>,
}

/// Who sees the operator's page.
#[derive(Clone, Default)]
pub struct Status {
    /// `status.user` and `status.password`.
    pub login: Option<(String, String)>,
    /// `status.token`.
    pub token: Option<String>,
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (login, token) = (self.login.is_some(), self.token.is_some());
        f.debug_struct("Status").field("login", &login).field("token", &token).finish()
    }
}

/// Log files.
#[derive(Debug, Clone)]
pub struct Logs {
    /// `logs.directory`, joined to [`Config::dir`].
    pub directory: PathBuf,
    /// `logs.name`.
    pub name: String,
    /// `logs.rotation`: number of files; 0 is one file without number.
    pub rotation: usize,
    /// `logs.maxSize` in bytes.
    pub max_bytes: u64,
    /// `--log`.
    pub level: LogLevel,
    /// The last lines, for the operator's page.
    pub tail: LogTail,
}

/// What the command line adds to the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--dir`; goes before `application.dir`.
    pub dir: Option<PathBuf>,
    /// `--log`.
    pub level: LogLevel,
    /// All options, for `mona.arguments`.
    pub arguments: Vec<(String, String)>,
    /// Path of the program, for `application.path`, `.name` and `.baseName`.
    pub program: PathBuf,
    /// The command line as text, for `application.command`.
    pub command: String,
}

impl Default for Config {
    fn default() -> Self {
        Self::build(&Ini::default(), "", Path::new("."), &Overrides::default()).0
    }
}

impl Config {
    /// Makes the configuration of a parsed file. `folder` is the working folder, `file` only names
    /// the file in the findings; with a [`Severity::Fatal`] one the result must not be used.
    pub(super) fn build(
        ini: &Ini,
        file: &str,
        folder: &Path,
        overrides: &Overrides,
    ) -> (Self, Vec<Problem>) {
        let mut set = Settings::new(ini, file);
        let config = Self::read(&mut set, ini, folder, overrides);
        refuse_shared_ports(&config, &mut set);
        (config, set.problems)
    }

    fn read(set: &mut Settings<'_>, ini: &Ini, folder: &Path, overrides: &Overrides) -> Self {
        let written = set.any("application.dir").map(PathBuf::from);
        let dir = folder.join(overrides.dir.clone().or(written).unwrap_or_default());
        Self {
            host: set.host("host"),
            public_host: set.host("publicHost"),
            threads: set.size("threads"),
            socket_buffer: Some(set.size("socketBufferSize")).filter(|&bytes| bytes > 0),
            rtmp: Rtmp {
                bind: set.bind("RTMP.host", "RTMP.port"),
                public_host: set.host("RTMP.publicHost"),
                timeout: set.seconds("RTMP.timeout"),
                tls_bind: set.bind("RTMPS.host", "RTMPS.port"),
            },
            rtmfp: Rtmfp {
                bind: set.bind("RTMFP.host", "RTMFP.port"),
                public_host: set.host("RTMFP.publicHost"),
                keepalive_server: set.seconds("RTMFP.keepaliveServer"),
                keepalive_peer: set.seconds("RTMFP.keepalivePeer"),
                new_sessions: u32::try_from(set.whole("RTMFP.newSessions")).unwrap_or(u32::MAX),
                sessions_per_address: set.size("RTMFP.sessionsPerAddress"),
                times_before_turn: set.optional_whole("RTMFP.timesBeforeTurn"),
            },
            http: Http {
                bind: set.bind("HTTP.host", "HTTP.port"),
                public_host: set.host("HTTP.publicHost"),
                timeout: set.seconds("HTTP.timeout"),
                index: http_index(set),
                max_body: set.size("HTTP.maxBody"),
                tls_bind: set.bind("HTTPS.host", "HTTPS.port"),
            },
            tls: tls(set, &dir),
            websocket: WebSocket {
                public_host: set.host("WebSocket.publicHost"),
                timeout: set.seconds("WebSocket.timeout"),
            },
            servers: servers(set),
            media: Media {
                gop_bytes: set.size("media.gopBytes"),
                gop_age: set.seconds("media.gopAge"),
                queue_bytes: set.size("media.queueBytes"),
                queue_age: set.seconds("media.queueAge"),
            },
            script: Script {
                slow: Some(Duration::from_millis(set.whole("script.slow")))
                    .filter(|slow| !slow.is_zero()),
                budget: Some(set.seconds("script.budget")).filter(|budget| !budget.is_zero()),
                memory: set.size("script.memory"),
            },
            metrics: Metrics {
                period: Some(set.seconds("metrics.period")).filter(|period| !period.is_zero()),
            },
            status: status(set),
            logs: Logs {
                directory: dir.join(set.any("logs.directory").unwrap_or("logs")),
                name: set.file_name("logs.name"),
                rotation: set.size("logs.rotation"),
                max_bytes: set.whole("logs.maxSize"),
                level: overrides.level,
                tail: LogTail::default(),
            },
            arguments: overrides.arguments.clone(),
            entries: script_entries(set, ini, &dir, overrides),
            dir,
        }
    }

    /// What linked nodes are told (SRV-08): addresses and ports of the client protocols, and the
    /// own sections and keys that `servers.share` names. Never anything else of the file.
    pub fn public_entries(&self) -> Vec<(String, String)> {
        let shared = |name: &str| {
            let section = name.split_once('.').map_or("", |(section, _)| section);
            let named = |share: &String| {
                share.eq_ignore_ascii_case(name) || share.eq_ignore_ascii_case(section)
            };
            !is_engine_section(section) && self.servers.share.iter().any(named)
        };
        let public = |name: &str| match Key::find(name) {
            Some(key) => key.is_public() && key.name == name,
            None => shared(name),
        };
        self.entries.iter().filter(|(name, _)| public(name)).cloned().collect()
    }
}

fn tls(set: &mut Settings<'_>, dir: &Path) -> Option<Tls> {
    let certificate = set.any("tls.certificate").map(|file| dir.join(file));
    let key = set.any("tls.key").map(|file| dir.join(file));
    let tls = certificate.zip(key).map(|(certificate, key)| Tls { certificate, key });
    for port in ["HTTPS.port", "RTMPS.port"] {
        if tls.is_none() && set.any(port).is_some_and(|text| text != "0") {
            let text = "needs tls.certificate and tls.key".to_owned();
            set.report_key(Severity::Fatal, port, text);
        }
    }
    tls
}

fn http_index(set: &mut Settings<'_>) -> HttpIndex {
    let text = set.any("HTTP.index").unwrap_or_default();
    match value::boolean(text) {
        Outcome::Fine(true) => HttpIndex::List,
        Outcome::Fine(false) => HttpIndex::Refuse,
        _ => HttpIndex::File(set.file_name("HTTP.index")),
    }
}

fn status(set: &mut Settings<'_>) -> Status {
    let user = set.any("status.user").map(str::to_owned);
    let password = set.any("status.password").map(str::to_owned);
    if user.is_some() != password.is_some() {
        let text = "has no effect: status.user and status.password go together";
        let alone = if user.is_some() { "status.user" } else { "status.password" };
        set.report_key(Severity::Error, alone, text.into());
    }
    Status { login: user.zip(password), token: set.any("status.token").map(str::to_owned) }
}

fn servers(set: &mut Settings<'_>) -> Servers {
    let heartbeat = set.seconds("servers.heartbeat");
    let mut servers = Servers {
        bind: set.bind("servers.host", "servers.port"),
        targets: set.targets("servers.targets"),
        secret: set.any("servers.secret").and_then(Secret::new),
        insecure: set.boolean("servers.insecure"),
        heartbeat,
        timeout: set.seconds("servers.timeout"),
        queue_bytes: set.size("servers.queue"),
        spin: set.micros("servers.spin"),
        share: set
            .any("servers.share")
            .map(|list| list.split(',').map(|name| name.trim().to_owned()).collect())
            .unwrap_or_default(),
    };
    servers.share.retain(|name| !name.is_empty());
    at_least(set, "servers.timeout", &mut servers.timeout, heartbeat * 2);
    if servers.secret.as_ref().is_some_and(Secret::is_short) {
        let text = format!("shorter than {SHORT_SECRET} characters, others may guess it");
        set.report_key(Severity::Warning, "servers.secret", text);
    }
    if servers.policy() == LinkPolicy::Refused {
        let text = "opens links to everybody: set servers.secret, or servers.host = 127.0.0.1, \
                    or servers.insecure = true in a closed network";
        set.report_key(Severity::Fatal, "servers.port", text.into());
    }
    servers
}

/// Raises a duration that another key forbids, with a warning.
fn at_least(set: &mut Settings<'_>, name: &str, value: &mut Duration, least: Duration) {
    if *value < least {
        let text = format!("{value:?} is too short beside the other keys, {least:?} is used");
        set.report_key(Severity::Warning, name, text);
        *value = least;
    }
}

/// Two TCP ports of one number would fail as "in use" with nobody else to blame.
fn refuse_shared_ports(config: &Config, set: &mut Settings<'_>) {
    let ports = [
        ("RTMP.port", config.rtmp.bind),
        ("HTTP.port", config.http.bind),
        ("RTMPS.port", config.rtmp.tls_bind),
        ("HTTPS.port", config.http.tls_bind),
        ("servers.port", config.servers.bind),
    ];
    for (at, (name, bind)) in ports.iter().enumerate() {
        for (other, taken) in &ports[..at] {
            if let (Some(bind), Some(taken)) = (bind, taken)
                && bind.port() == taken.port()
                && (bind.ip() == taken.ip()
                    || bind.ip().is_unspecified()
                    || taken.ip().is_unspecified())
            {
                let text = format!("port {} is the one of {other} already", bind.port());
                set.report_key(Severity::Fatal, name, text);
            }
        }
    }
}

fn script_entries(
    set: &Settings<'_>,
    ini: &Ini,
    dir: &Path,
    overrides: &Overrides,
) -> Vec<(String, String)> {
    let secret = |name: &str| Key::find(name).is_some_and(|key| key.kind == Kind::Secret);
    let written = ini.entries.iter().filter(|entry| !secret(&entry.key));
    let mut entries: Vec<_> = written.map(|e| (e.key.clone(), e.value.clone())).collect();
    entries.extend(set.completed());
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map_or_else(|| "ramona".to_owned(), |text| text.to_string_lossy().into_owned())
    };
    let mut with_slash = dir.to_string_lossy().into_owned();
    if !with_slash.ends_with('/') {
        with_slash.push('/');
    }
    for (name, value) in [
        ("path", overrides.program.to_string_lossy().into_owned()),
        ("name", part(overrides.program.file_name())),
        ("baseName", part(overrides.program.file_stem())),
        ("dir", with_slash),
        ("command", overrides.command.clone()),
    ] {
        entries.push((format!("application.{name}"), value));
    }
    entries
}

#[cfg(test)]
mod tests;
