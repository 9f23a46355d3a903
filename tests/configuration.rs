//! Keys of the configuration file that show outside: folders, ports, threads, log lines.

use std::net::{SocketAddr, TcpStream};

use ramona_testkit::{Program, TestNode, free_port, http_get, sample};

const BINARY: &str = env!("CARGO_BIN_EXE_ramona");

/// What the script of these tests says at its start.
const REPORT: &str = r#"
NOTE("dir ", mona.configs.application.dir, " threads ", mona.configs.threads == 4,
	" host ", mona.configs.host, " extra ", mona.arguments.extra, " custom ", mona.configs.game.map)
DEBUG("a line for those who ask")
"#;

fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

#[tokio::test]
async fn cfg_05_and_10_and_19_and_22_and_23_the_file_and_the_command_line_are_heeded() {
    let (port, http) = (free_port(), free_port());
    let ini = format!(
        "host = www.example.com:1940\nthreads = 4 ; a note\n[application]\ndir = app\n\
         [logs]\ndirectory = own\nname = node\n[game]\nmap = forest\n\
         [RTMP]\nhost = 127.0.0.1\nport = {port}\n[RTMFP]\nport = 0\n\
         [HTTP]\nhost = 127.0.0.1\nport = {http}\n"
    );
    let mut node = Program::start(BINARY, &ini, "-- not here", &["--log=7"]);
    node.logged(&["INFO", "configuration: ramona.ini"]).await;
    node.logged(&["INFO", "Application www loaded"]).await;
    node.listens(address([127, 0, 0, 1], port)).await;
    // RTMP.host is where it listens, host is not.
    assert!(TcpStream::connect(address([127, 0, 0, 2], port)).is_err(), "bound to one address");
    assert!(node.dir().join("app/www").is_dir(), "application.dir holds www");
    // A root that comes later is loaded as a changed one.
    std::fs::write(node.dir().join("app/www/main.lua"), REPORT).expect("the script");
    let line = node.logged(&["NOTE", "threads true host www.example.com:1940"]).await;
    assert!(line.contains("app/") && line.contains("custom forest"), "{line}");
    node.logged(&["DEBUG", "a line for those who ask"]).await;
    // As many workers as the key says.
    let (_, _, figures) = http_get(address([127, 0, 0, 1], http), "/metrics").await;
    assert_eq!(sample(&figures, r#"ramona_actors_alive{actor="worker"}"#), 4.0);
    let kept = std::fs::read_to_string(node.dir().join("app/own/node.0")).expect("the log file");
    assert!(kept.contains("threads true"), "{kept}");
    node.terminate();
    assert!(node.ended().await.success());
}

#[tokio::test]
async fn clu_02_and_cfg_07_without_a_port_for_links_none_is_open() {
    let closed = TestNode::builder("A").ini("servers.port = 0").start().await;
    assert!(!closed.is_linkable());
    let open = TestNode::builder("B").linkable().start().await;
    TcpStream::connect(open.links()).expect("it listens");
}
