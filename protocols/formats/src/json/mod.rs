//! JSON (RFC 8259; script API spec CNV-20..23).

mod read;
mod write;

pub use read::read_json;
pub use write::JsonEncoder;

/// Member that names the type of an object.
const TYPE: &str = "__type";
/// Only member of an object that stands for bytes.
const RAW: &str = "__raw";
