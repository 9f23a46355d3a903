//! The state machine of one connection, from the upgrade to its close frame.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ramona_formats::{Encoder, JsonEncoder};
use ramona_media::{MediaFrame, MediaKind};

use crate::close::{CloseReason, close_code, code};
use crate::command::Command;
use crate::data::{DataError, data_message};
use crate::guard::Violation;
use crate::limits::{MAX_CLOSE_TEXT, MAX_CONTROL_PAYLOAD, MAX_OUTPUT};

/// Times of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// A client that sends nothing for so long is closed (CFG-17 `WebSocket.timeout`); zero means
    /// never. Answers to pings count, so a client that only listens is alive (WSK-05).
    pub timeout: Duration,
    /// Between two pings (CLI-07); shorter when `timeout` is, so that an answer can keep alive.
    pub ping_period: Duration,
}

impl SessionConfig {
    /// When a client that was pinged now is pinged again.
    pub fn next_ping(&self, now: Instant) -> Instant {
        let longest = if self.timeout.is_zero() { LONGEST } else { self.timeout / 3 };
        now + self.ping_period.min(longest).max(Duration::from_millis(10))
    }

    /// When a client that was heard now counts as gone; never without a timeout.
    pub fn idle_at(&self, heard: Instant) -> Option<Instant> {
        (!self.timeout.is_zero()).then(|| heard + self.timeout.min(LONGEST))
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(120), ping_period: Duration::from_secs(40) }
    }
}

/// What a client sent: a whole message or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// To be answered with the same payload.
    Ping(Bytes),
    /// Answer to a ping, or unasked for.
    Pong(Bytes),
    /// Code and text, or neither.
    Close(Option<(u16, Bytes)>),
}

/// What is sent to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// At most 125 bytes.
    Ping(Bytes),
    /// At most 125 bytes.
    Pong(Bytes),
    /// The last message: code and at most 123 bytes of text.
    Close(Option<(u16, String)>),
}

impl Message {
    /// Bytes of its payload.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => {
                bytes.len()
            }
            Self::Close(reason) => reason.as_ref().map_or(0, |(_, text)| 2 + text.len()),
        }
    }

    /// Whether it has no payload.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a message of a client is to be answered (WSK-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As text: the message begins like a JSON array.
    Json,
    /// As a binary message: it is anything else.
    Raw,
}

/// What happened, in the order in which the client caused it.
///
/// `Publish` and `Play` ask for a decision: no input is to be given until it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// For the script: a JSON array, or a string.
    Message {
        /// The message as it came.
        body: Bytes,
        /// What it is.
        answer: Answer,
    },
    /// The client wants to publish; an earlier publication has ended.
    Publish {
        /// Name without query.
        name: Bytes,
        /// What followed `?`.
        query: Bytes,
    },
    /// The accepted publication ended.
    Unpublish,
    /// The client wants to play; an earlier subscription has ended.
    Play {
        /// Name without query.
        name: Bytes,
        /// What followed `?`.
        query: Bytes,
    },
    /// The accepted subscription ended.
    StopPlay,
    /// A data message of the accepted publication.
    Data(MediaFrame),
    /// A ping was answered.
    RoundTrip(Duration),
    /// The connection is over; a close frame is among the messages unless the client's own
    /// frame had come before. Nothing follows.
    Closed(CloseReason),
}

/// Longest time that is waited for: a script may ask for any timeout.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// From the upgrade to the first ping, so that `client.ping` has a value early.
const FIRST_PING: Duration = Duration::from_secs(1);

/// A publication or a subscription; a connection has one of each (WSK-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    None,
    Asked,
    Active,
}

/// The server's side of one connection.
///
/// After each call the owner takes [`poll_event`](Self::poll_event) and
/// [`poll_message`](Self::poll_message) until both are empty, and calls
/// [`handle_timeout`](Self::handle_timeout) when [`deadline`](Self::deadline) has come.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    opened: Instant,
    last_input: Instant,
    next_ping: Option<Instant>,
    pings: u32,
    pending_ping: Option<Instant>,
    publishing: Use,
    playing: Use,
    closed: bool,
    by_client: bool,
    events: VecDeque<Event>,
    messages: VecDeque<Message>,
}

