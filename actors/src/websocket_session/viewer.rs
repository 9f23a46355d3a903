//! One subscription of a WebSocket client, written to directly by its arbiter's worker.
//!
//! Data messages become text once for all viewers of an arbiter that want the same format.
//! Audio and video are not for a WebSocket that plays by name (WSK-04).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use actix_http::ws::OpCode;
use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind, QueueLimits, Queued, Verdict, ViewerGate, raw_data};
use ramona_script::MediaQos;
use ramona_websocket::DataFormat;

use super::carrier::WebSocketCarrier;
use crate::client_session::{Carrier as _, ViewerNumbers};
use crate::messages::client::ToSession;
use crate::metrics::Protocol;
use crate::worker::{Local, Sent, Viewer};

/// Data messages that [`Texts`] remembers: those of one batch, which its viewers get in turn.
const MAX_TEXTS: usize = 64;

/// Data messages that an arbiter's viewers got last, in the formats in which they got them.
/// Emptied every second, for each keeps its message alive.
#[derive(Default)]
pub(crate) struct Texts(Vec<(DataFormat, Bytes, Bytes)>);

impl Texts {
    /// The message in that format. A payload is known by where it lies, which no other can do
    /// while it is kept here.
    fn of(&mut self, format: DataFormat, payload: &Bytes) -> Bytes {
        let is_same = |known: &Bytes| known.as_ptr() == payload.as_ptr() && known == payload;
        let known = self.0.iter().find(|(of, from, _)| *of == format && is_same(from));
        if let Some((_, _, text)) = known {
            return text.clone();
        }
        if self.0.len() >= MAX_TEXTS {
            self.0.clear();
        }
        let text = format.write(payload);
        self.0.push((format, payload.clone(), text.clone()));
        text
    }
}

pub(crate) struct WebSocketViewer {
    carrier: Rc<WebSocketCarrier>,
    local: Rc<Local>,
    session: Recipient<ToSession>,
    name: Bytes,
    format: DataFormat,
    pub(super) gate: RefCell<ViewerGate>,
    pub(super) numbers: RefCell<ViewerNumbers>,
    closing: Cell<bool>,
}

impl WebSocketViewer {
    pub(super) fn new(
        carrier: Rc<WebSocketCarrier>,
        local: Rc<Local>,
        session: Recipient<ToSession>,
        name: Bytes,
        query: &[u8],
        limits: QueueLimits,
        qos: Arc<MediaQos>,
    ) -> Self {
        Self {
            carrier,
            local,
            session,
            format: DataFormat::of_query(query),
            gate: RefCell::new(ViewerGate::new(limits)),
            numbers: RefCell::new(ViewerNumbers::new(name.clone(), qos)),
            name,
            closing: Cell::new(false),
        }
    }

    fn send(&self, frames: &[MediaFrame], has_video: bool) -> Sent {
        let mut sent = Sent::default();
        if self.closing.get() {
            return sent;
        }
        let outgoing = self.carrier.outgoing();
        let mut gate = self.gate.borrow_mut();
        let mut texts = self.local.texts.borrow_mut();
        for frame in frames.iter().filter(|frame| frame.kind == MediaKind::Data) {
            let queued = Queued { bytes: outgoing.queued_bytes(), waited_ms: outgoing.waited_ms() };
            match gate.offer(frame, queued, has_video) {
                Verdict::Send(time) => {
                    let (opcode, text) = match (raw_data(&frame.payload), self.format) {
                        // PUB-22: bytes that are no message go as they are.
                        (Some(bytes), _) => (OpCode::Binary, bytes),
                        (None, DataFormat::Amf) => {
                            (OpCode::Binary, texts.of(self.format, &frame.payload))
                        }
                        (None, DataFormat::Json | DataFormat::XmlRpc) => {
                            (OpCode::Text, texts.of(self.format, &frame.payload))
                        }
                    };
                    outgoing.frame(opcode, &text);
                    sent.frames += 1;
                    sent.bytes += text.len() as u64;
                    self.numbers.borrow_mut().count(frame, time);
                }
                Verdict::Skip => {}
                Verdict::Drop => sent.dropped += 1,
                Verdict::Close => {
                    self.closing.set(true);
                    sent.closed = 1;
                    let why = "does not read: its queue passed twice its bound".to_owned();
                    self.session.do_send(ToSession::Broken(why));
                    break;
                }
            }
        }
        if sent.dropped > 0 {
            self.numbers.borrow_mut().dropped(sent.dropped, outgoing.queued_bytes());
        }
        sent
    }
}

impl Viewer for WebSocketViewer {
    fn protocol(&self) -> Protocol {
        Protocol::WebSocket
    }

    fn welcome(&self, running: bool, frames: &[MediaFrame], has_video: bool) -> Sent {
        if running {
            self.run_changed(true);
        }
        self.send(frames, has_video)
    }

    fn look_ahead(&self, _: usize) -> bool {
        std::hint::black_box(!self.closing.get() && self.carrier.outgoing().queued_bytes() == 0);
        false
    }

    fn deliver(&self, frames: &[MediaFrame], has_video: bool, after_gap: bool) -> Sent {
        if after_gap {
            self.gate.borrow_mut().after_gap();
        }
        self.send(frames, has_video)
    }

    fn run_changed(&self, running: bool) {
        if !running {
            self.gate.borrow_mut().next_run();
        }
        self.carrier.tell_run(&self.name, running);
    }

    fn measure(&self) {
        self.numbers.borrow_mut().measure();
        self.carrier.show_traffic();
        self.local.texts.borrow_mut().0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wsk_04_a_data_message_becomes_text_once_for_all_viewers_of_a_format() {
        let mut texts = Texts::default();
        let payload = Bytes::from_static(b"\x02\x00\x01f");
        let first = texts.of(DataFormat::Json, &payload);
        let second = texts.of(DataFormat::Json, &payload.clone());
        assert_eq!(first, r#"["f"]"#);
        assert_eq!(first.as_ptr(), second.as_ptr(), "the same bytes are shared");
        assert_eq!(texts.of(DataFormat::Amf, &payload), payload);
        for index in 0..2 * MAX_TEXTS {
            let other = Bytes::from(vec![2, 0, 1, b'a' + (index % 26) as u8]);
            texts.of(DataFormat::Json, &other);
        }
        assert!(texts.0.len() <= MAX_TEXTS);
    }
}
