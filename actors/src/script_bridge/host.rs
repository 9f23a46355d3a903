//! [`Host`] on top of mailboxes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use ramona_media::MediaFrame;
use ramona_script::{
    ClientId, ClientMessage, DataChange, Host, ListenerId, LogLevel, LogRecord, MediaQos,
    PublicationId, PublicationInfo, PublishError, SendOutcome, ServerId, SocketId, Watch,
};

use super::data::DataStore;
use super::outgoing::{ClientOut, PublicationOut, ServerOut, WriteRoute, owned};
use super::resolver::Resolver;
use super::sockets::{SocketNews, Sockets};
use crate::blacklist::Blacklist;
use crate::directory::Directory;
use crate::groups::Groups;
use crate::messages::client::ToSession;
use crate::messages::cluster::{ServerHandle, ToServer};
use crate::messages::group::GroupId;
use crate::messages::stream::ToPublication;
use crate::metrics::{Metrics, Protocol};
use crate::services::{Ids, epoch_ms};

/// Registries that the node makes after the bridge: they need it, and it needs them.
#[derive(Default)]
pub(crate) struct Late(OnceLock<(Arc<Directory>, Arc<Groups>)>, Arc<Blacklist>);

impl Late {
    /// Gives them to the bridge, once.
    pub(crate) fn set(&self, directory: Arc<Directory>, groups: Arc<Groups>) {
        let _ = self.0.set((directory, groups));
    }

    /// The addresses that scripts block; there from the beginning.
    pub(crate) fn blacklist(&self) -> &Arc<Blacklist> {
        &self.1
    }

    fn directory(&self) -> Option<&Arc<Directory>> {
        self.0.get().map(|(directory, _)| directory)
    }

    fn groups(&self) -> Option<&Arc<Groups>> {
        self.0.get().map(|(_, groups)| groups)
    }
}

pub(super) struct BridgeHost {
    late: Arc<Late>,
    ids: Arc<Ids>,
    metrics: Arc<Metrics>,
    servers: RefCell<HashMap<ServerId, ServerOut>>,
    clients: RefCell<HashMap<ClientId, ClientOut>>,
    listeners: RefCell<HashMap<ListenerId, ClientId>>,
    /// Runs of clients.
    published: RefCell<HashMap<PublicationId, Published>>,
    /// Their names.
    names: RefCell<HashMap<Bytes, PublicationId>>,
    /// Runs of scripts.
    pushed: RefCell<HashMap<PublicationId, PublicationOut>>,
    dirty: RefCell<Dirty>,
    /// The call of a client that is being handled.
    calling: Cell<Option<(ClientId, f64)>>,
    has_called: Cell<bool>,
    resolver: Resolver,
    data: RefCell<DataStore>,
    sockets: Rc<Sockets>,
}

/// A run of a client, until its end has come to the script.
struct Published {
    client: ClientId,
    name: Bytes,
    control: Recipient<ToPublication>,
    /// By the script, for whom the name is free.
    closed: bool,
}

/// What the present handler wrote to.
#[derive(Default)]
struct Dirty {
    servers: Vec<ServerId>,
    clients: Vec<ClientId>,
    publications: Vec<PublicationId>,
}

impl BridgeHost {
    pub(super) fn new(dir: &Path, late: Arc<Late>, ids: Arc<Ids>, metrics: Arc<Metrics>) -> Self {
        let failures = metrics.script.data_failures.clone();
        let waits = metrics.script.data_waits.clone();
        let sockets = Sockets::new(ids.clone(), late.blacklist().clone(), metrics.clone());
        Self {
            sockets,
            data: RefCell::new(DataStore::new(dir, failures, waits)),
            late,
            ids,
            metrics,
            servers: RefCell::default(),
            clients: RefCell::default(),
            listeners: RefCell::default(),
            published: RefCell::default(),
            names: RefCell::default(),
            pushed: RefCell::default(),
            dirty: RefCell::default(),
            calling: Cell::new(None),
            has_called: Cell::new(false),
            resolver: Resolver::default(),
        }
    }

    /// Connections and datagrams of blocked addresses so far.
    pub(super) fn blacklisted(&self) -> u64 {
        self.late.blacklist().dropped.load(Relaxed)
    }

    /// Where events of sockets go.
    pub(super) fn tell_sockets(&self, news: Recipient<SocketNews>) {
        self.sockets.tell(news);
    }

    /// Everything of `data` is on the disk when this returns.
    pub(super) fn sync_data(&self) {
        self.data.borrow().sync();
    }

