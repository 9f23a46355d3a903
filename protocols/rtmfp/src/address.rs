//! Addresses as they travel in chunks and cookies (RFC 7016 §2.1.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::reader::Reader;

/// Bit of the first byte that announces 16 address bytes.
const IPV6: u8 = 0x80;
/// Bits of the first byte that hold the origin.
const ORIGIN: u8 = 0x03;

/// Where the sender of an address knows it from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Not told. Never sent by this crate's users: librtmfp takes it in a Redirect as "the peer is
    /// gone" (quirk Q12).
    Unknown = 0,
    /// Reported by the endpoint as the address of one of its interfaces.
    Reported = 1,
    /// Observed as the source of the endpoint's packets (reflexive).
    Observed = 2,
    /// A relay, a proxy, an introducer, or another server.
    Relay = 3,
}

/// An IP address, a port and where they are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// IP address and port; IPv4 addresses are never in their IPv6-mapped form.
    pub socket: SocketAddr,
    /// Where the address is known from.
    pub origin: Origin,
}

impl Address {
    /// An address with its origin; an IPv6-mapped IPv4 address is unwrapped.
    pub fn new(socket: SocketAddr, origin: Origin) -> Self {
        Self { socket: canonical(socket), origin }
    }

    /// Reads one address: 7 bytes for IPv4, 19 for IPv6. Reserved bits are ignored.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let kind = reader.u8()?;
        let ip = if kind & IPV6 != 0 {
            IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?))
        };
        let port = reader.u16()?;
        let origin = match kind & ORIGIN {
            0 => Origin::Unknown,
            1 => Origin::Reported,
            2 => Origin::Observed,
            _ => Origin::Relay,
        };
        Some(Self::new(SocketAddr::new(ip, port), origin))
    }

    /// Appends the address: 7 or 19 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.socket.ip() {
            IpAddr::V4(ip) => {
                out.push(self.origin as u8);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(IPV6 | self.origin as u8);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.socket.port().to_be_bytes());
    }
}

/// The address without IPv6 mapping, flow label and scope, so that one host has one form.
pub(crate) fn canonical(socket: SocketAddr) -> SocketAddr {
    SocketAddr::new(socket.ip().to_canonical(), socket.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Option<Address> {
        Address::decode(&mut Reader::new(bytes))
    }

    /// Addresses of vectors V10 and V11.
    #[test]
    fn addresses_have_the_bytes_of_the_vectors() {
        for (bytes, socket, origin) in [
            ("03c63364070790", "198.51.100.7:1936", Origin::Relay),
            ("8320010db80000000000000000000000070790", "[2001:db8::7]:1936", Origin::Relay),
            ("027f000001db9b", "127.0.0.1:56219", Origin::Observed),
            ("81fd000000000000000000000000000002a624", "[fd00::2]:42532", Origin::Reported),
        ] {
            let address = Address::new(socket.parse().expect("socket"), origin);
            let mut out = Vec::new();
            address.encode(&mut out);
            assert_eq!(out, hex(bytes));
            assert_eq!(read(&out), Some(address));
        }
    }

    #[test]
    fn mapped_addresses_are_unwrapped() {
        let address =
            Address::new("[::ffff:192.0.2.1]:7".parse().expect("socket"), Origin::Observed);
        assert_eq!(address.socket, "192.0.2.1:7".parse().expect("socket"));
    }

    #[test]
    fn truncated_addresses_are_refused() {
        for bytes in ["", "02", "027f000001db", "81fd000000000000000000000000000002a6"] {
            assert_eq!(read(&hex(bytes)), None, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(ip: IpAddr, port: u16, origin in 0..4_u8) {
            let origin = [Origin::Unknown, Origin::Reported, Origin::Observed, Origin::Relay]
                [usize::from(origin)];
            let address = Address::new(SocketAddr::new(ip, port), origin);
            let mut out = Vec::new();
            address.encode(&mut out);
            prop_assert_eq!(read(&out), Some(address));
        }
    }
}
