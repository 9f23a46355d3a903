//! The AMF0 side of [`Walk`].

use std::ffi::c_void;

use mlua::{Lua, Table};
use ramona_amf::{Amf0Encoder, MAX_DEPTH};

use super::stack::{Item, Slot, Stack};
use super::walk::{Amf0Style, Shape, Walk, Write};

impl Walk<'_> {
    /// Writes one value of an AMF0 message.
    ///
    /// Of [`Amf0Style::Auto`] it is tried as AMF0, for nearly all values are; where it proves to hold
    /// what AMF0 has no form for, the try is taken back. Looking first would go through every table
    /// twice.
    pub(crate) fn amf0(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut Amf0Encoder<'_>,
        value: Slot,
    ) -> mlua::Result<()> {
        if self.style == Amf0Style::Plain || stack.item(value) != Item::Table {
            return self.amf0_inner(stack, out, value, 0);
        }
        let (mark, notes, tables) = (out.mark(), self.notes, self.tables);
        let (ancestors, top) = (self.ancestors.len(), stack.top());
        self.tried.clear();
        let tried = self.amf0_inner(stack, out, value, 0);
        if !std::mem::take(&mut self.gave_up) {
            return tried;
        }
        out.reset(mark);
        stack.cut(top);
        (self.notes, self.tables) = (notes, tables);
        self.ancestors.truncate(ancestors);
        for pointer in self.tried.drain(..) {
            self.amf0.remove(&pointer);
        }
        self.amf3(stack, &mut out.switch_to_amf3(), value, 0)
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
        stack: &mut Stack<'_>,
        out: &mut Amf0Encoder<'_>,
        value: Slot,
        depth: usize,
    ) -> mlua::Result<()> {
        self.one(stack, out, value, Self::amf_scalar, |walk, stack, out, table| {
            walk.amf0_table(stack, out, table, depth)
        })
    }

    /// May leave values on the stack.
    fn amf0_table(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut Amf0Encoder<'_>,
        table: Slot,
        depth: usize,
    ) -> mlua::Result<()> {
        let pointer = stack.pointer(table);
        if self.references
            && let Some(Some(index)) = self.amf0.get(&pointer)
        {
            out.reference(*index);
            return Ok(());
        }
        let shape = Self::shape(stack, table)?;
        match shape {
            Shape::Date(ms) => {
                out.date(ms);
                return Ok(());
            }
            Shape::Bytes(_) | Shape::Dictionary | Shape::External(_) | Shape::Array(_, true) => {
                // Deeper than that it would be null in either version.
                if self.style == Amf0Style::Auto && depth < MAX_DEPTH {
                    self.gave_up = true;
                    return Err(mlua::Error::RuntimeError(String::new()));
                }
                self.notes.switched += 1;
                return self.amf3(stack, &mut out.switch_to_amf3(), table, depth);
            }
            _ if !self.enter(pointer, depth) => {
                out.null();
                return Ok(());
            }
            Shape::Array(..) | Shape::Empty => {
                let len = if let Shape::Array(len, _) = shape { len } else { 0 };
                if let Ok(index) = out.begin_strict_array(len) {
                    self.remember0(pointer, index);
                    for index in 1..=len {
                        let element = stack.push_element(table, index);
                        self.amf0_inner(stack, out, element, depth + 1)?;
                        stack.drop_last(element);
                    }
                    out.end_strict_array();
                } else {
                    self.notes.long += 1;
                    out.null();
                }
            }
            Shape::Typed(_) | Shape::Object => {
                let begun = match shape {
                    Shape::Typed(name) => out.begin_object(Some(stack.text(name))),
                    _ => out.begin_object(None),
                };
                if let Ok(index) = begun {
                    self.remember0(pointer, index);
                    let write = Write {
                        key: Self::amf_key,
                        scalar: Self::amf_scalar,
                        table: |walk: &mut Self, stack: &mut Stack<'_>, out: &mut _, value| {
                            walk.amf0_inner(stack, out, value, depth + 1)
                        },
                    };
                    self.members(stack, out, table, None, write)?;
                    out.end_object();
                } else {
                    self.notes.long += 1;
                    out.null();
                }
            }
        }
        self.ancestors.pop();
        Ok(())
    }

    /// Writes the string keys of a table as members of an object that somebody else wrote: key
    /// and value, without begin and end (EVT-03).
    pub(crate) fn amf0_members(
        &mut self,
        lua: &Lua,
        out: &mut Amf0Encoder<'_>,
        table: &Table,
    ) -> mlua::Result<()> {
        self.with_table(lua, table, |walk, stack, table| {
            stack.each(table, |stack, key, value| {
                let Item::Text(_) = stack.item(key) else { return Ok(()) };
                if !walk.can_serialize(stack, value) {
                    walk.notes.omitted += 1;
                } else if walk.amf_key(out, stack.text(key)) {
                    walk.amf0(stack, out, value)?;
                }
                Ok(())
            })
        })
    }
}
