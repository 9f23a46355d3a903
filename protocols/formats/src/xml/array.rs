//! The 2014 dialect: values as XML under the root `__array` (CNV-30, CNV-31).

use std::collections::BTreeMap;

use super::text::{escape, is_name, text_of};
use super::tree::{Id, Tree};
use crate::document::{Document, Kind, Node, Span, Tape};
use crate::encoder::Encoder;
use crate::error::{ReadError, WriteError};
use crate::limits::MAX_DEPTH;
use crate::query::typed;
use crate::text::plain_number;
use crate::{binary, date};

/// Root, and an anonymous array inside of an array.
pub(crate) const ARRAY: &str = "__array";
/// An element of an array that is no table.
const NONAME: &str = "__noname";

pub(super) fn read(tree: &Tree) -> Result<Document, ReadError> {
    let root = tree.root();
    let mut tape = Tape::default();
    let named = tree.attributes(root).next().is_some()
        || tree.elements(root).any(|child| !is_anonymous(tree, child));
    if named {
        table(tree, root, &mut tape, 0)?;
        return Ok(Document::new(Kind::XmlArray, tape, 1));
    }
    let mut values = 0;
    for child in sequence(tree, root) {
        value(tree, child, &mut tape, 0)?;
        values += 1;
    }
    Ok(Document::new(Kind::XmlArray, tape, values))
}

fn is_anonymous(tree: &Tree, element: Id) -> bool {
    matches!(tree.name(element), ARRAY | NONAME)
}

/// Children without a name of their own: anonymous elements, and texts that are not only the
/// white space between elements.
fn sequence(tree: &Tree, id: Id) -> impl Iterator<Item = Id> + Clone {
    tree.children(id).filter(|child| match tree.text(*child) {
        Some(text) => !text.trim_ascii().is_empty(),
        None => is_anonymous(tree, *child),
    })
}

fn value(tree: &Tree, id: Id, tape: &mut Tape, depth: usize) -> Result<(), ReadError> {
    if let Some(text) = tree.text(id) {
        return typed(tape, text.as_bytes());
    }
    let mut children = tree.children(id);
    if tree.attributes(id).next().is_none()
        && let (Some(only), None) = (children.next(), children.next())
        && let Some(text) = tree.text(only)
    {
        return typed(tape, text.as_bytes());
    }
    table(tree, id, tape, depth)
}

/// What stands under one name.
enum Field<'a> {
    Attribute(&'a str),
    Elements(Vec<Id>),
}

fn table(tree: &Tree, id: Id, tape: &mut Tape, depth: usize) -> Result<(), ReadError> {
    let at = open(tape, depth)?;
    let mut fields: Vec<(&str, Field<'_>)> =
        tree.attributes(id).map(|(name, value)| (name, Field::Attribute(value))).collect();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for child in tree.elements(id).filter(|child| !is_anonymous(tree, *child)) {
        let name = tree.name(child);
        let place = *places.entry(name).or_insert(fields.len());
        match fields.get_mut(place) {
            Some((_, Field::Elements(ids))) => ids.push(child),
            _ => fields.push((name, Field::Elements(vec![child]))),
        }
    }
    let members = count(fields.len());
    for (name, field) in fields {
        tape.key(name.as_bytes())?;
        match field {
            Field::Attribute(text) => typed(tape, text.as_bytes())?,
            Field::Elements(ids) => match ids[..] {
                [only] => value(tree, only, tape, depth + 1)?,
                ref several => {
                    let at = open(tape, depth + 1)?;
                    for child in several {
                        value(tree, *child, tape, depth + 2)?;
                    }
                    tape.set(at, Node::Array { members: 0, elements: count(several.len()) });
                }
            },
        }
    }
    let mut elements = 0;
    for child in sequence(tree, id) {
        value(tree, child, tape, depth + 1)?;
        elements += 1;
    }
    tape.set(
        at,
        match (members, elements) {
            (0, _) => Node::Array { members, elements },
            (_, 0) => Node::Object { type_name: Span::default(), members },
            _ => Node::Array { members, elements },
        },
    );
    Ok(())
}

fn open(tape: &mut Tape, depth: usize) -> Result<usize, ReadError> {
    if depth >= MAX_DEPTH { Err(ReadError::TooDeep) } else { tape.open() }
}

/// Bounded by the nodes of a tree.
fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Writes values as XML of the 2014 dialect (CNV-31): the dialect shows neither types nor nil,
/// so numbers, booleans and nil are text, bytes are base64 and dates ISO 8601; a string that XML
/// cannot hold is base64 too.
///
/// Only a whole table shows how it is to be written, so the encoder collects all values, and
/// [`finish`](Self::finish) writes them.
#[derive(Debug)]
pub struct XmlArrayEncoder<'a> {
    out: &'a mut Vec<u8>,
    values: Vec<Shape>,
    open: Vec<Open>,
}

#[derive(Debug)]
enum Shape {
    /// Escaped.
    Text(Vec<u8>),
    Table(Table),
}

