//! ScriptBridge: the one Lua state of a node, on an arbiter of its own.
//!
//! Sessions, publications and links send it events ([`ToScript`]) and go on; the answers to
//! `onConnection`, `onPublish` and `onSubscribe` go back as [`ToSession`]. What a script does
//! during a handler is collected by [`host::BridgeHost`] and leaves when the handler, or the batch
//! of calls it belongs to, is done (GEN-17). A slow script delays its own events only.

mod data;
mod host;
mod outgoing;
mod resolver;
mod sockets;
mod watchdog;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ramona_script::{
    CallOutcome, ClientId, Engine, EngineConfig, Host, PublicationId, PublicationInfo, ServerId,
};
use tracing::{debug, error, info};

use crate::awake::Awake;
use crate::messages::client::ToSession;
use crate::messages::rtmfp::{HandshakeQuestion, Redirects};
use crate::messages::script::ToScript;
use crate::messages::stream::ToPublication;
use crate::metrics::{ActorKind, Alive, Metrics};
use crate::outbox::Ticketed;
use crate::services::Ids;
use crate::text::shown;
use host::BridgeHost;
pub(crate) use host::Late;
use sockets::SocketNews;
use watchdog::Watchdog;

/// EVT-05, CLI-38 and the root's reload check.
const TICK: Duration = Duration::from_secs(2);

/// Text for servers when the node stops (ENV-11).
const STOPPING: &[u8] = b"Server is stopping";

/// What the script side needs to start.
#[derive(Clone, Debug)]
pub struct ScriptConfig {
    /// Holds `www` and `data`.
    pub dir: PathBuf,
    /// The configuration as scripts see it, flat.
    pub entries: Vec<(String, String)>,
    /// Unknown command-line options (MON-30).
    pub arguments: Vec<(String, String)>,
    /// A handler that takes longer is named in the log.
    pub slow: Duration,
    /// A handler that takes more processor time is interrupted; `None` is never.
    pub budget: Option<Duration>,
    /// Bytes that the Lua state may hold; 0 for no limit.
    pub memory: usize,
}

/// A client wants to publish.
struct Wish {
    client: ClientId,
    info: PublicationInfo,
    control: Recipient<ToPublication>,
}

/// See the module's text.
pub(crate) struct ScriptBridge {
    engine: Engine,
    host: Rc<BridgeHost>,
    /// Clients whose session ended while packets of their publications were still on their way:
    /// EVT-04 follows the last `onUnpublish`.
    leaving: HashSet<ClientId>,
    /// Who publishes a name whose last run has ended, but not yet for the script: by that run. The
    /// directory gives a name to one at a time, so there is one at most.
    behind: HashMap<PublicationId, Wish>,
    started: bool,
    last_tick: Instant,
    /// For server calls.
    awake: Rc<Awake>,
    /// Ends with the bridge.
    _watchdog: Option<Watchdog>,
    metrics: Arc<Metrics>,
    _alive: Alive,
}

