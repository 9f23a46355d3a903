//! Lua to AMF (spec 5.1, CNV-01..09, 14, 16, GEN-19).

use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::fmt::Write;

use mlua::{Function, Lua, LuaString, Table, Value};
use ramona_amf::{Amf3Encoder, EncodeError, MAX_DEPTH};

/// Tables that a message without references may hold: shared tables are written each time there,
/// so few can stand for many. As many as are read.
const MAX_TABLES: usize = ramona_formats::limits::MAX_CONTAINERS;

/// Names that make a table something else, as Lua strings, and what is no plain table.
pub(crate) struct Marks {
    raw: LuaString,
    size: LuaString,
    time: LuaString,
    type_name: LuaString,
    mode: LuaString,
    write: LuaString,
    read: LuaString,
    /// Runs `__writeExternal` of an object (BIO-01).
    write_external: Function,
    /// Metatables of engine objects and environments, which cannot be serialized (GEN-19).
    engine: HashSet<*const c_void>,
    /// The one of them that views have: configurations, parameters, properties.
    view: *const c_void,
    /// A view as plain tables.
    view_plain: Function,
}

impl Marks {
    pub(crate) fn new(
        lua: &Lua,
        engine: HashSet<*const c_void>,
        shared: &Table,
    ) -> mlua::Result<Self> {
        let view: Table = shared.raw_get::<Table>("metas")?.raw_get("view")?;
        Ok(Self {
            raw: lua.create_string("__raw")?,
            size: lua.create_string("__size")?,
            time: lua.create_string("__time")?,
            type_name: lua.create_string("__type")?,
            mode: lua.create_string("__mode")?,
            write: lua.create_string("__writeExternal")?,
            read: lua.create_string("__readExternal")?,
            write_external: shared.raw_get("write_external")?,
            view_plain: shared.raw_get("view_plain")?,
            view: view.to_pointer(),
            engine,
        })
    }
}

/// What could not be written as it is, for one WARN per call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notes {
    pub(super) omitted: usize,
    pub(super) keys: usize,
    pub(super) deep: usize,
    pub(super) cycles: usize,
    pub(super) many: usize,
    pub(super) long: usize,
    pub(super) switched: usize,
    pub(super) dates: usize,
    pub(super) dictionaries: usize,
}

