//! Every event given to Lua.

use actix::prelude::*;
use bytes::Bytes;
use ramona_cluster::Call;
use ramona_media::MediaFrame;
use ramona_script::{
    ClientId, ClientInfo, Format, ListenerId, ListenerInfo, PublicationId, PublicationInfo,
    ServerId, ServerInfo,
};

use super::client::ToSession;
use super::cluster::ServerHandle;
use super::group::GroupId;
use super::rtmfp::{HandshakeQuestion, Redirects};
use super::stream::ToPublication;

/// Message to the script bridge. Events of one client arrive in the order of the API's section
/// 3.1 because each comes from the client's session, except [`Unpublished`](Self::Unpublished),
/// which follows the last packets through the publication.
pub enum ToScript {
    /// EVT-03.
    Connect {
        /// The client.
        info: Box<ClientInfo>,
        /// Where the decision and later writes go.
        session: Recipient<ToSession>,
        /// Messages of one write share datagrams (WRI-05).
        packs: bool,
    },
    /// EVT-04, also for a client that left before the decision; ignored when it was refused.
    Disconnect(ClientId),
    /// A client calls a function (CLI-20).
    Call {
        /// Who calls.
        client: ClientId,
        /// Comes back with the result.
        transaction: f64,
        /// Function name.
        name: Bytes,
        /// Values in `format`.
        args: Bytes,
        /// Of the arguments, and of the result.
        format: Format,
    },
    /// A client sent a message that names its function itself, or none (HTT-03, WSK-01, CLI-30).
    Message {
        /// Who sent it.
        client: ClientId,
        /// Comes back with the result, as that of a call.
        transaction: f64,
        /// The message.
        body: Bytes,
        /// Of the message, and of the result.
        format: Format,
    },
    /// Headers and cookies of the request that follows (CLI-10).
    Request {
        /// Who asks.
        client: ClientId,
        /// AMF0 object members.
        properties: Bytes,
    },
    /// GET of a name without extension (HTT-02); the answer is that of a call, in JSON.
    Get {
        /// Who asks.
        client: ClientId,
        /// Comes back with the result.
        transaction: f64,
        /// Name of a function, perhaps.
        name: Bytes,
        /// Its arguments.
        query: Bytes,
    },
    /// GET or HEAD of a file (CLI-39).
    Read {
        /// Who asks.
        client: ClientId,
        /// Comes back with the decision.
        transaction: f64,
        /// Its name, without folder.
        file: Bytes,
        /// URL query.
        query: Bytes,
    },
    /// CLI-33.
    Publish {
        /// Who publishes.
        client: ClientId,
        /// What.
        info: PublicationInfo,
        /// The way to its publication.
        control: Recipient<ToPublication>,
    },
    /// The run of a client or a script ended and its last packet was delivered (CLI-34); ignored for
    /// one that was refused.
    Unpublished(PublicationId),
    /// CLI-35.
    Subscribe {
        /// Who plays what.
        info: ListenerInfo,
        /// The publication of that name, when one runs.
        publication: Option<PublicationId>,
    },
    /// The player told how much it buffers (LIS-07); ignored for a listener that was refused.
    BufferTime {
        /// Which subscription.
        listener: ListenerId,
        /// Milliseconds.
        ms: u32,
    },
    /// CLI-36; ignored for a listener that was refused.
    Unsubscribe(ListenerId),
    /// Packets of a run that a script watches (PUB-06..08).
    Media {
        /// Which run.
        run: PublicationId,
        /// Only the watched kinds.
        frames: Vec<MediaFrame>,
    },
    /// The metadata of a run changed (PUB-15): the AMF data message, or none.
    Metadata {
        /// Which run.
        run: PublicationId,
        /// The message.
        message: Option<Bytes>,
    },
    /// EVT-13.
    JoinGroup {
        /// Who joined.
        client: ClientId,
        /// Which NetGroup.
        group: GroupId,
    },
    /// EVT-14.
    UnjoinGroup {
        /// Who left.
        client: ClientId,
        /// Which NetGroup.
        group: GroupId,
    },
    /// CLI-37.
    AddressChanged {
        /// Whose.
        client: ClientId,
        /// `ip:port` from now on.
        address: String,
    },
    /// EVT-08.
    Handshake {
        /// What the handler is told.
        question: HandshakeQuestion,
        /// Where the answer goes.
        answer: Recipient<Redirects>,
    },
    /// EVT-09.
    RendezvousUnknown {
        /// Who is sought.
        peer: [u8; 32],
        /// Comes back with the answer.
        number: u64,
        /// Where the answer goes.
        answer: Recipient<Redirects>,
    },
    /// EVT-10.
    ServerUp {
        /// The remote node.
        info: Box<ServerInfo>,
        /// The way to it.
        handle: ServerHandle,
    },
    /// EVT-12; ignored for servers that were refused.
    ServerDown {
        /// Which link.
        server: ServerId,
        /// Why, when it ended by error or refusal.
        error: Option<Bytes>,
    },
    /// CLU-22: all calls found in one read of a link, in order.
    ServerCalls {
        /// Which link.
        server: ServerId,
        /// Handler names and AMF3 arguments.
        calls: Vec<Call>,
    },
    /// CLU-13.
    SyncApp(Bytes),
    /// ENV-02: the listeners are open, load the root application, then answer.
    Start(tokio::sync::oneshot::Sender<()>),
    /// ENV-11, then answer.
    Stop(tokio::sync::oneshot::Sender<()>),
}

impl Message for ToScript {
    type Result = ();
}
