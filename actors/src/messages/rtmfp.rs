//! Between the RTMFP endpoint, the workers that hold its sessions, and the script bridge.

use std::net::{IpAddr, SocketAddr};

use actix::prelude::*;
use bytes::Bytes;
use ramona_rtmfp::{Address, Agreement, PeerId, SessionId};
use ramona_script::Redirect;

/// Datagrams of one worker's sessions, found in one turn of the endpoint.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// All of them, one after another.
    pub bytes: Vec<u8>,
    /// Whose each is, whence it came, which of our addresses it was sent to, and how long it is.
    pub items: Vec<(SessionId, SocketAddr, Option<IpAddr>, usize)>,
}

impl Message for Datagrams {
    type Result = ();
}

/// Message to the worker that holds a session.
#[derive(Debug)]
pub struct ToRtmfpSession {
    /// Which session.
    pub session: SessionId,
    /// What it shall do.
    pub order: SessionOrder,
}

/// What a session shall do.
#[derive(Debug)]
pub enum SessionOrder {
    /// Pass a hello on to its client, which answers itself (RFC 7016 §3.5.1.5).
    ForwardHello {
        /// Endpoint discriminator as it came.
        epd: Bytes,
        /// Who asks.
        reply: Address,
        /// To be returned.
        tag: Bytes,
    },
    /// The same client began anew at the same address: forget the session without a word.
    Discard,
    /// The same client connected from elsewhere: close the session.
    Replaced,
}

impl Message for ToRtmfpSession {
    type Result = ();
}

/// Message to the endpoint.
pub enum ToEndpoint {
    /// A session's first valid packet came.
    Confirmed(SessionId),
    /// A session's `connect` was accepted: its peer may be introduced.
    Connected {
        /// Which session.
        session: SessionId,
        /// Its peer.
        peer: PeerId,
        /// Where it is.
        address: SocketAddr,
    },
    /// Addresses that a client reported of itself (setPeerInfo).
    PeerInfo {
        /// Which session.
        session: SessionId,
        /// Its own view of its addresses.
        addresses: Vec<SocketAddr>,
    },
    /// A session's client left: its peer is not introduced any more, while the session says its
    /// last words.
    Left(SessionId),
    /// A client's address changed.
    Moved {
        /// Which session.
        session: SessionId,
        /// Where it is now.
        to: SocketAddr,
    },
    /// A session is over, its last words said.
    Ended(SessionId),
    /// A key agreement is computed.
    Agreed(Box<Agreement>),
}

impl Message for ToEndpoint {
    type Result = ();
}

/// What `onHandshake` is told (EVT-08).
#[derive(Clone, Debug)]
pub struct HandshakeQuestion {
    /// Comes back with the answer.
    pub number: u64,
    /// Who asks, `ip:port`.
    pub address: String,
    /// Application path of the URL.
    pub path: String,
    /// Query of the URL.
    pub query: Bytes,
    /// How often this client asked, from 1.
    pub attempts: u32,
}

/// What a handler answered.
#[derive(Debug)]
pub struct Redirects {
    /// Number of the question.
    pub number: u64,
    /// Where to; empty: nowhere.
    pub to: Vec<Redirect>,
}

impl Message for Redirects {
    type Result = ();
}
