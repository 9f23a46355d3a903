//! Calls and messages in the formats of HTTP and WebSocket: what a client sends reaches a
//! function, and what scripts answer and write comes in the format of the request.

mod common;

use bytes::Bytes;
use common::*;
use ramona_script::*;

const ECHO: &str = "function onConnection(client, ...)
    NOTE(select('#', ...))
    function client:test(...) return ... end
    function client:onMessage(...) return 'got', ... end
    function client:nothing() end
    function client:fails() error('no way') end
    function client:writes(...)
        self.writer:writeInvocation('f', ...) self.writer:writeMessage(...) self.writer:writeInvocation()
        self.writer:writeRaw('a', 1)
    end
end";

fn web(protocol: &'static str) -> Node {
    let mut node = Node::root(ECHO);
    let info = ClientInfo { protocol, format: Format::Json, ..node.client(1) };
    node.engine.connect(info).unwrap();
    node
}

fn message(node: &mut Node, body: &str, format: Format) -> CallOutcome {
    node.engine.message(ClientId(1), body.as_bytes(), format)
}

fn values(text: &'static str) -> CallOutcome {
    CallOutcome::Values(text.into())
}

fn written(node: &Node) -> Vec<ClientMessage> {
    let messages = node.asked().into_iter().filter_map(|asked| match asked {
        Asked::Write { message, .. } => Some(message),
        _ => None,
    });
    messages.collect()
}

