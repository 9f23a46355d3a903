//! The samples of docs/lua-api.md, each as the root application of a node.
//!
//! A sample is a block that begins with "```lua"; the words behind say what happens to it, in
//! order: `file=PATH` keeps the block as a file of the next sample; `connect[=PATH?QUERY]` is an
//! RTMP client, `call=name(JSON, …)` a call of the latest one, as are `publish=NAME`, `play=NAME`
//! and `metadata` of what it publishes; `link` is a second node that gets linked, `remote=name(…)`
//! a call of that node; `get=PATH` an HTTP request, `post=PATH` one with the JSON behind the path,
//! `ws=JSON` a message over WebSocket, both with the first answer behind `->`. The text behind `-->` is a log line that must
//! come, and no other line of a mistake may.

use std::path::Path;

use ramona_amf::{Object, Value};
use ramona_rtmp::StreamId;
use ramona_testkit::{
    ClientOptions, HttpClient, RtmpClient, TestNode, WebSocketClient, http_get, pictures, wait,
};

const MANUAL: &str = include_str!("../docs/lua-api.md");

/// The node that samples are linked with: it calls what a client of it wants.
const OTHER: &str = r#"
function onConnection(client)
	function client:remote(name, ...) mona.servers:broadcast(name, ...) end
end
"#;

#[derive(Debug, Default)]
struct Sample {
    /// Heading above it, and line in the manual.
    place: String,
    steps: Vec<String>,
    text: String,
    /// Files beside it: path and text.
    files: Vec<(String, String)>,
}

/// The samples below one heading of the second level, or all.
fn samples(of: Option<&str>) -> Vec<Sample> {
    let mut found: Vec<Sample> = Vec::new();
    let (mut heading, mut open, mut files) = ("", None::<Sample>, Vec::new());
    for (number, line) in MANUAL.lines().enumerate() {
        if let Some(sample) = &mut open {
            if line != "```" {
                sample.text.push_str(line);
                sample.text.push('\n');
            } else if let Some(mut done) = open.take() {
                match done.steps.first().and_then(|step| step.strip_prefix("file=")) {
                    Some(path) => files.push((path.to_owned(), done.text)),
                    None => {
                        done.files = std::mem::take(&mut files);
                        found.push(done);
                    }
                }
            }
        } else if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        } else if let Some(steps) = line.strip_prefix("```lua") {
            let steps = steps.split(' ').filter(|step| !step.is_empty()).map(str::to_owned);
            let place = format!("{heading}, line {}", number + 1);
            open = Some(Sample { place, steps: steps.collect(), ..Sample::default() });
        }
    }
    assert!(open.is_none(), "a block that does not end");
    found.retain(|sample| of.is_none_or(|heading| sample.place.starts_with(heading)));
    found
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned().into())
}

fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(on) => (*on).into(),
        Json::Number(number) => number.as_f64().expect("a number").into(),
        Json::String(string) => text(string),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(members) => {
            let mut object = Object::new();
            for (key, member) in members {
                match (key.as_str(), member) {
                    ("__type", Json::String(name)) => object.type_name = Some(name.clone().into()),
                    _ => object.members.push((key.clone().into(), value(member))),
                }
            }
            object.into()
        }
    }
}

/// `sum(2,3)` as name and values.
fn call(text: &str) -> (&str, Vec<Value>) {
    let (name, rest) = text.split_once('(').expect("name(arguments)");
    let json = format!("[{}]", rest.strip_suffix(')').expect("name(arguments)"));
    let values: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON arguments");
    (name, values.iter().map(value).collect())
}

/// Calls a function, without waiting for an answer.
fn tell(client: &RtmpClient, name: &str, args: &[Value]) {
    let mut bytes = Vec::new();
    for value in args {
        value.encode_amf0(&mut bytes).expect("a value of AMF0");
    }
    client.with(|machine| machine.call(name, &bytes).expect("the call fits"));
}

/// Waits until the script has seen everything that was asked so far.
async fn settled(stage: &Stage) {
    wait::until("the script to be loaded, or not", || {
        stage.node.has_logged(&["Application www loaded"]) || stage.node.has_logged(&["ERROR"])
    })
    .await;
    for client in &stage.clients {
        let unknown = client.call("nothing of this name", &[]).await.expect_err("no function");
        let failed = format!("{:?}", client.events());
        assert_eq!(failed.matches("' not found").count(), 1, "{unknown:?}: {failed}");
    }
}

/// A node with the sample, what is connected to it, and where the client publishes.
struct Stage {
    node: TestNode,
    other: Option<TestNode>,
    clients: Vec<RtmpClient>,
    stream: Option<StreamId>,
}

impl Stage {
    fn client(&self) -> &RtmpClient {
        self.clients.last().expect("connect comes first")
    }

    async fn connect(&mut self, app: &str) {
        let client = RtmpClient::open(self.node.rtmp(), app, ClientOptions::default()).await;
        client.info().await;
        self.clients.push(client);
    }

