//! What the client wants, and what the node answers.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use ramona_amf::Value;
use ramona_media::MediaFrame;
use ramona_rtmp as rtmp;
use ramona_rtmp::{Event, PublishRefusal, StreamId};
use ramona_script::{
    Accepted, ClientInfo, ListenerId, ListenerInfo, MediaQos, PublicationId, PublicationInfo,
    PublishError, Refusal,
};
use smallvec::SmallVec;
use tracing::{debug, info, trace, warn};

use super::{Carrier, ClientSession, Held, Playing, Publishing, Reply, State, Wish};
use crate::clients;
use crate::messages::client::ToSession;
use crate::messages::media::PublishBatch;
use crate::messages::script::ToScript;
use crate::messages::stream::ToPublication;
use crate::outbox::Offer;
use crate::text::shown;

const NO_SCRIPTS: &str = "the script engine has stopped";
const TOO_MANY_NAMES: &str = "too many stream names are in use";

/// The frames of one read, by stream: nearly always one.
pub(crate) type Frames = SmallVec<[(StreamId, Vec<MediaFrame>); 1]>;

impl<C: Carrier> ClientSession<C> {
    pub(super) fn on_wish(&mut self, wish: Wish, frames: &mut Frames, ctx: &mut Context<Self>) {
        match wish {
            Wish::Net(event) => self.on_event(event, frames, ctx),
            Wish::Message { transaction, body, format } => {
                self.flush_frames(frames, ctx);
                let bytes = body.len() + 64;
                let client = self.client;
                let message = ToScript::Message { client, transaction, body, format };
                self.tell_script(message, bytes, ctx);
            }
            Wish::Closed { reason, is_protocol_error } => {
                self.flush_frames(frames, ctx);
                self.on_closed(&reason, is_protocol_error, ctx);
            }
        }
    }

    fn on_closed(&mut self, reason: &str, is_protocol_error: bool, ctx: &mut Context<Self>) {
        if is_protocol_error {
            self.services.metrics.protocol_errors.fetch_add(1, Relaxed);
            warn!(reason, "the peer broke the protocol");
        }
        self.close(ctx, reason);
    }

