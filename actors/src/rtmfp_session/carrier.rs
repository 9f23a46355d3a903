//! RTMFP under a client session: flows of one RTMFP session.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::{QueueLimits, ViewerGate};
use ramona_rtmfp::{Address, PeerId, SessionId};
use ramona_rtmp as rtmp;
use ramona_rtmp::{CloseKind, NetConnection, StreamId};
use ramona_script::{ClientId, ClientMessage, ClientStats, Format, MediaQos};
use ramona_tc as tc;
use ramona_tc::{Connection, GroupJoin, Writer};
use tracing::{Span, debug, info, info_span};

use super::RtmfpSession;
use super::hub::RtmfpHub;
use super::viewer::RtmfpViewer;
use crate::client_session::{Carrier, Reply, Wish, say_flash};
use crate::clients::Traffic;
use crate::messages::client::ToSession;
use crate::messages::group::GroupId;
use crate::messages::rtmfp::ToEndpoint;
use crate::messages::script::ToScript;
use crate::metrics::{ActorKind, Protocol};
use crate::prefetch::{Fetch, prefetch};
use crate::services::epoch_ms;

/// NetGroups one client may be in; each is a flow of its session.
const MAX_JOINS: usize = 256;

pub(crate) struct RtmfpCarrier {
    id: SessionId,
    pub(super) connection: RefCell<Connection>,
    pub(super) hub: Rc<RtmfpHub>,
    /// Our own address that the client sends to: answers come from there.
    own: Cell<Option<IpAddr>>,
    net_events: RefCell<VecDeque<rtmp::Event>>,
    own_events: RefCell<VecDeque<tc::Event>>,
    actor: RefCell<Option<Recipient<ToSession>>>,
    poked: Cell<bool>,
    /// It got datagrams in the present turn of the hub.
    pub(super) is_touched: Cell<bool>,
    /// It has said all that there is to say.
    is_drained: Cell<bool>,
    /// It waits for acknowledgements to send more, and the hub counts it.
    is_held: Cell<bool>,
    /// Something it sent is not acknowledged, and the hub counts it.
    is_unacknowledged: Cell<bool>,
    /// When the hub wakes this session.
    armed: Cell<Option<Instant>>,
    deadline: Cell<Option<Instant>>,
    received_at: Cell<Instant>,
    timeout: Cell<Option<Duration>>,
    joins: RefCell<HashMap<u64, (GroupJoin, GroupId)>>,
    next_join: Cell<u64>,
    /// Flows of scripts by their numbers.
    writers: RefCell<HashMap<u32, Writer>>,
    sent: Cell<u64>,
    received: Cell<u64>,
    traffic: Arc<Traffic>,
    /// Bytes sent and lost on the path, as far as they are shown.
    path: Cell<(u64, u64)>,
    counted: Cell<Counted>,
}

/// What the node's counters were told of a session's.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    packets_dropped: u64,
    flows_refused: u64,
    oversized_messages: u64,
    joins_refused: u64,
    messages_ignored: u64,
    /// Only media has deadlines.
    frames_expired: u64,
}

