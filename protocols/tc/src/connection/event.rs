//! What a connection tells its owner.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use ramona_rtmfp::{Address, RecvFlowId, SendFlowId};
use ramona_rtmp::StreamId;

/// One membership of a NetGroup: the flow that it was asked for on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupJoin(pub(crate) RecvFlowId);

/// A flow of a script's own (`newFlowWriter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writer(pub(crate) SendFlowId);

/// What a connection wants of its owner.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send `bytes` to `to`.
    Transmit {
        /// Usually the client's address.
        to: SocketAddr,
        /// One datagram; valid until the next call.
        bytes: &'a [u8],
    },
    /// Something happened.
    Event(Event),
    /// Nothing until then; call [`handle_timeout`](crate::Connection::handle_timeout). `None` when the session is closed
    /// and has nothing more to say.
    Timeout(Option<Instant>),
}

/// What happened on a connection, in the order in which the client caused it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first valid packet came: the client's peer ID is proven.
    Confirmed,
    /// What the NetConnection tells, the same as over RTMP.
    Net(ramona_rtmp::Event),
    /// The client told at which addresses it can be reached besides the observed one; they replace
    /// what it told before. At most
    /// [`MAX_PEER_ADDRESSES`](crate::limits::MAX_PEER_ADDRESSES). Answered already.
    PeerInfo(Vec<SocketAddr>),
    /// The client joins a group: tell it members with [`tell_member`](crate::Connection::tell_member).
    JoinGroup {
        /// This membership.
        join: GroupJoin,
        /// The group.
        group: [u8; 32],
    },
    /// A membership is over. Also given for each one before [`Event::Closed`].
    LeaveGroup {
        /// This membership.
        join: GroupJoin,
        /// The group.
        group: [u8; 32],
    },
    /// The client's address is another, and was checked.
    AddressChanged {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// The publisher gave frames up: its video is dropped up to the next keyframe
    /// (RTMFP-075), nobody need do anything.
    MediaGap {
        /// Its stream.
        stream: StreamId,
    },
    /// An introduction reached this end, which is a client of the far end.
    ForwardedHello {
        /// Endpoint discriminator.
        epd: Bytes,
        /// Where to answer to.
        reply: Address,
        /// To be returned.
        tag: Bytes,
    },
    /// The connection is over, with the reason; its last event. Go on with
    /// [`poll_output`](crate::Connection::poll_output) until it answers [`Output::Timeout`] with `None`: last messages
    /// may be under way, and the far end may have to be told again.
    Closed(String),
}

/// Counters of a connection, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Flows refused: unknown metadata, a second control flow, a stream that does not exist, too
    /// many for their stream, too many groups, or out of place. What the session itself refused
    /// is in its own counters.
    pub flows_refused: u64,
    /// Messages too short, of a type without meaning, or of a flow that is over.
    pub messages_ignored: u64,
    /// Group messages that ask for no group that can be: the flow is refused.
    pub bad_joins: u64,
    /// Gaps in flows of publishers.
    pub media_gaps: u64,
    /// Frames of publishers dropped between a gap and the next keyframe.
    pub broken_frames: u64,
    /// Frames not sent: too late, waiting for a keyframe, or the flow is full or refused.
    pub frames_dropped: u64,
    /// Messages of the server that no flow could carry.
    pub messages_unsent: u64,
    /// Flow synchronisations begun.
    pub flow_syncs: u64,
}
