//! WebSocket under a client session: messages over an upgraded connection of the HTTP port.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{QueueLimits, ViewerGate};
use ramona_rtmp::{Connect, Event, PublishMode, PublishRefusal, StreamId};
use ramona_script::{CallOutcome, ClientId, ClientMessage, ClientStats, Format, MediaQos, Refusal};
use ramona_websocket as websocket;
use ramona_websocket::{Answer, Input, Message, code};
use tokio::sync::oneshot;
use tracing::{Span, debug, info_span, warn};

use super::incoming::{Incoming, InputEnd, Pause, Received};
use super::outgoing::Outgoing;
use super::viewer::WebSocketViewer;
use super::{STOPPING, WebSocketSession};
use crate::client_session::{Carrier, Reply, Wish};
use crate::clients::Traffic;
use crate::http_session::{Connection, End};
use crate::messages::client::ToSession;
use crate::metrics::{ActorKind, Protocol};
use crate::services::epoch_ms;
use crate::text::shown;

/// A connection publishes one name and plays one (WSK-03).
const PUBLISHING: StreamId = StreamId(1);
const PLAYING: StreamId = StreamId(2);

/// Comes with the decision on the upgrade.
pub(super) type UpgradeAnswer = oneshot::Sender<Result<(), Refusal>>;

pub(crate) struct WebSocketCarrier {
    machine: RefCell<websocket::Session>,
    connection: Rc<Connection>,
    outgoing: Rc<Outgoing>,
    /// Taken from the connection, not yet by the machine.
    input: RefCell<VecDeque<Input>>,
    incoming: Cell<Option<Incoming>>,
    pause: Rc<Pause>,
    /// The connect that is not yet told.
    connect: Cell<Option<Connect>>,
    /// The connect to the parent, for a path that is no application (HTT-01).
    parent: Cell<Option<Connect>>,
    /// The request waits for the decision.
    upgrade: Cell<Option<UpgradeAnswer>>,
    is_connecting: Cell<bool>,
    /// The response is 101: there are frames.
    is_open: Cell<bool>,
    refused: Cell<Option<String>>,
    traffic: Arc<Traffic>,
}

impl WebSocketCarrier {
    pub(super) fn new(
        config: &websocket::SessionConfig,
        connection: Rc<Connection>,
        connect: Connect,
        incoming: Incoming,
        upgrade: UpgradeAnswer,
    ) -> Self {
        let parent = connect
            .path
            .rsplit_once('/')
            .map(|(parent, _)| Connect { path: parent.to_owned(), ..connect.clone() });
        Self {
            machine: RefCell::new(websocket::Session::new(Instant::now(), config.clone())),
            connection,
            outgoing: Rc::default(),
            input: RefCell::default(),
            pause: incoming.pause(),
            incoming: Cell::new(Some(incoming)),
            connect: Cell::new(Some(connect)),
            parent: Cell::new(parent),
            upgrade: Cell::new(Some(upgrade)),
            is_connecting: Cell::new(true),
            is_open: Cell::new(false),
            refused: Cell::default(),
            traffic: Arc::default(),
        }
    }

    pub(super) fn outgoing(&self) -> &Rc<Outgoing> {
        &self.outgoing
    }

    /// The publication that is played started or ended (WSK-04).
    pub(super) fn tell_run(&self, name: &[u8], running: bool) {
        let mut machine = self.machine.borrow_mut();
        if running {
            machine.published(name);
        } else {
            machine.unpublished(name);
        }
        drop(machine);
        self.drain();
    }

    fn decide(&self, decision: Result<(), Refusal>) {
        self.is_connecting.set(false);
        if let Some(upgrade) = self.upgrade.take() {
            // A client that is gone waits for nothing; its session is told.
            let _ = upgrade.send(decision);
        }
    }

    /// What a script wrote (WRI-01..04).
    fn write(&self, message: ClientMessage) {
        let message = match message {
            ClientMessage::Invocation { args: bytes, format, .. }
            | ClientMessage::Message { values: bytes, format } => in_format(bytes, format),
            ClientMessage::Raw { data } => Message::Binary(data),
            // Only clients of HTTP have cookies.
            ClientMessage::Cookie { .. } => return,
            ClientMessage::Status { code, .. } => {
                return warn!(
                    code = %shown(&code),
                    "writer:writeStatusResponse has no effect for a WebSocket client"
                );
            }
        };
        self.machine.borrow_mut().send(message);
    }
}

/// A message in a format of text goes as text, if it is one.
fn in_format(bytes: Bytes, format: Format) -> Message {
    match format {
        Format::Json | Format::XmlRpc | Format::Xml | Format::Query
            if std::str::from_utf8(&bytes).is_ok() =>
        {
            Message::Text(bytes)
        }
        _ => Message::Binary(bytes),
    }
}