impl RtmfpCarrier {
    pub(super) fn new(connection: Connection, hub: Rc<RtmfpHub>) -> Self {
        Self {
            id: connection.session().id(),
            connection: RefCell::new(connection),
            hub,
            own: Cell::new(None),
            net_events: RefCell::default(),
            own_events: RefCell::default(),
            actor: RefCell::default(),
            poked: Cell::new(false),
            is_touched: Cell::new(false),
            is_drained: Cell::new(true),
            is_held: Cell::new(false),
            is_unacknowledged: Cell::new(false),
            armed: Cell::new(None),
            deadline: Cell::new(None),
            received_at: Cell::new(Instant::now()),
            timeout: Cell::new(None),
            joins: RefCell::default(),
            next_join: Cell::new(1),
            writers: RefCell::default(),
            sent: Cell::new(0),
            received: Cell::new(0),
            traffic: Arc::default(),
            path: Cell::default(),
            counted: Cell::default(),
        }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// Takes one datagram of this session, which may have waited for so long.
    pub(super) fn take(
        &self,
        now: Instant,
        waited: Duration,
        from: SocketAddr,
        own: Option<IpAddr>,
        datagram: &mut [u8],
    ) {
        self.own.set(own);
        self.is_drained.set(false);
        self.received_at.set(now);
        self.received.set(self.received.get() + datagram.len() as u64);
        self.connection.borrow_mut().handle_late_packet(now, waited, from, datagram);
    }

    /// All datagrams of a batch were taken: answer, and wake the actor if it has something to do;
    /// whether it has.
    pub(super) fn after_input(&self) -> bool {
        if !self.is_drained.get() {
            self.drain();
        }
        self.count();
        self.poke()
    }

    /// Fetches memory that is needed soon, see [`Viewer::look_ahead`](crate::worker::Viewer).
    pub(super) fn look_ahead(&self, step: usize) -> bool {
        match (step, self.connection.try_borrow()) {
            (0, _) => {
                prefetch(self);
                true
            }
            (_, Ok(connection)) => connection.session().visit_memory(step - 1, &mut Fetch),
            (_, Err(_)) => false,
        }
    }

    pub(super) fn set_held(&self, is_held: bool) {
        if self.is_held.replace(is_held) != is_held {
            self.hub.patience.borrow_mut().count_held(is_held);
        }
    }

    pub(super) fn set_unacknowledged(&self, is_unacknowledged: bool) {
        if self.is_unacknowledged.replace(is_unacknowledged) != is_unacknowledged {
            self.hub.patience.borrow_mut().count_unacknowledged(is_unacknowledged);
        }
    }

    /// Tells the node's counters what came up since the last time: mostly nothing.
    fn count(&self) {
        let connection = self.connection.borrow();
        let (session, own) = (connection.session().stats(), connection.stats());
        let now = Counted {
            packets_dropped: session.packets_dropped,
            flows_refused: session.flows_rejected + session.flows_ignored + own.flows_refused,
            oversized_messages: session.oversized_messages,
            joins_refused: own.bad_joins,
            messages_ignored: session.chunks_dropped + own.messages_ignored,
            frames_expired: session.messages_expired,
        };
        let before = self.counted.replace(now);
        if before == now {
            return;
        }
        let shown = &self.hub.metrics.rtmfp;
        let media = self.hub.metrics.media(Protocol::Rtmfp);
        for (counter, before, now) in [
            (&shown.packets_dropped, before.packets_dropped, now.packets_dropped),
            (&shown.flows_refused, before.flows_refused, now.flows_refused),
            (&shown.oversized_messages, before.oversized_messages, now.oversized_messages),
            (&shown.joins_refused, before.joins_refused, now.joins_refused),
            (&shown.messages_ignored, before.messages_ignored, now.messages_ignored),
            (&media.frames_dropped, before.frames_expired, now.frames_expired),
        ] {
            counter.fetch_add(now - before, Relaxed);
        }
    }

    fn poke(&self) -> bool {
        let waits = !self.net_events.borrow().is_empty() || !self.own_events.borrow().is_empty();
        if waits
            && !self.poked.get()
            && let Some(actor) = &*self.actor.borrow()
        {
            self.poked.set(true);
            actor.do_send(ToSession::Poke);
        }
        waits
    }

    /// The hub's clock reached a deadline of this session, perhaps one that moved meanwhile.
    pub(super) fn on_deadline(&self, at: Instant, now: Instant) {
        if self.armed.get() == Some(at) {
            self.armed.set(None);
        }
        if self.deadline.get().is_some_and(|deadline| deadline <= now) {
            self.connection.borrow_mut().handle_timeout(now);
            self.is_drained.set(false);
        }
        self.after_input();
        self.arm();
    }

    /// Has the hub wake this session in time.
    fn arm(&self) {
        if let Some(at) = self.deadline.get()
            && self.armed.get().is_none_or(|armed| at < armed)
        {
            self.armed.set(Some(at));
            self.hub.wake(at, self.id);
        }
    }

    pub(super) fn forward_hello(&self, epd: Bytes, reply: Address, tag: Bytes) {
        self.connection.borrow_mut().forward_hello(Instant::now(), epd, reply, tag);
        self.drain();
    }

    /// The same client began anew from the same address.
    pub(super) fn discard(&self) {
        self.connection.borrow_mut().session_mut().discard();
        self.end("replaced by a new session of the same client");
    }

    /// The same client connected from elsewhere.
    pub(super) fn replaced(&self) {
        self.end("replaced: the same peer connected again");
    }

    fn end(&self, reason: &str) {
        match &*self.actor.borrow() {
            Some(actor) => actor.do_send(ToSession::Broken(reason.to_owned())),
            None => self.hub.remove(self.id),
        }
    }

    /// The session's actor is gone: the machine stays until its last words are said.
    fn release(&self) {
        *self.actor.borrow_mut() = None;
        self.net_events.borrow_mut().clear();
        self.own_events.borrow_mut().clear();
        self.drain();
    }

    /// Speaks through the commands' state machine, then sends what it has to say.
    pub(super) fn speak(&self, speak: impl FnOnce(&mut NetConnection)) {
        speak(self.connection.borrow_mut().net(Instant::now()));
        self.drain();
    }

    fn next_own_event(&self) -> Option<tc::Event> {
        self.own_events.borrow_mut().pop_front()
    }
}

impl Carrier for RtmfpCarrier {
    type Viewer = RtmfpViewer;
    const KIND: ActorKind = ActorKind::RtmfpSession;
    const PROTOCOL: &'static str = "RTMFP";
    const MEDIA: Protocol = Protocol::Rtmfp;
    const FORMAT: Format = Format::Amf0;
    const PACKS: bool = true;

