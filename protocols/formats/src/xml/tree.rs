//! A parsed XML text: elements, attributes, texts, declarations.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::reader::Reader;

use super::text::{forbidden, is_name};
use crate::error::ReadError;
use crate::limits::{MAX_ATTRIBUTES, MAX_DECLARATIONS, MAX_INPUT_BYTES, MAX_NODES, MAX_XML_DEPTH};

/// An element with a text in it, as most are, is two nodes of `<name>text</name>`.
const BYTES_PER_NODE: usize = 16;

/// Nodes that are reserved on the length of a text alone.
const MAX_RESERVED: usize = 4_096;

const XML: XmlVersion = XmlVersion::Explicit1_0;

/// Number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Debug)]
struct TreeNode {
    is_text: bool,
    /// Name of an element, content of a text.
    text: Span,
    /// Range of `attributes`.
    attributes: Span,
    child: Option<Id>,
    next: Option<Id>,
}

/// A declaration of the prolog, or a processing instruction of that form.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

/// The tree.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<TreeNode>,
    attributes: Vec<(Span, Span)>,
    text: String,
    declarations: Vec<Declaration>,
}

impl Tree {
    pub(crate) fn root(&self) -> Id {
        Id(0)
    }

    pub(crate) fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// Name of an element; nothing for a text.
    pub(crate) fn name(&self, id: Id) -> &str {
        self.node(id).filter(|node| !node.is_text).map_or("", |node| self.get(node.text))
    }

    /// A text's own; nothing for an element.
    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        self.node(id).filter(|node| node.is_text).map(|node| self.get(node.text))
    }

    pub(crate) fn attributes(&self, id: Id) -> impl Iterator<Item = (&str, &str)> {
        let span = self.node(id).map_or(Span::default(), |node| node.attributes);
        let attributes = self.attributes.get(span.start as usize..span.end as usize);
        let pair = |(name, value): &(Span, Span)| (self.get(*name), self.get(*value));
        attributes.unwrap_or_default().iter().map(pair)
    }

    pub(crate) fn children(&self, id: Id) -> impl Iterator<Item = Id> + Clone {
        let first = self.node(id).and_then(|node| node.child);
        std::iter::successors(first, |id| self.node(*id).and_then(|node| node.next))
    }

    /// Children that are elements.
    pub(crate) fn elements(&self, id: Id) -> impl Iterator<Item = Id> + Clone {
        self.children(id).filter(|child| self.node(*child).is_some_and(|node| !node.is_text))
    }

    /// All text directly inside of an element. Nearly always that is one node, which needs no copy.
    pub(crate) fn content(&self, id: Id) -> Cow<'_, str> {
        let mut texts = self.children(id).filter_map(|child| self.text(child));
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => first.into(),
            Some(second) => [first, second].into_iter().chain(texts).collect::<String>().into(),
        }
    }

    fn node(&self, id: Id) -> Option<&TreeNode> {
        self.nodes.get(id.0 as usize)
    }

    fn get(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn span(&mut self, text: &str) -> Span {
        let start = index(self.text.len());
        self.text.push_str(text);
        Span { start, end: index(self.text.len()) }
    }
}

