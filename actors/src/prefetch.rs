//! Memory that is fetched before it is needed.
//!
//! A worker sends each frame to many viewers. Between two frames their memory leaves the cache, and
//! one after the other each would wait for its own thirty lines and more. Fetched for many in a row
//! they are waited for together.

#![allow(unsafe_code)]

use ramona_rtmfp::MemoryVisitor;

/// Bytes that the processor fetches at a time.
const LINE: usize = 64;

/// Begins to fetch a value into the cache. It is not read.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    let start: *const T = value;
    for offset in (0..size_of::<T>()).step_by(LINE) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint to the processor, which reads nothing and never faults; the address is
            // within the value besides.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.byte_add(offset).cast()) };
        }
        // Other processors have no stable hint: the first use fetches.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (start, offset);
    }
}

/// Fetches what it is shown.
pub(crate) struct Fetch;

impl MemoryVisitor for Fetch {
    fn visit<T>(&mut self, part: &T) {
        prefetch(part);
    }
}
