//! What the benches share: child processes and their cost, temporary folders, tables.

// Each bench uses its part.
#![allow(dead_code)]

pub(crate) mod child;
pub(crate) mod table;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::ExitCode;

/// What went wrong, in words.
pub(crate) type Outcome<T> = Result<T, String>;

/// Runs the bench if cargo asks for benches: `cargo test --all-targets` runs this program as well.
pub(crate) fn asked(bench: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    if std::env::args().any(|argument| argument == "--bench") {
        return bench();
    }
    println!("a bench: run it with `cargo xtask bench`");
    Ok(())
}

/// What `main` answers; tells what went wrong.
pub(crate) fn ended(bench: &str, result: Outcome<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{bench}: {text}");
            ExitCode::FAILURE
        }
    }
}

/// A TCP port of the loopback interface that nobody has at the moment.
pub(crate) fn free_port() -> Outcome<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("bind: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// A UDP port of the loopback interface that nobody has at the moment.
pub(crate) fn free_udp_port() -> Outcome<u16> {
    let socket =
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("bind: {error}"))?;
    socket.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Outcome<()> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Tells the bench something, from another part of it.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The bench has ended when nobody reads.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A whole number from the environment, to make a run shorter or longer.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One line about the machine and its load: figures of a busy machine are worth little.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores, {}, load {} at the start",
        model.unwrap_or("unknown processor").trim(),
        load.split(' ').next().unwrap_or("unknown")
    )
}

/// The middle of a list; of an even number the lower of both.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
