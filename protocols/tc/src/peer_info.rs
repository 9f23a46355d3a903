//! `setPeerInfo`: the addresses at which a client can be reached besides the one that its server
//! sees (RFC 7425 §5.3.5).

use std::net::SocketAddr;

use bytes::Bytes;
use ramona_amf::{Value, ValueDecoder};
use ramona_media::leading_name;

use crate::limits::MAX_PEER_ADDRESSES;
use crate::message::kind;

/// The name of the command.
pub(crate) const NAME: &[u8] = b"setPeerInfo";

/// The AMF0 values of a command: type 17 begins with a byte 0 that is none of them.
fn values_of(message_kind: u8, body: &Bytes) -> &[u8] {
    match body.split_first() {
        Some((0, rest)) if message_kind == kind::COMMAND_AMF3 => rest,
        _ => body,
    }
}

/// The addresses of a command message, if it is `setPeerInfo`: every string after the transaction
/// that is an address and a port. librtmfp sends no null before them, others do.
pub(crate) fn read(message_kind: u8, body: &Bytes) -> Option<Vec<SocketAddr>> {
    let (name, end) = leading_name(values_of(message_kind, body))?;
    if name != NAME {
        return None;
    }
    let mut addresses = Vec::new();
    let mut values = ValueDecoder::amf0(&values_of(message_kind, body)[end..]);
    // Arguments that are broken end the list; those before them count.
    while let Ok(Some(value)) = values.next_value() {
        let Value::String(text) = value else { continue };
        let Some(address) = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok())
        else {
            continue;
        };
        if addresses.len() < MAX_PEER_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Bytes {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect::<Vec<_>>().into()
    }

    /// Vector V15: the messages of librtmfp, rtmfp-cpp and Flash.
    #[test]
    fn rtmfp_045_addresses_are_taken_with_and_without_null_and_from_both_types() {
        let librtmfp = hex(concat!(
            "02000b73657450656572496e666f00000000000000000002000f3139322e302e322e323a3536323139",
            "02000f5b666430303a3a325d3a3432353332"
        ));
        let expected: Vec<SocketAddr> = vec![
            "192.0.2.2:56219".parse().expect("address"),
            "[fd00::2]:42532".parse().expect("address"),
        ];
        assert_eq!(read(kind::COMMAND_AMF0, &librtmfp), Some(expected.clone()));
        let none = hex("02000b73657450656572496e666f00000000000000000005");
        assert_eq!(read(kind::COMMAND_AMF0, &none), Some(vec![]));
        let flash = hex(concat!(
            "0002000b73657450656572496e666f00000000000000000005",
            "02000f3139322e302e322e323a3536323139"
        ));
        assert_eq!(read(kind::COMMAND_AMF3, &flash), Some(expected[..1].to_vec()));
    }

    #[test]
    fn other_commands_and_broken_addresses_are_passed_over() {
        let create = hex("02000c63726561746553747265616d000000000000000000");
        assert_eq!(read(kind::COMMAND_AMF0, &create), None);
        let mut body = hex("02000b73657450656572496e666f000000000000000000").to_vec();
        for text in ["192.0.2.2", "nonsense", "[::1]:7", "[::1]:7", "1.2.3.4:70000"] {
            body.push(2);
            body.extend_from_slice(&(text.len() as u16).to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        body.extend_from_slice(&[0x02, 0xff]);
        let expected = vec!["[::1]:7".parse().expect("address")];
        assert_eq!(read(kind::COMMAND_AMF0, &body.into()), Some(expected));
    }

    #[test]
    fn more_addresses_than_a_client_can_use_are_dropped() {
        let mut body = hex("02000b73657450656572496e666f000000000000000000").to_vec();
        for port in 1..=100 {
            let text = format!("192.0.2.1:{port}");
            body.push(2);
            body.extend_from_slice(&(text.len() as u16).to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        let addresses = read(kind::COMMAND_AMF0, &body.into()).expect("setPeerInfo");
        assert_eq!(addresses.len(), MAX_PEER_ADDRESSES);
    }
}