impl Carrier for WebSocketCarrier {
    type Viewer = WebSocketViewer;
    const KIND: ActorKind = ActorKind::WebSocketSession;
    const PROTOCOL: &'static str = "WebSocket";
    const MEDIA: Protocol = Protocol::WebSocket;
    const FORMAT: Format = Format::Json;

    fn span(client: ClientId, peer: SocketAddr) -> Span {
        info_span!("websocket", client = client.0, %peer)
    }

    fn say(&self, reply: Reply) {
        match reply {
            Reply::ConnectAccepted(_) => {
                self.machine.borrow_mut().open(Instant::now());
                self.is_open.set(true);
                self.decide(Ok(()));
            }
            Reply::ConnectRefused(refusal) => {
                self.refused.set(Some("refused".to_owned()));
                self.decide(Err(refusal));
            }
            Reply::Called { outcome, .. } => {
                let mut machine = self.machine.borrow_mut();
                match outcome {
                    CallOutcome::Values(text) => machine.send(in_format(text, Format::Json)),
                    CallOutcome::Raw(bytes) => machine.send(Message::Binary(bytes)),
                    CallOutcome::Nothing => {}
                    CallOutcome::Failed(text) | CallOutcome::Unknown(text) => machine.fail(&text),
                }
            }
            Reply::Written { message, .. } => self.write(message),
            Reply::Close(code) => self.machine.borrow_mut().close(code),
            Reply::Shutdown => {
                self.machine.borrow_mut().shut_down();
                self.decide(Err(STOPPING));
            }
            Reply::PublishAccepted(_) => self.machine.borrow_mut().accept_publish(),
            Reply::PublishRefused(_, PublishRefusal::BadName) => {
                self.machine.borrow_mut().fail(b"the name is already publishing");
            }
            Reply::PublishRefused(_, PublishRefusal::Refused(text))
            | Reply::PlayRefused(_, text) => self.machine.borrow_mut().fail(&text),
            Reply::PlayAccepted { .. } => self.machine.borrow_mut().accept_play(),
            // Nothing that pages can be told.
            Reply::SampleAccess { .. } => {}
            Reply::PublicationClosed { status, .. } => {
                self.machine.borrow_mut().publication_closed(status.as_ref());
            }
        }
        self.drain();
    }

    fn drain(&self) {
        let mut machine = self.machine.borrow_mut();
        while let Some(message) = machine.poll_message() {
            self.outgoing.send(message);
        }
    }

    fn next_wish(&self) -> Option<Wish> {
        if let Some(connect) = self.connect.take() {
            return Some(Wish::Net(Event::Connect(Box::new(connect))));
        }
        if let Some(reason) = self.refused.take() {
            return Some(Wish::Closed { reason, is_protocol_error: false });
        }
        let event = self.machine.borrow_mut().poll_event()?;
        Some(match event {
            websocket::Event::Message { body, answer } => {
                let format = match answer {
                    Answer::Json => Format::Json,
                    Answer::Raw => Format::Raw,
                };
                // Sliced out of a read buffer it would keep all of it while the script is busy.
                let body = Bytes::copy_from_slice(&body);
                Wish::Message { transaction: 0.0, body, format }
            }
            websocket::Event::Publish { name, query } => Wish::Net(Event::Publish {
                stream: PUBLISHING,
                name,
                query,
                mode: PublishMode::Live,
            }),
            websocket::Event::Unpublish => Wish::Net(Event::Unpublish { stream: PUBLISHING }),
            websocket::Event::Play { name, query } => Wish::Net(Event::Play {
                stream: PLAYING,
                name,
                query,
                start_ms: -2_000.0,
                reset: true,
                buffer_ms: None,
            }),
            websocket::Event::StopPlay => Wish::Net(Event::StopPlay { stream: PLAYING }),
            websocket::Event::Data(frame) => Wish::Net(Event::Media { stream: PUBLISHING, frame }),
            websocket::Event::RoundTrip(time) => Wish::Net(Event::RoundTrip(time)),
            websocket::Event::Closed(reason) => Wish::Closed {
                is_protocol_error: reason.is_protocol_error(),
                reason: reason.to_string(),
            },
        })
    }

    fn connect_elsewhere(&self) -> Option<Connect> {
        self.parent.take()
    }

    fn is_waiting(&self) -> bool {
        self.is_connecting.get() || self.machine.borrow().is_waiting()
    }

    fn feed(&self) {
        let now = Instant::now();
        while !self.is_waiting() {
            let Some(input) = self.input.borrow_mut().pop_front() else { return };
            self.machine.borrow_mut().handle_input(now, input);
        }
    }

