//! Depth, size and bombs: what a peer may send to break or to stall a node (CNV-16).

mod common;

use common::{list, response, text};
use ramona_amf::{Builder, Container, DecodeError, Object, Value};
use ramona_formats::limits::{MAX_ATTRIBUTES, MAX_DECLARATIONS, MAX_DEPTH, MAX_INPUT_BYTES};
use ramona_formats::limits::{MAX_CONTAINERS, MAX_PROBLEMS};
use ramona_formats::{
    Encoder, JsonEncoder, Kind, QueryEncoder, ReadError, WriteError, XmlArrayEncoder,
    XmlDocumentEncoder, XmlRpcEncoder, read_json, read_query, read_values, read_xml, read_xmlrpc,
    write_value,
};

/// A value of that many containers inside each other, arrays and objects in turn.
fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Number(1.0), |inner, level| {
        if level % 2 == 0 { list([inner]) } else { Object::new().with("a", inner).into() }
    })
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(object) => {
            1 + object.members.iter().map(|(_, value)| depth_of(value)).max().unwrap_or(0)
        }
        _ => 0,
    }
}

fn write<'a, E: Encoder + 'a>(
    new: fn(&'a mut Vec<u8>) -> E,
    finish: fn(E),
    out: &'a mut Vec<u8>,
    value: &Value,
) -> Result<(), WriteError> {
    let mut to = new(out);
    let result = write_value(&mut to, value);
    assert_eq!(to.depth(), 0);
    finish(to);
    result
}

#[test]
fn cnv_16_json_nests_128_levels_both_ways() {
    let mut out = Vec::new();
    let result = write(JsonEncoder::list, JsonEncoder::finish, &mut out, &nested(MAX_DEPTH));
    assert_eq!(result, Ok(()));
    let back = read_values(&mut read_json(&out).unwrap()).unwrap();
    assert_eq!(back, [nested(MAX_DEPTH)]);

    let mut out = Vec::new();
    let result = write(JsonEncoder::list, JsonEncoder::finish, &mut out, &nested(MAX_DEPTH + 1));
    assert_eq!(result, Err(WriteError::TooDeep));
    let back = read_values(&mut read_json(&out).unwrap()).unwrap();
    assert_eq!(depth_of(&back[0]), MAX_DEPTH);

    let deep = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
    // The outer array is the list of values.
    assert!(read_json(deep(MAX_DEPTH + 1).as_bytes()).is_ok());
    assert_eq!(read_json(deep(MAX_DEPTH + 2).as_bytes()).err(), Some(ReadError::TooDeep));
    assert_eq!(read_json("[".repeat(1 << 20).as_bytes()).err(), Some(ReadError::TooDeep));
    assert_eq!(read_json("{\"a\":".repeat(1 << 20).as_bytes()).err(), Some(ReadError::TooDeep));
}

#[test]
fn cnv_16_a_mixed_array_takes_two_levels_where_it_is_written_as_two() {
    let mut out = Vec::new();
    let mut to = JsonEncoder::list(&mut out);
    for _ in 0..MAX_DEPTH - 1 {
        to.begin_array(1, false).unwrap();
    }
    assert_eq!(to.begin_array(1, true), Err(WriteError::TooDeep));
    to.begin_array(0, false).unwrap();
    assert_eq!(to.begin_object(None), Err(WriteError::TooDeep));

    let mut out = Vec::new();
    let mut to = XmlRpcEncoder::response(&mut out);
    for _ in 0..MAX_DEPTH - 1 {
        to.begin_array(1, false).unwrap();
    }
    assert_eq!(to.begin_array(1, true), Err(WriteError::TooDeep));
    to.begin_array(0, false).unwrap();
    assert_eq!(to.begin_object(None), Err(WriteError::TooDeep));
}

#[test]
fn cnv_16_xml_rpc_nests_128_levels_both_ways() {
    let mut out = Vec::new();
    assert_eq!(
        write(XmlRpcEncoder::response, XmlRpcEncoder::finish, &mut out, &nested(MAX_DEPTH)),
        Ok(())
    );
    let back = read_values(&mut read_xmlrpc(&out).unwrap()).unwrap();
    assert_eq!(back, [nested(MAX_DEPTH)]);

    let mut out = Vec::new();
    let result =
        write(XmlRpcEncoder::response, XmlRpcEncoder::finish, &mut out, &nested(MAX_DEPTH + 1));
    assert_eq!(result, Err(WriteError::TooDeep));
    let inner = "<value><array><data>".repeat(MAX_DEPTH + 1);
    let end = "</data></array></value>".repeat(MAX_DEPTH + 1);
    let deep = self::response(&format!("<param>{inner}{end}</param>"));
    assert_eq!(read_xmlrpc(&deep).err(), Some(ReadError::TooDeep));
}

#[test]
fn cnv_16_xml_nests_128_levels_both_ways() {
    let mut out = Vec::new();
    assert_eq!(
        write(XmlArrayEncoder::new, XmlArrayEncoder::finish, &mut out, &nested(MAX_DEPTH)),
        Ok(())
    );
    assert_eq!(read_xml(&out).unwrap().kind(), Kind::XmlArray);
    let mut out = Vec::new();
    let result =
        write(XmlArrayEncoder::new, XmlArrayEncoder::finish, &mut out, &nested(MAX_DEPTH + 1));
    assert_eq!(result, Err(WriteError::TooDeep));

    let deep = |tag: &str, levels: usize| {
        let begin = format!("<{tag}>").repeat(levels);
        begin + "1" + &format!("</{tag}>").repeat(levels)
    };
    // The innermost element is a text, the root a list of values; of a document, the document
    // itself is a table.
    assert!(read_xml(deep("__array", MAX_DEPTH + 2).as_bytes()).is_ok());
    assert_eq!(read_xml(deep("__array", MAX_DEPTH + 3).as_bytes()).err(), Some(ReadError::TooDeep));
    assert!(read_xml(deep("a", MAX_DEPTH - 1).as_bytes()).is_ok());
    for levels in [MAX_DEPTH, 1_000, 100_000] {
        assert_eq!(read_xml(deep("a", levels).as_bytes()).err(), Some(ReadError::TooDeep));
    }
    assert_eq!(read_xml("<a>".repeat(1 << 18).as_bytes()).err(), Some(ReadError::TooDeep));
}

#[test]
fn cnv_16_documents_are_written_as_deep_as_they_are_read() {
    let write = |levels: usize, out: &mut Vec<u8>| {
        let mut document = XmlDocumentEncoder::new(out);
        (0..levels).try_for_each(|_| document.begin(b"a"))?;
        (0..levels).for_each(|_| document.end(b"a"));
        Ok(())
    };
    let mut out = Vec::new();
    assert_eq!(write(MAX_DEPTH - 1, &mut out), Ok(()));
    assert!(read_xml(&out).is_ok());
    assert_eq!(write(MAX_DEPTH, &mut Vec::new()), Err(WriteError::TooDeep));
}

#[test]
fn cnv_16_a_query_is_written_to_128_levels() {
    let mut out = Vec::new();
    assert_eq!(
        write(QueryEncoder::new, QueryEncoder::finish, &mut out, &nested(MAX_DEPTH)),
        Ok(())
    );
    let mut out = Vec::new();
    let result = write(QueryEncoder::new, QueryEncoder::finish, &mut out, &nested(MAX_DEPTH + 1));
    assert_eq!(result, Err(WriteError::TooDeep));
}

#[test]
fn entity_bombs_are_refused_unopened() {
    let laughs = "<!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><a>&b;</a>";
    let outside =
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\" [<!ENTITY % x SYSTEM 'http://h/'>]><a/>";
    for bomb in [laughs, outside, "<a>&lol;</a>", "<a b='&lol;'/>"] {
        let result = read_xml(bomb.as_bytes());
        assert!(matches!(result, Err(ReadError::Malformed { .. })), "{bomb}: {result:?}");
    }
}

#[test]
fn inputs_are_bounded_in_bytes() {
    let long = vec![b' '; MAX_INPUT_BYTES + 1];
    let error = Some(ReadError::TooLong { bytes: MAX_INPUT_BYTES + 1 });
    assert_eq!(read_json(&long).err(), error);
    assert_eq!(read_xml(&long).err(), error);
    assert_eq!(read_xmlrpc(&long).err(), error);
    assert_eq!(read_query(&long).err(), error);
}

#[test]
fn containers_are_bounded_in_number() {
    let json = format!("[{}[]]", "[],".repeat(MAX_CONTAINERS));
    assert_eq!(read_json(json.as_bytes()).err(), Some(ReadError::TooManyContainers));
    let query = "a=&b&".repeat(MAX_CONTAINERS + 1);
    assert_eq!(read_query(query.as_bytes()).err(), Some(ReadError::TooManyContainers));
}

#[test]
fn attributes_and_declarations_are_bounded_in_number() {
    let attributes = |count: usize| {
        let list: String = (0..count).map(|at| format!(" a{at}='1'")).collect();
        format!("<x{list}/>")
    };
    assert!(read_xml(attributes(MAX_ATTRIBUTES).as_bytes()).is_ok());
    let result = read_xml(attributes(MAX_ATTRIBUTES + 1).as_bytes());
    assert_eq!(result.err(), Some(ReadError::TooManyAttributes));
    let declarations = |count: usize| "<?d a='1'?>".repeat(count) + "<x/>";
    assert!(read_xml(declarations(MAX_DECLARATIONS).as_bytes()).is_ok());
    let result = read_xml(declarations(MAX_DECLARATIONS + 1).as_bytes());
    assert_eq!(result.err(), Some(ReadError::TooManyDeclarations));
}

#[test]
fn only_the_first_problems_are_kept() {
    let rpc = "<param><value><int>x</int></value></param>".repeat(MAX_PROBLEMS + 5);
    let document = read_xmlrpc(&response(&rpc)).unwrap();
    assert_eq!(document.problems().len(), MAX_PROBLEMS);
    assert_eq!(document.problem_count(), MAX_PROBLEMS + 5);
    assert_eq!(document.remaining(), MAX_PROBLEMS + 5);
}

#[test]
fn strings_of_a_megabyte_come_back() {
    for unit in ["a", "\"", "<", "\u{e4}", "%", "\n"] {
        let long = [text(unit.repeat((1 << 20) / unit.len()))];
        let mut out = Vec::new();
        write(JsonEncoder::list, JsonEncoder::finish, &mut out, &long[0]).unwrap();
        assert_eq!(read_values(&mut read_json(&out).unwrap()).unwrap(), long);
        let mut out = Vec::new();
        write(XmlRpcEncoder::response, XmlRpcEncoder::finish, &mut out, &long[0]).unwrap();
        assert_eq!(read_values(&mut read_xmlrpc(&out).unwrap()).unwrap(), long);
        let mut out = Vec::new();
        write(XmlArrayEncoder::new, XmlArrayEncoder::finish, &mut out, &long[0]).unwrap();
        assert_eq!(read_values(&mut read_xml(&out).unwrap()).unwrap(), long);
        let mut out = Vec::new();
        write(QueryEncoder::new, QueryEncoder::finish, &mut out, &long[0]).unwrap();
        assert_eq!(read_values(&mut read_query(&out).unwrap()).unwrap(), long);
    }
}

#[test]
fn numbers_of_a_megabyte_are_read_or_refused() {
    let digits = "9".repeat(1 << 20);
    assert!(read_json(format!("[{digits}]").as_bytes()).is_err());
    let fraction = read_values(&mut read_json(format!("[0.{digits}]").as_bytes()).unwrap());
    assert_eq!(fraction.unwrap(), [Value::Number(1.0)]);
    let rpc = response(&format!("<param><value><int>{digits}</int></value></param>"));
    let document = read_xmlrpc(&rpc).unwrap();
    assert_eq!(document.problem_count(), 1);
    assert!(document.problems()[0].text.len() < 200);
    let query = read_values(&mut read_query(format!("a=0.{digits}").as_bytes()).unwrap());
    assert_eq!(query.unwrap(), [Object::new().with("a", 1.0).into()]);
}

#[test]
fn many_names_in_one_element_take_no_square_time() {
    let fields: String = (0..60_000).map(|at| format!("<f{}/>", at % 30_000)).collect();
    let mut document = read_xml(format!("<__array>{fields}</__array>").as_bytes()).unwrap();
    let mut count = Count::default();
    assert!(document.next(&mut count).unwrap().is_some());
    assert_eq!((count.members, count.elements), (30_000, 60_000));
}

/// A builder that refuses every second value of a message.
#[derive(Default)]
struct Count {
    members: usize,
    elements: usize,
    refuse_nulls: bool,
}

impl Builder for Count {
    type Value = ();
    type Error = DecodeError;

    fn null(&mut self) -> Result<(), DecodeError> {
        if self.refuse_nulls { Err(DecodeError::TooManyNodes) } else { Ok(()) }
    }

    fn undefined(&mut self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn boolean(&mut self, _: bool) -> Result<(), DecodeError> {
        Ok(())
    }

    fn number(&mut self, _: f64) -> Result<(), DecodeError> {
        Ok(())
    }

    fn string(&mut self, _: &[u8]) -> Result<(), DecodeError> {
        Ok(())
    }

    fn date(&mut self, _: f64) -> Result<(), DecodeError> {
        Ok(())
    }

    fn byte_array(&mut self, _: &[u8]) -> Result<(), DecodeError> {
        Ok(())
    }

    fn begin(&mut self, _: Container<'_>) -> Result<(), DecodeError> {
        Ok(())
    }

    fn member(&mut self, _: &(), _: &[u8], _: ()) -> Result<(), DecodeError> {
        self.members += 1;
        Ok(())
    }

    fn element(&mut self, _: &(), _: usize, _: ()) -> Result<(), DecodeError> {
        self.elements += 1;
        Ok(())
    }

    fn entry(&mut self, _: &(), _: (), _: ()) -> Result<(), DecodeError> {
        Ok(())
    }

    fn end(&mut self, _: &()) -> Result<(), DecodeError> {
        Ok(())
    }
}

#[test]
fn a_value_that_the_receiver_refuses_does_not_take_the_next_with_it() {
    let mut document = read_json(br#"[1,{"a":[{"b":null}],"c":[2]},[],"x"]"#).unwrap();
    let mut count = Count { refuse_nulls: true, ..Count::default() };
    assert_eq!(document.next(&mut count), Ok(Some(())));
    assert_eq!(document.next(&mut count), Err(DecodeError::TooManyNodes));
    assert_eq!(document.remaining(), 2);
    assert_eq!(read_values(&mut document).unwrap(), [list([]), text("x")]);
}
