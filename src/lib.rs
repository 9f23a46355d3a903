//! Ramona: a real-time media and messaging cluster node.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod daemon;
pub mod node;
pub mod open_files;
pub mod probe;
pub mod telemetry;
