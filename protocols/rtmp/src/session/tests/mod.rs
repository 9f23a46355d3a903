//! A [`Session`] and a [`Client`] joined in memory, with time that only moves when told.

mod bad_input;
mod commands;
mod statuses;
mod timers;
mod whole;

use std::time::Instant;

use ramona_amf::{Object, Value};
use ramona_media::{MediaFrame, MediaKind};

use super::*;
use crate::client::{Client, ClientConfig, ClientEvent, ClientOutput};
use crate::event::PublishMode;
use crate::message::StreamId;

#[expect(clippy::disallowed_methods, reason = "there is no other way to get an instant")]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) session: Session,
    pub(super) client: Client,
    /// Bytes under way and bytes that their receiver has not consumed.
    up: BytesMut,
    down: BytesMut,
    session_input: BytesMut,
    client_input: BytesMut,
    /// Sizes of the pieces in which bytes arrive, over and over.
    cuts: Vec<usize>,
    cut: usize,
    pub(super) events: Vec<Event>,
    pub(super) client_events: Vec<ClientEvent>,
    /// How often the session gave bytes out.
    pub(super) transmits: usize,
    /// Answers the questions of the session.
    pub(super) decide: fn(&mut Session, &Event),
}

/// Accepts everything; nothing is running yet.
pub(super) fn accept(session: &mut Session, event: &Event) {
    match event {
        Event::Connect(_) => session.accept_connect(&[]),
        Event::Publish { stream, .. } => session.accept_publish(*stream),
        Event::Play { stream, .. } => session.accept_play(*stream, false, true, true),
        _ => {}
    }
}

/// Leaves every question open.
pub(super) fn undecided(_: &mut Session, _: &Event) {}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with(ClientConfig::default(), vec![usize::MAX])
    }

    pub(super) fn with(config: ClientConfig, cuts: Vec<usize>) -> Self {
        let now = start();
        Self {
            now,
            session: Session::new(now, SessionConfig::default(), [1; 64]),
            client: Client::new(now, config, [2; 64]),
            up: BytesMut::new(),
            down: BytesMut::new(),
            session_input: BytesMut::new(),
            client_input: BytesMut::new(),
            cuts,
            cut: 0,
            events: Vec::new(),
            client_events: Vec::new(),
            transmits: 0,
            decide: accept,
        }
    }

    /// Connected, with one stream; what happened until then is forgotten.
    pub(super) fn with_stream() -> (Self, StreamId) {
        let mut pair = Self::new();
        pair.client.connect("rtmp://host/app", &[]).expect("fits");
        pair.client.create_stream();
        pair.drive();
        let stream = pair.created();
        pair.forget();
        (pair, stream)
    }

    pub(super) fn forget(&mut self) {
        self.events.clear();
        self.client_events.clear();
        self.transmits = 0;
    }

    /// The stream of the last createStream.
    pub(super) fn created(&self) -> StreamId {
        let created = |event: &ClientEvent| match event {
            ClientEvent::StreamCreated(stream) => Some(*stream),
            _ => None,
        };
        self.client_events.iter().rev().find_map(created).expect("a stream was created")
    }

    fn next_cut(&mut self) -> usize {
        self.cut += 1;
        self.cuts[self.cut % self.cuts.len()]
    }

    /// Bytes of the test instead of the client's.
    pub(super) fn inject(&mut self, bytes: &[u8]) {
        self.up.extend_from_slice(bytes);
    }

    pub(super) fn unconsumed(&self) -> usize {
        self.session_input.len()
    }

    /// Moves bytes both ways until nothing moves any more.
    pub(super) fn drive(&mut self) {
        loop {
            self.poll_client();
            self.poll_session();
            let (cut_up, cut_down) = (self.next_cut(), self.next_cut());
            let moved = !self.up.is_empty() || !self.down.is_empty();
            let piece = self.up.split_to(cut_up.min(self.up.len()));
            self.session_input.extend_from_slice(&piece);
            let before = self.session_input.len();
            self.session.handle_input(self.now, &mut self.session_input);
            let consumed = before != self.session_input.len();
            self.poll_session();
            let piece = self.down.split_to(cut_down.min(self.down.len()));
            self.client_input.extend_from_slice(&piece);
            self.client.handle_input(self.now, &mut self.client_input);
            self.poll_client();
            if !moved && !consumed && self.up.is_empty() && self.down.is_empty() {
                return;
            }
        }
    }

    fn poll_session(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => {
                    self.transmits += 1;
                    self.down.extend_from_slice(&bytes);
                }
                Output::Event(event) => {
                    (self.decide)(&mut self.session, &event);
                    self.events.push(event);
                }
                Output::Timeout(_) => return,
            }
        }
    }

    fn poll_client(&mut self) {
        loop {
            match self.client.poll_output() {
                ClientOutput::Transmit(bytes) => self.up.extend_from_slice(&bytes),
                ClientOutput::Event(event) => self.client_events.push(event),
                ClientOutput::Timeout(_) => return,
            }
        }
    }

    /// Lets time pass: every deadline of the session is kept, and bytes move after each.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let Output::Timeout(deadline) = self.session.poll_output() else {
                panic!("everything has been polled")
            };
            if deadline > end {
                self.now = end;
                return;
            }
            self.now = deadline;
            self.session.handle_timeout(deadline);
            self.drive();
        }
    }

    /// Every status the client got: stream, level, code, description.
    pub(super) fn statuses(&self) -> Vec<(u32, String, String, String)> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        self.client_events
            .iter()
            .filter_map(|event| match event {
                ClientEvent::Status { stream, level, code, description } => {
                    Some((stream.0, text(level), text(code), text(description)))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn closed(&self) -> Option<&CloseReason> {
        match self.events.last() {
            Some(Event::Closed(reason)) => Some(reason),
            _ => None,
        }
    }
}

pub(super) fn status(
    stream: StreamId,
    level: &str,
    code: &str,
    text: &str,
) -> (u32, String, String, String) {
    (stream.0, level.into(), code.into(), text.into())
}

/// An info object as the client must have got it.
pub(super) fn info(level: &'static str, code: &'static str, text: &'static str) -> Object {
    Object::new().with("level", level).with("code", code).with("description", text)
}

pub(super) fn frame(kind: MediaKind, timestamp_ms: u32, payload: &[u8]) -> MediaFrame {
    MediaFrame::new(kind, timestamp_ms, Bytes::copy_from_slice(payload))
}

pub(super) fn amf0(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        value.encode_amf0(&mut out).expect("test values are small");
    }
    out
}
