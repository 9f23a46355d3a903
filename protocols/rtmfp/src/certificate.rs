//! Certificates, peer IDs and endpoint discriminators of the Flash profile
//! (RFC 7425 §4.3 and §4.4).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::crypto::{Group, KeyPair, sha256};
use crate::entropy::Entropy;
use crate::option::{self, Item, Options};
use crate::reader::Reader;
use crate::vlu;

/// Option types of certificates and endpoint discriminators.
const HOSTNAME: u64 = 0x00;
const ANCILLARY: u64 = 0x0a;
const EXTRA_RANDOMNESS: u64 = 0x0e;
const FINGERPRINT: u64 = 0x0f;
const EPHEMERAL_GROUP: u64 = 0x15;
const STATIC_KEY: u64 = 0x1d;

/// Keys or groups of a certificate that are looked at.
const MAX_KEYS: usize = 16;

/// The fingerprint of an endpoint's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 32]);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct ParsePeerIdError;

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |c: u8| char::from(c).to_digit(16).ok_or(ParsePeerIdError);
        let bytes: &[u8; 64] = text.as_bytes().try_into().map_err(|_| ParsePeerIdError)?;
        let mut id = [0; 32];
        for (out, pair) in id.iter_mut().zip(bytes.chunks_exact(2)) {
            *out = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(id))
    }
}

/// A certificate: its bytes and what they say.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    bytes: Bytes,
    fingerprint: PeerId,
    hostname: Option<Bytes>,
    accepts_ancillary: bool,
    static_keys: Vec<(u64, Bytes)>,
    ephemeral_groups: Vec<u64>,
}

impl Certificate {
    /// Reads a certificate. `None` when an option is cut off, or when it has neither static keys
    /// nor ephemeral groups, or both.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new(&bytes);
        let mut this = Self {
            fingerprint: PeerId(sha256(canonical(&bytes)?)),
            bytes: bytes.clone(),
            hostname: None,
            accepts_ancillary: false,
            static_keys: Vec::new(),
            ephemeral_groups: Vec::new(),
        };
        while !reader.is_empty() {
            let Item::Option(kind, value) = option::decode(&mut reader)? else { break };
            let mut inner = Reader::new(value);
            match kind {
                HOSTNAME => this.hostname = Some(bytes.slice_ref(value)),
                ANCILLARY => this.accepts_ancillary = true,
                STATIC_KEY if this.static_keys.len() < MAX_KEYS => {
                    let group = inner.vlu()?;
                    this.static_keys.push((group, bytes.slice_ref(inner.rest())));
                }
                EPHEMERAL_GROUP if this.ephemeral_groups.len() < MAX_KEYS => {
                    this.ephemeral_groups.push(inner.vlu()?);
                }
                _ => {}
            }
        }
        (this.static_keys.is_empty() != this.ephemeral_groups.is_empty()).then_some(this)
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn fingerprint(&self) -> PeerId {
        self.fingerprint
    }

    /// Whether its keys are made for each session.
    pub(crate) fn is_ephemeral(&self) -> bool {
        !self.ephemeral_groups.is_empty()
    }

    pub(crate) fn static_key(&self, group: Group) -> Option<&[u8]> {
        self.static_keys.iter().find(|(id, _)| *id == group.id()).map(|(_, key)| &key[..])
    }

    /// The groups of its keys, known or not.
    pub(crate) fn groups(&self) -> impl Iterator<Item = u64> + '_ {
        self.static_keys.iter().map(|(id, _)| *id).chain(self.ephemeral_groups.iter().copied())
    }
}

/// The options up to the first marker.
fn canonical(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    loop {
        let before = reader.rest().len();
        if before == 0 {
            return Some(bytes);
        }
        if option::decode(&mut reader)? == Item::Marker {
            return Some(&bytes[..bytes.len() - before]);
        }
    }
}

/// Who this endpoint is: its certificate and the private keys of it.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: Certificate,
    keys: Vec<KeyPair>,
    ephemeral: Vec<Group>,
}

impl Identity {
    /// A server: accepts any URI, and makes fresh keys for each session in one of `groups`.
    /// Initiators take the strongest of them; group 2 is accepted even when it is not listed, for
    /// librtmfp uses no other (quirk Q3).
    pub fn server(groups: &[Group], entropy: &mut Entropy) -> Self {
        let mut bytes = Vec::new();
        option::encode(ANCILLARY, &[], &mut bytes);
        option::encode(EXTRA_RANDOMNESS, &entropy.array::<64>(), &mut bytes);
        let mut ephemeral = groups.to_vec();
        if ephemeral.is_empty() {
            ephemeral.push(Group::Modp1024);
        }
        for group in &ephemeral {
            let mut id = Vec::new();
            vlu::encode(group.id(), &mut id);
            option::encode(EPHEMERAL_GROUP, &id, &mut bytes);
        }
        let certificate = Certificate::decode(&bytes).expect("it was just encoded");
        Self { certificate, keys: Vec::new(), ephemeral }
    }

