//! What `writer` asks of the host, and the AMF0 of messages to clients.

use bytes::Bytes;
use mlua::{Lua, LuaString, Table, Value, Variadic};
use ramona_amf::Amf0Encoder;

use crate::core::Core;
use crate::host::{ClientId, ClientMessage};
use crate::value::to_amf::{Amf0Style, Walk};

impl Core {
    pub(crate) fn add_writer_natives(&self) -> mlua::Result<()> {
        self.native(
            "write_invocation",
            |core, lua, (id, name, values): (u64, LuaString, Variadic<Value>)| {
                let args =
                    core.encode_amf0(lua, "writer:writeInvocation", Amf0Style::Auto, &[], &values)?;
                let name = copy(&name);
                core.host
                    .write(ClientId(id), ClientMessage::Invocation { name, args: args.into() });
                Ok(())
            },
        )?;
        self.native("write_message", |core, lua, (id, values): (u64, Variadic<Value>)| {
            let values =
                core.encode_amf0(lua, "writer:writeMessage", Amf0Style::Auto, &[], &values)?;
            core.host.write(ClientId(id), ClientMessage::Message { values: values.into() });
            Ok(())
        })?;
        self.native("write_raw", |core, _, (id, data): (u64, LuaString)| {
            core.host.write(ClientId(id), ClientMessage::Raw { data: copy(&data) });
            Ok(())
        })?;
        self.native(
            "write_status",
            |core, _, (id, code, description): (u64, LuaString, LuaString)| {
                let message =
                    ClientMessage::Status { code: copy(&code), description: copy(&description) };
                core.host.write(ClientId(id), message);
                Ok(())
            },
        )?;
        self.native("flush_client", |core, _, id: u64| Ok(core.host.flush_client(ClientId(id))))?;
        self.native("close_client", |core, _, (id, code): (u64, f64)| {
            // Out of range or no number: the plain close.
            core.host.close_client(ClientId(id), code as u32);
            Ok(())
        })
    }

    /// AMF0 of a list of values, after what `before` holds.
    pub(crate) fn encode_amf0(
        &self,
        lua: &Lua,
        label: &str,
        style: Amf0Style,
        before: &[u8],
        values: &[Value],
    ) -> mlua::Result<Vec<u8>> {
        let mut out = before.to_vec();
        let Some(marks) = self.marks.get() else { return Ok(out) };
        let mut walk = Walk::new(marks, style);
        let mut encoder = Amf0Encoder::new(&mut out);
        for value in values {
            walk.amf0(&mut encoder, value)?;
        }
        self.warn_notes(lua, label, &walk);
        Ok(out)
    }

    /// AMF0 members of a table's string keys, without begin and end.
    pub(crate) fn encode_members(&self, lua: &Lua, table: &Table) -> mlua::Result<Vec<u8>> {
        let mut out = Vec::new();
        let Some(marks) = self.marks.get() else { return Ok(out) };
        let mut walk = Walk::without_references(marks, Amf0Style::Auto);
        walk.amf0_members(&mut Amf0Encoder::new(&mut out), table)?;
        self.warn_notes(lua, "onConnection", &walk);
        Ok(out)
    }
}

pub(crate) fn copy(text: &LuaString) -> Bytes {
    Bytes::copy_from_slice(&text.as_bytes())
}
