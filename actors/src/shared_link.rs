//! The machine of one link and its socket, between the link's actor and the script's thread.
//!
//! What a handler sends goes through the actor's mailbox, which wakes another thread, unless nothing
//! else is on its way: then the script's thread writes into the socket itself
//! ([`send`](SharedLink::send)). Nobody ever waits for the lock but the actor, and not for long:
//! a few frames are made and written under it.

use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ramona_cluster::Link;
use socket2::Socket;
use tokio::net::TcpStream;

/// Frames that the script's thread writes itself have at most so many bytes: a handler's few calls. More
/// is better encrypted and written by a thread that does nothing else.
pub(crate) const MAX_DIRECT: usize = 8 << 10;

/// See the module's text.
pub(crate) struct SharedLink(Mutex<Inner>);

impl std::fmt::Debug for SharedLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedLink").finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) link: Link,
    /// The socket once more; nothing when the link ends, for it is closed with its last handle.
    socket: Option<Socket>,
    /// Nothing waits for the socket, and frames may go.
    is_clear: bool,
    /// What the socket did not take. It goes before everything else.
    rest: Vec<Bytes>,
}

/// What became of frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Direct {
    /// The kernel has so many bytes more, and nothing is left.
    Sent(usize),
    /// Likewise, but the actor must be told to send the rest.
    Rest {
        /// Taken by the kernel.
        sent: usize,
        /// Not yet.
        rest: usize,
    },
    /// Not now: it is for the actor.
    No,
}

impl SharedLink {
    /// Without a second handle of the socket everything goes through the actor.
    pub(crate) fn new(link: Link, stream: &TcpStream) -> Self {
        let socket = stream.as_fd().try_clone_to_owned().ok().map(Socket::from);
        Self(Mutex::new(Inner { link, socket, is_clear: false, rest: Vec::new() }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes whole frames into the socket from the present thread, if nothing waits before them there;
    /// what is in the actor's mailbox, the caller must know.
    pub(crate) fn send(&self, frames: &Bytes) -> Direct {
        let Ok(mut inner) = self.0.try_lock() else { return Direct::No };
        if !inner.is_clear || frames.len() > MAX_DIRECT {
            return Direct::No;
        }
        inner.write(frames.clone())
    }
}

impl Inner {
    fn write(&mut self, frames: Bytes) -> Direct {
        let Some(socket) = &self.socket else { return Direct::No };
        if self.link.send_frames(frames).is_err() {
            return Direct::No;
        }
        let mut sent = 0;
        while let Some(mut bytes) = self.link.poll_transmit() {
            if self.rest.is_empty() {
                // A broken socket is found broken by the actor.
                let taken = socket.send(&bytes).unwrap_or(0);
                sent += taken;
                bytes = bytes.slice(taken..);
            }
            if !bytes.is_empty() {
                self.rest.push(bytes);
            }
        }
        match self.rest.iter().map(Bytes::len).sum() {
            0 => Direct::Sent(sent),
            rest => {
                self.is_clear = false;
                Direct::Rest { sent, rest }
            }
        }
    }

    /// What goes before everything that the actor sends.
    pub(crate) fn take_rest(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.rest)
    }

    /// Whether the script's thread may write from now on.
    pub(crate) fn set_clear(&mut self, is_clear: bool) {
        self.is_clear = is_clear;
    }

    /// The link ends: the actor's handle of the socket is the last one.
    pub(crate) fn end(&mut self) {
        self.is_clear = false;
        self.socket = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::BytesMut;
    use ramona_cluster::{Capabilities, Event, Hello, LinkConfig, NodeId, Output, encode_call};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn hello(id: u8) -> Hello {
        Hello {
            node_id: NodeId([id; 16]),
            incarnation: 1,
            capabilities: Capabilities::default(),
            dial: 1,
            host: String::new(),
            ports: Vec::new(),
            configuration: Vec::new(),
            properties: Vec::new(),
        }
    }

    fn move_bytes(from: &mut Link, to: &mut Link) -> bool {
        let mut moved = BytesMut::new();
        while let Some(bytes) = from.poll_transmit() {
            moved.extend_from_slice(&bytes);
        }
        let any = !moved.is_empty();
        to.handle_input(Instant::now(), &mut moved);
        any
    }

    /// Two ends that are up.
    fn links() -> (Link, Link) {
        let (now, config) = (Instant::now(), LinkConfig::default());
        let mut near = Link::dial(now, config, hello(1), None, [0; 32]).unwrap();
        let mut far = Link::accept(now, config, hello(2), None, [0; 32]).unwrap();
        while move_bytes(&mut near, &mut far) | move_bytes(&mut far, &mut near) {}
        assert!(near.is_up() && far.is_up());
        (near, far)
    }

    fn call(number: u32) -> Bytes {
        let mut frame = Vec::new();
        encode_call(&mut frame, b"take", &[&number.to_be_bytes()[..], &[0; 2_000]].concat())
            .unwrap();
        frame.into()
    }

    fn numbers(link: &mut Link, input: &mut BytesMut) -> Vec<u32> {
        link.handle_input(Instant::now(), input);
        let mut numbers = Vec::new();
        loop {
            match link.poll_output() {
                Output::Event(Event::Calls(calls)) => {
                    let number = |args: &[u8]| u32::from_be_bytes(args[..4].try_into().unwrap());
                    numbers.extend(calls.iter().map(|call| number(&call.args)));
                }
                Output::Timeout(_) => return numbers,
                _ => {}
            }
        }
    }

    #[actix::test]
    async fn frames_that_the_socket_does_not_take_stay_in_front_of_what_the_actor_sends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other_end, _) = listener.accept().await.unwrap();
        let (near, mut far) = links();
        let shared = SharedLink::new(near, &socket);
        assert_eq!(shared.send(&call(0)), Direct::No, "not before the actor says so");
        shared.lock().set_clear(true);
        {
            let _held = shared.lock();
            assert_eq!(shared.send(&call(0)), Direct::No, "nobody waits for the lock");
        }
        let mut sent = 0;
        let mut count = 0;
        let rest = loop {
            count += 1;
            match shared.send(&call(count)) {
                Direct::Sent(bytes) => sent += bytes,
                Direct::Rest { sent: bytes, rest } => {
                    sent += bytes;
                    break rest;
                }
                Direct::No => panic!("nothing waits"),
            }
        };
        assert_eq!(shared.send(&call(0)), Direct::No, "the rest waits");
        let left = shared.lock().take_rest().concat();
        assert_eq!(left.len(), rest);
        let mut input = BytesMut::zeroed(sent);
        other_end.read_exact(&mut input).await.unwrap();
        input.extend_from_slice(&left);
        assert_eq!(numbers(&mut far, &mut input), (1..=count).collect::<Vec<_>>());
        shared.lock().end();
        drop(socket);
        assert_eq!(other_end.read(&mut [0; 8]).await.unwrap(), 0, "closed with the actor's handle");
    }
}
