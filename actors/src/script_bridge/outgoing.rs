//! What scripts have written and the node has not sent yet: one buffer per server, client and
//! script publication.

use bytes::{Bytes, BytesMut};
use ramona_cluster as cluster;
use ramona_media::MediaFrame;
use ramona_script::{ClientId, ClientMessage, PublicationId, SendOutcome};
use tracing::{error, warn};

use crate::directory::Claim;
use crate::messages::client::ToSession;
use crate::messages::cluster::{ServerHandle, ToServer};
use crate::messages::media::PublishBatch;
use crate::messages::stream::ToPublication;
use crate::metrics::ScriptStats;
use crate::outbox::{Backlog, Offer, Ticketed};
use crate::shared_link::Direct;
use crate::text::shown;
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes after which a server's buffer leaves in the middle of a handler, so that sending and
/// running go on side by side.
const SERVER_BATCH: usize = 64 << 10;

/// Messages after which a client's or a publication's buffer leaves in the middle of a handler.
const MESSAGE_BATCH: usize = 256;

/// Bytes of script messages on their way to one client's session; further ones are refused, for
/// the client does not read.
const CLIENT_BACKLOG: usize = 8 << 20;

/// Bytes of messages that fill a datagram of RTMFP for certain.
const DATAGRAM: usize = 1_200;

/// Calls on their way to one server.
pub(super) struct ServerOut {
    handle: ServerHandle,
    buffer: Vec<u8>,
    calls: u64,
    /// One log line for each time the queue fills up.
    full: bool,
}

impl ServerOut {
    pub(super) fn new(handle: ServerHandle) -> Self {
        Self { handle, buffer: Vec::new(), calls: 0, full: false }
    }

    pub(super) fn send(&mut self, handler: &[u8], args: &[u8]) -> SendOutcome {
        let size = handler.len() + args.len();
        if self.buffer.len() + self.handle.queued.len() + size > self.handle.limit {
            self.handle.stats.refused.fetch_add(1, Relaxed);
            if !self.full {
                self.full = true;
                error!(
                    limit = self.handle.limit,
                    "outbound queue of a server is full: calls are refused until it drains"
                );
            }
            return SendOutcome::Full;
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(size + 64);
        }
        if let Err(error) = cluster::encode_call(&mut self.buffer, handler, args) {
            error!(%error, "call not sent");
            return SendOutcome::Full;
        }
        // Around the limit single calls pass: that is still the same trouble.
        self.full &= self.handle.queued.len() > self.handle.limit / 2;
        self.calls += 1;
        if self.buffer.len() >= SERVER_BATCH {
            self.flush();
        }
        SendOutcome::Queued
    }

    pub(super) fn tell(&mut self, message: ToServer) {
        self.flush();
        // One byte, so that frames do not go past it.
        self.handle.to.do_send(Ticketed { message, ticket: self.handle.queued.take(1) });
    }

    /// Whether anything was there to send.
    pub(super) fn flush(&mut self) -> bool {
        if self.buffer.is_empty() {
            return false;
        }
        self.handle.stats.calls_out.fetch_add(std::mem::take(&mut self.calls), Relaxed);
        // A buffer as large as the last one spares its growing.
        let next = Vec::with_capacity(self.buffer.len().min(SERVER_BATCH + SERVER_BATCH / 4));
        let frames = Bytes::from(std::mem::replace(&mut self.buffer, next));
        let queued = &self.handle.queued;
        // What waits in the mailbox goes first.
        let direct = match queued.is_empty() {
            true => self.handle.link.send(&frames),
            false => Direct::No,
        };
        let (message, bytes) = match direct {
            Direct::Sent(sent) => {
                self.handle.stats.bytes_out.fetch_add(sent as u64, Relaxed);
                return true;
            }
            Direct::Rest { sent, rest } => {
                self.handle.stats.bytes_out.fetch_add(sent as u64, Relaxed);
                (ToServer::Rest, rest)
            }
            Direct::No => {
                let bytes = frames.len();
                (ToServer::Frames(frames), bytes)
            }
        };
        self.handle.to.do_send(Ticketed { message, ticket: queued.take(bytes) });
        true
    }
}

/// Messages on their way to one client.
pub(super) struct ClientOut {
    session: Recipient<ToSession>,
    messages: Vec<ClientMessage>,
    bytes: usize,
    /// Of what waits.
    route: WriteRoute,
    backlog: Arc<Backlog>,
    refused: bool,
    /// Messages share datagrams: RTMFP.
    packs: bool,
    /// The session keeps what did not fill a datagram (WRI-05).
    holds_rest: bool,
}

/// How messages go to a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WriteRoute {
    /// 0: the main one.
    pub(super) flow: u32,
    pub(super) is_reliable: bool,
    /// The call of the client that is being handled.
    pub(super) transaction: Option<f64>,
}

impl WriteRoute {
    /// The main writer, outside a call.
    pub(super) const MAIN: Self = Self { flow: 0, is_reliable: true, transaction: None };
}

