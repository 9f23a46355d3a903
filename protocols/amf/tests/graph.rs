//! Shared and cyclic references come out shared and cyclic (CNV-14), and externalizable objects
//! reach whoever can read them (BIO-01).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;
use ramona_amf::{
    Amf0Encoder, Amf3Encoder, Builder, Container, DecodeError, Decoder, ExternalBody,
};

/// A value as a script holds it: containers have an identity.
#[derive(Clone, Debug)]
enum Node {
    Null,
    Number(f64),
    Text(Vec<u8>),
    Table(Rc<Table>),
}

#[derive(Debug)]
struct Table {
    kind: Kind,
    fields: RefCell<Vec<(Vec<u8>, Node)>>,
    items: RefCell<Vec<Node>>,
    /// Dictionary entries.
    pairs: RefCell<Vec<(Node, Node)>>,
    ended: RefCell<bool>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Object(Option<Vec<u8>>),
    Array,
    EcmaArray,
    Dictionary,
    Bytes(Vec<u8>),
    External,
}

fn table(kind: Kind) -> Rc<Table> {
    let (fields, items, pairs, ended) = Default::default();
    Rc::new(Table { kind, fields, items, pairs, ended })
}

impl Node {
    fn table(&self) -> &Rc<Table> {
        let Self::Table(table) = self else { panic!("no table: {self:?}") };
        table
    }

    fn item(&self, index: usize) -> Self {
        self.table().items.borrow()[index].clone()
    }

    fn field(&self, key: &str) -> Self {
        let fields = self.table().fields.borrow();
        fields.iter().find(|(name, _)| name == key.as_bytes()).unwrap().1.clone()
    }

    fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(self.table(), other.table())
    }
}

/// Builds [`Node`]s; `external` is read as its own type.
struct Nodes;

impl Builder for Nodes {
    type Value = Node;
    type Error = DecodeError;

    fn null(&mut self) -> Result<Node, DecodeError> {
        Ok(Node::Null)
    }
    fn undefined(&mut self) -> Result<Node, DecodeError> {
        Ok(Node::Null)
    }
    fn boolean(&mut self, value: bool) -> Result<Node, DecodeError> {
        Ok(Node::Number(f64::from(u8::from(value))))
    }
    fn number(&mut self, value: f64) -> Result<Node, DecodeError> {
        Ok(Node::Number(value))
    }
    fn string(&mut self, value: &[u8]) -> Result<Node, DecodeError> {
        Ok(Node::Text(value.to_vec()))
    }
    fn date(&mut self, ms: f64) -> Result<Node, DecodeError> {
        let date = table(Kind::Object(Some(b"date".to_vec())));
        date.fields.borrow_mut().push((b"ms".to_vec(), Node::Number(ms)));
        Ok(Node::Table(date))
    }
    fn byte_array(&mut self, value: &[u8]) -> Result<Node, DecodeError> {
        Ok(Node::Table(table(Kind::Bytes(value.to_vec()))))
    }
    fn begin(&mut self, kind: Container<'_>) -> Result<Node, DecodeError> {
        Ok(Node::Table(table(match kind {
            Container::Object { type_name } => Kind::Object(type_name.map(<[u8]>::to_vec)),
            Container::Array { .. } => Kind::Array,
            Container::EcmaArray => Kind::EcmaArray,
            Container::Dictionary { .. } => Kind::Dictionary,
        })))
    }
    fn member(&mut self, container: &Node, key: &[u8], value: Node) -> Result<(), DecodeError> {
        container.table().fields.borrow_mut().push((key.to_vec(), value));
        Ok(())
    }
    fn element(&mut self, container: &Node, index: usize, value: Node) -> Result<(), DecodeError> {
        let mut items = container.table().items.borrow_mut();
        assert_eq!(items.len(), index);
        items.push(value);
        Ok(())
    }
    fn entry(&mut self, container: &Node, key: Node, value: Node) -> Result<(), DecodeError> {
        container.table().pairs.borrow_mut().push((key, value));
        Ok(())
    }
    fn end(&mut self, container: &Node) -> Result<(), DecodeError> {
        assert!(!container.table().ended.replace(true), "ended once");
        Ok(())
    }
    fn begin_external(&mut self, type_name: &[u8]) -> Result<Option<Node>, DecodeError> {
        Ok((type_name == b"external").then(|| Node::Table(table(Kind::External))))
    }
    /// Body: a byte, then two values.
    fn read_external(
        &mut self,
        object: &Node,
        body: &mut ExternalBody<'_, '_, Node>,
    ) -> Result<(), DecodeError> {
        assert_eq!(body.type_name(), b"external");
        let [byte] = body.bytes(1)? else { panic!("one byte") };
        self.element(object, 0, Node::Number(f64::from(*byte)))?;
        for index in 1..3 {
            let value = body.value(self)?;
            self.element(object, index, value)?;
        }
        Ok(())
    }
}

