//! `cargo xtask fuzz`: libFuzzer targets of `fuzz/`, with the ordinary toolchain.
//!
//! `cargo fuzz run TARGET` works too, but needs a nightly compiler for the address sanitizer. The
//! code is free of `unsafe`, so coverage and assertions are what finds mistakes; for those the
//! stable compiler is enough.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{Call, root, target_dir};

/// Coverage for libFuzzer, and checks that release builds leave out.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks \
    -Ccodegen-units=1";

/// Folders whose `corpus/<target>` may hold seeds.
const CRATES: &[&str] = &["protocols", "script", "actors", "tests"];

/// Runs one target, or lists them.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let (target, seconds) = match arguments {
        [] => {
            targets()?.iter().for_each(|target| println!("{target}"));
            return Ok(());
        }
        [target] => (*target, 60),
        [target, seconds] => {
            let parsed = seconds.parse::<u32>();
            (*target, parsed.map_err(|_| format!("{seconds:?} is not a number of seconds"))?)
        }
        _ => return Err("usage: cargo xtask fuzz [TARGET [SECONDS]]".to_owned()),
    };
    if !targets()?.iter().any(|known| known == target) {
        return Err(format!("there is no target {target:?}; cargo xtask fuzz lists them"));
    }
    lock()?;
    let host = host()?;
    let folder = target_dir().join("fuzz");
    Call::cargo("build --release --manifest-path fuzz/Cargo.toml")
        .arg("--target-dir")
        .arg(folder.display().to_string())
        .arg("--target")
        .arg(&host)
        .arg("--bin")
        .arg(target)
        .env("RUSTFLAGS", FLAGS)
        .run()?;
    // New finds go to the first folder, so that seeds stay as they are.
    let finds = root().join("fuzz/corpus").join(target);
    let artifacts = root().join("fuzz/artifacts").join(target);
    for folder in [&finds, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let binary = folder.join(host).join("release").join(target);
    let mut call = Call::new(&binary.display().to_string(), "")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(finds.display().to_string());
    for seeds in seeds(target) {
        call = call.arg(seeds.display().to_string());
    }
    call.run()
}

/// Compiles all targets, without libFuzzer itself.
pub(crate) fn check() -> Result<(), String> {
    lock()?;
    let call = Call::cargo("check --quiet --manifest-path fuzz/Cargo.toml --no-default-features")
        .arg("--target-dir")
        .arg(target_dir().display().to_string());
    println!("    {call}");
    call.run()
}

/// `fuzz/` stands outside of the workspace (its programs have no `main` without libFuzzer) but
/// shall use the same versions.
fn lock() -> Result<(), String> {
    let copied = fs::copy(root().join("Cargo.lock"), root().join("fuzz/Cargo.lock"));
    copied.map(|_| ()).map_err(|error| format!("fuzz/Cargo.lock: {error}"))
}

fn targets() -> Result<Vec<String>, String> {
    let folder = fs::read_dir(root().join("fuzz/fuzz_targets"));
    let folder = folder.map_err(|error| format!("fuzz/fuzz_targets: {error}"))?;
    let mut names: Vec<String> = folder
        .filter_map(|file| file.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// The committed inputs of a target: `<crate>/corpus/<target>`.
fn seeds(target: &str) -> Vec<PathBuf> {
    let below = |folder: PathBuf| {
        let all = fs::read_dir(folder).into_iter().flatten();
        all.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>()
    };
    let crates = CRATES.iter().map(|folder| root().join(folder));
    crates
        .flat_map(|folder| [vec![folder.clone()], below(folder)].concat())
        .map(|folder| folder.join("corpus").join(target))
        .filter(|folder| folder.is_dir())
        .collect()
}

fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_committed_seeds_and_an_entry_in_the_manifest() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert!(targets.iter().any(|target| target == "ini"));
        for target in targets {
            assert!(!seeds(&target).is_empty(), "{target} has no corpus/{target}");
            let entry = format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"\n");
            assert!(manifest.contains(&entry), "{target} is not in fuzz/Cargo.toml");
        }
    }
}
