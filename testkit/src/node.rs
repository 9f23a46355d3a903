//! A node on a thread of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use ramona::config::{Config, Overrides};
use ramona_actors::metrics::{ActorKind, Metrics, prometheus};
use ramona_actors::{Addresses, Node, NodeConfig};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::certificate::Certificate;
use crate::logs::Logs;
use crate::wait;

const FREE: &str = "127.0.0.1:0";

/// How a node ends.
#[derive(Debug)]
enum End {
    /// As by SIGTERM.
    Stop,
    /// Everything is dropped; nobody is told anything.
    Kill,
}

type Change = Box<dyn Fn(&mut Config) + Send + Sync>;
type Tuning = Arc<dyn Fn(&mut NodeConfig) + Send + Sync>;

/// A node that is about to be started.
#[must_use]
pub struct NodeBuilder {
    name: String,
    dir: TempDir,
    ini: String,
    links: Option<SocketAddr>,
    changes: Vec<Change>,
    tuning: Vec<Tuning>,
}

/// A running node, or one that was stopped or killed and may be started again on its ports.
pub struct TestNode {
    builder: NodeBuilder,
    logs: Arc<Logs>,
    addresses: Addresses,
    running: Option<Running>,
}

struct Running {
    metrics: Arc<Metrics>,
    end: oneshot::Sender<End>,
    thread: JoinHandle<()>,
}

impl NodeBuilder {
    /// A file below `www/`, such as `main.lua` or `chat/main.lua`.
    pub fn www(self, path: &str, text: &str) -> Self {
        write(&self.dir.path().join("www").join(path), text);
        self
    }

    /// Lines for its configuration file.
    pub fn ini(mut self, lines: &str) -> Self {
        self.ini.push_str(lines);
        self.ini.push('\n');
        self
    }

    /// Opens the link port, on a free port of the loopback.
    pub fn linkable(mut self) -> Self {
        self.links = FREE.parse().ok();
        self
    }

    /// Opens HTTPS and RTMPS on free ports, with this certificate in the node's folder.
    pub fn tls(self, certificate: &Certificate) -> Self {
        certificate.write(self.dir.path());
        self.ini("tls.certificate = cert.pem").ini("tls.key = key.pem").config(|config| {
            config.http.tls_bind = FREE.parse().ok();
            config.rtmp.tls_bind = FREE.parse().ok();
        })
    }

    /// Opens the link port that others were told already.
    pub fn linkable_on(mut self, port: u16) -> Self {
        self.links = Some(SocketAddr::from(([127, 0, 0, 1], port)));
        self
    }

    /// A link to this address, with `?key=value` properties if any.
    pub fn target(self, entry: impl std::fmt::Display) -> Self {
        let entry = entry.to_string();
        self.config(move |config| {
            let target = ramona_cluster::parse_targets(&entry).0;
            config.servers.targets.extend(target);
        })
    }

    /// Both ends of a link need the same.
    pub fn secret(self, secret: &str) -> Self {
        self.ini(&format!("servers.secret = {secret}"))
    }

