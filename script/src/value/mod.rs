//! Values between Lua and the formats of messages.

mod external;
pub(crate) mod from_amf;
pub(crate) mod from_text;
pub(crate) mod text;
pub(crate) mod to_amf;
mod to_amf0;
pub(crate) mod to_dom;
pub(crate) mod to_text;
