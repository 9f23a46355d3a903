//! A host that remembers what scripts asked for, and a node of folders to run them in.

#![allow(dead_code, unreachable_pub, missing_docs)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ramona_amf::{Object, Value, decode_amf0_all, decode_amf3_all};
use ramona_media::{MediaFrame, MediaKind};
use ramona_script::*;
use tempfile::TempDir;

#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Send { server: u64, handler: String, args: Bytes },
    Reject { server: u64, text: String },
    Announce(String),
    Publish { name: String, record: bool },
    Push { publication: u64, frame: MediaFrame },
    Close { publication: u64, status: Option<(String, String)> },
    Watch { publication: u64, watch: Watch },
    Write { client: u64, message: ClientMessage },
    CloseClient { client: u64, code: u32 },
    Listener { listener: u64, audio: bool, video: bool, access: (bool, bool) },
    Group { group: [u8; 32], peer: [u8; 32], member: bool },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub level: LogLevel,
    pub app: String,
    pub file: String,
    pub line: u32,
    pub text: String,
    pub trace: String,
}

pub struct FakeHost {
    /// What `data` holds on this host's disk.
    pub data: RefCell<BTreeMap<Bytes, Option<Bytes>>>,
    pub asked: RefCell<Vec<Asked>>,
    pub lines: RefCell<Vec<Line>>,
    pub printed: RefCell<Vec<String>>,
    pub handlers: RefCell<Vec<(String, String)>>,
    pub now: Cell<u64>,
    pub level: Cell<LogLevel>,
    pub outcome: Cell<SendOutcome>,
    pub taken: RefCell<HashSet<Bytes>>,
    pub next: Cell<u64>,
    pub qos: Arc<MediaQos>,
    pub dumps: RefCell<Vec<(String, Vec<u8>)>>,
    /// What sockets were told, in order, by their numbers.
    pub sockets: RefCell<Vec<(u64, SocketAsk)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketAsk {
    Connect,
    Listen,
    Bind,
    Send(Bytes),
    Close,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self {
            data: RefCell::default(),
            asked: RefCell::default(),
            lines: RefCell::default(),
            printed: RefCell::default(),
            handlers: RefCell::default(),
            now: Cell::new(1_700_000_000_000),
            level: Cell::new(LogLevel::Info),
            outcome: Cell::new(SendOutcome::Queued),
            taken: RefCell::default(),
            next: Cell::new(1_000),
            qos: Arc::default(),
            dumps: RefCell::default(),
            sockets: RefCell::default(),
        }
    }
}

impl FakeHost {
    fn open_socket(&self, how: SocketAsk) -> SocketId {
        let id = self.next.get();
        self.next.set(id + 1);
        self.sockets.borrow_mut().push((id, how));
        SocketId(id)
    }
}

impl Host for FakeHost {
    fn tcp_connect(&self, _: SocketAddr) -> Result<SocketId, String> {
        Ok(self.open_socket(SocketAsk::Connect))
    }

    fn tcp_listen(&self, on: SocketAddr) -> Result<(SocketId, SocketAddr), String> {
        Ok((self.open_socket(SocketAsk::Listen), on))
    }

    fn udp_bind(&self, on: SocketAddr, _: bool) -> Result<(SocketId, SocketAddr), String> {
        Ok((self.open_socket(SocketAsk::Bind), on))
    }

    fn udp_connect(&self, _: SocketId, _: Option<SocketAddr>) -> Result<(), String> {
        Ok(())
    }

    fn socket_send(&self, id: SocketId, data: Bytes, _: Option<SocketAddr>) -> Result<(), String> {
        self.sockets.borrow_mut().push((id.0, SocketAsk::Send(data)));
        Ok(())
    }

    fn socket_close(&self, id: SocketId) {
        self.sockets.borrow_mut().push((id.0, SocketAsk::Close));
    }

    fn log(&self, record: &LogRecord<'_>) {
        self.lines.borrow_mut().push(Line {
            level: record.level,
            app: record.app.to_owned(),
            file: record.file.to_owned(),
            line: record.line,
            text: String::from_utf8_lossy(record.text).into_owned(),
            trace: record.trace.to_owned(),
        });
    }

