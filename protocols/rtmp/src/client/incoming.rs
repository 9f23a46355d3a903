//! What the server sends to a [`Client`].

use ramona_amf::decode_amf0_all;

use super::*;
use crate::command::Command;
use crate::message::{Aggregate, control_value};

impl Client {
    pub(super) fn handle_message(&mut self, message: Message) -> Result<(), CloseReason> {
        match message.kind {
            kind::SET_CHUNK_SIZE => {
                let size = control_value(&message)?;
                self.reader.set_chunk_size(size)?;
                self.events.push_back(ClientEvent::ChunkSize(size));
            }
            kind::ABORT => self.reader.abort(control_value(&message)?),
            kind::ACKNOWLEDGEMENT => {
                self.events.push_back(ClientEvent::Acknowledged(control_value(&message)?));
            }
            kind::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                let size = control_value(&message)?;
                self.window = size.max(2);
                self.events.push_back(ClientEvent::WindowAcknowledgementSize(size));
            }
            kind::SET_PEER_BANDWIDTH => {
                self.events.push_back(ClientEvent::PeerBandwidth(control_value(&message)?));
            }
            kind::USER_CONTROL => match UserControl::read(&message.payload)? {
                UserControl::PingRequest(value) => {
                    self.write_control(Message::user_control(event::PING_RESPONSE, &[value]));
                }
                other => self.events.push_back(ClientEvent::Control(other)),
            },
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => self.handle_command(&message)?,
            kind::AGGREGATE => {
                for part in Aggregate::new(message) {
                    self.handle_media(part?);
                }
            }
            _ => self.handle_media(message),
        }
        Ok(())
    }

    fn handle_media(&mut self, message: Message) {
        let (media, payload) = match message.kind {
            kind::AUDIO => (MediaKind::Audio, message.payload),
            kind::VIDEO => (MediaKind::Video, message.payload),
            kind::DATA_AMF0 | kind::DATA_AMF3 => {
                let is_amf3 = message.kind == kind::DATA_AMF3;
                (MediaKind::Data, amf0_body(is_amf3, &message.payload))
            }
            _ => return,
        };
        let frame = MediaFrame::new(media, message.timestamp_ms, payload);
        self.events.push_back(ClientEvent::Media { stream: message.stream, frame });
    }

    fn handle_command(&mut self, message: &Message) -> Result<(), CloseReason> {
        let command = Command::read(message.kind, &message.payload)?;
        let (values, _) = decode_amf0_all(&command.args);
        let stream = message.stream;
        let event = match &command.name[..] {
            b"_result" => self.result(command, values),
            b"_error" => self.error(command.transaction, values),
            b"onStatus" => {
                let text = |key| {
                    let info = values.first().and_then(|info| info.get(key));
                    info.and_then(Value::as_string).cloned().unwrap_or_default()
                };
                let (level, code, description) = (text("level"), text("code"), text("description"));
                ClientEvent::Status { stream, level, code, description }
            }
            _ => ClientEvent::Call { stream, name: command.name, args: values },
        };
        self.events.push_back(event);
        Ok(())
    }

    fn take_expected(&mut self, transaction: f64) -> Option<Expected> {
        let index = self.open_calls.iter().position(|(open, _)| *open == transaction)?;
        Some(self.open_calls.remove(index).1)
    }

    fn result(&mut self, command: Command, values: Vec<Value>) -> ClientEvent {
        let transaction = command.transaction;
        match self.take_expected(transaction) {
            Some(Expected::Connect) => {
                self.connect_by = None;
                let properties = command.object.ok().and_then(object).unwrap_or_default();
                let info = values.into_iter().next().and_then(object).unwrap_or_default();
                ClientEvent::Connected { properties, info }
            }
            Some(Expected::CreateStream) => {
                let id = values.first().and_then(Value::as_number).unwrap_or_default();
                ClientEvent::StreamCreated(StreamId(id as u32))
            }
            Some(Expected::Call) | None => ClientEvent::Result { transaction, values },
        }
    }

    fn error(&mut self, transaction: f64, values: Vec<Value>) -> ClientEvent {
        let info = values.into_iter().next().and_then(object).unwrap_or_default();
        match self.take_expected(transaction) {
            Some(Expected::Connect) => {
                self.connect_by = None;
                ClientEvent::Refused(info)
            }
            _ => ClientEvent::Error { transaction, info },
        }
    }
}

fn object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        Value::EcmaArray(members) => Some(Object { type_name: None, members }),
        _ => None,
    }
}
