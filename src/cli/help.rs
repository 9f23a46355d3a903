//! The text of `--help`.

use std::fmt::Write as _;

use crate::config::{DEFAULT_FILES, KEYS, Kind};

const OPTIONS: &[(&str, &str)] = &[
    ("--config FILE", "configuration file; a missing one is an error"),
    ("--dir FOLDER", "folder that holds www/ and data/; goes before application.dir"),
    (
        "--log LEVEL",
        "least important level that is logged: 0 none, 1 fatal, 2 critic, 3 error, 4 warn, 5 note, \
         6 info (default), 7 debug, 8 trace; the number or the name",
    ),
    ("--dump[=PROTOCOL]", "log packets as hex, of all protocols or of one (RTMP, servers)"),
    ("--dumplimit=BYTES", "bytes of a packet that --dump logs at most; 1024 by default"),
    (
        "--daemon",
        "run in the background; returns when the node has started, with an error if it could not",
    ),
    ("--pidfile=PATH", "write the process number there, and remove the file at the end"),
    ("--NAME[=VALUE]", "anything else is left to scripts, as mona.arguments.NAME"),
    ("-h, --help", "this text"),
    ("-V, --version", "the version"),
];

const PROBE_OPTIONS: &[(&str, &str)] = &[
    ("--play NAME SECONDS", "play a stream and count its messages; none is a failure"),
    (
        "--group SPECIFICATION SECONDS",
        "RTMFP: be a member of that NetGroup, meet the members that the server tells and answer \
         those that ask; members of which none can be met are a failure",
    ),
    (
        "--meet PEERID SECONDS",
        "RTMFP: meet that peer through the server, and stay; anybody: wait for whoever asks",
    ),
    (
        "--timeout SECONDS",
        "what each step may take; 10 by default. The exit code of probe is 0 or 1",
    ),
];

/// All options and all configuration keys.
pub fn help() -> String {
    let mut out = String::from(
        "Ramona: a real-time media and messaging cluster node.\n\n\
         ramona [OPTIONS]         run the node until SIGTERM or Ctrl-C\n\
         ramona [OPTIONS] check   validate configuration and scripts, open no port\n\
         ramona probe URL ...     connect to a server by RTMP or RTMFP and tell each step\n\n\
         Options:\n",
    );
    for (option, effect) in OPTIONS {
        entry(&mut out, option, effect);
    }
    out += "\nOptions of probe, after the URL (rtmp://host[:port]/app or rtmfp://...):\n";
    for (option, effect) in PROBE_OPTIONS {
        entry(&mut out, option, effect);
    }
    let files = DEFAULT_FILES.join(", ");
    out += "\nConfiguration is an INI file: the one of --config, else the first of\n";
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{files} in the folder of --dir,\nthen in the working folder, else all defaults."
    );
    out += "A wrong value ends the program with code 64 before a port is opened.\n\nKeys:\n";
    for key in KEYS.iter().filter(|key| key.kind != Kind::Reserved) {
        let default = match (key.default, key.unit) {
            ("", _) => String::new(),
            (default, "") => format!(" = {default}"),
            (default, unit) => format!(" = {default} {unit}"),
        };
        entry(&mut out, &format!("{}{default}", key.name), key.effect);
    }
    out
}

/// A name, and its effect beside it or below it, wrapped at 100 columns.
fn entry(out: &mut String, name: &str, effect: &str) {
    const COLUMN: usize = 34;
    const WIDTH: usize = 100;
    let mut line = format!("  {name:<32}");
    if line.len() > COLUMN {
        out.push_str(&line);
        out.push('\n');
        line = " ".repeat(COLUMN);
    }
    let mut empty = true;
    for word in effect.split_whitespace() {
        if !empty && line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(COLUMN);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_explains_each_option_and_each_key() {
        let help = help();
        for (option, _) in OPTIONS.iter().chain(PROBE_OPTIONS) {
            assert!(help.contains(option), "{option}");
        }
        for key in KEYS.iter().filter(|key| key.kind != Kind::Reserved) {
            assert!(help.contains(&format!("\n  {}", key.name)), "{}", key.name);
        }
        let long = help.lines().find(|line| line.len() > 100);
        assert_eq!(long, None);
    }
}
