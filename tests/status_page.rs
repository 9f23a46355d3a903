//! The operator's page: who sees it, and what it tells.

use std::net::SocketAddr;

use ramona_testkit::{
    HttpClient, RtmfpClient, RtmpClient, Stranger, TestNode, WebSocketClient, http_get, pictures,
    wait,
};
use serde_json::Value;

/// What the page is told now.
async fn snapshot(node: &TestNode) -> Value {
    let (code, _, body) = http_get(node.http(), "/status/data").await;
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// Looks until `found` finds something.
async fn look<T>(node: &TestNode, what: &str, mut found: impl FnMut(&Value) -> Option<T>) -> T {
    let begin = std::time::Instant::now();
    loop {
        let seen = snapshot(node).await;
        if let Some(found) = found(&seen) {
            return found;
        }
        assert!(begin.elapsed() < wait::PATIENCE, "waited for: {what}; {seen:#}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The listed client with this address.
fn listed(seen: &Value, address: SocketAddr) -> Option<&Value> {
    let rows = seen["client_list"]["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["address"] == address.to_string())
}

/// A request with headers: status code, head and body.
async fn ask(from: SocketAddr, path: &str, headers: &str) -> (u16, String, String) {
    let mut stranger = Stranger::connect(from).await;
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    assert!(stranger.send(request.as_bytes()).await);
    let answer = String::from_utf8(stranger.closed().await).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    (code, head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_page_needs_no_script_and_brings_all_it_loads() {
    let node = TestNode::builder("N").start().await;
    let (code, head, page) = http_get(node.http(), "/status").await;
    assert_eq!(code, 200);
    assert!(head.contains("content-type: text/html"), "{head}");
    for path in ["/status/uplot.js", "/status/uplot.css"] {
        assert!(page.contains(path), "{path}");
        assert_eq!(http_get(node.http(), path).await.0, 200, "{path}");
    }
    assert!(!page.contains("https://"), "nothing comes from elsewhere");
}

#[tokio::test]
async fn the_root_leads_there_unless_it_has_something_of_its_own_to_show() {
    let node = TestNode::builder("N").www("seen.txt", "").start().await;
    let from = node.http();
    let (code, head, _) = http_get(from, "/").await;
    assert_eq!(code, 302);
    assert!(head.contains("location: /status\r\n"), "{head}");
    // The listing is still there, and somebody who may not see the page gets nothing else.
    let (code, _, body) = http_get(from, "/?N=A").await;
    assert_eq!(code, 200);
    assert!(body.contains("seen.txt"), "{body}");
    assert_eq!(ask(from, "/", "Host: node.example\r\n").await.0, 200);
    let own = r#"function onConnection(client) return { index = "home.html" } end"#;
    let node = TestNode::builder("O").www("main.lua", own).www("home.html", "home").start().await;
    assert_eq!(http_get(node.http(), "/").await.2, "home");
    let node = TestNode::builder("P").www("index.html", "mine").start().await;
    assert_eq!(http_get(node.http(), "/").await.0, 200, "the listing, with index.html in it");
}

#[tokio::test]
async fn without_credentials_a_request_by_name_or_through_a_proxy_or_of_another_page_is_refused() {
    let node = TestNode::builder("N").start().await;
    let from = node.http();
    for headers in [
        "Host: evil.example\r\n".to_owned(),
        format!("Host: {from}\r\nX-Forwarded-For: 192.0.2.1\r\n"),
        format!("Host: {from}\r\nOrigin: http://evil.example\r\n"),
    ] {
        for path in ["/status", "/status/data", "/status/feed"] {
            let (code, _, body) = ask(from, path, &headers).await;
            assert_eq!(code, 403, "{path} {headers}");
            assert!(!body.contains("uptime"), "{body}");
        }
    }
}

#[tokio::test]
async fn with_credentials_everybody_shows_them_and_then_the_cookie_does() {
    let node = TestNode::builder("N")
        .ini("status.user = admin\nstatus.password = secret\nstatus.token = letmein")
        .start()
        .await;
    let from = node.http();
    let host = "Host: node.example\r\n";
    let (code, head, _) = ask(from, "/status", host).await;
    assert_eq!(code, 401);
    assert!(head.contains("www-authenticate: Basic"), "{head}");
    // admin:wrong, then admin:secret.
    let wrong = format!("{host}Authorization: Basic YWRtaW46d3Jvbmc=\r\n");
    assert_eq!(ask(from, "/status/data", &wrong).await.0, 401);
    let right = format!("{host}Authorization: Basic YWRtaW46c2VjcmV0\r\n");
    let (code, head, _) = ask(from, "/status", &right).await;
    assert_eq!(code, 200);
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("its value");
    let shown = format!("{host}Cookie: a=b; {cookie}\r\n");
    assert_eq!(ask(from, "/status/data", &shown).await.0, 200);
    // The token leaves the address at once.
    assert_eq!(ask(from, "/status?token=letmeout", host).await.0, 401);
    let (code, head, _) = ask(from, "/status?token=letmein", host).await;
    assert_eq!(code, 303);
    assert!(head.contains("location: /status\r\n"), "{head}");
}

#[tokio::test]
async fn a_snapshot_names_publications_viewers_and_handlers() {
    let node = TestNode::builder("N").www("main.lua", "").start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let viewer = RtmpClient::connect(node.rtmp(), "").await;
    let play = viewer.play("stage").await;
    let frames = pictures::stream(10, 5, 1_000);
    publisher.send(stream, &frames);
    viewer.frames_to(play, frames.last().expect("frames")).await;
    let waiting = viewer.play("later").await;
    viewer.call("sync", &[]).await.expect_err("there is no such function");
    let _ = waiting;
    let (code, head, body) = http_get(node.http(), "/status/data").await;
    assert_eq!(code, 200);
    assert!(head.contains("application/json"), "{head}");
    for part in [
        r#""name":"stage","running":true"#,
        r#""name":"later","running":false"#,
        r#""publications":{"#,
        r#"["RTMP",2]"#,
        r#""links":[]"#,
        r#""groups":{"members":0"#,
        r#""p99_us":"#,
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn the_feed_tells_every_second_and_a_page_too_many_is_refused() {
    let node = TestNode::builder("N").start().await;
    let from = node.http();
    let upgrade = format!(
        "GET /status/feed HTTP/1.1\r\nHost: {from}\r\nOrigin: http://{from}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut pages = Vec::new();
    for _ in 0..ramona_actors::MAX_PAGES {
        let mut page = Stranger::connect(from).await;
        assert!(page.send(upgrade.as_bytes()).await);
        let answer = page.read(12).await.expect("an answer");
        assert_eq!(answer, b"HTTP/1.1 101");
        pages.push(page);
    }
    let mut refused = Stranger::connect(from).await;
    assert!(refused.send(upgrade.as_bytes()).await);
    assert_eq!(refused.read(12).await.expect("an answer"), b"HTTP/1.1 503");
    // Two snapshots of one page: text frames, longer than 125 bytes.
    let mut page = pages.pop().expect("a page");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(page.read(1).await.expect("the head"));
    }
    for _ in 0..2 {
        let frame = page.read(4).await.expect("a frame");
        assert_eq!(frame[..2], [0x81, 126]);
        let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
        let text = String::from_utf8(page.read(length).await.expect("a text")).expect("UTF-8");
        assert!(text.contains("\"uptime\":") && text.ends_with('}'), "{text}");
    }
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn clients_of_every_protocol_are_listed_with_what_they_move_while_they_are_there() {
    let script = "function onConnection(client) return { timeout = 60 } end";
    let node = TestNode::builder("N").www("main.lua", script).www("app/main.lua", "");
    let node = node.www("app/a.txt", "text").start().await;
    let publisher = RtmpClient::connect(node.rtmp(), "app").await;
    let stream = publisher.publish("s").await;
    let rtmp = RtmpClient::connect(node.rtmp(), "").await;
    rtmp.play("s").await;
    let rtmfp = RtmfpClient::connect(node.rtmfp(), "app").await;
    rtmfp.play("s").await;
    let mut websocket = WebSocketClient::connect(node.http(), "/app/").await;
    websocket.text(r#"["__play","s"]"#).await;
    let mut http = HttpClient::connect(node.http()).await;
    assert_eq!(http.get("/app/a.txt").await.status, 200);
    let mut players = Vec::new();
    for headers in [
        "",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let mut player = Stranger::connect(node.http()).await;
        let request = format!("GET /app/s.flv HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        assert!(player.send(request.as_bytes()).await);
        players.push(player);
    }
    // It flows until each viewer's rate is seen.
    let mut next = 0;
    let protocols = look(&node, "rates of all who play and publish", |seen| {
        publisher.send(stream, &pictures::range(next..next + 5, 5, 2_000));
        next += 5;
        let of =
            |address, key| listed(seen, address).is_some_and(|row| row[key].as_u64() > Some(0));
        let moves = of(publisher.local(), "in_rate")
            && of(rtmp.local(), "out_rate")
            && of(rtmfp.local(), "out_rate")
            && players.iter().all(|player| of(player.local(), "out_rate"));
        let rows = seen["client_list"]["rows"].as_array().expect("rows");
        let mut protocols: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {}", row["protocol"].as_str().unwrap_or_default(), row["path"]))
            .collect();
        protocols.sort();
        // The one who asks now is a client of HTTP himself, but not of an application.
        (moves && seen["client_list"]["total"] == protocols.len()).then_some(protocols)
    })
    .await;
    let (app, root) = (r#""/app""#, r#""""#);
    let expected = [
        format!("HTTP {app}"),
        format!("HTTP {app}"),
        format!("RTMFP {app}"),
        format!("RTMP {root}"),
        format!("RTMP {app}"),
        format!("WebSocket {app}"),
        format!("WebSocket {app}"),
    ];
    assert_eq!(protocols, expected);
    let seen = snapshot(&node).await;
    let row = listed(&seen, rtmfp.local()).expect("it is listed");
    assert_eq!(row["id"].as_str(), Some(&*rtmfp.peer_id().to_string()));
    assert!(row["since"].as_u64() > Some(1_600_000_000_000));
    // A client of RTMFP that comes from elsewhere is listed there (CLI-37).
    let moved = rtmfp.rebind().await;
    rtmfp.call("nothing", &[]).await.expect_err("there is no such function");
    look(&node, "its new address", |seen| listed(seen, moved).map(|_| ())).await;
    drop((publisher, rtmp, websocket, http, players));
    rtmfp.leave();
    look(&node, "an empty list", |seen| (seen["client_list"]["total"] == 0).then_some(())).await;
}

#[tokio::test]
async fn a_link_is_shown_with_the_host_and_address_of_the_far_end() {
    let b = TestNode::builder("B").linkable().ini("host = b.example").start().await;
    let a = TestNode::builder("A").target(b.links()).ini("host = a.example").start().await;
    a.logged(&["linked"]).await;
    b.logged(&["linked"]).await;
    for (node, host, dialled) in [(&a, "b.example", true), (&b, "a.example", false)] {
        let seen = look(node, "the link", |seen| {
            seen["links"].get(0).filter(|link| !link["host"].is_null()).cloned()
        })
        .await;
        assert_eq!(seen["host"], host);
        assert_eq!(seen["address"], "127.0.0.1");
        assert_eq!(seen["dialled"], dialled);
    }
}
