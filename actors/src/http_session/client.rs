//! The client that scripts see behind a connection: one for each path and query in a row (section
//! 3.1), and the questions that are put to scripts for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use ramona_script::{
    Accepted, CallOutcome, ClientId, ClientInfo, ClientMessage, ClientStats, Format, ReadOutcome,
    Refusal,
};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::connection::{Connection, End};
use super::limits::MAX_COOKIES;
use super::request::Head;
use crate::client_session::random_id;
use crate::clients::{self, Place, Traffic};
use crate::messages::client::ToSession;
use crate::messages::script::ToScript;
use crate::outbox::Ticket;
use crate::services::epoch_ms;

/// How often somebody who waits for a script looks whether it still lives.
const LOOK: Duration = Duration::from_secs(1);

/// What a folder answers (HTT-08).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// A listing.
    List,
    /// 403.
    Refuse,
    /// A file of the folder, or a function.
    Name(String),
}

impl Index {
    /// Reads a value of the key `HTTP.index`, or of onConnection.
    pub(super) fn of_text(text: &str) -> Self {
        if text.eq_ignore_ascii_case("true") {
            Self::List
        } else if text.eq_ignore_ascii_case("false") {
            Self::Refuse
        } else {
            Self::Name(text.to_owned())
        }
    }
}

/// See the module's text.
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) path: String,
    query: String,
    stats: Arc<ClientStats>,
    raw_id: [u8; 32],
    pub(super) traffic: Arc<Traffic>,
    place: RefCell<Option<Place>>,
    index: RefCell<Index>,
    open: Cell<bool>,
    /// What it last told scripts of headers and cookies.
    properties: RefCell<Bytes>,
    written: RefCell<Written>,
    /// `writer:close(code)` during a request.
    closed: Cell<Option<u32>>,
}

/// What scripts wrote and no response has carried yet (HTT-13).
#[derive(Default)]
pub(super) struct Written {
    pub(super) messages: Vec<ClientMessage>,
    pub(super) cookies: Vec<Bytes>,
    tickets: Vec<Ticket>,
}

/// What a script answered.
enum Reply {
    Connected(Result<(), Refusal>),
    Called(CallOutcome),
    Read(ReadOutcome),
}

/// A question that waits for its answer. One connection asks one at a time.
#[derive(Default)]
pub(super) struct Asked {
    number: u64,
    reply: Option<oneshot::Sender<Reply>>,
}

/// Why a request cannot be answered by scripts.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The application is missing, or refused the client.
    Refused(Refusal),
    /// The script bridge is gone.
    Gone,
}

impl Client {
    pub(super) fn index(&self) -> Index {
        self.index.borrow().clone()
    }

    /// Whether a script wants to be asked before files are read.
    pub(super) fn reads(&self) -> bool {
        self.stats.reads.load(Relaxed)
    }

    /// What waits for a response that scripts make.
    pub(super) fn take_written(&self) -> Written {
        std::mem::take(&mut *self.written.borrow_mut())
    }

    /// Cookies go with any response.
    pub(super) fn take_cookies(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.written.borrow_mut().cookies)
    }

    /// The code of `writer:close`, once.
    pub(super) fn take_closed(&self) -> Option<u32> {
        self.closed.take()
    }
}

impl Connection {
    /// The client of a request: the one of the request before when path and query are the same,
    /// else a new one, for which `onConnection` is asked.
    pub(super) async fn client(
        &self,
        path: &str,
        head: &Head<'_>,
    ) -> Result<Rc<Client>, Unanswered> {
        let known = self.client.borrow().clone();
        if let Some(client) = known
            && client.open.get()
            && client.path == path
            && client.query == head.query
        {
            client.stats.last_reception_ms.store(epoch_ms(), Relaxed);
            return Ok(client);
        }
        self.disconnect();
        let id = self.services.ids.client();
        let properties = head.properties();
        let config = &self.services.http;
        let traffic = Arc::new(Traffic::since(self.received_bytes(), self.sent_bytes()));
        let client = Rc::new(Client {
            id,
            path: path.to_owned(),
            query: head.query.to_owned(),
            stats: traffic.stats.clone(),
            raw_id: random_id(id),
            traffic,
            place: RefCell::default(),
            index: RefCell::new(config.index()),
            open: Cell::new(false),
            properties: RefCell::new(properties.clone()),
            written: RefCell::default(),
            closed: Cell::default(),
        });
        client.stats.last_reception_ms.store(epoch_ms(), Relaxed);
        let info = ClientInfo {
            id,
            raw_id: client.raw_id,
            address: self.peer.to_string(),
            protocol: "HTTP",
            format: head.format,
            path: path.to_owned(),
            query: Bytes::copy_from_slice(head.query.as_bytes()),
            properties,
            args: Bytes::new(),
            parameters: config.parameters.clone(),
            stats: client.stats.clone(),
        };
        let Some(session) = self.session() else { return Err(Unanswered::Gone) };
        *self.client.borrow_mut() = Some(client.clone());
        let ask = |_| ToScript::Connect { info: Box::new(info), session, packs: false };
        match self.ask(ask).await? {
            Reply::Connected(Ok(())) => Ok(client),
            Reply::Connected(Err(refusal)) => Err(Unanswered::Refused(refusal)),
            Reply::Called(_) | Reply::Read(_) => Err(Unanswered::Gone),
        }
    }

