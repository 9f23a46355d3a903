//! Log lines of scripts and about them (LOG-01..04, GEN-09).

use mlua::{Lua, LuaString};

use crate::core::{Core, stack_is_low};
use crate::host::{LogLevel, LogRecord};
use crate::loader::short_name;
use crate::watch::OUT_OF_MEMORY;

/// Frames looked at to find the script's statement; the prelude never stands deeper.
const MAX_FRAMES: usize = 24;

/// Prefix of the prelude's chunk names.
pub(crate) const PRELUDE: &str = "=ramona:";

/// The same as Lua knows it in `source`.
pub(crate) const PRELUDE_SOURCE: &[u8] = PRELUDE.as_bytes();

fn level_of(level: u8) -> LogLevel {
    match level {
        0..=3 => LogLevel::Error,
        4 => LogLevel::Warn,
        5 => LogLevel::Note,
        6 => LogLevel::Info,
        7 => LogLevel::Debug,
        _ => LogLevel::Trace,
    }
}

/// File and line of the Lua statement that runs, the prelude left out.
fn position(lua: &Lua) -> (String, u32) {
    for level in 0..MAX_FRAMES {
        let found = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let line = debug.current_line()?;
            let name = source.source?;
            (!name.starts_with(PRELUDE)).then(|| (short_name(&name).to_owned(), line))
        });
        match found {
            None => break,
            Some(None) => {}
            Some(Some((file, line))) => return (file, u32::try_from(line).unwrap_or(0)),
        }
    }
    (String::new(), 0)
}

impl Core {
    /// Logs a line that a statement of a script caused.
    pub(crate) fn log_here(&self, lua: &Lua, level: LogLevel, text: &[u8]) {
        if !self.host.log_enabled(level) {
            return;
        }
        let (file, line) = position(lua);
        let app = self.current_app();
        self.host.log(&LogRecord { level, app: &app, file: &file, line, text, trace: "" });
    }

    /// Logs a line about an application, which no statement caused.
    pub(crate) fn log_app(&self, level: LogLevel, app: &str, text: &[u8]) {
        if self.host.log_enabled(level) {
            self.host.log(&LogRecord { level, app, file: "", line: 0, text, trace: "" });
        }
    }

    /// Logs an error of an application with where its script stood (GEN-09).
    pub(crate) fn log_error(&self, app: &str, text: &[u8], trace: &str) {
        let level = LogLevel::Error;
        if self.host.log_enabled(level) {
            self.host.log(&LogRecord { level, app, file: "", line: 0, text, trace });
        }
    }

    pub(crate) fn add_log_natives(&self) -> mlua::Result<()> {
        self.native("deep", |_, _, ()| Ok(stack_is_low()))?;
        self.native("log_enabled", |core, _, level: u8| {
            Ok(core.host.log_enabled(level_of(level)))
        })?;
        self.native("log", |core, lua, (level, text): (u8, LuaString)| {
            core.log_here(lua, level_of(level), &text.as_bytes());
            Ok(())
        })?;
        self.native("log_app", |core, _, (level, app, text): (u8, LuaString, LuaString)| {
            core.log_app(level_of(level), &app.to_string_lossy(), &text.as_bytes());
            Ok(())
        })?;
        self.native(
            "handler_failed",
            |core, _, (app, handler, text, trace): (LuaString, LuaString, LuaString, LuaString)| {
                core.errors.set(core.errors.get() + 1);
                let mut line = handler.as_bytes().to_vec();
                if core.runs.interrupted() {
                    core.interrupted.set(core.interrupted.get() + 1);
                    line.extend_from_slice(b" of application www");
                    line.extend_from_slice(&app.as_bytes());
                }
                line.extend_from_slice(b": ");
                line.extend_from_slice(&text.as_bytes());
                core.log_error(&app.to_string_lossy(), &line, &trace.to_string_lossy());
                if text.as_bytes().ends_with(OUT_OF_MEMORY) {
                    core.out_of_memory();
                }
                Ok(())
            },
        )?;
        self.native("print", |core, _, text: LuaString| {
            core.host.print(&text.as_bytes());
            Ok(())
        })
    }
}