impl ScriptBridge {
    /// Builds the Lua state on the present thread; the root application is loaded by
    /// [`ToScript::Start`].
    ///
    /// # Errors
    /// The Lua state cannot be made.
    pub(crate) fn new(
        config: ScriptConfig,
        spin: Duration,
        late: Arc<Late>,
        ids: Arc<Ids>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ramona_script::EngineError> {
        let host = Rc::new(BridgeHost::new(&config.dir, late, ids, metrics.clone()));
        let engine = Engine::new(
            EngineConfig {
                dir: config.dir,
                entries: config.entries,
                arguments: config.arguments,
                slow: config.slow,
                memory: config.memory,
            },
            host.clone(),
        )?;
        let watchdog = config.budget.map(|budget| Watchdog::start(engine.interrupter(), budget));
        let alive = metrics.alive(ActorKind::ScriptBridge);
        Ok(Self {
            engine,
            host,
            leaving: HashSet::new(),
            behind: HashMap::new(),
            started: false,
            last_tick: Instant::now(),
            awake: Awake::start(spin, metrics.script_awake.clone()),
            _watchdog: watchdog,
            metrics,
            _alive: alive,
        })
    }

    fn tick(&mut self) {
        self.last_tick = Instant::now();
        if !self.started {
            return;
        }
        self.engine.tick();
        self.host.flush();
        let stats = self.engine.stats();
        self.metrics.script.errors.store(stats.errors, Relaxed);
        self.metrics.script.blacklisted.store(self.host.blacklisted(), Relaxed);
        self.metrics.script.data_refused.store(stats.data_refused, Relaxed);
        self.metrics.script.interrupted.store(stats.interrupted, Relaxed);
        self.metrics.script.memory_errors.store(stats.memory_errors, Relaxed);
        self.metrics.script.memory_bytes.store(stats.memory_bytes, Relaxed);
    }

    fn on_event(&mut self, event: ToScript, ctx: &mut Context<Self>) {
        match event {
            ToScript::Connect { info, session, packs } => {
                let client = info.id;
                self.host.add_client(client, session.clone(), packs);
                let decision = self.engine.connect(*info);
                // The result of connect comes before anything the script wrote.
                if decision.is_err() {
                    self.host.remove_client(client);
                }
                session.do_send(ToSession::Connected(decision));
            }
            ToScript::Disconnect(client) => {
                self.host.remove_client(client);
                if self.host.publishes(client) {
                    self.leaving.insert(client);
                } else {
                    self.engine.disconnect(client);
                }
            }
            ToScript::Call { client, transaction, name, args, format } => {
                self.host.set_call(Some((client, transaction)));
                let outcome = self.engine.call(client, &name, &args, format);
                self.host.set_call(None);
                self.answer(client, transaction, outcome);
            }
            ToScript::Message { client, transaction, body, format } => {
                let outcome = self.engine.message(client, &body, format);
                self.answer(client, transaction, outcome);
            }
            ToScript::Request { client, properties } => self.engine.request(client, &properties),
            ToScript::Get { client, transaction, name, query } => {
                let outcome = self.engine.get(client, &name, &query);
                self.answer(client, transaction, outcome);
            }
            ToScript::Read { client, transaction, file, query } => {
                let outcome = self.engine.read(client, &file, &query);
                self.host.flush_client(client, true);
                self.host.tell(client, ToSession::Read { transaction, outcome });
            }
            ToScript::Publish { client, info, control } => {
                self.on_publish(Wish { client, info, control });
            }
            ToScript::Unpublished(run) => self.on_unpublished(run),
            ToScript::Subscribe { info, publication } => {
                let (client, listener) = (info.client, info.id);
                self.host.add_listener(listener, client);
                let decision = self.engine.subscribe(info, publication);
                if decision.is_err() {
                    self.host.remove_listener(listener);
                }
                // What the handler set on the listener counts from its first packet on.
                self.host.flush_client(client, true);
                self.host.tell(client, ToSession::Subscribed { listener, decision });
            }
            ToScript::BufferTime { listener, ms } => self.engine.buffer_time(listener, ms),
            ToScript::Unsubscribe(listener) => {
                self.engine.unsubscribe(listener);
                self.host.remove_listener(listener);
            }
            ToScript::Media { run, frames } => self.engine.media(run, &frames),
            ToScript::Metadata { run, message } => self.engine.metadata(run, message),
            ToScript::JoinGroup { client, group } => self.engine.join_group(client, group.0),
            ToScript::UnjoinGroup { client, group } => self.engine.unjoin_group(client, group.0),
            ToScript::AddressChanged { client, address } => {
                self.engine.address_changed(client, &address);
            }
            ToScript::Handshake { question, answer } => {
                let HandshakeQuestion { number, address, path, query, attempts } = question;
                let to = self.engine.handshake(&address, &path, &query, attempts);
                answer.do_send(Redirects { number, to });
            }
            ToScript::RendezvousUnknown { peer, number, answer } => {
                let to = self.engine.rendezvous_unknown(peer);
                answer.do_send(Redirects { number, to });
            }
            ToScript::ServerUp { info, handle } => {
                let server = info.id;
                self.host.add_server(server, handle);
                match self.engine.server_up(*info) {
                    Ok(()) => {
                        for path in self.engine.running_apps() {
                            self.host.announce_to(server, path);
                        }
                    }
                    Err(text) => self.refuse_server(server, &text),
                }
            }
            ToScript::ServerDown { server, error } => {
                // Unknown to the engine when the script refused it (EVT-12).
                self.host.remove_server(server);
                self.engine.server_down(server, error.as_deref());
            }
            ToScript::ServerCalls { server, calls } => {
                for call in calls {
                    self.engine.server_call(server, &call.handler, &call.args);
                    self.host.flush_if_large();
                }
            }
            ToScript::SyncApp(path) => self.engine.sync_app(&path),
            ToScript::Start(done) => {
                self.engine.start();
                self.started = true;
                // Nobody may be waiting.
                let _ = done.send(());
            }
            ToScript::Stop(done) => {
                self.host.refuse_all_servers(STOPPING);
                self.engine.stop();
                self.host.sync_data();
                self.host.flush();
                info!("scripts stopped");
                // The asker may have given up waiting.
                let _ = done.send(());
                ctx.stop();
            }
        }
    }

    fn answer(&self, client: ClientId, transaction: f64, outcome: CallOutcome) {
        // What the function wrote comes before its result.
        self.host.flush_client(client, true);
        self.host.tell(client, ToSession::Called { transaction, outcome });
    }

    /// The packets of a run go through its publication and its end behind them, while the name is free
    /// at once: who takes it meanwhile waits for that end.
    fn on_publish(&mut self, wish: Wish) {
        if let Some(before) = self.host.run_of(&wish.info.name) {
            self.behind.insert(before, wish);
            return;
        }
        let Wish { client, info, control } = wish;
        let run = info.id;
        self.host.add_publication(run, client, info.name.clone(), control);
        let decision = self.engine.publish(client, info);
        if decision.is_err() {
            self.host.remove_publication(run);
        }
        self.host.tell(client, ToSession::Published { run, decision });
    }

    fn on_unpublished(&mut self, run: PublicationId) {
        // Its client left before it began.
        self.behind.retain(|_, wish| wish.info.id != run);
        self.end_run(run);
        if let Some(next) = self.behind.remove(&run) {
            self.on_publish(next);
        }
    }

    fn end_run(&mut self, run: PublicationId) {
        // The handler may publish the name itself.
        let client = self.host.remove_publication(run);
        self.engine.unpublish(run);
        if let Some(client) = client
            && self.leaving.contains(&client)
            && !self.host.publishes(client)
        {
            self.leaving.remove(&client);
            self.engine.disconnect(client);
        }
    }

    fn refuse_server(&mut self, server: ServerId, text: &[u8]) {
        info!(reason = %shown(text), "server refused");
        self.host.refuse_server(server, text);
    }
}

impl Actor for ScriptBridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
        self.host.tell_sockets(ctx.address().recipient());
        ctx.run_interval(TICK, |bridge, _| {
            if bridge.last_tick.elapsed() >= TICK / 2 {
                bridge.tick();
            }
        });
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if std::thread::panicking() {
            error!("the script bridge ended by a panic: scripts answer nothing any more");
        } else {
            debug!("script bridge stopped");
        }
    }
}

impl Handler<Ticketed<ToScript>> for ScriptBridge {
    type Result = ();

    fn handle(&mut self, message: Ticketed<ToScript>, ctx: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::ScriptBridge);
        let are_server_calls = matches!(message.message, ToScript::ServerCalls { .. });
        self.on_event(message.message, ctx);
        self.host.flush();
        if are_server_calls {
            self.awake.arrived(self.host.take_called());
        }
        // An actor empties its mailbox before its timers run: a flood must not stop the clock.
        if self.last_tick.elapsed() >= TICK {
            self.tick();
        }
    }
}

impl Handler<SocketNews> for ScriptBridge {
    type Result = ();

    fn handle(&mut self, message: SocketNews, _: &mut Self::Context) {
        let metrics = self.metrics.clone();
        let _handling = metrics.handling(ActorKind::ScriptBridge);
        self.engine.socket_event(message.0);
        self.host.flush();
    }
}
