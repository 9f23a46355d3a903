//! The cryptography of the Flash profile (RFC 7425 §4): AES-128-CBC, a simple checksum or
//! HMAC-SHA-256, session sequence numbers and finite-field Diffie-Hellman.

mod aes_cbc;
mod checksum;
mod dh;
mod keys;
mod replay;
mod seal;

pub use dh::{Group, KeyPair};
pub(crate) use keys::{Keys, Offer, encode_key, encode_offer, option_kind, sha256};
pub use keys::{Negotiation, Nonces, Policy};
pub use seal::OpenError;
pub(crate) use seal::{Opener, SSID_LEN, Sealer, session_id};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 of the concatenation of `parts`.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether two byte strings are equal, in time that depends on their lengths only.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}
