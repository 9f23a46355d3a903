//! MON-15..20, MON-23, CNV-20..36, GEN-19: `mona:toJSON` and its neighbours.

mod common;

use common::*;
use proptest::prelude::*;

/// Runs Lua in the root application and gives the lines it noted.
fn run(code: &str) -> (Node, Vec<String>) {
    let node = Node::root(code);
    let notes = node.notes();
    (node, notes)
}

/// The same, without a line of level WARN or ERROR.
fn cleanly(code: &str) -> Vec<String> {
    let (node, notes) = run(code);
    node.quiet();
    notes
}

/// What one Lua expression is.
fn value(expression: &str) -> String {
    cleanly(&format!("NOTE({expression})")).remove(0)
}

/// The value of an expression, and the ERROR lines that it caused.
fn with_errors(expression: &str) -> (String, Vec<String>) {
    let (node, mut notes) = run(&format!("NOTE({expression})"));
    (notes.remove(0), node.errors())
}

#[test]
fn mon_15_json_of_all_arguments_is_one_array() {
    for (call, json) in [
        ("mona:toJSON()", "[]"),
        ("mona:toJSON({})", "[[]]"),
        ("mona:toJSON({{}})", "[[[]]]"),
        ("mona:toJSON(nil, true, 'a', 1.5)", "[null,true,\"a\",1.5]"),
        ("mona:toJSON({x = 1})", "[{\"x\":1}]"),
        ("mona:toJSON({1, 2, 3})", "[[1,2,3]]"),
        ("mona:toJSON({x = 1, 2, 3})", "[[{\"x\":1},2,3]]"),
        ("mona:toJSON({__type = 'T', x = 1})", "[{\"__type\":\"T\",\"x\":1}]"),
        ("mona:toJSON({__type = 5})", "[{\"__type\":5}]"),
        ("mona:toJSON({__raw = '\\255\\0'})", "[{\"__raw\":\"/wA=\"}]"),
        ("mona:toJSON({__time = 905989690435})", "[\"1998-09-16T23:48:10.435Z\"]"),
        ("mona:toJSON(0/0, 1/0, 2^53, -1, 1e300)", "[null,null,9007199254740992,-1,1e300]"),
    ] {
        assert_eq!(value(call), json, "{call}");
    }
}

#[test]
fn mon_16_and_cnv_20_values_of_the_outer_array() {
    assert_eq!(value("mona:fromJSON('[1,\"a\"]')"), "1a");
    assert_eq!(value("select('#', mona:fromJSON('[null,1,null]'))"), "3");
    assert_eq!(value("select('#', mona:fromJSON('[[1,2]]')), (mona:fromJSON('[[1,2]]'))[2]"), "12");
    assert_eq!(value("mona:fromJSON('{\"a\":{\"b\":5}}').a.b"), "5");
    for bad in ["", "[1", "{", "[1]]", "nul", "[01]", "[\"\\u12\"]"] {
        let (values, errors) = with_errors(&format!("select('#', mona:fromJSON([=[{bad}]=]))"));
        assert_eq!((values.as_str(), errors.len()), ("0", 1), "{bad}: {errors:?}");
    }
    assert_eq!(with_errors("select('#', mona:fromJSON(nil))").0, "0");
}

#[test]
fn cnv_21_json_strings_are_escaped_and_bytes_are_base64() {
    assert_eq!(value("mona:fromJSON(mona:toJSON('a\"\\n\\0\\\\/')) == 'a\"\\n\\0\\\\/'"), "true");
    assert_eq!(value("mona:toJSON('\\255')"), "[{\"__raw\":\"/w==\"}]");
    assert_eq!(value("mona:fromJSON(mona:toJSON('\\255')).__raw == '\\255'"), "true");
    assert_eq!(value("mona:fromJSON('[\"\\\\u00e9\\\\ud83d\\\\ude00\"]')"), "é😀");
}

#[test]
fn cnv_22_json_numbers_and_dates() {
    assert_eq!(value("mona:fromJSON('[1e3, -2.5E-1, 12]')"), "1000-0.2512");
    assert_eq!(value("type(mona:fromJSON('[\"2014-01-01\"]'))"), "string");
    let date = "mona:fromJSON('[\"1998-09-16T23:48:10.435Z\"]')";
    assert_eq!(value(&format!("{date}.__time, ' ', {date}.msec")), "905989690435 435");
}

