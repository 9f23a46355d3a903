//! RTMFP (RFC 7016) with the cryptography of the Flash profile (RFC 7425), without sockets, clocks
//! or randomness of its own.

#![forbid(unsafe_code)]

mod address;
mod certificate;
mod chunk;
mod congestion;
mod cookie;
mod crypto;
mod endpoint;
mod entropy;
mod flow;
#[doc(hidden)]
pub mod fuzz;
mod introduction;
mod netgroup;
mod option;
mod packet;
mod profile;
mod reader;
mod rtt;
mod session;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timecritical;
mod vlu;

pub use address::{Address, Origin};
pub use certificate::{Epd, Identity, ParsePeerIdError, PeerId};
pub use crypto::{Group, KeyPair, Negotiation, Nonces, OpenError, Policy};
pub use endpoint::{
    AgreeJob, Agreement, Endpoint, EndpointConfig, EndpointEvent, EndpointOutput, EndpointStats,
    HelloPolicy, OpenError as OpenSessionError, OpenId, OpeningProgress, Route, session_of,
};
pub use entropy::Entropy;
pub use flow::{
    Delivery, FlowOptions, FlowStats, MAX_MESSAGE_HEADER, MAX_METADATA, Message, OpenFlowError,
    Priority, RecvFlowId, SendFlowId, WriteError,
};
pub use introduction::{MAX_PEER_ADDRESSES, peer_addresses, reply_addresses};
pub use netgroup::{
    GROUP_METADATA, GroupId, MAX_BOOTSTRAP, bootstrap, connect_key, decode_join, decode_member,
    encode_join, encode_member, group_address,
};
pub use profile::{
    Lifetime, MediaClass, NetConnectionFlows, SendError, Side, StreamMetadata, TcEvent, TcMessage,
    set_keepalive,
};
pub use session::{
    CloseReason, Event, FlowEnd, MemoryVisitor, Output, PacketBuffer, PacketError, Role, Session,
    SessionConfig, SessionId, SessionStats, Violation,
};
