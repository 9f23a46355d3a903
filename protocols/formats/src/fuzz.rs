//! Bodies of the fuzz targets `json`, `xml`, `xmlrpc` and `query`: plain functions that assert
//! what must hold for any input. The crate's tests run them over its corpus.

use ramona_amf::{Builder, Container, DecodeError, Value};

use crate::document::{Document, Kind};
use crate::error::{ReadError, WriteError};
use crate::limits::{MAX_DEPTH, MAX_PROBLEMS};
use crate::{JsonEncoder, QueryEncoder, XmlArrayEncoder, XmlDocumentEncoder};
use crate::{XmlRpcEncoder, read_json, read_query, read_values, read_xml, read_xml_body};
use crate::{read_xmlrpc, write_value};

/// Any bytes as JSON: what is read and written is read the same.
#[doc(hidden)]
pub fn json(data: &[u8]) {
    let Some((_, values)) = read(data, read_json) else { return };
    let mut text = Vec::new();
    let mut to = JsonEncoder::list(&mut text);
    for value in &values {
        assert_eq!(write_value(&mut to, value), Ok(()), "{value:?}");
    }
    to.finish();
    let (_, again) = read(&text, read_json).expect("what was written is JSON");
    assert_eq!(values, again);
}

/// Any bytes as XML-RPC: what is read and written is read the same.
#[doc(hidden)]
pub fn xmlrpc(data: &[u8]) {
    let Some((kind, values)) = read(data, read_xmlrpc) else { return };
    let mut text = Vec::new();
    let (mut to, parameters) = match (kind, &values[..]) {
        (Kind::XmlRpcCall, [Value::String(method), parameters @ ..]) => {
            (XmlRpcEncoder::call(&mut text, method).expect("a method name"), parameters)
        }
        (kind, parameters) => {
            assert_eq!(kind, Kind::XmlRpcResponse);
            (XmlRpcEncoder::response(&mut text), parameters)
        }
    };
    let mut whole = true;
    for value in parameters {
        match write_value(&mut to, value) {
            Ok(()) => {}
            // A time zone can move a date out of the years that can be written.
            Err(WriteError::DateOutOfRange) => whole = false,
            Err(error) => panic!("{error}: {value:?}"),
        }
    }
    to.finish();
    let (again_kind, again) = read(&text, read_xmlrpc).expect("what was written is XML-RPC");
    assert_eq!(again_kind, kind);
    assert_eq!(again.len(), values.len());
    assert!(!whole || values == again, "{values:?} became {again:?}");
}

/// Any bytes as XML. A document is read and written the same; values can be written at least,
/// for the 2014 dialect does not show every shape.
#[doc(hidden)]
pub fn xml(data: &[u8]) {
    let body = read_xml_body(data).map(|document| document.kind());
    let Some((kind, values)) = read(data, read_xml) else { return };
    assert!(body.is_err() || body == Ok(kind) || kind == Kind::XmlDom);
    let mut text = Vec::new();
    if kind == Kind::XmlDom {
        assert_eq!(dom(&values[0], &mut text), Ok(()), "{values:?}");
        let (_, again) = read(&text, read_xml).expect("what was written is XML");
        assert_eq!(values, again);
        return;
    }
    let mut to = XmlArrayEncoder::new(&mut text);
    for value in &values {
        assert_eq!(write_value(&mut to, value), Ok(()), "{value:?}");
    }
    to.finish();
    match read_xml(&text) {
        // A mixed table under a name comes back one level deeper.
        Err(ReadError::TooDeep) => {}
        result => assert_eq!(result.map(|document| document.kind()), Ok(Kind::XmlArray)),
    }
}

