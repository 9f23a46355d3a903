//! Decisions and what the server does of its own accord, handed to the [`NetConnection`].

use super::Session;
use crate::chunk::TooLong;
use crate::close::CloseKind;
use crate::command::{NetConnection, PublishRefusal, RejectCode};
use crate::message::StreamId;

impl Session {
    /// The commands of the connection, for reading its state.
    pub fn connection(&self) -> &NetConnection {
        &self.connection
    }

    /// The commands of the connection, for everything that all carriers have in common. Connect is
    /// accepted by [`accept_connect`](Self::accept_connect) alone.
    pub fn connection_mut(&mut self) -> &mut NetConnection {
        &mut self.connection
    }

    /// Accepts the pending connect: window, bandwidth and chunk size are announced, then STA-01
    /// goes out. See [`NetConnection::accept_connect`].
    pub fn accept_connect(&mut self, info_members: &[u8]) {
        let was_connected = self.connection.is_connected();
        self.connection.accept_connect(info_members);
        if self.connection.is_connected() && !was_connected {
            self.control.announce(self.now, &mut self.writer);
        }
    }

    /// Refuses the pending connect; see [`NetConnection::reject_connect`].
    pub fn reject_connect(&mut self, code: RejectCode, description: &[u8]) {
        self.connection.reject_connect(code, description);
    }

    /// Accepts the pending publish; see [`NetConnection::accept_publish`].
    pub fn accept_publish(&mut self, stream: StreamId) {
        self.connection.accept_publish(stream);
    }

    /// Refuses the pending publish; see [`NetConnection::refuse_publish`].
    pub fn refuse_publish(&mut self, stream: StreamId, refusal: &PublishRefusal) {
        self.connection.refuse_publish(stream, refusal);
    }

    /// Accepts the pending play; see [`NetConnection::accept_play`].
    pub fn accept_play(
        &mut self,
        stream: StreamId,
        running: bool,
        audio_sample_access: bool,
        video_sample_access: bool,
    ) {
        self.connection.accept_play(stream, running, audio_sample_access, video_sample_access);
    }

    /// The rights of a player changed; see [`NetConnection::change_sample_access`].
    pub fn change_sample_access(&mut self, stream: StreamId, audio: bool, video: bool) {
        self.connection.change_sample_access(stream, audio, video);
    }

    /// Refuses the pending play; see [`NetConnection::refuse_play`].
    pub fn refuse_play(&mut self, stream: StreamId, text: &[u8]) {
        self.connection.refuse_play(stream, text);
    }

    /// The publication that `stream` plays has started; see [`NetConnection::play_published`].
    pub fn play_published(&mut self, stream: StreamId) {
        self.connection.play_published(stream);
    }

    /// The publication that `stream` plays has ended; see [`NetConnection::play_unpublished`].
    pub fn play_unpublished(&mut self, stream: StreamId) {
        self.connection.play_unpublished(stream);
    }

    /// Ends the use of a stream; see [`NetConnection::close_stream_with_status`].
    pub fn close_stream_with_status(
        &mut self,
        stream: StreamId,
        code: Option<&[u8]>,
        description: &[u8],
    ) {
        self.connection.close_stream_with_status(stream, code, description);
    }

    /// Answers a call; see [`NetConnection::answer_call`].
    ///
    /// # Errors
    /// [`TooLong`] when the values do not fit a message; nothing is sent then.
    pub fn answer_call(&mut self, transaction: f64, values: &[u8]) -> Result<(), TooLong> {
        self.connection.answer_call(transaction, values)
    }

    /// Answers a call with STA-06; see [`NetConnection::fail_call`].
    pub fn fail_call(&mut self, transaction: f64, text: &[u8]) {
        self.connection.fail_call(transaction, text);
    }

    /// See [`NetConnection::write_message`].
    ///
    /// # Errors
    /// As [`answer_call`](Self::answer_call).
    pub fn write_message(&mut self, values: &[u8]) -> Result<(), TooLong> {
        self.connection.write_message(values)
    }

    /// Calls a function of the client; see [`NetConnection::invoke`].
    ///
    /// # Errors
    /// As [`answer_call`](Self::answer_call).
    pub fn invoke(&mut self, name: &[u8], args: &[u8]) -> Result<(), TooLong> {
        self.connection.invoke(name, args)
    }

    /// Sends a raw message; see [`NetConnection::write_raw`].
    ///
    /// # Errors
    /// As [`answer_call`](Self::answer_call).
    pub fn write_raw(&mut self, data: &[u8]) -> Result<(), TooLong> {
        self.connection.write_raw(data)
    }

    /// Sends a status of the connection; see [`NetConnection::status`].
    pub fn status(&mut self, transaction: Option<f64>, code: &[u8], description: &[u8]) {
        self.connection.status(transaction, code, description);
    }

    /// Ends the connection; see [`NetConnection::close`].
    pub fn close(&mut self, close: CloseKind) {
        self.connection.close(close);
    }
}
