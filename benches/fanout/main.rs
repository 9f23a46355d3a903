//! Fan-out: what it costs to give one RTMP stream of 1 Mbit/s to many viewers.
//!
//! Servers in the same run, in turn: the node, with RTMP viewers and with HTTP-FLV ones, a bare
//! `send` loop of the same bytes, and nginx with its RTMP module. Each is a process of its own, whose processor time is read; the
//! load is another one. Messages carry the time at which they were sent.
//!
//! The environment makes a run shorter or longer: `FANOUT_SECONDS`, `FANOUT_ROUNDS`,
//! `FANOUT_VIEWERS` (that many only); `FANOUT_THREADS` is the node's `threads`.

mod bare;
mod flv;
mod load;
mod rtmp;
mod stream;
mod subject;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use load::{Carrier, Load};
use subject::{Running, Subject};
use support::child::Process;
use support::table::Table;
use support::{Outcome, median, setting};

/// How many viewers, from small to large.
const VIEWERS: [usize; 2] = [100, 500];

/// Viewers of a name that is not running.
const IDLE_VIEWERS: usize = 1_000;

/// Messages of the stream in a second.
const MESSAGES_PER_SECOND: u64 = 68;

/// What one run of one subject showed.
struct Figures {
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
    delivered: u64,
    expected: u64,
    disorder: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["bare", viewers] => {
            // The publisher closes at the end.
            let _ = bare::run(viewers.parse().unwrap_or(0));
            Ok(())
        }
        ["load", carrier, rest @ ..] => part_load(carrier, rest),
        ["idle", carrier, address, viewers] => {
            parse(address).and_then(|at| load::idle(carrier_of(carrier), at, parse(viewers)?))
        }
        _ => support::asked(bench),
    };
    support::ended("fanout", result)
}

fn part_load(carrier: &str, rest: &[&str]) -> Outcome<()> {
    let [viewers_at, publisher_at, viewers, messages] = rest else {
        return Err("the load needs four arguments".to_owned());
    };
    let carrier = carrier_of(carrier);
    let (viewers_at, publisher_at) = (parse(viewers_at)?, parse(publisher_at)?);
    let (viewers, messages) = (parse(viewers)?, parse(messages)?);
    Load { carrier, viewers_at, publisher_at, viewers, messages }.run()
}

fn carrier_of(name: &str) -> Carrier {
    match name {
        "bare" => Carrier::Bare,
        "flv" => Carrier::Flv,
        _ => Carrier::Rtmp,
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Outcome<T> {
    text.parse().map_err(|_| format!("{text:?} is not understood"))
}

fn bench() -> Outcome<()> {
    let messages = setting("FANOUT_SECONDS", 8) * MESSAGES_PER_SECOND;
    let rounds = setting("FANOUT_ROUNDS", 3);
    println!("# Fan-out of one RTMP stream: 25 video and 43 audio messages a second, 1 Mbit/s");
    println!("{}; medians of {rounds} rounds\n", support::machine());
    let mut subjects = vec![Subject::Bare, Subject::Ramona, Subject::RamonaFlv, Subject::Nginx];
    if let Some(why) = subject::nginx_missing() {
        println!("without nginx: {why}\n");
        subjects.pop();
    }
    let heading =
        ["viewers", "server", "CPU µs/message", "× bare", "p50 µs", "p99 µs", "delivered", "of"];
    let mut table = Table::new(&heading);
    let chosen = setting("FANOUT_VIEWERS", 0) as usize;
    let sizes = if chosen > 0 { vec![chosen] } else { VIEWERS.to_vec() };
    for viewers in sizes {
        let mut figures: Vec<Vec<Figures>> = subjects.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (subject, figures) in subjects.iter().zip(&mut figures) {
                figures.push(measure(*subject, viewers, messages)?);
            }
        }
        for (subject, own) in subjects.iter().zip(&figures) {
            table.row(&row(*subject, viewers, own, &figures[0]));
        }
    }
    table.print();

    println!("\n{IDLE_VIEWERS} viewers of a name that is not running\n");
    let mut table = Table::new(&["server", "kB/viewer"]);
    for subject in subjects.into_iter().filter(|subject| *subject != Subject::Bare) {
        table.row(&[subject.name().to_owned(), format!("{:.1}", memory(subject)?)]);
    }
    table.print();
    println!();
    Ok(())
}

fn row(subject: Subject, viewers: usize, own: &[Figures], bare: &[Figures]) -> Vec<String> {
    let middle = |of: fn(&Figures) -> f64| median(&own.iter().map(of).collect::<Vec<_>>());
    // Within a round, the machine is alike for all.
    let ratios: Vec<f64> =
        own.iter().zip(bare).map(|(own, bare)| own.cpu_us / bare.cpu_us).collect();
    let sum = |of: fn(&Figures) -> u64| own.iter().map(of).sum::<u64>();
    let disorder = sum(|figures| figures.disorder);
    let note = if disorder > 0 { format!(" ({disorder} out of order)") } else { String::new() };
    vec![
        viewers.to_string(),
        subject.name().to_owned(),
        format!("{:.2}", middle(|figures| figures.cpu_us)),
        format!("{:.2}", median(&ratios)),
        format!("{:.0}", middle(|figures| figures.p50_us)),
        format!("{:.0}", middle(|figures| figures.p99_us)),
        sum(|figures| figures.delivered).to_string(),
        format!("{}{note}", sum(|figures| figures.expected)),
    ]
}

/// One subject, fresh, with so many viewers.
fn measure(subject: Subject, viewers: usize, messages: u64) -> Outcome<Figures> {
    let Running { process, viewers_at, publisher_at, .. } = &mut subject.start(viewers)?;
    let carrier = subject.carrier();
    let (at, from) = (viewers_at.to_string(), publisher_at.to_string());
    let (viewers, messages) = (viewers.to_string(), messages.to_string());
    let mut load = Process::part(&["load", carrier, &at, &from, &viewers, &messages])?;
    load.line("begin")?;
    let before = process.cpu()?;
    load.line("end")?;
    let cpu = process.cpu()?.saturating_sub(before);
    let line = load.line("figures")?;
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let &[delivered, expected, disorder, p50_us, p99_us] = numbers.as_slice() else {
        return Err(format!("{line:?} is not understood"));
    };
    let cpu_us = cpu.as_secs_f64() * 1e6 / delivered.max(1) as f64;
    let (p50_us, p99_us) = (p50_us as f64, p99_us as f64);
    Ok(Figures { cpu_us, p50_us, p99_us, delivered, expected, disorder })
}

/// Growth of resident memory by one idle viewer, in kB. The first few viewers, which make a server
/// set itself up, do not count.
fn memory(subject: Subject) -> Outcome<f64> {
    let running = subject.start(IDLE_VIEWERS)?;
    let address = running.viewers_at.to_string();
    let mut first = Process::part(&["idle", subject.carrier(), &address, "20"])?;
    first.line("ready")?;
    let before = running.process.memory_kb()?;
    let mut many =
        Process::part(&["idle", subject.carrier(), &address, &IDLE_VIEWERS.to_string()])?;
    many.line("ready")?;
    let growth = running.process.memory_kb()?.saturating_sub(before);
    Ok(growth as f64 / IDLE_VIEWERS as f64)
}
