//! Link: what Lua sends to Lua over one link between two nodes, each a process of its own.
//!
//! Calls with three arguments of about 100 bytes together: first as fast as they go, the sender
//! never more than a window ahead of what the receiver's Lua has counted; then one round trip at
//! a time. Plain, and with `servers.secret`. All times are taken inside Lua.

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use support::child::Process;
use support::table::Table;
use support::{Outcome, free_port, median, setting, write};

const SENDER: &str = include_str!("sender.lua");
const RECEIVER: &str = include_str!("receiver.lua");

/// Any text of at least 16 characters.
const SECRET: &str = "a secret of the link bench";

/// What one run showed.
struct Figures {
    per_second: f64,
    sender_cpu_us: f64,
    receiver_cpu_us: f64,
    lost: i64,
    disorder: u64,
    p50_us: f64,
    p99_us: f64,
}

fn main() -> ExitCode {
    support::ended("cluster_link", support::asked(bench))
}

fn bench() -> Outcome<()> {
    let rounds = setting("LINK_ROUNDS", 3);
    println!("# One link, Lua to Lua: calls of 3 arguments, about 100 bytes");
    println!("{}; medians of {rounds} rounds\n", support::machine());
    let heading = [
        "link",
        "calls/s",
        "CPU µs/call (sender + receiver)",
        "round trip p50 µs",
        "p99 µs",
        "lost",
        "out of order",
    ];
    let mut table = Table::new(&heading);
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (secret, figures) in [None, Some(SECRET)].into_iter().zip(&mut figures) {
            figures.push(measure(secret)?);
        }
    }
    for (name, own) in ["plain", "secret"].into_iter().zip(&figures) {
        let middle = |of: fn(&Figures) -> f64| median(&own.iter().map(of).collect::<Vec<_>>());
        let cpu =
            [middle(|figures| figures.sender_cpu_us), middle(|figures| figures.receiver_cpu_us)];
        table.row(&[
            name.to_owned(),
            format!("{:.0}", middle(|figures| figures.per_second)),
            format!("{:.2} + {:.2}", cpu[0], cpu[1]),
            format!("{:.0}", middle(|figures| figures.p50_us)),
            format!("{:.0}", middle(|figures| figures.p99_us)),
            own.iter().map(|figures| figures.lost).sum::<i64>().to_string(),
            own.iter().map(|figures| figures.disorder).sum::<u64>().to_string(),
        ]);
    }
    table.print();
    println!();
    Ok(())
}

fn measure(secret: Option<&str>) -> Outcome<Figures> {
    let port = free_port()?;
    let secret = secret.map(|secret| format!("secret = {secret}\n")).unwrap_or_default();
    // A handler that fills the window takes longer than others, and may.
    let common = format!(
        "[RTMP]\nport = 0\n[RTMFP]\nport = 0\n[HTTP]\nport = 0\n[script]\nslow = 0\n\
         [servers]\nhost = 127.0.0.1\n{secret}"
    );
    let folders = [tempfile::tempdir(), tempfile::tempdir()];
    let [receiver_folder, sender_folder] = folders;
    let receiver_folder = receiver_folder.map_err(|error| error.to_string())?;
    let sender_folder = sender_folder.map_err(|error| error.to_string())?;
    write(&receiver_folder.path().join("www/main.lua"), RECEIVER)?;
    write(&sender_folder.path().join("www/main.lua"), SENDER)?;

    let mut receiver = Process::node(receiver_folder.path(), &format!("{common}port = {port}\n"))?;
    receiver.forget_output();
    let targets = format!("{common}targets = 127.0.0.1:{port}\n");
    let mut sender = Process::node(sender_folder.path(), &targets)?;

    sender.line("bench begin")?;
    let before = [sender.cpu()?, receiver.cpu()?];
    let [per_second, calls] = numbers(&sender.line("bench throughput")?)?;
    let after = [sender.cpu()?, receiver.cpu()?];
    let cpu_us = |end: usize| (after[end] - before[end]).as_secs_f64() * 1e6 / calls;
    let [sent, counted, disorder] = numbers(&sender.line("bench counted")?)?;
    let [_, p50_us, p99_us, _] = numbers(&sender.line("bench round")?)?;
    Ok(Figures {
        per_second,
        sender_cpu_us: cpu_us(0),
        receiver_cpu_us: cpu_us(1),
        lost: (sent - counted) as i64,
        disorder: disorder as u64,
        p50_us,
        p99_us,
    })
}

fn numbers<const N: usize>(line: &str) -> Outcome<[f64; N]> {
    let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().map_err(|_| format!("{line:?} is not understood"))
}
