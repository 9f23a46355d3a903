//! The HTTP port: `/metrics` for Prometheus and `/health` for supervisors.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, Responder, web};

use crate::metrics::{ActorKind, Metrics, prometheus};

/// How the HTTP port behaves.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Idle connections are closed after this (CFG-16).
    pub timeout: Duration,
}

/// Serves on an open port, on one thread of its own: nothing here is on a hot path.
pub(crate) fn start(
    listener: TcpListener,
    config: HttpConfig,
    metrics: Arc<Metrics>,
) -> std::io::Result<ServerHandle> {
    let data = web::Data::from(metrics);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .route("/metrics", web::get().to(show_metrics))
            .route("/health", web::get().to(show_health))
    })
    .workers(1)
    .keep_alive(config.timeout)
    .client_request_timeout(config.timeout)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}

async fn show_metrics(metrics: web::Data<Metrics>) -> impl Responder {
    HttpResponse::Ok()
        .insert_header(("content-type", "text/plain; version=0.0.4; charset=utf-8"))
        .body(prometheus(&metrics))
}

/// Healthy means that the Lua state lives: everything else is restarted, it is not.
async fn show_health(metrics: web::Data<Metrics>) -> impl Responder {
    use std::sync::atomic::Ordering::Relaxed;
    let bridge = metrics.actor(ActorKind::ScriptBridge);
    let alive = bridge.alive.load(Relaxed) > 0;
    let panics: u64 =
        ActorKind::ALL.iter().map(|kind| metrics.actor(*kind).panics.load(Relaxed)).sum();
    let status = if alive { "ok" } else { "no script bridge" };
    let body = format!(
        "{{\"status\":\"{status}\",\"uptime_seconds\":{},\"clients\":{},\"links\":{},\
         \"panics\":{panics}}}\n",
        metrics.started.elapsed().as_secs(),
        metrics.actor(ActorKind::RtmpSession).alive.load(Relaxed),
        metrics.links().len(),
    );
    let mut response = if alive { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.content_type(ContentType::json()).body(body)
}
