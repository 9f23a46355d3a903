//! Where scripts send RTMFP clients: `onHandshake` and `onRendezVousUnknown` (EVT-08, EVT-09,
//! RED-*).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};

use mlua::{LuaString, Table, Value};
use ramona_formats::{TypedText, typed_text};

use crate::app::normalise;
use crate::core::Core;
use crate::engine::Engine;
use crate::host::LogLevel;
use crate::object::typed_list;
use crate::value::text::parse_query;

/// Default of `RTMFP.port` (CFG-11).
const DEFAULT_PORT: u16 = 1935;

/// Addresses of one answer. A redirect is one datagram of at most 1,192 bytes; of these 7 are an
/// IPv4 address (RFC 7016 §2.1.5), and headers and tag take some 30.
const MAX_REDIRECTS: usize = 160;

/// Lines that one answer may cause in the log.
const MAX_PROBLEMS: usize = 8;

/// Longest host name in its text form (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// One result of `onHandshake` or `onRendezVousUnknown`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Redirect {
    /// An address for the client.
    Address {
        /// IP text, IPv6 without brackets, or a name in lower case that is yet to be resolved.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// `again` (RED-06): the address by which the client reached this node.
    Again,
}

impl Engine {
    /// Asks `onHandshake` for one first-handshake packet (EVT-08). `address` is the client's
    /// `ip:port`, `path` and `query` come from its URL, `attempts` counts from 1. The
    /// application of `path` is loaded when needed; for a path that does not exist the nearest
    /// parent that does is asked.
    ///
    /// Results are distinct, in the script's order, at most 160. Empty: the client connects here.
    pub fn handshake(
        &mut self,
        address: &str,
        path: &str,
        query: &[u8],
        attempts: u32,
    ) -> Vec<Redirect> {
        let _run = self.core.runs.begin();
        let asked = normalise(path);
        let app = self.core.open_nearest(&self.lua, asked.as_deref().unwrap_or_default());
        let query = match typed_list(&self.lua, &parse_query(query)) {
            Ok(query) => query,
            Err(error) => {
                self.core.internal_error("onHandshake", &error);
                return Vec::new();
            }
        };
        let args = (app.as_str(), address, asked.as_deref().unwrap_or(path), query, attempts);
        let answer = self.core.raise("onHandshake", "handshake", args);
        self.core.redirects("onHandshake", &app, answer, true)
    }

    /// Asks `onRendezVousUnknown` of the root for a peer that is unknown here (EVT-09).
    ///
    /// Results as those of [`Engine::handshake`], without [`Redirect::Again`]. Empty: the
    /// request stays unanswered.
    pub fn rendezvous_unknown(&mut self, peer: [u8; 32]) -> Vec<Redirect> {
        let _run = self.core.runs.begin();
        let args = LuaString::wrap(peer);
        let answer = self.core.raise("onRendezVousUnknown", "rendezvous_unknown", args);
        self.core.redirects("onRendezVousUnknown", "", answer, false)
    }
}

impl Core {
    fn redirects(
        &self,
        label: &str,
        app: &str,
        answer: Option<Option<Table>>,
        handshake: bool,
    ) -> Vec<Redirect> {
        let Some(Some(items)) = answer else { return Vec::new() };
        let mut reading = Reading { handshake, ..Reading::default() };
        if let Err(error) = reading.items(&items) {
            self.internal_error(label, &error);
        }
        let more = reading.problems.len().saturating_sub(MAX_PROBLEMS);
        for (level, text) in reading.problems.iter().take(MAX_PROBLEMS) {
            self.log_app(*level, app, format!("{label}: {text}").as_bytes());
        }
        if more > 0 {
            let text = format!("{label}: {more} more results are no addresses");
            self.log_app(LogLevel::Error, app, text.as_bytes());
        }
        reading.found
    }
}

