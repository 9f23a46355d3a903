//! Files over HTTP: the node, which asks no script for them, against a bare actix-files.
//!
//! Some connections, each with one request at a time for the same file, to the very program that
//! users run and to a server of nothing but actix-web and actix-files, in turn, by the same load.
//! Client and server share the machine, so what counts is the ratio in one run.

#[path = "../support/mod.rs"]
mod support;

mod bare;
mod load;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use support::child::Process;
use support::table::Table;
use support::{Outcome, free_port, median, setting, write};

/// Name and bytes of each file, and how many ask for it at one time: large ones are few at a time
/// wherever they are asked for.
const FILES: [(&str, usize, usize); 3] =
    [("1kB.txt", 1_000, 64), ("100kB.txt", 100_000, 32), ("10MB.txt", 10_000_000, 4)];

/// The smallest part of the bare server's requests a second that is good enough.
const TARGET: f64 = 0.9;

/// What one round showed of one server.
struct Figures {
    requests: load::Requests,
    cpu_us: f64,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("bare") => bare::run(arguments.next().as_deref(), arguments.next().as_deref()),
        _ => support::asked(bench),
    };
    support::ended("http", result)
}

fn bench() -> Outcome<()> {
    let rounds = setting("HTTP_ROUNDS", 3);
    let time = Duration::from_secs(setting("HTTP_SECONDS", 3));
    println!("# Files over HTTP: the node, and a bare actix-files");
    println!("{}; medians of {rounds} rounds of {time:?}\n", support::machine());
    let heading = [
        "file, connections",
        "server",
        "requests/s",
        "× bare",
        "p50 µs",
        "p99 µs",
        "server CPU µs/request",
    ];
    let mut table = Table::new(&heading);
    let mut missed = Vec::new();
    for (name, bytes, connections) in FILES {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (server, figures) in [bare_server, node].into_iter().zip(&mut figures) {
                figures.push(round(server, name, bytes, connections, time)?);
            }
        }
        let middle = |own: &[Figures], of: fn(&Figures) -> f64| {
            median(&own.iter().map(of).collect::<Vec<_>>())
        };
        let rates = figures.each_ref().map(|own| middle(own, |one| one.requests.per_second));
        for ((server, own), rate) in
            ["bare actix-files", "ramona"].into_iter().zip(&figures).zip(rates)
        {
            table.row(&[
                format!("{}, {connections}", name.trim_end_matches(".txt")),
                server.to_owned(),
                format!("{rate:.0}"),
                format!("{:.2}", rate / rates[0]),
                format!("{:.0}", middle(own, |one| one.requests.p50_us)),
                format!("{:.0}", middle(own, |one| one.requests.p99_us)),
                format!("{:.1}", middle(own, |one| one.cpu_us)),
            ]);
        }
        if rates[1] < TARGET * rates[0] {
            missed.push(name);
        }
    }
    table.print();
    let word =
        if missed.is_empty() { "reached".to_owned() } else { format!("missed by {missed:?}") };
    println!("\nthe target of {TARGET} is {word}\n");
    Ok(())
}

/// A server that listens on a port and serves the folder `www` inside of one.
type Start = fn(u16, &Path) -> Outcome<Process>;

fn bare_server(port: u16, folder: &Path) -> Outcome<Process> {
    let www = folder.join("www").display().to_string();
    Process::part(&["bare", &port.to_string(), &www])
}

fn node(port: u16, folder: &Path) -> Outcome<Process> {
    let configuration = format!(
        "[RTMP]\nport = 0\n[RTMFP]\nport = 0\n[HTTP]\nhost = 127.0.0.1\nport = {port}\n\
         [metrics]\nperiod = 0\n"
    );
    Process::node(folder, &configuration)
}

fn round(
    start: Start,
    name: &str,
    bytes: usize,
    connections: usize,
    time: Duration,
) -> Outcome<Figures> {
    let port = free_port()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Without it there is no application, and no file of it.
    write(&folder.path().join("www/main.lua"), "")?;
    write(&folder.path().join("www").join(name), &"x".repeat(bytes))?;
    let mut server = start(port, folder.path())?;
    server.forget_output();
    server.wait_for_port(port)?;
    let path = format!("/{name}");
    // Everything is warm: the file is in memory, connections were open.
    load::run(port, &path, bytes, connections, Duration::from_secs(1))?;
    let before = server.cpu()?;
    let requests = load::run(port, &path, bytes, connections, time)?;
    let cpu = server.cpu()? - before;
    let cpu_us = cpu.as_secs_f64() * 1e6 / requests.count as f64;
    Ok(Figures { requests, cpu_us })
}
