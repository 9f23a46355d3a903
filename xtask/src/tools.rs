//! Programs that building and testing need besides the Rust toolchain.

use crate::shell::{Call, works};

/// A program and how to get it.
pub(crate) struct Tool {
    /// What is run.
    program: &'static str,
    /// Arguments with which it does nothing.
    probe: &'static [&'static str],
    /// Its Debian packages.
    packages: &'static str,
    /// What it is for.
    purpose: &'static str,
}

/// What `cargo xtask test` needs.
pub(crate) const FOR_TESTS: &[Tool] = &[
    Tool {
        program: "cc",
        probe: &["--version"],
        packages: "gcc libc6-dev",
        purpose: "builds LuaJIT",
    },
    Tool { program: "make", probe: &["--version"], packages: "make", purpose: "builds LuaJIT" },
    Tool {
        program: "ffmpeg",
        probe: &["-version"],
        packages: "ffmpeg",
        purpose: "publishes and plays in the end-to-end tests",
    },
    Tool {
        program: "chromium",
        probe: &["--version"],
        packages: "chromium",
        purpose: "opens the pages of www/ in the end-to-end tests",
    },
];

/// What `cargo xtask bench` needs besides.
pub(crate) const FOR_BENCHES: &[Tool] = &[Tool {
    program: "nginx",
    probe: &["-v"],
    packages: "nginx-core libnginx-mod-rtmp",
    purpose: "is the reference of the fan-out bench",
}];

/// Installs what is missing when this is root on a Debian system, else says what is missing.
pub(crate) fn ensure(tools: &[Tool]) -> Result<(), String> {
    let missing: Vec<&Tool> =
        tools.iter().filter(|tool| !works(tool.program, tool.probe)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.packages).collect();
    let packages = packages.join(" ");
    for tool in &missing {
        println!("missing: {} ({})", tool.program, tool.purpose);
    }
    if !rustix::process::geteuid().is_root() || !works("apt-get", &["--version"]) {
        return Err(format!("please install, on Debian by: sudo apt-get install {packages}"));
    }
    let apt = |arguments: &str| {
        Call::new("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive").run()
    };
    apt("-qq update")?;
    apt(&format!("-qq install -y --no-install-recommends {packages}"))?;
    match missing.iter().find(|tool| !works(tool.program, tool.probe)) {
        Some(tool) => Err(format!("{} does not run after installing {packages}", tool.program)),
        None => Ok(()),
    }
}

/// The parts of the Rust toolchain that are not always there.
pub(crate) fn ensure_components() -> Result<(), String> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !works("cargo", &[subcommand, "--version"]) {
            return Err(format!("please run: rustup component add {component}"));
        }
    }
    Ok(())
}