    /// Any change behind what the file says.
    pub fn config(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// A change of what no key of the file says, such as the wait for a hello.
    pub fn tune(mut self, tuning: impl Fn(&mut NodeConfig) + Send + Sync + 'static) -> Self {
        self.tuning.push(Arc::new(tuning));
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// The configuration is wrong or the node does not start.
    pub async fn start(self) -> TestNode {
        let logs = Arc::new(Logs::default());
        let addresses = Addresses::default();
        let mut node = TestNode { builder: self, logs, addresses, running: None };
        node.start().await;
        node
    }

    fn configuration(&self, ports: Addresses) -> Config {
        let overrides = Overrides { dir: Some(self.dir.path().into()), ..Overrides::default() };
        let file = Some(PathBuf::from(format!("{}.ini", self.name)));
        // Handlers of tests turn round and round until the test lets them go, in debug builds; the key
        // given by a test wins, for it comes later.
        let ini = format!("script.budget = 60\n{}", self.ini);
        let loaded = Config::parse(ini.as_bytes(), file, self.dir.path(), &overrides);
        let mut config = loaded.expect("the configuration is right").config;
        config.threads = 2;
        config.metrics.period = None;
        config.rtmp.bind = ports.rtmp.or(FREE.parse().ok());
        config.rtmfp.bind = ports.rtmfp.or(FREE.parse().ok());
        config.http.bind = ports.http.or(FREE.parse().ok());
        config.servers.bind = self.links.map(|free| ports.servers.unwrap_or(free));
        for change in &self.changes {
            change(&mut config);
        }
        config
    }
}

impl TestNode {
    /// A node with this name in messages, an empty folder and no links.
    pub fn builder(name: &str) -> NodeBuilder {
        let dir = tempfile::tempdir().expect("a folder for the node");
        let (name, ini) = (name.to_owned(), String::new());
        NodeBuilder { name, dir, ini, links: None, changes: Vec::new(), tuning: Vec::new() }
    }

    /// Starts again after [`stop`](Self::stop) or [`kill`](Self::kill), on the same ports.
    ///
    /// # Panics
    /// It runs already, or does not start.
    pub async fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.builder.name);
        let begin = std::time::Instant::now();
        while let Err(error) = self.try_start().await {
            // Its ports of before were free for a moment, and any test may have got one meanwhile.
            let is_taken = error.contains("Address already in use");
            assert!(is_taken && begin.elapsed() < wait::PATIENCE, "the node starts: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn try_start(&mut self) -> Result<(), String> {
        let config = self.builder.configuration(self.addresses);
        let (end, ended) = oneshot::channel();
        let (tell, started) = oneshot::channel();
        let (logs, tuning) = (self.logs.clone(), self.builder.tuning.clone());
        let thread = std::thread::Builder::new()
            .name(format!("node {}", self.builder.name))
            .spawn(move || run(&config, &tuning, logs, tell, ended))
            .expect("a thread for the node");
        let started = wait::within("the node to start", started).await;
        let (addresses, metrics) = started.expect("the node's thread lives")?;
        self.addresses = addresses;
        self.running = Some(Running { metrics, end, thread });
        Ok(())
    }

    /// Stops as by SIGTERM; answers how long it took.
    pub async fn stop(&mut self) -> Duration {
        let begin = std::time::Instant::now();
        self.end(End::Stop).await;
        begin.elapsed()
    }

    /// Dies: sockets are closed, nobody is told why.
    pub async fn kill(&mut self) {
        self.end(End::Kill).await;
    }

    async fn end(&mut self, how: End) {
        let Some(running) = self.running.take() else { return };
        running.end.send(how).expect("the node's thread lives");
        wait::until("the node's thread to end", || running.thread.is_finished()).await;
        running.thread.join().expect("the node's thread does not panic");
    }

    /// Where RTMP listens.
    pub fn rtmp(&self) -> SocketAddr {
        self.addresses.rtmp.expect("RTMP is on")
    }

    /// Where RTMFP listens (UDP).
    pub fn rtmfp(&self) -> SocketAddr {
        self.addresses.rtmfp.expect("RTMFP is on")
    }

    /// Where HTTP listens.
    pub fn http(&self) -> SocketAddr {
        self.addresses.http.expect("HTTP is on")
    }

    /// Where HTTPS listens.
    pub fn https(&self) -> SocketAddr {
        self.addresses.https.expect("HTTPS is on")
    }

    /// Where RTMPS listens.
    pub fn rtmps(&self) -> SocketAddr {
        self.addresses.rtmps.expect("RTMPS is on")
    }

    /// Where links of other nodes are accepted.
    pub fn links(&self) -> SocketAddr {
        self.addresses.servers.expect("the link port is on")
    }

    /// Whether the link port is open.
    pub fn is_linkable(&self) -> bool {
        self.addresses.servers.is_some()
    }

    /// Its node id in hex, as it is kept on disk.
    ///
    /// # Panics
    /// It was not kept.
    pub fn node_id(&self) -> String {
        let file = self.dir().join("data/node-id");
        std::fs::read_to_string(file).expect("the node's id").trim().to_owned()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.builder.dir.path()
    }

    /// Writes a file below `www/` of the running node.
    pub fn write_www(&self, path: &str, text: &str) {
        write(&self.dir().join("www").join(path), text);
    }

    /// Its counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.running.as_ref().expect("the node runs").metrics
    }

    /// Live actors of a kind.
    pub fn alive(&self, kind: ActorKind) -> i64 {
        self.metrics().actor(kind).alive.load(Relaxed)
    }

    /// A sample of its Prometheus text, such as `ramona_media_out_frames_total{protocol="rtmp"}`.
    pub fn sample(&self, name: &str) -> f64 {
        crate::http::sample(&prometheus(self.metrics()), name)
    }

    /// Panics of actors so far.
    pub fn panics(&self) -> u64 {
        let metrics = self.metrics();
        ActorKind::ALL.iter().map(|kind| metrics.actor(*kind).panics.load(Relaxed)).sum()
    }

    /// All log lines so far, also of earlier runs of this node.
    pub fn log_lines(&self) -> Vec<String> {
        self.logs.lines()
    }

    /// How many log lines there are: lines that come later stand behind this mark.
    pub fn log_mark(&self) -> usize {
        self.logs.len()
    }

    /// Waits for a line that contains all of `parts`.
    pub async fn logged(&self, parts: &[&str]) -> String {
        self.logged_since(0, parts).await
    }

    /// Waits for a line behind a mark that contains all of `parts`.
    pub async fn logged_since(&self, mark: usize, parts: &[&str]) -> String {
        let what = format!("{} logs {parts:?}", self.builder.name);
        wait::until_some(&what, || self.logs.find(mark, parts)).await.1
    }

    /// Whether a line contains all of `parts` by now.
    pub fn has_logged(&self, parts: &[&str]) -> bool {
        self.logs.find(0, parts).is_some()
    }

    /// Lines that contain all of `parts` by now.
    pub fn count_logged(&self, parts: &[&str]) -> usize {
        let lines = self.logs.lines();
        lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.logs.lines();
            let skipped = lines.len().saturating_sub(150);
            eprintln!("--- node {}, {skipped} lines skipped", self.builder.name);
            for line in &lines[skipped..] {
                let line: String = line.chars().take(400).collect();
                eprintln!("{line}");
            }
        }
        if let Some(running) = self.running.take() {
            // It may have ended by itself.
            let _ = running.end.send(End::Kill);
        }
    }
}

