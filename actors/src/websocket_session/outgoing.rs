//! Bytes on their way to one client: the body of the response 101.
//!
//! Messages become frames as soon as they are said, in one buffer, and leave with whatever waits
//! there; actix-ws's own channel counts messages, not bytes, and would not tell how many.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::{Bytes, BytesMut};
use ramona_websocket::Message;

/// Bytes that one turn of the connection takes: what it copies into its own buffer.
const TURN: usize = 64 << 10;

/// See the module's text. Shared between the session, its viewers and the body.
#[derive(Default)]
pub(crate) struct Outgoing {
    buffer: RefCell<BytesMut>,
    /// Since when something waits.
    since: Cell<Option<Instant>>,
    sent: Cell<u64>,
    /// Nothing follows: the body ends when the buffer is empty.
    ended: Cell<bool>,
    /// The connection is gone.
    gone: Cell<bool>,
    connection: RefCell<Option<Waker>>,
    flushed: RefCell<Option<Waker>>,
}

impl Outgoing {
    /// Queues one message.
    pub(super) fn send(&self, message: Message) {
        match message {
            Message::Text(text) => self.frame(OpCode::Text, &text),
            Message::Binary(bytes) => self.frame(OpCode::Binary, &bytes),
            Message::Ping(payload) => self.frame(OpCode::Ping, &payload),
            Message::Pong(payload) => self.frame(OpCode::Pong, &payload),
            Message::Close(reason) => {
                let reason = reason.map(|(code, text)| CloseReason {
                    code: CloseCode::from(code),
                    description: (!text.is_empty()).then_some(text),
                });
                self.change(|buffer| Parser::write_close(buffer, reason, false));
            }
        }
    }

    /// Queues a message of one frame.
    pub(super) fn frame(&self, opcode: OpCode, payload: &[u8]) {
        self.change(|buffer| Parser::write_message(buffer, payload, opcode, true, false));
    }

    fn change(&self, change: impl FnOnce(&mut BytesMut)) {
        if self.ended.get() || self.gone.get() {
            return;
        }
        change(&mut self.buffer.borrow_mut());
        if self.since.get().is_none() {
            self.since.set(Some(Instant::now()));
            wake(&self.connection);
        }
    }

    /// Bytes that wait.
    pub(super) fn queued_bytes(&self) -> usize {
        self.buffer.borrow().len()
    }

    /// How long the connection has taken nothing, in milliseconds.
    pub(super) fn waited_ms(&self) -> u32 {
        let waited = self.since.get().map_or(0, |since| since.elapsed().as_millis());
        u32::try_from(waited).unwrap_or(u32::MAX)
    }

    /// Bytes that the connection took.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent.get()
    }

    /// When everything was taken, or the connection is gone.
    pub(super) async fn flushed(&self) {
        poll_fn(|cx| {
            if self.gone.get() || self.queued_bytes() == 0 {
                return Poll::Ready(());
            }
            *self.flushed.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The session is over: the response ends after what waits.
    pub(super) fn end(&self) {
        self.ended.set(true);
        wake(&self.connection);
    }

    fn take(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut buffer = self.buffer.borrow_mut();
        let bytes = if buffer.len() > TURN {
            self.since.set(Some(Instant::now()));
            buffer.split_to(TURN)
        } else {
            self.since.set(None);
            // An idle session keeps no buffer.
            std::mem::take(&mut *buffer)
        };
        if !bytes.is_empty() {
            self.sent.set(self.sent.get() + bytes.len() as u64);
            if buffer.is_empty() {
                wake(&self.flushed);
            }
            return Poll::Ready(Some(bytes.freeze()));
        }
        if self.ended.get() {
            return Poll::Ready(None);
        }
        *self.connection.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow_mut().take() {
        waker.wake();
    }
}

/// The response's body.
pub(super) struct OutgoingBody {
    outgoing: Rc<Outgoing>,
    /// actix-ws's own body: dropped with this one it ends the stream of messages.
    _signal: BoxBody,
}

impl OutgoingBody {
    pub(super) fn new(outgoing: Rc<Outgoing>, signal: BoxBody) -> Self {
        Self { outgoing, _signal: signal }
    }
}

impl MessageBody for OutgoingBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.outgoing.take(cx).map(|bytes| bytes.map(Ok))
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        self.outgoing.gone.set(true);
        self.outgoing.buffer.borrow_mut().clear();
        wake(&self.outgoing.flushed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(outgoing: &Outgoing) -> Poll<Option<Bytes>> {
        outgoing.take(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn messages_that_wait_leave_together_as_frames() {
        let outgoing = Outgoing::default();
        outgoing.send(Message::Text("ab".into()));
        outgoing.send(Message::Ping(Bytes::from_static(b"1")));
        assert_eq!(outgoing.queued_bytes(), 7);
        let expected = Bytes::from_static(b"\x81\x02ab\x89\x011");
        assert_eq!(poll(&outgoing), Poll::Ready(Some(expected)));
        assert_eq!((outgoing.queued_bytes(), outgoing.sent_bytes()), (0, 7));
        assert_eq!(poll(&outgoing), Poll::Pending);
        outgoing.send(Message::Close(Some((1002, "why".to_owned()))));
        outgoing.end();
        outgoing.send(Message::Text("late".into()));
        let expected = Bytes::from_static(b"\x88\x05\x03\xeawhy");
        assert_eq!(poll(&outgoing), Poll::Ready(Some(expected)));
        assert_eq!(poll(&outgoing), Poll::Ready(None));
    }

    #[test]
    fn a_long_queue_leaves_in_turns() {
        let outgoing = Outgoing::default();
        outgoing.send(Message::Binary(vec![7; 2 * TURN].into()));
        let mut turns = Vec::new();
        while let Poll::Ready(Some(bytes)) = poll(&outgoing) {
            turns.push(bytes.len());
        }
        assert_eq!(turns, [TURN, TURN, 10]);
    }
}
