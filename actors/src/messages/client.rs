//! What others say to a client's session, whatever its protocol.

use actix::prelude::*;
use bytes::Bytes;
use ramona_script::{
    Accepted, CallOutcome, ClientMessage, ListenerId, PublicationId, ReadOutcome, Refusal,
};

use crate::outbox::Ticket;

/// Message to a session.
#[derive(Debug)]
pub enum ToSession {
    /// `onConnection` decided.
    Connected(Result<Accepted, Refusal>),
    /// `onPublish` decided.
    Published {
        /// The run that asked.
        run: PublicationId,
        /// Allowed or not.
        decision: Result<(), Refusal>,
    },
    /// `onSubscribe` decided.
    Subscribed {
        /// The subscription that asked.
        listener: ListenerId,
        /// Allowed or not.
        decision: Result<(), Refusal>,
    },
    /// A call ended.
    Called {
        /// The session's own number of the call.
        transaction: f64,
        /// Its result.
        outcome: CallOutcome,
    },
    /// `onRead` decided.
    Read {
        /// The session's own number of the request.
        transaction: f64,
        /// What is served.
        outcome: ReadOutcome,
    },
    /// A script wrote to the client.
    Write {
        /// Of the client's call that was being handled (WRI-02, WRI-04).
        transaction: Option<f64>,
        /// In order.
        messages: Vec<ClientMessage>,
        /// What does not fill a datagram is to stay, for another such message follows (WRI-05).
        holds_rest: bool,
        /// Bounds what is on its way to one session.
        ticket: Ticket,
    },
    /// A script wrote to the client on a flow of its own, or unreliably (WRI-06, WRI-08).
    WriteOn {
        /// The script's number of the flow, 0 for the main one.
        flow: u32,
        /// What is lost is repeated.
        is_reliable: bool,
        /// Of the client's call that was being handled (WRI-02, WRI-04).
        transaction: Option<f64>,
        /// In order.
        messages: Vec<ClientMessage>,
        /// As in [`Write`](Self::Write).
        holds_rest: bool,
        /// Bounds what is on its way to one session.
        ticket: Ticket,
    },
    /// A script has no more to say on a flow of its own.
    CloseWriter(u32),
    /// A script closed the client (WRI-07).
    Close {
        /// 0 ordinary, 1 idle, above: application shutdown.
        code: u32,
    },
    /// A script changed a listener (LIS-05, LIS-06).
    SetListener {
        /// Which one.
        listener: ListenerId,
        /// Whether audio is wanted.
        audio: bool,
        /// Whether video is wanted.
        video: bool,
        /// Whether the client may read decoded samples (audio, video).
        sample_access: (bool, bool),
    },
    /// A script ended this session's publication (PUB-05).
    PublicationClosed {
        /// Which run.
        run: PublicationId,
        /// `NetStream.<code>` and description.
        status: Option<(Bytes, Bytes)>,
    },
    /// Members of a NetGroup that the client should meet.
    Members {
        /// The session's own number of its join.
        join: u64,
        /// Peer ids.
        members: Vec<[u8; 32]>,
    },
    /// Events wait in the carrier: somebody else gave it input.
    Poke,
    /// The transport of this client broke, or a bound was passed: end the session.
    Broken(String),
    /// The node stops.
    Shutdown,
}

impl Message for ToSession {
    type Result = ();
}
