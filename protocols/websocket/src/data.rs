//! Data messages of publications: AMF0 inside the node, text for WebSocket clients.

use bytes::Bytes;
use ramona_amf::{EncodeError, decode_amf0_all};
use ramona_formats::{JsonEncoder, ReadError, XmlRpcEncoder, read_json, read_values, write_value};

/// Why a text cannot be a data message.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It is no JSON, or passes a limit.
    #[error(transparent)]
    Json(#[from] ReadError),
    /// More than a tree of values may hold.
    #[error(transparent)]
    Values(#[from] ramona_amf::DecodeError),
    /// AMF0 cannot say it.
    #[error(transparent)]
    Amf(#[from] EncodeError),
}

/// The body of a data message, AMF0 values, that a JSON array says: `["f",1]` is what
/// `NetStream.send("f", 1)` sends.
///
/// # Errors
/// See [`DataError`].
pub fn data_message(json: &[u8]) -> Result<Bytes, DataError> {
    let mut out = Vec::with_capacity(json.len() + 16);
    for value in read_values(&mut read_json(json)?)? {
        value.encode_amf0(&mut out)?;
    }
    Ok(out.into())
}

/// How a player wants data messages: `dataType` of its query (WSK-04).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataFormat {
    /// `json`, and anything unknown: a text, `["f",1]`.
    #[default]
    Json,
    /// `xmlrpc` or `xml`: a text, `methodResponse` with the name as first value.
    XmlRpc,
    /// `amf` or `amf0`: a binary message, AMF0 values.
    Amf,
}

impl DataFormat {
    /// Reads `dataType` out of a query, in any case.
    pub fn of_query(query: &[u8]) -> Self {
        let mut values = query.split(|byte| *byte == b'&').filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            pair[..at].eq_ignore_ascii_case(b"dataType").then(|| &pair[at + 1..])
        });
        let Some(value) = values.next_back() else { return Self::Json };
        match &value.to_ascii_lowercase()[..] {
            b"xmlrpc" | b"xml" => Self::XmlRpc,
            b"amf" | b"amf0" | b"x-amf" => Self::Amf,
            _ => Self::Json,
        }
    }

    /// A data message as a player gets it. What cannot be read ends it, what cannot be said is
    /// null.
    pub fn write(self, body: &Bytes) -> Bytes {
        if self == Self::Amf {
            return body.clone();
        }
        let (values, _broken) = decode_amf0_all(body);
        let mut out = Vec::with_capacity(body.len() + 32);
        match self {
            Self::XmlRpc => {
                let mut to = XmlRpcEncoder::response(&mut out);
                for value in &values {
                    // Null stands in place of what it could not say.
                    let _ = write_value(&mut to, value);
                }
                to.finish();
            }
            Self::Json | Self::Amf => {
                let mut to = JsonEncoder::list(&mut out);
                for value in &values {
                    // As above.
                    let _ = write_value(&mut to, value);
                }
                to.finish();
            }
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wsk_03_a_json_array_is_the_data_message_that_rtmp_clients_know() {
        let body = data_message(br#"["f",1,null,{"a":true}]"#).unwrap();
        let expected =
            b"\x02\x00\x01f\x00\x3f\xf0\0\0\0\0\0\0\x05\x03\x00\x01a\x01\x01\x00\x00\x09";
        assert_eq!(body, &expected[..]);
    }

    #[test]
    fn wsk_04_data_messages_reach_players_in_the_format_they_ask_for() {
        let body = data_message(br#"["f",1,"x"]"#).unwrap();
        assert_eq!(DataFormat::Json.write(&body), r#"["f",1,"x"]"#);
        assert_eq!(DataFormat::Amf.write(&body), body);
        let xml = DataFormat::XmlRpc.write(&body);
        assert!(xml.starts_with(b"<?xml"), "{xml:?}");
        assert!(xml.ends_with(b"</methodResponse>"), "{xml:?}");
        for (query, format) in [
            (&b""[..], DataFormat::Json),
            (b"a=1&dataType=XML", DataFormat::XmlRpc),
            (b"datatype=amf&b", DataFormat::Amf),
            (b"dataType=json", DataFormat::Json),
            (b"dataType", DataFormat::Json),
        ] {
            assert_eq!(DataFormat::of_query(query), format, "{}", query.escape_ascii());
        }
    }

    #[test]
    fn broken_data_messages_are_what_could_be_read_of_them() {
        let body = Bytes::from_static(b"\x02\x00\x01f\x00\x3f");
        assert_eq!(DataFormat::Json.write(&body), r#"["f"]"#);
        assert!(data_message(b"[1,").is_err());
    }
}
