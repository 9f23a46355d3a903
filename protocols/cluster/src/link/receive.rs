//! What a link does with the peer's bytes, state by state.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Event, Link, MAX_APP_PATH, MAX_CALLS_RESERVED, SendError, State, cut};
use crate::duplicate::LinkIdentity;
use crate::frame::{Call, TooLarge, complete, split_first, take};
use crate::hello::Hello;
use crate::limits::{MAX_FRAME, MAX_HELLO_FRAME};
use crate::message::{Message, decode, decode_call};
use crate::noise::{HANDSHAKE_MESSAGE, Handshake, RECORD_LENGTH_BYTES};
use crate::preamble::{Mode, Opening};
use crate::reason::CloseReason;

impl Link {
    pub(super) fn handle_opening(&mut self, opening: Opening) {
        let mode = match opening {
            Opening::Preamble(mode) => mode,
            Opening::Refusal { code, text } => return self.told(code, &text),
            Opening::OtherVersion(theirs) => {
                self.peer_is_node = true;
                return self.shut(CloseReason::Version { theirs });
            }
            Opening::Stranger(stranger) => return self.shut(CloseReason::Stranger(stranger)),
            Opening::UnknownMode(mode) => {
                self.peer_is_node = true;
                return self.shut(CloseReason::Protocol(format!("unknown link mode {mode}")));
            }
        };
        self.peer_is_node = true;
        match (mode, &self.secret) {
            (Mode::Plain, None) => self.state = State::Hello,
            (Mode::Plain, Some(_)) => self.shut(CloseReason::PeerWithoutSecret),
            (Mode::Secret, None) => self.shut(CloseReason::NoSecretHere),
            (Mode::Secret, Some(secret)) => {
                if !self.dials {
                    self.state = State::Handshake(Handshake::accept(secret, self.entropy));
                }
            }
        }
    }

    /// Reads the peer's handshake message once it is complete, and answers it if it is the first.
    pub(super) fn handle_handshake(&mut self, input: &mut BytesMut) {
        let Some(length) = input.first_chunk::<RECORD_LENGTH_BYTES>() else { return };
        let length = usize::from(u16::from_be_bytes(*length));
        if length != HANDSHAKE_MESSAGE {
            return self.shut(CloseReason::Protocol(format!(
                "handshake of {length} bytes, {HANDSHAKE_MESSAGE} expected"
            )));
        }
        if input.len() < RECORD_LENGTH_BYTES + HANDSHAKE_MESSAGE {
            return;
        }
        let record = input.split_to(RECORD_LENGTH_BYTES + HANDSHAKE_MESSAGE);
        let State::Handshake(mut handshake) = std::mem::replace(&mut self.state, State::Hello)
        else {
            return;
        };
        if handshake.read(&record[RECORD_LENGTH_BYTES..]).is_err() {
            return self.shut(CloseReason::WrongSecret);
        }
        if !self.dials {
            self.send_preamble();
            self.send_handshake(&mut handshake);
        }
        match handshake.finish() {
            Ok(cipher) => self.cipher = Some(cipher),
            Err(_) => return self.shut(CloseReason::WrongSecret),
        }
        if self.dials {
            self.send_hello();
        }
    }

