//! What a conversion could not write.

use std::fmt::Write;

use super::walk::MAX_TABLES;

/// What could not be written as it is, for one WARN per call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notes {
    pub(super) omitted: usize,
    pub(super) keys: usize,
    pub(super) deep: usize,
    pub(super) cycles: usize,
    pub(super) many: usize,
    pub(super) long: usize,
    pub(super) switched: usize,
    pub(super) dates: usize,
    pub(super) dictionaries: usize,
}

impl Notes {
    /// The text of the warning, if there is anything to warn of.
    pub(crate) fn text(&self) -> Option<String> {
        let mut text = String::new();
        let rows = [
            (self.omitted, "values that cannot be serialized"),
            (self.keys, "keys that cannot be serialized"),
            (self.deep, "tables nested deeper than 128 levels"),
            (self.long, "values too long for the format"),
            (self.switched, "values that AMF0 lacks, written as AMF3"),
            (self.dates, "dates outside of the years 0 to 9999"),
            (self.dictionaries, "dictionaries, written as objects"),
        ];
        for (count, what) in rows {
            if count > 0 {
                let separator = if text.is_empty() { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(text, "{separator}{count} {what}");
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// The text of the error, if there is one: what ends in null because it has no end (CNV-15).
    pub(crate) fn error(&self) -> Option<String> {
        let mut text = String::new();
        if self.cycles > 0 {
            let _ = write!(text, "{} tables inside themselves, written as null", self.cycles);
        }
        if self.many > 0 {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{} tables beyond {MAX_TABLES}", self.many);
        }
        (!text.is_empty()).then_some(text)
    }
}
