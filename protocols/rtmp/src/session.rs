//! The server's side of one RTMP connection: handshake, chunks, control messages and timers
//! around a [`NetConnection`].

mod actions;
mod control;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::chunk::{Reader, Writer};
use crate::close::{CloseKind, CloseReason};
use crate::command::NetConnection;
use crate::event::Event;
use crate::handshake::ServerHandshake;
use crate::message::{Aggregate, Message, kind};
use control::Control;

/// Times and sizes of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// From the first byte that could come to the connect command. Encoders need two round trips.
    pub handshake_timeout: Duration,
    /// A session that receives nothing for so long is closed (CFG-15 `RTMP.timeout`); zero means
    /// never. A viewer answers pings, so it is alive as long as it reads.
    pub timeout: Duration,
    /// Between two pings (CLI-07); shorter when `timeout` is, so that an answer can keep alive.
    pub ping_period: Duration,
    /// Window acknowledgement size and peer bandwidth announced at connect, in bytes; what media
    /// servers have announced since Flash Media Server.
    pub window: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            ping_period: Duration::from_secs(30),
            window: 2_500_000,
        }
    }
}

/// What [`Session::poll_output`] gives out.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Bytes for the socket: whole messages, so media may be written before and after them.
    Transmit(Bytes),
    /// Something happened.
    Event(Event),
    /// Nothing more now: call [`Session::handle_timeout`] at this time if nothing comes before.
    Timeout(Instant),
}

/// Longest time that is waited for: a script may ask for any timeout, and after the end there is
/// nothing to wait for.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Debug)]
enum Carrier {
    Handshake(Box<ServerHandshake>),
    Chunks,
    Closed,
}

/// The server's side of one RTMP connection.
///
/// After each call, [`poll_output`](Self::poll_output) is called until it answers
/// [`Output::Timeout`]. Media for the client does not pass through the session: the owner writes
/// it with [`media_header`](crate::media_header), once connect has been accepted and what the
/// session gave out until then has been written.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    carrier: Carrier,
    reader: Reader,
    writer: Writer,
    connection: NetConnection,
    control: Control,
    /// Time of the last call that told it.
    now: Instant,
    connect_by: Instant,
    last_input: Instant,
    /// A decision was open when input came last.
    has_waited: bool,
    /// The reason, until it has been given out as an event.
    ending: Option<CloseReason>,
}

impl Session {
    /// A session of a connection accepted at `now`. `entropy` seeds the bytes of the handshake;
    /// they need not be secret, only differ.
    pub fn new(now: Instant, config: SessionConfig, entropy: [u8; 64]) -> Self {
        Self {
            carrier: Carrier::Handshake(Box::new(ServerHandshake::new(entropy))),
            reader: Reader::new(),
            writer: Writer::new(),
            connection: NetConnection::new(),
            control: Control::new(now, config.window),
            now,
            connect_by: now + config.handshake_timeout.min(LONGEST),
            last_input: now,
            has_waited: false,
            ending: None,
            config,
        }
    }

