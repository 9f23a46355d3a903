//! Wire bytes of each AMF0 marker, read and written.

use bytes::Bytes;

use super::Amf0Encoder;
use crate::limits::MAX_DEPTH;
use crate::{DecodeError, EncodeError, Object, Value, ValueDecoder, decode_amf0_all};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn read(text: &str) -> Value {
    let (values, error) = decode_amf0_all(&hex(text));
    assert_eq!(error, None);
    let [value] = <[Value; 1]>::try_from(values).unwrap();
    value
}

fn error(text: &str) -> DecodeError {
    let (values, error) = decode_amf0_all(&hex(text));
    assert_eq!(values, []);
    error.unwrap()
}

/// Both ways.
fn same(text: &str, value: Value) {
    assert_eq!(read(text), value);
    let mut bytes = Vec::new();
    value.encode_amf0(&mut bytes).unwrap();
    assert_eq!(bytes, hex(text), "{value:?}");
}

#[test]
fn scalars_have_these_bytes() {
    same("00 3ff0000000000000", Value::Number(1.0));
    same("00 c005bf0a8b145769", Value::Number(-std::f64::consts::E));
    same("01 01", Value::Bool(true));
    same("01 00", Value::Bool(false));
    same("05", Value::Null);
    same("06", Value::Undefined);
    same("0b 4270000000000000 0000", Value::Date(1_099_511_627_776.0));
}

#[test]
fn any_byte_but_zero_is_true() {
    assert_eq!(read("01 80"), Value::Bool(true));
}

#[test]
fn the_time_zone_of_a_date_is_ignored() {
    assert_eq!(read("0b 4270000000000000 ffc4"), Value::Date(1_099_511_627_776.0));
}

#[test]
fn unsupported_is_undefined() {
    assert_eq!(read("0d"), Value::Undefined);
}

#[test]
fn strings_keep_every_byte() {
    same("02 0000", Value::from(""));
    same("02 0004 00ff80c3", Value::String(Bytes::from_static(b"\0\xff\x80\xc3")));
}

#[test]
fn strings_beyond_65_535_bytes_are_long_strings() {
    let mut bytes = Vec::new();
    Value::String(vec![7; 65_535].into()).encode_amf0(&mut bytes).unwrap();
    assert_eq!(bytes[..3], hex("02 ffff"));
    bytes.clear();
    let long = Value::String(vec![7; 65_536].into());
    long.encode_amf0(&mut bytes).unwrap();
    assert_eq!(bytes[..5], hex("0c 00010000"));
    assert_eq!(decode_amf0_all(&bytes), (vec![long], None));
}

#[test]
fn a_short_long_string_is_read() {
    assert_eq!(read("0c 00000001 61"), Value::from("a"));
}

#[test]
fn objects_have_these_bytes() {
    let object = Object::new().with("a", 1.0).with("", true);
    same("03 0001 61 00 3ff0000000000000 0000 01 01 0000 09", Value::Object(object));
    same("03 0000 09", Value::Object(Object::new()));
}

#[test]
fn typed_objects_have_these_bytes() {
    let object = Object { type_name: Some("Cat".into()), members: vec![("x".into(), Value::Null)] };
    same("10 0003 436174 0001 78 05 0000 09", Value::Object(object));
}

#[test]
fn a_typed_object_without_a_name_is_anonymous() {
    assert_eq!(read("10 0000 0000 09"), Value::Object(Object::new()));
}

#[test]
fn ecma_arrays_have_these_bytes() {
    let members = vec![("k".into(), Value::from("v")), ("0".into(), Value::Null)];
    same("08 00000002 0001 6b 02 0001 76 0001 30 05 0000 09", Value::EcmaArray(members));
}

#[test]
fn the_count_of_an_ecma_array_may_lie() {
    let expected = Value::EcmaArray(vec![("k".into(), Value::Null)]);
    assert_eq!(read("08 00000000 0001 6b 05 0000 09"), expected);
    assert_eq!(read("08 ffffffff 0001 6b 05 0000 09"), expected);
}

#[test]
fn strict_arrays_have_these_bytes() {
    same("0a 00000002 05 01 01", Value::Array(vec![Value::Null, Value::Bool(true)]));
    same("0a 00000000", Value::Array(vec![]));
}

