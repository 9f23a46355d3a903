//! In which format a body comes and its answer goes (HTT-03).

use actix_web::HttpRequest;
use actix_web::http::header;
use ramona_script::Format;

/// The content type of a request, as far as it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// `…/json`, or none given.
    Json,
    /// `text/xml`, in either dialect, or XML-RPC.
    TextXml,
    /// `application/xml`, as above.
    Xml,
    /// `application/amf`, `application/x-amf`.
    Amf,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Any other: one string.
    Other,
}

impl Body {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return Self::Json };
        Self::of_text(value.to_str().unwrap_or("?"))
    }

    fn of_text(value: &str) -> Self {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((kind, subtype)) = essence.split_once('/') else {
            return if essence.is_empty() { Self::Json } else { Self::Other };
        };
        match subtype {
            "json" => Self::Json,
            "xml" if kind == "text" => Self::TextXml,
            "xml" => Self::Xml,
            "amf" | "x-amf" => Self::Amf,
            "x-www-form-urlencoded" => Self::Form,
            _ => Self::Other,
        }
    }

    /// How the body is read and answered.
    pub(super) fn format(self, body: &[u8]) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::TextXml | Self::Xml if is_xml_rpc(body) => Format::XmlRpc,
            Self::TextXml | Self::Xml => Format::Xml,
            Self::Amf => Format::Amf0,
            Self::Form => Format::Query,
            Self::Other => Format::Raw,
        }
    }

    /// The content type of values in the format of the request.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::TextXml => "text/xml; charset=utf-8",
            Self::Xml => "application/xml; charset=utf-8",
            Self::Amf => "application/x-amf",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Other => "text/plain; charset=utf-8",
        }
    }
}

/// Whether the root element is one of XML-RPC; a look at the first bytes, the reader decides.
fn is_xml_rpc(body: &[u8]) -> bool {
    let start = &body[..body.len().min(1_024)];
    let has = |name: &[u8]| start.windows(name.len()).any(|window| window == name);
    has(b"<methodCall") || has(b"<methodResponse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htt_03_the_content_type_says_how_a_body_is_read() {
        for (text, body, format) in [
            ("application/json", "", Format::Json),
            ("application/json; charset=utf-8", "", Format::Json),
            ("", "", Format::Json),
            ("text/xml", "<?xml version='1.0'?><methodCall>", Format::XmlRpc),
            ("application/XML", "<__array>", Format::Xml),
            ("application/x-amf", "", Format::Amf0),
            ("application/amf", "", Format::Amf0),
            ("application/x-www-form-urlencoded", "", Format::Query),
            ("text/plain", "[]", Format::Raw),
            ("image/svg+xml", "", Format::Raw),
            ("garbage", "", Format::Raw),
        ] {
            assert_eq!(Body::of_text(text).format(body.as_bytes()), format, "{text}");
        }
    }
}
