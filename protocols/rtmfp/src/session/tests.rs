use super::*;
use crate::chunk::{self, ABANDONED, Ack, FINAL, Fraction, UserData, kind};
use crate::crypto::OpenError;
use crate::packet::Header;
use crate::testing::hex;
use crate::testing::raw::{Raw, ack, data, first_data, fragment, plain, secure};

mod flows;
mod lifecycle;
mod sending;
mod windows;

fn other_address() -> SocketAddr {
    "192.0.2.77:7777".parse().expect("address")
}
