//! The program from its start to its end, as a process: signals, ports in use, exit codes.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use ramona_testkit::{Program, RtmpClient, TestNode, free_port};

const RAMONA: &str = env!("CARGO_BIN_EXE_ramona");

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Ports of its own, all on the loopback.
fn ini(rtmp: u16, more: &str) -> String {
    format!(
        "host = program.example\nRTMP.host = 127.0.0.1\nRTMP.port = {rtmp}\nRTMFP.port = 0\nHTTP.host = 127.0.0.1\n\
         HTTP.port = {}\n{more}\n",
        free_port()
    )
}

#[tokio::test]
async fn env_11_sigterm_runs_on_stop_tells_clients_and_servers_and_ends_with_code_0() {
    let other = TestNode::builder("other").linkable().start().await;
    let (port, target) = (free_port(), other.links());
    let script = r#"
    function onStop(path) NOTE("stops: '", path, "'") end
    function onConnection(client) end
    function onDisconnection(client) NOTE("client gone") end
    function onServerDisconnection(server) NOTE("server gone") end
    children("inner")"#;
    let targets = format!("[servers]\ntargets = {target}");
    let mut program = Program::start(RAMONA, &ini(port, &targets), script, &[]);
    // Its folder is there now: an inner application may be added before it is needed.
    let inner = program.dir().join("www/inner");
    std::fs::create_dir(&inner).expect("a folder");
    std::fs::write(inner.join("main.lua"), "-- inherits onStop").expect("a script");
    program.listens(loopback(port)).await;
    other.logged(&["linked", "program.example"]).await;
    let _inner = RtmpClient::connect(loopback(port), "inner").await;
    let client = RtmpClient::connect(loopback(port), "").await;

    let begin = Instant::now();
    program.terminate();
    let status = program.ended().await;
    assert_eq!(status.code(), Some(0), "{:#?}", program.lines());
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    let lines = program.lines();
    let at = |part: &str| {
        let found = lines.iter().position(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no line with {part}: {lines:#?}"))
    };
    assert!(at("stops: '/inner'") < at("stops: ''"), "children before their parent: {lines:#?}");
    at("SIGTERM");
    assert!(lines.last().is_some_and(|line| line.contains("stopped")), "{lines:#?}");
    other.logged(&["ERROR", "Server is stopping"]).await;
    client.closed().await;
    let told = client
        .events()
        .iter()
        .any(|event| format!("{event:?}").contains("NetConnection.Connect.AppShutdown"));
    assert!(told, "{:#?}", client.events());
    // The log files have it all.
    let log = std::fs::read_to_string(program.dir().join("logs/log.0")).expect("a log file");
    assert!(log.contains("stops: '/inner'") && log.contains("stopped"));
}

#[tokio::test]
async fn a_handler_that_never_ends_does_not_keep_the_program() {
    let port = free_port();
    let script = r#"
    function onConnection(client)
        function client:spin() NOTE("spinning") while true do end end
    end"#;
    let mut program = Program::start(RAMONA, &ini(port, ""), script, &[]);
    program.listens(loopback(port)).await;
    let client = RtmpClient::connect(loopback(port), "").await;
    client.with(|machine| machine.call("spin", &[]).expect("the call fits"));
    program.logged(&["spinning"]).await;
    let begin = Instant::now();
    program.terminate();
    let status = program.ended().await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(status.code(), Some(0), "{:#?}", program.lines());
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_key_and_nothing_else_is_opened() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let mut program = Program::start(RAMONA, &ini(port, ""), "", &[]);
    let status = program.ended().await;
    assert_eq!(status.code(), Some(1));
    let lines = program.lines();
    let named = |line: &String| line.contains(&port.to_string()) && line.contains("RTMP.port");
    assert!(lines.iter().any(named), "{lines:#?}");
}

#[tokio::test]
async fn a_wrong_value_ends_the_program_with_code_64_before_any_port_is_open() {
    for (line, key) in
        [("HTTP.port = many", "HTTP.port"), ("[servers]\nport = 1936", "servers.secret")]
    {
        let port = free_port();
        let mut program = Program::start(RAMONA, &format!("RTMP.port = {port}\n{line}\n"), "", &[]);
        let status = program.ended().await;
        let lines = program.lines();
        assert_eq!(status.code(), Some(64), "{line}: {lines:#?}");
        assert!(lines.iter().any(|line| line.contains(key)), "{lines:#?}");
    }
}

#[tokio::test]
async fn check_loads_every_script_and_opens_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let mut right = Program::start(RAMONA, &ini(port, ""), "function onStart() end", &["check"]);
    assert_eq!(right.ended().await.code(), Some(0), "a port in use does not matter");
    let mut wrong = Program::start(RAMONA, &ini(port, ""), "function onStart( end", &["check"]);
    assert_eq!(wrong.ended().await.code(), Some(64));
}

#[tokio::test]
async fn a_node_killed_by_the_system_is_lost_without_a_word_and_found_again() {
    let script = r#"
    function onServerConnection(server) NOTE("up ", server.host) end
    function onServerDisconnection(server, text) NOTE("down ", server.host, ": ", text) end"#;
    let (rtmp, links) = (free_port(), free_port());
    let config = ini(rtmp, &format!("[servers]\nhost = 127.0.0.1\nport = {links}"));
    let program = Program::start(RAMONA, &config, script, &[]);
    program.listens(loopback(links)).await;
    let a = TestNode::builder("A").www("main.lua", script).target(loopback(links)).start().await;
    a.logged(&["up program.example"]).await;
    // Dropped: SIGKILL.
    drop(program);
    a.logged(&["down program.example: connection lost"]).await;
    let mark = a.log_mark();
    let mut again = Program::start(RAMONA, &config, script, &[]);
    a.logged_since(mark, &["up program.example"]).await;
    again.logged(&["linked"]).await;
}

#[tokio::test]
async fn ctrl_c_ends_the_program_in_order_as_well() {
    let port = free_port();
    let script = "function onStop() NOTE('stops') end";
    let mut program = Program::start(RAMONA, &ini(port, ""), script, &[]);
    program.listens(loopback(port)).await;
    program.interrupt();
    assert_eq!(program.ended().await.code(), Some(0));
    assert!(program.lines().iter().any(|line| line.contains("stops")), "{:#?}", program.lines());
}

#[tokio::test]
async fn a_node_raises_the_limit_of_open_files_that_it_was_started_with() {
    let port = free_port();
    let arguments = ["-c", "ulimit -Sn 64; exec \"$0\"", RAMONA];
    let mut program = Program::start("sh", &ini(port, ""), "", &arguments);
    program.listens(loopback(port)).await;
    program.logged(&["open files"]).await;
    let connections: Vec<_> = (0..100)
        .map(|_| std::net::TcpStream::connect(loopback(port)).expect("the system takes it"))
        .collect();
    // The last in the line is served: nobody before it was left without a file.
    let client = RtmpClient::connect(loopback(port), "").await;
    drop((client, connections));
    program.terminate();
    assert!(program.ended().await.success());
    assert!(!program.lines().iter().any(|line| line.contains("cannot be accepted")));
}
