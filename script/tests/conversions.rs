//! CNV-01..17, MON-05..09, MON-13, MON-14, MON-21: values between Lua and AMF.

mod common;

use std::slice::from_ref;

use common::*;
use ramona_amf::{Object, Value};
use ramona_script::*;

/// A node with a server function `echo` that sends back what it got, and `show` that notes it.
fn echo() -> Node {
    let mut node = Node::root(
        "function onServerConnection(s)
            function s:echo(...) s:send('back', ...) end
            function s:run(code, ...) return NOTE(load(code)(...)) end
         end",
    );
    node.link(1, true).unwrap();
    node
}

fn round_trip(values: &[Value]) -> Vec<Value> {
    let mut node = echo();
    node.server_call(1, "echo", values);
    node.quiet();
    node.sent().remove(0).2
}

/// What Lua code says about values that came over the link.
fn seen(code: &str, values: &[Value]) -> String {
    let mut node = echo();
    let mut all = vec![text(code)];
    all.extend_from_slice(values);
    node.server_call(1, "run", &all);
    node.quiet();
    node.notes().remove(0)
}

/// What a script sends with these arguments.
fn sends(arguments: &str) -> (Vec<Value>, Vec<String>) {
    let mut node =
        Node::root(&format!("function onServerConnection(s) s:send('f', {arguments}) end"));
    node.link(1, true).unwrap();
    assert!(node.errors().is_empty());
    let sent = node.sent().remove(0).2;
    let warnings = node.warnings();
    (sent, warnings)
}

fn object(list: &[(&str, Value)]) -> Value {
    let members = list.iter().map(|(key, value)| ((*key).to_owned().into(), value.clone()));
    Value::Object(Object { type_name: None, members: members.collect() })
}

#[test]
fn cnv_01_and_02_nil_and_booleans_keep_the_argument_count() {
    let values = [Value::Null, number(1.0), Value::Bool(true), Value::Bool(false), Value::Null];
    assert_eq!(round_trip(&values), values);
    assert_eq!(sends("nil, 1, nil").0.len(), 3);
}

#[test]
fn cnv_03_numbers_of_every_size() {
    let values = [
        0.0,
        -1.0,
        2.7,
        268_435_455.0,
        -268_435_456.0,
        268_435_456.0,
        9_007_199_254_740_992.0,
        1e300,
        -1e-300,
        f64::INFINITY,
        4_294_967_296.0,
        1e18,
    ]
    .map(Value::Number);
    assert_eq!(round_trip(&values), values);
    assert!(matches!(sends("0/0").0[..], [Value::Number(nan)] if nan.is_nan()));
}

#[test]
fn cnv_04_long_binary_strings() {
    let long: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let values = [Value::String(long.into()), text(""), text("a\0b")];
    assert_eq!(round_trip(&values), values);
}

#[test]
fn cnv_05_bytes() {
    let value = Value::ByteArray((&b"\xff\0"[..]).into());
    assert_eq!(round_trip(from_ref(&value)), from_ref(&value));
    assert_eq!(sends("{ __raw = '\\255\\0' }").0, from_ref(&value));
    assert_eq!(seen("return (...).__raw == '\\255\\0'", &[value]), "true");
}

#[test]
fn cnv_06_and_12_dates() {
    let value = Value::Date(905_989_690_435.0);
    assert_eq!(round_trip(from_ref(&value)), from_ref(&value));
    let code = "local t = ... return t.__time, ' ', t.year, ' ', t.month, ' ', t.msec, ' ', t.wday >= 4 and t.wday <= 5, ' ', t.yday >= 259 and t.yday <= 260, ' ', type(t.isdst)";
    assert_eq!(seen(code, &[value]), "905989690435 1998 9 435 true true boolean");
    let far = Value::Date(1e300);
    assert_eq!(round_trip(from_ref(&far)), from_ref(&far));
    assert_eq!(round_trip(&[Value::Date(-1.0)]), [Value::Date(-1.0)]);
}

