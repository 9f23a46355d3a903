//! The AMF0 side of [`Walk`].

use std::collections::HashSet;
use std::ffi::c_void;

use mlua::{Table, Value};
use ramona_amf::{Amf0Encoder, MAX_DEPTH};

use super::to_amf::{Amf0Style, Shape, Walk};

impl Walk<'_> {
    /// Writes one value of an AMF0 message.
    pub(crate) fn amf0(&mut self, out: &mut Amf0Encoder<'_>, value: &Value) -> mlua::Result<()> {
        if self.style == Amf0Style::Auto
            && let Value::Table(table) = value
            && !self.is_engine(table)
            && self.needs_amf3(table, 0, &mut HashSet::new())?
        {
            return self.amf3(&mut out.switch_to_amf3(), value, 0);
        }
        self.amf0_inner(out, value, 0)
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
                self.notes.switched += 1;
                self.amf3(&mut out.switch_to_amf3(), value, depth)?;
            }
            _ if !self.enter(pointer, depth) => out.null(),
            Shape::Array(len, false) => {
                match out.begin_strict_array(len) {
                    Ok(index) => self.amf0.insert(pointer, index),
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
                    Ok(index) => self.amf0.insert(pointer, index),
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
                    Ok(index) => self.amf0.insert(pointer, index),
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

    /// Whether a table holds, at any depth, what AMF0 has no form for.
    fn needs_amf3(
        &self,
        table: &Table,
        depth: usize,
        seen: &mut HashSet<*const c_void>,
    ) -> mlua::Result<bool> {
        if depth >= MAX_DEPTH || !seen.insert(table.to_pointer()) {
            return Ok(false);
        }
        match self.shape(table)? {
            Shape::Bytes(_) | Shape::Dictionary | Shape::External(_) | Shape::Array(_, true) => {
                return Ok(true);
            }
            Shape::Date(_) | Shape::Empty => return Ok(false),
            Shape::Typed(_) | Shape::Array(_, false) | Shape::Object => {}
        }
        let mut needs = false;
        table.for_each(|_: Value, value: Value| {
            if !needs
                && let Value::Table(inner) = &value
                && !self.is_engine(inner)
            {
                needs = self.needs_amf3(inner, depth + 1, seen)?;
            }
            Ok(())
        })?;
        Ok(needs)
    }
}
