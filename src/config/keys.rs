//! The one table of the keys that the node itself reads (script API spec, section 9.2).
//!
//! Loading, `ramona check`, `ramona --help` and the test over `config/ramona.ini` all use it: a
//! key that is not here does not exist, a key that is here is documented and validated.

mod table;

pub use table::KEYS;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A port; 0 is off. Out of range is refused, for nobody asked for a neighbouring port.
    Port,
    /// A whole number, clamped to the bounds.
    Whole {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// A decimal number, clamped to the bounds.
    Decimal {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
    /// As [`Whole`](Self::Whole), or nothing.
    OptionalWhole {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// `true` or `false`, in any case; `1` or `0`.
    Bool,
    /// As [`Bool`](Self::Bool), or a file name.
    BoolOrFile,
    /// An IP address to bind to.
    Ip,
    /// A host name or IP address, with or without `:port`; or nothing.
    Host,
    /// A folder.
    Folder,
    /// A file name without a path.
    FileName,
    /// Names separated by `,`; or nothing.
    Names,
    /// `host:port[?key=value&…]` separated by `;`; or nothing.
    Targets,
    /// Any text; or nothing. Never logged, never shown to a script or another node.
    Secret,
    /// Known from MonaServer and without effect in this version; any value.
    Reserved,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.key`; compared without case (CFG-04).
    pub name: &'static str,
    /// What a value may be.
    pub kind: Kind,
    /// What an absent key means; empty: nothing is set.
    pub default: &'static str,
    /// Unit of a number; empty for other kinds.
    pub unit: &'static str,
    /// What it does, in one sentence or two.
    pub effect: &'static str,
}

impl Key {
    /// The key of that name, compared without case.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name))
    }

    /// The part before the `.`; empty for `host` and the like.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// What is allowed, for messages and `--help`.
    pub fn allowed(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match self.kind {
            Kind::Port => "a port from 1 to 65535, or 0 for off".into(),
            Kind::Whole { min, max } => format!("a whole number from {min} to {max}{unit}"),
            Kind::Decimal { min, max } => format!("a number from {min} to {max}{unit}"),
            Kind::OptionalWhole { min, max } => {
                format!("a whole number from {min} to {max}{unit}, or nothing")
            }
            Kind::Bool => "true or false".into(),
            Kind::BoolOrFile => "true, false or a file name".into(),
            Kind::Ip => "an IP address to listen on".into(),
            Kind::Host => "host, ip, host:port or ip:port (an IPv6 address in brackets)".into(),
            Kind::Folder => "a folder".into(),
            Kind::FileName => "a file name without a path".into(),
            Kind::Names => "names separated by \",\"".into(),
            Kind::Targets => "host:port[?key=value&...] separated by \";\"".into(),
            Kind::Secret => "any text".into(),
            Kind::Reserved => "anything (without effect in this version)".into(),
        }
    }

    /// Whether the value is told to linked nodes, where scripts read it as `server["RTMP.port"]`
    /// (SRV-08): what one needs to send a client there, and nothing else.
    pub fn is_public(&self) -> bool {
        let protocol = matches!(self.section(), "RTMP" | "RTMFP" | "HTTP" | "WebSocket");
        match self.name {
            "host" | "publicHost" => true,
            name => protocol && !name.ends_with(".host"),
        }
    }
}

/// Whether the section holds keys of the node, compared without case.
pub(super) fn is_engine_section(section: &str) -> bool {
    !section.is_empty() && KEYS.iter().any(|key| key.section().eq_ignore_ascii_case(section))
}

/// The key whose name needs the fewest edits to become `name`, and how many.
pub(super) fn nearest(name: &str) -> Option<(&'static Key, usize)> {
    KEYS.iter().map(|key| (key, distance(key.name, name))).min_by_key(|&(_, edits)| edits)
}

/// Levenshtein distance without case: insertions, removals and replacements, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_declared_once_and_says_what_it_does() {
        for (at, key) in KEYS.iter().enumerate() {
            let same = |other: &Key| other.name.eq_ignore_ascii_case(key.name);
            assert!(!KEYS[..at].iter().any(same), "{} stands twice", key.name);
            assert!(key.effect.len() > 10, "{}", key.name);
            assert!(!key.effect.ends_with('.'), "{}", key.name);
        }
    }

    #[test]
    fn keys_are_found_without_case() {
        assert_eq!(Key::find("rtmfp.keepAlivePeer").map(|k| k.name), Some("RTMFP.keepalivePeer"));
        assert!(Key::find("rtmfp").is_none());
        assert!(is_engine_section("rtmp"));
        assert!(!is_engine_section(""));
        assert!(!is_engine_section("server"));
    }

    #[test]
    fn the_nearest_key_of_a_typing_error_is_found() {
        for (typed, meant, edits) in [
            ("server.targets", "servers.targets", 1),
            ("RTMP.prot", "RTMP.port", 2),
            ("rtmp.Port", "RTMP.port", 0),
            ("servers.secrets", "servers.secret", 1),
        ] {
            let (key, distance) = nearest(typed).expect("the table is not empty");
            assert_eq!((key.name, distance), (meant, edits));
        }
    }

    #[test]
    fn linked_nodes_learn_addresses_and_nothing_else() {
        let public: Vec<_> = KEYS.iter().filter(|key| key.is_public()).map(|k| k.name).collect();
        for name in ["host", "publicHost", "RTMP.port", "RTMFP.port", "HTTP.publicHost"] {
            assert!(public.contains(&name), "{name}");
        }
        for key in KEYS.iter().filter(|key| !matches!(key.name, "host" | "publicHost")) {
            let inner = ["application", "servers", "logs", "script", "media", "metrics", ""];
            if inner.contains(&key.section()) || key.name.ends_with(".host") {
                assert!(!key.is_public(), "{}", key.name);
            }
        }
    }
}
