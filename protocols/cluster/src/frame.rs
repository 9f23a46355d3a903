use bytes::{Bytes, BytesMut};

use crate::limits::{LENGTH_BYTES, MAX_FRAME, MAX_HANDLER};
use crate::message::{Message, encode};

/// One `server:send` of the peer. Both fields share the memory of what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Name of the function to call, 1 to 255 bytes.
    pub handler: Bytes,
    /// Arguments: AMF3 values one after another, not looked at here.
    pub args: Bytes,
}

/// Why a call cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Empty, or `.`, which is reserved (CLU-20).
    #[error("a handler name must not be empty or \".\"")]
    HandlerName,
    /// Longer than [`MAX_HANDLER`].
    #[error("a handler name of {0} bytes, at most {MAX_HANDLER}")]
    HandlerTooLong(usize),
    /// The frame would be longer than [`MAX_FRAME`].
    #[error("arguments of {0} bytes, a message has at most {MAX_FRAME}")]
    TooLarge(usize),
}

/// Appends one call as a complete frame, ready for any number of links
/// ([`Link::send_frames`](crate::Link::send_frames)); `args` are AMF3 values.
///
/// # Errors
/// Nothing is appended when the name or the size is not allowed.
#[inline]
pub fn encode_call(out: &mut Vec<u8>, handler: &[u8], args: &[u8]) -> Result<(), EncodeError> {
    if handler.is_empty() || handler == b"." {
        return Err(EncodeError::HandlerName);
    }
    if handler.len() > MAX_HANDLER {
        return Err(EncodeError::HandlerTooLong(handler.len()));
    }
    // Length, variant, three bytes of name length.
    out.reserve(LENGTH_BYTES + 4 + handler.len() + args.len().min(MAX_FRAME));
    encode(out, &Message::Call { handler }, args).ok_or(EncodeError::TooLarge(args.len()))
}

/// A length that no frame may have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge {
    pub(crate) claimed: usize,
    pub(crate) limit: usize,
}

/// Bytes of the first frame in `buffer` with its length, once it is complete.
#[inline]
pub(crate) fn complete(buffer: &[u8], limit: usize) -> Result<Option<usize>, TooLarge> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let claimed = u32::from_be_bytes(*length) as usize;
    if claimed > limit {
        return Err(TooLarge { claimed, limit });
    }
    let whole = LENGTH_BYTES + claimed;
    Ok((buffer.len() >= whole).then_some(whole))
}

/// Memory that may stay behind in a read buffer after a huge frame.
const KEPT_CAPACITY: usize = 1 << 20;

/// Takes the first `whole` bytes off `buffer`, without copying them.
pub(crate) fn take(buffer: &mut BytesMut, whole: usize) -> Bytes {
    let taken = buffer.split_to(whole).freeze();
    if whole > KEPT_CAPACITY && buffer.len() <= KEPT_CAPACITY {
        // The rest shares one allocation with the huge frame and would get it all back later.
        *buffer = BytesMut::from(&buffer[..]);
    }
    taken
}

/// The next frame without its length, and what follows; `frames` holds whole frames only.
#[inline]
pub(crate) fn split_first(frames: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = frames.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::decode;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn calls_are_read_as_they_were_written(
            calls in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 1..=MAX_HANDLER), any::<Vec<u8>>()),
                0..10,
            ),
        ) {
            let mut out = Vec::new();
            let mut expected = Vec::new();
            for (handler, args) in calls {
                if encode_call(&mut out, &handler, &args).is_ok() {
                    expected.push((handler, args));
                }
            }
            let mut frames = &out[..];
            let mut read = Vec::new();
            while let Some((frame, rest)) = split_first(frames) {
                frames = rest;
                match decode(frame) {
                    Ok((Message::Call { handler }, args)) => {
                        read.push((handler.to_vec(), args.to_vec()));
                    }
                    _ => prop_assert!(false, "not a call"),
                }
            }
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_length_is_refused_before_the_frame_is_there() {
        assert_eq!(complete(b"\x00\x00\x00", MAX_FRAME), Ok(None));
        assert_eq!(
            complete(b"\xff\xff\xff\xff", MAX_FRAME),
            Err(TooLarge { claimed: u32::MAX as usize, limit: MAX_FRAME })
        );
        assert_eq!(complete(b"\x04\x00\x00\x00", MAX_FRAME), Ok(None));
        assert_eq!(complete(b"\x04\x00\x00\x01", MAX_FRAME).unwrap_err().claimed, MAX_FRAME + 1);
        assert_eq!(complete(b"\x00\x00\x00\x02ab next", MAX_FRAME), Ok(Some(6)));
        assert_eq!(complete(b"\x00\x00\x00\x00", MAX_FRAME), Ok(Some(4)));
    }

    #[test]
    fn names_and_sizes_that_are_not_allowed_append_nothing() {
        let mut out = b"before".to_vec();
        assert_eq!(encode_call(&mut out, b"", b""), Err(EncodeError::HandlerName));
        assert_eq!(encode_call(&mut out, b".", b""), Err(EncodeError::HandlerName));
        assert_eq!(encode_call(&mut out, &[b'x'; 256], b""), Err(EncodeError::HandlerTooLong(256)));
        let huge = vec![0; MAX_FRAME];
        assert_eq!(encode_call(&mut out, b"f", &huge), Err(EncodeError::TooLarge(MAX_FRAME)));
        assert_eq!(out, b"before");
        // Variant, name length, name: three bytes of header.
        encode_call(&mut out, b"f", &huge[3..]).unwrap();
        assert_eq!(complete(&out[6..], MAX_FRAME), Ok(Some(LENGTH_BYTES + MAX_FRAME)));
    }

    #[test]
    fn a_huge_frame_does_not_keep_its_memory() {
        let mut buffer = BytesMut::from(&vec![7; KEPT_CAPACITY + 10][..]);
        let frame = take(&mut buffer, KEPT_CAPACITY + 1);
        drop(frame);
        buffer.reserve(100);
        assert_eq!(buffer.len(), 9);
        assert!(buffer.capacity() < KEPT_CAPACITY, "{}", buffer.capacity());
    }
}