    fn span(client: ClientId, peer: SocketAddr) -> Span {
        info_span!("rtmfp", client = client.0, %peer)
    }

    fn say(&self, reply: Reply) {
        let is_accepted = matches!(reply, Reply::ConnectAccepted(_));
        self.speak(|connection| say_flash(connection, reply));
        if is_accepted {
            let connection = self.connection.borrow();
            let session = connection.session();
            self.hub.endpoint.do_send(ToEndpoint::Connected {
                session: self.id,
                peer: session.peer_id(),
                address: session.far_address(),
            });
        }
    }

    fn route(&self, flow: u32, is_reliable: bool) {
        let mut connection = self.connection.borrow_mut();
        if flow == 0 {
            return connection.set_writer(None, is_reliable);
        }
        let mut writers = self.writers.borrow_mut();
        let writer = writers.get(&flow).copied().or_else(|| connection.open_writer());
        match writer {
            Some(writer) => {
                writers.insert(flow, writer);
            }
            None => debug!(flow, "no flow of its own for a script's writer: the main one is used"),
        }
        connection.set_writer(writer, is_reliable);
    }

    fn write(&self, transaction: Option<f64>, messages: Vec<ClientMessage>, holds_rest: bool) {
        let mut connection = self.connection.borrow_mut();
        let net = connection.net(Instant::now());
        for message in messages {
            say_flash(net, Reply::Written { transaction, message });
        }
        connection.session_mut().send_full_packets_only(holds_rest);
        drop(connection);
        self.drain();
        self.connection.borrow_mut().session_mut().send_full_packets_only(false);
    }

    fn close_writer(&self, flow: u32) {
        if let Some(writer) = self.writers.borrow_mut().remove(&flow) {
            self.connection.borrow_mut().close_writer(writer);
            self.drain();
        }
    }

