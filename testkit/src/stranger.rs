//! Somebody who opens a port and sends what he likes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait;

/// A raw TCP connection.
#[derive(Debug)]
pub struct Stranger {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Stranger {
    /// Connects.
    ///
    /// # Panics
    /// Nobody accepts.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = wait::within("the port to accept", TcpStream::connect(to)).await;
        Self { stream: stream.expect("the port accepts"), received: Vec::new() }
    }

    /// Its own address, as the node's logs show it.
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("an address")
    }

    /// Sends bytes; answers whether the other side still took them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        wait::within("the port to take bytes", self.stream.write_all(bytes)).await.is_ok()
    }

    /// Sends the same bytes until the other side closes; answers how many it took.
    pub async fn flood(&mut self, bytes: &[u8], at_most: usize) -> usize {
        let mut sent = 0;
        while sent < at_most && self.send(bytes).await {
            sent += bytes.len();
        }
        sent
    }

    /// Closes its sending side.
    pub async fn finish(&mut self) {
        // The other side may have closed already.
        let _ = self.stream.shutdown().await;
    }

    /// Reads `n` bytes more; `None` when the connection ends before.
    pub async fn read(&mut self, n: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; n];
        let read = wait::within("an answer", self.stream.read_exact(&mut bytes)).await;
        read.ok().map(|_| bytes)
    }

    /// Waits until the other side closes; answers what it said.
    pub async fn closed(mut self) -> Vec<u8> {
        let read = self.stream.read_to_end(&mut self.received);
        // A reset is an end as well.
        let _ = wait::within("the other side to close", read).await;
        self.received
    }
}
