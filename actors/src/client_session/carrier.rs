//! What a transport brings to a [`ClientSession`].

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{QueueLimits, ViewerGate};
use ramona_rtmp::{Connect, Event, PublishRefusal, StreamId};
use ramona_script::{CallOutcome, ClientId, ClientMessage, ClientStats, Format, MediaQos, Refusal};
use tracing::Span;

use super::ClientSession;
use crate::clients::Traffic;
use crate::messages::client::ToSession;
use crate::metrics::{ActorKind, Protocol};
use crate::worker::Viewer;

/// What a client wants of the node.
pub(crate) enum Wish {
    /// What NetConnection and NetStream know.
    Net(Event),
    /// A message that names its function itself, or none (WSK-01).
    Message {
        /// Comes back with the result.
        transaction: f64,
        /// As it came.
        body: Bytes,
        /// Of the message and of its result.
        format: Format,
    },
    /// The connection is over, with a protocol that has its own reasons.
    Closed {
        /// In words.
        reason: String,
        /// Whether the client broke the protocol or a limit.
        is_protocol_error: bool,
    },
}

/// What the node tells a client.
pub(crate) enum Reply {
    /// `onConnection` accepted it, with these members of an info object.
    ConnectAccepted(Bytes),
    /// It did not.
    ConnectRefused(Refusal),
    /// A call or a message was handled.
    Called { transaction: f64, outcome: CallOutcome },
    /// A script wrote, while it handled that call of the client.
    Written { transaction: Option<f64>, message: ClientMessage },
    /// A script closed the client (WRI-07).
    Close(u32),
    /// The node stops.
    Shutdown,
    /// It may publish.
    PublishAccepted(StreamId),
    /// It may not.
    PublishRefused(StreamId, PublishRefusal),
    /// It may play; whether it may read decoded audio and video samples (LIS-06).
    PlayAccepted { stream: StreamId, audio: bool, video: bool },
    /// Its rights to samples changed (LIS-06).
    SampleAccess { stream: StreamId, audio: bool, video: bool },
    /// It may not play.
    PlayRefused(StreamId, Bytes),
    /// A script ended its publication (PUB-05), with `NetStream.<code>` and a description.
    PublicationClosed { stream: StreamId, status: Option<(Bytes, Bytes)> },
}

/// The transport of one client: its protocol machine, its bytes, its viewers. Shared between the
/// session's actor and its viewers, all on one arbiter; methods take `&self` and do not nest.
pub(crate) trait Carrier: Unpin + 'static {
    /// A subscription over this transport.
    type Viewer: Viewer;
    /// Its name in metrics.
    const KIND: ActorKind;
    /// CLI-06.
    const PROTOCOL: &'static str;
    /// Its protocol in the counters of media.
    const MEDIA: Protocol;
    /// What a script's writer writes.
    const FORMAT: Format;
    /// Whether messages of one write share datagrams (WRI-05).
    const PACKS: bool = false;

    /// The span of a session's log lines.
    fn span(client: ClientId, peer: SocketAddr) -> Span;
    /// Tells the client, in the words of its protocol.
    fn say(&self, reply: Reply);
    /// What is spoken next goes on this flow of a script (WRI-06), 0 for the main one, and is
    /// repeated when lost if `is_reliable` (WRI-08). Carriers without flows lose nothing.
    fn route(&self, flow: u32, is_reliable: bool) {
        let _ = (flow, is_reliable);
    }
    /// A script wrote these, while it handled that call of the client. With `holds_rest` what does
    /// not fill a datagram stays until the carrier next sends something (WRI-05).
    fn write(&self, transaction: Option<f64>, messages: Vec<ClientMessage>, holds_rest: bool) {
        let _ = holds_rest;
        for message in messages {
            self.say(Reply::Written { transaction, message });
        }
    }
    /// A script's flow ends.
    fn close_writer(&self, flow: u32) {
        let _ = flow;
    }
    /// Sends what the machine has to send and keeps its events.
    fn drain(&self);
    /// The next wish that [`drain`](Self::drain) kept.
    fn next_wish(&self) -> Option<Wish>;
    /// The application of the connect does not exist: what to connect to instead (HTT-01).
    fn connect_elsewhere(&self) -> Option<Connect> {
        None
    }
    /// Whether a decision is open and no input is taken.
    fn is_waiting(&self) -> bool;
    /// Takes input that waited for a decision.
    fn feed(&self);
    /// Holds input back, or takes it again.
    fn pause_input(&self, paused: bool);
    /// Counts as input: this end did not read.
    fn touch(&self);
    /// Sets the idle timeout that `onConnection` asked for.
    fn set_timeout(&self, timeout: Duration);
    /// When [`on_timer`](Self::on_timer) wants to be called; `None` when somebody else keeps time.
    fn deadline(&self) -> Option<Instant>;
    /// The deadline may have passed.
    fn on_timer(&self);
    /// Bytes that wait for the client.
    fn queued_bytes(&self) -> usize;
    /// Bytes sent so far.
    fn sent_bytes(&self) -> u64;
    /// Bytes received so far.
    fn received_bytes(&self) -> u64;
    /// Where both are shown.
    fn traffic(&self) -> &Arc<Traffic>;
    /// Shows both.
    fn show_traffic(&self) {
        self.traffic().show(self.received_bytes(), self.sent_bytes());
    }
    /// A viewer on one of the client's streams.
    fn viewer(
        self: &Rc<Self>,
        session: Recipient<ToSession>,
        stream: StreamId,
        name: Bytes,
        query: &[u8],
        limits: QueueLimits,
        qos: Arc<MediaQos>,
    ) -> Self::Viewer;
    /// The rules of a viewer.
    fn gate(viewer: &Self::Viewer) -> &RefCell<ViewerGate>;
    /// Where frames that a viewer loses count for its publication, and for its client.
    fn count_drops(viewer: &Self::Viewer, dropped: Arc<AtomicU64>, client: Arc<ClientStats>);

    /// The actor runs: sockets and streams of events are attached.
    fn started(session: &mut ClientSession<Self>, ctx: &mut Context<ClientSession<Self>>)
    where
        Self: Sized;
    /// After each turn: events of its own.
    fn advanced(session: &mut ClientSession<Self>, ctx: &mut Context<ClientSession<Self>>)
    where
        Self: Sized,
    {
        let _ = (session, ctx);
    }
    /// Sends what waits, then lets go; the session stops a second later at the latest.
    fn say_last_words(session: &mut ClientSession<Self>, ctx: &mut Context<ClientSession<Self>>)
    where
        Self: Sized;
    /// The client leaves: what this transport has told others about it.
    fn settle(session: &mut ClientSession<Self>)
    where
        Self: Sized,
    {
        let _ = session;
    }
    /// Members of a NetGroup that the client should meet; only RTMFP clients join groups.
    fn members(session: &mut ClientSession<Self>, join: u64, members: &[[u8; 32]])
    where
        Self: Sized,
    {
        let _ = (session, join, members);
    }
    /// The actor is over.
    fn stopped(session: &mut ClientSession<Self>)
    where
        Self: Sized,
    {
        let _ = session;
    }
}
