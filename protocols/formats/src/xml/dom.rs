//! The 2020 dialect: the document itself as tables (CNV-32, CNV-33).

use super::text::{escape, escape_attribute, is_name, text_of};
use super::tree::{Id, Tree};
use crate::document::{Document, Kind, Node, Span, Tape};
use crate::error::{ReadError, WriteError};
use crate::limits::MAX_DEPTH;

/// Member that holds the name of an element.
const NAME: &[u8] = b"__name";

pub(super) fn read(tree: &Tree) -> Result<Document, ReadError> {
    let mut tape = Tape::default();
    let document = tape.open()?;
    for declaration in tree.declarations() {
        tape.key(declaration.name.as_bytes())?;
        let at = tape.open()?;
        for (name, value) in &declaration.attributes {
            tape.key(name.as_bytes())?;
            tape.text(value.as_bytes())?;
        }
        let members = count(declaration.attributes.len());
        tape.set(at, Node::Object { type_name: Span::default(), members });
    }
    // The document table is level 1.
    element(tree, tree.root(), &mut tape, 1)?;
    tape.set(document, Node::Array { members: count(tree.declarations().len()), elements: 1 });
    Ok(Document::new(Kind::XmlDom, tape, 1))
}

fn element(tree: &Tree, id: Id, tape: &mut Tape, depth: usize) -> Result<(), ReadError> {
    if depth >= MAX_DEPTH {
        return Err(ReadError::TooDeep);
    }
    let at = tape.open()?;
    let mut members = 1;
    for (name, value) in tree.attributes(id) {
        members += 1;
        tape.key(name.as_bytes())?;
        tape.text(value.as_bytes())?;
    }
    // Last, so that no attribute can be taken for it.
    tape.key(NAME)?;
    tape.text(tree.name(id).as_bytes())?;
    let mut elements = 0;
    for child in tree.children(id) {
        match tree.text(child).map(str::trim_ascii) {
            Some("") => continue,
            Some(text) => tape.text(text.as_bytes())?,
            None => element(tree, child, tape, depth + 1)?,
        }
        elements += 1;
    }
    tape.set(at, Node::Array { members, elements });
    Ok(())
}

/// Bounded by the nodes of a tree.
fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A document to be written (CNV-33). Strings are bytes; those that XML cannot hold are written
/// as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XmlDocument {
    /// What comes before the root: `<?name a="b"?>`.
    pub declarations: Vec<XmlDeclaration>,
    /// The root element. More than one make a fragment, which is no XML document.
    pub nodes: Vec<XmlNode>,
}

/// A declaration of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XmlDeclaration {
    /// `xml` for the XML declaration.
    pub name: Vec<u8>,
    /// Names and values. `version`, `encoding` and `standalone` of `xml` are written in this
    /// order, which XML demands.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What stands in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlNode {
    /// A text, not escaped.
    Text(Vec<u8>),
    /// An element.
    Element {
        /// Its name.
        name: Vec<u8>,
        /// Names and values, in the order in which they are written.
        attributes: Vec<(Vec<u8>, Vec<u8>)>,
        /// Texts and elements inside.
        children: Vec<XmlNode>,
    },
}

impl XmlDocument {
    /// Appends the document.
    ///
    /// # Errors
    /// [`WriteError::KeyNotName`] for a name that XML does not allow, [`WriteError::TooDeep`] for
    /// more than 127 elements inside each other, for the document itself counts as a level;
    /// `out` is then as it was.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let start = out.len();
        let result = self.write_parts(out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn write_parts(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        // The XML declaration is only allowed as the beginning.
        let is_xml = |declaration: &&XmlDeclaration| declaration.name == b"xml";
        let first = self.declarations.iter().filter(is_xml);
        let rest = self.declarations.iter().filter(|declaration| !is_xml(declaration));
        for declaration in first.chain(rest) {
            let mut ordered: Vec<_> = declaration.attributes.iter().collect();
            if is_xml(&declaration) {
                ordered.sort_by_key(|(name, _)| match &name[..] {
                    b"version" => 0,
                    b"encoding" => 1,
                    b"standalone" => 2,
                    _ => 3,
                });
            }
            out.extend_from_slice(b"<?");
            write_name(out, &declaration.name)?;
            write_attributes(out, ordered.into_iter())?;
            out.extend_from_slice(b"?>");
        }
        self.nodes.iter().try_for_each(|node| node.write(out, 1))
    }
}

impl XmlNode {
    fn write(&self, out: &mut Vec<u8>, depth: usize) -> Result<(), WriteError> {
        let (name, attributes, children) = match self {
            Self::Text(text) => {
                escape(out, &text_of(text));
                return Ok(());
            }
            Self::Element { name, attributes, children } => (name, attributes, children),
        };
        if depth >= MAX_DEPTH {
            return Err(WriteError::TooDeep);
        }
        out.push(b'<');
        write_name(out, name)?;
        write_attributes(out, attributes.iter())?;
        if children.is_empty() {
            out.extend_from_slice(b"/>");
            return Ok(());
        }
        out.push(b'>');
        children.iter().try_for_each(|child| child.write(out, depth + 1))?;
        out.extend_from_slice(b"</");
        write_name(out, name)?;
        out.push(b'>');
        Ok(())
    }
}

fn write_name(out: &mut Vec<u8>, name: &[u8]) -> Result<(), WriteError> {
    if !std::str::from_utf8(name).is_ok_and(is_name) {
        return Err(WriteError::KeyNotName);
    }
    out.extend_from_slice(name);
    Ok(())
}

fn write_attributes<'a>(
    out: &mut Vec<u8>,
    attributes: impl Iterator<Item = &'a (Vec<u8>, Vec<u8>)>,
) -> Result<(), WriteError> {
    for (name, value) in attributes {
        out.push(b' ');
        write_name(out, name)?;
        out.extend_from_slice(b"=\"");
        escape_attribute(out, &text_of(value));
        out.push(b'"');
    }
    Ok(())
}
