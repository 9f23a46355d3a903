use super::*;

use std::path::Path;
use tracing::subscriber::with_default;

/// What `log` writes to a file under these settings, without the dates.
fn lines(level: &str, dump: Option<Dump>, log: impl FnOnce()) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let files = LogFiles {
        directory: folder.path().into(),
        name: "log".into(),
        rotation: 0,
        max_bytes: 1 << 20,
    };
    let (queue, guard) = writer::start(false, Some(files)).unwrap();
    let layer = LineLayer::new(level.parse().unwrap(), dump, None, queue);
    with_default(tracing_subscriber::registry().with(layer), log);
    drop(guard);
    without_dates(&folder.path().join("log"))
}

fn without_dates(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| line.get(24..).unwrap_or(line).to_owned()).collect()
}

#[test]
fn log_03_a_script_line_has_level_file_and_line_of_lua() {
    let lines = lines("6", None, || {
        tracing::info!(
            target: "script", level_name = "NOTE", file = "app/main.lua", line = 41, "x=1\n{}", 2
        );
        tracing::warn!(target: "script", file = "main.lua", line = 7_i64, app = "/a", "w");
    });
    assert_eq!(lines, ["NOTE  [app/main.lua:41] x=1\\n2", "WARN  [main.lua:7] w app=/a"]);
}

#[test]
fn gen_09_a_traceback_stands_below_its_line() {
    let lines = lines("6", None, || {
        let trace = "www/main.lua:2: in function 'inner'\nwww/main.lua:8: in function 'o\u{7}'";
        tracing::error!(target: "script", level_name = "ERROR", trace, "onManage: boom");
        tracing::error!(target: "script", level_name = "ERROR", trace = "", "again");
    });
    // Without the first 24 bytes of each line.
    let trace = ["unction 'inner'", "unction 'o\\x07'"];
    assert_eq!(lines, ["ERROR onManage: boom", trace[0], trace[1], "ERROR again"]);
}

#[test]
fn an_engine_line_has_target_spans_message_and_fields() {
    let lines = lines("6", None, || {
        let outer = tracing::info_span!("rtmp", peer = "192.0.2.1:5", app = tracing::field::Empty);
        outer.record("app", "live");
        let _outer = outer.enter();
        let _inner = tracing::info_span!("publication").entered();
        tracing::warn!(target: "ramona_actors::rtmp", dropped = 3, name = ?"a\nb", "too slow");
        tracing::info!(target: "ramona_actors::rtmp", bytes = 7);
    });
    let spans = "rtmp{peer=192.0.2.1:5 app=live}:publication: ";
    assert_eq!(
        lines,
        [
            format!("WARN  ramona_actors::rtmp {spans}too slow dropped=3 name=\"a\\nb\""),
            format!("INFO  ramona_actors::rtmp {spans}bytes=7"),
        ]
    );
}

#[test]
fn cfg_23_the_threshold_holds_for_named_and_tracing_levels() {
    fn all() {
        for (name, text) in [("FATAL", "f"), ("CRITIC", "c"), ("ERROR", "e")] {
            tracing::error!(target: "script", level_name = name, file = "a", line = 1, "{text}");
        }
        tracing::warn!(target: "script", level_name = "WARN", file = "a", line = 1, "w");
        tracing::info!(target: "script", level_name = "NOTE", file = "a", line = 1, "n");
        tracing::info!(target: "script", level_name = "INFO", file = "a", line = 1, "i");
        tracing::debug!(target: "script", level_name = "DEBUG", file = "a", line = 1, "d");
        tracing::trace!(target: "script", level_name = "TRACE", file = "a", line = 1, "t");
    }
    for (level, texts) in [
        ("1", "f"),
        ("2", "fc"),
        ("3", "fce"),
        ("4", "fcew"),
        ("5", "fcewn"),
        ("6", "fcewni"),
        ("7", "fcewnid"),
        ("8", "fcewnidt"),
    ] {
        let written = lines(level, None, all);
        let last: String = written.iter().filter_map(|line| line.chars().last()).collect();
        assert_eq!(last, texts, "--log {level}");
    }
}

#[test]
fn other_crates_are_heard_from_warn_on_and_below_that_at_trace() {
    fn all() {
        tracing::info!(target: "mio::poll", "i");
        tracing::warn!(target: "mio::poll", "w");
        tracing::info!(target: "metrics", "m");
    }
    assert_eq!(lines("7", None, all), ["WARN  mio::poll w", "INFO  metrics m"]);
    assert_eq!(lines("8", None, all).len(), 3);
}

#[test]
fn packets_are_written_for_the_asked_protocol_whatever_the_level() {
    fn all() {
        for protocol in ["RTMP", "servers"] {
            tracing::trace!(target: "dump", protocol, data = &b"abc"[..], "in");
        }
    }
    assert_eq!(lines("8", None, all), [""; 0]);
    let dump = |protocol: Option<&str>| Dump { protocol: protocol.map(str::to_owned), limit: 2 };
    let one = lines("3", Some(dump(Some("rtmp"))), all);
    assert_eq!(one[0], "TRACE dump RTMP in (3 bytes)");
    assert_eq!(one.len(), 2);
    assert_eq!(lines("3", Some(dump(None)), all).len(), 4);
}

/// The only test that installs the process-wide subscriber.
#[test]
fn log_records_and_panics_reach_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let files = LogFiles {
        directory: folder.path().into(),
        name: "log".into(),
        rotation: 10,
        max_bytes: 1 << 20,
    };
    let settings = Settings { files: Some(files), ..Settings::default() };
    let guard = init(settings.clone()).unwrap();
    tracing_log::log::warn!(target: "actix_server", "from the log crate");
    tracing_log::log::info!(target: "actix_server", "not important enough");
    let panicked = std::thread::Builder::new().name("arbiter".into()).spawn(|| panic!("boo\n"));
    assert!(panicked.unwrap().join().is_err());
    assert!(init(settings).is_err(), "a second subscriber is refused");
    drop(guard);
    let lines = without_dates(&folder.path().join("log.0"));
    let written = |begin: &str| lines.iter().any(|line| line.starts_with(begin));
    assert!(written("WARN  actix_server from the log crate"), "{lines:?}");
    assert!(
        written("CRITIC ramona::telemetry panic: boo\\n thread=arbiter place=src/"),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.contains("not important")), "{lines:?}");
}
