//! Where the peers of this node are, for those who seek them (RFC 7016 §3.5.1.5 and §3.5.1.6).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ramona_rtmfp::{Address, Origin, PeerId, SessionId};

/// Addresses told of one peer: librtmfp keeps no more.
const MAX_ADDRESSES: usize = 7;

/// Local addresses of an asker behind the same NAT that the other one is asked to answer to.
const MAX_LOCAL_REPLIES: usize = 3;

/// Peers with an open session and an accepted connect.
#[derive(Debug, Default)]
pub(super) struct Rendezvous {
    peers: HashMap<PeerId, Known>,
    sessions: HashMap<SessionId, PeerId>,
    /// Addresses may be reported before connect is accepted.
    reported: HashMap<SessionId, Vec<SocketAddr>>,
    /// Who is at an observed address, to find an asker's own addresses.
    observed: HashMap<SocketAddr, PeerId>,
}

/// A peer that may be introduced.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) session: SessionId,
    observed: SocketAddr,
    reported: Vec<SocketAddr>,
}

impl Known {
    /// Where it may be reached: as observed first, then as it says of itself.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let reported = self.reported.iter().filter(|address| **address != self.observed);
        std::iter::once(Address::new(self.observed, Origin::Observed))
            .chain(reported.map(|address| Address::new(*address, Origin::Reported)))
            .take(MAX_ADDRESSES)
            .collect()
    }
}

impl Rendezvous {
    /// A session's connect was accepted. A later session of the same peer takes its place.
    pub(super) fn add(&mut self, session: SessionId, peer: PeerId, address: SocketAddr) {
        let reported = self.reported.remove(&session).unwrap_or_default();
        if let Some(before) =
            self.peers.insert(peer, Known { session, observed: address, reported })
        {
            self.observed.remove(&before.observed);
            self.sessions.remove(&before.session);
        }
        self.sessions.insert(session, peer);
        self.observed.insert(address, peer);
    }

    /// What a client says of its own addresses (setPeerInfo).
    pub(super) fn set_reported(&mut self, session: SessionId, addresses: &[SocketAddr]) {
        let mut kept: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            if kept.len() < MAX_ADDRESSES && !kept.contains(address) {
                kept.push(*address);
            }
        }
        match self.sessions.get(&session).and_then(|peer| self.peers.get_mut(peer)) {
            Some(known) => known.reported = kept,
            None => {
                self.reported.insert(session, kept);
            }
        }
    }

    /// The observed address of a session changed.
    pub(super) fn set_address(&mut self, session: SessionId, address: SocketAddr) {
        let Some(peer) = self.sessions.get(&session) else { return };
        if let Some(known) = self.peers.get_mut(peer) {
            self.observed.remove(&known.observed);
            known.observed = address;
            self.observed.insert(address, *peer);
        }
    }

    /// A session is over.
    pub(super) fn remove(&mut self, session: SessionId) {
        self.reported.remove(&session);
        if let Some(peer) = self.sessions.remove(&session)
            && let Some(known) = self.peers.remove(&peer)
        {
            self.observed.remove(&known.observed);
        }
    }

    /// Where a peer is.
    pub(super) fn find(&self, peer: PeerId) -> Option<&Known> {
        self.peers.get(&peer)
    }

    /// Where the sought peer shall answer to: the asker as observed, and when both are behind one
    /// address, where the asker says it is inside.
    pub(super) fn reply_addresses(&self, from: SocketAddr, sought: &[Address]) -> Vec<Address> {
        let mut replies = vec![Address::new(from, Origin::Observed)];
        let ip = |address: &Address| -> IpAddr { address.socket.ip() };
        let same_nat = sought.first().is_some_and(|observed| ip(observed) == from.ip());
        if same_nat
            && let Some(asker) = self.observed.get(&from).and_then(|peer| self.peers.get(peer))
        {
            let inside = asker.reported.iter().filter(|address| **address != from);
            let inside = inside.map(|address| Address::new(*address, Origin::Reported));
            replies.extend(inside.take(MAX_LOCAL_REPLIES));
        }
        replies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerId = PeerId([1; 32]);
    const B: PeerId = PeerId([2; 32]);

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_is_told_as_observed_first_then_as_reported_without_repeats() {
        let mut peers = Rendezvous::default();
        let reported = [at("10.0.0.2:5"), at("1.1.1.1:9"), at("10.0.0.2:5")];
        peers.set_reported(SessionId(1), &reported);
        peers.add(SessionId(1), A, at("1.1.1.1:9"));
        let addresses = peers.find(A).unwrap().addresses();
        assert_eq!(addresses.len(), 2);
        assert_eq!(addresses[0], Address::new(at("1.1.1.1:9"), Origin::Observed));
        assert_eq!(addresses[1], Address::new(at("10.0.0.2:5"), Origin::Reported));
    }

    #[test]
    fn behind_one_address_the_sought_peer_also_answers_inside() {
        let mut peers = Rendezvous::default();
        peers.add(SessionId(1), A, at("1.1.1.1:9"));
        peers.add(SessionId(2), B, at("1.1.1.1:10"));
        peers.set_reported(SessionId(2), &[at("10.0.0.3:7")]);
        let sought = peers.find(A).unwrap().addresses();
        let replies = peers.reply_addresses(at("1.1.1.1:10"), &sought);
        assert_eq!(replies[0].origin, Origin::Observed);
        assert_eq!(replies[1], Address::new(at("10.0.0.3:7"), Origin::Reported));
        let elsewhere = peers.reply_addresses(at("2.2.2.2:10"), &sought);
        assert_eq!(elsewhere.len(), 1);
    }

    #[test]
    fn a_peer_that_left_is_unknown_and_one_that_came_back_is_found_at_its_new_session() {
        let mut peers = Rendezvous::default();
        peers.add(SessionId(1), A, at("1.1.1.1:9"));
        peers.add(SessionId(2), A, at("1.1.1.1:11"));
        peers.remove(SessionId(1));
        assert_eq!(peers.find(A).unwrap().session, SessionId(2));
        peers.set_address(SessionId(2), at("3.3.3.3:3"));
        assert_eq!(peers.find(A).unwrap().addresses()[0].socket, at("3.3.3.3:3"));
        peers.remove(SessionId(2));
        assert!(peers.find(A).is_none() && peers.observed.is_empty());
    }
}
