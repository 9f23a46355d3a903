//! What strangers send to the HTTP port: each has its answer, its log line, and an end.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use ramona_actors::http_limits::{HEAD_TIMEOUT, MAX_HEADERS, MAX_URL};
use ramona_actors::metrics::ActorKind;
use ramona_testkit::{HttpClient, HttpResponse, Stranger, TestNode, wait};

async fn node(ini: &str) -> TestNode {
    let script = "function onConnection(client)
        function client:onMessage(text) return #text end
        function client:test(...) return select('#', ...) end
    end";
    let node = TestNode::builder("N").www("main.lua", script).ini(ini).start().await;
    node.write_www("a.txt", "fine");
    node
}

async fn get(node: &TestNode, path: &str) -> HttpResponse {
    HttpClient::connect(node.http()).await.get(path).await
}

/// The node goes on, and nothing of the visit is left.
async fn is_well(node: &TestNode) {
    assert_eq!(get(node, "/a.txt").await.text(), "fine");
    wait::until("sessions to end", || node.alive(ActorKind::HttpSession) == 0).await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn no_path_leads_out_of_www() {
    let node = node("").await;
    std::fs::write(node.dir().join("secret.txt"), "secret").expect("a file");
    for (path, status) in [
        ("/../secret.txt", 400),
        ("/%2e%2e/secret.txt", 400),
        ("/%2E%2E%2Fsecret.txt", 400),
        ("/..%2fsecret.txt", 400),
        ("/..\\secret.txt", 400),
        ("/..%5csecret.txt", 400),
        ("/a/../../secret.txt", 400),
        ("/./../secret.txt", 400),
        ("/%252e%252e/secret.txt", 503),
        ("/%252e%252e%252fsecret.txt", 404),
        ("/a.txt%00.html", 400),
        ("/%c0%ae%c0%ae/secret.txt", 400),
        ("/%ff", 400),
        ("/a.txt%0d%0aX-A: b", 400),
        ("//../secret.txt", 400),
        ("/....//secret.txt", 403),
    ] {
        let answer = get(&node, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(!answer.text().contains("secret\n"), "{path}");
        assert_eq!(answer.header("x-a"), None);
    }
    node.logged(&["request refused", "status=400", "above the root"]).await;
    assert!(node.sample("ramona_protocol_errors_total") >= 10.0);
    is_well(&node).await;
}

#[tokio::test]
async fn links_work_inside_of_www_and_do_not_lead_out() {
    let node = node("").await;
    std::fs::write(node.dir().join("secret.txt"), "secret").expect("a file");
    let www = node.dir().join("www");
    std::fs::create_dir_all(www.join("sub")).expect("a folder");
    symlink("../a.txt", www.join("sub/inside.txt")).expect("a link");
    symlink("../secret.txt", www.join("outside.txt")).expect("a link");
    symlink("/etc", www.join("etc")).expect("a link");
    symlink("loop.txt", www.join("loop.txt")).expect("a link");
    assert_eq!(get(&node, "/sub/inside.txt").await.text(), "fine");
    assert_eq!(get(&node, "/outside.txt").await.status, 403);
    assert_eq!(get(&node, "/loop.txt").await.status, 403);
    for path in ["/etc/passwd", "/etc/"] {
        let answer = get(&node, path).await;
        assert!(matches!(answer.status, 403 | 503), "{path}: {}", answer.status);
    }
    node.logged(&["request refused", "status=403", "does not stay in www"]).await;
    is_well(&node).await;
}

#[tokio::test]
async fn sources_and_dotted_names_are_not_served() {
    let node = node("").await;
    node.write_www(".env", "secret");
    node.write_www(".git/config", "secret");
    node.write_www(".well-known/acme-challenge/x", "token");
    for path in ["/main.lua", "/main.LUA", "/.env", "/.git/config", "/.git/", "/%2eenv"] {
        assert_eq!(get(&node, path).await.status, 403, "{path}");
    }
    assert_eq!(get(&node, "/.well-known/acme-challenge/x.txt").await.status, 404);
    assert_eq!(get(&node, "/.well-known/acme-challenge/x").await.text(), "token");
    is_well(&node).await;
}

#[tokio::test]
async fn long_urls_and_heads_are_refused() {
    let node = node("").await;
    let long = "x".repeat(MAX_URL);
    for path in
        [format!("/{long}"), format!("/?{long}"), format!("/a.txt?{}", "a=1&".repeat(3_000))]
    {
        assert_eq!(get(&node, &path).await.status, 414, "{} bytes", path.len());
    }
    node.logged(&["request refused", "status=414"]).await;
    let header = format!("X-Long: {}", "x".repeat(MAX_HEADERS));
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.ask("GET", "/a.txt", &[&header], b"").await.status, 431);
    node.logged(&["request refused", "status=431"]).await;
    // More lines than a head may have, and a head without end.
    let many = "X: y\r\n".repeat(200);
    let mut client = HttpClient::connect(node.http()).await;
    assert!(client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()).await);
    assert_eq!(client.response(false).await.map(|answer| answer.status), Some(431));
    assert_eq!(client.closed().await, b"");
    node.logged(&["not HTTP, or more than a request may hold"]).await;
    let mut client = HttpClient::connect(node.http()).await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    client.send(&vec![b'x'; 200_000]).await;
    assert_eq!(client.response(false).await.map(|answer| answer.status), Some(431));
    is_well(&node).await;
}

