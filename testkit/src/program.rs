//! The real binary as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait;

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    dir: TempDir,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// A port for a configuration file, which cannot ask for port 0: none that the system gives to others
/// (to port 0, or to who connects), none that this process was given before, free a moment ago on TCP.
///
/// # Panics
/// No port is free.
pub fn free_port() -> u16 {
    // Below what Linux gives away (`net.ipv4.ip_local_port_range`), above what services use. Processes
    // of one time begin at different places.
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let nth = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + nth).expect("below 32,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("each port from {FIRST} to {} is in use", FIRST + COUNT - 1);
}

impl Program {
    /// Starts `binary` in a new folder with this configuration file and root script.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(binary: &str, ini: &str, main_lua: &str, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the program");
        std::fs::create_dir(dir.path().join("www")).expect("a folder for scripts");
        std::fs::write(dir.path().join("www/main.lua"), main_lua).expect("the script");
        std::fs::write(dir.path().join("ramona.ini"), ini).expect("the configuration");
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("its standard error");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, dir, lines, reader: Some(reader) }
    }

    /// What it wrote to standard error so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits for a line that contains all of `parts`.
    pub async fn logged(&mut self, parts: &[&str]) -> String {
        wait::until_some(&format!("the program logs {parts:?}"), || {
            let lines = self.lines();
            let found = lines.iter().find(|line| parts.iter().all(|part| line.contains(part)));
            let ended = self.child.try_wait().expect("a child").is_some();
            assert!(
                found.is_some() || !ended || self.reader.as_ref().is_some_and(|r| !r.is_finished()),
                "the program ended without logging {parts:?}: {lines:#?}"
            );
            found.cloned()
        })
        .await
    }

    /// Waits until it listens.
    pub async fn listens(&self, to: SocketAddr) {
        wait::until("the program to listen", || std::net::TcpStream::connect(to).is_ok()).await;
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT, as by Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGKILL: it gets no chance to do anything.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the program lives");
    }

    /// Waits until it ended; all its lines are there then.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status =
            wait::until_some("the program to end", || child.try_wait().expect("a child")).await;
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of its lines");
        }
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- program\n{}", self.lines().join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_given_once_and_is_none_that_the_system_gives_away() {
        let ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
        let different: std::collections::HashSet<_> = ports.iter().collect();
        assert_eq!(different.len(), ports.len(), "{ports:?}");
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let range = range.expect("Linux says which ports it gives away");
        let mut ends = range.split_whitespace().map(|end| end.parse().expect("a port"));
        let (first, last): (u16, u16) = (ends.next().expect("two"), ends.next().expect("two"));
        assert!(!ports.iter().any(|port| (first..=last).contains(port)), "{ports:?} {range}");
    }
}
