use bytes::Bytes;

use crate::address::{AddressError, HostPort};
use crate::hello::{MAX_PROPERTIES, MAX_PROPERTY_BYTES, MAX_PROPERTY_KEY, Pairs};

/// Most entries of `servers.targets` that are used; each is a dialler with a TCP connection.
pub const MAX_TARGETS: usize = 1_024;

/// One entry of `servers.targets` (CFG-08).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where to dial; a name is looked up at each dial.
    pub address: HostPort,
    /// Query properties in the order written, decoded; visible on both ends of the link (SRV-04).
    /// A key that is given twice has its last value.
    pub properties: Pairs,
}

/// An entry of `servers.targets` that cannot be used; the others are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("servers.targets: entry {entry:?} is not used: {problem}")]
pub struct TargetError {
    /// The entry as written, cut at 200 characters.
    pub entry: String,
    /// What is wrong with it.
    pub problem: TargetProblem,
}

/// What is wrong with an entry of `servers.targets`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetProblem {
    /// The part before `?` is no `host:port`.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// More properties than a hello carries.
    #[error("more than {MAX_PROPERTIES} properties")]
    TooManyProperties,
    /// A property name or all properties together exceed what a hello carries.
    #[error(
        "a property name is longer than {MAX_PROPERTY_KEY} bytes or all are longer than \
         {MAX_PROPERTY_BYTES}"
    )]
    PropertiesTooLong,
    /// Entries past [`MAX_TARGETS`].
    #[error("more than {MAX_TARGETS} entries")]
    TooMany,
}

/// Reads `servers.targets`: `host:port[?k=v&…]` separated by `;` (CFG-08).
///
/// Blanks around an entry and empty entries are dropped; `%XX` and `+` are decoded in keys and
/// values (a `%` without two hexadecimal digits stands for itself); a key without `=` has the
/// empty value. Never fails as a whole: each bad entry is named, the others are kept.
pub fn parse_targets(text: &str) -> (Vec<Target>, Vec<TargetError>) {
    let (mut targets, mut errors) = (Vec::new(), Vec::new());
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let problem = match parse_target(entry) {
            Ok(_) if targets.len() == MAX_TARGETS => TargetProblem::TooMany,
            Ok(target) => {
                targets.push(target);
                continue;
            }
            Err(problem) => problem,
        };
        errors.push(TargetError { entry: entry.chars().take(200).collect(), problem });
        if targets.len() == MAX_TARGETS {
            break; // one complaint for all that follow
        }
    }
    (targets, errors)
}

fn parse_target(entry: &str) -> Result<Target, TargetProblem> {
    let (address, query) = entry.split_once('?').unwrap_or((entry, ""));
    let address = HostPort::parse(address, None)?;
    let mut properties = Pairs::new();
    let mut bytes = 0;
    for piece in query.split('&') {
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (key, value) = (decode(key), decode(value));
        if key.is_empty() {
            continue;
        }
        bytes += key.len() + value.len();
        if key.len() > MAX_PROPERTY_KEY || bytes > MAX_PROPERTY_BYTES {
            return Err(TargetProblem::PropertiesTooLong);
        }
        let count = properties.len();
        match properties.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None if count == MAX_PROPERTIES => return Err(TargetProblem::TooManyProperties),
            None => properties.push((key, value)),
        }
    }
    Ok(Target { address, properties })
}