    /// A client: its public keys are its certificate, so that its peer ID is proven by its
    /// packets. `None` without a key.
    pub fn client(keys: Vec<KeyPair>) -> Option<Self> {
        let mut bytes = Vec::new();
        for pair in &keys {
            let mut value = Vec::new();
            vlu::encode(pair.group().id(), &mut value);
            value.extend_from_slice(pair.public());
            option::encode(STATIC_KEY, &value, &mut bytes);
        }
        let certificate = Certificate::decode(&bytes)?;
        Some(Self { certificate, keys, ephemeral: Vec::new() })
    }

    /// The fingerprint.
    pub fn peer_id(&self) -> PeerId {
        self.certificate.fingerprint
    }

    /// The bytes of the certificate.
    pub fn certificate_bytes(&self) -> &Bytes {
        self.certificate.bytes()
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The static pair of a group.
    pub(crate) fn key(&self, group: Group) -> Option<&KeyPair> {
        self.keys.iter().find(|pair| pair.group() == group)
    }

    /// Whether an ephemeral key of the group may be asked for.
    pub(crate) fn makes_keys_of(&self, group: Group) -> bool {
        self.ephemeral.contains(&group)
            || group == Group::Modp1024 && self.certificate.is_ephemeral()
    }
}

/// An endpoint discriminator: who an Initiator Hello seeks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epd {
    bytes: Bytes,
    fingerprint: Option<PeerId>,
    hostname: Option<Bytes>,
    ancillary: Option<Bytes>,
}

impl Epd {
    /// Reads a discriminator; markers are skipped. `None` when an option is cut off or none of the
    /// three kinds is there.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut this =
            Self { bytes: bytes.clone(), fingerprint: None, hostname: None, ancillary: None };
        let mut reader = Reader::new(&bytes);
        while !reader.is_empty() {
            match option::decode(&mut reader)? {
                Item::Option(FINGERPRINT, value) => {
                    this.fingerprint = Some(PeerId(value.try_into().ok()?));
                }
                Item::Option(HOSTNAME, value) => this.hostname = Some(bytes.slice_ref(value)),
                Item::Option(ANCILLARY, value) => this.ancillary = Some(bytes.slice_ref(value)),
                Item::Option(..) | Item::Marker => {}
            }
        }
        let any = this.fingerprint.is_some() || this.hostname.is_some() || this.ancillary.is_some();
        any.then_some(this)
    }

    /// Seeks a peer.
    pub fn of_peer(id: PeerId) -> Self {
        let mut bytes = Vec::with_capacity(34);
        option::encode(FINGERPRINT, &id.0, &mut bytes);
        Self { bytes: bytes.into(), fingerprint: Some(id), hostname: None, ancillary: None }
    }

    /// Seeks a server that likes `ancillary`, usually a URI, and whose certificate has `hostname`
    /// if one is given.
    pub fn of_server(ancillary: &[u8], hostname: Option<&[u8]>) -> Self {
        let mut bytes = Vec::new();
        if let Some(hostname) = hostname {
            option::encode(HOSTNAME, hostname, &mut bytes);
        }
        option::encode(ANCILLARY, ancillary, &mut bytes);
        Self {
            bytes: bytes.into(),
            fingerprint: None,
            hostname: hostname.map(Bytes::copy_from_slice),
            ancillary: Some(Bytes::copy_from_slice(ancillary)),
        }
    }

    /// As it travels.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The peer that is sought. If there is one, nothing else counts.
    pub fn peer_id(&self) -> Option<PeerId> {
        self.fingerprint
    }

    /// The required hostname.
    pub fn hostname(&self) -> Option<&Bytes> {
        self.hostname.as_ref()
    }

    /// Opaque to the protocol: a URI from Flash Player and rtmfp-cpp, its path from librtmfp.
    pub fn ancillary(&self) -> Option<&Bytes> {
        self.ancillary.as_ref()
    }

    /// Whether the endpoint of `certificate` is sought.
    pub(crate) fn matches(&self, certificate: &Certificate) -> bool {
        if let Some(fingerprint) = self.fingerprint {
            return fingerprint == certificate.fingerprint;
        }
        (self.hostname.is_none() || self.hostname == certificate.hostname)
            && (self.ancillary.is_none() || certificate.accepts_ancillary)
    }
}

