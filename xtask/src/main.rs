//! The project's own chores; `cargo xtask` lists them.

mod bench;
mod cluster;
mod conformance;
mod fuzz;
mod shell;
mod test;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test [--only STEP,...]   everything that must hold before a change lands
cargo xtask bench [NAME]             speed and memory, as ratios to references in the same run
cargo xtask fuzz [TARGET [SECONDS]]  one fuzz target, 60 s by default; without name: the list
cargo xtask conformance              docs/lua-conformance.md: rules of the script API and their tests
cargo xtask cluster [--debug]        three linked nodes on this machine, until Ctrl-C
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test", rest @ ..] => test::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["cluster", rest @ ..] => cluster::run(rest),
        ["conformance", rest @ ..] => conformance::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [word, ..] => Err(format!("unknown chore {word:?}\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}
