use std::fmt;

use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

/// Keys and values in order; strings of Lua and of the configuration file, 8-bit clean.
pub type Pairs = Vec<(Bytes, Bytes)>;

// Bounds of a hello. Together they stay below the 64 KiB that a frame may have before the hello
// is done (`limits::MAX_HELLO_FRAME`): 32 KiB + 512 × 4 of lengths + 8 KiB + … < 45 KiB.

/// Longest public `host` (RFC 1035: 253 characters, brackets and port beside).
const MAX_HOST: usize = 512;
/// Ports in a hello: a node has a handful of protocols.
const MAX_PORTS: usize = 32;
/// Longest protocol name.
const MAX_PORT_NAME: usize = 32;
/// Configuration keys in a hello; a shipped configuration has fewer than 100.
pub(crate) const MAX_CONFIGURATION: usize = 512;
/// Longest key of the configuration, bytes.
pub(crate) const MAX_CONFIGURATION_KEY: usize = 255;
/// Longest value of the configuration, bytes.
pub(crate) const MAX_CONFIGURATION_VALUE: usize = 4_096;
/// All keys and values of the configuration together, bytes.
pub(crate) const MAX_CONFIGURATION_BYTES: usize = 32 * 1_024;
/// Properties of one target entry.
pub(crate) const MAX_PROPERTIES: usize = 64;
/// Longest property name, bytes.
pub(crate) const MAX_PROPERTY_KEY: usize = 255;
/// All property names and values of one target entry together, bytes.
pub(crate) const MAX_PROPERTY_BYTES: usize = 8 * 1_024;

/// Who a node is: 16 random bytes, made once and kept in `data/`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// What a node can do beyond protocol version 1, one bit each; unknown bits are ignored.
///
/// No bit is in use yet. A frame that older nodes do not know is sent only where both ends have
/// its bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// What both ends can do.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What one node tells another when a link comes up (CLU-03, CLU-04).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who the node is.
    pub node_id: NodeId,
    /// Which run of the node: larger at each start (milliseconds since 1970 at the start, say).
    pub incarnation: u64,
    /// See [`Capabilities`].
    pub capabilities: Capabilities,
    /// Number of this dial, counted by the dialling node over all its targets from its start; an
    /// accepting node sends 0. Tells two links apart ([`keep_which`](crate::keep_which)).
    pub dial: u64,
    /// Public address as configured (CFG-06), may hold `:port`; empty when none. At most 512 bytes.
    pub host: String,
    /// Public port of each protocol by its name (`RTMP`, `RTMFP`, …); 0 means switched off. At most
    /// 32, names of at most 32 bytes.
    pub ports: Vec<(String, u16)>,
    /// Public configuration, see [`public_configuration`](crate::public_configuration).
    pub configuration: Pairs,
    /// Properties of the target entry that was dialled (SRV-04); sent by the dialling end, empty in
    /// an accepting node's own hello. At most 64, of 8 KiB together.
    pub properties: Pairs,
}

/// Why a hello cannot be sent, or was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The public host is longer than 512 bytes.
    #[error("host of {0} bytes in the hello, at most {MAX_HOST}")]
    Host(usize),
    /// Too many ports, or a name that is empty or longer than 32 bytes.
    #[error(
        "more than {MAX_PORTS} ports in the hello, or a protocol name beyond 1 to {MAX_PORT_NAME} bytes"
    )]
    Ports,
    /// Too many configuration keys, or a key or value past its bound.
    #[error(
        "configuration in the hello past its bounds ({MAX_CONFIGURATION} keys, \
         {MAX_CONFIGURATION_BYTES} bytes)"
    )]
    Configuration,
    /// Too many target properties, or too long ones.
    #[error(
        "target properties in the hello past their bounds ({MAX_PROPERTIES} keys, \
         {MAX_PROPERTY_BYTES} bytes)"
    )]
    Properties,
}

impl Hello {
    /// Checks the bounds that the fields name, as both the sender and the receiver do.
    ///
    /// # Errors
    /// Names the first field that is past its bound.
    pub fn check(&self) -> Result<(), HelloError> {
        if self.host.len() > MAX_HOST {
            return Err(HelloError::Host(self.host.len()));
        }
        let good_name = |name: &str| (1..=MAX_PORT_NAME).contains(&name.len());
        if self.ports.len() > MAX_PORTS || !self.ports.iter().all(|(name, _)| good_name(name)) {
            return Err(HelloError::Ports);
        }
        let bytes = |pairs: &Pairs| pairs.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        let good_pair = |(key, value): &(Bytes, Bytes)| {
            (1..=MAX_CONFIGURATION_KEY).contains(&key.len())
                && value.len() <= MAX_CONFIGURATION_VALUE
        };
        if self.configuration.len() > MAX_CONFIGURATION
            || bytes(&self.configuration) > MAX_CONFIGURATION_BYTES
            || !self.configuration.iter().all(good_pair)
        {
            return Err(HelloError::Configuration);
        }
        let good_key = |key: &Bytes| (1..=MAX_PROPERTY_KEY).contains(&key.len());
        if self.properties.len() > MAX_PROPERTIES
            || bytes(&self.properties) > MAX_PROPERTY_BYTES
            || !self.properties.iter().all(|(key, _)| good_key(key))
        {
            return Err(HelloError::Properties);
        }
        Ok(())
    }
}

