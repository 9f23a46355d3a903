//! What sockets of scripts and the blacklist ask of the host (4.13, MON-24), and their events.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use mlua::LuaString;

use crate::core::Core;
use crate::engine::Engine;
use crate::host::{SocketEvent, SocketId};

fn address(ip: &LuaString, port: u16) -> Result<SocketAddr, String> {
    let ip = ip.to_string_lossy();
    let parsed: Result<IpAddr, _> = ip.parse();
    parsed.map(|ip| SocketAddr::new(ip, port)).map_err(|_| format!("'{ip}' is no address"))
}

/// A number, or nil and the text of what is wrong.
type Opened = (Option<u64>, Option<String>);

fn opened(result: Result<(SocketId, Option<SocketAddr>), String>) -> mlua::Result<Opened> {
    Ok(match result {
        Ok((id, own)) => (Some(id.0), own.map(|own| own.to_string())),
        Err(problem) => (None, Some(problem)),
    })
}

impl Core {
    pub(crate) fn add_socket_natives(&self) -> mlua::Result<()> {
        self.native("tcp_connect", |core, _, (ip, port): (LuaString, u16)| {
            let connect = |to| core.host.tcp_connect(to).map(|id| (id, None));
            opened(address(&ip, port).and_then(connect))
        })?;
        self.native("tcp_listen", |core, _, (ip, port): (LuaString, u16)| {
            let listen = |on| core.host.tcp_listen(on).map(|(id, own)| (id, Some(own)));
            opened(address(&ip, port).and_then(listen))
        })?;
        self.native("udp_bind", |core, _, (ip, port, broadcast): (LuaString, u16, bool)| {
            let bind = |on| core.host.udp_bind(on, broadcast).map(|(id, own)| (id, Some(own)));
            opened(address(&ip, port).and_then(bind))
        })?;
        self.native("udp_connect", |core, _, (id, ip, port): (u64, LuaString, u16)| {
            let connect = |to| core.host.udp_connect(SocketId(id), Some(to));
            Ok(address(&ip, port).and_then(connect).err())
        })?;
        self.native("udp_disconnect", |core, _, id: u64| {
            Ok(core.host.udp_connect(SocketId(id), None).err())
        })?;
        self.native(
            "socket_send",
            |core, _, (id, data, ip, port): (u64, LuaString, Option<LuaString>, Option<u16>)| {
                let to = match (ip, port) {
                    (Some(ip), Some(port)) => match address(&ip, port) {
                        Ok(to) => Some(to),
                        Err(problem) => return Ok(Some(problem)),
                    },
                    _ => None,
                };
                let data = Bytes::copy_from_slice(&data.as_bytes());
                Ok(core.host.socket_send(SocketId(id), data, to).err())
            },
        )?;
        self.native("socket_close", |core, _, id: u64| {
            core.host.socket_close(SocketId(id));
            Ok(())
        })?;
        self.native("blacklist", |core, _, (ip, blocked): (LuaString, bool)| {
            let parsed = ip.to_string_lossy().parse::<IpAddr>();
            if let Ok(ip) = parsed {
                core.host.blacklist(ip.to_canonical(), blocked);
            }
            Ok(parsed.is_ok())
        })
    }
}

impl Engine {
    /// Something happened to a socket of a script (TCC-04, TCC-05, TCS-02, UDP-04).
    pub fn socket_event(&mut self, event: SocketEvent) {
        let _run = self.core.runs.begin();
        let core = &self.core;
        match event {
            SocketEvent::Connected { id, own, peer } => core.event(
                "TCPClient",
                "socket_connected",
                (id.0, own.to_string(), peer.to_string()),
            ),
            SocketEvent::Accepted { server, id, own, peer } => core.event(
                "TCPServer:onConnection",
                "socket_accepted",
                (server.0, id.0, own.to_string(), peer.to_string()),
            ),
            SocketEvent::Data { id, data } => {
                core.event("TCPClient:onData", "socket_data", (id.0, LuaString::wrap(data)));
            }
            SocketEvent::Packet { id, data, from } => core.event(
                "UDPSocket:onPacket",
                "socket_packet",
                (id.0, LuaString::wrap(data), from.to_string()),
            ),
            SocketEvent::Closed { id, error } => {
                core.event("TCPClient:onDisconnection", "socket_closed", (id.0, error));
            }
        }
    }
}
