//! The worked conversions of the script API specification (its section 5.7), by their rows.

mod common;

use common::{array_xml, bytes, json, list, number, numbers, param, query, response, single_json};
use common::{table, text, values};
use ramona_amf::Value;
use ramona_formats::{
    Encoder, Kind, XmlDocumentEncoder, XmlRpcEncoder, read_json, read_query, read_xml,
    read_xml_body, read_xmlrpc,
};

#[test]
fn mon_15_cnv_20_one_array_holds_all_arguments() {
    assert_eq!(json(&[]), "[]");
    assert_eq!(json(&[list([])]), "[[]]");
    assert_eq!(json(&[list([list([])])]), "[[[]]]");
    assert_eq!(values(read_json(b"[[1,2]]")), [numbers([1, 2])]);
    assert_eq!(values(read_json(b"[]")), []);
}

#[test]
fn mon_16_elements_of_the_outer_array_are_values_and_an_outer_object_is_one() {
    assert_eq!(values(read_json(br#"[1,"a"]"#)), [number(1.0), text("a")]);
    assert_eq!(values(read_json(br#"{"a":[1]}"#)), [table([("a", numbers([1]))], [])]);
    assert_eq!(values(read_json(b" true ")), [Value::Bool(true)]);
    let kind = |text: &str| read_json(text.as_bytes()).unwrap().kind();
    assert_eq!(kind("[]"), Kind::JsonArray);
    assert_eq!(kind("{}"), Kind::JsonObject);
    assert_eq!(kind("\"x\""), Kind::JsonScalar);
}

#[test]
fn cnv_09_row_o_object() {
    let object = || table([("x", number(1.0)), ("y", number(2.0))], []);
    assert_eq!(single_json(&object()), r#"{"x":1,"y":2}"#);
    assert_eq!(query(&[object()]), "x=1&y=2");
    assert_eq!(
        param(object()),
        "<struct><member><name>x</name><value><int>1</int></value></member>\
         <member><name>y</name><value><int>2</int></value></member></struct>"
    );
    assert_eq!(values(read_json(single_json(&object()).as_bytes())), [object()]);
    assert_eq!(values(read_query(b"x=1&y=2")), [object()]);
}

#[test]
fn cnv_09_row_a_array() {
    assert_eq!(single_json(&numbers([1, 2, 3])), "[1,2,3]");
    assert_eq!(query(&[numbers([1, 2, 3])]), "1&2&3");
    assert_eq!(
        param(numbers([1, 2, 3])),
        "<array size=\"3\"><data><value><int>1</int></value><value><int>2</int></value>\
         <value><int>3</int></value></data></array>"
    );
    assert_eq!(values(read_query(b"1&2&3")), [number(1.0), number(2.0), number(3.0)]);
}

#[test]
fn cnv_09_row_m_mixed() {
    let mixed = || table([("x", number(1.0))], [number(2.0), number(3.0)]);
    let back = list([table([("x", number(1.0))], []), number(2.0), number(3.0)]);
    assert_eq!(single_json(&mixed()), r#"[{"x":1},2,3]"#);
    assert_eq!(values(read_json(json(&[mixed()]).as_bytes())), std::slice::from_ref(&back));
    let rpc = param(mixed());
    assert_eq!(
        rpc,
        "<array size=\"3\"><data><value><struct><member><name>x</name>\
         <value><int>1</int></value></member></struct></value>\
         <value><int>2</int></value><value><int>3</int></value></data></array>"
    );
    let rpc = response(&format!("<param><value>{rpc}</value></param>"));
    assert_eq!(values(read_xmlrpc(&rpc)), [back]);
    assert_eq!(query(&[mixed()]), "x=1&2&3");
}

#[test]
fn cnv_05_row_b_bytes() {
    let raw = || bytes(b"\xff\0".as_slice());
    assert_eq!(single_json(&raw()), r#"{"__raw":"/wA="}"#);
    assert_eq!(values(read_json(br#"[{"__raw":"/wA="}]"#)), [raw()]);
    assert_eq!(param(raw()), "<base64>/wA=</base64>");
    assert_eq!(query(&[raw()]), "%2FwA%3D");
}

#[test]
fn cnv_06_row_t_date() {
    let date = || Value::Date(905_989_690_435.0);
    assert_eq!(single_json(&date()), "\"1998-09-16T23:48:10.435Z\"");
    assert_eq!(values(read_json(json(&[date()]).as_bytes())), [date()]);
    assert_eq!(param(date()), "<dateTime.iso8601>19980916T23:48:10.435</dateTime.iso8601>");
    assert_eq!(query(&[date()]), "19980916T234810.435Z");
}

#[test]
fn cnv_26_row_r_call() {
    let call = b"<methodCall><methodName>test</methodName><params><param><value>\
        <string>a</string></value></param><param><value>b</value></param></params></methodCall>";
    let expected = [text("test"), text("a"), text("b")];
    assert_eq!(values(read_xmlrpc(call)), expected);
    assert_eq!(read_xmlrpc(call).unwrap().kind(), Kind::XmlRpcCall);
    assert_eq!(json(&expected), r#"["test","a","b"]"#);
    assert_eq!(values(read_json(br#"["test","a","b"]"#)), expected);
    let xml = "<__array><__noname>test</__noname><__noname>a</__noname><__noname>b</__noname>\
        </__array>";
    assert_eq!(array_xml(&expected), xml);
    assert_eq!(values(read_xml(xml.as_bytes())), expected);
    for (body, kind) in [(&call[..], Kind::XmlRpcCall), (xml.as_bytes(), Kind::XmlArray)] {
        let mut document = read_xml_body(body).unwrap();
        assert_eq!(document.kind(), kind);
        assert!(document.starts_with_string());
        assert_eq!(ramona_formats::read_values(&mut document).unwrap(), expected);
    }
    let mut out = Vec::new();
    let mut to = XmlRpcEncoder::call(&mut out, b"test").unwrap();
    to.string(b"a");
    to.string(b"b");
    to.finish();
    assert_eq!(values(read_xmlrpc(&out)), expected);
}

#[test]
fn mon_18_cnv_25_a_response_holds_all_arguments() {
    let whole = |values: &[Value]| {
        let mut out = Vec::new();
        let mut to = XmlRpcEncoder::response(&mut out);
        for value in values {
            ramona_formats::write_value(&mut to, value).unwrap();
        }
        to.finish();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        whole(&[]),
        "<?xml version=\"1.0\"?><methodResponse><params></params></methodResponse>"
    );
    assert_eq!(
        whole(&[number(1.0)]),
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><int>1</int></value>\
         </param></params></methodResponse>"
    );
}

/// Writes a single table as row `xml`, and reads `back` from it.
#[track_caller]
fn row(table: Value, xml: &str, back: Value) {
    assert_eq!(array_xml(&[table]), xml);
    assert_eq!(values(read_xml(xml.as_bytes())), [back]);
}

#[track_caller]
fn same(table: Value, xml: &str) {
    row(table.clone(), xml, table);
}

#[test]
fn cnv_31_row_x1_object() {
    same(
        table([("x", number(1.0)), ("y", number(2.0))], []),
        "<__array><x>1</x><y>2</y></__array>",
    );
}

#[test]
fn cnv_31_row_x2_list_of_values() {
    let xml = "<__array><__noname>1</__noname><__noname>2</__noname></__array>";
    assert_eq!(array_xml(&[numbers([1, 2])]), xml);
    assert_eq!(array_xml(&[number(1.0), number(2.0)]), xml);
    assert_eq!(values(read_xml(xml.as_bytes())), [number(1.0), number(2.0)]);
}

#[test]
fn cnv_31_row_x3_mixed() {
    same(
        table([("x", number(1.0))], [number(2.0), number(3.0)]),
        "<__array><x>1</x><__noname>2</__noname><__noname>3</__noname></__array>",
    );
}

#[test]
fn cnv_31_row_x4_empty_table() {
    same(table([("x", list([]))], []), "<__array><x/></__array>");
}

#[test]
fn cnv_31_row_x5_sequence_with_an_empty_table() {
    same(table([("x", list([list([]), number(1.0)]))], []), "<__array><x/><x>1</x></__array>");
}

#[test]
fn cnv_31_row_x6_sequence() {
    same(table([("a", numbers([1, 2]))], []), "<__array><a>1</a><a>2</a></__array>");
}

#[test]
fn cnv_31_row_x7_sequence_of_one_sequence() {
    row(
        table([("a", list([numbers([1, 2])]))], []),
        "<__array><a><__noname>1</__noname><__noname>2</__noname></a></__array>",
        table([("a", numbers([1, 2]))], []),
    );
}

#[test]
fn cnv_31_row_x8_sequence_of_one_mixed_table() {
    let mixed = || table([("x", number(1.0))], [number(2.0)]);
    row(
        table([("a", list([mixed()]))], []),
        "<__array><a><x>1</x><__noname>2</__noname></a></__array>",
        table([("a", mixed())], []),
    );
}

#[test]
fn cnv_31_row_x9_mixed_table_under_a_name() {
    row(
        table([("a", table([("x", number(1.0))], [number(2.0)]))], []),
        "<__array><a><x>1</x></a><a>2</a></__array>",
        table([("a", list([table([("x", number(1.0))], []), number(2.0)]))], []),
    );
}

#[test]
fn cnv_30_row_x10_anonymous_array_under_a_name() {
    let value = || table([("a", list([list([numbers([1, 2])]), number(3.0)]))], []);
    let inner = "<a><__array><__noname>1</__noname><__noname>2</__noname></__array></a><a>3</a>";
    same(value(), &format!("<__array>{inner}</__array>"));
    let more = format!("<__array><__array>{inner}</__array></__array>");
    assert_eq!(values(read_xml(more.as_bytes())), [value()]);
}

#[test]
fn cnv_33_row_p_document() {
    let xml = "<?xml version=\"1.0\"?><d><p k=\"v\">t</p></d>";
    let mut out = Vec::new();
    let mut document = XmlDocumentEncoder::new(&mut out);
    document.declaration(b"xml", [(&b"version"[..], &b"1.0"[..])].into_iter()).unwrap();
    document.begin(b"d").unwrap();
    document.begin(b"p").unwrap();
    document.attribute(b"k", b"v").unwrap();
    document.text(b"t");
    document.end(b"p");
    document.end(b"d");
    assert_eq!(out, xml.as_bytes());
    let p = table([("k", text("v")), ("__name", text("p"))], [text("t")]);
    let d = table([("__name", text("d"))], [p]);
    let version = table([("version", text("1.0"))], []);
    assert_eq!(values(read_xml(xml.as_bytes())), [table([("xml", version)], [d])]);
    assert_eq!(read_xml(xml.as_bytes()).unwrap().kind(), Kind::XmlDom);
}

#[test]
fn mon_19_cnv_35_runs_of_pairs_are_tables_and_words_are_values() {
    assert_eq!(
        values(read_query(b"a=1&b&c=2")),
        [table([("a", number(1.0))], []), text("b"), table([("c", number(2.0))], [])]
    );
}

#[test]
fn cnv_36_reserved_bytes_are_escaped() {
    assert_eq!(query(&[table([("a", text("x y"))], [])]), "a=x%20y");
    assert_eq!(
        query(&[table([("k&", text("\u{e4}+=/~-_.".as_bytes()))], []), text(&b"\xff"[..])]),
        "k%26=%C3%A4%2B%3D%2F~-_.&%FF"
    );
}
