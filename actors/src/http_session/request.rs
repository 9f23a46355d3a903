//! A request from its head to its response: what is asked of whom, in which order.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use actix_web::http::{Method, StatusCode, Version, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use ramona_http::{ALLOWED_METHODS, Target, cookies, last_part};
use ramona_script::{CallOutcome, Format, ReadOutcome, Refusal};
use tracing::{debug, warn};

use super::client::{Client, Index, Unanswered};
use super::connection::{Connection, End};
use super::files::Folder;
use super::format::Body;
use super::limits::{MAX_HEADERS, MAX_URL};
use super::problem::Problem;
use super::{answer, body, cors};
use crate::http_live::{Container, Framing, NoPlay, Play, respond as live, subscribe};
use crate::status_page;

/// What scripts are told of a request's head.
pub(super) struct Head<'a> {
    request: &'a HttpRequest,
    pub(super) query: &'a str,
    /// What its writer writes.
    pub(super) format: Format,
}

impl<'a> Head<'a> {
    fn new(request: &'a HttpRequest, format: Format) -> Self {
        Self { request, query: request.query_string(), format }
    }

    /// What `client.properties` shows of it.
    pub(super) fn properties(&self) -> Bytes {
        visitor_properties(self.request)
    }
}

/// Headers by their usual names, cookies by theirs, and the version (CLI-10), as AMF0 object
/// members.
pub(crate) fn visitor_properties(request: &HttpRequest) -> Bytes {
    let mut out = Vec::with_capacity(512);
    let version = match request.version() {
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    member(&mut out, b"HTTPVersion", version.as_bytes());
    member(&mut out, b"version", version.as_bytes());
    for (name, value) in request.headers() {
        member(&mut out, usual_name(name.as_str()).as_bytes(), value.as_bytes());
    }
    for header in request.headers().get_all(header::COOKIE) {
        for (name, value) in cookies(header.as_bytes()) {
            member(&mut out, name, value);
        }
    }
    out.into()
}

/// `User-Agent` of `user-agent`.
fn usual_name(name: &str) -> String {
    let mut start = true;
    let letter = |c: char| {
        let upper = std::mem::replace(&mut start, c == '-');
        if upper { c.to_ascii_uppercase() } else { c }
    };
    name.chars().map(letter).collect()
}

fn member(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // A head is shorter than what 16 bits count, so nothing is left out here.
    let (Ok(name_length), Ok(length)) = (u16::try_from(name.len()), u16::try_from(value.len()))
    else {
        return;
    };
    out.extend_from_slice(&name_length.to_be_bytes());
    out.extend_from_slice(name);
    out.push(2);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

/// Answers everything that is not the node's own.
pub(super) async fn serve(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(connection) = request.conn_data::<Rc<Connection>>().cloned() else {
        return HttpResponse::InternalServerError().finish();
    };
    let mut response = match respond(&connection, &request, payload).await {
        Ok(response) => response,
        Err(problem) => refuse(&connection, &request, &problem),
    };
    let client = connection.client.borrow().clone();
    let closed = client.as_ref().and_then(|client| client.take_closed());
    if let Some(code) = closed {
        // WRI-07: no code is an ordinary end, after what was written.
        if code > 0 {
            let code = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
            let status = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response = Problem::new(status, "closed by a script").page();
        }
        connection.finish(End::Finish, "closed by a script");
    }
    if let Some(client) = client {
        answer::add_cookies(response.head_mut(), client.take_cookies());
    }
    cors::allow(&request, response.head_mut());
    if connection.end().is_some() {
        response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    }
    response
}

/// The page of a problem, which is counted or noted.
pub(crate) fn refuse(
    connection: &Connection,
    request: &HttpRequest,
    problem: &Problem,
) -> HttpResponse {
    let (status, path) = (problem.status.as_u16(), request.uri().path().escape_debug());
    if problem.is_hostile {
        connection.services.metrics.protocol_errors.fetch_add(1, Relaxed);
        let path: String = path.take(200).collect();
        warn!(status, path, reason = %problem.text(), "request refused");
    } else {
        debug!(status, %path, reason = %problem.text(), "request refused");
    }
    problem.page()
}

async fn respond(
    connection: &Rc<Connection>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    check_head(request)?;
    let has_message = match *request.method() {
        Method::GET | Method::HEAD => false,
        // HTT-11: what is allowed there does something.
        Method::POST | Method::PUT => true,
        ref other if other.as_str() == "PATH" => true,
        Method::OPTIONS => return Ok(cors::preflight(request)),
        _ => return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, ALLOWED_METHODS)),
    };
    let mut target = target_of(request.uri().path())?;
    let services = &connection.services;
    if has_message {
        let kind = Body::of(request);
        let (bytes, _budget) = body::read(connection, request, payload).await?;
        target = services.http.folder().application(target);
        let head = Head::new(request, kind.format(&bytes));
        let client = connection.client(&target.app, &head).await?;
        connection.tell_properties(&client, &head);
        let outcome = connection.message(&client, bytes, head.format).await?;
        return answer::of_call(&client, outcome, head.format, kind);
    }
    let head = Head::new(request, Format::Json);
    let client = connection.client(&target.app, &head).await?;
    Get { connection, head, client: &client, folder: services.http.folder() }.answer(&target).await
}

/// The application of an upgrade's URL, which has no file part (HTT-01), within the bounds of
/// any request.
pub(crate) fn upgrade_path(request: &HttpRequest) -> Result<String, Problem> {
    check_head(request)?;
    Ok(target_of(&format!("{}/", request.uri().path()))?.app)
}