    /// Sends all that scripts wrote (GEN-17).
    pub(super) fn flush(&self) {
        let mut dirty = self.dirty.borrow_mut();
        let mut servers = self.servers.borrow_mut();
        if !dirty.servers.is_empty() {
            self.has_called.set(true);
        }
        for id in dirty.servers.drain(..) {
            servers.get_mut(&id).map(ServerOut::flush);
        }
        let mut pushed = self.pushed.borrow_mut();
        for id in dirty.publications.drain(..) {
            pushed.get_mut(&id).map(|out| out.flush(&self.metrics.script));
        }
        let mut clients = self.clients.borrow_mut();
        for id in dirty.clients.drain(..) {
            clients.get_mut(&id).map(ClientOut::flush);
        }
    }

    /// Whether scripts have called servers since this was last asked.
    pub(super) fn take_called(&self) -> bool {
        self.has_called.take()
    }

    /// Between the calls of a batch: frames that calls push must not wait for all of them.
    pub(super) fn flush_if_large(&self) {
        let dirty = self.dirty.borrow();
        if dirty.publications.len() + dirty.clients.len() > 64 {
            drop(dirty);
            self.flush();
        }
    }

    /// `packs`: its messages share datagrams.
    pub(super) fn add_client(&self, client: ClientId, session: Recipient<ToSession>, packs: bool) {
        self.clients.borrow_mut().insert(client, ClientOut::new(session, packs));
    }

    pub(super) fn remove_client(&self, client: ClientId) {
        if let Some(mut out) = self.clients.borrow_mut().remove(&client) {
            out.flush();
        }
    }

    /// From now on `client` is answered by what is written to it; `None`: the call is over.
    pub(super) fn set_call(&self, call: Option<(ClientId, f64)>) {
        self.calling.set(call);
    }

    fn write_routed(&self, client: ClientId, flow: u32, is_reliable: bool, message: ClientMessage) {
        let call = self.calling.get().filter(|(calling, _)| *calling == client);
        let transaction = call.map(|(_, transaction)| transaction);
        let route = WriteRoute { flow, is_reliable, transaction };
        let mut clients = self.clients.borrow_mut();
        let Some(out) = clients.get_mut(&client) else { return };
        let mut dirty = self.dirty.borrow_mut();
        if dirty.clients.last() != Some(&client) && !dirty.clients.contains(&client) {
            dirty.clients.push(client);
        }
        out.write(client, route, message, &self.metrics.script);
    }

    pub(super) fn tell(&self, client: ClientId, message: ToSession) {
        if let Some(out) = self.clients.borrow().get(&client) {
            out.tell(message);
        }
    }

    pub(super) fn add_publication(
        &self,
        run: PublicationId,
        client: ClientId,
        name: Bytes,
        control: Recipient<ToPublication>,
    ) {
        self.names.borrow_mut().insert(name.clone(), run);
        let published = Published { client, name, control, closed: false };
        self.published.borrow_mut().insert(run, published);
    }

    /// The run of a client under this name whose end the script has not heard of.
    pub(super) fn run_of(&self, name: &[u8]) -> Option<PublicationId> {
        self.names.borrow().get(name).copied()
    }

    /// Forgets a run; answers who published it.
    pub(super) fn remove_publication(&self, run: PublicationId) -> Option<ClientId> {
        self.pushed.borrow_mut().remove(&run);
        let published = self.published.borrow_mut().remove(&run)?;
        let mut names = self.names.borrow_mut();
        if names.get(&published.name) == Some(&run) {
            names.remove(&published.name);
        }
        Some(published.client)
    }

    /// Whether a run of this client has not ended yet.
    pub(super) fn publishes(&self, client: ClientId) -> bool {
        self.published.borrow().values().any(|published| published.client == client)
    }

    pub(super) fn add_listener(&self, listener: ListenerId, client: ClientId) {
        self.listeners.borrow_mut().insert(listener, client);
    }

    pub(super) fn remove_listener(&self, listener: ListenerId) {
        self.listeners.borrow_mut().remove(&listener);
    }

    pub(super) fn add_server(&self, server: ServerId, handle: ServerHandle) {
        self.servers.borrow_mut().insert(server, ServerOut::new(handle));
    }

    pub(super) fn remove_server(&self, server: ServerId) {
        self.servers.borrow_mut().remove(&server);
    }

    pub(super) fn announce_to(&self, server: ServerId, path: String) {
        self.tell_server(server, ToServer::AnnounceApp(path));
    }

