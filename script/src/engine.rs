//! The engine: one Lua state, and every event that the node brings to it.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};
use ramona_media::{MediaFrame, MediaKind};

use crate::api::PRELUDE;
use crate::api::names::NAMES;
use crate::app::{OpenError, normalise};
use crate::core::{Core, Hooks};
use crate::host::*;
use crate::log::PRELUDE as PRELUDE_PREFIX;
use crate::value::from_amf::{self, Format};
use crate::value::text::{parse_query, typed_value};
use crate::value::to_amf::{Amf0Style, Marks};

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Folder that holds `www` and `data` (CFG-05).
    pub dir: PathBuf,
    /// The configuration as `mona.configs` shows it: flat keys as written, defaults filled in,
    /// `application.*` too (MON-04).
    pub entries: Vec<(String, String)>,
    /// Unknown options of the command line (`mona.arguments`, CFG-23).
    pub arguments: Vec<(String, String)>,
    /// A handler that takes longer is named in the log.
    pub slow: Duration,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The Lua state or its prelude could not be made.
    #[error("the script engine cannot start: {0}")]
    Lua(String),
}

impl From<mlua::Error> for EngineError {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error.to_string())
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptStats {
    /// Handlers that ran.
    pub calls: u64,
    /// Handlers that raised.
    pub errors: u64,
    /// Bytes that the Lua state holds.
    pub memory_bytes: u64,
}

/// The script side of one node. It stays on the thread that made it.
///
/// Events are methods, called in the order in which they happened; each returns when its handlers
/// did. The [`Host`] must not call back into the engine. Ids must be below 2^53, for Lua's
/// numbers hold no more.
pub struct Engine {
    core: Rc<Core>,
    /// Called a million times a second.
    server_call: Function,
    media: Function,
    /// Last, so that everything that refers to the state goes before it.
    lua: Lua,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("dir", &self.core.config.dir).finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes the Lua state and everything built in; loads no application.
    ///
    /// # Errors
    /// The Lua state cannot be made: out of memory.
    pub fn new(config: EngineConfig, host: Rc<dyn Host>) -> Result<Self, EngineError> {
        let lua = crate::raw::new_state();
        let core = Core::new(&lua, host, config)?;
        core.add_natives()?;
        let shared = lua.create_table()?;
        shared.raw_set("native", &core.natives)?;
        shared.raw_set("names", names_table(&lua)?)?;
        shared.raw_set("globals", lua.globals())?;
        // The prelude runs on a copy of the globals: scripts may replace their own.
        let environment = lua.create_table()?;
        lua.globals().for_each(|key: Value, value: Value| environment.raw_set(key, value))?;
        for (name, source) in PRELUDE {
            lua.load(*source)
                .set_name(format!("{PRELUDE_PREFIX}{name}"))
                .set_environment(environment.clone())
                .call::<()>(&shared)?;
        }
        let mut engine_metas = std::collections::HashSet::new();
        shared.raw_get::<Table>("metas")?.for_each(|_: Value, meta: Table| {
            engine_metas.insert(meta.to_pointer());
            Ok(())
        })?;
        let events: Table = shared.raw_get("events")?;
        let hooks = Hooks {
            date: shared.raw_get("date")?,
            collect: shared.raw_get("collect")?,
            typed: events.raw_get("typed")?,
            shared: shared.clone(),
        };
        // Both are empty until here.
        let _ = core.marks.set(Marks::new(&lua, engine_metas)?);
        let _ = core.hooks.set(hooks);
        let new_view: Function = shared.raw_get("new_view")?;
        let environment: Vec<(Vec<u8>, Vec<u8>)> = std::env::vars_os()
            .map(|(key, value)| (key.into_encoded_bytes(), value.into_encoded_bytes()))
            .collect();
        for (name, list) in [
            ("configs", typed_list(&lua, &core.config.entries)?),
            ("arguments", typed_list(&lua, &core.config.arguments)?),
            ("environment", typed_list(&lua, &environment)?),
        ] {
            shared.raw_set(name, new_view.call::<Table>(list)?)?;
        }
        let server_call = events.raw_get("server_call")?;
        let media = events.raw_get("media")?;
        Ok(Self { core, server_call, media, lua })
    }