impl ClientOut {
    pub(super) fn new(session: Recipient<ToSession>, packs: bool) -> Self {
        let backlog = Arc::default();
        Self {
            session,
            messages: Vec::new(),
            bytes: 0,
            route: WriteRoute::MAIN,
            backlog,
            refused: false,
            packs,
            holds_rest: false,
        }
    }

    pub(super) fn tell(&self, message: ToSession) {
        self.session.do_send(message);
    }

    /// Queues a message.
    pub(super) fn write(
        &mut self,
        client: ClientId,
        route: WriteRoute,
        message: ClientMessage,
        stats: &ScriptStats,
    ) {
        if route != self.route {
            self.flush();
            self.route = route;
        }
        let size = size_of_message(&message);
        if self.backlog.len() + self.bytes + size > CLIENT_BACKLOG {
            stats.writes_refused.fetch_add(1, Relaxed);
            if !self.refused {
                self.refused = true;
                warn!(
                    client = client.0,
                    limit = CLIENT_BACKLOG,
                    "client closed: a script writes \
                      faster than its session sends"
                );
                self.session.do_send(ToSession::Broken(
                    "a script wrote more than its session could send".to_owned(),
                ));
            }
            return;
        }
        self.bytes += size;
        self.messages.push(message);
        if self.messages.len() >= MESSAGE_BATCH {
            self.flush();
        }
    }

    /// Sends everything; answers whether there was something.
    pub(super) fn flush(&mut self) -> bool {
        let waits = self.holds_rest || !self.messages.is_empty();
        if waits {
            self.send(false);
        }
        waits
    }

    /// Sends what fills datagrams, where messages share them (WRI-05). The rest goes with the next
    /// flush; the one at the end of the handler is sure to come.
    pub(super) fn flush_full(&mut self) -> bool {
        if !self.packs {
            return self.flush();
        }
        let fills = self.bytes.saturating_sub(self.messages.len() * MESSAGE_OVERHEAD) >= DATAGRAM;
        if fills {
            self.send(true);
        }
        fills
    }

    fn send(&mut self, holds_rest: bool) {
        self.holds_rest = holds_rest;
        let ticket = self.backlog.take(std::mem::take(&mut self.bytes));
        let messages = std::mem::take(&mut self.messages);
        let WriteRoute { flow, is_reliable, transaction } = self.route;
        self.session.do_send(match (flow, is_reliable) {
            (0, true) => ToSession::Write { transaction, messages, holds_rest, ticket },
            _ => {
                ToSession::WriteOn { flow, is_reliable, transaction, messages, holds_rest, ticket }
            }
        });
    }
}

/// What a message without content counts for.
const MESSAGE_OVERHEAD: usize = 64;

fn size_of_message(message: &ClientMessage) -> usize {
    MESSAGE_OVERHEAD
        + match message {
            ClientMessage::Invocation { name, args, .. } => name.len() + args.len(),
            ClientMessage::Message { values, .. } => values.len(),
            ClientMessage::Raw { data } => data.len(),
            ClientMessage::Cookie { header } => header.len(),
            ClientMessage::Status { code, description } => code.len() + description.len(),
        }
}

/// Frames on their way into one publication of a script.
pub(super) struct PublicationOut {
    run: PublicationId,
    pub(super) name: Bytes,
    claim: Claim,
    frames: Vec<MediaFrame>,
    bytes: usize,
    /// Frames were refused: nothing passes before a key frame (or, without video, at all times).
    dropping: bool,
    has_video: bool,
}

impl PublicationOut {
    pub(super) fn new(run: PublicationId, name: Bytes, claim: Claim) -> Self {
        let frames = Vec::new();
        Self { run, name, claim, frames, bytes: 0, dropping: false, has_video: false }
    }

    pub(super) fn control(&self) -> &Recipient<ToPublication> {
        &self.claim.control
    }

    pub(super) fn push(&mut self, frame: MediaFrame, stats: &ScriptStats) {
        self.has_video |= frame.kind == ramona_media::MediaKind::Video;
        if self.dropping && self.has_video && !frame.is_keyframe && !frame.is_header {
            stats.frames_dropped.fetch_add(1, Relaxed);
            return;
        }
        self.bytes += frame.payload.len() + 64;
        self.frames.push(frame);
        if self.frames.len() >= MESSAGE_BATCH {
            self.flush(stats);
        }
    }

    pub(super) fn flush(&mut self, stats: &ScriptStats) -> bool {
        if self.frames.is_empty() {
            return false;
        }
        let frames = std::mem::take(&mut self.frames);
        let bytes = std::mem::take(&mut self.bytes);
        match self.claim.frames.offer(PublishBatch { run: self.run, frames }, bytes) {
            Offer::Accepted => self.dropping = false,
            Offer::Full(batch) => {
                stats.frames_dropped.fetch_add(batch.frames.len() as u64, Relaxed);
                if !self.dropping {
                    self.dropping = true;
                    warn!(
                        name = %shown(&self.name),
                        "a script pushes faster than its publication takes: frames dropped to \
                         the next key frame"
                    );
                }
            }
            Offer::Gone(_) => {}
        }
        true
    }
}

/// Empty bytes for messages without any.
pub(super) fn owned(bytes: &[u8]) -> Bytes {
    BytesMut::from(bytes).freeze()
}