    /// Takes received bytes.
    ///
    /// All that is whole is consumed; what stays in `input` is the beginning of a chunk header or
    /// of the handshake. While a decision is pending ([`is_waiting`](Self::is_waiting)) nothing
    /// is consumed: call again after it, also when nothing new was received. After the end,
    /// `input` is emptied.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) {
        self.now = now;
        let before = input.len();
        if std::mem::take(&mut self.has_waited) && !self.connection.is_waiting() {
            // The silence was ours.
            self.last_input = now;
        }
        if let Err(reason) = self.read(input) {
            self.end(reason);
        }
        self.has_waited = self.connection.is_waiting();
        let consumed = before - input.len();
        if consumed > 0 {
            self.last_input = now;
            self.control.received(consumed, &mut self.writer);
        }
        if matches!(self.carrier, Carrier::Closed) {
            input.clear();
        }
    }

    fn read(&mut self, input: &mut BytesMut) -> Result<(), CloseReason> {
        if let Carrier::Handshake(handshake) = &mut self.carrier {
            if !handshake.handle_input(input, self.writer.buffer())? {
                return Ok(());
            }
            self.carrier = Carrier::Chunks;
        }
        while matches!(self.carrier, Carrier::Chunks) && !self.connection.is_waiting() {
            let Some(message) = self.reader.read(input)? else { break };
            self.handle_message(message)?;
            self.flush()?;
        }
        Ok(())
    }

    fn handle_message(&mut self, message: Message) -> Result<(), CloseReason> {
        match message.kind {
            kind::AUDIO | kind::VIDEO => self.connection.handle_media(message),
            1..=7 => self.handle_control(&message)?,
            kind::AGGREGATE => {
                for part in Aggregate::new(message) {
                    self.connection.handle_media(part?);
                }
            }
            _ => self.connection.handle_message(message)?,
        }
        Ok(())
    }

    /// Writes the messages of the connection as chunks, and notices its end.
    fn flush(&mut self) -> Result<(), CloseReason> {
        while let Some(message) = self.connection.poll_message() {
            self.writer.write(&message)?;
        }
        match self.connection.closed() {
            Some(reason) if !matches!(self.carrier, Carrier::Closed) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    fn end(&mut self, reason: CloseReason) {
        if !matches!(self.carrier, Carrier::Closed) {
            self.carrier = Carrier::Closed;
            self.connection.end(reason.clone());
            self.ending = Some(reason);
        }
    }

    /// To be called at the time given by [`Output::Timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if matches!(self.carrier, Carrier::Closed) {
            return;
        }
        if self.connection.is_waiting() {
            // The silence is ours: nothing is read while a decision is open.
            self.last_input = now;
        } else if !self.connection.is_connected() && now >= self.connect_by {
            self.end(CloseReason::HandshakeTimeout(self.config.handshake_timeout));
            return;
        }
        if self.idle_at().is_some_and(|deadline| now >= deadline) {
            let reason = CloseReason::Idle(self.config.timeout);
            self.connection.close_with(CloseKind::IdleTimeout, reason);
            return;
        }
        let period = self.ping_period();
        self.control.ping(now, period, &mut self.writer);
    }

    /// Counts as input: for an owner that did not read, because others were slow.
    pub fn touch(&mut self, now: Instant) {
        self.now = now;
        self.last_input = now;
    }

    /// Sets the idle timeout; zero means never (the table of onConnection may hold `timeout`).
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.config.timeout = timeout;
    }

    /// True while a decision (connect, publish, play) is open and no input is consumed.
    pub fn is_waiting(&self) -> bool {
        self.connection.is_waiting()
    }

    /// Gives out bytes first, then events in order, then the deadline.
    pub fn poll_output(&mut self) -> Output {
        if let Err(reason) = self.flush() {
            self.end(reason);
        }
        if let Some(bytes) = self.writer.take() {
            return Output::Transmit(bytes);
        }
        if let Some(round_trip) = self.control.poll_round_trip() {
            return Output::Event(Event::RoundTrip(round_trip));
        }
        if let Some(event) = self.connection.poll_event() {
            return Output::Event(event);
        }
        if let Some(reason) = self.ending.take() {
            return Output::Event(Event::Closed(reason));
        }
        Output::Timeout(self.deadline())
    }

    fn idle_at(&self) -> Option<Instant> {
        let timeout = self.config.timeout;
        (!timeout.is_zero()).then(|| self.last_input + timeout.min(LONGEST))
    }

    fn ping_period(&self) -> Duration {
        let timeout = self.config.timeout;
        if timeout.is_zero() {
            self.config.ping_period
        } else {
            self.config.ping_period.min(timeout / 2)
        }
    }

    fn deadline(&self) -> Instant {
        if matches!(self.carrier, Carrier::Closed) {
            return self.now + LONGEST;
        }
        let awaits_connect = !self.connection.is_connected() && !self.connection.is_waiting();
        [awaits_connect.then_some(self.connect_by), self.idle_at(), self.control.ping_at()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.now + LONGEST)
    }
}
