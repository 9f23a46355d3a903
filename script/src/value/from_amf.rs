//! AMF to Lua (CNV-10..14, 16, 17), and the tables that every format is read into.

use std::rc::Rc;

use mlua::{Lua, Table, Value};
use ramona_amf::{Builder, Container, DecodeError, Decoder, ExternalBody};

use super::external;
use crate::core::Hooks;

/// Values of one message that are handed to a script. Lua's own limit of a call is near 8,000
/// stack slots (LUAI_MAXCSTACK); a message of more values is cut, with an ERROR.
pub(crate) const MAX_VALUES: usize = 4_000;

/// Tables of one message that are held by handle while it is decoded. A Lua state has room for
/// about 65,000 handles (LUAI_MAXSTACK); further tables of the message are found by number in a
/// table made for them, which is slower.
const MAX_HANDLES: usize = 4_096;

/// Table slots reserved on a peer's word.
const MAX_RESERVED: usize = 1_024;

/// What ends a conversion.
#[derive(Debug)]
pub(crate) enum Error {
    /// The input is broken.
    Decode(DecodeError),
    /// Lua is out of something.
    Lua(mlua::Error),
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
        }
    }
}

/// A value on its way: tables are shared, so that references are the same table.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Plain(Value),
    Table(Rc<Table>),
    /// Number in the store.
    Stored(u32),
}

/// Called with type name and table of each typed object (EVT-06).
pub(crate) type Typed<'a> = &'a dyn Fn(&[u8], Table) -> mlua::Result<()>;

pub(super) struct Tables<'a> {
    lua: &'a Lua,
    hooks: &'a Hooks,
    typed: Typed<'a>,
    handles: usize,
    store: Option<Table>,
    stored: u32,
    /// Type names of the containers that are being filled.
    open: Vec<Option<Box<[u8]>>>,
    /// EcmaArray containers that are being filled take numbers as indexes.
    ecma: Vec<bool>,
    /// Arrays are the elements of an XML document (CNV-32).
    is_dom: bool,
}

impl<'a> Tables<'a> {
    pub(super) fn new(lua: &'a Lua, hooks: &'a Hooks, typed: Typed<'a>) -> Self {
        Self {
            lua,
            hooks,
            typed,
            handles: 0,
            store: None,
            stored: 0,
            open: Vec::new(),
            ecma: Vec::new(),
            is_dom: false,
        }
    }

    /// For the document of an XML text.
    pub(super) fn for_document(self, is_dom: bool) -> Self {
        Self { is_dom, ..self }
    }

