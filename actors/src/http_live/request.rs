//! From a request to a player: which application and publication it names, who asks, what the
//! script says.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::StreamExt as _;
use ramona_http::Target;
use ramona_script::{ClientId, ClientInfo, Format, Refusal};
use ramona_websocket::Input;
use tracing::{debug, info};

use super::{Container, Framing, LiveBody, NoPlay, Play, Playing, State, subscribe};
use crate::clients::{self, Place, Traffic};
use crate::http_session::{Connection, End, Problem, visitor_properties};
use crate::messages::script::ToScript;
use crate::outbox::{Backlog, Offer, Outbox};
use crate::websocket_session::{Incoming, shake_hands};

/// Bytes of one client's events that may wait for the script.
const CALL_BACKLOG: usize = 1 << 20;

/// What a path asks for.
struct Wanted {
    /// ENV-01.
    app: String,
    name: Bytes,
    container: Container,
}

impl Wanted {
    /// `/app/name.flv` and `/app/name.ts` (HTT-12).
    fn of(path: &str) -> Option<Self> {
        let Target { app, name } = Target::parse(path).ok()?;
        let name = name?;
        let (name, extension) = name.rsplit_once('.').filter(|(name, _)| !name.is_empty())?;
        let container = Container::of_extension(extension)?;
        Some(Self { app, name: Bytes::copy_from_slice(name.as_bytes()), container })
    }
}

/// Whether a path names a live stream.
pub(crate) fn is_live(path: &str) -> bool {
    Wanted::of(path).is_some()
}

/// A client that the script accepted or may yet accept, until it is dropped.
struct Client {
    id: ClientId,
    script: Rc<Outbox<ToScript>>,
    place: Option<Place>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.script.push(ToScript::Disconnect(self.id));
    }
}

/// Answers `ws://host/app/name.flv`: each tag is a message.
pub(crate) async fn upgrade(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some((connection, wanted)) = wanted(&request) else {
        return HttpResponse::NotFound().finish();
    };
    // A visitor of before becomes a player.
    connection.disconnect();
    let (mut incoming, response) = match shake_hands(&request, payload).await {
        Ok(agreed) => agreed,
        Err(error) => return error.into(),
    };
    let (playing, client) = match play(&request, &connection, wanted).await {
        Ok(playing) => playing,
        Err(refused) => return refused,
    };
    let playing = Rc::new(RefCell::new(playing));
    let player = Rc::downgrade(&playing);
    actix_rt::spawn(async move {
        let reason = listen(&connection, &mut incoming, &player).await;
        debug!(reason, "player left");
        connection.finish(End::Abort, reason);
    });
    let (response, signal) = response.into_parts();
    let body = LiveBody { playing, state: State::New };
    response.set_body(Owned { body, _owned: (client, signal) }).map_into_boxed_body()
}

/// What a player says, until it leaves or is silent for `WebSocket.timeout`: it is pinged as any
/// client (WSK-05), for there may be no stream to show that it is gone.
async fn listen(
    connection: &Connection,
    incoming: &mut Incoming,
    player: &Weak<RefCell<Playing>>,
) -> &'static str {
    let times = &connection.services.websocket.session;
    let now = Instant::now();
    let (mut ping_at, mut gone_at) = (times.next_ping(now), times.idle_at(now));
    loop {
        let received = tokio::select! {
            received = incoming.next() => received,
            () = tokio::time::sleep_until(ping_at.into()) => {
                if let Some(player) = player.upgrade() {
                    player.borrow().ping();
                }
                ping_at = times.next_ping(Instant::now());
                continue;
            }
            () = until(gone_at) => return "silent for longer than WebSocket.timeout",
        };
        let Some(received) = received else { break };
        gone_at = times.idle_at(Instant::now());
        for input in received.inputs {
            match (input, player.upgrade()) {
                (Input::Ping(payload), Some(player)) => player.borrow().pong(&payload),
                (Input::Close(_), _) | (_, None) => return "closed by the client",
                _ => {}
            }
        }
        if received.end.is_some() {
            break;
        }
    }
    "closed by the client"
}

