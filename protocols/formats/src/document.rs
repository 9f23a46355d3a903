//! What was read, before its receiver makes values of it.
//!
//! All formats are read completely first and handed on afterwards, because the shape of a
//! container may be known only at its end (`__type` in any position, repeated names of XML), and
//! because nothing of a malformed text may reach a script.

use ramona_amf::{Builder, Container};

use crate::error::{Problem, ReadError};
use crate::limits::{MAX_CONTAINERS, MAX_INPUT_BYTES, MAX_NODES, MAX_PROBLEMS};

/// A member of JSON or a query is two nodes.
const BYTES_PER_NODE: usize = 8;

/// Nodes that are reserved on the length of a text alone.
const MAX_RESERVED: usize = 4_096;

/// What a text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// JSON whose outermost value is an array: its elements are the values (CNV-20).
    JsonArray,
    /// JSON whose outermost value is an object, the only value (MON-16).
    JsonObject,
    /// JSON that is a single value of another type.
    JsonScalar,
    /// XML-RPC `methodCall`: the first value is the method's name (CNV-26).
    XmlRpcCall,
    /// XML-RPC `methodResponse`: the parameters, or the value of a `fault`.
    XmlRpcResponse,
    /// XML with the root `__array` (CNV-30).
    XmlArray,
    /// Any other XML: one value, the document table (CNV-32). In it each element is an array
    /// whose members are the attributes and then `__name`.
    XmlDom,
    /// A query string (CNV-35).
    Query,
}

/// The values of a text, in order. See [`read_json`](crate::read_json) and its neighbours.
#[derive(Clone, Debug)]
pub struct Document {
    kind: Kind,
    tape: Tape,
    /// Node where the next value begins.
    at: usize,
    values: usize,
}

impl Document {
    pub(crate) fn new(kind: Kind, tape: Tape, values: usize) -> Self {
        Self { kind, tape, at: 0, values }
    }

    /// What the text was.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Values that [`next`](Self::next) has yet to hand on.
    pub fn remaining(&self) -> usize {
        self.values
    }

    /// Whether the next value is a string: in a message, the name of a method (HTT-03, WSK-01).
    pub fn starts_with_string(&self) -> bool {
        self.values > 0 && matches!(self.tape.nodes.get(self.at), Some(Node::Text(_)))
    }

    /// The first values that could not be read; null stands in their place (CNV-28).
    pub fn problems(&self) -> &[Problem] {
        &self.tape.problems
    }

    /// How many values could not be read, also those that are not kept.
    pub fn problem_count(&self) -> usize {
        self.tape.problem_count
    }

    /// Makes the next value, or answers `None` after the last.
    ///
    /// Containers nest at most [`MAX_DEPTH`](crate::limits::MAX_DEPTH) deep; there are no
    /// references, no undefined and no dictionaries. An array may have members before its
    /// elements, as in AMF3.
    ///
    /// # Errors
    /// Those of the builder alone. What follows the value that failed is still there, but the
    /// value is not handed on again.
    pub fn next<B: Builder>(&mut self, builder: &mut B) -> Result<Option<B::Value>, B::Error> {
        if self.values == 0 {
            return Ok(None);
        }
        self.values -= 1;
        let mut at = self.at;
        let value = self.tape.build(&mut at, builder);
        self.at = if value.is_ok() { at } else { self.tape.skip(self.at) };
        value.map(Some)
    }
}

/// Bytes of a [`Tape`]'s text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

/// One value, or the head of a container: what it holds follows, and so does the value of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Boolean(bool),
    Number(f64),
    Text(Span),
    Date(f64),
    Bytes(Span),
    Key(Span),
    Object {
        type_name: Span,
        members: u32,
    },
    /// Members, then elements.
    Array {
        members: u32,
        elements: u32,
    },
}

const _: () = assert!(size_of::<Node>() == 16, "MAX_NODES counts on it");

/// Values in the order in which they are handed on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
    text: Vec<u8>,
    containers: usize,
    problems: Vec<Problem>,
    problem_count: usize,
}

impl Tape {
    /// An empty tape for an input of that length.
    pub(crate) fn for_input(bytes: usize) -> Result<Self, ReadError> {
        if bytes > MAX_INPUT_BYTES {
            Err(ReadError::TooLong { bytes })
        } else {
            let nodes = Vec::with_capacity((bytes / BYTES_PER_NODE).min(MAX_RESERVED));
            let text = Vec::with_capacity(bytes.min(16 * MAX_RESERVED));
            Ok(Self { nodes, text, ..Self::default() })
        }
    }