fn target_of(path: &str) -> Result<Target, Problem> {
    let target = Target::parse(path)
        .map_err(|error| Problem::hostile(StatusCode::BAD_REQUEST, error.to_string()))?;
    if target.app.split('/').any(ramona_http::is_hidden) {
        return Err(Problem::hostile(StatusCode::FORBIDDEN, "a hidden folder"));
    }
    Ok(target)
}

fn check_head(request: &HttpRequest) -> Result<(), Problem> {
    let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    if url > MAX_URL {
        return Err(Problem::hostile(StatusCode::URI_TOO_LONG, "the URL is too long"));
    }
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if headers.sum::<usize>() > MAX_HEADERS {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Problem::hostile(status, "the headers are too long"));
    }
    Ok(())
}

/// A GET or HEAD.
struct Get<'a> {
    connection: &'a Rc<Connection>,
    head: Head<'a>,
    client: &'a Client,
    folder: Folder<'a>,
}

impl Get<'_> {
    async fn answer(&self, target: &Target) -> Result<HttpResponse, Problem> {
        let Some(name) = &target.name else { return self.view().await };
        if !name.contains('.')
            && let Some(response) = self.function(name).await?
        {
            return Ok(response);
        }
        self.file(name).await
    }

    /// HTT-02.
    async fn function(&self, name: &str) -> Result<Option<HttpResponse>, Problem> {
        self.connection.tell_properties(self.client, &self.head);
        match self.connection.get(self.client, name).await? {
            CallOutcome::Unknown(_) => Ok(None),
            outcome => answer::of_call(self.client, outcome, Format::Json, Body::Json).map(Some),
        }
    }

    /// A file that was asked for by its name: the script may decide otherwise (HTT-04..07).
    async fn file(&self, name: &str) -> Result<HttpResponse, Problem> {
        let mut values = None;
        if self.client.reads() {
            self.connection.tell_properties(self.client, &self.head);
            match self.connection.read(self.client, name).await? {
                ReadOutcome::Serve { file: None, values: texts } => values = texts,
                ReadOutcome::Serve { file: Some(path), values } => {
                    let file = last_part(&path).map_err(|error| {
                        let text = format!("onRead: {error}");
                        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text)
                    })?;
                    return match file {
                        // A script that names a file may name any.
                        Some(file) => self.send(file, values).await,
                        None => self.view().await,
                    };
                }
                ReadOutcome::Nothing => return answer::of_nothing(self.client),
                ReadOutcome::Failed(text) => {
                    return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, &text[..]));
                }
            }
        }
        if ramona_http::is_hidden(name) {
            return Err(Problem::hostile(StatusCode::FORBIDDEN, "a hidden file"));
        }
        self.send(name, values).await
    }

    async fn send(
        &self,
        name: &str,
        values: Option<Vec<(Bytes, Bytes)>>,
    ) -> Result<HttpResponse, Problem> {
        match self.folder.send(&self.client.path, name, values, self.head.request).await {
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {
                self.play(name).await.unwrap_or(Err(problem))
            }
            answer => answer,
        }
    }

    /// HTT-12: what is no file may be a live stream.
    async fn play(&self, name: &str) -> Option<Result<HttpResponse, Problem>> {
        let (name, extension) = name.rsplit_once('.').filter(|(name, _)| !name.is_empty())?;
        let container = Container::of_extension(extension)?;
        if self.head.request.method() == Method::HEAD {
            return Some(Ok(HttpResponse::Ok().content_type(container.content_type()).finish()));
        }
        let play = Play {
            client: self.client.id,
            session: self.connection.session()?,
            name: Bytes::copy_from_slice(name.as_bytes()),
            query: Bytes::copy_from_slice(self.head.query.as_bytes()),
            container,
            framing: Framing::Plain,
            traffic: self.client.traffic.clone(),
            script: self.connection.script().clone(),
        };
        Some(match subscribe(self.connection, play).await {
            Ok(playing) => Ok(live(playing).map_into_boxed_body()),
            Err(NoPlay::Refused(text)) => Err(Problem::new(StatusCode::FORBIDDEN, &text[..])),
            Err(NoPlay::Busy(text)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)),
        })
    }

    /// Whether `/` would only list the root application's folder, to somebody who may see the
    /// operator's page. The listing is behind any query, such as `/?N=A`.
    fn is_front_door(&self) -> bool {
        self.client.path.is_empty()
            && self.head.query.is_empty()
            && status_page::is_visible(self.head.request)
            && !self.connection.services.http.www.join("index.html").exists()
    }

    /// HTT-08.
    async fn view(&self) -> Result<HttpResponse, Problem> {
        match self.client.index() {
            Index::List if self.is_front_door() => Ok(status_page::lead_there()),
            Index::List => self.folder.list(&self.client.path, self.head.query).await,
            Index::Refuse => Err(Problem::new(StatusCode::FORBIDDEN, "this folder is not listed")),
            Index::Name(name) => {
                if !name.contains('.')
                    && let Some(response) = self.function(&name).await?
                {
                    return Ok(response);
                }
                match last_part(name.as_bytes()) {
                    Ok(Some(file)) => self.send(file, None).await,
                    _ => Err(Problem::new(StatusCode::NOT_FOUND, "no index")),
                }
            }
        }
    }
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused(Refusal::InvalidApp(text)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, &text[..])
            }
            Unanswered::Refused(Refusal::Rejected(text) | Refusal::Failed(text)) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, &text[..])
            }
            Unanswered::Gone => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "the script engine has stopped")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::usual_name;

    #[test]
    fn headers_have_their_usual_names() {
        assert_eq!(usual_name("user-agent"), "User-Agent");
        assert_eq!(usual_name("x-a-b"), "X-A-B");
        assert_eq!(usual_name("host"), "Host");
    }
}
