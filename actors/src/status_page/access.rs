//! Who may see the operator's page.
//!
//! Without credentials in the configuration: whoever is on this machine. Web pages of others are
//! on this machine too, in the operator's browser; so a request has to name the machine by address
//! or as `localhost` (a page can make its own name point here, but not that), and one of another
//! origin is refused. A proxy makes everybody local: what it forwards is refused.
//!
//! With credentials: whoever shows them, from anywhere. A browser that did gets a cookie, so that
//! its WebSocket is let in as well.

use std::fmt;
use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, ORIGIN, VIA};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The cookie of a browser that showed its credentials.
pub(super) const COOKIE: &str = "ramona-status";

/// Headers that proxies add.
const PROXIES: [HeaderName; 3] = [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for")];

/// Credentials of the configuration: section `status`.
#[derive(Clone, Default)]
pub struct StatusConfig {
    /// `status.user` and `status.password`: HTTP's Basic authentication.
    pub login: Option<(String, String)>,
    /// `status.token`: in the address, `?token=`, or as Bearer.
    pub token: Option<String>,
    /// The last lines of the log.
    pub log: super::LogTail,
    /// How the node calls itself.
    pub host: String,
}

impl fmt::Debug for StatusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (login, token) = (self.login.is_some(), self.token.is_some());
        f.debug_struct("StatusConfig").field("login", &login).field("token", &token).finish()
    }
}

/// What a request is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It may see the page.
    Granted,
    /// It showed credentials and may see the page; a browser keeps this cookie.
    Login(String),
    /// It may show credentials.
    Ask,
    /// Not from there.
    Refused(&'static str),
}

/// What of a request is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asker<'a> {
    pub(super) peer: Option<IpAddr>,
    pub(super) host: &'a str,
    pub(super) origin: Option<&'a str>,
    pub(super) is_forwarded: bool,
    pub(super) authorization: Option<&'a str>,
    pub(super) token: Option<&'a str>,
    pub(super) cookie: Option<&'a str>,
}

impl StatusConfig {
    /// Judges an asker. `secret` is the node's own, of this run.
    pub(super) fn judge(&self, asker: &Asker<'_>, secret: &[u8; 32]) -> Access {
        if let Some(origin) = asker.origin
            && origin.split_once("://").is_none_or(|(_, host)| host != asker.host)
        {
            return Access::Refused("a page of another origin asks");
        }
        if self.login.is_none() && self.token.is_none() {
            return match () {
                () if !asker.peer.is_some_and(|ip| ip.is_loopback()) => Access::Refused(
                    "only this machine sees the status page; set status.user and \
                     status.password, or status.token, to see it from elsewhere",
                ),
                () if asker.is_forwarded => Access::Refused(
                    "a proxy asks for somebody: set status.user and status.password",
                ),
                () if !names_this_machine(asker.host) => {
                    Access::Refused("ask by address, such as http://127.0.0.1, not by name")
                }
                () => Access::Granted,
            };
        }
        let cookie = self.cookie(secret);
        if asker.cookie.is_some_and(|shown| is_same(shown, &cookie)) {
            return Access::Granted;
        }
        if self.is_shown(asker) { Access::Login(cookie) } else { Access::Ask }
    }