    fn drain(&self) {
        self.is_drained.set(true);
        let mut connection = self.connection.borrow_mut();
        let mut buffer = self.hub.buffer.borrow_mut();
        connection.session_mut().swap_buffer(&mut buffer);
        loop {
            match connection.poll_output() {
                tc::Output::Transmit { to, bytes } => {
                    self.sent.set(self.sent.get() + bytes.len() as u64);
                    self.hub.udp.send(to, self.own.get(), bytes);
                }
                // Nobody takes events of a session whose actor is gone.
                tc::Output::Event(_) if self.actor.borrow().is_none() && self.poked.get() => {}
                tc::Output::Event(tc::Event::Net(event)) => {
                    self.net_events.borrow_mut().push_back(event);
                }
                tc::Output::Event(event) => self.own_events.borrow_mut().push_back(event),
                tc::Output::Timeout(at) => {
                    self.deadline.set(at);
                    break;
                }
            }
        }
        connection.session_mut().swap_buffer(&mut buffer);
        drop(buffer);
        self.set_held(connection.session().is_held());
        self.set_unacknowledged(connection.session().is_unacknowledged());
        drop(connection);
        self.arm();
        if self.deadline.get().is_none() && self.actor.borrow().is_none() {
            self.hub.remove(self.id);
        }
        self.hub.spoke();
    }

    fn next_wish(&self) -> Option<Wish> {
        self.net_events.borrow_mut().pop_front().map(Wish::Net)
    }

    fn is_waiting(&self) -> bool {
        self.connection.borrow().is_waiting()
    }

    /// The connection holds its flows back by itself while a decision is open.
    fn feed(&self) {}

    fn pause_input(&self, paused: bool) {
        self.connection.borrow_mut().pause_input(Instant::now(), paused);
        self.drain();
    }

    /// RTMFP has its own signs of life.
    fn touch(&self) {}

    fn set_timeout(&self, timeout: Duration) {
        self.timeout.set(Some(timeout));
    }

    /// The hub keeps time.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn on_timer(&self) {}

    /// Flows have bounds of their own, which close the session.
    fn queued_bytes(&self) -> usize {
        0
    }

    fn sent_bytes(&self) -> u64 {
        self.sent.get()
    }

    fn received_bytes(&self) -> u64 {
        self.received.get()
    }

    fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    fn show_traffic(&self) {
        self.traffic.show(self.received.get(), self.sent.get());
        let session = self.connection.borrow().session().stats();
        let path = (session.data_bytes_sent, session.data_bytes_lost);
        let before = self.path.replace(path);
        if path != before {
            let now = epoch_ms();
            self.traffic.stats.path_sent.add(now, path.0.saturating_sub(before.0));
            self.traffic.stats.path_lost.add(now, path.1.saturating_sub(before.1));
        }
    }

    fn viewer(
        self: &Rc<Self>,
        session: Recipient<ToSession>,
        stream: StreamId,
        name: Bytes,
        query: &[u8],
        limits: QueueLimits,
        qos: Arc<MediaQos>,
    ) -> RtmfpViewer {
        // LIS-07.
        let is_unbuffered = query
            .split(|byte| *byte == b'&')
            .any(|pair| pair.eq_ignore_ascii_case(b"unbuffered=true") || pair == b"unbuffered=1");
        RtmfpViewer::new(self.clone(), session, stream, name, limits, qos, is_unbuffered)
    }

    fn gate(viewer: &RtmfpViewer) -> &RefCell<ViewerGate> {
        &viewer.gate
    }

    fn count_drops(viewer: &RtmfpViewer, dropped: Arc<AtomicU64>, client: Arc<ClientStats>) {
        viewer.numbers.borrow_mut().count_drops(dropped, client);
    }

    fn started(session: &mut RtmfpSession, ctx: &mut Context<RtmfpSession>) {
        let address = ctx.address().recipient();
        *session.carrier.actor.borrow_mut() = Some(address);
    }

    fn advanced(session: &mut RtmfpSession, ctx: &mut Context<RtmfpSession>) {
        let carrier = session.carrier.clone();
        carrier.poked.set(false);
        let round_trip = carrier.connection.borrow().session().round_trip();
        if let Some(time) = round_trip {
            let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).clamp(1, 65_535);
            session.stats.ping_ms.store(ms, Relaxed);
        }
        session.stats.last_reception_ms.store(epoch_ms(), Relaxed);
        while let Some(event) = carrier.next_own_event() {
            session.on_own_event(event, ctx);
            if session.is_closing() {
                return;
            }
        }
    }

