mod event;
mod receive;

pub use event::{Event, Output, SendError};

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::duplicate::LinkIdentity;
use crate::hello::{Hello, HelloError, HelloWire};
use crate::message::{Message, encode};
use crate::noise::{Cipher, Handshake};
use crate::outbound::Outbound;
use crate::preamble::{self, Mode, refusal};
use crate::reason::CloseReason;
use crate::secret::Secret;

/// Bytes of frames that may wait in a link (CLU-26); further ones are refused.
pub const MAX_QUEUED: usize = 64 << 20;

/// Longest text of a rejection or close; longer ones are cut. An error text with its trace fits.
pub const MAX_TEXT: usize = 4_096;

/// Longest application path: below the 4096 of a file system, with room for the folders before it.
pub const MAX_APP_PATH: usize = 1_024;

/// How long the owner of a closed link waits for the peer to close as well.
const LINGER: Duration = Duration::from_secs(1);

/// Smallest heartbeat; below, heartbeats would be the load.
const MIN_PING_INTERVAL: Duration = Duration::from_millis(10);

/// Calls that memory is reserved for at once; more are taken as they come.
const MAX_CALLS_RESERVED: usize = 16_384;

/// Times of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// From the connection until the peer's hello (CLU-09).
    pub hello_timeout: Duration,
    /// Between two heartbeats; at least 10 ms.
    pub ping_interval: Duration,
    /// Silence after which the peer is dead (CLU-07); at least two heartbeats, since each heartbeat
    /// is answered.
    pub dead_after: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(1),
            dead_after: Duration::from_secs(5),
        }
    }
}

enum State {
    /// Nothing read yet.
    Opening,
    /// With a secret: the peer's handshake message is awaited, by the dialler behind its preamble.
    Handshake(Handshake),
    /// The peer's hello is awaited.
    Hello,
    Up,
    Closed,
}

/// One TCP link between two nodes, either end of it, without the socket.
///
/// ```text
/// dialler                                   acceptor
///   preamble [, handshake 1 | hello]  ──▶
///                                     ◀──   preamble [, handshake 2]     or refusal
///   [hello]                           ──▶
///                                     ◀──   hello                        both are up
/// ```
pub struct Link {
    dials: bool,
    config: LinkConfig,
    own: Hello,
    secret: Option<Secret>,
    entropy: [u8; 32],
    state: State,
    /// Own preamble queued: from then on the peer is told things in frames, before in a refusal.
    has_preamble: bool,
    /// The peer's first bytes were those of a node.
    peer_is_node: bool,
    cipher: Option<Cipher>,
    outbound: Outbound,
    /// Decrypted, not yet complete frames.
    plain: BytesMut,
    events: VecDeque<Event>,
    peer: Option<LinkIdentity>,
    started: Instant,
    /// Latest time that the owner told.
    now: Instant,
    /// End of the present wait: hello, silence, or linger.
    deadline: Instant,
    next_ping: Instant,
    heard: Instant,
    /// Latest ping of the peer, not answered yet. One at most, however many it sends.
    pong: Option<u64>,
    /// The owner was late once; see `check_silence`.
    was_late: bool,
}

impl Link {
    /// This node opened the connection. `hello` carries the properties of the target entry;
    /// `entropy` must be fresh random bytes when there is a secret.
    ///
    /// # Errors
    /// The own hello is past its bounds.
    pub fn dial(
        now: Instant,
        config: LinkConfig,
        hello: Hello,
        secret: Option<Secret>,
        entropy: [u8; 32],
    ) -> Result<Self, HelloError> {
        let mut link = Self::new(now, config, hello, secret, entropy, true)?;
        link.send_preamble();
        match &link.secret {
            None => link.send_hello(),
            Some(secret) => {
                let mut handshake = Handshake::dial(secret, entropy);
                link.send_handshake(&mut handshake);
                link.state = State::Handshake(handshake);
            }
        }
        Ok(link)
    }

    /// This node accepted the connection; arguments as for [`dial`](Self::dial). `properties` and
    /// `dial` of the hello should be empty and 0.
    ///
    /// # Errors
    /// The own hello is past its bounds.
    pub fn accept(
        now: Instant,
        config: LinkConfig,
        hello: Hello,
        secret: Option<Secret>,
        entropy: [u8; 32],
    ) -> Result<Self, HelloError> {
        Self::new(now, config, hello, secret, entropy, false)
    }

