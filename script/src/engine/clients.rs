//! Events of clients: connections, calls and messages, NetGroups.

use std::time::Instant;

use bytes::Bytes;
use mlua::{LuaString, MultiValue, Value};

use super::{Engine, bytes_of, object_of, type_texts};
use crate::app::{OpenError, normalise};
use crate::core::Client;
use crate::dispatch::Context;
use crate::host::*;
use crate::object::typed_list;
use crate::value::from_amf::Amf;
use crate::value::text::parse_query;

impl Engine {
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
                Err(Refusal::Failed(Bytes::from_static(b"internal error")))
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
    /// so does all that is [`Format::Raw`]; the answer is [`CallOutcome::Raw`] then. Nothing at all
    /// is an empty string where a text of the format has to say something: JSON and XML.
    pub fn message(&mut self, client: ClientId, body: &[u8], format: Format) -> CallOutcome {
        let _run = self.core.runs.begin();
        let read = match format {
            Format::Json | Format::XmlRpc | Format::Xml if body.is_empty() => {
                Err("it is empty".to_owned())
            }
            _ => self.core.read(&self.lua, Context::Client(client), format, body),
        };
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
            let values = results.into_iter().collect();
            let bytes = self.core.encode(&self.lua, "return", format, None, values)?.into();
            if format == Format::Raw { CallOutcome::Raw(bytes) } else { CallOutcome::Values(bytes) }
        };
        self.core.done(&format!("client:{label}"), ran, started);
        Ok(outcome)
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
}

fn missing(path: &str) -> Refusal {
    Refusal::InvalidApp(format!("Application {path} doesn't exist").into())
}

/// Protocols whose clients have a URL, headers and messages in a format of their choice.
fn speaks_text(protocol: &str) -> bool {
    matches!(protocol, "HTTP" | "WebSocket")
}
