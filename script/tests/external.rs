//! BIO-01..03, EVT-06, CNV-08, CNV-14: externalizable AMF3 objects.

mod common;

use common::*;
use ramona_amf::Value;
use ramona_script::*;

/// A node with a server function `echo`, and handlers of the type `Foo`.
fn node(handlers: &str) -> Node {
    let mut node = Node::root(&format!(
        "function onTypedObject(type, object)
            if type ~= 'Foo' then return end
            {handlers}
         end
         function onServerConnection(s)
            function s:echo(...) NOTE(select('#', ...)) s:send('back', ...) end
            function s:show(...) NOTE(mona:toJSON(...)) end
         end"
    ));
    node.link(1, true).unwrap();
    node
}

/// An object of the type `Foo` with that body, as AMF3.
fn foo(body: &[u8]) -> Vec<u8> {
    [&[0x0A, 0x07, 0x07, b'F', b'o', b'o'], body].concat()
}

fn call(node: &mut Node, function: &str, bytes: &[u8]) {
    node.engine.server_call(ServerId(1), function.as_bytes(), bytes);
}

fn sent(node: &Node) -> Vec<Vec<u8>> {
    let sent = node.asked().into_iter().filter_map(|asked| match asked {
        Asked::Send { args, .. } => Some(args.to_vec()),
        _ => None,
    });
    sent.collect()
}

const ECHO: &str = "function object:__readExternal(reader) self.source = reader:readAMF(1) end
    function object:__writeExternal(writer) writer:writeAMF(self.source) end";

#[test]
fn bio_01_an_object_is_echoed_byte_by_byte() {
    let mut node = node(ECHO);
    // An array of 1, "a" and an object of the same type inside.
    let inner = foo(&[0x04, 0x05]);
    let body = [&[0x09, 0x07, 0x01, 0x04, 0x01, 0x06, 0x03, b'a'], &inner[..]].concat();
    let message = [foo(&body), vec![0x04, 0x07]].concat();
    call(&mut node, "echo", &message);
    assert_eq!(node.notes(), ["2"]);
    assert_eq!(sent(&node), [message]);
    node.quiet();
}

#[test]
fn bio_01_and_cnv_14_an_object_inside_itself_comes_back() {
    let mut node = node(ECHO);
    let message = foo(&[0x0A, 0x00]);
    call(&mut node, "echo", &message);
    assert_eq!(sent(&node), [message]);
    node.quiet();
}

#[test]
fn bio_01_amf0_messages_switch_to_amf3_for_it() {
    let mut node = node(ECHO);
    node.connect(1).unwrap();
    let code = "local o = { __type = 'Foo', source = 5 } onTypedObject('Foo', o) NOTE((mona:toAMF(o)):byte(1), (mona:toAMF0(o)):byte(1), mona:fromAMF(mona:toAMF(o)).source)";
    node.file("www/a/main.lua", code);
    node.connect_to(2, "/a").unwrap();
    assert_eq!(node.notes(), ["17175"]);
    assert_eq!(node.warnings().len(), 1, "AMF0 has no such objects");
}

#[test]
fn bio_02_a_reader_reads_what_as3_writes() {
    let mut node = node(
        "function object:__readExternal(r)
            self.list = { r:readBoolean(), r:readByte(), r:readUnsignedByte(), r:readShort(), r:readUnsignedShort(),
                r:readInt(), r:readUnsignedInt(), r:readFloat(), r:readDouble(), r:readUTF(), r:readUTFBytes(2),
                r:readMultiByte(1, 'utf-8'), r:readBytes('2') }
            local a, b = r:readAMF(2)
            self.a, self.b = a, b
         end",
    );
    let body = [
        &[1, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0xFE][..],
        &(-5_i32).to_be_bytes(),
        &4_000_000_000_u32.to_be_bytes(),
        &1.5_f32.to_be_bytes(),
        &(-2.25_f64).to_be_bytes(),
        &[0, 3, b'a', b'b', b'c', b'd', b'e', b'f', b'g', b'h'],
        &[0x04, 0x07, 0x09, 0x03, 0x01, 0x04, 0x01],
    ]
    .concat();
    call(&mut node, "show", &foo(&body));
    let note = node.notes().remove(0);
    assert!(
        note.contains("[true,-1,255,-2,65534,-5,4000000000,1.5,-2.25,\"abc\",\"de\",\"f\",\"gh\"]"),
        "{note}"
    );
    assert!(note.contains("\"a\":7") && note.contains("\"b\":[1]"), "{note}");
    node.quiet();
}

#[test]
fn bio_03_a_writer_writes_what_as3_reads() {
    let mut node = node(
        "function object:__writeExternal(w)
            w:writeBoolean(true) w:writeByte(-1) w:writeShort(65534) w:writeInt(-5) w:writeUnsignedInt(4000000000)
            w:writeFloat(1.5) w:writeDouble('-2.25') w:writeUTF('abc') w:writeUTFBytes('de') w:writeMultiByte('f', 'utf-8')
            w:writeBytes('g\\0') w:writeAMF(7, nil) w:writeAMF()
         end
         function object:__readExternal(r) end",
    );
    call(&mut node, "echo", &foo(&[]));
    let body = [
        &[1, 0xFF, 0xFF, 0xFE][..],
        &(-5_i32).to_be_bytes(),
        &4_000_000_000_u32.to_be_bytes(),
        &1.5_f32.to_be_bytes(),
        &(-2.25_f64).to_be_bytes(),
        &[0, 3, b'a', b'b', b'c', b'd', b'e', b'f', b'g', 0],
        &[0x04, 0x07, 0x01],
    ]
    .concat();
    assert_eq!(sent(&node), [foo(&body)]);
    node.quiet();
}