impl Notes {
    /// The text of the warning, if there is anything to warn of.
    pub(crate) fn text(&self) -> Option<String> {
        let mut text = String::new();
        let rows = [
            (self.omitted, "values that cannot be serialized"),
            (self.keys, "keys that cannot be serialized"),
            (self.deep, "tables nested deeper than 128 levels"),
            (self.long, "values too long for the format"),
            (self.switched, "values that AMF0 lacks, written as AMF3"),
            (self.dates, "dates outside of the years 0 to 9999"),
            (self.dictionaries, "dictionaries, written as objects"),
        ];
        for (count, what) in rows {
            if count > 0 {
                let separator = if text.is_empty() { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(text, "{separator}{count} {what}");
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// The text of the error, if there is one: what ends in null because it has no end (CNV-15).
    pub(crate) fn error(&self) -> Option<String> {
        let mut text = String::new();
        if self.cycles > 0 {
            let _ = write!(text, "{} tables inside themselves, written as null", self.cycles);
        }
        if self.many > 0 {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{} tables beyond {MAX_TABLES}", self.many);
        }
        (!text.is_empty()).then_some(text)
    }
}

/// How values become AMF0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amf0Style {
    /// A value that is not plain AMF0 is AMF3 as a whole, after `0x11` (MON-13 `toAMF`).
    Auto,
    /// Only the inner parts that AMF0 lacks are AMF3, with a WARN (`toAMF0`).
    Plain,
}

/// The kinds of table, in the order of the tests of 5.1.
pub(super) enum Shape {
    Bytes(LuaString),
    Dictionary,
    Date(f64),
    Typed(LuaString),
    /// Typed, with a writer of its own (BIO-01).
    External(LuaString),
    /// Length, and whether there are other keys.
    Array(usize, bool),
    Object,
    Empty,
}

/// One message on its way out.
pub(crate) struct Walk<'m> {
    marks: &'m Marks,
    pub(super) style: Amf0Style,
    /// Off where the message is cut into another one, whose numbering is not known.
    pub(super) references: bool,
    pub(super) amf0: HashMap<*const c_void, Option<u16>>,
    /// Containers of the value that is tried as AMF0, to take them back.
    pub(super) tried: Vec<*const c_void>,
    /// The value that is tried is none of AMF0.
    pub(super) gave_up: bool,
    amf3: HashMap<*const c_void, u32>,
    /// Views and what is written for them, which must live as long as its place is remembered.
    views: HashMap<*const c_void, Table>,
    pub(super) ancestors: Vec<*const c_void>,
    pub(super) tables: usize,
    /// Bytes of strings and keys of a text.
    pub(super) bytes: usize,
    pub(crate) notes: Notes,
}

impl<'m> Walk<'m> {
    pub(crate) fn new(marks: &'m Marks, style: Amf0Style) -> Self {
        Self {
            marks,
            style,
            references: true,
            amf0: HashMap::new(),
            tried: Vec::new(),
            gave_up: false,
            amf3: HashMap::new(),
            views: HashMap::new(),
            ancestors: Vec::new(),
            tables: 0,
            bytes: 0,
            notes: Notes::default(),
        }
    }

    /// A message without references: what is shared is written twice, what is cyclic ends.
    pub(crate) fn without_references(marks: &'m Marks, style: Amf0Style) -> Self {
        Self { references: false, ..Self::new(marks, style) }
    }

    /// Writes one value of an AMF3 message.
    pub(crate) fn amf3(
        &mut self,
        out: &mut Amf3Encoder<'_>,
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
                return self.amf3_table(out, table, depth);
            }
            Value::Table(table) if self.is_view(table) => {
                let plain = self.plain(table)?;
                return self.amf3_table(out, &plain, depth);
            }
            _ => {
                self.notes.omitted += 1;
                out.null();
            }
        }
        Ok(())
    }

    fn amf3_table(
        &mut self,
        out: &mut Amf3Encoder<'_>,
        table: &Table,
        depth: usize,
    ) -> mlua::Result<()> {
        let pointer = table.to_pointer();
        if self.references
            && let Some(index) = self.amf3.get(&pointer)
        {
            out.reference(*index);
            return Ok(());
        }
        let shape = self.shape(table)?;
        match shape {
            Shape::Bytes(bytes) => match out.byte_array(&bytes.as_bytes()) {
                Ok(index) => {
                    self.amf3.insert(pointer, index);
                }
                Err(_) => {
                    self.notes.long += 1;
                    out.null();
                }
            },
            Shape::Date(ms) => {
                let index = out.date(ms);
                self.amf3.insert(pointer, index);
            }
            _ if !self.enter(pointer, depth) => out.null(),
            Shape::Dictionary => {
                self.amf3_dictionary(out, table, depth)?;
                self.ancestors.pop();
            }
            Shape::External(name) => {
                self.amf3_external(out, table, &name, depth)?;
                self.ancestors.pop();
            }
            Shape::Array(len, others) => {
                match out.begin_array(len) {
                    Ok(index) => self.amf3.insert(pointer, index),
                    Err(error) => return self.leave(error, |walk| walk.null3(out)),
                };
                if others {
                    self.members(table, Some(len), |walk, key, value| {
                        if walk.key3(out, key) { walk.amf3(out, value, depth + 1) } else { Ok(()) }
                    })?;
                }
                out.begin_elements();
                for index in 1..=len {
                    let element: Value = table.raw_get(index)?;
                    self.amf3(out, &element, depth + 1)?;
                }
                out.end_array();
                self.ancestors.pop();
            }
            Shape::Empty => {
                match out.begin_array(0) {
                    Ok(index) => self.amf3.insert(pointer, index),
                    Err(error) => return self.leave(error, |walk| walk.null3(out)),
                };
                out.begin_elements();
                out.end_array();
                self.ancestors.pop();
            }
            Shape::Typed(_) | Shape::Object => {
                let begun = match &shape {
                    Shape::Typed(name) => out.begin_object(Some(&name.as_bytes())),
                    _ => out.begin_object(None),
                };
                match begun {
                    Ok(index) => self.amf3.insert(pointer, index),
                    Err(error) => return self.leave(error, |walk| walk.null3(out)),
                };
                self.members(table, None, |walk, key, value| {
                    if walk.key3(out, key) { walk.amf3(out, value, depth + 1) } else { Ok(()) }
                })?;
                out.end_object();
                self.ancestors.pop();
            }
        }
        Ok(())
    }

