//! Decoding into trees of values.

use bytes::Bytes;

use crate::builder::{Builder, Container};
use crate::decoder::Decoder;
use crate::error::DecodeError;
use crate::limits::{MAX_DEPTH, MAX_VALUE_BYTES, MAX_VALUE_NODES};
use crate::value::{Object, Value};

/// Decodes all AMF0 values of a message: those before an error, and the error (CNV-14, CNV-17).
pub fn decode_amf0_all(bytes: &[u8]) -> (Vec<Value>, Option<DecodeError>) {
    ValueDecoder::amf0(bytes).all()
}

/// Decodes all AMF3 values of a message: those before an error, and the error (CNV-14, CNV-17).
pub fn decode_amf3_all(bytes: &[u8]) -> (Vec<Value>, Option<DecodeError>) {
    ValueDecoder::amf3(bytes).all()
}

/// Reads [`Value`]s one after another: a [`Decoder`] with a [`ValueBuilder`].
#[derive(Debug)]
pub struct ValueDecoder<'a> {
    decoder: Decoder<'a, ValueNode>,
    builder: ValueBuilder,
}

impl<'a> ValueDecoder<'a> {
    /// A decoder of AMF0 values, in which `0x11` switches one value to AMF3.
    pub fn amf0(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::amf0(bytes), builder: ValueBuilder::default() }
    }

    /// A decoder of AMF3 values.
    pub fn amf3(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::amf3(bytes), builder: ValueBuilder::default() }
    }

    /// Reads the next value, or `None` at the end of the input.
    ///
    /// # Errors
    /// As [`Decoder::next`], and the bounds of a tree.
    pub fn next_value(&mut self) -> Result<Option<Value>, DecodeError> {
        let left = self.decoder.remaining().len();
        let Some(node) = self.decoder.next(&mut self.builder)? else {
            return Ok(None);
        };
        let value = self.builder.finish(node);
        if value.is_err() {
            self.decoder.refuse_last(left);
        }
        value.map(Some)
    }

    /// What follows the last complete value.
    pub fn remaining(&self) -> &'a [u8] {
        self.decoder.remaining()
    }

    fn all(mut self) -> (Vec<Value>, Option<DecodeError>) {
        let mut values = Vec::new();
        loop {
            match self.next_value() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => return (values, None),
                Err(error) => return (values, Some(error)),
            }
        }
    }
}

/// A [`Builder`] of [`Value`]s for one message.
///
/// Containers are kept as a graph, for references may share them; [`finish`](Self::finish) copies
/// a tree out of it. Both are bounded by [`MAX_VALUE_NODES`] and [`MAX_VALUE_BYTES`].
#[derive(Debug, Default)]
pub struct ValueBuilder {
    containers: Vec<Graph>,
    built: Budget,
    copied: Budget,
}

/// A value of a [`ValueBuilder`].
#[derive(Clone, Debug)]
pub struct ValueNode(Node);

#[derive(Clone, Debug)]
enum Node {
    /// Anything but a container.
    Leaf(Value),
    /// Index of a container.
    Container(usize),
}

#[derive(Debug)]
struct Graph {
    kind: Kind,
    members: Vec<(Bytes, Node)>,
    elements: Vec<Node>,
    entries: Vec<(Node, Node)>,
    /// On the way from the root to where the copy stands: a reference to it is cyclic.
    open: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Object(Option<Bytes>),
    EcmaArray,
    Array,
    Dictionary { weak: bool },
}

/// What was used up so far.
#[derive(Debug, Default)]
struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    fn node(&mut self) -> Result<(), DecodeError> {
        self.nodes += 1;
        if self.nodes <= MAX_VALUE_NODES { Ok(()) } else { Err(DecodeError::TooManyNodes) }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes <= MAX_VALUE_BYTES { Ok(()) } else { Err(DecodeError::TooManyBytes) }
    }
}

impl ValueBuilder {
    /// The tree under a node. References become copies; a container inside itself becomes null,
    /// and so does one that was not finished.
    ///
    /// # Errors
    /// [`DecodeError::TooManyNodes`], [`DecodeError::TooManyBytes`] over all trees of the message;
    /// [`DecodeError::TreeTooDeep`].
    pub fn finish(&mut self, node: ValueNode) -> Result<Value, DecodeError> {
        let Self { containers, copied, .. } = self;
        match node.0 {
            // Its own, so it moves.
            Node::Leaf(value) => leaf(value, copied),
            node @ Node::Container(_) => copy(containers, copied, &node, 0),
        }
    }

    fn leaf(&mut self, value: Value) -> Result<ValueNode, DecodeError> {
        self.built.node()?;
        Ok(ValueNode(Node::Leaf(value)))
    }

    fn text(&mut self, value: &[u8]) -> Result<Bytes, DecodeError> {
        self.built.bytes(value)?;
        Ok(Bytes::copy_from_slice(value))
    }

    fn graph(&mut self, container: &ValueNode) -> Option<&mut Graph> {
        match container.0 {
            Node::Container(index) => self.containers.get_mut(index),
            Node::Leaf(_) => None,
        }
    }
}

