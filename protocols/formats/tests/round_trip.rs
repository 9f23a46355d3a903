//! Any values come back as they were, as far as each format can show them.

mod common;

use bytes::Bytes;
use common::{array_xml, json, params, query, response, values};
use proptest::collection::vec;
use proptest::prelude::*;
use ramona_amf::{Object, Value};
use ramona_formats::{TypedText, read_json, read_query, read_xml, read_xmlrpc, typed_text};

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        any::<i32>().prop_map(f64::from),
        (-300..300_i32).prop_map(f64::from),
        Just(-0.0),
    ]
}

fn text() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        2 => vec(any::<u8>(), 0..12).prop_map(Bytes::from),
        4 => any::<String>().prop_map(Bytes::from),
        2 => "[ -~]{0,12}".prop_map(Bytes::from),
        1 => "[\t\n\r <>&\"']{0,6}".prop_map(Bytes::from),
    ]
}

/// Characters that both JSON and XML can hold.
fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof!["[a-z]{0,4}", "[ -~\u{e4}\u{1f600}\t\r\n]{0,6}"].prop_map(Bytes::from)
}

fn date() -> impl Strategy<Value = f64> {
    (-62_167_219_200_000..=253_402_300_799_999_i64).prop_map(|ms| ms as f64)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        date().prop_map(Value::Date),
        text().prop_map(Value::String),
        text().prop_map(Value::ByteArray),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let members = || vec((key(), inner.clone()), 0..5);
        let elements = || vec(inner.clone(), 1..5);
        prop_oneof![
            elements().prop_map(Value::Array),
            Just(Value::Array(vec![])),
            (members(), prop::option::of("[A-Z]{1,3}")).prop_map(|(members, name)| {
                Value::Object(Object { type_name: name.map(Bytes::from), members })
            }),
            (vec((key(), inner.clone()), 1..4), elements())
                .prop_map(|(members, elements)| Value::MixedArray { members, elements }),
        ]
    })
}

/// What comes back of a value when strings that are no `text` travel as bytes.
fn back(value: &Value, is_text: fn(&[u8]) -> bool) -> Value {
    let all = |members: &[(Bytes, Value)]| -> Vec<_> {
        members.iter().map(|(key, value)| (key.clone(), back(value, is_text))).collect()
    };
    match value {
        Value::Number(number) if !number.is_finite() => Value::Null,
        Value::String(text) if !is_text(text) => Value::ByteArray(text.clone()),
        Value::Object(object) => Value::Object(Object {
            type_name: object.type_name.clone(),
            members: all(&object.members),
        }),
        Value::Array(elements) => {
            Value::Array(elements.iter().map(|value| back(value, is_text)).collect())
        }
        Value::MixedArray { members, elements } => {
            let first = Value::Object(Object { type_name: None, members: all(members) });
            let rest = elements.iter().map(|value| back(value, is_text));
            Value::Array(std::iter::once(first).chain(rest).collect())
        }
        other => other.clone(),
    }
}

/// What XML 1.0 allows, in other words than the crate's.
fn is_xml(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars().all(|char| {
            matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
                || char >= '\u{10000}'
        })
    })
}

/// Values that the 2014 dialect can show under a name: no sequences of one, no mixed tables
/// there, nothing that looks like another type.
fn shown() -> impl Strategy<Value = Value> {
    let word = "[a-z<&\u{e4} ]{1,6}x".prop_map(|text| Value::String(text.into()));
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        number().prop_filter("numbers", |value| value.is_finite()).prop_map(Value::Number),
        word,
        Just(Value::String(Bytes::new())),
        Just(Value::Array(vec![])),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            fields(inner.clone(), 1).prop_map(object),
            vec(inner, 2..5).prop_map(Value::Array)
        ]
    })
}

fn object(members: Vec<(Bytes, Value)>) -> Value {
    Value::Object(Object { type_name: None, members })
}

/// Members of different names.
fn fields(
    inner: impl Strategy<Value = Value>,
    min: usize,
) -> impl Strategy<Value = Vec<(Bytes, Value)>> {
    prop::collection::btree_map("[a-z_][a-z0-9.-]{0,3}", inner, min..5)
        .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

proptest! {
    #[test]
    fn cnv_20_json_values_come_back(all in vec(value(), 0..4)) {
        let expected: Vec<_> =
            all.iter().map(|value| back(value, |text| std::str::from_utf8(text).is_ok())).collect();
        prop_assert_eq!(values(read_json(json(&all).as_bytes())), expected);
    }

    #[test]
    fn cnv_25_xml_rpc_values_come_back(all in vec(value(), 0..4)) {
        let expected: Vec<_> = all.iter().map(|value| back(value, is_xml)).collect();
        prop_assert_eq!(values(read_xmlrpc(&response(&params(&all)))), expected);
    }

    #[test]
    fn cnv_31_tables_of_the_2014_dialect_come_back(
        members in fields(shown(), 1),
        elements in vec(shown(), 0..4),
    ) {
        let table = match elements[..] {
            [] => object(members),
            _ => Value::MixedArray { members, elements },
        };
        let xml = array_xml(std::slice::from_ref(&table));
        prop_assert_eq!(values(read_xml(xml.as_bytes())), [table]);
    }

    #[test]
    fn cnv_36_query_values_come_back(
        all in vec((text(), any::<bool>(), number()), 1..6),
        words in vec(text(), 0..3),
    ) {
        let plain = |text: &Bytes| {
            if matches!(typed_text(text), TypedText::Text(_)) { text.clone() } else { "x".into() }
        };
        let members = all.iter().enumerate().map(|(at, (text, flag, number))| {
            let value = match at % 3 {
                0 => Value::String(plain(text)),
                1 => Value::Bool(*flag),
                _ if number.is_finite() => Value::Number(*number),
                _ => Value::Null,
            };
            (text.clone(), value)
        });
        let words = words.iter().map(plain).filter(|word| !word.is_empty()).map(Value::String);
        let all: Vec<_> = words.chain([object(members.collect())]).collect();
        prop_assert_eq!(values(read_query(query(&all).as_bytes())), all);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        ramona_formats::fuzz::json(&bytes);
        ramona_formats::fuzz::xml(&bytes);
        ramona_formats::fuzz::xmlrpc(&bytes);
        ramona_formats::fuzz::query(&bytes);
    }

    #[test]
    fn any_markup_is_read_or_refused(parts in vec(prop::sample::select(vec![
        "<__array>", "</__array>", "<__noname>", "</__noname>", "<a>", "</a>", "<b x='1'/>", "text",
        " ", "&amp;", "<![CDATA[c]]>", "<!-- c -->", "<?p a='b'?>", "<value>", "</value>", "<x/>",
    ]), 0..24)) {
        let inner = parts.concat();
        for root in ["__array", "a", "methodResponse"] {
            let text = format!("<{root}>{inner}</{root}>");
            ramona_formats::fuzz::xml(text.as_bytes());
            ramona_formats::fuzz::xmlrpc(text.as_bytes());
        }
        ramona_formats::fuzz::xml(inner.as_bytes());
    }
}
