//! Data messages: the names that a publication itself understands.

use bytes::Bytes;

/// What a data message means to the publication that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataMessage {
    /// `@setDataFrame`: the rest of the body (usually `onMetaData`, then a table) is the
    /// metadata that viewers receive, now and when they join.
    SetDataFrame(Bytes),
    /// `@clearDataFrame`: forget the metadata. What viewers get instead: the name that follows, or
    /// `onMetaData`, with an empty object.
    ClearDataFrame(Bytes),
    /// `onMetaData` sent without `@setDataFrame`: metadata all the same.
    MetaData,
    /// Anything else passes to the viewers of the moment.
    Other,
}

impl DataMessage {
    /// Reads the handler name at the start of an AMF data message body.
    pub fn read(body: &Bytes) -> Self {
        match leading_name(body) {
            Some((b"@setDataFrame", end)) if end < body.len() => {
                Self::SetDataFrame(body.slice(end..))
            }
            Some((b"@clearDataFrame", end)) => Self::ClearDataFrame(emptied(&body[end..])),
            Some((b"onMetaData", end)) if end < body.len() => Self::MetaData,
            _ => Self::Other,
        }
    }
}

/// The name at the start of `rest` with an empty AMF0 object (2.5).
fn emptied(rest: &[u8]) -> Bytes {
    let name = leading_name(rest).map_or(&b"\x02\x00\x0aonMetaData"[..], |(_, end)| &rest[..end]);
    [name, b"\x03\x00\x00\x09"].concat().into()
}

/// The AMF0 string at the start of a body and where it ends; also behind a switch to AMF3
/// (`0x11 0x06`) with a one-byte length, which is how AMF3 writers send short names.
pub fn leading_name(body: &[u8]) -> Option<(&[u8], usize)> {
    match *body {
        [0x02, high, low, ..] => {
            let end = 3 + usize::from(u16::from_be_bytes([high, low]));
            Some((body.get(3..end)?, end))
        }
        [0x11, 0x06, length, ..] if length & 0x81 == 0x01 => {
            let end = 3 + usize::from(length >> 1);
            Some((body.get(3..end)?, end))
        }
        _ => None,
    }
}

/// The bytes of a data message that is nothing but one AMF3 byte array: what a script pushed that
/// is no message (PUB-22). Players of Flash are not given it; others get the bytes as they are.
pub fn raw_data(body: &Bytes) -> Option<Bytes> {
    let [0x11, 0x0C, ref rest @ ..] = **body else { return None };
    // U29 (AMF3 §1.3.1): seven bits of each of three bytes, all of the fourth.
    let mut header = 0_usize;
    for (index, byte) in rest.iter().take(4).enumerate() {
        if index == 3 {
            header = header << 8 | usize::from(*byte);
        } else {
            header = header << 7 | usize::from(byte & 0x7F);
        }
        if index == 3 || byte & 0x80 == 0 {
            let start = 2 + index + 1;
            let is_inline = header & 1 == 1;
            return (is_inline && body.len() - start == header >> 1).then(|| body.slice(start..));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_data_frame_leaves_the_message_that_viewers_get() {
        let body = Bytes::from_static(b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05");
        let DataMessage::SetDataFrame(rest) = DataMessage::read(&body) else { panic!() };
        assert_eq!(rest, &b"\x02\x00\x0aonMetaData\x05"[..]);
        assert_eq!(DataMessage::read(&rest), DataMessage::MetaData);
    }

    #[test]
    fn pub_16_clear_data_frame_leaves_an_empty_object_under_its_name() {
        for (body, shown) in [
            (&b"\x02\x00\x0f@clearDataFrame"[..], &b"\x02\x00\x0aonMetaData\x03\0\0\x09"[..]),
            (b"\x02\x00\x0f@clearDataFrame\x02\x00\x01f", b"\x02\x00\x01f\x03\0\0\x09"),
            (b"\x02\x00\x0f@clearDataFrame\x11\x06\x03f", b"\x11\x06\x03f\x03\0\0\x09"),
            (b"\x02\x00\x0f@clearDataFrame\x02\x09", b"\x02\x00\x0aonMetaData\x03\0\0\x09"),
        ] {
            let DataMessage::ClearDataFrame(message) = DataMessage::read(&body.into()) else {
                panic!("{body:?}")
            };
            assert_eq!(message, shown);
        }
    }

    #[test]
    fn names_are_read_from_amf0_and_from_amf3() {
        assert_eq!(leading_name(b"\x02\x00\x01fX"), Some((&b"f"[..], 4)));
        assert_eq!(leading_name(b"\x11\x06\x03fX"), Some((&b"f"[..], 4)));
    }

    #[test]
    fn pub_22_bytes_that_are_no_message_are_one_byte_array() {
        let raw = |bytes: &'static [u8]| raw_data(&Bytes::from_static(bytes));
        assert_eq!(raw(b"\x11\x0C\x05ab"), Some(Bytes::from_static(b"ab")));
        assert_eq!(raw(b"\x11\x0C\x01"), Some(Bytes::new()));
        let mut long = b"\x11\x0C\x83\x69".to_vec();
        long.extend_from_slice(&[7; 244]);
        assert_eq!(raw_data(&long.into()).map(|bytes| bytes.len()), Some(244));
        for none in [
            &b""[..],
            b"\x11",
            b"\x11\x0C",
            b"\x11\x0C\x80",
            b"\x11\x0C\x05a",
            b"\x11\x0C\x05abc",
            b"\x11\x0C\x04ab",
            b"\x02\x00\x01f",
            b"\x11\x06\x03a",
            b"\x11\x0C\xFF\xFF\xFF\xFF",
        ] {
            assert_eq!(raw(none), None, "{none:?}");
        }
    }

    #[test]
    fn broken_names_are_no_names() {
        for body in [&b""[..], b"\x02", b"\x02\x00", b"\x02\x00\x05ab", b"\x11\x06\x07a", b"\x00"] {
            assert_eq!(leading_name(body), None, "{body:?}");
            assert_eq!(DataMessage::read(&Bytes::copy_from_slice(body)), DataMessage::Other);
        }
        let alone = Bytes::from_static(b"\x02\x00\x0d@setDataFrame");
        assert_eq!(DataMessage::read(&alone), DataMessage::Other);
    }
}
