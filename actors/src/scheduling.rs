//! Time slices of a worker's thread.
//!
//! A worker sleeps most of the time, and what wakes it shall pass at once. Where others want the same
//! core, Linux (6.12 and later) lets the thread with the shorter slice go first, and interrupts it
//! less often for those that it wakes itself: viewers on the same machine, for one. Its share of the
//! time is the same.

#![allow(unsafe_code)]

use std::time::Duration;

/// About what a frame for 40 viewers takes; half of what the system gives on two cores, a quarter on
/// eight.
const SLICE: Duration = Duration::from_micros(700);

/// Asks for short slices for this thread, whose other settings stay. Systems that know none go on as
/// they are.
#[cfg(target_os = "linux")]
pub(crate) fn prefer_short_slices() {
    const SIZE: libc::c_uint = size_of::<libc::sched_attr>() as libc::c_uint;
    /// The calling thread.
    const SELF: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: zeros are a valid value of a structure of integers.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the `SIZE` bytes that `attributes` has.
    let known = unsafe {
        libc::syscall(libc::SYS_sched_getattr, SELF, &raw mut attributes, SIZE, NO_FLAGS) == 0
    };
    let is_usual =
        matches!(attributes.sched_policy.cast_signed(), libc::SCHED_OTHER | libc::SCHED_BATCH);
    // Older systems tell no slice of such a thread.
    if known && is_usual && attributes.sched_runtime != 0 {
        attributes.size = SIZE;
        attributes.sched_runtime = SLICE.as_nanos() as u64;
        // SAFETY: the kernel reads the `size` bytes of `attributes`.
        unsafe { libc::syscall(libc::SYS_sched_setattr, SELF, &raw const attributes, NO_FLAGS) };
    }
}

/// See above.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prefer_short_slices() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn attributes() -> libc::sched_attr {
        // SAFETY: as above.
        unsafe {
            let mut attributes: libc::sched_attr = std::mem::zeroed();
            let size = size_of::<libc::sched_attr>() as libc::c_uint;
            let result = libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0);
            assert_eq!(result, 0);
            attributes
        }
    }

    #[test]
    fn a_thread_has_a_shorter_slice_and_keeps_its_policy_and_niceness() {
        let thread = std::thread::spawn(|| {
            let before = attributes();
            prefer_short_slices();
            let after = attributes();
            assert_eq!(
                (after.sched_policy, after.sched_nice),
                (before.sched_policy, before.sched_nice)
            );
            let expected = if before.sched_runtime == 0 { 0 } else { SLICE.as_nanos() as u64 };
            assert_eq!(after.sched_runtime, expected);
        });
        thread.join().expect("the thread ends well");
    }
}