    fn pause_input(&self, paused: bool) {
        self.pause.set(paused);
    }

    fn touch(&self) {
        self.machine.borrow_mut().touch(Instant::now());
    }

    fn set_timeout(&self, timeout: Duration) {
        self.machine.borrow_mut().set_timeout(timeout);
    }

    fn deadline(&self) -> Option<Instant> {
        // Scripts have no deadline to decide on an upgrade.
        if self.is_connecting.get() { None } else { self.machine.borrow().deadline() }
    }

    fn on_timer(&self) {
        self.machine.borrow_mut().handle_timeout(Instant::now());
    }

    fn queued_bytes(&self) -> usize {
        self.outgoing.queued_bytes()
    }

    fn sent_bytes(&self) -> u64 {
        self.outgoing.sent_bytes()
    }

    fn received_bytes(&self) -> u64 {
        self.connection.received_bytes()
    }

    fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    fn viewer(
        self: &Rc<Self>,
        session: Recipient<ToSession>,
        _stream: StreamId,
        name: Bytes,
        query: &[u8],
        limits: QueueLimits,
        qos: Arc<MediaQos>,
    ) -> WebSocketViewer {
        let local = self.connection.local.clone();
        WebSocketViewer::new(self.clone(), local, session, name, query, limits, qos)
    }

    fn gate(viewer: &WebSocketViewer) -> &RefCell<ViewerGate> {
        &viewer.gate
    }

    fn count_drops(viewer: &WebSocketViewer, dropped: Arc<AtomicU64>, client: Arc<ClientStats>) {
        viewer.numbers.borrow_mut().count_drops(dropped, client);
    }

    fn started(session: &mut WebSocketSession, ctx: &mut Context<WebSocketSession>) {
        session.carrier.pause.set(true);
        session.carrier.connection.upgraded();
        if let Some(incoming) = session.carrier.incoming.take() {
            ctx.add_stream(incoming);
        }
    }

    fn say_last_words(session: &mut WebSocketSession, ctx: &mut Context<WebSocketSession>) {
        let carrier = session.carrier.clone();
        carrier.decide(Err(STOPPING));
        if !carrier.is_open.get() {
            return ctx.stop();
        }
        carrier.input.borrow_mut().clear();
        let mut machine = carrier.machine.borrow_mut();
        let by_client = machine.is_closed_by_client();
        if !machine.is_closed() {
            machine.end(code::POLICY, session.reason().to_owned());
        }
        drop(machine);
        carrier.drain();
        // From here on input is only waited for: the close frame of the client, or its end.
        carrier.pause.set(false);
        if by_client {
            let flushed = async move { carrier.outgoing.flushed().await };
            ctx.spawn(flushed.into_actor(session).map(|(), _, ctx| ctx.stop()));
        }
    }

    fn stopped(session: &mut WebSocketSession) {
        let carrier = &session.carrier;
        carrier.outgoing.end();
        if carrier.outgoing.queued_bytes() > 0 {
            carrier.connection.finish(End::Abort, "does not read what it is sent");
        }
    }
}

impl WebSocketSession {
    fn receive(&mut self, received: Received, ctx: &mut Context<Self>) {
        self.stats.last_reception_ms.store(epoch_ms(), Relaxed);
        let carrier = self.carrier.clone();
        carrier.input.borrow_mut().extend(received.inputs);
        carrier.feed();
        self.advance(ctx);
        if self.is_closing() {
            return;
        }
        match received.end {
            None => carrier.pause_input(self.is_stalled()),
            Some(InputEnd::Violation(violation)) => {
                carrier.machine.borrow_mut().handle_violation(&violation);
                self.advance(ctx);
            }
            Some(InputEnd::Gone(error)) => {
                if let Some(error) = error {
                    debug!(error, "connection broke");
                }
                self.close(ctx, "closed by the client");
                ctx.stop();
            }
        }
    }
}

impl StreamHandler<Received> for WebSocketSession {
    fn handle(&mut self, received: Received, ctx: &mut Self::Context) {
        let metrics = self.metrics();
        let _handling = metrics.handling(ActorKind::WebSocketSession);
        let span = self.span.clone();
        let _entered = span.enter();
        if !self.is_closing() {
            return self.receive(received, ctx);
        }
        let is_close = |input: &Input| matches!(input, Input::Close(_));
        if received.end.is_some() || received.inputs.iter().any(is_close) {
            ctx.stop();
        }
    }

    /// The stream ends with an end that was handled: not by itself a reason to stop at once.
    fn finished(&mut self, _: &mut Self::Context) {}
}