    async fn step(&mut self, step: &str) {
        let (word, rest) = step.split_once('=').unwrap_or((step, ""));
        if ["call", "publish", "play"].contains(&word) && self.clients.is_empty() {
            self.connect("").await;
        }
        match word {
            "connect" => self.connect(rest).await,
            "call" => {
                let (name, args) = call(rest);
                // Without waiting: a function without result has no answer.
                tell(self.client(), name, &args);
            }
            "publish" => self.stream = Some(self.client().publish(rest).await),
            "play" => {
                self.client().ask_play(rest).await;
            }
            "metadata" => {
                let stream = self.stream.expect("publish comes first");
                self.client().send(stream, &[pictures::metadata("a test")]);
            }
            "link" => {
                let other = self.other.as_ref().expect("a node to link to");
                other.logged(&["linked"]).await;
                self.node.logged(&["linked"]).await;
            }
            "remote" => {
                let other = self.other.as_ref().expect("link comes first");
                let client = RtmpClient::connect(other.rtmp(), "").await;
                let (name, mut args) = call(rest);
                args.insert(0, text(name));
                tell(&client, "remote", &args);
                self.clients.insert(0, client);
            }
            "get" => {
                let (code, head, _) = http_get(self.node.http(), rest).await;
                assert!((200..400).contains(&code), "{rest}: {head}");
            }
            "post" => {
                let (path, expected) = rest.split_once("->").expect("a body and its answer");
                let (path, body) = path.split_at(path.find(['[', '{']).expect("JSON"));
                let mut client = HttpClient::connect(self.node.http()).await;
                let answer = client.post(path, "application/json", body).await;
                assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{step}");
            }
            "ws" => {
                let (message, expected) = rest.split_once("->").expect("a message and its answer");
                let mut client = WebSocketClient::connect(self.node.http(), "/").await;
                assert_eq!(client.call(message).await, expected, "{step}");
            }
            _ => panic!("{step}: no such step"),
        }
    }
}

async fn run(sample: &Sample) {
    eprintln!("{}: {:?}", sample.place, sample.steps);
    let is_linked = sample.steps.iter().any(|step| step == "link");
    let other = match is_linked {
        true => {
            let other = TestNode::builder("B").linkable().www("main.lua", OTHER);
            Some(other.ini("host = b.example:1935").start().await)
        }
        false => None,
    };
    let mut node = TestNode::builder("A").www("main.lua", &sample.text).ini("host = a.example");
    for (path, text) in &sample.files {
        node = node.www(
            Path::new(path).strip_prefix("www").expect("below www").to_str().expect("text"),
            text,
        );
    }
    if let Some(other) = &other {
        node = node.target(format!("{}?type=edge", other.links()));
    }
    if sample.text.contains("script.budget") {
        // The sample is about this limit, which nodes of tests do not have by default.
        node = node.ini("script.budget = 1");
    }
    let node = node.start().await;
    let mut stage = Stage { node, other, clients: Vec::new(), stream: None };
    for step in &sample.steps {
        stage.step(step).await;
    }
    let expected: Vec<&str> =
        sample.text.lines().filter_map(|line| Some(line.split_once("-->")?.1.trim())).collect();
    for line in &expected {
        stage.node.logged(&[line]).await;
    }
    settled(&stage).await;
    for line in stage.node.log_lines() {
        let is_mistake = line.starts_with("ERROR") || line.starts_with("WARN");
        let is_expected = expected.iter().any(|expected| line.contains(expected));
        // The engine has warnings of its own; those of scripts name their file.
        assert!(
            !is_mistake || is_expected || !line.contains("main.lua"),
            "{}: {line}",
            sample.place
        );
    }
    assert_eq!(stage.node.panics(), 0);
}

async fn run_all(heading: &str, at_least: usize) {
    let samples = samples(Some(heading));
    assert!(samples.len() >= at_least, "{heading}: {} samples", samples.len());
    for sample in &samples {
        run(sample).await;
    }
}

/// One test for each heading, so that they run beside each other.
macro_rules! headings {
    ($($test:ident: $heading:literal, $count:literal;)*) => {
        $(#[tokio::test]
        async fn $test() {
            run_all($heading, $count).await;
        })*

        #[test]
        fn no_sample_is_left_out() {
            let run: usize = [$(samples(Some($heading)).len()),*].iter().sum();
            assert_eq!(run, samples(None).len(), "a heading with samples is not listed here");
        }
    };
}

headings! {
    the_environment: "The environment", 2;
    events: "Events", 1;
    values: "Values", 2;
    mona: "mona", 3;
    clients: "Clients", 2;
    writers: "Writers", 1;
    publications: "Publications", 2;
    listeners: "Listeners", 1;
    servers: "Servers", 1;
    groups: "Groups", 2;
    redirection: "Redirection", 1;
    data: "data", 1;
    http: "HTTP", 3;
    websocket: "WebSocket", 1;
    sockets: "Sockets", 1;
    files_and_addresses: "Files and addresses", 2;
    errors_and_limits: "Errors and limits", 1;
}

/// A sample that is wrong is noticed: the test of the tests.
#[tokio::test]
#[should_panic(expected = "not what is said")]
async fn an_assertion_that_fails_is_a_line_of_the_log() {
    let text = "NOTE('begun') --> begun\nassert(1 == 2, 'not what is said')\n".to_owned();
    run(&Sample { place: "here".into(), text, ..Sample::default() }).await;
}

#[test]
fn calls_are_read() {
    assert_eq!(call("sum(2,\"x\")"), ("sum", vec![2.0.into(), text("x")]));
}
