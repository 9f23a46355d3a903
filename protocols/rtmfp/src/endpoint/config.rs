//! Policies and limits of an endpoint.

use std::sync::Arc;

use crate::certificate::Identity;
use crate::crypto::Policy;
use crate::session::SessionConfig;

/// What to do with an Initiator Hello that seeks this server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HelloPolicy {
    /// Answer it.
    #[default]
    Answer,
    /// Ask the owner, who may redirect it. A hello that names this server's own fingerprint is
    /// answered all the same.
    Ask,
}

/// Policies and limits of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Who the endpoint is.
    pub identity: Arc<Identity>,
    /// Authentication of packets.
    pub hmac: Policy,
    /// Session sequence numbers, against replay.
    pub sequence_numbers: Policy,
    /// What to do with Initiator Hellos.
    pub hello: HelloPolicy,
    /// Times and limits of sessions.
    pub session: SessionConfig,
    /// Agreements that are computed at a time. Further initiators repeat their keying.
    pub max_keyings: usize,
    /// Sessions in all.
    pub max_sessions: usize,
    /// Groups that sessions are divided into, by the remainder of their [`SessionId`]: one for each
    /// thread that reads datagrams, so that a filter of the system can tell whose each is. A group
    /// gets 64 sessions before the next gets any, and the next 64 when all have as many: few
    /// sessions are served cheapest by one thread, and many are spread.
    ///
    /// [`SessionId`]: crate::SessionId
    pub groups: u32,
    /// Sessions of one IP address; many users may be behind one.
    pub max_sessions_per_address: usize,
    /// Sessions that one IP address may open in a second.
    pub new_sessions_per_second: u32,
    /// Bytes of answers in a second to one network (IPv4 /24, IPv6 /56) before a cookie is
    /// confirmed.
    pub answer_bytes_per_second: u32,
    /// The same, to everybody together.
    pub total_answer_bytes_per_second: u32,
}

impl EndpointConfig {
    /// Defaults for an identity.
    pub fn new(identity: Arc<Identity>) -> Self {
        Self {
            identity,
            hmac: Policy::ON_REQUEST,
            sequence_numbers: Policy::ON_REQUEST,
            hello: HelloPolicy::Answer,
            session: SessionConfig::default(),
            max_keyings: 16,
            max_sessions: 100_000,
            groups: 1,
            max_sessions_per_address: 1024,
            new_sessions_per_second: 50,
            answer_bytes_per_second: 32_000,
            total_answer_bytes_per_second: 8_000_000,
        }
    }
}
