//! Addresses that scripts block (MON-24): no new TCP connection of theirs is accepted, at any port,
//! and no datagram is read. What is open stays.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use tracing::{info, warn};

/// Addresses that one node blocks.
const MAX_BLOCKED: usize = 65_536;

/// The blocked addresses of a node.
#[derive(Debug, Default)]
pub(crate) struct Blacklist {
    /// So that a node without any pays nothing for each datagram.
    used: AtomicBool,
    blocked: RwLock<HashSet<IpAddr>>,
    /// Connections and datagrams that were dropped.
    pub(crate) dropped: AtomicU64,
}

impl Blacklist {
    /// Blocks an address, or no longer.
    pub(crate) fn set(&self, ip: IpAddr, block: bool) {
        let mut blocked = self.blocked.write().unwrap_or_else(PoisonError::into_inner);
        let ip = ip.to_canonical();
        if !block {
            blocked.remove(&ip);
        } else if blocked.len() < MAX_BLOCKED || blocked.contains(&ip) {
            blocked.insert(ip);
        } else {
            warn!(%ip, limit = MAX_BLOCKED, "not blocked: too many addresses are");
        }
        self.used.store(!blocked.is_empty(), Relaxed);
    }

    /// Whether an address is blocked; counts if it is.
    pub(crate) fn blocks(&self, ip: IpAddr) -> bool {
        if !self.used.load(Relaxed) {
            return false;
        }
        let blocked = self.blocked.read().unwrap_or_else(PoisonError::into_inner);
        let found = blocked.contains(&ip.to_canonical());
        if found {
            self.dropped.fetch_add(1, Relaxed);
        }
        found
    }

    /// The same for a connection, which is logged.
    pub(crate) fn refuses(&self, ip: IpAddr, port: &str) -> bool {
        let found = self.blocks(ip);
        if found {
            info!(%ip, port, "connection dropped: the address is blacklisted");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::Blacklist;

    #[test]
    fn mon_24_an_address_is_blocked_in_both_of_its_forms_until_it_is_taken_out() {
        let list = Blacklist::default();
        let ip = |text: &str| text.parse().unwrap();
        assert!(!list.blocks(ip("10.0.0.1")));
        list.set(ip("10.0.0.1"), true);
        assert!(list.blocks(ip("10.0.0.1")) && list.blocks(ip("::ffff:10.0.0.1")));
        assert!(!list.blocks(ip("10.0.0.2")));
        list.set(ip("::ffff:10.0.0.1"), false);
        assert!(!list.blocks(ip("10.0.0.1")));
    }
}
