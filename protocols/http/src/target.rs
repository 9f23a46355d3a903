//! What the path of a URL names (HTT-01).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Parts that a path may have; the longest path of Linux holds more, but no person's does.
pub const MAX_PARTS: usize = 64;

/// What is escaped in the path of a `Location`: RFC 3986 `pchar` without what would be read
/// differently.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An application and a name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path of the application: `""` or `/a/b`.
    pub app: String,
    /// What of it: a file or a function; nothing is the folder.
    pub name: Option<String>,
}

/// Why a path is refused. Nothing of it reaches a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `..` above the first part.
    #[error("the path leads above the root")]
    AboveRoot,
    /// `%2F`, a backslash, a NUL or another control character inside a part.
    #[error("the path holds a character that no file name here has")]
    Character,
    /// The decoded bytes are no text.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// More than [`MAX_PARTS`].
    #[error("the path has more than 64 parts")]
    TooManyParts,
}

impl Target {
    /// Reads the path of a URL, as it stands there: parts are decoded once, then `.`, `..` and
    /// repeated slashes are taken out. So `%2e%2e` is `..`, and `%252e` is a name with a percent
    /// sign.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(path: &str) -> Result<Self, TargetError> {
        let mut parts: Vec<Cow<'_, str>> = Vec::new();
        let mut is_folder = true;
        for part in path.split('/') {
            let part = percent_decode_str(part).decode_utf8().map_err(|_| TargetError::NotUtf8)?;
            if part.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
                return Err(TargetError::Character);
            }
            is_folder = matches!(&*part, "" | "." | "..");
            match &*part {
                "" | "." => {}
                ".." => {
                    parts.pop().ok_or(TargetError::AboveRoot)?;
                }
                _ => parts.push(part),
            }
        }
        if parts.len() > MAX_PARTS {
            return Err(TargetError::TooManyParts);
        }
        let name = if is_folder { None } else { parts.pop().map(Cow::into_owned) };
        let app = parts.iter().flat_map(|part| ["/", part]).collect();
        Ok(Self { app, name })
    }

    /// The path of this folder with its final slash, escaped: never `//host`.
    pub fn folder_url(&self) -> String {
        let name = self.name.iter().flat_map(|name| ["/", name]);
        let path: String = std::iter::once(&*self.app).chain(name).collect();
        utf8_percent_encode(&path, ESCAPED).chain(std::iter::once("/")).collect()
    }

    /// Whether any part of the path is hidden, see [`is_hidden`].
    pub fn is_hidden(&self) -> bool {
        self.app.split('/').chain(self.name.as_deref()).any(is_hidden)
    }
}

/// Whether a name is never given to visitors by itself: `.git`, `.env` and the like, and the
/// source of scripts. `.well-known` is public by RFC 8615.
pub fn is_hidden(name: &str) -> bool {
    let is_dotted = name.starts_with('.') && !matches!(name, "." | ".." | ".well-known");
    is_dotted || name.len() >= 4 && name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b".lua")
}

/// The last part of a path that a script gave, always a plain name (HTT-04); nothing for `""`,
/// `.`, `..` and what ends in them, which is the folder.
///
/// # Errors
/// [`TargetError::Character`], [`TargetError::NotUtf8`].
pub fn last_part(path: &[u8]) -> Result<Option<&str>, TargetError> {
    let path = std::str::from_utf8(path).map_err(|_| TargetError::NotUtf8)?;
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.chars().any(char::is_control) {
        return Err(TargetError::Character);
    }
    Ok(Some(name).filter(|name| !matches!(*name, "" | "." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> (String, Option<String>) {
        let target = Target::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        (target.app, target.name)
    }

    #[test]
    fn htt_01_the_last_part_is_the_name_and_the_rest_the_application() {
        for (path, app, name) in [
            ("/", "", None),
            ("", "", None),
            ("/f.x", "", Some("f.x")),
            ("/a/b/f.x", "/a/b", Some("f.x")),
            ("/a/", "/a", None),
            ("/a", "", Some("a")),
            ("//a///f", "/a", Some("f")),
            ("/a/./b/../f", "/a", Some("f")),
            ("/a/b/..", "/a", None),
            ("/a/.", "/a", None),
            ("/a%20b/%C3%A9", "/a b", Some("é")),
            ("/a+b", "", Some("a+b")),
        ] {
            assert_eq!(parse(path), (app.to_owned(), name.map(str::to_owned)), "{path}");
        }
    }

    #[test]
    fn no_encoding_of_a_path_leads_above_the_root() {
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e/x",
            "/a/%2e%2e/%2e%2e/x",
            "/./../x",
        ] {
            assert_eq!(Target::parse(path), Err(TargetError::AboveRoot), "{path}");
        }
        for path in
            ["/a%2fb", "/..%2f..%2fx", "/a\\b", "/..%5c..%5cx", "/a%00.txt", "/a%0d%0ax", "/%7f"]
        {
            assert_eq!(Target::parse(path), Err(TargetError::Character), "{path}");
        }
        for path in ["/%ff", "/%c0%ae%c0%ae/x", "/%ed%a0%80"] {
            assert_eq!(Target::parse(path), Err(TargetError::NotUtf8), "{path}");
        }
        // Decoded once: a name with a percent sign, which is in the folder.
        assert_eq!(parse("/%252e%252e/x"), ("/%2e%2e".to_owned(), Some("x".to_owned())));
        let deep = "/a".repeat(MAX_PARTS + 1);
        assert_eq!(Target::parse(&deep), Err(TargetError::TooManyParts));
    }

    #[test]
    fn a_redirect_stays_on_this_host_and_is_escaped() {
        for (path, location) in [
            ("/app", "/app/"),
            ("//evil.example", "/evil.example/"),
            ("/a b/%C3%A9?", "/a%20b/%C3%A9%3F/"),
            ("/a%250d", "/a%250d/"),
        ] {
            assert_eq!(Target::parse(path).map(|target| target.folder_url()), Ok(location.into()));
        }
    }

    #[test]
    fn htt_04_a_name_that_a_script_gives_has_no_folder() {
        assert_eq!(last_part(b"../x"), Ok(Some("x")));
        assert_eq!(last_part(b"/etc/passwd"), Ok(Some("passwd")));
        assert_eq!(last_part(b"..\\..\\x"), Ok(Some("x")));
        for folder in [&b""[..], b".", b"..", b"a/", b"a/.."] {
            assert_eq!(last_part(folder), Ok(None));
        }
        assert_eq!(last_part(b"a\0b"), Err(TargetError::Character));
        assert_eq!(last_part(b"\xff"), Err(TargetError::NotUtf8));
    }

    #[test]
    fn sources_and_dotted_names_are_hidden() {
        for path in ["/main.lua", "/a/x.LUA", "/.git/config", "/.env", "/a/.b/c"] {
            assert!(Target::parse(path).is_ok_and(|target| target.is_hidden()), "{path}");
        }
        for path in ["/", "/lua", "/a.luac", "/.well-known/x", "/a/b.txt"] {
            assert!(!Target::parse(path).is_ok_and(|target| target.is_hidden()), "{path}");
        }
    }
}
