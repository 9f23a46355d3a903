//! `config/ramona.ini` is the table of keys, written out. After a change of the table,
//! `RAMONA_BLESS=1 cargo test -p ramona shipped` writes it anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Config, KEYS, Key, Kind, Overrides};

const HEAD: &str = "\
; Every key that the node reads, with its default; take away the \";\" to change one.
;
; key = value, in the section it stands in; [section] and key may also be written section.key.
; A \";\" after a blank starts a comment, except in servers.targets. Keys are matched without case.
; Sections of other names are free: scripts read everything here as mona.configs.
;
; A number out of range is replaced by the nearest allowed one, with a warning. A value that is no
; number, boolean or address at all stops the node before it opens a port: `ramona check` tells.
";

/// What one must know about a section before its keys.
fn about(section: &str) -> &'static str {
    match section {
        "RTMP" => "RTMP clients: OBS, ffmpeg, Flash.",
        "RTMFP" => {
            "RTMFP clients: Flash, librtmfp, rtmfp-cpp; peers that are introduced to each other."
        }
        "RTMPS" => "RTMP through TLS.",
        "HTTPS" => "HTTP and WebSocket through TLS.",
        "tls" => "The certificate of HTTPS, WSS and RTMPS.",
        "HTTP" => "HTTP clients, and WebSocket clients on the same port.",
        "servers" => "Links to other nodes of the cluster.",
        "media" => "Publications and their viewers.",
        "script" => "Applications in www/.",
        "metrics" => "The figures of the node, in the log and at /metrics of the HTTP port.",
        "status" => "The operator's page, /status of the HTTP port.",
        "logs" => "Log files; how much is logged is said by --log on the command line.",
        _ => "",
    }
}

fn shipped() -> String {
    let mut out = HEAD.to_owned();
    let mut section = "";
    for key in KEYS.iter().filter(|key| key.kind != Kind::Reserved) {
        out.push('\n');
        if key.section() != section {
            section = key.section();
            if !about(section).is_empty() {
                comment(&mut out, about(section));
            }
            writeln!(out, "[{section}]\n").unwrap();
        }
        comment(&mut out, &format!("{}{}.", key.effect[..1].to_uppercase(), &key.effect[1..]));
        comment(&mut out, &format!("Allowed: {}.", key.allowed()));
        let name = key.name.rsplit('.').next().unwrap();
        writeln!(out, "{}", format!(";{name} = {}", key.default).trim_end()).unwrap();
    }
    out
}

/// Comment lines of 100 columns at most.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from(";");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            writeln!(out, "{line}").unwrap();
            line = String::from(";");
        }
        write!(line, " {word}").unwrap();
    }
    writeln!(out, "{line}").unwrap();
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ramona.ini")
}

#[test]
fn the_shipped_file_documents_each_key_with_its_default() {
    if std::env::var_os("RAMONA_BLESS").is_some() {
        std::fs::write(path(), shipped()).unwrap();
    }
    let text = std::fs::read_to_string(path()).unwrap();
    assert!(text == shipped(), "run: RAMONA_BLESS=1 cargo test -p ramona shipped");
}

#[test]
fn the_shipped_file_loads_and_changes_nothing() {
    let overrides = Overrides::default();
    let text = std::fs::read(path()).unwrap();
    let loaded = Config::parse(&text, None, Path::new("."), &overrides).unwrap();
    assert_eq!(loaded.problems, []);
    assert_eq!(format!("{:?}", loaded.config), format!("{:?}", Config::default()));
}

#[test]
fn the_shipped_file_with_every_key_switched_on_says_the_same_as_the_defaults() {
    let text = std::fs::read_to_string(path()).unwrap();
    let switched_on: String = text
        .lines()
        .map(|line| match line.strip_prefix(';').filter(|rest| !rest.starts_with(' ')) {
            Some(rest) if rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let loaded =
        Config::parse(switched_on.as_bytes(), None, Path::new("."), &Overrides::default()).unwrap();
    assert_eq!(loaded.problems, []);
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        let written = |(name, value): &&(String, String)| name == key.name && value == key.default;
        assert!(loaded.config.entries.iter().any(|entry| written(&entry)), "{}", key.name);
    }
    let of = |config: &Config| format!("{:?} {:?}", config.servers, config.media);
    assert_eq!(of(&loaded.config), of(&Config::default()));
    assert!(Key::find("servers.targets").is_some());
}

#[test]
fn the_cluster_files_are_a_chain_of_three_nodes_on_their_own_ports() {
    let load = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/cluster/{name}.ini"));
        let text = std::fs::read(file).unwrap();
        let loaded = Config::parse(&text, None, Path::new("."), &Overrides::default()).unwrap();
        assert_eq!(loaded.problems, []);
        loaded.config
    };
    let nodes = ["a", "b", "c"].map(load);
    let mut ports: Vec<_> = nodes
        .iter()
        .flat_map(|node| [node.rtmp.bind, node.http.bind, node.servers.bind])
        .map(|bind| bind.unwrap().port())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 9, "{ports:?}");
    for (node, next) in nodes.iter().zip(nodes[1..].iter().map(Some).chain([None])) {
        let dialled: Vec<_> = node.servers.targets.iter().map(|t| t.address.to_string()).collect();
        let expected: Vec<_> =
            next.map(|next| next.servers.bind.unwrap().to_string()).into_iter().collect();
        assert_eq!(dialled, expected);
        assert_eq!(node.host, node.rtmp.bind.map(|bind| format!("127.0.0.1:{}", bind.port())));
    }
}
