//! Limits of what strangers may cause, in tables of fixed size: an address is hashed to a slot, and
//! addresses of one slot share it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::certificate::PeerId;
use crate::endpoint::EndpointConfig;

/// Slots of each table; 64 kB a table.
const SLOTS: usize = 4096;
/// The same source may ask for the same peer once in this time.
const INTRODUCTION_INTERVAL: Duration = Duration::from_millis(500);
/// Introductions to one peer in a second.
const INTRODUCTIONS_PER_PEER: u32 = 20;

/// Token buckets that fill within a second.
struct Buckets {
    rate: u32,
    /// Tokens that are used, and when that was computed (milliseconds).
    slots: Box<[(u32, u32)]>,
}

impl Buckets {
    fn new(rate: u32, slots: usize) -> Self {
        Self { rate, slots: vec![(0, 0); slots].into() }
    }

    fn take(&mut self, hash: u64, now: u32, tokens: u32) -> bool {
        let at = hash as usize % self.slots.len();
        let (used, then) = &mut self.slots[at];
        let elapsed = u64::from(now.wrapping_sub(*then));
        let refilled = elapsed * u64::from(self.rate) / 1000;
        // Less than a token: let the time add up.
        if refilled > 0 || *used == 0 {
            *used = used.saturating_sub(u32::try_from(refilled).unwrap_or(u32::MAX));
            *then = now;
        }
        let fits = used.saturating_add(tokens) <= self.rate;
        if fits {
            *used += tokens;
        }
        fits
    }
}

pub(super) struct Limits {
    epoch: Instant,
    seed: u64,
    answers: Buckets,
    total_answers: Buckets,
    openings: Buckets,
    introductions: Buckets,
    /// Hash of source and peer, and when they were introduced.
    pairs: Box<[(u64, u32)]>,
}

impl Limits {
    pub(super) fn new(now: Instant, config: &EndpointConfig, seed: [u8; 8]) -> Self {
        Self {
            epoch: now,
            seed: u64::from_be_bytes(seed),
            answers: Buckets::new(config.answer_bytes_per_second, SLOTS),
            total_answers: Buckets::new(config.total_answer_bytes_per_second, 1),
            openings: Buckets::new(config.new_sessions_per_second, SLOTS),
            introductions: Buckets::new(INTRODUCTIONS_PER_PEER, SLOTS),
            pairs: vec![(0, 0); SLOTS].into(),
        }
    }

    /// Milliseconds; wraps after 49 days, when an old entry counts as new for a moment.
    fn ms(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_millis() as u32
    }

    /// Whether `bytes` may be sent to a stranger.
    pub(super) fn may_answer(&mut self, now: Instant, to: SocketAddr, bytes: usize) -> bool {
        let now = self.ms(now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let hash = self.hash(network(to.ip()), 0);
        self.answers.take(hash, now, bytes) && self.total_answers.take(0, now, bytes)
    }

    /// Whether an address may open one more session now.
    pub(super) fn may_open(&mut self, now: Instant, from: SocketAddr) -> bool {
        let now = self.ms(now);
        self.openings.take(self.hash(bits(from.ip()), 0), now, 1)
    }

    /// Whether a source may be introduced to a peer now.
    pub(super) fn may_introduce(&mut self, now: Instant, from: SocketAddr, peer: PeerId) -> bool {
        let now = self.ms(now);
        // Peer IDs are hashes: any part of them will do.
        let part = |i: usize| u64::from_be_bytes(std::array::from_fn(|b| peer.0[i + b]));
        let source = self.hash(bits(from.ip()), u64::from(from.port()));
        let hash = mix(source ^ part(0), part(8)) | 1;
        let slot = &mut self.pairs[hash as usize / 2 % SLOTS];
        let recent = u128::from(now.wrapping_sub(slot.1)) < INTRODUCTION_INTERVAL.as_millis();
        if slot.0 == hash && recent {
            return false;
        }
        let target = mix(self.seed ^ part(16), part(24));
        if !self.introductions.take(target, now, 1) {
            return false;
        }
        self.pairs[hash as usize / 2 % SLOTS] = (hash, now);
        true
    }

    /// Keyed, so that nobody can choose whom to share a slot with.
    fn hash(&self, value: u128, more: u64) -> u64 {
        mix(mix(self.seed ^ (value >> 64) as u64, value as u64), more)
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd6e8_feb8_6659_fd93);
    let folded = (product >> 64) as u64 ^ product as u64 ^ b.rotate_left(32);
    (folded ^ folded >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// IPv4 /24, IPv6 /56.
fn network(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(_) => bits(ip) >> 8,
        IpAddr::V6(_) => bits(ip) >> 72 << 72,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Identity;
    use crate::entropy::Entropy;
    use crate::testing::raw::TestInstant;
    use std::sync::Arc;

    fn limits(start: Instant) -> Limits {
        let identity = Identity::server(&[], &mut Entropy::from_seed([1; 32]));
        Limits::new(start, &EndpointConfig::new(Arc::new(identity)), [7; 8])
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("address")
    }

    #[test]
    fn rtmfp_110_a_network_gets_its_share_of_bytes_a_second() {
        let start = Instant::now_for_tests();
        let mut limits = limits(start);
        let mut sent = |ms: u64, to: &str| {
            let now = start + Duration::from_millis(ms);
            let mut count = 0;
            while limits.may_answer(now, address(to), 200) {
                count += 200;
            }
            count
        };
        assert_eq!(sent(0, "192.0.2.1:1"), 32_000);
        assert_eq!(sent(0, "192.0.2.200:9"), 0, "the same network");
        assert_eq!(sent(0, "192.0.3.1:1"), 32_000, "another");
        assert_eq!(sent(500, "192.0.2.1:1"), 16_000);
        assert_eq!(sent(9999, "192.0.2.1:1"), 32_000, "not more after a pause");
        assert_eq!(sent(0, "[2001:db8::1]:1"), 32_000);
        assert_eq!(sent(0, "[2001:db8:0:ff::1]:1"), 0);
    }

    #[test]
    fn small_steps_of_time_add_up() {
        let start = Instant::now_for_tests();
        let mut limits = limits(start);
        let mut opened = 0;
        for ms in 0..2000 {
            let now = start + Duration::from_millis(ms);
            opened += u32::from(limits.may_open(now, address("192.0.2.1:1")));
        }
        assert!((140..=150).contains(&opened), "50 at once, then 50 a second: {opened}");
    }

    #[test]
    fn rtmfp_044_a_pair_is_introduced_twice_a_second() {
        let start = Instant::now_for_tests();
        let mut limits = limits(start);
        let at = |ms| start + Duration::from_millis(ms);
        let (a, b) = (address("192.0.2.1:1"), address("192.0.2.1:2"));
        let peer = PeerId([3; 32]);
        assert!(limits.may_introduce(at(0), a, peer));
        assert!(!limits.may_introduce(at(499), a, peer));
        assert!(limits.may_introduce(at(499), b, peer), "another source");
        assert!(limits.may_introduce(at(499), a, PeerId([4; 32])), "another peer");
        assert!(limits.may_introduce(at(500), a, peer));
        let mut count = 0;
        for port in 0..100 {
            let source = SocketAddr::new(address("192.0.2.9:0").ip(), port);
            count += u32::from(limits.may_introduce(at(5000), source, peer));
        }
        assert_eq!(count, 20, "a peer is not flooded");
    }
}
