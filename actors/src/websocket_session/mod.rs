//! WebSocketSession: a [`ClientSession`] over a connection of the HTTP port that was upgraded.
//!
//! The frames are actix-ws's; what they mean is decided in `protocols/websocket`. The upgrade is
//! answered when `onConnection` has decided: a refused client gets the error of HTTP instead.
//!
//! | file | what |
//! |---|---|
//! | [`carrier`] | the machine, its words, its timers |
//! | [`incoming`] | messages of the client, held back when somebody is busy |
//! | [`outgoing`] | bytes for the client, the body of the response 101 |
//! | [`request`] | what the request says of the client |
//! | [`viewer`] | a subscription: data messages as text, each converted once |

mod carrier;
mod incoming;
mod outgoing;
mod request;
mod viewer;

use std::rc::Rc;

use actix::prelude::*;
use actix_web::http::header::SEC_WEBSOCKET_PROTOCOL;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use ramona_script::Refusal;
use ramona_websocket as websocket;
use tokio::sync::oneshot;

use crate::client_session::{ClientConfig, ClientSession};
use crate::http_session::{Connection, refuse};
use crate::messages::client::ToSession;
use carrier::WebSocketCarrier;
pub(crate) use incoming::Incoming;
use outgoing::OutgoingBody;
use request::{connect_of, refusal};
pub(crate) use viewer::Texts;

/// How WebSocket sessions behave.
#[derive(Clone, Debug)]
pub struct WebSocketConfig {
    /// The protocol's own timers.
    pub session: websocket::SessionConfig,
    /// What WebSocket clients have in common with others.
    pub client: ClientConfig,
}

/// One WebSocket connection.
pub(crate) type WebSocketSession = ClientSession<WebSocketCarrier>;

/// Why a client is refused that comes too late.
const STOPPING: Refusal = Refusal::Rejected(Bytes::from_static(b"the server stops"));

/// Answers a request for an upgrade: asks the script, then says 101 or why not.
pub(crate) async fn upgrade(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(connection) = request.conn_data::<Rc<Connection>>().cloned() else {
        return HttpResponse::InternalServerError().finish();
    };
    // A visitor of before becomes a client of another kind.
    connection.disconnect();
    let connect = match connect_of(&request) {
        Ok(connect) => connect,
        Err(problem) => return refuse(&connection, &request, &problem),
    };
    let (incoming, response) = match shake_hands(&request, payload).await {
        Ok(agreed) => agreed,
        Err(error) => return error.into(),
    };
    // A visitor of before becomes another client.
    connection.disconnect();
    let services = connection.services.clone();
    let config = services.websocket.client.clone();
    let (answer, decision) = oneshot::channel();
    let (peer, local) = (connection.peer, connection.local.clone());
    let carrier = Rc::new(WebSocketCarrier::new(
        &services.websocket.session,
        connection.clone(),
        connect,
        incoming,
        answer,
    ));
    let outgoing = carrier.outgoing().clone();
    let session = WebSocketSession::start_here(carrier, peer, None, local, services, config);
    let waiting = Waiting(Some(session.recipient()));
    let decision = decision.await;
    waiting.over();
    match decision {
        Ok(Ok(())) => {
            let (response, signal) = response.into_parts();
            response.set_body(OutgoingBody::new(outgoing, signal)).map_into_boxed_body()
        }
        Ok(Err(reason)) => refuse(&connection, &request, &refusal(&reason)),
        // Its session ended before it could say anything: the node stops.
        Err(_) => refuse(&connection, &request, &refusal(&STOPPING)),
    }
}

/// The agreement of RFC 6455 §4.2: what the client sends from now on, within the limits of
/// messages, and the response, whose body is to be replaced and kept.
pub(crate) async fn shake_hands(
    request: &HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<(Incoming, HttpResponse)> {
    let (payload, violation) = incoming::guard(request, payload).await?;
    // Browsers give up when none of the subprotocols that a page asked for is taken, so the first
    // one is: what it means is between the page and the script.
    let asked = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
    let asked = asked.and_then(|asked| asked.to_str().ok()).unwrap_or_default();
    let first = asked.split(',').map(str::trim).find(|name| !name.is_empty());
    let protocols = first.as_slice();
    let (response, session, messages) =
        actix_ws::handle_with_protocols(request, payload, protocols)?;
    // What is sent goes through a queue of bytes that is bounded, see `outgoing`.
    drop(session);
    Ok((Incoming::new(messages, violation), response))
}

/// A client that goes away while the script decides.
struct Waiting(Option<Recipient<ToSession>>);

impl Waiting {
    fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.do_send(ToSession::Broken("closed by the client".to_owned()));
        }
    }
}
