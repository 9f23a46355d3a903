//! Tables are written and read on Lua's stack as if each value were looked at by a handle of its own.

use std::ffi::c_void;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use mlua::{Lua, LuaString, Table, Value as LuaValue, Variadic};
use proptest::prelude::*;
use ramona_amf::{Amf3Encoder, Object, Value, decode_amf0_all, decode_amf3_all};
use ramona_formats::{
    Encoder, JsonEncoder, QueryEncoder, XmlArrayEncoder, XmlRpcEncoder, write_value,
};
use ramona_media::MediaFrame;

use super::from_amf::{Amf, decode};
use super::walk::{Amf0Style, Walk};
use crate::*;

/// Says yes and forgets.
struct Nobody;

impl Host for Nobody {
    fn log(&self, _: &LogRecord<'_>) {}
    fn epoch_ms(&self) -> u64 {
        0
    }
    fn send(&self, _: ServerId, _: &[u8], _: &[u8]) -> SendOutcome {
        SendOutcome::Queued
    }
    fn reject_server(&self, _: ServerId, _: &[u8]) {}
    fn announce_app(&self, _: &str) {}
    fn publish(&self, _: &Bytes, _: bool) -> Result<PublicationInfo, PublishError> {
        Err(PublishError::Refused)
    }
    fn push(&self, _: PublicationId, _: MediaFrame) {}
    fn close_publication(&self, _: PublicationId, _: Option<(Bytes, Bytes)>) {}
    fn watch(&self, _: PublicationId, _: Watch) {}
    fn write(&self, _: ClientId, _: ClientMessage) {}
    fn close_client(&self, _: ClientId, _: u32) {}
    fn set_listener(&self, _: ListenerId, _: bool, _: bool, _: (bool, bool)) {}
}

thread_local! {
    static ENGINE: Engine = engine();
}

fn engine() -> Engine {
    let config = EngineConfig {
        dir: "/nonexistent".into(),
        entries: Vec::new(),
        arguments: Vec::new(),
        slow: Duration::from_secs(60),
        memory: 0,
    };
    Engine::new(config, Rc::new(Nobody)).expect("a Lua state")
}

/// What a table is made of.
#[derive(Clone, Debug)]
enum Tree {
    Boolean(bool),
    Number(f64),
    Text(Vec<u8>),
    Function,
    Table {
        elements: Vec<Tree>,
        fields: Vec<(Key, Tree)>,
        mark: Option<Mark>,
    },
    /// A table that was made before.
    Shared(usize),
    /// A table around this one.
    Around(usize),
    /// So many tables around a text.
    Deep(usize),
}

#[derive(Clone, Debug)]
enum Key {
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
}

#[derive(Clone, Debug)]
enum Mark {
    Raw(Vec<u8>),
    Time(f64),
    Type(String),
    /// Weak or not.
    Size(bool),
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (-70_000_i32..70_000).prop_map(f64::from),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(4_611_686_018_427_387_904.0),
        Just(-9_223_372_036_854_775_808.0),
    ]
}

/// With gaps, keys may be near the elements of a sequence, whose length is then a matter of taste.
fn key(with_gaps: bool) -> impl Strategy<Value = Key> {
    let first = if with_gaps { 0 } else { 100 };
    prop_oneof![
        4 => "[a-z_]{1,6}".prop_map(|text| Key::Text(text.into_bytes())),
        1 => prop::collection::vec(any::<u8>(), 1..5).prop_map(Key::Text),
        1 => (first..first + 12).prop_map(|number: i32| Key::Number(number.into())),
        1 => number().prop_filter("a key", move |number| !number.is_nan() && (with_gaps || !(-1.0..100.0).contains(number))).prop_map(Key::Number),
        1 => any::<bool>().prop_map(Key::Boolean),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Mark::Raw),
        number().prop_map(Mark::Time),
        (0_i64..253_402_300_800_000).prop_map(|ms| Mark::Time(ms as f64)),
        "[A-Za-z.]{0,9}".prop_map(Mark::Type),
        any::<bool>().prop_map(Mark::Size),
    ]
}

