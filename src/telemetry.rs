//! Logs: tracing events to the console (standard error) and to rotated files.
//!
//! ```text
//! 2026-11-22 10:00:00.123 NOTE  [app/main.lua:41] text of a script
//! 2026-11-22 10:00:00.124 INFO  ramona_actors::rtmp rtmp{peer=192.0.2.1:50000}: text field=value
//! ```
//!
//! Times are UTC, so that the files of several nodes can be read side by side. Standard output is
//! left to `print` of scripts (LOG-04). Control characters are escaped: one event is one line
//! (LOG-03).
//!
//! - An event may carry the field `level_name` with a name of [`LogLevel`]; without it, the
//!   tracing level tells. Scripts set `target: "script"` and the fields `level_name`, `file` and
//!   `line`.
//! - An event with `target: "dump"` holds a packet: fields `protocol` and `data` (`&[u8]`). It is
//!   written when `--dump` asks for that protocol, whatever the level, as hex with text.
//! - Events of other crates (`log` records too) are written from WARN on, and below that only with
//!   `--log 8`: what the node does is what an operator asks for with `--log 7`.
//!
//! | file | topic |
//! |---|---|
//! | `level.rs` | MonaServer's levels 0 to 8 |
//! | `format.rs` | an event as one line |
//! | `layer.rs` | the tracing layer: what is written at all, spans |
//! | `rotation.rs` | numbered files (CFG-19, CFG-20) |
//! | `writer.rs` | the thread that writes; nobody waits for a disk |

mod format;
mod layer;
mod level;
mod rotation;
mod time;
mod writer;

use std::io;
use std::sync::Arc;

use ramona_actors::LogTail;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use level::LogLevel;
pub use rotation::LogFiles;
pub use writer::Guard;

use layer::LineLayer;

/// What is logged, and where to.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Least important level that is written.
    pub level: LogLevel,
    /// Whether lines go to standard error.
    pub console: bool,
    /// Log files, if any.
    pub files: Option<LogFiles>,
    /// Packets to write, if any.
    pub dump: Option<Dump>,
    /// Where the last lines are kept, if anywhere.
    pub tail: Option<LogTail>,
}

/// Which packets are written (`--dump[=name]`, `--dumplimit=n`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// One protocol, compared without case; `None` is all.
    pub protocol: Option<String>,
    /// Bytes of a packet that are written at most.
    pub limit: usize,
}

impl Default for Dump {
    /// All protocols, 1024 bytes of each packet: any header, and no full video frame.
    fn default() -> Self {
        Self { protocol: None, limit: 1024 }
    }
}

/// Starts logging for the whole process, `log` records and panics included. Drop the guard last:
/// it writes what is still queued.
///
/// # Errors
/// The log folder or file cannot be made, the writer thread cannot be started, or the process has
/// a tracing subscriber already.
pub fn init(settings: Settings) -> io::Result<Guard> {
    let (queue, guard) = writer::start(settings.console, settings.files)?;
    let layer = LineLayer::new(settings.level, settings.dump, settings.tail, Arc::clone(&queue));
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|error| io::Error::new(io::ErrorKind::AlreadyExists, error))?;
    tracing_log::LogTracer::builder()
        .with_max_level(settings.level.log_filter())
        .init()
        .map_err(|error| io::Error::new(io::ErrorKind::AlreadyExists, error))?;
    log_panics();
    Ok(guard)
}

/// A panic ends one actor; without this its text would miss in the log files.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("without text");
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(level_name = "CRITIC", thread, place, "panic: {text}");
    }));
}

#[cfg(test)]
mod tests;
