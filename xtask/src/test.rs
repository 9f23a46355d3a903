//! `cargo xtask test`: everything that must hold before a change lands.

use std::time::{Duration, Instant};

use crate::shell::{Call, works};
use crate::{conformance, fuzz, tools};

/// How a step ended that did not fail.
enum Done {
    Passed,
    /// Could not be done here, and why.
    Skipped(&'static str),
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<Done, String>,
}

const STEPS: &[Step] = &[
    Step { name: "tools", about: "programs that tests need", run: tools_step },
    Step { name: "format", about: "cargo fmt", run: || all(&[Call::cargo("fmt --all --check")]) },
    Step {
        name: "conformance",
        about: "each rule of the script API has its test, and docs/lua-conformance.md says which",
        run: || conformance::step().map(|()| Done::Passed),
    },
    Step {
        name: "lint",
        about: "clippy without warnings",
        run: || {
            all(&[Call::cargo("clippy --workspace --all-targets --locked --quiet -- -D warnings")])
        },
    },
    Step {
        name: "docs",
        about: "rustdoc without warnings",
        run: || {
            let doc = Call::cargo("doc --workspace --no-deps --locked --quiet");
            all(&[doc.env("RUSTDOCFLAGS", "-D warnings")])
        },
    },
    Step {
        name: "unit",
        about: "tests of each crate, examples in the docs, fuzz bodies over their corpus",
        run: || {
            all(&[
                Call::cargo("test --workspace --locked --quiet --no-fail-fast --lib --bins"),
                Call::cargo("test --workspace --locked --quiet --doc"),
            ])
        },
    },
    Step {
        name: "e2e",
        about: "tests/: several nodes, real sockets, ffmpeg",
        run: || all(&[Call::cargo("test --workspace --locked --quiet --no-fail-fast --test *")]),
    },
    Step { name: "deny", about: "licences and advisories of dependencies", run: deny },
    Step {
        name: "fuzz",
        about: "fuzz targets compile",
        run: || fuzz::check().map(|()| Done::Passed),
    },
];

/// Runs the steps, or those of `--only`, up to the first that fails.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let steps = chosen(arguments)?;
    let mut results: Vec<(&str, Duration, String)> = Vec::new();
    let mut failure = None;
    for step in &steps {
        println!("\n=== {}: {}", step.name, step.about);
        let begin = Instant::now();
        let result = (step.run)();
        let time = begin.elapsed();
        let word = match result {
            Ok(Done::Passed) => "passed".to_owned(),
            Ok(Done::Skipped(why)) => format!("skipped: {why}"),
            Err(text) => {
                failure = Some(format!("{} failed, {text}", step.name));
                "FAILED".to_owned()
            }
        };
        println!("=== {}: {word} ({:.1} s)", step.name, time.as_secs_f64());
        results.push((step.name, time, word));
        if failure.is_some() {
            break;
        }
    }
    println!("\n{:<11} {:>8}  result", "step", "seconds");
    for (name, time, word) in &results {
        println!("{name:<11} {:>8.1}  {word}", time.as_secs_f64());
    }
    for step in &steps[results.len()..] {
        println!("{:<11} {:>8}  not run", step.name, "");
    }
    failure.map_or(Ok(()), Err)
}

fn chosen(arguments: &[&str]) -> Result<Vec<&'static Step>, String> {
    let names = match arguments {
        [] => return Ok(STEPS.iter().collect()),
        ["--only", names] => names,
        [only] if only.starts_with("--only=") => &only["--only=".len()..],
        _ => return Err(format!("usage: cargo xtask test [--only STEP,...]\n{}", list())),
    };
    let find = |name: &str| {
        let step = STEPS.iter().find(|step| step.name == name);
        step.ok_or_else(|| format!("there is no step {name:?}\n{}", list()))
    };
    names.split(',').map(find).collect()
}

fn list() -> String {
    STEPS.iter().map(|step| format!("  {:<11} {}\n", step.name, step.about)).collect()
}

fn all(calls: &[Call]) -> Result<Done, String> {
    for call in calls {
        println!("    {call}");
        call.run()?;
    }
    Ok(Done::Passed)
}

fn tools_step() -> Result<Done, String> {
    tools::ensure_components()?;
    tools::ensure(tools::FOR_TESTS)?;
    Ok(Done::Passed)
}

fn deny() -> Result<Done, String> {
    if !works("cargo", &["deny", "--version"]) {
        return Ok(Done::Skipped("cargo-deny is not installed (cargo install cargo-deny)"));
    }
    all(&[Call::cargo("deny --locked check bans licenses sources")])?;
    if !works("cargo", &["deny", "--locked", "fetch", "db"]) {
        return Ok(Done::Skipped(
            "licences hold; the advisory database cannot be fetched from here",
        ));
    }
    all(&[Call::cargo("deny --locked check advisories")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Result<Vec<&'static str>, String> {
        chosen(arguments).map(|steps| steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn only_names_steps_and_a_wrong_name_lists_them() {
        assert_eq!(names(&[]).map(|all| all.len()), Ok(STEPS.len()));
        assert_eq!(names(&["--only", "unit"]), Ok(vec!["unit"]));
        assert_eq!(names(&["--only=unit,e2e"]), Ok(vec!["unit", "e2e"]));
        for wrong in [&["--only", "units"][..], &["unit"], &["--only"]] {
            assert!(names(wrong).is_err_and(|text| text.contains("rustdoc")), "{wrong:?}");
        }
    }
}
