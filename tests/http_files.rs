//! Files, templates, listings, ranges and conditional requests.

use ramona_testkit::{HttpClient, HttpResponse, TestNode};

async fn node(script: &str) -> TestNode {
    let builder = TestNode::builder("N").www("main.lua", "").www("app/main.lua", script);
    let node = builder.start().await;
    node.write_www("app/page.html", "<p>hello <% name %>!</p>");
    node.write_www("app/data.bin", "0123456789");
    node.write_www("app/sub/inner.txt", "inner");
    node
}

async fn get(node: &TestNode, path: &str) -> HttpResponse {
    HttpClient::connect(node.http()).await.get(path).await
}

#[tokio::test]
async fn htt_01_and_htt_04_a_file_of_an_application_is_served_with_its_type() {
    let node = node("function onConnection(client) NOTE('path ', client.path) end").await;
    for (path, kind, text) in [
        ("/app/page.html", "text/html; charset=utf-8", "<p>hello <% name %>!</p>"),
        ("/app/data.bin", "application/octet-stream", "0123456789"),
        ("/app/sub/inner.txt", "text/plain; charset=utf-8", "inner"),
        ("/app//sub/./x/../inner.txt", "text/plain; charset=utf-8", "inner"),
        ("/app/sub/inner.txt?a=1", "text/plain; charset=utf-8", "inner"),
    ] {
        let answer = get(&node, path).await;
        assert_eq!((answer.status, answer.text()), (200, text.to_owned()), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.header("content-disposition"), None);
    }
    get(&node, "/app/").await;
    // Application /app for both; its folder `sub` is an application too.
    assert_eq!(node.count_logged(&["path /app"]), 3 + 3);
    assert_eq!(node.count_logged(&["path /app/sub"]), 3);
    for (name, kind) in [
        ("v.flv", "video/x-flv"),
        ("v.ts", "video/mp2t"),
        ("v.m3u8", "application/vnd.apple.mpegurl"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.mp4", "video/mp4"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
    ] {
        node.write_www(&format!("app/{name}"), "x");
        let answer = get(&node, &format!("/app/{name}")).await;
        assert_eq!(answer.header("content-type"), Some(kind), "{name}");
    }
}

#[tokio::test]
async fn cli_39_and_htt_04_on_read_chooses_another_file_of_its_folder() {
    let node = node(
        "function onConnection(client)
            function client:onRead(file, parameters)
                NOTE('file ', file, ' ', parameters.x)
                if file == 'a.html' then return '../page.html' end
                if file == 'up.html' then return '../../main.lua' end
                if file == 'root.html' then return '/etc/passwd' end
                if file == 'f.html' then return '' end
            end
        end",
    )
    .await;
    assert_eq!(get(&node, "/app/a.html?x=5").await.text(), "<p>hello <% name %>!</p>");
    node.logged(&["file a.html 5"]).await;
    assert_eq!(get(&node, "/app/page.html").await.status, 200);
    assert!(get(&node, "/app/up.html").await.text().contains("client:onRead"), "its own main.lua");
    assert_eq!(get(&node, "/app/root.html").await.status, 404);
    let listing = get(&node, "/app/f.html").await;
    assert!(listing.text().contains("<h1>/app/</h1>"), "{}", listing.text());
}

#[tokio::test]
async fn htt_05_on_read_that_returns_nil_answers_what_it_wrote_or_403() {
    let node = node(
        "function onConnection(client)
            function client:onRead(file)
                if file == 'x.html' then self.writer:writeRaw('hello') end
                return nil
            end
        end",
    )
    .await;
    let answer = get(&node, "/app/x.html").await;
    assert_eq!((answer.status, answer.text()), (200, "hello".into()));
    assert_eq!(get(&node, "/app/page.html").await.status, 403);
}

#[tokio::test]
async fn htt_06_marks_of_a_text_file_are_filled_and_no_304_is_sent() {
    let node = node(
        "function onConnection(client)
            function client:onRead(file) return file, {name='robert'} end
        end",
    )
    .await;
    let answer = get(&node, "/app/page.html").await;
    assert_eq!(answer.text(), "<p>hello robert!</p>");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!((answer.header("last-modified"), answer.header("etag")), (None, None));
    let mut client = HttpClient::connect(node.http()).await;
    let later = "If-Modified-Since: Fri, 31 Dec 2060 23:59:59 GMT";
    assert_eq!(client.ask("GET", "/app/page.html", &[later], b"").await.status, 200);
    let head = client.ask("HEAD", "/app/page.html", &[], b"").await;
    assert_eq!(head.header("content-length"), Some("20"));
    node.write_www("app/raw.bin", "<% name %>");
    assert_eq!(get(&node, "/app/raw.bin").await.text(), "<% name %>", "only text");
}

#[tokio::test]
async fn htt_07_an_error_of_on_read_is_a_page_with_its_text() {
    let node = node(
        "function onConnection(client)
            function client:onRead(file) error('no ' .. file .. ' <today>') end
        end",
    )
    .await;
    let answer = get(&node, "/app/page.html").await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("<p>no page.html &lt;today&gt;</p>"), "{}", answer.text());
}

