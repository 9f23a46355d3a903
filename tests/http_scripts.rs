//! What scripts have of HTTP: clients, calls in every format, cookies, refusals.

use ramona_actors::http_limits::MAX_COOKIES;
use ramona_testkit::{HttpClient, TestNode};

const APP: &str = r##"
function onConnection(client, ...)
    NOTE("connect ", client.path, " ", client.query, " ", select("#", ...), " ", client.protocol)
    if client.query == "refuse" then error("not today") end
    function client:test(...) return ... end
    function client:two() return 1, "b" end
    function client:null() return nil end
    function client:nothing() end
    function client:fails() error("it broke") end
    function client:shows(key) return self[key] end
    function client:bakes() client.properties("test", "value1", 60, "/", nil, false, true) return "ok" end
    function client:writes() self.writer:writeInvocation("f", 1) self.writer:writeMessage("m") return "r" end
    function client:raws() self.writer:writeRaw("a", 5, "b") end
    function client:leaves() self.writer:close(404) end
    function client:ends() self.writer:close() return "bye" end
    function client:onMessage(...) return "message", ... end
end
function onDisconnection(client) NOTE("disconnect ", client.path, " ", client.query) end
"##;

async fn node() -> TestNode {
    TestNode::builder("N").www("main.lua", "").www("app/main.lua", APP).start().await
}

#[tokio::test]
async fn htt_02_and_evt_03_a_get_calls_the_function_of_that_name_with_the_query() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.get("/app/test?x=1").await;
    assert_eq!((answer.status, answer.text()), (200, r#"[{"x":1}]"#.into()));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(
        client.get("/app/test?word&a=b%20c&end").await.text(),
        r#"["word",{"a":"b c"},"end"]"#
    );
    node.logged(&["connect /app x=1 1 HTTP"]).await;
    node.logged(&["connect /app word&a=b%20c&end 3 HTTP"]).await;
    assert_eq!(client.get("/app/null").await.text(), "[null]");
    assert_eq!(client.get("/app/onRead").await.status, 404, "an event is no function");
}

