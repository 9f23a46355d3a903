//! WebSocket calls: a Lua handler that returns its arguments, against a bare actix-ws echo.
//!
//! 100 connections, each with one call at a time, to the very program that users run and to a
//! server of nothing but actix-web and actix-ws, in turn, by the same load. Client and server
//! share the machine, so what counts is the ratio in one run.

#[path = "../support/mod.rs"]
mod support;

mod bare;
mod load;

use std::process::ExitCode;
use std::time::Duration;

use support::child::Process;
use support::table::Table;
use support::{Outcome, free_port, median, setting, write};

const SCRIPT: &str = "function onConnection(client)\n\
    function client:echo(...) return ... end\n\
    end\n";

/// The smallest part of the bare echo's calls a second that is good enough.
const TARGET: f64 = 0.6;

/// What one round showed of one server.
struct Figures {
    calls: load::Calls,
    cpu_us: f64,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("bare") => bare::run(arguments.next().as_deref()),
        _ => support::asked(bench),
    };
    support::ended("websocket", result)
}

fn bench() -> Outcome<()> {
    let rounds = setting("WEBSOCKET_ROUNDS", 3);
    let time = Duration::from_secs(setting("WEBSOCKET_SECONDS", 5));
    let connections = setting("WEBSOCKET_CONNECTIONS", 100) as usize;
    println!("# WebSocket calls: Lua handler that returns its arguments, and a bare actix-ws echo");
    println!(
        "{}; {connections} connections, one call at a time; medians of {rounds} rounds of {time:?}\n",
        support::machine()
    );
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        figures[0].push(bare_round(connections, time)?);
        figures[1].push(node_round(connections, time)?);
    }
    let mut table = Table::new(&["server", "calls/s", "p50 µs", "p99 µs", "server CPU µs/call"]);
    let mut rates = Vec::new();
    for (name, own) in ["bare actix-ws echo", "ramona, Lua"].into_iter().zip(&figures) {
        let middle = |of: fn(&Figures) -> f64| median(&own.iter().map(of).collect::<Vec<_>>());
        let rate = middle(|figures| figures.calls.per_second);
        rates.push(rate);
        table.row(&[
            name.to_owned(),
            format!("{rate:.0}"),
            format!("{:.0}", middle(|figures| figures.calls.p50_us)),
            format!("{:.0}", middle(|figures| figures.calls.p99_us)),
            format!("{:.1}", middle(|figures| figures.cpu_us)),
        ]);
    }
    table.print();
    let ratio = rates[1] / rates[0];
    let word = if ratio >= TARGET { "reached" } else { "missed" };
    println!("\n{ratio:.2} of the bare echo; the target of {TARGET} is {word}\n");
    Ok(())
}

fn bare_round(connections: usize, time: Duration) -> Outcome<Figures> {
    let port = free_port()?;
    let mut server = Process::part(&["bare", &port.to_string()])?;
    server.forget_output();
    server.wait_for_port(port)?;
    measure(&mut server, port, connections, time)
}

fn node_round(connections: usize, time: Duration) -> Outcome<Figures> {
    let port = free_port()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    write(&folder.path().join("www/main.lua"), SCRIPT)?;
    let configuration = format!(
        "[RTMP]\nport = 0\n[RTMFP]\nport = 0\n[HTTP]\nhost = 127.0.0.1\nport = {port}\n\
         [metrics]\nperiod = 0\n"
    );
    let mut node = Process::node(folder.path(), &configuration)?;
    node.forget_output();
    node.wait_for_port(port)?;
    measure(&mut node, port, connections, time)
}

fn measure(
    server: &mut Process,
    port: u16,
    connections: usize,
    time: Duration,
) -> Outcome<Figures> {
    // Everything is warm: connections open, handlers compiled.
    load::run(port, connections, Duration::from_secs(1))?;
    let before = server.cpu()?;
    let calls = load::run(port, connections, time)?;
    let cpu = server.cpu()? - before;
    let cpu_us = cpu.as_secs_f64() * 1e6 / calls.count as f64;
    Ok(Figures { calls, cpu_us })
}
