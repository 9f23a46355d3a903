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

/// Appends a document to a buffer (CNV-33): declarations, then elements. Strings are bytes; those
/// that XML cannot hold are written as base64.
///
/// More than one element, or a text, at the outermost level make a fragment, which is no document:
/// that is for the caller to know. After an error the text is of no use.
#[derive(Debug)]
pub struct XmlDocumentEncoder<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    /// The last begin has no `>` yet.
    in_tag: bool,
}

impl<'a> XmlDocumentEncoder<'a> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: 1, in_tag: false }
    }

    /// Writes a declaration, `<?name a="b"?>`; that of the name `xml` must be the first. Its
    /// `version`, `encoding` and `standalone` are written in this order, which XML demands.
    ///
    /// # Errors
    /// [`WriteError::KeyNotName`] for a name that XML does not allow.
    pub fn declaration<'t>(
        &mut self,
        name: &[u8],
        attributes: impl Iterator<Item = (&'t [u8], &'t [u8])>,
    ) -> Result<(), WriteError> {
        let mut ordered: Vec<_> = attributes.collect();
        if name == b"xml" {
            ordered.sort_by_key(|(name, _)| match *name {
                b"version" => 0,
                b"encoding" => 1,
                b"standalone" => 2,
                _ => 3,
            });
        }
        self.out.extend_from_slice(b"<?");
        self.name(name)?;
        ordered.into_iter().try_for_each(|(name, value)| self.attribute(name, value))?;
        self.out.extend_from_slice(b"?>");
        Ok(())
    }

    /// Begins an element: attributes follow, then texts and elements, then [`end`](Self::end).
    ///
    /// # Errors
    /// [`WriteError::KeyNotName`]; [`WriteError::TooDeep`] for more than 127 elements inside each
    /// other, for the document itself counts as a level.
    pub fn begin(&mut self, name: &[u8]) -> Result<(), WriteError> {
        if self.depth >= MAX_DEPTH {
            return Err(WriteError::TooDeep);
        }
        self.content();
        self.out.push(b'<');
        self.name(name)?;
        self.depth += 1;
        self.in_tag = true;
        Ok(())
    }

    /// Writes an attribute of the element that was begun last.
    ///
    /// # Errors
    /// [`WriteError::KeyNotName`].
    pub fn attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.out.push(b' ');
        self.name(name)?;
        self.out.extend_from_slice(b"=\"");
        escape_attribute(self.out, &text_of(value));
        self.out.push(b'"');
        Ok(())
    }

    /// Writes a text, escaped.
    pub fn text(&mut self, text: &[u8]) {
        self.content();
        escape(self.out, &text_of(text));
    }

    /// Ends an element, whose name its begin has let pass.
    pub fn end(&mut self, name: &[u8]) {
        debug_assert!(self.depth > 1, "end without begin");
        self.depth = self.depth.saturating_sub(1);
        if std::mem::take(&mut self.in_tag) {
            self.out.extend_from_slice(b"/>");
            return;
        }
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name);
        self.out.push(b'>');
    }

    /// Something comes inside of the element.
    fn content(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.out.push(b'>');
        }
    }

    fn name(&mut self, name: &[u8]) -> Result<(), WriteError> {
        if !std::str::from_utf8(name).is_ok_and(is_name) {
            return Err(WriteError::KeyNotName);
        }
        self.out.extend_from_slice(name);
        Ok(())
    }
}
