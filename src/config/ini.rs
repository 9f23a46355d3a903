//! The syntax of the configuration file (script API spec CFG-02, CFG-03).
//!
//! - `[section]` opens a section, `[]` goes back to keys without section.
//! - `key = value`: the first `=` splits, both sides are trimmed, the key becomes `section.key`.
//! - A line whose first non-blank is `;` is a comment; `#` is nothing special.
//! - Inside a value `;` belongs to the value, unless a blank stands before it: then a comment
//!   starts there. In `servers.targets`, a list separated by `;`, it never does.
//! - Lines end with LF or CRLF. A later duplicate of a key wins.

use std::collections::HashMap;

use super::problem::{Problem, Severity};

/// The key whose value may hold ` ;` (CFG-03).
const TARGETS: &str = "servers.targets";

/// One `key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `section.key`, or `key` before the first section, as written.
    pub key: String,
    /// The value, trimmed and without comment; may be empty.
    pub value: String,
    /// Line of the file, counted from 1.
    pub line: u32,
}

/// A parsed file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ini {
    /// One entry per key (compared as written), in the order of their first appearance.
    pub entries: Vec<Entry>,
    /// Lines that were ignored or read with a replacement; all of them warnings.
    pub problems: Vec<Problem>,
}

impl Ini {
    /// Reads a whole file. Never fails: a line that is neither section, entry nor comment is
    /// ignored with a warning. `file` only names the file in the findings.
    ///
    /// Bytes that are not UTF-8 become U+FFFD, with a warning that names the line.
    pub fn parse(text: &[u8], file: &str) -> Self {
        let mut parser = Parser { ini: Ini::default(), index: HashMap::new(), file, line: 0 };
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let mut section = String::new();
        for line in text.split(|&byte| byte == b'\n') {
            parser.line = parser.line.saturating_add(1);
            let line = String::from_utf8_lossy(line);
            if matches!(line, std::borrow::Cow::Owned(_)) {
                parser.warn("", "bytes that are not UTF-8 were replaced".into());
            }
            parser.line(line.trim(), &mut section);
        }
        parser.ini
    }
}

struct Parser<'a> {
    ini: Ini,
    index: HashMap<String, usize>,
    file: &'a str,
    line: u32,
}

impl Parser<'_> {
    fn line(&mut self, line: &str, section: &mut String) {
        if line.is_empty() || line.starts_with(';') {
            return;
        }
        if let Some(rest) = line.strip_prefix('[') {
            return self.section(rest, section);
        }
        let Some((key, value)) = line.split_once('=') else {
            return self.warn("", format!("ignored, neither [section] nor key = value: {line:?}"));
        };
        let key = key.trim();
        if key.is_empty() {
            return self.warn("", format!("ignored, no key before the \"=\": {line:?}"));
        }
        let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        let value =
            if key.eq_ignore_ascii_case(TARGETS) { value } else { without_comment(value) }.trim();
        self.entry(key, value.to_owned());
    }

    fn section(&mut self, rest: &str, section: &mut String) {
        let (name, after) = match rest.split_once(']') {
            Some(parts) => parts,
            None => {
                self.warn("", format!("section without \"]\": \"[{rest}\""));
                (rest, "")
            }
        };
        name.trim().clone_into(section);
        let after = after.trim();
        if !after.is_empty() && !after.starts_with(';') {
            self.warn("", format!("ignored, text after a section: {after:?}"));
        }
    }

    fn entry(&mut self, key: String, value: String) {
        let entry = Entry { key, value, line: self.line };
        match self.index.get(&entry.key) {
            Some(&at) => self.ini.entries[at] = entry,
            None => {
                self.index.insert(entry.key.clone(), self.ini.entries.len());
                self.ini.entries.push(entry);
            }
        }
    }

    fn warn(&mut self, key: &str, text: String) {
        self.ini.problems.push(Problem {
            severity: Severity::Warning,
            file: self.file.to_owned(),
            line: self.line,
            key: key.to_owned(),
            text,
        });
    }
}

