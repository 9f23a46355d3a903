//! `server:send`, `servers:broadcast`, `server:reject`.

use mlua::{Lua, LuaString, Table, Value, Variadic};
use ramona_amf::Amf3Encoder;

use crate::core::Core;
use crate::host::{LogLevel, SendOutcome, ServerId};
use crate::value::walk::{Amf0Style, Walk};

/// Room that the message buffer keeps between calls; what a larger message needed is given back.
const KEPT_BUFFER: usize = 1 << 20;

impl Core {
    pub(crate) fn add_server_natives(&self) -> mlua::Result<()> {
        let Some(lua) = self.lua() else { return Ok(()) };
        self.natives.raw_set("plain_send", crate::raw_send::function(&lua, self.weak())?)?;
        self.native("not_sent", |core, lua, (id, why): (u64, u8)| {
            core.not_sent(lua, id, if why == 1 { SendOutcome::Full } else { SendOutcome::Gone });
            Ok(())
        })?;
        self.native("send", |core, lua, (id, name, values): (u64, LuaString, Variadic<Value>)| {
            let mut message = core.scratch.take();
            let result = core.encode_amf3(lua, "server:send", values, &mut message);
            if result.is_ok() {
                core.send(lua, id, &name.as_bytes(), &message);
            }
            core.keep_buffer(message);
            result
        })?;
        self.native(
            "broadcast",
            |core, lua, (ids, name, values): (Table, LuaString, Variadic<Value>)| {
                let mut message = core.scratch.take();
                let result = core.encode_amf3(lua, "servers:broadcast", values, &mut message);
                if result.is_ok() {
                    for id in ids.sequence_values::<u64>() {
                        core.send(lua, id?, &name.as_bytes(), &message);
                    }
                }
                core.keep_buffer(message);
                result
            },
        )?;
        self.native("reject_server", |core, _, (id, text): (u64, LuaString)| {
            core.host.reject_server(ServerId(id), &text.as_bytes());
            Ok(())
        })
    }

    /// Writes the values of one message into `out`, which is emptied first.
    fn encode_amf3(
        &self,
        lua: &Lua,
        label: &str,
        values: Variadic<Value>,
        out: &mut Vec<u8>,
    ) -> mlua::Result<()> {
        out.clear();
        let Some(marks) = self.marks.get() else { return Ok(()) };
        let mut walk = Walk::new(marks, Amf0Style::Auto);
        let mut encoder = Amf3Encoder::new(out);
        walk.values(lua, values, &mut encoder, Walk::amf_scalar, |walk, stack, out, value| {
            walk.amf3(stack, out, value, 0)
        })?;
        self.warn_notes(lua, label, &walk);
        Ok(())
    }

    /// One WARN per call that could not write everything (GEN-19).
    pub(crate) fn warn_notes(&self, lua: &Lua, label: &str, walk: &Walk<'_>) {
        if let Some(text) = walk.notes.text() {
            self.log_here(lua, LogLevel::Warn, format!("{label}: {text}").as_bytes());
        }
        if let Some(text) = walk.notes.error() {
            self.log_here(lua, LogLevel::Error, format!("{label}: {text}").as_bytes());
        }
    }

    fn send(&self, lua: &Lua, id: u64, name: &[u8], message: &[u8]) {
        match self.host.send(ServerId(id), name, message) {
            SendOutcome::Queued => self.sent(id),
            outcome => self.not_sent(lua, id, outcome),
        }
    }

    /// A message passed.
    pub(crate) fn sent(&self, id: u64) {
        if !self.full.borrow().is_empty() {
            self.full.borrow_mut().remove(&id);
        }
    }

    fn not_sent(&self, lua: &Lua, id: u64, outcome: SendOutcome) {
        match outcome {
            SendOutcome::Queued => {}
            // Said once until a message passes again: a script may send a million more.
            SendOutcome::Full => {
                if self.full.borrow_mut().insert(id) {
                    let text = b"server:send: the queue of the link is full, message refused";
                    self.log_here(lua, LogLevel::Error, text);
                }
            }
            SendOutcome::Gone => {
                self.log_here(lua, LogLevel::Error, b"server:send: the link is gone");
            }
        }
    }

    /// Gives the message buffer back.
    pub(crate) fn keep_buffer(&self, mut message: Vec<u8>) {
        if message.capacity() > KEPT_BUFFER {
            message = Vec::new();
        }
        *self.scratch.borrow_mut() = message;
    }
}
