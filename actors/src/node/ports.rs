//! The ports of a node: all are opened before anything is started.

use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use ramona_cluster::Hello;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::info;

use super::config::{NodeConfig, StartError};
use crate::udp::Shares;

/// Connections that may wait for `accept`.
const LISTEN_BACKLOG: i32 = 1_024;

/// A port to open and the configuration key it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Where to listen.
    pub address: SocketAddr,
    /// Key for error messages, such as `RTMP.port`.
    pub key: &'static str,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// RTMP.
    pub rtmp: Option<SocketAddr>,
    /// RTMP through TLS.
    pub rtmps: Option<SocketAddr>,
    /// RTMFP (UDP).
    pub rtmfp: Option<SocketAddr>,
    /// HTTP.
    pub http: Option<SocketAddr>,
    /// HTTP through TLS.
    pub https: Option<SocketAddr>,
    /// Links of other nodes.
    pub servers: Option<SocketAddr>,
}

/// The sockets that listen, one for each [`Port`] of the configuration.
pub(super) struct Ports {
    pub(super) rtmp: Option<TcpListener>,
    pub(super) rtmps: Option<TcpListener>,
    /// One for each worker, all on the same port; none when it is off.
    pub(super) rtmfp: Vec<Shares>,
    pub(super) http: Option<TcpListener>,
    pub(super) https: Option<TcpListener>,
    pub(super) servers: Option<TcpListener>,
}

impl Ports {
    /// Opens them, for so many workers.
    ///
    /// # Errors
    /// [`StartError::Port`] for the first that cannot be opened.
    pub(super) fn open(config: &NodeConfig, workers: usize) -> Result<Self, StartError> {
        let buffer = config.rtmfp_session.socket_buffer;
        Ok(Self {
            rtmp: open(config.rtmp.as_ref())?,
            rtmps: open(config.rtmps.as_ref())?,
            rtmfp: open_udp(config.rtmfp.as_ref(), buffer, workers)?,
            http: open(config.http.as_ref())?,
            https: open(config.https.as_ref())?,
            servers: open(config.servers.as_ref())?,
        })
    }

    /// Where they are, with the port that the system chose where the configuration says 0.
    pub(super) fn addresses(&self) -> Addresses {
        let local = |listener: &Option<TcpListener>| {
            listener.as_ref().and_then(|listener| listener.local_addr().ok())
        };
        Addresses {
            rtmp: local(&self.rtmp),
            rtmps: local(&self.rtmps),
            rtmfp: self.rtmfp.first().and_then(|shares| shares.main.local_addr().ok()),
            http: local(&self.http),
            https: local(&self.https),
            servers: local(&self.servers),
        }
    }
}

impl Addresses {
    /// Other nodes send clients to where this one listens, which the system chose where the
    /// configuration says 0.
    pub(super) fn tell(&self, hello: &mut Hello) {
        for (protocol, address) in [("RTMP", self.rtmp), ("RTMFP", self.rtmfp), ("HTTP", self.http)]
        {
            let port = address.map_or(0, |address| address.port());
            match hello.ports.iter_mut().find(|(name, _)| name == protocol) {
                Some((_, told)) => *told = port,
                None => hello.ports.push((protocol.to_owned(), port)),
            }
            let (key, port) = (format!("{protocol}.port"), Bytes::from(port.to_string()));
            let is_key = |name: &Bytes| name.eq_ignore_ascii_case(key.as_bytes());
            match hello.configuration.iter_mut().find(|(name, _)| is_key(name)) {
                Some((_, told)) => *told = port,
                None => hello.configuration.push((key.into(), port)),
            }
        }
    }

    /// A log line for each.
    pub(super) fn announce(&self) {
        let named = [
            ("RTMP", self.rtmp),
            ("RTMPS", self.rtmps),
            ("RTMFP", self.rtmfp),
            ("HTTP", self.http),
            ("HTTPS", self.https),
            ("links of other nodes", self.servers),
        ];
        for (what, address) in named {
            match address {
                Some(address) => info!("{what} on {address}"),
                None => info!("{what}: off"),
            }
        }
    }
}

fn open(port: Option<&Port>) -> Result<Option<TcpListener>, StartError> {
    let Some(port) = port else { return Ok(None) };
    let listen = || {
        let domain = Domain::for_address(port.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        // Restarting must not wait for old connections to time out.
        socket.set_reuse_address(true)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&port.address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(socket.into())
    };
    listen().map(Some).map_err(|error| StartError::Port { port: port.clone(), error })
}

fn open_udp(
    port: Option<&Port>,
    buffer: Option<usize>,
    sockets: usize,
) -> Result<Vec<Shares>, StartError> {
    let Some(port) = port else { return Ok(Vec::new()) };
    let opened = crate::udp::bind(port.address, buffer, sockets);
    opened.map_err(|error| StartError::Port { port: port.clone(), error })
}
