//! What `writer` asks of the host, and the bytes of messages to clients.

use bytes::Bytes;
use mlua::{Lua, LuaString, Table, Value, Variadic};
use ramona_amf::Amf0Encoder;
use ramona_formats::{Encoder, JsonEncoder, QueryEncoder, XmlArrayEncoder, XmlRpcEncoder};

use crate::core::Core;
use crate::host::{ClientId, ClientMessage, Format, LogLevel};
use crate::value::walk::{Amf0Style, Walk};

impl Core {
    pub(crate) fn add_writer_natives(&self) -> mlua::Result<()> {
        self.native(
            "write_invocation",
            |core,
             lua,
             (id, flow, reliable, name, values): (
                u64,
                Option<u32>,
                bool,
                LuaString,
                Variadic<Value>,
            )| {
                let (client, name) = (ClientId(id), copy(&name));
                let (format, is_flash) = core.format_of(client);
                let first = (!is_flash).then_some(&name[..]);
                let args = core.encode(lua, "writer:writeInvocation", format, first, values)?;
                let message = ClientMessage::Invocation { name, args: args.into(), format };
                core.write(client, flow, reliable, message);
                Ok(())
            },
        )?;
        self.native(
            "write_message",
            |core, lua, (id, flow, reliable, values): (u64, Option<u32>, bool, Variadic<Value>)| {
                let client = ClientId(id);
                let (format, _) = core.format_of(client);
                let values = core.encode(lua, "writer:writeMessage", format, None, values)?;
                let message = ClientMessage::Message { values: values.into(), format };
                core.write(client, flow, reliable, message);
                Ok(())
            },
        )?;
        self.native(
            "write_raw",
            |core, _, (id, flow, reliable, data): (u64, Option<u32>, bool, LuaString)| {
                let message = ClientMessage::Raw { data: copy(&data) };
                core.write(ClientId(id), flow, reliable, message);
                Ok(())
            },
        )?;
        self.native(
            "write_status",
            |core,
             _,
             (id, flow, reliable, code, description): (
                u64,
                Option<u32>,
                bool,
                LuaString,
                LuaString,
            )| {
                let message =
                    ClientMessage::Status { code: copy(&code), description: copy(&description) };
                core.write(ClientId(id), flow, reliable, message);
                Ok(())
            },
        )?;
        self.native("close_writer", |core, _, (id, flow): (u64, u32)| {
            core.host.close_writer(ClientId(id), flow);
            Ok(())
        })?;
        self.native("flush_client", |core, _, (id, full): (u64, bool)| {
            Ok(core.host.flush_client(ClientId(id), full))
        })?;
        self.native("close_client", |core, _, (id, code): (u64, f64)| {
            // Out of range or no number: the plain close.
            core.host.close_client(ClientId(id), code as u32);
            Ok(())
        })
    }

    fn write(
        &self,
        client: ClientId,
        flow: Option<u32>,
        is_reliable: bool,
        message: ClientMessage,
    ) {
        match (flow, is_reliable) {
            (None, true) => self.host.write(client, message),
            (flow, _) => self.host.write_on(client, flow.unwrap_or(0), is_reliable, message),
        }
    }

    /// What a client's writer writes now, and whether the client is one of Flash: its own format,
    /// or that of the request of it that is being handled.
    fn format_of(&self, client: ClientId) -> (Format, bool) {
        let Some((own, is_flash)) =
            self.clients.borrow().get(&client).map(|client| (client.format, client.is_flash))
        else {
            return (Format::Json, false);
        };
        match self.request.get() {
            Some((asking, format)) if asking == client => (format, is_flash),
            _ => (own, is_flash),
        }
    }

