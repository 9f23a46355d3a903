//! Any tree of values comes back as it was, in both formats.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use ramona_amf::{Object, Value, decode_amf0_all, decode_amf3_all};

/// Equality in which NaN equals NaN and −0 differs from 0.
fn same(left: &Value, right: &Value) -> bool {
    let members = |left: &[(Bytes, Value)], right: &[(Bytes, Value)]| {
        left.len() == right.len()
            && left.iter().zip(right).all(|(l, r)| l.0 == r.0 && same(&l.1, &r.1))
    };
    match (left, right) {
        (Value::Number(l), Value::Number(r)) | (Value::Date(l), Value::Date(r)) => {
            l.to_bits() == r.to_bits()
        }
        (Value::Object(l), Value::Object(r)) => {
            l.type_name == r.type_name && members(&l.members, &r.members)
        }
        (Value::EcmaArray(l), Value::EcmaArray(r)) => members(l, r),
        (Value::Array(l), Value::Array(r)) => all_same(l, r),
        (
            Value::MixedArray { members: lm, elements: le },
            Value::MixedArray { members: rm, elements: re },
        ) => members(lm, rm) && all_same(le, re),
        (
            Value::Dictionary { weak: lw, entries: le },
            Value::Dictionary { weak: rw, entries: re },
        ) => {
            lw == rw
                && le.len() == re.len()
                && le.iter().zip(re).all(|(l, r)| same(&l.0, &r.0) && same(&l.1, &r.1))
        }
        _ => left == right,
    }
}

fn all_same(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        any::<i32>().prop_map(f64::from),
        (-300..300_i32).prop_map(f64::from),
        (-4..4_i32).prop_map(|near| f64::from(268_435_455 + near)),
        (-4..4_i32).prop_map(|near| f64::from(-268_435_455 + near)),
        Just(-0.0),
    ]
}

fn text(min: usize) -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => vec(any::<u8>(), min..12),
        1 => vec(any::<u8>(), 60..70),
        1 => vec(any::<u8>(), 120..300),
    ]
    .prop_map(Bytes::from)
}

/// Keys are of at least one byte and ECMA arrays of at least one member, for AMF3 has no others.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        text(0).prop_map(Value::String),
        number().prop_map(Value::Date),
        text(0).prop_map(Value::ByteArray),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let members = |min| vec((text(1), inner.clone()), min..6);
        prop_oneof![
            (proptest::option::of(text(1)), members(0))
                .prop_map(|(type_name, members)| Value::Object(Object { type_name, members })),
            members(1).prop_map(Value::EcmaArray),
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            (members(1), vec(inner.clone(), 1..6))
                .prop_map(|(members, elements)| Value::MixedArray { members, elements }),
            (any::<bool>(), vec((inner.clone(), inner), 0..4))
                .prop_map(|(weak, entries)| Value::Dictionary { weak, entries }),
        ]
    })
}

proptest! {
    #[test]
    fn amf0_values_come_back(values in vec(value(), 0..4)) {
        let mut bytes = Vec::new();
        for value in &values {
            value.encode_amf0(&mut bytes).unwrap();
        }
        let (read, error) = decode_amf0_all(&bytes);
        prop_assert_eq!(error, None);
        prop_assert!(all_same(&read, &values), "{:?}\n{:?}", read, values);
    }

    #[test]
    fn amf3_values_come_back(values in vec(value(), 0..4)) {
        let mut bytes = Vec::new();
        for value in &values {
            value.encode_amf3(&mut bytes).unwrap();
        }
        let (read, error) = decode_amf3_all(&bytes);
        prop_assert_eq!(error, None);
        prop_assert!(all_same(&read, &values), "{:?}\n{:?}", read, values);
    }

    #[test]
    fn a_cut_message_keeps_its_whole_values(value in value(), cut in 1..200_usize) {
        for (encoded, decode) in [
            (encode(|out| value.encode_amf0(out)), decode_amf0_all as fn(&[u8]) -> _),
            (encode(|out| value.encode_amf3(out)), decode_amf3_all),
        ] {
            let end = encoded.len() - cut.min(encoded.len());
            let bytes = [&encoded[..], &encoded[..end]].concat();
            let (values, error): (Vec<Value>, _) = decode(&bytes);
            prop_assert!(same(&values[0], &value));
            prop_assert_eq!(values.len(), 1);
            prop_assert_eq!(error.is_some(), end > 0);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        ramona_amf::fuzz::amf0(&bytes);
        ramona_amf::fuzz::amf3(&bytes);
    }
}

fn encode(write: impl FnOnce(&mut Vec<u8>) -> Result<(), ramona_amf::EncodeError>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    bytes
}
