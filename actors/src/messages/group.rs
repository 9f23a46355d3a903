//! NetGroups: who joins and leaves.

use std::fmt;

use actix::prelude::*;
use ramona_script::ClientId;

use super::client::ToSession;

/// GRP-01: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub [u8; 32]);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({self})")
    }
}

/// Message to one group.
#[derive(Debug)]
pub enum ToGroup {
    /// A client of this node joins.
    Join {
        /// Who.
        client: ClientId,
        /// Its peer id.
        peer: [u8; 32],
        /// The session's own number of this join.
        join: u64,
        /// Where the members it meets are told.
        session: Recipient<ToSession>,
    },
    /// It leaves.
    Leave {
        /// Who.
        client: ClientId,
        /// Which of its joins.
        join: u64,
    },
    /// A script adds a peer of another node (MON-11).
    AddVirtual([u8; 32]),
    /// It takes it away again (MEM-01).
    RemoveVirtual([u8; 32]),
    /// Nobody is left: the registry has forgotten the group.
    Stop,
}

impl Message for ToGroup {
    type Result = ();
}