#[test]
fn wsk_01_and_htt_03_and_cli_20_json_calls_a_function_and_answers_in_json() {
    let mut node = web("WebSocket");
    assert_eq!(
        message(&mut node, r#"["test","a",1.5,null]"#, Format::Json),
        values(r#"["a",1.5,null]"#)
    );
    assert_eq!(
        message(&mut node, r#"["test",[[1,2],{"x":true}]]"#, Format::Json),
        values(r#"[[[1,2],{"x":true}]]"#)
    );
    assert_eq!(message(&mut node, r#"["nothing"]"#, Format::Json), CallOutcome::Nothing);
    let outcome = message(&mut node, r#"["fails"]"#, Format::Json);
    assert_eq!(outcome, CallOutcome::Failed("www/main.lua:6: no way".into()));
    let outcome = node.engine.call(ClientId(1), b"test", br#"[{"a":1}]"#, Format::Json);
    assert_eq!(outcome, values(r#"[{"a":1}]"#));
    assert_eq!(node.engine.call(ClientId(1), b"test", b"", Format::Json), CallOutcome::Nothing);
}

#[test]
fn cli_30_and_cnv_17_what_is_no_message_of_the_format_comes_as_one_string() {
    let mut node = web("WebSocket");
    let raw = |text: &'static str| CallOutcome::Raw(Bytes::from_static(text.as_bytes()));
    for text in ["hello", "[1,", "5", "\"x\"", "", "{]"] {
        let outcome = message(&mut node, text, Format::Json);
        assert_eq!(outcome, CallOutcome::Raw(format!("got{text}").into()), "{text}");
    }
    assert_eq!(message(&mut node, "\0\u{1}", Format::Raw), raw("got\0\u{1}"));
    assert_eq!(message(&mut node, "[1,\"a\"]", Format::Json), values(r#"["got",1,"a"]"#));
    assert_eq!(message(&mut node, r#"{"a":1}"#, Format::Json), values(r#"["got",{"a":1}]"#));
    assert_eq!(message(&mut node, "<a", Format::Xml), raw("got<a"));
    for format in [Format::Xml, Format::XmlRpc] {
        assert_eq!(message(&mut node, "", format), raw("got"), "nothing is an empty string");
    }
    assert_eq!(
        message(&mut node, "", Format::Query),
        values("got"),
        "an empty query has no values"
    );
    let outcome = node.engine.message(ClientId(1), &[0x0F], Format::Amf0);
    assert_eq!(outcome, CallOutcome::Raw(Bytes::from_static(b"got\x0F")));
    node.quiet();
    let mut silent = Node::root("");
    silent.connect(1).unwrap();
    let outcome = silent.engine.message(ClientId(1), b"[1]", Format::Json);
    assert_eq!(outcome, CallOutcome::Unknown("Method 'onMessage' not found".into()));
}

#[test]
fn cnv_26_and_cnv_30_and_cnv_35_every_format_names_its_function() {
    let mut node = web("HTTP");
    let call = "<methodCall><methodName>test</methodName><params><param><value><string>a</string>\
        </value></param><param><value>b</value></param></params></methodCall>";
    let answer = "<?xml version=\"1.0\"?><methodResponse><params><param><value><string>a</string>\
        </value></param><param><value><string>b</string></value></param></params></methodResponse>";
    assert_eq!(message(&mut node, call, Format::XmlRpc), values(answer));
    let call =
        "<__array><__noname>test</__noname><__noname>a</__noname><__noname>b</__noname></__array>";
    let answer = "<__array><__noname>a</__noname><__noname>b</__noname></__array>";
    assert_eq!(message(&mut node, call, Format::Xml), values(answer));
    assert_eq!(message(&mut node, "test&a=1&b=x%20y", Format::Query).clone(), {
        // The order of a table's fields is Lua's.
        let outcome = message(&mut node, "test&b=x+y&a=1", Format::Query);
        assert!(outcome == values("a=1&b=x%20y") || outcome == values("b=x%20y&a=1"));
        outcome
    });
    let body = amf0(&[text("test"), number(5.0)]);
    let outcome = node.engine.message(ClientId(1), &body, Format::Amf0);
    assert_eq!(outcome, CallOutcome::Values(amf0(&[number(5.0)]).into()));
    node.quiet();
}

#[test]
fn wri_01_and_wri_02_and_wri_03_writers_write_in_the_format_of_the_request() {
    let mut node = web("WebSocket");
    message(&mut node, r#"["writes",1,"x"]"#, Format::Json);
    let json = |name: &'static str, args: &'static str| ClientMessage::Invocation {
        name: name.into(),
        args: args.into(),
        format: Format::Json,
    };
    let expected = [
        json("f", r#"["f",1,"x"]"#),
        ClientMessage::Message { values: r#"[1,"x"]"#.into(), format: Format::Json },
        json("onMessage", r#"["onMessage"]"#),
        ClientMessage::Raw { data: "a".into() },
        ClientMessage::Raw { data: "1".into() },
    ];
    assert_eq!(written(&node), expected);
    // Another format for one request only.
    message(&mut node, "writes&x", Format::Query);
    let query =
        ClientMessage::Invocation { name: "f".into(), args: "f&x".into(), format: Format::Query };
    assert_eq!(written(&node)[0], query);
    node.engine.call(ClientId(1), b"writes", b"", Format::Json);
    assert_eq!(written(&node)[0], json("f", r#"["f"]"#));
    let name = amf0(&[text("writes")]);
    node.engine.message(ClientId(1), &name, Format::Amf0);
    let amf = ClientMessage::Invocation {
        name: "f".into(),
        args: amf0(&[text("f")]).into(),
        format: Format::Amf0,
    };
    assert_eq!(written(&node)[0], amf);
}

#[test]
fn evt_03_and_cli_10_a_query_is_the_argument_and_headers_have_types() {
    let mut node = Node::root(
        "function onConnection(client, ...)
            local a, b, c = ...
            NOTE(select('#', ...), a.x, a.y, b, c.z)
            NOTE(type(client.properties.age), client.name, client.properties.flag, client.x)
        end",
    );
    let info = ClientInfo {
        protocol: "HTTP",
        format: Format::Json,
        query: "x=1&y=b&word&z=true".into(),
        properties: members(&[("age", text("5")), ("name", text("n")), ("flag", text("true"))]),
        ..node.client(1)
    };
    node.engine.connect(info).unwrap();
    assert_eq!(node.notes(), ["31bwordtrue", "numberntrue1"]);
    node.quiet();
}
