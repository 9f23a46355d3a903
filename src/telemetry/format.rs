//! One event as one line.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};

use super::level::LogLevel;
use super::time;

/// Longest line in bytes; what a script logs may be a whole media packet.
pub(super) const MAX_LINE: usize = 16 << 10;

/// The fields of one event, sorted by what a line does with them.
pub(super) struct Line {
    pub(super) level: LogLevel,
    file: String,
    line: Option<u64>,
    message: String,
    fields: String,
    /// Where a script stood when it failed, a line each.
    trace: String,
    pub(super) protocol: String,
    data: Vec<u8>,
    data_bytes: usize,
    data_limit: usize,
}

impl Line {
    /// An empty line of that level; of a packet, `data_limit` bytes are kept.
    pub(super) fn new(level: LogLevel, data_limit: usize) -> Self {
        Self {
            level,
            file: String::new(),
            line: None,
            message: String::new(),
            fields: String::new(),
            trace: String::new(),
            protocol: String::new(),
            data: Vec::new(),
            data_bytes: 0,
            data_limit,
        }
    }

    /// A script's line: `date level [file:line] text fields`, and a traceback below it.
    pub(super) fn script(&self, now: SystemTime) -> String {
        let mut out = self.begin(now);
        let _ = match self.line {
            _ if self.file.is_empty() => Ok(()),
            Some(line) => write!(out, "[{}:{line}] ", self.file),
            None => write!(out, "[{}] ", self.file),
        };
        let mut out = self.finish(out);
        for line in self.trace.lines() {
            out.push_str("    ");
            escape(&mut out, &line);
            out.push('\n');
        }
        out
    }

    /// A line of the node: `date level target spans: text fields`.
    pub(super) fn engine(&self, now: SystemTime, target: &str, spans: &str) -> String {
        let mut out = self.begin(now);
        out += target;
        out.push(' ');
        if !spans.is_empty() {
            out += spans;
            out += ": ";
        }
        self.finish(out)
    }

    /// A packet: the head of an engine's line, then 16 bytes a line.
    pub(super) fn packet(&self, now: SystemTime, spans: &str) -> String {
        let mut out = self.begin(now);
        let _ = write!(out, "dump {} ", self.protocol);
        if !spans.is_empty() {
            let _ = write!(out, "{spans}: ");
        }
        let mut out = self.finish(out);
        out.pop();
        let _ = writeln!(out, " ({} bytes)", self.data_bytes);
        for (at, bytes) in self.data.chunks(16).enumerate() {
            let _ = write!(out, "  {:06x} ", at * 16);
            for byte in bytes {
                let _ = write!(out, " {byte:02x}");
            }
            let _ = write!(out, "{:1$}", "", (16 - bytes.len()) * 3 + 2);
            let shown = |&b: &u8| if (b' '..=b'~').contains(&b) { char::from(b) } else { '.' };
            out.extend(bytes.iter().map(shown));
            out.push('\n');
        }
        out
    }

    fn begin(&self, now: SystemTime) -> String {
        let mut out = String::with_capacity(96 + self.message.len() + self.fields.len());
        time::write(&mut out, now);
        let _ = write!(out, " {:<5} ", self.level.name());
        out
    }