    fn null3(&mut self, out: &mut Amf3Encoder<'_>) {
        out.null();
    }

    pub(super) fn leave(
        &mut self,
        error: EncodeError,
        write: impl FnOnce(&mut Self),
    ) -> mlua::Result<()> {
        let _ = error;
        self.notes.long += 1;
        self.ancestors.pop();
        write(self);
        Ok(())
    }

    fn key3(&mut self, out: &mut Amf3Encoder<'_>, key: &[u8]) -> bool {
        let written = out.key(key).is_ok();
        if !written {
            self.notes.keys += 1;
        }
        written
    }

    fn amf3_dictionary(
        &mut self,
        out: &mut Amf3Encoder<'_>,
        table: &Table,
        depth: usize,
    ) -> mlua::Result<()> {
        let mut len = 0_usize;
        table.for_each(|key: Value, value: Value| {
            if self.is_entry(&key, &value) {
                len += 1;
            } else if !self.is_mark(&key, &self.marks.size) {
                self.notes.omitted += 1;
            }
            Ok(())
        })?;
        let weak = match table.metatable() {
            Some(meta) => match meta.raw_get::<Value>(&self.marks.mode)? {
                Value::String(mode) => mode.as_bytes().contains(&b'k'),
                _ => false,
            },
            None => false,
        };
        match out.begin_dictionary(weak, len) {
            Ok(index) => self.amf3.insert(table.to_pointer(), index),
            Err(_) => {
                self.notes.long += 1;
                out.null();
                return Ok(());
            }
        };
        table.for_each(|key: Value, value: Value| {
            if self.is_entry(&key, &value) {
                self.amf3(out, &key, depth + 1)?;
                self.amf3(out, &value, depth + 1)?;
            }
            Ok(())
        })?;
        out.end_dictionary();
        Ok(())
    }

    /// Enters a container; false when it must be null instead.
    pub(super) fn enter(&mut self, pointer: *const c_void, depth: usize) -> bool {
        if depth >= MAX_DEPTH {
            self.notes.deep += 1;
            return false;
        }
        self.tables += 1;
        if !self.references {
            if self.ancestors.contains(&pointer) {
                self.notes.cycles += 1;
                return false;
            }
            if self.tables > MAX_TABLES {
                self.notes.many += 1;
                return false;
            }
        }
        self.ancestors.push(pointer);
        true
    }

    pub(super) fn is_engine(&self, table: &Table) -> bool {
        table.metatable().is_some_and(|meta| self.marks.engine.contains(&meta.to_pointer()))
    }

    /// Whether it is a collection of keys and values that is no engine object: configurations,
    /// parameters, properties.
    pub(super) fn is_view(&self, table: &Table) -> bool {
        table.metatable().is_some_and(|meta| meta.to_pointer() == self.marks.view)
    }

    /// A view as plain tables, the same ones each time.
    pub(super) fn plain(&mut self, view: &Table) -> mlua::Result<Table> {
        if let Some(plain) = self.views.get(&view.to_pointer()) {
            return Ok(plain.clone());
        }
        let plain: Table = self.marks.view_plain.call(view)?;
        self.views.insert(view.to_pointer(), plain.clone());
        Ok(plain)
    }

    pub(super) fn can_serialize(&self, value: &Value) -> bool {
        match value {
            Value::Nil
            | Value::Boolean(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::String(_) => true,
            Value::Table(table) => !self.is_engine(table) || self.is_view(table),
            _ => false,
        }
    }

    pub(super) fn write_external(&self) -> &'m Function {
        &self.marks.write_external
    }