    fn log_enabled(&self, level: LogLevel) -> bool {
        level <= self.level.get()
    }

    fn print(&self, text: &[u8]) {
        self.printed.borrow_mut().push(String::from_utf8_lossy(text).into_owned());
    }

    fn epoch_ms(&self) -> u64 {
        self.now.get()
    }

    fn handler_done(&self, app: &str, handler: &str, _elapsed: Duration) {
        self.handlers.borrow_mut().push((app.to_owned(), handler.to_owned()));
    }

    fn load_data(&self) -> Vec<DataChange> {
        let data = self.data.borrow();
        let entry = |(key, value): (&Bytes, &Option<Bytes>)| match value {
            Some(value) => DataChange::Set(key.clone(), value.clone()),
            None => DataChange::Table(key.clone()),
        };
        data.iter().map(entry).collect()
    }

    fn save_data(&self, changes: Vec<DataChange>) {
        let mut data = self.data.borrow_mut();
        for change in changes {
            match change {
                DataChange::Set(key, value) => data.insert(key, Some(value)),
                DataChange::Table(key) => data.insert(key, None),
                DataChange::Remove(key) => data.remove(&key),
            };
        }
    }

    fn send(&self, server: ServerId, handler: &[u8], args: &[u8]) -> SendOutcome {
        self.asked.borrow_mut().push(Asked::Send {
            server: server.0,
            handler: String::from_utf8_lossy(handler).into_owned(),
            args: Bytes::copy_from_slice(args),
        });
        self.outcome.get()
    }

    fn reject_server(&self, server: ServerId, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.asked.borrow_mut().push(Asked::Reject { server: server.0, text });
    }

    fn announce_app(&self, path: &str) {
        self.asked.borrow_mut().push(Asked::Announce(path.to_owned()));
    }

    fn publish(&self, name: &Bytes, record: bool) -> Result<PublicationInfo, PublishError> {
        if !self.taken.borrow_mut().insert(name.clone()) {
            return Err(PublishError::AlreadyPublishing);
        }
        let id = self.next.get();
        self.next.set(id + 1);
        let shown = String::from_utf8_lossy(name).into_owned();
        self.asked.borrow_mut().push(Asked::Publish { name: shown, record });
        Ok(PublicationInfo {
            id: PublicationId(id),
            name: name.clone(),
            query: Bytes::new(),
            qos: self.qos.clone(),
        })
    }

    fn push(&self, publication: PublicationId, frame: MediaFrame) {
        self.asked.borrow_mut().push(Asked::Push { publication: publication.0, frame });
    }

    fn close_publication(&self, publication: PublicationId, status: Option<(Bytes, Bytes)>) {
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        let status = status.map(|(code, description)| (text(code), text(description)));
        self.asked.borrow_mut().push(Asked::Close { publication: publication.0, status });
    }

    fn watch(&self, publication: PublicationId, watch: Watch) {
        self.asked.borrow_mut().push(Asked::Watch { publication: publication.0, watch });
    }

    fn write(&self, client: ClientId, message: ClientMessage) {
        self.asked.borrow_mut().push(Asked::Write { client: client.0, message });
    }

    fn close_client(&self, client: ClientId, code: u32) {
        self.asked.borrow_mut().push(Asked::CloseClient { client: client.0, code });
    }

    fn set_listener(&self, listener: ListenerId, audio: bool, video: bool, access: (bool, bool)) {
        self.asked.borrow_mut().push(Asked::Listener {
            listener: listener.0,
            audio,
            video,
            access,
        });
    }

    fn dump(&self, name: &str, data: &[u8]) {
        self.dumps.borrow_mut().push((name.to_owned(), data.to_vec()));
    }

    fn resolve(&self, name: &str) -> Result<IpAddr, String> {
        if name == "known" { Ok([192, 0, 2, 1].into()) } else { Err("nobody knows it".into()) }
    }

    fn group_changed(&self, group: [u8; 32], peer: [u8; 32], member: bool) {
        self.asked.borrow_mut().push(Asked::Group { group, peer, member });
    }
}

