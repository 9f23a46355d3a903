//! Tables that every format is read into, made on Lua's stack (CNV-10..14, EVT-06).

use mlua::{Lua, Table, Value};
use ramona_amf::{Builder, Container, DecodeError, ExternalBody};

use super::external;
use super::from_amf::MAX_VALUES;
use super::stack::{Item, Node, Slot, Stack};
use crate::core::Hooks;

/// Places of the stack that the tables of one message may take: Lua's limit of a call is near 8,000
/// (LUAI_MAXCSTACK). Further tables are found by number in a table made for them, which is slower.
const MAX_PLACES: u32 = 4_000;

/// Table slots reserved on a peer's word.
const MAX_RESERVED: usize = 1_024;

/// Members that a table gets room for because the one before it at its depth had as many.
const MAX_EXPECTED: u32 = 64;

/// Where the metatable of documents stands among the arguments.
const DOM: usize = 0;
/// Where the table of further tables stands.
const STORE: usize = 1;

/// What ends a conversion.
#[derive(Debug)]
pub(crate) enum Error {
    /// The input is broken.
    Decode(DecodeError),
    /// Lua is out of something.
    Lua(mlua::Error),
    /// A table, and there is no stack to make it on.
    NeedsStack,
    /// More than [`MAX_VALUES`].
    TooMany,
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<mlua::Error> for Error {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Lua(error) => error.fmt(f),
            Self::NeedsStack => f.write_str("no stack"),
            Self::TooMany => write!(f, "more than {MAX_VALUES} values"),
        }
    }
}

/// A value on its way; what is a table in Lua keeps its number, so that references are the same
/// table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Handle {
    Plain(Node),
    /// The string that was read last, without a stack.
    Text,
    Table(u32),
}

/// Called with type name and table of each typed object (EVT-06).
pub(crate) type Typed<'a> = &'a dyn Fn(&[u8], Table) -> mlua::Result<()>;

/// A container that is being filled.
struct Open {
    type_name: Option<Box<[u8]>>,
    /// Of an EcmaArray, which takes numbers as indexes.
    is_ecma: bool,
    /// Of what has members rather than elements.
    counts: bool,
    members: u32,
}

/// What is known of a message beside its stack.
pub(super) struct Message<'a> {
    lua: &'a Lua,
    hooks: &'a Hooks,
    typed: Typed<'a>,
    /// Tables with lower numbers are at the place of that number, the others in the store.
    on_stack: u32,
    /// The store for other calls than the one that began.
    store: Option<Table>,
    stored: u32,
    text: Option<Value>,
    open: Vec<Open>,
    /// Members of the last container at each depth: lists have elements of one shape.
    expected: Vec<u32>,
    /// Arrays are the elements of an XML document (CNV-32).
    is_dom: bool,
}

impl<'a> Message<'a> {
    pub(super) fn new(lua: &'a Lua, hooks: &'a Hooks, typed: Typed<'a>) -> Self {
        Self {
            lua,
            hooks,
            typed,
            on_stack: MAX_PLACES,
            store: None,
            stored: 0,
            text: None,
            open: Vec::new(),
            expected: Vec::new(),
            is_dom: false,
        }
    }
}

/// The receiver of a message's values.
pub(super) struct Tables<'t, 'a> {
    /// None as long as there is no table.
    stack: Option<&'t mut Stack<'a>>,
    message: &'t mut Message<'a>,
}

impl<'t, 'a> Tables<'t, 'a> {
    /// For messages without tables: the first one is [`Error::NeedsStack`].
    pub(super) fn without_stack(message: &'t mut Message<'a>) -> Self {
        Self { stack: None, message }
    }

    /// Runs `work` with a receiver of a message that may hold tables.
    pub(super) fn run<R>(
        lua: &'a Lua,
        hooks: &'a Hooks,
        typed: Typed<'a>,
        is_dom: bool,
        work: impl FnOnce(&mut Tables<'_, 'a>) -> R,
    ) -> mlua::Result<R> {
        Stack::run(lua, &hooks.exchange, (&hooks.dom, mlua::Nil), |stack| {
            let message = &mut Message { is_dom, ..Message::new(lua, hooks, typed) };
            work(&mut Tables { stack: Some(stack), message })
        })
    }

    /// Runs `work` in a function that Lua called meanwhile, which has a stack of its own.
    pub(super) fn inside<R>(
        &mut self,
        lua: &Lua,
        work: impl FnOnce(&mut Tables<'_, 'a>) -> R,
    ) -> mlua::Result<R> {
        let hooks = self.message.hooks;
        let store = self.message.store.clone();
        Stack::run(lua, &hooks.exchange, (&hooks.dom, store), |stack| {
            work(&mut Tables { stack: Some(stack), message: self.message })
        })
    }

