//! Pages of other sites (HTT-11).

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use ramona_http::{ALLOWED_METHODS, MAX_AGE, foreign_origin};

/// Lets the page of another site read this response.
pub(super) fn allow(request: &HttpRequest, response: &mut actix_http::ResponseHead) {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN) else { return };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if origin.to_str().is_ok_and(|text| foreign_origin(text, host)) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

/// OPTIONS: what other sites may ask.
pub(super) fn preflight(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ALLOW, ALLOWED_METHODS));
    response.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS));
    response.insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE));
    if let Some(asked) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()));
    }
    response.finish()
}