    /// What scripts wrote follows on the heels of their decision, so it counts at once.
    fn on_connected(&self, decision: Result<Accepted, Refusal>) -> Result<(), Refusal> {
        let client = self.client.borrow().clone();
        match (client, decision) {
            (Some(client), Ok(accepted)) => self.accept(&client, &accepted),
            (_, Ok(_)) => {}
            (_, Err(refusal)) => {
                *self.client.borrow_mut() = None;
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn accept(&self, client: &Client, accepted: &Accepted) {
        debug!(client = client.id.0, path = client.path, "client connected");
        client.open.set(true);
        let listed = clients::Client {
            raw_id: client.raw_id,
            protocol: "HTTP",
            path: client.path.clone(),
            traffic: client.traffic.clone(),
        };
        let place = self.services.clients.enter(client.id, self.peer, listed);
        *client.place.borrow_mut() = Some(place);
        self.set_timeout(self.services.http.timeout);
        for (key, value) in &accepted.parameters {
            match &**key {
                "timeout" => match value.parse() {
                    Ok(seconds) if (1.0..=1e6).contains(&seconds) => {
                        self.set_timeout(Duration::from_secs_f64(seconds));
                    }
                    _ => warn!(timeout = value, "timeout of onConnection ignored: not 1..1000000"),
                },
                "index" => *client.index.borrow_mut() = Index::of_text(value),
                _ => {}
            }
        }
    }

    /// The client is gone, or another takes its place (EVT-04). Scripts that did not answer yet
    /// whether they accept it are told as well: they do so before this comes.
    pub(crate) fn disconnect(&self) {
        if let Some(client) = self.client.borrow_mut().take() {
            client.open.set(false);
            *client.place.borrow_mut() = None;
            self.script().push(ToScript::Disconnect(client.id));
        }
    }

    /// Tells scripts headers and cookies of the present request when they are not the last ones.
    pub(super) fn tell_properties(&self, client: &Client, head: &Head<'_>) {
        let properties = head.properties();
        let mut known = client.properties.borrow_mut();
        if *known != properties {
            *known = properties.clone();
            self.script().push(ToScript::Request { client: client.id, properties });
        }
    }

    /// A message in a body, or a call (HTT-03).
    pub(super) async fn message(
        &self,
        client: &Client,
        body: Bytes,
        format: Format,
    ) -> Result<CallOutcome, Unanswered> {
        let client = client.id;
        self.call(|transaction| ToScript::Message { client, transaction, body, format }).await
    }

    /// GET of a name (HTT-02).
    pub(super) async fn get(&self, client: &Client, name: &str) -> Result<CallOutcome, Unanswered> {
        let (client, query) = (client.id, Bytes::copy_from_slice(client.query.as_bytes()));
        let name = Bytes::copy_from_slice(name.as_bytes());
        self.call(|transaction| ToScript::Get { client, transaction, name, query }).await
    }

    async fn call(
        &self,
        question: impl FnOnce(f64) -> ToScript,
    ) -> Result<CallOutcome, Unanswered> {
        match self.ask(question).await? {
            Reply::Called(outcome) => Ok(outcome),
            Reply::Connected(_) | Reply::Read(_) => Err(Unanswered::Gone),
        }
    }

    /// GET or HEAD of a file (CLI-39).
    pub(super) async fn read(
        &self,
        client: &Client,
        file: &str,
    ) -> Result<ReadOutcome, Unanswered> {
        let (client, query) = (client.id, Bytes::copy_from_slice(client.query.as_bytes()));
        let file = Bytes::copy_from_slice(file.as_bytes());
        let question = |transaction| ToScript::Read { client, transaction, file, query };
        match self.ask(question).await? {
            Reply::Read(outcome) => Ok(outcome),
            Reply::Connected(_) | Reply::Called(_) => Err(Unanswered::Gone),
        }
    }

    async fn ask(&self, question: impl FnOnce(f64) -> ToScript) -> Result<Reply, Unanswered> {
        let (reply, mut answer) = oneshot::channel();
        let number = {
            let mut asked = self.asked.borrow_mut();
            asked.number += 1;
            asked.reply = Some(reply);
            asked.number
        };
        // Numbers of one connection stay far below 2^53.
        self.script().push(question(number as f64));
        loop {
            match tokio::time::timeout(LOOK, &mut answer).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(_)) => return Err(Unanswered::Gone),
                // A script may take its time.
                Err(_) if self.services.script.connected() => {}
                Err(_) => return Err(Unanswered::Gone),
            }
        }
    }

    fn answer(&self, number: Option<f64>, reply: Reply) {
        let mut asked = self.asked.borrow_mut();
        // The answer to a request that its client did not wait for has another number.
        if number.is_none_or(|number| number == asked.number as f64)
            && let Some(waiting) = asked.reply.take()
        {
            // Nobody waits when the client went away.
            let _ = waiting.send(reply);
        }
    }

    /// What scripts and the node say to the client of this connection.
    pub(super) fn on_message(&self, message: ToSession) {
        match message {
            ToSession::Connected(decision) => {
                // A player over WebSocket is a client of its own.
                if let Some(decision) = self.live().connected(decision) {
                    let decision = self.on_connected(decision);
                    self.answer(None, Reply::Connected(decision));
                }
            }
            ToSession::Subscribed { listener, decision } => {
                self.live().decided(listener, decision);
            }
            ToSession::SetListener { listener, audio, video, .. } => {
                self.live().set_listener(listener, audio, video);
            }
            ToSession::Called { transaction, outcome } => {
                self.answer(Some(transaction), Reply::Called(outcome));
            }
            ToSession::Read { transaction, outcome } => {
                self.answer(Some(transaction), Reply::Read(outcome));
            }
            // There is one flow only, and it is reliable.
            ToSession::Write { messages, ticket, .. }
            | ToSession::WriteOn { messages, ticket, .. } => {
                self.on_written(messages, ticket);
            }
            ToSession::Close { code } => {
                let client = self.client.borrow().clone();
                match client {
                    Some(client) if client.open.get() && self.is_busy() => {
                        client.closed.set(Some(code));
                    }
                    Some(client) if client.open.get() => {
                        self.finish(End::Finish, "closed by a script");
                    }
                    _ => {}
                }
            }
            // The WebSocket client says its own last words.
            ToSession::Shutdown if self.is_upgraded() => {}
            ToSession::Shutdown => self.finish(End::Finish, "the node stops"),
            ToSession::Broken(reason) => self.finish(End::Abort, &reason),
            // Clients of HTTP publish nothing, and join no group.
            ToSession::Published { .. }
            | ToSession::PublicationClosed { .. }
            | ToSession::Members { .. }
            | ToSession::CloseWriter(_)
            | ToSession::Poke => {}
        }
    }

    /// Writes of a script wait for the response that is being made, or for the next (HTT-13). They
    /// are bounded where they come from: their tickets are given back when they leave.
    fn on_written(&self, messages: Vec<ClientMessage>, ticket: Ticket) {
        // What a client before was written went with it.
        let client = self.client.borrow().clone().filter(|client| client.open.get());
        let Some(client) = client else { return };
        let mut written = client.written.borrow_mut();
        written.tickets.push(ticket);
        for message in messages {
            match message {
                ClientMessage::Cookie { .. } if written.cookies.len() >= MAX_COOKIES => {
                    warn!(
                        limit = MAX_COOKIES,
                        "cookie of a script dropped: too many for a response"
                    );
                }
                ClientMessage::Cookie { header } => written.cookies.push(header),
                ClientMessage::Status { code, .. } => {
                    info!(code = %code.escape_ascii(), "HTTP has no status events: not sent");
                }
                message => written.messages.push(message),
            }
        }
    }
}
