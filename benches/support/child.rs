//! A process of its own for each part of a bench, and what it costs.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Outcome;

/// Clock ticks a second of `/proc/PID/stat`: 100 on every Linux (`USER_HZ`).
const TICKS: u64 = 100;

/// A process that ends with this value.
pub(crate) struct Process {
    child: Child,
    output: Option<BufReader<std::process::ChildStdout>>,
    /// Nanoseconds of each thread when last looked at: those that have ended count on.
    threads: HashMap<OsString, u64>,
}

impl Process {
    /// Starts a program; its errors go to this terminal, its output to [`line`](Self::line).
    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let output = child.stdout.take().map(BufReader::new);
        Ok(Self { child, output, threads: HashMap::new() })
    }

    /// This program once more, as another part of the bench.
    pub(crate) fn part(arguments: &[&str]) -> Outcome<Self> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        Self::start(Command::new(program).args(arguments))
    }

    /// A node of the release build, the very program that users run; or the one that `BENCH_NODE`
    /// names, to compare two in one run.
    pub(crate) fn node(folder: &Path, configuration: &str) -> Outcome<Self> {
        let other = std::env::var_os("BENCH_NODE");
        let program = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_ramona").into());
        Self::node_of(&program, folder, configuration)
    }

    /// A node of another build.
    pub(crate) fn node_of(program: &OsStr, folder: &Path, configuration: &str) -> Outcome<Self> {
        let file = folder.join("ramona.ini");
        super::write(&file, configuration)?;
        let mut command = Command::new(program);
        command.arg("--config").arg(file).arg("--dir").arg(folder).args(["--log", "4"]);
        Self::start(&mut command)
    }

    /// The rest of the next output line that begins with `word`; others are passed over.
    pub(crate) fn line(&mut self, word: &str) -> Outcome<String> {
        let output = self.output.as_mut().ok_or("its output is taken")?;
        loop {
            let mut line = String::new();
            match output.read_line(&mut line) {
                Ok(0) => return Err(format!("a process ended before it said {word:?}")),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
            if let Some(rest) = line.trim_end().strip_prefix(word) {
                return Ok(rest.trim().to_owned());
            }
            show_error(line.trim_end());
        }
    }

    /// Reads what else it says, so that it never waits for a reader; shows errors only.
    pub(crate) fn forget_output(&mut self) {
        if let Some(output) = self.output.take() {
            std::thread::spawn(move || {
                output.lines().map_while(Result::ok).for_each(|line| show_error(&line));
            });
        }
    }

    /// Processor time of all its threads since its start. What a thread did that began and ended
    /// between two calls is missing.
    pub(crate) fn cpu(&mut self) -> Outcome<Duration> {
        let folder = format!("/proc/{}/task", self.child.id());
        for task in std::fs::read_dir(folder).map_err(|e| e.to_string())?.flatten() {
            // First field: nanoseconds on a processor.
            let text = std::fs::read_to_string(task.path().join("schedstat"));
            let nanos = text.ok().and_then(|text| text.split(' ').next()?.parse().ok());
            match nanos {
                Some(nanos) => self.threads.insert(task.file_name(), nanos),
                // It has just ended.
                None if !task.path().exists() => continue,
                None => return self.cpu_in_ticks(),
            };
        }
        Ok(Duration::from_nanos(self.threads.values().sum()))
    }

    /// The same where the kernel keeps no scheduler statistics, to 10 ms.
    fn cpu_in_ticks(&self) -> Outcome<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // Behind the name in brackets, user and system time are the 12th and 13th field.
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }

    /// Resident memory in kB.
    pub(crate) fn memory_kb(&self) -> Outcome<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("{path} has no VmRSS"))
    }

    /// Waits until somebody listens on a port.
    pub(crate) fn wait_for_port(&mut self, port: u16) -> Outcome<()> {
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("a process ended before it listened: {status}"));
            }
            if begin.elapsed() > Duration::from_secs(10) {
                return Err(format!("nobody listens on port {port}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn show_error(line: &str) {
    if line.contains("ERROR") {
        eprintln!("{line}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