    pub(super) fn lua(&self) -> &'a Lua {
        self.message.lua
    }

    pub(super) fn hooks(&self) -> &'a Hooks {
        self.message.hooks
    }

    fn stack(&mut self) -> Result<&mut Stack<'a>, Error> {
        self.stack.as_deref_mut().ok_or(Error::NeedsStack)
    }

    /// Gives the table at the top a number.
    fn keep(&mut self, at: Slot) -> Result<Handle, Error> {
        if at.number() < self.message.on_stack {
            return Ok(Handle::Table(at.number()));
        }
        self.message.stored += 1;
        let number = MAX_PLACES + self.message.stored;
        let stack = self.stack()?;
        let store = store(stack);
        stack.set_element(store, number as usize, Node::At(at));
        stack.drop_last(at);
        Ok(Handle::Table(number))
    }

    /// Puts all tables into the store, where functions find them that Lua calls meanwhile.
    fn store_all(&mut self) -> Result<(), Error> {
        if self.message.store.is_none() {
            let stack = self.stack()?;
            let store = store(stack);
            for at in stack.places() {
                stack.set_element(store, at.number() as usize, Node::At(at));
            }
            self.message.store = Some(stack.handle(store)?);
            self.message.on_stack = 0;
        }
        Ok(())
    }

    /// Where a value stands; true when it was put there only for now.
    fn load(&mut self, handle: Handle) -> Result<(Node, bool), Error> {
        let on_stack = self.message.on_stack;
        let stack = self.stack()?;
        Ok(match handle {
            Handle::Plain(node) => (node, matches!(node, Node::At(_))),
            Handle::Text => (Node::Nil, false),
            Handle::Table(number) if number < on_stack => (Node::At(Slot::from(number)), false),
            Handle::Table(number) => {
                let store = stack.argument(STORE);
                (Node::At(stack.push_element(store, number as usize)), true)
            }
        })
    }

    fn release(&mut self, (node, is_loaded): (Node, bool)) {
        if let (Node::At(at), true, Some(stack)) = (node, is_loaded, self.stack.as_deref_mut()) {
            stack.drop_last(at);
        }
    }

    fn with_table<R>(
        &mut self,
        handle: Handle,
        work: impl FnOnce(&mut Stack<'a>, Slot) -> R,
    ) -> Result<R, Error> {
        let loaded = self.load(handle)?;
        let Node::At(at) = loaded.0 else { return Err(Error::NeedsStack) };
        let result = work(self.stack()?, at);
        self.release(loaded);
        Ok(result)
    }

    fn handle(&mut self, handle: Handle) -> Result<Table, Error> {
        Ok(self.with_table(handle, |stack, at| stack.handle(at))??)
    }

    /// The value for Lua, once nothing else of the message stands above it.
    pub(super) fn value(&mut self, handle: Handle) -> Result<Value, Error> {
        match handle {
            Handle::Plain(Node::Nil) => Ok(Value::Nil),
            Handle::Plain(Node::Boolean(value)) => Ok(Value::Boolean(value)),
            Handle::Plain(Node::Number(value)) => Ok(Value::Number(value)),
            Handle::Text => Ok(self.message.text.take().unwrap_or(Value::Nil)),
            Handle::Plain(Node::At(_)) | Handle::Table(_) => {
                Ok(self.with_table(handle, |stack, at| stack.handle(at))??)
            }
        }
    }

    fn count_member(&mut self) -> bool {
        match self.message.open.last_mut() {
            Some(open) => {
                open.members += 1;
                open.is_ecma
            }
            None => false,
        }
    }
}

/// The store among the arguments, which is made when it is needed first.
fn store(stack: &mut Stack<'_>) -> Slot {
    let store = stack.argument(STORE);
    if stack.item(store) != Item::Table {
        let table = stack.push_table(0, 0);
        stack.copy(table, store);
        stack.drop_last(table);
    }
    store
}

/// The index that an ECMA array's member name stands for: canonical decimal, 0-based.
fn ecma_index(key: &[u8]) -> Option<usize> {
    if key.is_empty() || key.len() > 9 || (key.len() > 1 && key[0] == b'0') {
        return None;
    }
    key.iter().try_fold(0_usize, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + usize::from(byte - b'0'))
    })
}

impl Builder for Tables<'_, '_> {
    type Value = Handle;
    type Error = Error;

    fn null(&mut self) -> Result<Handle, Error> {
        Ok(Handle::Plain(Node::Nil))
    }

    fn undefined(&mut self) -> Result<Handle, Error> {
        Ok(Handle::Plain(Node::Nil))
    }

    fn boolean(&mut self, value: bool) -> Result<Handle, Error> {
        Ok(Handle::Plain(Node::Boolean(value)))
    }

    fn number(&mut self, value: f64) -> Result<Handle, Error> {
        Ok(Handle::Plain(Node::Number(value)))
    }

    #[inline]
    fn string(&mut self, value: &[u8]) -> Result<Handle, Error> {
        match &mut self.stack {
            Some(stack) => Ok(Handle::Plain(Node::At(stack.push_text(value)))),
            None => {
                self.message.text = Some(Value::String(self.message.lua.create_string(value)?));
                Ok(Handle::Text)
            }
        }
    }

