//! Responses that scripts make (HTT-03, HTT-13, HTT-16, WRI-01..03).

use actix_http::ResponseHead;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, SET_COOKIE};
use bytes::{Bytes, BytesMut};
use ramona_script::{CallOutcome, ClientMessage, Format};
use tracing::warn;

use super::client::Client;
use super::format::Body;
use super::problem::Problem;

/// The response of a call or a message: what scripts wrote since the last one, then the result.
/// Several messages are parted by line ends; a single one has the bytes that `return` makes.
pub(super) fn of_call(
    client: &Client,
    outcome: CallOutcome,
    format: Format,
    asked: Body,
) -> Result<HttpResponse, Problem> {
    let result = match outcome {
        CallOutcome::Values(values) => Some((format, values)),
        CallOutcome::Raw(bytes) => Some((Format::Raw, bytes)),
        CallOutcome::Nothing => None,
        // CLI-22.
        CallOutcome::Unknown(text) => {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, &text[..]));
        }
        CallOutcome::Failed(text) => {
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, &text[..]));
        }
    };
    Ok(of_parts(client, result, asked))
}

/// The response of an `onRead` that serves nothing (HTT-05).
pub(super) fn of_nothing(client: &Client) -> Result<HttpResponse, Problem> {
    let response = of_parts(client, None, Body::Json);
    if response.status() == StatusCode::OK && is_empty(&response) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "this file is not for everybody"));
    }
    Ok(response)
}

fn is_empty(response: &HttpResponse) -> bool {
    use actix_web::body::{BodySize, MessageBody};
    matches!(response.body().size(), BodySize::None | BodySize::Sized(0))
}

fn of_parts(client: &Client, result: Option<(Format, Bytes)>, asked: Body) -> HttpResponse {
    let written = client.take_written();
    let mut response = HttpResponse::Ok();
    let parts = written.messages.into_iter().filter_map(|message| match message {
        ClientMessage::Invocation { args, format, .. } => Some((format, args)),
        ClientMessage::Message { values, format } => Some((format, values)),
        ClientMessage::Raw { data } => Some((Format::Raw, data)),
        ClientMessage::Cookie { .. } | ClientMessage::Status { .. } => None,
    });
    let mut body = BytesMut::new();
    let mut kind = None;
    let mut ends_line = true;
    for (format, bytes) in parts.chain(result) {
        if format == Format::Raw {
            // Bytes of a script are its own business.
            ends_line = true;
        } else {
            kind = Some(format);
            if !std::mem::replace(&mut ends_line, false) {
                body.extend_from_slice(b"\n");
            }
        }
        body.extend_from_slice(&bytes);
    }
    let content_type = match kind {
        Some(format) => content_type(format, asked),
        None => Body::Other.content_type(),
    };
    if !body.is_empty() {
        response.content_type(content_type);
    }
    let mut response = response.body(body.freeze());
    add_cookies(response.head_mut(), written.cookies);
    response
}

/// Values that were written outside of a request may be of another format than it.
fn content_type(format: Format, asked: Body) -> &'static str {
    let own = match format {
        Format::Json => Body::Json,
        Format::XmlRpc | Format::Xml if matches!(asked, Body::TextXml | Body::Xml) => asked,
        Format::XmlRpc | Format::Xml => Body::Xml,
        Format::Amf0 => Body::Amf,
        Format::Query => Body::Form,
        Format::Raw => Body::Other,
    };
    own.content_type()
}

/// HTT-14.
pub(super) fn add_cookies(response: &mut ResponseHead, cookies: Vec<Bytes>) {
    for cookie in cookies {
        match HeaderValue::from_maybe_shared(cookie) {
            Ok(value) => response.headers_mut().append(SET_COOKIE, value),
            Err(error) => warn!(%error, "cookie not sent"),
        }
    }
}
