//! `servers.targets`: the nodes to dial (script API spec CFG-08).

/// One entry of `servers.targets`: `host:port[?key=value&…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name or IP address, an IPv6 address without its brackets. Resolved when dialled.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
    /// Decoded properties in their order; a script reads them as `server.<key>` on both ends.
    /// Bytes, for `%XX` may stand for any.
    pub properties: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Splits the list at `;`: the trimmed entries that are not empty.
pub(super) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(';').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Reads one entry of the list.
///
/// # Errors
/// Says in words what is missing.
pub fn parse_target(entry: &str) -> Result<Target, String> {
    let (address, query) = entry.split_once('?').unwrap_or((entry, ""));
    let (host, port) = split_host_port(address.trim())
        .ok_or_else(|| format!("target {entry:?} is not host:port[?key=value&...]"))?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 && digits => port,
        _ => return Err(format!("target {entry:?} needs a port from 1 to 65535")),
    };
    let properties = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect();
    Ok(Target { host: host.to_owned(), port, properties })
}

/// `host:port` or `[ipv6]:port` to its two texts.
pub(super) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once("]:")?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => text.rsplit_once(':').filter(|(host, _)| !host.contains(':'))?,
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || "/?#@[]".contains(c);
    (!host.is_empty() && !host.contains(bad)).then_some((host, port))
}

/// Query decoding: `%XX` is a byte, `+` a blank; a broken `%` stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16, properties: &[(&[u8], &[u8])]) -> Target {
        let properties = properties.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        Target { host: host.into(), port, properties }
    }

    #[test]
    fn the_list_is_split_at_semicolons_and_trimmed() {
        let list = " a:1 ;; b:2?x=1;";
        assert_eq!(entries(list).collect::<Vec<_>>(), ["a:1", "b:2?x=1"]);
    }

    #[test]
    fn an_entry_is_an_address_with_decoded_properties() {
        for (entry, expected) in [
            ("192.0.2.2:1936?type=master", target("192.0.2.2", 1936, &[(b"type", b"master")])),
            ("node.example:1", target("node.example", 1, &[])),
            ("[2001:db8::1]:1936", target("2001:db8::1", 1936, &[])),
            ("a:1?", target("a", 1, &[])),
            ("a:1?x", target("a", 1, &[(b"x", b"")])),
            ("a:1?x=1&&y=a+b%20c", target("a", 1, &[(b"x", b"1"), (b"y", b"a b c")])),
            (
                "a:1?n=%00%ff&p=100%&q=%4g",
                target("a", 1, &[(b"n", b"\0\xff"), (b"p", b"100%"), (b"q", b"%4g")]),
            ),
            ("a:1?k=v=w", target("a", 1, &[(b"k", b"v=w")])),
        ] {
            assert_eq!(parse_target(entry), Ok(expected), "{entry:?}");
        }
    }

    #[test]
    fn an_entry_without_host_or_port_is_refused() {
        for entry in [
            "a",
            ":1",
            "a:0",
            "a:65536",
            "a:x",
            "a:",
            "a:+1",
            "::1:1936",
            "[a]:1",
            "a b:1",
            "rtmp://a:1",
            "?x=1",
        ] {
            let text = parse_target(entry).expect_err(entry);
            assert!(text.contains(entry), "{text}");
        }
    }
}