    fn date(&mut self, ms: f64) -> Result<Handle, Error> {
        let date = &self.message.hooks.date;
        let stack = self.stack()?;
        let table: Table = date.call(ms)?;
        let at = stack.push(table)?;
        self.keep(at)
    }

    fn byte_array(&mut self, value: &[u8]) -> Result<Handle, Error> {
        let stack = self.stack()?;
        stack.room()?;
        let table = stack.push_table(0, 1);
        let bytes = stack.push_text(value);
        stack.set(table, b"__raw", Node::At(bytes));
        stack.drop_last(bytes);
        self.keep(table)
    }

    fn begin(&mut self, kind: Container<'_>) -> Result<Handle, Error> {
        let is_dom = self.message.is_dom;
        let expected = self.message.expected.get(self.message.open.len()).copied();
        let expected = expected.unwrap_or(0).min(MAX_EXPECTED) as usize;
        let mut open = Open { type_name: None, is_ecma: false, counts: true, members: 0 };
        let stack = self.stack()?;
        stack.room()?;
        let table = match kind {
            Container::Array { len_hint } if is_dom => {
                let table = stack.push_table(len_hint.min(MAX_RESERVED), expected);
                let dom = stack.argument(DOM);
                stack.set_metatable(table, dom);
                table
            }
            Container::Array { len_hint } => {
                open.counts = false;
                stack.push_table(len_hint.min(MAX_RESERVED), 0)
            }
            Container::EcmaArray => {
                open.is_ecma = true;
                stack.push_table(0, expected)
            }
            Container::Object { type_name: Some(name) } => {
                let table = stack.push_table(0, expected);
                let text = stack.push_text(name);
                stack.set(table, b"__type", Node::At(text));
                stack.drop_last(text);
                open.members = 1;
                open.type_name = Some(name.into());
                table
            }
            Container::Object { type_name: None } => stack.push_table(0, expected),
            Container::Dictionary { weak, len } => {
                let table = stack.push_table(0, expected);
                // A length of 28 bits.
                stack.set(table, b"__size", Node::Number(len as f64));
                if weak {
                    let meta = stack.push_table(0, 1);
                    let mode = stack.push_text(b"k");
                    stack.set(meta, b"__mode", Node::At(mode));
                    stack.set_metatable(table, meta);
                    stack.drop_last(mode);
                    stack.drop_last(meta);
                }
                open.members = 1;
                table
            }
        };
        self.message.open.push(open);
        self.keep(table)
    }

    #[inline]
    fn member(&mut self, container: &Handle, key: &[u8], value: Handle) -> Result<(), Error> {
        let index = if self.count_member() { ecma_index(key) } else { None };
        let value = self.load(value)?;
        self.with_table(*container, |stack, table| match index {
            Some(index) => stack.set_element(table, index + 1, value.0),
            None => stack.set(table, key, value.0),
        })?;
        self.release(value);
        Ok(())
    }

    #[inline]
    fn element(&mut self, container: &Handle, index: usize, value: Handle) -> Result<(), Error> {
        let value = self.load(value)?;
        if value.0 != Node::Nil {
            self.with_table(*container, |stack, table| {
                stack.set_element(table, index + 1, value.0);
            })?;
        }
        self.release(value);
        Ok(())
    }

    fn entry(&mut self, container: &Handle, key: Handle, value: Handle) -> Result<(), Error> {
        self.count_member();
        let (key, value) = (self.load(key)?, self.load(value)?);
        self.with_table(*container, |stack, table| stack.set_any(table, key.0, value.0))?;
        self.release(value);
        self.release(key);
        Ok(())
    }

    fn end(&mut self, container: &Handle) -> Result<(), Error> {
        let Some(open) = self.message.open.pop() else { return Ok(()) };
        if open.counts {
            let (expected, depth) = (&mut self.message.expected, self.message.open.len());
            if expected.len() <= depth {
                expected.resize(depth + 1, 0);
            }
            expected[depth] = open.members;
        }
        if let Some(name) = open.type_name {
            let (table, typed) = (self.handle(*container)?, self.message.typed);
            typed(&name, table)?;
        }
        Ok(())
    }

    /// BIO-01: `onTypedObject` comes before the body, because it sets the reader.
    fn begin_external(&mut self, type_name: &[u8]) -> Result<Option<Handle>, Error> {
        let lua = self.message.lua;
        self.stack()?.room()?;
        let table = lua.create_table()?;
        table.raw_set("__type", lua.create_string(type_name)?)?;
        (self.message.typed)(type_name, table.clone())?;
        let Value::Function(_) = table.raw_get::<Value>("__readExternal")? else { return Ok(None) };
        self.store_all()?;
        self.message.open.push(Open { type_name: None, is_ecma: false, counts: false, members: 0 });
        let at = self.stack()?.push(table)?;
        self.keep(at).map(Some)
    }

    fn read_external(
        &mut self,
        object: &Handle,
        body: &mut ExternalBody<'_, '_, Handle>,
    ) -> Result<(), Error> {
        let table = self.handle(*object)?;
        external::read(self, table, body)
    }
}