#[test]
fn cnv_23_json_special_members_and_evt_06() {
    assert_eq!(value("mona:fromJSON('{\"contenttype\":\"x\"}').contenttype"), "x");
    assert_eq!(value("mona:fromJSON('{\"x\":1,\"__type\":\"T\"}').__type"), "T");
    assert_eq!(value("mona:fromJSON('{\"__raw\":\"/wA=\"}').__raw == '\\255\\0'"), "true");
    let code = "function onTypedObject(name, object) object.said = name .. object.x end
        NOTE(mona:fromJSON('[{\"x\":1,\"__type\":\"Cat\"}]').said)
        NOTE(mona:fromXMLRPC('<methodResponse><params><param><value><struct type=\"Dog\"><member><name>x</name><value><int>2</int></value></member></struct></value></param></params></methodResponse>').said)";
    assert_eq!(cleanly(code), ["Cat1", "Dog2"]);
}

#[test]
fn gen_19_what_cannot_be_serialized_is_left_out_with_one_warning() {
    let (node, notes) =
        run("NOTE(mona:toJSON({f = print, a = 1}), mona:toJSON(print, {print, 1}, mona))");
    assert_eq!(notes, ["[{\"a\":1}][null,[null,1],null]"]);
    assert_eq!(node.warnings().len(), 2);
    let (node, _) = run("mona:toXMLRPC(print) mona:toQuery({a = print}) mona:toXML(mona)");
    assert_eq!(node.warnings().len(), 3);
    assert!(node.errors().is_empty());
}

#[test]
fn itr_08_and_cnv_09_configurations_and_properties_are_objects_in_messages() {
    // Nested as they are read; a field as well as a value of its own, in every format.
    let entries = [
        ("host", "a.com"),
        ("servers.port", "1936"),
        ("servers.x.y", "true"),
        ("game", "1"),
        ("game.map", "m"),
    ];
    let cold = |body: &str| {
        let node = Node::with_entries(&[("", body)], &entries);
        let mut node = node;
        node.engine.start();
        (node.notes(), node)
    };
    let (notes, node) = cold(
        r#"local c = mona.configs
        local back = mona:fromJSON(mona:toJSON({mona = c}))
        NOTE(back.mona.host, " ", back.mona.servers.port, " ", back.mona.servers.x.y, " ", back.mona.game, " ", back.mona["game.map"])
        local one, two = mona:fromAMF(mona:toAMF({c.servers, c.servers}, c.servers))
        NOTE(one[1].port, " ", one[1] == one[2], " ", two.x.y)
        local zero = mona:fromAMF(mona:toAMF0({mona = c}))
        NOTE(zero.mona.servers.port)
        NOTE(mona:toQuery(c.servers.x), " ", mona:toJSON(mona.clients, {c = mona.clients}))"#,
    );
    assert_eq!(notes, ["a.com 1936 true 1 m", "1936 true true", "1936", "y=true [null,{}]"]);
    // Collections of objects are none.
    assert_eq!(node.warnings().len(), 1);
    assert_eq!(node.errors(), Vec::<String>::new());
}

