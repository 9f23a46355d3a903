//! HTTPS, WSS and RTMPS: one certificate, read again when its files change.

use ramona_testkit::ffmpeg::{Ffmpeg, png_size};
use ramona_testkit::{Certificate, HttpClient, Stranger, TestNode, wait};

const SCRIPT: &str = "function onConnection(client)
    NOTE(client.protocol, ' ', client.path)
    function client:test(...) return ... end
end";

async fn node(certificate: &Certificate) -> TestNode {
    TestNode::builder("N")
        .www("main.lua", SCRIPT)
        .www("live/main.lua", "")
        .tls(certificate)
        .start()
        .await
}

async fn https(node: &TestNode, certificate: &Certificate) -> HttpClient {
    HttpClient::connect_tls(node.https(), certificate).await.expect("a TLS connection")
}

#[tokio::test]
async fn https_serves_calls_and_files_as_http_does() {
    let certificate = Certificate::new();
    let node = node(&certificate).await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 13) as u8).collect();
    std::fs::write(node.dir().join("www/large.bin"), &bytes).expect("a file");
    let mut client = https(&node, &certificate).await;
    assert_eq!(client.get("/test?x=1").await.text(), r#"[{"x":1}]"#);
    let answer = client.post("/", "application/json", r#"["test",1,2]"#).await;
    assert_eq!(answer.text(), "[1,2]");
    assert!(client.get("/large.bin").await.body == bytes);
    assert_eq!(client.get("/health").await.status, 200);
    // The plain port goes on beside it.
    assert_eq!(HttpClient::connect(node.http()).await.get("/test?5").await.text(), "[5]");
}

#[tokio::test]
async fn a_stream_published_through_rtmps_is_played_through_rtmps_and_https() {
    let certificate = Certificate::new();
    let node = node(&certificate).await;
    let url = format!("rtmps://{}/live/test", node.rtmps());
    let publisher = Ffmpeg::publish(&url, 60.0);
    node.logged(&["publish"]).await;
    let mut secret = Ffmpeg::grab_picture(&url);
    secret.finished().await;
    assert_eq!(png_size(&secret.picture()), (320, 180));
    let mut plain = Ffmpeg::decode(&format!("rtmp://{}/live/test", node.rtmp()), 2.0);
    plain.finished().await;
    let mut file = Ffmpeg::grab_picture(&format!("https://{}/live/test.flv", node.https()));
    file.finished().await;
    assert_eq!(png_size(&file.picture()), (320, 180));
    drop(publisher);
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn a_changed_certificate_is_used_and_a_broken_one_is_not() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let node = node(&first).await;
    assert!(HttpClient::connect_tls(node.https(), &second).await.is_err(), "not there yet");
    let mut kept = https(&node, &first).await;
    std::fs::write(node.dir().join("cert.pem"), "-----BEGIN").expect("a broken file");
    node.logged(&["changed TLS certificate not used", "cert.pem"]).await;
    assert_eq!(https(&node, &first).await.get("/test").await.status, 200);
    second.write(node.dir());
    node.logged(&["TLS certificate read again"]).await;
    assert_eq!(https(&node, &second).await.get("/test").await.status, 200);
    assert!(HttpClient::connect_tls(node.https(), &first).await.is_err(), "the old one is gone");
    assert_eq!(kept.get("/test").await.status, 200, "connections stay");
}

#[tokio::test]
async fn what_is_no_tls_is_refused_with_a_line() {
    let certificate = Certificate::new();
    let node = node(&certificate).await;
    for to in [node.https(), node.rtmps()] {
        let mut stranger = Stranger::connect(to).await;
        stranger.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        stranger.finish().await;
        stranger.closed().await;
    }
    node.logged(&["TLS handshake failed"]).await;
    // Half a hello, and then nothing.
    let mut stranger = Stranger::connect(node.https()).await;
    assert!(stranger.send(b"\x16\x03\x01\x02").await);
    stranger.closed().await;
    node.logged(&["TLS handshake takes too long"]).await;
    use ramona_actors::metrics::ActorKind;
    wait::until("sessions to end", || {
        node.alive(ActorKind::HttpSession) + node.alive(ActorKind::RtmpSession) == 0
    })
    .await;
    assert_eq!(https(&node, &certificate).await.get("/test").await.status, 200);
}

#[tokio::test]
async fn a_port_for_tls_without_a_certificate_is_an_error_that_names_the_keys() {
    let loaded = ramona::config::Config::parse(
        b"HTTPS.port = 8443",
        None,
        std::path::Path::new("."),
        &ramona::config::Overrides::default(),
    );
    let text = format!("{:?}", loaded.expect_err("refused"));
    assert!(text.contains("HTTPS.port") && text.contains("tls.certificate"), "{text}");
}
