//! Wire bytes of each AMF3 marker, read and written.

use bytes::Bytes;

use super::Amf3Encoder;
use crate::limits::{MAX_AMF3_LENGTH, MAX_DEPTH, MAX_REMEMBERED_TRAITS};
use crate::{DecodeError, EncodeError, Object, Value, decode_amf3_all};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn read(text: &str) -> Value {
    let (values, error) = decode_amf3_all(&hex(text));
    assert_eq!(error, None);
    let [value] = <[Value; 1]>::try_from(values).unwrap();
    value
}

fn error(text: &str) -> DecodeError {
    let (values, error) = decode_amf3_all(&hex(text));
    assert_eq!(values, []);
    error.unwrap()
}

/// Both ways.
fn same(text: &str, value: Value) {
    assert_eq!(read(text), value);
    assert_eq!(write(&value), hex(text), "{value:?}");
}

fn write(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode_amf3(&mut bytes).unwrap();
    bytes
}

fn typed(name: &'static str, members: Vec<(Bytes, Value)>) -> Value {
    Value::Object(Object { type_name: Some(name.into()), members })
}

#[test]
fn scalars_have_these_bytes() {
    same("00", Value::Undefined);
    same("01", Value::Null);
    same("02", Value::Bool(false));
    same("03", Value::Bool(true));
    same("05 3ff8000000000000", Value::Number(1.5));
    same("08 01 426a5e2632886000", Value::Date(905_989_690_435.0));
}

#[test]
fn integers_have_one_to_four_bytes() {
    same("04 00", Value::Number(0.0));
    same("04 7f", Value::Number(127.0));
    same("04 81 00", Value::Number(128.0));
    same("04 ff 7f", Value::Number(16_383.0));
    same("04 81 80 00", Value::Number(16_384.0));
    same("04 ff ff 7f", Value::Number(2_097_151.0));
    same("04 80 c0 80 00", Value::Number(2_097_152.0));
    same("04 bf ff ff ff", Value::Number(268_435_455.0));
    same("04 ff ff ff ff", Value::Number(-1.0));
    same("04 c0 80 80 01", Value::Number(-268_435_455.0));
}

#[test]
fn numbers_beyond_28_bits_or_with_a_fraction_are_doubles() {
    same("05 41b0000000000000", Value::Number(268_435_456.0));
    same("05 c1b0000000000000", Value::Number(-268_435_456.0));
    same("05 4340000000000000", Value::Number(9_007_199_254_740_992.0));
    same("05 400599999999999a", Value::Number(2.7));
    same("05 7ff0000000000000", Value::Number(f64::INFINITY));
    same("05 fff0000000000000", Value::Number(f64::NEG_INFINITY));
    assert_eq!(write(&Value::Number(-0.0)), hex("05 8000000000000000"));
    assert_eq!(write(&Value::Number(f64::NAN))[..3], hex("05 7ff8"));
}

#[test]
fn the_smallest_integer_of_other_writers_is_read() {
    assert_eq!(read("04 c0 80 80 00"), Value::Number(-268_435_456.0));
}

#[test]
fn strings_keep_every_byte() {
    same("06 01", Value::from(""));
    same("06 09 00ff80c3", Value::String(Bytes::from_static(b"\0\xff\x80\xc3")));
    let long = Value::String(vec![b'x'; 100_000].into());
    assert_eq!(write(&long)[..4], hex("06 8c 9a 41"));
    assert_eq!(decode_amf3_all(&write(&long)), (vec![long], None));
}

#[test]
fn byte_arrays_have_these_bytes() {
    same("0c 01", Value::ByteArray(Bytes::new()));
    same("0c 05 ff00", Value::ByteArray(Bytes::from_static(b"\xff\0")));
}

#[test]
fn arrays_have_these_bytes() {
    same("09 01 01", Value::Array(vec![]));
    same("09 05 01 04 01 06 03 61", Value::Array(vec![Value::Number(1.0), Value::from("a")]));
    same("09 01 03 78 01 01", Value::EcmaArray(vec![("x".into(), Value::Null)]));
    same(
        "09 05 03 78 04 01 01 04 02 04 03",
        Value::MixedArray {
            members: vec![("x".into(), Value::Number(1.0))],
            elements: vec![Value::Number(2.0), Value::Number(3.0)],
        },
    );
}

#[test]
fn objects_have_these_bytes() {
    same("0a 0b 01 01", Value::Object(Object::new()));
    let object = Object::new().with("x", 1.0).with("y", 2.0);
    same("0a 0b 01 03 78 04 01 03 79 04 02 01", Value::Object(object));
    same("0a 0b 07 436174 03 78 01 01", typed("Cat", vec![("x".into(), Value::Null)]));
}