#[derive(Debug, Default)]
struct Table {
    fields: Vec<(String, Shape)>,
    elements: Vec<Shape>,
}

#[derive(Debug, Default)]
struct Open {
    table: Table,
    /// Name of the member whose value follows; elements have none.
    key: Option<String>,
}

impl<'a> XmlArrayEncoder<'a> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, values: Vec::new(), open: Vec::new() }
    }

    /// Writes the text.
    pub fn finish(self) {
        debug_assert!(self.open.is_empty(), "every container is ended");
        let Self { out, values, .. } = self;
        let table = match <[Shape; 1]>::try_from(values) {
            // A single table has the root for itself.
            Ok([Shape::Table(table)]) => table,
            Ok(values) => Table { fields: Vec::new(), elements: values.into() },
            Err(values) => Table { fields: Vec::new(), elements: values },
        };
        element(out, ARRAY, &table);
    }

    fn text(&mut self, bytes: &[u8]) {
        let mut text = Vec::with_capacity(bytes.len());
        if bytes.is_empty() {
            // An empty element would be an empty table.
            text.extend_from_slice(b"<![CDATA[]]>");
        } else {
            escape(&mut text, &text_of(bytes));
        }
        self.value(Shape::Text(text));
    }

    fn value(&mut self, shape: Shape) {
        match self.open.last_mut() {
            None => self.values.push(shape),
            Some(Open { table, key }) => match key.take() {
                Some(key) => table.fields.push((key, shape)),
                None => table.elements.push(shape),
            },
        }
    }

    fn begin(&mut self) -> Result<(), WriteError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(WriteError::TooDeep);
        }
        self.open.push(Open::default());
        Ok(())
    }

    fn end(&mut self) {
        let open = self.open.pop();
        debug_assert!(open.is_some(), "end without begin");
        if let Some(open) = open {
            self.value(Shape::Table(open.table));
        }
    }
}

impl Encoder for XmlArrayEncoder<'_> {
    fn null(&mut self) {
        self.text(b"null");
    }

    fn boolean(&mut self, value: bool) {
        self.text(if value { b"true" } else { b"false" });
    }

    fn number(&mut self, value: f64) {
        let mut text = Vec::new();
        if plain_number(&mut text, value) { self.text(&text) } else { self.null() }
    }

    fn string(&mut self, value: &[u8]) {
        self.text(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        let mut text = Vec::new();
        binary::write(&mut text, value);
        self.text(&text);
    }

    fn date(&mut self, ms: f64) -> Result<(), WriteError> {
        let mut text = Vec::new();
        date::write(&mut text, ms, date::Style::Extended)?;
        self.text(&text);
        Ok(())
    }

    fn begin_object(&mut self, _type_name: Option<&[u8]>) -> Result<(), WriteError> {
        self.begin()
    }

    fn end_object(&mut self) {
        self.end();
    }

    fn begin_array(&mut self, _len: usize, _mixed: bool) -> Result<(), WriteError> {
        self.begin()
    }

    fn begin_elements(&mut self) {}

    fn end_array(&mut self) {
        self.end();
    }

    fn key(&mut self, key: &[u8]) -> Result<(), WriteError> {
        let name = std::str::from_utf8(key).map_err(|_| WriteError::KeyNotText)?;
        if !is_name(name) {
            return Err(WriteError::KeyNotName);
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some(name.to_owned());
        }
        Ok(())
    }

    fn depth(&self) -> usize {
        self.open.len()
    }
}

fn tag(out: &mut Vec<u8>, before: &[u8], name: &str, after: &[u8]) {
    out.extend_from_slice(before);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(after);
}

fn text_element(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    tag(out, b"<", name, b">");
    out.extend_from_slice(text);
    tag(out, b"</", name, b">");
}

/// A table as the content of one element.
fn element(out: &mut Vec<u8>, name: &str, table: &Table) {
    if table.fields.is_empty() && table.elements.is_empty() {
        tag(out, b"<", name, b"/>");
        return;
    }
    tag(out, b"<", name, b">");
    fields(out, &table.fields);
    for shape in &table.elements {
        match shape {
            Shape::Text(text) => text_element(out, NONAME, text),
            Shape::Table(table) => element(out, ARRAY, table),
        }
    }
    tag(out, b"</", name, b">");
}

fn fields(out: &mut Vec<u8>, fields: &[(String, Shape)]) {
    for (name, shape) in fields {
        match shape {
            Shape::Text(text) => text_element(out, name, text),
            Shape::Table(table) if table.elements.is_empty() => element(out, name, table),
            // A sequence repeats the name; the fields of a mixed table come as one more, first.
            Shape::Table(table) => {
                if !table.fields.is_empty() {
                    tag(out, b"<", name, b">");
                    self::fields(out, &table.fields);
                    tag(out, b"</", name, b">");
                }
                for shape in &table.elements {
                    match shape {
                        Shape::Text(text) => text_element(out, name, text),
                        Shape::Table(table) => element(out, name, table),
                    }
                }
            }
        }
    }
}
