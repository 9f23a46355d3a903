use std::fmt;
use std::net::Ipv6Addr;

/// Longest host name (RFC 1035 §2.3.4: 255 octets on the wire, 253 characters as text).
const MAX_HOST: usize = 253;

/// A host and its port as an operator writes them: `host:port`, `10.0.0.2:1936`, `[::1]:1936`.
///
/// The host is a name or an address, not looked up yet; an IPv6 address is kept without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
}

/// Why a text is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing before the port.
    #[error("the host is missing: write host:port")]
    NoHost,
    /// No `:port`, and no default was allowed.
    #[error("the port is missing: write host:port")]
    NoPort,
    /// The port is no number from 1 to 65535.
    #[error("the port {0:?} is not a number from 1 to 65535")]
    BadPort(String),
    /// Several colons outside brackets.
    #[error("an IPv6 address needs brackets: write [address]:port")]
    Brackets,
    /// Something else than an IPv6 address in brackets, or text between `]` and `:`.
    #[error("no IPv6 address in the brackets: write [address]:port")]
    BadIpv6,
    /// A character that no host name has, or more than 253 of them.
    #[error("{0:?} is not a host name")]
    BadHost(String),
}

impl HostPort {
    /// Reads `host:port`; without `:port` the `default` port is taken, if there is one.
    ///
    /// # Errors
    /// Says what is missing or wrong; see [`AddressError`].
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, AddressError> {
        let text = text.trim();
        let (host, port) = match text.strip_prefix('[') {
            Some(inner) => {
                let (address, rest) = inner.split_once(']').ok_or(AddressError::BadIpv6)?;
                let address: Ipv6Addr = address.parse().map_err(|_| AddressError::BadIpv6)?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if rest.is_empty() => None,
                    None => return Err(AddressError::BadIpv6),
                };
                (address.to_string(), port)
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((_, port)) if port.contains(':') => return Err(AddressError::Brackets),
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                (check_name(host)?, port)
            }
        };
        let port = match port {
            Some(port) => parse_port(port)?,
            None => default.ok_or(AddressError::NoPort)?,
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn check_name(host: &str) -> Result<String, AddressError> {
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    // Letters beyond ASCII are left to the resolver (IDNA); what a URL or a list would end with,
    // blanks and control characters are mistakes of the writer.
    let is_wrong = |c: char| {
        c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')
            || c.is_control()
            || c.is_whitespace()
    };
    if host.len() > MAX_HOST || host.chars().any(is_wrong) {
        return Err(AddressError::BadHost(host.chars().take(MAX_HOST).collect()));
    }
    Ok(host.to_owned())
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let bad = || AddressError::BadPort(text.chars().take(32).collect());
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(bad()),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        HostPort::parse(text, None).map(|a| format!("{} {a}", a.host)).map_err(|e| e.to_string())
    }

    #[test]
    fn names_and_addresses_are_read() {
        assert_eq!(
            parse(" node-b.example.org:1936 ").unwrap(),
            "node-b.example.org node-b.example.org:1936"
        );
        assert_eq!(parse("192.168.0.2:1").unwrap(), "192.168.0.2 192.168.0.2:1");
        assert_eq!(parse("[::1]:65535").unwrap(), "::1 [::1]:65535");
        assert_eq!(HostPort::parse("www.host.com", Some(1935)).unwrap().port, 1935);
        assert_eq!(HostPort::parse("[2001:db8::7]", Some(1935)).unwrap().host, "2001:db8::7");
    }

    #[test]
    fn each_mistake_says_what_to_write() {
        for (text, message) in [
            ("", "the host is missing: write host:port"),
            (":1936", "the host is missing: write host:port"),
            ("hostB", "the port is missing: write host:port"),
            ("[::1]", "the port is missing: write host:port"),
            ("hostB:", "the port \"\" is not a number from 1 to 65535"),
            ("hostB:0", "the port \"0\" is not a number from 1 to 65535"),
            ("hostB:65536", "the port \"65536\" is not a number from 1 to 65535"),
            ("hostB:+7", "the port \"+7\" is not a number from 1 to 65535"),
            ("hostB:19 36", "the port \"19 36\" is not a number from 1 to 65535"),
            ("::1:1936", "an IPv6 address needs brackets: write [address]:port"),
            ("[hostB]:1936", "no IPv6 address in the brackets: write [address]:port"),
            ("[::1]1936", "no IPv6 address in the brackets: write [address]:port"),
            ("[::1:1936", "no IPv6 address in the brackets: write [address]:port"),
            ("host b:1936", "\"host b\" is not a host name"),
            ("user@host:1936", "\"user@host\" is not a host name"),
        ] {
            assert_eq!(parse(text).unwrap_err(), message, "{text}");
        }
    }
}