fn tree(with_gaps: bool) -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Tree::Boolean),
        3 => number().prop_map(Tree::Number),
        3 => "\\PC{0,20}".prop_map(|text| Tree::Text(text.into_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Tree::Text),
        1 => (0_usize..9).prop_map(Tree::Shared),
        1 => (0_usize..4).prop_map(Tree::Around),
    ];
    let leaf = if with_gaps {
        let deep = (1_usize..140).prop_map(Tree::Deep);
        prop_oneof![9 => leaf, 1 => Just(Tree::Function), 1 => deep].boxed()
    } else {
        leaf.boxed()
    };
    leaf.prop_recursive(5, 60, 8, move |inner| {
        let elements = prop::collection::vec(inner.clone(), 0..6);
        let fields = prop::collection::vec((key(with_gaps), inner), 0..6);
        (elements, fields, prop::option::weighted(0.2, mark()), 0..3).prop_map(
            |(elements, fields, mark, kind)| match kind {
                0 => Tree::Table { elements, fields: Vec::new(), mark: None },
                1 => Tree::Table { elements: Vec::new(), fields, mark },
                _ => Tree::Table { elements, fields, mark },
            },
        )
    })
}

/// Makes the tables, from handles.
fn make(
    lua: &Lua,
    tree: &Tree,
    done: &mut Vec<Table>,
    around: &mut Vec<Table>,
) -> mlua::Result<LuaValue> {
    Ok(match tree {
        Tree::Boolean(value) => LuaValue::Boolean(*value),
        Tree::Number(value) => LuaValue::Number(*value),
        Tree::Text(text) => LuaValue::String(lua.create_string(text)?),
        Tree::Function => LuaValue::Function(lua.create_function(|_, ()| Ok(()))?),
        Tree::Shared(index) if !done.is_empty() => {
            LuaValue::Table(done[index % done.len()].clone())
        }
        Tree::Around(index) if !around.is_empty() => {
            LuaValue::Table(around[index % around.len()].clone())
        }
        Tree::Shared(_) | Tree::Around(_) => LuaValue::Boolean(true),
        Tree::Deep(levels) => {
            let mut value = LuaValue::String(lua.create_string("deep")?);
            for level in 0..*levels {
                let table = lua.create_table()?;
                if level % 3 == 0 {
                    table.raw_set(1, value)?
                } else {
                    table.raw_set("in", value)?
                }
                value = LuaValue::Table(table);
            }
            value
        }
        Tree::Table { elements, fields, mark } => {
            let table = lua.create_table()?;
            around.push(table.clone());
            for element in elements {
                table.raw_push(make(lua, element, done, around)?)?;
            }
            for (key, value) in fields {
                let value = make(lua, value, done, around)?;
                match key {
                    Key::Text(text) => table.raw_set(lua.create_string(text)?, value)?,
                    Key::Number(number) => table.raw_set(*number, value)?,
                    Key::Boolean(boolean) => table.raw_set(*boolean, value)?,
                }
            }
            match mark {
                Some(Mark::Raw(bytes)) => table.raw_set("__raw", lua.create_string(bytes)?)?,
                Some(Mark::Time(ms)) => table.raw_set("__time", *ms)?,
                Some(Mark::Type(name)) => table.raw_set("__type", name.as_str())?,
                Some(Mark::Size(weak)) => {
                    table.raw_set("__size", 7)?;
                    if *weak {
                        let meta = lua.create_table()?;
                        meta.raw_set("__mode", "kv")?;
                        table.set_metatable(Some(meta))?;
                    }
                }
                None => {}
            }
            around.pop();
            done.push(table.clone());
            LuaValue::Table(table)
        }
    })
}

