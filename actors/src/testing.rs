//! What tests of this crate share.

use std::time::{Duration, Instant};

/// Far above what any condition takes, so that a busy machine does not make tests fail.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets the other tasks of this thread run until `condition` holds, in real time.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub(crate) async fn run_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        tokio::task::yield_now().await;
    }
}

/// The same for conditions that other threads fulfil.
///
/// # Panics
/// As [`run_until`].
pub(crate) fn block_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        std::thread::yield_now();
    }
}