    pub(super) fn lua(&self) -> &'a Lua {
        self.lua
    }

    fn node(&mut self, table: Table) -> mlua::Result<Node> {
        if self.handles < MAX_HANDLES {
            self.handles += 1;
            return Ok(Node::Table(Rc::new(table)));
        }
        if self.store.is_none() {
            self.store = Some(self.lua.create_table()?);
        }
        self.stored += 1;
        if let Some(store) = &self.store {
            store.raw_set(self.stored, table)?;
        }
        Ok(Node::Stored(self.stored))
    }

    fn with_table<R>(
        &self,
        node: &Node,
        call: impl FnOnce(&Table) -> mlua::Result<R>,
    ) -> mlua::Result<Option<R>> {
        match (node, &self.store) {
            (Node::Table(table), _) => call(table).map(Some),
            (Node::Stored(number), Some(store)) => {
                let table: Table = store.raw_get(*number)?;
                call(&table).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn value(&self, node: Node) -> mlua::Result<Value> {
        Ok(match node {
            Node::Plain(value) => value,
            Node::Table(table) => Value::Table((*table).clone()),
            Node::Stored(number) => match &self.store {
                Some(store) => store.raw_get(number)?,
                None => Value::Nil,
            },
        })
    }
}

/// The index that an ECMA array's member name stands for: canonical decimal, 0-based.
fn ecma_index(key: &[u8]) -> Option<u32> {
    if key.is_empty() || key.len() > 9 || (key.len() > 1 && key[0] == b'0') {
        return None;
    }
    key.iter().try_fold(0_u32, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'))
    })
}

impl Builder for Tables<'_> {
    type Value = Node;
    type Error = Error;

    fn null(&mut self) -> Result<Node, Error> {
        Ok(Node::Plain(Value::Nil))
    }

    fn undefined(&mut self) -> Result<Node, Error> {
        Ok(Node::Plain(Value::Nil))
    }

    fn boolean(&mut self, value: bool) -> Result<Node, Error> {
        Ok(Node::Plain(Value::Boolean(value)))
    }

    fn number(&mut self, value: f64) -> Result<Node, Error> {
        Ok(Node::Plain(Value::Number(value)))
    }

    fn string(&mut self, value: &[u8]) -> Result<Node, Error> {
        Ok(Node::Plain(Value::String(self.lua.create_string(value)?)))
    }

    fn date(&mut self, ms: f64) -> Result<Node, Error> {
        let table: Table = self.hooks.date.call(ms)?;
        Ok(self.node(table)?)
    }

    fn byte_array(&mut self, value: &[u8]) -> Result<Node, Error> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set("__raw", self.lua.create_string(value)?)?;
        Ok(self.node(table)?)
    }

    fn begin(&mut self, kind: Container<'_>) -> Result<Node, Error> {
        let (elements, ecma) = match kind {
            Container::Array { len_hint } => (len_hint.min(MAX_RESERVED), false),
            Container::EcmaArray => (0, true),
            Container::Object { .. } | Container::Dictionary { .. } => (0, false),
        };
        let table = self.lua.create_table_with_capacity(elements, 0)?;
        if let (true, Container::Array { .. }) = (self.is_dom, kind) {
            table.set_metatable(Some(self.hooks.dom.clone()))?;
        }
        let mut type_of = None;
        match kind {
            Container::Object { type_name: Some(name) } => {
                table.raw_set("__type", self.lua.create_string(name)?)?;
                type_of = Some(name.into());
            }
            Container::Dictionary { weak, len } => {
                table.raw_set("__size", len)?;
                if weak {
                    let meta = self.lua.create_table_with_capacity(0, 1)?;
                    meta.raw_set("__mode", "k")?;
                    table.set_metatable(Some(meta))?;
                }
            }
            _ => {}
        }
        self.open.push(type_of);
        self.ecma.push(ecma);
        Ok(self.node(table)?)
    }

    fn member(&mut self, container: &Node, key: &[u8], value: Node) -> Result<(), Error> {
        let value = self.value(value)?;
        let index = self.ecma.last().copied().unwrap_or(false).then(|| ecma_index(key)).flatten();
        self.with_table(container, |table| match index {
            Some(index) => table.raw_set(index + 1, value),
            None => table.raw_set(self.lua.create_string(key)?, value),
        })?;
        Ok(())
    }

    fn element(&mut self, container: &Node, index: usize, value: Node) -> Result<(), Error> {
        let value = self.value(value)?;
        if !value.is_nil() {
            self.with_table(container, |table| table.raw_seti(index + 1, value))?;
        }
        Ok(())
    }

    fn entry(&mut self, container: &Node, key: Node, value: Node) -> Result<(), Error> {
        let (key, value) = (self.value(key)?, self.value(value)?);
        let impossible = match &key {
            Value::Nil => true,
            Value::Number(number) => number.is_nan(),
            _ => false,
        };
        if !impossible {
            self.with_table(container, |table| table.raw_set(key, value))?;
        }
        Ok(())
    }

    fn end(&mut self, container: &Node) -> Result<(), Error> {
        self.ecma.pop();
        if let Some(Some(name)) = self.open.pop() {
            let typed = self.typed;
            self.with_table(container, |table| typed(&name, table.clone()))?;
        }
        Ok(())
    }

    /// BIO-01: `onTypedObject` comes before the body, because it sets the reader.
    fn begin_external(&mut self, type_name: &[u8]) -> Result<Option<Node>, Error> {
        let table = self.lua.create_table()?;
        table.raw_set("__type", self.lua.create_string(type_name)?)?;
        (self.typed)(type_name, table.clone())?;
        let Value::Function(_) = table.raw_get::<Value>("__readExternal")? else { return Ok(None) };
        self.open.push(None);
        self.ecma.push(false);
        Ok(Some(self.node(table)?))
    }

    fn read_external(
        &mut self,
        object: &Node,
        body: &mut ExternalBody<'_, '_, Node>,
    ) -> Result<(), Error> {
        let hooks = self.hooks;
        let Some(table) = self.with_table(object, |table| Ok(table.clone()))? else {
            return Ok(());
        };
        external::read(self, hooks, table, body)
    }
}

/// Which version a message starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amf {
    Zero,
    Three,
}

/// Decodes the values of a message into `values` and answers what was wrong, if anything: then
/// the values before it are there (CNV-17).
pub(crate) fn decode(
    lua: &Lua,
    hooks: &Hooks,
    typed: Typed<'_>,
    version: Amf,
    bytes: &[u8],
    values: &mut Vec<Value>,
) -> Option<String> {
    let mut tables = Tables::new(lua, hooks, typed);
    let mut decoder = match version {
        Amf::Zero => Decoder::amf0(bytes),
        Amf::Three => Decoder::amf3(bytes),
    };
    loop {
        let node = match decoder.next(&mut tables) {
            Ok(Some(node)) => node,
            Ok(None) => return None,
            Err(error) => return Some(error.to_string()),
        };
        if values.len() >= MAX_VALUES {
            return Some(format!("more than {MAX_VALUES} values"));
        }
        match tables.value(node) {
            Ok(value) => values.push(value),
            Err(error) => return Some(error.to_string()),
        }
    }
}