    fn finish(&self, mut out: String) -> String {
        out += &self.message;
        out += if self.message.is_empty() { self.fields.trim_start() } else { &self.fields };
        if out.len() > MAX_LINE {
            let whole = out.len();
            out.truncate(floor_char_boundary(&out, MAX_LINE));
            let _ = write!(out, "... ({whole} bytes)");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    fn text(&mut self, field: &Field, value: &dyn fmt::Display) {
        match field.name() {
            "message" => escape(&mut self.message, value),
            "file" => escape(&mut self.file, value),
            "protocol" => escape(&mut self.protocol, value),
            name => write_field(&mut self.fields, name, value),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match (field.name(), LogLevel::named(value)) {
            ("level_name", Some(level)) => self.level = level,
            ("trace", _) => self.trace.push_str(value),
            _ => self.text(field, &value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "line" => self.line = Some(value),
            _ => self.text(field, &value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match (field.name(), u64::try_from(value)) {
            ("line", Ok(line)) => self.line = Some(line),
            _ => self.text(field, &value),
        }
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        if field.name() == "data" {
            self.data_bytes = value.len();
            self.data = value[..value.len().min(self.data_limit)].to_vec();
        } else {
            self.text(field, &value.escape_ascii());
        }
    }
}

/// A line of this crate's own, with a count of lines.
pub(super) fn engine_line(
    level: LogLevel,
    now: SystemTime,
    target: &str,
    text: &str,
    lines: u64,
) -> String {
    let mut line = Line::new(level, 0);
    escape(&mut line.message, &text);
    write_field(&mut line.fields, "lines", &lines);
    line.engine(now, target, "")
}

/// The last place at or before `at` where a text may be cut.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Fields of a span, written once when it opens.
#[derive(Default)]
pub(super) struct SpanFields(pub(super) String);

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write_field(&mut self.0, field.name(), &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write_field(&mut self.0, field.name(), &value);
    }
}

fn write_field(out: &mut String, name: &str, value: &dyn fmt::Display) {
    let name = name.strip_prefix("r#").unwrap_or(name);
    let _ = write!(out, " {name}=");
    escape(out, value);
}

/// Appends a text without control characters, up to what a line may hold and a little more, so
/// that the end of [`Line::finish`] still says how much there was.
fn escape(out: &mut String, value: &dyn fmt::Display) {
    struct Escape<'a> {
        out: &'a mut String,
        room: usize,
    }
    impl fmt::Write for Escape<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for c in text.chars() {
                let before = self.out.len();
                match c {
                    '\n' => self.out.push_str("\\n"),
                    '\r' => self.out.push_str("\\r"),
                    '\t' => self.out.push_str("\\t"),
                    '\0' => self.out.push_str("\\0"),
                    c if c.is_control() => write!(self.out, "\\x{:02x}", u32::from(c))?,
                    c => self.out.push(c),
                }
                let used = self.out.len() - before;
                // An error ends formatting early: a 100 MB text costs no more than a line.
                self.room = self.room.checked_sub(used).ok_or(fmt::Error)?;
            }
            Ok(())
        }
    }
    if write!(Escape { out, room: 2 * MAX_LINE }, "{value}").is_err() {
        out.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(&mut out, &text);
        out
    }

    #[test]
    fn control_characters_are_escaped_and_others_are_not() {
        assert_eq!(escaped("a\0\n\r\t\x1b[31m\u{85}é€"), "a\\0\\n\\r\\t\\x1b[31m\\x85é€");
    }

    #[test]
    fn a_huge_text_costs_no_more_than_a_line() {
        let huge = "€".repeat(1 << 20);
        assert!(escaped(&huge).len() < 2 * MAX_LINE + 16);
        let mut line = Line::new(LogLevel::INFO, 0);
        escape(&mut line.message, &huge);
        let out = line.script(SystemTime::UNIX_EPOCH);
        assert!(out.len() < MAX_LINE + 64, "{}", out.len());
        assert!(out.ends_with(" bytes)\n"));
    }

    #[test]
    fn a_packet_is_hex_and_text_up_to_its_limit() {
        let mut line = Line::new(LogLevel::TRACE, 17);
        line.protocol = "RTMP".into();
        line.message = "in".into();
        line.data = b"0123456789abcdef\x00"[..17].to_vec();
        line.data_bytes = 4000;
        assert_eq!(
            line.packet(SystemTime::UNIX_EPOCH, ""),
            "1970-01-01 00:00:00.000 TRACE dump RTMP in (4000 bytes)\n  \
             000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n  \
             000010  00                                               .\n"
        );
    }
}
