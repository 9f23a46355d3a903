//! RtmpSession: a [`ClientSession`] over a TCP or TLS socket that speaks RTMP.

mod carrier;
mod viewer;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ramona_rtmp as rtmp;
use tokio::net::TcpStream;
use tracing::error;

use crate::client_session::{ClientConfig, ClientSession};
use crate::services::Services;
use crate::tls::TlsSocket;
use crate::transport::Transport;
use crate::worker::Local;
use carrier::RtmpCarrier;

/// How RTMP sessions behave.
#[derive(Clone, Debug)]
pub struct RtmpConfig {
    /// The protocol's own timers and bounds.
    pub session: rtmp::SessionConfig,
    /// What RTMP clients have in common with others.
    pub client: ClientConfig,
}

/// One RTMP connection.
pub(crate) type RtmpSession = ClientSession<RtmpCarrier>;

/// Starts a session on the present arbiter.
pub(crate) fn start_here(
    stream: TcpStream,
    peer: SocketAddr,
    local: &Rc<Local>,
    services: Arc<Services>,
) {
    start(Transport::new(stream), peer, local, services);
}

/// The same through TLS: RTMPS.
pub(crate) fn start_tls_here(
    stream: TcpStream,
    peer: SocketAddr,
    local: &Rc<Local>,
    services: Arc<Services>,
) {
    let Some(certificates) = &services.tls else { return };
    match TlsSocket::accept(stream, certificates.rtmp()) {
        Ok(socket) => start(Transport::tls(socket), peer, local, services),
        Err(error) => error!(%peer, %error, "TLS does not start"),
    }
}

fn start(transport: Transport, peer: SocketAddr, local: &Rc<Local>, services: Arc<Services>) {
    let carrier = Rc::new(RtmpCarrier::new(&services.rtmp.session, transport));
    let config = services.rtmp.client.clone();
    RtmpSession::start_here(carrier, peer, None, local.clone(), services, config);
}