    fn on_event(&mut self, event: Event, frames: &mut Frames, ctx: &mut Context<Self>) {
        if let Event::Media { stream, frame } = event {
            trace!(kind = ?frame.kind, time = frame.timestamp_ms, "frame");
            match frames.iter_mut().find(|(known, _)| *known == stream) {
                Some((_, known)) => known.push(frame),
                None => frames.push((stream, vec![frame])),
            }
            return;
        }
        // Frames before an event belong before what it causes.
        self.flush_frames(frames, ctx);
        match event {
            Event::Connect(connect) => self.on_connect(*connect, ctx),
            Event::Publish { stream, name, query, mode } => {
                debug!(name = %shown(&name), ?mode, "publish");
                self.on_publish(stream, name, query, ctx);
            }
            Event::Unpublish { stream } => {
                if let Some(publishing) = self.publishing.remove(&stream) {
                    self.end_publishing(publishing);
                }
            }
            Event::Play { stream, name, query, start_ms, buffer_ms, .. } => {
                debug!(name = %shown(&name), "play");
                let query = parameters(query, start_ms, buffer_ms);
                self.on_play(stream, name, query, ctx);
            }
            Event::StopPlay { stream } => {
                if let Some(playing) = self.playing.remove(&stream) {
                    self.end_playing(playing);
                }
            }
            Event::Pause { stream, on } => self.gate(stream, |gate| gate.set_paused(on)),
            Event::ReceiveAudio { stream, on } => {
                self.gate(stream, |gate| gate.set_receive_audio(on));
            }
            Event::ReceiveVideo { stream, on } => {
                self.gate(stream, |gate| gate.set_receive_video(on));
            }
            Event::BufferLength { stream, length_ms } => {
                if let Some(playing) = self.playing.get(&stream) {
                    let listener = playing.listener;
                    self.tell_script(ToScript::BufferTime { listener, ms: length_ms }, 64, ctx);
                }
            }
            Event::Seek { .. } => {}
            Event::Call { transaction, name, args } => {
                let client = self.client;
                let bytes = name.len() + args.len() + 64;
                // Sliced out of a read buffer they would keep all of it while the script is busy.
                let (name, args) = (Bytes::copy_from_slice(&name), Bytes::copy_from_slice(&args));
                let format = C::FORMAT;
                let call = ToScript::Call { client, transaction, name, args, format };
                self.tell_script(call, bytes, ctx);
            }
            Event::RoundTrip(time) => {
                let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).clamp(1, 65_535);
                self.stats.ping_ms.store(ms, Relaxed);
            }
            Event::Closed(reason) => {
                self.on_closed(&reason.to_string(), reason.is_protocol_error(), ctx);
            }
            Event::Media { .. } => {}
        }
    }

    fn on_connect(&mut self, connect: rtmp::Connect, ctx: &mut Context<Self>) {
        debug!(app = %shown(&connect.app), path = connect.path, "connect");
        if !self.services.script.connected() {
            warn!("client refused: {NO_SCRIPTS}");
            let refusal = Refusal::Failed(Bytes::from_static(NO_SCRIPTS.as_bytes()));
            return self.carrier.say(Reply::ConnectRefused(refusal));
        }
        self.path.clone_from(&connect.path);
        let info = ClientInfo {
            id: self.client,
            raw_id: self.raw_id,
            address: self.peer.to_string(),
            protocol: C::PROTOCOL,
            format: C::FORMAT,
            path: connect.path,
            query: connect.query,
            properties: object_members(&Value::Object(connect.properties)),
            args: connect.args,
            parameters: self.config.parameters.clone(),
            stats: self.stats.clone(),
        };
        let session = ctx.address().recipient();
        let bytes = info.properties.len() + info.args.len() + 1_024;
        self.state = State::Asked;
        self.tell_script(
            ToScript::Connect { info: Box::new(info), session, packs: C::PACKS },
            bytes,
            ctx,
        );
    }

    fn on_publish(&mut self, stream: StreamId, name: Bytes, query: Bytes, ctx: &mut Context<Self>) {
        let run = self.services.ids.publication();
        let name = Bytes::copy_from_slice(&name);
        match self.services.directory.claim(&name, run) {
            Ok(claim) => {
                let query = Bytes::copy_from_slice(&query);
                let qos = Arc::<MediaQos>::default();
                let info = PublicationInfo { id: run, name, query, qos };
                let message = ToScript::Publish {
                    client: self.client,
                    info: info.clone(),
                    control: claim.control.clone(),
                };
                let publishing = Publishing { info, claim, accepted: false };
                self.publishing.insert(stream, publishing);
                self.tell_script(message, 1_024, ctx);
            }
            Err(PublishError::AlreadyPublishing) => {
                info!(name = %shown(&name), "publish refused: the name is publishing already");
                self.carrier.say(Reply::PublishRefused(stream, PublishRefusal::BadName));
            }
            Err(PublishError::Refused) => {
                self.services.metrics.connections_refused.fetch_add(1, Relaxed);
                warn!(name = %shown(&name), "publish refused: {TOO_MANY_NAMES}");
                let refusal =
                    PublishRefusal::Refused(Bytes::from_static(TOO_MANY_NAMES.as_bytes()));
                self.carrier.say(Reply::PublishRefused(stream, refusal));
            }
        }
    }

    fn on_play(&mut self, stream: StreamId, name: Bytes, query: Bytes, ctx: &mut Context<Self>) {
        if self.playing.values().any(|playing| playing.name == name) {
            let text = [b"Already subscribed to ", &name[..]].concat();
            return self.carrier.say(Reply::PlayRefused(stream, text.into()));
        }
        let listener = self.services.ids.listener();
        let name = Bytes::copy_from_slice(&name);
        let qos = Arc::<MediaQos>::default();
        let info = ListenerInfo {
            id: listener,
            client: self.client,
            name: name.clone(),
            query,
            qos: qos.clone(),
        };
        let session = ctx.address().recipient();
        let limits = self.config.queue;
        let viewer = self.carrier.viewer(session, stream, name.clone(), &info.query, limits, qos);
        let viewer = Rc::new(viewer);
        let publication = self.services.directory.running(&name);
        let playing =
            Playing { listener, name, viewer, subscription: None, sample_access: (true, true) };
        self.playing.insert(stream, playing);
        self.tell_script(ToScript::Subscribe { info, publication }, 1_024, ctx);
    }

    /// Hands the frames of one read to their publications, one batch each.
    pub(super) fn flush_frames(&mut self, frames: &mut Frames, ctx: &mut Context<Self>) {
        for (stream, frames) in frames.drain(..) {
            let Some(publishing) = self.publishing.get(&stream) else { continue };
            let batch = PublishBatch { run: publishing.info.id, frames };
            self.publish(stream, batch, ctx);
        }
    }

    pub(super) fn publish(
        &mut self,
        stream: StreamId,
        batch: PublishBatch,
        ctx: &mut Context<Self>,
    ) {
        let Some(publishing) = self.publishing.get(&stream) else { return };
        if !self.held.is_empty() {
            return self.hold(Held::Frames(stream, batch), ctx);
        }
        let bytes = batch.frames.iter().map(|frame| frame.payload.len() + 64).sum();
        match publishing.claim.frames.offer(batch, bytes) {
            Offer::Accepted => {}
            Offer::Full(batch) => self.hold(Held::Frames(stream, batch), ctx),
            Offer::Gone(_) => self.close(ctx, "its publication has stopped"),
        }
    }

    pub(super) fn on_message(&mut self, message: ToSession, ctx: &mut Context<Self>) {
        match message {
            ToSession::Connected(decision) => self.on_connected(decision, ctx),
            ToSession::Published { run, decision } => self.on_published(run, decision, ctx),
            ToSession::Subscribed { listener, decision } => {
                self.on_subscribed(listener, decision);
            }
            ToSession::Called { transaction, outcome } => {
                self.carrier.say(Reply::Called { transaction, outcome });
            }
            // Only HTTP clients read files.
            ToSession::Read { .. } => {}
            ToSession::Write { transaction, messages, holds_rest, ticket: _ticket } => {
                self.carrier.write(transaction, messages, holds_rest);
                if holds_rest {
                    return;
                }
            }
            ToSession::WriteOn {
                flow,
                is_reliable,
                transaction,
                messages,
                holds_rest,
                ticket: _ticket,
            } => {
                self.carrier.route(flow, is_reliable);
                self.carrier.write(transaction, messages, holds_rest);
                self.carrier.route(0, true);
                if holds_rest {
                    return;
                }
            }
            ToSession::CloseWriter(flow) => self.carrier.close_writer(flow),
            ToSession::Close { code } => self.carrier.say(Reply::Close(code)),
            ToSession::SetListener { listener, audio, video, sample_access } => {
                self.set_listener(listener, audio, video, sample_access);
            }
            ToSession::PublicationClosed { run, status } => self.close_publication(run, status),
            ToSession::Members { join, members } => C::members(self, join, &members),
            ToSession::Poke => {}
            ToSession::Broken(reason) => return self.close(ctx, &reason),
            ToSession::Shutdown => self.carrier.say(Reply::Shutdown),
        }
        self.resume(ctx);
    }

    fn on_connected(&mut self, decision: Result<Accepted, Refusal>, ctx: &mut Context<Self>) {
        match decision {
            Ok(accepted) => {
                self.state = State::Open;
                self.was_connected = true;
                self.enter_list();
                info!("client connected");
                if let Some((_, timeout)) =
                    accepted.parameters.iter().find(|(key, _)| key == "timeout")
                {
                    match timeout.parse() {
                        Ok(seconds) if (1.0..=1e6).contains(&seconds) => {
                            self.carrier.set_timeout(Duration::from_secs_f64(seconds));
                        }
                        _ => warn!(timeout, "timeout of onConnection ignored: not 1..1000000"),
                    }
                }
                self.carrier.say(Reply::ConnectAccepted(accepted.info));
            }
            Err(refusal) => {
                self.state = State::Opening;
                if matches!(refusal, Refusal::InvalidApp(_))
                    && let Some(connect) = self.carrier.connect_elsewhere()
                {
                    return self.on_connect(connect, ctx);
                }
                info!(reason = %shown(&text_of(&refusal)), "client refused");
                self.carrier.say(Reply::ConnectRefused(refusal));
            }
        }
    }

    fn enter_list(&mut self) {
        let client = clients::Client {
            raw_id: self.raw_id,
            protocol: C::PROTOCOL,
            path: std::mem::take(&mut self.path),
            traffic: self.carrier.traffic().clone(),
        };
        self.place = Some(self.services.clients.enter(self.client, self.peer, client));
    }

    fn on_published(
        &mut self,
        run: PublicationId,
        decision: Result<(), Refusal>,
        ctx: &mut Context<Self>,
    ) {
        let found = self.publishing.iter_mut().find(|(_, known)| known.info.id == run);
        let Some((&stream, publishing)) = found else { return };
        match decision {
            Ok(()) => {
                publishing.accepted = true;
                let publisher = Some((self.client, ctx.address().recipient()));
                let info = publishing.info.clone();
                self.services.directory.started(&info.name, run, &info.qos);
                publishing.claim.control.do_send(ToPublication::Start {
                    info,
                    protocol: C::MEDIA,
                    publisher,
                });
                self.carrier.say(Reply::PublishAccepted(stream));
            }
            Err(refusal) => {
                if let Some(publishing) = self.publishing.remove(&stream) {
                    self.end_publishing(publishing);
                }
                let text = text_of(&refusal);
                info!(reason = %shown(&text), "publish refused");
                self.carrier.say(Reply::PublishRefused(stream, PublishRefusal::Refused(text)));
            }
        }
    }

    fn on_subscribed(&mut self, listener: ListenerId, decision: Result<(), Refusal>) {
        let found = self.playing.iter_mut().find(|(_, known)| known.listener == listener);
        let Some((&stream, playing)) = found else { return };
        let refusal = match decision {
            Ok(()) => match self.services.directory.subscribe(&playing.name) {
                Some(subscription) => {
                    let (audio, video) = playing.sample_access;
                    let viewer = playing.viewer.clone();
                    let join = ToPublication::Join { listener, worker: self.local.index };
                    let control = subscription.control.clone();
                    C::count_drops(&viewer, subscription.dropped.clone(), self.stats.clone());
                    self.local.attach(subscription.key, listener, viewer);
                    playing.subscription = Some(subscription);
                    self.carrier.say(Reply::PlayAccepted { stream, audio, video });
                    control.do_send(join);
                    return;
                }
                None => {
                    self.services.metrics.connections_refused.fetch_add(1, Relaxed);
                    self.script.push(ToScript::Unsubscribe(listener));
                    Bytes::from_static(TOO_MANY_NAMES.as_bytes())
                }
            },
            Err(refusal) => text_of(&refusal),
        };
        info!(reason = %shown(&refusal), "play refused");
        self.playing.remove(&stream);
        self.carrier.say(Reply::PlayRefused(stream, refusal));
    }

    fn set_listener(
        &mut self,
        listener: ListenerId,
        audio: bool,
        video: bool,
        sample_access: (bool, bool),
    ) {
        let found = self.playing.iter_mut().find(|(_, known)| known.listener == listener);
        let Some((&stream, playing)) = found else { return };
        let mut gate = C::gate(&playing.viewer).borrow_mut();
        gate.set_receive_audio(audio);
        gate.set_receive_video(video);
        drop(gate);
        // Told to the client when its play is accepted, and again when it changes (LIS-06).
        let before = std::mem::replace(&mut playing.sample_access, sample_access);
        if before != sample_access && playing.subscription.is_some() {
            let (audio, video) = sample_access;
            self.carrier.say(Reply::SampleAccess { stream, audio, video });
        }
    }

    fn close_publication(&mut self, run: PublicationId, status: Option<(Bytes, Bytes)>) {
        let found = self.publishing.iter().find(|(_, known)| known.info.id == run);
        let Some((&stream, _)) = found else { return };
        if let Some(publishing) = self.publishing.remove(&stream) {
            self.end_publishing(publishing);
        }
        self.carrier.say(Reply::PublicationClosed { stream, status });
    }

    fn gate(&self, stream: StreamId, change: impl FnOnce(&mut ramona_media::ViewerGate)) {
        if let Some(playing) = self.playing.get(&stream) {
            change(&mut C::gate(&playing.viewer).borrow_mut());
        }
    }
}