/// Inputs are far below 4 GiB.
fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Parses a text; errors call it `format`.
pub(crate) fn parse(format: &'static str, text: &[u8]) -> Result<Tree, ReadError> {
    if text.len() > MAX_INPUT_BYTES {
        return Err(ReadError::TooLong { bytes: text.len() });
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = std::str::from_utf8(text)
        .map_err(|error| ReadError::at(format, error.valid_up_to(), "not UTF-8"))?;
    if let Some(at) = forbidden(text) {
        return Err(ReadError::at(format, at, "a control character"));
    }
    let mut reader = Reader::from_str(text);
    // Ends are compared here, for the reader does not see those of plain elements.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut tree = Tree::default();
    // Names of ends and all that is markup are not kept, so it is enough for most texts.
    tree.text.reserve(text.len() / 2);
    tree.nodes.reserve((text.len() / BYTES_PER_NODE).min(MAX_RESERVED));
    let mut parser = Parser { format, at: 0, tree, open: Vec::new(), ended: false };
    loop {
        parser.at = text.len() - reader.get_ref().len();
        // What was read past the reader.
        let skipped = (parser.at as u64).saturating_sub(reader.buffer_position());
        let is_tag = match reader.read_event() {
            Ok(Event::Eof) => return parser.finish(),
            Ok(event) => {
                let is_tag = matches!(event, Event::Start(_) | Event::End(_));
                parser.event(event)?;
                is_tag
            }
            Err(error) => {
                let at = usize::try_from(reader.error_position() + skipped).unwrap_or(parser.at);
                return Err(ReadError::at(format, at, error));
            }
        };
        // Behind a tag the reader stands at text, and can go on at any text or tag.
        if is_tag {
            let at = parser.plain(text, text.len() - reader.get_ref().len())?;
            *reader.get_mut() = text.as_bytes().get(at..).unwrap_or_default();
        }
    }
}

struct Parser {
    format: &'static str,
    /// Where the event began.
    at: usize,
    tree: Tree,
    /// Elements that are open, each with its last child.
    open: Vec<(Id, Option<Id>)>,
    /// Whether the root has ended.
    ended: bool,
}

impl Parser {
    fn event(&mut self, event: Event<'_>) -> Result<(), ReadError> {
        match event {
            Event::Start(start) => self.start(&start),
            Event::Empty(start) => {
                self.start(&start)?;
                self.end();
                Ok(())
            }
            Event::End(end) => {
                let name = end.name();
                let name: &str = name.as_ref();
                match self.open.last() {
                    Some((open, _)) if self.tree.name(*open) == name => {
                        self.end();
                        Ok(())
                    }
                    Some((open, _)) => {
                        self.fail(format!("</{name}> at the end of <{}>", self.tree.name(*open)))
                    }
                    None => self.fail(format!("</{name}> without a beginning")),
                }
            }
            Event::Text(text) => self.text(&text.xml_content(XML)),
            Event::CData(text) => self.text_node(&text.xml_content(XML)),
            Event::GeneralRef(reference) => {
                let char = match reference.resolve_char_ref() {
                    Ok(Some(char)) => char,
                    Ok(None) => match &*reference.xml_content(XML) {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        name => return self.fail(format!("unknown entity {name}")),
                    },
                    Err(error) => return self.fail(error),
                };
                let mut buffer = [0; 4];
                let text = char.encode_utf8(&mut buffer);
                if forbidden(text).is_some() {
                    return self.fail("a control character");
                }
                self.text_node(text)
            }
            Event::Comment(_) => Ok(()),
            Event::Decl(declaration) => self.declaration(&declaration),
            Event::PI(instruction) if self.tree.nodes.is_empty() => {
                // Only those of the form of a declaration are of use (CNV-32).
                let name = instruction.target();
                let pairs: Option<Vec<_>> = pairs(instruction.attributes()).ok().flatten();
                let is_pair =
                    |(name, value): &(String, String)| is_name(name) && forbidden(value).is_none();
                let fits = |pairs: &Vec<_>| !pairs.is_empty() && pairs.iter().all(is_pair);
                match pairs.filter(|pairs| fits(pairs) && is_name(name)) {
                    Some(attributes) => self.declare(name.to_owned(), attributes),
                    None => Ok(()),
                }
            }
            Event::PI(_) => Ok(()),
            // One that only names the root or a file is harmless: nothing is ever loaded.
            Event::DocType(text) if self.tree.nodes.is_empty() && !text.contains('[') => Ok(()),
            Event::DocType(_) => self.fail("a document type that declares something"),
            Event::Eof => Ok(()),
        }
    }

    fn fail<T>(&self, reason: impl std::fmt::Display) -> Result<T, ReadError> {
        Err(ReadError::at(self.format, self.at, reason))
    }

    /// Reads tags without attributes and texts without references as far as they go, which is nearly
    /// all of a message; answers where the rest begins. The reader takes five times as long for them.
    fn plain(&mut self, text: &str, mut at: usize) -> Result<usize, ReadError> {
        let bytes = text.as_bytes();
        loop {
            self.at = at;
            let rest = &bytes[at..];
            match rest {
                [b'<', b'/', rest @ ..] => {
                    let Some((open, _)) = self.open.last() else { return Ok(at) };
                    let name = self.tree.name(*open).as_bytes();
                    if !rest.starts_with(name) || rest.get(name.len()) != Some(&b'>') {
                        return Ok(at);
                    }
                    at += name.len() + 3;
                    self.end();
                }
                [b'<', b'A'..=b'Z' | b'a'..=b'z', ..] => {
                    let rest = &rest[1..];
                    let length =
                        rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                    if rest.get(length) != Some(&b'>') {
                        return Ok(at);
                    }
                    let name = &text[at + 1..at + 1 + length];
                    at += length + 2;
                    self.begin(name, Span::default())?;
                }
                [b'<', ..] | [] => return Ok(at),
                // Line ends are not yet what XML makes of them.
                rest => match rest.iter().position(|byte| matches!(byte, b'<' | b'&' | b'\r')) {
                    Some(length) if rest[length] == b'<' => {
                        self.text(&text[at..at + length])?;
                        at += length;
                    }
                    _ => return Ok(at),
                },
            }
        }
    }

    fn end(&mut self) {
        self.open.pop();
        self.ended = self.open.is_empty();
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), ReadError> {
        let name = start.name();
        let name: &str = name.as_ref();
        if !is_name(name) {
            return self.fail(format!("bad name {name:?}"));
        }
        // Most elements have none.
        let bare = start.attributes_raw().trim_ascii().is_empty();
        let attributes = if bare {
            Some(Vec::new())
        } else {
            pairs(start.attributes()).or_else(|error| self.fail(error))?
        };
        let attributes = attributes.ok_or(ReadError::TooManyAttributes)?;
        let begin = index(self.tree.attributes.len());
        for (name, value) in attributes {
            if !is_name(&name) || forbidden(&value).is_some() {
                return self.fail(format!("bad attribute {name:?}"));
            }
            let pair = (self.tree.span(&name), self.tree.span(&value));
            self.tree.attributes.push(pair);
        }
        self.begin(name, Span { start: begin, end: index(self.tree.attributes.len()) })
    }

    /// Begins an element whose name is one.
    fn begin(&mut self, name: &str, attributes: Span) -> Result<(), ReadError> {
        if self.ended {
            return self.fail("a second root element");
        }
        if self.open.len() >= MAX_XML_DEPTH {
            return Err(ReadError::TooDeep);
        }
        let text = self.tree.span(name);
        let id =
            self.node(TreeNode { is_text: false, text, attributes, child: None, next: None })?;
        self.open.push((id, None));
        Ok(())
    }

    /// Adds a node after those that its parent has.
    fn node(&mut self, node: TreeNode) -> Result<Id, ReadError> {
        if self.tree.nodes.len() >= MAX_NODES {
            return Err(ReadError::TooManyValues);
        }
        let id = Id(index(self.tree.nodes.len()));
        self.tree.nodes.push(node);
        if let Some((parent, last)) = self.open.last_mut() {
            let before = last.replace(id);
            let at = before.unwrap_or(*parent).0 as usize;
            if let Some(node) = self.tree.nodes.get_mut(at) {
                if before.is_some() {
                    node.next = Some(id);
                } else {
                    node.child = Some(id);
                }
            }
        }
        Ok(id)
    }

    /// White space may stand outside of the root.
    fn text(&mut self, text: &str) -> Result<(), ReadError> {
        if self.open.is_empty() && text.trim_ascii().is_empty() {
            return Ok(());
        }
        self.text_node(text)
    }

    fn text_node(&mut self, text: &str) -> Result<(), ReadError> {
        let Some((_, last)) = self.open.last() else {
            return self.fail("text outside of the root element");
        };
        // Pieces between comments, references and CDATA are one text.
        let end = index(self.tree.text.len());
        let before = last.and_then(|id| self.tree.nodes.get(id.0 as usize));
        if before.is_some_and(|node| node.is_text && node.text.end == end) {
            let end = self.tree.span(text).end;
            if let Some(node) = last.and_then(|id| self.tree.nodes.get_mut(id.0 as usize)) {
                node.text.end = end;
            }
            return Ok(());
        }
        let text = self.tree.span(text);
        let attributes = Span::default();
        self.node(TreeNode { is_text: true, text, attributes, child: None, next: None }).map(|_| ())
    }

    fn declaration(&mut self, declaration: &BytesDecl<'_>) -> Result<(), ReadError> {
        if !self.tree.nodes.is_empty() || !self.tree.declarations.is_empty() {
            return self.fail("an XML declaration that is not the beginning");
        }
        let mut attributes = Vec::new();
        match declaration.version() {
            Ok(version) => attributes.push(("version".to_owned(), version.into_owned())),
            Err(error) => return self.fail(error),
        }
        let others =
            [("encoding", declaration.encoding()), ("standalone", declaration.standalone())];
        for (name, value) in others {
            match value {
                Some(Ok(value)) => attributes.push((name.to_owned(), value.into_owned())),
                Some(Err(error)) => return self.fail(error),
                None => {}
            }
        }
        // XML §2.8, §4.3.3: these values are words, nothing in them is ever escaped.
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if attributes.iter().any(|(_, value)| !value.bytes().all(is_word)) {
            return self.fail("a bad XML declaration");
        }
        self.declare("xml".to_owned(), attributes)
    }

    fn declare(
        &mut self,
        name: String,
        attributes: Vec<(String, String)>,
    ) -> Result<(), ReadError> {
        if self.tree.declarations.len() >= MAX_DECLARATIONS {
            return Err(ReadError::TooManyDeclarations);
        }
        self.tree.declarations.push(Declaration { name, attributes });
        Ok(())
    }

    fn finish(self) -> Result<Tree, ReadError> {
        if !self.open.is_empty() {
            return self.fail("an element that does not end");
        }
        if !self.ended {
            return self.fail("no root element");
        }
        Ok(self.tree)
    }
}

/// Names and values; `None` when there are too many.
fn pairs(attributes: Attributes<'_>) -> quick_xml::Result<Option<Vec<(String, String)>>> {
    let mut pairs = Vec::new();
    for attribute in attributes {
        let attribute = attribute?;
        if pairs.len() >= MAX_ATTRIBUTES {
            return Ok(None);
        }
        let value = attribute.normalized_value(XML)?.into_owned();
        let name: &str = attribute.key.as_ref();
        pairs.push((name.to_owned(), value));
    }
    Ok(Some(pairs))
}
