//! What is wrong with a configuration, and where.

use std::fmt;

/// What follows from a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The node runs with a value of its own choice (clamped, ignored line, unknown key).
    Warning,
    /// The node runs without the broken part (one bad entry of `servers.targets`, CFG-08).
    Error,
    /// The node does not start.
    Fatal,
}

/// One finding, printed as `file:line: key: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What follows from it.
    pub severity: Severity,
    /// The file as it was named, or empty when there is none.
    pub file: String,
    /// Line, counted from 1; 0 when the finding has no line.
    pub line: u32,
    /// The key as written; empty when the finding is about a line.
    pub key: String,
    /// What is wrong and what is allowed, in lower case without full stop.
    pub text: String,
}

impl Problem {
    /// Writes the finding to the log, at its level.
    pub fn log(&self) {
        match self.severity {
            Severity::Warning => tracing::warn!("{self}"),
            Severity::Error | Severity::Fatal => tracing::error!("{self}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if self.line > 0 {
                write!(f, "{}:", self.line)?;
            }
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Why no configuration could be made; ends the program with code 64.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read, or is longer than
    /// [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES).
    #[error("configuration file {file}: {reason}")]
    Unreadable {
        /// The file as it was named.
        file: String,
        /// The operating system's reason, or the limit.
        reason: String,
    },
    /// At least one value is wrong; every finding of the file is listed, warnings too.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_line_and_key_as_far_as_they_are_known() {
        let mut problem = Problem {
            severity: Severity::Fatal,
            file: "ramona.ini".into(),
            line: 7,
            key: "RTMP.port".into(),
            text: "is wrong".into(),
        };
        assert_eq!(problem.to_string(), "ramona.ini:7: RTMP.port: is wrong");
        problem.line = 0;
        assert_eq!(problem.to_string(), "ramona.ini: RTMP.port: is wrong");
        problem.key.clear();
        assert_eq!(problem.to_string(), "ramona.ini: is wrong");
        problem.file.clear();
        assert_eq!(problem.to_string(), "is wrong");
    }
}
