//! The command line: `ramona [OPTIONS] [check | probe URL]` (script API spec CFG-23).
//!
//! Options that the node does not know are no mistake: scripts read all of them as
//! `mona.arguments`. A word that is no option and no command is one.

mod help;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::config::Overrides;
use crate::probe::Probe;
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
    /// `probe URL`: connect to a server and tell what was negotiated.
    Probe,
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
    /// What `probe` does.
    pub probe: Option<Probe>,
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
            probe: None,
            arguments: Vec::new(),
        };
        let mut limit = None;
        let mut parser = Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let name = match argument {
                Arg::Short('h') => "help".to_owned(),
                Arg::Short('V') => "version".to_owned(),
                // An option of scripts, as an unknown long one is.
                Arg::Short(letter) => letter.to_string(),
                Arg::Value(word) if word == "check" && cli.command == Command::Run => {
                    cli.command = Command::Check;
                    continue;
                }
                Arg::Value(word) if word == "probe" && cli.command == Command::Run => {
                    cli.command = Command::Probe;
                    continue;
                }
                Arg::Value(url) if cli.command == Command::Probe && cli.probe.is_none() => {
                    cli.probe = Some(Probe::new(url.to_string_lossy()));
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
        if cli.command == Command::Probe && cli.probe.is_none() {
            return Err("probe: needs a URL".to_owned());
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
        if let Some(probe) = &mut self.probe {
            match name {
                "play" | "group" | "meet" => {
                    let what = needed(parser)?.to_string_lossy().into_owned();
                    let time = needed(parser)
                        .map_err(|_| format!("needs the seconds behind {what}"))
                        .and_then(seconds)?;
                    let slot = match name {
                        "play" => &mut probe.play,
                        "group" => &mut probe.group,
                        _ => &mut probe.meet,
                    };
                    *slot = Some((what, time));
                    return Ok(());
                }
                "timeout" => {
                    probe.timeout = seconds(needed(parser)?)?;
                    return Ok(());
                }
                _ => {}
            }
        }
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

/// A time of the probe: up to a day.
fn seconds(value: OsString) -> Result<Duration, String> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    match number {
        Some(seconds) if (0.001..=86_400.0).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("{value:?} is no number of seconds; allowed: 0.001 to 86400")),
    }
}

fn unknown_word(word: &std::ffi::OsStr) -> String {
    format!(
        "unknown word {word:?}; the commands are \"check\" and \"probe URL\", and options begin with --"
    )
}

#[cfg(test)]
mod tests;
