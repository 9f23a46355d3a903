//! What comes from the far end: bytes, events of the link's machine, and the way to the script.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use ramona_cluster as cluster;
use ramona_cluster::Hello;
use ramona_script::ServerInfo;
use tracing::{debug, error, info};

use super::{READ_SIZE, ServerConnection, State};
use crate::messages::cluster::{Registration, ServerHandle};
use crate::messages::script::ToScript;
use crate::metrics::LinkPeer;
use crate::outbox::Offer;
use crate::servers::LinkUp;
use crate::text::shown;

/// Reads in one turn, so that a busy link does not hold its arbiter.
const READS_PER_TURN: usize = 4;

/// How soon a full script mailbox is tried again.
const RETRY: Duration = Duration::from_millis(1);

impl ServerConnection {
    pub(super) fn read(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..READS_PER_TURN {
            if self.is_stalled() {
                break;
            }
            match self.transport.try_read_into(&mut self.input, READ_SIZE) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    self.link.lock().link.handle_eof(Instant::now());
                    break;
                }
                Ok(Some(n)) => {
                    self.stats.bytes_in.fetch_add(n as u64, Relaxed);
                    self.link.lock().link.handle_input(Instant::now(), &mut self.input);
                }
                Err(error) => {
                    debug!(%error, "cannot read");
                    self.link.lock().link.handle_eof(Instant::now());
                    break;
                }
            }
            self.advance(ctx);
        }
        self.advance(ctx);
        if self.state != State::Closing {
            self.transport.pause_reading(self.is_stalled());
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.held.is_some() || matches!(self.state, State::Awaiting | State::Closing)
    }

    pub(super) fn advance(&mut self, ctx: &mut Context<Self>) {
        loop {
            self.drain();
            if self.held.is_some() || self.state == State::Awaiting {
                break;
            }
            let Some(event) = self.events.pop_front() else { break };
            self.on_event(event, ctx);
            if self.state == State::Closing {
                break;
            }
        }
        self.arm_timer(ctx);
    }

    fn on_event(&mut self, event: cluster::Event, ctx: &mut Context<Self>) {
        match event {
            cluster::Event::Up(hello) => {
                let Some(identity) = self.link.lock().link.identity() else { return };
                self.stats = self.start.metrics.link(&hello.node_id.to_string());
                self.hello = Some(hello);
                self.state = State::Awaiting;
                self.transport.pause_reading(true);
                self.start.servers.do_send(LinkUp {
                    server: self.start.server,
                    target: self.start.target,
                    identity,
                    to: ctx.address().recipient(),
                });
            }
            cluster::Event::Calls(calls) => {
                self.stats.calls_in.fetch_add(calls.len() as u64, Relaxed);
                let bytes = calls.iter().map(|c| c.handler.len() + c.args.len() + 64).sum();
                let server = self.start.server;
                self.tell_script(ToScript::ServerCalls { server, calls }, bytes, ctx);
                let called = self.stats.calls_out.load(Relaxed);
                self.awake.arrived(std::mem::replace(&mut self.called, called) != called);
            }
            cluster::Event::App(path) => {
                let bytes = path.len() + 64;
                self.tell_script(ToScript::SyncApp(path), bytes, ctx);
            }
            cluster::Event::Rejected(text) => {
                error!("Connection with {} server, {}", self.start.peer.ip(), shown(&text));
            }
            cluster::Event::RoundTrip(time) => {
                self.stats.round_trip_us.store(time.as_micros().max(1) as u64, Relaxed);
            }
            cluster::Event::Closed(reason) => self.close(reason, ctx),
            _ => debug!("event of a newer link protocol ignored"),
        }
    }

    pub(super) fn on_registered(&mut self, registration: Registration, ctx: &mut Context<Self>) {
        match registration {
            Registration::Duplicate => {
                if self.state == State::Awaiting {
                    // The script never sees it: only its end is left, which may have come already.
                    self.events.retain(|event| matches!(event, cluster::Event::Closed(_)));
                    self.state = State::Opening;
                }
                self.link.lock().link.close_duplicate();
            }
            Registration::Keep => {
                let Some(hello) = self.hello.take() else { return };
                self.state = State::Live;
                self.up_since = Some(Instant::now());
                info!(level_name = "NOTE", node = %hello.node_id, host = hello.host, "linked");
                let info = Box::new(self.info(hello));
                let _ = self.stats.peer.set(LinkPeer {
                    address: info.ip.clone(),
                    host: info.host.clone(),
                    is_target: info.is_target,
                });
                let to = ctx.address().recipient();
                let queued = self.stats.queued.clone();
                let (limit, stats) = (self.start.queue, self.stats.clone());
                let link = self.link.clone();
                let handle = ServerHandle { to, link, queued, limit, stats };
                self.script.push(ToScript::ServerUp { info, handle });
            }
        }
        self.resume(ctx);
    }

    fn info(&self, hello: Hello) -> ServerInfo {
        let text = |pairs: cluster::Pairs| {
            let one = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
            pairs.into_iter().map(|(key, value)| (one(key), one(value))).collect()
        };
        ServerInfo {
            id: self.start.server,
            is_target: self.start.target.is_some(),
            ip: self.start.peer.ip().to_canonical().to_string(),
            port: self.start.port,
            host: hello.host,
            properties: text(hello.properties),
            configs: text(hello.configuration),
        }
    }

    fn tell_script(&mut self, message: ToScript, bytes: usize, ctx: &mut Context<Self>) {
        match self.script.offer(message, bytes) {
            Offer::Accepted => {}
            Offer::Full(message) => {
                self.transport.pause_reading(true);
                self.held = Some((message, bytes));
                ctx.run_later(RETRY, Self::retry);
            }
            Offer::Gone(_) => debug!("the script bridge has stopped"),
        }
    }

    fn retry(&mut self, ctx: &mut Context<Self>) {
        let Some((message, bytes)) = self.held.take() else { return };
        // The peer is not silent: this end does not listen.
        self.link.lock().link.postpone_silence(Instant::now());
        self.tell_script(message, bytes, ctx);
        if self.held.is_none() {
            self.resume(ctx);
        }
    }

    /// After a decision or a stall: events and bytes may wait.
    fn resume(&mut self, ctx: &mut Context<Self>) {
        self.advance(ctx);
        if self.is_stalled() {
            return;
        }
        if !self.input.is_empty() {
            self.link.lock().link.handle_input(Instant::now(), &mut self.input);
            self.advance(ctx);
        }
        if self.state != State::Closing {
            self.transport.pause_reading(self.is_stalled());
        }
    }
}
