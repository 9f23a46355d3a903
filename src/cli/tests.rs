use super::*;

fn parse(line: &str) -> Result<Cli, String> {
    Cli::parse(line.split_whitespace())
}

#[test]
fn options_take_their_value_from_the_next_word_or_after_the_equals_sign() {
    for line in [
        "--config a.ini --dir /srv --log 7 --pidfile p",
        "--config=a.ini --dir=/srv --log=debug --pidfile=p",
    ] {
        let cli = parse(line).expect(line);
        assert_eq!(cli.command, Command::Run);
        assert_eq!(cli.config, Some("a.ini".into()));
        assert_eq!(cli.dir, Some("/srv".into()));
        assert_eq!(cli.level, "7".parse().unwrap());
        assert_eq!(cli.pidfile, Some("p".into()));
    }
    let cli = parse("").unwrap();
    assert_eq!((cli.config, cli.level, cli.daemon), (None, LogLevel::INFO, Daemon::No));
}

#[test]
fn commands_are_check_help_and_version() {
    for (line, command) in [
        ("check", Command::Check),
        ("--log 3 check", Command::Check),
        ("check --config x", Command::Check),
        ("-h", Command::Help),
        ("check --help", Command::Help),
        ("--help --log nonsense", Command::Help),
        ("-V", Command::Version),
        ("--version", Command::Version),
    ] {
        assert_eq!(parse(line).map(|cli| cli.command), Ok(command), "{line}");
    }
}

#[test]
fn dump_has_an_optional_protocol_and_a_limit_in_any_order() {
    assert_eq!(parse("").unwrap().dump, None);
    assert_eq!(parse("--dump").unwrap().dump, Some(Dump::default()));
    let dump = Dump { protocol: Some("RTMP".into()), limit: 16 };
    assert_eq!(parse("--dump=RTMP --dumplimit=16").unwrap().dump, Some(dump.clone()));
    assert_eq!(parse("--dumplimit=16 --dump=RTMP").unwrap().dump, Some(dump));
    assert_eq!(parse("--dumplimit=16").unwrap().dump, None);
}

#[test]
fn cfg_23_scripts_see_all_options_and_unknown_ones_are_theirs() {
    let line = "--color=red --fast -x --log=5 --daemon --daemon=detached --empty= -v3";
    let cli = parse(line).unwrap();
    let expected = [
        ("color", "red"),
        ("fast", "true"),
        ("x", "true"),
        ("log", "5"),
        ("daemon", "true"),
        ("empty", ""),
        ("v", "3"),
    ];
    assert_eq!(cli.arguments, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(cli.daemon, Daemon::Detached);
}

#[test]
fn a_mistake_names_the_option_or_word() {
    for (line, text) in [
        ("start", "\"start\""),
        ("check check", "\"check\""),
        ("--fast yes", "\"yes\""),
        ("--config", "--config: needs a value"),
        ("--dir=", "--dir: needs a value"),
        ("--log loud", "--log: \"loud\" is not a level; allowed: 0 to 8"),
        ("--log=9", "--log: \"9\" is not a level"),
        ("--dumplimit=many", "--dumplimit: needs a number of bytes"),
        ("--daemon=x", "--daemon: takes no value"),
        ("--help=x", "help"),
        ("probe rtmp://host/live --play", "--play: needs a value"),
        ("probe rtmp://host/live --play test", "--play: needs the seconds behind test"),
        ("probe rtmp://host/live --play test soon", "--play: \"soon\" is no number of seconds"),
    ] {
        match parse(line) {
            Err(error) => assert!(error.contains(text), "{line}: {error}"),
            Ok(cli) => assert_eq!(line, "--help=x", "{cli:?}"),
        }
    }
}