/// An encoder with references, for values without members.
fn write_objects<'n>(names: impl IntoIterator<Item = Option<&'n str>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Amf3Encoder::new(&mut bytes);
    for name in names {
        encoder.begin_object(name.map(str::as_bytes)).unwrap();
        encoder.end_object();
    }
    bytes
}

#[test]
fn a_class_is_written_once() {
    let bytes = write_objects([Some("Cat"), Some("Cat"), None, Some(""), Some("Dog"), Some("Cat")]);
    assert_eq!(
        bytes,
        hex("0a 0b 07 436174 01  0a 01 01  0a 0b 01 01  0a 05 01  0a 0b 07 446f67 01  0a 01 01")
    );
    let cat = || typed("Cat", vec![]);
    let anonymous = || Value::Object(Object::new());
    assert_eq!(
        decode_amf3_all(&bytes),
        (vec![cat(), cat(), anonymous(), anonymous(), typed("Dog", vec![]), cat()], None)
    );
}

#[test]
fn classes_past_the_remembered_ones_are_written_again_and_counted() {
    let mut names: Vec<_> = (0..MAX_REMEMBERED_TRAITS + 2).map(|n| Some(format!("T{n}"))).collect();
    names.extend([names.last().cloned().unwrap(), names[0].clone(), None, None]);
    let bytes = write_objects(names.iter().map(Option::as_deref));
    let (values, error) = decode_amf3_all(&bytes);
    assert_eq!(error, None);
    let read = values.iter().map(|value| value.as_object().unwrap().type_name.clone());
    assert!(read.eq(names.into_iter().map(|name| name.map(Bytes::from))));
}

#[test]
fn values_hold_no_references_to_a_message_around() {
    let objects = || Value::Array(vec![Value::Object(Object::new()), Value::Object(Object::new())]);
    let values = vec![typed("Cat", vec![]), objects(), typed("Dog", vec![]), objects()];
    let bytes: Vec<u8> = values.iter().flat_map(write).collect();
    assert_eq!(decode_amf3_all(&bytes), (values, None));
}

#[test]
fn sealed_members_come_before_dynamic_ones() {
    // Traits: two sealed, dynamic.
    assert_eq!(
        read("0a 2b 05 5040 03 61 03 62 04 01 04 02 03 63 04 03 01"),
        typed(
            "P@",
            vec![
                ("a".into(), Value::Number(1.0)),
                ("b".into(), Value::Number(2.0)),
                ("c".into(), Value::Number(3.0)),
            ]
        )
    );
}

#[test]
fn a_sealed_class_by_reference_has_its_members_again() {
    // Not dynamic: no end marker. Then the class by reference, with other values.
    let point = |x: f64| typed("P", vec![("x".into(), Value::Number(x))]);
    assert_eq!(
        read("09 05 01 0a 13 03 50 03 78 04 07 0a 01 04 08"),
        Value::Array(vec![point(7.0), point(8.0)])
    );
}

#[test]
fn dictionaries_have_these_bytes() {
    let entries = vec![(Value::from("a"), Value::Number(1.0)), (Value::Number(5.0), Value::Null)];
    same("11 05 00 06 03 61 04 01 04 05 01", Value::Dictionary { weak: false, entries });
    same("11 01 01", Value::Dictionary { weak: true, entries: vec![] });
}

#[test]
fn strings_by_reference_cover_values_keys_and_class_names() {
    // "ab" is string 0, key "k" string 1; the empty string takes no index.
    assert_eq!(
        read("09 09 01 06 05 6162 06 01 0a 0b 01 03 6b 06 00 02 06 02 01 0a 0b 00 01"),
        Value::Array(vec![
            Value::from("ab"),
            Value::from(""),
            Value::Object(Object::new().with("k", "ab").with("k", "k")),
            typed("ab", vec![]),
        ])
    );
}

#[test]
fn more_strings_than_fit_the_first_table_are_found() {
    let mut bytes = hex("09 81 01 01");
    for letter in b'a'..b'a' + 32 {
        bytes.extend_from_slice(&[0x06, 0x03, letter]);
    }
    for index in 0..32 {
        bytes.extend_from_slice(&[0x06, index << 1]);
    }
    let (values, error) = decode_amf3_all(&bytes);
    assert_eq!(error, None);
    let Value::Array(values) = &values[0] else { panic!("array") };
    assert_eq!(values[..32], values[32..]);
    assert_eq!(values[9], Value::from("j"));
    assert_eq!(
        decode_amf3_all(&hex("06 03 61 06 02")).1,
        Some(DecodeError::BadReference { index: 1, offset: 4 })
    );
}

