//! Which file is read (script API spec CFG-01).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ini::Ini;
use super::problem::{ConfigError, Problem, Severity};
use super::sections::{Config, Overrides};

/// Tried in this order when `--config` names no file: in the folder of `--dir`, then in the working
/// folder.
pub const DEFAULT_FILES: [&str; 3] = ["config/ramona.ini", "ramona.ini", "MonaServer.ini"];

/// Longest configuration file: far above any that a person writes, far below what would hurt.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it came from, as named; `None`: no file, all defaults.
    pub file: Option<PathBuf>,
    /// Warnings and errors that do not stop the node.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads `file` (`--config`), else the first of [`DEFAULT_FILES`] in the folder of `--dir` or in
    /// `folder`, the working folder, else nothing.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] for a file that is there and cannot be read, or a `file` that
    /// is not there; [`ConfigError::Invalid`] with all findings if one of them is fatal.
    pub fn load(
        file: Option<&Path>,
        folder: &Path,
        overrides: &Overrides,
    ) -> Result<Loaded, ConfigError> {
        let candidates: Vec<PathBuf> = match (file, &overrides.dir) {
            (Some(file), _) => vec![file.to_path_buf()],
            (None, Some(dir)) => {
                let own = DEFAULT_FILES.iter().map(|name| dir.join(name));
                own.chain(DEFAULT_FILES.iter().map(PathBuf::from)).collect()
            }
            (None, None) => DEFAULT_FILES.iter().map(PathBuf::from).collect(),
        };
        for name in candidates {
            match read(&folder.join(&name)) {
                Ok(text) => return Self::parse(&text, Some(name), folder, overrides),
                Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {}
                Err(error) => {
                    return Err(ConfigError::Unreadable {
                        file: name.display().to_string(),
                        reason: error.to_string(),
                    });
                }
            }
        }
        Self::parse(b"", None, folder, overrides)
    }

    /// Makes a configuration of the text of a file; `file` only names it in the findings.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] as in [`load`](Self::load).
    pub fn parse(
        text: &[u8],
        file: Option<PathBuf>,
        folder: &Path,
        overrides: &Overrides,
    ) -> Result<Loaded, ConfigError> {
        let name = file.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
        let (config, problems) = Self::build(&Ini::parse(text, &name), &name, folder, overrides);
        if problems.iter().any(|problem| problem.severity == Severity::Fatal) {
            return Err(ConfigError::Invalid(problems));
        }
        Ok(Loaded { config, file, problems })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let text = format!("longer than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: Option<&str>, folder: &Path) -> Result<Loaded, ConfigError> {
        Config::load(file.map(Path::new), folder, &Overrides::default())
    }

    #[test]
    fn cfg_01_without_a_file_everything_is_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = load(None, folder.path()).unwrap();
        assert_eq!(loaded.file, None);
        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.config.dir, folder.path());
        assert_eq!(loaded.config.rtmp.bind, Some("0.0.0.0:1935".parse().unwrap()));
    }

    #[test]
    fn cfg_01_the_first_file_that_is_there_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        for (name, threads) in [("MonaServer.ini", 3), ("ramona.ini", 2), ("config/ramona.ini", 1)]
        {
            std::fs::write(folder.path().join(name), format!("threads = {threads}")).unwrap();
            let loaded = load(None, folder.path()).unwrap();
            assert_eq!(loaded.file, Some(PathBuf::from(name)));
            assert_eq!(loaded.config.threads, threads);
        }
        std::fs::write(folder.path().join("own.ini"), "threads = 9").unwrap();
        assert_eq!(load(Some("own.ini"), folder.path()).unwrap().config.threads, 9);
    }

    #[test]
    fn cfg_01_a_file_in_the_folder_of_dir_goes_before_one_in_the_working_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("node")).unwrap();
        let overrides = Overrides { dir: Some("node".into()), ..Overrides::default() };
        std::fs::write(folder.path().join("ramona.ini"), "threads = 1").unwrap();
        let loaded = Config::load(None, folder.path(), &overrides).unwrap();
        assert_eq!((loaded.file, loaded.config.threads), (Some("ramona.ini".into()), 1));
        std::fs::write(folder.path().join("node/MonaServer.ini"), "threads = 2").unwrap();
        let loaded = Config::load(None, folder.path(), &overrides).unwrap();
        assert_eq!((loaded.file, loaded.config.threads), (Some("node/MonaServer.ini".into()), 2));
    }

    #[test]
    fn cfg_01_a_named_file_that_is_missing_or_too_long_or_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![b'\n'; MAX_FILE_BYTES as usize + 1];
        std::fs::write(folder.path().join("long.ini"), long).unwrap();
        for name in ["missing.ini", "long.ini", "."] {
            let error = load(Some(name), folder.path()).unwrap_err();
            assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
