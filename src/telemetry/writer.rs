//! The thread that writes log lines. Whoever logs only appends to a buffer in memory: a slow disk
//! or terminal stalls no arbiter. The buffer is bounded; lines past it are counted and reported.

use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::format::engine_line;
use super::level::LogLevel;
use super::rotation::{LogFiles, Rotation};

/// Text that may wait for the disk: some seconds of `--log 8`.
const MAX_QUEUED: usize = 4 << 20;

/// How long the end of the process waits for the last lines.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Lines that wait to be written.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    dropped: u64,
    stop: bool,
    ended: bool,
}

impl Queue {
    /// Queues one event (one line, or several of a packet); never waits for the writer.
    pub(super) fn push(&self, text: String) {
        let mut state = self.lock();
        if state.text.len().saturating_add(text.len()) > MAX_QUEUED || state.ended {
            state.dropped += 1;
            return;
        }
        state.text.extend_from_slice(text.as_bytes());
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for text, swaps it into `batch`, and says how many events were dropped before now;
    /// `None` after the end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        batch.clear();
        let mut state = self.lock();
        while state.text.is_empty() {
            if state.stop {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.text, batch);
        Some(std::mem::take(&mut state.dropped))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the writer when it is dropped, after it wrote what is queued; waits two seconds at most.
#[must_use = "logging ends when the guard is dropped"]
pub struct Guard {
    queue: Arc<Queue>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_WRITE;
        let mut state = self.queue.lock();
        state.stop = true;
        self.queue.changed.notify_all();
        while !state.ended {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            let waited = self.queue.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Opens the files and starts the thread.
pub(super) fn start(console: bool, files: Option<LogFiles>) -> io::Result<(Arc<Queue>, Guard)> {
    let files = match files {
        Some(files) => Some(Rotation::open(files)?),
        None => None,
    };
    let queue = Arc::new(Queue::default());
    let writer = Writer { queue: Arc::clone(&queue), console, files, lost: 0 };
    std::thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
    Ok((Arc::clone(&queue), Guard { queue }))
}

struct Writer {
    queue: Arc<Queue>,
    console: bool,
    files: Option<Rotation>,
    /// Lines that did not reach the file since it failed.
    lost: u64,
}

/// Says that the thread ended, also by a panic, so that nobody waits for it.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Writer {
    fn run(mut self) {
        let _ended = Ended(Arc::clone(&self.queue));
        let mut batch = Vec::new();
        while let Some(dropped) = self.queue.take(&mut batch) {
            if dropped > 0 {
                batch.extend(warning("log lines dropped, the disk or console is slow", dropped));
            }
            if self.console {
                // Nobody reads the console: the files still have it.
                let _ = io::stderr().lock().write_all(&batch);
            }
            self.write_file(&mut batch);
        }
    }

    fn write_file(&mut self, batch: &mut Vec<u8>) {
        let Some(files) = &mut self.files else { return };
        if self.lost > 0 {
            batch.extend(warning("log lines missing in the file, it failed", self.lost));
        }
        let lines = batch.iter().filter(|&&byte| byte == b'\n').count() as u64;
        match files.write(batch) {
            Ok(()) => self.lost = 0,
            Err(error) => {
                if self.lost == 0 && self.console {
                    let text = format!("log file failed, trying on: {error}");
                    let _ = io::stderr().lock().write_all(&warning(&text, lines));
                }
                self.lost = self.lost.saturating_add(lines);
            }
        }
    }
}

fn warning(text: &str, lines: u64) -> Vec<u8> {
    engine_line(LogLevel::WARN, SystemTime::now(), module_path!(), text, lines).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let queue = Queue::default();
        let line = "x".repeat(MAX_QUEUED / 4);
        for _ in 0..6 {
            queue.push(line.clone());
        }
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch), Some(2));
        assert_eq!(batch.len(), MAX_QUEUED);
        queue.push("y".into());
        assert_eq!(queue.take(&mut batch), Some(0));
        assert_eq!(batch, b"y");
    }

    #[test]
    fn the_guard_waits_until_everything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let files = LogFiles {
            directory: folder.path().join("logs"),
            name: "log".into(),
            rotation: 1000,
            max_bytes: 1000,
        };
        let (queue, guard) = start(false, Some(files)).unwrap();
        for number in 0..2000 {
            queue.push(format!("line {number:04}\n"));
        }
        drop(guard);
        queue.push("too late\n".into());
        // 10 bytes a line, 100 lines a file, whatever batches the thread took.
        for number in 0..20 {
            let file = folder.path().join(format!("logs/log.{number}"));
            let text = std::fs::read_to_string(file).unwrap();
            let first = (19 - number) * 100;
            let expected: String = (first..first + 100).map(|n| format!("line {n:04}\n")).collect();
            assert_eq!(text, expected);
        }
        assert!(!folder.path().join("logs/log.20").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_at_the_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let files = LogFiles {
            directory: file.path().join("logs"),
            name: "log".into(),
            rotation: 1,
            max_bytes: 1000,
        };
        assert!(start(false, Some(files)).is_err());
    }
}
