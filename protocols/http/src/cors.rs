//! Pages of other sites (HTT-11).

/// What OPTIONS answers; PATH as MonaServer writes it.
pub const ALLOWED_METHODS: &str = "GET, HEAD, PUT, PATH, POST, OPTIONS";

/// Seconds that a browser may remember the answer.
pub const MAX_AGE: &str = "86400";

/// Whether the page that asks comes from another site than it asks: `origin` is the header
/// `Origin`, `host` the header `Host`.
pub fn foreign_origin(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    !origin.is_empty() && host.is_none_or(|host| !authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::foreign_origin;

    #[test]
    fn htt_11_an_origin_is_foreign_when_it_differs_from_the_host() {
        assert!(foreign_origin("http://x", Some("127.0.0.1:8080")));
        assert!(foreign_origin("http://127.0.0.1", Some("127.0.0.1:8080")));
        assert!(foreign_origin("null", Some("a")));
        assert!(foreign_origin("http://x", None));
        assert!(!foreign_origin("http://127.0.0.1:8080", Some("127.0.0.1:8080")));
        assert!(!foreign_origin("https://A.example", Some("a.example")));
        assert!(!foreign_origin("", Some("a")));
    }
}
