//! The operator's page at `/status`, live over a WebSocket. It is part of the program and needs no
//! script. Nobody looks: it costs nothing; each page that is open costs one snapshot a second.
//!
//! | file | what |
//! |---|---|
//! | [`access`] | who may see it |
//! | [`snapshot`] | what it shows |
//! | [`log_tail`] | the last lines of the log |
//! | `page/` | the page, and uPlot for its plots |

mod access;
mod log_tail;
mod snapshot;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, LOCATION, SET_COOKIE,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::Message;
use serde::Deserialize;
use tracing::{info, warn};

pub use access::StatusConfig;
use access::{Access, Asker, COOKIE};
pub use log_tail::{LogTail, MAX_LINES};
use snapshot::Watcher;

use crate::http_session::{Connection, End};
use crate::services::Services;

/// Pages that are open at once.
pub const MAX_PAGES: usize = 32;

/// How often a page is told.
const PERIOD: Duration = Duration::from_secs(1);

/// A page that does not take what it is told for so long is let go.
const STALLED: Duration = Duration::from_secs(10);

/// What a wrong answer costs who guesses.
const GUESS: Duration = Duration::from_millis(500);

/// The page brings everything it needs.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' \
    'unsafe-inline'; connect-src 'self' ws: wss:; img-src data:; frame-ancestors 'none'";

/// For browsers: a token can be typed in.
const ASK: &str = "<!DOCTYPE html><meta name=viewport content=\"width=device-width\">\
    <title>Ramona</title><p>The status page asks for credentials: status.user and \
    status.password, or status.token, of the configuration.\
    <form action=/status><input name=token type=password placeholder=token autofocus> \
    <button>Show</button></form>\n";

const PAGE: &str = include_str!("page/index.html");
const PLOTS: &str = include_str!("page/uplot.js");
const PLOTS_STYLE: &str = include_str!("page/uplot.css");

/// What the page needs of its node.
pub(crate) struct Status {
    config: StatusConfig,
    /// Of this run: makes cookies.
    secret: [u8; 32],
    pages: AtomicUsize,
}

impl Status {
    pub(crate) fn new(config: StatusConfig) -> Self {
        let mut secret = [0; 32];
        if let Err(error) = getrandom::fill(&mut secret) {
            warn!(%error, "no randomness: cookies of the status page can be guessed");
        }
        Self { config, secret, pages: AtomicUsize::new(0) }
    }
}

#[derive(Default, Deserialize)]
struct Query {
    token: Option<String>,
}

/// The routes below `/status`.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/status", web::get().to(page))
        .route("/status/data", web::get().to(data))
        .route("/status/feed", web::get().to(feed))
        .route("/status/uplot.js", web::get().to(async || file(PLOTS, "text/javascript")))
        .route("/status/uplot.css", web::get().to(async || file(PLOTS_STYLE, "text/css")));
}

/// Whether who asks sees the page without further ado: `/` then leads there when the root
/// application has nothing to show.
pub(crate) fn is_visible(request: &HttpRequest) -> bool {
    request.conn_data::<Rc<Connection>>().is_some_and(|connection| {
        let status = &connection.services.status;
        let asker = Asker::of(request, connection.peer.ip(), None);
        status.config.judge(&asker, &status.secret) == Access::Granted
    })
}

/// From `/` to the page.
pub(crate) fn lead_there() -> HttpResponse {
    HttpResponse::Found()
        .insert_header((LOCATION, "/status"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish()
}

async fn page(request: HttpRequest, query: web::Query<Query>) -> HttpResponse {
    let (_, login) = match admit(&request, query.token.as_deref()).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    let mut response = HttpResponse::Ok();
    if let Some(cookie) = login {
        let cookie = format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict");
        response.insert_header((SET_COOKIE, cookie));
        if query.token.is_some() {
            // The address with the token is not to stay in the browser's history.
            response.status(StatusCode::SEE_OTHER).insert_header((LOCATION, "/status"));
        }
    }
    response
        .content_type(ContentType::html())
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

/// One snapshot, for programs.
async fn data(request: HttpRequest, query: web::Query<Query>) -> HttpResponse {
    match admit(&request, query.token.as_deref()).await {
        Ok((services, _)) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(Watcher::default().look(&services)),
        Err(refused) => refused,
    }
}

/// A snapshot a second, as long as the page is open.
async fn feed(
    request: HttpRequest,
    query: web::Query<Query>,
    payload: web::Payload,
) -> HttpResponse {
    let services = match admit(&request, query.token.as_deref()).await {
        Ok((services, _)) => services,
        Err(refused) => return refused,
    };
    let Some(open) = Open::another(&services) else {
        warn!(limit = MAX_PAGES, "status page refused: too many are open");
        return HttpResponse::ServiceUnavailable().body("too many status pages are open\n");
    };
    let (response, mut session, mut messages) = match actix_ws::handle(&request, payload) {
        Ok(agreed) => agreed,
        Err(error) => return error.into(),
    };
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    actix_rt::spawn(async move {
        let _open = open;
        let mut watcher = Watcher::default();
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = period.tick() => {
                    let text = watcher.look(&services).to_string();
                    let sent = tokio::time::timeout(STALLED, session.text(text)).await;
                    !matches!(sent, Ok(Ok(())))
                }
                message = messages.recv() => match message {
                    Some(Ok(Message::Ping(payload))) => session.pong(&payload).await.is_err(),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => true,
                    Some(Ok(_)) => false,
                },
            };
            if done {
                break;
            }
        }
        // Fails when the other end is gone.
        let _ = session.close(None).await;
        if let Some(connection) = connection {
            connection.finish(End::Finish, "the status page was closed");
        }
    });
    response
}

/// Lets a request in, or answers it: with the services, the cookie of who has just shown his
/// credentials.
async fn admit(
    request: &HttpRequest,
    token: Option<&str>,
) -> Result<(Arc<Services>, Option<String>), HttpResponse> {
    let Some(connection) = request.conn_data::<Rc<Connection>>() else {
        return Err(HttpResponse::InternalServerError().finish());
    };
    let services = connection.services.clone();
    let status = &services.status;
    let asker = Asker::of(request, connection.peer.ip(), token);
    match status.config.judge(&asker, &status.secret) {
        Access::Granted => Ok((services, None)),
        Access::Login(cookie) => {
            info!(peer = %connection.peer, "operator sees the status page");
            Ok((services, Some(cookie)))
        }
        Access::Refused(why) => {
            Err(HttpResponse::Forbidden().body(format!("The status page is not shown: {why}.\n")))
        }
        Access::Ask => {
            if token.is_some() || request.headers().contains_key(AUTHORIZATION) {
                warn!(peer = %connection.peer, "wrong credentials for the status page");
                tokio::time::sleep(GUESS).await;
            }
            let mut response = HttpResponse::Unauthorized();
            if status.config.has_login() {
                let realm = "Basic realm=\"Ramona status\", charset=\"UTF-8\"";
                response.insert_header((WWW_AUTHENTICATE, realm));
            }
            Err(response.content_type(ContentType::html()).body(ASK))
        }
    }
}

fn file(text: &'static str, kind: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CACHE_CONTROL, "max-age=86400"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text)
}

/// One of at most [`MAX_PAGES`].
struct Open(Arc<Services>);

impl Open {
    fn another(services: &Arc<Services>) -> Option<Self> {
        let pages = &services.status.pages;
        if pages.fetch_add(1, Relaxed) >= MAX_PAGES {
            pages.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self(services.clone()))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.status.pages.fetch_sub(1, Relaxed);
    }
}
