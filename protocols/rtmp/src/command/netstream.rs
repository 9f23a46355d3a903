//! NetStream commands (RTMP 1.0 §7.2.2): what one stream of a connection is used for.

use std::collections::VecDeque;

use bytes::Bytes;
use ramona_amf::Value;
use ramona_media::MediaFrame;

use super::on_status::{Level, command, sample_access, sentence, status};
use super::{Command, CommandError, check_length};
use crate::event::{Event, PublishMode};
use crate::limits::MAX_STREAM_NAME;
use crate::message::{Message, StreamId, event, kind};
use crate::url::split_query;

/// What waits to be taken: messages to the peer and events to the owner, each in order.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(crate) messages: VecDeque<Message>,
    pub(crate) events: VecDeque<Event>,
}

impl Queues {
    /// A command body on a stream.
    pub(crate) fn command(&mut self, stream: StreamId, payload: Bytes) {
        self.messages.push_back(Message {
            kind: kind::COMMAND_AMF0,
            stream,
            timestamp_ms: 0,
            payload,
        });
    }

    /// A user control message about one stream.
    pub(crate) fn control(&mut self, event: u16, stream: StreamId) {
        self.messages.push_back(Message::user_control(event, &[stream.0]));
    }

    fn on_status(&mut self, stream: StreamId, level: Level, code: &[u8], description: &[u8]) {
        self.command(stream, status(b"onStatus", 0.0, level, code, description));
    }
}

/// Why a publish is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishRefusal {
    /// By the script, with its text (STA-13).
    Refused(Bytes),
    /// The name is running already (STA-14).
    BadName,
}

#[derive(Debug, Default)]
enum Use {
    #[default]
    Idle,
    Publishing {
        name: Bytes,
        accepted: bool,
    },
    Playing {
        name: Bytes,
        accepted: bool,
    },
}

/// What a command needs from the owner before anything else may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    None,
    Publish,
    Play,
}

/// One stream made by createStream.
#[derive(Debug)]
pub(crate) struct NetStream {
    pub(crate) id: StreamId,
    used: Use,
    /// What the client buffers, once it told.
    pub(crate) buffer_ms: Option<u32>,
}

impl NetStream {
    pub(crate) fn new(id: StreamId) -> Self {
        Self { id, used: Use::Idle, buffer_ms: None }
    }

    /// Acts on a NetStream command; `None` when the name is none of them.
    pub(crate) fn handle_command(
        &mut self,
        command: &Command,
        queues: &mut Queues,
    ) -> Result<Option<Decision>, CommandError> {
        let decision = match &command.name[..] {
            b"publish" => self.publish(command, queues)?,
            b"play" => self.play(command, queues)?,
            b"play2" => self.play2(command, queues)?,
            b"closeStream" => {
                self.stop(queues);
                Decision::None
            }
            b"pause" | b"pauseRaw" => {
                let [argument] = command.arguments();
                self.pause(argument.as_bool().unwrap_or(true), queues);
                Decision::None
            }
            b"seek" => {
                let [argument] = command.arguments();
                self.seek(argument.as_number(), queues);
                Decision::None
            }
            b"receiveAudio" => {
                let [argument] = command.arguments();
                let on = argument.as_bool().unwrap_or(true);
                queues.events.push_back(Event::ReceiveAudio { stream: self.id, on });
                Decision::None
            }
            b"receiveVideo" => {
                let [argument] = command.arguments();
                let on = argument.as_bool().unwrap_or(true);
                queues.events.push_back(Event::ReceiveVideo { stream: self.id, on });
                Decision::None
            }
            _ => return Ok(None),
        };
        Ok(Some(decision))
    }

    /// An audio, video or data message: an event while the stream publishes, else nothing, for
    /// the end of a stream may cross with what was sent before.
    pub(crate) fn handle_media(&self, frame: MediaFrame, queues: &mut Queues) {
        if matches!(self.used, Use::Publishing { accepted: true, .. }) {
            queues.events.push_back(Event::Media { stream: self.id, frame });
        }
    }