#[tokio::test]
async fn cli_20_and_htt_03_json_calls_a_method_and_its_results_come_back() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    let json = "application/json";
    let answer = client.post("/app/", json, r#"["test","a","b"]"#).await;
    assert_eq!((answer.status, answer.text()), (200, r#"["a","b"]"#.into()));
    assert_eq!(client.post("/app/", json, r#"["two"]"#).await.text(), r#"[1,"b"]"#);
    assert_eq!(client.post("/app", json, r#"["two"]"#).await.text(), r#"[1,"b"]"#, "no slash");
    assert_eq!(client.post("/app/", json, r#"[5,"x"]"#).await.text(), r#"["message",5,"x"]"#);
    // No content type is JSON.
    let answer = client.ask("POST", "/app/", &[], br#"["test",1.5]"#).await;
    assert_eq!(answer.text(), "[1.5]");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

#[tokio::test]
async fn htt_03_and_cnv_26_and_cnv_30_each_format_is_answered_in_its_own() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    let call = "<methodCall><methodName>test</methodName><params><param><value><string>a</string>\
                </value></param><param><value>b</value></param></params></methodCall>";
    let answer = client.post("/app/", "text/xml", call).await;
    assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
    let value = |text| format!("<param><value><string>{text}</string></value></param>");
    let body = answer.text();
    assert!(
        body.contains("<methodResponse>") && body.contains(&(value("a") + &value("b"))),
        "{body}"
    );
    let xml =
        "<__array><__noname>test</__noname><__noname>a</__noname><__noname>b</__noname></__array>";
    let answer = client.post("/app/", "application/xml", xml).await;
    assert_eq!(answer.text(), "<__array><__noname>a</__noname><__noname>b</__noname></__array>");
    assert_eq!(answer.header("content-type"), Some("application/xml; charset=utf-8"));
    let answer = client.post("/app/", "application/x-www-form-urlencoded", "test&x=1&y=a+b").await;
    let body = answer.text();
    assert!(body == "x=1&y=a%20b" || body == "y=a%20b&x=1", "{body}");
    let amf = [&b"\x02\x00\x04test\x02\x00\x01a\x00"[..], &1.5f64.to_be_bytes()].concat();
    let answer = client.ask("POST", "/app/", &["Content-Type: application/x-amf"], &amf).await;
    assert_eq!(answer.body, amf[7..], "AMF0 values");
    assert_eq!(answer.header("content-type"), Some("application/x-amf"));
    // What is none of them comes as one string.
    for (kind, body) in [
        ("text/plain", "hello"),
        ("application/json", "hello"),
        ("image/png", "[1]"),
        ("application/json", ""),
        ("text/xml", ""),
        ("text/plain", ""),
    ] {
        let answer = client.post("/app/", kind, body).await;
        assert_eq!(answer.text(), format!("message{body}"), "{kind}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

#[tokio::test]
async fn htt_16_a_call_that_says_nothing_is_answered_at_once() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    for answer in [
        client.get("/app/nothing").await,
        client.post("/app/", "application/json", r#"["nothing"]"#).await,
    ] {
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-length"), Some("0"));
    }
}

#[tokio::test]
async fn evt_03_and_evt_04_a_change_of_path_or_query_is_another_client() {
    let node = node().await;
    node.write_www("a.txt", "");
    let mut client = HttpClient::connect(node.http()).await;
    for path in ["/app/two", "/app/two", "/app/two?a=1", "/app/null?a=1", "/a.txt", "/app/two"] {
        client.get(path).await;
    }
    drop(client);
    node.logged(&["disconnect /app a=1"]).await;
    ramona_testkit::wait::until("the last disconnection", || {
        node.count_logged(&["disconnect /app"]) == 3
    })
    .await;
    assert_eq!(node.count_logged(&["connect /app", " HTTP"]), 3);
    let lines = node.log_lines();
    let of = |text: &str| lines.iter().position(|line| line.contains(text)).expect("a line");
    assert!(of("connect /app  0") < of("disconnect /app "), "in order");
    assert!(of("disconnect /app ") < of("connect /app a=1"), "the old one goes first");
}

#[tokio::test]
async fn htt_10_and_cli_22_refusals_have_their_status_and_text_and_close() {
    let node = node().await;
    for (path, status, text) in [
        ("/nope/", 503, "Application /nope doesn&#39;t exist"),
        ("/nope/x.txt", 503, "Application /nope doesn&#39;t exist"),
        ("/app/?refuse", 500, "<p>not today</p>"),
        ("/app/fails", 500, "main.lua:9: it broke"),
        ("/app/none.txt", 404, "no such file"),
    ] {
        let mut client = HttpClient::connect(node.http()).await;
        let answer = client.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(client.closed().await, b"", "{path}");
    }
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.post("/app/", "application/json", r#"["unknown"]"#).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("Method &#39;unknown&#39; not found"), "{}", answer.text());
}

#[tokio::test]
async fn cli_21_what_is_no_function_of_the_client_cannot_be_called() {
    let node = node().await;
    for name in ["onPublish", "onSubscribe", "send", "__index", "connect", "writer", "properties"] {
        let mut client = HttpClient::connect(node.http()).await;
        let answer = client.post("/app/", "application/json", &format!("[\"{name}\"]")).await;
        assert_eq!(answer.status, 503, "{name}");
        let mut client = HttpClient::connect(node.http()).await;
        assert_eq!(client.get(&format!("/app/{name}")).await.status, 404, "{name}");
    }
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn htt_14_a_cookie_goes_out_with_the_next_response_and_comes_back_as_a_property() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.get("/app/bakes").await;
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("test=value1; Expires="), "{cookie}");
    assert!(cookie.ends_with(" GMT; Path=/; HttpOnly"), "{cookie}");
    assert_eq!(answer.text(), r#"["ok"]"#);
    assert_eq!(client.get("/app/two").await.header("set-cookie"), None, "once");
    let lines = &["Cookie: name=value1; n=5", "User-Agent: Test/1"][..];
    let mut shows = async |key: &str| {
        let body = format!("[\"shows\",\"{key}\"]");
        client.ask("POST", "/app/", lines, body.as_bytes()).await.text()
    };
    assert_eq!(shows("name").await, r#"["value1"]"#);
    assert_eq!(shows("n").await, "[5]", "GEN-15");
    assert_eq!(shows("User-Agent").await, r#"["Test/1"]"#);
    assert_eq!(shows("HTTPVersion").await, "[1.1]");
    assert_eq!(shows("version").await, "[1.1]", "CLI-10: its other name");
}

#[tokio::test]
async fn htt_14_a_response_carries_so_many_cookies_and_the_others_are_dropped_with_a_line() {
    let script = "function onConnection(client)
        function client:bakes() for n = 1, 100 do self.properties('c' .. n, n) end return 'ok' end
    end";
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let mut client = HttpClient::connect(node.http()).await;
    for _ in 0..2 {
        let answer = client.get("/bakes").await;
        assert_eq!(answer.text(), r#"["ok"]"#);
        let cookies = answer.all("set-cookie");
        assert_eq!(cookies.len(), MAX_COOKIES);
        assert!(cookies[0].starts_with("c1=1") && cookies[MAX_COOKIES - 1].starts_with("c64=64"));
    }
    node.logged(&["WARN", "cookie of a script dropped", "limit=64"]).await;
}

#[tokio::test]
async fn wri_01_and_wri_02_and_wri_03_what_is_written_is_the_response() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.get("/app/writes").await;
    assert_eq!(answer.text(), "[\"f\",1]\n[\"m\"]\n[\"r\"]");
    let answer = client.get("/app/raws").await;
    assert_eq!((answer.status, answer.text()), (200, "a5b".into()));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn htt_13_what_is_written_outside_of_a_request_waits_for_the_next() {
    let script = "
        function onConnection(client) function client:poll() end function client:test() end end
        function onManage()
            for _, client in ipairs(mona.clients) do client.writer:writeInvocation('tick') end
            NOTE('written')
        end";
    let node =
        TestNode::builder("N").www("main.lua", script).ini("HTTP.timeout = 60").start().await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.get("/poll").await.text(), "");
    let mark = node.log_mark();
    node.logged_since(mark, &["written"]).await;
    let text = client.get("/poll").await.text();
    assert!(text.starts_with(r#"["tick"]"#), "{text}");
}

#[tokio::test]
async fn wri_07_a_script_closes_with_a_status() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.get("/app/leaves").await.status, 404);
    assert_eq!(client.closed().await, b"");
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.get("/app/ends").await;
    assert_eq!((answer.status, answer.text()), (200, r#"["bye"]"#.into()));
    assert_eq!(client.closed().await, b"");
    node.logged(&["disconnect /app"]).await;
}

#[tokio::test]
async fn htt_11_pages_of_other_sites_may_read_the_response() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.ask("GET", "/app/two", &["Origin: http://x"], b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://x"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let own = format!("Origin: http://{}", node.http());
    let answer = client.ask("GET", "/app/two", &[&own], b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let asked = &["Origin: http://x", "Access-Control-Request-Headers: x-a, content-type"];
    let answer = client.ask("OPTIONS", "/app/two", asked, b"").await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("access-control-allow-origin", "http://x"),
        ("access-control-allow-methods", "GET, HEAD, PUT, PATH, POST, OPTIONS"),
        ("access-control-allow-headers", "x-a, content-type"),
        ("access-control-max-age", "86400"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let answer = client.ask("GET", "/app/none.txt", &["Origin: http://x"], b"").await;
    assert_eq!((answer.status, answer.header("vary")), (404, Some("Origin")));
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.ask("DELETE", "/app/", &[], b"").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT, PATH, POST, OPTIONS"));
}

#[tokio::test]
async fn htt_11_and_htt_03_every_method_with_a_body_that_options_names_is_a_message() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    for method in ["POST", "PUT", "PATH"] {
        let answer = client.ask(method, "/app/", &[], br#"["test","a",2]"#).await;
        assert_eq!((answer.status, answer.text()), (200, r#"["a",2]"#.into()), "{method}");
        let answer = client.ask(method, "/app/", &["Content-Type: text/plain"], b"x").await;
        assert_eq!((answer.status, answer.text()), (200, "messagex".into()), "{method}");
    }
}

#[tokio::test]
async fn cli_12_and_cfg_16_on_connection_changes_timeout_and_index_of_its_client() {
    let script = "function onConnection(client)
        function client:show() return client.parameters.timeout, client.HTTP.index end
        return {timeout=1, index='show'}
    end";
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.get("/").await.text(), r#"[1,"show"]"#);
    let begin = std::time::Instant::now();
    assert_eq!(client.closed().await, b"");
    let waited = begin.elapsed().as_secs_f64();
    assert!((0.9..6.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn htt_13_a_silent_connection_is_closed_after_the_timeout() {
    let node = node().await;
    let begin = std::time::Instant::now();
    let client = HttpClient::connect(node.http()).await;
    assert_eq!(client.closed().await, b"");
    let waited = begin.elapsed().as_secs_f64();
    assert!((6.9..9.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn cfg_16_the_key_http_timeout_says_when_a_silent_connection_is_closed() {
    let node = TestNode::builder("N").ini("HTTP.timeout = 1").www("a.txt", "").start().await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.get("/a.txt").await.status, 200);
    // The default would be seven seconds, from the last answer on.
    let begin = std::time::Instant::now();
    assert_eq!(client.closed().await, b"");
    let waited = begin.elapsed().as_secs_f64();
    assert!((0.9..6.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_in_order() {
    let node = node().await;
    let mut client = HttpClient::connect(node.http()).await;
    let mut bytes = Vec::new();
    for number in 0..10 {
        bytes.extend_from_slice(
            format!("GET /app/test?{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
        );
    }
    assert!(client.send(&bytes).await);
    for number in 0..10 {
        let answer = client.response(false).await.expect("a response");
        assert_eq!(answer.text(), format!("[{number}]"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_a_script_thinks_is_disconnected() {
    let script = "function onConnection(client) NOTE('in') local t = os.clock() while os.clock() - t < 0.3 do end end
        function onDisconnection(client) NOTE('out') end";
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let mut client = HttpClient::connect(node.http()).await;
    assert!(client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await);
    node.logged(&["in"]).await;
    drop(client);
    node.logged(&["out"]).await;
    let script = node.metrics();
    ramona_testkit::wait::until("the session to end", || {
        script
            .actor(ramona_actors::metrics::ActorKind::HttpSession)
            .alive
            .load(std::sync::atomic::Ordering::Relaxed)
            == 0
    })
    .await;
}
