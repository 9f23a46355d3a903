//! Values between Lua and the formats of messages.
//!
//! | file | what |
//! |---|---|
//! | [`stack`] | tables on Lua's own stack, without handles |
//! | [`walk`], [`notes`] | looking through tables that are written, and what could not be |
//! | `to_*`, [`amf`] | the formats that are written, and what two of them share |
//! | `from_*` | the formats that are read, and [`tables`] that they are read into |
//! | [`external`] | objects with readers and writers of their own |
//! | [`text`] | values that come from text |

mod amf;
mod external;
pub(crate) mod from_amf;
pub(crate) mod from_text;
mod notes;
pub(crate) mod stack;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod to_amf0;
mod to_amf3;
pub(crate) mod to_dom;
mod to_text;
pub(crate) mod walk;
