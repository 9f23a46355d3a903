//! Why a connection ends, and the number in its close frame (RFC 6455 §7.4).

use std::fmt;

/// Status codes that this side sends.
pub mod code {
    /// The purpose is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The node stops, or the client was silent for too long.
    pub const GOING_AWAY: u16 = 1001;
    /// The client broke the protocol, or a call failed (WSK-02).
    pub const PROTOCOL: u16 = 1002;
    /// A text is no UTF-8, or a payload is not what its name promises (WSK-02).
    pub const PAYLOAD: u16 = 1007;
    /// The client does not read what it is sent.
    pub const POLICY: u16 = 1008;
    /// A message is too large.
    pub const TOO_BIG: u16 = 1009;
    /// This side failed.
    pub const INTERNAL: u16 = 1011;
}

/// The status code for what a script gave to `writer:close` (WRI-07): 0 is 1000, codes that may
/// be sent (RFC 6455 §7.4.1, §7.4.2) stay as they are. Everything else is a number of another
/// protocol, such as RTMP's 1 and 2, and means that the server goes: 1001.
pub fn close_code(asked: u32) -> u16 {
    match asked {
        0 => code::NORMAL,
        1000..=1003 | 1007..=1014 | 3000..=4999 => asked as u16,
        _ => code::GOING_AWAY,
    }
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent a close frame, with this code or without any.
    ByClient(Option<u16>),
    /// This side sent one.
    ByServer {
        /// Its code.
        code: u16,
        /// Why, in words.
        text: String,
    },
}

impl CloseReason {
    /// Whether the client did what it must not.
    pub fn is_protocol_error(&self) -> bool {
        matches!(self, Self::ByServer { code: code::PAYLOAD | code::TOO_BIG, .. })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByClient(Some(code)) => write!(f, "closed by the client with {code}"),
            Self::ByClient(None) => f.write_str("closed by the client"),
            Self::ByServer { code, text } => write!(f, "{text} (closed with {code})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::close_code;

    #[test]
    fn wri_07_codes_of_scripts_become_codes_that_may_be_sent() {
        for (asked, sent) in [
            (0, 1000),
            (1, 1001),
            (2, 1001),
            (1000, 1000),
            (1003, 1003),
            (1004, 1001),
            (1005, 1001),
            (1006, 1001),
            (1014, 1014),
            (1015, 1001),
            (2999, 1001),
            (3000, 3000),
            (4999, 4999),
            (5000, 1001),
            (u32::MAX, 1001),
        ] {
            assert_eq!(close_code(asked), sent, "{asked}");
        }
    }
}