/// Sleeps; without a time for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn wanted(request: &HttpRequest) -> Option<(Rc<Connection>, Wanted)> {
    let connection = request.conn_data::<Rc<Connection>>()?.clone();
    Some((connection, Wanted::of(request.uri().path())?))
}

/// Connects the client, then subscribes it.
async fn play(
    request: &HttpRequest,
    connection: &Rc<Connection>,
    wanted: Wanted,
) -> Result<(Playing, Client), HttpResponse> {
    let services = &connection.services;
    let script = Rc::new(Outbox::from_recipient(
        services.script.clone(),
        Arc::new(Backlog::default()),
        CALL_BACKLOG,
    ));
    let Some(session) = connection.session() else {
        return Err(refused_with(StatusCode::SERVICE_UNAVAILABLE, "the connection ends"));
    };
    let query = Bytes::copy_from_slice(request.query_string().as_bytes());
    let raw_id = crate::client_session::random_id(connection.number);
    let traffic = Arc::<Traffic>::default();
    let info = ClientInfo {
        id: connection.number,
        raw_id,
        address: connection.peer.to_string(),
        protocol: "WebSocket",
        format: Format::Json,
        path: wanted.app.clone(),
        query: query.clone(),
        properties: visitor_properties(request),
        args: Bytes::new(),
        parameters: Vec::new(),
        stats: traffic.stats.clone(),
    };
    let decision = connection.live().connecting();
    let bytes = info.properties.len() + 1_024;
    let message =
        ToScript::Connect { info: Box::new(info), session: session.clone(), packs: false };
    let Offer::Accepted = script.offer(message, bytes) else {
        return Err(refused_with(StatusCode::SERVICE_UNAVAILABLE, "the script is too busy"));
    };
    let mut client = Client { id: connection.number, script: script.clone(), place: None };
    match decision.await {
        Ok(Ok(_)) => {}
        Ok(Err(refusal)) => {
            let (status, text) = match refusal {
                Refusal::InvalidApp(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
                Refusal::Rejected(text) | Refusal::Failed(text) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, text)
                }
            };
            info!(reason = %text.escape_ascii(), "client refused");
            return Err(refused_with(status, &text[..]));
        }
        Err(_) => return Err(refused_with(StatusCode::SERVICE_UNAVAILABLE, "the connection ends")),
    }
    let listed = clients::Client {
        raw_id,
        protocol: "WebSocket",
        path: wanted.app,
        traffic: traffic.clone(),
    };
    client.place = Some(services.clients.enter(client.id, connection.peer, listed));
    let play = Play {
        client: client.id,
        session,
        name: wanted.name,
        query,
        container: wanted.container,
        framing: Framing::WebSocket,
        traffic,
        script,
    };
    match subscribe(connection, play).await {
        Ok(playing) => Ok((playing, client)),
        Err(NoPlay::Refused(text)) => Err(refused_with(StatusCode::FORBIDDEN, &text[..])),
        Err(NoPlay::Busy(text)) => Err(refused_with(StatusCode::SERVICE_UNAVAILABLE, text)),
    }
}

fn refused_with(status: StatusCode, text: impl Into<Vec<u8>>) -> HttpResponse {
    Problem::new(status, text).page()
}

/// A body and what lasts as long as it does.
struct Owned<T> {
    body: LiveBody,
    _owned: T,
}

impl<T: Unpin> MessageBody for Owned<T> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htt_12_a_path_names_application_publication_and_container() {
        let wanted = |path| {
            let wanted = Wanted::of(path)?;
            Some((wanted.app, wanted.name, wanted.container))
        };
        let flv =
            |app: &str, name: &'static str| Some((app.to_owned(), name.into(), Container::Flv));
        assert_eq!(wanted("/live/test.flv"), flv("/live", "test"));
        assert_eq!(wanted("/a/b/te%20st.FLV"), flv("/a/b", "te st"));
        assert_eq!(wanted("/test.flv"), flv("", "test"));
        assert_eq!(wanted("/live/a.b.ts"), Some(("/live".into(), "a.b".into(), Container::Ts)));
        for path in ["/live/", "/live/test", "/live/.flv", "/live/test.mp4", "/%FF/a.flv", ""] {
            assert_eq!(wanted(path), None, "{path}");
        }
    }
}
