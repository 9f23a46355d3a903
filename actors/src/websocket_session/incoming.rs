//! Messages of one client, some at a time, and only while somebody wants them.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::error::PayloadError;
use actix_web::{FromRequest, HttpRequest, dev, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, MessageStream, ProtocolError};
use bytes::Bytes;
use futures_util::Stream;
use ramona_websocket::limits::MAX_MESSAGE;
use ramona_websocket::{FrameGuard, Input, Violation};

/// Messages of one turn, so that a busy client does not hold its arbiter.
const TURN: usize = 64;

/// What one turn brought.
pub(crate) struct Received {
    /// In order.
    pub(crate) inputs: Vec<Input>,
    /// Nothing follows them.
    pub(crate) end: Option<InputEnd>,
}

/// Why nothing follows.
pub(crate) enum InputEnd {
    /// The client broke the protocol.
    Violation(Violation),
    /// The connection is over, with the error if there was one.
    Gone(Option<String>),
}

/// Where the guard leaves what it found.
pub(super) type Found = Rc<RefCell<Option<Violation>>>;

/// Lets the session hold the client back.
#[derive(Default)]
pub(super) struct Pause {
    paused: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Pause {
    pub(super) fn set(&self, paused: bool) {
        self.paused.set(paused);
        if !paused && let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// See the module's text.
pub(crate) struct Incoming {
    messages: AggregatedMessageStream,
    found: Found,
    pause: Rc<Pause>,
    ended: bool,
}

impl Incoming {
    pub(super) fn new(messages: MessageStream, found: Found) -> Self {
        let messages = messages
            .max_frame_size(MAX_MESSAGE)
            .aggregate_continuations()
            .max_continuation_size(MAX_MESSAGE);
        Self { messages, found, pause: Rc::default(), ended: false }
    }

    pub(super) fn pause(&self) -> Rc<Pause> {
        self.pause.clone()
    }

    /// What the guard found comes behind the messages before it.
    fn end(&self, error: Option<ProtocolError>) -> InputEnd {
        if let Some(violation) = self.found.borrow_mut().take() {
            return InputEnd::Violation(violation);
        }
        match error {
            None => InputEnd::Gone(None),
            Some(ProtocolError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                InputEnd::Violation(Violation::NotUtf8)
            }
            Some(ProtocolError::Io(error)) => InputEnd::Gone(Some(error.to_string())),
            Some(error) => InputEnd::Violation(Violation::Frame(error.to_string())),
        }
    }
}

impl Stream for Incoming {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let this = &mut *self;
        if this.ended {
            // The payload is kept, unread, until the session lets go: dropped, it would be read
            // and thrown away as fast as the client can send.
            return Poll::Pending;
        }
        if this.pause.paused.get() {
            *this.pause.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut inputs = Vec::new();
        let end = loop {
            match Pin::new(&mut this.messages).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => inputs.push(input(message)),
                Poll::Ready(Some(Err(error))) => break Some(this.end(Some(error))),
                Poll::Ready(None) => break Some(this.end(None)),
                Poll::Pending if inputs.is_empty() => return Poll::Pending,
                Poll::Pending => break None,
            }
            if inputs.len() >= TURN {
                break None;
            }
        };
        this.ended = end.is_some();
        Poll::Ready(Some(Received { inputs, end }))
    }
}

fn input(message: AggregatedMessage) -> Input {
    match message {
        AggregatedMessage::Text(text) => Input::Text(text.into_bytes()),
        AggregatedMessage::Binary(bytes) => Input::Binary(bytes),
        AggregatedMessage::Ping(payload) => Input::Ping(payload),
        AggregatedMessage::Pong(payload) => Input::Pong(payload),
        AggregatedMessage::Close(reason) => Input::Close(
            reason
                .map(|reason| (reason.code.into(), reason.description.unwrap_or_default().into())),
        ),
    }
}

/// The bytes of a client, up to the first frame that must not come.
struct Guarded {
    payload: dev::Payload,
    guard: FrameGuard,
    found: Found,
}

type BoxedPayload = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

/// Puts the guard in front of the frame decoder, which keeps whatever a frame announces.
pub(super) async fn guard(
    request: &HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<(web::Payload, Found)> {
    let found = Found::default();
    let guarded: BoxedPayload = Box::pin(Guarded {
        payload: payload.into_inner(),
        guard: FrameGuard::default(),
        found: found.clone(),
    });
    let mut payload = dev::Payload::Stream { payload: guarded };
    Ok((web::Payload::from_request(request, &mut payload).await?, found))
}

impl Stream for Guarded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.found.borrow().is_some() {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut this.payload).poll_next(cx);
        let Poll::Ready(Some(Ok(bytes))) = &polled else { return polled };
        match this.guard.pass(bytes) {
            Ok(()) => polled,
            Err((violation, before)) => {
                *this.found.borrow_mut() = Some(violation);
                Poll::Ready(Some(Ok(bytes.slice(..before))))
            }
        }
    }
}
