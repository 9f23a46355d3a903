//! `cargo xtask bench`: the benches of `benches/`, in a release build.

use crate::shell::Call;
use crate::tools;

/// Runs all benches or the named one.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    tools::ensure(tools::FOR_TESTS)?;
    tools::ensure(tools::FOR_BENCHES)?;
    let bench = Call::cargo("bench --package ramona --locked --bench");
    match arguments {
        [] => bench.arg("*").run(),
        [name] => bench.arg(*name).run(),
        _ => Err("usage: cargo xtask bench [NAME]".to_owned()),
    }
}