    /// A message of all values, `first` before them.
    pub(crate) fn encode(
        &self,
        lua: &Lua,
        label: &str,
        format: Format,
        first: Option<&[u8]>,
        values: Variadic<Value>,
    ) -> mlua::Result<Vec<u8>> {
        let mut out = Vec::new();
        match format {
            Format::Amf0 => {
                if let Some(first) = first
                    && Amf0Encoder::new(&mut out).string(first).is_err()
                {
                    out.clear();
                }
                return self.encode_amf0(lua, label, Amf0Style::Auto, &out, values);
            }
            Format::Json => {
                let mut encoder = JsonEncoder::list(&mut out);
                self.encode_text(lua, label, &mut encoder, first, values)?;
                encoder.finish();
            }
            Format::XmlRpc => {
                let mut encoder = XmlRpcEncoder::response(&mut out);
                self.encode_text(lua, label, &mut encoder, first, values)?;
                encoder.finish();
            }
            Format::Xml => {
                if first.is_none()
                    && let Some(text) = self.encode_dom(lua, label, &values)?
                {
                    return Ok(text);
                }
                let mut encoder = XmlArrayEncoder::new(&mut out);
                self.encode_text(lua, label, &mut encoder, first, values)?;
                encoder.finish();
            }
            Format::Query => {
                let mut encoder = QueryEncoder::new(&mut out);
                self.encode_text(lua, label, &mut encoder, first, values)?;
                encoder.finish();
            }
            Format::Raw => {
                out.extend_from_slice(first.unwrap_or_default());
                let mut skipped = 0;
                for value in values.iter() {
                    match value {
                        Value::String(text) => out.extend_from_slice(&text.as_bytes()),
                        Value::Integer(number) => {
                            out.extend_from_slice(number.to_string().as_bytes())
                        }
                        Value::Number(number) => {
                            out.extend_from_slice(number.to_string().as_bytes())
                        }
                        Value::Nil => {}
                        _ => skipped += 1,
                    }
                }
                if skipped > 0 {
                    let text = format!("{label}: {skipped} values that are no bytes");
                    self.log_here(lua, LogLevel::Warn, text.as_bytes());
                }
            }
        }
        Ok(out)
    }

    fn encode_text(
        &self,
        lua: &Lua,
        label: &str,
        encoder: &mut impl Encoder,
        first: Option<&[u8]>,
        values: Variadic<Value>,
    ) -> mlua::Result<()> {
        let Some(marks) = self.marks.get() else { return Ok(()) };
        let mut walk = Walk::without_references(marks, Amf0Style::Auto);
        if let Some(first) = first {
            encoder.string(first);
        }
        walk.values(lua, values, encoder, Walk::text_scalar, Walk::text)?;
        self.warn_notes(lua, label, &walk);
        Ok(())
    }

    /// AMF0 of a list of values, after what `before` holds.
    pub(crate) fn encode_amf0(
        &self,
        lua: &Lua,
        label: &str,
        style: Amf0Style,
        before: &[u8],
        values: Variadic<Value>,
    ) -> mlua::Result<Vec<u8>> {
        let mut out = before.to_vec();
        let Some(marks) = self.marks.get() else { return Ok(out) };
        let mut walk = Walk::new(marks, style);
        let mut encoder = Amf0Encoder::new(&mut out);
        walk.values(lua, values, &mut encoder, Walk::amf_scalar, Walk::amf0)?;
        self.warn_notes(lua, label, &walk);
        Ok(out)
    }

    /// AMF0 members of a table's string keys, without begin and end.
    pub(crate) fn encode_members(&self, lua: &Lua, table: &Table) -> mlua::Result<Vec<u8>> {
        let mut out = Vec::new();
        let Some(marks) = self.marks.get() else { return Ok(out) };
        let mut walk = Walk::without_references(marks, Amf0Style::Auto);
        walk.amf0_members(lua, &mut Amf0Encoder::new(&mut out), table)?;
        self.warn_notes(lua, "onConnection", &walk);
        Ok(out)
    }
}

pub(crate) fn copy(text: &LuaString) -> Bytes {
    Bytes::copy_from_slice(&text.as_bytes())
}
