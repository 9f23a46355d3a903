//! What AMF3 references can name, while decoding.

use crate::error::DecodeError;
use crate::limits::{
    EXPANSION_PER_INPUT_BYTE, MAX_SEALED_MEMBERS, MAX_SEALED_MEMBERS_TOTAL, MIN_EXPANSION_BYTES,
};

/// Strings remembered without allocation: the arguments of a call are mostly fewer.
const INLINE_STRINGS: usize = 8;

/// The three tables of a message (§2.2), empty until something is put in.
#[derive(Debug)]
pub(crate) struct Amf3Tables<'a, V> {
    /// Offsets of the first strings' headers; the string is read again when referred to.
    first_strings: [usize; INLINE_STRINGS],
    more_strings: Vec<usize>,
    strings: usize,
    containers: Vec<Slot<V>>,
    traits: Vec<Traits<'a>>,
    /// Sealed member names of all traits, one after another.
    sealed: Vec<&'a [u8]>,
    /// Bytes that references may still hand out.
    expansion: usize,
}

/// A place in the table of containers.
#[derive(Debug)]
enum Slot<V> {
    Value(V),
    /// An `ArrayCollection`, which is read as the inner array in the next place.
    Next,
}

/// Class of an object (§3.12).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits<'a> {
    /// Empty: anonymous.
    pub(crate) type_name: &'a [u8],
    pub(crate) dynamic: bool,
    pub(crate) externalizable: bool,
    first_sealed: usize,
    pub(crate) sealed: usize,
    /// Bytes of type name and sealed names.
    bytes: usize,
}

impl<'a> Traits<'a> {
    pub(crate) fn new(type_name: &'a [u8], dynamic: bool, externalizable: bool) -> Self {
        let bytes = type_name.len();
        Self { type_name, dynamic, externalizable, first_sealed: 0, sealed: 0, bytes }
    }
}

impl<'a, V: Clone> Amf3Tables<'a, V> {
    pub(crate) fn new(input_len: usize) -> Self {
        Self {
            first_strings: [0; INLINE_STRINGS],
            more_strings: Vec::new(),
            strings: 0,
            containers: Vec::new(),
            traits: Vec::new(),
            sealed: Vec::new(),
            expansion: input_len.saturating_mul(EXPANSION_PER_INPUT_BYTE).max(MIN_EXPANSION_BYTES),
        }
    }

    /// Places reserved in all tables.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        self.more_strings.capacity()
            + self.containers.capacity()
            + self.traits.capacity()
            + self.sealed.capacity()
    }

    /// Remembers a string by the offset of its header.
    #[inline]
    pub(crate) fn add_string(&mut self, offset: usize) {
        match self.first_strings.get_mut(self.strings) {
            Some(place) => *place = offset,
            None => self.more_strings.push(offset),
        }
        self.strings += 1;
    }

    pub(crate) fn string(&self, index: usize) -> Option<usize> {
        if index >= self.strings {
            return None;
        }
        match self.first_strings.get(index) {
            Some(offset) => Some(*offset),
            None => self.more_strings.get(index - INLINE_STRINGS).copied(),
        }
    }

    /// Accounts for bytes that a reference hands out again.
    pub(crate) fn expand(&mut self, bytes: usize, offset: usize) -> Result<(), DecodeError> {
        let left = self.expansion.checked_sub(bytes);
        self.expansion = left.ok_or(DecodeError::ReferencesExpandTooFar { offset })?;
        Ok(())
    }

    pub(crate) fn containers(&self) -> usize {
        self.containers.len()
    }

    pub(crate) fn add_container(&mut self, value: V) {
        self.containers.push(Slot::Value(value));
    }

    /// Takes a place for an object that will be the container begun next; answers the place.
    pub(crate) fn add_next(&mut self) -> usize {
        self.containers.push(Slot::Next);
        self.containers.len() - 1
    }

    /// Settles a place taken by [`add_next`](Self::add_next).
    pub(crate) fn settle(&mut self, index: usize, value: V) {
        if let Some(slot) = self.containers.get_mut(index) {
            *slot = Slot::Value(value);
        }
    }

    pub(crate) fn container(&self, index: usize) -> Option<V> {
        // Places that wait for the next one are at most as many as containers inside each other.
        self.containers.get(index..)?.iter().find_map(|slot| match slot {
            Slot::Value(value) => Some(value.clone()),
            Slot::Next => None,
        })
    }

    pub(crate) fn traits(&self, index: usize) -> Option<Traits<'a>> {
        self.traits.get(index).copied()
    }

    /// Refuses classes with more sealed members than allowed, before any name is read.
    pub(crate) fn check_sealed(&self, count: usize, offset: usize) -> Result<(), DecodeError> {
        if count <= MAX_SEALED_MEMBERS && self.sealed.len() + count <= MAX_SEALED_MEMBERS_TOTAL {
            Ok(())
        } else {
            Err(DecodeError::TooManySealedMembers { offset })
        }
    }

    pub(crate) fn add_sealed(&mut self, traits: &mut Traits<'a>, name: &'a [u8]) {
        if traits.sealed == 0 {
            traits.first_sealed = self.sealed.len();
        }
        self.sealed.push(name);
        traits.sealed += 1;
        traits.bytes += name.len();
    }

    pub(crate) fn add_traits(&mut self, traits: Traits<'a>) {
        self.traits.push(traits);
    }

    pub(crate) fn sealed_name(&self, traits: &Traits<'a>, index: usize) -> &'a [u8] {
        self.sealed.get(traits.first_sealed + index).copied().unwrap_or_default()
    }

    /// Accounts for the names of a class that is referred to.
    pub(crate) fn expand_traits(
        &mut self,
        traits: &Traits<'a>,
        offset: usize,
    ) -> Result<(), DecodeError> {
        self.expand(traits.bytes, offset)
    }
}
