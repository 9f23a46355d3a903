//! Between the RTMFP endpoint, the workers that hold its sessions, and the script bridge.

use std::net::{IpAddr, SocketAddr};

use actix::prelude::*;
use bytes::Bytes;
use ramona_rtmfp::{Address, Agreement, PeerId, SessionId};
use ramona_script::Redirect;

/// Datagrams, from the endpoint to the worker that holds their sessions, and from a worker to the
/// endpoint.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// All of them, one after another.
    pub bytes: Vec<u8>,
    /// One for each.
    pub items: Vec<Datagram>,
}

/// One of [`Datagrams`].
#[derive(Debug)]
pub struct Datagram {
    /// What it says whose it is.
    pub session: Option<SessionId>,
    /// Whence it came.
    pub from: SocketAddr,
    /// Which of our addresses it was sent to.
    pub own: Option<IpAddr>,
    /// Its bytes.
    pub length: usize,
}

impl Datagrams {
    /// Adds one.
    pub fn push(
        &mut self,
        session: Option<SessionId>,
        from: SocketAddr,
        own: Option<IpAddr>,
        datagram: &[u8],
    ) {
        self.bytes.extend_from_slice(datagram);
        self.items.push(Datagram { session, from, own, length: datagram.len() });
    }

    /// Each of them.
    pub fn each(mut self, mut take: impl FnMut(Datagram, &mut [u8])) {
        let mut rest = &mut self.bytes[..];
        for item in self.items {
            let (datagram, after) = rest.split_at_mut(item.length);
            rest = after;
            take(item, datagram);
        }
    }
}

impl Message for Datagrams {
    type Result = ();
}

/// What a worker read that is for none of its sessions: startup packets, and those of a session
/// that another worker holds, or nobody.
#[derive(Debug)]
pub struct Strangers(pub Datagrams);

impl Message for Strangers {
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
