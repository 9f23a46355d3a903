//! Arguments, configuration, logs, node, signal, end; nothing else.

use std::path::Path;
use std::process::ExitCode;

use ramona::cli::{Cli, Command, Daemon, EXIT_USAGE, help};
use ramona::config::{Config, Loaded, Severity};
use ramona::daemon::{self, Detached, PidFile};
use ramona::telemetry::{self, LogFiles};
use ramona::{node, open_files};
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    let cli = match Cli::parse(std::env::args_os().skip(1)) {
        Ok(cli) => cli,
        Err(error) => {
            eprintln!("ramona: {error}\ntry: ramona --help");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match cli.command {
        Command::Help => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Command::Version => {
            println!("ramona {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Command::Check => match load(&cli) {
            Ok(loaded) => check(&loaded),
            Err(code) => code,
        },
        Command::Probe => probe(&cli),
        Command::Run if cli.daemon == Daemon::Start => daemon::start().unwrap_or_else(|error| {
            eprintln!("ramona: --daemon: {error}");
            ExitCode::FAILURE
        }),
        Command::Run => match load(&cli) {
            Ok(loaded) => run(&cli, loaded).unwrap_or_else(|text| {
                eprintln!("ramona: {text}");
                ExitCode::FAILURE
            }),
            Err(code) => code,
        },
    }
}

/// The configuration, or the exit code after its mistakes were printed.
fn load(cli: &Cli) -> Result<Loaded, ExitCode> {
    let program = std::env::current_exe().unwrap_or_else(|_| "ramona".into());
    let command: Vec<_> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let overrides = cli.overrides(program, command.join(" "));
    let folder = std::env::current_dir().unwrap_or_else(|_| Path::new(".").to_path_buf());
    Config::load(cli.config.as_deref(), &folder, &overrides).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(EXIT_USAGE)
    })
}

/// `ramona check`: prints every finding in configuration and scripts; opens no port.
fn check(loaded: &Loaded) -> ExitCode {
    for problem in &loaded.problems {
        println!("{problem}");
    }
    println!("configuration: {}, {} findings", source(loaded), loaded.problems.len());
    let scripts = ramona_script::Engine::check(&loaded.config.dir);
    for finding in &scripts {
        println!("{}", finding.text);
    }
    let www = loaded.config.dir.join("www");
    println!("scripts: {}, {} findings", www.display(), scripts.len());
    let wrong = |problem: &ramona::config::Problem| problem.severity >= Severity::Error;
    let fails = |finding: &ramona_script::Finding| finding.is_failure;
    if scripts.iter().any(fails) || loaded.problems.iter().any(wrong) {
        return ExitCode::from(EXIT_USAGE);
    }
    ExitCode::SUCCESS
}

/// The configuration file, as the log and `check` name it.
fn source(loaded: &Loaded) -> std::borrow::Cow<'_, str> {
    loaded.file.as_deref().map_or("no file, all defaults".into(), Path::to_string_lossy)
}

/// `ramona probe`: each step on standard output, the one that failed on standard error.
fn probe(cli: &Cli) -> ExitCode {
    let Some(probe) = &cli.probe else { return ExitCode::from(EXIT_USAGE) };
    let probed =
        actix_rt::System::new().block_on(ramona::probe::run(probe, &mut std::io::stdout().lock()));
    match probed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ramona: probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, loaded: Loaded) -> Result<ExitCode, String> {
    let detached = match cli.daemon {
        Daemon::Detached => Some(Detached::begin().map_err(|error| format!("--daemon: {error}"))?),
        _ => None,
    };
    let Loaded { config, problems, .. } = &loaded;
    let settings = telemetry::Settings {
        level: config.logs.level,
        console: detached.is_none(),
        files: Some(LogFiles::from(&config.logs)),
        dump: cli.dump.clone(),
        tail: Some(config.logs.tail.clone()),
    };
    let directory = config.logs.directory.display();
    let _logs = telemetry::init(settings)
        .map_err(|error| format!("log files (logs.directory = {directory}): {error}"))?;
    tracing::info!("ramona {}, configuration: {}", env!("CARGO_PKG_VERSION"), source(&loaded));
    for problem in problems {
        problem.log();
    }
    if let Err(error) = open_files::raise() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    open_files::tell();
    let _pidfile = match &cli.pidfile {
        Some(path) => Some(
            PidFile::write(path)
                .map_err(|error| format!("--pidfile {}: {error}", path.display()))?,
        ),
        None => None,
    };
    actix_rt::System::new().block_on(async {
        // Before anything is there that a signal must end in order.
        let mut signals = Signals::watch().map_err(|error| format!("signals: {error}"))?;
        let node = node::start(config).await.map_err(|error| error.to_string())?;
        if let Some(detached) = detached {
            detached.running().map_err(|error| format!("--daemon: {error}"))?;
        }
        let signal = signals.next().await;
        tracing::info!(signal, "told to stop; a second signal ends the node at once");
        tokio::select! {
            () = node.stop() => {}
            _ = signals.next() => tracing::warn!("ended at once"),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the two do not kill the process.
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either; answers its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
