//! Clients that leave while a handler decides about them: scripts see them end all the same, in the
//! order of events of section 3.1.

use ramona_actors::metrics::ActorKind;
use ramona_testkit::{
    ClientOptions, RtmfpClient, RtmfpOptions, RtmpClient, Stranger, TestNode, WebSocketClient, wait,
};

/// A handler that the URL names does not return before the test opens its door, a file.
const SCRIPT: &str = r#"
local function hold(client, what)
    if client.hold ~= what then return end
    NOTE("holds ", what)
    while not io.open(mona:absolutePath("")..what) do os.execute("sleep 0.01") end
end
function onConnection(client)
    hold(client, "connect")
    function client:onPublish() hold(self, "publish") end
    function client:onUnpublish(publication) NOTE("unpublished ", publication.name) end
    function client:onSubscribe() hold(self, "play") end
    function client:onUnsubscribe(listener) NOTE("unsubscribed ", listener.publication.name) end
    function client:left() return #mona.clients, #mona.publications end
end
function onDisconnection(client) NOTE("gone ", client.hold) end"#;

const HEADERS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn node() -> TestNode {
    // Who waits for a script is not read from: that it is gone is seen by pings that it does not take.
    let ini = "RTMP.timeout = 1\nWebSocket.timeout = 1";
    TestNode::builder("N").ini(ini).www("main.lua", SCRIPT).start().await
}

/// A client waits for the handler `what`; it leaves, then the handler allows what it asked for.
async fn leave<K>(node: &TestNode, what: &str, go: impl FnOnce() -> K) {
    node.logged(&[&format!("holds {what}")]).await;
    let _kept = go();
    let kinds = [
        ActorKind::RtmpSession,
        ActorKind::RtmfpSession,
        ActorKind::WebSocketSession,
        ActorKind::HttpSession,
    ];
    wait::until("the session to end", || kinds.iter().all(|kind| node.alive(*kind) == 0)).await;
    node.write_www(what, "");
    node.logged(&[&format!("gone {what}")]).await;
    let lines = node.log_lines();
    let order = |text: &str| lines.iter().position(|line| line.contains(text));
    let gone = order("gone ");
    match what {
        "publish" => assert!(order("unpublished s").is_some_and(|at| Some(at) < gone)),
        "play" => assert!(order("unsubscribed s").is_some_and(|at| Some(at) < gone)),
        _ => assert!(order("unpublished").or(order("unsubscribed")).is_none()),
    }
    only_witness_is_left(node).await;
}

async fn only_witness_is_left(node: &TestNode) {
    let witness = RtmpClient::connect(node.rtmp(), "").await;
    let left = witness.call("left", &[]).await.expect("an answer");
    assert_eq!(left, [1.0.into(), 0.0.into()], "only the witness is left");
    assert_eq!(node.panics(), 0);
}

async fn ask(node: &TestNode, path: &str, headers: &str) -> Stranger {
    let mut stranger = Stranger::connect(node.http()).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    assert!(stranger.send(request.as_bytes()).await);
    stranger
}

#[tokio::test]
async fn evt_04_an_rtmp_client_that_leaves_during_on_connection_is_disconnected() {
    let node = node().await;
    let client = RtmpClient::open(node.rtmp(), "?hold=connect", ClientOptions::default()).await;
    node.logged(&["holds connect"]).await;
    drop(client);
    // Nothing is read nor sent before the decision, so the end is seen behind it.
    node.write_www("connect", "");
    node.logged(&["gone connect"]).await;
    only_witness_is_left(&node).await;
}

#[tokio::test]
async fn evt_04_an_rtmfp_client_that_leaves_during_on_connection_is_disconnected() {
    let node = node().await;
    let client = RtmfpClient::open(node.rtmfp(), "?hold=connect", RtmfpOptions::default()).await;
    leave(&node, "connect", || client.leave()).await;
}

#[tokio::test]
async fn evt_04_clients_of_http_and_websocket_that_leave_during_on_connection_are_disconnected() {
    for (path, headers) in [
        ("/?hold=connect", ""),
        ("/?hold=connect", HEADERS),
        ("/s.flv?hold=connect", ""),
        ("/s.flv?hold=connect", HEADERS),
    ] {
        let node = node().await;
        let client = ask(&node, path, headers).await;
        leave(&node, "connect", || drop(client)).await;
    }
}

#[tokio::test]
async fn cli_34_a_client_that_leaves_during_on_publish_is_unpublished() {
    let rtmp = node().await;
    let client = RtmpClient::connect(rtmp.rtmp(), "?hold=publish").await;
    client.ask_publish("s").await;
    leave(&rtmp, "publish", || drop(client)).await;

    let rtmfp = node().await;
    let client = RtmfpClient::connect(rtmfp.rtmfp(), "?hold=publish").await;
    client.ask_publish("s").await;
    leave(&rtmfp, "publish", || client.leave()).await;

    let websocket = node().await;
    let mut client = WebSocketClient::connect(websocket.http(), "/?hold=publish").await;
    client.text(r#"["__publish","s"]"#).await;
    leave(&websocket, "publish", || drop(client)).await;
}

#[tokio::test]
async fn cli_36_a_client_that_leaves_during_on_subscribe_is_unsubscribed() {
    let rtmp = node().await;
    let client = RtmpClient::connect(rtmp.rtmp(), "?hold=play").await;
    client.ask_play("s").await;
    leave(&rtmp, "play", || drop(client)).await;

    let rtmfp = node().await;
    let client = RtmfpClient::connect(rtmfp.rtmfp(), "?hold=play").await;
    client.ask_play("s").await;
    leave(&rtmfp, "play", || client.leave()).await;

    let websocket = node().await;
    let mut client = WebSocketClient::connect(websocket.http(), "/?hold=play").await;
    client.text(r#"["__play","s"]"#).await;
    leave(&websocket, "play", || drop(client)).await;
}

#[tokio::test]
async fn cli_36_a_player_of_http_that_leaves_during_on_subscribe_is_unsubscribed() {
    for headers in ["", HEADERS] {
        let node = node().await;
        let client = ask(&node, "/s.flv?hold=play", headers).await;
        leave(&node, "play", || drop(client)).await;
    }
}