/// The hello as it is written, borrowing from the sender's `Hello` or from the frame.
///
/// Fields are neither added nor reordered: a change is another protocol version.
#[derive(Encode, BorrowDecode)]
pub(crate) struct HelloWire<'a> {
    node_id: [u8; 16],
    incarnation: u64,
    capabilities: u64,
    dial: u64,
    host: &'a str,
    ports: Vec<(&'a str, u16)>,
    configuration: Vec<(&'a [u8], &'a [u8])>,
    properties: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> HelloWire<'a> {
    pub(crate) fn new(hello: &'a Hello) -> Self {
        let borrow = |pairs: &'a Pairs| pairs.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        Self {
            node_id: hello.node_id.0,
            incarnation: hello.incarnation,
            capabilities: hello.capabilities.0,
            dial: hello.dial,
            host: &hello.host,
            ports: hello.ports.iter().map(|(name, port)| (name.as_str(), *port)).collect(),
            configuration: borrow(&hello.configuration),
            properties: borrow(&hello.properties),
        }
    }

    /// Copies out of the frame, so that the hello does not keep a read buffer alive.
    pub(crate) fn to_hello(&self) -> Result<Hello, HelloError> {
        let copy = |pairs: &[(&[u8], &[u8])]| {
            pairs
                .iter()
                .map(|(k, v)| (Bytes::copy_from_slice(k), Bytes::copy_from_slice(v)))
                .collect()
        };
        let hello = Hello {
            node_id: NodeId(self.node_id),
            incarnation: self.incarnation,
            capabilities: Capabilities(self.capabilities),
            dial: self.dial,
            host: self.host.to_owned(),
            ports: self.ports.iter().map(|&(name, port)| (name.to_owned(), port)).collect(),
            configuration: copy(&self.configuration),
            properties: copy(&self.properties),
        };
        hello.check()?;
        Ok(hello)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_HELLO_FRAME;
    use crate::message::{Message, decode, encode};
    use crate::tests::{any_hello, hello};
    use proptest::prelude::*;

    fn frame(hello: &Hello) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, &Message::Hello(HelloWire::new(hello)), b"").unwrap();
        out
    }

    fn read(frame: &[u8]) -> Hello {
        match decode(&frame[4..]).unwrap() {
            (Message::Hello(wire), b"") => wire.to_hello().unwrap(),
            _ => panic!("not a hello"),
        }
    }

    proptest! {
        #[test]
        fn a_hello_is_read_as_it_was_written(hello in any_hello()) {
            prop_assert_eq!(read(&frame(&hello)), hello);
        }
    }

    #[test]
    fn the_largest_hello_fits_the_frame_before_the_hello() {
        let mut largest = hello(1);
        largest.host = "h".repeat(MAX_HOST);
        largest.ports = vec![("P".repeat(MAX_PORT_NAME), u16::MAX); MAX_PORTS];
        let value = "v".repeat(MAX_CONFIGURATION_BYTES / MAX_CONFIGURATION - 3);
        largest.configuration = (0..MAX_CONFIGURATION)
            .map(|n| (format!("{n:03}").into(), value.clone().into()))
            .collect();
        largest.properties =
            vec![(Bytes::from_static(b"k"), vec![b'v'; 127].into()); MAX_PROPERTIES];
        largest.check().unwrap();
        let frame = frame(&largest);
        assert!(frame.len() - 4 <= MAX_HELLO_FRAME, "{}", frame.len());
        assert_eq!(read(&frame), largest);
    }

    #[test]
    fn each_bound_is_checked() {
        let spoil = |change: &dyn Fn(&mut Hello)| {
            let mut hello = hello(1);
            change(&mut hello);
            hello.check()
        };
        let pair = |key: usize, value: usize| (vec![b'k'; key].into(), vec![b'v'; value].into());
        assert_eq!(spoil(&|h| h.host = "h".repeat(513)), Err(HelloError::Host(513)));
        assert_eq!(spoil(&|h| h.ports = vec![("P".into(), 1); 33]), Err(HelloError::Ports));
        assert_eq!(spoil(&|h| h.ports = vec![("".into(), 1)]), Err(HelloError::Ports));
        assert_eq!(spoil(&|h| h.ports = vec![("P".repeat(33), 1)]), Err(HelloError::Ports));
        let bad = Err(HelloError::Configuration);
        assert_eq!(spoil(&|h| h.configuration = vec![pair(1, 0); 513]), bad);
        assert_eq!(spoil(&|h| h.configuration = vec![pair(0, 0)]), bad);
        assert_eq!(spoil(&|h| h.configuration = vec![pair(256, 0)]), bad);
        assert_eq!(spoil(&|h| h.configuration = vec![pair(1, 4_097)]), bad);
        assert_eq!(spoil(&|h| h.configuration = vec![pair(1, 4_096); 9]), bad);
        let bad = Err(HelloError::Properties);
        assert_eq!(spoil(&|h| h.properties = vec![pair(1, 0); 65]), bad);
        assert_eq!(spoil(&|h| h.properties = vec![pair(0, 0)]), bad);
        assert_eq!(spoil(&|h| h.properties = vec![pair(256, 0)]), bad);
        assert_eq!(spoil(&|h| h.properties = vec![pair(1, 8_192)]), bad);
    }

    #[test]
    fn node_ids_are_ordered_by_their_bytes_and_shown_in_hexadecimal() {
        let id = NodeId(*b"\x00\x01\xab\xff............");
        assert_eq!(id.to_string(), "0001abff2e2e2e2e2e2e2e2e2e2e2e2e");
        assert_eq!(format!("{id:?}"), "NodeId(0001abff2e2e2e2e2e2e2e2e2e2e2e2e)");
        assert!(NodeId([0xFF; 16]) > NodeId([0x7F; 16]));
    }

    #[test]
    fn capabilities_in_common_are_those_of_both() {
        assert_eq!(Capabilities(0b110).common(Capabilities(0b011)), Capabilities(0b010));
    }
}