    /// Refuses a server and forgets it: nothing can be sent to it any more.
    pub(super) fn refuse_server(&self, server: ServerId, text: &[u8]) {
        self.tell_server(server, ToServer::Reject(owned(text)));
        self.remove_server(server);
    }

    pub(super) fn refuse_all_servers(&self, text: &[u8]) {
        for out in self.servers.borrow_mut().values_mut() {
            out.tell(ToServer::Reject(owned(text)));
        }
    }

    fn tell_server(&self, server: ServerId, message: ToServer) {
        if let Some(out) = self.servers.borrow_mut().get_mut(&server) {
            out.tell(message);
        }
    }

    fn with_publication(&self, run: PublicationId, act: impl FnOnce(&Recipient<ToPublication>)) {
        if let Some(published) = self.published.borrow().get(&run) {
            act(&published.control);
        } else if let Some(out) = self.pushed.borrow().get(&run) {
            act(out.control());
        }
    }
}

impl Host for BridgeHost {
    fn tcp_connect(&self, to: SocketAddr) -> Result<SocketId, String> {
        self.sockets.connect(to)
    }

    fn tcp_listen(&self, on: SocketAddr) -> Result<(SocketId, SocketAddr), String> {
        self.sockets.listen(on)
    }

    fn udp_bind(&self, on: SocketAddr, broadcast: bool) -> Result<(SocketId, SocketAddr), String> {
        self.sockets.bind(on, broadcast)
    }

    fn udp_connect(&self, id: SocketId, to: Option<SocketAddr>) -> Result<(), String> {
        self.sockets.connect_udp(id, to)
    }

    fn socket_send(&self, id: SocketId, data: Bytes, to: Option<SocketAddr>) -> Result<(), String> {
        self.sockets.send(id, data, to)
    }

    fn socket_close(&self, id: SocketId) {
        self.sockets.close(id);
    }

    fn blacklist(&self, ip: IpAddr, blocked: bool) {
        self.late.blacklist().set(ip, blocked);
    }

    fn load_data(&self) -> Vec<DataChange> {
        self.data.borrow_mut().load()
    }

    fn save_data(&self, changes: Vec<DataChange>) {
        self.data.borrow().save(changes);
    }

    fn log(&self, record: &LogRecord<'_>) {
        // Escaped so that a line stays a line, readable so that UTF-8 stays text (LOG-03).
        let message = escape(record.text);
        let (file, line, trace) = (record.file, record.line, record.trace);
        macro_rules! emit {
            ($level:ident, $name:literal) => {
                tracing::event!(target: "script", tracing::Level::$level, level_name = $name,
                    file, line, trace, "{message}")
            };
        }
        match record.level {
            LogLevel::Error => emit!(ERROR, "ERROR"),
            LogLevel::Warn => emit!(WARN, "WARN"),
            LogLevel::Note => emit!(INFO, "NOTE"),
            LogLevel::Info => emit!(INFO, "INFO"),
            LogLevel::Debug => emit!(DEBUG, "DEBUG"),
            LogLevel::Trace => emit!(TRACE, "TRACE"),
        }
    }

    fn epoch_ms(&self) -> u64 {
        epoch_ms()
    }

    fn send(&self, server: ServerId, handler: &[u8], args: &[u8]) -> SendOutcome {
        let mut servers = self.servers.borrow_mut();
        let Some(out) = servers.get_mut(&server) else { return SendOutcome::Gone };
        let mut dirty = self.dirty.borrow_mut();
        if dirty.servers.last() != Some(&server) && !dirty.servers.contains(&server) {
            dirty.servers.push(server);
        }
        out.send(handler, args)
    }

    fn reject_server(&self, server: ServerId, text: &[u8]) {
        self.tell_server(server, ToServer::Reject(owned(text)));
    }

    fn announce_app(&self, path: &str) {
        for out in self.servers.borrow_mut().values_mut() {
            out.tell(ToServer::AnnounceApp(path.to_owned()));
        }
    }

    fn publish(&self, name: &Bytes, _record: bool) -> Result<PublicationInfo, PublishError> {
        let directory = self.late.directory().ok_or(PublishError::Refused)?;
        // Its end is on its way: for the script it still runs, unless the script ended it.
        if let Some(run) = self.run_of(name)
            && self.published.borrow().get(&run).is_some_and(|published| !published.closed)
        {
            return Err(PublishError::AlreadyPublishing);
        }
        let run = self.ids.publication();
        let claim = directory.claim(name, run)?;
        let qos = Arc::<MediaQos>::default();
        let info = PublicationInfo { id: run, name: name.clone(), query: Bytes::new(), qos };
        directory.started(name, run, &info.qos);
        claim.control.do_send(ToPublication::Start {
            info: info.clone(),
            protocol: Protocol::Script,
            publisher: None,
        });
        let out = PublicationOut::new(run, name.clone(), claim);
        self.pushed.borrow_mut().insert(run, out);
        Ok(info)
    }

