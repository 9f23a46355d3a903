//! `--daemon` and `--pidfile`.
//!
//! No `fork`: the program starts itself again with `--daemon=detached`, so that no thread is lost
//! on the way. The child leaves the terminal's session, starts the node, and says that it runs; only
//! then its parent returns. Mistakes at the start thus reach the terminal and the exit code. The
//! working folder stays, for `application.dir` is relative to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The byte that tells the parent that the node runs (ASCII ACK).
const RUNNING: u8 = 0x06;

/// Starts the detached process and waits until it runs or ends; the exit code of this process.
///
/// # Errors
/// The program cannot be started again.
pub fn start() -> io::Result<ExitCode> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--daemon=detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdout) = child.stdout.take() {
        let mut bytes = [0; 1024];
        loop {
            match stdout.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) if bytes[..read].contains(&RUNNING) => return Ok(ExitCode::SUCCESS),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The detached process before its node runs.
#[must_use = "the parent waits until the node runs"]
pub struct Detached(());

impl Detached {
    /// Leaves the session of the terminal.
    ///
    /// # Errors
    /// As `setsid(2)`.
    pub fn begin() -> io::Result<Self> {
        rustix::process::setsid()?;
        Ok(Self(()))
    }

    /// Lets the parent return, and standard output and error go nowhere from now on.
    ///
    /// # Errors
    /// `/dev/null` cannot be opened; the parent returns all the same.
    pub fn running(self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        // A parent that was killed meanwhile is no reason to stop.
        let _ = stdout.write_all(&[RUNNING]).and_then(|()| stdout.flush());
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        Ok(())
    }
}

/// The file with the process number; removed when this is dropped.
#[derive(Debug)]
#[must_use = "the file is removed when this is dropped"]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes this process's number; a file of an earlier run is replaced.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Gone already: that is what was wanted.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfile_holds_the_process_number_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        fs::write(&path, "a number of an earlier run").unwrap();
        let pidfile = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(pidfile);
        assert!(!path.exists());
        assert!(PidFile::write(&folder.path().join("no/folder/pid")).is_err());
    }
}
