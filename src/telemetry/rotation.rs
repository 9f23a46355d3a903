//! Numbered log files (script API spec CFG-19, CFG-20).
//!
//! `name.0` is the current file. When a line would pass the size, `name.0` becomes `name.1`,
//! `name.1` becomes `name.2`, and so on; with `rotation` files in all, the oldest goes. Rotation 0
//! is one file `name`, started anew when it is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::config::Logs;

/// Where log files lie, and how many.
#[derive(Debug, Clone)]
pub struct LogFiles {
    /// Folder, made when it is missing.
    pub directory: PathBuf,
    /// Name without number.
    pub name: String,
    /// Number of files; 0 is one file without number.
    pub rotation: usize,
    /// Size in bytes at which the next file begins. A longer line gets a file of its own.
    pub max_bytes: u64,
}

impl From<&Logs> for LogFiles {
    fn from(logs: &Logs) -> Self {
        Self {
            directory: logs.directory.clone(),
            name: logs.name.clone(),
            rotation: logs.rotation,
            max_bytes: logs.max_bytes,
        }
    }
}

impl LogFiles {
    fn path(&self, number: usize) -> PathBuf {
        if self.rotation == 0 {
            self.directory.join(&self.name)
        } else {
            self.directory.join(format!("{}.{number}", self.name))
        }
    }
}

/// The current file.
pub(super) struct Rotation {
    files: LogFiles,
    /// `None` after a failure, until opening works again.
    current: Option<File>,
    bytes: u64,
}

impl Rotation {
    /// Goes on with the current file of an earlier run.
    pub(super) fn open(files: LogFiles) -> io::Result<Self> {
        let mut rotation = Self { files, current: None, bytes: 0 };
        rotation.reopen()?;
        Ok(rotation)
    }

    /// Appends whole lines; each file gets as many as fit.
    ///
    /// A failure (disk full, folder removed) costs the lines that are left; the next call tries
    /// again.
    pub(super) fn write(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self.write_some(text) {
                Ok(written) => text = &text[written..],
                Err(error) => {
                    self.current = None;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Writes at least one line, in a new file if it must be.
    fn write_some(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.current.is_none() {
            self.reopen()?;
        }
        let line = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
        let mut room = self.room();
        if self.bytes > 0 && line > room {
            self.rotate()?;
            room = self.room();
        }
        let fits = &text[..text.len().min(room)];
        let lines = fits.iter().rposition(|&byte| byte == b'\n').map_or(line, |at| at + 1);
        if let Some(file) = &mut self.current {
            file.write_all(&text[..lines])?;
            self.bytes += lines as u64;
        }
        Ok(lines)
    }

    /// Bytes that the current file may still take.
    fn room(&self) -> usize {
        usize::try_from(self.files.max_bytes.saturating_sub(self.bytes)).unwrap_or(usize::MAX)
    }

    fn reopen(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.files.directory)?;
        let file = OpenOptions::new().create(true).append(true).open(self.files.path(0))?;
        self.bytes = file.metadata()?.len();
        self.current = Some(file);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.current = None;
        for number in (1..self.files.rotation).rev() {
            match fs::rename(self.files.path(number - 1), self.files.path(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match fs::remove_file(self.files.path(0)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.reopen(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn rotation(directory: &Path, rotation: usize) -> Rotation {
        let files =
            LogFiles { directory: directory.into(), name: "log".into(), rotation, max_bytes: 8 };
        Rotation::open(files).unwrap()
    }

    fn shown(directory: &Path) -> Vec<(String, String)> {
        let mut all: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|file| {
                let file = file.unwrap();
                let text = fs::read_to_string(file.path()).unwrap();
                (file.file_name().into_string().unwrap(), text)
            })
            .collect();
        all.sort();
        all
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn cfg_19_and_20_a_full_file_moves_up_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = rotation(folder.path(), 3);
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
            files.write(line.as_bytes()).unwrap();
        }
        assert_eq!(
            shown(folder.path()),
            pairs(&[("log.0", "five\n"), ("log.1", "four\n"), ("log.2", "three\n")])
        );
    }

    #[test]
    fn cfg_20_rotation_zero_is_one_file_without_number_that_starts_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = rotation(folder.path(), 0);
        for line in ["one\n", "two\n", "three\n"] {
            files.write(line.as_bytes()).unwrap();
        }
        assert_eq!(shown(folder.path()), pairs(&[("log", "three\n")]));
    }

    #[test]
    fn rotation_one_keeps_the_current_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = rotation(folder.path(), 1);
        files.write(b"one two\n").unwrap();
        files.write(b"three\n").unwrap();
        assert_eq!(shown(folder.path()), pairs(&[("log.0", "three\n")]));
    }

    #[test]
    fn a_restarted_node_goes_on_with_the_current_file() {
        let folder = tempfile::tempdir().unwrap();
        rotation(folder.path(), 3).write(b"one\n").unwrap();
        let mut files = rotation(folder.path(), 3);
        files.write(b"two\n").unwrap();
        assert_eq!(shown(folder.path()), pairs(&[("log.0", "one\ntwo\n")]));
        files.write(b"3\n").unwrap();
        assert_eq!(shown(folder.path()), pairs(&[("log.0", "3\n"), ("log.1", "one\ntwo\n")]));
    }

    #[test]
    fn a_line_longer_than_a_file_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = rotation(folder.path(), 2);
        files.write(b"a line of many bytes\n").unwrap();
        files.write(b"b\n").unwrap();
        assert_eq!(
            shown(folder.path()),
            pairs(&[("log.0", "b\n"), ("log.1", "a line of many bytes\n")])
        );
    }

    #[test]
    fn a_folder_that_is_in_the_way_is_an_error_and_writing_recovers() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = rotation(folder.path(), 2);
        files.write(b"first\n").unwrap();
        let blocker = folder.path().join("log.1");
        fs::create_dir_all(blocker.join("x")).unwrap();
        assert!(files.write(b"second\n").is_err());
        fs::remove_dir_all(&blocker).unwrap();
        files.write(b"third\n").unwrap();
        assert_eq!(shown(folder.path()), pairs(&[("log.0", "third\n"), ("log.1", "first\n")]));
    }
}
