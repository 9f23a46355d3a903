//! Rules of the formats, one by one, by their IDs in the script API specification.

mod common;

use common::{array_xml, bytes, json, list, number, numbers, param, params, query, response};
use common::{single_json, table, text, values};
use ramona_amf::{Object, Value};
use ramona_formats::{
    Encoder, JsonEncoder, Kind, QueryEncoder, ReadError, WriteError, XmlArrayEncoder,
    XmlDocumentEncoder, XmlRpcEncoder, read_json, read_query, read_values, read_xml, read_xmlrpc,
    write_value,
};

fn typed(name: &'static str, object: Value) -> Value {
    let Value::Object(Object { members, .. }) = object else { panic!("no object: {object:?}") };
    Value::Object(Object { type_name: Some(name.into()), members })
}

fn from_json(text: &str) -> Value {
    let all = values(read_json(text.as_bytes()));
    let [only] = <[Value; 1]>::try_from(all).unwrap();
    only
}

#[test]
fn cnv_01_nil_keeps_its_place() {
    let all = [text("f"), Value::Null, number(1.0)];
    assert_eq!(json(&all), r#"["f",null,1]"#);
    assert_eq!(params(&all[1..2]), "<param><value></value></param>");
    assert_eq!(query(&all), "f&null&1");
    assert_eq!(values(read_query(b"f&null&1")), all);
    assert_eq!(values(read_xmlrpc(&response(&params(&all)))), all);
}

#[test]
fn cnv_02_booleans() {
    let all = [Value::Bool(true), Value::Bool(false)];
    assert_eq!(json(&all), "[true,false]");
    assert_eq!(query(&all), "true&false");
    assert_eq!(param(Value::Bool(true)), "<boolean>1</boolean>");
    assert_eq!(
        array_xml(&all),
        "<__array><__noname>true</__noname><__noname>false</__noname></__array>"
    );
}

#[test]
fn cnv_03_numbers_are_the_shortest_that_read_back() {
    for (value, in_json, in_query, in_xmlrpc) in [
        (2.7, "2.7", "2.7", "<double>2.7</double>"),
        (-1.0, "-1", "-1", "<int>-1</int>"),
        (
            9_007_199_254_740_992.0,
            "9007199254740992",
            "9007199254740992",
            "<double>9007199254740992</double>",
        ),
        (2_147_483_648.0, "2147483648", "2147483648", "<double>2147483648</double>"),
        (-2_147_483_648.0, "-2147483648", "-2147483648", "<int>-2147483648</int>"),
        (1e-7, "1e-7", "0.0000001", "<double>0.0000001</double>"),
        (f64::NAN, "null", "null", ""),
        (f64::NEG_INFINITY, "null", "null", ""),
    ] {
        assert_eq!(single_json(&number(value)), in_json);
        assert_eq!(query(&[number(value)]), in_query);
        assert_eq!(param(number(value)), in_xmlrpc);
    }
    assert_eq!(single_json(&number(-0.0)), "-0");
    assert_eq!(single_json(&number(9_007_199_254_740_994.0)), "9007199254740994");
    assert_eq!(single_json(&number(1e300)), "1e300");
}

#[test]
fn cnv_04_cnv_21_json_strings_are_escaped_and_unescaped() {
    assert_eq!(json(&[text("a\"\n\\\u{1}\u{e4}/")]), "[\"a\\\"\\n\\\\\\u0001\u{e4}/\"]");
    assert_eq!(
        from_json(r#"["a\"\n\\\u0001\u00e4\/\ud83d\ude00"]"#),
        text("a\"\n\\\u{1}\u{e4}/\u{1f600}")
    );
    assert_eq!(from_json("[\"a\\u0000b\"]"), text("a\0b"));
    assert_eq!(json(&[text(&b"\xff\0"[..])]), r#"[{"__raw":"/wA="}]"#);
}

#[test]
fn cnv_08_typed_objects() {
    let point = || typed("P\"", table([("x", number(1.0))], []));
    assert_eq!(single_json(&point()), r#"{"__type":"P\"","x":1}"#);
    assert_eq!(from_json(r#"[{"x":1,"__type":"P\""}]"#), point());
    let rpc = param(point());
    assert_eq!(
        rpc,
        "<struct type=\"P&quot;\"><member><name>x</name><value><int>1</int></value></member>\
         </struct>"
    );
    let rpc = response(&format!("<param><value>{rpc}</value></param>"));
    assert_eq!(values(read_xmlrpc(&rpc)), [point()]);
    assert_eq!(query(&[point()]), "x=1");
}

#[test]
fn cnv_07_a_dictionary_is_an_object_of_its_entries() {
    let entries = vec![(text("a"), number(1.0)), (number(5.0), text("b")), (list([]), number(2.0))];
    let mut out = Vec::new();
    let mut to = JsonEncoder::single(&mut out);
    let result = write_value(&mut to, &Value::Dictionary { weak: false, entries });
    assert_eq!(result, Err(WriteError::KeyNotText));
    assert_eq!(out, br#"{"a":1,"5":"b"}"#);
}

#[test]
fn cnv_22_json_has_exponents_and_only_exact_dates() {
    assert_eq!(from_json("[1E+2]"), number(100.0));
    assert_eq!(from_json("[\"2014-01-01\"]"), text("2014-01-01"));
    assert_eq!(from_json("[\"1998-09-16T23:48:10.435Z\"]"), Value::Date(905_989_690_435.0));
    // Rounded to the nearest, in all digits.
    assert_eq!(from_json("[9007199254740993]"), number(9_007_199_254_740_992.0));
    assert_eq!(from_json("[0.1000000000000000055511151231257827]"), number(0.1));
    for malformed in ["[01]", "[.5]", "[1.]", "[+1]", "[0x1]", "[NaN]", "[1e400]", "[-]"] {
        let result = read_json(malformed.as_bytes());
        assert!(matches!(result, Err(ReadError::Malformed { .. })), "{malformed}: {result:?}");
    }
}

#[test]
fn cnv_23_only_the_special_members_are_special() {
    let plain = |key, value: &'static str| table([(key, text(value))], []);
    assert_eq!(from_json(r#"[{"contenttype":"x"}]"#), plain("contenttype", "x"));
    assert_eq!(from_json(r#"[{"draw":"/wA="}]"#), plain("draw", "/wA="));
    assert_eq!(
        from_json(r#"[{"__raw":"/wA=","x":1}]"#),
        table([("__raw", text("/wA=")), ("x", number(1.0))], [])
    );
    assert_eq!(
        from_json(r#"[{"__type":"","x":1}]"#),
        table([("__type", text("")), ("x", number(1.0))], [])
    );
    assert_eq!(from_json(r#"[{"__type":7}]"#), table([("__type", number(7.0))], []));
    // Escaped, it is the same name.
    assert_eq!(from_json(r#"[{"\u005f_type":"T"}]"#), typed("T", table([], [])));
    // The type of the outer object, not of the one inside.
    assert_eq!(
        from_json(r#"[{"a":{"__type":"T"}}]"#),
        table([("a", typed("T", table([], [])))], [])
    );
}

#[test]
fn cnv_23_bytes_that_are_no_base64_are_a_problem_and_null() {
    let mut document = read_json(br#"[{"__raw":"*"},1]"#).unwrap();
    assert_eq!(document.problem_count(), 1);
    assert_eq!(document.problems()[0].to_string(), "bad base64: \"*\"");
    assert_eq!(read_values(&mut document).unwrap(), [Value::Null, number(1.0)]);
}

#[test]
fn equal_names_of_json_come_all_in_order() {
    let twice = table([("a", number(1.0)), ("a", number(2.0))], []);
    assert_eq!(from_json(r#"[{"a":1,"a":2}]"#), twice);
}

#[test]
fn cnv_17_malformed_json_gives_no_values() {
    for malformed in [
        "",
        " ",
        "[1",
        "[1,]",
        "[1]]",
        "{\"a\"}",
        "{a:1}",
        "['a']",
        "[\"\n\"]",
        "[\"\\x\"]",
        "nul",
        "[\"\\ud800\"]",
        "// x\n[]",
        "[1] x",
    ] {
        let result = read_json(malformed.as_bytes());
        assert!(matches!(result, Err(ReadError::Malformed { .. })), "{malformed:?}: {result:?}");
    }
    let error = read_json(b"[1,\n x]").unwrap_err().to_string();
    assert_eq!(error, "malformed JSON: expected value at line 2 column 2");
    for broken in [&b"[\"\xff\"]"[..], b"\xff", b"{\"\xc3\":1}", b"[\"\xed\xa0\x80\"]"] {
        assert!(read_json(broken).is_err(), "{broken:?}");
    }
}

#[test]
fn cnv_26_untyped_values_are_strings_and_empty_ones_nil() {
    let read = |inner: &str| {
        let param = format!("<param>{inner}</param>");
        let [only] = <[Value; 1]>::try_from(values(read_xmlrpc(&response(&param)))).unwrap();
        only
    };
    assert_eq!(read("<value>text</value>"), text("text"));
    assert_eq!(read("<value> a <!-- c -->b</value>"), text(" a b"));
    assert_eq!(read("<value></value>"), Value::Null);
    assert_eq!(read("<value/>"), Value::Null);
    assert_eq!(read("<value><nil/></value>"), Value::Null);
    assert_eq!(read("<value><string></string></value>"), text(""));
    assert_eq!(read("<value>\n <i4> 5 </i4>\n</value>"), number(5.0));
    assert_eq!(read("<value><int>5</int></value>"), number(5.0));
    assert_eq!(read("<value><array><data/></array></value>"), list([]));
    // The attribute is only a hint.
    let array = "<array size=\"99\"><data><value>a</value></data></array>";
    assert_eq!(read(&format!("<value>{array}</value>")), list([text("a")]));
}

#[test]
fn cnv_26_responses_have_parameters_only() {
    assert_eq!(values(read_xmlrpc(b"<methodResponse/>")), []);
    let fault = b"<methodResponse><fault><value>why</value></fault></methodResponse>";
    assert_eq!(values(read_xmlrpc(fault)), [text("why")]);
    assert_eq!(read_xmlrpc(fault).unwrap().kind(), Kind::XmlRpcResponse);
    let call = b"<methodCall><methodName> ping\n</methodName></methodCall>";
    assert_eq!(values(read_xmlrpc(call)), [text("ping")]);
}

#[test]
fn cnv_27_text_is_escaped_and_unescaped() {
    let hard = "a<b&c>\"'\r\n\t]]>\u{e4}\u{1f600}";
    let written = param(text(hard));
    assert!(written.starts_with("<string>a&lt;b&amp;c&gt;\"'&#13;\n\t]]&gt;"), "{written}");
    let rpc = response(&format!("<param><value>{written}</value></param>"));
    assert_eq!(values(read_xmlrpc(&rpc)), [text(hard)]);
    let escaped =
        "<param><value>&amp;&lt;&gt;&quot;&apos;&#65;&#x42;<![CDATA[<&]]></value></param>";
    assert_eq!(values(read_xmlrpc(&response(escaped))), [text("&<>\"'AB<&")]);
    for no_text in [&b"\xff"[..], b"\0", b"\x1b[m", "\u{ffff}".as_bytes()] {
        let base64 = param(text(no_text));
        assert!(base64.starts_with("<base64>"), "{base64}");
        let rpc = response(&format!("<param><value>{base64}</value></param>"));
        assert_eq!(values(read_xmlrpc(&rpc)), [bytes(no_text)]);
    }
}

#[test]
fn cnv_28_bad_values_are_problems_and_nil() {
    for (value, problem) in [
        ("<int>x</int>", "bad int: \"x\""),
        ("<int></int>", "bad int: \"\""),
        ("<int>1.5</int>", "bad int: \"1.5\""),
        ("<i4>--1</i4>", "bad i4: \"--1\""),
        ("<double>inf</double>", "bad double: \"inf\""),
        ("<double>1e999</double>", "bad double: \"1e999\""),
        ("<boolean>2</boolean>", "bad boolean: \"2\""),
        ("<dateTime.iso8601>now</dateTime.iso8601>", "bad dateTime.iso8601: \"now\""),
        ("<base64>*</base64>", "bad base64: \"*\""),
        ("<foo>1</foo>", "bad foo: \"1\""),
        ("<int><b/></int>", "bad int: \"<...>\""),
    ] {
        let rpc = format!("<param><value>{value}</value></param><param><value>a</value></param>");
        let mut document = read_xmlrpc(&response(&rpc)).unwrap();
        assert_eq!(document.problem_count(), 1, "{value}");
        assert_eq!(document.problems()[0].to_string(), problem);
        assert_eq!(read_values(&mut document).unwrap(), [Value::Null, text("a")]);
    }
}

#[test]
fn cnv_17_malformed_xml_rpc_gives_no_values() {
    for malformed in [
        "<method/>",
        "<methodCall/>",
        "<methodCall><params/><methodName>x</methodName></methodCall>",
        "<methodCall><methodName><b/></methodName></methodCall>",
        "<methodResponse><x/></methodResponse>",
        "<methodResponse><params><x/></params></methodResponse>",
        "<methodResponse><params><param/></params></methodResponse>",
        "<methodResponse><params><param><value/><value/></param></params></methodResponse>",
    ] {
        let result = read_xmlrpc(malformed.as_bytes());
        assert!(matches!(result, Err(ReadError::Malformed { .. })), "{malformed}: {result:?}");
    }
    for inner in [
        "<value><int>1</int><int>2</int></value>",
        "<value><array/></value>",
        "<value><array><data/><data/></array></value>",
        "<value><array><data><int>1</int></data></array></value>",
        "<value><struct><x/></struct></value>",
        "<value><struct><member><value/><name/></member></struct></value>",
        "<value><struct><member><name>a</name></member></struct></value>",
    ] {
        let result = read_xmlrpc(&response(&format!("<param>{inner}</param>")));
        assert!(matches!(result, Err(ReadError::Malformed { .. })), "{inner}: {result:?}");
    }
}

#[test]
fn cnv_30_the_root_is_values_or_one_table() {
    let read = |xml: &str| values(read_xml(xml.as_bytes()));
    assert_eq!(
        read("<__array><__noname>m</__noname><__noname>1</__noname></__array>"),
        [text("m"), number(1.0)]
    );
    assert_eq!(
        read("<__array>\n<x>10</x>\n<__noname>100</__noname>\n</__array>"),
        [table([("x", number(10.0))], [number(100.0)])]
    );
    assert_eq!(read("<__array/>"), []);
    assert_eq!(read("<__array><__noname/><__array/></__array>"), [list([]), list([])]);
    assert_eq!(read("<__array x=\"1\"/>"), [table([("x", number(1.0))], [])]);
    assert_eq!(
        read("<__array><p k=\"v\" n=\"2\">true</p></__array>"),
        [table([("p", table([("k", text("v")), ("n", number(2.0))], [Value::Bool(true)]))], [])]
    );
    assert_eq!(read("<__array><a> x </a></__array>"), [table([("a", text(" x "))], [])]);
}

#[test]
fn cnv_31_names_that_xml_lacks_are_refused() {
    let mut out = Vec::new();
    let mut to = XmlArrayEncoder::new(&mut out);
    to.begin_object(None).unwrap();
    for name in ["", "5", "a b", "<", "-a", "a&b"] {
        assert_eq!(to.key(name.as_bytes()), Err(WriteError::KeyNotName), "{name:?}");
    }
    assert_eq!(to.key(b"\xff"), Err(WriteError::KeyNotText));
    to.key("\u{e4}-1".as_bytes()).unwrap();
    to.string(b"a<b&\x01");
    to.key(b"e").unwrap();
    to.string(b"");
    to.end_object();
    to.finish();
    let xml = String::from_utf8(out).unwrap();
    assert_eq!(xml, "<__array><\u{e4}-1>YTxiJgE=</\u{e4}-1><e><![CDATA[]]></e></__array>");
    assert_eq!(
        values(read_xml(xml.as_bytes())),
        [table([("\u{e4}-1", text("YTxiJgE=")), ("e", text(""))], [])]
    );
}

#[test]
fn cnv_32_texts_are_trimmed_and_declarations_are_fields() {
    let xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<?style href=\"a\"?>\n<d a=\"x&#10;y\">\n  \
        one <b/> <![CDATA[<two>]]>&amp;\n</d>";
    let b = Value::EcmaArray(vec![("__name".into(), text("b"))]);
    let d = table([("a", text("x\ny")), ("__name", text("d"))], [text("one"), b, text("<two>&")]);
    let declarations = [
        ("xml", table([("version", text("1.0")), ("encoding", text("utf-8"))], [])),
        ("style", table([("href", text("a"))], [])),
    ];
    assert_eq!(values(read_xml(xml.as_bytes())), [table(declarations, [d])]);
    // Numbers stay text.
    let p = table([("n", text("1")), ("__name", text("p"))], [text("2")]);
    assert_eq!(values(read_xml(b"<p n='1'>2</p>")), [list([p])]);
}

#[test]
fn cnv_33_names_that_xml_lacks_are_errors() {
    let write = |name: &[u8], attribute: &[u8]| {
        let mut out = b"before".to_vec();
        let mut document = XmlDocumentEncoder::new(&mut out);
        document.begin(name)?;
        document.attribute(attribute, b"\"<\n\xff")?;
        document.end(name);
        Ok(String::from_utf8(out).unwrap())
    };
    assert_eq!(write(b"", b"a"), Err(WriteError::KeyNotName));
    assert_eq!(write(b"a", b"b c"), Err(WriteError::KeyNotName));
    assert_eq!(write(b"a", b"b"), Ok("before<a b=\"IjwK/w==\"/>".to_owned()));
}

#[test]
fn cnv_32_malformed_xml_gives_no_values() {
    for malformed in [
        "",
        "  ",
        "text",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a b/>",
        "<a b=1/>",
        "<a b='1' b='2'/>",
        "<1/>",
        "<a><?xml version='1.0'?></a>",
        " <?xml version='1.0'?><a/>",
        "<?xml?><a/>",
        "<a>&unknown;</a>",
        "<a>&#0;</a>",
        "<a>&#x1;</a>",
        "<a>&#xD800;</a>",
        "<a>& </a>",
        "<a b='&unknown;'/>",
        "<a b='&#1;'/>",
        "<a>\u{1}</a>",
        "<a><![CDATA[x</a>",
        "<a><!-- x</a>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>",
        "<a/><!DOCTYPE a>",
        "&amp;<a/>",
        "<a b='",
    ] {
        let result = read_xml(malformed.as_bytes());
        let accepted = malformed == " <?xml version='1.0'?><a/>" && result.is_ok();
        assert!(
            accepted || matches!(result, Err(ReadError::Malformed { .. })),
            "{malformed}: {result:?}"
        );
    }
    let error = read_xml(b"<a>\xff</a>").unwrap_err().to_string();
    assert_eq!(error, "malformed XML: not UTF-8 at byte 3");
}

#[test]
fn cnv_35_values_of_a_query_are_typed_after_decoding() {
    let pairs = [
        ("a", number(5.0)),
        ("b", text("x y")),
        ("c", Value::Bool(true)),
        ("d", Value::Null),
        ("e", text("2014-01-01T00:00:00.000Z")),
        ("f", text("%zz%")),
        ("g", text("1=2")),
        ("", text("")),
    ];
    let query = b"a=%35&b=x+y&c=TRUE&d=null&e=2014-01-01T00:00:00.000Z&f=%zz%&&g=1=2&=";
    assert_eq!(values(read_query(query)), [table(pairs, [])]);
    assert_eq!(values(read_query(b"")), []);
    assert_eq!(values(read_query(b"1&x&null")), [number(1.0), text("x"), Value::Null]);
}

#[test]
fn cnv_36_inner_containers_are_laid_flat() {
    let nested = table(
        [
            ("a", numbers([1, 2])),
            ("b", table([("c", number(3.0))], [])),
            ("d", table([("e", number(4.0))], [number(5.0)])),
            ("f", list([])),
            ("g", number(6.0)),
        ],
        [],
    );
    assert_eq!(query(&[nested]), "a=1&a=2&c=3&e=4&d=5&g=6");
    let mut out = Vec::new();
    let mut to = QueryEncoder::new(&mut out);
    to.date(0.0).unwrap();
    assert_eq!(to.date(f64::NAN), Err(WriteError::DateOutOfRange));
    to.finish();
    assert_eq!(out, b"19700101T000000.000Z");
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let mut out = Vec::new();
    let mut to = JsonEncoder::list(&mut out);
    to.null();
    assert_eq!(to.date(1e300), Err(WriteError::DateOutOfRange));
    assert_eq!(to.begin_object(Some(b"\xff")), Err(WriteError::KeyNotText));
    to.begin_object(Some(b"")).unwrap();
    assert_eq!(to.key(b"\xff"), Err(WriteError::KeyNotText));
    to.end_object();
    to.finish();
    assert_eq!(out, b"[null,{}]");

    let mut out = Vec::new();
    assert_eq!(XmlRpcEncoder::call(&mut out, b"\0").err(), Some(WriteError::KeyNotText));
    assert_eq!(out, b"");
    let mut to = XmlRpcEncoder::response(&mut out);
    assert_eq!(to.date(1e300), Err(WriteError::DateOutOfRange));
    assert_eq!(to.begin_object(Some(b"\0")), Err(WriteError::KeyNotText));
    to.finish();
    assert_eq!(out, response(""));
}
