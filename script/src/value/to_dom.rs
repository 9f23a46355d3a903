//! Lua tables of the shape of a document to XML of 2020 (CNV-33).

use std::ffi::c_void;

use ramona_formats::limits::{MAX_CONTAINERS, MAX_DEPTH};
use ramona_formats::{XmlDeclaration, XmlDocument, XmlNode};

use super::stack::{Item, Slot, Stack};
use super::walk::number_text;

/// Whether a value is a document: a table whose sequence holds a table with `__name`.
pub(crate) fn is_document(stack: &mut Stack<'_>, table: Slot) -> mlua::Result<bool> {
    let mut found = false;
    for index in 1..=stack.len(table) {
        let child = stack.push_element(table, index);
        if stack.item(child) == Item::Table {
            stack.each(child, |stack, key, value| {
                found |= stack.text(key) == b"__name" && matches!(stack.item(value), Item::Text(_));
                Ok(())
            })?;
        }
        stack.drop_last(child);
        if found {
            break;
        }
    }
    Ok(found)
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

/// Reads a document out of Lua. Attributes come in the order of their names, for a table has
/// none.
///
/// # Errors
/// An element without `__name`, one inside itself, too many or too deep.
pub(crate) fn document(stack: &mut Stack<'_>, table: Slot) -> Result<XmlDocument, DomError> {
    let mut walk = Walk::default();
    let mut declarations = Vec::new();
    stack.each(table, |stack, name, value| {
        if let Item::Text(name) = stack.item(name) {
            let name = name.to_vec();
            let is_table = stack.item(value) == Item::Table;
            declarations.push((name, is_table.then(|| fields(stack, value)).transpose()?));
        }
        Ok(())
    })?;
    declarations.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut document = XmlDocument::default();
    for (name, fields) in declarations {
        let Some(fields) = fields else {
            let name = String::from_utf8_lossy(&name);
            return shape(format!("declaration '{name}' is no table"));
        };
        document.declarations.push(XmlDeclaration { name, attributes: attributes(fields)? });
    }
    document.nodes = walk.children(stack, table)?;
    if !document.nodes.iter().all(|node| matches!(node, XmlNode::Element { .. })) {
        return shape("text outside of the root element");
    }
    Ok(document)
}

/// String keys of a table and their values as text, or the type of those that have none.
type Fields = Vec<(Vec<u8>, Result<Vec<u8>, &'static str>)>;

/// Names and values.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The fields of a table, by name.
fn fields(stack: &mut Stack<'_>, table: Slot) -> mlua::Result<Fields> {
    let mut fields = Vec::new();
    stack.each(table, |stack, key, value| {
        if let Item::Text(key) = stack.item(key) {
            fields.push((key.to_vec(), text(stack, value)));
        }
        Ok(())
    })?;
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(fields)
}

fn attributes(fields: Fields) -> Result<Attributes, DomError> {
    let attribute = |(name, text): (Vec<u8>, Result<_, _>)| match text {
        Ok(text) => Ok((name, text)),
        Err(kind) => {
            let name = String::from_utf8_lossy(&name);
            shape(format!("attribute '{name}' is a {kind}"))
        }
    };
    fields.into_iter().map(attribute).collect()
}

#[derive(Default)]
struct Walk {
    ancestors: Vec<*const c_void>,
    elements: usize,
}

impl Walk {
    fn children(&mut self, stack: &mut Stack<'_>, table: Slot) -> Result<Vec<XmlNode>, DomError> {
        if self.ancestors.len() >= MAX_DEPTH {
            return shape(format!("more than {MAX_DEPTH} elements inside each other"));
        }
        let pointer = stack.pointer(table);
        if self.ancestors.contains(&pointer) {
            return shape("an element inside itself");
        }
        self.ancestors.push(pointer);
        let mut children = Vec::new();
        for index in 1..=stack.len(table) {
            self.elements += 1;
            if self.elements > MAX_CONTAINERS {
                return shape(format!("more than {MAX_CONTAINERS} elements and texts"));
            }
            let child = stack.push_element(table, index);
            children.push(if stack.item(child) == Item::Table {
                self.element(stack, child)?
            } else {
                match text(stack, child) {
                    Ok(text) => XmlNode::Text(text),
                    Err(kind) => return shape(format!("a {kind} inside of an element")),
                }
            });
            stack.drop_last(child);
        }
        self.ancestors.pop();
        Ok(children)
    }

    fn element(&mut self, stack: &mut Stack<'_>, table: Slot) -> Result<XmlNode, DomError> {
        let mut name = None;
        let mut fields = Fields::new();
        stack.each(table, |stack, key, value| {
            match (stack.item(key), stack.item(value)) {
                (Item::Text(b"__name"), Item::Text(value)) => name = Some(value.to_vec()),
                (Item::Text(b"__name"), _) => {}
                (Item::Text(key), _) => fields.push((key.to_vec(), text(stack, value))),
                _ => {}
            }
            Ok(())
        })?;
        let Some(name) = name else { return shape("an element without __name") };
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        let attributes = attributes(fields)?;
        Ok(XmlNode::Element { name, attributes, children: self.children(stack, table)? })
    }
}

/// A value as text, or the name of its type.
fn text(stack: &Stack<'_>, value: Slot) -> Result<Vec<u8>, &'static str> {
    Ok(match stack.item(value) {
        Item::Text(text) => text.to_vec(),
        Item::Number(number) => number_text(number).into_bytes(),
        Item::Boolean(value) => value.to_string().into_bytes(),
        Item::Nil => return Err("nil"),
        Item::Table => return Err("table"),
        Item::Function => return Err("function"),
        Item::Other => return Err("userdata"),
    })
}