fn decode(text: &str) -> Bytes {
    let text = text.as_bytes();
    let mut out = Vec::with_capacity(text.len());
    let digit = |at: usize| text.get(at).and_then(|&b| (b as char).to_digit(16));
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match (digit(at), digit(at + 1)) {
                (Some(high), Some(low)) => {
                    out.push((high << 4 | low) as u8);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(byte),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Target {
        let (mut targets, errors) = parse_targets(text);
        assert_eq!(errors, []);
        assert_eq!(targets.len(), 1);
        targets.remove(0)
    }

    fn pairs(expected: &[(&[u8], &[u8])]) -> Pairs {
        expected
            .iter()
            .map(|&(k, v)| (Bytes::copy_from_slice(k), Bytes::copy_from_slice(v)))
            .collect()
    }

    #[test]
    fn two_entries_with_a_property_are_read() {
        let (targets, errors) = parse_targets("192.168.0.2:1936?type=master;192.168.0.3:1936");
        assert_eq!(errors, []);
        assert_eq!(targets[0].address.to_string(), "192.168.0.2:1936");
        assert_eq!(targets[0].properties, pairs(&[(b"type", b"master")]));
        assert_eq!(targets[1].address.to_string(), "192.168.0.3:1936");
        assert_eq!(targets[1].properties, []);
    }

    #[test]
    fn blanks_and_empty_entries_are_dropped() {
        let (targets, errors) = parse_targets(" ; a:1 ;;\t[::1]:2?x ; ");
        assert_eq!(errors, []);
        assert_eq!(targets.len(), 2);
        assert_eq!(parse_targets("").0, []);
    }

    #[test]
    fn properties_are_decoded() {
        let target = one("a:1?na%6De=two+words&flag&empty=&b%00%fF=%C3%A9&odd=100%&z=%G1&e=a=b");
        assert_eq!(
            target.properties,
            pairs(&[
                (b"name", b"two words"),
                (b"flag", b""),
                (b"empty", b""),
                (b"b\0\xFF", "é".as_bytes()),
                (b"odd", b"100%"),
                (b"z", b"%G1"),
                (b"e", b"a=b"),
            ])
        );
    }

    #[test]
    fn a_key_given_twice_has_its_last_value_and_nameless_values_are_dropped() {
        assert_eq!(one("a:1?k=1&&=x&k=2").properties, pairs(&[(b"k", b"2")]));
    }

    #[test]
    fn a_bad_entry_is_named_and_the_others_are_kept() {
        let (targets, errors) = parse_targets("a:1;hostB;b:2;::1:5;c:3");
        assert_eq!(targets.len(), 3);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "servers.targets: entry \"hostB\" is not used: the port is missing: write host:port",
                "servers.targets: entry \"::1:5\" is not used: an IPv6 address needs brackets: \
                 write [address]:port",
            ]
        );
    }

    #[test]
    fn too_many_or_too_long_properties_are_refused() {
        let many: Vec<_> = (0..=MAX_PROPERTIES).map(|n| format!("k{n}=")).collect();
        let problem = |text: String| parse_targets(&text).1.remove(0).problem;
        assert_eq!(problem(format!("a:1?{}", many.join("&"))), TargetProblem::TooManyProperties);
        let long = "v".repeat(MAX_PROPERTY_BYTES);
        assert_eq!(problem(format!("a:1?k={long}")), TargetProblem::PropertiesTooLong);
        let long = "k".repeat(MAX_PROPERTY_KEY + 1);
        assert_eq!(problem(format!("a:1?{long}")), TargetProblem::PropertiesTooLong);
    }

    #[test]
    fn entries_past_the_limit_are_refused_with_one_error() {
        let (targets, errors) = parse_targets(&"a:1;".repeat(MAX_TARGETS + 9));
        assert_eq!(targets.len(), MAX_TARGETS);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].problem, TargetProblem::TooMany);
    }

    proptest! {
        #[test]
        fn written_properties_are_read_back(
            raw in proptest::collection::btree_map(
                proptest::collection::vec(any::<u8>(), 1..20),
                proptest::collection::vec(any::<u8>(), 0..40),
                0..8,
            ),
        ) {
            let escape = |bytes: &[u8]| {
                bytes.iter().map(|b| format!("%{b:02X}")).collect::<String>()
            };
            let query: Vec<_> =
                raw.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect();
            let (targets, errors) = parse_targets(&format!("h:9?{}", query.join("&")));
            prop_assert!(errors.is_empty());
            let read: Vec<_> =
                targets[0].properties.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
            prop_assert_eq!(read, raw.into_iter().collect::<Vec<_>>());
        }
    }
}
