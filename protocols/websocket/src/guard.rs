//! A look at frame headers before their payload is waited for.

use crate::close::code;
use crate::limits::{MAX_CONTROL_PAYLOAD, MAX_FRAGMENTS, MAX_MESSAGE};

/// Why input is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message, all its frames so far, announces more than [`MAX_MESSAGE`].
    #[error("a message of {announced} bytes or more; {MAX_MESSAGE} are allowed")]
    TooLong {
        /// Bytes, by the headers seen so far.
        announced: u64,
    },
    /// A message comes in more than [`MAX_FRAGMENTS`] frames.
    #[error("a message in more than {MAX_FRAGMENTS} fragments")]
    TooManyFragments,
    /// RFC 6455 §5.5.
    #[error("a control frame of {announced} bytes; {MAX_CONTROL_PAYLOAD} are allowed")]
    LongControl {
        /// Bytes, by its header.
        announced: u64,
    },
    /// RFC 6455 §5.2: no extension is negotiated that would use them.
    #[error("reserved bits are set")]
    ReservedBits,
    /// Text that is not UTF-8, or a close frame that holds none (RFC 6455 §8.1).
    #[error("text that is not UTF-8")]
    NotUtf8,
    /// Anything else that the frame decoder refuses, in its words.
    #[error("{0}")]
    Frame(String),
}

impl Violation {
    /// What the close frame says.
    pub fn code(&self) -> u16 {
        match self {
            Self::TooLong { .. } | Self::TooManyFragments => code::TOO_BIG,
            Self::LongControl { .. } | Self::ReservedBits | Self::Frame(_) => code::PROTOCOL,
            Self::NotUtf8 => code::PAYLOAD,
        }
    }
}

/// Follows the frames of a client through its bytes, without keeping any but those of an
/// unfinished header.
#[derive(Debug, Default)]
pub struct FrameGuard {
    header: [u8; LONGEST_HEADER],
    have: usize,
    /// Of the present frame's mask and payload.
    remaining: u64,
    /// Of the present message.
    message: u64,
    fragments: u32,
}

/// Two bytes and a length of 64 bits; the mask counts as payload here.
const LONGEST_HEADER: usize = 10;

impl FrameGuard {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// What is wrong, and how many of the bytes lie before the frame that is.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(), (Violation, usize)> {
        let mut at = 0;
        while at < bytes.len() {
            if self.remaining > 0 {
                let left = bytes.len() - at;
                let skipped = usize::try_from(self.remaining).map_or(left, |all| all.min(left));
                self.remaining -= skipped as u64;
                at += skipped;
                continue;
            }
            let start = at - self.have.min(at);
            self.header[self.have] = bytes[at];
            self.have += 1;
            at += 1;
            if self.have >= 2 && self.have == header_length(self.header[1]) {
                self.frame().map_err(|violation| (violation, start))?;
                self.have = 0;
            }
        }
        Ok(())
    }

    /// A header is complete.
    fn frame(&mut self) -> Result<(), Violation> {
        let [first, second, ..] = self.header;
        let length = match second & 0x7F {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => {
                let mut length = [0; 8];
                length.copy_from_slice(&self.header[2..]);
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0F);
        if opcode >= 8 {
            if length > MAX_CONTROL_PAYLOAD as u64 {
                return Err(Violation::LongControl { announced: length });
            }
        } else {
            if opcode != 0 {
                (self.message, self.fragments) = (0, 0);
            }
            self.message = self.message.saturating_add(length);
            self.fragments += 1;
            if self.message > MAX_MESSAGE as u64 {
                return Err(Violation::TooLong { announced: self.message });
            }
            if !is_final && self.fragments >= MAX_FRAGMENTS {
                return Err(Violation::TooManyFragments);
            }
        }
        self.remaining = length + if second & 0x80 != 0 { 4 } else { 0 };
        Ok(())
    }
}

fn header_length(second: u8) -> usize {
    match second & 0x7F {
        126 => 4,
        127 => LONGEST_HEADER,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame of a client with a payload of zeros.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut out = vec![first];
        match length {
            0..=125 => out.push(0x80 | length as u8),
            126..=0xFFFF => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.resize(out.len() + 4 + length, 0);
        out
    }

    /// Feeds in pieces of every size.
    fn pass(bytes: &[u8]) -> Result<(), Violation> {
        let whole = FrameGuard::default().pass(bytes).map_err(|(violation, _)| violation);
        for size in [1, 2, 3, 7, 64] {
            let mut guard = FrameGuard::default();
            let result = bytes.chunks(size).try_for_each(|part| guard.pass(part));
            assert_eq!(result.map_err(|(violation, _)| violation), whole, "pieces of {size}");
        }
        whole
    }

    #[test]
    fn frames_within_the_limits_pass_whatever_the_pieces_they_come_in() {
        let lengths = [0, 1, 125, 126, 0xFFFF, 0x1_0000, MAX_MESSAGE];
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(0x81, *length)).collect();
        assert_eq!(pass(&bytes), Ok(()));
    }

    #[test]
    fn a_length_that_lies_is_refused_by_its_header_alone() {
        for length in [MAX_MESSAGE as u64 + 1, 1 << 40, 1 << 63, u64::MAX] {
            let mut header = vec![0x82, 0xFF];
            header.extend_from_slice(&length.to_be_bytes());
            let violation = pass(&header).unwrap_err();
            assert_eq!(violation, Violation::TooLong { announced: length });
            assert_eq!(violation.code(), 1009);
        }
    }

    #[test]
    fn fragments_count_together_and_control_frames_between_them_do_not() {
        let half = MAX_MESSAGE / 2;
        let mut bytes = frame(0x01, half);
        bytes.extend(frame(0x89, 125));
        bytes.extend(frame(0x80, half));
        bytes.extend(frame(0x81, MAX_MESSAGE));
        assert_eq!(pass(&bytes), Ok(()));
        let mut bytes = frame(0x01, half);
        bytes.extend(frame(0x89, 125));
        bytes.extend(frame(0x80, half + 1));
        let announced = MAX_MESSAGE as u64 + 1;
        assert_eq!(pass(&bytes), Err(Violation::TooLong { announced }));
    }

    #[test]
    fn fragments_without_end_are_refused() {
        let mut bytes = frame(0x01, 0);
        for _ in 2..MAX_FRAGMENTS {
            bytes.extend(frame(0x00, 0));
        }
        assert_eq!(pass(&bytes), Ok(()));
        bytes.extend(frame(0x00, 0));
        assert_eq!(pass(&bytes), Err(Violation::TooManyFragments));
    }

    #[test]
    fn long_control_frames_and_reserved_bits_break_the_protocol() {
        let violation = pass(&frame(0x89, 126)).unwrap_err();
        assert_eq!(
            (violation.code(), &violation),
            (1002, &Violation::LongControl { announced: 126 })
        );
        assert_eq!(pass(&frame(0xC1, 1)), Err(Violation::ReservedBits));
        assert_eq!(Violation::NotUtf8.code(), 1007);
    }

    #[test]
    fn what_lies_before_the_bad_frame_is_still_good() {
        let mut bytes = frame(0x81, 5);
        let good = bytes.len();
        bytes.extend_from_slice(&[0x81, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0]);
        let (_, before) = FrameGuard::default().pass(&bytes).unwrap_err();
        assert_eq!(before, good);
    }
}