#[test]
fn references_count_containers_in_order_of_their_begin() {
    // [ {}, ecma [], [], typed {}, reference to each ]; scalars and dates take no index.
    let bytes = "0a 00000009 03 0000 09 08 00000000 0000 09 0b 0000000000000000 0000
                 0a 00000001 05 10 0001 54 0000 09 07 0001 07 0002 07 0003 07 0004";
    let Value::Array(values) = read(bytes) else { panic!("array") };
    assert_eq!(values[5..], [&values[0..2], &values[3..5]].concat());
    assert_eq!(values[6], Value::EcmaArray(vec![]));
    assert_eq!(values[7], Value::Array(vec![Value::Null]));
}

#[test]
fn references_reach_into_earlier_values_of_the_message() {
    let (values, error) = decode_amf0_all(&hex("03 0001 61 05 0000 09 07 0000"));
    assert_eq!(error, None);
    assert_eq!(values[0], values[1]);
    assert_eq!(values[0].get("a"), Some(&Value::Null));
}

#[test]
fn a_reference_to_nothing_is_broken() {
    assert_eq!(error("07 0000"), DecodeError::BadReference { index: 0, offset: 0 });
    assert_eq!(error("0a 00000002 05 07 0001"), DecodeError::BadReference { index: 1, offset: 6 });
}

#[test]
fn a_container_inside_itself_becomes_null_in_a_tree() {
    let expected = Value::Object(Object::new().with("self", Value::Null));
    assert_eq!(read("03 0004 73656c66 07 0000 0000 09"), expected);
}

#[test]
fn avmplus_switches_one_value_to_amf3() {
    let (values, error) = decode_amf0_all(&hex("11 04 05 02 0001 61 11 06 03 62"));
    assert_eq!(error, None);
    assert_eq!(values, [Value::Number(5.0), Value::from("a"), Value::from("b")]);
}

#[test]
fn amf3_values_of_a_message_share_their_references() {
    // "ab" by value and by reference; an AMF0 container between takes no AMF3 index.
    let (values, error) =
        decode_amf0_all(&hex("11 06 05 6162 03 0000 09 11 06 00 11 09 03 01 06 00 11 09 00"));
    assert_eq!(error, None);
    let array = Value::Array(vec![Value::from("ab")]);
    assert_eq!(values[0], Value::from("ab"));
    assert_eq!(values[2..], [Value::from("ab"), array.clone(), array]);
}

#[test]
fn what_amf0_lacks_is_written_as_amf3() {
    same("11 0c 05 ff00", Value::ByteArray(Bytes::from_static(b"\xff\0")));
    same(
        "11 11 03 00 04 01 03",
        Value::Dictionary { weak: false, entries: vec![(Value::Number(1.0), Value::Bool(true))] },
    );
    same(
        "11 09 05 03 78 04 01 01 04 02 04 03",
        Value::MixedArray {
            members: vec![("x".into(), Value::Number(1.0))],
            elements: vec![Value::Number(2.0), Value::Number(3.0)],
        },
    );
}

#[test]
fn types_that_scripts_cannot_hold_are_named() {
    let unsupported = |what, offset| DecodeError::Unsupported { what, offset };
    assert_eq!(error("0f 00000000"), unsupported("XMLDocument", 0));
    assert_eq!(error("04"), unsupported("MovieClip", 0));
    assert_eq!(error("0e"), unsupported("RecordSet", 0));
    assert_eq!(error("0a 00000001 0f"), unsupported("XMLDocument", 5));
}

#[test]
fn other_bytes_are_no_markers() {
    for marker in (0x12..=0xff).chain([0x09]) {
        let (_, error) = decode_amf0_all(&[marker, 0, 0, 0, 0]);
        assert_eq!(error, Some(DecodeError::UnknownMarker { marker, offset: 0 }));
    }
}

#[test]
fn values_before_the_broken_one_are_kept() {
    let bytes = hex("02 0001 61 05 03 0001 62 05");
    let mut decoder = ValueDecoder::amf0(&bytes);
    assert_eq!(decoder.next_value(), Ok(Some(Value::from("a"))));
    assert_eq!(decoder.next_value(), Ok(Some(Value::Null)));
    assert_eq!(decoder.next_value(), Err(DecodeError::Truncated { offset: bytes.len() }));
    assert_eq!(decoder.remaining(), hex("03 0001 62 05"));
    assert_eq!(decoder.next_value(), Err(DecodeError::AlreadyFailed { offset: 5 }));
}

