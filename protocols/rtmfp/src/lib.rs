//! RTMFP (RFC 7016) with the cryptography of the Flash profile (RFC 7425), without sockets, clocks
//! or randomness of its own.

#![forbid(unsafe_code)]
#![allow(dead_code, unused_imports)]

mod address;
mod chunk;
mod crypto;
mod entropy;
mod option;
mod packet;
mod reader;
#[cfg(test)]
mod testing;
mod vlu;

pub use address::{Address, Origin};
pub use crypto::{Group, KeyPair, Nonces, Policy};
pub use entropy::Entropy;
