//! Fuzz body of the configuration file, run by `cargo test` over `tests/corpus/ini` and by
//! `cargo xtask fuzz ini`.

use std::path::Path;

use super::ini::Ini;
use super::problem::Severity;
use super::sections::{Config, Overrides};

/// No input panics; every finding names a line that exists; what loads keeps its bounds.
#[doc(hidden)]
pub fn ini(data: &[u8]) {
    let parsed = Ini::parse(data, "f.ini");
    let lines = data.split(|&byte| byte == b'\n').count();
    for entry in &parsed.entries {
        assert!((1..=lines).contains(&(entry.line as usize)));
        assert_eq!(entry.key, entry.key.trim());
        assert_eq!(entry.value, entry.value.trim());
    }
    let (config, problems) =
        Config::build(&parsed, "f.ini", Path::new("/d"), &Overrides::default());
    for problem in &problems {
        assert!(problem.line as usize <= lines);
        assert!(!problem.text.is_empty() && !problem.to_string().contains('\n'));
    }
    assert!(config.servers.timeout >= config.servers.heartbeat * 2);
    assert!(config.servers.queue_bytes >= 1 << 20);
    let fatal = problems.iter().any(|problem| problem.severity == Severity::Fatal);
    let loaded = Config::parse(data, None, Path::new("/d"), &Overrides::default());
    assert_eq!(fatal, loaded.is_err());
    let secrets = ["servers.secret", "status.user", "status.password", "status.token"];
    let hidden = |(name, _): &(String, String)| {
        !secrets.iter().any(|secret| name.eq_ignore_ascii_case(secret))
    };
    assert!(config.entries.iter().all(hidden), "{:?}", config.entries);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Each file of the corpus, all its beginnings, and each with one bit flipped at a time.
    #[test]
    fn the_corpus_and_its_neighbours_hold_the_rules() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/ini");
        let mut files = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let mut data = std::fs::read(file.unwrap().path()).unwrap();
            assert!(data.len() < 600, "keep the corpus small");
            for end in 0..=data.len() {
                super::ini(&data[..end]);
            }
            for at in 0..data.len() {
                let bit = 1 << (at % 8);
                data[at] ^= bit;
                super::ini(&data);
                data[at] ^= bit;
            }
            files += 1;
        }
        assert!(files >= 5, "{files} files");
    }
}
