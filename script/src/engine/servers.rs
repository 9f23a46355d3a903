//! Events of links to other nodes.

use std::time::Instant;

use bytes::Bytes;
use mlua::{LuaString, MultiValue};

use super::Engine;
use crate::dispatch::Context;
use crate::host::*;
use crate::object::typed_list;
use crate::value::from_amf::Amf;

impl Engine {
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
}