/// Whether an option list contains an option type, and its value.
pub(crate) fn find_option(list: &[u8], kind: u64) -> Option<&[u8]> {
    Options::new(list).filter_map(Result::ok).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;
    use crate::testing::vectors::*;

    fn certificate(text: &str) -> Option<Certificate> {
        Certificate::decode(&hex(text))
    }

    /// Vector V8.
    #[test]
    fn rtmfp_020_a_fingerprint_is_the_hash_of_the_options() {
        let server = certificate(V8_CERTIFICATE).expect("certificate");
        assert_eq!(server.fingerprint().0.to_vec(), hex(V8_FINGERPRINT));
        assert_eq!(Epd::of_peer(server.fingerprint()).bytes(), &hex(V8_EPD));
        assert!(server.is_ephemeral() && server.accepts_ancillary);
        assert_eq!(server.groups().collect::<Vec<_>>(), [2, 14]);
        let v3 = certificate(&format!("81021d02{V3_Y_I}")).expect("certificate");
        assert_eq!(v3.fingerprint().0.to_vec(), hex(V3_PEER_ID));
        assert!(!v3.is_ephemeral());
        assert_eq!(v3.static_key(Group::Modp1024), Some(&hex(V3_Y_I)[..]));
        let v4 = certificate(&format!("82021d0e{V4_Y_I}")).expect("certificate");
        assert_eq!(v4.fingerprint().0.to_vec(), hex(V4_PEER_ID));
        // What follows a marker does not count.
        let marked = certificate(&format!("{V8_CERTIFICATE}0001ff")).expect("certificate");
        assert_eq!(marked.fingerprint(), server.fingerprint());
    }

    /// Option 0a, and only groups that are implemented.
    #[test]
    fn rtmfp_020_our_certificate_has_the_layout_of_the_vector() {
        let mut entropy = Entropy::from_seed([5; 32]);
        let identity = Identity::server(&[Group::Modp1024, Group::Modp2048], &mut entropy);
        let bytes = identity.certificate_bytes();
        assert_eq!(bytes.len(), 74);
        assert_eq!(bytes[..4], hex("010a410e"));
        assert_eq!(bytes[68..], hex("02150202150e"));
        let other = Identity::server(&[Group::Modp2048], &mut entropy);
        assert_ne!(other.peer_id(), identity.peer_id());
        assert!(other.makes_keys_of(Group::Modp1024), "librtmfp takes it unasked");
        assert!(!other.makes_keys_of(Group::Modp4096));
    }

    #[test]
    fn a_certificate_is_static_or_ephemeral() {
        assert!(certificate("010a").is_none(), "neither");
        assert!(certificate("021502051d02010203").is_none(), "both");
        assert!(certificate("0215").is_none(), "cut off");
        assert!(certificate("").is_none());
    }

    /// Vector V9.
    #[test]
    fn rtmfp_021_and_022_discriminators_match_as_in_the_vectors() {
        let server = certificate(V8_CERTIFICATE).expect("certificate");
        let plain = certificate(&format!("81021d02{V3_Y_I}")).expect("certificate");
        let uri = "1c0a72746d66703a2f2f3132372e302e302e313a323935302f6c697665";
        let epd = |text: &str| Epd::decode(&hex(text));
        let path = epd("050a6c697665").expect("path");
        assert_eq!(path.ancillary().map(|a| &a[..]), Some(&b"live"[..]));
        assert!(path.matches(&server) && !path.matches(&plain));
        assert!(epd(uri).expect("uri").matches(&server));
        assert!(epd(V8_EPD).expect("own").matches(&server));
        assert!(!epd(V8_EPD).expect("foreign").matches(&plain));
        let named = epd(&format!("08006578616d706c65{uri}")).expect("hostname");
        assert_eq!(named.hostname().map(|h| &h[..]), Some(&b"example"[..]));
        assert!(!named.matches(&server), "a foreign hostname");
        let both = epd(&format!("{V8_EPD}050a6c697665")).expect("both");
        assert!(both.matches(&server));
        let wrong = epd(&format!("210f{}050a6c697665", "11".repeat(32))).expect("wrong");
        assert!(!wrong.matches(&server), "only the fingerprint counts");
        for invalid in ["", "00", "0109", "050a6c69", "040f010203"] {
            assert_eq!(epd(invalid), None, "{invalid}");
        }
        assert!(!epd("020aff").expect("ancillary").matches(&plain));
        assert_eq!(Epd::of_server(b"live", None), path);
        assert_eq!(Epd::of_server(b"rtmfp://127.0.0.1:2950/live", Some(b"example")), named);
    }

    #[test]
    fn peer_ids_are_read_as_they_are_shown() {
        let id = PeerId(hex(V3_PEER_ID).try_into().expect("32"));
        let text = V3_PEER_ID.trim();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!("12".parse::<PeerId>(), Err(ParsePeerIdError));
        assert_eq!("g".repeat(64).parse::<PeerId>(), Err(ParsePeerIdError));
    }

    #[test]
    fn a_client_shows_its_public_keys() {
        let pair = KeyPair::from_exponent(Group::Modp1024, &hex(V3_X_I)).expect("pair");
        let identity = Identity::client(vec![pair]).expect("identity");
        assert_eq!(identity.certificate_bytes(), &hex(&format!("81021d02{V3_Y_I}")));
        assert!(identity.key(Group::Modp1024).is_some());
        assert!(identity.key(Group::Modp2048).is_none());
        assert!(!identity.makes_keys_of(Group::Modp1024));
        assert!(Identity::client(Vec::new()).is_none());
    }
}