    /// Compiles every `main.lua` below `dir/www` without running it; answers what is wrong, as
    /// `file:line: text`, and `is not` as a hint.
    pub fn check(dir: &Path) -> Vec<String> {
        crate::check::check(dir)
    }

    /// Creates `www` when it is missing and loads the root application (ENV-02).
    pub fn start(&mut self) {
        let www = self.core.www();
        if let Err(error) = std::fs::create_dir_all(&www) {
            let text = format!("{} cannot be created: {error}", www.display());
            self.core.log_app(LogLevel::Error, "", text.as_bytes());
        }
        // A failure is in the log, and refuses clients and servers from now on (ENV-07).
        let _ = self.core.open_app(&self.lua, "");
        self.core.collect();
    }

    /// To be called every 2 s: looks at the root's file (ENV-08), then `onManage` of the root
    /// (EVT-05) and of clients (CLI-38).
    pub fn tick(&mut self) {
        self.core.check_root(&self.lua);
        self.core.event("onManage", "manage", ());
        self.core.event("client:onManage", "manage_clients", ());
    }

    /// Closes all applications, children first (ENV-11): server disconnection events, `onStop`.
    pub fn stop(&mut self) {
        self.core.stop_apps(&self.lua);
        self.core.collect();
    }

    /// A client asks to connect: loads its application when needed, asks `onConnection`
    /// (EVT-03).
    ///
    /// # Errors
    /// The text for the peer when the application is missing, failed to load, or refuses.
    pub fn connect(&mut self, client: ClientInfo) -> Result<Accepted, Refusal> {
        let path = normalise(&client.path).ok_or_else(|| missing(&client.path))?;
        match self.core.open_app(&self.lua, &path) {
            Ok(()) => {}
            Err(OpenError::Missing) => return Err(missing(&path)),
            Err(OpenError::Failed(text)) => return Err(Refusal::Rejected(text.into())),
        }
        self.core.clients.borrow_mut().insert(client.id, client.stats.clone());
        let id = client.id;
        let answer = self.ask_connection(&path, client);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.core.internal_error("onConnection", &error);
                Err(Refusal::Rejected(Bytes::from_static(b"client rejected")))
            }
        };
        if answer.is_err() {
            self.core.clients.borrow_mut().remove(&id);
        }
        answer
    }

    fn ask_connection(
        &self,
        path: &str,
        client: ClientInfo,
    ) -> mlua::Result<Result<Accepted, Refusal>> {
        let lua = &self.lua;
        let info = lua.create_table()?;
        info.raw_set("id", client.id.0)?;
        info.raw_set("raw", lua.create_string(client.raw_id)?)?;
        info.raw_set("address", client.address)?;
        info.raw_set("protocol", client.protocol)?;
        info.raw_set("path", path)?;
        info.raw_set("query", lua.create_string(&client.query)?)?;
        let query = typed_list(lua, &parse_query(&client.query))?;
        let parameters = typed_list(lua, &client.parameters)?;
        let context = Context::App(path);
        let mut object = Vec::with_capacity(client.properties.len() + 4);
        object.push(0x03);
        object.extend_from_slice(&client.properties);
        object.extend_from_slice(&[0, 0, 9]);
        let fields = self.decode(context, Format::Amf0, &object).into_iter().next();
        let args = MultiValue::from_vec(self.decode(context, Format::Amf0, &client.args));
        let started = Instant::now();
        let event = self.core.shared_event("connect")?;
        let (ran, (accepted, result)): (Option<LuaString>, (bool, Value)) =
            event.call((info, fields, query, parameters, args))?;
        self.core.done("onConnection", ran, started);
        if !accepted {
            return Ok(Err(Refusal::Rejected(bytes_of(&result))));
        }
        let Value::Table(table) = result else { return Ok(Ok(Accepted::default())) };
        let info = self.core.encode_members(lua, &table)?.into();
        let mut parameters = Vec::new();
        table.for_each(|key: Value, value: Value| {
            let text = match &value {
                Value::Boolean(value) => value.to_string(),
                Value::Integer(value) => value.to_string(),
                Value::Number(value) => value.to_string(),
                Value::String(value) => value.to_string_lossy(),
                _ => return Ok(()),
            };
            if let Value::String(key) = key {
                parameters.push((key.to_string_lossy(), text));
            }
            Ok(())
        })?;
        Ok(Ok(Accepted { info, parameters }))
    }

    /// An accepted client is gone (EVT-04). Its unpublish and unsubscribe events come before.
    pub fn disconnect(&mut self, client: ClientId) {
        self.core.event("onDisconnection", "disconnect", client.0);
        self.core.clients.borrow_mut().remove(&client);
    }

    /// A client's address changed (CLI-37): `ip:port`.
    pub fn address_changed(&mut self, client: ClientId, address: &str) {
        self.core.event("client:onAddressChanged", "address_changed", (client.0, address));
    }

    /// A client calls a function (CLI-20..22). `args` are AMF0 values.
    pub fn call(&mut self, client: ClientId, name: &[u8], args: &[u8]) -> CallOutcome {
        match self.ask_call(client, name, args) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.core.internal_error("client call", &error);
                CallOutcome::Failed(Bytes::from_static(b"internal error"))
            }
        }
    }

    fn ask_call(&self, client: ClientId, name: &[u8], args: &[u8]) -> mlua::Result<CallOutcome> {
        let started = Instant::now();
        let values = self.decode(Context::Client(client), Format::Amf0, args);
        let event = self.core.shared_event("call")?;
        let (ran, mut results): (Option<LuaString>, MultiValue) =
            event.call((client.0, LuaString::wrap(name), MultiValue::from_vec(values)))?;
        if ran.is_none() {
            let mut text = b"Method '".to_vec();
            text.extend_from_slice(name);
            text.extend_from_slice(b"' not found");
            return Ok(CallOutcome::Failed(text.into()));
        }
        let label = String::from_utf8_lossy(name);
        self.core.done(&format!("client:{label}"), ran, started);
        let succeeded = results.pop_front() == Some(Value::Boolean(true));
        if !succeeded {
            let text = results.pop_front().unwrap_or(Value::Nil);
            return Ok(CallOutcome::Failed(bytes_of(&text)));
        }
        if results.is_empty() {
            return Ok(CallOutcome::Nothing);
        }
        let values = results.into_vec();
        let bytes = self.core.encode_amf0(&self.lua, "return", Amf0Style::Auto, &[], &values)?;
        Ok(CallOutcome::Values(bytes.into()))
    }

    /// A client asks to publish (CLI-33). When accepted, the publication is running.
    ///
    /// # Errors
    /// The text for the publisher.
    pub fn publish(
        &mut self,
        client: ClientId,
        publication: PublicationInfo,
    ) -> Result<(), Refusal> {
        let id = publication.id;
        self.core.publications.borrow_mut().insert(id, publication.qos);
        let name = LuaString::wrap(&publication.name);
        let refusal = self.core.ask("onPublish", "publish", (client.0, id.0, name));
        if refusal.is_some() {
            self.core.publications.borrow_mut().remove(&id);
        }
        refusal.map_or(Ok(()), |text| Err(Refusal::Rejected(text)))
    }

    /// A publication ended: `onUnpublish` for a client's (CLI-34); the object dies (GEN-07).
    pub fn unpublish(&mut self, publication: PublicationId) {
        self.core.event("onUnpublish", "unpublish", publication.0);
        self.core.publications.borrow_mut().remove(&publication);
    }

    /// The node ended a script's publication, or confirms the end that the script asked for.
    pub fn publication_ended(&mut self, publication: PublicationId) {
        self.unpublish(publication);
    }

    /// A client asks to play (CLI-35), whether the publication runs or not: the engine finds it
    /// by its name.
    ///
    /// # Errors
    /// The text for the player.
    pub fn subscribe(
        &mut self,
        listener: ListenerInfo,
        publication: Option<PublicationId>,
    ) -> Result<(), Refusal> {
        let _ = publication;
        let id = listener.id;
        self.core.listeners.borrow_mut().insert(id, listener.qos.clone());
        let refusal = self.ask_subscription(&listener).unwrap_or_else(|error| {
            self.core.internal_error("onSubscribe", &error);
            Some(Bytes::from_static(b"internal error"))
        });
        if refusal.is_some() {
            self.core.listeners.borrow_mut().remove(&id);
        }
        refusal.map_or(Ok(()), |text| Err(Refusal::Rejected(text)))
    }

    fn ask_subscription(&self, listener: &ListenerInfo) -> mlua::Result<Option<Bytes>> {
        let info = self.lua.create_table()?;
        info.raw_set("id", listener.id.0)?;
        info.raw_set("client", listener.client.0)?;
        info.raw_set("name", self.lua.create_string(&listener.name)?)?;
        let query = typed_list(&self.lua, &parse_query(&listener.query))?;
        Ok(self.core.ask("onSubscribe", "subscribe", (info, query)))
    }

    /// An accepted subscription ended (CLI-36).
    pub fn unsubscribe(&mut self, listener: ListenerId) {
        self.core.event("onUnsubscribe", "unsubscribe", listener.0);
        self.core.listeners.borrow_mut().remove(&listener);
    }

    /// Packets of a client's publication that a script asked for ([`Host::watch`]): `onVideo`,
    /// `onAudio`, `onData` (PUB-06..08).
    pub fn media(&mut self, publication: PublicationId, frames: &[MediaFrame]) {
        for frame in frames {
            let started = Instant::now();
            let result = match frame.kind {
                MediaKind::Audio => self.packet(publication, "audio", frame),
                MediaKind::Video => self.packet(publication, "video", frame),
                MediaKind::Data => self.data(publication, frame),
            };
            match result {
                Ok(ran) => self.core.done(media_label(frame.kind), ran, started),
                Err(error) => self.core.internal_error("publication packet", &error),
            }
        }
    }

    fn packet(
        &self,
        publication: PublicationId,
        kind: &str,
        frame: &MediaFrame,
    ) -> mlua::Result<Option<LuaString>> {
        self.media.call((
            publication.0,
            kind,
            f64::from(frame.timestamp_ms),
            LuaString::wrap(&frame.payload),
        ))
    }

    /// PUB-08, PUB-23..25.
    fn data(
        &self,
        publication: PublicationId,
        frame: &MediaFrame,
    ) -> mlua::Result<Option<LuaString>> {
        let form = self.core.shared_event("data_form")?;
        let (form, app): (Option<LuaString>, Option<LuaString>) = form.call(publication.0)?;
        let (Some(form), Some(app)) = (form, app) else { return Ok(None) };
        let event = self.core.shared_event("data")?;
        let id = publication.0;
        let payload = &frame.payload;
        if &*form.as_bytes() == b"packet" {
            return event.call((id, LuaString::wrap(payload)));
        }
        let app = app.to_string_lossy();
        let mut values = self.decode(Context::App(&app), Format::Amf0, payload);
        let name = match values.first() {
            Some(Value::String(_)) => values.remove(0),
            _ => Value::Nil,
        };
        if &*form.as_bytes() == b"older" {
            let rest = ramona_media::leading_name(payload)
                .and_then(|(_, end)| payload.get(end..))
                .unwrap_or(payload);
            return event.call((id, name, LuaString::wrap(rest)));
        }
        event.call((id, name, LuaString::wrap(payload), MultiValue::from_vec(values)))
    }

    /// Metadata of a publication changed (PUB-15, PUB-17): an AMF0 data message, of which the
    /// last value counts; `None` when it was cleared.
    pub fn metadata(&mut self, publication: PublicationId, message: Option<Bytes>) {
        let fields =
            message.and_then(|message| self.decode(Context::App(""), Format::Amf0, &message).pop());
        self.core.event("publication:onProperties", "metadata", (publication.0, fields));
    }

    /// A client joined a NetGroup (EVT-13).
    pub fn join_group(&mut self, client: ClientId, group: [u8; 32]) {
        self.core.event("onJoinGroup", "join", (client.0, LuaString::wrap(group)));
    }

    /// A client left a NetGroup (EVT-14).
    pub fn unjoin_group(&mut self, client: ClientId, group: [u8; 32]) {
        self.core.event("onUnjoinGroup", "unjoin", (client.0, LuaString::wrap(group)));
    }

    /// A link to another node is up (EVT-10).
    ///
    /// # Errors
    /// The text of the refusal (CLU-10).
    pub fn server_up(&mut self, server: ServerInfo) -> Result<(), Bytes> {
        let refusal = self.ask_server(&server).unwrap_or_else(|error| {
            self.core.internal_error("onServerConnection", &error);
            Some(Bytes::from_static(b"internal error"))
        });
        refusal.map_or(Ok(()), Err)
    }

    fn ask_server(&self, server: &ServerInfo) -> mlua::Result<Option<Bytes>> {
        let lua = &self.lua;
        let info = lua.create_table()?;
        info.raw_set("id", server.id.0)?;
        info.raw_set("isTarget", server.is_target)?;
        info.raw_set("address", server.ip.as_str())?;
        info.raw_set("port", server.port)?;
        info.raw_set("host", server.host.as_str())?;
        let properties = typed_list(lua, &server.properties)?;
        let configs = typed_list(lua, &server.configs)?;
        let failure = self.core.apps.borrow().root_failure();
        let failure = failure.map(|text| lua.create_string(text)).transpose()?;
        let args = (info, properties, configs, failure);
        Ok(self.core.ask("onServerConnection", "server_up", args))
    }

    /// A link is down (EVT-12), with the text of the error or of the other side's refusal.
    pub fn server_down(&mut self, server: ServerId, error: Option<&[u8]>) {
        let error = error.map(LuaString::wrap);
        self.core.full.borrow_mut().remove(&server.0);
        self.core.event("onServerDisconnection", "server_down", (server.0, error));
    }

    /// Another node calls a function of its server object (CLU-22). `args` are AMF3 values.
    pub fn server_call(&mut self, server: ServerId, handler: &[u8], args: &[u8]) {
        let started = Instant::now();
        let context = Context::Server(server, handler);
        let values = self.decode(context, Format::Amf3, args);
        let args = (server.0, LuaString::wrap(handler), MultiValue::from_vec(values));
        match self.server_call.call::<(bool, Option<LuaString>)>(args) {
            Ok((true, app)) => {
                let app = app.map(|app| app.to_string_lossy());
                let name = String::from_utf8_lossy(handler);
                self.core.report_done(app.as_deref().unwrap_or(""), &name, started);
            }
            Ok((false, _)) => {}
            Err(error) => self.core.internal_error("server call", &error),
        }
    }

    /// Another node loaded an application (CLU-13): opens it here when it exists.
    pub fn sync_app(&mut self, path: &[u8]) {
        let Some(path) = std::str::from_utf8(path).ok().and_then(normalise) else { return };
        // Missing is ignored, a load failure is in the log.
        let _ = self.core.open_app(&self.lua, &path);
        self.core.collect();
    }

    /// Paths of running applications, parents first (CLU-12).
    pub fn running_apps(&self) -> Vec<String> {
        self.core.apps.borrow().running()
    }

    /// Counters since the start.
    pub fn stats(&self) -> ScriptStats {
        ScriptStats {
            calls: self.core.calls.get(),
            errors: self.core.errors.get(),
            memory_bytes: self.lua.used_memory() as u64,
        }
    }

    fn decode(&self, context: Context<'_>, format: Format, bytes: &[u8]) -> Vec<Value> {
        let mut values = Vec::new();
        let Some(hooks) = self.core.hooks.get() else { return values };
        if bytes.is_empty() {
            return values;
        }
        let lua = &self.lua;
        let typed = |name: &[u8], table: Table| {
            let app = match context {
                Context::App(path) => lua.create_string(path)?,
                Context::Client(id) => self.core.shared_event("client_app")?.call(id.0)?,
                Context::Server(id, handler) => self
                    .core
                    .shared_event("server_function_app")?
                    .call((id.0, LuaString::wrap(handler)))?,
            };
            hooks.typed.call::<()>((app, lua.create_string(name)?, table))
        };
        let problem = from_amf::decode(lua, &hooks.date, &typed, format, bytes, &mut values);
        if let Some(problem) = problem {
            let text = match context {
                Context::App(_) => format!("malformed values: {problem}"),
                Context::Client(_) => format!("malformed arguments of a client's call: {problem}"),
                Context::Server(_, handler) => format!(
                    "malformed arguments of server function '{}': {problem}",
                    String::from_utf8_lossy(handler)
                ),
            };
            self.core.log_app(LogLevel::Error, "", text.as_bytes());
        }
        values
    }
}

