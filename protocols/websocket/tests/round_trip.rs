//! Data messages: what a WebSocket client publishes reaches another as it was sent.

use proptest::prelude::*;
use ramona_amf::Value;
use ramona_formats::{JsonEncoder, read_json, read_values, write_value};
use ramona_websocket::{DataFormat, data_message};

/// Values that JSON can say, in the form in which it is read back.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::Number),
        ".{0,20}".prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|b| Value::ByteArray(b.into())),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec(("[a-z]{1,8}", inner), 0..6).prop_map(|members| {
                let members = members.into_iter().map(|(key, value)| (key.into(), value));
                Value::Object(ramona_amf::Object { type_name: None, members: members.collect() })
            }),
        ]
    })
}

proptest! {
    #[test]
    fn json_through_amf_is_the_same_json(values in proptest::collection::vec(value(), 0..6)) {
        let mut text = Vec::new();
        let mut json = JsonEncoder::list(&mut text);
        for value in &values {
            prop_assert!(write_value(&mut json, value).is_ok());
        }
        json.finish();
        let body = data_message(&text).unwrap();
        let back = DataFormat::Json.write(&body);
        let read = |text: &[u8]| read_values(&mut read_json(text).unwrap()).unwrap();
        prop_assert_eq!(read(&text), read(&back));
    }

    #[test]
    fn any_bytes_become_some_text(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = bytes::Bytes::from(bytes);
        prop_assert!(read_json(&DataFormat::Json.write(&body)).is_ok());
        prop_assert!(std::str::from_utf8(&DataFormat::XmlRpc.write(&body)).is_ok());
    }
}