    /// Whether Basic authentication is possible.
    pub(super) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    fn is_shown(&self, asker: &Asker<'_>) -> bool {
        let (scheme, shown) =
            asker.authorization.and_then(|text| text.split_once(' ')).unwrap_or_default();
        if let Some((user, password)) = &self.login
            && scheme.eq_ignore_ascii_case("basic")
            && let Ok(decoded) = STANDARD.decode(shown.trim())
            && let Ok(decoded) = String::from_utf8(decoded)
            && is_same(&decoded, &format!("{user}:{password}"))
        {
            return true;
        }
        let bearer = scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim());
        self.token.as_ref().is_some_and(|token| {
            [bearer, asker.token].into_iter().flatten().any(|shown| is_same(shown, token))
        })
    }

    /// What only this node, in this run, with these credentials makes.
    fn cookie(&self, secret: &[u8; 32]) -> String {
        let mut hash = Sha256::new();
        hash.update(secret);
        let (user, password) = self.login.as_ref().map_or(("", ""), |(u, p)| (u, p));
        for part in [user, password, self.token.as_deref().unwrap_or_default()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Compares without telling by its time where two texts differ.
fn is_same(shown: &str, right: &str) -> bool {
    let (shown, right) = (Sha256::digest(shown), Sha256::digest(right));
    shown.iter().zip(right.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

impl<'a> Asker<'a> {
    /// Reads a request.
    pub(super) fn of(request: &'a HttpRequest, peer: IpAddr, token: Option<&'a str>) -> Self {
        let header =
            |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let cookies = request.headers().get_all(actix_web::http::header::COOKIE);
        let cookie = cookies
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| header.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        Self {
            peer: Some(peer),
            host: header(&HOST).unwrap_or_default(),
            origin: header(&ORIGIN),
            is_forwarded: PROXIES.iter().any(|name| request.headers().contains_key(name)),
            authorization: header(&AUTHORIZATION),
            token,
            cookie,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];
    const LOCAL: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const FAR: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn local() -> Asker<'static> {
        Asker { peer: LOCAL, host: "127.0.0.1:8080", ..Asker::default() }
    }

    fn is_refused(config: &StatusConfig, asker: Asker<'_>) -> bool {
        matches!(config.judge(&asker, &SECRET), Access::Refused(_))
    }

    #[test]
    fn without_credentials_only_this_machine_is_let_in() {
        let config = StatusConfig::default();
        assert_eq!(config.judge(&local(), &SECRET), Access::Granted);
        for host in ["localhost", "LOCALHOST:80", "[::1]:8080", "127.0.0.1"] {
            assert_eq!(
                config.judge(&Asker { host, ..local() }, &SECRET),
                Access::Granted,
                "{host}"
            );
        }
        assert!(is_refused(&config, Asker { peer: FAR, ..local() }));
        assert!(is_refused(&config, Asker { peer: None, ..local() }));
        assert!(is_refused(&config, Asker { is_forwarded: true, ..local() }));
    }

    #[test]
    fn a_page_of_somebody_else_in_the_operators_browser_is_refused() {
        let config = StatusConfig::default();
        assert!(is_refused(&config, Asker { host: "evil.example:8080", ..local() }), "rebinding");
        let origin = Some("https://evil.example");
        assert!(is_refused(&config, Asker { origin, ..local() }));
        let origin = Some("null");
        assert!(is_refused(&config, Asker { origin, ..local() }));
        let own = Some("http://127.0.0.1:8080");
        assert_eq!(config.judge(&Asker { origin: own, ..local() }, &SECRET), Access::Granted);
    }

    #[test]
    fn with_credentials_everybody_has_to_show_them_and_then_has_a_cookie() {
        let login = Some(("admin".to_owned(), "long: secret".to_owned()));
        let config = StatusConfig { login, ..StatusConfig::default() };
        assert_eq!(config.judge(&local(), &SECRET), Access::Ask, "this machine too");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let ask = |authorization: &str, cookie: Option<&str>| {
            let authorization = Some(authorization);
            let host = "node.example";
            let asker = Asker { peer: FAR, host, authorization, cookie, ..Asker::default() };
            config.judge(&asker, &SECRET)
        };
        for wrong in ["", "Basic", "Basic !!", "Bearer x", &basic("admin:long"), &basic("admin")] {
            assert_eq!(ask(wrong, None), Access::Ask, "{wrong}");
        }
        let Access::Login(cookie) = ask(&basic("admin:long: secret"), None) else { panic!() };
        assert_eq!(ask("", Some(&cookie)), Access::Granted);
        assert_eq!(ask("", Some("00")), Access::Ask);
        let other = StatusConfig { token: Some("t".to_owned()), ..StatusConfig::default() };
        assert_ne!(other.cookie(&SECRET), cookie);
        assert_ne!(config.cookie(&[8; 32]), cookie, "of another run");
    }

    #[test]
    fn a_token_comes_in_the_address_or_as_bearer() {
        let config = StatusConfig { token: Some("abc".to_owned()), ..StatusConfig::default() };
        let token = Asker { token: Some("abc"), peer: FAR, ..local() };
        assert!(matches!(config.judge(&token, &SECRET), Access::Login(_)));
        let bearer = Asker { authorization: Some("Bearer abc"), ..local() };
        assert!(matches!(config.judge(&bearer, &SECRET), Access::Login(_)));
        assert_eq!(config.judge(&Asker { token: Some("abd"), ..local() }, &SECRET), Access::Ask);
        assert_eq!(config.judge(&local(), &SECRET), Access::Ask);
    }
}
