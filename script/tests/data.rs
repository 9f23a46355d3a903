//! The persistent table `data`, with a disk of the test's own.

mod common;

use common::*;
use ramona_script::*;

/// The same applications after a restart: a new state on the disk of the old one.
fn restarted(node: Node, apps: &[(&str, &str)]) -> Node {
    let disk = node.host.data.take();
    let mut next = Node::cold(apps);
    next.host.data.replace(disk);
    next.engine.start();
    next
}

/// Runs texts one after the other, each in a node that starts with what the one before left.
fn lives(texts: &[&str]) -> Node {
    let mut node = Node::root(texts[0]);
    for text in &texts[1..] {
        node.quiet();
        node = restarted(node, &[("", text)]);
    }
    node
}

#[test]
fn dat_01_applications_see_their_part_and_parents_all_of_it() {
    let mut node = Node::new(&[
        (
            "",
            "data.own = 'root' function onManage() NOTE(data.sub and data.sub.x, ' ', data.sub and data.sub.deep.y) end",
        ),
        ("/sub", "data.x = '1' NOTE(super.data.own, ' ', data.own)"),
        (
            "/sub/deep",
            "data.y = '2' NOTE(super.data.x, ' ', super.super.data.own, ' ', data == super.data.deep)",
        ),
    ]);
    node.tick();
    node.connect_to(1, "/sub/deep").unwrap();
    node.tick();
    assert_eq!(node.notes(), ["(null) (null)", "root (null)", "1 root true", "1 2"]);
    node.quiet();
    let mut node = restarted(
        node,
        &[
            ("", "NOTE(data.sub.deep.y)"),
            ("/sub", "NOTE(data.x) data.deep = nil"),
            ("/sub/deep", "NOTE(data.y) data.y = 3"),
        ],
    );
    node.connect_to(1, "/sub/deep").unwrap();
    assert_eq!(node.notes(), ["2", "1", "(null)"]);
    node.quiet();
    // A parent's value where a child's table belongs.
    let mut node = Node::new(&[("", "data.sub = 'mine'"), ("/sub", "data.x = 1 NOTE(data.x)")]);
    node.connect_to(1, "/sub").unwrap();
    assert_eq!(node.notes(), ["(null)"]);
    assert_eq!(
        node.errors(),
        ["data: the parent of www/sub stores a value named 'sub', not a table"]
    );
}

#[test]
fn dat_02_numbers_as_keys_are_texts() {
    let node = lives(&[
        "data.t = {5} NOTE(data.t['1'], data.t[1]) data[1.5] = 'a' data[2^53] = 'b'",
        "NOTE(data.t[1], data['1.5'], data['9007199254740992'], data[2^53])",
    ]);
    assert_eq!(node.notes(), ["5abb"]);
    node.quiet();
}