fn text_of(refusal: &Refusal) -> Bytes {
    match refusal {
        Refusal::Rejected(text) | Refusal::InvalidApp(text) | Refusal::Failed(text) => text.clone(),
    }
}

/// AMF0 members of an object, without its marker and its end.
fn object_members(object: &Value) -> Bytes {
    let mut out = Vec::new();
    if let Err(error) = object.encode_amf0(&mut out) {
        warn!(%error, "connect object not shown to scripts");
        return Bytes::new();
    }
    let end = out.len().saturating_sub(3);
    Bytes::from(out).slice(1.min(end)..end)
}

/// What the parameters of a listener are read from (LIS-07): the query of the name, and what the
/// play itself and the stream say in other words.
fn parameters(query: Bytes, start_ms: f64, buffer_ms: Option<u32>) -> Bytes {
    // LIS-08: the older form.
    let unbuffered = (start_ms == -3_000.0).then(|| "unbuffered=true".to_owned());
    let buffer = buffer_ms.map(|ms| format!("bufferTime={ms}"));
    let mut all = query.to_vec();
    for word in [unbuffered, buffer].into_iter().flatten() {
        if !all.is_empty() {
            all.push(b'&');
        }
        all.extend_from_slice(word.as_bytes());
    }
    // Sliced out of a read buffer it would keep all of it.
    all.into()
}
