//! The file's entries joined with the table of keys: typed values, and what is wrong with them.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ramona_cluster::{Target, parse_targets};

use super::ini::{Entry, Ini};
use super::keys::{self, KEYS, Key, Kind};
use super::problem::{Problem, Severity};
use super::value::{self, Outcome};

/// Edits up to which a key outside of the node's sections is taken for a typing error
/// (`server.targets`): own keys of scripts are seldom that close.
const CLOSE: usize = 1;

pub(super) struct Settings<'a> {
    file: &'a str,
    found: HashMap<&'static str, &'a Entry>,
    pub(super) problems: Vec<Problem>,
    /// Keys that were asked for, so that a test finds declared ones that nobody reads.
    #[cfg(test)]
    pub(super) read: std::collections::BTreeSet<&'static str>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(ini: &'a Ini, file: &'a str) -> Self {
        let mut settings = Self {
            file,
            found: HashMap::new(),
            problems: ini.problems.clone(),
            #[cfg(test)]
            read: std::collections::BTreeSet::new(),
        };
        for entry in &ini.entries {
            match Key::find(&entry.key) {
                Some(key) => {
                    let known = settings.found.entry(key.name).or_insert(entry);
                    // The same key in another spelling: the later line wins.
                    if known.line < entry.line {
                        *known = entry;
                    }
                }
                None => settings.question_unknown(entry),
            }
        }
        settings
    }

    /// The file's entry of an engine key, in whatever spelling.
    pub(super) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.found.get(name).copied()
    }

    fn question_unknown(&mut self, entry: &Entry) {
        let section = entry.key.split_once('.').map_or("", |(section, _)| section);
        let Some((nearest, edits)) = keys::nearest(&entry.key) else { return };
        if keys::is_engine_section(section) {
            let text = format!("unknown key, did you mean {}?", nearest.name);
            self.report(Severity::Warning, entry, text);
        } else if edits <= CLOSE {
            let text = format!("is read by scripts only, did you mean {}?", nearest.name);
            self.report(Severity::Warning, entry, text);
        }
    }

    /// Adds a finding about an entry of the file.
    pub(super) fn report(&mut self, severity: Severity, entry: &Entry, text: String) {
        self.problems.push(Problem {
            severity,
            file: self.file.to_owned(),
            line: entry.line,
            key: entry.key.clone(),
            text,
        });
    }

    /// Adds a finding about a key, with its line when the file has it.
    pub(super) fn report_key(&mut self, severity: Severity, name: &str, text: String) {
        let entry = self.entry(name).cloned();
        let entry = entry.unwrap_or(Entry { key: name.into(), value: String::new(), line: 0 });
        self.report(severity, &entry, text);
    }

    fn text(&mut self, name: &'static str) -> Option<(&'static Key, &'a str)> {
        let key = Key::find(name);
        debug_assert!(key.is_some(), "{name} is not in the table of keys");
        let key = key?;
        #[cfg(test)]
        self.read.insert(key.name);
        let text = self.entry(key.name).map_or(key.default, |entry| entry.value.as_str());
        Some((key, text))
    }

    /// The value or its default; `None` only where the default is no value of this kind.
    fn value<T: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&Key, &str) -> Outcome<T>,
    ) -> Option<T> {
        let (key, text) = self.text(name)?;
        match parse(key, text) {
            Outcome::Fine(value) => Some(value),
            Outcome::Clamped(value) => {
                let text =
                    format!("{text} is out of range, {value} is used; allowed: {}", key.allowed());
                self.report_key(Severity::Warning, key.name, text);
                Some(value)
            }
            Outcome::Wrong => {
                self.report_key(Severity::Fatal, key.name, value::wrong(key, text));
                match parse(key, key.default) {
                    Outcome::Fine(value) | Outcome::Clamped(value) => Some(value),
                    Outcome::Wrong => None,
                }
            }
        }
    }

    /// As [`value`](Self::value), where an empty text means "not set".
    fn optional<T: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&Key, &str) -> Outcome<T>,
    ) -> Option<T> {
        let (_, text) = self.text(name)?;
        if text.is_empty() { None } else { self.value(name, parse) }
    }

    /// The address of a listening port; `None` when the port is 0.
    pub(super) fn bind(&mut self, host: &'static str, port: &'static str) -> Option<SocketAddr> {
        let ip: IpAddr = self.value(host, |_, text| value::ip(text))?;
        let port = self.value(port, |_, text| value::port(text))?;
        (port != 0).then_some(SocketAddr::new(ip, port))
    }

    pub(super) fn whole(&mut self, name: &'static str) -> u64 {
        self.value(name, whole).unwrap_or_default()
    }

    /// A count or a size in bytes; what this machine cannot address is cut to what it can.
    pub(super) fn size(&mut self, name: &'static str) -> usize {
        usize::try_from(self.whole(name)).unwrap_or(usize::MAX)
    }

    pub(super) fn optional_whole(&mut self, name: &'static str) -> Option<u64> {
        self.optional(name, whole)
    }

    /// A whole number of microseconds.
    pub(super) fn micros(&mut self, name: &'static str) -> Duration {
        Duration::from_micros(self.whole(name))
    }

    /// A number of seconds, whole or decimal.
    pub(super) fn seconds(&mut self, name: &'static str) -> Duration {
        let parse = |key: &Key, text: &str| match key.kind {
            Kind::Decimal { min, max } => value::decimal(text, min, max),
            _ => match whole(key, text) {
                Outcome::Fine(value) => Outcome::Fine(value as f64),
                Outcome::Clamped(value) => Outcome::Clamped(value as f64),
                Outcome::Wrong => Outcome::Wrong,
            },
        };
        let seconds = self.value(name, parse).unwrap_or_default();
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> bool {
        self.value(name, |_, text| value::boolean(text)).unwrap_or_default()
    }

    pub(super) fn host(&mut self, name: &'static str) -> Option<String> {
        self.optional(name, |_, text| value::host(text))
    }

    pub(super) fn file_name(&mut self, name: &'static str) -> String {
        self.value(name, |_, text| value::file_name(text)).unwrap_or_default()
    }

    /// Any text that is not empty.
    pub(super) fn any(&mut self, name: &'static str) -> Option<&'a str> {
        self.text(name).map(|(_, text)| text).filter(|text| !text.is_empty())
    }

    /// `servers.targets`: a bad entry is an error, the others are kept (CFG-08).
    pub(super) fn targets(&mut self, name: &'static str) -> Vec<Target> {
        let (targets, errors) = parse_targets(self.any(name).unwrap_or_default());
        for error in errors {
            let text = format!("entry {:?} is not used: {}", error.entry, error.problem);
            self.report_key(Severity::Error, name, text);
        }
        targets
    }

    /// What scripts see of the node's own keys besides what the file has as written: defaults of
    /// keys that the file leaves out, and the table's spelling of keys that it spells otherwise.
    pub(super) fn completed(&self) -> Vec<(String, String)> {
        let complete = |key: &Key| match self.entry(key.name) {
            Some(entry) if entry.key == key.name => None,
            Some(entry) => Some((key.name.to_owned(), entry.value.clone())),
            None if key.default.is_empty() => None,
            None => Some((key.name.to_owned(), key.default.to_owned())),
        };
        KEYS.iter().filter(|key| key.kind != Kind::Secret).filter_map(complete).collect()
    }
}

fn whole(key: &Key, text: &str) -> Outcome<u64> {
    match key.kind {
        Kind::Whole { min, max } | Kind::OptionalWhole { min, max } => value::whole(text, min, max),
        _ => value::whole(text, 0, u64::MAX),
    }
}