fn amf0(bytes: &[u8]) -> Vec<Node> {
    all(Decoder::amf0(bytes))
}

fn amf3(bytes: &[u8]) -> Vec<Node> {
    all(Decoder::amf3(bytes))
}

fn all(mut decoder: Decoder<'_, Node>) -> Vec<Node> {
    std::iter::from_fn(|| decoder.next(&mut Nodes).unwrap()).collect()
}

/// Writes nodes as a caller of the encoders does: with its own table of identities.
struct Writer<'a> {
    amf3: Amf3Encoder<'a>,
    seen: HashMap<*const Table, u32>,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node) {
        let to = &mut self.amf3;
        let table = match node {
            Node::Null => return to.null(),
            Node::Number(value) => return to.number(*value),
            Node::Text(value) => return to.string(value).unwrap(),
            Node::Table(table) => table,
        };
        let identity = Rc::as_ptr(table);
        if let Some(index) = self.seen.get(&identity) {
            return to.reference(*index);
        }
        let (fields, items) = (table.fields.borrow(), table.items.borrow());
        let pairs = table.pairs.borrow();
        let index = match &table.kind {
            Kind::Object(type_name) => to.begin_object(type_name.as_deref()).unwrap(),
            Kind::Array | Kind::EcmaArray => to.begin_array(items.len()).unwrap(),
            Kind::Dictionary => to.begin_dictionary(false, pairs.len()).unwrap(),
            Kind::Bytes(bytes) => to.byte_array(bytes).unwrap(),
            Kind::External => unreachable!("not written"),
        };
        self.seen.insert(identity, index);
        for (key, value) in fields.iter() {
            self.amf3.key(key).unwrap();
            self.node(value);
        }
        match table.kind {
            Kind::Object(_) => self.amf3.end_object(),
            Kind::Array | Kind::EcmaArray => {
                self.amf3.begin_elements();
                items.iter().for_each(|item| self.node(item));
                self.amf3.end_array();
            }
            Kind::Dictionary => {
                for (key, value) in pairs.iter() {
                    self.node(key);
                    self.node(value);
                }
                self.amf3.end_dictionary();
            }
            Kind::Bytes(_) | Kind::External => {}
        }
    }
}

/// Same shape, and same places where identities meet.
fn isomorphic(left: &Node, right: &Node, met: &mut HashMap<*const Table, *const Table>) -> bool {
    let (left, right) = match (left, right) {
        (Node::Null, Node::Null) => return true,
        (Node::Number(left), Node::Number(right)) => return left == right,
        (Node::Text(left), Node::Text(right)) => return left == right,
        (Node::Table(left), Node::Table(right)) => (left, right),
        _ => return false,
    };
    if let Some(known) = met.get(&Rc::as_ptr(left)) {
        return std::ptr::eq(*known, Rc::as_ptr(right));
    }
    met.insert(Rc::as_ptr(left), Rc::as_ptr(right));
    let (lf, rf) = (left.fields.borrow(), right.fields.borrow());
    let (li, ri) = (left.items.borrow(), right.items.borrow());
    let (lp, rp) = (left.pairs.borrow(), right.pairs.borrow());
    left.kind == right.kind
        && (lf.len(), li.len(), lp.len()) == (rf.len(), ri.len(), rp.len())
        && lf.iter().zip(rf.iter()).all(|(l, r)| l.0 == r.0 && isomorphic(&l.1, &r.1, met))
        && li.iter().zip(ri.iter()).all(|(l, r)| isomorphic(l, r, met))
        && lp
            .iter()
            .zip(rp.iter())
            .all(|(l, r)| isomorphic(&l.0, &r.0, met) && isomorphic(&l.1, &r.1, met))
}

#[test]
fn an_object_inside_itself_comes_out_so() {
    let mut bytes = Vec::new();
    let mut encoder = Amf3Encoder::new(&mut bytes);
    let index = encoder.begin_object(None).unwrap();
    encoder.key(b"self").unwrap();
    encoder.reference(index);
    encoder.end_object();
    let values = amf3(&bytes);
    assert!(values[0].field("self").is(&values[0]));

    let mut bytes = Vec::new();
    let mut encoder = Amf0Encoder::new(&mut bytes);
    let index = encoder.begin_object(None).unwrap().unwrap();
    encoder.key(b"self").unwrap();
    encoder.reference(index);
    encoder.end_object();
    let values = amf0(&bytes);
    assert!(values[0].field("self").is(&values[0]));
}

#[test]
fn arguments_share_what_was_shared() {
    let mut bytes = Vec::new();
    let mut encoder = Amf0Encoder::new(&mut bytes);
    let index = encoder.begin_ecma_array(0).unwrap().unwrap();
    encoder.end_ecma_array();
    encoder.reference(index);
    let mut inner = encoder.switch_to_amf3();
    let inner_index = inner.byte_array(b"raw").unwrap();
    encoder.switch_to_amf3().reference(inner_index);
    let values = amf0(&bytes);
    assert!(values[0].is(&values[1]));
    assert!(values[2].is(&values[3]));
    assert_eq!(values[3].table().kind, Kind::Bytes(b"raw".to_vec()));
}

