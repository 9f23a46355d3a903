//! What the engine and the functions that Lua calls share.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, Table};
use ramona_media::MediaKind;

use crate::api::Loss;
use crate::app::Apps;
use crate::config::EngineConfig;
use crate::host::{
    ClientId, ClientStats, Format, Host, ListenerId, LogLevel, MediaQos, PublicationId,
};
use crate::raw::Runs;
use crate::value::walk::Marks;

/// Stack that must be left when a C function of Lua, or one of ours, may call a script function:
/// `string.gsub` takes 9 kB, loading an application in a debug build some 50 kB. LuaJIT itself
/// limits only its own stack, so that a recursion through `gsub` would end the process.
const STACK_RESERVE: usize = 256 << 10;

/// Whether the thread's stack nears its end. Unknown bounds count as enough.
pub(crate) fn stack_is_low() -> bool {
    stacker::remaining_stack().is_some_and(|left| left < STACK_RESERVE)
}

/// Objects of scripts that the collector found (GEN-18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garbage {
    Publication(u64),
    Member(u64),
    Socket(u64),
    Writer(u64),
}

/// Lua values that Rust needs often.
#[derive(Debug)]
pub(crate) struct Hooks {
    /// The prelude's own table.
    pub(crate) shared: Table,
    pub(crate) date: Function,
    pub(crate) collect: Function,
    pub(crate) typed: Function,
    /// Metatable of the elements of XML documents (CNV-32).
    pub(crate) dom: Table,
    /// Runs the reader of an externalizable object (BIO-01).
    pub(crate) read_external: Function,
    /// Has room for one element: how values go from the stack to handles and back.
    pub(crate) exchange: Table,
}

/// What Rust keeps of a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stats: Arc<ClientStats>,
    pub(crate) format: Format,
    /// RTMP and RTMFP, whose messages carry name and values apart.
    pub(crate) is_flash: bool,
}

/// State of the engine outside Lua. The functions given to Lua hold it, so it must not hold the
/// Lua state itself; the values in `hooks` refer to the state weakly.
pub(crate) struct Core {
    pub(crate) host: Rc<dyn Host>,
    pub(crate) config: EngineConfig,
    /// Functions for the prelude.
    pub(crate) natives: Table,
    pub(crate) hooks: OnceCell<Hooks>,
    pub(crate) marks: OnceCell<Marks>,
    pub(crate) apps: RefCell<Apps>,
    pub(crate) garbage: Rc<RefCell<Vec<Garbage>>>,
    /// Buffer of the messages to servers, kept between calls.
    pub(crate) scratch: RefCell<Vec<u8>>,
    pub(crate) clients: RefCell<HashMap<ClientId, Client>>,
    /// The request that is being handled, and its format.
    pub(crate) request: Cell<Option<(ClientId, Format)>>,
    pub(crate) publications: RefCell<HashMap<PublicationId, Arc<MediaQos>>>,
    /// Times of the last media that scripts pushed into their publications.
    pub(crate) pushed: RefCell<HashMap<PublicationId, u32>>,
    pub(crate) listeners: RefCell<HashMap<ListenerId, Arc<MediaQos>>>,
    /// Servers whose full queue was logged, until one message passes again.
    pub(crate) full: RefCell<std::collections::HashSet<u64>>,
    /// Who runs, for those who interrupt handlers.
    pub(crate) runs: Runs,
    /// The prelude has something to do when the present handler returned.
    pub(crate) deferred: Cell<bool>,
    /// Packets that scripts say were lost (PUB-21).
    pub(crate) losses: RefCell<HashMap<(PublicationId, MediaKind), Loss>>,
    pub(crate) calls: Cell<u64>,
    pub(crate) errors: Cell<u64>,
    /// Assignments to `data` that were refused.
    pub(crate) data_refused: Cell<u64>,
    /// Handlers that were interrupted.
    pub(crate) interrupted: Cell<u64>,
    /// For closures that need it.
    me: OnceCell<std::rc::Weak<Core>>,
    lua: mlua::WeakLua,
}

impl Core {
    pub(crate) fn new(
        lua: &Lua,
        host: Rc<dyn Host>,
        config: EngineConfig,
    ) -> mlua::Result<Rc<Self>> {
        let www = config.dir.join("www");
        let core = Rc::new(Self {
            host,
            natives: lua.create_table()?,
            hooks: OnceCell::new(),
            marks: OnceCell::new(),
            apps: RefCell::new(Apps::new(www)),
            garbage: Rc::default(),
            scratch: RefCell::default(),
            clients: RefCell::default(),
            request: Cell::new(None),
            publications: RefCell::default(),
            pushed: RefCell::default(),
            listeners: RefCell::default(),
            full: RefCell::default(),
            runs: Runs::new(lua, config.memory)?,
            deferred: Cell::new(false),
            losses: RefCell::default(),
            calls: Cell::new(0),
            errors: Cell::new(0),
            data_refused: Cell::new(0),
            interrupted: Cell::new(0),
            me: OnceCell::new(),
            lua: lua.weak(),
            config,
        });
        // Set once, right here.
        let _ = core.me.set(Rc::downgrade(&core));
        Ok(core)
    }

    /// The Lua state, unless it is being closed.
    pub(crate) fn lua(&self) -> Option<Lua> {
        self.lua.try_upgrade()
    }

    /// For functions that outlive the engine.
    pub(crate) fn weak(&self) -> std::rc::Weak<Self> {
        self.me.get().cloned().unwrap_or_default()
    }

    /// The folder of all applications.
    pub(crate) fn www(&self) -> PathBuf {
        self.config.dir.join("www")
    }

    /// Path of the application whose handler runs.
    pub(crate) fn current_app(&self) -> String {
        self.hooks
            .get()
            .and_then(|hooks| hooks.shared.raw_get::<mlua::LuaString>("current").ok())
            .map(|path| path.to_string_lossy())
            .unwrap_or_default()
    }

    /// Gives the prelude a function. It never raises and never panics into Lua: what goes wrong
    /// inside is logged, and the answer is nothing.
    pub(crate) fn native<A, R>(
        &self,
        name: &'static str,
        body: impl Fn(&Core, &Lua, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti + Default,
    {
        let Some(lua) = self.lua.try_upgrade() else { return Ok(()) };
        let me = self.me.get().cloned().unwrap_or_default();
        let function = lua.create_function(move |lua, args: A| {
            let Some(core) = me.upgrade() else { return Ok(R::default()) };
            if stack_is_low() && name != "deep" {
                core.log_here(lua, LogLevel::Error, b"stack overflow: calls nested too deep");
                return Ok(R::default());
            }
            match catch_unwind(AssertUnwindSafe(|| body(&core, lua, args))) {
                Ok(Ok(result)) => Ok(result),
                Ok(Err(error)) => {
                    let text = format!("{name}: {error}");
                    core.log_here(lua, LogLevel::Error, text.as_bytes());
                    Ok(R::default())
                }
                Err(_) => {
                    let text = format!("{name}: internal error");
                    core.log_here(lua, LogLevel::Error, text.as_bytes());
                    Ok(R::default())
                }
            }
        })?;
        self.natives.raw_set(name, function)
    }
}
