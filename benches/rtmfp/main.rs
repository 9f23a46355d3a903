//! RTMFP: what its viewers, its handshakes and its idle sessions cost.
//!
//! Viewers: 40 of one stream of 1 Mbit/s, with and without HMAC and session sequence numbers. The
//! server is a process of its own whose processor time is read, the load is another. Idle sessions
//! likewise. Handshakes run in this process, for the share of them that is mathematics, and so do the
//! sessions whose allocations are counted.
//!
//! `RTMFP_TCSERVER` is the path of rtmfp-cpp's tcserver, `RTMFP_BEFORE` that of another build of the
//! node, to be measured in the same run. The environment makes a run shorter or longer: `RTMFP_SECONDS`, `RTMFP_ROUNDS`, `RTMFP_VIEWERS`,
//! `RTMFP_HANDSHAKES`, `RTMFP_IDLE` (sessions), `RTMFP_IDLE_SECONDS`; `RTMFP_THREADS` is the
//! node's `threads`.

mod allocations;
mod handshakes;
mod load;
mod peer;
#[path = "../fanout/stream.rs"]
mod stream;
#[path = "../support/mod.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use peer::Checks;
use support::child::Process;
use support::table::Table;
use support::{Outcome, free_udp_port, median, setting, write};

/// Messages of the stream in a second.
const MESSAGES_PER_SECOND: u64 = 68;

/// Sessions before those whose memory counts: they make the node set itself up.
const FIRST_SESSIONS: u64 = 20;

/// A server that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Ramona,
    /// Another build of the node, at a path.
    Before(String),
    /// rtmfp-cpp's tcserver, at a path.
    Tcserver(String),
}

/// A server that listens, or will in a moment: clients repeat their hello.
struct Running {
    process: Process,
    at: SocketAddr,
    _folder: tempfile::TempDir,
}

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
        ["load", server, checks, viewers, messages] => part_load(server, checks, viewers, messages),
        ["idle", server, sessions] => {
            parse(server).and_then(|server| load::idle(server, parse(sessions)?))
        }
        _ => support::asked(bench),
    };
    support::ended("rtmfp", result)
}

fn part_load(server: &str, checks: &str, viewers: &str, messages: &str) -> Outcome<()> {
    let checks = if checks == "full" { Checks::Full } else { Checks::Simple };
    load::media(parse(server)?, checks, parse(viewers)?, parse(messages)?)
}

fn parse<T: std::str::FromStr>(text: &str) -> Outcome<T> {
    text.parse().map_err(|_| format!("{text:?} is not understood"))
}

fn bench() -> Outcome<()> {
    println!("# RTMFP");
    println!("{}\n", support::machine());
    allocations()?;
    handshakes()?;
    viewers()?;
    idle()
}

fn allocations() -> Outcome<()> {
    println!("Allocations of one session that sends to another, in the steady state\n");
    let heading = ["checks", "messages", "packets", "at the sender", "at the receiver"];
    let mut table = Table::new(&heading);
    for checks in [Checks::Full, Checks::Simple] {
        let count = allocations::measure(checks)?;
        table.row(&[
            checks.name().to_owned(),
            count.messages.to_string(),
            count.packets.to_string(),
            count.sender.to_string(),
            count.receiver.to_string(),
        ]);
    }
    table.print();
    println!();
    Ok(())
}

fn viewers() -> Outcome<()> {
    let rounds = setting("RTMFP_ROUNDS", 3);
    let viewers = setting("RTMFP_VIEWERS", 40);
    let messages = setting("RTMFP_SECONDS", 8) * MESSAGES_PER_SECOND;
    println!("{viewers} viewers of one stream: 25 video and 43 audio messages a second, 1 Mbit/s;");
    println!("publisher and viewers RTMFP, medians of {rounds} rounds\n");
    let mut subjects = vec![Subject::Ramona];
    subjects.extend(std::env::var("RTMFP_BEFORE").ok().map(Subject::Before));
    match std::env::var("RTMFP_TCSERVER") {
        Ok(path) => subjects.push(Subject::Tcserver(path)),
        Err(_) => println!("without tcserver: RTMFP_TCSERVER is not set\n"),
    }
    let cases: Vec<(Subject, Checks)> = [Checks::Full, Checks::Simple]
        .into_iter()
        .flat_map(|checks| subjects.iter().map(move |subject| (subject.clone(), checks)))
        .collect();
    let mut figures: Vec<Vec<Figures>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((subject, checks), figures) in cases.iter().zip(&mut figures) {
            figures.push(subject.measure(*checks, viewers, messages)?);
        }
    }
    let heading = ["server", "checks", "CPU µs/message", "p50 µs", "p99 µs", "delivered", "of"];
    let mut table = Table::new(&heading);
    for ((subject, checks), own) in cases.iter().zip(&figures) {
        let middle = |of: fn(&Figures) -> f64| median(&own.iter().map(of).collect::<Vec<_>>());
        let sum = |of: fn(&Figures) -> u64| own.iter().map(of).sum::<u64>();
        let disorder = sum(|figures| figures.disorder);
        let note = if disorder > 0 { format!(" ({disorder} out of order)") } else { String::new() };
        table.row(&[
            subject.name().to_owned(),
            checks.name().to_owned(),
            format!("{:.1}", middle(|figures| figures.cpu_us)),
            format!("{:.0}", middle(|figures| figures.p50_us)),
            format!("{:.0}", middle(|figures| figures.p99_us)),
            sum(|figures| figures.delivered).to_string(),
            format!("{}{note}", sum(|figures| figures.expected)),
        ]);
    }
    table.print();
    println!();
    Ok(())
}