/// The value of a message, looked at by handles (spec 5.1).
fn seen(value: &LuaValue, ancestors: &mut Vec<*const c_void>, is_text: bool) -> Value {
    let table = match value {
        LuaValue::Boolean(value) => return Value::Bool(*value),
        LuaValue::Integer(value) => return Value::Number(*value as f64),
        LuaValue::Number(value) => return Value::Number(*value),
        LuaValue::String(text) => return Value::String(bytes(text)),
        LuaValue::Table(table) => table,
        _ => return Value::Null,
    };
    let get = |name: &str| table.raw_get::<LuaValue>(name).expect("a raw field");
    let number = |name: &str| match get(name) {
        LuaValue::Integer(number) => Some(number as f64),
        LuaValue::Number(number) => Some(number),
        _ => None,
    };
    let is_dictionary = number("__size").is_some();
    if let LuaValue::String(text) = get("__raw") {
        return Value::ByteArray(bytes(&text));
    }
    if let (false, Some(ms)) = (is_dictionary, number("__time")) {
        return Value::Date(ms);
    }
    if ancestors.contains(&table.to_pointer()) {
        return Value::Null;
    }
    ancestors.push(table.to_pointer());
    let len = if is_dictionary { 0 } else { table.raw_len() };
    let type_name = match get("__type") {
        LuaValue::String(name) if !is_dictionary && !name.as_bytes().is_empty() => {
            Some(bytes(&name))
        }
        _ => None,
    };
    let is_array = type_name.is_none() && len > 0;
    let (mut members, mut entries, mut is_object) = (Vec::new(), Vec::new(), false);
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let (key, value) = pair.expect("a pair");
        let name = match &key {
            LuaValue::String(name) if *name == "__size" && is_dictionary => continue,
            LuaValue::String(name) => Some(bytes(name)),
            LuaValue::Integer(index) if (1..=len as i64).contains(index) && is_array => continue,
            LuaValue::Integer(index) => Some(index.to_string().into()),
            LuaValue::Number(number) => Some(number.to_string().into()),
            _ => None,
        };
        is_object |= name.is_some();
        if matches!(value, LuaValue::Function(_)) {
            continue;
        }
        let value = seen(&value, ancestors, is_text);
        match name {
            _ if is_dictionary && !is_text => entries.push((seen(&key, ancestors, false), value)),
            Some(name) if is_array || name != "__type" => members.push((name, value)),
            _ => {}
        }
    }
    let elements = (1..=len).map(|index| {
        let element: LuaValue = table.raw_get(index).expect("an element");
        seen(&element, ancestors, is_text)
    });
    let seen = match (is_array, members.is_empty()) {
        _ if is_dictionary && !is_text => {
            let mode = table.metatable().map(|meta| meta.raw_get::<String>("__mode"));
            Value::Dictionary { weak: matches!(mode, Some(Ok(_))), entries }
        }
        (true, true) if !is_object => Value::Array(elements.collect()),
        (true, _) => Value::MixedArray { members, elements: elements.collect() },
        (false, _) if is_object || is_dictionary => Value::Object(Object { type_name, members }),
        (false, _) => Value::Array(Vec::new()),
    };
    ancestors.pop();
    seen
}

fn bytes(text: &LuaString) -> Bytes {
    Bytes::copy_from_slice(&text.as_bytes())
}

/// Members in the order of their names, and of equal ones the last, as a table has them; an object
/// with nothing in it is an empty table like any other.
fn sorted(value: Value) -> Value {
    let members = |members: Vec<(Bytes, Value)>| {
        let mut members: Vec<_> =
            members.into_iter().rev().map(|(name, value)| (name, sorted(value))).collect();
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        members.dedup_by(|(a, _), (b, _)| a == b);
        members
    };
    match value {
        Value::Array(elements) => Value::Array(elements.into_iter().map(sorted).collect()),
        Value::Object(Object { type_name: None, members }) if members.is_empty() => {
            Value::Array(Vec::new())
        }
        Value::Object(object) => {
            Value::Object(Object { members: members(object.members), ..object })
        }
        Value::MixedArray { members: list, elements } => Value::MixedArray {
            members: members(list),
            elements: elements.into_iter().map(sorted).collect(),
        },
        Value::Dictionary { weak, entries } => {
            let sort = |(key, value)| (sorted(key), sorted(value));
            let mut entries: Vec<_> = entries.into_iter().map(sort).collect();
            entries.sort_by_key(|entry| format!("{entry:?}"));
            Value::Dictionary { weak, entries }
        }
        other => other,
    }
}

/// A text of all values by an encoder, looked at by handles.
fn text_of<'o, E: Encoder>(
    encoder: impl FnOnce(&'o mut Vec<u8>) -> E,
    out: &'o mut Vec<u8>,
    values: &[LuaValue],
    finish: impl FnOnce(E),
) {
    let mut encoder = encoder(out);
    for value in values {
        // What cannot be written is null, or left out, in both.
        let _ = write_value(&mut encoder, &seen(value, &mut Vec::new(), true));
    }
    finish(encoder);
}

