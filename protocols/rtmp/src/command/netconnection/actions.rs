//! Decisions, and what the server does of its own accord.

use bytes::Bytes;

use super::{CONNECTION, NetConnection, Pending, Phase, RejectCode};
use crate::chunk::{MAX_PAYLOAD, TooLong};
use crate::close::{CloseKind, CloseReason};
use crate::command::netstream::{NetStream, PublishRefusal, Queues};
use crate::command::on_status::{Level, command, command_with, connect_result, status};
use crate::message::{Message, StreamId, kind};

impl NetConnection {
    /// Accepts the pending connect (STA-01). `info_members` are AMF0 members (key, value, …, no
    /// end marker) for the info object. Without effect when no connect is pending.
    pub fn accept_connect(&mut self, info_members: &[u8]) {
        let Phase::Connecting { transaction, properties } = &self.phase else { return };
        if self.pending.take_if(|pending| *pending == Pending::Connect).is_none() {
            return;
        }
        let encoding = self.object_encoding;
        let body = connect_result(*transaction, encoding, properties, info_members);
        self.queues.command(CONNECTION, body);
        self.phase = Phase::Connected;
    }

    /// Refuses the pending connect (STA-02 to STA-04), says `close` and ends the connection.
    /// Without effect when no connect is pending.
    pub fn reject_connect(&mut self, code: RejectCode, description: &[u8]) {
        let Phase::Connecting { transaction, .. } = self.phase else { return };
        if self.pending.take_if(|pending| *pending == Pending::Connect).is_none() {
            return;
        }
        let body = status(b"_error", transaction, Level::Error, code.code(), description);
        self.queues.command(CONNECTION, body);
        self.queues.command(CONNECTION, command(b"close", 0.0).into());
        self.end(CloseReason::Rejected);
    }

    /// The stream, if it is the one that the pending decision is about.
    fn decide(&mut self, decided: Pending, id: StreamId) -> Option<(&mut NetStream, &mut Queues)> {
        self.pending.take_if(|pending| *pending == decided)?;
        self.stream(id)
    }

    fn stream(&mut self, id: StreamId) -> Option<(&mut NetStream, &mut Queues)> {
        let stream = self.streams.iter_mut().find(|stream| stream.id == id)?;
        Some((stream, &mut self.queues))
    }

    /// Accepts the pending publish (STA-15). Without effect when it is not pending.
    pub fn accept_publish(&mut self, stream: StreamId) {
        if let Some((stream, queues)) = self.decide(Pending::Publish(stream), stream) {
            stream.accept_publish(queues);
        }
    }

    /// Refuses the pending publish (STA-13, STA-14). Without effect when it is not pending.
    pub fn refuse_publish(&mut self, stream: StreamId, refusal: &PublishRefusal) {
        if let Some((stream, queues)) = self.decide(Pending::Publish(stream), stream) {
            stream.refuse_publish(refusal, queues);
        }
    }

    /// Accepts the pending play (STA-08); `running` tells that the publication runs (STA-12), the
    /// two rights go out as `|RtmpSampleAccess` (LIS-06). Without effect when it is not pending.
    pub fn accept_play(
        &mut self,
        stream: StreamId,
        running: bool,
        audio_sample_access: bool,
        video_sample_access: bool,
    ) {
        if let Some((stream, queues)) = self.decide(Pending::Play(stream), stream) {
            stream.accept_play(running, (audio_sample_access, video_sample_access), queues);
        }
    }

    /// The rights of a player changed: they go out again (LIS-06). Without effect before its play
    /// is accepted.
    pub fn change_sample_access(&mut self, stream: StreamId, audio: bool, video: bool) {
        if let Some((stream, queues)) = self.stream(stream) {
            stream.change_sample_access((audio, video), queues);
        }
    }

    /// Refuses the pending play (STA-10). Without effect when it is not pending.
    pub fn refuse_play(&mut self, stream: StreamId, text: &[u8]) {
        if let Some((stream, queues)) = self.decide(Pending::Play(stream), stream) {
            stream.refuse_play(text, queues);
        }
    }

    /// The publication that `stream` plays has started (STA-12).
    pub fn play_published(&mut self, stream: StreamId) {
        if let Some((stream, queues)) = self.stream(stream) {
            stream.play_published(queues);
        }
    }

    /// The publication that `stream` plays has ended (STA-12).
    pub fn play_unpublished(&mut self, stream: StreamId) {
        if let Some((stream, queues)) = self.stream(stream) {
            stream.play_unpublished(queues);
        }
    }

    /// Status `NetStream.<code>` if one is given, then the command `close`: what the stream
    /// published or played is over (STA-16). No event follows.
    pub fn close_stream_with_status(
        &mut self,
        stream: StreamId,
        code: Option<&[u8]>,
        description: &[u8],
    ) {
        let of_this = [Pending::Publish(stream), Pending::Play(stream)];
        self.pending.take_if(|pending| of_this.contains(pending));
        if let Some((stream, queues)) = self.stream(stream) {
            stream.close_with_status(code, description, queues);
        }
    }