type Started = Result<(Addresses, Arc<Metrics>), String>;

fn run(
    config: &Config,
    tuning: &[Tuning],
    logs: Arc<Logs>,
    started: oneshot::Sender<Started>,
    end: oneshot::Receiver<End>,
) {
    let runner = actix_rt::System::new();
    let system = actix_rt::System::current();
    Logs::keep(system.id(), logs);
    runner.block_on(async {
        let node = match start(config, tuning).await {
            Ok(node) => node,
            Err(error) => {
                // Nobody waits for a test that ended.
                let _ = started.send(Err(error));
                return;
            }
        };
        let _ = started.send(Ok((node.addresses(), node.metrics().clone())));
        // A test that forgets its node kills it.
        if matches!(end.await, Ok(End::Stop)) {
            node.stop().await;
        }
    });
    system.stop();
    // The code is the one given to stop.
    let _ = runner.run();
}

async fn start(config: &Config, tuning: &[Tuning]) -> Result<Node, String> {
    let mut config = ramona::node::node_config(config);
    for tune in tuning {
        tune(&mut config);
    }
    Node::start(config).await.map_err(|error| error.to_string())
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("a file below a folder");
    std::fs::create_dir_all(folder).expect("a folder for the script");
    std::fs::write(path, text).expect("the script is written");
}

/// B with `script_b` and A with `script_a`, which targets B; waits until the link is up.
pub async fn link(script_a: &str, script_b: &str) -> (TestNode, TestNode) {
    linked(script_a, script_b, None).await
}

/// As [`link`], with the same `servers.secret` on both.
pub async fn link_secretly(script_a: &str, script_b: &str) -> (TestNode, TestNode) {
    linked(script_a, script_b, Some("a secret of the tests, long enough")).await
}

async fn linked(script_a: &str, script_b: &str, secret: Option<&str>) -> (TestNode, TestNode) {
    let with = |builder: NodeBuilder| match secret {
        Some(secret) => builder.secret(secret),
        None => builder,
    };
    let b = TestNode::builder("B").linkable().www("main.lua", script_b);
    let b = with(b).ini("host = b.example").start().await;
    let a = TestNode::builder("A").linkable().www("main.lua", script_a).target(b.links());
    let a = with(a).ini("host = a.example").start().await;
    a.logged(&["linked"]).await;
    b.logged(&["linked"]).await;
    (a, b)
}
