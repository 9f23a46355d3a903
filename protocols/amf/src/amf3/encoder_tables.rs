//! What AMF3 references can name, while encoding.

use std::collections::HashMap;

use crate::limits::{MAX_REMEMBERED_STRING_BYTES, MAX_REMEMBERED_STRINGS, MAX_REMEMBERED_TRAITS};

/// Counts what the reader of the message puts in its tables, and remembers some of it.
#[derive(Debug, Default)]
pub(crate) struct EncoderTables {
    /// Containers, dates and byte arrays so far.
    pub(crate) containers: u32,
    /// Every class is written in full, so that the bytes mean the same in any message.
    self_contained: bool,
    /// Strings by content, only when asked for.
    strings: Option<StringTable>,
    /// Type names of the classes so far with their index; empty: anonymous.
    traits: Vec<(Box<[u8]>, u32)>,
    anonymous: Option<u32>,
    next_traits: u32,
}

#[derive(Debug, Default)]
struct StringTable {
    known: HashMap<Box<[u8]>, u32>,
    next: u32,
}

/// How to write a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassHeader {
    Reference(u32),
    Inline,
}

impl EncoderTables {
    pub(crate) fn with_strings() -> Self {
        Self { strings: Some(StringTable::default()), ..Self::default() }
    }

    /// Tables for values that are put into messages with others, whose references they must not
    /// count on.
    pub(crate) fn self_contained() -> Self {
        Self { self_contained: true, ..Self::default() }
    }

    /// The index of a string written before; or counts it as written now.
    #[inline]
    pub(crate) fn string(&mut self, value: &[u8]) -> Option<u32> {
        match &mut self.strings {
            None => None,
            Some(table) => table.find_or_add(value),
        }
    }

    /// A class that is not written again by reference.
    pub(crate) fn count_class(&mut self) {
        self.next_traits = self.next_traits.saturating_add(1);
    }

    /// The class of dynamic objects of this name, without sealed members.
    #[inline]
    pub(crate) fn class(&mut self, type_name: &[u8]) -> ClassHeader {
        if self.self_contained {
            return ClassHeader::Inline;
        }
        if type_name.is_empty() {
            if let Some(index) = self.anonymous {
                return ClassHeader::Reference(index);
            }
            self.anonymous = Some(self.next_traits);
        } else {
            let known = self.traits.iter().find(|(name, _)| **name == *type_name);
            if let Some((_, index)) = known {
                return ClassHeader::Reference(*index);
            }
            if self.traits.len() < MAX_REMEMBERED_TRAITS {
                self.traits.push((type_name.into(), self.next_traits));
            }
        }
        self.next_traits = self.next_traits.saturating_add(1);
        ClassHeader::Inline
    }
}

impl StringTable {
    fn find_or_add(&mut self, value: &[u8]) -> Option<u32> {
        if value.is_empty() {
            return None;
        }
        if let Some(index) = self.known.get(value) {
            return Some(*index);
        }
        if value.len() <= MAX_REMEMBERED_STRING_BYTES && self.known.len() < MAX_REMEMBERED_STRINGS {
            self.known.insert(value.into(), self.next);
        }
        self.next = self.next.saturating_add(1);
        None
    }
}
