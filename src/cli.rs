//! The command line: `ramona [OPTIONS] [check]` (script API spec CFG-23).
//!
//! Options that the node does not know are no mistake: scripts read all of them as
//! `mona.arguments`. A word that is no option and no command is one.

mod help;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::config::Overrides;
use crate::telemetry::{Dump, LogLevel};

pub use help::help;

/// Exit code for a wrong command line or configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Run the node.
    Run,
    /// `check`: validate the configuration and load every script, open no port.
    Check,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// Whether the node runs in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// In the foreground.
    No,
    /// `--daemon`: start a detached process and leave.
    Start,
    /// This is the detached process.
    Detached,
}

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cli {
    /// What to do.
    pub command: Command,
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--dir FOLDER`.
    pub dir: Option<PathBuf>,
    /// `--log LEVEL`.
    pub level: LogLevel,
    /// `--dump[=PROTOCOL]` and `--dumplimit=BYTES`.
    pub dump: Option<Dump>,
    /// `--daemon`.
    pub daemon: Daemon,
    /// `--pidfile=PATH`.
    pub pidfile: Option<PathBuf>,
    /// Every option as text, for `mona.arguments`; one without a value is `true`.
    pub arguments: Vec<(String, String)>,
}

impl Cli {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// What is wrong, in words; the program ends with [`EXIT_USAGE`].
    pub fn parse<I>(arguments: I) -> Result<Self, String>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let mut cli = Self {
            command: Command::Run,
            config: None,
            dir: None,
            level: LogLevel::default(),
            dump: None,
            daemon: Daemon::No,
            pidfile: None,
            arguments: Vec::new(),
        };
        let mut limit = None;
        let mut parser = Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let name = match argument {
                Arg::Short('h') => "help".to_owned(),
                Arg::Short('V') => "version".to_owned(),
                Arg::Short(letter) => return Err(format!("unknown option -{letter}")),
                Arg::Value(word) if word == "check" && cli.command == Command::Run => {
                    cli.command = Command::Check;
                    continue;
                }
                Arg::Value(word) => return Err(unknown_word(&word)),
                Arg::Long(name) => name.to_owned(),
            };
            cli.option(&name, &mut parser, &mut limit)
                .map_err(|text| format!("--{name}: {text}"))?;
            if matches!(cli.command, Command::Help | Command::Version) {
                return Ok(cli);
            }
        }
        if let (Some(dump), Some(limit)) = (&mut cli.dump, limit) {
            dump.limit = limit;
        }
        Ok(cli)
    }

    fn option(
        &mut self,
        name: &str,
        parser: &mut Parser,
        limit: &mut Option<usize>,
    ) -> Result<(), String> {
        // Options with a value take it from `=` or from the next word.
        let needed = |parser: &mut Parser| match parser.value() {
            Ok(value) if value.is_empty() => Err("needs a value".to_owned()),
            Ok(value) => Ok(value),
            Err(_) => Err("needs a value".to_owned()),
        };
        let value = match name {
            "help" => {
                self.command = Command::Help;
                None
            }
            "version" => {
                self.command = Command::Version;
                None
            }
            "config" | "dir" | "log" | "dumplimit" | "pidfile" => Some(needed(parser)?),
            _ => parser.optional_value(),
        };
        let text = value.as_ref().map(|value| value.to_string_lossy().into_owned());
        match (name, value) {
            ("config", value) => self.config = value.map(PathBuf::from),
            ("dir", value) => self.dir = value.map(PathBuf::from),
            ("pidfile", value) => self.pidfile = value.map(PathBuf::from),
            ("log", Some(value)) => {
                self.level = value.parse().map_err(|error: lexopt::Error| match error {
                    lexopt::Error::ParsingFailed { error, .. } => error.to_string(),
                    other => other.to_string(),
                })?;
            }
            ("dumplimit", Some(value)) => {
                let bytes = value.parse().map_err(|_| "needs a number of bytes".to_owned())?;
                *limit = Some(bytes);
            }
            ("dump", _) => self.dump = Some(Dump { protocol: text.clone(), ..Dump::default() }),
            ("daemon", None) => self.daemon = Daemon::Start,
            // Not for people: how `--daemon` starts the process that stays.
            ("daemon", Some(value)) if value == "detached" => {
                self.daemon = Daemon::Detached;
                return Ok(());
            }
            ("daemon", Some(_)) => return Err("takes no value".to_owned()),
            _ => {}
        }
        self.arguments.push((name.to_owned(), text.unwrap_or_else(|| "true".to_owned())));
        Ok(())
    }

    /// What goes before the configuration file. `program` and `command` are for scripts.
    pub fn overrides(&self, program: PathBuf, command: String) -> Overrides {
        Overrides {
            dir: self.dir.clone(),
            level: self.level,
            arguments: self.arguments.clone(),
            program,
            command,
        }
    }
}

fn unknown_word(word: &std::ffi::OsStr) -> String {
    format!("unknown word {word:?}; the only command is \"check\", and options begin with --")
}

#[cfg(test)]
mod tests;
