//! The bincode header of a frame. Only this file and the derives in `hello.rs` know bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::{BorrowDecode, Encode};

use crate::hello::HelloWire;
use crate::limits::{LENGTH_BYTES, MAX_FRAME, MAX_HANDLER, MAX_HELLO_FRAME};

/// Bytes that one header may have, and memory that decoding it may reserve: the largest header is
/// a hello.
const HEADER_LIMIT: usize = MAX_HELLO_FRAME;

type Config = Configuration<LittleEndian, Varint, Limit<HEADER_LIMIT>>;

const CONFIG: Config = bincode::config::standard().with_limit::<HEADER_LIMIT>();

/// First part of each frame; raw payload follows in a call, nothing in the others.
///
/// Variants are appended, never reordered or changed: their number is on the wire. A new one needs
/// a capability bit, because older nodes close the link on it.
#[derive(Encode, BorrowDecode)]
pub(crate) enum Message<'a> {
    /// First frame of each side.
    Hello(HelloWire<'a>),
    /// `server:send`: payload is AMF3 values.
    Call { handler: &'a [u8] },
    /// An application of that path was loaded or reloaded (CLU-12).
    App { path: &'a [u8] },
    /// Heartbeat. The number is the sender's clock in microseconds; it comes back in the pong.
    Ping { sent_us: u64 },
    /// Answer to the latest ping.
    Pong { sent_us: u64 },
    /// A script refuses the link with this text (CLU-10); the sender closes.
    Reject { text: &'a [u8] },
    /// The sender closes for another reason; `Code` and a text for the log.
    Close { code: u8, text: &'a [u8] },
}

impl Message<'_> {
    /// For "call before hello".
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "hello",
            Message::Call { .. } => "call",
            Message::App { .. } => "app",
            Message::Ping { .. } => "ping",
            Message::Pong { .. } => "pong",
            Message::Reject { .. } => "reject",
            Message::Close { .. } => "close",
        }
    }
}

/// A frame that is complete but makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("unreadable frame header ({0})")]
    Header(String),
    #[error("{bytes} bytes behind a {message} frame")]
    Trailing { message: &'static str, bytes: usize },
    #[error("a call with a handler name of {0} bytes")]
    Handler(usize),
}

struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends one frame: length, header, payload. `None`, and nothing appended, when it would be
/// longer than [`MAX_FRAME`].
pub(crate) fn encode(out: &mut Vec<u8>, message: &Message<'_>, payload: &[u8]) -> Option<()> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let encoded = bincode::encode_into_writer(message, Append(out), CONFIG);
    let length = out.len() - start - LENGTH_BYTES + payload.len();
    if encoded.is_err() || length > MAX_FRAME {
        out.truncate(start);
        return None;
    }
    out[start..start + LENGTH_BYTES].copy_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(payload);
    Some(())
}

/// Handler name and arguments of a call.
type CallParts<'a> = (&'a [u8], &'a [u8]);

/// Number of [`Message::Call`] on the wire.
const CALL: u8 = 1;

/// Reads handler and arguments if the frame is a call, without building a [`Message`]: calls are
/// the traffic, everything else is seldom.
#[inline]
pub(crate) fn decode_call(frame: &[u8]) -> Option<Result<CallParts<'_>, MessageError>> {
    let (&CALL, header) = frame.split_first()? else { return None };
    Some(match bincode::borrow_decode_from_slice::<&[u8], _>(header, CONFIG) {
        Ok((handler, used)) if (1..=MAX_HANDLER).contains(&handler.len()) => {
            Ok((handler, &header[used..]))
        }
        Ok((handler, _)) => Err(MessageError::Handler(handler.len())),
        Err(error) => Err(MessageError::Header(error.to_string())),
    })
}

