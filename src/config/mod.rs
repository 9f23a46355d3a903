//! Configuration of a node: an INI file with MonaServer's keys (script API spec, section 9).
//!
//! | file | topic |
//! |---|---|
//! | `ini.rs` | the file's syntax (CFG-02, CFG-03) |
//! | `keys.rs` | the one table of engine keys: name, kind, default, unit, effect |
//! | `value.rs` | text of one key to a typed value, clamped or refused |
//! | `settings.rs` | the file's entries joined with the table: what was set, what is the default |
//! | `sections.rs` | [`Config`]: one section per component |
//! | `load.rs` | which file is read (CFG-01) |
//! | `link_policy.rs` | may the link port be opened? |
//! | `problem.rs` | what is wrong, in which file and line |
//!
//! Three kinds of mistakes are told apart. A number out of range is clamped with a warning. A
//! value that is no number, boolean or address at all stops the node before a port is opened. A
//! key of an engine section that the table does not know is most likely a typing error: a warning
//! names the nearest known key. Sections the engine does not know belong to scripts.

pub mod fuzz;
mod ini;
mod keys;
mod link_policy;
mod load;
mod problem;
mod sections;
mod settings;
#[cfg(test)]
mod shipped;
mod value;

pub use ini::{Entry, Ini};
pub use keys::{KEYS, Key, Kind};
pub use link_policy::LinkPolicy;
pub use load::{DEFAULT_FILES, Loaded, MAX_FILE_BYTES};
pub use problem::{ConfigError, Problem, Severity};
pub use sections::{
    Config, Http, HttpIndex, Logs, Media, Metrics, Overrides, Rtmfp, Rtmp, Script, Servers, Status,
    Tls, WebSocket,
};