    fn publish(
        &mut self,
        command: &Command,
        queues: &mut Queues,
    ) -> Result<Decision, CommandError> {
        let [name, mode] = command.arguments();
        self.stop(queues);
        // publish(false) and publish(null) end the publication.
        let Value::String(name) = name else { return Ok(Decision::None) };
        check_length("name to publish", name.len(), MAX_STREAM_NAME)?;
        let mode = match mode.as_string().map(|mode| &mode[..]) {
            Some(b"record") => PublishMode::Record,
            Some(b"append" | b"appendWithGap") => PublishMode::Append,
            _ => PublishMode::Live,
        };
        let (name, query) = split_query(&name);
        self.used = Use::Publishing { name: name.clone(), accepted: false };
        queues.events.push_back(Event::Publish { stream: self.id, name, query, mode });
        Ok(Decision::Publish)
    }

    fn play(&mut self, command: &Command, queues: &mut Queues) -> Result<Decision, CommandError> {
        let [name, start, _duration, reset] = command.arguments();
        let start_ms = start.as_number().unwrap_or(-2000.0);
        let reset = match reset {
            Value::Bool(reset) => reset,
            Value::Number(reset) => reset != 0.0,
            _ => true,
        };
        self.begin_play(name, start_ms, reset, queues)
    }

    /// The object of play2 names the stream to go on with.
    fn play2(&mut self, command: &Command, queues: &mut Queues) -> Result<Decision, CommandError> {
        let [options] = command.arguments();
        if options.get("transition").and_then(Value::as_string).is_some_and(|t| t == "stop") {
            self.stop(queues);
            return Ok(Decision::None);
        }
        let name = options.get("streamName").cloned().unwrap_or(Value::Undefined);
        let start_ms = options.get("start").and_then(Value::as_number).unwrap_or(-2000.0);
        self.begin_play(name, start_ms, true, queues)
    }

    fn begin_play(
        &mut self,
        name: Value,
        start_ms: f64,
        reset: bool,
        queues: &mut Queues,
    ) -> Result<Decision, CommandError> {
        self.stop(queues);
        // play(false) and play(null) stop.
        let Value::String(name) = name else { return Ok(Decision::None) };
        check_length("name to play", name.len(), MAX_STREAM_NAME)?;
        let (name, query) = split_query(&name);
        self.used = Use::Playing { name: name.clone(), accepted: false };
        let (stream, buffer_ms) = (self.id, self.buffer_ms);
        queues.events.push_back(Event::Play { stream, name, query, start_ms, reset, buffer_ms });
        Ok(Decision::Play)
    }

    /// Ends what the stream is used for at the client's wish (STA-11, STA-15).
    pub(crate) fn stop(&mut self, queues: &mut Queues) {
        let stream = self.id;
        match std::mem::take(&mut self.used) {
            Use::Publishing { name, accepted: true } => {
                let text = sentence("", &name, " is now unpublished");
                queues.on_status(stream, Level::Status, b"NetStream.Unpublish.Success", &text);
                queues.events.push_back(Event::Unpublish { stream });
            }
            Use::Playing { name, accepted: true } => {
                let text = sentence("Stopped playing ", &name, "");
                queues.on_status(stream, Level::Status, b"NetStream.Play.Stop", &text);
                queues.control(event::STREAM_EOF, stream);
                queues.events.push_back(Event::StopPlay { stream });
            }
            _ => {}
        }
    }

    fn pause(&mut self, on: bool, queues: &mut Queues) {
        if !matches!(self.used, Use::Playing { accepted: true, .. }) {
            return;
        }
        let (code, before): (&[u8], _) = if on {
            (b"NetStream.Pause.Notify", "Paused ")
        } else {
            (b"NetStream.Unpause.Notify", "Unpaused ")
        };
        let text = sentence(before, self.name(), "");
        queues.on_status(self.id, Level::Status, code, &text);
        queues.events.push_back(Event::Pause { stream: self.id, on });
    }

    fn seek(&mut self, position_ms: Option<f64>, queues: &mut Queues) {
        let stream = self.id;
        let Some(position_ms) = position_ms else {
            let after = " seek operation must pass in argument a milliseconds position time";
            let text = sentence("", self.name(), after);
            queues.on_status(stream, Level::Error, b"NetStream.Seek.InvalidTime", &text);
            return;
        };
        // A live stream has no other position: the seek is confirmed, and the picture goes on.
        let text = sentence("Seeking ", self.name(), "");
        queues.on_status(stream, Level::Status, b"NetStream.Seek.Notify", &text);
        queues.events.push_back(Event::Seek { stream, position_ms });
    }