    pub(crate) fn push(&mut self, node: Node) -> Result<(), ReadError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(ReadError::TooManyValues);
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Keeps a text. Inputs are far below 4 GiB, and every byte of them is kept at most a few
    /// times.
    pub(crate) fn span(&mut self, text: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
        Span { start: number(start), len: number(text.len()) }
    }

    pub(crate) fn get(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.text.get(start..start + span.len as usize).unwrap_or_default()
    }

    pub(crate) fn text(&mut self, text: &[u8]) -> Result<(), ReadError> {
        let span = self.span(text);
        self.push(Node::Text(span))
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let span = self.span(bytes);
        self.push(Node::Bytes(span))
    }

    pub(crate) fn key(&mut self, key: &[u8]) -> Result<(), ReadError> {
        let span = self.span(key);
        self.push(Node::Key(span))
    }

    /// Begins a container whose kind and counts are set by [`set`](Self::set) at its end.
    pub(crate) fn open(&mut self) -> Result<usize, ReadError> {
        if self.containers >= MAX_CONTAINERS {
            return Err(ReadError::TooManyContainers);
        }
        self.containers += 1;
        let at = self.nodes.len();
        self.push(Node::Array { members: 0, elements: 0 })?;
        Ok(at)
    }

    pub(crate) fn set(&mut self, at: usize, node: Node) {
        if let Some(place) = self.nodes.get_mut(at) {
            *place = node;
        }
    }

    /// Number of nodes; a place to come back to.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn last(&self) -> Option<Node> {
        self.nodes.last().copied()
    }

    /// Forgets the nodes from a place on.
    pub(crate) fn truncate(&mut self, at: usize) {
        self.nodes.truncate(at);
    }

    /// Notes a value that cannot be read, and puts null in its place.
    pub(crate) fn problem(&mut self, what: &[u8], text: &[u8]) -> Result<(), ReadError> {
        self.problem_count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::new(what, text));
        }
        self.push(Node::Null)
    }

    fn build<B: Builder>(&self, at: &mut usize, builder: &mut B) -> Result<B::Value, B::Error> {
        let node = self.nodes.get(*at).copied().unwrap_or(Node::Null);
        *at += 1;
        match node {
            Node::Null | Node::Key(_) => builder.null(),
            Node::Boolean(value) => builder.boolean(value),
            Node::Number(value) => builder.number(value),
            Node::Text(span) => builder.string(self.get(span)),
            Node::Date(ms) => builder.date(ms),
            Node::Bytes(span) => builder.byte_array(self.get(span)),
            Node::Object { type_name, members } => {
                let type_name = Some(self.get(type_name)).filter(|name| !name.is_empty());
                let object = builder.begin(Container::Object { type_name })?;
                self.members(members, at, &object, builder)?;
                builder.end(&object)?;
                Ok(object)
            }
            Node::Array { members, elements } => {
                let elements = elements as usize;
                let array = builder.begin(Container::Array { len_hint: elements })?;
                self.members(members, at, &array, builder)?;
                for index in 0..elements {
                    let value = self.build(at, builder)?;
                    builder.element(&array, index, value)?;
                }
                builder.end(&array)?;
                Ok(array)
            }
        }
    }

    fn members<B: Builder>(
        &self,
        count: u32,
        at: &mut usize,
        container: &B::Value,
        builder: &mut B,
    ) -> Result<(), B::Error> {
        for _ in 0..count {
            let key = match self.nodes.get(*at) {
                Some(Node::Key(span)) => self.get(*span),
                other => {
                    debug_assert!(false, "a key, not {other:?}");
                    b""
                }
            };
            *at += 1;
            let value = self.build(at, builder)?;
            builder.member(container, key, value)?;
        }
        Ok(())
    }

    /// Where the value ends that begins at a place.
    fn skip(&self, mut at: usize) -> usize {
        let mut left = 1_u64;
        while left > 0 {
            let Some(node) = self.nodes.get(at) else { return at };
            at += 1;
            match node {
                // Its value follows.
                Node::Key(_) => {}
                Node::Object { members, .. } => left = left - 1 + u64::from(*members),
                Node::Array { members, elements } => {
                    left = left - 1 + u64::from(*members) + u64::from(*elements);
                }
                _ => left -= 1,
            }
        }
        at
    }
}
