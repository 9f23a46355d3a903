//! Waiting for conditions.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long any one condition may take. Far above what it takes on an idle machine, so that a busy
/// one does not make tests fail.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a condition that cannot announce itself (a counter, a process).
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `condition` has an answer.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub async fn until_some<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks until `condition` holds.
///
/// # Panics
/// As [`until_some`].
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(())).await;
}

/// The answer of a future.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {PATIENCE:?} for: {what}"),
    }
}