/// Any bytes as query: what is read and written is read the same.
#[doc(hidden)]
pub fn query(data: &[u8]) {
    let (_, values) = match read(data, read_query) {
        Some(values) => values,
        None => return,
    };
    let mut text = Vec::new();
    let mut to = QueryEncoder::new(&mut text);
    for value in &values {
        assert_eq!(write_value(&mut to, value), Ok(()), "{value:?}");
    }
    to.finish();
    assert!(text.iter().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    let (_, again) = read(&text, read_query).expect("what was written is a query");
    assert!(values == again || has_infinite(&values), "{values:?} became {again:?}");
}

fn has_infinite(values: &[Value]) -> bool {
    values.iter().any(|value| match value {
        Value::Number(number) => number.is_infinite(),
        Value::Object(object) => {
            object.members.iter().any(|(_, value)| has_infinite(std::slice::from_ref(value)))
        }
        _ => false,
    })
}

/// Reads twice: with a builder that checks the promises of a document, and as trees. `None` when
/// the text is refused, or more than a tree holds.
fn read(data: &[u8], read: fn(&[u8]) -> Result<Document, ReadError>) -> Option<(Kind, Vec<Value>)> {
    let document = match read(data) {
        Ok(document) => document,
        Err(error) => {
            assert!(error.to_string().len() < 400, "{error}");
            return None;
        }
    };
    assert!(document.problems().len() == document.problem_count().min(MAX_PROBLEMS));
    let mut watched = document.clone();
    let mut watch = Watch { input: data.len(), ..Watch::default() };
    for left in (0..document.remaining()).rev() {
        let string = watched.starts_with_string();
        let value = watched.next(&mut watch).expect("only the builder fails");
        assert_eq!(value, Some(if string { STRING } else { watch.first }));
        assert_eq!(watched.remaining(), left);
        assert!(watch.open.is_empty(), "each container ends inside its value");
    }
    assert_eq!(watched.next(&mut watch), Ok(None));
    let kind = document.kind();
    read_values(&mut document.clone()).ok().map(|values| (kind, values))
}

/// Writes the document that tables of the 2020 dialect stand for, as a script would.
fn dom(value: &Value, text: &mut Vec<u8>) -> Result<(), WriteError> {
    let mut out = XmlDocumentEncoder::new(text);
    let (members, elements) = parts(value);
    for (name, declaration) in members {
        let Value::Object(object) = declaration else {
            panic!("a declaration, not {declaration:?}")
        };
        let pairs = object.members.iter().map(|(name, value)| (&name[..], bytes(value)));
        out.declaration(&name, pairs)?;
    }
    elements.iter().try_for_each(|value| node(value, &mut out))
}

fn node(value: &Value, out: &mut XmlDocumentEncoder<'_>) -> Result<(), WriteError> {
    if let Value::String(text) = value {
        out.text(text);
        return Ok(());
    }
    let (members, elements) = parts(value);
    let (name, attributes) = members.split_last().expect("an element has a name");
    assert_eq!(name.0, b"__name");
    out.begin(bytes(name.1))?;
    attributes.iter().try_for_each(|(name, value)| out.attribute(name, bytes(value)))?;
    elements.iter().try_for_each(|value| node(value, out))?;
    out.end(bytes(name.1));
    Ok(())
}

/// Names and values; children.
fn parts(value: &Value) -> (Vec<(Vec<u8>, &Value)>, &[Value]) {
    let (members, elements): (&[_], &[Value]) = match value {
        Value::EcmaArray(members) => (members, &[]),
        Value::MixedArray { members, elements } => (members, elements),
        Value::Array(elements) => (&[], elements),
        other => panic!("a table of the document, not {other:?}"),
    };
    (members.iter().map(|(name, value)| (name.to_vec(), value)).collect(), elements)
}

fn bytes(value: &Value) -> &[u8] {
    value.as_string().expect("attributes are strings")
}

/// Handle of what is no container.
const SCALAR: usize = 0;
/// Handle of a string.
const STRING: usize = usize::MAX;

#[derive(Debug, Default)]
struct Watch {
    input: usize,
    containers: usize,
    /// Handle of the outermost value.
    first: usize,
    /// Containers begun and not ended: handle, elements, announced elements.
    open: Vec<(usize, usize, usize)>,
}

impl Watch {
    fn scalar(&mut self, handle: usize) -> Result<usize, DecodeError> {
        if self.open.is_empty() {
            self.first = handle;
        }
        Ok(handle)
    }

    fn top(&mut self, container: usize) -> &mut (usize, usize, usize) {
        let top = self.open.last_mut().expect("children come between begin and end");
        assert_eq!(top.0, container, "children belong to the innermost container");
        top
    }
}

impl Builder for Watch {
    type Value = usize;
    type Error = DecodeError;

    fn null(&mut self) -> Result<usize, DecodeError> {
        self.scalar(SCALAR)
    }

    fn undefined(&mut self) -> Result<usize, DecodeError> {
        panic!("text has no undefined")
    }

    fn boolean(&mut self, _: bool) -> Result<usize, DecodeError> {
        self.scalar(SCALAR)
    }

    fn number(&mut self, value: f64) -> Result<usize, DecodeError> {
        assert!(!value.is_nan());
        self.scalar(SCALAR)
    }

    fn string(&mut self, value: &[u8]) -> Result<usize, DecodeError> {
        assert!(value.len() <= self.input);
        self.scalar(STRING)
    }

    fn date(&mut self, ms: f64) -> Result<usize, DecodeError> {
        assert!(ms.is_finite());
        self.scalar(SCALAR)
    }

    fn byte_array(&mut self, value: &[u8]) -> Result<usize, DecodeError> {
        assert!(value.len() <= self.input);
        self.scalar(SCALAR)
    }

    fn begin(&mut self, kind: Container<'_>) -> Result<usize, DecodeError> {
        let announced = match kind {
            Container::Array { len_hint } => len_hint,
            Container::Object { type_name } => {
                assert_ne!(type_name, Some(b"".as_slice()));
                0
            }
            other => panic!("text has no {other:?}"),
        };
        assert!(announced <= self.input, "counts are bounded by the input");
        self.containers += 1;
        self.scalar(self.containers)?;
        self.open.push((self.containers, 0, announced));
        assert!(self.open.len() <= MAX_DEPTH);
        Ok(self.containers)
    }

    fn member(&mut self, container: &usize, key: &[u8], _: usize) -> Result<(), DecodeError> {
        assert!(key.len() <= self.input.max(8), "no key is longer than the input or `__name`");
        assert_eq!(self.top(*container).1, 0, "members come before elements");
        Ok(())
    }

    fn element(&mut self, container: &usize, index: usize, _: usize) -> Result<(), DecodeError> {
        let (_, elements, announced) = self.top(*container);
        assert_eq!(*elements, index, "elements come in order");
        assert!(index < *announced);
        *elements += 1;
        Ok(())
    }

    fn entry(&mut self, _: &usize, _: usize, _: usize) -> Result<(), DecodeError> {
        panic!("text has no dictionaries")
    }

    fn end(&mut self, container: &usize) -> Result<(), DecodeError> {
        let (_, elements, announced) = *self.top(*container);
        assert_eq!(elements, announced);
        self.open.pop();
        Ok(())
    }
}
