//! The bare loop: one `send` of one message to each viewer, on one thread, and nothing else. No
//! server that gives each viewer its own TCP connection can do less.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};

/// Says its two ports, waits for all viewers and then for the publisher, and sends what that
/// publishes until it closes.
pub(crate) fn run(viewers: usize) -> std::io::Result<()> {
    let for_viewers = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let for_publisher = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (v, p) = (for_viewers.local_addr()?.port(), for_publisher.local_addr()?.port());
    println!("ports {v} {p}");
    let mut sockets = Vec::new();
    for _ in 0..viewers {
        let (socket, _) = for_viewers.accept()?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    let mut publisher = BufReader::with_capacity(64 << 10, for_publisher.accept()?.0);
    let mut message = Vec::new();
    loop {
        let mut length = [0; 4];
        publisher.read_exact(&mut length)?;
        message.resize(u32::from_be_bytes(length) as usize, 0);
        publisher.read_exact(&mut message)?;
        for socket in &mut sockets {
            // One call of send(2): the sockets block, and their buffers are larger than a message.
            socket.write_all(&message)?;
        }
    }
}
