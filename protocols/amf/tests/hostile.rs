//! What a hostile peer can send costs it its message, and nobody memory or stack.

use ramona_amf::limits::{
    MAX_CONTAINERS, MAX_DEPTH, MAX_SEALED_MEMBERS, MAX_SEALED_MEMBERS_TOTAL, MAX_VALUE_BYTES,
    MAX_VALUE_NODES, MIN_EXPANSION_BYTES,
};
use ramona_amf::{
    Builder, Container, DecodeError, Decoder, Value, decode_amf0_all, decode_amf3_all,
};

/// Counts what it is given and keeps nothing.
#[derive(Default)]
struct Count {
    values: usize,
    bytes: usize,
    largest_hint: usize,
}

impl Count {
    fn value(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.values += 1;
        self.bytes += bytes.len();
        Ok(())
    }
}

impl Builder for Count {
    type Value = ();
    type Error = DecodeError;

    fn null(&mut self) -> Result<(), DecodeError> {
        self.value(b"")
    }
    fn undefined(&mut self) -> Result<(), DecodeError> {
        self.value(b"")
    }
    fn boolean(&mut self, _: bool) -> Result<(), DecodeError> {
        self.value(b"")
    }
    fn number(&mut self, _: f64) -> Result<(), DecodeError> {
        self.value(b"")
    }
    fn string(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        self.value(value)
    }
    fn date(&mut self, _: f64) -> Result<(), DecodeError> {
        self.value(b"")
    }
    fn byte_array(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        self.value(value)
    }
    fn begin(&mut self, kind: Container<'_>) -> Result<(), DecodeError> {
        let (hint, name) = match kind {
            Container::Array { len_hint } => (len_hint, None),
            Container::Dictionary { len, .. } => (len, None),
            Container::Object { type_name } => (0, type_name),
            Container::EcmaArray => (0, None),
        };
        self.largest_hint = self.largest_hint.max(hint);
        self.value(name.unwrap_or_default())
    }
    fn member(&mut self, (): &(), key: &[u8], (): ()) -> Result<(), DecodeError> {
        self.bytes += key.len();
        Ok(())
    }
    fn element(&mut self, (): &(), _: usize, (): ()) -> Result<(), DecodeError> {
        Ok(())
    }
    fn entry(&mut self, (): &(), (): (), (): ()) -> Result<(), DecodeError> {
        Ok(())
    }
    fn end(&mut self, (): &()) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Feeds all values to a counter.
fn count(mut decoder: Decoder<'_, ()>) -> (Count, Option<DecodeError>) {
    let mut count = Count::default();
    loop {
        match decoder.next(&mut count) {
            Ok(Some(())) => {}
            Ok(None) => return (count, None),
            Err(error) => return (count, Some(error)),
        }
    }
}

/// A U29 of four bytes.
fn u29(value: usize) -> [u8; 4] {
    let value = u32::try_from(value).unwrap();
    let [.., low] = value.to_be_bytes();
    let bits = |shift: u32| (value >> shift & 0x7f) as u8 | 0x80;
    [bits(22), bits(15), bits(8), low]
}

fn depth_error(error: Option<DecodeError>) -> bool {
    matches!(error, Some(DecodeError::TooDeep { .. }))
}

#[test]
fn ten_thousand_containers_inside_each_other_are_refused() {
    let array_collection = b"\x0a\x07\x43flex.messaging.io.ArrayCollection";
    for opening in [
        b"\x0a\0\0\0\x01".as_slice(), // strict array
        b"\x03\0\x01a",               // object
        b"\x08\0\0\0\0\0\x01a",       // ECMA array
        b"\x10\0\x01T\0\x01a",        // typed object
    ] {
        let (values, error) = decode_amf0_all(&opening.repeat(10_000));
        assert_eq!(values, []);
        assert!(depth_error(error), "{opening:?}");
    }
    for opening in [
        b"\x09\x03\x01".as_slice(), // array
        b"\x09\x01\x03a",           // array, associative part
        b"\x0a\x0b\x01\x03a",       // dynamic object
        b"\x0a\x13\x01\x03a",       // sealed object
        b"\x11\x03\0",              // dictionary, by its keys
        b"\x11\x03\0\x01",          // dictionary, by its values
        array_collection,
    ] {
        let (values, error) = decode_amf3_all(&opening.repeat(10_000));
        assert_eq!(values, []);
        assert!(depth_error(error), "{opening:?}");
        let inside = [b"\x0a\0\0\0\x01\x11".as_slice(), &opening.repeat(10_000)].concat();
        assert!(depth_error(decode_amf0_all(&inside).1), "{opening:?}");
    }
}

#[test]
fn containers_up_to_the_limit_are_read() {
    let nested = |levels: usize| [b"\x09\x03\x01".repeat(levels), vec![1]].concat();
    assert_eq!(decode_amf3_all(&nested(MAX_DEPTH)).1, None);
    assert!(depth_error(decode_amf3_all(&nested(MAX_DEPTH + 1)).1));

    let nested = |levels: usize| [b"\x0a\0\0\0\x01".repeat(levels), vec![5]].concat();
    assert_eq!(decode_amf0_all(&nested(MAX_DEPTH)).1, None);
    assert!(depth_error(decode_amf0_all(&nested(MAX_DEPTH + 1)).1));

    // Both formats count together: half AMF0, half AMF3.
    let nested = |inner: usize| {
        let outer = b"\x0a\0\0\0\x01".repeat(MAX_DEPTH / 2);
        [outer, vec![0x11], b"\x09\x03\x01".repeat(inner), vec![1]].concat()
    };
    assert_eq!(decode_amf0_all(&nested(MAX_DEPTH / 2)).1, None);
    assert!(depth_error(decode_amf0_all(&nested(MAX_DEPTH / 2 + 1)).1));
}

#[test]
fn counts_beyond_the_input_are_refused_before_anything_is_made() {
    for bytes in [
        b"\x0a\xff\xff\xff\xff\x05\x05".as_slice(), // strict array
        b"\x0c\xff\xff\xff\xff\x05\x05",            // long string
        b"\x02\xff\xff\x05\x05",                    // string
    ] {
        let (count, error) = count(Decoder::amf0(bytes));
        assert_eq!(error, Some(DecodeError::Truncated { offset: bytes.len() }));
        assert_eq!(count.values, 0);
    }
    for bytes in [
        b"\x09\xff\xff\xff\xff\x01\x01".as_slice(), // array
        b"\x11\xff\xff\xff\xff\x00\x01\x01",        // dictionary
        b"\x11\x05\x00\x01\x01\x01",                // dictionary, one byte short of its count
        b"\x06\xff\xff\xff\xff\x01",                // string
        b"\x0c\xff\xff\xff\xff\x01",                // byte array
        b"\x0a\x83\x73\x01\x01",                    // 31 sealed members
    ] {
        let (count, error) = count(Decoder::amf3(bytes));
        assert_eq!(error, Some(DecodeError::Truncated { offset: bytes.len() }), "{bytes:x?}");
        assert_eq!((count.values, count.largest_hint), (0, 0));
    }
}

#[test]
fn containers_of_a_message_are_counted() {
    let (counted, error) = count(Decoder::amf3(&b"\x09\x01\x01".repeat(MAX_CONTAINERS)));
    assert_eq!((counted.values, error), (MAX_CONTAINERS, None));
    let too_many = |error| matches!(error, Some(DecodeError::TooManyContainers { .. }));
    for one in [b"\x09\x01\x01".as_slice(), b"\x0a\x0b\x01\x01", b"\x0c\x01", b"\x11\x01\0"] {
        let (counted, error) = count(Decoder::amf3(&one.repeat(MAX_CONTAINERS + 1)));
        assert!(too_many(error), "{one:?}");
        assert_eq!(counted.values, MAX_CONTAINERS);
    }
    for one in [b"\x0a\0\0\0\0".as_slice(), b"\x03\0\0\x09", b"\x11\x0c\x01"] {
        let (counted, error) = count(Decoder::amf0(&one.repeat(MAX_CONTAINERS + 1)));
        assert!(too_many(error), "{one:?}");
        assert_eq!(counted.values, MAX_CONTAINERS);
    }
}

#[test]
fn string_references_cannot_multiply_a_message_for_ever() {
    // 1 MiB once, then a million references to it.
    let length = 1 << 20;
    let mut bytes = [b"\x06".as_slice(), &u29(length << 1 | 1)].concat();
    bytes.resize(bytes.len() + length, b'x');
    bytes.extend(b"\x06\x00".repeat(1 << 20));
    let (counted, error) = count(Decoder::amf3(&bytes));
    assert!(matches!(error, Some(DecodeError::ReferencesExpandTooFar { .. })));
    let bound = bytes.len() * ramona_amf::limits::EXPANSION_PER_INPUT_BYTE;
    assert!(counted.bytes > length && counted.bytes <= bound + length, "{}", counted.bytes);

    // A small message gets at least the fixed part, and no more.
    let mut bytes = [b"\x06".as_slice(), &u29(4_096 << 1 | 1)].concat();
    bytes.resize(bytes.len() + 4_096, b'x');
    bytes.extend(b"\x06\x00".repeat(4_096));
    let (counted, error) = count(Decoder::amf3(&bytes));
    assert!(matches!(error, Some(DecodeError::ReferencesExpandTooFar { .. })));
    assert_eq!(counted.bytes, MIN_EXPANSION_BYTES + 4_096);
}

#[test]
fn class_references_cannot_multiply_a_message_for_ever() {
    // One sealed member with a name of 64 KiB, then objects of that class.
    let name = 1 << 16;
    let mut bytes = [b"\x0a\x13\x01".as_slice(), &u29(name << 1 | 1)].concat();
    bytes.resize(bytes.len() + name, b'x');
    bytes.push(1);
    bytes.extend(b"\x0a\x01\x01".repeat(1 << 16));
    let (counted, error) = count(Decoder::amf3(&bytes));
    assert!(matches!(error, Some(DecodeError::ReferencesExpandTooFar { .. })));
    assert!(counted.bytes <= bytes.len() * ramona_amf::limits::EXPANSION_PER_INPUT_BYTE + name);

    // And the name of the class itself.
    let mut bytes = [b"\x0a\x0b".as_slice(), &u29(name << 1 | 1)].concat();
    bytes.resize(bytes.len() + name, b'x');
    bytes.push(1);
    bytes.extend(b"\x0a\x01\x01".repeat(1 << 16));
    let (_, error) = count(Decoder::amf3(&bytes));
    assert!(matches!(error, Some(DecodeError::ReferencesExpandTooFar { .. })));
}

/// An object of a new class with this many sealed members, all null.
fn class(sealed: usize) -> Vec<u8> {
    let header = u29(sealed << 4 | 0b0011);
    let mut bytes = [b"\x0a".as_slice(), &header, b"\x01"].concat();
    bytes.extend(b"\x03m".repeat(sealed));
    bytes.extend(b"\x01".repeat(sealed));
    bytes
}

#[test]
fn sealed_members_are_counted_in_one_class_and_in_all() {
    let too_many = |error| matches!(error, Some(DecodeError::TooManySealedMembers { .. }));
    assert_eq!(count(Decoder::amf3(&class(MAX_SEALED_MEMBERS))).1, None);
    assert!(too_many(count(Decoder::amf3(&class(MAX_SEALED_MEMBERS + 1))).1));

    let classes = MAX_SEALED_MEMBERS_TOTAL / MAX_SEALED_MEMBERS;
    let mut bytes = class(MAX_SEALED_MEMBERS).repeat(classes);
    assert_eq!(count(Decoder::amf3(&bytes)).1, None);
    bytes.extend(class(1));
    assert!(too_many(count(Decoder::amf3(&bytes)).1));
}

#[test]
fn references_cannot_multiply_a_tree_for_ever() {
    // Each array holds the one before twice: 2^30 values in 180 bytes.
    let mut bytes = b"\x09\x3d\x01\x09\x01\x01".to_vec();
    for index in 1..30_u8 {
        bytes.extend([0x09, 0x05, 0x01, 0x09, index << 1, 0x09, index << 1]);
    }
    let (counted, error) = count(Decoder::amf3(&bytes));
    assert_eq!((counted.values, error), (31, None), "a builder of references is spared");
    assert_eq!(decode_amf3_all(&bytes), (vec![], Some(DecodeError::TooManyNodes)));

    let mut bytes = b"\x0a\0\0\0\x1e\x0a\0\0\0\0".to_vec();
    for index in 1..30_u8 {
        bytes.extend([0x0a, 0, 0, 0, 2, 7, 0, index, 7, 0, index]);
    }
    assert_eq!(decode_amf0_all(&bytes), (vec![], Some(DecodeError::TooManyNodes)));
}

#[test]
fn references_cannot_deepen_a_tree_for_ever() {
    // Each array holds the one before once: as deep as the array around is long.
    let chain = |links: u8| {
        let mut bytes = vec![0x0a, 0, 0, 0, links, 0x0a, 0, 0, 0, 0];
        for index in 1..links {
            bytes.extend([0x0a, 0, 0, 0, 1, 7, 0, index]);
        }
        decode_amf0_all(&bytes).1
    };
    assert_eq!(chain(127), None);
    assert_eq!(chain(128), Some(DecodeError::TreeTooDeep));
    assert_eq!(chain(255), Some(DecodeError::TreeTooDeep));
}

#[test]
fn values_and_bytes_of_a_tree_are_counted() {
    let (values, error) = decode_amf0_all(&[5].repeat(MAX_VALUE_NODES + 1));
    assert_eq!(values.len(), MAX_VALUE_NODES);
    assert_eq!(error, Some(DecodeError::TooManyNodes));

    let string = |length: usize| {
        let length32 = u32::try_from(length).unwrap().to_be_bytes();
        [b"\x0c".as_slice(), &length32, &vec![b'x'; length]].concat()
    };
    assert_eq!(decode_amf0_all(&string(MAX_VALUE_BYTES)).1, None);
    let two = [string(MAX_VALUE_BYTES - 1), string(2)].concat();
    let (values, error) = decode_amf0_all(&two);
    assert_eq!((values.len(), error), (1, Some(DecodeError::TooManyBytes)));

    // Bytes of copies count too: 3 MiB once and by reference inside an array.
    let bytes = [b"\x0a\0\0\0\x02\x0a\0\0\0\x01".as_slice(), &string(3 << 20), b"\x07\0\x01"];
    let (values, error) = decode_amf0_all(&bytes.concat());
    assert_eq!((values, error), (vec![], Some(DecodeError::TooManyBytes)));
}

#[test]
fn a_value_that_its_tree_cannot_hold_is_left_in_the_input() {
    let mut bytes = b"\x05\x0a\0\0\0\x1e\x0a\0\0\0\0".to_vec();
    for index in 1..30_u8 {
        bytes.extend([0x0a, 0, 0, 0, 2, 7, 0, index, 7, 0, index]);
    }
    let mut decoder = ramona_amf::ValueDecoder::amf0(&bytes);
    assert_eq!(decoder.next_value(), Ok(Some(Value::Null)));
    assert_eq!(decoder.next_value(), Err(DecodeError::TooManyNodes));
    assert_eq!(decoder.remaining(), &bytes[1..]);
    assert_eq!(decoder.next_value(), Err(DecodeError::AlreadyFailed { offset: 1 }));
}

#[test]
fn messages_for_the_log_are_plain() {
    let bytes = b"\x0a\x07\x0bA\n\x1b\"\xff";
    let (_, error) = decode_amf3_all(bytes);
    assert_eq!(
        error.unwrap().to_string(),
        "externalizable type \"A\\n\\x1b\\\"\\xff\" without a reader at byte 8"
    );
    let long = [b"\x0a\x07\x83\x51".as_slice(), &[b'T'; 232]].concat();
    let text = decode_amf3_all(&long).1.unwrap().to_string();
    assert!(text.contains(&format!("\"{}\"", "T".repeat(64))), "{text}");
}
