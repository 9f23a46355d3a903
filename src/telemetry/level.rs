//! MonaServer's log levels (script API spec LOG-01).

use std::fmt;
use std::str::FromStr;

use tracing::Level;
use tracing::level_filters::LevelFilter;

/// 0 (nothing), then 1 FATAL, 2 CRITIC, 3 ERROR, 4 WARN, 5 NOTE, 6 INFO (default), 7 DEBUG,
/// 8 TRACE. As a threshold, levels up to it are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogLevel(u8);

const NAMES: [&str; 9] =
    ["NONE", "FATAL", "CRITIC", "ERROR", "WARN", "NOTE", "INFO", "DEBUG", "TRACE"];

impl LogLevel {
    /// Nothing is written.
    pub const NONE: Self = Self(0);
    /// Data lost, or a peer that is wrong.
    pub const WARN: Self = Self(4);
    /// Openings and closings; the default.
    pub const INFO: Self = Self(6);
    /// Every packet.
    pub const TRACE: Self = Self(8);

    /// The name in a log line.
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("TRACE")
    }

    /// The level of that name, in upper case as events carry it.
    pub(super) fn named(name: &str) -> Option<Self> {
        let at = NAMES.iter().position(|&known| known == name)?;
        u8::try_from(at).ok().filter(|&level| level > 0).map(Self)
    }

    /// The level of an event that does not name one.
    pub(super) fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self(3),
            Level::WARN => Self(4),
            Level::INFO => Self(6),
            Level::DEBUG => Self(7),
            Level::TRACE => Self(8),
        }
    }

    /// The least important tracing level that may hold events of this threshold: FATAL and CRITIC
    /// travel as ERROR, NOTE as INFO.
    pub(super) fn filter(self) -> LevelFilter {
        match self.0 {
            0 => LevelFilter::OFF,
            1..=3 => LevelFilter::ERROR,
            4 => LevelFilter::WARN,
            5 | 6 => LevelFilter::INFO,
            7 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }

    /// What records of the `log` crate are taken: they all come from other crates.
    pub(super) fn log_filter(self) -> tracing_log::log::LevelFilter {
        use tracing_log::log::LevelFilter;
        match self.0 {
            0 => LevelFilter::Off,
            1..=3 => LevelFilter::Error,
            4..=7 => LevelFilter::Warn,
            _ => LevelFilter::Trace,
        }
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self::INFO
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    /// A number from 0 to 8, or a name in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let named = NAMES.iter().position(|&name| name == upper);
        let level = named.or_else(|| text.parse().ok().filter(|&at: &usize| at < NAMES.len()));
        match level.map(u8::try_from) {
            Some(Ok(level)) => Ok(Self(level)),
            _ => Err(format!("{text:?} is not a level; allowed: 0 to 8, or {}", NAMES.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_number_or_a_name() {
        for (text, number, name) in [
            ("0", 0, "NONE"),
            ("3", 3, "ERROR"),
            ("note", 5, "NOTE"),
            ("Info", 6, "INFO"),
            ("8", 8, "TRACE"),
        ] {
            let level: LogLevel = text.parse().expect(text);
            assert_eq!((level.0, level.name()), (number, name));
        }
        for text in ["9", "-1", "", "loud", "6.0"] {
            assert!(text.parse::<LogLevel>().is_err(), "{text:?}");
        }
        assert_eq!(LogLevel::default(), LogLevel::INFO);
    }

    #[test]
    fn a_threshold_lets_its_own_tracing_level_through() {
        for number in 1..=8u8 {
            let level = LogLevel(number);
            let carried = match number {
                1..=3 => Level::ERROR,
                4 => Level::WARN,
                5 | 6 => Level::INFO,
                7 => Level::DEBUG,
                _ => Level::TRACE,
            };
            assert_eq!(level.filter(), carried);
        }
        assert_eq!(LogLevel::NONE.filter(), LevelFilter::OFF);
        assert_eq!(LogLevel::named("NONE"), None, "no event has no level");
    }
}