#[test]
fn references_count_dates_and_byte_arrays_too() {
    // array 0, date 1, bytes 2, object 3, dictionary 4; then each by reference.
    let Value::Array(values) = read(
        "09 11 01 08 01 0000000000000000 0c 03 ff 0a 0b 01 01 11 01 00
         08 02 0c 04 0a 06 11 08",
    ) else {
        panic!("array")
    };
    assert_eq!(values[..4], values[4..]);
    assert_eq!(values[1], Value::ByteArray(Bytes::from_static(b"\xff")));
}

#[test]
fn a_reference_to_nothing_is_broken() {
    assert_eq!(error("0a 00"), DecodeError::BadReference { index: 0, offset: 0 });
    assert_eq!(error("06 04"), DecodeError::BadReference { index: 2, offset: 1 });
    assert_eq!(error("0a 05"), DecodeError::BadReference { index: 1, offset: 2 });
}

#[test]
fn an_array_collection_is_its_inner_array() {
    let name = "43 666c65782e6d6573736167696e672e696f2e4172726179436f6c6c656374696f6e";
    let inner = Value::Array(vec![Value::Number(1.0)]);
    assert_eq!(read(&format!("0a 07 {name} 09 03 01 04 01")), inner);
    // By class reference, and both places in the table of containers mean the array.
    assert_eq!(
        read(&format!("09 09 01 0a 07 {name} 09 03 01 04 01 0a 01 09 04 0a 02 0a 04")),
        Value::Array(vec![inner; 4])
    );
    // A collection inside itself, by the collection's own place.
    assert_eq!(read(&format!("0a 07 {name} 09 03 01 0a 00")), Value::Array(vec![Value::Null]));
    assert_eq!(
        error(&format!("0a 07 {name} 0a 00")),
        DecodeError::BadReference { index: 0, offset: 36 }
    );
}