    fn say_last_words(session: &mut RtmfpSession, ctx: &mut Context<RtmfpSession>) {
        let carrier = session.carrier.clone();
        carrier.connection.borrow_mut().close(Instant::now(), CloseKind::Normal);
        carrier.drain();
        // The hub goes on with the machine until the far end has heard.
        ctx.stop();
    }

    fn settle(session: &mut RtmfpSession) {
        session.carrier.hub.endpoint.do_send(ToEndpoint::Left(session.carrier.id));
        let joins: Vec<_> = session.carrier.joins.borrow_mut().drain().collect();
        for (join, (_, group)) in joins {
            session.leave_group(join, group);
        }
    }

    fn members(session: &mut RtmfpSession, join: u64, members: &[[u8; 32]]) {
        session.tell_members(join, members);
    }

    fn stopped(session: &mut RtmfpSession) {
        let carrier = &session.carrier;
        carrier.connection.borrow_mut().close(Instant::now(), CloseKind::Normal);
        carrier.poked.set(true);
        carrier.release();
    }
}

impl RtmfpSession {
    fn on_own_event(&mut self, event: tc::Event, ctx: &mut Context<Self>) {
        let carrier = self.carrier.clone();
        match event {
            tc::Event::Confirmed => {
                carrier.hub.endpoint.do_send(ToEndpoint::Confirmed(carrier.id));
            }
            tc::Event::PeerInfo(addresses) => {
                debug!(?addresses, "setPeerInfo");
                let session = carrier.id;
                carrier.hub.endpoint.do_send(ToEndpoint::PeerInfo { session, addresses });
            }
            tc::Event::JoinGroup { join, group } => self.join_group(join, GroupId(group), ctx),
            tc::Event::LeaveGroup { join, .. } => {
                let left = carrier.joins.borrow().iter().find_map(|(number, (known, group))| {
                    (*known == join).then_some((*number, *group))
                });
                if let Some((number, group)) = left {
                    carrier.joins.borrow_mut().remove(&number);
                    self.leave_group(number, group);
                }
            }
            tc::Event::AddressChanged { from, to } => {
                info!(%from, %to, "address changed");
                self.peer = to;
                if let Some(place) = &self.place {
                    place.moved(to);
                }
                let session = carrier.id;
                carrier.hub.endpoint.do_send(ToEndpoint::Moved { session, to });
                let address = to.to_string();
                self.push_script(ToScript::AddressChanged { client: self.client, address });
            }
            tc::Event::Closed(reason) => self.close(ctx, &reason),
            _ => {}
        }
    }

    fn join_group(&mut self, join: GroupJoin, group: GroupId, ctx: &mut Context<Self>) {
        let carrier = self.carrier.clone();
        if carrier.joins.borrow().len() >= MAX_JOINS {
            self.services.metrics.rtmfp.joins_refused.fetch_add(1, Relaxed);
            debug!(limit = MAX_JOINS, "join refused: too many groups of one client");
            return;
        }
        let number = carrier.next_join.replace(carrier.next_join.get() + 1);
        let session = ctx.address().recipient();
        if !self.services.groups.join(group, self.client, self.raw_id, number, session) {
            self.services.metrics.rtmfp.joins_refused.fetch_add(1, Relaxed);
            return;
        }
        carrier.joins.borrow_mut().insert(number, (join, group));
        self.push_script(ToScript::JoinGroup { client: self.client, group });
    }

    fn leave_group(&self, number: u64, group: GroupId) {
        self.services.groups.leave(group, self.client, number);
        self.push_script(ToScript::UnjoinGroup { client: self.client, group });
    }

    /// Tells the client whom to meet in a group.
    fn tell_members(&self, join: u64, members: &[[u8; 32]]) {
        let carrier = &self.carrier;
        let Some((join, _)) = carrier.joins.borrow().get(&join).cloned() else { return };
        let now = Instant::now();
        for member in members {
            carrier.connection.borrow_mut().tell_member(now, join, PeerId(*member));
        }
        carrier.drain();
    }
}