#[tokio::test]
async fn a_long_query_reaches_a_script_within_its_bounds() {
    let node = node("").await;
    let words: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let query = words.join("&");
    let answer = get(&node, &format!("/test?{}", &query[..7_000])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    is_well(&node).await;
}

#[tokio::test]
async fn a_head_that_comes_in_drops_ends_with_its_time() {
    let node = node("").await;
    let begin = Instant::now();
    let mut stranger = Stranger::connect(node.http()).await;
    assert!(stranger.send(b"GET / HTTP/1.1\r\nHost: a\r\n").await);
    // Each byte would refresh an idle timeout.
    while stranger.send(b"X").await && begin.elapsed() < Duration::from_secs(40) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stranger.closed().await;
    let waited = begin.elapsed();
    assert!(
        waited > HEAD_TIMEOUT - Duration::from_millis(100) && waited < HEAD_TIMEOUT * 2,
        "{waited:?}"
    );
    is_well(&node).await;
}

#[tokio::test]
async fn a_second_head_that_comes_in_drops_ends_too() {
    let node = node("").await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.get("/a.txt").await.status, 200);
    assert!(client.send(b"GET /a.txt HTTP/1.1\r\nHost: a\r\nX: ").await);
    let begin = Instant::now();
    while client.send(b"x").await && begin.elapsed() < Duration::from_secs(40) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(begin.elapsed() < HEAD_TIMEOUT * 2, "{:?}", begin.elapsed());
    is_well(&node).await;
}

