//! Reading XML-RPC.

use super::{CALL, RESPONSE};
use crate::document::{Document, Kind, Node, Tape};
use crate::error::ReadError;
use crate::limits::MAX_DEPTH;
use crate::xml::tree::{self, Id, Tree};
use crate::{binary, date};

const FORMAT: &str = "XML-RPC";

/// Reads an XML-RPC call or response (CNV-26).
///
/// The first value of a call is the name of its method; a response has only its parameters, or
/// the value of its fault. `i4`, `i8` and `int` are equal, `nil` and a value without content are
/// null, text without type is a string, `struct` may have a `type`. A value that is wrong for its
/// type, or of an unknown one, is a [`Problem`](crate::Problem) with null in its place (CNV-28).
///
/// # Errors
/// [`ReadError`]; elements that are out of place are malformed.
pub fn read_xmlrpc(text: &[u8]) -> Result<Document, ReadError> {
    read(&tree::parse(FORMAT, text)?)
}

pub(crate) fn read(tree: &Tree) -> Result<Document, ReadError> {
    let mut reader = Reader { tree, tape: Tape::default(), values: 0 };
    let root = tree.root();
    let mut parts = tree.elements(root);
    let kind = match tree.name(root) {
        CALL => {
            let name = parts.next().filter(|id| tree.name(*id) == "methodName");
            let name = name.ok_or_else(|| malformed("a call without method name"))?;
            if tree.elements(name).next().is_some() {
                return Err(malformed("elements in a method name"));
            }
            reader.tape.text(tree.content(name).trim_ascii().as_bytes())?;
            reader.values += 1;
            Kind::XmlRpcCall
        }
        RESPONSE => Kind::XmlRpcResponse,
        name => return Err(malformed(format!("root element {name:?}"))),
    };
    for part in parts {
        match tree.name(part) {
            "params" => reader.params(part)?,
            "fault" if kind == Kind::XmlRpcResponse => reader.param(part)?,
            name => return Err(malformed(format!("element {name:?} out of place"))),
        }
    }
    Ok(Document::new(kind, reader.tape, reader.values))
}

fn malformed(reason: impl Into<String>) -> ReadError {
    ReadError::malformed(FORMAT, reason)
}

struct Reader<'a> {
    tree: &'a Tree,
    tape: Tape,
    values: usize,
}

impl Reader<'_> {
    fn params(&mut self, params: Id) -> Result<(), ReadError> {
        for param in self.tree.elements(params) {
            match self.tree.name(param) {
                "param" => self.param(param)?,
                name => return Err(malformed(format!("element {name:?} in params"))),
            }
        }
        Ok(())
    }

    /// Reads what holds one value of the message.
    fn param(&mut self, param: Id) -> Result<(), ReadError> {
        let value = self.only(param, "value")?;
        self.value(value, 0)?;
        self.values += 1;
        Ok(())
    }

    /// The only element inside another.
    fn only(&self, id: Id, name: &str) -> Result<Id, ReadError> {
        let mut elements = self.tree.elements(id);
        match (elements.next(), elements.next()) {
            (Some(only), None) if self.tree.name(only) == name => Ok(only),
            _ => {
                let outer = self.tree.name(id);
                Err(malformed(format!("{outer:?} holds something else than one {name}")))
            }
        }
    }

    fn value(&mut self, value: Id, depth: usize) -> Result<(), ReadError> {
        let tree = self.tree;
        let mut elements = tree.elements(value);
        let Some(of_type) = elements.next() else {
            let text = tree.content(value);
            if text.is_empty() {
                return self.tape.push(Node::Null);
            }
            return self.tape.text(text.as_bytes());
        };
        if elements.next().is_some() {
            return Err(malformed("a value of two types"));
        }
        let type_name = tree.name(of_type);
        match type_name {
            "struct" => return self.structure(of_type, depth),
            "array" => return self.array(of_type, depth),
            _ => {}
        }
        let content = tree.content(of_type);
        let text = content.trim_ascii();
        if tree.elements(of_type).next().is_some() {
            return self.tape.problem(type_name.as_bytes(), b"<...>");
        }
        let node = match type_name {
            "string" => return self.tape.text(content.as_bytes()),
            "base64" => match binary::read_folded(text.as_bytes()) {
                Some(bytes) => return self.tape.bytes(&bytes),
                None => None,
            },
            "nil" => Some(Node::Null),
            "int" | "i4" | "i8" => integer(text).map(Node::Number),
            "double" => double(text).map(Node::Number),
            "boolean" => match text {
                "1" | "true" => Some(Node::Boolean(true)),
                "0" | "false" => Some(Node::Boolean(false)),
                _ => None,
            },
            "dateTime.iso8601" => date::read_xmlrpc(text.as_bytes()).map(Node::Date),
            _ => None,
        };
        match node {
            Some(node) => self.tape.push(node),
            None => self.tape.problem(type_name.as_bytes(), text.as_bytes()),
        }
    }

    fn open(&mut self, depth: usize) -> Result<usize, ReadError> {
        if depth >= MAX_DEPTH { Err(ReadError::TooDeep) } else { self.tape.open() }
    }

    fn structure(&mut self, of_type: Id, depth: usize) -> Result<(), ReadError> {
        let tree = self.tree;
        let at = self.open(depth)?;
        let type_name = tree.attributes(of_type).find(|(name, _)| *name == "type");
        let type_name = self.tape.span(type_name.map_or("", |(_, value)| value).as_bytes());
        let mut members = 0;
        for member in tree.elements(of_type) {
            if tree.name(member) != "member" {
                return Err(malformed(format!("element {:?} in a struct", tree.name(member))));
            }
            let mut parts = tree.elements(member);
            let (Some(name), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
                return Err(malformed("a member that is not a name and a value"));
            };
            if (tree.name(name), tree.name(value)) != ("name", "value") {
                return Err(malformed("a member that is not a name and a value"));
            }
            self.tape.key(tree.content(name).as_bytes())?;
            self.value(value, depth + 1)?;
            // Bounded by the nodes of a tree.
            members += 1;
        }
        self.tape.set(at, Node::Object { type_name, members });
        Ok(())
    }

    fn array(&mut self, of_type: Id, depth: usize) -> Result<(), ReadError> {
        let tree = self.tree;
        let data = self.only(of_type, "data")?;
        let at = self.open(depth)?;
        let mut elements = 0;
        for value in tree.elements(data) {
            if tree.name(value) != "value" {
                return Err(malformed(format!("element {:?} in an array", tree.name(value))));
            }
            self.value(value, depth + 1)?;
            // Bounded by the nodes of a tree.
            elements += 1;
        }
        self.tape.set(at, Node::Array { members: 0, elements });
        Ok(())
    }
}

/// A whole number of any length; beyond 2^53 the nearest double.
fn integer(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value: &f64| whole && value.is_finite())
}

/// A decimal, an exponent allowed; words like `inf` are none.
fn double(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|value: &f64| plain && value.is_finite())
}
