//! From a [`Config`] to a running node.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ramona_actors::{
    ClientConfig, HttpConfig, Node, NodeConfig, Port, RtmfpConfig, RtmpConfig, ScriptConfig,
    ServersConfig, StartError, StatusConfig, TlsConfig, WebSocketConfig,
};
use ramona_cluster::{Capabilities, Hello, LinkConfig, NodeId, public_configuration};
use ramona_media::{CacheLimits, QueueLimits};
use ramona_tc::ConnectionConfig;
use tracing::warn;

use crate::config::{Config, HttpIndex, LinkPolicy};

/// File in `<dir>/data` that keeps the node's id (32 hex digits).
const NODE_ID_FILE: &str = "node-id";

/// A link whose outbound queue is half full for so long is closed.
const QUEUE_FULL_FOR: Duration = Duration::from_secs(5);

/// Starts a node inside the present actix system.
///
/// # Errors
/// A port cannot be opened, or the link port would be open to everybody.
pub async fn start(config: &Config) -> Result<Node, StartError> {
    Node::start(node_config(config)).await
}

/// What each component is told.
pub fn node_config(config: &Config) -> NodeConfig {
    let port = |address, key| Some(Port { address, key });
    let servers = config.servers.bind.filter(|_| may_open(config));
    NodeConfig {
        threads: config.threads,
        rtmp: config.rtmp.bind.and_then(|address| port(address, "RTMP.port")),
        rtmps: config.rtmp.tls_bind.and_then(|address| port(address, "RTMPS.port")),
        rtmp_session: RtmpConfig {
            session: ramona_rtmp::SessionConfig {
                timeout: config.rtmp.timeout,
                ..ramona_rtmp::SessionConfig::default()
            },
            client: client_config(config, "RTMP"),
        },
        rtmfp: config.rtmfp.bind.and_then(|address| port(address, "RTMFP.port")),
        rtmfp_session: RtmfpConfig {
            connection: ConnectionConfig {
                keepalive_server: config.rtmfp.keepalive_server,
                keepalive_peer: config.rtmfp.keepalive_peer,
                ..ConnectionConfig::default()
            },
            client: client_config(config, "RTMFP"),
            socket_buffer: config.socket_buffer,
            new_sessions_per_second: config.rtmfp.new_sessions,
            max_sessions_per_address: config.rtmfp.sessions_per_address,
        },
        socket_buffer: config.socket_buffer,
        host: config.host.clone(),
        http: config.http.bind.and_then(|address| port(address, "HTTP.port")),
        https: config.http.tls_bind.and_then(|address| port(address, "HTTPS.port")),
        tls: config
            .tls
            .as_ref()
            .map(|tls| TlsConfig { certificate: tls.certificate.clone(), key: tls.key.clone() }),
        http_session: HttpConfig {
            timeout: config.http.timeout,
            index: match &config.http.index {
                HttpIndex::List => "true".to_owned(),
                HttpIndex::Refuse => "false".to_owned(),
                HttpIndex::File(name) => name.clone(),
            },
            parameters: section(config, "HTTP"),
            www: config.dir.join("www"),
            max_body: config.http.max_body,
            body_budget: ramona_actors::http_limits::BODY_BUDGET,
        },
        websocket_session: WebSocketConfig {
            session: ramona_websocket::SessionConfig {
                timeout: config.websocket.timeout,
                ..ramona_websocket::SessionConfig::default()
            },
            client: client_config(config, "WebSocket"),
        },
        servers: servers.and_then(|address| port(address, "servers.port")),
        servers_config: ServersConfig {
            targets: config.servers.targets.clone(),
            secret: config.servers.secret.clone(),
            link: LinkConfig {
                ping_interval: config.servers.heartbeat,
                dead_after: config.servers.timeout,
                ..LinkConfig::default()
            },
            queue: config.servers.queue_bytes,
            full_for: QUEUE_FULL_FOR,
            spin: config.servers.spin,
            hello: hello(config),
            socket_buffer: config.socket_buffer,
        },
        cache: CacheLimits { bytes: config.media.gop_bytes, age_ms: millis(config.media.gop_age) },
        script: ScriptConfig {
            dir: config.dir.clone(),
            entries: config.entries.clone(),
            arguments: config.arguments.clone(),
            slow: config.script.slow.unwrap_or(Duration::MAX),
            budget: config.script.budget,
            memory: config.script.memory,
        },
        status: StatusConfig {
            login: config.status.login.clone(),
            token: config.status.token.clone(),
            log: config.logs.tail.clone(),
            host: config.host.clone().unwrap_or_default(),
        },
        metrics_period: config.metrics.period.unwrap_or_default(),
    }
}