#[test]
fn cnv_07_and_13_dictionaries_keep_their_keys_and_weakness() {
    let code = "
        local d = setmetatable({ ['a'] = 1, [5] = 'b', [true] = { x = 1 }, __size = 9 }, { __mode = 'k' })
        local back = mona:fromAMF(mona:toAMF(d))
        return back.a, back[5], back[true].x, back.__size, getmetatable(back).__mode, ' ', back.b == nil";
    assert_eq!(seen(code, &[]), "1b13k true");
    let code = "local back = mona:fromAMF(mona:toAMF({ a = 1, __size = 1 })) return tostring(getmetatable(back)), back.__size";
    assert_eq!(seen(code, &[]), "nil1");
}

#[test]
fn cnv_08_typed_objects() {
    let value = Value::Object(Object {
        type_name: Some("Cat".into()),
        members: vec![("age".into(), number(3.0))],
    });
    assert_eq!(round_trip(from_ref(&value)), from_ref(&value));
    assert_eq!(sends("{ __type = 'Cat', age = 3 }").0, [value]);
}

#[test]
fn cnv_09_tables_become_arrays_mixed_arrays_or_objects() {
    let (values, warnings) =
        sends("{ 1, 2, 3 }, { x = 1 }, {}, { [10] = 'a', [1.5] = 'b' }, { 1, [3] = 3 }");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(values[0], Value::Array([1.0, 2.0, 3.0].map(Value::Number).into()));
    assert_eq!(values[1], object(&[("x", number(1.0))]));
    assert_eq!(values[2], Value::Array(vec![]));
    let Value::Object(holes) = &values[3] else { panic!("{:?}", values[3]) };
    assert_eq!(holes.get("10"), Some(&text("a")));
    assert_eq!(holes.get("1.5"), Some(&text("b")));
    let code = "local t = mona:fromAMF(mona:toAMF({ x = 1, 2, 3, y = { z = 4 } })) return #t, t[1], t[2], t.x, t.y.z";
    assert_eq!(seen(code, &[]), "22314");
    let (_, warnings) = sends("{ [{}] = 1, [true] = 2, a = 3 }");
    assert_eq!(warnings.len(), 1);
}

#[test]
fn cnv_10_and_11_amf_to_lua() {
    let code = "local n, b, s, z, o, a = ... return type(n), type(b), type(s), type(z), o.x, o.y == nil, #a, a[1], a[3], select('#', ...)";
    let values = [
        number(1.0),
        Value::Bool(true),
        text("x"),
        Value::Null,
        object(&[("x", number(5.0)), ("y", Value::Null)]),
        Value::Array(vec![number(7.0), Value::Undefined, number(9.0)]),
    ];
    assert_eq!(seen(code, &values), "numberbooleanstringnil5true3796");
}

#[test]
fn cnv_11_amf0_mixed_arrays_are_one_table() {
    let mut node = Node::root(
        "function onConnection(c) function c:f(t) return t.x, t[1], t[2], #t, t['01'], t['-1'] end end",
    );
    node.connect(1).unwrap();
    let mixed = Value::EcmaArray(
        [("x", 1.0), ("0", 2.0), ("1", 3.0), ("01", 4.0), ("-1", 5.0)]
            .map(|(key, value)| (key.into(), number(value)))
            .into(),
    );
    let expected = [1.0, 2.0, 3.0, 2.0, 4.0, 5.0].map(number);
    assert_eq!(node.answer(1, "f", &[mixed]), expected);
}

#[test]
fn cnv_14_shared_and_cyclic_tables_come_out_so() {
    for writer in ["toAMF", "toAMF0"] {
        let code = format!(
            "local t, s = {{ 1 }}, {{ k = 'v' }} t[2] = t t[3] = s t[4] = s
             local back, other = mona:fromAMF(mona:{writer}(t, s))
             return back[2] == back, back[3] == back[4], back[3].k, other == back[3]"
        );
        assert_eq!(seen(&code, &[]), "truetruevtrue", "{writer}");
    }
    let code = "local d, b = { __time = 5 }, { __raw = 'x' } local t = mona:fromAMF(mona:toAMF({ d, d, b, b })) return t[1] == t[2], t[3] == t[4], t[1].__time, t[4].__raw";
    assert_eq!(seen(code, &[]), "truetrue5x");
}

