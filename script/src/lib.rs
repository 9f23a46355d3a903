//! The script side of a node: applications, events and objects of the Lua API.
//!
//! [`Engine`] owns one LuaJIT state and the applications below `www`; the node tells it what
//! happens, and it asks the node through [`Host`]. It knows no actor, socket or clock of its own.
//!
//! What scripts see is written in Lua (`object.lua`, `env.lua`, `dispatch.lua`, one file per class
//! in `api/`), on top of a few functions in Rust beside them. Every built-in name stands in
//! `api/names.rs`.

#![deny(unsafe_code)]

mod api;
mod app;
mod check;
mod config;
mod core;
mod dispatch;
mod engine;
mod host;
mod loader;
mod log;
mod object;
mod raw;
mod raw_send;
mod redirect;
mod value;
mod watch;
mod window;

pub use api::data::data_key;
pub use check::Finding;
pub use config::{EngineConfig, EngineError, ScriptStats};
pub use engine::Engine;
pub use host::*;
pub use redirect::Redirect;
pub use watch::Interrupter;
pub use window::Window;
