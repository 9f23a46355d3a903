use bytes::Bytes;

use crate::hello::{
    MAX_CONFIGURATION, MAX_CONFIGURATION_BYTES, MAX_CONFIGURATION_KEY, MAX_CONFIGURATION_VALUE,
    Pairs,
};

/// Sections that tell about this machine and its command line, not about the node (SRV-08).
const PRIVATE_SECTIONS: [&str; 3] = ["application.", "arguments.", "logs."];

/// Parts of a key name that mark its value as something to keep (`servers.secret` among them).
const PRIVATE_WORDS: [&str; 5] = ["password", "passwd", "secret", "token", "credential"];

/// What a node tells others of its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicConfiguration {
    /// Keys as written in the file, with their values as text.
    pub pairs: Pairs,
    /// Public keys left out because a hello has no room for them; worth a warning.
    pub omitted: usize,
}

/// Whether other nodes may read the value of `key` (flat: `section.key`).
///
/// Case does not count. Keys of the sections `application`, `arguments` and `logs` are private, and
/// every key with `password`, `passwd`, `secret`, `token` or `credential` anywhere in its name.
pub fn is_public_key(key: &str) -> bool {
    let key = key.trim().to_ascii_lowercase();
    !PRIVATE_SECTIONS.iter().any(|section| key.starts_with(section))
        && !PRIVATE_SECTIONS.iter().any(|section| key == section[..section.len() - 1])
        && !PRIVATE_WORDS.iter().any(|word| key.contains(word))
}

/// Picks what a hello may carry from the flat configuration, in the given order.
///
/// Private keys are dropped silently ([`is_public_key`]); a key of more than 255 bytes, a value of
/// more than 4096, and whatever comes after 512 keys or 32 KiB, is dropped and counted.
pub fn public_configuration<'a>(
    configuration: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> PublicConfiguration {
    let mut public = PublicConfiguration::default();
    let mut room = MAX_CONFIGURATION_BYTES;
    for (key, value) in configuration {
        if !is_public_key(key) {
            continue;
        }
        let bytes = key.len() + value.len();
        if key.is_empty()
            || key.len() > MAX_CONFIGURATION_KEY
            || value.len() > MAX_CONFIGURATION_VALUE
            || bytes > room
            || public.pairs.len() == MAX_CONFIGURATION
        {
            public.omitted += 1;
            continue;
        }
        room -= bytes;
        public.pairs.push((
            Bytes::copy_from_slice(key.as_bytes()),
            Bytes::copy_from_slice(value.as_bytes()),
        ));
    }
    public
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(configuration: &PublicConfiguration) -> Vec<&str> {
        configuration.pairs.iter().map(|(k, _)| std::str::from_utf8(k).unwrap()).collect()
    }

    #[test]
    fn what_tells_of_machine_and_secrets_stays_home() {
        let public = public_configuration([
            ("host", "www.host.com:1935"),
            ("application.dir", "/home/me"),
            ("Arguments.0", "--config"),
            ("LOGS.directory", "/var/log"),
            ("logs", "x"),
            ("servers.secret", "no"),
            ("Servers.Secret", "no"),
            ("db.userPassword", "no"),
            ("db.PASSWD", "no"),
            ("mail.apiToken", "no"),
            ("cloud.credentials", "no"),
            ("RTMFP.port", "1936"),
            ("logistics.depot", "yes"),
            ("myarguments.x", "yes"),
        ]);
        assert_eq!(keys(&public), ["host", "RTMFP.port", "logistics.depot", "myarguments.x"]);
        assert_eq!(public.omitted, 0);
        assert!(!format!("{public:?}").contains("\"no\""));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let long_key = "k".repeat(MAX_CONFIGURATION_KEY + 1);
        let long_value = "v".repeat(MAX_CONFIGURATION_VALUE + 1);
        let public =
            public_configuration([(&*long_key, "x"), ("a", &*long_value), ("", "x"), ("b", "y")]);
        assert_eq!((keys(&public), public.omitted), (vec!["b"], 3));
    }

    #[test]
    fn number_and_bytes_of_keys_are_bounded() {
        let names: Vec<_> = (0..MAX_CONFIGURATION + 5).map(|n| format!("key{n}")).collect();
        let public = public_configuration(names.iter().map(|n| (n.as_str(), "")));
        assert_eq!((public.pairs.len(), public.omitted), (MAX_CONFIGURATION, 5));
        let value = "v".repeat(MAX_CONFIGURATION_VALUE);
        let public = public_configuration(names.iter().map(|n| (n.as_str(), value.as_str())));
        let bytes: usize = public.pairs.iter().map(|(k, v)| k.len() + v.len()).sum();
        assert!(bytes <= MAX_CONFIGURATION_BYTES, "{bytes}");
        assert_eq!(public.pairs.len() + public.omitted, names.len());
    }
}
