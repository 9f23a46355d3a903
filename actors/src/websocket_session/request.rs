//! What an upgrade's request says of its client.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use bytes::Bytes;
use ramona_amf::{Object, Value, decode_amf0_all};
use ramona_rtmp::Connect;
use ramona_script::Refusal;

use crate::http_session::{Problem, upgrade_path, visitor_properties};

/// The connect of a client: path and query of its URL (HTT-01, CLI-05); headers and cookies
/// (CLI-10).
pub(super) fn connect_of(request: &HttpRequest) -> Result<Connect, Problem> {
    let members = visitor_properties(request);
    let object = [&[0x03], &members[..], &[0, 0, 9]].concat();
    let (values, _) = decode_amf0_all(&object);
    let properties = match values.into_iter().next() {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    };
    Ok(Connect {
        app: Bytes::new(),
        tc_url: Bytes::new(),
        path: upgrade_path(request)?,
        query: Bytes::copy_from_slice(request.query_string().as_bytes()),
        properties,
        args: Bytes::new(),
        object_encoding: 0,
    })
}

/// Why there is no 101 (WSK-02, HTT-10).
pub(super) fn refusal(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::InvalidApp(text) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, &text[..]),
        Refusal::Rejected(text) | Refusal::Failed(text) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, &text[..])
        }
    }
}
