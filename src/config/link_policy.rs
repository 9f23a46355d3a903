//! May the port for links between nodes be opened?

use std::net::SocketAddr;

/// The answer for one configuration. Whoever reaches an open link port calls functions of the
/// scripts and injects media, so a port that is not on the loopback needs `servers.secret`, or an
/// explicit `servers.insecure = true` (a network that is closed by other means).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPolicy {
    /// No link port is configured.
    Off,
    /// The port listens on a loopback address; links are plain unless there is a secret.
    Loopback,
    /// Links are authenticated and encrypted.
    Secret,
    /// Plain links on an address that others reach, by the operator's own word: warn at every
    /// start.
    Insecure,
    /// Plain links on an address that others reach: do not open the port.
    Refused,
}

impl LinkPolicy {
    /// Decides from the address that would be bound (`None`: off), whether a secret is set, and
    /// `servers.insecure`.
    pub fn of(bind: Option<SocketAddr>, has_secret: bool, insecure: bool) -> Self {
        match bind {
            None => Self::Off,
            Some(_) if has_secret => Self::Secret,
            Some(address) if address.ip().to_canonical().is_loopback() => Self::Loopback,
            Some(_) if insecure => Self::Insecure,
            Some(_) => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_secret_or_an_explicit_word_open_the_port() {
        use LinkPolicy::{Insecure, Loopback, Off, Refused, Secret};
        for (bind, secret, insecure, expected) in [
            (None, false, false, Off),
            (None, true, true, Off),
            (Some("127.0.0.1:1936"), false, false, Loopback),
            (Some("127.9.9.9:1936"), false, false, Loopback),
            (Some("[::1]:1936"), false, false, Loopback),
            (Some("[::ffff:127.0.0.1]:1936"), false, false, Loopback),
            (Some("127.0.0.1:1936"), true, false, Secret),
            (Some("0.0.0.0:1936"), false, false, Refused),
            (Some("[::]:1936"), false, false, Refused),
            (Some("192.0.2.1:1936"), false, false, Refused),
            (Some("192.0.2.1:1936"), false, true, Insecure),
            (Some("192.0.2.1:1936"), true, false, Secret),
            (Some("192.0.2.1:1936"), true, true, Secret),
        ] {
            let bind = bind.map(|text| text.parse().expect("an address"));
            assert_eq!(LinkPolicy::of(bind, secret, insecure), expected, "{bind:?}");
        }
    }
}
