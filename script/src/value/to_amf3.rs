//! Lua to AMF3 (spec 5.1, CNV-01..09, 14, 16): the AMF3 side of [`Walk`].

use ramona_amf::Amf3Encoder;

use super::stack::{Item, Slot, Stack};
use super::walk::{Shape, Walk, Write};

impl Walk<'_> {
    /// Writes one value of an AMF3 message.
    pub(crate) fn amf3(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut Amf3Encoder<'_>,
        value: Slot,
        depth: usize,
    ) -> mlua::Result<()> {
        self.one(stack, out, value, Self::amf_scalar, |walk, stack, out, table| {
            walk.amf3_table(stack, out, table, depth)
        })
    }

    /// May leave values on the stack.
    fn amf3_table(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut Amf3Encoder<'_>,
        table: Slot,
        depth: usize,
    ) -> mlua::Result<()> {
        let pointer = stack.pointer(table);
        if self.references
            && let Some(index) = self.amf3.get(&pointer)
        {
            out.reference(*index);
            return Ok(());
        }
        let shape = Self::shape(stack, table)?;
        match shape {
            Shape::Bytes(bytes) => {
                match out.byte_array(stack.text(bytes)) {
                    Ok(index) => {
                        self.amf3.insert(pointer, index);
                    }
                    Err(_) => {
                        self.notes.long += 1;
                        out.null();
                    }
                }
                return Ok(());
            }
            Shape::Date(ms) => {
                let index = out.date(ms);
                self.amf3.insert(pointer, index);
                return Ok(());
            }
            _ if !self.enter(pointer, depth) => {
                out.null();
                return Ok(());
            }
            Shape::Dictionary => self.amf3_dictionary(stack, out, table, depth)?,
            Shape::External(name) => self.amf3_external(stack, out, table, name, depth)?,
            Shape::Array(..) | Shape::Empty => {
                let (len, others) = match shape {
                    Shape::Array(len, others) => (len, others),
                    _ => (0, false),
                };
                if let Ok(index) = out.begin_array(len) {
                    self.amf3.insert(pointer, index);
                    if others {
                        self.amf3_members(stack, out, table, Some(len), depth)?;
                    }
                    out.begin_elements();
                    for index in 1..=len {
                        let element = stack.push_element(table, index);
                        self.amf3(stack, out, element, depth + 1)?;
                        stack.drop_last(element);
                    }
                    out.end_array();
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
                    self.amf3.insert(pointer, index);
                    self.amf3_members(stack, out, table, None, depth)?;
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

    fn amf3_members(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut Amf3Encoder<'_>,
        table: Slot,
        array: Option<usize>,
        depth: usize,
    ) -> mlua::Result<()> {
        let write = Write {
            key: Self::amf_key,
            scalar: Self::amf_scalar,
            table: |walk: &mut Self, stack: &mut Stack<'_>, out: &mut Amf3Encoder<'_>, value| {
                walk.amf3(stack, out, value, depth + 1)
            },
        };
        self.members(stack, out, table, array, write)
    }

    fn amf3_dictionary(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut Amf3Encoder<'_>,
        table: Slot,
        depth: usize,
    ) -> mlua::Result<()> {
        let mut len = 0_usize;
        stack.each(table, |stack, key, value| {
            if self.is_entry(stack, key, value) {
                len += 1;
            } else if stack.text(key) != b"__size" {
                self.notes.omitted += 1;
            }
            Ok(())
        })?;
        let mut weak = false;
        let meta = stack.push_metatable(table);
        if stack.item(meta) == Item::Table {
            stack.each(meta, |stack, key, value| {
                weak |= stack.text(key) == b"__mode" && stack.text(value).contains(&b'k');
                Ok(())
            })?;
        }
        match out.begin_dictionary(weak, len) {
            Ok(index) => self.amf3.insert(stack.pointer(table), index),
            Err(_) => {
                self.notes.long += 1;
                out.null();
                return Ok(());
            }
        };
        stack.each(table, |stack, key, value| {
            if self.is_entry(stack, key, value) {
                self.amf3(stack, out, key, depth + 1)?;
                self.amf3(stack, out, value, depth + 1)?;
            }
            Ok(())
        })?;
        out.end_dictionary();
        Ok(())
    }
}
