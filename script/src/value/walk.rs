//! Tables of scripts, looked through for every format (spec 5.1, CNV-01..09, GEN-19).

use std::collections::HashSet;
use std::ffi::c_void;

use mlua::{Function, Lua, Table, Value, Variadic};
use ramona_amf::MAX_DEPTH;
use rustc_hash::FxHashMap;

use super::notes::Notes;
use super::stack::{Item, Slot, Stack};

/// Tables that a message without references may hold: shared tables are written each time there,
/// so few can stand for many. As many as are read.
pub(super) const MAX_TABLES: usize = ramona_formats::limits::MAX_CONTAINERS;

/// Values that are put on Lua's stack at one time: a script may give nearly as many as it holds.
const MOST_VALUES: usize = 1_000;

/// What is no plain table, and the functions of the prelude for it.
pub(crate) struct Marks {
    /// Runs `__writeExternal` of an object (BIO-01).
    pub(super) write_external: Function,
    /// Metatables of engine objects and environments, which cannot be serialized (GEN-19).
    engine: HashSet<*const c_void>,
    /// Those among them whose objects are written as plain tables: views (configurations, parameters,
    /// properties) and persistent tables.
    views: [*const c_void; 2],
    /// A view as plain tables.
    view_plain: Function,
    exchange: Table,
}

impl Marks {
    pub(crate) fn new(
        engine: HashSet<*const c_void>,
        shared: &Table,
        exchange: Table,
    ) -> mlua::Result<Self> {
        let metas: Table = shared.raw_get("metas")?;
        let meta = |class: &str| metas.raw_get::<Table>(class).map(|meta| meta.to_pointer());
        Ok(Self {
            write_external: shared.raw_get("write_external")?,
            view_plain: shared.raw_get("view_plain")?,
            views: [meta("view")?, meta("data")?],
            engine,
            exchange,
        })
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// The bytes stand at the slot.
    Bytes(Slot),
    Dictionary,
    Date(f64),
    /// The name stands at the slot.
    Typed(Slot),
    /// Typed, with a writer of its own (BIO-01).
    External(Slot),
    /// Length, and whether there are other keys.
    Array(usize, bool),
    Object,
    Empty,
}

/// One message on its way out.
pub(crate) struct Walk<'m> {
    pub(super) marks: &'m Marks,
    pub(super) style: Amf0Style,
    /// Off where the message is cut into another one, whose numbering is not known.
    pub(super) references: bool,
    pub(super) amf0: FxHashMap<*const c_void, Option<u16>>,
    /// Containers of the value that is tried as AMF0, to take them back.
    pub(super) tried: Vec<*const c_void>,
    /// The value that is tried is none of AMF0.
    pub(super) gave_up: bool,
    pub(super) amf3: FxHashMap<*const c_void, u32>,
    /// Views and what is written for them.
    views: FxHashMap<*const c_void, Table>,
    /// Tables that were made for the message: they must live as long as their place is remembered.
    pub(super) kept: Vec<Table>,
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
            amf0: FxHashMap::default(),
            tried: Vec::new(),
            gave_up: false,
            amf3: FxHashMap::default(),
            views: FxHashMap::default(),
            kept: Vec::new(),
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