/// One answer while it is read.
#[derive(Debug, Default)]
struct Reading {
    handshake: bool,
    /// A host whose port must come next (RED-03).
    waiting: Option<String>,
    found: Vec<Redirect>,
    seen: HashSet<Redirect>,
    problems: Vec<(LogLevel, String)>,
}

impl Reading {
    /// Reads what `redirect.lua` made of the results: kinds and values by turns.
    fn items(&mut self, items: &Table) -> mlua::Result<()> {
        let count: usize = items.raw_get("n")?;
        for index in (1..count).step_by(2) {
            let kind: LuaString = items.raw_get(index)?;
            let value: Value = items.raw_get(index + 1)?;
            match (&*kind.as_bytes(), value) {
                (b"text", Value::String(text)) => self.text(&text.as_bytes()),
                (b"number", Value::Integer(number)) => self.number(number as f64),
                (b"number", Value::Number(number)) => self.number(number),
                (b"server", Value::Table(place)) => self.server(&place)?,
                (b"bad", Value::String(what)) => {
                    self.unpaired();
                    self.error(format!("{} is no address", what.to_string_lossy()));
                }
                _ => self.unpaired(),
            }
        }
        if items.raw_get::<Option<bool>>("cut")?.is_some() {
            self.error("too many values, the rest is ignored".into());
        }
        Ok(())
    }

    fn error(&mut self, text: String) {
        self.problems.push((LogLevel::Error, text));
    }

    fn add(&mut self, redirect: Redirect) {
        if self.seen.contains(&redirect) {
            return;
        }
        if self.found.len() == MAX_REDIRECTS {
            let text = format!("more than {MAX_REDIRECTS} addresses, the rest is not sent");
            if !self.problems.iter().any(|(_, known)| *known == text) {
                self.problems.push((LogLevel::Warn, text));
            }
            return;
        }
        self.seen.insert(redirect.clone());
        self.found.push(redirect);
    }

    /// Something else than the port of the host before it.
    fn unpaired(&mut self) {
        if let Some(host) = self.waiting.take() {
            self.error(format!("'{host}' has no port"));
        }
    }

    fn number(&mut self, number: f64) {
        match (self.waiting.take(), port(number)) {
            (Some(host), Some(port)) => self.add(Redirect::Address { host, port }),
            (Some(host), None) => self.error(format!("{number} is no port for '{host}'")),
            (None, _) => self.error(format!("{number} is no address")),
        }
    }

    fn text(&mut self, text: &[u8]) {
        if let TypedText::Number(number) = typed_text(text) {
            return self.number(number);
        }
        self.unpaired();
        if text.eq_ignore_ascii_case(b"again") || text.eq_ignore_ascii_case(b"myself") {
            // RED-06: a rendezvous has nothing to try again.
            if self.handshake {
                self.add(Redirect::Again);
            }
            return;
        }
        match address(text) {
            Some((host, Some(port))) => self.add(Redirect::Address { host, port }),
            Some((host, None)) => self.waiting = Some(host),
            None => self.error(format!("'{}' is no address", shown(text))),
        }
    }

    /// RED-10..12. Said once per link: a list of servers is returned for every client.
    fn server(&mut self, place: &Table) -> mlua::Result<()> {
        self.unpaired();
        let link: String = place.raw_get("address")?;
        let host: LuaString = place.raw_get("host")?;
        // CFG-04: out of range is clamped, no number is the default.
        let configured = match place.raw_get("port")? {
            Value::Integer(port) => u16::try_from(port.clamp(0, 65_535)).unwrap_or(DEFAULT_PORT),
            Value::Number(port) => port as u16,
            _ => DEFAULT_PORT,
        };
        let problem = if configured == 0 {
            (LogLevel::Warn, format!("RTMFP is off on server {link}, it gets no client"))
        } else if let Some((host, port)) = address(&host.as_bytes()) {
            let host = if reaches_others(&host) { host } else { link };
            let port = port.unwrap_or(configured);
            self.add(Redirect::Address { host, port });
            return Ok(());
        } else {
            let host = shown(&host.as_bytes());
            (LogLevel::Error, format!("host '{host}' of server {link} is no address"))
        };
        if place.raw_get::<Option<bool>>("told")?.is_none() {
            place.raw_set("told", true)?;
            self.problems.push(problem);
        }
        Ok(())
    }
}