#[test]
fn every_cut_of_a_value_is_truncated() {
    let bytes =
        hex("03 0001 61 08 00000001 0001 6b 0a 00000002 05 0b 4270000000000000 0000 0000 09
         0001 62 0c 00000002 6161 0001 63 11 05 3ff8000000000000 0000 09");
    assert_eq!(decode_amf0_all(&bytes).1, None);
    for end in 1..bytes.len() {
        let (values, error) = decode_amf0_all(&bytes[..end]);
        assert_eq!((values, error), (vec![], Some(DecodeError::Truncated { offset: end })));
    }
}

#[test]
fn the_encoder_counts_containers_as_the_decoder_does() {
    let mut bytes = Vec::new();
    let mut encoder = Amf0Encoder::new(&mut bytes);
    assert_eq!(encoder.begin_strict_array(4), Ok(Some(0)));
    assert_eq!(encoder.begin_object(None), Ok(Some(1)));
    encoder.end_object();
    encoder.byte_array(b"not an AMF0 container").unwrap();
    assert_eq!(encoder.begin_ecma_array(0), Ok(Some(2)));
    encoder.end_ecma_array();
    encoder.reference(2);
    encoder.end_strict_array();
    let (values, error) = decode_amf0_all(&bytes);
    assert_eq!(error, None);
    let Value::Array(values) = &values[0] else { panic!("array") };
    assert_eq!(values[3], Value::EcmaArray(vec![]));
}

#[test]
fn a_container_too_deep_is_refused_and_leaves_no_bytes() {
    let mut bytes = Vec::new();
    let mut encoder = Amf0Encoder::new(&mut bytes);
    for _ in 0..MAX_DEPTH {
        encoder.begin_strict_array(1).unwrap();
    }
    assert_eq!(encoder.depth(), MAX_DEPTH);
    assert_eq!(encoder.begin_object(None), Err(EncodeError::TooDeep));
    assert_eq!(encoder.begin_ecma_array(0), Err(EncodeError::TooDeep));
    assert_eq!(encoder.begin_strict_array(0), Err(EncodeError::TooDeep));
    let mut inner = encoder.switch_to_amf3();
    assert_eq!(inner.begin_array(0), Err(EncodeError::TooDeep));
    inner.null();
    assert_eq!(bytes.len(), MAX_DEPTH * 5 + 2);
    assert_eq!(decode_amf0_all(&bytes).1, None);
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_leaves_no_bytes() {
    let key = vec![b'k'; 65_536];
    let mut bytes = vec![1, 2, 3];
    let mut encoder = Amf0Encoder::new(&mut bytes);
    assert_eq!(encoder.key(&key), Err(EncodeError::KeyTooLong { length: 65_536 }));
    let typed = encoder.begin_object(Some(&key));
    assert_eq!(typed, Err(EncodeError::KeyTooLong { length: 65_536 }));
    assert_eq!(encoder.depth(), 0);
    let value = Value::Array(vec![Value::Object(Object::new().with(key, 1.0))]);
    assert_eq!(value.encode_amf0(&mut bytes), Err(EncodeError::KeyTooLong { length: 65_536 }));
    assert_eq!(bytes, [1, 2, 3]);
}

#[test]
fn containers_past_the_last_index_cannot_be_named() {
    let mut bytes = Vec::new();
    let mut encoder = Amf0Encoder::new(&mut bytes);
    for _ in 0..=usize::from(u16::MAX) {
        assert!(encoder.begin_strict_array(0).unwrap().is_some());
        encoder.end_strict_array();
    }
    assert_eq!(encoder.begin_strict_array(0), Ok(None));
}

#[test]
fn what_is_taken_back_leaves_no_bytes_and_no_index() {
    let mut bytes = Vec::new();
    let mut encoder = Amf0Encoder::new(&mut bytes);
    encoder.begin_strict_array(1).unwrap();
    let mark = encoder.mark();
    encoder.begin_object(Some(b"T")).unwrap();
    encoder.key(b"a").unwrap();
    encoder.begin_strict_array(3).unwrap();
    encoder.reset(mark);
    assert_eq!(encoder.depth(), 1);
    assert_eq!(encoder.begin_strict_array(0), Ok(Some(1)));
    encoder.end_strict_array();
    encoder.end_strict_array();
    assert_eq!(bytes, [0x0A, 0, 0, 0, 1, 0x0A, 0, 0, 0, 0]);
}
