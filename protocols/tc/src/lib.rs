//! The Flash profile (RFC 7425 §5) without sockets, clocks or randomness: NetConnection, NetStream
//! and NetGroup over the flows of an RTMFP session.
//!
//! - [`Connection`] is the server's side of one session: it gives each flow its meaning by the
//!   flow's metadata, frames and reads messages, and carries the same
//!   [`NetConnection`](ramona_rtmp::NetConnection) as RTMP.
//! - [`Client`] is the other side, for tools and tests; [`ClientEndpoint`] is a whole client, with
//!   sessions to peers.
//!
//! The bounds on what a peer can make grow are in [`limits`].

#![forbid(unsafe_code)]

mod client;
mod client_endpoint;
mod connection;
#[doc(hidden)]
pub mod fuzz;
mod harness;
pub mod limits;
mod message;
mod metadata;
mod peer_info;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientEvent, ClientOutput, GroupHandle};
pub use client_endpoint::{ClientEndpoint, ClientEndpointOutput};
pub use connection::{
    Connection, ConnectionConfig, ConnectionStats, Event, GroupJoin, MediaDeadlines, Output, Writer,
};
pub use metadata::{FlowKind, STREAM_ID_OF_PEERS};