fn port(number: f64) -> Option<u16> {
    let port = number as u16;
    (port != 0 && f64::from(port) == number).then_some(port)
}

/// RED-11: false for loopback and wildcard addresses.
fn reaches_others(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => {
            let ip = ip.to_canonical();
            !ip.is_loopback() && !ip.is_unspecified()
        }
        Err(_) => host != "localhost",
    }
}

/// Host and port of `ip`, `name`, `[v6]`, each with or without `:port`, or a bare `v6`.
fn address(text: &[u8]) -> Option<(String, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        let ip: Ipv6Addr = ip.parse().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port_text(port)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return Some((ip.to_string(), port));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Some((ip.to_string(), None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port_text(port)?)),
        None => (text, None),
    };
    is_host(host).then(|| (host.to_ascii_lowercase(), port))
}

fn port_text(text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|port| *port != 0)
}

/// Whether a resolver can make something of it; what only looks like an IPv4 address is none.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric {
        return host.parse::<IpAddr>().is_ok();
    }
    host.len() <= MAX_HOST && name.split('.').all(label)
}

/// A script's text in a log line, cut to what a line can hold.
fn shown(text: &[u8]) -> String {
    let end = text.len().min(MAX_HOST);
    String::from_utf8_lossy(&text[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{address, port, reaches_others};
    use proptest::prelude::*;

    fn parts(text: &str) -> Option<(String, Option<u16>)> {
        address(text.as_bytes())
    }

    #[test]
    fn red_03_texts_of_addresses() {
        for (text, host, port) in [
            ("192.168.0.2:1935", "192.168.0.2", Some(1935)),
            ("www.HostB.com:1", "www.hostb.com", Some(1)),
            (" node_1.local. ", "node_1.local.", None),
            ("1.2.3.4", "1.2.3.4", None),
            ("[2001:DB8::0:1]:65535", "2001:db8::1", Some(65_535)),
            ("[::1]", "::1", None),
            ("fe80::1:1935", "fe80::1:1935", None),
        ] {
            assert_eq!(parts(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            ":",
            ":1935",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[a]:1",
            "a b:1",
            "rtmfp://a:1",
            "a/b",
            "1.2.3:1",
            "1.2.3.256:1",
            "a..b:1",
            "é:1",
            "a\0:1",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
        assert_eq!(address(b"\xff:1"), None);
    }

    #[test]
    fn ports_are_whole_and_in_range() {
        assert_eq!(port(1935.0), Some(1935));
        for number in [0.0, -1.0, 1.5, 65_536.0, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(port(number), None, "{number}");
        }
    }

    #[test]
    fn red_11_loopback_and_wildcard_reach_nobody() {
        for host in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"] {
            assert!(!reaches_others(host), "{host}");
        }
        assert!(!reaches_others("localhost"));
        for host in ["10.0.0.1", "2001:db8::1", "www.a.com"] {
            assert!(reaches_others(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_reads_the_same_again(text in "[\\[\\]a-c0-9:. -]{0,24}") {
            if let Some((host, port)) = parts(&text) {
                let written = match (host.contains(':'), port) {
                    (true, Some(port)) => format!("[{host}]:{port}"),
                    (false, Some(port)) => format!("{host}:{port}"),
                    (_, None) => host.clone(),
                };
                prop_assert_eq!(parts(&written), Some((host, port)));
            }
        }

        #[test]
        fn any_bytes_are_read(text: Vec<u8>) {
            if let Some((host, port)) = address(&text) {
                prop_assert!(!host.is_empty() && port != Some(0));
            }
        }
    }
}
