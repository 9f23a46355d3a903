//! The reference: actix-web and actix-ws as their documentation shows them, echoing texts.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_ws::Message;

use crate::support::Outcome;

/// Serves on a port until it is killed.
pub(crate) fn run(port: Option<&str>) -> Outcome<()> {
    let port: u16 = port.and_then(|port| port.parse().ok()).ok_or("bare PORT")?;
    let served = actix_rt::System::new().block_on(async move {
        HttpServer::new(|| App::new().route("/", web::get().to(echo)))
            .bind(("127.0.0.1", port))?
            .run()
            .await
    });
    served.map_err(|error| error.to_string())
}

async fn echo(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_rt::spawn(async move {
        while let Some(Ok(message)) = messages.recv().await {
            let sent = match message {
                Message::Text(text) => session.text(text).await,
                Message::Ping(payload) => session.pong(&payload).await,
                Message::Close(_) => break,
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
        // The client may have gone first.
        let _ = session.close(None).await;
    });
    Ok(response)
}