/// A folder with applications, a host and the engine.
pub struct Node {
    pub dir: TempDir,
    pub host: Rc<FakeHost>,
    pub engine: Engine,
    files: Cell<u64>,
}

impl Node {
    /// Applications as path (`""`, `/a`) and text of `main.lua`, not started.
    pub fn cold(apps: &[(&str, &str)]) -> Self {
        Self::with_entries(apps, &[("host", "www.a.com:1935"), ("servers.port", "1936")])
    }

    pub fn with_entries(apps: &[(&str, &str)], entries: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Rc::new(FakeHost::default());
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let config = EngineConfig {
            dir: dir.path().to_owned(),
            entries: pairs(entries),
            arguments: pairs(&[("extra", "5")]),
            slow: Duration::from_secs(3_600),
            memory: 0,
        };
        let engine = Engine::new(config, host.clone()).unwrap();
        let node = Self { dir, host, engine, files: Cell::new(0) };
        for (path, text) in apps {
            node.file(&format!("www{path}/main.lua"), text);
        }
        node
    }

    /// The same, started.
    pub fn new(apps: &[(&str, &str)]) -> Self {
        let mut node = Self::cold(apps);
        node.engine.start();
        node
    }

    /// One root application, started.
    pub fn root(text: &str) -> Self {
        Self::new(&[("", text)])
    }

    /// Writes a file below the node's folder, each time with a later modification time.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let number = self.files.get() + 1;
        self.files.set(number);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + number);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }

    /// Lets the time of ENV-08 pass.
    pub fn later(&self) {
        self.host.now.set(self.host.now.get() + 2_000);
    }

    /// Two seconds pass.
    pub fn tick(&mut self) {
        self.later();
        self.engine.tick();
    }

    pub fn client(&self, number: u64) -> ClientInfo {
        let mut raw_id = [0xA5; 32];
        raw_id[0] = u8::try_from(number).unwrap();
        ClientInfo {
            id: ClientId(number),
            raw_id,
            address: format!("10.0.0.{number}:5000"),
            protocol: "RTMP",
            format: Format::Amf0,
            path: String::new(),
            query: Bytes::new(),
            properties: Bytes::new(),
            args: Bytes::new(),
            parameters: vec![("timeout".into(), "60".into())],
            stats: Arc::default(),
        }
    }

    pub fn connect(&mut self, number: u64) -> Result<Accepted, Refusal> {
        self.connect_to(number, "")
    }

    pub fn connect_to(&mut self, number: u64, path: &str) -> Result<Accepted, Refusal> {
        let info = ClientInfo { path: path.to_owned(), ..self.client(number) };
        self.engine.connect(info)
    }

    pub fn call(&mut self, client: u64, name: &str, args: &[Value]) -> CallOutcome {
        self.engine.call(ClientId(client), name.as_bytes(), &amf0(args), Format::Amf0)
    }

    /// Calls a function of a client and gives the values of its answer.
    pub fn answer(&mut self, client: u64, name: &str, args: &[Value]) -> Vec<Value> {
        match self.call(client, name, args) {
            CallOutcome::Values(bytes) => amf0_values(&bytes),
            other => panic!("{name}: {other:?}, log {:#?}", self.host.lines.borrow()),
        }
    }

    pub fn server(&self, number: u64, is_target: bool) -> ServerInfo {
        ServerInfo {
            id: ServerId(number),
            is_target,
            ip: format!("192.168.0.{number}"),
            port: 1936,
            host: format!("www.host{number}.com"),
            properties: Vec::new(),
            configs: vec![("RTMFP.port".into(), "1935".into()), ("type".into(), "plain".into())],
        }
    }

    pub fn link(&mut self, number: u64, is_target: bool) -> Result<(), Bytes> {
        let server = self.server(number, is_target);
        self.engine.server_up(server)
    }

    pub fn server_call(&mut self, server: u64, handler: &str, args: &[Value]) {
        self.engine.server_call(ServerId(server), handler.as_bytes(), &amf3(args));
    }

    pub fn publication(&self, number: u64, name: &str) -> PublicationInfo {
        PublicationInfo {
            id: PublicationId(number),
            name: Bytes::copy_from_slice(name.as_bytes()),
            query: Bytes::new(),
            qos: Arc::default(),
        }
    }

    pub fn publish(&mut self, client: u64, number: u64, name: &str) -> Result<(), Refusal> {
        let info = self.publication(number, name);
        self.engine.publish(ClientId(client), info)
    }

    pub fn listener(&self, number: u64, client: u64, name: &str) -> ListenerInfo {
        ListenerInfo {
            id: ListenerId(number),
            client: ClientId(client),
            name: Bytes::copy_from_slice(name.as_bytes()),
            query: Bytes::new(),
            qos: Arc::default(),
        }
    }

    pub fn subscribe(&mut self, client: u64, number: u64, name: &str) -> Result<(), Refusal> {
        let info = self.listener(number, client, name);
        self.engine.subscribe(info, None)
    }

    /// Text of all lines of a level, taken away.
    pub fn take_lines(&self, level: LogLevel) -> Vec<String> {
        let mut lines = self.host.lines.borrow_mut();
        let taken = lines.iter().filter(|line| line.level == level).map(|line| line.text.clone());
        let taken = taken.collect();
        lines.retain(|line| line.level != level);
        taken
    }

    pub fn notes(&self) -> Vec<String> {
        self.take_lines(LogLevel::Note)
    }

    pub fn errors(&self) -> Vec<String> {
        self.take_lines(LogLevel::Error)
    }

    pub fn warnings(&self) -> Vec<String> {
        self.take_lines(LogLevel::Warn)
    }

    /// What scripts asked for since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.host.asked.borrow_mut())
    }

    /// Calls to servers: server, handler and arguments.
    pub fn sent(&self) -> Vec<(u64, String, Vec<Value>)> {
        self.asked()
            .into_iter()
            .filter_map(|asked| match asked {
                Asked::Send { server, handler, args } => {
                    Some((server, handler, amf3_values(&args)))
                }
                _ => None,
            })
            .collect()
    }

    pub fn frames(&self) -> Vec<MediaFrame> {
        self.asked()
            .into_iter()
            .filter_map(|asked| match asked {
                Asked::Push { frame, .. } => Some(frame),
                _ => None,
            })
            .collect()
    }

    /// No line of level ERROR or WARN is left.
    pub fn quiet(&self) {
        assert_eq!((self.errors(), self.warnings()), (vec![], vec![]));
    }
}