    /// Answers a call with AMF0 values. Nothing is sent for transaction 0, which expects none.
    ///
    /// # Errors
    /// [`TooLong`] when the values do not fit a message; nothing is sent then.
    pub fn answer_call(&mut self, transaction: f64, values: &[u8]) -> Result<(), TooLong> {
        if transaction == 0.0 {
            return Ok(());
        }
        self.take_encoder_call(transaction);
        self.command_of_script(b"_result", transaction, values)
    }

    /// Answers a call with STA-06. Nothing is sent for transaction 0, which expects none.
    pub fn fail_call(&mut self, transaction: f64, text: &[u8]) {
        if transaction != 0.0 && self.is_connected() {
            self.take_encoder_call(transaction);
            let code = b"NetConnection.Call.Failed";
            let body = status(b"_error", transaction, Level::Error, code, text);
            self.queues.command(CONNECTION, body);
        }
    }

    /// `_result` of transaction 0 with AMF0 values: writeMessage outside a call (WRI-02).
    ///
    /// # Errors
    /// As [`answer_call`](Self::answer_call).
    pub fn write_message(&mut self, values: &[u8]) -> Result<(), TooLong> {
        self.command_of_script(b"_result", 0.0, values)
    }

    /// Calls a function of the client (WRI-01): transaction 0, no answer.
    ///
    /// # Errors
    /// As [`answer_call`](Self::answer_call).
    pub fn invoke(&mut self, name: &[u8], args: &[u8]) -> Result<(), TooLong> {
        self.command_of_script(name, 0.0, args)
    }

    /// A raw message, type 4 (WRI-03).
    ///
    /// # Errors
    /// As [`answer_call`](Self::answer_call).
    pub fn write_raw(&mut self, data: &[u8]) -> Result<(), TooLong> {
        check_payload(data.len())?;
        if self.is_connected() {
            let payload = Bytes::copy_from_slice(data);
            self.queues.messages.push_back(Message::control(kind::USER_CONTROL, payload));
        }
        Ok(())
    }

    /// Status `NetConnection.<code>` (WRI-04): answer to the call of that transaction, or
    /// `onStatus` outside one.
    pub fn status(&mut self, transaction: Option<f64>, code: &[u8], description: &[u8]) {
        if !self.is_connected() {
            return;
        }
        if let Some(transaction) = transaction {
            self.take_encoder_call(transaction);
        }
        let level = Level::of_code(code);
        let name: &[u8] = match (transaction, level) {
            (None, _) => b"onStatus",
            (Some(_), Level::Error) => b"_error",
            (Some(_), Level::Status) => b"_result",
        };
        let code = [b"NetConnection.", code].concat();
        let body = status(name, transaction.unwrap_or(0.0), level, &code, description);
        self.queues.command(CONNECTION, body);
    }

    /// Says why (STA-07), says `close` and ends the connection.
    pub fn close(&mut self, close: CloseKind) {
        self.close_with(close, CloseReason::Local(close));
    }

    /// As [`close`](Self::close), with a reason of the carrier.
    pub(crate) fn close_with(&mut self, close: CloseKind, reason: CloseReason) {
        if self.closed.is_some() {
            return;
        }
        let code: Option<&[u8]> = match close {
            CloseKind::Normal => None,
            CloseKind::IdleTimeout => Some(b"NetConnection.Connect.IdleTimeout"),
            CloseKind::AppShutdown => Some(b"NetConnection.Connect.AppShutdown"),
        };
        if let Some(code) = code {
            let text = b"Client closed by server side";
            self.queues.command(CONNECTION, status(b"_error", 0.0, Level::Error, code, text));
        }
        self.queues.command(CONNECTION, command(b"close", 0.0).into());
        self.end(reason);
    }

    /// A command whose values come from a script. They may hold AMF3, so a client that speaks it
    /// gets them in a message of that type.
    fn command_of_script(
        &mut self,
        name: &[u8],
        transaction: f64,
        values: &[u8],
    ) -> Result<(), TooLong> {
        check_payload(name.len() + values.len() + 32)?;
        if !self.is_connected() {
            return Ok(());
        }
        let mut payload = command_with(name, transaction, values);
        if self.object_encoding == 3 {
            payload = [&[0], &payload[..]].concat().into();
            let kind = kind::COMMAND_AMF3;
            let message = Message { kind, stream: CONNECTION, timestamp_ms: 0, payload };
            self.queues.messages.push_back(message);
        } else {
            self.queues.command(CONNECTION, payload);
        }
        Ok(())
    }
}

fn check_payload(length: usize) -> Result<(), TooLong> {
    if length > MAX_PAYLOAD { Err(TooLong(length)) } else { Ok(()) }
}