fn client_config(config: &Config, protocol: &str) -> ClientConfig {
    ClientConfig {
        queue: QueueLimits {
            // A new viewer's first burst must fit, or it would be closed for being slow.
            bytes: config.media.queue_bytes.max(config.media.gop_bytes),
            age_ms: millis(config.media.queue_age),
        },
        parameters: section(config, protocol),
    }
}

/// A file that would open the port to everybody was refused when it was loaded; a configuration
/// made by hand comes here.
fn may_open(config: &Config) -> bool {
    match config.servers.policy() {
        LinkPolicy::Refused => {
            tracing::error!(
                "servers.port is not opened: set servers.secret, or servers.host = 127.0.0.1, or \
                 servers.insecure = true in a closed network"
            );
            false
        }
        LinkPolicy::Insecure => {
            warn!(
                "servers.insecure = true: anybody who reaches servers.port can join the cluster \
                 and call its scripts"
            );
            true
        }
        LinkPolicy::Off | LinkPolicy::Loopback | LinkPolicy::Secret => true,
    }
}

fn hello(config: &Config) -> Hello {
    let entries = config.public_entries();
    let public =
        public_configuration(entries.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    if public.omitted > 0 {
        warn!(
            keys = public.omitted,
            "configuration keys not told to other nodes: too many or long"
        );
    }
    let port = |bind: Option<std::net::SocketAddr>| bind.map_or(0, |address| address.port());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Hello {
        node_id: node_id(&config.dir.join("data")),
        incarnation: now.as_millis() as u64,
        capabilities: Capabilities::default(),
        dial: 0,
        host: config.host.clone().unwrap_or_default(),
        ports: vec![
            ("RTMP".to_owned(), port(config.rtmp.bind)),
            ("RTMFP".to_owned(), port(config.rtmfp.bind)),
            ("HTTP".to_owned(), port(config.http.bind)),
        ],
        configuration: public.pairs,
        properties: Vec::new(),
    }
}

/// The id kept in `data`, or a new one that is kept from now on.
fn node_id(data: &Path) -> NodeId {
    let path = data.join(NODE_ID_FILE);
    if let Some(id) = std::fs::read_to_string(&path).ok().and_then(|text| parse_id(text.trim())) {
        return NodeId(id);
    }
    let mut id = [0; 16];
    if let Err(error) = getrandom::fill(&mut id) {
        warn!(%error, "no randomness for the node's id: the clock serves");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        id = now.as_nanos().to_be_bytes();
    }
    let id = NodeId(id);
    if let Err(error) = keep_id(&path, id) {
        warn!(file = %path.display(), %error, "the node's id is not kept: a new one at each start");
    }
    id
}

fn keep_id(path: &Path, id: NodeId) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::create(path)?.write_all(format!("{id}\n").as_bytes())
}

fn parse_id(text: &str) -> Option<[u8; 16]> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

/// Keys of one section without its name.
fn section(config: &Config, name: &str) -> Vec<(String, String)> {
    let of = |key: &str| {
        let (section, key) = key.split_once('.')?;
        section.eq_ignore_ascii_case(name).then(|| key.to_owned())
    };
    config.entries.iter().filter_map(|(key, value)| Some((of(key)?, value.clone()))).collect()
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_id_is_kept_between_starts_and_a_broken_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = node_id(&data);
        assert_eq!(node_id(&data), first);
        std::fs::write(data.join(NODE_ID_FILE), "not hex").unwrap();
        let second = node_id(&data);
        assert_ne!(second, first);
        assert_eq!(node_id(&data), second);
    }

    #[test]
    fn scripts_see_the_keys_of_a_protocol_without_its_section() {
        let parameters = section(&Config::default(), "RTMP");
        assert!(parameters.contains(&("timeout".to_owned(), "60".to_owned())), "{parameters:?}");
    }
}