#[test]
fn dat_01_and_cnv_09_persistent_tables_are_tables_in_messages() {
    let (node, notes) = run(
        "data.users = { Ann = { score = 5, on = true }, list = { 'a', { 1 }, false } } data.list = { 'x', 'y', k = 'z', [5] = 'far', ['01'] = 'no' }
         local back = mona:fromJSON(mona:toJSON(data.users))
         NOTE(back.Ann.score == '5', back.Ann.on, #back.list, back.list[1], back.list[2][1], back.list[3])
         local amf = mona:fromAMF(mona:toAMF({ all = data }))
         NOTE(#amf.all.list, amf.all.list.k, amf.all.list['5'], amf.all.list['01'], ' ', amf.all.users.Ann.score)
         NOTE(mona:toJSON(data.list[1], data.users.list)) NOTE(mona:toQuery(data.users.Ann))
         local gone = data.users data.users = nil NOTE(mona:toJSON(gone))",
    );
    let json = r#"["x",["a",["1"],false]]"#;
    assert_eq!(notes[..3], ["truetrue3a1false", "2zfarno 5", json]);
    assert!(["score=5&on=true", "on=true&score=5"].contains(&notes[3].as_str()), "{notes:?}");
    assert_eq!(notes[4], "[[]]");
    node.quiet();
}

#[test]
fn cnv_07_and_08_dictionaries_and_types_in_text() {
    let (node, notes) = run("NOTE(mona:toJSON({__size = 1, a = 'x'}))
         NOTE(mona:toXMLRPC({__size = 1, a = true}))
         NOTE(mona:toQuery({__size = 1, a = 5}))");
    let rpc = "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>a</name><value><boolean>1</boolean></value></member></struct></value></param></params></methodResponse>";
    assert_eq!(notes, ["[{\"a\":\"x\"}]", rpc, "a=5"]);
    assert_eq!(node.warnings().len(), 3);
    assert!(
        value("mona:toXMLRPC({__type = 'T', x = 1})")
            .contains("<struct type=\"T\"><member><name>x")
    );
}

#[test]
fn cnv_15_what_is_inside_itself_ends_in_null_with_an_error() {
    for (call, text) in [
        ("mona:toJSON(t)", "[{\"t\":null}]"),
        ("mona:toQuery(t)", "t=null"),
        ("mona:toXML(t)", "<__array><t>null</t></__array>"),
    ] {
        let (node, notes) = run(&format!("local t = {{}} t.t = t NOTE({call})"));
        assert_eq!(notes, [text]);
        let errors = node.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("inside themselves"), "{errors:?}");
    }
    let (node, notes) = run("local t = {} t.t = t NOTE(mona:toXMLRPC(t))");
    assert!(notes[0].contains("<name>t</name><value></value>"), "{notes:?}");
    assert_eq!(node.errors().len(), 1);
    // Shared is not cyclic.
    assert_eq!(cleanly("local s = {1} NOTE(mona:toJSON(s, {s, s}))"), ["[[1],[[1],[1]]]"]);
}

#[test]
fn cnv_15_and_16_shared_tables_that_stand_for_millions_end() {
    let (node, notes) = run("local t = {1, 2} for i = 1, 40 do t = {t, t} end
         NOTE(#mona:toJSON(t) < 100e6, #mona:toXMLRPC(t) < 400e6)");
    assert_eq!(notes, ["truetrue"]);
    assert_eq!(node.errors().len(), 2);
    let (node, notes) = run(
        "local s, t = ('x'):rep(1e6), {} for i = 1, 1000 do t[i] = s end NOTE(#mona:toJSON(t) < 70e6)",
    );
    assert_eq!((notes, node.warnings().len()), (vec!["true".to_owned()], 1));
}

#[test]
fn cnv_16_deep_values_end_both_ways() {
    let (node, notes) = run("local t = {} for i = 1, 10000 do t = {t} end
         NOTE(#mona:toJSON(t), ' ', #mona:toXMLRPC(t) > 0, #mona:toXML(t) > 0, mona:toQuery(t))
         NOTE(select('#', mona:fromJSON(('['):rep(10000) .. (']'):rep(10000))))
         NOTE(select('#', mona:fromXML(('<a>'):rep(10000) .. ('</a>'):rep(10000))))
         NOTE(select('#', mona:fromXMLRPC(('<methodCall>'):rep(10000))))");
    assert_eq!(notes, ["262 truetruenull", "0", "0", "0"]);
    assert_eq!((node.warnings().len(), node.errors().len()), (4, 3));
}

#[test]
fn cnv_17_too_many_values_are_cut_with_an_error() {
    let code = "NOTE(select('#', mona:fromJSON('[' .. ('1,'):rep(9999) .. '1]')))";
    let (node, notes) = run(code);
    assert_eq!(notes, ["4000"]);
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn mon_18_and_cnv_25_xmlrpc_is_a_response() {
    let head = "<?xml version=\"1.0\"?><methodResponse><params>";
    assert_eq!(value("mona:toXMLRPC()"), format!("{head}</params></methodResponse>"));
    let one = format!("{head}<param><value><int>1</int></value></param></params></methodResponse>");
    assert_eq!(value("mona:toXMLRPC(1)"), one);
    assert!(
        value("mona:toXMLRPC({1, 2, 3})").contains("<array size=\"3\"><data><value><int>1</int>")
    );
    assert!(value("mona:toXMLRPC({x = 1, 2})").contains("<array size=\"2\"><data><value><struct>"));
    assert!(
        value("mona:toXMLRPC(2.5, nil)")
            .contains("<double>2.5</double></value></param><param><value></value>")
    );
    assert!(
        value("mona:toXMLRPC({__time = 905989690435})")
            .contains("<dateTime.iso8601>19980916T23:48:10")
    );
}

#[test]
fn cnv_26_and_28_xmlrpc_values_are_read_and_bad_ones_are_nil() {
    let call = "<methodCall><methodName>test</methodName><params><param><value><string>a</string></value></param><param><value>b</value></param><param><value></value></param><param><value><i4>5</i4></value></param></params></methodCall>";
    assert_eq!(value(&format!("mona:fromXMLRPC('{call}')")), "testab(null)5");
    let bad = |inner: &str| {
        let text = format!(
            "<methodResponse><params><param><value>{inner}</value></param><param><value>after</value></param></params></methodResponse>"
        );
        with_errors(&format!("mona:fromXMLRPC('{text}')"))
    };
    for inner in ["<int>x</int>", "<base64>***</base64>", "<dateTime.iso8601>y</dateTime.iso8601>"]
    {
        let (values, errors) = bad(inner);
        assert_eq!((values.as_str(), errors.len()), ("(null)after", 1), "{inner}");
    }
    assert_eq!(bad("<unknown/>").1.len(), 1);
    assert_eq!(with_errors("select('#', mona:fromXMLRPC('<x/>'))").0, "0");
}

#[test]
fn cnv_27_text_is_escaped_and_bytes_are_base64() {
    assert_eq!(value("mona:fromXMLRPC(mona:toXMLRPC('a<b&c>\"\\''))"), "a<b&c>\"'");
    assert!(value("mona:toXMLRPC('\\255')").contains("<base64>/w==</base64>"));
    assert_eq!(value("mona:fromXMLRPC(mona:toXMLRPC('\\255\\0')).__raw == '\\255\\0'"), "true");
    let cdata = "<methodResponse><params><param><value><![CDATA[a<b]]>&#65;</value></param></params></methodResponse>";
    assert_eq!(value(&format!("mona:fromXMLRPC('{cdata}')")), "a<bA");
}

#[test]
fn mon_17_and_cnv_30_the_2014_dialect_is_read() {
    let read = |xml: &str| value(&format!("mona:fromXML('{xml}')"));
    assert_eq!(read("<__array><__noname>m</__noname><__noname>1</__noname></__array>"), "m1");
    let mixed = "local t = mona:fromXML('<__array><x>10</x><__noname>100</__noname></__array>') NOTE(t.x, ' ', t[1], #t)";
    assert_eq!(cleanly(mixed), ["10 1001"]);
    let row = |xml: &str, lua: &str| {
        assert_eq!(
            value(&format!("mona:toJSON(mona:fromXML('<__array>{xml}</__array>'))")),
            lua,
            "{xml}"
        );
    };
    row("<x/>", "[{\"x\":[]}]");
    row("<a>1</a><a>2</a>", "[{\"a\":[1,2]}]");
    let typed = "local t = mona:fromXML('<__array><x>10</x><y>true</y><z>t</z></__array>') NOTE(type(t.x), type(t.y), t.z)";
    assert_eq!(cleanly(typed), ["numberbooleant"]);
    row("<a><x>1</x></a><a>2</a>", "[{\"a\":[{\"x\":1},2]}]");
    row(
        "<a><__array><__noname>1</__noname><__noname>2</__noname></__array></a><a>3</a>",
        "[{\"a\":[[[1,2]],3]}]",
    );
}

#[test]
fn cnv_31_the_2014_dialect_is_written() {
    for (argument, xml) in [
        ("{x = 1}", "<x>1</x>"),
        ("1, 2", "<__noname>1</__noname><__noname>2</__noname>"),
        ("{1, 2}", "<__noname>1</__noname><__noname>2</__noname>"),
        ("{x = 1, 2, 3}", "<x>1</x><__noname>2</__noname><__noname>3</__noname>"),
        ("{x = {}}", "<x/>"),
        ("{x = {{}, 1}}", "<x/><x>1</x>"),
        ("{a = {1, 2}}", "<a>1</a><a>2</a>"),
        ("{a = {{1, 2}}}", "<a><__noname>1</__noname><__noname>2</__noname></a>"),
        ("{a = {{x = 1, 2}}}", "<a><x>1</x><__noname>2</__noname></a>"),
        ("{a = {x = 1, 2}}", "<a><x>1</x></a><a>2</a>"),
    ] {
        assert_eq!(value(&format!("mona:toXML({argument})")), format!("<__array>{xml}</__array>"));
    }
}

const P: &str = "<?xml version=\"1.0\"?><d><p k=\"v\">t</p></d>";

#[test]
fn mon_17_and_cnv_32_documents_are_tables_with_helpers() {
    let code = format!(
        "local d = mona:fromXML('{P}')
         NOTE(d.xml.version, type(d.xml.version), d.d.p.__value, d.d.p.k, d.d.__name, #d.d)
         NOTE(d.nothing == nil, d.d.none == nil)
         d.d.p.__value = 'new' d.d.p.k = 5 d.d.q = {{ 'more' }}
         NOTE(d.d.p[1], d.d[2].__name, d.d.q.__value)
         NOTE(mona:toXML(d))
         d.d.p = nil NOTE(d.d.p == nil, #d.d)"
    );
    assert_eq!(
        cleanly(&code),
        [
            "1.0stringtvd1",
            "truetrue",
            "newqmore",
            "<?xml version=\"1.0\"?><d><p k=\"5\">new</p><q>more</q></d>",
            "true1",
        ]
    );
    assert_eq!(value("mona:fromXML('<a>  text  <b/> more </a>').a[1]"), "text");
}

#[test]
fn cnv_33_documents_are_written_and_what_is_wrong_is_told() {
    let row = "{xml = {version = '1.0'}, {__name = 'd', {__name = 'p', k = 'v', 't'}}}";
    assert_eq!(value(&format!("mona:toXML({row})")), P);
    for xml in [P, "<a b=\"1\" c=\"&lt;&amp;&quot;\">x<e/>&lt;y<f><g/></f></a>"] {
        assert_eq!(value(&format!("mona:toXML(mona:fromXML('{xml}'))")), xml);
    }
    for bad in [
        "{{__name = 'd', {k = 'v'}}}",
        "{{__name = 'a b'}}",
        "{{__name = 'd', a = {}}}",
        "{'x', {__name = 'd'}}",
        "{{__name = 'd', ['1'] = 2}}",
    ] {
        let (text, errors) = with_errors(&format!("mona:toXML({bad})"));
        assert_eq!((text.as_str(), errors.len()), ("", 1), "{bad} {errors:?}");
    }
    let cyclic = "local t = {__name = 'd'} t[1] = t NOTE((mona:toXML({t})))";
    assert_eq!(run(cyclic).1, ["(null)"]);
}

#[test]
fn mon_17_and_def_27_a_leading_function_gets_the_error() {
    let code = "local said
        local n = select('#', mona:fromXML(function(text) said = text end, '<a>'))
        NOTE(n, ' ', said ~= nil and said:find('XML') ~= nil)
        NOTE(mona:fromXML(function() return 'default' end, '<a'))
        NOTE(mona:fromXML(error, '<a/>').a.__name)
        NOTE((mona:toXML(function(text) said = text end, {{__name = 'a', {}}})), said)
        NOTE(pcall(function() return mona:fromXML(error, '<a>') end))";
    let notes = cleanly(code);
    assert_eq!(notes[..3], ["0 true", "default", "a"]);
    assert_eq!(notes[3], "(null)an element without __name");
    assert!(notes[4].starts_with("false") && notes[4].contains("XML"), "{notes:?}");
    let mut node =
        Node::root("function onManage() mona:fromXML(error, '<a>') NOTE('not reached') end");
    node.tick();
    assert_eq!((node.notes().len(), node.errors().len()), (0, 1));
}

#[test]
fn mon_19_and_cnv_35_queries_are_read() {
    let code = "local a, b, c = mona:fromQuery('a=1&b&c=2') NOTE(a.a, type(a.a), b, c.c)
        local t = mona:fromQuery('x=a+b%21&y=true&z=2014-01-01T00:00:00') NOTE(t.x, t.y, t.z)
        NOTE(select('#', mona:fromQuery('')))";
    assert_eq!(cleanly(code), ["1numberb2", "a b!true2014-01-01T00:00:00", "0"]);
}

#[test]
fn mon_19_and_cnv_36_queries_are_written() {
    assert_eq!(value("mona:toQuery({a = 'x y'})"), "a=x%20y");
    assert_eq!(value("mona:toQuery(1, true, 'a&b=\\255', {1, 2}, {})"), "1&true&a%26b%3D%FF&1&2");
    assert_eq!(value("mona:toQuery()"), "");
}

#[test]
fn mon_20_digests_of_every_argument() {
    let code = "local function hex(s) return (s:gsub('.', function(c) return ('%02x'):format(c:byte()) end)) end
        NOTE(#mona:md5('a'), #mona:sha256('a'))
        NOTE(hex(mona:md5('abc'))) NOTE(hex(mona:sha256('abc')))
        NOTE(select('#', mona:md5('a', 'b', 5)))
        NOTE(select(2, mona:md5('a', 5)) == mona:md5('5'))";
    assert_eq!(
        cleanly(code),
        [
            "1632",
            "900150983cd24fb0d6963f7d28e17f72",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "3",
            "true",
        ]
    );
    let (values, errors) =
        with_errors("type((mona:md5({}))), select('#', mona:sha256('a', nil, {}))");
    assert_eq!((values.as_str(), errors.len()), ("nil3", 3));
}

#[test]
fn mon_23_dump_shows_bytes_in_the_log_and_named_ones_to_the_node() {
    let (node, notes) = run(
        "mona:dump('0123456789abcdefg') mona:dump('abcdef', 2) mona:dump('name', 'xyz', 2) mona:dump()",
    );
    assert_eq!(notes.len(), 3);
    assert!(notes[0].starts_with("00000000  30 31") && notes[0].ends_with("0123456789abcdef"));
    assert!(notes[1].starts_with("00000010  67") && notes[2].ends_with("ab"));
    assert_eq!(*node.host.dumps.borrow(), [("name".to_owned(), b"xy".to_vec())]);
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn mon_17_and_cnv_30_and_31_a_list_of_tables_passes_through_xml_again_and_again() {
    let code = format!(
        "{SAME} local v = {{ name = 'a text', tags = {{ 'a', 'bb' }}, position = {{ x = 1.5, y = -2.25 }}, items = {{}} }}
         for i = 1, 20 do v.items[i] = {{ id = i, label = 'item ' .. i, price = i * 1.25, available = i % 3 > 0 }} end
         local back = v
         for i = 1, 100 do back = mona:fromXML(mona:toXML(back)) end
         NOTE(same(v, back))"
    );
    assert_eq!(cleanly(&code), ["true"]);
}

/// A Lua expression of a value that every format keeps as it is, if `xml` with texts that XML
/// holds and that look like no number.
fn lua_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|value| value.to_string()),
        (-1_000_000..1_000_000_i32).prop_map(|value| value.to_string()),
        any::<f32>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| format!("{value:e}")),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| {
            let escaped: String = bytes.iter().map(|byte| format!("\\{byte:03}")).collect();
            format!("{{__raw='{escaped}'}}")
        }),
        "[ -~]{0,12}".prop_map(|text| format!("{text:?}").replace("\\'", "'")),
        "[à-ü€😀]{1,5}".prop_map(|text| format!("'{text}'")),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..6)
                .prop_map(|values| format!("{{{}}}", values.join(","))),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 1..5).prop_map(|fields| {
                let fields: Vec<_> =
                    fields.iter().map(|(key, value)| format!("['{key}']={value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

const SAME: &str = "function same(a, b)
    if type(a) ~= type(b) then return false end
    if type(a) ~= 'table' then return a == b end
    for k, v in pairs(a) do if not same(v, b[k]) then return false end end
    for k in pairs(b) do if a[k] == nil then return false end end
    return true
end\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn cnv_01_to_09_json_and_xmlrpc_and_amf_come_back_equal(value in lua_value()) {
        let code = format!(
            "{SAME} local v = {value}
             NOTE(same(v, (mona:fromJSON(mona:toJSON(v)))), same(v, (mona:fromXMLRPC(mona:toXMLRPC(v)))),
                 same(v, (mona:fromAMF(mona:toAMF(v)))), same(v, (mona:fromAMF(mona:toAMF0(v)))))"
        );
        let (node, notes) = run(&code);
        prop_assert_eq!(node.errors(), Vec::<String>::new());
        prop_assert_eq!(notes, ["truetruetruetrue"], "{}", value);
    }

    #[test]
    fn cnv_17_any_bytes_are_read_without_harm(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let escaped: String = text.iter().map(|byte| format!("\\{byte:03}")).collect();
        let (_, notes) = run(&format!(
            "local t = '{escaped}' mona:fromJSON(t) mona:fromXML(t) mona:fromXMLRPC(t) mona:fromQuery(t) mona:fromAMF(t) NOTE('alive')"
        ));
        prop_assert_eq!(notes, ["alive"]);
    }

    #[test]
    fn cnv_35_and_36_flat_fields_come_back_from_a_query(text in "[ -~à-ü]{1,20}", number in any::<i32>()) {
        let escaped: String = text.bytes().map(|byte| format!("\\{byte:03}")).collect();
        let (_, notes) = run(&format!(
            "local q = mona:fromQuery(mona:toQuery({{t = 'x{escaped}', n = {number}}})) NOTE(q.t == 'x{escaped}', q.n == {number})"
        ));
        prop_assert_eq!(notes, ["truetrue"]);
    }
}