    /// The table has this place among the containers of the message.
    pub(super) fn remember3(&mut self, table: &Table, index: u32) {
        self.amf3.insert(table.to_pointer(), index);
    }

    pub(super) fn is_dictionary(&self, table: &Table) -> mlua::Result<bool> {
        let size = table.raw_get::<Value>(&self.marks.size)?;
        Ok(matches!(size, Value::Integer(_) | Value::Number(_)))
    }

    fn is_mark(&self, key: &Value, mark: &LuaString) -> bool {
        matches!(key, Value::String(key) if key.to_pointer() == mark.to_pointer())
    }

    fn is_entry(&self, key: &Value, value: &Value) -> bool {
        !self.is_mark(key, &self.marks.size) && self.can_serialize(key) && self.can_serialize(value)
    }

    /// Looks through the keys once; marks are looked for only where a key could be one.
    pub(super) fn shape(&self, table: &Table) -> mlua::Result<Shape> {
        let len = table.raw_len();
        let (mut others, mut fields, mut marked) = (false, false, false);
        // The value as a boolean, which makes no handle of it.
        table.for_each(|key: Value, _: bool| {
            match &key {
                Value::String(name) => {
                    fields = true;
                    marked |= name.as_bytes().starts_with(b"__");
                }
                Value::Integer(index) => others |= !in_sequence(*index, len),
                Value::Number(_) => others = true,
                _ => {}
            }
            Ok(())
        })?;
        if marked && let Some(shape) = self.marked(table)? {
            return Ok(shape);
        }
        Ok(match (len, others || fields) {
            (0, true) => Shape::Object,
            (0, false) => Shape::Empty,
            (len, mixed) => Shape::Array(len, mixed),
        })
    }

    /// What the marks of a table make of it, if anything.
    fn marked(&self, table: &Table) -> mlua::Result<Option<Shape>> {
        if let Value::String(bytes) = table.raw_get::<Value>(&self.marks.raw)? {
            return Ok(Some(Shape::Bytes(bytes)));
        }
        if self.is_dictionary(table)? {
            return Ok(Some(Shape::Dictionary));
        }
        match table.raw_get::<Value>(&self.marks.time)? {
            Value::Integer(ms) => return Ok(Some(Shape::Date(ms as f64))),
            Value::Number(ms) => return Ok(Some(Shape::Date(ms))),
            _ => {}
        }
        if let Value::String(name) = table.raw_get::<Value>(&self.marks.type_name)?
            && !name.as_bytes().is_empty()
        {
            return Ok(Some(match table.raw_get::<Value>(&self.marks.write)? {
                Value::Function(_) => Shape::External(name),
                _ => Shape::Typed(name),
            }));
        }
        Ok(None)
    }

    /// Calls `write` for each member that has a name: all string and number keys but `__type` of
    /// a typed object and, in an array of that length, its elements.
    pub(super) fn members(
        &mut self,
        table: &Table,
        array: Option<usize>,
        mut write: impl FnMut(&mut Self, &[u8], &Value) -> mlua::Result<()>,
    ) -> mlua::Result<()> {
        table.for_each(|key: Value, value: Value| {
            let (text, bytes);
            let name: &[u8] = match &key {
                Value::String(name) => {
                    bytes = name.as_bytes();
                    if array.is_none() && *bytes == *b"__type" {
                        return Ok(());
                    }
                    &bytes
                }
                Value::Integer(index) => {
                    if array.is_some_and(|len| in_sequence(*index, len)) {
                        return Ok(());
                    }
                    text = index.to_string().into_bytes();
                    &text
                }
                Value::Number(number) => {
                    text = number.to_string().into_bytes();
                    &text
                }
                _ => {
                    self.notes.keys += 1;
                    return Ok(());
                }
            };
            if !self.can_serialize(&value) {
                let is_external =
                    self.is_mark(&key, &self.marks.write) || self.is_mark(&key, &self.marks.read);
                self.notes.omitted += usize::from(!is_external);
                return Ok(());
            }
            write(self, name, &value)
        })
    }
}

fn in_sequence(index: i64, len: usize) -> bool {
    usize::try_from(index).is_ok_and(|index| index >= 1 && index <= len)
}
