//! What is wrong with a request, and the page that says so (HTT-10).

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use ramona_http::{ALLOWED_METHODS, error_page};

/// A refusal with its status and its text for the visitor.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(super) status: StatusCode,
    text: Vec<u8>,
    /// Nobody asks for that by accident: it gets a line in the log.
    pub(super) is_hostile: bool,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, text: impl Into<Vec<u8>>) -> Self {
        Self { status, text: text.into(), is_hostile: false }
    }

    pub(super) fn hostile(status: StatusCode, text: impl Into<Vec<u8>>) -> Self {
        Self { is_hostile: true, ..Self::new(status, text) }
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }

    /// The page; the connection ends with it.
    pub(crate) fn page(&self) -> HttpResponse {
        let title = self.status.to_string();
        let mut page = HttpResponse::build(self.status);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 9110 §15.5.6.
            page.insert_header((header::ALLOW, ALLOWED_METHODS));
        }
        page.content_type("text/html; charset=utf-8")
            .force_close()
            .body(error_page(&title, &self.text()))
    }
}
