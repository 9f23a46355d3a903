//! `cargo xtask cluster`: the three nodes of `config/cluster`, linked, until Ctrl-C.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::shell::{Call, root, target_dir};

const NODES: [&str; 3] = ["a", "b", "c"];

/// How often the nodes are looked after.
const LOOK: Duration = Duration::from_millis(100);

struct Node {
    name: &'static str,
    child: Child,
    ended: bool,
}

/// Builds the node, starts three, and stops all when one ends or Ctrl-C is pressed.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let (flags, profile) = match arguments {
        [] => (" --release", "release"),
        ["--debug"] => ("", "debug"),
        _ => return Err("usage: cargo xtask cluster [--debug]".to_owned()),
    };
    Call::cargo(&format!("build --package ramona --bin ramona{flags}")).run()?;
    let program = target_dir().join(profile).join("ramona");
    let interrupts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&interrupts);
    ctrlc::set_handler(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    })
    .map_err(|error| error.to_string())?;
    let mut nodes = Vec::new();
    let mut failure = None;
    for name in NODES {
        match start(&program, name) {
            Ok(child) => nodes.push(Node { name, child, ended: false }),
            Err(error) => {
                failure = Some(format!("node {name}: {error}"));
                break;
            }
        }
    }
    let first = attend(&mut nodes, &interrupts, failure.is_some());
    match failure.or(first) {
        Some(text) => Err(text),
        None => Ok(()),
    }
}

/// A folder of its own per node for `data/` and `logs/`; the applications are shared.
fn start(program: &Path, name: &'static str) -> std::io::Result<Child> {
    let folder = target_dir().join("cluster").join(name);
    fs::create_dir_all(&folder)?;
    let www = folder.join("www");
    if !www.exists() {
        std::os::unix::fs::symlink(root().join("www"), &www)?;
    }
    let mut child = Command::new(program)
        .arg("--config")
        .arg(root().join(format!("config/cluster/{name}.ini")))
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C of the terminal comes here only; the nodes are then stopped in order.
        .process_group(0)
        .spawn()?;
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || copy(name, stdout));
    }
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || copy(name, stderr));
    }
    Ok(child)
}

/// Prints each line with the node's name before it.
fn copy(name: &str, from: impl Read) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        print!("{name} | {}", String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// Waits for the end of all nodes; the reason if one ended without being asked.
fn attend(nodes: &mut [Node], interrupts: &AtomicU32, mut stop: bool) -> Option<String> {
    let mut sent = 0;
    let mut first = None;
    while nodes.iter().any(|node| !node.ended) {
        for node in nodes.iter_mut().filter(|node| !node.ended) {
            match node.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    node.ended = true;
                    println!("{} | ended, {status}", node.name);
                    if !stop && interrupts.load(Ordering::Relaxed) == 0 {
                        first = Some(format!("node {} ended by itself, {status}", node.name));
                        stop = true;
                    }
                }
                Err(error) => {
                    node.ended = true;
                    first = Some(format!("node {}: {error}", node.name));
                    stop = true;
                }
            }
        }
        // The first Ctrl-C asks, the second one does not.
        let asked = interrupts.load(Ordering::Relaxed).max(u32::from(stop)).min(2);
        if asked > sent {
            sent = asked;
            let signal = if asked == 1 { Signal::TERM } else { Signal::KILL };
            for node in nodes.iter().filter(|node| !node.ended) {
                // One that ended meanwhile is seen in the next round.
                let _ = kill_process(Pid::from_child(&node.child), signal);
            }
        }
        thread::sleep(LOOK);
    }
    first
}
