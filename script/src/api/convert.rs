//! `mona:toJSON` and its neighbours, digests and dumps (MON-15..20, MON-23).

use std::fmt::Write;

use md5::Md5;
use mlua::{IntoLua, Lua, LuaString, MultiValue, Value, Variadic};
use sha2::{Digest, Sha256};

use crate::core::Core;
use crate::dispatch::Context;
use crate::host::{Format, LogLevel};
use crate::value::stack::Stack;
use crate::value::to_dom::{DomError, document, is_document};

/// Bytes of one dump; the rest is cut. Ten thousand lines.
const MAX_DUMP: usize = 160_000;

fn format_of(name: &[u8]) -> Format {
    match name {
        b"json" => Format::Json,
        b"xmlrpc" => Format::XmlRpc,
        b"xml" => Format::Xml,
        _ => Format::Query,
    }
}

impl Core {
    pub(crate) fn add_convert_natives(&self) -> mlua::Result<()> {
        // Results: the text, or nil and what is wrong.
        self.native(
            "to_text",
            |core, lua, (format, label, values): (LuaString, LuaString, Variadic<Value>)| {
                let format = format_of(&format.as_bytes());
                if format == Format::Xml
                    && let Some(written) = core.dom(lua, &values)?
                {
                    return Ok(match written {
                        Ok(text) => (Some(lua.create_string(text)?), None),
                        Err(problem) => (None, Some(problem)),
                    });
                }
                let label = label.to_string_lossy();
                let text = core.encode(lua, &label, format, None, values)?;
                Ok((Some(lua.create_string(text)?), None))
            },
        )?;
        // Results: what is wrong with the whole, or nil and the values.
        self.native(
            "from_text",
            |core,
             lua,
             (format, label, app, text): (LuaString, LuaString, LuaString, LuaString)| {
                let format = format_of(&format.as_bytes());
                let (label, app) = (label.to_string_lossy(), app.to_string_lossy());
                let context = Context::Conversion(&app, &label);
                Ok(match core.read_text(lua, context, format, &text.as_bytes()) {
                    Ok(values) => {
                        let mut results = MultiValue::from_vec(values);
                        results.push_front(Value::Nil);
                        results
                    }
                    Err(problem) => MultiValue::from_vec(vec![problem.into_lua(lua)?]),
                })
            },
        )?;
        self.native("digest", |core, lua, (name, values): (LuaString, Variadic<Value>)| {
            let name = name.as_bytes();
            let mut digests = Vec::with_capacity(values.len());
            for value in values.iter() {
                let text = match value {
                    Value::String(_) | Value::Integer(_) | Value::Number(_) => {
                        lua.coerce_string(value.clone())?
                    }
                    _ => None,
                };
                digests.push(match text {
                    Some(text) => Value::String(digest(lua, &name, &text.as_bytes())?),
                    None => {
                        let name = String::from_utf8_lossy(&name);
                        let text = format!("mona:{name} needs strings, got {}", value.type_name());
                        core.log_here(lua, LogLevel::Error, text.as_bytes());
                        Value::Nil
                    }
                });
            }
            Ok(MultiValue::from_vec(digests))
        })?;
        self.native("dump", |core, lua, (name, data, size): (Option<LuaString>, LuaString, f64)| {
            let data = data.as_bytes();
            // Saturating; a size of no sense is all.
            let size = if size >= 0.0 { size as usize } else { data.len() };
            let shown = data.get(..size.min(MAX_DUMP)).unwrap_or(&data);
            match name {
                Some(name) => core.host.dump(&name.to_string_lossy(), shown),
                None => {
                    for line in hex_lines(shown) {
                        core.log_here(lua, LogLevel::Note, line.as_bytes());
                    }
                }
            }
            Ok(())
        })
    }

    /// A document as XML of 2020, if the values are one; nothing when it is none that can be
    /// written.
    pub(crate) fn encode_dom(
        &self,
        lua: &Lua,
        label: &str,
        values: &[Value],
    ) -> mlua::Result<Option<Vec<u8>>> {
        Ok(match self.dom(lua, values)? {
            Some(Err(problem)) => {
                self.log_here(lua, LogLevel::Error, format!("{label}: {problem}").as_bytes());
                Some(Vec::new())
            }
            Some(Ok(text)) => Some(text),
            None => None,
        })
    }

    /// The text of the only value, or what is wrong with it, when it has the shape of a document
    /// (CNV-33).
    fn dom(&self, lua: &Lua, values: &[Value]) -> mlua::Result<Option<Result<Vec<u8>, String>>> {
        let ([Value::Table(table)], Some(hooks)) = (values, self.hooks.get()) else {
            return Ok(None);
        };
        Stack::run(lua, &hooks.exchange, table, |stack| {
            let table = stack.argument(0);
            if !is_document(stack, table) {
                return Ok(None);
            }
            match document(stack, table) {
                Ok(text) => Ok(Some(Ok(text))),
                Err(DomError::Shape(problem)) => Ok(Some(Err(problem))),
                Err(DomError::Lua(error)) => Err(error),
            }
        })?
    }
}

fn digest(lua: &Lua, name: &[u8], text: &[u8]) -> mlua::Result<LuaString> {
    match name {
        b"md5" => lua.create_string(Md5::digest(text)),
        _ => lua.create_string(Sha256::digest(text)),
    }
}

/// Sixteen bytes a line: offset, hex, and what is printable.
fn hex_lines(data: &[u8]) -> impl Iterator<Item = String> {
    data.chunks(16).enumerate().map(|(index, bytes)| {
        let mut line = format!("{:08x} ", index * 16);
        for at in 0..16 {
            // Writing to a string cannot fail.
            let _ = match bytes.get(at) {
                Some(byte) => write!(line, " {byte:02x}"),
                None => write!(line, "   "),
            };
        }
        line.push_str("  ");
        line.extend(bytes.iter().map(|byte| match byte {
            0x20..=0x7E => char::from(*byte),
            _ => '.',
        }));
        line
    })
}

#[cfg(test)]
mod tests {
    use super::hex_lines;

    #[test]
    fn mon_23_a_dump_of_17_bytes_has_two_lines() {
        let lines: Vec<_> = hex_lines(b"0123456789abcde\x00\xff").collect();
        assert_eq!(
            lines,
            [
                "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 00  0123456789abcde.",
                "00000010  ff                                               .",
            ]
        );
    }
}
