//! Which addresses two peers are given to find each other by: the order that address translators
//! need.

use std::net::SocketAddr;

use crate::address::{Address, Origin, canonical};

/// librtmfp keeps no more addresses of a Redirect.
pub const MAX_PEER_ADDRESSES: usize = 7;
/// Reported addresses of an initiator that a hello is forwarded for, besides the observed one.
const MAX_LOCAL_REPLIES: usize = 3;

/// Addresses of a peer for the Redirect to its initiator: where it was observed first, then what it
/// reported (`setPeerInfo`), each once, at most [`MAX_PEER_ADDRESSES`].
pub fn peer_addresses(observed: SocketAddr, reported: &[SocketAddr]) -> Vec<Address> {
    let mut addresses = vec![Address::new(observed, Origin::Observed)];
    append(&mut addresses, reported, MAX_PEER_ADDRESSES);
    addresses
}

/// Reply addresses of an initiator, one forwarded hello for each: where it was observed; and when
/// both peers are behind the same address, also what it reported, for translators seldom send
/// back what comes from inside.
pub fn reply_addresses(
    initiator: SocketAddr,
    reported: &[SocketAddr],
    peer: SocketAddr,
) -> Vec<Address> {
    let mut addresses = vec![Address::new(initiator, Origin::Observed)];
    if canonical(initiator).ip() == canonical(peer).ip() {
        append(&mut addresses, reported, 1 + MAX_LOCAL_REPLIES);
    }
    addresses
}

fn append(addresses: &mut Vec<Address>, reported: &[SocketAddr], most: usize) {
    for socket in reported.iter().copied().map(canonical) {
        let usable = socket.port() != 0 && !socket.ip().is_unspecified();
        if addresses.len() < most && usable && addresses.iter().all(|a| a.socket != socket) {
            addresses.push(Address::new(socket, Origin::Reported));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().expect("socket")).collect()
    }

    #[test]
    fn rtmfp_042_and_046_the_observed_address_is_first_and_each_comes_once() {
        let reported =
            sockets(&["192.0.2.2:56219", "203.0.113.1:4", "[fd00::2]:42532", "192.0.2.2:56219"]);
        let addresses = peer_addresses(reported[1], &reported);
        let expected = [
            (reported[1], Origin::Observed),
            (reported[0], Origin::Reported),
            (reported[2], Origin::Reported),
        ];
        assert_eq!(addresses, expected.map(|(socket, origin)| Address { socket, origin }));
        let many: Vec<SocketAddr> = (1..30).map(|i| ([10, 0, 0, i], 1).into()).collect();
        assert_eq!(peer_addresses(reported[0], &many).len(), 7);
        let useless = sockets(&["0.0.0.0:5", "10.0.0.1:0", "[::]:9"]);
        assert_eq!(peer_addresses(reported[0], &useless).len(), 1);
    }

    #[test]
    fn local_addresses_are_told_only_behind_the_same_address() {
        let reported = sockets(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"]);
        let [a, b, c] = sockets(&["203.0.113.1:1", "203.0.113.1:2", "203.0.113.9:1"])[..] else {
            panic!("three");
        };
        assert_eq!(reply_addresses(a, &reported, c).len(), 1);
        let near = reply_addresses(a, &reported, b);
        assert_eq!(near.len(), 4);
        assert_eq!((near[0].socket, near[0].origin), (a, Origin::Observed));
        assert!(near[1..].iter().all(|n| n.origin == Origin::Reported));
    }
}
