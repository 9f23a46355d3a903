//! What only clients of HTTP have: files, cookies, headers of each request.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use mlua::{LuaString, Table, Value};
use ramona_http::SetCookie;

use crate::core::Core;
use crate::dispatch::Context;
use crate::engine::{Engine, bytes_of, object_of, type_texts};
use crate::host::{CallOutcome, ClientId, ClientMessage, Format, LogLevel, ReadOutcome};
use crate::value::from_amf::Amf;
use crate::value::text::{parse_query, typed_value};

type Cookie =
    (u64, LuaString, LuaString, Option<f64>, Option<LuaString>, Option<LuaString>, bool, bool);

impl Core {
    pub(crate) fn add_http_natives(&self) -> mlua::Result<()> {
        self.native("set_cookie", |core, lua, cookie: Cookie| {
            let (id, name, value, expires, path, domain, secure, http_only) = cookie;
            let (path, domain) = (
                path.as_ref().map(|text| text.as_bytes()),
                domain.as_ref().map(|text| text.as_bytes()),
            );
            let cookie = SetCookie {
                name: &name.as_bytes(),
                value: &value.as_bytes(),
                // In the positional form of 2014 a place that must be filled.
                expires: expires.filter(|seconds| *seconds != 0.0),
                path: path.as_deref(),
                domain: domain.as_deref(),
                secure,
                http_only,
            };
            match cookie.header(core.host.epoch_ms()) {
                Ok(header) => {
                    let header = header.into();
                    core.host.write(ClientId(id), ClientMessage::Cookie { header });
                    Ok(true)
                }
                Err(error) => {
                    let text = format!("cookie refused: {error}");
                    core.log_here(lua, LogLevel::Error, text.as_bytes());
                    Ok(false)
                }
            }
        })?;
        self.native("client_reads", |core, _, id: u64| {
            if let Some(client) = core.clients.borrow().get(&ClientId(id)) {
                client.stats.reads.store(true, Relaxed);
            }
            Ok(())
        })
    }
}

impl Engine {
    /// Headers and cookies of the request of a client that follows (CLI-10): AMF0 object members
    /// as in [`ClientInfo::properties`](crate::ClientInfo::properties).
    pub fn request(&mut self, client: ClientId, properties: &[u8]) {
        let object = object_of(properties);
        let fields = self.core.decode(&self.lua, Context::Client(client), Amf::Zero, &object);
        if let Some(Value::Table(fields)) = fields.first()
            && let Err(error) = type_texts(&self.lua, fields)
        {
            self.core.internal_error("request", &error);
        }
        self.core.event("request", "request", (client.0, fields.into_iter().next()));
    }

    /// GET of a name without extension (HTT-02): the client's function of that name with the
    /// query as EVT-03 reads it. The result comes back as JSON.
    pub fn get(&mut self, client: ClientId, name: &[u8], query: &[u8]) -> CallOutcome {
        let values = self.core.read(&self.lua, Context::Client(client), Format::Query, query);
        // A query is never malformed, at most too long.
        self.ask_call(client, name, values.unwrap_or_default(), Format::Json)
    }

    /// GET or HEAD of a file (CLI-39): its name, and the query.
    pub fn read(&mut self, client: ClientId, file: &[u8], query: &[u8]) -> ReadOutcome {
        let before = self.core.request.replace(Some((client, Format::Json)));
        let outcome = self.ask_read(client, file, query);
        self.core.request.set(before);
        outcome.unwrap_or_else(|error| {
            self.core.internal_error("client:onRead", &error);
            ReadOutcome::Failed(Bytes::from_static(b"internal error"))
        })
    }

    fn ask_read(&self, client: ClientId, file: &[u8], query: &[u8]) -> mlua::Result<ReadOutcome> {
        let parameters = self.lua.create_table()?;
        for (key, value) in parse_query(query) {
            let value = typed_value(&self.lua, &value)?;
            parameters.raw_set(self.lua.create_string(key)?, value)?;
        }
        let started = Instant::now();
        let event = self.core.shared_event("read")?;
        let (ran, what, text, values): (
            Option<LuaString>,
            LuaString,
            Option<LuaString>,
            Option<Table>,
        ) = event.call((client.0, LuaString::wrap(file), parameters))?;
        self.core.done("client:onRead", ran, started);
        let text = text.map(|text| Bytes::copy_from_slice(&text.as_bytes()));
        Ok(match &*what.as_bytes() {
            b"nothing" => ReadOutcome::Nothing,
            b"failed" => ReadOutcome::Failed(text.unwrap_or_default()),
            _ => {
                let values = values.map(|values| pairs(&values)).transpose()?;
                ReadOutcome::Serve { file: text, values }
            }
        })
    }
}

fn pairs(list: &Table) -> mlua::Result<Vec<(Bytes, Bytes)>> {
    let mut pairs = Vec::new();
    for pair in list.sequence_values::<Table>() {
        let pair = pair?;
        pairs.push((bytes_of(&pair.raw_get(1)?), bytes_of(&pair.raw_get(2)?)));
    }
    Ok(pairs)
}