    pub(super) fn handle_frames(&mut self, buffer: &mut BytesMut) {
        loop {
            let (limit, is_up) = match self.state {
                State::Hello => (MAX_HELLO_FRAME, false),
                State::Up => (MAX_FRAME, true),
                _ => return,
            };
            let (mut whole, mut count, mut broken) = (0, 0, None);
            loop {
                match complete(&buffer[whole..], limit) {
                    Ok(Some(frame)) => {
                        whole += frame;
                        count += 1;
                        if !is_up {
                            break; // what follows the hello has another limit
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            if whole > 0 {
                self.handle_whole_frames(&take(buffer, whole), count);
            }
            if let Some(TooLarge { claimed, limit }) = broken {
                return self.shut(CloseReason::FrameTooLarge { claimed, limit });
            }
            if is_up || whole == 0 {
                return;
            }
        }
    }

    fn handle_whole_frames(&mut self, frames: &Bytes, count: usize) {
        let is_up = self.is_up(); // a hello comes alone, so this holds for all of them
        let mut calls = Vec::new();
        let mut round_trip = None;
        let mut rest = &frames[..];
        while let Some((frame, behind)) = split_first(rest) {
            rest = behind;
            if is_up && let Some(Ok((handler, args))) = decode_call(frame) {
                if calls.capacity() == 0 {
                    calls.reserve_exact(count.min(MAX_CALLS_RESERVED));
                }
                calls.push(Call {
                    handler: frames.slice_ref(handler),
                    args: frames.slice_ref(args),
                });
                continue;
            }
            let message = match decode(frame) {
                Ok((message, _)) => message,
                Err(error) => {
                    self.flush_calls(&mut calls);
                    return self.shut(CloseReason::Protocol(error.to_string()));
                }
            };
            match message {
                Message::Ping { sent_us } if is_up => {
                    self.pong = Some(sent_us);
                }
                Message::Pong { sent_us } if is_up => match self.clock_us().checked_sub(sent_us) {
                    Some(us) => round_trip = Some(Duration::from_micros(us)),
                    None => {
                        self.flush_calls(&mut calls);
                        let text = "a pong for a ping of the future".to_owned();
                        return self.shut(CloseReason::Protocol(text));
                    }
                },
                message => {
                    self.flush_calls(&mut calls);
                    self.handle_rare(message);
                    if self.is_closed() {
                        return;
                    }
                }
            }
        }
        self.flush_calls(&mut calls);
        self.events.extend(round_trip.map(Event::RoundTrip));
    }

    fn flush_calls(&mut self, calls: &mut Vec<Call>) {
        if !calls.is_empty() {
            self.events.push_back(Event::Calls(std::mem::take(calls)));
        }
    }

    /// Frames that are not for each moment, and those that came at the wrong one.
    fn handle_rare(&mut self, message: Message<'_>) {
        let is_up = matches!(self.state, State::Up);
        match message {
            Message::Hello(wire) if !is_up => match wire.to_hello() {
                Ok(hello) => self.handle_hello(hello),
                Err(error) => self.shut(CloseReason::Protocol(error.to_string())),
            },
            Message::App { path } if is_up => {
                if path.len() > MAX_APP_PATH {
                    let text = SendError::PathTooLong(path.len()).to_string();
                    return self.shut(CloseReason::Protocol(text));
                }
                self.events.push_back(Event::App(Bytes::copy_from_slice(path)));
            }
            Message::Reject { text } => {
                self.end(CloseReason::Rejected(Bytes::copy_from_slice(cut(text))));
            }
            Message::Close { code, text } => self.told(code, cut(text)),
            message => {
                let when = if is_up { "in a link that is up" } else { "before the hello" };
                self.shut(CloseReason::Protocol(format!("{} frame {when}", message.name())));
            }
        }
    }

    fn handle_hello(&mut self, mut hello: Hello) {
        if hello.node_id == self.own.node_id {
            return self.shut(if hello.incarnation == self.own.incarnation {
                CloseReason::SelfLink
            } else {
                CloseReason::SameNodeId
            });
        }
        self.peer = Some(LinkIdentity {
            peer: hello.node_id,
            peer_incarnation: hello.incarnation,
            dialled_here: self.dials,
            dial: if self.dials { self.own.dial } else { hello.dial },
        });
        if self.dials {
            hello.properties.clone_from(&self.own.properties);
        } else {
            if !self.has_preamble {
                self.send_preamble();
            }
            self.send_hello();
        }
        self.state = State::Up;
        self.deadline = self.now + self.config.dead_after;
        self.next_ping = self.now;
        self.events.push_back(Event::Up(hello));
    }
}