    fn new(
        now: Instant,
        mut config: LinkConfig,
        own: Hello,
        secret: Option<Secret>,
        entropy: [u8; 32],
        dials: bool,
    ) -> Result<Self, HelloError> {
        own.check()?;
        config.ping_interval = config.ping_interval.max(MIN_PING_INTERVAL);
        config.dead_after = config.dead_after.max(config.ping_interval * 2);
        Ok(Self {
            dials,
            config,
            own,
            secret,
            entropy,
            state: State::Opening,
            has_preamble: false,
            peer_is_node: false,
            cipher: None,
            outbound: Outbound::default(),
            plain: BytesMut::new(),
            events: VecDeque::new(),
            peer: None,
            started: now,
            now,
            deadline: now + config.hello_timeout,
            next_ping: now,
            heard: now,
            pong: None,
            was_late: false,
        })
    }

    /// Takes what was read from the connection; what is not complete yet stays in `input`.
    ///
    /// No memory is reserved for what a length claims: `input` grows by what arrives, and holds at
    /// most one incomplete frame and one read.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) {
        self.now = now;
        if self.is_closed() {
            input.clear();
        }
        if input.is_empty() {
            return;
        }
        self.heard = now;
        self.was_late = false;
        if matches!(self.state, State::Up) {
            self.deadline = now + self.config.dead_after;
        }
        while !self.peer_is_node {
            match preamble::read(input) {
                None => return,
                Some((opening, used)) => {
                    drop(input.split_to(used));
                    self.handle_opening(opening);
                }
            }
            if self.is_closed() {
                break;
            }
        }
        if matches!(self.state, State::Handshake(_)) {
            self.handle_handshake(input);
        }
        if matches!(self.state, State::Hello | State::Up) {
            match &mut self.cipher {
                None => self.handle_frames(input),
                Some(cipher) => {
                    // What was authentic before a broken record is still good.
                    let opened = cipher.open(input, &mut self.plain);
                    let mut plain = std::mem::take(&mut self.plain);
                    self.handle_frames(&mut plain);
                    self.plain = plain;
                    if opened.is_err() {
                        self.shut(CloseReason::Tampered);
                    }
                }
            }
        }
        if self.is_closed() {
            input.clear();
            self.plain = BytesMut::new();
        }
    }

    /// The peer ended the connection, or it broke.
    pub fn handle_eof(&mut self, now: Instant) {
        self.now = now;
        match self.state {
            State::Up => self.shut(CloseReason::Lost),
            _ => self.shut(CloseReason::LostBeforeHello),
        }
    }

    /// Does what is due at `now`; calls before the deadline do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        match self.state {
            State::Closed => {}
            State::Up => {
                self.check_silence(now);
                if matches!(self.state, State::Up) && now >= self.next_ping {
                    self.next_ping = now + self.config.ping_interval;
                    let sent_us = self.clock_us();
                    self.push(&Message::Ping { sent_us });
                }
            }
            _ if now >= self.deadline => {
                self.shut(CloseReason::HelloTimeout(self.config.hello_timeout));
            }
            _ => {}
        }
    }

    /// The owner has not been reading until `now` (back pressure): silence counts from here.
    ///
    /// Without it, an owner that stops reading for longer than `dead_after` takes the peer for
    /// dead whose heartbeats wait in the socket. Heartbeats to the peer go on meanwhile.
    pub fn postpone_silence(&mut self, now: Instant) {
        self.now = now;
        if self.is_up() {
            self.heard = now;
            self.was_late = false;
            self.deadline = now + self.config.dead_after;
        }
    }

    /// The next thing to do; call until it answers [`Output::Timeout`].
    pub fn poll_output(&mut self) -> Output {
        if let Some(bytes) = self.poll_transmit() {
            return Output::Transmit(bytes);
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        Output::Timeout(match self.state {
            State::Up => self.deadline.min(self.next_ping),
            _ => self.deadline,
        })
    }

    /// The next bytes to send, for whoever has just queued some: events and the deadline stay for
    /// [`poll_output`](Self::poll_output).
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if let Some(sent_us) = self.pong.take()
            && matches!(self.state, State::Up)
        {
            self.push(&Message::Pong { sent_us });
        }
        match self.outbound.poll(self.cipher.as_mut()) {
            Ok(bytes) => bytes,
            // The record counter is used up, after 2^64 records.
            Err(_) => {
                self.end(CloseReason::Protocol("a record could not be encrypted".into()));
                None
            }
        }
    }

    /// Queues whole frames made by [`encode_call`](crate::encode_call), behind the own hello and
    /// all before them; shared memory is not copied on a plain link.
    ///
    /// # Errors
    /// Nothing is queued on a closed link, or past [`MAX_QUEUED`].
    pub fn send_frames(&mut self, frames: Bytes) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if self.outbound.frame_bytes() + frames.len() > MAX_QUEUED {
            return Err(SendError::QueueFull);
        }
        self.outbound.push(frames);
        Ok(())
    }

    /// Tells the peer that an application was loaded or reloaded (CLU-12), in order with calls.
    ///
    /// # Errors
    /// As [`send_frames`](Self::send_frames), or the path is too long.
    pub fn announce_app(&mut self, path: &[u8]) -> Result<(), SendError> {
        if path.len() > MAX_APP_PATH {
            return Err(SendError::PathTooLong(path.len()));
        }
        let mut frame = Vec::new();
        // Cannot be too large: the path was just measured.
        let _ = encode(&mut frame, &Message::App { path }, b"");
        self.send_frames(frame.into())
    }

    /// Refuses the peer with a script's text and closes (CLU-10).
    pub fn reject(&mut self, text: &[u8]) {
        self.shut(CloseReason::RejectedHere(Bytes::copy_from_slice(cut(text))));
    }

    /// Closes in order behind everything queued; `text` says why ("shutting down").
    pub fn close(&mut self, text: &str) {
        self.shut(CloseReason::Local(String::from_utf8_lossy(cut(text.as_bytes())).into_owned()));
    }

    /// Closes because another link to the same node stays (CLU-08); the peer has the same reason.
    pub fn close_duplicate(&mut self) {
        self.shut(CloseReason::Duplicate);
    }

    /// Whether the link ended; input is discarded from then on.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether both hellos are done and the link has not ended.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// What [`keep_which`](crate::keep_which) compares; from [`Event::Up`] on.
    pub fn identity(&self) -> Option<LinkIdentity> {
        self.peer
    }

    /// Bytes of frames that wait to be polled.
    pub fn queued_bytes(&self) -> usize {
        self.outbound.frame_bytes()
    }

    /// Closes a link that heard nothing for too long.
    ///
    /// When this call itself comes late, the node stood still (a suspended machine, a starved
    /// thread) and what the peer sent may be waiting unread: it gets one more heartbeat.
    fn check_silence(&mut self, now: Instant) {
        let Some(late) = now.checked_duration_since(self.deadline) else { return };
        if late > self.config.ping_interval && !self.was_late {
            self.was_late = true;
            self.deadline = now + self.config.ping_interval;
        } else {
            self.shut(CloseReason::Dead(now.saturating_duration_since(self.heard)));
        }
    }

    fn send_preamble(&mut self) {
        let mode = if self.secret.is_some() { Mode::Secret } else { Mode::Plain };
        self.has_preamble = true;
        self.outbound.push_raw(Bytes::copy_from_slice(&preamble::preamble(mode)));
    }

    fn send_handshake(&mut self, handshake: &mut Handshake) {
        let mut message = BytesMut::new();
        if handshake.write(&mut message).is_ok() {
            self.outbound.push_raw(message.freeze());
        }
    }

    fn send_hello(&mut self) {
        let mut frame = Vec::new();
        // Cannot be too large: the bounds were checked when the link was made.
        let _ = encode(&mut frame, &Message::Hello(HelloWire::new(&self.own)), b"");
        self.outbound.open_with(frame.into());
    }

    fn push(&mut self, message: &Message<'_>) {
        let mut frame = Vec::with_capacity(16);
        if encode(&mut frame, message, b"").is_some() {
            self.outbound.push(frame.into());
        }
    }

    /// The peer closed, or refused, and said why.
    fn told(&mut self, code: u8, text: &[u8]) {
        self.end(CloseReason::told(code, text));
    }

    /// Ends the link and tells the peer why, in a form that it can read at this point.
    fn shut(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        let Some((code, text)) = reason.telling() else { return self.end(reason) };
        if !self.has_preamble {
            // A stranger would not understand; only a node that said so is answered.
            if self.peer_is_node {
                self.outbound.push_raw(refusal(code, &text));
            }
            return self.end(reason);
        }
        let message = match &reason {
            CloseReason::RejectedHere(text) => Message::Reject { text },
            _ => Message::Close { code: code as u8, text: cut(text.as_bytes()) },
        };
        let mut frame = Vec::new();
        let is_readable = self.secret.is_none() || self.cipher.is_some();
        if !is_readable || encode(&mut frame, &message, b"").is_none() {
            return self.end(reason);
        }
        self.outbound.close_with(frame.into());
        self.finish(reason);
    }

    /// Ends the link without another word; frames that wait are dropped.
    fn end(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.outbound.drop_frames();
            self.finish(reason);
        }
    }

    fn finish(&mut self, reason: CloseReason) {
        if let CloseReason::Rejected(text) = &reason {
            self.events.push_back(Event::Rejected(text.clone()));
        }
        self.state = State::Closed;
        self.deadline = self.now + LINGER;
        self.pong = None;
        self.events.push_back(Event::Closed(reason));
    }

    /// Microseconds since the link was made, as heartbeats carry them.
    fn clock_us(&self) -> u64 {
        self.now.saturating_duration_since(self.started).as_micros() as u64
    }
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(MAX_TEXT)]
}
