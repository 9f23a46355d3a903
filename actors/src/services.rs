//! What every session of a node needs, given in its constructor: no globals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use ramona_script::{ClientId, ListenerId, PublicationId, ServerId, SocketId};

use crate::blacklist::Blacklist;
use crate::clients::Clients;
use crate::directory::Directory;
use crate::groups::Groups;
use crate::http_session::HttpConfig;
use crate::messages::script::ToScript;
use crate::metrics::Metrics;
use crate::outbox::{Backlog, Ticketed};
use crate::rtmfp_session::RtmfpConfig;
use crate::rtmp_session::RtmpConfig;
use crate::status_page::Status;
use crate::tls::Certificates;
use crate::websocket_session::WebSocketConfig;

/// Numbers that name things of one node; never reused.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    next: AtomicU64,
}

impl Ids {
    /// A new client.
    pub(crate) fn client(&self) -> ClientId {
        ClientId(self.take())
    }

    /// A new run of a publication.
    pub(crate) fn publication(&self) -> PublicationId {
        PublicationId(self.take())
    }

    /// A new subscription.
    pub(crate) fn listener(&self) -> ListenerId {
        ListenerId(self.take())
    }

    /// A new link.
    pub(crate) fn server(&self) -> ServerId {
        ServerId(self.take())
    }

    /// A new socket of a script.
    pub(crate) fn socket(&self) -> SocketId {
        SocketId(self.take())
    }

    fn take(&self) -> u64 {
        self.next.fetch_add(1, Relaxed) + 1
    }
}

/// See the module's text.
pub(crate) struct Services {
    /// Names of publications.
    pub directory: Arc<Directory>,
    /// The script bridge.
    pub script: Recipient<Ticketed<ToScript>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// New numbers.
    pub ids: Arc<Ids>,
    /// Addresses that scripts block.
    pub(crate) blacklist: Arc<Blacklist>,
    /// Who is there, for people to look at.
    pub(crate) clients: Arc<Clients>,
    /// NetGroups.
    pub(crate) groups: Arc<Groups>,
    /// How RTMFP sessions behave.
    pub(crate) rtmfp: RtmfpConfig,
    /// How RTMP sessions behave.
    pub rtmp: RtmpConfig,
    /// How WebSocket sessions behave.
    pub(crate) websocket: WebSocketConfig,
    /// The certificate, when there is a port for TLS.
    pub(crate) tls: Option<Arc<Certificates>>,
    /// How HTTP sessions behave.
    pub http: HttpConfig,
    /// The operator's page.
    pub(crate) status: Status,
    /// Bytes of the bodies of HTTP requests.
    pub(crate) http_bodies: Arc<Backlog>,
    /// Send and receive buffers of clients' sockets in bytes; `None` leaves the system's choice.
    pub socket_buffer: Option<usize>,
}

/// Milliseconds since 1970-01-01 UTC; 0 for a clock before.
pub(crate) fn epoch_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
