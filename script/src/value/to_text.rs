//! Lua to JSON, XML-RPC, XML of 2014 and query strings: the text side of [`Walk`].

use ramona_formats::{Encoder, WriteError};

use super::stack::{Item, Slot, Stack};
use super::walk::{Shape, Walk, Write};

/// Bytes of strings and keys in one text. Shared tables are written each time, so a small table
/// can stand for any amount; no message of this node is longer.
const MAX_TEXT_BYTES: usize = 64 << 20;

impl Walk<'_> {
    /// Writes what is no table.
    pub(crate) fn text_scalar<E: Encoder>(&mut self, out: &mut E, item: Item<'_>) {
        match item {
            Item::Nil => out.null(),
            Item::Boolean(value) => out.boolean(value),
            Item::Number(value) => out.number(value),
            Item::Text(value) => self.text_bytes(out, value, E::string),
            Item::Table | Item::Function | Item::Other => {
                self.notes.omitted += 1;
                out.null();
            }
        }
    }

    /// Writes one value of a text.
    pub(crate) fn text<E: Encoder>(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut E,
        value: Slot,
    ) -> mlua::Result<()> {
        self.one(stack, out, value, Self::text_scalar, Self::text_table)
    }

    fn text_bytes<E: Encoder>(
        &mut self,
        out: &mut E,
        value: &[u8],
        write: impl FnOnce(&mut E, &[u8]),
    ) {
        if self.room(value.len()) {
            write(out, value);
        } else {
            self.notes.long += 1;
            out.null();
        }
    }

    fn room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_TEXT_BYTES
    }

    /// May leave values on the stack.
    fn text_table<E: Encoder>(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut E,
        table: Slot,
    ) -> mlua::Result<()> {
        let shape = Self::shape(stack, table)?;
        match shape {
            Shape::Bytes(bytes) => {
                self.text_bytes(out, stack.text(bytes), E::bytes);
                return Ok(());
            }
            Shape::Date(ms) => {
                if out.date(ms).is_err() {
                    self.notes.dates += 1;
                    out.null();
                }
                return Ok(());
            }
            _ => {}
        }
        if !self.enter(stack.pointer(table), out.depth()) {
            out.null();
            return Ok(());
        }
        let begun = match shape {
            Shape::Array(len, mixed) => out.begin_array(len, mixed),
            Shape::Typed(name) | Shape::External(name) => out.begin_object(Some(stack.text(name))),
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
                    self.text_members(stack, out, table, Some(len), false)?;
                    out.begin_elements();
                }
                for index in 1..=len {
                    let element = stack.push_element(table, index);
                    self.text(stack, out, element)?;
                    stack.drop_last(element);
                }
                out.end_array();
            }
            Shape::Empty => out.end_array(),
            _ => {
                let is_dictionary = matches!(shape, Shape::Dictionary);
                self.notes.dictionaries += usize::from(is_dictionary);
                self.text_members(stack, out, table, None, is_dictionary)?;
                out.end_object();
            }
        }
        self.ancestors.pop();
        Ok(())
    }

    fn text_members<E: Encoder>(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut E,
        table: Slot,
        array: Option<usize>,
        is_dictionary: bool,
    ) -> mlua::Result<()> {
        let key = |walk: &mut Self, out: &mut E, key: &[u8]| {
            if is_dictionary && key == b"__size" {
                return false;
            }
            if !walk.room(key.len()) {
                walk.notes.long += 1;
                return false;
            }
            let written = out.key(key);
            if let Err(error) = written {
                walk.refused(error);
            }
            written.is_ok()
        };
        let write = Write { key, scalar: Self::text_scalar, table: Self::text };
        self.members(stack, out, table, array, write)
    }

    fn refused(&mut self, error: WriteError) {
        match error {
            WriteError::TooDeep => self.notes.deep += 1,
            _ => self.notes.keys += 1,
        }
    }
}
