//! Lua tables of the shape of a document to XML of 2020 (CNV-33).

use std::borrow::Cow;
use std::ffi::c_void;

use ramona_formats::limits::{MAX_CONTAINERS, MAX_DEPTH};
use ramona_formats::{WriteError, XmlDocumentEncoder};

use super::stack::{Item, Slot, Stack};
use super::walk::number_text;

/// Whether a value is a document: a table whose sequence holds a table with `__name`.
pub(crate) fn is_document(stack: &mut Stack<'_>, table: Slot) -> bool {
    let key = stack.push_text(b"__name");
    let found = (1..=stack.len(table)).any(|index| {
        let child = stack.push_element(table, index);
        let name = stack.push_member(child, key);
        let found = matches!(stack.item(name), Item::Text(_));
        stack.cut(key);
        found
    });
    stack.drop_last(key);
    found
}

/// What is wrong with a document, or with Lua.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DomError {
    #[error("{0}")]
    Shape(String),
    #[error(transparent)]
    Lua(#[from] mlua::Error),
}

fn shape<T>(text: impl Into<String>) -> Result<T, DomError> {
    Err(DomError::Shape(text.into()))
}

/// Writes a document. Attributes come in the order of their names, for a table has none.
///
/// # Errors
/// An element without `__name`, one inside itself, too many or too deep, a name that XML lacks.
pub(crate) fn document(stack: &mut Stack<'_>, table: Slot) -> Result<Vec<u8>, DomError> {
    let mut text = Vec::new();
    let mut out = XmlDocumentEncoder::new(&mut text);
    let mut declarations = Vec::new();
    stack.each(table, |stack, name, value| {
        if let Item::Text(name) = stack.item(name) {
            let name = name.to_vec();
            let is_table = stack.item(value) == Item::Table;
            declarations.push((name, is_table.then(|| fields(stack, value)).transpose()?));
        }
        Ok(())
    })?;
    // The XML declaration is only allowed as the beginning.
    declarations.sort_by(|(a, _), (b, _)| (a != b"xml", a).cmp(&(b != b"xml", b)));
    for (name, fields) in declarations {
        let Some(fields) = fields else {
            let name = String::from_utf8_lossy(&name);
            return shape(format!("declaration '{name}' is no table"));
        };
        let pairs: Vec<_> = attributes(&fields).collect::<Result<_, _>>()?;
        out.declaration(&name, pairs.into_iter()).map_err(refused)?;
    }
    let name = stack.push_text(b"__name");
    let mut walk = Walk { ancestors: Vec::new(), elements: 0, name };
    walk.children(stack, &mut out, table)?;
    Ok(text)
}

fn refused(error: WriteError) -> DomError {
    DomError::Shape(error.to_string())
}

/// String keys of a table and their values as text, or the type of those that have none.
type Fields = Vec<(Vec<u8>, Result<Vec<u8>, &'static str>)>;

/// The fields of a table but `__name`, by name.
fn fields(stack: &mut Stack<'_>, table: Slot) -> mlua::Result<Fields> {
    let mut fields = Vec::new();
    stack.each(table, |stack, key, value| {
        if let Item::Text(key) = stack.item(key)
            && key != b"__name"
        {
            let text = text(stack.item(value)).map(Cow::into_owned);
            fields.push((key.to_vec(), text));
        }
        Ok(())
    })?;
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(fields)
}

/// Names and values.
fn attributes(fields: &Fields) -> impl Iterator<Item = Result<(&[u8], &[u8]), DomError>> {
    fields.iter().map(|(name, text)| match text {
        Ok(text) => Ok((&name[..], &text[..])),
        Err(kind) => {
            let name = String::from_utf8_lossy(name);
            shape(format!("attribute '{name}' is a {kind}"))
        }
    })
}

struct Walk {
    ancestors: Vec<*const c_void>,
    elements: usize,
    /// Where the text `__name` stands.
    name: Slot,
}

impl Walk {
    fn children(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut XmlDocumentEncoder<'_>,
        table: Slot,
    ) -> Result<(), DomError> {
        if self.ancestors.len() >= MAX_DEPTH {
            return shape(format!("more than {MAX_DEPTH} elements inside each other"));
        }
        let pointer = stack.pointer(table);
        if self.ancestors.contains(&pointer) {
            return shape("an element inside itself");
        }
        self.ancestors.push(pointer);
        for index in 1..=stack.len(table) {
            self.elements += 1;
            if self.elements > MAX_CONTAINERS {
                return shape(format!("more than {MAX_CONTAINERS} elements and texts"));
            }
            let child = stack.push_element(table, index);
            let item = stack.item(child);
            if item == Item::Table {
                self.element(stack, out, child)?;
            } else {
                match text(item) {
                    Ok(_) if self.ancestors.len() == 1 => {
                        return shape("text outside of the root element");
                    }
                    Ok(text) => out.text(&text),
                    Err(kind) => return shape(format!("a {kind} inside of an element")),
                }
            }
            stack.drop_last(child);
        }
        self.ancestors.pop();
        Ok(())
    }

    fn element(
        &mut self,
        stack: &mut Stack<'_>,
        out: &mut XmlDocumentEncoder<'_>,
        table: Slot,
    ) -> Result<(), DomError> {
        let name = stack.push_member(table, self.name);
        let Item::Text(text) = stack.item(name) else {
            return shape("an element without __name");
        };
        // The document is a level as well.
        if self.ancestors.len() < MAX_DEPTH {
            out.begin(text).map_err(refused)?;
        }
        let fields = fields(stack, table)?;
        for attribute in attributes(&fields) {
            let (name, value) = attribute?;
            out.attribute(name, value).map_err(refused)?;
        }
        self.children(stack, out, table)?;
        out.end(stack.text(name));
        stack.drop_last(name);
        Ok(())
    }
}

/// A value as text, or the name of its type.
fn text(item: Item<'_>) -> Result<Cow<'_, [u8]>, &'static str> {
    Ok(match item {
        Item::Text(text) => text.into(),
        Item::Number(number) => number_text(number).into_bytes().into(),
        Item::Boolean(value) => value.to_string().into_bytes().into(),
        Item::Nil => return Err("nil"),
        Item::Table => return Err("table"),
        Item::Function => return Err("function"),
        Item::Other => return Err("userdata"),
    })
}
