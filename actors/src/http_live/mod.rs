//! Live streams for players that speak HTTP: FLV and MPEG-2 transport streams as endless bodies
//! (HTT-12), FLV over WebSocket.
//!
//! A player is a listener like any other: `onSubscribe` decides, the query is
//! `listener.parameters`, the worker writes to it through the trait [`Viewer`](crate::worker::Viewer).
//! The name need not run yet: the player waits, as an RTMP player does, and it stays when the
//! publication ends, until it runs again; times then go on.
//!
//! | file | what |
//! |---|---|
//! | [`containers`] | frames as FLV and transport stream, once for all viewers of a worker |
//! | [`viewer`] | what one viewer gets, skips or loses |
//! | [`request`] | what a path names, and the answer |
//! | [`outlet`] | the socket, or the body of the response |

mod containers;
mod outlet;
mod request;
mod viewer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use actix::prelude::*;
use actix_http::ConnectionType;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use bytes::Bytes;
use ramona_script::{Accepted, ClientId, ListenerId, ListenerInfo, MediaQos, Refusal};
use tokio::sync::oneshot;
use tracing::{info, warn};

pub(crate) use containers::{Container, Containers};
use outlet::{BodyQueue, Outlet};
pub(crate) use request::{is_live, upgrade};
pub(crate) use viewer::{Framing, LiveViewer};

use crate::client_session::ViewerNumbers;
use crate::clients::Traffic;
use crate::directory::Subscription;
use crate::http_session::{Connection, End};
use crate::messages::client::ToSession;
use crate::messages::script::ToScript;
use crate::messages::stream::ToPublication;
use crate::outbox::{Offer, Outbox};

/// Who wants to see what.
pub(crate) struct Play {
    /// An accepted client.
    pub(crate) client: ClientId,
    /// Its session, which passes on [`ToSession::Subscribed`] and [`ToSession::SetListener`].
    pub(crate) session: Recipient<ToSession>,
    /// Of the publication.
    pub(crate) name: Bytes,
    /// LIS-07.
    pub(crate) query: Bytes,
    /// As what.
    pub(crate) container: Container,
    /// Over what.
    pub(crate) framing: Framing,
    /// The client's in the list of clients.
    pub(crate) traffic: Arc<Traffic>,
    /// The script's events of the client, in order.
    pub(crate) script: Rc<Outbox<ToScript>>,
}

/// Why there is nothing to see.
#[derive(Debug)]
pub(crate) enum NoPlay {
    /// `onSubscribe` said no: its text (STA-10).
    Refused(Bytes),
    /// [`MAX_NAMES`](crate::directory::MAX_NAMES) are in use, or the script has no room.
    Busy(&'static str),
}

/// Subscriptions of one connection: where decisions of the script arrive.
#[derive(Default)]
pub(crate) struct Live {
    connecting: RefCell<Option<oneshot::Sender<Result<Accepted, Refusal>>>>,
    waiting: RefCell<HashMap<ListenerId, oneshot::Sender<Result<(), Refusal>>>>,
    gates: RefCell<HashMap<ListenerId, Gate>>,
}

/// What a script set of a listener, before and after its viewer is there (LIS-05).
#[derive(Clone)]
struct Gate {
    receive: (bool, bool),
    viewer: Option<Rc<LiveViewer>>,
}

impl Live {
    /// Where the decision on the connection's client comes.
    fn connecting(&self) -> oneshot::Receiver<Result<Accepted, Refusal>> {
        let (decide, decision) = oneshot::channel();
        *self.connecting.borrow_mut() = Some(decide);
        decision
    }

    /// `onConnection` has decided; comes back when it was about another client.
    pub(crate) fn connected(
        &self,
        decision: Result<Accepted, Refusal>,
    ) -> Option<Result<Accepted, Refusal>> {
        let Some(connecting) = self.connecting.borrow_mut().take() else { return Some(decision) };
        // Fails when the player left meanwhile.
        let _ = connecting.send(decision);
        None
    }

