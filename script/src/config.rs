//! What an engine is made from, and what it says of itself.

use std::path::PathBuf;
use std::time::Duration;

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Folder that holds `www` and `data` (CFG-05).
    pub dir: PathBuf,
    /// The configuration as `mona.configs` shows it: flat keys as written, defaults filled in,
    /// `application.*` too (MON-04).
    pub entries: Vec<(String, String)>,
    /// Unknown options of the command line (`mona.arguments`, CFG-23).
    pub arguments: Vec<(String, String)>,
    /// A handler that takes longer is named in the log.
    pub slow: Duration,
    /// Bytes that the Lua state may hold; 0 for no limit. A handler that passes it ends by the
    /// error `not enough memory`. One C function, or the engine, may pass it by what it makes.
    pub memory: usize,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The Lua state or its prelude could not be made.
    #[error("the script engine cannot start: {0}")]
    Lua(String),
}

impl From<mlua::Error> for EngineError {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error.to_string())
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptStats {
    /// Handlers that ran.
    pub calls: u64,
    /// Handlers that raised.
    pub errors: u64,
    /// Handlers among them that were interrupted ([`Interrupter`](crate::Interrupter)).
    pub interrupted: u64,
    /// Assignments to `data` that were refused (DAT-03, DAT-04, its bounds).
    pub data_refused: u64,
    /// Times that the limit of the state's memory was met.
    pub memory_errors: u64,
    /// Bytes that the Lua state holds.
    pub memory_bytes: u64,
}
