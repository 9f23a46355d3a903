//! GEN-09, ENV-07: what the log says of errors, and CLI-21: who may call what.

mod common;

use common::*;
use ramona_script::*;

/// Text and traceback of the only ERROR line.
fn failure(node: &Node) -> (String, Vec<String>) {
    let lines = node.host.lines.borrow();
    let errors: Vec<_> = lines.iter().filter(|line| line.level == LogLevel::Error).collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    (errors[0].text.clone(), errors[0].trace.lines().map(str::to_owned).collect())
}

#[test]
fn gen_09_an_error_is_one_line_with_a_traceback_of_the_script() {
    let mut node = Node::root(
        "local function inner()
            error('boom')
         end
         function outer()
            inner()
         end
         function onManage()
            outer()
         end",
    );
    node.tick();
    let (text, trace) = failure(&node);
    assert_eq!(text, "onManage: www/main.lua:2: boom");
    assert_eq!(
        trace,
        [
            "www/main.lua:2: in function 'inner'",
            "www/main.lua:5: in function 'outer'",
            "www/main.lua:8: in function of line 7",
        ]
    );
}

#[test]
fn gen_09_a_traceback_that_says_no_more_than_the_text_is_left_out() {
    let mut node = Node::root("function onManage() error('boom') end");
    node.tick();
    assert_eq!(failure(&node), ("onManage: www/main.lua:1: boom".to_owned(), Vec::new()));
    // The place is all that is known of an error without text.
    let mut node = Node::root("function onManage()\n error({}) end");
    node.tick();
    let (text, trace) = failure(&node);
    assert_eq!(text, "onManage: Unknown error");
    assert_eq!(trace, ["www/main.lua:2: in function of line 1"]);
}

#[test]
fn gen_09_every_way_into_a_script_has_its_traceback() {
    let code = "function fail() local x = nil + 1 end
        function onConnection(client)
            function client:rpc() fail() end
            function client:onMessage() fail() end
        end
        function onServerConnection(server) function server:rpc() fail() end end";
    let place = "www/main.lua:1: in function 'fail'";
    let mut node = Node::root(code);
    node.connect(1).unwrap();
    node.call(1, "rpc", &[]);
    assert_eq!(failure(&node).1[0], place);
    node.errors();
    node.engine.message(ClientId(1), b"x", Format::Raw);
    assert_eq!(failure(&node).1[0], place);
    node.errors();
    node.link(1, true).unwrap();
    node.server_call(1, "rpc", &[]);
    assert_eq!(failure(&node).1[0], place);
    assert_eq!(failure(&node).1.len(), 2);
}

#[test]
fn env_07_a_chunk_that_fails_has_a_traceback_and_files_keep_their_names() {
    let node = Node::cold(&[("/a", "dofile('lib.lua')\nlib()")]);
    node.file("www/lib.lua", "function lib()\n error('in lib') end");
    let mut node = node;
    node.engine.start();
    let refused = node.connect_to(1, "/a");
    assert_eq!(refused, Err(Refusal::Rejected("www/lib.lua:2: in lib".into())));
    let (text, trace) = failure(&node);
    assert_eq!(text, "www/lib.lua:2: in lib");
    assert_eq!(trace, ["www/lib.lua:2: in function 'lib'", "www/a/main.lua:2: in main chunk"]);
}

#[test]
fn gen_09_a_recursion_without_end_shows_its_innermost_calls() {
    let mut node = Node::root("function f() f() return 1 end function onManage() f() end");
    node.tick();
    let (text, trace) = failure(&node);
    assert!(text.contains("stack overflow"), "{text}");
    assert!(trace.len() <= 17, "{trace:?}");
    node.errors();
    node.tick();
    assert!(!failure(&node).0.is_empty(), "the next handler runs");
}

/// Everything that a remote could try to call and must not reach.
const FORBIDDEN: &[&str] = &[
    "onPublish",
    "onUnpublish",
    "onSubscribe",
    "onUnsubscribe",
    "onJoinGroup",
    "onUnjoinGroup",
    "onAddressChanged",
    "onManage",
    "onRead",
    "onWrite",
    "connect",
    "setPeerInfo",
    "createStream",
    "deleteStream",
    "send",
    "close",
    "writer",
    "properties",
    "__index",
    "__newindex",
    "__gc",
    "__metatable",
    "",
    "address",
    "pairs",
    "print",
    "\0",
];

