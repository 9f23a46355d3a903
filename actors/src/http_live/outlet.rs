//! Where the bytes of one viewer go: past actix-http into the socket, or through a body.
//!
//! A body costs a wake-up, a copy and a poll for each frame and viewer; the socket one `send`, as
//! with RTMP. So the socket is written to as soon as the head of the response has left, and the
//! body only keeps the response open. Where bytes are encrypted (TLS) they go through the body.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

use crate::transport::{Piece, Transport};

/// See the module's text.
pub(crate) enum Outlet {
    /// The connection's socket.
    Socket(Rc<Transport>),
    /// What the body of the response takes from.
    Body(Rc<BodyQueue>),
}

impl Outlet {
    pub(super) fn send(&self, pieces: &[Piece<'_>]) {
        match self {
            Self::Socket(transport) => transport.send(pieces),
            Self::Body(queue) => queue.push(pieces.iter().map(|piece| piece.to_bytes())),
        }
    }

    pub(super) fn queued_bytes(&self) -> usize {
        match self {
            Self::Socket(transport) => transport.queued_bytes(),
            Self::Body(queue) => queue.queued_bytes.get(),
        }
    }

    /// Bytes that are on their way to the player.
    pub(super) fn sent_bytes(&self) -> u64 {
        match self {
            Self::Socket(transport) => transport.sent_bytes(),
            Self::Body(queue) => queue.taken.get(),
        }
    }

    pub(super) fn waited_ms(&self) -> u32 {
        match self {
            Self::Socket(transport) => transport.waited_ms(),
            Self::Body(queue) => queue.waited_ms(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Socket(transport) => transport.is_idle(),
            Self::Body(queue) => queue.queued_bytes.get() == 0,
        }
    }
}

/// Bytes that wait for the body of a response.
#[derive(Default)]
pub(crate) struct BodyQueue {
    queue: RefCell<VecDeque<(Bytes, Instant)>>,
    queued_bytes: Cell<usize>,
    taken: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl BodyQueue {
    fn push(&self, pieces: impl Iterator<Item = Bytes>) {
        let now = Instant::now();
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            self.queued_bytes.set(self.queued_bytes.get() + piece.len());
            self.queue.borrow_mut().push_back((piece, now));
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn waited_ms(&self) -> u32 {
        let waited = self.queue.borrow().front().map(|(_, since)| since.elapsed());
        waited.map_or(0, |waited| u32::try_from(waited.as_millis()).unwrap_or(u32::MAX))
    }

    /// The next bytes of the body, which has no end of its own.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Bytes> {
        match self.queue.borrow_mut().pop_front() {
            Some((bytes, _)) => {
                self.queued_bytes.set(self.queued_bytes.get() - bytes.len());
                self.taken.set(self.taken.get() + bytes.len() as u64);
                Poll::Ready(bytes)
            }
            None => {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Inline;

    #[test]
    fn a_body_gives_what_was_sent_in_order_and_knows_what_waits() {
        let queue = Rc::<BodyQueue>::default();
        let outlet = Outlet::Body(queue.clone());
        let poll = || queue.poll(&Context::from_waker(Waker::noop()));
        assert!(outlet.is_idle());
        assert_eq!(poll(), Poll::Pending);
        let tag = Bytes::from_static(b"0123456789");
        let part = Piece::Part { bytes: &tag, start: 2, end: 6 };
        outlet.send(&[Piece::Header(Inline::new(b"\x82\x04")), part]);
        assert_eq!((outlet.queued_bytes(), outlet.is_idle()), (6, false));
        assert_eq!(poll(), Poll::Ready(Bytes::from_static(b"\x82\x04")));
        let Poll::Ready(shared) = poll() else { panic!("it waits") };
        assert_eq!((&shared[..], shared.as_ptr()), (&b"2345"[..], tag[2..].as_ptr()));
        assert_eq!((outlet.queued_bytes(), outlet.waited_ms(), outlet.sent_bytes()), (0, 0, 6));
        assert_eq!(poll(), Poll::Pending);
    }
}
