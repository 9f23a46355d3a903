use super::*;
use crate::config::{ConfigError, KEYS};

fn build(text: &str) -> (Config, Vec<Problem>) {
    let ini = Ini::parse(text.as_bytes(), "t.ini");
    Config::build(&ini, "t.ini", Path::new("/srv/ramona"), &Overrides::default())
}

/// The configuration of a text without findings.
fn good(text: &str) -> Config {
    let (config, problems) = build(text);
    assert_eq!(problems, [], "{text:?}");
    config
}

fn entry<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    config.entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[test]
fn every_key_of_the_table_is_read_and_has_an_allowed_default() {
    let ini = Ini::default();
    let mut set = Settings::new(&ini, "");
    Config::read(&mut set, &ini, Path::new("."), &Overrides::default());
    assert_eq!(set.problems, []);
    for key in KEYS.iter().filter(|key| key.kind != Kind::Reserved) {
        assert!(set.read.contains(key.name), "{} is declared, and nobody reads it", key.name);
    }
}

#[test]
fn defaults_are_those_of_the_specification() {
    let config = Config::default();
    assert_eq!(config.rtmp.bind, Some("0.0.0.0:1935".parse().unwrap()));
    assert_eq!(config.rtmp.timeout, Duration::from_secs(60));
    assert_eq!(config.rtmfp.bind, Some("0.0.0.0:1935".parse().unwrap()));
    assert_eq!(config.rtmfp.keepalive_server, Duration::from_secs(15));
    assert_eq!(config.rtmfp.keepalive_peer, Duration::from_secs(10));
    assert_eq!(config.rtmfp.times_before_turn, None);
    assert_eq!(config.http.bind, Some("0.0.0.0:8080".parse().unwrap()));
    assert_eq!(config.http.timeout, Duration::from_secs(7));
    assert_eq!(config.http.index, HttpIndex::List);
    assert_eq!(config.websocket.timeout, Duration::from_secs(120));
    assert_eq!(config.servers.bind, None);
    assert_eq!(config.servers.targets, []);
    assert_eq!(config.servers.queue_bytes, 64 << 20);
    assert_eq!(config.metrics.period, Some(Duration::from_secs(10)));
    assert_eq!((config.logs.rotation, config.logs.max_bytes), (10, 1_000_000));
    assert_eq!((config.host, config.threads, config.socket_buffer), (None, 0, None));
}

#[test]
fn values_reach_their_field() {
    let config = good(
        "host = www.example.com:1935\nthreads = 4\nsocketBufferSize = 65536\n\
         [application]\ndir = /srv/other\n\
         [RTMP]\nhost = 127.0.0.1\nport = 1940\ntimeout = 2.5\n\
         [HTTP]\nport = 0\nindex = home.html\n\
         [RTMFP]\ntimesBeforeTurn = 3\n\
         [servers]\ntargets = a:1936?type=master;b:1936\nport = 1936\nsecret = a;b long enough one\n\
         [script]\nslow = 0\nbudget = 0.5\nmemory = 0\n[metrics]\nperiod = 0\n\
         [logs]\ndirectory = /var/log/ramona\nname = node\n",
    );
    assert_eq!(config.host.as_deref(), Some("www.example.com:1935"));
    assert_eq!((config.threads, config.socket_buffer), (4, Some(65536)));
    assert_eq!(config.dir, Path::new("/srv/other"));
    assert_eq!(config.rtmp.bind, Some("127.0.0.1:1940".parse().unwrap()));
    assert_eq!(config.rtmp.timeout, Duration::from_millis(2500));
    assert_eq!(config.http.bind, None);
    assert_eq!(config.http.index, HttpIndex::File("home.html".into()));
    assert_eq!(config.rtmfp.times_before_turn, Some(3));
    assert_eq!(config.servers.targets.len(), 2);
    assert_eq!(config.servers.policy(), LinkPolicy::Secret);
    assert!(config.servers.secret.is_some_and(|secret| !secret.is_short()));
    assert_eq!((config.script.slow, config.metrics.period), (None, None));
    assert_eq!(config.script.budget, Some(Duration::from_millis(500)));
    assert_eq!(config.script.memory, 0);
    assert_eq!(config.logs.directory, Path::new("/var/log/ramona"));
}

#[test]
fn cfg_06_the_public_host_moves_no_socket() {
    let config = good("host = www.example.com:1940\nRTMP.port = 1941");
    assert_eq!(config.rtmp.bind, Some("0.0.0.0:1941".parse().unwrap()));
    assert_eq!(config.rtmfp.bind, Some("0.0.0.0:1935".parse().unwrap()));
    assert_eq!(config.http.bind, Some("0.0.0.0:8080".parse().unwrap()));
    assert_eq!(config.servers.bind, None);
}