#[tokio::test]
async fn bodies_have_a_length_and_an_end() {
    let node = node("HTTP.maxBody = 100000\nHTTP.timeout = 1").await;
    // Declared too long: refused before it comes.
    let mut client = HttpClient::connect(node.http()).await;
    assert!(
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n").await
    );
    assert_eq!(client.response(false).await.map(|answer| answer.status), Some(413));
    // Chunks without end.
    let mut client = HttpClient::connect(node.http()).await;
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [b"4000\r\n".as_slice(), &vec![b'x'; 0x4000], b"\r\n"].concat();
    for _ in 0..50 {
        if !client.send(&chunk).await {
            break;
        }
    }
    assert_eq!(client.response(false).await.map(|answer| answer.status), Some(413));
    node.logged(&["request refused", "status=413", "HTTP.maxBody"]).await;
    // A body that stops.
    let mut client = HttpClient::connect(node.http()).await;
    assert!(client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello").await);
    assert_eq!(client.response(false).await.map(|answer| answer.status), Some(408));
    node.logged(&["request refused", "status=408", "stopped coming"]).await;
    // A body that comes in drops.
    let mut client = HttpClient::connect(node.http()).await;
    assert!(client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n").await);
    let begin = Instant::now();
    while client.send(b"x").await && begin.elapsed() < Duration::from_secs(40) {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    node.logged(&["request refused", "status=408", "too slowly"]).await;
    // And one that fits.
    let mut client = HttpClient::connect(node.http()).await;
    let answer = client.post("/", "text/plain", &"x".repeat(99_000)).await;
    assert_eq!(answer.text(), "99000");
    drop(client);
    is_well(&node).await;
}

#[tokio::test]
async fn bodies_of_all_requests_share_a_budget_and_give_it_back() {
    let script = "function onConnection(client)
        function client:onMessage(text) return #text end
    end";
    let node = TestNode::builder("N").www("main.lua", script);
    let node = node.tune(|config| config.http_session.body_budget = 1 << 20).start().await;
    // All but the last byte of two that do not fit together.
    let body = "x".repeat(700_000);
    let head =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 700000\r\n\r\n";
    let mut one = HttpClient::connect(node.http()).await;
    let mut other = HttpClient::connect(node.http()).await;
    for client in [&mut one, &mut other] {
        assert!(client.send(head.as_bytes()).await);
        // Fails when it is refused on the way.
        client.send(&body.as_bytes()[1..]).await;
    }
    let (refused, mut kept) = tokio::select! {
        answer = one.response(false) => (answer, other),
        answer = other.response(false) => (answer, one),
    };
    let refused = refused.expect("an answer");
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("too many bodies at once, try again"), "{}", refused.text());
    node.logged(&["WARN", "request refused", "status=503", "too many bodies"]).await;
    assert!(node.sample("ramona_connections_refused_total") > 0.0);
    assert!(kept.send(b"x").await);
    assert_eq!(kept.response(false).await.expect("an answer").text(), "700000");
    // What both held is free again.
    let answer = HttpClient::connect(node.http()).await.post("/", "text/plain", &body).await;
    assert_eq!(answer.text(), "700000");
    drop(kept);
    wait::until("sessions to end", || node.alive(ActorKind::HttpSession) == 0).await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn two_lengths_and_other_smuggling_are_refused() {
    let node = node("").await;
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
        "hello\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=\u{1}b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{0}b\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = HttpClient::connect(node.http()).await;
        assert!(client.send(head.as_bytes()).await);
        let answer = client.response(false).await;
        let status = answer.map(|answer| answer.status);
        assert!(matches!(status, Some(400 | 505) | None), "{head:?}: {status:?}");
    }
    is_well(&node).await;
}

#[tokio::test]
async fn bombs_in_bodies_are_answered() {
    let node = node("").await;
    let entity = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><x>&b;</x>";
    let deep_json = "[".repeat(100_000);
    let deep_xml = "<a>".repeat(100_000);
    let many = format!("[\"test\"{}]", ",1".repeat(500_000));
    for (kind, body) in [
        ("application/json", &*deep_json),
        ("application/json", "[1e999999999999]"),
        ("application/json", &*many),
        ("text/xml", entity),
        ("text/xml", &*deep_xml),
        ("application/x-www-form-urlencoded", &*"a=b&".repeat(200_000)),
        ("application/x-amf", &*"\n\u{7f}\u{7f}\u{7f}\u{7f}".repeat(10_000)),
    ] {
        let mut client = HttpClient::connect(node.http()).await;
        let answer = client.post("/", kind, body).await;
        let start: String = body.chars().take(20).collect();
        assert!(matches!(answer.status, 200 | 500 | 503), "{start}: {}", answer.status);
    }
    let mut client = HttpClient::connect(node.http()).await;
    let answer =
        client.ask("POST", "/", &["Content-Type: application/json"], b"[\"\xff\xfe\"]").await;
    assert_eq!(answer.status, 200, "taken as one string");
    drop(client);
    is_well(&node).await;
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_dropped() {
    let node = node("HTTP.timeout = 1").await;
    let bytes = vec![b'x'; 64 << 20];
    std::fs::write(node.dir().join("www/large.bin"), bytes).expect("a file");
    let mut stranger = Stranger::connect(node.http()).await;
    assert!(stranger.send(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n").await);
    // STALL_TIMEOUT is half a minute.
    wait::until("the session to end", || node.alive(ActorKind::HttpSession) == 0).await;
    drop(stranger);
    is_well(&node).await;
}
