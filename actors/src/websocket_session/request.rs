//! What an upgrade's request says of its client.

use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, ContentType};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use ramona_amf::{Object, Value};
use ramona_rtmp::Connect;
use ramona_script::Refusal;

/// The connect of a client: path and query of its URL (HTT-01, CLI-05); headers and cookies
/// (CLI-10).
pub(super) fn connect_of(request: &HttpRequest) -> Connect {
    let path = percent_decode_str(request.path()).decode_utf8_lossy();
    let mut properties = Object::new();
    let mut add = |name: &str, value: &[u8]| {
        let name = Bytes::copy_from_slice(name.as_bytes());
        properties.members.push((name, Value::String(Bytes::copy_from_slice(value))));
    };
    for (name, value) in request.headers() {
        if name != COOKIE {
            add(name.as_str(), value.as_bytes());
        }
    }
    for header in request.headers().get_all(COOKIE) {
        for pair in header.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            if let Ok(name) = std::str::from_utf8(&pair[..at])
                && !name.is_empty()
            {
                add(name, pair.get(at + 1..).unwrap_or_default());
            }
        }
    }
    Connect {
        app: Bytes::new(),
        tc_url: Bytes::new(),
        path: path.trim_end_matches('/').to_owned(),
        query: Bytes::copy_from_slice(request.query_string().as_bytes()),
        properties,
        args: Bytes::new(),
        object_encoding: 0,
    }
}

/// Why there is no 101 (WSK-02, HTT-10).
pub(super) fn refusal_page(refusal: &Refusal) -> HttpResponse {
    let (status, text) = match refusal {
        Refusal::InvalidApp(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        Refusal::Rejected(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
    };
    let mut response = HttpResponse::build(status);
    response.content_type(ContentType::plaintext()).force_close().body(text.clone())
}
