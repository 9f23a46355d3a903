//! Options of every TCP socket of a node.

use std::time::Duration;

use tokio::net::TcpStream;

/// A silent TCP connection is asked after this whether the other end is still there: one of a viewer
/// who waits for a stream may have nothing else to tell it.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// Then this often, until [`KEEPALIVE_TRIES`] questions were not answered.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// See [`KEEPALIVE_EVERY`].
const KEEPALIVE_TRIES: u32 = 4;

/// Options of every TCP socket of a node.
pub(crate) fn prepare(stream: &TcpStream, buffer: Option<usize>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    if let Some(bytes) = buffer {
        socket.set_send_buffer_size(bytes)?;
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_connection_is_asked_whether_its_other_end_is_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("it listens");
        prepare(&stream, None).expect("a TCP socket");
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().expect("an option"));
        let times = (socket.tcp_keepalive_time(), socket.tcp_keepalive_interval());
        assert_eq!(times.0.expect("an option"), KEEPALIVE_AFTER);
        assert_eq!(times.1.expect("an option"), KEEPALIVE_EVERY);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), KEEPALIVE_TRIES);
    }

    #[tokio::test]
    async fn cfg_09_the_socket_has_the_buffers_of_the_configuration() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("it listens");
        let sizes = |stream: &TcpStream| {
            let socket = socket2::SockRef::from(stream);
            let receive = socket.recv_buffer_size().expect("a socket has one");
            (socket.send_buffer_size().expect("a socket has one"), receive)
        };
        prepare(&stream, Some(24_576)).expect("a TCP socket");
        // Linux reports twice what was asked for: its own bookkeeping is in it.
        let (send, receive) = sizes(&stream);
        assert!([24_576, 49_152].contains(&send), "{send}");
        assert!([24_576, 49_152].contains(&receive), "{receive}");
        let before = sizes(&stream);
        prepare(&stream, None).expect("a TCP socket");
        assert_eq!(sizes(&stream), before);
    }
}
