//! The last lines of the log, for the operator's page.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are kept.
pub const MAX_LINES: usize = 300;

/// Longest part of a line that is kept, in bytes.
const MAX_LINE: usize = 500;

/// See the module's text. Clones share the lines.
#[derive(Clone, Debug, Default)]
pub struct LogTail(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    /// Lines that came before the first of them.
    before: u64,
}

impl LogTail {
    /// Adds an event as it is written, of one line or more; the oldest line makes room.
    pub fn push(&self, text: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            if lines.lines.len() == MAX_LINES {
                lines.lines.pop_front();
                lines.before += 1;
            }
            let end = (0..=MAX_LINE.min(line.len())).rev().find(|&at| line.is_char_boundary(at));
            lines.lines.push_back(line[..end.unwrap_or(0)].to_owned());
        }
    }

    /// Lines behind the first `seen`, and how many there were ever.
    pub fn since(&self, seen: u64) -> (Vec<String>, u64) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = usize::try_from(seen.saturating_sub(lines.before)).unwrap_or(usize::MAX);
        let new = lines.lines.iter().skip(skip).cloned().collect();
        (new, lines.before + lines.lines.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_each_line_is_seen_once() {
        let tail = LogTail::default();
        tail.push("one\ntwo\n");
        let (lines, seen) = tail.since(0);
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(tail.since(seen), (vec![], 2));
        tail.push(&"€".repeat(1_000));
        let (lines, seen) = tail.since(seen);
        assert_eq!(lines[0].len(), 498);
        for number in 0..2 * MAX_LINES {
            tail.push(&number.to_string());
        }
        let (lines, now) = tail.since(seen);
        assert_eq!((lines.len(), now), (MAX_LINES, 3 + 2 * MAX_LINES as u64));
        assert_eq!(lines[0], MAX_LINES.to_string());
    }
}
