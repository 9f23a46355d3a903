//! Messages that two or more actors use, one file per conversation.

pub mod client;
pub mod cluster;
pub mod media;
pub mod script;
pub mod stream;
