//! What two session keying components agree on: which checks are used, and the keys
//! (RFC 7425 §4.5 to §4.7).

use sha2::{Digest, Sha256};

use crate::crypto::hmac_sha256;
use crate::crypto::seal::{Opener, Sealer};
use crate::option::{self, Options};
use crate::reader::Reader;
use crate::vlu;

/// Option types of a session keying component.
pub(crate) mod option_kind {
    pub(crate) const EPHEMERAL_KEY: u64 = 0x0d;
    pub(crate) const EXTRA_RANDOMNESS: u64 = 0x0e;
    pub(crate) const HMAC_NEGOTIATION: u64 = 0x1a;
    pub(crate) const GROUP_SELECT: u64 = 0x1d;
    pub(crate) const SEQUENCE_NEGOTIATION: u64 = 0x1e;
}
use option_kind::{HMAC_NEGOTIATION, SEQUENCE_NEGOTIATION};

/// Flags of either negotiation: "I will send it always", "if you ask", "I ask you to".
const SEND_ALWAYS: u8 = 0x04;
const SEND_ON_REQUEST: u8 = 0x02;
const REQUEST: u8 = 0x01;

/// Tag lengths that are accepted.
const TAG_LENGTHS: std::ops::RangeInclusive<u64> = 4..=32;
/// The tag length that this end sends: what rtmfp-cpp sends too.
const OWN_TAG_LEN: usize = 16;

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What this end wants of HMAC or of session sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Use it in every packet, asked or not.
    pub send_always: bool,
    /// Refuse a far end that cannot use it.
    pub required: bool,
}

impl Policy {
    /// Use it, and refuse a far end that does not.
    pub const STRICT: Self = Self { send_always: true, required: true };
    /// Use it only if the far end wants it.
    pub const ON_REQUEST: Self = Self { send_always: false, required: false };
}

/// Flags as they are in a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SecurityFlags(u8);

impl SecurityFlags {
    /// What an initiator says, before it knows the far end.
    fn of_initiator(policy: Policy) -> Self {
        Self::new(policy.send_always, policy.required)
    }

    fn new(send: bool, request: bool) -> Self {
        let flag = |set, flag| if set { flag } else { 0 };
        Self(flag(send, SEND_ALWAYS) | SEND_ON_REQUEST | flag(request, REQUEST))
    }

    fn can_send(self) -> bool {
        self.0 & (SEND_ALWAYS | SEND_ON_REQUEST) != 0
    }

    /// (this end sends it, this end receives it); `None` when a requirement cannot be met.
    fn agree(self, policy: Policy) -> Option<(bool, bool)> {
        if policy.required && !self.can_send() {
            return None;
        }
        let send = policy.send_always || self.0 & REQUEST != 0;
        let receive = policy.required || self.0 & SEND_ALWAYS != 0;
        Some((send, receive))
    }
}

/// What a far component asks for and offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    mac: SecurityFlags,
    tag_len: u64,
    sequence: SecurityFlags,
}

impl Offer {
    /// Reads the negotiation options of a component; missing ones count as "cannot".
    pub(crate) fn decode(component: &[u8]) -> Option<Self> {
        let mut offer = Self::default();
        for item in Options::new(component) {
            let (kind, value) = item.ok()?;
            let mut reader = Reader::new(value);
            match kind {
                HMAC_NEGOTIATION => {
                    offer.mac = SecurityFlags(reader.u8()?);
                    offer.tag_len = reader.vlu()?;
                }
                SEQUENCE_NEGOTIATION => offer.sequence = SecurityFlags(reader.u8()?),
                _ => {}
            }
        }
        Some(offer)
    }
}

/// Which checks the packets of a session carry, by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiation {
    /// Bytes of the HMAC tag that this end appends; `None`: the simple checksum.
    pub send_mac: Option<usize>,
    /// Bytes of the HMAC tag that the far end appends.
    pub receive_mac: Option<usize>,
    /// This end numbers its packets.
    pub send_sequence: bool,
    /// The far end numbers its packets, and replayed ones are dropped.
    pub receive_sequence: bool,
}

