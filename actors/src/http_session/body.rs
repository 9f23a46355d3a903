//! The body of a request, within its bounds.

use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::connection::Connection;
use super::limits::{BODY_GRACE, MIN_BODY_RATE};
use super::problem::Problem;
use crate::outbox::Ticket;

/// Reads a whole body. The tickets keep its bytes counted as long as they are held.
pub(super) async fn read(
    connection: &Connection,
    request: &HttpRequest,
    mut payload: web::Payload,
) -> Result<(Bytes, Vec<Ticket>), Problem> {
    let services = &connection.services;
    let most = services.http.max_body;
    let too_large = || {
        let text = format!("the body is longer than HTTP.maxBody, {most} bytes");
        Problem::hostile(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let start = Instant::now();
    let mut body = BytesMut::new();
    let mut tickets = Vec::new();
    loop {
        let silence = connection.timeout().max(Duration::from_secs(1));
        let Ok(next) = tokio::time::timeout(silence, payload.next()).await else {
            return Err(slow("the body has stopped coming"));
        };
        let Some(part) = next else { break };
        let part = part.map_err(|error| {
            Problem::hostile(StatusCode::BAD_REQUEST, format!("the body is broken: {error}"))
        })?;
        if body.len() + part.len() > most {
            return Err(too_large());
        }
        let Some(ticket) = services.http_bodies.try_take(part.len(), services.http.body_budget)
        else {
            services.metrics.connections_refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let text = "too many bodies at once, try again";
            return Err(Problem::hostile(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        tickets.push(ticket);
        body.extend_from_slice(&part);
        let elapsed = start.elapsed();
        if elapsed > BODY_GRACE && (body.len() as f64) < MIN_BODY_RATE * elapsed.as_secs_f64() {
            return Err(slow("the body comes too slowly"));
        }
    }
    Ok((body.freeze(), tickets))
}

fn slow(text: &str) -> Problem {
    Problem::hostile(StatusCode::REQUEST_TIMEOUT, text)
}