#[test]
fn dat_03_numbers_become_texts_booleans_stay_and_the_rest_is_refused() {
    let node = lives(&[
        "data.n = 10 assert(data.n == '10' and data.n ~= 10)
         data.t, data.f, data.text = true, false, 'true' assert(data.t == true and data.f == false and data.text == 'true')
         local all = {} for i = 0, 255 do all[#all + 1] = string.char(i) end
         data.all = table.concat(all) data[table.concat(all, '', 1, 200)] = 'key' data.empty = '' data[''] = 'no name'",
        "assert(data.n == '10' and data.t == true and data.f == false and data.text == true)
         local all = {} for i = 0, 255 do all[#all + 1] = string.char(i) end
         assert(data.all == table.concat(all) and data[table.concat(all, '', 1, 200)] == 'key' and data.empty == '' and data[''] == 'no name')
         NOTE('same')",
    ]);
    assert_eq!(node.notes(), ["same"]);
    node.quiet();
    let node = Node::root(
        "data.f = print data.c = mona data.t = { 1, print, { mona.servers } } data.e = this data.k = {[print] = 1, ok = 2} data.co = coroutine.create(print)
         NOTE(data.f, data.c, data.t[1], data.t[2], #data.t[3], data.e, data.k.ok, data.co)",
    );
    assert_eq!(node.notes(), ["(null)(null)1(null)0(null)2(null)"]);
    assert_eq!(node.errors().len(), 7);
    assert_eq!(node.engine.stats().data_refused, 7);
}

#[test]
fn dat_04_a_table_is_copied_and_a_second_one_refused() {
    let node = lives(&[
        "local t = { a = { b = { c = 'deep' } }, 1, 2 } data.t = t t.a.b.c = 'changed'
         NOTE(data.t.a.b.c, #data.t) data.copy = data.t data.copy.a.b.c = 'other' NOTE(data.t.a.b.c)",
        "",
    ]);
    drop(node);
    // The usual way to begin is no second table.
    let begin = "data.list = data.list or {} data.list.count_of_starts = (data.list.count_of_starts or 0) + 1
        NOTE(data.list.count_of_starts)";
    let node = lives(&[begin, begin, begin]);
    assert_eq!(node.notes(), ["3"]);
    node.quiet();
    let node = Node::root(
        "data.t = {1} data.t = {} data.t = 'x' data.t = {2} NOTE(data.t[1]) local loop = {} loop.loop = loop data.l = loop",
    );
    assert_eq!(node.notes(), ["2"]);
    let errors = node.errors();
    assert_eq!(errors[0], "data: 't' holds a table, set it to nil before another table");
    assert!(errors[1].contains("nested deeper than 64"), "{errors:?}");
    assert_eq!(errors.len(), 2);
}

#[test]
fn dat_05_nil_removes_a_value_or_a_whole_table() {
    let node = lives(&[
        "data.t = { a = { b = 1 }, c = 2 } data.x = 1 data.keep = 1 local old = data.t data.t = nil data.x = nil data.missing = nil
         NOTE(old.c, tostring(data.t)) for k in pairs(old) do NOTE(k) end NOTE(#old)",
        "for k, v in pairs(data) do NOTE(k, '=', v) end",
    ]);
    assert_eq!(node.notes(), ["keep=1"]);
    node.quiet();
    assert_eq!(node.host.data.borrow().len(), 1);
}

#[test]
fn dat_05_and_gen_07_a_table_that_was_removed_takes_nothing_and_says_so() {
    let node = Node::root(
        "data.t = { a = { b = 1 } } local old, inner = data.t, data.t.a data.t = nil
         old.x = 1 inner.y = { 2 } inner.b = nil data.t = { z = 1 }
         NOTE(old.x, inner.y, old == data.t, data.t.x, data.t.z) data.copy = old NOTE(data.copy)",
    );
    assert_eq!(node.notes(), ["(null)(null)false(null)1", "(null)"]);
    let gone = |what: &str| format!("data.{what} is called on an object that has ended");
    let stored = "data: a value of type data cannot be stored".to_owned();
    assert_eq!(node.errors(), [gone("x"), gone("y"), gone("b"), stored]);
    assert_eq!(node.host.data.borrow().len(), 2);
}

#[test]
fn dat_06_and_itr_10_pairs_counts_and_sequences() {
    let node = lives(&[
        "data.a = 1 data.b = {} data.b.x = 'x' data[1] = 'one' data[2] = {} data[3] = 'three' data[5] = 'five'",
        "NOTE(#data, data.count, #data.b, data.b.count)
         local keys = {} for k, v in pairs(data) do keys[#keys + 1] = k .. (type(v) == 'string' and v or '{}') end
         table.sort(keys) NOTE(table.concat(keys, ' '))
         for i, v in ipairs(data) do NOTE(i, type(v)) end
         for k, v in data.b:pairs() do NOTE(k, v) end
         NOTE(data('a'), data('count'), data.b == data.b, next(data.b))
         for k in pairs(data) do data[k] = nil end NOTE(#data, next(data))
         data.count = 5 NOTE(data.count)",
    ]);
    assert_eq!(
        node.notes(),
        [
            "4411",
            "1one 2{} 3three 5five a1 b{}",
            "1string",
            "2table",
            "3string",
            "xx",
            "1(null)truexx",
            "0(null)(null)",
            "0"
        ]
    );
    assert_eq!(node.warnings(), ["data.count is read-only, assignment ignored"]);
}

/// Shows a list of `data`: texts as they are, tables by their field `n`.
const SHOW: &str = "local function show(t) local all = {}
        for i, v in ipairs(t) do all[i] = type(v) == 'table' and '{' .. v.n .. '}' or tostring(v) end
        return table.concat(all, ' ') end ";

#[test]
fn dat_07_and_itr_10_the_functions_of_table_reach_the_disk() {
    let texts = [
        "data.l = {} table.insert(data.l, 'b') table.insert(data.l, 1, 'a') table.insert(data.l, 3)
         table.insert(data.l, 2, { n = 'x', deep = { 1, 2 } }) table.insert(data.l, '2', true)
         NOTE(show(data.l), ' ', table.getn(data.l), table.maxn(data.l), select('#', unpack(data.l)), ' ',
             table.concat(data.l, '+', 4), ' ', (table.unpack(data.l, 4)))",
        "NOTE(show(data.l), ' ', data.l[3].deep[2])
         local x = data.l[3] NOTE(table.remove(data.l, 1), ' ', x == data.l[2], x.n, ' ', show(data.l))
         x.n = 'moved' NOTE(table.remove(data.l), ' ', show(data.l))
         local taken = table.remove(data.l, 2) NOTE(taken.n, taken.deep[1], rawget(taken, 'n'), ' ', show(data.l))",
        "for i, word in ipairs { 'd', 'c', 'd', 'a' } do table.insert(data.l, i, word) end
         table.remove(data.l, 5) table.sort(data.l) NOTE(show(data.l))
         data.t = {} for i = 1, 4 do table.insert(data.t, { n = i, inner = { n = 10 * i } }) end
         local second = data.t[2]
         table.sort(data.t, function(a, b) return tonumber(a.n) > tonumber(b.n) end)
         NOTE(show(data.t), ' ', data.t[3] == second)",
        "NOTE(show(data.l), ' | ', show(data.t), ' ', data.t[1].inner.n)
         local n = 0 while table.remove(data.t) do n = n + 1 end
         NOTE(n, next(data.t), table.remove(data.t), table.maxn(data.t)) data.l = nil data.t = nil",
        "NOTE(next(data))",
    ];
    let mut node = Node::root(&[SHOW, texts[0]].concat());
    let mut notes = node.notes();
    for text in &texts[1..] {
        node.quiet();
        node = restarted(node, &[("", &[SHOW, text].concat())]);
        notes.extend(node.notes());
    }
    node.quiet();
    assert_eq!(
        notes,
        [
            "a true {x} b 3 555 b+3 b",
            "a true {x} b 3 2",
            "a truex true {x} b 3",
            "3 true {moved} b",
            "moved1moved true b",
            "a b c d d",
            "{4} {3} {2} {1} true",
            "a b c d d | {4} {3} {2} {1} 40",
            "4(null)(null)0",
            "(null)(null)",
        ]
    );
    assert!(node.host.data.borrow().is_empty());
}

#[test]
fn dat_07_and_itr_10_lists_in_data_behave_as_lists_in_tables_do() {
    let work = "math.randomseed(7) local p, l = {}, { } data.l = {} l = data.l
         local function value(n) if n % 3 == 0 then return { n = 'v' .. n, s = { n } } end return 'v' .. n end
         local function text(v) return type(v) == 'table' and v.n .. v.s[1] or v end
         local function same() assert(table.getn(l) == #p) for i, v in ipairs(l) do assert(text(v) == text(p[i])) end end
         for n = 1, 600 do
             local what, place = math.random(5), math.random(#p + 1)
             if what <= 2 then table.insert(p, place, value(n)) table.insert(l, place, value(n))
             elseif what == 3 then table.insert(p, value(n)) table.insert(l, value(n))
             elseif #p > 0 and what == 4 then
                 place = math.min(place, #p)
                 assert(text(table.remove(p, place)) == text(table.remove(l, place)))
             elseif n % 10 == 0 then
                 local order = function(a, b) return text(a) < text(b) end
                 table.sort(p, order) table.sort(l, order)
             end
             same()
         end
         local all = {} for i, v in ipairs(p) do all[i] = text(v) end NOTE(table.concat(all, ' '))";
    let mut node = Node::root(work);
    let before = node.notes();
    node.quiet();
    node = restarted(
        node,
        &[(
            "",
            "local all = {} for i, v in ipairs(data.l) do all[i] = type(v) == 'table' and v.n .. v.s[1] or v end
             NOTE(table.concat(all, ' ')) data.l = nil",
        )],
    );
    assert_eq!(node.notes(), before);
    assert!(node.host.data.borrow().is_empty());
}

#[test]
fn itr_10_what_a_list_of_data_cannot_take_leaves_it_as_it_was() {
    let node = Node::root(
        "data.l = { 'b', 'a' } table.insert(data.l, 1, print) table.insert(data.l, 1, nil) table.insert(data.l, print)
         table.sort(data.l, function(a, b) data.l[3] = 'c' return a < b end)
         NOTE(table.concat(data.l, ' '))
         local old = data.l data.l = nil
         table.insert(old, 'x') NOTE(table.remove(old), table.getn(old))
         for _, wrong in ipairs { function() table.insert(data) end, function() table.insert(data, 'a', 1) end,
             function() table.concat({ {} }) end, function() table.insert(nil, 1) end } do NOTE(pcall(wrong)) end
         local plain = setmetatable({ 3 }, { __metatable = 'data' }) table.insert(plain, 1) table.sort(plain) NOTE(plain[1], #plain)",
    );
    let raised = |text: &str| format!("falsewww/main.lua:{text}");
    assert_eq!(
        node.notes(),
        [
            "b a c".to_owned(),
            "(null)0".to_owned(),
            raised("6: wrong number of arguments to 'insert'"),
            raised("6: bad argument #2 to 'insert' (number expected, got string)"),
            raised("7: invalid value (table) at index 1 in table for 'concat'"),
            raised("7: bad argument #1 to 'insert' (table expected, got nil)"),
            // Tables that only look so are Lua's.
            "12".to_owned(),
        ]
    );
    let stored = |kind: &str| format!("data: a value of type {kind} cannot be stored");
    let gone = |name: &str| format!("table.{name} is called on an object that has ended");
    assert_eq!(
        node.errors(),
        [
            stored("function"),
            stored("nil"),
            stored("function"),
            "table.sort: the table of data was changed meanwhile and stays as it is".to_owned(),
            gone("insert"),
            gone("remove"),
            gone("getn"),
        ]
    );
}

#[test]
fn bounds_are_errors_and_counted() {
    let node = Node::root(
        "data[('k'):rep(256)] = 1 data.v = ('x'):rep(2^24 + 1) data[true] = 1
         data.big = { [('k'):rep(256)] = 1, ok = 2 } NOTE(data.big.ok)
         for i = 1, 17 do data[i] = ('x'):rep(2^24 - 1) end NOTE(#data)",
    );
    assert_eq!(node.notes(), ["2", "15"]);
    assert_eq!(node.engine.stats().data_refused, node.errors().len() as u64);
    assert_eq!(node.engine.stats().data_refused, 6);
}

#[test]
fn dat_07_data_is_there_before_the_root_and_odd_entries_are_named() {
    let mut node = Node::cold(&[("", "NOTE(data.a.b, data.x)")]);
    let key = |parts: &[&str]| data_key(parts).into();
    {
        let mut disk = node.host.data.borrow_mut();
        disk.insert(key(&["a", "b"]), Some("1".into()));
        disk.insert(key(&["x"]), Some("value".into()));
        disk.insert(key(&["x", "y"]), Some("below a value".into()));
        disk.insert(b"no key".as_slice().into(), Some("1".into()));
    }
    node.engine.start();
    assert_eq!(node.notes(), ["1value"]);
    assert_eq!(node.errors().len(), 2);
}