impl Negotiation {
    /// What the far component and this end's policies agree on; `None` when they do not.
    pub(crate) fn agree(far: &Offer, mac: Policy, sequence: Policy) -> Option<Self> {
        let (send_mac, receive_mac) = far.mac.agree(mac)?;
        let (send_sequence, receive_sequence) = far.sequence.agree(sequence)?;
        if receive_mac && !TAG_LENGTHS.contains(&far.tag_len) {
            return None;
        }
        Some(Self {
            send_mac: send_mac.then_some(OWN_TAG_LEN),
            receive_mac: receive_mac.then_some(far.tag_len as usize),
            send_sequence,
            receive_sequence,
        })
    }

    /// Appends the two options of a responder. Zeros where neither direction uses a check:
    /// librtmfp compares these seven bytes (quirk Q2).
    pub(crate) fn encode_response(&self, out: &mut Vec<u8>) {
        let flags = |send, receive| match (send, receive) {
            (false, false) => SecurityFlags(0),
            (send, receive) => SecurityFlags::new(send, receive),
        };
        let mac = flags(self.send_mac.is_some(), self.receive_mac.is_some());
        let tag_len = if mac.0 == 0 { 0 } else { OWN_TAG_LEN as u8 };
        let sequence = flags(self.send_sequence, self.receive_sequence);
        encode_flags(mac, tag_len, sequence, out);
    }
}

/// Appends the two negotiation options.
fn encode_flags(mac: SecurityFlags, tag_len: u8, sequence: SecurityFlags, out: &mut Vec<u8>) {
    option::encode(HMAC_NEGOTIATION, &[mac.0, tag_len], out);
    option::encode(SEQUENCE_NEGOTIATION, &[sequence.0], out);
}

/// Appends the two options of an initiator.
pub(crate) fn encode_offer(mac: Policy, sequence: Policy, out: &mut Vec<u8>) {
    let flags = SecurityFlags::of_initiator;
    encode_flags(flags(mac), OWN_TAG_LEN as u8, flags(sequence), out);
}

/// A public key option: group and key.
pub(crate) fn encode_key(kind: u64, group: u64, key: &[u8], out: &mut Vec<u8>) {
    let mut value = Vec::with_capacity(2 + key.len());
    vlu::encode(group, &mut value);
    value.extend_from_slice(key);
    option::encode(kind, &value, out);
}

/// Values that both ends know and nobody else, for applications and NetGroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonces {
    /// HMAC of this end's component.
    pub near: [u8; 32],
    /// HMAC of the far end's component.
    pub far: [u8; 32],
}

/// Keys of both directions and the nonces, derived from the shared secret (without leading zeros)
/// and both components.
pub(crate) struct Keys {
    encrypt: [u8; 32],
    decrypt: [u8; 32],
    send_mac: [u8; 32],
    receive_mac: [u8; 32],
    pub(crate) nonces: Nonces,
}

impl Keys {
    pub(crate) fn derive(secret: &[u8], near: &[u8], far: &[u8]) -> Self {
        let encrypt = hmac_sha256(secret, &[&hmac_sha256(far, &[near])]);
        let decrypt = hmac_sha256(secret, &[&hmac_sha256(near, &[far])]);
        Self {
            encrypt,
            decrypt,
            send_mac: hmac_sha256(secret, &[&encrypt]),
            receive_mac: hmac_sha256(secret, &[&decrypt]),
            nonces: Nonces { near: hmac_sha256(secret, &[near]), far: hmac_sha256(secret, &[far]) },
        }
    }

    pub(crate) fn sealer(&self, negotiation: &Negotiation) -> Sealer {
        Sealer::new(&self.encrypt, &self.send_mac, negotiation)
    }

    pub(crate) fn opener(&self, negotiation: &Negotiation) -> Opener {
        Opener::new(&self.decrypt, &self.receive_mac, negotiation)
    }
}

#[cfg(test)]
mod tests;
