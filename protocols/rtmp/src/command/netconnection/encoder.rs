//! Commands that encoders and some players send besides (CLI-22): a script that defines them gets
//! them as calls; for all others they are answered as these clients expect, for they treat an
//! error as a failed connection.

use bytes::Bytes;

use super::{CONNECTION, Command, NetConnection, command_body};
use crate::command::on_status::{Level, put_number, status};
use crate::event::Event;
use crate::limits::MAX_ENCODER_CALLS;

/// One of these commands, at the script.
#[derive(Debug)]
pub(super) struct EncoderCall {
    transaction: f64,
    answer: Answer,
    /// The stream that it names.
    name: Bytes,
}

/// What follows `_result`.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Nothing.
    Empty,
    /// How long a stream is: a live one, 0 s.
    Length,
    /// The command that FMLE and Flash wait for, with a status of this code.
    Command(&'static str, &'static str),
}

fn answer_of(name: &[u8]) -> Option<Answer> {
    Some(match name {
        b"releaseStream" | b"_checkbw" => Answer::Empty,
        b"getStreamLength" => Answer::Length,
        b"FCPublish" => Answer::Command("onFCPublish", "NetStream.Publish.Start"),
        b"FCUnpublish" => Answer::Command("onFCUnpublish", "NetStream.Unpublish.Success"),
        b"FCSubscribe" => Answer::Command("onFCSubscribe", "NetStream.Play.Start"),
        b"FCUnsubscribe" => Answer::Command("onFCUnsubscribe", "NetStream.Play.Stop"),
        _ => return None,
    })
}

impl NetConnection {
    /// A command that the connection does not act on: a call of the script's functions.
    pub(super) fn call(&mut self, command: Command) {
        if let Some(answer) = answer_of(&command.name) {
            let [name] = command.arguments();
            let name = name.as_string().cloned().unwrap_or_default();
            let call = EncoderCall { transaction: command.transaction, answer, name };
            if self.encoder_calls.len() >= MAX_ENCODER_CALLS {
                return self.answer_encoder(&call);
            }
            if call.transaction == 0.0 {
                // Answers of the script come without the name: this one cannot be told from others.
                self.answer_encoder(&call);
            } else {
                self.encoder_calls.push(call);
            }
        }
        let Command { transaction, name, args, .. } = command;
        self.queues.events.push_back(Event::Call { transaction, name, args });
    }

    /// The script has no function for a call, or one that returned nothing. True when the connection
    /// answered in its place: a command of an encoder that nothing else has answered.
    pub fn leave_call(&mut self, transaction: f64) -> bool {
        let call = self.take_encoder_call(transaction);
        if let Some(call) = &call {
            self.answer_encoder(call);
        }
        call.is_some()
    }

    /// The command of an encoder that is answered now, if it is one.
    pub(super) fn take_encoder_call(&mut self, transaction: f64) -> Option<EncoderCall> {
        let index = self.encoder_calls.iter().position(|call| call.transaction == transaction)?;
        Some(self.encoder_calls.remove(index))
    }

    fn answer_encoder(&mut self, call: &EncoderCall) {
        if !self.is_connected() {
            return;
        }
        if call.transaction != 0.0 {
            let mut body = command_body(call.transaction);
            if matches!(call.answer, Answer::Length) {
                put_number(&mut body, 0.0);
            }
            self.queues.command(CONNECTION, body.into());
        }
        if let Answer::Command(command, code) = call.answer {
            let body = status(command.as_bytes(), 0.0, Level::Status, code.as_bytes(), &call.name);
            self.queues.command(CONNECTION, body);
        }
    }
}