    /// `onSubscribe` has decided.
    pub(crate) fn decided(&self, listener: ListenerId, decision: Result<(), Refusal>) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&listener) {
            // Fails when the player left meanwhile: the drop of `Asked` has told the script.
            let _ = waiting.send(decision);
        }
    }

    /// LIS-05.
    pub(crate) fn set_listener(&self, listener: ListenerId, audio: bool, video: bool) {
        if let Some(gate) = self.gates.borrow_mut().get_mut(&listener) {
            gate.receive = (audio, video);
            gate.apply();
        }
    }
}

impl Gate {
    fn apply(&self) {
        if let Some(viewer) = &self.viewer {
            let mut gate = viewer.gate.borrow_mut();
            gate.set_receive_audio(self.receive.0);
            gate.set_receive_video(self.receive.1);
        }
    }
}

/// A question that may never see its answer: the player can leave meanwhile, which drops it.
struct Asked<'a> {
    connection: &'a Connection,
    listener: ListenerId,
    script: &'a Outbox<ToScript>,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    /// The script may have allowed it.
    Asked,
    /// It has no listener.
    Refused,
    /// A [`Playing`] ends it.
    Taken,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.stage == Stage::Taken {
            return;
        }
        let live = self.connection.live();
        live.waiting.borrow_mut().remove(&self.listener);
        live.gates.borrow_mut().remove(&self.listener);
        if self.stage == Stage::Asked {
            self.script.push(ToScript::Unsubscribe(self.listener));
        }
    }
}

/// A subscription that `onSubscribe` allowed and nobody sees yet: [`begin`](Self::begin) starts
/// it, dropping ends it.
pub(crate) struct Playing {
    play: Play,
    connection: Rc<Connection>,
    listener: ListenerId,
    qos: Arc<MediaQos>,
    subscription: Subscription,
    driver: Option<actix_rt::task::JoinHandle<()>>,
    viewer: Option<Rc<LiveViewer>>,
}

/// Asks the script and ties the player to the publication's name.
pub(crate) async fn subscribe(connection: &Rc<Connection>, play: Play) -> Result<Playing, NoPlay> {
    let services = &connection.services;
    let listener = services.ids.listener();
    let qos = Arc::<MediaQos>::default();
    let info = ListenerInfo {
        id: listener,
        client: play.client,
        name: play.name.clone(),
        query: play.query.clone(),
        qos: qos.clone(),
    };
    let publication = services.directory.running(&play.name);
    let (decide, decision) = oneshot::channel();
    let live = connection.live();
    live.waiting.borrow_mut().insert(listener, decide);
    live.gates.borrow_mut().insert(listener, Gate { receive: (true, true), viewer: None });
    let mut asked = Asked { connection, listener, script: &play.script, stage: Stage::Refused };
    match play.script.offer(ToScript::Subscribe { info, publication }, 1_024) {
        Offer::Accepted => asked.stage = Stage::Asked,
        Offer::Full(_) | Offer::Gone(_) => return Err(NoPlay::Busy("the script is too busy")),
    }
    let refusal = match decision.await {
        Ok(Ok(())) => match services.directory.subscribe(&play.name) {
            Some(subscription) => {
                asked.stage = Stage::Taken;
                drop(asked);
                return Ok(Playing {
                    play,
                    connection: connection.clone(),
                    listener,
                    qos,
                    subscription,
                    driver: None,
                    viewer: None,
                });
            }
            None => {
                services.metrics.connections_refused.fetch_add(1, Relaxed);
                NoPlay::Busy("too many stream names are in use")
            }
        },
        Ok(Err(Refusal::Rejected(text) | Refusal::InvalidApp(text) | Refusal::Failed(text))) => {
            asked.stage = Stage::Refused;
            NoPlay::Refused(text)
        }
        Err(_) => NoPlay::Busy("the connection ends"),
    };
    match &refusal {
        NoPlay::Refused(reason) => info!(reason = %reason.escape_ascii(), "play refused"),
        NoPlay::Busy(reason) => warn!(reason, "play refused"),
    }
    Err(refusal)
}

