//! Messages of the Flash profile (RFC 7425 §5.3.2): type, timestamp and body, one for each message
//! of a flow; and user control messages.

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind};

/// Message types (RFC 7425 §5.3.3, RTMP 1.0 §5.4 and §7.1).
pub(crate) mod kind {
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA_AMF0: u8 = 18;
    pub(crate) const COMMAND_AMF0: u8 = 20;
}

/// User control events (RTMP 1.0 §7.1.7, RFC 7425 §5.3.4).
pub(crate) mod event {
    pub(crate) const STREAM_BEGIN: u16 = 0;
    pub(crate) const STREAM_EOF: u16 = 1;
    pub(crate) const SET_BUFFER_LENGTH: u16 = 3;
    pub(crate) const PING_REQUEST: u16 = 6;
    pub(crate) const PING_RESPONSE: u16 = 7;
    pub(crate) const FLOW_SYNC: u16 = 34;
    pub(crate) const SET_KEEPALIVE: u16 = 41;
}

/// Bytes before the body.
pub(crate) const HEADER: usize = 5;

/// The bytes before a body.
pub(crate) fn header(message_kind: u8, timestamp_ms: u32) -> [u8; HEADER] {
    let [a, b, c, d] = timestamp_ms.to_be_bytes();
    [message_kind, a, b, c, d]
}

/// Type, timestamp and body; `None` when the header is cut off.
pub(crate) fn decode(message: &Bytes) -> Option<(u8, u32, Bytes)> {
    let (&[message_kind, a, b, c, d], _) = message.split_first_chunk::<HEADER>()?;
    Some((message_kind, u32::from_be_bytes([a, b, c, d]), message.slice(HEADER..)))
}

/// Body of a user control message.
pub(crate) fn user_control(event: u16, values: &[u32]) -> Bytes {
    let mut body = Vec::with_capacity(2 + 4 * values.len());
    body.extend_from_slice(&event.to_be_bytes());
    for value in values {
        body.extend_from_slice(&value.to_be_bytes());
    }
    body.into()
}

/// Event and up to two values of a user control message; `None` without an event. Values that are
/// missing are `None`.
pub(crate) fn read_user_control(body: &[u8]) -> Option<(u16, [Option<u32>; 2])> {
    let (&event, mut rest) = body.split_first_chunk::<2>()?;
    let mut value = || {
        let (&value, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        Some(u32::from_be_bytes(value))
    };
    Some((u16::from_be_bytes(event), [value(), value()]))
}

/// The type of a frame's message.
pub(crate) fn kind_of(frame: &MediaFrame) -> u8 {
    match frame.kind {
        MediaKind::Audio => kind::AUDIO,
        MediaKind::Video => kind::VIDEO,
        MediaKind::Data => kind::DATA_AMF0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vector V15: set keepalive, StreamBegin, flow synchronisation.
    #[test]
    fn user_control_messages_have_the_bytes_of_the_vectors() {
        let whole = |event, values: &[u32]| {
            [&header(kind::USER_CONTROL, 0)[..], &user_control(event, values)].concat()
        };
        assert_eq!(
            whole(event::SET_KEEPALIVE, &[15_000, 10_000]),
            [4, 0, 0, 0, 0, 0, 0x29, 0, 0, 0x3a, 0x98, 0, 0, 0x27, 0x10]
        );
        assert_eq!(whole(event::STREAM_BEGIN, &[1]), [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let sync = Bytes::from(whole(event::FLOW_SYNC, &[0, 2]));
        let (message_kind, time, body) = decode(&sync).expect("whole");
        assert_eq!((message_kind, time), (kind::USER_CONTROL, 0));
        assert_eq!(read_user_control(&body), Some((event::FLOW_SYNC, [Some(0), Some(2)])));
    }

    #[test]
    fn cut_off_messages_and_values_are_told_apart() {
        for length in 0..HEADER {
            assert_eq!(decode(&Bytes::from(vec![4; length])), None);
        }
        assert_eq!(decode(&Bytes::from(vec![9; HEADER])).map(|m| m.2.len()), Some(0));
        assert_eq!(read_user_control(&[0]), None);
        assert_eq!(read_user_control(&[0, 3, 0, 0, 0, 1, 9]), Some((3, [Some(1), None])));
    }
}