#[test]
fn an_externalizable_object_is_written_with_its_class() {
    let mut bytes = Vec::new();
    let mut encoder = Amf3Encoder::new(&mut bytes);
    for _ in 0..2 {
        let index = encoder.begin_external(b"Foo").unwrap();
        encoder.external_bytes(&[0xAB]);
        encoder.reference(index);
        encoder.end_external();
    }
    // The class of a typed object comes third in the table of classes.
    for _ in 0..2 {
        encoder.begin_object(Some(b"A")).unwrap();
        encoder.end_object();
    }
    let foo = [0x0A, 0x07, 0x07, b'F', b'o', b'o', 0xAB, 0x0A];
    let expected =
        [&foo[..], &[0x00], &foo[..], &[0x02, 0x0A, 0x0B, 0x03, b'A', 0x01, 0x0A, 0x09, 0x01]];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn other_externalizable_types_are_named() {
    let type_name = b"Foo".as_slice().into();
    assert_eq!(error("0a 07 07 466f6f 00"), DecodeError::Externalizable { type_name, offset: 6 });
}

#[test]
fn types_that_scripts_cannot_hold_are_named() {
    for (marker, what) in [
        ("07", "XMLDocument"),
        ("0b", "XML"),
        ("0d", "Vector"),
        ("0e", "Vector"),
        ("0f", "Vector"),
        ("10", "Vector"),
    ] {
        let text = format!("{marker} 01");
        assert_eq!(error(&text), DecodeError::Unsupported { what, offset: 0 });
    }
}

#[test]
fn other_bytes_are_no_markers() {
    for marker in 0x12..=0xff {
        let (_, error) = decode_amf3_all(&[marker, 1]);
        assert_eq!(error, Some(DecodeError::UnknownMarker { marker, offset: 0 }));
    }
}

#[test]
fn every_cut_of_a_value_is_truncated() {
    let bytes = hex(
        "09 05 03 78 0a 2b 05 5040 03 61 03 62 05 3ff8000000000000 04 ffffffff 03 63 0c 05 ffff 01
         01 08 01 0000000000000000 11 03 00 06 03 61 02",
    );
    assert_eq!(decode_amf3_all(&bytes).1, None);
    for end in 1..bytes.len() {
        let (values, error) = decode_amf3_all(&bytes[..end]);
        assert_eq!((values, error), (vec![], Some(DecodeError::Truncated { offset: end })));
    }
}

#[test]
fn string_references_are_written_when_asked_for() {
    let mut bytes = Vec::new();
    let mut encoder = Amf3Encoder::with_string_references(&mut bytes);
    encoder.string(b"a\0b").unwrap();
    encoder.string(b"a\0c").unwrap();
    encoder.string(b"").unwrap();
    encoder.begin_object(Some(b"a\0b")).unwrap();
    encoder.key(b"k").unwrap();
    encoder.string(b"a\0c").unwrap();
    encoder.key(b"k").unwrap();
    encoder.string(b"k").unwrap();
    encoder.end_object();
    assert_eq!(bytes, hex("06 07 610062 06 07 610063 06 01 0a 0b 00 03 6b 06 02 04 06 04 01"));
    let (values, error) = decode_amf3_all(&bytes);
    assert_eq!(error, None);
    let Value::Object(object) = &values[3] else { panic!("object") };
    assert_eq!(object.type_name.as_deref(), Some(b"a\0b".as_slice()));
    assert_eq!(object.get("k"), Some(&Value::from("a\0c")));
}

#[test]
fn strings_past_the_remembered_ones_are_written_in_full_and_counted() {
    use crate::limits::{MAX_REMEMBERED_STRING_BYTES, MAX_REMEMBERED_STRINGS};
    let long = vec![b'x'; MAX_REMEMBERED_STRING_BYTES + 1];
    let mut words: Vec<Vec<u8>> = vec![long.clone(), long];
    words.extend((0..MAX_REMEMBERED_STRINGS + 2).map(|word| word.to_string().into_bytes()));
    words.extend([b"0".to_vec(), b"1023".to_vec(), b"1024".to_vec(), b"1024".to_vec()]);
    let mut bytes = Vec::new();
    let mut encoder = Amf3Encoder::with_string_references(&mut bytes);
    for word in &words {
        encoder.string(word).unwrap();
    }
    let (values, error) = decode_amf3_all(&bytes);
    assert_eq!(error, None);
    let read: Vec<_> = values.iter().map(|value| value.as_string().unwrap().to_vec()).collect();
    assert_eq!(read, words);
}

#[test]
fn lengths_beyond_28_bits_are_refused_and_leave_no_bytes() {
    let length = MAX_AMF3_LENGTH + 1;
    // Untouched zero pages: no memory is used.
    let huge = vec![0; length];
    let mut bytes = vec![9];
    let mut encoder = Amf3Encoder::new(&mut bytes);
    assert_eq!(encoder.string(&huge), Err(EncodeError::TooLong { length }));
    assert_eq!(encoder.byte_array(&huge), Err(EncodeError::TooLong { length }));
    assert_eq!(encoder.key(&huge), Err(EncodeError::TooLong { length }));
    assert_eq!(encoder.begin_object(Some(&huge)), Err(EncodeError::TooLong { length }));
    assert_eq!(encoder.begin_array(length), Err(EncodeError::TooLong { length }));
    assert_eq!(encoder.begin_dictionary(false, length), Err(EncodeError::TooLong { length }));
    assert_eq!(encoder.depth(), 0);
    assert_eq!(encoder.begin_array(MAX_AMF3_LENGTH), Ok(0));
    assert_eq!(bytes, hex("09 09 ffffffff"));

    let mut bytes = vec![9];
    let value = Value::ByteArray(huge.into());
    assert_eq!(value.encode_amf0(&mut bytes), Err(EncodeError::TooLong { length }));
    assert_eq!(bytes, [9]);
}

#[test]
fn an_empty_key_is_refused() {
    let value = Value::Array(vec![Value::Object(Object::new().with("", 1.0))]);
    let mut bytes = vec![9];
    assert_eq!(value.encode_amf3(&mut bytes), Err(EncodeError::EmptyKey));
    assert_eq!(bytes, [9]);
}

#[test]
fn a_container_too_deep_is_refused_and_leaves_no_bytes() {
    let mut bytes = Vec::new();
    let mut encoder = Amf3Encoder::new(&mut bytes);
    for _ in 0..MAX_DEPTH {
        encoder.begin_array(1).unwrap();
        encoder.begin_elements();
    }
    assert_eq!(encoder.begin_object(None), Err(EncodeError::TooDeep));
    assert_eq!(encoder.begin_array(0), Err(EncodeError::TooDeep));
    assert_eq!(encoder.begin_dictionary(false, 0), Err(EncodeError::TooDeep));
    encoder.null();
    assert_eq!(bytes.len(), MAX_DEPTH * 3 + 1);
    assert_eq!(decode_amf3_all(&bytes).1, None);
}
