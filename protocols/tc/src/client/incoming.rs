//! What the server says.

use std::time::Duration;

use bytes::Bytes;
use ramona_amf::{Object, Value, decode_amf0_all};
use ramona_media::{MediaFrame, MediaKind};
use ramona_rtmfp::{Delivery, FlowEnd, RecvFlowId, SendFlowId, decode_member};
use ramona_rtmp::{ClientEvent as Net, StreamId, UserControl};

use super::commands::Expected;
use super::{Client, ClientEvent, GroupHandle, Purpose};
use crate::limits::STREAM_BUFFER;
use crate::message::{decode, event, kind, read_user_control};
use crate::metadata::FlowKind;

/// Clients keep their session alive no more often than this.
const MIN_KEEPALIVE: Duration = Duration::from_secs(5);

impl Client {
    pub(super) fn handle_session_event(&mut self, event: ramona_rtmfp::Event) {
        use ramona_rtmfp::Event as Session;
        let told = match event {
            Session::Confirmed | Session::Writable { .. } => return,
            Session::FlowOpened { flow, metadata, associated } => {
                return self.flow_opened(flow, metadata, associated);
            }
            Session::Message { flow, payload, .. } => return self.take_message(flow, &payload),
            Session::Gap { flow, .. } => match self.incoming.get(&flow) {
                Some(Purpose::Stream(stream)) => ClientEvent::Gap(*stream),
                _ => return,
            },
            Session::FlowCompleted { flow } => {
                self.incoming.remove(&flow);
                if self.far_control != Some(flow) {
                    return;
                }
                ClientEvent::ControlEnded
            }
            Session::FlowEnded { flow, reason } => return self.flow_ended(flow, reason),
            Session::ForwardedHello { epd, reply, tag } => {
                ClientEvent::ForwardedHello { epd, reply, tag }
            }
            Session::AddressChanged { from, to } => ClientEvent::AddressChanged { from, to },
            Session::Closed(reason) => ClientEvent::Closed(reason),
        };
        self.events.push_back(told);
    }

    fn flow_opened(&mut self, flow: RecvFlowId, metadata: Bytes, associated: Option<SendFlowId>) {
        let answers_control = associated.is_some() && associated == self.near_control;
        let purpose = match FlowKind::decode(&metadata) {
            Some(FlowKind::Stream(stream)) if answers_control => {
                if stream.0 == 0 {
                    self.far_control.get_or_insert(flow);
                }
                Some(Purpose::Stream(stream))
            }
            Some(FlowKind::Group) => associated
                .map(GroupHandle)
                .filter(|group| self.groups.contains(group))
                .map(Purpose::Group),
            _ => None,
        };
        match purpose {
            Some(purpose) => {
                self.incoming.insert(flow, purpose);
                self.session.accept_flow(self.now, flow, Delivery::InOrder, STREAM_BUFFER);
            }
            None => {
                self.session.reject_flow(flow, 0);
                self.events.push_back(ClientEvent::FlowRefused { metadata });
            }
        }
    }

    fn flow_ended(&mut self, flow: SendFlowId, reason: FlowEnd) {
        let FlowEnd::Exception(code) = reason else { return };
        if self.near_control == Some(flow) {
            let stream = StreamId(0);
            self.events.push_back(ClientEvent::FlowRejected { stream, code });
        } else if let Some(at) = self.groups.iter().position(|group| group.0 == flow) {
            self.groups.swap_remove(at);
            self.events.push_back(ClientEvent::GroupRefused(GroupHandle(flow)));
        } else {
            let has = |flows: &&super::ClientStream| {
                [flows.data, flows.audio, flows.video].contains(&Some(flow))
            };
            if let Some(stream) = self.streams.iter().find(has).map(|flows| flows.id) {
                self.events.push_back(ClientEvent::FlowRejected { stream, code });
            }
        }
    }