#[test]
fn cnv_14_many_tables_in_one_message() {
    let code = "local t = {} for i = 1, 70000 do t[i] = { i } end t[70001] = t[60000]
        local back = mona:fromAMF(mona:toAMF(t)) return #back, back[70000][1], back[70001] == back[60000], back[5][1]";
    assert_eq!(seen(code, &[]), "7000170000true5");
}

#[test]
fn cnv_16_nesting_ends_at_128_levels_both_ways() {
    let mut node = Node::root(
        "function nest(n) local t = {} local first = t for i = 2, n do t[1] = {} t = t[1] end return first end
         function depth(t) local n = 0 while t do n = n + 1 t = t[1] end return n end
         function onServerConnection(s)
            function s:f(t) NOTE(depth(t)) end
            NOTE(depth(mona:fromAMF(mona:toAMF(nest(128)))), ' ', depth(mona:fromAMF(mona:toAMF0(nest(128)))))
            s:send('x', nest(129)) s:send('x', nest(10000)) mona:toAMF0(nest(10000)) mona:toAMF(nest(10000))
         end",
    );
    node.link(1, true).unwrap();
    assert_eq!(node.notes(), ["128 128"]);
    assert_eq!(node.warnings().len(), 4);
    assert_eq!(node.sent().len(), 2);
    // From a peer: malformed, the values before it are delivered.
    let mut args = amf3(&[text("first")]);
    for _ in 0..10_000 {
        args.extend_from_slice(&[0x09, 0x03, 0x01]);
    }
    node.engine.server_call(ServerId(1), b"f", &args);
    assert_eq!(node.notes(), ["1"]);
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn cnv_17_malformed_arguments_are_logged_and_the_call_is_dispatched() {
    let mut node = Node::root(
        "function onServerConnection(s) function s:f(...) NOTE(select('#', ...), ' ', (...)) end end
         function onConnection(c) function c:f(...) return ... end end",
    );
    node.link(1, true).unwrap();
    node.connect(1).unwrap();
    let mut args = amf3(&[text("whole"), number(2.0)]);
    args.extend_from_slice(&[0x06, 0x7F]);
    node.engine.server_call(ServerId(1), b"f", &args);
    assert_eq!(node.notes(), ["2 whole"]);
    let mut args = amf0(&[text("whole")]);
    args.extend_from_slice(&[0x02, 0xFF]);
    let CallOutcome::Values(values) = node.engine.call(ClientId(1), b"f", &args, Format::Amf0)
    else {
        panic!()
    };
    assert_eq!(amf0_values(&values), [text("whole")]);
    assert_eq!(node.errors().len(), 2);
}

#[test]
fn values_beyond_the_limit_of_a_call_are_cut() {
    let mut node = Node::root(
        "function onServerConnection(s) function s:f(...) NOTE(select('#', ...)) end end
         NOTE(select('#', mona:fromAMF(('\\5'):rep(100000)))) NOTE(select('#', mona:split((' '):rep(100000), ' ')))",
    );
    node.link(1, true).unwrap();
    node.engine.server_call(ServerId(1), b"f", &vec![1; 100_000]);
    assert_eq!(node.notes(), ["4000", "4000", "4000"]);
    assert_eq!(node.errors().len(), 3);
}

#[test]
fn mon_05_to_09_time_environment_and_paths() {
    let node = Node::root(
        "NOTE(mona.epochTime, ' ', mona:time() == mona.epochTime, ' ', #mona.clients, ' ', type(mona.environment.PATH))
         NOTE(mona:absolutePath('/a'):match('/www/a/$'), ' ', mona:absolutePath():match('/www/$'), ' ', mona:absolutePath('a//b/'):match('/www/a/b/$'))",
    );
    assert_eq!(node.notes(), ["1700000000000 true 0 string", "/www/a/ /www/ /www/a/b/"]);
}

#[test]
fn mon_13_to_amf_switches_to_amf3_where_amf0_has_no_form() {
    let node = Node::root(
        "local a = mona:toAMF(1, 'x', { a = 1 }, { __raw = 'y' })
         NOTE(a:find('\\17', 1, true) ~= nil, ' ', mona:toAMF0(1):byte(1), ' ', mona:toAMF({ x = 1 }):byte(1), ' ', mona:toAMF({ x = 1, 2 }):byte(1))
         NOTE(mona:toAMF({ inner = { 1, x = 2 } }):byte(1), ' ', mona:toAMF0({ inner = { 1, x = 2 } }):byte(1))",
    );
    assert_eq!(node.notes(), ["true 0 3 17", "17 3"]);
    assert_eq!(node.warnings().len(), 1, "only toAMF0 warns");
}

#[test]
fn mon_13_a_value_that_turns_out_to_be_amf3_leaves_nothing_of_a_try_as_amf0() {
    let node = Node::root(
        "local a, b = { 1 }, { 2 }
         local r = { mona:fromAMF(mona:toAMF(a, { { 3 }, a, { print }, { __raw = 'y' } }, b, a, b)) }
         NOTE(#r, ' ', r[1] == r[4], ' ', r[3] == r[5], ' ', r[1] == r[3], ' ', r[3][1])
         NOTE(r[2][1][1], ' ', r[2][2][1], ' ', r[2][4].__raw)",
    );
    assert_eq!(node.notes(), ["5 true true false 2", "3 1 y"]);
    let warnings = node.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("1 values that cannot be serialized"), "{warnings:?}");
}

#[test]
fn mon_14_from_amf_gives_all_values() {
    let node = Node::root(
        "NOTE(select('#', mona:fromAMF(mona:toAMF(1, nil, 'x'))), ' ', select('#', mona:fromAMF('')), ' ', select('#', mona:fromAMF()))
         NOTE(mona:fromAMF(mona:toAMF(5)..'\\255'))",
    );
    assert_eq!(node.notes(), ["3 0 0", "5"]);
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn mon_21_split() {
    let node = Node::root(
        "local function show(...) NOTE(table.concat({ ... }, '|'), ' ', select('#', ...)) end
         show(mona:split('a, ,b', ',', 3)) show(mona:split('a, ,b', ',')) show(mona:split('a, ,b', ',', 2)) show(mona:split('a,,b', ',', 1))
         show(mona:split('a;b,c', ';,')) show(mona:split('', ',')) show(mona:split('', ',', 1)) show(mona:split('abc', '')) show(mona:split())",
    );
    let expected = ["a|b 2", "a| |b 3", "a||b 3", "a|b 2", "a|b|c 3", " 1", " 0", "abc 1", " 1"];
    assert_eq!(node.notes(), expected);
}

#[test]
fn cnv_14_tables_beyond_the_places_of_the_stack_are_referred_to() {
    let node = Node::root(
        "local first, list = { 'first' }, {}
         list.first, list.last = first, { 'last' }
         for i = 1, 20000 do list[i] = { i, { [first] = list.last, __size = 1 }, first } end
         for _, name in ipairs { 'toAMF', 'toAMF0' } do
             local read = mona:fromAMF(mona[name](mona, list))
             local right = 0
             for i = 1, 20000 do
                 local row = read[i]
                 if row[1] == i and row[3] == read[1][3] and row[2][row[3]] == read[1][2][row[3]] then
                     right = right + 1
                 end
             end
             NOTE(#read, ' ', read.first[1], ' ', read.last[1], ' ', right)
         end",
    );
    let row = "20000 first last 20000";
    assert_eq!(node.notes(), [row, row]);
}