#[test]
fn cli_21_events_and_names_of_the_node_are_not_callable_in_any_format() {
    let events: String = FORBIDDEN
        .iter()
        .filter(|name| {
            name.starts_with("on")
                || ["connect", "setPeerInfo", "createStream", "deleteStream"].contains(name)
        })
        .map(|name| format!("function client:{name}() NOTE('{name} ran') return 1 end\n"))
        .collect();
    let mut node = Node::root(&format!("function onConnection(client) {events} end"));
    let info = ClientInfo { protocol: "WebSocket", format: Format::Json, ..node.client(1) };
    node.engine.connect(info).unwrap();
    for name in FORBIDDEN {
        let unknown = CallOutcome::Unknown(format!("Method '{name}' not found").into());
        assert_eq!(node.call(1, name, &[]), unknown);
        let json = format!("[\"{}\",1]", name.replace('\0', "\\u0000"));
        let outcome = node.engine.message(ClientId(1), json.as_bytes(), Format::Json);
        assert_eq!(outcome, unknown, "{json}");
        if !name.contains('\0') && !name.is_empty() {
            let call = format!("<methodCall><methodName>{name}</methodName></methodCall>");
            let outcome = node.engine.message(ClientId(1), call.as_bytes(), Format::XmlRpc);
            assert_eq!(outcome, unknown, "{call}");
            let outcome = node.engine.message(ClientId(1), name.as_bytes(), Format::Query);
            assert_eq!(outcome, unknown, "{name}");
        }
        assert_eq!(node.engine.message(ClientId(1), &amf0(&[text(name)]), Format::Amf0), unknown);
    }
    assert!(node.notes().is_empty());
    node.quiet();
}

#[test]
fn cli_21_a_global_or_inherited_function_is_no_function_of_a_client() {
    let mut node = Node::root(
        "function test() NOTE('ran') end
         function onConnection(client) setmetatable = nil client.table = { call = test } client.value = 5 end",
    );
    node.connect(1).unwrap();
    for name in ["test", "table", "value", "table.call", "onConnection"] {
        assert!(matches!(node.call(1, name, &[]), CallOutcome::Unknown(_)), "{name}");
    }
    assert!(node.notes().is_empty());
}

/// Bombs of every format: the node answers or refuses, and goes on.
#[test]
fn cnv_16_and_17_bombs_of_every_format_end() {
    let mut node = Node::root(
        "function onConnection(client)
            function client:onMessage(...) return 'got', select('#', ...) end
            function client:f(...) return select('#', ...) end
         end",
    );
    let info = ClientInfo { protocol: "HTTP", format: Format::Json, ..node.client(1) };
    node.engine.connect(info).unwrap();
    let deep_json = "[".repeat(1 << 20);
    let closed_json = format!("[\"f\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    let wide_json = format!("[\"f\"{}]", ",1".repeat(100_000));
    let keys = format!(
        "[\"f\",{{{}}}]",
        (0..50_000).map(|i| format!("\"k{i}\":{i}")).collect::<Vec<_>>().join(",")
    );
    let entities =
        "<!DOCTYPE a [<!ENTITY x \"xxxxxxxxxx\"><!ENTITY y \"&x;&x;&x;&x;\">]><a>&y;&y;</a>";
    let file = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><__array><__noname>f</__noname><__noname>&x;</__noname></__array>";
    let deep_xml = "<a>".repeat(100_000);
    let attributes =
        format!("<a {}/>", (0..5_000).map(|i| format!("a{i}=\"1\"")).collect::<Vec<_>>().join(" "));
    let query = "f&".repeat(100_000);
    let number = format!("[\"f\",{}]", "9".repeat(100_000));
    let invalid = b"[\"f\",\"\xff\xfe\"]";
    let cases: [(&[u8], Format); 12] = [
        (deep_json.as_bytes(), Format::Json),
        (closed_json.as_bytes(), Format::Json),
        (wide_json.as_bytes(), Format::Json),
        (keys.as_bytes(), Format::Json),
        (entities.as_bytes(), Format::Xml),
        (file.as_bytes(), Format::Xml),
        (deep_xml.as_bytes(), Format::Xml),
        (deep_xml.as_bytes(), Format::XmlRpc),
        (attributes.as_bytes(), Format::Xml),
        (query.as_bytes(), Format::Query),
        (number.as_bytes(), Format::Json),
        (invalid, Format::Json),
    ];
    for (index, (body, format)) in cases.into_iter().enumerate() {
        let outcome = node.engine.message(ClientId(1), body, format);
        // Nothing of a refused text is a call: it is one string.
        let expected = match index {
            2 | 9 => CallOutcome::Values(if index == 2 { "[3999]" } else { "3999" }.into()),
            3 => CallOutcome::Values("[1]".into()),
            _ => CallOutcome::Raw("got1".into()),
        };
        assert_eq!(outcome, expected, "case {index}");
        let alive = node.engine.message(ClientId(1), b"[\"f\",1]", Format::Json);
        assert_eq!(alive, CallOutcome::Values("[1]".into()));
    }
    let strict_array = [&[0x02, 0, 1, b'f', 0x0A, 0xFF, 0xFF, 0xFF, 0xFF][..], &[5; 100]].concat();
    let nested = [&[0x02, 0, 1, b'f'][..], &[0x0A, 0, 0, 0, 1].repeat(10_000)].concat();
    let reference = [0x02, 0, 1, b'f', 0x07, 0xFF, 0xFF];
    for body in [&strict_array[..], &nested, &reference] {
        let outcome = node.engine.message(ClientId(1), body, Format::Amf0);
        assert_eq!(outcome, CallOutcome::Values(amf0(&[ramona_amf::Value::Number(0.0)]).into()));
    }
    assert_eq!(node.errors().len(), 2 + 3);
}
