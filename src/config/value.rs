//! The text of one key to a typed value.

use std::net::IpAddr;

use ramona_cluster::HostPort;

use super::keys::{Key, Kind};

/// What a text turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome<T> {
    /// An allowed value.
    Fine(T),
    /// A number out of range, and the bound that is used instead.
    Clamped(T),
    /// Not a value of this kind at all.
    Wrong,
}

/// `-`?digits[`.`digits], as typed text of scripts is (GEN-15): no exponent, no `+`, no `inf`.
fn is_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

/// A port: [`Outcome::Wrong`] out of range, for no neighbouring port is meant.
pub(super) fn port(text: &str) -> Outcome<u16> {
    match text.parse() {
        Ok(port) if is_number(text) => Outcome::Fine(port),
        _ => Outcome::Wrong,
    }
}

pub(super) fn whole(text: &str, min: u64, max: u64) -> Outcome<u64> {
    if !is_number(text) || text.contains('.') {
        return Outcome::Wrong;
    }
    let value = if text.starts_with('-') { 0 } else { text.parse().unwrap_or(u64::MAX) };
    let below_zero = text.starts_with('-') && text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    clamp(value, min, max, below_zero)
}

pub(super) fn decimal(text: &str, min: f64, max: f64) -> Outcome<f64> {
    match text.parse() {
        Ok(value) if is_number(text) => clamp(value, min, max, false),
        _ => Outcome::Wrong,
    }
}

fn clamp<T: PartialOrd>(value: T, min: T, max: T, below: bool) -> Outcome<T> {
    if below || value < min {
        Outcome::Clamped(min)
    } else if value > max {
        Outcome::Clamped(max)
    } else {
        Outcome::Fine(value)
    }
}

pub(super) fn boolean(text: &str) -> Outcome<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Outcome::Fine(true),
        "false" | "0" => Outcome::Fine(false),
        _ => Outcome::Wrong,
    }
}

/// An IP address, an IPv6 address with or without brackets.
pub(super) fn ip(text: &str) -> Outcome<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner.unwrap_or(text).parse() {
        Ok(ip) => Outcome::Fine(ip),
        Err(_) => Outcome::Wrong,
    }
}

/// A public address (CFG-06): kept as it is written.
pub(super) fn host(text: &str) -> Outcome<String> {
    match HostPort::parse(text, Some(1)) {
        Ok(_) => Outcome::Fine(text.to_owned()),
        Err(_) => Outcome::Wrong,
    }
}

/// A name without a path, so that log files and folder indexes stay where they belong.
pub(super) fn file_name(text: &str) -> Outcome<String> {
    let bad = |c: char| c == '/' || c == '\\' || c.is_control();
    if text.is_empty() || text == "." || text == ".." || text.contains(bad) {
        Outcome::Wrong
    } else {
        Outcome::Fine(text.to_owned())
    }
}

/// Message for a value that is refused.
pub(super) fn wrong(key: &Key, text: &str) -> String {
    // Longest part of a wrong value that a message repeats.
    const SHOWN: usize = 80;
    let what = match key.kind {
        Kind::Port => "a port",
        Kind::Whole { .. } | Kind::OptionalWhole { .. } => "a whole number",
        Kind::Decimal { .. } => "a number",
        Kind::Bool => "a boolean",
        Kind::Ip => "an IP address",
        Kind::Host => "an address",
        _ => "a value for this key",
    };
    let shown: String = text.chars().take(SHOWN).collect();
    format!("{shown:?} is not {what}; allowed: {}", key.allowed())
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Clamped, Fine, Wrong};
    use super::*;

    #[test]
    fn a_port_out_of_range_is_wrong_and_not_clamped() {
        assert_eq!(port("0"), Fine(0));
        assert_eq!(port("65535"), Fine(65535));
        for text in ["65536", "-1", "", "19 35", "+1935", "1935.0", "0x10", "rtmp"] {
            assert_eq!(port(text), Wrong, "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_are_clamped_and_other_texts_refused() {
        for (text, expected) in [
            ("5", Fine(5)),
            ("255", Fine(255)),
            ("007", Fine(7)),
            ("1", Clamped(5)),
            ("-20", Clamped(5)),
            ("256", Clamped(255)),
            ("99999999999999999999999", Clamped(255)),
            ("5.0", Wrong),
            ("", Wrong),
            ("-", Wrong),
            ("1e2", Wrong),
        ] {
            assert_eq!(whole(text, 5, 255), expected, "{text:?}");
        }
        assert_eq!(whole("-0", 0, 9), Fine(0));
        assert_eq!(whole("-1", 0, 9), Clamped(0));
    }

    #[test]
    fn decimals_are_clamped_and_other_texts_refused() {
        for (text, expected) in [
            ("0.5", Fine(0.5)),
            ("7", Fine(7.0)),
            ("0", Clamped(0.1)),
            ("-3", Clamped(0.1)),
            ("1000000", Clamped(60.0)),
            ("inf", Wrong),
            ("nan", Wrong),
            ("1e1", Wrong),
            (".5", Wrong),
            ("1.", Wrong),
            ("1,5", Wrong),
        ] {
            assert_eq!(decimal(text, 0.1, 60.0), expected, "{text:?}");
        }
    }

    #[test]
    fn booleans_addresses_and_names_are_recognised() {
        assert_eq!(
            [boolean("TRUE"), boolean("0"), boolean("ja")],
            [Fine(true), Fine(false), Wrong]
        );
        for text in ["127.0.0.1", "::", "[::1]"] {
            assert!(matches!(ip(text), Fine(_)), "{text}");
        }
        for text in ["localhost", "127.0.0.1:1", ""] {
            assert_eq!(ip(text), Wrong, "{text}");
        }
        for text in ["www.example.com", "www.example.com:1935", "192.0.2.1", "[::1]", "[::1]:19"] {
            assert_eq!(host(text), Fine(text.to_owned()));
        }
        for text in ["", "a b", "a:0", "a:x", "::1", "rtmp://a", "a:99999"] {
            assert_eq!(host(text), Wrong, "{text}");
        }
        assert_eq!(file_name("log"), Fine("log".to_owned()));
        for text in ["", ".", "..", "a/b", "a\\b", "a\0"] {
            assert_eq!(file_name(text), Wrong, "{text:?}");
        }
    }
}