#[test]
fn cfg_07_and_11_and_15_and_16_port_0_is_off() {
    let config = good("RTMP.port = 0\nRTMFP.port = 0\nHTTP.port = 0\nservers.port = 0");
    assert_eq!((config.rtmp.bind, config.rtmfp.bind), (None, None));
    assert_eq!((config.http.bind, config.servers.bind), (None, None));
}

#[test]
fn cfg_15_to_17_timeouts_are_seconds() {
    let config = good("RTMP.timeout = 20\nHTTP.timeout = 30\nWebSocket.timeout = 40");
    assert_eq!(config.rtmp.timeout, Duration::from_secs(20));
    assert_eq!(config.http.timeout, Duration::from_secs(30));
    assert_eq!(config.websocket.timeout, Duration::from_secs(40));
}

#[test]
fn cfg_18_a_section_of_rtsp_is_accepted() {
    good("[RTSP]\nport = 554\ntimeout = 60");
}

#[test]
fn cfg_04_keys_are_matched_without_case_and_the_later_spelling_wins() {
    let config = good("[RTMFP]\nkeepAlivePeer = 20\n");
    assert_eq!(config.rtmfp.keepalive_peer, Duration::from_secs(20));
    assert_eq!(entry(&config, "RTMFP.keepAlivePeer"), Some("20"));
    assert_eq!(entry(&config, "RTMFP.keepalivePeer"), Some("20"));
    let config = good("rtmp.port = 2\nRTMP.port = 3\nRtmp.Port = 4\nrtmp.timeout = 9");
    assert_eq!(config.rtmp.bind.map(|bind| bind.port()), Some(4));
    assert_eq!(entry(&config, "rtmp.port"), Some("2"), "scripts see what is written");
}

#[test]
fn cfg_12_and_13_a_number_out_of_range_is_clamped_with_a_warning() {
    for (text, line, key) in [
        ("[RTMFP]\nkeepaliveServer = 1", 2, "RTMFP.keepaliveServer"),
        ("[RTMFP]\nkeepalivePeer = 0", 2, "RTMFP.keepalivePeer"),
        ("threads = 100000", 1, "threads"),
        ("servers.heartbeat = 0", 1, "servers.heartbeat"),
        ("servers.timeout = 1", 1, "servers.timeout"),
    ] {
        let (config, problems) = build(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].severity, Severity::Warning);
        assert_eq!((problems[0].line, problems[0].key.as_str()), (line, key));
        assert!(config.rtmfp.keepalive_server >= Duration::from_secs(5));
        assert!(config.rtmfp.keepalive_peer >= Duration::from_secs(5));
    }
    let (_, problems) = build("[RTMFP]\nkeepaliveServer = 1");
    assert_eq!(
        problems[0].to_string(),
        "t.ini:2: RTMFP.keepaliveServer: 1 is out of range, 5 is used; allowed: a whole number \
         from 5 to 255 s"
    );
}

#[test]
fn a_wrong_value_names_file_line_key_and_what_is_allowed_and_stops() {
    for (text, expected) in [
        (
            "\n[RTMP]\nport = abc",
            "t.ini:3: RTMP.port: \"abc\" is not a port; allowed: a port from 1 to 65535, or 0 for off",
        ),
        (
            "rtmp.port = 70000",
            "t.ini:1: rtmp.port: \"70000\" is not a port; allowed: a port from 1 to 65535, or 0 for off",
        ),
        (
            "servers.insecure = maybe",
            "t.ini:1: servers.insecure: \"maybe\" is not a boolean; allowed: true or false",
        ),
        (
            "RTMP.host = example.com",
            "t.ini:1: RTMP.host: \"example.com\" is not an IP address; allowed: an IP address to listen on",
        ),
        (
            "threads =",
            "t.ini:1: threads: \"\" is not a whole number; allowed: a whole number from 0 to 1024 threads",
        ),
    ] {
        let error = Config::parse(
            text.as_bytes(),
            Some("t.ini".into()),
            Path::new("."),
            &Overrides::default(),
        )
        .expect_err(text);
        assert!(matches!(&error, ConfigError::Invalid(all) if all.len() == 1), "{error}");
        assert_eq!(error.to_string(), expected);
    }
    for text in [
        "HTTP.index =",
        "HTTP.index = ../x",
        "logs.name = a/b",
        "host = a b",
        "RTMFP.timesBeforeTurn = often",
        "metrics.period = inf",
    ] {
        let (_, problems) = build(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert_eq!(problems[0].severity, Severity::Fatal, "{text}");
    }
}

#[test]
fn all_wrong_values_are_named_at_once() {
    let (_, problems) = build("RTMP.port = a\nHTTP.port = b\nthreads = c");
    assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [3, 1, 2]);
}

