//! Cookies (HTT-14, RFC 6265).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last moment that a date of HTTP can name: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The cookies of a `Cookie` header, in their order: `name=value` parted by `;`, blanks around
/// trimmed. Parts without a name are skipped; a part without `=` is a name with an empty value.
pub fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|byte| *byte == b';').filter_map(|part| {
        let equals = part.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &part[part.len()..]),
        };
        let name = name.trim_ascii();
        (!name.is_empty()).then_some((name, value.trim_ascii()))
    })
}

/// A cookie that a script sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetCookie<'a> {
    /// A token.
    pub name: &'a [u8],
    /// Bytes without control characters and `;`.
    pub value: &'a [u8],
    /// Seconds from now; negative deletes the cookie. Without, it lasts as long as the browser.
    pub expires: Option<f64>,
    /// Where on the site it is sent to.
    pub path: Option<&'a [u8]>,
    /// Which hosts it is sent to.
    pub domain: Option<&'a [u8]>,
    /// Only through TLS.
    pub secure: bool,
    /// Not for the page's own scripts.
    pub http_only: bool,
}

/// Why a cookie is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// RFC 6265 wants a token.
    #[error("the name of a cookie is letters, digits and !#$%&'*+-.^_`|~")]
    Name,
    /// It would end the value, or the header.
    #[error("a value of a cookie has no control characters and no ';'")]
    Value,
}

impl SetCookie<'_> {
    /// The value of a `Set-Cookie` header: `name=value; Expires=…; Path=…; Domain=…; Secure;
    /// HttpOnly`. `now_ms` counts from 1970.
    ///
    /// # Errors
    /// See [`CookieError`].
    pub fn header(&self, now_ms: u64) -> Result<Vec<u8>, CookieError> {
        if self.name.is_empty() || !self.name.iter().copied().all(is_token) {
            return Err(CookieError::Name);
        }
        let texts = [Some(self.value), self.path, self.domain];
        let is_wrong = |byte: &u8| byte.is_ascii_control() || *byte == b';';
        if texts.into_iter().flatten().flatten().any(is_wrong) {
            return Err(CookieError::Value);
        }
        let mut out = [self.name, b"=", self.value].concat();
        if let Some(seconds) = self.expires {
            out.extend_from_slice(b"; Expires=");
            out.extend_from_slice(httpdate::fmt_http_date(date(now_ms, seconds)).as_bytes());
        }
        for (name, value) in [("; Path=", self.path), ("; Domain=", self.domain)] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(value);
            }
        }
        if self.secure {
            out.extend_from_slice(b"; Secure");
        }
        if self.http_only {
            out.extend_from_slice(b"; HttpOnly");
        }
        Ok(out)
    }
}

/// The present moment and some seconds, within what a date can say. A negative number is the
/// beginning of time, whatever the visitor's clock says.
fn date(now_ms: u64, seconds: f64) -> SystemTime {
    if seconds < 0.0 {
        return UNIX_EPOCH;
    }
    let seconds = if seconds.is_finite() { seconds as u64 } else { LAST_SECOND };
    let at = (now_ms / 1_000).saturating_add(seconds).min(LAST_SECOND);
    UNIX_EPOCH + Duration::from_secs(at)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(cookie: &SetCookie<'_>) -> Result<String, CookieError> {
        cookie.header(784_111_777_000).map(|header| String::from_utf8(header).expect("text"))
    }

    #[test]
    fn htt_14_a_cookie_is_written_with_its_options_in_order() {
        let cookie = SetCookie {
            name: b"test",
            value: b"value1",
            expires: Some(60.0),
            path: Some(b"/"),
            domain: None,
            secure: false,
            http_only: true,
        };
        let expected = "test=value1; Expires=Sun, 06 Nov 1994 08:50:37 GMT; Path=/; HttpOnly";
        assert_eq!(text(&cookie), Ok(expected.into()));
        let full = SetCookie { domain: Some(b"x.example"), secure: true, ..cookie.clone() };
        let tail = "; Path=/; Domain=x.example; Secure; HttpOnly";
        assert!(text(&full).is_ok_and(|text| text.ends_with(tail)));
        let gone = SetCookie { expires: Some(-1.0), ..cookie.clone() };
        let epoch = "Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert!(text(&gone).is_ok_and(|text| text.contains(epoch)));
        for far in [1e300, f64::INFINITY, f64::NAN] {
            let far = SetCookie { expires: Some(far), ..cookie.clone() };
            assert!(text(&far).is_ok_and(|text| text.contains("Fri, 31 Dec 9999 23:59:59 GMT")));
        }
        assert_eq!(text(&SetCookie { name: b"a", ..SetCookie::default() }), Ok("a=".into()));
    }

    #[test]
    fn htt_14_control_characters_are_refused() {
        for name in [&b""[..], b"a b", b"a=b", b"a;b", b"a\r\nX: y", b"a\0", b"\xc3\xa9"] {
            let cookie = SetCookie { name, value: b"v", ..SetCookie::default() };
            assert_eq!(text(&cookie), Err(CookieError::Name));
        }
        for value in [&b"a;b"[..], b"a\r\nSet-Cookie: x=y", b"\n", b"a\0b", b"\x7f"] {
            let cookie = SetCookie { name: b"a", value, ..SetCookie::default() };
            assert_eq!(text(&cookie), Err(CookieError::Value));
            let cookie = SetCookie { name: b"a", path: Some(value), ..SetCookie::default() };
            assert_eq!(text(&cookie), Err(CookieError::Value));
            let cookie = SetCookie { name: b"a", domain: Some(value), ..SetCookie::default() };
            assert_eq!(text(&cookie), Err(CookieError::Value));
        }
    }

    #[test]
    fn a_cookie_header_is_taken_apart() {
        let header = b"a=1; b=x y ;; =z;c; d=e=f;\te=\"q\"";
        let found: Vec<_> = cookies(header).collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"1"), (b"b", b"x y"), (b"c", b""), (b"d", b"e=f"), (b"e", b"\"q\"")];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn what_was_set_comes_back(name in "[a-zA-Z0-9_.-]{1,20}", value in "[!-:<-~]{0,40}") {
            let cookie = SetCookie {
                name: name.as_bytes(),
                value: value.as_bytes(),
                ..SetCookie::default()
            };
            let header = cookie.header(0).expect("a right cookie");
            let found: Vec<_> = cookies(&header).collect();
            prop_assert_eq!(found, [(name.as_bytes(), value.as_bytes())]);
        }
    }
}