/// The texts of all formats, by the walk and by handles.
fn texts(engine: &Engine, trees: &[Tree]) -> Vec<[Vec<u8>; 2]> {
    let lua = &engine.lua;
    let values: Vec<LuaValue> = trees
        .iter()
        .map(|tree| make(lua, tree, &mut Vec::new(), &mut Vec::new()).expect("tables"))
        .collect();
    let formats = [Format::Json, Format::XmlRpc, Format::Xml, Format::Query];
    let both = formats.map(|format| {
        let (mut out, values) = (Vec::new(), &values[..]);
        match format {
            Format::Json => text_of(JsonEncoder::list, &mut out, values, JsonEncoder::finish),
            Format::XmlRpc => {
                text_of(XmlRpcEncoder::response, &mut out, values, XmlRpcEncoder::finish);
            }
            Format::Xml => {
                text_of(XmlArrayEncoder::new, &mut out, values, XmlArrayEncoder::finish);
            }
            _ => text_of(QueryEncoder::new, &mut out, values, QueryEncoder::finish),
        }
        let values: Variadic<LuaValue> = values.iter().cloned().collect();
        [engine.core.encode(lua, "test", format, None, values).expect("a text"), out]
    });
    both.into()
}

/// AMF3, AMF0 and AMF0 with parts of AMF3: what is written and, with other gaps, read again; each
/// with what it should be.
fn amf(engine: &Engine, trees: &[Tree]) -> Vec<[String; 2]> {
    let lua = &engine.lua;
    let (done, around) = (&mut Vec::new(), &mut Vec::new());
    let values: Vec<LuaValue> =
        trees.iter().map(|tree| make(lua, tree, done, around).expect("tables")).collect();
    let look = |values: &[LuaValue]| -> Vec<Value> {
        values.iter().map(|value| seen(value, &mut Vec::new(), false)).collect()
    };
    let shown = |values: Vec<Value>| format!("{values:?}");
    let sort = |values: Vec<Value>| shown(values.into_iter().map(sorted).collect());
    let expected = look(&values);
    let mut pairs = Vec::new();
    for style in [None, Some(Amf0Style::Auto), Some(Amf0Style::Plain)] {
        // Parts that are AMF3 inside of AMF0 refer to nothing outside: a cycle ends one round later.
        if style == Some(Amf0Style::Plain) && format!("{trees:?}").contains("Around") {
            continue;
        }
        let all: Variadic<LuaValue> = values.iter().cloned().collect();
        let (version, message) = match style {
            Some(style) => {
                (Amf::Zero, engine.core.encode_amf0(lua, "test", style, &[], all).expect("AMF"))
            }
            None => {
                let mut message = Vec::new();
                let marks = engine.core.marks.get().expect("set by the engine");
                let mut out = Amf3Encoder::new(&mut message);
                Walk::new(marks, Amf0Style::Auto)
                    .values(lua, all, &mut out, Walk::amf_scalar, |walk, stack, out, at| {
                        walk.amf3(stack, out, at, 0)
                    })
                    .expect("AMF");
                (Amf::Three, message)
            }
        };
        let (trees, error) = match version {
            Amf::Zero => decode_amf0_all(&message),
            Amf::Three => decode_amf3_all(&message),
        };
        assert_eq!(error, None);
        pairs.push([shown(trees), shown(expected.clone())]);

        let hooks = engine.core.hooks.get().expect("set by the engine");
        let mut read = Vec::new();
        let problem = decode(lua, hooks, &|_, _| Ok(()), version, &message, &mut read);
        assert_eq!(problem, None);
        pairs.push([sort(look(&read)), sort(expected.clone())]);
    }
    pairs
}

proptest! {
    #[test]
    fn texts_are_what_handles_show(trees in prop::collection::vec(tree(true), 2..4)) {
        for [text, expected] in ENGINE.with(|engine| texts(engine, &trees)) {
            prop_assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&expected));
        }
    }

    #[test]
    fn amf_is_what_handles_show_and_is_read_the_same(
        trees in prop::collection::vec(tree(false), 1..4),
    ) {
        for [values, expected] in ENGINE.with(|engine| amf(engine, &trees)) {
            prop_assert_eq!(values, expected);
        }
    }
}