impl Checks {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "HMAC, sequence numbers",
            Self::Simple => "checksum",
        }
    }
}

impl Subject {
    fn name(&self) -> &'static str {
        match self {
            Self::Ramona => "ramona",
            Self::Before(_) => "ramona before",
            Self::Tcserver(_) => "tcserver",
        }
    }

    fn start(&self, checks: Checks) -> Outcome<Running> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_udp_port()?));
        let mut process = match self {
            Self::Ramona | Self::Before(_) => {
                // The application that the load connects to, without any handler.
                write(&folder.path().join("www/live/main.lua"), "")?;
                let (port, threads) = (at.port(), setting("RTMFP_THREADS", 0));
                let configuration = format!(
                    "threads = {threads}\n[RTMP]\nport = 0\n[HTTP]\nport = 0\n\
                     [RTMFP]\nhost = 127.0.0.1\nport = {port}\n"
                );
                match self {
                    Self::Before(path) => {
                        Process::node_of(path.as_ref(), folder.path(), &configuration)?
                    }
                    _ => Process::node(folder.path(), &configuration)?,
                }
            }
            Self::Tcserver(path) => {
                let mut command = Command::new(path);
                command.args(["-B", &at.to_string()]);
                if checks == Checks::Simple {
                    command.args(["-H", "-S"]);
                }
                Process::start(&mut command)?
            }
        };
        process.forget_output();
        Ok(Running { process, at, _folder: folder })
    }

    fn measure(&self, checks: Checks, viewers: u64, messages: u64) -> Outcome<Figures> {
        let Running { mut process, at, _folder } = self.start(checks)?;
        let word = if checks == Checks::Full { "full" } else { "simple" };
        let (viewers, messages) = (viewers.to_string(), messages.to_string());
        let mut load = Process::part(&["load", &at.to_string(), word, &viewers, &messages])?;
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
}

fn handshakes() -> Outcome<()> {
    let count = setting("RTMFP_HANDSHAKES", 2_000) as u32;
    let times = handshakes::measure(count)?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(count);
    let share = times.mathematics.as_secs_f64() / times.handshakes.as_secs_f64();
    println!("{count} handshakes of a server with group 14, one thread\n");
    let heading = ["handshakes/s", "µs/handshake", "modular exponentiation µs", "its share"];
    let mut table = Table::new(&heading);
    table.row(&[
        format!("{:.0}", 1e6 / each(times.handshakes)),
        format!("{:.0}", each(times.handshakes)),
        format!("{:.0}", each(times.mathematics)),
        format!("{:.1} %", share * 100.0),
    ]);
    table.print();
    println!();
    Ok(())
}

/// A fifth of the sessions first, then all: what one costs must not grow with their number.
fn idle() -> Outcome<()> {
    let all = setting("RTMFP_IDLE", 5_000);
    let window = Duration::from_secs(setting("RTMFP_IDLE_SECONDS", 30));
    println!("Idle sessions, connected, HMAC and sequence numbers, keepalive of both sides 15 s\n");
    let Running { mut process, at, _folder } = Subject::Ramona.start(Checks::Full)?;
    let open = |sessions: u64| -> Outcome<Process> {
        let mut load = Process::part(&["idle", &at.to_string(), &sessions.to_string()])?;
        load.line("ready")?;
        Ok(load)
    };
    let mut loads = vec![open(FIRST_SESSIONS)?];
    let memory_before = process.memory_kb()?;
    let heading =
        ["sessions", "CPU s/minute", "CPU ms/session and minute", "kB/session", "opened in s"];
    let mut table = Table::new(&heading);
    let mut sessions = 0;
    for wanted in [all / 5, all] {
        let begin = Instant::now();
        loads.push(open(wanted - sessions)?);
        let opened_in = begin.elapsed();
        sessions = wanted;
        let before = process.cpu()?;
        std::thread::sleep(window);
        let cpu = process.cpu()?.saturating_sub(before).as_secs_f64();
        let per_minute = cpu * 60.0 / window.as_secs_f64();
        let growth = process.memory_kb()?.saturating_sub(memory_before);
        table.row(&[
            (sessions + FIRST_SESSIONS).to_string(),
            format!("{per_minute:.2}"),
            format!("{:.3}", per_minute * 1e3 / (sessions + FIRST_SESSIONS) as f64),
            format!("{:.1}", growth as f64 / sessions as f64),
            format!("{:.1}", opened_in.as_secs_f64()),
        ]);
    }
    table.print();
    println!();
    Ok(())
}
