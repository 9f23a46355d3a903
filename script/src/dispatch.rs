//! How events get into Lua and answers out: the calls of the prelude, their timing, and the values
//! of messages.

use std::time::Instant;

use bytes::Bytes;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};

use crate::core::Core;
use crate::host::{ClientId, Format, LogLevel, ServerId};
use crate::value::from_amf::{self, Amf};
use crate::value::from_text;

/// Who gets decoded values, which decides whose `onTypedObject` is asked (EVT-06).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Context<'a> {
    App(&'a str),
    /// A function that a script called, in that application.
    Conversion(&'a str, &'a str),
    Client(ClientId),
    Server(ServerId, &'a [u8]),
}

impl Core {
    pub(crate) fn shared_event(&self, name: &str) -> mlua::Result<Function> {
        let hooks = self.hooks.get().ok_or_else(|| mlua::Error::runtime("not started"))?;
        hooks.shared.raw_get::<Table>("events")?.raw_get(name)
    }

    /// Raises an event of the prelude whose first result is the application that ran.
    pub(crate) fn raise<R: FromLuaMulti>(
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
    pub(crate) fn ask(&self, label: &str, name: &str, args: impl IntoLuaMulti) -> Option<Bytes> {
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

    pub(crate) fn report_done(&self, app: &str, handler: &str, started: Instant) {
        let elapsed = started.elapsed();
        self.calls.set(self.calls.get() + 1);
        self.host.handler_done(app, handler, elapsed);
        if elapsed > self.config.slow {
            let text = format!("handler {handler} of application www{app} took {elapsed:.1?}");
            self.log_app(LogLevel::Warn, app, text.as_bytes());
        }
        self.collect();
    }

    /// Does what had to wait for the end of a handler, and ends what scripts dropped (GEN-18).
    pub(crate) fn collect(&self) {
        if self.deferred.replace(false) {
            self.call_shared("settle", ());
        }
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

    /// Values of an AMF message for a script; what is broken is logged, the values before it count
    /// (CNV-17).
    pub(crate) fn decode(
        &self,
        lua: &Lua,
        context: Context<'_>,
        version: Amf,
        bytes: &[u8],
    ) -> Vec<Value> {
        let mut values = Vec::new();
        let Some(hooks) = self.hooks.get() else { return values };
        if bytes.is_empty() {
            return values;
        }
        let typed = |name: &[u8], table: Table| self.typed(lua, context, name, table);
        let problem = from_amf::decode(lua, hooks, &typed, version, bytes, &mut values);
        if let Some(problem) = problem {
            self.malformed(lua, context, &problem);
        }
        values
    }

    /// Values of a message in any format; what is broken inside is logged, the values before it
    /// count (CNV-17).
    ///
    /// # Errors
    /// The message as a whole is not of that format: nothing of it is there.
    pub(crate) fn read(
        &self,
        lua: &Lua,
        context: Context<'_>,
        format: Format,
        bytes: &[u8],
    ) -> Result<Vec<Value>, String> {
        let mut values = Vec::new();
        let Some(hooks) = self.hooks.get() else { return Ok(values) };
        let typed = |name: &[u8], table: Table| self.typed(lua, context, name, table);
        match format {
            Format::Raw => Ok(self.raw(lua, bytes)),
            Format::Amf0 => {
                let version = Amf::Zero;
                let problem = from_amf::decode(lua, hooks, &typed, version, bytes, &mut values);
                match problem {
                    Some(problem) if values.is_empty() => return Err(problem),
                    Some(problem) => self.malformed(lua, context, &problem),
                    None => {}
                }
                Ok(values)
            }
            Format::Json | Format::XmlRpc | Format::Xml | Format::Query => {
                if bytes.is_empty() {
                    return Ok(values);
                }
                self.read_text(lua, context, format, bytes)
            }
        }
    }

    /// Values of a text; a single JSON value counts only where a script converts it.
    ///
    /// # Errors
    /// The text as a whole is not of that format: nothing of it is there.
    pub(crate) fn read_text(
        &self,
        lua: &Lua,
        context: Context<'_>,
        format: Format,
        text: &[u8],
    ) -> Result<Vec<Value>, String> {
        let mut values = Vec::new();
        let Some(hooks) = self.hooks.get() else { return Ok(values) };
        let typed = |name: &[u8], table: Table| self.typed(lua, context, name, table);
        let is_message = !matches!(context, Context::Conversion(..));
        let mut document = from_text::read(format, is_message, text)?;
        let problem = from_text::values(lua, hooks, &typed, &mut document, &mut values);
        if let Some(problem) = problem {
            self.malformed(lua, context, &problem);
        }
        Ok(values)
    }

    /// Bytes as the one value of a message.
    pub(crate) fn raw(&self, lua: &Lua, bytes: &[u8]) -> Vec<Value> {
        match lua.create_string(bytes) {
            Ok(text) => vec![Value::String(text)],
            Err(error) => {
                self.internal_error("message", &error);
                Vec::new()
            }
        }
    }

    /// EVT-06.
    fn typed(
        &self,
        lua: &Lua,
        context: Context<'_>,
        name: &[u8],
        table: Table,
    ) -> mlua::Result<()> {
        let Some(hooks) = self.hooks.get() else { return Ok(()) };
        let app = match context {
            Context::App(path) | Context::Conversion(path, _) => lua.create_string(path)?,
            Context::Client(id) => self.shared_event("client_app")?.call(id.0)?,
            Context::Server(id, handler) => {
                self.shared_event("server_function_app")?.call((id.0, LuaString::wrap(handler)))?
            }
        };
        hooks.typed.call::<()>((app, lua.create_string(name)?, table))
    }

    fn malformed(&self, lua: &Lua, context: Context<'_>, problem: &str) {
        let text = match context {
            Context::App(_) => format!("malformed values: {problem}"),
            Context::Conversion(_, label) => {
                let text = format!("{label}: {problem}");
                return self.log_here(lua, LogLevel::Error, text.as_bytes());
            }
            Context::Client(_) => format!("malformed arguments of a client's call: {problem}"),
            Context::Server(_, handler) => format!(
                "malformed arguments of server function '{}': {problem}",
                String::from_utf8_lossy(handler)
            ),
        };
        self.log_app(LogLevel::Error, "", text.as_bytes());
    }
}
