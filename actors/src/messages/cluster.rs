//! The way from the script bridge and the registry of servers to one link.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;

use crate::metrics::LinkStats;
use crate::outbox::{Backlog, Ticketed};
use crate::shared_link::SharedLink;

/// Message to the actor of one link.
#[derive(Debug)]
pub enum ToServer {
    /// Encoded calls, in order; they leave in one write with everything else that waits.
    Frames(Bytes),
    /// The socket did not take all that the script's thread wrote into it.
    Rest,
    /// CLU-12.
    AnnounceApp(String),
    /// CLU-10: say why, then close.
    Reject(Bytes),
    /// The registry decided on this link.
    Registered(Registration),
    /// The node stops.
    Shutdown,
}

impl Message for ToServer {
    type Result = ();
}

/// What the registry says of a link whose hello arrived (CLU-08).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The only link to that node.
    Keep,
    /// Another link to the same node stays instead.
    Duplicate,
}

/// The way to one link for the script bridge.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    /// Its mailbox.
    pub to: Recipient<Ticketed<ToServer>>,
    /// Its socket, for what need not wait for the mailbox.
    pub(crate) link: Arc<SharedLink>,
    /// Bytes on their way out: mailbox and write queue together (CLU-26).
    pub queued: Arc<Backlog>,
    /// How many may be on their way.
    pub limit: usize,
    /// Counters of the link.
    pub stats: Arc<LinkStats>,
}