    fn name(&self) -> &[u8] {
        match &self.used {
            Use::Idle => b"",
            Use::Publishing { name, .. } | Use::Playing { name, .. } => name,
        }
    }

    /// Publish accepted (STA-15).
    pub(crate) fn accept_publish(&mut self, queues: &mut Queues) {
        let Use::Publishing { name, accepted: accepted @ false } = &mut self.used else { return };
        *accepted = true;
        let text = sentence("", name, " is now published");
        queues.control(event::STREAM_BEGIN, self.id);
        queues.on_status(self.id, Level::Status, b"NetStream.Publish.Start", &text);
    }

    /// Publish refused (STA-13, STA-14).
    pub(crate) fn refuse_publish(&mut self, refusal: &PublishRefusal, queues: &mut Queues) {
        let Use::Publishing { name, accepted: false } = &self.used else { return };
        let (code, text): (&[u8], _) = match refusal {
            PublishRefusal::Refused(text) => (b"NetStream.Publish.Failed", text.to_vec()),
            PublishRefusal::BadName => {
                (b"NetStream.Publish.BadName", sentence("", name, " is already publishing"))
            }
        };
        queues.on_status(self.id, Level::Error, code, &text);
        self.used = Use::Idle;
    }

    /// Play accepted (STA-08), and STA-12 if the publication is running.
    pub(crate) fn accept_play(&mut self, running: bool, access: (bool, bool), queues: &mut Queues) {
        let Use::Playing { name, accepted: accepted @ false } = &mut self.used else { return };
        *accepted = true;
        let reset = sentence("Playing and resetting ", name, "");
        let start = sentence("Started playing ", name, "");
        let stream = self.id;
        queues.control(event::STREAM_BEGIN, stream);
        queues.on_status(stream, Level::Status, b"NetStream.Play.Reset", &reset);
        queues.on_status(stream, Level::Status, b"NetStream.Play.Start", &start);
        self.say_sample_access(access, queues);
        if running {
            self.notify(true, queues);
        }
    }

    /// The rights of a player changed (LIS-06).
    pub(crate) fn change_sample_access(&mut self, access: (bool, bool), queues: &mut Queues) {
        if matches!(self.used, Use::Playing { accepted: true, .. }) {
            self.say_sample_access(access, queues);
        }
    }

    fn say_sample_access(&self, access: (bool, bool), queues: &mut Queues) {
        queues.messages.push_back(Message {
            kind: kind::DATA_AMF0,
            stream: self.id,
            timestamp_ms: 0,
            payload: sample_access(access.0, access.1),
        });
    }

    /// Play refused (STA-10).
    pub(crate) fn refuse_play(&mut self, text: &[u8], queues: &mut Queues) {
        if matches!(self.used, Use::Playing { accepted: false, .. }) {
            queues.on_status(self.id, Level::Error, b"NetStream.Play.Failed", text);
            self.used = Use::Idle;
        }
    }

    /// The publication being played started (STA-12).
    pub(crate) fn play_published(&mut self, queues: &mut Queues) {
        if matches!(self.used, Use::Playing { accepted: true, .. }) {
            queues.control(event::STREAM_BEGIN, self.id);
            self.notify(true, queues);
        }
    }

    /// The publication being played ended (STA-12).
    pub(crate) fn play_unpublished(&mut self, queues: &mut Queues) {
        if matches!(self.used, Use::Playing { accepted: true, .. }) {
            self.notify(false, queues);
            queues.control(event::STREAM_EOF, self.id);
        }
    }

    fn notify(&self, published: bool, queues: &mut Queues) {
        let (code, after): (&[u8], _) = if published {
            (b"NetStream.Play.PublishNotify", " is now published")
        } else {
            (b"NetStream.Play.UnpublishNotify", " is now unpublished")
        };
        let text = sentence("", self.name(), after);
        queues.on_status(self.id, Level::Status, code, &text);
    }

    /// Ends the use of the stream at the server's wish: status of any code, then the command
    /// `close` (STA-16). No event follows.
    pub(crate) fn close_with_status(
        &mut self,
        code: Option<&[u8]>,
        description: &[u8],
        queues: &mut Queues,
    ) {
        if let Some(code) = code {
            let full = [b"NetStream.", code].concat();
            queues.on_status(self.id, Level::of_code(code), &full, description);
        }
        queues.command(self.id, command(b"close", 0.0).into());
        self.used = Use::Idle;
    }
}
