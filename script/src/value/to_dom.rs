//! Lua tables of the shape of a document to XML of 2020 (CNV-33).

use std::ffi::c_void;

use mlua::{Table, Value};
use ramona_formats::limits::{MAX_CONTAINERS, MAX_DEPTH};
use ramona_formats::{XmlDeclaration, XmlDocument, XmlNode};

/// Whether a value is a document: a table whose sequence holds a table with `__name`.
pub(crate) fn is_document(value: &Value) -> mlua::Result<bool> {
    let Value::Table(table) = value else { return Ok(false) };
    for index in 1..=table.raw_len() {
        if let Value::Table(child) = table.raw_get::<Value>(index)?
            && let Value::String(_) = child.raw_get::<Value>("__name")?
        {
            return Ok(true);
        }
    }
    Ok(false)
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
pub(crate) fn document(table: &Table) -> Result<XmlDocument, DomError> {
    let mut walk = Walk::default();
    let mut document = XmlDocument::default();
    for (name, value) in fields(table)? {
        match value {
            Value::Table(inner) => document
                .declarations
                .push(XmlDeclaration { name, attributes: attributes(fields(&inner)?)? }),
            _ => {
                let name = String::from_utf8_lossy(&name);
                return shape(format!("declaration '{name}' is no table"));
            }
        }
    }
    document.nodes = walk.children(table)?;
    if !document.nodes.iter().all(|node| matches!(node, XmlNode::Element { .. })) {
        return shape("text outside of the root element");
    }
    Ok(document)
}

/// Names and values.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

fn attributes(fields: Vec<(Vec<u8>, Value)>) -> Result<Attributes, DomError> {
    let mut attributes = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        match text(&value) {
            Some(text) => attributes.push((name, text)),
            None => {
                let (name, kind) = (String::from_utf8_lossy(&name), value.type_name());
                return shape(format!("attribute '{name}' is a {kind}"));
            }
        }
    }
    Ok(attributes)
}

#[derive(Default)]
struct Walk {
    ancestors: Vec<*const c_void>,
    elements: usize,
}

impl Walk {
    fn children(&mut self, table: &Table) -> Result<Vec<XmlNode>, DomError> {
        if self.ancestors.len() >= MAX_DEPTH {
            return shape(format!("more than {MAX_DEPTH} elements inside each other"));
        }
        let pointer = table.to_pointer();
        if self.ancestors.contains(&pointer) {
            return shape("an element inside itself");
        }
        self.ancestors.push(pointer);
        let len = table.raw_len();
        let mut children = Vec::new();
        for index in 1..=len {
            self.elements += 1;
            if self.elements > MAX_CONTAINERS {
                return shape(format!("more than {MAX_CONTAINERS} elements and texts"));
            }
            children.push(match table.raw_get::<Value>(index)? {
                Value::Table(child) => self.element(&child)?,
                value => match text(&value) {
                    Some(text) => XmlNode::Text(text),
                    None => return shape(format!("a {} inside of an element", value.type_name())),
                },
            });
        }
        self.ancestors.pop();
        Ok(children)
    }

    fn element(&mut self, table: &Table) -> Result<XmlNode, DomError> {
        let mut fields = fields(table)?;
        let name = fields.iter().position(|(key, _)| key == b"__name");
        let Some((_, Value::String(name))) = name.map(|at| fields.remove(at)) else {
            return shape("an element without __name");
        };
        let name = name.as_bytes().to_vec();
        let attributes = attributes(fields)?;
        Ok(XmlNode::Element { name, attributes, children: self.children(table)? })
    }
}

/// String keys of a table and their values, by name.
fn fields(table: &Table) -> mlua::Result<Vec<(Vec<u8>, Value)>> {
    let mut fields = Vec::new();
    table.for_each(|key: Value, value: Value| {
        if let Value::String(key) = key {
            fields.push((key.as_bytes().to_vec(), value));
        }
        Ok(())
    })?;
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(fields)
}

fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        Value::Number(number) => Some(number.to_string().into_bytes()),
        Value::Boolean(value) => Some(value.to_string().into_bytes()),
        _ => None,
    }
}
