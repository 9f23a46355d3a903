//! The engine: one Lua state, and every event that the node brings to it.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};
use ramona_media::{MediaFrame, MediaKind};

use crate::api::PRELUDE;
use crate::app::{OpenError, normalise};
use crate::config::{EngineConfig, EngineError, ScriptStats};
use crate::core::{Client, Core, Hooks};
use crate::dispatch::Context;
use crate::host::*;
use crate::log::PRELUDE as PRELUDE_PREFIX;
use crate::object::{names_table, typed_list};
use crate::value::from_amf::Amf;
use crate::value::text::{parse_query, typed_value};
use crate::value::to_amf::Marks;
use crate::watch::Interrupter;

/// The script side of one node. It stays on the thread that made it.
///
/// Events are methods, called in the order in which they happened; each returns when its handlers
/// did. The [`Host`] must not call back into the engine. Ids must be below 2^53, for Lua's
/// numbers hold no more.
pub struct Engine {
    pub(crate) core: Rc<Core>,
    /// Called a million times a second.
    server_call: Function,
    call: Function,
    media: Function,
    /// Last, so that everything that refers to the state goes before it.
    pub(crate) lua: Lua,
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
        if !cfg!(checkhook) {
            lua.load("jit.off()").exec()?;
        }
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
            dom: shared.raw_get("dom")?,
            read_external: shared.raw_get("read_external")?,
            shared: shared.clone(),
        };
        // Both are empty until here.
        let _ = core.marks.set(Marks::new(&lua, engine_metas, shared.raw_get("write_external")?)?);
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
        let call = events.raw_get("call")?;
        let media = events.raw_get("media")?;
        Ok(Self { core, server_call, call, media, lua })
    }

    /// Compiles every `main.lua` below `dir/www` without running it; answers what is wrong, and
    /// `is not` as a hint.
    pub fn check(dir: &Path) -> Vec<crate::Finding> {
        crate::check::check(dir)
    }

    /// Creates `www` when it is missing and loads the root application (ENV-02).
    pub fn start(&mut self) {
        let _run = self.core.runs.begin();
        let www = self.core.www();
        if let Err(error) = std::fs::create_dir_all(&www) {
            let text = format!("{} cannot be created: {error}", www.display());
            self.core.log_app(LogLevel::Error, "", text.as_bytes());
        }
        self.core.load_data(&self.lua);
        // A failure is in the log, and refuses clients and servers from now on (ENV-07).
        let _ = self.core.open_app(&self.lua, "");
        self.core.collect();
    }

    /// To be called every 2 s: looks at the root's file (ENV-08), then `onManage` of the root
    /// (EVT-05) and of clients (CLI-38), and mails (MON-26).
    pub fn tick(&mut self) {
        let _run = self.core.runs.begin();
        self.core.check_root(&self.lua);
        self.core.tune_memory(&self.lua);
        self.core.event("onManage", "manage", ());
        self.core.runs.next();
        self.core.event("client:onManage", "manage_clients", ());
        self.core.event("writer:onManage", "manage_writers", ());
        self.core.event("mail:onSent", "mails", ());
    }

    /// Closes all applications, children first (ENV-11): server disconnection events, `onStop`.
    pub fn stop(&mut self) {
        let _run = self.core.runs.begin();
        self.core.stop_apps(&self.lua);
        self.core.collect();
    }

    /// A client asks to connect: loads its application when needed, asks `onConnection`
    /// (EVT-03).
    ///
    /// # Errors
    /// The text for the peer when the application is missing, failed to load, or refuses.
    pub fn connect(&mut self, client: ClientInfo) -> Result<Accepted, Refusal> {
        let _run = self.core.runs.begin();
        let path = normalise(&client.path).ok_or_else(|| missing(&client.path))?;
        match self.core.open_app(&self.lua, &path) {
            Ok(()) => {}
            Err(OpenError::Missing) => return Err(missing(&path)),
            Err(OpenError::Failed(text)) => return Err(Refusal::Rejected(text.into())),
        }
        let record = Client {
            stats: client.stats.clone(),
            format: client.format,
            is_flash: !speaks_text(client.protocol),
        };
        self.core.clients.borrow_mut().insert(client.id, record);
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
        let object = object_of(&client.properties);
        let fields = self.core.decode(lua, context, Amf::Zero, &object).into_iter().next();
        let args = if speaks_text(client.protocol) {
            if let Some(Value::Table(fields)) = &fields {
                type_texts(lua, fields)?;
            }
            // A query is never malformed, at most too long.
            self.core.read(lua, context, Format::Query, &client.query).unwrap_or_default()
        } else {
            self.core.decode(lua, context, Amf::Zero, &client.args)
        };
        let args = MultiValue::from_vec(args);
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
        let _run = self.core.runs.begin();
        self.core.event("onDisconnection", "disconnect", client.0);
        self.core.clients.borrow_mut().remove(&client);
    }

    /// A client's address changed (CLI-37): `ip:port`.
    pub fn address_changed(&mut self, client: ClientId, address: &str) {
        let _run = self.core.runs.begin();
        self.core.event("client:onAddressChanged", "address_changed", (client.0, address));
    }

    /// A client calls a function by its name (CLI-20..22). `args` are values in `format`, in which
    /// the result comes back.
    pub fn call(
        &mut self,
        client: ClientId,
        name: &[u8],
        args: &[u8],
        format: Format,
    ) -> CallOutcome {
        let _run = self.core.runs.begin();
        let values = match self.core.read(&self.lua, Context::Client(client), format, args) {
            Ok(values) => values,
            // CNV-17.
            Err(problem) => {
                let text = format!("malformed arguments of a client's call: {problem}");
                self.core.log_app(LogLevel::Error, "", text.as_bytes());
                Vec::new()
            }
        };
        self.ask_call(client, name, values, format)
    }

    /// A message of a client. Is its first value a string, then that is the name of a function and
    /// the others are its arguments (HTT-03, WSK-01, CNV-26), else all are for `onMessage`
    /// (CLI-30). Whatever is no text of `format` comes to `onMessage` as one string (CNV-17), and
    /// so does all that is [`Format::Raw`]; the answer is [`CallOutcome::Raw`] then.
    pub fn message(&mut self, client: ClientId, body: &[u8], format: Format) -> CallOutcome {
        let _run = self.core.runs.begin();
        let read = self.core.read(&self.lua, Context::Client(client), format, body);
        let (mut values, format) = match read {
            Ok(values) => (values, format),
            Err(problem) => {
                let text = format!("message of a client taken as it is: {problem}");
                self.core.log_app(LogLevel::Debug, "", text.as_bytes());
                (self.core.raw(&self.lua, body), Format::Raw)
            }
        };
        let is_call = format != Format::Raw && matches!(values.first(), Some(Value::String(_)));
        if is_call && let Value::String(name) = values.remove(0) {
            return self.ask_call(client, &name.as_bytes(), values, format);
        }
        self.ask_call(client, b"onMessage", values, format)
    }

    pub(crate) fn ask_call(
        &self,
        client: ClientId,
        name: &[u8],
        values: Vec<Value>,
        format: Format,
    ) -> CallOutcome {
        let is_flash = self.core.clients.borrow().get(&client).is_some_and(|known| known.is_flash);
        // A frame of bytes does not make the messages of a WebSocket's script bytes (WRI-02).
        let asked = (format != Format::Raw && !is_flash).then_some((client, format));
        let before = self.core.request.replace(asked);
        let outcome = self.run_call(client, name, values, format);
        self.core.request.set(before);
        outcome.unwrap_or_else(|error| {
            self.core.internal_error("client call", &error);
            CallOutcome::Failed(Bytes::from_static(b"internal error"))
        })
    }

    fn run_call(
        &self,
        client: ClientId,
        name: &[u8],
        values: Vec<Value>,
        format: Format,
    ) -> mlua::Result<CallOutcome> {
        let started = Instant::now();
        let (ran, mut results): (Option<LuaString>, MultiValue) =
            self.call.call((client.0, LuaString::wrap(name), MultiValue::from_vec(values)))?;
        if ran.is_none() {
            let mut text = b"Method '".to_vec();
            text.extend_from_slice(name);
            text.extend_from_slice(b"' not found");
            return Ok(CallOutcome::Unknown(text.into()));
        }
        let label = String::from_utf8_lossy(name);
        let succeeded = results.pop_front() == Some(Value::Boolean(true));
        let outcome = if !succeeded {
            let text = results.pop_front().unwrap_or(Value::Nil);
            CallOutcome::Failed(bytes_of(&text))
        } else if results.is_empty() {
            CallOutcome::Nothing
        } else {
            let values = results.into_vec();
            let bytes = self.core.encode(&self.lua, "return", format, None, &values)?.into();
            if format == Format::Raw { CallOutcome::Raw(bytes) } else { CallOutcome::Values(bytes) }
        };
        self.core.done(&format!("client:{label}"), ran, started);
        Ok(outcome)
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
        let _run = self.core.runs.begin();
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
        let _run = self.core.runs.begin();
        self.core.event("onUnpublish", "unpublish", publication.0);
        self.core.publications.borrow_mut().remove(&publication);
        self.core.losses.borrow_mut().retain(|(lossy, _), _| *lossy != publication);
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
        let _run = self.core.runs.begin();
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
        let _run = self.core.runs.begin();
        self.core.event("onUnsubscribe", "unsubscribe", listener.0);
        self.core.listeners.borrow_mut().remove(&listener);
    }

    /// Packets of a client's publication that a script asked for ([`Host::watch`]): `onVideo`,
    /// `onAudio`, `onData` (PUB-06..08).
    pub fn media(&mut self, publication: PublicationId, frames: &[MediaFrame]) {
        for frame in frames {
            let _run = self.core.runs.begin();
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
        let _run = self.core.runs.begin();
        self.core.event("publication:onFlush", "flushed", publication.0);
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
        let mut values = self.core.decode(&self.lua, Context::App(&app), Amf::Zero, payload);
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
        let _run = self.core.runs.begin();
        let fields = message.and_then(|message| {
            self.core.decode(&self.lua, Context::App(""), Amf::Zero, &message).pop()
        });
        self.core.event("publication:onProperties", "metadata", (publication.0, fields));
    }

    /// A client joined a NetGroup (EVT-13).
    pub fn join_group(&mut self, client: ClientId, group: [u8; 32]) {
        let _run = self.core.runs.begin();
        self.core.event("onJoinGroup", "join", (client.0, LuaString::wrap(group)));
    }

    /// A client left a NetGroup (EVT-14).
    pub fn unjoin_group(&mut self, client: ClientId, group: [u8; 32]) {
        let _run = self.core.runs.begin();
        self.core.event("onUnjoinGroup", "unjoin", (client.0, LuaString::wrap(group)));
    }

    /// A link to another node is up (EVT-10).
    ///
    /// # Errors
    /// The text of the refusal (CLU-10).
    pub fn server_up(&mut self, server: ServerInfo) -> Result<(), Bytes> {
        let _run = self.core.runs.begin();
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
        let _run = self.core.runs.begin();
        let error = error.map(LuaString::wrap);
        self.core.full.borrow_mut().remove(&server.0);
        self.core.event("onServerDisconnection", "server_down", (server.0, error));
    }

    /// Another node calls a function of its server object (CLU-22). `args` are AMF3 values.
    pub fn server_call(&mut self, server: ServerId, handler: &[u8], args: &[u8]) {
        let _run = self.core.runs.begin();
        let started = Instant::now();
        let context = Context::Server(server, handler);
        let values = self.core.decode(&self.lua, context, Amf::Three, args);
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
        let _run = self.core.runs.begin();
        let Some(path) = std::str::from_utf8(path).ok().and_then(normalise) else { return };
        // Missing is ignored, a load failure is in the log.
        let _ = self.core.open_app(&self.lua, &path);
        self.core.collect();
    }

    /// Paths of running applications, parents first (CLU-12).
    pub fn running_apps(&self) -> Vec<String> {
        self.core.apps.borrow().running()
    }

    /// Stops handlers from another thread.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.core.runs.shared())
    }

    /// Counters since the start.
    pub fn stats(&self) -> ScriptStats {
        ScriptStats {
            calls: self.core.calls.get(),
            errors: self.core.errors.get(),
            data_refused: self.core.data_refused.get(),
            interrupted: self.core.interrupted.get(),
            memory_errors: self.core.runs.memory_errors(),
            memory_bytes: self.lua.used_memory() as u64,
        }
    }
}

fn missing(path: &str) -> Refusal {
    Refusal::InvalidApp(format!("Application {path} doesn't exist").into())
}

/// Protocols whose clients have a URL, headers and messages in a format of their choice.
fn speaks_text(protocol: &str) -> bool {
    matches!(protocol, "HTTP" | "WebSocket")
}

/// Gives the texts of headers and cookies the type they look like (GEN-15).
pub(crate) fn type_texts(lua: &Lua, fields: &Table) -> mlua::Result<()> {
    let mut typed = Vec::new();
    fields.for_each(|key: Value, value: Value| {
        if let Value::String(text) = &value {
            typed.push((key, typed_value(lua, &text.as_bytes())?));
        }
        Ok(())
    })?;
    typed.into_iter().try_for_each(|(key, value)| fields.raw_set(key, value))
}

/// AMF0 object of its members.
pub(crate) fn object_of(members: &[u8]) -> Vec<u8> {
    [&[0x03], members, &[0, 0, 9]].concat()
}

pub(crate) fn bytes_of(value: &Value) -> Bytes {
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
