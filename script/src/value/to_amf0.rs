//! The AMF0 side of [`Walk`].

use std::ffi::c_void;

use mlua::{Table, Value};
use ramona_amf::{Amf0Encoder, MAX_DEPTH};

use super::to_amf::{Amf0Style, Shape, Walk};

impl Walk<'_> {
    /// Writes one value of an AMF0 message.
    ///
    /// Of [`Amf0Style::Auto`] it is tried as AMF0, for nearly all values are; where it proves to hold
    /// what AMF0 has no form for, the try is taken back. Looking first would go through every table
    /// twice.
    pub(crate) fn amf0(&mut self, out: &mut Amf0Encoder<'_>, value: &Value) -> mlua::Result<()> {
        if self.style == Amf0Style::Plain || !matches!(value, Value::Table(_)) {
            return self.amf0_inner(out, value, 0);
        }
        let (mark, notes, tables) = (out.mark(), self.notes, self.tables);
        let ancestors = self.ancestors.len();
        self.tried.clear();
        let tried = self.amf0_inner(out, value, 0);
        if !std::mem::take(&mut self.gave_up) {
            return tried;
        }
        out.reset(mark);
        (self.notes, self.tables) = (notes, tables);
        self.ancestors.truncate(ancestors);
        for pointer in self.tried.drain(..) {
            self.amf0.remove(&pointer);
        }
        self.amf3(&mut out.switch_to_amf3(), value, 0)
    }

    /// The container has this place in the message.
    fn remember0(&mut self, pointer: *const c_void, index: Option<u16>) {
        self.amf0.insert(pointer, index);
        if self.style == Amf0Style::Auto {
            self.tried.push(pointer);
        }
    }

    fn amf0_inner(
        &mut self,
        out: &mut Amf0Encoder<'_>,
        value: &Value,
        depth: usize,
    ) -> mlua::Result<()> {
        match value {
            Value::Nil => out.null(),
            Value::Boolean(value) => out.boolean(*value),
            Value::Integer(value) => out.number(*value as f64),
            Value::Number(value) => out.number(*value),
            Value::String(value) => {
                if out.string(&value.as_bytes()).is_err() {
                    self.notes.long += 1;
                    out.null();
                }
            }
            Value::Table(table) if !self.is_engine(table) => {
                return self.amf0_table(out, table, value, depth);
            }
            Value::Table(table) if self.is_view(table) => {
                let plain = self.plain(table)?;
                let value = Value::Table(plain.clone());
                return self.amf0_table(out, &plain, &value, depth);
            }
            _ => {
                self.notes.omitted += 1;
                out.null();
            }
        }
        Ok(())
    }

    fn amf0_table(
        &mut self,
        out: &mut Amf0Encoder<'_>,
        table: &Table,
        value: &Value,
        depth: usize,
    ) -> mlua::Result<()> {
        let pointer = table.to_pointer();
        if self.references
            && let Some(Some(index)) = self.amf0.get(&pointer)
        {
            out.reference(*index);
            return Ok(());
        }
        let shape = self.shape(table)?;
        match shape {
            Shape::Date(ms) => out.date(ms),
            Shape::Bytes(_) | Shape::Dictionary | Shape::External(_) | Shape::Array(_, true) => {
                // Deeper than that it would be null in either version.
                if self.style == Amf0Style::Auto && depth < MAX_DEPTH {
                    self.gave_up = true;
                    return Err(mlua::Error::RuntimeError(String::new()));
                }
                self.notes.switched += 1;
                self.amf3(&mut out.switch_to_amf3(), value, depth)?;
            }
            _ if !self.enter(pointer, depth) => out.null(),
            Shape::Array(len, false) => {
                match out.begin_strict_array(len) {
                    Ok(index) => self.remember0(pointer, index),
                    Err(error) => return self.leave(error, |walk| walk.null0(out)),
                };
                for index in 1..=len {
                    let element: Value = table.raw_get(index)?;
                    self.amf0_inner(out, &element, depth + 1)?;
                }
                out.end_strict_array();
                self.ancestors.pop();
            }
            Shape::Empty => {
                match out.begin_strict_array(0) {
                    Ok(index) => self.remember0(pointer, index),
                    Err(error) => return self.leave(error, |walk| walk.null0(out)),
                };
                out.end_strict_array();
                self.ancestors.pop();
            }
            Shape::Typed(_) | Shape::Object => {
                let begun = match &shape {
                    Shape::Typed(name) => out.begin_object(Some(&name.as_bytes())),
                    _ => out.begin_object(None),
                };
                match begun {
                    Ok(index) => self.remember0(pointer, index),
                    Err(error) => return self.leave(error, |walk| walk.null0(out)),
                };
                self.members(table, None, |walk, key, value| {
                    if out.key(key).is_ok() {
                        return walk.amf0_inner(out, value, depth + 1);
                    }
                    walk.notes.keys += 1;
                    Ok(())
                })?;
                out.end_object();
                self.ancestors.pop();
            }
        }
        Ok(())
    }

    fn null0(&mut self, out: &mut Amf0Encoder<'_>) {
        out.null();
    }

    /// Writes the string keys of a table as members of an object that somebody else wrote: key
    /// and value, without begin and end (EVT-03).
    pub(crate) fn amf0_members(
        &mut self,
        out: &mut Amf0Encoder<'_>,
        table: &Table,
    ) -> mlua::Result<()> {
        table.for_each(|key: Value, value: Value| {
            let Value::String(key) = key else { return Ok(()) };
            if !self.can_serialize(&value) {
                self.notes.omitted += 1;
            } else if out.key(&key.as_bytes()).is_ok() {
                self.amf0(out, &value)?;
            } else {
                self.notes.keys += 1;
            }
            Ok(())
        })
    }
}