    fn take_message(&mut self, flow: RecvFlowId, message: &Bytes) {
        let stream = match self.incoming.get(&flow) {
            Some(Purpose::Stream(stream)) => *stream,
            Some(Purpose::Group(group)) => {
                if let Some(peer) = decode_member(message) {
                    self.events.push_back(ClientEvent::Member { group: *group, peer });
                }
                return;
            }
            None => return,
        };
        let Some((message_kind, timestamp_ms, payload)) = decode(message) else { return };
        let media = match message_kind {
            kind::USER_CONTROL => return self.take_user_control(&payload),
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                let extended = message_kind == kind::COMMAND_AMF3;
                return self.take_command(stream, &without_format(extended, payload));
            }
            kind::AUDIO => MediaFrame::new(MediaKind::Audio, timestamp_ms, payload),
            kind::VIDEO => MediaFrame::new(MediaKind::Video, timestamp_ms, payload),
            kind::DATA_AMF0 | kind::DATA_AMF3 => {
                let payload = without_format(message_kind == kind::DATA_AMF3, payload);
                MediaFrame::new(MediaKind::Data, timestamp_ms, payload)
            }
            _ => return,
        };
        self.events.push_back(ClientEvent::Net(Net::Media { stream, frame: media }));
    }

    fn take_user_control(&mut self, body: &[u8]) {
        let control = match read_user_control(body) {
            Some((event::SET_KEEPALIVE, [Some(server_ms), Some(peer_ms)])) => {
                let interval = Duration::from_millis(u64::from(server_ms)).max(MIN_KEEPALIVE);
                self.session.set_keepalive(interval);
                self.events.push_back(ClientEvent::Keepalive { server_ms, peer_ms });
                return;
            }
            Some((event::STREAM_BEGIN, [Some(id), _])) => UserControl::StreamBegin(StreamId(id)),
            Some((event::STREAM_EOF, [Some(id), _])) => UserControl::StreamEof(StreamId(id)),
            Some((event::PING_RESPONSE, [Some(value), _])) => UserControl::PingResponse(value),
            Some((other, _)) => UserControl::Other(other),
            None => return,
        };
        self.events.push_back(ClientEvent::Net(Net::Control(control)));
    }

    fn take_command(&mut self, stream: StreamId, body: &[u8]) {
        let mut values = decode_amf0_all(body).0.into_iter();
        let (Some(Value::String(name)), Some(Value::Number(transaction))) =
            (values.next(), values.next())
        else {
            return;
        };
        let properties = values.next();
        let values: Vec<Value> = values.collect();
        let event = match &name[..] {
            b"_result" => self.result(transaction, properties, values),
            b"_error" => {
                let info = values.into_iter().next().and_then(object).unwrap_or_default();
                match self.take_expected(transaction) {
                    Some(Expected::Connect) => Net::Refused(info),
                    _ => Net::Error { transaction, info },
                }
            }
            b"onStatus" => {
                let text = |key| {
                    let info = values.first().and_then(|info| info.get(key));
                    info.and_then(Value::as_string).cloned().unwrap_or_default()
                };
                let (level, code, description) = (text("level"), text("code"), text("description"));
                Net::Status { stream, level, code, description }
            }
            _ => Net::Call { stream, name, args: values },
        };
        self.events.push_back(ClientEvent::Net(event));
    }

    fn result(&mut self, transaction: f64, properties: Option<Value>, values: Vec<Value>) -> Net {
        match self.take_expected(transaction) {
            Some(Expected::Connect) => {
                let properties = properties.and_then(object).unwrap_or_default();
                let info = values.into_iter().next().and_then(object).unwrap_or_default();
                Net::Connected { properties, info }
            }
            Some(Expected::CreateStream) => {
                let id = values.first().and_then(Value::as_number).unwrap_or_default();
                Net::StreamCreated(StreamId(id as u32))
            }
            Some(Expected::Call) | None => Net::Result { transaction, values },
        }
    }
}

/// Types 15 and 17 begin with a byte that tells the format; only 0 is in use.
fn without_format(is_extended: bool, payload: Bytes) -> Bytes {
    if is_extended && payload.first() == Some(&0) { payload.slice(1..) } else { payload }
}

fn object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        Value::EcmaArray(members) => Some(Object { type_name: None, members }),
        _ => None,
    }
}
