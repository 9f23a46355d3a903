//! Stateless cookies (RFC 7016 §3.5.1.1.2): when, by whom and to whom.
//!
//! ```text
//! T(4) || HMAC(K, 00 || T)[0..28) || HMAC(K, 01 || T || address)[0..32)
//! ```
//! The first half shows that this endpoint made it, the second half for which address: they are apart
//! so that a cookie used from another address can be changed (RFC 7016 §3.5.1.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::{Address, Origin};
use crate::crypto::{equal, hmac_sha256};
use crate::entropy::Entropy;

/// librtmfp takes no other size (quirk Q1).
pub(crate) const COOKIE_LEN: usize = 64;
/// As long as an initiator tries (RFC 7016 §3.5.1.1.1).
const LIFETIME: Duration = Duration::from_secs(95);
/// A key makes cookies for this long and checks them for twice as long.
const ROTATION: Duration = Duration::from_secs(120);

/// What a cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieCheck {
    Valid,
    /// Made by this endpoint for another address.
    OtherAddress,
    Invalid,
}

/// Makes and checks cookies.
pub(crate) struct Cookies {
    epoch: Instant,
    keys: [[u8; 32]; 2],
    rotate_at: Instant,
}

impl Cookies {
    pub(crate) fn new(now: Instant, entropy: &mut Entropy) -> Self {
        Self { epoch: now, keys: [entropy.array(), entropy.array()], rotate_at: now + ROTATION }
    }

    pub(crate) fn make(
        &mut self,
        now: Instant,
        address: SocketAddr,
        entropy: &mut Entropy,
    ) -> [u8; COOKIE_LEN] {
        if now >= self.rotate_at {
            self.keys = [entropy.array(), self.keys[0]];
            self.rotate_at = now + ROTATION;
        }
        let time = self.seconds(now).to_be_bytes();
        let (origin, bound) = halves(&self.keys[0], time, address);
        let mut cookie = [0; COOKIE_LEN];
        cookie[..4].copy_from_slice(&time);
        cookie[4..32].copy_from_slice(&origin);
        cookie[32..].copy_from_slice(&bound);
        cookie
    }

    pub(crate) fn check(&self, now: Instant, cookie: &[u8], address: SocketAddr) -> CookieCheck {
        let Ok(cookie) = <&[u8; COOKIE_LEN]>::try_from(cookie) else {
            return CookieCheck::Invalid;
        };
        let time = [cookie[0], cookie[1], cookie[2], cookie[3]];
        let age = self.seconds(now).checked_sub(u32::from_be_bytes(time));
        if age.is_none_or(|age| u64::from(age) > LIFETIME.as_secs()) {
            return CookieCheck::Invalid;
        }
        for key in &self.keys {
            let (origin, bound) = halves(key, time, address);
            if equal(&origin, &cookie[4..32]) {
                return if equal(&bound, &cookie[32..]) {
                    CookieCheck::Valid
                } else {
                    CookieCheck::OtherAddress
                };
            }
        }
        CookieCheck::Invalid
    }

    fn seconds(&self, now: Instant) -> u32 {
        // 136 years.
        now.saturating_duration_since(self.epoch).as_secs() as u32
    }
}

fn halves(key: &[u8; 32], time: [u8; 4], address: SocketAddr) -> ([u8; 28], [u8; 32]) {
    let mut encoded = Vec::with_capacity(19);
    Address::new(address, Origin::Observed).encode(&mut encoded);
    let origin = hmac_sha256(key, &[&[0], &time]);
    let bound = hmac_sha256(key, &[&[1], &time, &encoded]);
    (*origin.first_chunk().expect("28 of 32 bytes"), bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::raw::TestInstant;

    #[test]
    fn rtmfp_032_and_033_a_cookie_is_valid_for_95_seconds_at_its_address() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let start = Instant::now_for_tests();
        let mut cookies = Cookies::new(start, &mut entropy);
        let a: SocketAddr = "192.0.2.1:1000".parse().expect("address");
        let b: SocketAddr = "192.0.2.1:1001".parse().expect("address");
        for offset in [0, 119, 120, 1000] {
            let made = start + Duration::from_secs(offset);
            let cookie = cookies.make(made, a, &mut entropy);
            let at = |seconds| made + Duration::from_secs(seconds);
            assert_eq!(cookies.check(at(0), &cookie, a), CookieCheck::Valid);
            assert_eq!(cookies.check(at(95), &cookie, a), CookieCheck::Valid);
            assert_eq!(cookies.check(at(96), &cookie, a), CookieCheck::Invalid);
            assert_eq!(cookies.check(at(1), &cookie, b), CookieCheck::OtherAddress);
            // A rotation meanwhile does not matter.
            let _ = cookies.make(at(95), b, &mut entropy);
            assert_eq!(cookies.check(at(95), &cookie, a), CookieCheck::Valid);
            for i in 0..COOKIE_LEN {
                let mut wrong = cookie;
                wrong[i] ^= 0x10;
                let expected =
                    if i < 32 { CookieCheck::Invalid } else { CookieCheck::OtherAddress };
                assert_eq!(cookies.check(at(1), &wrong, a), expected, "byte {i}");
            }
            assert_eq!(cookies.check(at(1), &cookie[..63], a), CookieCheck::Invalid);
            let other = Cookies::new(start, &mut entropy);
            assert_eq!(other.check(at(1), &cookie, a), CookieCheck::Invalid);
        }
    }
}
