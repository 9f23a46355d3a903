//! From `tcUrl` and `app` to the application's path and query (script API spec ENV-01), and from
//! the name given to publish or play to name and query.

use bytes::Bytes;

/// Splits at the first `?`, which belongs to neither part.
pub(crate) fn split_query(text: &Bytes) -> (Bytes, Bytes) {
    match text.iter().position(|&byte| byte == b'?') {
        Some(mark) => (text.slice(..mark), text.slice(mark + 1..)),
        None => (text.clone(), Bytes::new()),
    }
}

/// Path and query of the application that a client asks for.
///
/// The path comes from `tcUrl` when it has one, else from `app`; the query likewise. The path is
/// `""` for the root, else begins with `/`; `.`, `..`, repeated and trailing slashes are gone, and
/// `..` never leaves the root. Nothing is percent-decoded, so `%2e%2e` is a plain folder name.
/// Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn application(tc_url: &Bytes, app: &Bytes) -> (String, Bytes) {
    let (url_path, url_query) = match after_authority(tc_url) {
        Some(rest) => split_query(&rest),
        None => (Bytes::new(), Bytes::new()),
    };
    let (app_path, app_query) = split_query(app);
    let mut path = normalise(&url_path);
    if path.is_empty() {
        path = normalise(&app_path);
    }
    (path, if url_query.is_empty() { app_query } else { url_query })
}

/// Path and query of a URL, as an RTMFP hello names it: the whole URL, or its path alone.
///
/// The path is normalised as for connect: `""` or `/a/b`.
pub fn split_url(url: &Bytes) -> (String, Bytes) {
    let rest = after_authority(url).unwrap_or_else(|| url.clone());
    let (path, query) = split_query(&rest);
    (normalise(&path), query)
}

/// What follows `scheme://host:port` in a URL; `None` for anything that is no URL.
pub(crate) fn after_authority(url: &Bytes) -> Option<Bytes> {
    let start = url.windows(3).position(|window| window == b"://")? + 3;
    let end = url[start..]
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .map_or(url.len(), |length| start + length);
    Some(url.slice(end..))
}

fn normalise(path: &[u8]) -> String {
    let mut elements: Vec<&[u8]> = Vec::new();
    for element in path.split(|&byte| byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." => {
                elements.pop();
            }
            other => elements.push(other),
        }
    }
    elements.iter().fold(String::new(), |mut path, element| {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(element));
        path
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(tc_url: &str, app: &str) -> (String, String) {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let (path, query) = application(&bytes(tc_url), &bytes(app));
        (path, String::from_utf8(query.to_vec()).expect("test text is UTF-8"))
    }

    #[test]
    fn a_hello_names_a_whole_url_or_its_path_alone() {
        for (url, path, query) in [
            ("rtmfp://h:1/a//b/?x=1", "/a/b", "x=1"),
            ("rtmfp://h", "", ""),
            ("live", "/live", ""),
            ("/live?y", "/live", "y"),
            ("", "", ""),
        ] {
            let (found, rest) = split_url(&Bytes::from_static(url.as_bytes()));
            assert_eq!((found.as_str(), &rest[..]), (path, query.as_bytes()), "{url}");
        }
    }

    #[test]
    fn path_and_query_come_from_tc_url_then_from_app() {
        for (tc_url, app, path, query) in [
            ("rtmp://h/Games/myGame", "Games/myGame", "/Games/myGame", ""),
            ("rtmp://h:1935/Games/myGame/?x=1", "", "/Games/myGame", "x=1"),
            ("rtmp://h/", "", "", ""),
            ("rtmp://h", "live", "/live", ""),
            ("rtmp://[::1]:1935/live?a=b?c", "x", "/live", "a=b?c"),
            ("rtmp://h?a=/b", "", "", "a=/b"),
            ("", "live?x=1", "/live", "x=1"),
            ("no url", "/live/", "/live", ""),
            ("rtmp://h/live", "live?x=1", "/live", "x=1"),
            ("rtmps://h/A", "b", "/A", ""),
        ] {
            assert_eq!(of(tc_url, app), (path.into(), query.into()), "{tc_url} {app}");
        }
    }

    #[test]
    fn dots_and_slashes_are_normalised_and_never_leave_the_root() {
        for (path, expected) in [
            ("/../x", "/x"),
            ("/a/../../../etc", "/etc"),
            ("//a///b/./c/..", "/a/b"),
            ("/...", "/..."),
            ("/%2e%2e/a", "/%2e%2e/a"),
            ("/..", ""),
        ] {
            assert_eq!(of(&format!("rtmp://h{path}"), "").0, expected, "{path}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let (path, _) = application(&Bytes::from_static(b"rtmp://h/\xFF"), &Bytes::new());
        assert_eq!(path, "/\u{FFFD}");
    }

    proptest! {
        #[test]
        fn normalised_paths_have_no_empty_or_dot_elements(path in "[a./]{0,40}") {
            let (path, _) = of(&format!("rtmp://h/{path}"), "");
            prop_assert!(path.is_empty() || path.starts_with('/'));
            for element in path.split('/').skip(1) {
                prop_assert!(!matches!(element, "" | "." | ".."), "{}", path);
            }
        }
    }
}
