//! The engine: one Lua state, and every event that the node brings to it.
//!
//! | file | events |
//! |---|---|
//! | here | start, clock, stop, applications |
//! | [`clients`] | connections, calls and messages of clients, NetGroups |
//! | [`streams`] | publications and subscriptions |
//! | [`servers`] | links to other nodes |

mod clients;
mod servers;
mod streams;

use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use mlua::{Function, Lua, Table, Value};

use crate::api::PRELUDE;
use crate::app::normalise;
use crate::config::{EngineConfig, EngineError, ScriptStats};
use crate::core::{Core, Hooks};
use crate::host::*;
use crate::log::PRELUDE as PRELUDE_PREFIX;
use crate::object::{names_table, typed_list};
use crate::value::text::typed_value;
use crate::value::walk::Marks;
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
        let exchange = lua.create_table_with_capacity(1, 0)?;
        let hooks = Hooks {
            exchange: exchange.clone(),
            date: shared.raw_get("date")?,
            collect: shared.raw_get("collect")?,
            typed: events.raw_get("typed")?,
            dom: shared.raw_get("dom")?,
            read_external: shared.raw_get("read_external")?,
            shared: shared.clone(),
        };
        // Both are empty until here.
        let _ = core.marks.set(Marks::new(engine_metas, &shared, exchange)?);
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

    /// To be called every 2 s: looks at files of applications (ENV-08, CLU-13), then `onManage` of the root
    /// (EVT-05) and of clients (CLI-38), and mails (MON-26).
    pub fn tick(&mut self) {
        let _run = self.core.runs.begin();
        self.core.check_files(&self.lua);
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

    /// Another node loaded an application (CLU-13): opens it here when it exists, in one of the
    /// next ticks when its file was looked at within the last 2 s.
    pub fn sync_app(&mut self, path: &[u8]) {
        let _run = self.core.runs.begin();
        let Some(path) = std::str::from_utf8(path).ok().and_then(normalise) else { return };
        self.core.open_announced(&self.lua, &path);
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