#[tokio::test]
async fn htt_08_index_lists_refuses_or_names_a_file_or_a_function() {
    let node = node(
        "function onConnection(client)
            function client:hello() return 'hi' end
            if client.query == 'no' then return {index=false} end
            if client.query == 'file' then return {index='../page.html'} end
            if client.query == 'function' then return {index='hello'} end
            if client.query == 'missing' then return {index='none'} end
        end",
    )
    .await;
    let listing = get(&node, "/app/").await;
    assert_eq!(listing.header("content-type"), Some("text/html; charset=utf-8"));
    let text = listing.text();
    for part in [">page.html</a>", ">sub/</a>", "href=\"./data%2Ebin\"", "?N=D", "?M=A", "?S=A"] {
        let part = part.replace("%2E", ".");
        assert!(text.contains(&part), "{part} in {text}");
    }
    assert!(!text.contains("main.lua"), "sources are not shown");
    let at = |text: &str, name: &str| text.find(name).unwrap_or_else(|| panic!("{name} in {text}"));
    assert!(at(&text, "data.bin") < at(&text, "page.html"));
    let text = get(&node, "/app/?N=D").await.text();
    assert!(at(&text, "data.bin") > at(&text, "page.html"));
    assert_eq!(get(&node, "/app/?no").await.status, 403);
    assert_eq!(get(&node, "/app/?file").await.text(), "<p>hello <% name %>!</p>");
    assert_eq!(get(&node, "/app/?function").await.text(), r#"["hi"]"#);
    assert_eq!(get(&node, "/app/?missing").await.status, 404);
}

#[tokio::test]
async fn cfg_16_the_key_http_index_says_what_folders_answer() {
    let no = TestNode::builder("no").www("main.lua", "").ini("HTTP.index = false").start().await;
    assert_eq!(get(&no, "/").await.status, 403);
    let file =
        TestNode::builder("file").www("main.lua", "").ini("HTTP.index = a.txt").start().await;
    file.write_www("a.txt", "here");
    assert_eq!(get(&file, "/").await.text(), "here");
}

#[tokio::test]
async fn htt_09_folders_move_missing_files_are_404_and_head_has_no_body() {
    let node = node("").await;
    let answer = get(&node, "/app/none.txt").await;
    assert_eq!(answer.status, 404);
    for (path, location) in [
        ("/app", "/app/"),
        ("/app?a=1", "/app/?a=1"),
        ("/app/sub", "/app/sub/"),
        ("//app", "/app/"),
    ] {
        let answer = get(&node, path).await;
        assert_eq!((answer.status, answer.header("location")), (301, Some(location)), "{path}");
    }
    let mut client = HttpClient::connect(node.http()).await;
    let head = client.ask("HEAD", "/app/data.bin", &[], b"").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    // Nothing of a body came: the next response is found at once.
    let whole = client.get("/app/data.bin").await;
    assert_eq!(whole.text(), "0123456789");
    let modified = whole.header("last-modified").expect("a date").to_owned();
    let since = format!("If-Modified-Since: {modified}");
    let answer = client.ask("GET", "/app/data.bin", &[&since], b"").await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    let long_ago = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(client.ask("GET", "/app/data.bin", &[long_ago], b"").await.status, 200);
    let tag = format!("If-None-Match: {}", whole.header("etag").expect("a tag"));
    assert_eq!(client.ask("GET", "/app/data.bin", &[&tag], b"").await.status, 304);
}

#[tokio::test]
async fn htt_09_what_is_no_regular_file_is_locked() {
    let node = node("").await;
    let made =
        std::process::Command::new("mkfifo").arg(node.dir().join("www/app/pipe.txt")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is there");
    assert_eq!(get(&node, "/app/pipe.txt").await.status, 423);
    let socket = node.dir().join("www/app/socket.txt");
    let _socket = std::os::unix::net::UnixListener::bind(socket).expect("a socket");
    assert_eq!(get(&node, "/app/socket.txt").await.status, 423);
}

#[tokio::test]
async fn ranges_of_a_file_are_served_as_players_ask_for_them() {
    let node = node("").await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.get("/app/data.bin").await.header("accept-ranges"), Some("bytes"));
    for (range, status, content, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=-2", 206, "bytes 8-9/10", "89"),
        ("bytes=0-99", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=10-", 416, "bytes */10", ""),
    ] {
        let range = format!("Range: {range}");
        let answer = client.ask("GET", "/app/data.bin", &[&range], b"").await;
        assert_eq!((answer.status, answer.text()), (status, body.to_owned()), "{range}");
        assert_eq!(answer.header("content-range"), Some(content), "{range}");
    }
}

#[tokio::test]
async fn a_large_file_comes_whole() {
    let node = node("").await;
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n * 7) as u8).collect();
    std::fs::write(node.dir().join("www/app/large.bin"), &bytes).expect("a file");
    let mut client = HttpClient::connect(node.http()).await;
    for _ in 0..2 {
        let answer = client.get("/app/large.bin").await;
        assert!(answer.body == bytes, "{} bytes", answer.body.len());
    }
}
