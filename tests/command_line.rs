//! The program as an operator meets it: exit codes and what it prints.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs `ramona` in a folder; it must end by itself.
fn ramona(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ramona"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_and_version_need_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let help = ramona(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("servers.targets"));
    let version = ramona(folder.path(), &["--version"]);
    assert_eq!(text(&version.stdout), format!("ramona {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "and leave nothing behind");
}

#[test]
fn a_wrong_value_stops_every_way_of_starting_with_code_64_and_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ramona.ini"), "[RTMP]\nport = rtmp\n").unwrap();
    for arguments in [&["check"][..], &[], &["--daemon"]] {
        let output = ramona(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {output:?}");
        assert_eq!(
            text(&output.stderr),
            "ramona.ini:2: RTMP.port: \"rtmp\" is not a port; allowed: a port from 1 to 65535, or \
             0 for off\n"
        );
    }
    assert!(!folder.path().join("logs").exists(), "nothing was started");
}

#[test]
fn a_missing_file_that_was_named_and_a_wrong_option_end_with_code_64() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, named) in [
        (&["--config", "no.ini", "check"][..], "no.ini"),
        (&["--log", "loud"], "\"loud\""),
        (&["start"], "\"start\""),
    ] {
        let output = ramona(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(text(&output.stderr).contains(named), "{output:?}");
    }
}

#[test]
fn check_prints_warnings_and_fails_on_a_bad_target() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ramona.ini"), "[RTMFP]\nkeepalivePeer = 1\n").unwrap();
    let output = ramona(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("ramona.ini:2: RTMFP.keepalivePeer: 1 is out of range"));
    std::fs::write(folder.path().join("ramona.ini"), "servers.targets = nowhere\n").unwrap();
    let output = ramona(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(text(&output.stdout).contains("ramona.ini:1: servers.targets: entry \"nowhere\""));
}

/// Waits for a condition, with a deadline that only a failure reaches.
fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_script_that_never_returns_does_not_keep_the_process() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    std::fs::write(folder.path().join("ramona.ini"), "RTMP.port = 0\nHTTP.port = 0\n").unwrap();
    let endless = "function onManage() NOTE('endless') while true do end end\n";
    std::fs::write(folder.path().join("www/main.lua"), endless).unwrap();
    let mut node = Command::new(env!("CARGO_BIN_EXE_ramona"))
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let log = folder.path().join("logs/log.0");
    wait_for("the loop", || std::fs::read_to_string(&log).ok()?.contains("endless").then_some(()));
    let killed = Command::new("kill").arg(node.id().to_string()).status();
    assert!(killed.is_ok_and(|status| status.success()), "SIGTERM is sent");
    let deadline = Instant::now() + Duration::from_secs(30);
    let ended = loop {
        match node.try_wait().expect("a child can be asked") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                node.kill().expect("a child can be killed");
                panic!("the process is still there 30 s after SIGTERM");
            }
            None => std::thread::park_timeout(Duration::from_millis(20)),
        }
    };
    assert!(ended.success(), "{ended}");
}

/// Written as applications of MonaServer are: methods of collections, names of 2014, globals for
/// the events of clients, an error of several values.
const OLD_ROOT: &str = r#"
function onStart(path)
	NOTE("rooms: ", mona.configs.game.rooms + 1, ", started ", path)
	for id, publication in mona.publications:pairs() do NOTE(id) end
end
function onConnection(client, name)
	if name is not "Ann" then error("no ", name, " in ", client.path) end
end
function onPublish(client, publication)
	function publication:onVideoPacket(time, packet) INFO(time, " ", #packet) end
end
function onJoinGroup(client, group)
	member = mona:joinGroup(client.id, group.id)
end
children("game")
"#;

#[test]
fn cfg_01_a_folder_of_monaserver_is_started_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("www/game")).unwrap();
    std::fs::write(folder.path().join("www/main.lua"), OLD_ROOT).unwrap();
    std::fs::write(folder.path().join("www/game/main.lua"), "function test() end\n").unwrap();
    let ini = "; of MonaServer\r\nhost = www.example.com:19350\r\nthreads = 2\r\n\
        socketBufferSize = 65536\r\n[RTMFP]\r\nport = 0 ; existing config\r\n\
        keepAlivePeer = 10\r\nkeepAliveServer = 15\r\n[RTMP]\r\nport = 0\r\n[HTTP]\r\n\
        port = 0\r\ntimeout = 7\r\n[RTSP]\r\nport = 0\r\n[logs]\r\nname = log\r\n\
        rotation = 3\r\n[game]\r\nrooms = 5\r\n";
    std::fs::write(folder.path().join("MonaServer.ini"), ini).unwrap();
    let checked = ramona(folder.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let mut node = Command::new(env!("CARGO_BIN_EXE_ramona"))
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let log = folder.path().join("logs/log.0");
    let text = wait_for("both applications", || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("Application www loaded").then_some(text)
    });
    // The root's onStart is inherited; its child is loaded by the file itself.
    assert!(text.contains("rooms: 6, started /game"), "{text}");
    assert_eq!(text.matches("rooms: 6, started").count(), 2, "{text}");
    assert!(text.contains("Application www/game loaded"), "{text}");
    let killed = Command::new("kill").arg(node.id().to_string()).status();
    assert!(killed.is_ok_and(|status| status.success()), "SIGTERM is sent");
    let ended = wait_for("the end", || node.try_wait().expect("a child can be asked"));
    assert!(ended.success(), "{ended}");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains(" ERROR "), "{text}");
    let warnings: Vec<_> = text.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), 1, "one for `is not`: {warnings:?}");
}