#[test]
fn a_collection_and_its_array_are_one() {
    let name = b"flex.messaging.io.ArrayCollection";
    // Collection of an array that holds the collection (place 0) and the array (place 1).
    let bytes = [b"\x0a\x07\x43".as_slice(), name, b"\x09\x05\x01\x0a\x00\x09\x02"].concat();
    let values = amf3(&bytes);
    assert!(values[0].item(0).is(&values[0]));
    assert!(values[0].item(1).is(&values[0]));
    // Collection of a collection (places 0, 1) of an array (place 2).
    let nested =
        [b"\x0a\x07\x43".as_slice(), name, b"\x0a\x01\x09\x07\x01\x0a\x00\x0a\x02\x0a\x04"];
    let values = amf3(&nested.concat());
    for index in 0..3 {
        assert!(values[0].item(index).is(&values[0]), "{index}");
    }
}

#[test]
fn an_externalizable_object_is_read_by_its_reader() {
    // Body: byte 7, the object itself, a string; then the next value, and the class again.
    let values = amf3(b"\x0a\x07\x11external\x07\x0a\x00\x06\x03a\x04\x05\x0a\x01\x08\x01\x0a\x02");
    let [object, number, other] = values.as_slice() else { panic!("{} values", values.len()) };
    assert_eq!(object.table().kind, Kind::External);
    assert!(matches!(object.item(0), Node::Number(7.0)));
    assert!(object.item(1).is(object));
    assert!(matches!(object.item(2), Node::Text(text) if text == b"a"));
    assert!(*object.table().ended.borrow());
    assert!(matches!(number, Node::Number(5.0)));
    assert!(matches!(other.item(0), Node::Number(8.0)));
    assert!(other.item(2).is(other));
}

#[test]
fn externalizable_objects_inside_each_other_are_bounded() {
    let bytes = [b"\x0a\x07\x11external\x07".to_vec(), b"\x0a\x01\x07".repeat(10_000)].concat();
    let error = Decoder::amf3(&bytes).next(&mut Nodes).map(|_| ());
    assert!(matches!(error, Err(DecodeError::TooDeep { .. })), "{error:?}");
}

proptest! {
    #[test]
    fn any_graph_comes_back_with_its_cycles(
        kinds in proptest::collection::vec(0..6_u8, 1..12),
        edges in proptest::collection::vec((any::<prop::sample::Index>(), 0..16_usize), 0..40),
        references in any::<bool>(),
    ) {
        let tables: Vec<_> = kinds
            .iter()
            .map(|kind| {
                table(match kind {
                    0 => Kind::Object(None),
                    1 => Kind::Object(Some(b"Cat".to_vec())),
                    2 => Kind::Object(Some(b"Dog".to_vec())),
                    3 => Kind::Dictionary,
                    4 => Kind::Bytes(vec![0xff; 3]),
                    _ => Kind::Array,
                })
            })
            .collect();
        for (from, to) in edges {
            let from = &tables[from.index(tables.len())];
            let to = match to {
                0..12 => tables.get(to).map_or(Node::Null, |table| Node::Table(Rc::clone(table))),
                12 => Node::Number(0.5),
                _ => Node::Text(b"text".to_vec()),
            };
            match from.kind {
                Kind::Dictionary => from.pairs.borrow_mut().push((to.clone(), to)),
                Kind::Bytes(_) => {}
                Kind::Array if from.items.borrow().len() > 1 => {
                    from.fields.borrow_mut().push((b"key".to_vec(), to));
                }
                Kind::Array => from.items.borrow_mut().push(to),
                _ => from.fields.borrow_mut().push((b"key".to_vec(), to)),
            }
        }
        let mut bytes = Vec::new();
        let encoder = if references {
            Amf3Encoder::with_string_references(&mut bytes)
        } else {
            Amf3Encoder::new(&mut bytes)
        };
        let mut writer = Writer { amf3: encoder, seen: HashMap::new() };
        let written: Vec<_> = tables.iter().map(|table| Node::Table(Rc::clone(table))).collect();
        written.iter().for_each(|node| writer.node(node));
        let read = amf3(&bytes);
        let mut met = HashMap::new();
        prop_assert_eq!(read.len(), written.len());
        for (read, written) in read.iter().zip(&written) {
            prop_assert!(isomorphic(read, written, &mut met));
        }
        // What the graphs hold of themselves is cut, so that they are freed.
        for node in read.iter().chain(&written) {
            let table = node.table();
            table.fields.take();
            table.items.take();
            table.pairs.take();
        }
    }
}
