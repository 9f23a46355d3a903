//! Messages that two or more actors use, one file per conversation.

pub mod client;
pub mod cluster;
pub mod group;
pub mod media;
pub mod rtmfp;
pub mod script;
pub mod stream;
