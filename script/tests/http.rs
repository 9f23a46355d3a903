//! What scripts have of clients of HTTP: GET of functions, files, cookies, headers.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use common::*;
use ramona_script::*;

fn members(pairs: &[(&str, &str)]) -> Bytes {
    let mut out = Vec::new();
    for (key, value) in pairs {
        out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        out.extend_from_slice(key.as_bytes());
        out.push(2);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.into()
}

fn visitor(script: &str) -> Node {
    let mut node = Node::root(script);
    let info = ClientInfo {
        protocol: "HTTP",
        format: Format::Json,
        query: "q=5".into(),
        properties: members(&[("User-Agent", "Firefox"), ("visits", "3"), ("HTTPVersion", "1.1")]),
        ..node.client(1)
    };
    node.engine.connect(info).unwrap();
    node
}

fn read(node: &mut Node, file: &str, query: &str) -> ReadOutcome {
    node.engine.read(ClientId(1), file.as_bytes(), query.as_bytes())
}

fn serve(file: Option<&'static str>) -> ReadOutcome {
    ReadOutcome::Serve { file: file.map(Bytes::from), values: None }
}

fn cookies(node: &Node) -> Vec<String> {
    let headers = node.asked().into_iter().filter_map(|asked| match asked {
        Asked::Write { message: ClientMessage::Cookie { header }, .. } => {
            Some(String::from_utf8(header.to_vec()).unwrap())
        }
        _ => None,
    });
    headers.collect()
}

#[test]
fn htt_02_a_get_calls_the_function_with_the_query_and_answers_json() {
    let mut node = visitor(
        "function onConnection(client)
            function client:test(...) return ... end
            function client:nothing() end
            function client:fails() error('no way') end
        end",
    );
    let mut get =
        |name: &str, query: &str| node.engine.get(ClientId(1), name.as_bytes(), query.as_bytes());
    assert_eq!(get("test", "x=1"), CallOutcome::Values(r#"[{"x":1}]"#.into()));
    // The order of members is not promised.
    let either = [r#"["word",{"a":"x y","b":true}]"#, r#"["word",{"b":true,"a":"x y"}]"#];
    let found = get("test", "word&a=x+y&b=true");
    assert!(either.map(|text| CallOutcome::Values(text.into())).contains(&found), "{found:?}");
    assert_eq!(get("nothing", ""), CallOutcome::Nothing);
    assert_eq!(get("fails", ""), CallOutcome::Failed("www/main.lua:4: no way".into()));
    assert!(matches!(get("onRead", ""), CallOutcome::Unknown(_)), "events are not functions");
    assert!(matches!(get("address", ""), CallOutcome::Unknown(_)), "built-ins are not functions");
}

#[test]
fn cli_39_and_htt_04_on_read_is_asked_with_the_bare_name_and_the_query() {
    let mut node = visitor(
        "function onConnection(client)
            function client:onRead(file, parameters)
                NOTE(file, ' ', parameters.x, ' ', type(parameters.x))
                if file == 'other' then return '../x.html' end
                if file == 'folder' then return '' end
                if file == 'wrong' then return true, 5 end
            end
        end",
    );
    assert_eq!(read(&mut node, "a.html", "x=1"), serve(None));
    assert_eq!(read(&mut node, "other", ""), serve(Some("../x.html")));
    assert_eq!(read(&mut node, "folder", ""), serve(Some("")));
    assert_eq!(read(&mut node, "wrong", ""), serve(None));
    assert_eq!(node.take_lines(LogLevel::Note)[0], "a.html 1 number");
    assert_eq!(node.take_lines(LogLevel::Error).len(), 2, "neither a name nor a table");
}

#[test]
fn cli_39_a_client_without_on_read_is_not_asked() {
    let mut node = Node::root("function onConnection(client) c = client end");
    let info = ClientInfo { protocol: "HTTP", format: Format::Json, ..node.client(1) };
    let stats = info.stats.clone();
    node.engine.connect(info).unwrap();
    assert!(!stats.reads.load(Relaxed));
    assert_eq!(read(&mut node, "a.html", ""), serve(None));
    node.file("www/main.lua", "function onManage() if c then c.onRead = print end end");
    node.tick();
    assert!(!stats.reads.load(Relaxed), "the old global is gone");
    // A client that left may be given anything (GEN-07).
    let mut gone = Node::root(
        "function onConnection(client) c = client end
         function onManage() c.onRead = print NOTE(c.onRead == print) end",
    );
    gone.connect(1).unwrap();
    gone.engine.disconnect(ClientId(1));
    gone.tick();
    assert_eq!(gone.notes(), ["true"]);
    gone.quiet();
    let mut node = visitor("function onConnection(client) function client:onRead() end end");
    let info = ClientInfo { protocol: "HTTP", ..node.client(2) };
    let stats = info.stats.clone();
    node.engine.connect(info).unwrap();
    assert!(stats.reads.load(Relaxed));
}

#[test]
fn htt_05_an_explicit_nil_serves_nothing() {
    let mut node = visitor(
        "function onConnection(client)
            function client:onRead(file)
                self.writer:writeRaw('hello')
                return nil
            end
        end",
    );
    assert_eq!(read(&mut node, "a.html", ""), ReadOutcome::Nothing);
    let raw = ClientMessage::Raw { data: "hello".into() };
    assert!(node.asked().contains(&Asked::Write { client: 1, message: raw }));
}

#[test]
fn htt_06_the_second_result_fills_the_marks() {
    let mut node = visitor(
        "function onConnection(client)
            function client:onRead(file)
                return file, {name='robert', age=5, ok=true, sub={}}
            end
        end",
    );
    let ReadOutcome::Serve { file, values } = read(&mut node, "a.html", "") else { panic!() };
    let mut values = values.unwrap();
    values.sort();
    let pair = |key: &'static str, text: &'static str| (Bytes::from(key), Bytes::from(text));
    assert_eq!(file.unwrap(), "a.html");
    assert_eq!(values, [pair("age", "5"), pair("name", "robert"), pair("ok", "true")]);
    assert_eq!(node.take_lines(LogLevel::Warn).len(), 1, "a table is no text");
}

#[test]
fn htt_07_and_def_21_an_error_in_on_read_has_its_text() {
    let mut node = visitor(
        "function onConnection(client)
            function client:onRead(file) error('Access to file ', file, ' is forbidden') end
        end",
    );
    let text = "Access to file a.html is forbidden";
    assert_eq!(read(&mut node, "a.html", ""), ReadOutcome::Failed(text.into()));
}

#[test]
fn htt_14_cookies_are_set_in_both_forms() {
    let node = visitor(
        "function onConnection(client)
            NOTE(client.properties('k', 'v', 60, '/', 'x.example', true, true))
            NOTE(client.properties('n', 5, {Expires=-1, PATH='/a', HttpOnly=true}))
            NOTE(client.properties('b', true, 0, '/'))
            NOTE(client.properties('k'), client.properties(), client.properties('', 'v'),
                client.properties(5, 'v'), client.properties('t', {}))
            NOTE(client.k, client.properties.n, client['b'])
        end",
    );
    assert_eq!(
        cookies(&node),
        [
            "k=v; Expires=Tue, 14 Nov 2023 22:14:20 GMT; Path=/; Domain=x.example; Secure; HttpOnly",
            "n=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/a; HttpOnly",
            "b=true; Path=/",
        ]
    );
    let nothing = "(null)".repeat(5);
    assert_eq!(node.take_lines(LogLevel::Note), ["v", "5", "true", &nothing, "v5true"]);
}

#[test]
fn htt_14_a_cookie_with_control_characters_is_refused() {
    let node = visitor(
        r#"function onConnection(client)
            for _, bad in ipairs {'a\r\nX: y', 'a;b', 'a\0', '\127'} do
                NOTE(client.properties('k', bad), client.properties('k', 'v', 1, bad),
                    client.properties('k', 'v', {domain=bad}), client.properties(bad, 'v'))
            end
            NOTE(client.k)
        end"#,
    );
    assert_eq!(cookies(&node), [""; 0]);
    assert_eq!(node.take_lines(LogLevel::Error).len(), 16);
    let lines = node.take_lines(LogLevel::Note);
    assert!(lines.iter().take(4).all(|line| *line == "(null)".repeat(4)), "{lines:?}");
    assert_eq!(lines[4], "(null)");
}

#[test]
fn htt_15_on_other_protocols_the_call_gives_values() {
    let mut node =
        Node::root("function onConnection(client) NOTE(client.properties('arg1', 'none')) end");
    let info = ClientInfo { query: "arg1=value1".into(), ..node.client(1) };
    node.engine.connect(info).unwrap();
    assert_eq!(node.take_lines(LogLevel::Note), ["value1(null)"]);
}

#[test]
fn cli_10_headers_and_cookies_are_properties_of_any_case_and_follow_each_request() {
    let mut node = visitor(
        "function onConnection(client)
            p = client.properties
            NOTE(client['user-agent'], p['User-Agent'], p['USER-AGENT'], client.visits + 1, client.q,
                client.HTTPVersion * 10, client.x)
            function client:show() return client.visits, client['user-agent'], p.q, p == client.properties end
        end",
    );
    assert_eq!(node.take_lines(LogLevel::Note), ["FirefoxFirefoxFirefox4511(null)"]);
    node.engine.request(ClientId(1), &members(&[("visits", "4")]));
    let outcome = node.engine.get(ClientId(1), b"show", b"");
    assert_eq!(outcome, CallOutcome::Values("[4,null,5,true]".into()));
}
