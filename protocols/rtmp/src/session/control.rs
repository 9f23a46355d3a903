//! Protocol control messages (RTMP 1.0 §5.4) and pings.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{LONGEST, Session};
use crate::chunk::{OUT_CHUNK_SIZE, Writer};
use crate::close::CloseReason;
use crate::message::{Message, UserControl, control_value, event, kind};

/// From the acceptance of connect to the first ping, so that `client.ping` has a value early and
/// the ping does not mix with the exchange that follows connect.
const FIRST_PING: Duration = Duration::from_secs(1);

/// Window of a peer that announced none; the common one of media servers.
const DEFAULT_PEER_WINDOW: u32 = 2_500_000;

/// Limit types of SetPeerBandwidth (RTMP 1.0 §5.4.5).
const HARD: u8 = 0;
const SOFT: u8 = 1;
const DYNAMIC: u8 = 2;

/// Windows, acknowledgements and pings of one connection.
#[derive(Debug)]
pub(super) struct Control {
    /// The zero of ping values.
    epoch: Instant,
    /// Window that we announced last.
    window: u32,
    /// Whether the last limit of the peer was hard: then a dynamic one counts as hard.
    is_hard: bool,
    /// Window after which the peer wants an acknowledgement.
    peer_window: u32,
    /// All bytes received, modulo 2^32, as the acknowledgement states them.
    received: u32,
    acknowledged: u32,
    next_ping: Option<Instant>,
    /// Value and time of a ping that is not answered yet.
    pending_ping: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
}

impl Control {
    pub(super) fn new(now: Instant, window: u32) -> Self {
        Self {
            epoch: now,
            window,
            is_hard: false,
            peer_window: DEFAULT_PEER_WINDOW,
            received: 0,
            acknowledged: 0,
            next_ping: None,
            pending_ping: None,
            round_trip: None,
        }
    }

    /// Counts received bytes. The acknowledgement goes out at half of the peer's window, so that
    /// a sender that stops at the whole window never does.
    pub(super) fn received(&mut self, bytes: usize, writer: &mut Writer) {
        self.received = self.received.wrapping_add(bytes as u32);
        let open = self.received.wrapping_sub(self.acknowledged);
        if open >= (self.peer_window / 2).max(1) {
            self.acknowledged = self.received;
            write_value(kind::ACKNOWLEDGEMENT, self.received, writer);
        }
    }

    /// Announces our window, the peer's bandwidth and our chunk size, and starts the pings.
    pub(super) fn announce(&mut self, now: Instant, writer: &mut Writer) {
        write_value(kind::WINDOW_ACKNOWLEDGEMENT_SIZE, self.window, writer);
        let mut bandwidth = self.window.to_be_bytes().to_vec();
        bandwidth.push(DYNAMIC);
        write(&Message::control(kind::SET_PEER_BANDWIDTH, bandwidth.into()), writer);
        write_value(kind::SET_CHUNK_SIZE, OUT_CHUNK_SIZE as u32, writer);
        writer.set_chunk_size(OUT_CHUNK_SIZE);
        write(&Message::user_control(event::STREAM_BEGIN, &[0]), writer);
        self.next_ping = Some(now + FIRST_PING);
    }

    pub(super) fn ping_at(&self) -> Option<Instant> {
        self.next_ping
    }

    /// Sends a ping if it is time.
    pub(super) fn ping(&mut self, now: Instant, period: Duration, writer: &mut Writer) {
        if self.next_ping.is_some_and(|at| now >= at) {
            let value = now.saturating_duration_since(self.epoch).as_millis() as u32;
            self.pending_ping = Some((value, now));
            self.next_ping = Some(now + period.min(LONGEST));
            write(&Message::user_control(event::PING_REQUEST, &[value]), writer);
        }
    }

    fn pong(&mut self, now: Instant, value: u32) {
        if let Some((_, sent)) = self.pending_ping.take_if(|(expected, _)| *expected == value) {
            self.round_trip = Some(now.saturating_duration_since(sent));
        }
    }

    pub(super) fn poll_round_trip(&mut self) -> Option<Duration> {
        self.round_trip.take()
    }

    /// SetPeerBandwidth (RTMP 1.0 §5.4.5): answered with our window when that changes.
    fn limit(&mut self, size: u32, limit: u8, writer: &mut Writer) {
        let window = match limit {
            HARD => size,
            SOFT => size.min(self.window),
            DYNAMIC if self.is_hard => size,
            _ => self.window,
        };
        self.is_hard = limit == HARD || (limit == DYNAMIC && self.is_hard);
        if window != self.window {
            self.window = window;
            write_value(kind::WINDOW_ACKNOWLEDGEMENT_SIZE, window, writer);
        }
    }
}

fn write(message: &Message, writer: &mut Writer) {
    writer.write(message).expect("control messages have at most 10 bytes");
}

fn write_value(message_kind: u8, value: u32, writer: &mut Writer) {
    let payload = Bytes::copy_from_slice(&value.to_be_bytes());
    write(&Message::control(message_kind, payload), writer);
}

impl Session {
    pub(super) fn handle_control(&mut self, message: &Message) -> Result<(), CloseReason> {
        match message.kind {
            kind::SET_CHUNK_SIZE => self.reader.set_chunk_size(control_value(message)?)?,
            kind::ABORT => self.reader.abort(control_value(message)?),
            kind::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                // Zero would ask for an acknowledgement of nothing: the window stays.
                let window = control_value(message)?;
                if window > 0 {
                    self.control.peer_window = window;
                }
            }
            kind::SET_PEER_BANDWIDTH => {
                let size = control_value(message)?;
                let limit = message.payload.get(4).copied().unwrap_or(DYNAMIC);
                self.control.limit(size, limit, &mut self.writer);
            }
            kind::USER_CONTROL => match UserControl::read(&message.payload)? {
                UserControl::PingRequest(value) => {
                    let pong = Message::user_control(event::PING_RESPONSE, &[value]);
                    write(&pong, &mut self.writer);
                }
                UserControl::PingResponse(value) => self.control.pong(self.now, value),
                UserControl::SetBufferLength(stream, length_ms) => {
                    self.connection.handle_buffer_length(stream, length_ms);
                }
                // A client begins and ends nothing of ours.
                UserControl::StreamBegin(_) | UserControl::StreamEof(_) | UserControl::Other(_) => {
                }
            },
            // An acknowledgement only shows that the client reads; 7 is reserved.
            _ => {}
        }
        Ok(())
    }
}