/// Reads one complete frame (without its length) into header and payload, which borrow from it.
pub(crate) fn decode(frame: &[u8]) -> Result<(Message<'_>, &[u8]), MessageError> {
    if let Some(call) = decode_call(frame) {
        return call.map(|(handler, args)| (Message::Call { handler }, args));
    }
    let (message, used) = bincode::borrow_decode_from_slice::<Message<'_>, _>(frame, CONFIG)
        .map_err(|error| MessageError::Header(error.to_string()))?;
    match frame.len() - used {
        0 => Ok((message, b"")),
        bytes => Err(MessageError::Trailing { message: message.name(), bytes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hello;

    fn hex(message: &Message<'_>, payload: &[u8]) -> String {
        let mut out = Vec::new();
        encode(&mut out, message, payload).unwrap();
        out.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The wire format: a change here breaks links between nodes of different releases.
    #[test]
    fn golden_bytes_of_every_message() {
        let mut hello = hello(7);
        hello.node_id.0 = *b"0123456789abcdef";
        hello.incarnation = 0x0102_0304_0506;
        hello.capabilities.0 = 5;
        hello.dial = 300;
        hello.host = "h:1".into();
        hello.ports = vec![("RTMP".into(), 1935)];
        hello.configuration = vec![("host".into(), "h:1".into())];
        hello.properties = vec![("type".into(), "".into()), ("b".into(), vec![0, 255].into())];
        let expected = [
            "00000041",                         // length
            "00",                               // hello
            "30313233343536373839616263646566", // node id
            "fd0605040302010000",               // incarnation
            "05",                               // capabilities
            "fb2c01",                           // dial 300
            "03683a31",                         // host
            "010452544d50fb8f07",               // one port: RTMP 1935
            "0104686f737403683a31",             // one configuration key
            "0204747970650001620200ff",         // two properties
        ];
        assert_eq!(hex(&Message::Hello(HelloWire::new(&hello)), b""), expected.concat());
        let call = Message::Call { handler: b"onChat" };
        assert_eq!(
            hex(&call, b"\x06\x05hi"),
            "0000000c".to_owned() + "01" + "066f6e43686174" + "06056869"
        );
        assert_eq!(hex(&Message::App { path: b"/game" }, b""), "0000000702052f67616d65");
        assert_eq!(hex(&Message::Ping { sent_us: 250 }, b""), "0000000203fa");
        assert_eq!(hex(&Message::Pong { sent_us: 70_000 }, b""), "0000000604fc70110100");
        assert_eq!(hex(&Message::Reject { text: b"no" }, b""), "0000000405026e6f");
        let close = Message::Close { code: 3, text: b"bye" };
        assert_eq!(hex(&close, b""), "00000006060303627965");
    }

    #[test]
    fn the_short_way_for_calls_reads_what_bincode_wrote() {
        for length in [1, 250, 251, 255] {
            let handler = vec![b'h'; length];
            let mut out = Vec::new();
            encode(&mut out, &Message::Call { handler: &handler }, b"args").unwrap();
            let frame = &out[LENGTH_BYTES..];
            assert_eq!(decode_call(frame), Some(Ok((&handler[..], &b"args"[..]))));
            let (message, used) =
                bincode::borrow_decode_from_slice::<Message<'_>, _>(frame, CONFIG).unwrap();
            assert!(matches!(message, Message::Call { handler: read } if read == handler));
            assert_eq!(&frame[used..], b"args");
        }
        assert_eq!(decode_call(b"\x03\x01"), None);
    }

    #[test]
    fn a_long_handler_name_has_a_two_byte_length() {
        let handler = [b'h'; 255];
        let text = hex(&Message::Call { handler: &handler }, b"");
        assert!(text.starts_with("0000010301fbff0068"), "{text}");
    }

    #[test]
    fn broken_frames_say_what_is_wrong() {
        let error = |frame: &[u8]| decode(frame).err().expect("a broken frame").to_string();
        assert!(error(b"").starts_with("unreadable frame header"));
        assert!(error(b"\x07").starts_with("unreadable frame header"), "a variant nobody knows");
        assert!(error(b"\x01\x05ab").starts_with("unreadable frame header"), "cut handler name");
        assert_eq!(error(b"\x01\x00args"), "a call with a handler name of 0 bytes");
        let mut long = b"\x01\xfb\x00\x01".to_vec();
        long.extend([b'h'; 256]);
        assert_eq!(error(&long), "a call with a handler name of 256 bytes");
        assert_eq!(error(b"\x03\x01xyz"), "3 bytes behind a ping frame");
    }

    #[test]
    fn a_length_that_lies_reserves_nothing() {
        // A hello whose list of ports claims 2^32 - 1, then 2^62 entries.
        for length in [&b"\xfc\xff\xff\xff\xff"[..], b"\xfd\0\0\0\0\0\0\0\x40"] {
            let frame = [&[0; 1 + 16 + 3 + 1], length].concat();
            let error = decode(&frame).err().unwrap().to_string();
            assert!(error.contains("LimitExceeded"), "{error}");
        }
    }
}
