//! XML-RPC (script API spec CNV-25..28).

mod read;
mod write;

pub(crate) use read::read;
pub use read::read_xmlrpc;
pub use write::XmlRpcEncoder;

/// Root of a call.
pub(crate) const CALL: &str = "methodCall";
/// Root of an answer.
pub(crate) const RESPONSE: &str = "methodResponse";
