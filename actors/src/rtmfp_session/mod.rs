//! RtmfpSession: a [`ClientSession`] over an RTMFP session.

mod carrier;
mod hub;
mod patience;
mod viewer;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ramona_rtmfp::Session;
use ramona_tc::{Connection, ConnectionConfig};

use crate::client_session::{ClientConfig, ClientSession};
use crate::services::Services;
use crate::worker::Local;
use carrier::RtmfpCarrier;
pub(crate) use hub::RtmfpHub;

/// How RTMFP sessions behave.
#[derive(Clone, Debug)]
pub struct RtmfpConfig {
    /// Keepalive periods and deadlines of media.
    pub connection: ConnectionConfig,
    /// What RTMFP clients have in common with others.
    pub client: ClientConfig,
    /// Send and receive buffer of the socket in bytes; `None` asks for 4 MiB.
    pub socket_buffer: Option<usize>,
    /// Sessions that one IP address may open in a second.
    pub new_sessions_per_second: u32,
    /// Sessions of one IP address at a time.
    pub max_sessions_per_address: usize,
}

/// One RTMFP session.
pub(crate) type RtmfpSession = ClientSession<RtmfpCarrier>;

/// Starts a session on the present arbiter.
pub(crate) fn start_here(
    session: Box<Session>,
    local: &Rc<Local>,
    hub: &Rc<RtmfpHub>,
    services: Arc<Services>,
) {
    let peer: SocketAddr = session.far_address();
    let raw_id = session.peer_id().0;
    let config = services.rtmfp.clone();
    let connection = Connection::new(Instant::now(), session, config.connection);
    let carrier = Rc::new(RtmfpCarrier::new(connection, hub.clone()));
    hub.add(carrier.clone());
    RtmfpSession::start_here(carrier, peer, Some(raw_id), local.clone(), services, config.client);
}
