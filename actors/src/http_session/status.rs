//! `/metrics` for Prometheus and `/health` for supervisors.

use std::sync::atomic::Ordering::Relaxed;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, Responder, web};

use crate::metrics::{ActorKind, Metrics, prometheus};

pub(super) async fn metrics(metrics: web::Data<Metrics>) -> impl Responder {
    HttpResponse::Ok()
        .insert_header(("content-type", "text/plain; version=0.0.4; charset=utf-8"))
        .body(prometheus(&metrics))
}

/// Healthy means that the Lua state lives: everything else is restarted, it is not.
pub(super) async fn health(metrics: web::Data<Metrics>) -> impl Responder {
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
