//! Values between Lua, AMF and text.

pub(crate) mod from_amf;
pub(crate) mod text;
pub(crate) mod to_amf;
mod to_amf0;
