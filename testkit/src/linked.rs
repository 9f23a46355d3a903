//! Somebody who says a right hello on a link port and then sends what he likes.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use ramona_cluster::{Capabilities, Event, Hello, Link, LinkConfig, NodeId, Output, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait;

/// A linked peer that is no node.
pub struct LinkedStranger {
    stream: TcpStream,
    link: Link,
    input: BytesMut,
}

impl LinkedStranger {
    /// Dials a node and says hello; answers when the node's hello came.
    ///
    /// # Panics
    /// The node refuses.
    pub async fn link(to: SocketAddr, secret: Option<&str>) -> Self {
        let stream = wait::within("the link port to accept", TcpStream::connect(to)).await;
        let mut random = [0; 48];
        getrandom::fill(&mut random).expect("randomness");
        let (id, entropy) = random.split_at(16);
        let hello = Hello {
            node_id: NodeId(id.try_into().expect("16 bytes")),
            incarnation: 1,
            capabilities: Capabilities::default(),
            dial: 1,
            host: "stranger.example".to_owned(),
            ports: Vec::new(),
            configuration: Vec::new(),
            properties: Vec::new(),
        };
        let entropy = entropy.try_into().expect("32 bytes");
        let secret = secret.map(|text| Secret::new(text.as_bytes()).expect("a secret"));
        let now = Instant::now();
        let link = Link::dial(now, LinkConfig::default(), hello, secret, entropy);
        let link = link.expect("the hello is small");
        let stream = stream.expect("the link port accepts");
        let mut stranger = Self { stream, link, input: BytesMut::new() };
        wait::within("the hello of the node", stranger.open()).await;
        stranger
    }

    async fn open(&mut self) {
        loop {
            match self.link.poll_output() {
                Output::Transmit(bytes) => {
                    self.stream.write_all(&bytes).await.expect("the node reads");
                }
                Output::Event(Event::Up(_)) => return,
                Output::Event(Event::Closed(reason)) => panic!("the node refuses: {reason}"),
                Output::Event(_) => {}
                Output::Timeout(_) => {
                    let n = self.stream.read_buf(&mut self.input).await.expect("the node writes");
                    assert!(n > 0, "the node closed the link");
                    self.link.handle_input(Instant::now(), &mut self.input);
                }
            }
        }
    }

    /// Its own address, as the node's logs show it.
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("an address")
    }

    /// Sends frames in the way of the link (encrypted behind a secret).
    ///
    /// # Panics
    /// They do not fit the link's queue.
    pub async fn send_frames(&mut self, frames: Vec<u8>) {
        self.link.send_frames(frames.into()).expect("the frames fit");
        while let Output::Transmit(bytes) = self.link.poll_output() {
            // The node may have closed: what it says is read later.
            let _ = self.stream.write_all(&bytes).await;
        }
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        // As above.
        let _ = wait::within("the node to take bytes", self.stream.write_all(bytes)).await;
    }

    /// Waits until the node closes.
    pub async fn closed(mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = wait::within("the node to close", self.stream.read_to_end(&mut rest)).await;
    }
}