impl Session {
    /// A connection whose upgrade is not answered yet.
    pub fn new(now: Instant, config: SessionConfig) -> Self {
        Self {
            config,
            opened: now,
            last_input: now,
            next_ping: None,
            pings: 0,
            pending_ping: None,
            publishing: Use::None,
            playing: Use::None,
            closed: false,
            by_client: false,
            events: VecDeque::new(),
            messages: VecDeque::new(),
        }
    }

    /// The upgrade was answered: pings begin.
    pub fn open(&mut self, now: Instant) {
        self.opened = now;
        self.last_input = now;
        self.next_ping = Some(self.config.next_ping(now).min(now + FIRST_PING));
    }

    /// Changes the idle timeout; zero is none (EVT-03).
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.config.timeout = timeout;
    }

    /// Whether a decision is open: input has to wait.
    pub fn is_waiting(&self) -> bool {
        !self.closed && (self.publishing == Use::Asked || self.playing == Use::Asked)
    }

    /// Whether the close frame was given out.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the client sent its close frame first.
    pub fn is_closed_by_client(&self) -> bool {
        self.by_client
    }

    /// The client is alive, or this end did not read.
    pub fn touch(&mut self, now: Instant) {
        self.last_input = now;
    }

    /// One message of the client.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if self.closed {
            return;
        }
        self.last_input = now;
        match input {
            Input::Text(text) => self.text(now, text),
            Input::Binary(body) => self.raw(body),
            Input::Ping(payload) => {
                let end = payload.len().min(MAX_CONTROL_PAYLOAD);
                self.send(Message::Pong(payload.slice(..end)));
            }
            Input::Pong(payload) => self.pong(now, &payload),
            Input::Close(reason) => {
                let code = reason.as_ref().map(|(code, _)| *code);
                self.closed = true;
                self.by_client = true;
                // The same code back; none for none (RFC 6455 §5.5.1).
                self.messages.push_back(Message::Close(code.map(|code| (code, String::new()))));
                self.events.push_back(Event::Closed(CloseReason::ByClient(code)));
            }
        }
    }

    /// The client broke the protocol below messages.
    pub fn handle_violation(&mut self, violation: &Violation) {
        self.end(violation.code(), violation.to_string());
    }

    /// Time has passed: pings, the end of silent clients.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.idle_at().is_some_and(|at| now >= at) {
            return self.end(code::GOING_AWAY, "idle timeout".to_owned());
        }
        if self.next_ping.is_some_and(|at| now >= at) {
            self.pings = self.pings.wrapping_add(1);
            self.pending_ping = Some(now);
            self.next_ping = Some(self.config.next_ping(now));
            self.send(Message::Ping(self.pings.to_string().into()));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        self.idle_at().into_iter().chain(self.next_ping).min()
    }

    /// `onPublish` allowed it.
    pub fn accept_publish(&mut self) {
        if self.publishing == Use::Asked {
            self.publishing = Use::Active;
        }
    }

    /// `onSubscribe` allowed it.
    pub fn accept_play(&mut self) {
        if self.playing == Use::Asked {
            self.playing = Use::Active;
        }
    }

    /// Publishing or playing was refused, or a call failed: WSK-02 has one answer for all.
    pub fn fail(&mut self, text: &[u8]) {
        self.end(code::PROTOCOL, String::from_utf8_lossy(text).into_owned());
    }

    /// A script ended the publication (PUB-05), with a code and a description: the client is told
    /// in the words of its own command, for whatever it sends now is a call.
    pub fn publication_closed(&mut self, status: Option<&(Bytes, Bytes)>) {
        self.publishing = Use::None;
        match status {
            Some((code, text)) => self.tell(&[b"__closePublish", code, text]),
            None => self.tell(&[b"__closePublish"]),
        }
    }

    /// The publication that is played started (WSK-04).
    pub fn published(&mut self, name: &[u8]) {
        self.tell(&[b"__publishing", name]);
    }

    /// It ended.
    pub fn unpublished(&mut self, name: &[u8]) {
        self.tell(&[b"__unpublishing", name]);
    }

    /// Ends the connection with a close frame, with the code that a script gave (WRI-07).
    pub fn close(&mut self, asked: u32) {
        let code = close_code(asked);
        self.end(code, "closed by server side".to_owned());
    }

    /// The node stops.
    pub fn shut_down(&mut self) {
        self.end(code::GOING_AWAY, "the server stops".to_owned());
    }

    /// Ends the connection with a code and a reason.
    pub fn end(&mut self, code: u16, mut text: String) {
        if self.closed {
            return;
        }
        self.closed = true;
        let reason = CloseReason::ByServer { code, text: text.clone() };
        if text.len() > MAX_CLOSE_TEXT {
            let end = (0..=MAX_CLOSE_TEXT).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
        }
        self.messages.push_back(Message::Close(Some((code, text))));
        self.events.push_back(Event::Closed(reason));
    }

    /// Something for the client.
    pub fn send(&mut self, message: Message) {
        if self.closed {
            return;
        }
        if self.messages.len() >= MAX_OUTPUT {
            return self.end(code::POLICY, "too many messages wait".to_owned());
        }
        self.messages.push_back(message);
    }

    /// The next message for the client.
    pub fn poll_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn text(&mut self, now: Instant, text: Bytes) {
        match Command::read(&text) {
            Command::Publish { name, query } => {
                self.close_publish();
                self.publishing = Use::Asked;
                self.events.push_back(Event::Publish { name, query });
            }
            Command::Play { name, query } => {
                self.close_play();
                self.playing = Use::Asked;
                self.events.push_back(Event::Play { name, query });
            }
            Command::ClosePublish => self.close_publish(),
            Command::ClosePlay => self.close_play(),
            Command::Close => {
                self.close_publish();
                self.close_play();
            }
            Command::Array if self.publishing == Use::Active => self.data(now, &text),
            Command::Array => {
                self.events.push_back(Event::Message { body: text, answer: Answer::Json });
            }
            Command::Text => self.raw(text),
            Command::Malformed(problem) => self.end(code::PAYLOAD, problem.to_owned()),
        }
    }

    fn raw(&mut self, body: Bytes) {
        self.events.push_back(Event::Message { body, answer: Answer::Raw });
    }

    fn data(&mut self, now: Instant, text: &[u8]) {
        match data_message(text) {
            Ok(body) => {
                let time = now.saturating_duration_since(self.opened).as_millis() as u32;
                let frame = MediaFrame::new(MediaKind::Data, time, body);
                self.events.push_back(Event::Data(frame));
            }
            // CNV-17: no JSON after all.
            Err(DataError::Json(_)) => self.raw(Bytes::copy_from_slice(text)),
            Err(error) => self.end(code::PAYLOAD, error.to_string()),
        }
    }

    fn close_publish(&mut self) {
        if self.publishing != Use::None {
            self.publishing = Use::None;
            self.events.push_back(Event::Unpublish);
        }
    }

    fn close_play(&mut self) {
        if self.playing != Use::None {
            self.playing = Use::None;
            self.events.push_back(Event::StopPlay);
        }
    }

    fn pong(&mut self, now: Instant, payload: &[u8]) {
        if payload == self.pings.to_string().as_bytes()
            && let Some(sent) = self.pending_ping.take()
        {
            let time = now.saturating_duration_since(sent);
            self.events.push_back(Event::RoundTrip(time));
        }
    }

    fn tell(&mut self, strings: &[&[u8]]) {
        let mut text = Vec::new();
        let mut json = JsonEncoder::list(&mut text);
        strings.iter().for_each(|string| json.string(string));
        json.finish();
        self.send(Message::Text(text.into()));
    }

    fn idle_at(&self) -> Option<Instant> {
        self.config.idle_at(self.last_input)
    }
}

#[cfg(test)]
mod tests;
