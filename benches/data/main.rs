//! The persistent table `data`: how long an assignment keeps the script, which waits for no disk.
//!
//! One handler assigns as fast as it can, to a thousand keys in turn, so that the disk is never at
//! rest. All times are taken inside Lua; the longest one shows whether anybody waited.

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use support::child::Process;
use support::table::Table;
use support::{Outcome, median, setting, write};

const WRITER: &str = include_str!("writer.lua");

/// Sizes of a value in bytes.
const SIZES: usize = 2;

fn main() -> ExitCode {
    support::ended("data", support::asked(bench))
}

fn bench() -> Outcome<()> {
    let rounds = setting("DATA_ROUNDS", 3);
    let seconds = setting("DATA_SECONDS", 5);
    println!("# Assignments to `data` by one handler");
    println!("{}; medians of {rounds} rounds of {seconds} s\n", support::machine());
    let mut figures = [const { Vec::new() }; SIZES];
    for _ in 0..rounds {
        for (own, figures) in round(seconds)?.into_iter().zip(&mut figures) {
            figures.push(own);
        }
    }
    let heading =
        ["bytes of a value", "assignments/s", "p50 µs", "p99 µs", "p99.99 µs", "longest µs"];
    let mut table = Table::new(&heading);
    for own in &figures {
        let middle = |column: usize| {
            median(&own.iter().map(|one: &[f64; 6]| one[column]).collect::<Vec<_>>())
        };
        table.row(&[
            format!("{:.0}", middle(0)),
            format!("{:.0}", middle(1)),
            format!("{:.1}", middle(2)),
            format!("{:.1}", middle(3)),
            format!("{:.0}", middle(4)),
            format!("{:.0}", middle(5)),
        ]);
    }
    table.print();
    println!();
    Ok(())
}

fn round(seconds: u64) -> Outcome<[[f64; 6]; SIZES]> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    write(&folder.path().join("www/main.lua"), WRITER)?;
    // The handler takes longer than others, and may.
    let configuration = format!(
        "[RTMP]\nport = 0\n[RTMFP]\nport = 0\n[HTTP]\nport = 0\n[script]\nslow = 0\nbudget = 0\n\
         [bench]\nseconds = {seconds}\n"
    );
    let mut node = Process::node(folder.path(), &configuration)?;
    let mut figures = [[0.0; 6]; SIZES];
    for own in &mut figures {
        let line = node.line("bench assigned")?;
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        *own = numbers.try_into().map_err(|_| format!("{line:?} is not understood"))?;
    }
    Ok(figures)
}
