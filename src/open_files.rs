//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this, an operator is told: a node of some size needs more.
const FEW: u64 = 4_096;

/// Raises the limit to the highest that the system allows without being root. Systems start
/// programs with 1,024 for the sake of old ones that use `select`.
pub fn raise() -> std::io::Result<()> {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before })?;
    }
    Ok(())
}

/// Tells in the log how many there may be.
pub fn tell() {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < FEW => tracing::warn!(
            "at most {limit} open files, and each connection is one: raise the limit (ulimit -Hn, \
             LimitNOFILE of systemd)"
        ),
        Some(limit) => tracing::info!("at most {limit} open files, each connection is one"),
        None => tracing::info!("no limit of open files"),
    }
}
