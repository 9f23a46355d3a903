//! The URL of a probe.

use std::net::SocketAddr;

use super::ProbeError;

/// Port of RTMP (TCP) and of RTMFP (UDP).
const PORT: u16 = 1935;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Rtmp,
    Rtmfp,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: Scheme,
    host: String,
    port: u16,
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Self, ProbeError> {
        Self::find(url).ok_or_else(|| ProbeError::Url { url: url.to_owned() })
    }

    fn find(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => Scheme::Rtmp,
            "rtmfp" => Scheme::Rtmfp,
            _ => return None,
        };
        let authority = rest.split(['/', '?']).next()?;
        let (host, port) = match authority.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, PORT),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty() && port != 0).then(|| Self { scheme, host: host.to_owned(), port })
    }

    /// Host and port as they are written.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// All addresses of the host.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, ProbeError> {
        let failed = |error| ProbeError::Resolve { host: self.authority(), error };
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut addresses: Vec<SocketAddr> = found.map_err(failed)?.collect();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(failed(std::io::ErrorKind::NotFound.into()));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_protocol_host_and_port() {
        for (url, scheme, authority) in [
            ("rtmp://h/live", Scheme::Rtmp, "h:1935"),
            ("RTMFP://h:1936", Scheme::Rtmfp, "h:1936"),
            ("rtmfp://[::1]/a:b", Scheme::Rtmfp, "[::1]:1935"),
            ("rtmfp://[::1]:5?x=1", Scheme::Rtmfp, "[::1]:5"),
            ("rtmp://127.0.0.1:1?a/b", Scheme::Rtmp, "127.0.0.1:1"),
        ] {
            let place = Place::parse(url).expect(url);
            assert_eq!((place.scheme, place.authority().as_str()), (scheme, authority), "{url}");
        }
    }

    #[test]
    fn anything_else_is_no_url() {
        for url in [
            "",
            "h",
            "http://h",
            "rtmp:/h",
            "rtmp://",
            "rtmp://:1",
            "rtmp://h:0",
            "rtmp://h:99999",
            "rtmp://h:x",
        ] {
            assert!(matches!(Place::parse(url), Err(ProbeError::Url { .. })), "{url}");
        }
    }
}