/// The value up to the first `;` that follows a blank.
fn without_comment(value: &str) -> &str {
    let bytes = value.as_bytes();
    let comment =
        (1..bytes.len()).find(|&i| bytes[i] == b';' && matches!(bytes[i - 1], b' ' | b'\t'));
    comment.map_or(value, |at| &value[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let ini = Ini::parse(text.as_bytes(), "t.ini");
        assert_eq!(ini.problems, []);
        ini.entries.into_iter().map(|e| (e.key, e.value)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn cfg_02_lines_are_read_as_the_specification_says() {
        for (text, key, value) in [
            ("port=1", "port", "1"),
            ("  port \t=  1 \r\n", "port", "1"),
            ("[RTMP]\nport = 1", "RTMP.port", "1"),
            ("[ RTMP ]\r\nport = 1\r\n", "RTMP.port", "1"),
            ("[RTMP] ; note\nport = 1", "RTMP.port", "1"),
            ("[RTMP]\n[]\nhost = h", "host", "h"),
            ("RTMP.port = 1", "RTMP.port", "1"),
            ("a = b = c", "a", "b = c"),
            ("a =", "a", ""),
            ("a = # b", "a", "# b"),
            ("#a = b", "#a", "b"),
            ("; a = 1\n   ; b = 2\na = 3", "a", "3"),
            ("\u{feff}a = 1", "a", "1"),
            ("a = 1\na = 2", "a", "2"),
            ("a = [x]", "a", "[x]"),
        ] {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn cfg_03_a_semicolon_after_a_blank_starts_a_comment_except_in_targets() {
        for (text, value) in [
            ("port = 19350 ; existing config", "19350"),
            ("port = 19350\t;x", "19350"),
            ("port =; x", "; x"),
            ("port = ; x", ""),
            ("list = a;b;c", "a;b;c"),
            ("list = a;b ;c", "a;b"),
            ("servers.targets = a:1 ; b:2;c:3", "a:1 ; b:2;c:3"),
            ("SERVERS.Targets = a:1 ; b:2", "a:1 ; b:2"),
            ("[servers]\ntargets = a:1 ; b:2", "a:1 ; b:2"),
            ("[other]\ntargets = a:1 ; b:2", "a:1"),
        ] {
            assert_eq!(one(text).1, value, "{text:?}");
        }
    }

    #[test]
    fn cfg_02_and_03_and_08_two_targets_with_a_comment_line_before_them_are_read_whole() {
        let text = ";MonaServer.ini\nhost = www.example.com:1935\n[servers]\n\
                    targets = 192.0.2.2:1936?type=master;192.0.2.3:1936\n";
        assert_eq!(
            pairs(text),
            [
                ("host".to_owned(), "www.example.com:1935".to_owned()),
                (
                    "servers.targets".to_owned(),
                    "192.0.2.2:1936?type=master;192.0.2.3:1936".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_later_duplicate_wins_and_carries_its_own_line() {
        let ini = Ini::parse(b"a = 1\nb = 2\na = 3\n", "t.ini");
        assert_eq!(
            ini.entries,
            [
                Entry { key: "a".into(), value: "3".into(), line: 3 },
                Entry { key: "b".into(), value: "2".into(), line: 2 },
            ]
        );
    }

    #[test]
    fn a_line_that_means_nothing_is_ignored_and_named() {
        for (text, line, entries) in [
            (&b"a = 1\nwhat is this\nb = 2"[..], 2, 2),
            (b" = 1", 1, 0),
            (b"[x\na = 1", 1, 1),
            (b"[x] a = 1", 1, 0),
            (b"\n\na = \xff", 3, 1),
        ] {
            let ini = Ini::parse(text, "t.ini");
            assert_eq!(ini.problems.len(), 1, "{ini:?}");
            assert_eq!(ini.problems[0].line, line);
            assert_eq!(ini.problems[0].severity, Severity::Warning);
            assert_eq!(ini.entries.len(), entries, "{ini:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            entries in proptest::collection::vec(
                ("[a-zA-Z][a-zA-Z0-9]{0,8}", "[a-z]([ -:<-~]{0,20}[a-z])?(;[a-z]{1,4})?"), 0..20)
        ) {
            let mut text = String::from("[s]\r\n");
            let mut expected: Vec<(String, String)> = Vec::new();
            for (key, value) in entries {
                text += &format!("{key} = {value}\r\n");
                let key = format!("s.{key}");
                match expected.iter_mut().find(|known| known.0 == key) {
                    Some(known) => known.1 = value,
                    None => expected.push((key, value)),
                }
            }
            prop_assert_eq!(pairs(&text), expected);
        }
    }
}
