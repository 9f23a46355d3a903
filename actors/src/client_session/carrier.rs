//! What a transport brings to a [`ClientSession`].

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{QueueLimits, ViewerGate};
use ramona_rtmp::{Event, NetConnection, StreamId};
use ramona_script::{ClientId, MediaQos};
use tracing::Span;

use super::ClientSession;
use crate::messages::client::ToSession;
use crate::metrics::{ActorKind, Protocol};
use crate::worker::Viewer;

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

    /// The span of a session's log lines.
    fn span(client: ClientId, peer: SocketAddr) -> Span;
    /// Accepts the pending connect.
    fn accept_connect(&self, info: &[u8]);
    /// Speaks through the commands' state machine, then sends what it has to say.
    fn speak(&self, speak: impl FnOnce(&mut NetConnection));
    /// Sends what the machine has to send and keeps its events.
    fn drain(&self);
    /// The next event that [`drain`](Self::drain) kept.
    fn next_event(&self) -> Option<Event>;
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