pub fn text(value: &str) -> Value {
    Value::String(Bytes::copy_from_slice(value.as_bytes()))
}

pub fn number(value: f64) -> Value {
    Value::Number(value)
}

pub fn amf0(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        value.encode_amf0(&mut out).unwrap();
    }
    out
}

pub fn amf3(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        value.encode_amf3(&mut out).unwrap();
    }
    out
}

pub fn amf0_values(bytes: &[u8]) -> Vec<Value> {
    let (values, error) = decode_amf0_all(bytes);
    assert_eq!(error, None);
    values
}

pub fn amf3_values(bytes: &[u8]) -> Vec<Value> {
    let (values, error) = decode_amf3_all(bytes);
    assert_eq!(error, None);
    values
}

/// AMF0 members without begin and end, as connect objects come.
pub fn members(list: &[(&str, Value)]) -> Bytes {
    let mut out = Vec::new();
    for (key, value) in list {
        out.extend_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
        out.extend_from_slice(key.as_bytes());
        value.encode_amf0(&mut out).unwrap();
    }
    out.into()
}

/// The members of an info object as a value.
pub fn object(bytes: &[u8]) -> Object {
    let mut whole = vec![3];
    whole.extend_from_slice(bytes);
    whole.extend_from_slice(&[0, 0, 9]);
    match amf0_values(&whole).remove(0) {
        Value::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

pub fn rejected(text: &str) -> Result<(), Refusal> {
    Err(Refusal::Rejected(Bytes::copy_from_slice(text.as_bytes())))
}

pub fn video(time: u32, bytes: &'static [u8]) -> MediaFrame {
    MediaFrame::new(MediaKind::Video, time, Bytes::from_static(bytes))
}