#[test]
fn cfg_08_a_bad_target_is_an_error_and_the_others_are_kept() {
    let (config, problems) = build("servers.targets = a:1; b ;c:3");
    assert_eq!(config.servers.targets.len(), 2);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Error);
}

#[test]
fn cfg_04_and_def_16_a_typing_error_names_the_nearest_key_and_own_keys_are_free() {
    for (text, meant) in [
        ("[RTMP]\nprot = 1", "RTMP.port"),
        ("server.targets = a:1", "servers.targets"),
        ("thread = 1", "threads"),
    ] {
        let (_, problems) = build(text);
        assert_eq!(problems.len(), 1, "{text}");
        assert_eq!(problems[0].severity, Severity::Warning);
        assert!(problems[0].text.ends_with(&format!("did you mean {meant}?")), "{problems:?}");
    }
    good("mine = 1\n[game]\nport = 1\nmap = x ; note\n[RTSP]\nport = 1");
}

#[test]
fn an_open_link_port_without_secret_is_refused() {
    for (text, policy) in [
        ("servers.port = 1936", LinkPolicy::Refused),
        ("servers.port = 1936\nservers.host = 127.0.0.1", LinkPolicy::Loopback),
        ("servers.port = 1936\nservers.secret = 0123456789abcdef", LinkPolicy::Secret),
        ("servers.port = 1936\nservers.insecure = true", LinkPolicy::Insecure),
        ("servers.targets = a:1", LinkPolicy::Off),
    ] {
        let (config, problems) = build(text);
        assert_eq!(config.servers.policy(), policy, "{text}");
        let fatal = problems.iter().any(|problem| problem.severity == Severity::Fatal);
        assert_eq!(fatal, policy == LinkPolicy::Refused, "{problems:?}");
    }
    let (_, problems) = build("servers.secret = short");
    assert!(problems[0].text.starts_with("shorter than 16"), "{problems:?}");
}

#[test]
fn two_tcp_ports_of_one_number_are_refused() {
    let fatal = |text| build(text).1.iter().any(|p| p.severity == Severity::Fatal);
    assert!(fatal("RTMP.port = 8080"));
    assert!(fatal("RTMP.port = 8080\nHTTP.host = 127.0.0.1"));
    assert!(!fatal("RTMP.port = 8080\nRTMP.host = 127.0.0.2\nHTTP.host = 127.0.0.1"));
    assert!(!fatal("RTMP.port = 0\nHTTP.port = 0"));
}

#[test]
fn mon_04_and_cfg_06_scripts_see_the_file_as_written_and_defaults_and_no_secret() {
    let config =
        good("host = www.myhost.com:1935\n[game]\nmap = x\n[servers]\nsecret = 0123456789abcdef");
    assert_eq!(entry(&config, "host"), Some("www.myhost.com:1935"));
    assert_eq!(entry(&config, "game.map"), Some("x"));
    assert_eq!(entry(&config, "RTMP.port"), Some("1935"));
    assert_eq!(entry(&config, "application.dir"), Some("/srv/ramona/"));
    assert_eq!(entry(&config, "application.baseName"), Some("ramona"));
    assert_eq!(entry(&config, "publicHost"), None, "not set is nil, not an empty text");
    assert_eq!(entry(&config, "servers.secret"), None);
    let shown = format!("{config:?}");
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn srv_08_linked_nodes_learn_addresses_and_what_is_shared_by_name() {
    let text = "host = h:1\n[rtmp]\nPORT = 2\n[game]\nmap = x\nroom = y\n[bank]\nkey = z\n";
    let config = good(&format!("{text}[servers]\nshare = game.map, bank,servers\ntargets = a:1"));
    let mut names: Vec<_> = config.public_entries();
    names.retain(|(name, _)| !name.starts_with("HTTP") && !name.starts_with("RTMFP"));
    let expect = [
        ("host", "h:1"),
        ("game.map", "x"),
        ("bank.key", "z"),
        ("RTMP.port", "2"),
        ("RTMP.timeout", "60"),
        ("WebSocket.timeout", "120"),
    ];
    assert_eq!(names, expect.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn cfg_05_and_23_the_command_line_goes_before_the_file() {
    let ini = Ini::parse(b"application.dir = a", "t.ini");
    let overrides = Overrides { dir: Some("b".into()), ..Overrides::default() };
    let (config, _) = Config::build(&ini, "t.ini", Path::new("/w"), &overrides);
    assert_eq!(config.dir, Path::new("/w/b"));
    assert_eq!(config.logs.directory, Path::new("/w/b/logs"));
    let (config, _) = Config::build(&ini, "t.ini", Path::new("/w"), &Overrides::default());
    assert_eq!(config.dir, Path::new("/w/a"));
}
