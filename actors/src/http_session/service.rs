//! The routes of the HTTP port, built once per worker.
//!
//! `/metrics` and `/health` are the node's own and go before any application of that name.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::error::DispatchError;
use actix_http::{Extensions, Protocol};
use actix_service::ServiceFactory;
use actix_service::boxed::{self, BoxService};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Service, ServiceResponse};
use actix_web::guard::{self, GuardContext};
use actix_web::http::header::UPGRADE;
use actix_web::{App, web};
use bytes::Bytes;
use tracing::error;

use super::connection::Connection;
use super::request::serve;
use super::status;
use super::stream::HttpStream;
use crate::http_live;
use crate::services::Services;
use crate::status_page;
use crate::websocket_session::upgrade;

/// What serves the connections of one worker.
pub(crate) type HttpService =
    BoxService<(HttpStream, Protocol, Option<std::net::SocketAddr>), (), DispatchError>;

/// Builds the service of the present arbiter; nothing when actix refuses, which is logged.
pub(crate) async fn build(services: Arc<Services>) -> Option<Rc<HttpService>> {
    let app = App::new()
        .app_data(web::Data::from(services.metrics.clone()))
        .wrap_fn(|request, next| {
            let connection = request.conn_data::<Rc<Connection>>().cloned();
            if let Some(connection) = &connection {
                connection.begin_request();
            }
            let answer = next.call(request);
            async move {
                let answer: ServiceResponse<BoxBody> = answer.await?;
                Ok(answer.map_body(|_, body| Answer { body, connection }))
            }
        })
        .route("/metrics", web::get().to(status::metrics))
        .route("/health", web::get().to(status::health))
        .configure(status_page::routes)
        .service(
            web::resource("/{path:.*}")
                .guard(guard::fn_guard(is_live))
                .guard(guard::fn_guard(wants_websocket))
                .route(web::get().to(http_live::upgrade)),
        )
        .service(
            web::resource("/{path:.*}")
                .guard(guard::fn_guard(wants_websocket))
                .route(web::get().to(upgrade)),
        )
        .default_service(web::to(serve));
    let app = actix_service::map_config(app, |()| AppConfig::default());
    let service = actix_http::HttpService::build()
        // The connection keeps its own timeouts: actix-http bounds only the first head, and its
        // idle timeout is one for all connections.
        .keep_alive(actix_http::KeepAlive::Os)
        .client_request_timeout(std::time::Duration::ZERO)
        // A client that went away is noticed, whatever it waits for.
        .h1_allow_half_closed(false)
        .on_connect_ext(|stream: &HttpStream, data: &mut Extensions| {
            data.insert(stream.connection().clone());
        })
        .finish(app);
    match service.new_service(()).await {
        Ok(service) => Some(Rc::new(boxed::service(service))),
        Err(()) => {
            error!("the HTTP service of a worker cannot be built");
            None
        }
    }
}

/// HTT-12.
fn is_live(request: &GuardContext<'_>) -> bool {
    http_live::is_live(request.head().uri.path())
}

/// Whether a request asks for WebSocket (RFC 6455 §4.1).
fn wants_websocket(request: &GuardContext<'_>) -> bool {
    let asked = request.head().headers().get(UPGRADE).and_then(|asked| asked.to_str().ok());
    asked.is_some_and(|asked| {
        asked.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
    })
}

/// A response's body, which tells its connection when it is over.
pub(super) struct Answer {
    body: BoxBody,
    connection: Option<Rc<Connection>>,
}

impl MessageBody for Answer {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.end_request();
        }
    }
}
