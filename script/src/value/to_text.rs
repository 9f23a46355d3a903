//! Lua to JSON, XML-RPC, XML of 2014 and query strings: the text side of [`Walk`].

use mlua::{LuaString, Table, Value};
use ramona_formats::{Encoder, WriteError};

use super::to_amf::{Shape, Walk};

/// Bytes of strings and keys in one text. Shared tables are written each time, so a small table
/// can stand for any amount; no message of this node is longer.
const MAX_TEXT_BYTES: usize = 64 << 20;

impl Walk<'_> {
    /// Writes one value of a text.
    pub(crate) fn text<E: Encoder>(&mut self, out: &mut E, value: &Value) -> mlua::Result<()> {
        match value {
            Value::Nil => out.null(),
            Value::Boolean(value) => out.boolean(*value),
            Value::Integer(value) => out.number(*value as f64),
            Value::Number(value) => out.number(*value),
            Value::String(value) => self.text_bytes(out, value, E::string),
            Value::Table(table) if !self.is_engine(table) => return self.text_table(out, table),
            Value::Table(table) if self.is_view(table) => {
                let plain = self.plain(table)?;
                return self.text_table(out, &plain);
            }
            _ => {
                self.notes.omitted += 1;
                out.null();
            }
        }
        Ok(())
    }

    fn text_bytes<E: Encoder>(
        &mut self,
        out: &mut E,
        value: &LuaString,
        write: impl FnOnce(&mut E, &[u8]),
    ) {
        let value = value.as_bytes();
        if self.room(value.len()) {
            write(out, &value);
        } else {
            self.notes.long += 1;
            out.null();
        }
    }

    fn room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_TEXT_BYTES
    }

    fn text_table<E: Encoder>(&mut self, out: &mut E, table: &Table) -> mlua::Result<()> {
        let shape = self.shape(table)?;
        match &shape {
            Shape::Bytes(bytes) => {
                self.text_bytes(out, bytes, E::bytes);
                return Ok(());
            }
            Shape::Date(ms) => {
                if out.date(*ms).is_err() {
                    self.notes.dates += 1;
                    out.null();
                }
                return Ok(());
            }
            _ => {}
        }
        if !self.enter(table.to_pointer(), out.depth()) {
            out.null();
            return Ok(());
        }
        let begun = match &shape {
            Shape::Array(len, mixed) => out.begin_array(*len, *mixed),
            Shape::Typed(name) | Shape::External(name) => out.begin_object(Some(&name.as_bytes())),
            Shape::Empty => out.begin_array(0, false),
            _ => out.begin_object(None),
        };
        if let Err(error) = begun {
            self.refused(error);
            out.null();
            self.ancestors.pop();
            return Ok(());
        }
        match shape {
            Shape::Array(len, mixed) => {
                if mixed {
                    self.text_members(out, table, Some(len), false)?;
                    out.begin_elements();
                }
                for index in 1..=len {
                    let element: Value = table.raw_get(index)?;
                    self.text(out, &element)?;
                }
                out.end_array();
            }
            Shape::Empty => out.end_array(),
            _ => {
                let is_dictionary = matches!(shape, Shape::Dictionary);
                self.notes.dictionaries += usize::from(is_dictionary);
                self.text_members(out, table, None, is_dictionary)?;
                out.end_object();
            }
        }
        self.ancestors.pop();
        Ok(())
    }

    fn text_members<E: Encoder>(
        &mut self,
        out: &mut E,
        table: &Table,
        array: Option<usize>,
        is_dictionary: bool,
    ) -> mlua::Result<()> {
        self.members(table, array, |walk, key, value| {
            if is_dictionary && key == b"__size" {
                return Ok(());
            }
            if !walk.room(key.len()) {
                walk.notes.long += 1;
                return Ok(());
            }
            match out.key(key) {
                Ok(()) => walk.text(out, value),
                Err(error) => {
                    walk.refused(error);
                    Ok(())
                }
            }
        })
    }

    fn refused(&mut self, error: WriteError) {
        match error {
            WriteError::TooDeep => self.notes.deep += 1,
            _ => self.notes.keys += 1,
        }
    }
}