impl Playing {
    /// Lets frames flow: first the cached group, then what comes.
    pub(crate) fn begin(&mut self, outlet: Outlet) {
        if let Outlet::Socket(transport) = &outlet {
            let (transport, connection) = (transport.clone(), self.connection.clone());
            self.driver = Some(actix_rt::spawn(async move {
                let error = transport.drive().await;
                connection.finish(End::Abort, &format!("viewer gone: {error}"));
            }));
        }
        let local = &self.connection.local;
        let key = self.subscription.key;
        let mut numbers = ViewerNumbers::new(self.play.name.clone(), self.qos.clone());
        numbers.count_drops(self.subscription.dropped.clone(), self.play.traffic.stats.clone());
        let viewer = Rc::new(LiveViewer::new(
            outlet,
            self.play.session.clone(),
            self.play.container,
            self.play.framing,
            local.containers(key),
            numbers,
            self.connection.services.rtmp.client.queue,
            self.play.traffic.clone(),
        ));
        if let Some(gate) = self.connection.live().gates.borrow_mut().get_mut(&self.listener) {
            gate.viewer = Some(viewer.clone());
            gate.apply();
        }
        local.attach(key, self.listener, viewer.clone());
        self.viewer = Some(viewer);
        let join = ToPublication::Join { listener: self.listener, worker: local.index };
        self.subscription.control.do_send(join);
        info!(name = %self.play.name.escape_ascii(), container = ?self.play.container, "plays");
    }

    /// Asks whether the player is there.
    fn ping(&self) {
        if let Some(viewer) = &self.viewer {
            viewer.ping();
        }
    }

    /// Answers a ping of WebSocket (RFC 6455 §5.5.3).
    fn pong(&self, payload: &Bytes) {
        if let Some(viewer) = &self.viewer {
            viewer.pong(payload);
        }
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
        let local = &self.connection.local;
        self.connection.live().gates.borrow_mut().remove(&self.listener);
        if self.viewer.is_some() {
            local.detach(self.subscription.key, self.listener);
            self.subscription.control.do_send(ToPublication::Leave { worker: local.index });
        }
        let directory = &self.connection.services.directory;
        directory.unsubscribe(&self.play.name, self.subscription.key);
        self.play.script.push(ToScript::Unsubscribe(self.listener));
    }
}

/// The answer to a player: a body that ends with the connection, as its length is not known and
/// chunks would have to be framed for each viewer.
pub(crate) fn respond(playing: Playing) -> HttpResponse<LiveBody> {
    let content_type = HeaderValue::from_static(playing.play.container.content_type());
    let body = LiveBody { playing: Rc::new(RefCell::new(playing)), state: State::New };
    let mut response = HttpResponse::with_body(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.head_mut().set_connection_type(ConnectionType::Close);
    response.head_mut().no_chunking(true);
    response
}

/// The body of a player's response. Its end is that of the connection.
pub(crate) struct LiveBody {
    playing: Rc<RefCell<Playing>>,
    state: State,
}

enum State {
    /// The head of the response is not written yet.
    New,
    /// Frames go past the body, into the socket.
    Socket,
    /// Frames come out here.
    Queue(Rc<BodyQueue>),
}

impl MessageBody for LiveBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if let State::New = self.state {
            let connection = self.playing.borrow().connection.clone();
            self.state = match connection.transport().cloned() {
                Some(transport) => {
                    let playing = Rc::downgrade(&self.playing);
                    connection.after_flush(move || {
                        if let Some(playing) = playing.upgrade() {
                            playing.borrow_mut().begin(Outlet::Socket(transport));
                        }
                    });
                    State::Socket
                }
                None => {
                    let queue = Rc::<BodyQueue>::default();
                    self.playing.borrow_mut().begin(Outlet::Body(queue.clone()));
                    State::Queue(queue)
                }
            };
        }
        match &self.state {
            // The connection wakes its reader when it ends.
            State::New | State::Socket => Poll::Pending,
            State::Queue(queue) => queue.poll(cx).map(|bytes| Some(Ok(bytes))),
        }
    }
}
