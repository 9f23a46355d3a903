//! The operator's page: who sees it, and what it tells.

use std::net::SocketAddr;

use ramona_testkit::{RtmpClient, Stranger, TestNode, http_get, pictures};

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
