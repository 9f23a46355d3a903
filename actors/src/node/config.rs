//! What a node is started with, and why it may not start.

use std::time::Duration;

use ramona_media::CacheLimits;

use super::ports::Port;
use crate::http_session::HttpConfig;
use crate::rtmfp_session::RtmfpConfig;
use crate::rtmp_session::RtmpConfig;
use crate::script_bridge::ScriptConfig;
use crate::servers::ServersConfig;
use crate::status_page::StatusConfig;
use crate::tls::TlsConfig;
use crate::websocket_session::WebSocketConfig;

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