    fn push(&self, publication: PublicationId, frame: MediaFrame) {
        let mut pushed = self.pushed.borrow_mut();
        let Some(out) = pushed.get_mut(&publication) else { return };
        let mut dirty = self.dirty.borrow_mut();
        if !dirty.publications.contains(&publication) {
            dirty.publications.push(publication);
        }
        out.push(frame, &self.metrics.script);
    }

    fn close_publication(&self, publication: PublicationId, status: Option<(Bytes, Bytes)>) {
        if let Some(mut out) = self.pushed.borrow_mut().remove(&publication) {
            out.flush(&self.metrics.script);
            out.control().do_send(ToPublication::Close { run: publication, status });
            if let Some(directory) = self.late.directory() {
                directory.release(&out.name, publication);
            }
            return;
        }
        if let Some(published) = self.published.borrow_mut().get_mut(&publication) {
            published.control.do_send(ToPublication::Close { run: publication, status });
            // PUB-05: the name is free at once; who publishes it now comes behind that end.
            published.closed = true;
            if let Some(directory) = self.late.directory() {
                directory.release(&published.name, publication);
            }
        }
    }

    fn watch(&self, publication: PublicationId, watch: Watch) {
        self.with_publication(publication, |control| {
            control.do_send(ToPublication::Watch { run: publication, watch });
        });
    }

    fn write(&self, client: ClientId, message: ClientMessage) {
        self.write_routed(client, 0, true, message);
    }

    fn write_on(&self, client: ClientId, flow: u32, is_reliable: bool, message: ClientMessage) {
        self.write_routed(client, flow, is_reliable, message);
    }

    fn close_writer(&self, client: ClientId, flow: u32) {
        self.flush_client(client, true);
        self.tell(client, ToSession::CloseWriter(flow));
    }

    fn close_client(&self, client: ClientId, code: u32) {
        self.flush_client(client, true);
        self.tell(client, ToSession::Close { code });
    }

    fn set_listener(
        &self,
        listener: ListenerId,
        audio: bool,
        video: bool,
        sample_access: (bool, bool),
    ) {
        if let Some(client) = self.listeners.borrow().get(&listener) {
            self.tell(*client, ToSession::SetListener { listener, audio, video, sample_access });
        }
    }

    fn handler_done(&self, app: &str, handler: &str, elapsed: Duration) {
        self.metrics.script.handled(elapsed, app, handler);
    }

    fn resolve(&self, name: &str) -> Result<IpAddr, String> {
        self.resolver.resolve(name)
    }

    fn is_local(&self, ip: IpAddr) -> bool {
        // The system lets nobody bind an address that is not its own.
        !ip.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok()
    }

    fn dump(&self, name: &str, data: &[u8]) {
        tracing::trace!(target: "dump", protocol = name, data, "by a script");
    }

    fn log_enabled(&self, level: LogLevel) -> bool {
        match level {
            LogLevel::Error => tracing::enabled!(target: "script", tracing::Level::ERROR),
            LogLevel::Warn => tracing::enabled!(target: "script", tracing::Level::WARN),
            LogLevel::Note | LogLevel::Info => {
                tracing::enabled!(target: "script", tracing::Level::INFO)
            }
            LogLevel::Debug => tracing::enabled!(target: "script", tracing::Level::DEBUG),
            LogLevel::Trace => tracing::enabled!(target: "script", tracing::Level::TRACE),
        }
    }

    fn group_changed(&self, group: [u8; 32], peer: [u8; 32], member: bool) {
        if let Some(groups) = self.late.groups() {
            groups.set_virtual(GroupId(group), peer, member);
        }
    }

    fn flush_client(&self, client: ClientId, full: bool) -> bool {
        let flush = if full { ClientOut::flush } else { ClientOut::flush_full };
        self.clients.borrow_mut().get_mut(&client).is_some_and(flush)
    }
}

/// One line of readable text: control characters and bytes that are not UTF-8 are escaped.
fn escape(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            out.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn log_03_a_log_line_stays_one_line_and_keeps_its_text() {
        assert_eq!(super::escape("a\0\nb é".as_bytes()), "a\\u{0}\\nb é");
        assert_eq!(super::escape(b"\x17\xFF"), "\\u{17}\\xff");
    }
}