/// Who gets decoded values, which decides whose `onTypedObject` is asked (EVT-06).
#[derive(Clone, Copy, Debug)]
enum Context<'a> {
    App(&'a str),
    Client(ClientId),
    Server(ServerId, &'a [u8]),
}

impl Core {
    pub(crate) fn shared_event(&self, name: &str) -> mlua::Result<Function> {
        let hooks = self.hooks.get().ok_or_else(|| mlua::Error::runtime("not started"))?;
        hooks.shared.raw_get::<Table>("events")?.raw_get(name)
    }

    /// Raises an event of the prelude whose first result is the application that ran.
    fn raise<R: FromLuaMulti>(
        &self,
        label: &str,
        name: &str,
        args: impl IntoLuaMulti,
    ) -> Option<R> {
        let started = Instant::now();
        let result = self
            .shared_event(name)
            .and_then(|event| event.call::<(Option<LuaString>, MultiValue)>(args));
        match result {
            Ok((ran, rest)) => {
                self.done(label, ran, started);
                self.lua().and_then(|lua| R::from_lua_multi(rest, &lua).ok())
            }
            Err(error) => {
                self.internal_error(label, &error);
                None
            }
        }
    }

    /// An event without an answer.
    pub(crate) fn event(&self, label: &str, name: &str, args: impl IntoLuaMulti) {
        let _: Option<()> = self.raise(label, name, args);
    }

    /// An event that may refuse: the text, or nothing.
    fn ask(&self, label: &str, name: &str, args: impl IntoLuaMulti) -> Option<Bytes> {
        let Some(refusal) = self.raise::<Option<LuaString>>(label, name, args) else {
            return Some(Bytes::from_static(b"internal error"));
        };
        refusal.map(|text| Bytes::copy_from_slice(&text.as_bytes()))
    }

    /// Counts and reports a handler, `ran` being its application's path, and ends what scripts
    /// dropped meanwhile.
    pub(crate) fn done(&self, label: &str, ran: Option<LuaString>, started: Instant) {
        if let Some(app) = ran {
            self.report_done(&app.to_string_lossy(), label, started);
        } else {
            self.collect();
        }
    }

    fn report_done(&self, app: &str, handler: &str, started: Instant) {
        let elapsed = started.elapsed();
        self.calls.set(self.calls.get() + 1);
        self.host.handler_done(app, handler, elapsed);
        if elapsed > self.config.slow {
            let text = format!("handler {handler} of application www{app} took {elapsed:.1?}");
            self.log_app(LogLevel::Warn, app, text.as_bytes());
        }
        self.collect();
    }

    /// Ends what scripts dropped (GEN-18).
    pub(crate) fn collect(&self) {
        if self.garbage.borrow().is_empty() {
            return;
        }
        if let Some(hooks) = self.hooks.get()
            && let Err(error) = hooks.collect.call::<()>(())
        {
            self.internal_error("collect", &error);
        }
    }

    pub(crate) fn internal_error(&self, what: &str, error: &mlua::Error) {
        let text = format!("script engine, {what}: {error}");
        self.log_app(LogLevel::Error, "", text.as_bytes());
    }
}

fn missing(path: &str) -> Refusal {
    Refusal::InvalidApp(format!("Application {path} doesn't exist").into())
}

fn bytes_of(value: &Value) -> Bytes {
    match value {
        Value::String(text) => Bytes::copy_from_slice(&text.as_bytes()),
        _ => Bytes::new(),
    }
}

fn media_label(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "publication:onAudio",
        MediaKind::Video => "publication:onVideo",
        MediaKind::Data => "publication:onData",
    }
}

/// `{ {key, value}, … }` with typed values (GEN-15).
fn typed_list<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    lua: &Lua,
    entries: &[(K, V)],
) -> mlua::Result<Table> {
    let list = lua.create_table_with_capacity(entries.len(), 0)?;
    for (index, (key, value)) in entries.iter().enumerate() {
        let entry = lua.create_table_with_capacity(2, 0)?;
        entry.raw_seti(1, lua.create_string(key.as_ref())?)?;
        entry.raw_seti(2, typed_value(lua, value.as_ref())?)?;
        list.raw_seti(index + 1, entry)?;
    }
    Ok(list)
}

/// The table of built-in names for the prelude: class -> name -> kind.
fn names_table(lua: &Lua) -> mlua::Result<Table> {
    let classes = lua.create_table()?;
    for (class, kind, _, names) in NAMES {
        let table: Table = match classes.raw_get(*class)? {
            Value::Table(table) => table,
            _ => {
                let table = lua.create_table()?;
                classes.raw_set(*class, &table)?;
                table
            }
        };
        for name in *names {
            table.raw_set(*name, kind.word())?;
        }
    }
    Ok(classes)
}