fn leaf(value: Value, budget: &mut Budget) -> Result<Value, DecodeError> {
    budget.node()?;
    if let Value::String(bytes) | Value::ByteArray(bytes) = &value {
        budget.bytes(bytes)?;
    }
    Ok(value)
}

fn copy(
    containers: &mut [Graph],
    budget: &mut Budget,
    node: &Node,
    depth: usize,
) -> Result<Value, DecodeError> {
    let index = match node {
        Node::Leaf(value) => return leaf(value.clone(), budget),
        Node::Container(index) => *index,
    };
    budget.node()?;
    let Some(graph) = containers.get_mut(index).filter(|graph| !graph.open) else {
        return Ok(Value::Null);
    };
    if depth >= MAX_DEPTH {
        return Err(DecodeError::TreeTooDeep);
    }
    // The children are taken out while they are copied, and put back for later references.
    graph.open = true;
    let kind = graph.kind.clone();
    let members = std::mem::take(&mut graph.members);
    let elements = std::mem::take(&mut graph.elements);
    let entries = std::mem::take(&mut graph.entries);
    let inner = depth + 1;
    let mut child = |node: &Node, budget: &mut Budget| copy(containers, budget, node, inner);

    let value = (|| {
        let mut named = Vec::with_capacity(members.len());
        for (key, node) in &members {
            budget.bytes(key)?;
            named.push((key.clone(), child(node, budget)?));
        }
        let mut dense = Vec::with_capacity(elements.len());
        for node in &elements {
            dense.push(child(node, budget)?);
        }
        Ok(match kind {
            Kind::Object(type_name) => {
                budget.bytes(type_name.as_deref().unwrap_or_default())?;
                Value::Object(Object { type_name, members: named })
            }
            Kind::EcmaArray => Value::EcmaArray(named),
            Kind::Array if named.is_empty() => Value::Array(dense),
            Kind::Array if dense.is_empty() => Value::EcmaArray(named),
            Kind::Array => Value::MixedArray { members: named, elements: dense },
            Kind::Dictionary { weak } => {
                let mut pairs = Vec::with_capacity(entries.len());
                for (key, node) in &entries {
                    pairs.push((child(key, budget)?, child(node, budget)?));
                }
                Value::Dictionary { weak, entries: pairs }
            }
        })
    })();

    if let Some(graph) = containers.get_mut(index) {
        graph.open = false;
        graph.members = members;
        graph.elements = elements;
        graph.entries = entries;
    }
    value
}

impl Builder for ValueBuilder {
    type Value = ValueNode;
    type Error = DecodeError;

    fn null(&mut self) -> Result<ValueNode, DecodeError> {
        self.leaf(Value::Null)
    }

    fn undefined(&mut self) -> Result<ValueNode, DecodeError> {
        self.leaf(Value::Undefined)
    }

    fn boolean(&mut self, value: bool) -> Result<ValueNode, DecodeError> {
        self.leaf(Value::Bool(value))
    }

    fn number(&mut self, value: f64) -> Result<ValueNode, DecodeError> {
        self.leaf(Value::Number(value))
    }

    fn string(&mut self, value: &[u8]) -> Result<ValueNode, DecodeError> {
        let bytes = self.text(value)?;
        self.leaf(Value::String(bytes))
    }

    fn date(&mut self, ms: f64) -> Result<ValueNode, DecodeError> {
        self.leaf(Value::Date(ms))
    }

    fn byte_array(&mut self, value: &[u8]) -> Result<ValueNode, DecodeError> {
        let bytes = self.text(value)?;
        self.leaf(Value::ByteArray(bytes))
    }

    fn begin(&mut self, kind: Container<'_>) -> Result<ValueNode, DecodeError> {
        self.built.node()?;
        let kind = match kind {
            Container::Object { type_name: None } => Kind::Object(None),
            Container::Object { type_name: Some(name) } => Kind::Object(Some(self.text(name)?)),
            Container::Array { .. } => Kind::Array,
            Container::EcmaArray => Kind::EcmaArray,
            Container::Dictionary { weak, .. } => Kind::Dictionary { weak },
        };
        self.containers.push(Graph {
            kind,
            members: Vec::new(),
            elements: Vec::new(),
            entries: Vec::new(),
            open: false,
        });
        Ok(ValueNode(Node::Container(self.containers.len() - 1)))
    }

    fn member(
        &mut self,
        container: &ValueNode,
        key: &[u8],
        value: ValueNode,
    ) -> Result<(), DecodeError> {
        let key = self.text(key)?;
        if let Some(graph) = self.graph(container) {
            graph.members.push((key, value.0));
        }
        Ok(())
    }

    fn element(
        &mut self,
        container: &ValueNode,
        _index: usize,
        value: ValueNode,
    ) -> Result<(), DecodeError> {
        if let Some(graph) = self.graph(container) {
            graph.elements.push(value.0);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        container: &ValueNode,
        key: ValueNode,
        value: ValueNode,
    ) -> Result<(), DecodeError> {
        if let Some(graph) = self.graph(container) {
            graph.entries.push((key.0, value.0));
        }
        Ok(())
    }

    fn end(&mut self, _container: &ValueNode) -> Result<(), DecodeError> {
        Ok(())
    }
}