#[test]
fn bio_01_without_handlers_only_collections_are_read() {
    let mut node = node("");
    let name = b"flex.messaging.io.ArrayCollection";
    let collection = [&[0x0A, 0x07, 0x43][..], name, &[0x09, 0x03, 0x01, 0x04, 0x01]].concat();
    call(&mut node, "show", &collection);
    assert_eq!(node.notes(), ["[[1]]"]);
    node.quiet();
    call(&mut node, "show", &[&[0x04, 0x02][..], &foo(&[0x04, 0x05])].concat());
    assert_eq!(node.notes(), ["[2]"], "the values before it count");
    assert!(node.errors()[0].contains("Foo"));
}

#[test]
fn bio_02_bodies_that_lie_end_the_message_and_harm_nobody() {
    for handler in [
        "self.a = reader:readInt()",
        "self.a = reader:readBytes(1e300)",
        "self.a = reader:readUTF()",
        "self.a = reader:readAMF(1e9)",
        "self.a = { pcall(reader.readDouble, reader) }",
        "error('no')",
        "local r = reader object.keep = r coroutine.wrap(function() r:readDouble() end)()",
    ] {
        let mut node = node(&format!("function object:__readExternal(reader) {handler} end"));
        call(&mut node, "show", &[&[0x04, 0x02][..], &foo(&[0xFF, 0xFF])].concat());
        assert_eq!(node.notes(), ["[2]"], "{handler}");
        assert!(!node.errors().is_empty(), "{handler}");
        call(&mut node, "show", &[0x04, 0x02]);
        assert_eq!(node.notes(), ["[2]"]);
    }
    // A reader that is kept is dead afterwards.
    let mut node = node("function object:__readExternal(reader) kept = reader end");
    node.file("www/a/main.lua", "local ok = pcall(kept.readByte, kept) NOTE(ok)");
    call(&mut node, "show", &foo(&[]));
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes().last().map(String::as_str), Some("true"));
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn bio_01_a_writer_that_fails_makes_null() {
    let mut node = node(
        "function object:__readExternal(reader) end
         function object:__writeExternal(writer) writer:writeInt(1) error('no') end",
    );
    call(&mut node, "echo", &[foo(&[]), vec![0x04, 0x01]].concat());
    assert_eq!(sent(&node), [vec![0x01, 0x04, 0x01]]);
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn evt_06_and_cnv_08_typed_objects_get_methods() {
    let mut node = Node::root(
        "function onTypedObject(type, object) if type == 'Cat' then function object:meow() return self.name .. '!' end end end
         function onConnection(client) function client:pet(cat) return cat:meow() end end",
    );
    node.connect(1).unwrap();
    let members = vec![("name".into(), text("Tom"))];
    let cat = ramona_amf::Object { type_name: Some("Cat".into()), members };
    assert_eq!(node.answer(1, "pet", &[Value::Object(cat)]), [text("Tom!")]);
    node.quiet();
}

#[test]
fn bio_01_a_writer_may_change_the_tables_that_are_written() {
    let code = "
        local list = {}
        local function write(self, writer)
            if list.k1 then
                for i = 1, 40 do list['k' .. i] = nil end
                for i = 1, 4000 do list['n' .. i] = i end
                collectgarbage()
            end
        end
        for i = 1, 40 do list['k' .. i] = { __type = 'T', __writeExternal = write } end
        NOTE(mona:toAMF(list) or 'nothing')
        NOTE(mona:toJSON({ 'goes on' }))";
    let node = Node::root(code);
    let notes = node.notes();
    assert_eq!(notes.last().map(String::as_str), Some("[[\"goes on\"]]"));
    // Whether the present key is still found is up to Lua's tables.
    let errors = node.errors();
    assert!(errors.len() <= 1, "{errors:?}");
    for error in &errors {
        assert!(error.contains("a table was changed while it was written"), "{error}");
    }
    assert_eq!(notes[0] == "nothing", !errors.is_empty());
}

#[test]
fn bio_01_tables_that_writers_make_are_never_taken_for_each_other() {
    let node = Node::root(
        "local n, list = 0, {}
         local function write(self, writer)
             n = n + 1
             writer:writeAMF({ number = n })
             collectgarbage()
         end
         for i = 1, 200 do list[i] = { __type = 'T', __writeExternal = write } end
         function onTypedObject(type, object)
             function object:__readExternal(reader) self.inner = reader:readAMF(1) end
         end
         local read, right = mona:fromAMF(mona:toAMF(list)), 0
         for i = 1, 200 do if read[i].inner.number == i then right = right + 1 end end
         NOTE(right)",
    );
    assert_eq!(node.notes(), ["200"]);
    node.quiet();
}
