//! What `IPAddress` and `SocketAddress` ask of Rust (MON-27, MON-28, IPA-*).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mlua::LuaString;

use crate::core::Core;

/// Longest host name in its text form (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

impl Core {
    pub(crate) fn add_address_natives(&self) -> mlua::Result<()> {
        // Results: the address as text, or nil and what is wrong.
        self.native("resolve", |core, _, (text, dns): (LuaString, bool)| {
            let text = text.to_string_lossy();
            if let Some(ip) = parse(&text) {
                return Ok((Some(ip.to_string()), None));
            }
            if !dns || text.is_empty() || text.len() > MAX_HOST {
                return Ok((None, Some(format!("'{}' is no IP address", shown(&text)))));
            }
            Ok(match core.host.resolve(&text) {
                Ok(ip) => (Some(ip.to_string()), None),
                Err(problem) => (None, Some(format!("'{text}': {problem}"))),
            })
        })?;
        self.native("ip_flag", |core, _, (text, name): (LuaString, LuaString)| {
            let Some(ip) = parse(&text.to_string_lossy()) else { return Ok(false) };
            let name = name.as_bytes();
            Ok(if &*name == b"isLocal" { core.host.is_local(ip) } else { flag(ip, &name) })
        })?;
        // Below, equal, above: -1, 0, 1.
        self.native("compare_addresses", |_, _, (a, b): (LuaString, LuaString)| {
            let key = |text: &LuaString| {
                let text = text.to_string_lossy();
                text.parse::<SocketAddr>()
                    .map(|socket| (socket.ip(), socket.port()))
                    .ok()
                    .or_else(|| Some((parse(&text)?, 0)))
            };
            Ok(key(&a).cmp(&key(&b)) as i8)
        })
    }
}

fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_HOST).collect()
}

/// IPA-02, by the address's own bits: RFC 5735, RFC 5771, RFC 2365, RFC 4291, RFC 4193.
fn flag(ip: IpAddr, name: &[u8]) -> bool {
    match name {
        b"isWildcard" => ip.is_unspecified(),
        b"isLoopback" => ip.is_loopback(),
        b"isMulticast" => ip.is_multicast(),
        b"isUnicast" => {
            !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
        }
        b"isIPv6" => ip.is_ipv6(),
        _ => match ip {
            IpAddr::V4(ip) => v4_flag(ip, name),
            IpAddr::V6(ip) => v6_flag(ip, name),
        },
    }
}

fn v4_flag(ip: Ipv4Addr, name: &[u8]) -> bool {
    let [a, b, c, d] = ip.octets();
    match name {
        b"isBroadcast" => ip.is_broadcast(),
        // Of a network whose mask is not known: the last byte is all ones.
        b"isAnyBroadcast" => d == 255 && !ip.is_multicast(),
        b"isLinkLocal" => ip.is_link_local(),
        b"isSiteLocal" => ip.is_private(),
        b"isIPv4Compatible" | b"isIPv4Mapped" => true,
        b"isWellKnownMC" | b"isLinkLocalMC" => [a, b, c] == [224, 0, 0],
        b"isSiteLocalMC" => [a, b] == [239, 255],
        b"isOrgLocalMC" => a == 239 && (192..=195).contains(&b),
        b"isGlobalMC" => (224..=238).contains(&a) && [a, b, c] != [224, 0, 0],
        _ => false,
    }
}

fn v6_flag(ip: Ipv6Addr, name: &[u8]) -> bool {
    let [first, ..] = ip.segments();
    let scope = (first >> 8 == 0xFF).then_some(first & 0xF);
    match name {
        b"isLinkLocal" => first & 0xFFC0 == 0xFE80,
        b"isSiteLocal" => first & 0xFFC0 == 0xFEC0 || first & 0xFE00 == 0xFC00,
        b"isIPv4Compatible" => {
            ip.segments()[..6] == [0; 6] && !ip.is_unspecified() && !ip.is_loopback()
        }
        b"isIPv4Mapped" => ip.to_ipv4_mapped().is_some(),
        b"isWellKnownMC" => first & 0xFFF0 == 0xFF00,
        b"isNodeLocalMC" => scope == Some(0x1),
        b"isLinkLocalMC" => scope == Some(0x2),
        b"isSiteLocalMC" => scope == Some(0x5),
        b"isOrgLocalMC" => scope == Some(0x8),
        b"isGlobalMC" => scope == Some(0xE),
        // IPv6 has no broadcast.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::flag;

    #[test]
    fn ipa_02_flags_follow_the_ranges() {
        let flags = |text: &str| -> Vec<&str> {
            let all = [
                "isWildcard",
                "isBroadcast",
                "isAnyBroadcast",
                "isLoopback",
                "isMulticast",
                "isUnicast",
                "isLinkLocal",
                "isSiteLocal",
                "isWellKnownMC",
                "isNodeLocalMC",
                "isLinkLocalMC",
                "isSiteLocalMC",
                "isOrgLocalMC",
                "isGlobalMC",
                "isIPv6",
            ];
            let ip = text.parse().unwrap();
            all.into_iter().filter(|name| flag(ip, name.as_bytes())).collect()
        };
        assert_eq!(flags("0.0.0.0"), ["isWildcard"]);
        assert_eq!(flags("255.255.255.255"), ["isBroadcast", "isAnyBroadcast"]);
        assert_eq!(flags("192.0.2.255"), ["isAnyBroadcast", "isUnicast"]);
        assert_eq!(flags("127.0.0.1"), ["isLoopback", "isUnicast"]);
        assert_eq!(flags("169.254.1.1"), ["isUnicast", "isLinkLocal"]);
        for site in ["10.0.0.1", "172.16.0.1", "172.31.9.9", "192.168.1.1"] {
            assert_eq!(flags(site), ["isUnicast", "isSiteLocal"], "{site}");
        }
        assert_eq!(flags("172.32.0.1"), ["isUnicast"]);
        assert_eq!(flags("224.0.0.5"), ["isMulticast", "isWellKnownMC", "isLinkLocalMC"]);
        assert_eq!(flags("224.0.1.1"), ["isMulticast", "isGlobalMC"]);
        assert_eq!(flags("239.255.0.1"), ["isMulticast", "isSiteLocalMC"]);
        assert_eq!(flags("239.192.0.1"), ["isMulticast", "isOrgLocalMC"]);
        assert_eq!(flags("::"), ["isWildcard", "isIPv6"]);
        assert_eq!(flags("::1"), ["isLoopback", "isUnicast", "isIPv6"]);
        assert_eq!(flags("fe80::1"), ["isUnicast", "isLinkLocal", "isIPv6"]);
        assert_eq!(flags("fd00::1"), ["isUnicast", "isSiteLocal", "isIPv6"]);
        assert_eq!(flags("ff02::1"), ["isMulticast", "isWellKnownMC", "isLinkLocalMC", "isIPv6"]);
        assert_eq!(flags("ff1e::1"), ["isMulticast", "isGlobalMC", "isIPv6"]);
        let mapped = |text: &str| flag(text.parse().unwrap(), b"isIPv4Mapped");
        assert!(mapped("::ffff:1.2.3.4") && mapped("1.2.3.4") && !mapped("::1.2.3.4"));
        let compatible = |text: &str| flag(text.parse().unwrap(), b"isIPv4Compatible");
        assert!(compatible("::1.2.3.4") && compatible("1.2.3.4") && !compatible("::1"));
    }
}
