//! Every bound on what a peer or a script can make this crate do.

/// Containers inside containers, both ways (script API spec CNV-16): the same as for AMF. A
/// container that is itself a value of the message is level 1; level 129 is refused.
pub const MAX_DEPTH: usize = ramona_amf::MAX_DEPTH;

/// Bytes of one input. The largest message between nodes is 64 MiB; bodies and frames from
/// clients are bounded long before.
pub const MAX_INPUT_BYTES: usize = 64 << 20;

/// Values, keys included, of one input: 16 bytes each while it is read, so 64 MiB. An array of
/// numbers from 0 to 9 needs 8 MiB of input to get here.
pub const MAX_NODES: usize = 1 << 22;

/// Containers of one input, for each may become a table of the script: as many as AMF allows.
pub const MAX_CONTAINERS: usize = 1 << 20;

/// Attributes of one XML element. Documents have tens; each is compared with all before it.
pub const MAX_ATTRIBUTES: usize = 256;

/// XML elements inside each other: an XML-RPC array takes three for each level of value, and six
/// stand around the outermost value.
pub const MAX_XML_DEPTH: usize = 3 * MAX_DEPTH + 8;

/// Declarations and processing instructions before the root element. Documents have two or three.
pub const MAX_DECLARATIONS: usize = 32;

/// Problems of one input that are kept with their text; further ones are counted only.
pub const MAX_PROBLEMS: usize = 16;

/// Bytes of a peer's text that go into an error.
pub(crate) const MAX_REASON_BYTES: usize = 160;
