//! Everything that lives in a node is an actor.
//!
//! ```text
//!  sockets                one per arbiter             one per name         one per node
//!
//!  Listener ─────────▶ Worker ── starts ─▶ RtmpSession ──frames──▶ Publication
//!                        ▲  └─ viewers' sockets             │   │
//!                        └────── one batch per worker ──────┘   └─ watched packets ─▶ ScriptBridge
//!  Servers ── starts ─▶ ServerConnection ◀──── calls of scripts ───────────────────▶ (Lua state)
//! ```
//!
//! [`Node`] starts and stops them. Messages between two or more actors are in [`messages`], one
//! file per conversation; bounded sends go through [`outbox`]; every counter is in [`metrics`].

#![deny(unsafe_code)]

mod awake;
mod blacklist;
mod client_session;
mod clients;
pub mod directory;
mod group;
mod groups;
mod http_live;
mod http_session;
mod listener;
pub mod messages;
pub mod metrics;
mod metrics_log;
mod node;
pub mod outbox;
mod prefetch;
pub mod publication;
mod rtmfp_endpoint;
mod rtmfp_session;
mod rtmp_session;
mod scheduling;
mod script_bridge;
mod server_connection;
mod servers;
mod services;
mod shared_link;
mod socket_options;
mod status_page;
#[cfg(test)]
mod testing;
mod text;
mod tls;
mod transport;
mod udp;
mod websocket_session;
pub mod worker;

pub use client_session::ClientConfig;
pub use http_session::{HttpConfig, limits as http_limits};
pub use listener::MAX_SESSIONS;
pub use node::{Addresses, Node, NodeConfig, Port, StartError};
pub use rtmfp_endpoint::RtmfpEndpointConfig;
pub use rtmfp_session::RtmfpConfig;
pub use rtmp_session::RtmpConfig;
pub use script_bridge::ScriptConfig;
pub use servers::ServersConfig;
pub use status_page::{LogTail, MAX_LINES, MAX_PAGES, StatusConfig};
pub use tls::{TLS_HANDSHAKE_TIMEOUT, TlsConfig};
pub use websocket_session::WebSocketConfig;
