//! The demos of `www/` that are pages: what their scripts answer, and what a browser shows.

use std::path::{Path, PathBuf};

use ramona_testkit::chromium::Browser;
use ramona_testkit::{HttpClient, HttpResponse, NodeBuilder, TestNode};
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// A node with everything that is in `www/`.
fn node() -> NodeBuilder {
    let www = Path::new(env!("CARGO_MANIFEST_DIR")).join("www");
    let mut builder = TestNode::builder("N").ini("host = n.example");
    for file in files(&www) {
        let text = std::fs::read(&file).expect("a file of a demo");
        let below = file.strip_prefix(&www).expect("below www").to_string_lossy().into_owned();
        builder = builder.www(&below, &String::from_utf8_lossy(&text));
    }
    builder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn json(answer: &HttpResponse) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn assert_answer(answer: &HttpResponse, text: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (200, text));
}

#[tokio::test]
async fn rpc_answers_json_and_xml_rpc_and_names_its_errors() {
    let node = node().start().await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_answer(&client.post("/rpc/", JSON, r#"["add",2,3.5,"4"]"#).await, "[9.5]");
    assert_answer(
        &client.post("/rpc/", JSON, r#"["echo",null,{"x":[1]}]"#).await,
        r#"[null,{"x":[1]}]"#,
    );
    assert_answer(&client.get("/rpc/greet?name=Ann").await, r#"["Hello, Ann!"]"#);
    let call = "<?xml version=\"1.0\"?><methodCall><methodName>greet</methodName><params><param>\
        <value><string>Bob</string></value></param></params></methodCall>";
    let answer = client.post("/rpc/", "text/xml", call).await;
    assert!(answer.text().contains("<string>Hello, Bob!</string>"), "{}", answer.text());
    let answer = client.post("/rpc/", JSON, r#"["fails"]"#).await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("this function always fails"), "{}", answer.text());
}

#[tokio::test]
async fn rest_reads_and_changes_its_cities() {
    let node = node().start().await;
    let mut client = HttpClient::connect(node.http()).await;
    let oslo = client.get("/rest/city?name=Oslo").await;
    assert_eq!(json(&oslo), json!([{ "name": "Oslo", "people": 717710 }]));
    let form = "application/x-www-form-urlencoded";
    let added = client.post("/rest/", form, "name=Turin&people=841600").await;
    assert_eq!(added.status, 200, "{}", added.text());
    let added = client.post("/rest/", JSON, r#"{"name":"Bari","people":316015}"#).await;
    assert_eq!(added.status, 200, "{}", added.text());
    let csv = "name,people\n\"Bari\",316015\n\"Ghent\",265086\n\"Oslo\",717710\n\"Porto\",231800\n\"Turin\",841600\n";
    assert_answer(&client.get("/rest/cities.csv").await, csv);
    let cities = json(&client.get("/rest/cities").await);
    assert_eq!(cities[0][0], json!({ "name": "Bari", "people": 316015 }));
    let wrong = client.post("/rest/", JSON, r#"{"name":" ","people":1}"#).await;
    assert_eq!(wrong.status, 500);
    assert!(wrong.text().contains("a city has a name"), "{}", wrong.text());
    let mut client = HttpClient::connect(node.http()).await;
    assert_eq!(client.get("/rest/city?name=Nowhere").await.status, 404);
}

#[tokio::test]
async fn cookies_know_their_visitor_again() {
    let node = node().start().await;
    let mut client = HttpClient::connect(node.http()).await;
    let page = client.get("/cookies/page.html").await;
    assert!(page.text().contains("<h1 id=\"greeting\">Hello, stranger</h1>"), "{}", page.text());
    let cookie = page.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("demoVisits=1;"), "{cookie}");
    assert!(cookie.contains("Path=/cookies/") && cookie.contains("HttpOnly"), "{cookie}");
    assert_answer(&client.get("/cookies/remember?name=Ann").await, r#"[{"name":"Ann"}]"#);
    let jar = ["Cookie: demoVisits=4; demoName=Ann"];
    let page = client.ask("GET", "/cookies/page.html", &jar, b"").await.text();
    assert!(
        page.contains("Welcome back, Ann") && page.contains("<b id=\"visits\">5</b> times"),
        "{page}"
    );
    let wrong = client.get("/cookies/remember?name=%3Cb%3E%0d%0aSet-Cookie:x").await;
    assert!(wrong.text().contains("problem") && wrong.header("set-cookie").is_none(), "{wrong:?}");
    let gone = client.get("/cookies/forget").await;
    let gone: Vec<_> = gone.all("set-cookie").into_iter().map(str::to_owned).collect();
    assert_eq!(gone.len(), 2, "{gone:?}");
}

#[tokio::test]
async fn the_guestbook_is_there_again_after_a_restart() {
    let mut node = node().start().await;
    let mut client = HttpClient::connect(node.http()).await;
    assert_answer(&client.get("/guestbook/entries").await, "[[]]");
    for (name, number) in [("Ann", "[1]"), ("Bob", "[2]")] {
        let call = format!(r#"["sign","{name}","A line\nand another of {name}"]"#);
        assert_answer(&client.post("/guestbook/", JSON, &call).await, number);
    }
    let refused = client.post("/guestbook/", JSON, r#"["sign","",""]"#).await;
    assert!(refused.status == 500 && refused.text().contains("a name and a text"), "{refused:?}");
    node.stop().await;
    node.start().await;
    let mut client = HttpClient::connect(node.http()).await;
    let entries = json(&client.get("/guestbook/entries").await);
    assert_eq!(entries[0][0]["name"], "Bob", "the newest first");
    assert_eq!(entries[0][1]["text"], "A line and another of Ann");
}

#[tokio::test]
async fn files_are_listed_by_the_script_and_by_the_node() {
    let node = node().start().await;
    let mut client = HttpClient::connect(node.http()).await;
    let list = json(&client.get("/files/list?sort=size").await);
    let names: Vec<_> = list[0].as_array().expect("a list").iter().map(|f| &f["name"]).collect();
    assert_eq!(names, ["dot.svg", "cities.csv", "readme.txt"], "the largest first");
    assert_eq!((&list[0][2]["kind"], &list[0][2]["size"]), (&json!("txt"), &json!(20)));
    let folder = client.get("/files/samples/").await;
    assert!(folder.status == 200 && folder.text().contains("readme.txt"), "{folder:?}");
    assert_answer(&client.get("/files/samples/readme.txt").await, "A file to download.\n");
}

/// Each page in a real browser, used as a visitor would.
#[tokio::test]
async fn pages_show_what_their_applications_answer() {
    let node = node().start().await;
    let browser = Browser::start();
    let at = |page: &str| format!("http://{}/{page}", node.http());
    let use_form = |fields: &[(&str, &str)], button: &str| {
        let fill: String = fields
            .iter()
            .map(|(field, value)| format!("document.querySelector('{field}').value = '{value}';"))
            .collect();
        format!("{fill} document.querySelector('{button}').click()")
    };

    let front = browser.open(&at("demos/")).await;
    front.shows("The demo applications of this node").await;
    // Every demo that is listed there is there.
    let links = "[...document.querySelectorAll('h2 a')].map(a => a.href)";
    let links = front.eval(links).await.expect("links");
    for link in links.as_array().expect("a list") {
        front.go(link.as_str().expect("an address")).await;
        front.until("document.readyState === 'complete'").await;
        let title = front.eval("document.title").await.expect("a title");
        assert!(!title.as_str().expect("a text").starts_with(['4', '5']), "{link}: {title}");
    }

    let rpc = browser.open(&at("rpc/")).await;
    rpc.shows("connected").await;
    for (way, answer) in [("socket", "[5]"), ("json", "[5]"), ("xml", "<int>5</int>")] {
        rpc.eval(&use_form(&[], &format!("[data-way={way}]"))).await.expect("a click");
        rpc.shows(answer).await;
    }
    let other = browser.open(&at("rpc/")).await;
    other.shows("connected").await;
    let tell = [("#name", "tellAll"), ("#args", "[\"to all of you\"]")];
    rpc.eval(&use_form(&tell, "[data-way=json]")).await.expect("a click");
    for page in [&rpc, &other] {
        page.until("document.getElementById('news').textContent.includes('to all of you')").await;
    }

    let rest = browser.open(&at("rest/")).await;
    for text in ["Oslo", "404"] {
        rest.shows(text).await;
    }
    rest.eval(&use_form(&[("[name=name]", "Bari")], "[data-json]")).await.expect("a click");
    rest.until("document.querySelector('tbody').textContent.includes('Bari')").await;

    // The folder sends on to the page; cookies of the first visit come with the second.
    let cookies = browser.open(&at("cookies/")).await;
    cookies.shows("Hello, stranger").await;
    // The text is there before the script that serves the form.
    cookies.until("document.readyState === 'complete'").await;
    cookies.eval(&use_form(&[("[name=name]", "Ann")], "form button")).await.expect("a click");
    cookies.shows("Welcome back, Ann").await;
    // The browser may ask more than once while it goes from page to page.
    cookies.until("/[2-9] times/.test(document.body.innerText)").await;

    let guestbook = browser.open(&at("guestbook/")).await;
    guestbook.shows("connected").await;
    let sign = [("[name=name]", "Ann"), ("[name=text]", "<i>a fine place</i>")];
    guestbook.eval(&use_form(&sign, "form button")).await.expect("a click");
    guestbook.until("document.querySelector('article').textContent.includes('<i>a fine')").await;

    let files = browser.open(&at("files/")).await;
    for text in ["readme.txt", "dot.svg"] {
        files.shows(text).await;
    }
    // The browser reports refused requests itself, as the 404 of the REST page; the live page's
    // player tells what it does.
    let usual = |line: &String| line.contains("404 (Not Found)") || line.contains("onSourceOpen");
    let errors: Vec<_> = browser.lines().into_iter().filter(|line| !usual(line)).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(node.panics(), 0);
}
