//! The plain packet: flags, timestamps, chunks (RFC 7016 §2.2.4).

use crate::reader::Reader;

const TIME_CRITICAL: u8 = 0x80;
const TIME_CRITICAL_REVERSE: u8 = 0x40;
const TIMESTAMP: u8 = 0x08;
const TIMESTAMP_ECHO: u8 = 0x04;
const MODE: u8 = 0x03;

/// Milliseconds of one tick of packet timestamps.
pub(crate) const TICK_MS: u64 = 4;

/// Who may have sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Initiator = 1,
    Responder = 2,
    Startup = 3,
}

/// The fields before the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) mode: Mode,
    /// The packet carries real-time data.
    pub(crate) time_critical: bool,
    /// The sender receives real-time data on another session.
    pub(crate) time_critical_reverse: bool,
    pub(crate) timestamp: Option<u16>,
    pub(crate) timestamp_echo: Option<u16>,
}

impl Header {
    /// Reads the header and leaves the chunks. `None` when it is cut off or its mode is 0.
    pub(crate) fn decode(packet: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(packet);
        let flags = reader.u8()?;
        let mode = match flags & MODE {
            1 => Mode::Initiator,
            2 => Mode::Responder,
            3 => Mode::Startup,
            _ => return None,
        };
        let mut stamp = |flag| match flags & flag {
            0 => Some(None),
            _ => reader.u16().map(Some),
        };
        let header = Self {
            mode,
            time_critical: flags & TIME_CRITICAL != 0,
            time_critical_reverse: flags & TIME_CRITICAL_REVERSE != 0,
            timestamp: stamp(TIMESTAMP)?,
            timestamp_echo: stamp(TIMESTAMP_ECHO)?,
        };
        Some((header, reader.rest()))
    }

    /// Appends the header.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            self.mode as u8
                | flag(self.time_critical, TIME_CRITICAL)
                | flag(self.time_critical_reverse, TIME_CRITICAL_REVERSE)
                | flag(self.timestamp.is_some(), TIMESTAMP)
                | flag(self.timestamp_echo.is_some(), TIMESTAMP_ECHO),
        );
        for stamp in [self.timestamp, self.timestamp_echo].into_iter().flatten() {
            out.extend_from_slice(&stamp.to_be_bytes());
        }
    }

    /// Sets the time-critical flag of an encoded header, for it is known only after the chunks.
    pub(crate) fn mark_time_critical(flags: &mut u8) {
        *flags |= TIME_CRITICAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    fn header(mode: Mode, timestamp: Option<u16>, timestamp_echo: Option<u16>) -> Header {
        Header {
            mode,
            time_critical: false,
            time_critical_reverse: false,
            timestamp,
            timestamp_echo,
        }
    }

    #[test]
    fn headers_have_their_typical_bytes() {
        let cases = [
            ("0b1234", header(Mode::Startup, Some(0x1234), None)),
            (
                "8d01020a0b",
                Header {
                    time_critical: true,
                    ..header(Mode::Initiator, Some(0x0102), Some(0x0a0b))
                },
            ),
            (
                "4ebbfcbbfb",
                Header {
                    time_critical_reverse: true,
                    ..header(Mode::Responder, Some(0xbbfc), Some(0xbbfb))
                },
            ),
            ("02", header(Mode::Responder, None, None)),
            ("060007", header(Mode::Responder, None, Some(7))),
        ];
        for (bytes, expected) in cases {
            let mut bytes = hex(bytes);
            let mut out = Vec::new();
            expected.encode(&mut out);
            assert_eq!(out, bytes);
            bytes.extend_from_slice(&[0x4c, 0, 0]);
            let (read, chunks) = Header::decode(&bytes).expect("header");
            assert_eq!((read, chunks), (expected, &[0x4c, 0, 0][..]));
        }
    }

    #[test]
    fn mode_zero_and_cut_off_headers_are_refused() {
        for bytes in ["", "08ffff", "09", "0901", "0d010203"] {
            assert_eq!(Header::decode(&hex(bytes)), None, "{bytes}");
        }
    }

    #[test]
    fn a_header_can_be_marked_after_the_chunks_are_known() {
        let mut out = Vec::new();
        header(Mode::Responder, Some(1), None).encode(&mut out);
        Header::mark_time_critical(&mut out[0]);
        assert!(Header::decode(&out).expect("header").0.time_critical);
    }
}