    /// Writes all values of a message: `whole` any of them, `scalar` all but tables. A message without
    /// tables, such as most calls, needs no stack.
    pub(crate) fn values<O>(
        &mut self,
        lua: &Lua,
        values: Variadic<Value>,
        out: &mut O,
        scalar: impl Fn(&mut Self, &mut O, Item<'_>),
        whole: impl Fn(&mut Self, &mut Stack<'_>, &mut O, Slot) -> mlua::Result<()>,
    ) -> mlua::Result<()> {
        let exchange = &self.marks.exchange;
        if !values.iter().any(|value| matches!(value, Value::Table(_))) {
            for value in values.iter() {
                match value {
                    Value::Nil => scalar(self, out, Item::Nil),
                    Value::Boolean(value) => scalar(self, out, Item::Boolean(*value)),
                    Value::Integer(value) => scalar(self, out, Item::Number(*value as f64)),
                    Value::Number(value) => scalar(self, out, Item::Number(*value)),
                    Value::String(value) => scalar(self, out, Item::Text(&value.as_bytes())),
                    _ => scalar(self, out, Item::Other),
                }
            }
            return Ok(());
        }
        let mut run = |values: Variadic<Value>| {
            let count = values.len();
            Stack::run(lua, exchange, values, |stack| {
                (0..count).try_for_each(|index| whole(self, stack, out, stack.argument(index)))
            })?
        };
        if values.len() <= MOST_VALUES {
            return run(values);
        }
        values.chunks(MOST_VALUES).try_for_each(|some| run(some.iter().cloned().collect()))
    }

    /// Runs `work` with a table at the first argument's place.
    pub(crate) fn with_table<R>(
        &mut self,
        lua: &Lua,
        table: &Table,
        work: impl FnOnce(&mut Self, &mut Stack<'_>, Slot) -> mlua::Result<R>,
    ) -> mlua::Result<R> {
        Stack::run(lua, &self.marks.exchange, table, |stack| {
            let table = stack.argument(0);
            work(self, stack, table)
        })?
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

    /// The table that is written for one: itself, plain tables for a view (configurations,
    /// parameters, properties, `data`), nothing for another engine object.
    #[inline]
    pub(super) fn written(
        &mut self,
        stack: &mut Stack<'_>,
        table: Slot,
    ) -> mlua::Result<Option<Slot>> {
        let meta = stack.metatable(table);
        if meta.is_null() || !self.marks.engine.contains(&meta) {
            return Ok(Some(table));
        }
        if !self.marks.views.contains(&meta) {
            return Ok(None);
        }
        // The same ones each time.
        let pointer = stack.pointer(table);
        if let Some(plain) = self.views.get(&pointer) {
            return stack.push(plain).map(Some);
        }
        let view: Table = stack.handle(table)?;
        let plain: Table = self.marks.view_plain.call(view)?;
        let at = stack.push(&plain)?;
        self.views.insert(pointer, plain);
        Ok(Some(at))
    }

    /// Writes one value: by `table` what is written for a table, by `scalar` all else.
    #[inline]
    pub(super) fn one<O>(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut O,
        value: Slot,
        scalar: impl Fn(&mut Self, &mut O, Item<'_>),
        table: impl FnOnce(&mut Self, &mut Stack<'_>, &mut O, Slot) -> mlua::Result<()>,
    ) -> mlua::Result<()> {
        let item = stack.item(value);
        if item != Item::Table {
            scalar(self, out, item);
            return Ok(());
        }
        let top = stack.top();
        let result = match self.written(stack, value)? {
            Some(at) => table(self, stack, out, at),
            None => {
                scalar(self, out, Item::Other);
                Ok(())
            }
        };
        stack.cut(top);
        result
    }

    /// Whether a value has a form in messages.
    #[inline]
    pub(super) fn can_serialize(&self, stack: &Stack<'_>, value: Slot) -> bool {
        match stack.item(value) {
            Item::Table => {
                let meta = stack.metatable(value);
                meta.is_null()
                    || !self.marks.engine.contains(&meta)
                    || self.marks.views.contains(&meta)
            }
            Item::Function | Item::Other => false,
            _ => true,
        }
    }

    pub(super) fn is_entry(&self, stack: &Stack<'_>, key: Slot, value: Slot) -> bool {
        stack.text(key) != b"__size"
            && self.can_serialize(stack, key)
            && self.can_serialize(stack, value)
    }

    /// Looks through the keys once; what a table with marks is made of is left on the stack.
    pub(super) fn shape(stack: &mut Stack<'_>, table: Slot) -> mlua::Result<Shape> {
        let len = stack.len(table);
        let (mut others, mut fields) = (false, false);
        let mut marks = Marked::default();
        let text = stack.push_nil();
        stack.each(table, |stack, key, value| {
            match stack.item(key) {
                Item::Text(name) => {
                    fields = true;
                    if name.starts_with(b"__") && marks.note(name, stack.item(value)) {
                        stack.copy(value, text);
                    }
                }
                Item::Number(index) => others |= !in_sequence(index, len),
                _ => {}
            }
            Ok(())
        })?;
        Ok(match (len, others || fields) {
            _ if marks.raw => Shape::Bytes(text),
            _ if marks.size => Shape::Dictionary,
            _ if marks.time.is_some() => Shape::Date(marks.time.unwrap_or_default()),
            _ if marks.typed && marks.writes => Shape::External(text),
            _ if marks.typed => Shape::Typed(text),
            (0, true) => Shape::Object,
            (0, false) => Shape::Empty,
            (len, mixed) => Shape::Array(len, mixed),
        })
    }

    /// Writes each member that has a name: all string and number keys but a text under `__type` and, in
    /// an array of that length, its elements. `key` answers whether the value follows.
    pub(super) fn members<O>(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut O,
        table: Slot,
        array: Option<usize>,
        write: Write<
            impl Fn(&mut Self, &mut O, &[u8]) -> bool,
            impl Fn(&mut Self, &mut O, Item<'_>),
            impl Fn(&mut Self, &mut Stack<'_>, &mut O, Slot) -> mlua::Result<()>,
        >,
    ) -> mlua::Result<()> {
        stack.each(table, |stack, name, value| {
            let text;
            let name = match stack.item(name) {
                Item::Text(b"__type")
                    if array.is_none() && matches!(stack.item(value), Item::Text(_)) =>
                {
                    return Ok(());
                }
                Item::Text(name) => name,
                Item::Number(index) if array.is_some_and(|len| in_sequence(index, len)) => {
                    return Ok(());
                }
                Item::Number(number) => {
                    text = number_text(number);
                    text.as_bytes()
                }
                _ => {
                    self.notes.keys += 1;
                    return Ok(());
                }
            };
            match stack.item(value) {
                Item::Table if self.can_serialize(stack, value) => {
                    if (write.key)(self, out, name) {
                        return (write.table)(self, stack, out, value);
                    }
                }
                Item::Table | Item::Function | Item::Other => {
                    let is_external = name == b"__writeExternal" || name == b"__readExternal";
                    self.notes.omitted += usize::from(!is_external);
                }
                item => {
                    if (write.key)(self, out, name) {
                        (write.scalar)(self, out, item);
                    }
                }
            }
            Ok(())
        })
    }
}

/// How a format writes the parts of a member: its name, what is no table, and a table.
pub(super) struct Write<K, S, T> {
    pub(super) key: K,
    pub(super) scalar: S,
    pub(super) table: T,
}

/// What the keys of a table say of it.
#[derive(Clone, Copy, Debug, Default)]
struct Marked {
    raw: bool,
    size: bool,
    time: Option<f64>,
    typed: bool,
    writes: bool,
}

impl Marked {
    /// Notes a key that begins with `__`; true when its value is a text of use: that of `__raw`
    /// outranks that of `__type`.
    fn note(&mut self, name: &[u8], value: Item<'_>) -> bool {
        match (name, value) {
            (b"__raw", Item::Text(_)) => {
                self.raw = true;
                return true;
            }
            (b"__type", Item::Text(text)) => {
                self.typed = !text.is_empty();
                return !self.raw;
            }
            (b"__size", Item::Number(_)) => self.size = true,
            (b"__time", Item::Number(ms)) => self.time = Some(ms),
            (b"__writeExternal", Item::Function) => self.writes = true,
            _ => {}
        }
        false
    }
}

fn in_sequence(index: f64, len: usize) -> bool {
    // A length of a table is exact as a double.
    index >= 1.0 && index <= len as f64 && index.trunc() == index
}

/// A number as a key or a text: whole ones with all their digits.
pub(super) fn number_text(number: f64) -> String {
    /// Beyond, `i64` does not hold them.
    const END: f64 = 9_223_372_036_854_775_808.0;
    let is_whole = number.trunc() == number && (-END..END).contains(&number);
    if is_whole && !(number == 0.0 && number.is_sign_negative()) {
        (number as i64).to_string()
    } else {
        number.to_string()
    }
}
