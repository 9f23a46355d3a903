//! The HTTP port as a monitoring system sees it.

use std::net::SocketAddr;

use crate::stranger::Stranger;

/// GET of a path: status code, head and body.
///
/// # Panics
/// No HTTP comes back.
pub async fn http_get(from: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stranger = Stranger::connect(from).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n");
    assert!(stranger.send(request.as_bytes()).await, "the request is taken");
    let answer = String::from_utf8(stranger.closed().await).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    (code, head.to_owned(), body.to_owned())
}

/// The value of a sample in Prometheus text, such as `ramona_link_in_calls_total` (the sum over
/// all its labels) or `name{label="value"}`.
///
/// # Panics
/// There is no such sample.
pub fn sample(text: &str, name: &str) -> f64 {
    let with_labels = name.contains('{');
    let of = |line: &str| {
        let (sample, value) = line.rsplit_once(' ')?;
        let is = sample == name || (!with_labels && sample.split('{').next() == Some(name));
        is.then(|| value.parse::<f64>().expect("a number"))
    };
    let mut values = text.lines().filter(|line| !line.starts_with('#')).filter_map(of).peekable();
    assert!(values.peek().is_some(), "no sample {name} in:\n{text}");
    values.sum()
}
