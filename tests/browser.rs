//! One Lua application for everybody: a page in Chromium, an RTMP client, an RTMFP client, ffmpeg.

use std::path::Path;

use ramona_amf::Value;
use ramona_media::{MediaFrame, MediaKind};
use ramona_testkit::chromium::{Browser, Page};
use ramona_testkit::ffmpeg::Ffmpeg;
use ramona_testkit::{RtmfpClient, RtmpClient, TestNode, WebSocketClient, wait};

/// A file of the repository.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The value of an expression as JSON text.
async fn eval(page: &Page<'_>, expression: &str) -> String {
    page.eval(expression).await.expect("no exception").to_string()
}

#[tokio::test]
async fn a_page_and_rtmp_and_rtmfp_clients_share_one_application_and_watch_what_ffmpeg_sends() {
    let node = TestNode::builder("N")
        .www("meeting/main.lua", include_str!("meeting/main.lua"))
        .www("meeting/index.html", include_str!("meeting/index.html"))
        .www("meeting/card.html", include_str!("meeting/card.html"))
        .www("meeting/mpegts.js", &file("www/live/mpegts.js"))
        .start()
        .await;
    let flash = RtmpClient::connect(node.rtmp(), "meeting").await;
    let peer = RtmfpClient::connect(node.rtmfp(), "meeting").await;
    let browser = Browser::start();
    let page = browser.open(&format!("http://{}/meeting/", node.http())).await;
    page.until("document.title == 'meeting' && document.readyState == 'complete'").await;

    // The same function over each of the page's ways.
    let own = |protocol| format!(r#"["hello Ann","{protocol}","/meeting"]"#);
    assert_eq!(eval(&page, "overWebSocket('hello', 'Ann')").await, own("WebSocket"));
    assert_eq!(eval(&page, "overJson('hello', 'Ann')").await, own("HTTP"));
    assert_eq!(eval(&page, "overXmlRpc('hello', 'Ann')").await, own("HTTP"));
    let hello = flash.call("hello", &["Ann".into()]).await;
    assert_eq!(hello, Ok(vec!["hello Ann".into(), "RTMP".into(), "/meeting".into()]));
    let hello = peer.call("hello", &["Ann".into()]).await;
    assert_eq!(hello, Ok(vec!["hello Ann".into(), "RTMFP".into(), "/meeting".into()]));

    // All of them see each other, and hear what any of them says.
    assert_eq!(eval(&page, "overJson('who')").await, r#"["RTMFP RTMP WebSocket"]"#);
    assert_eq!(flash.call("say", &["from flash".into()]).await, Ok(vec![3.0.into()]));
    assert_eq!(peer.call("say", &["from the peer".into()]).await, Ok(vec![3.0.into()]));
    assert_eq!(eval(&page, "overWebSocket('say', 'from the page')").await, "[3]");
    assert_eq!(eval(&page, "overXmlRpc('say', 'from HTTP')").await, r#"["3"]"#);
    let said = [
        ("RTMP", "from flash"),
        ("RTMFP", "from the peer"),
        ("WebSocket", "from the page"),
        ("HTTP", "from HTTP"),
    ];
    for (protocol, text) in said {
        page.shows(&format!("onSay {protocol} {text}")).await;
        let expected = [Value::from(protocol), text.into()];
        let heard = |calls: Vec<Vec<Value>>| calls.iter().any(|call| call.ends_with(&expected));
        wait::until("the RTMP client hears", || heard(flash.calls("onSay"))).await;
        wait::until("the RTMFP client hears", || heard(peer.calls("onSay"))).await;
    }

    // Cookies of the script and of the page, over HTTP and in the upgrade.
    assert_eq!(eval(&page, "overJson('visit')").await, "[1,null]");
    assert_eq!(eval(&page, "document.cookie").await, r#""visits=1""#);
    eval(&page, "document.cookie = 'colour=blue; path=/'").await;
    assert_eq!(eval(&page, "overJson('visit')").await, r#"[2,"blue"]"#);
    page.go(&format!("http://{}/meeting/?again", node.http())).await;
    page.until("location.search == '?again' && document.readyState == 'complete'").await;
    assert_eq!(eval(&page, "overWebSocket('visit')").await, r#"[3,"blue"]"#);

    // A file with the script's values in it.
    let card = "fetch('card.html?name=Ann').then(answer => answer.text())";
    assert_eq!(eval(&page, card).await, "\"<p>card of Ann in /meeting</p>\\n\"");

    // Data messages of a publication.
    eval(&page, r#"void socket.send('["__play","notes"]')"#).await;
    let notes = flash.publish("notes").await;
    page.shows("__publishing notes").await;
    let mut body = Vec::new();
    for value in [Value::from("onNote"), "a note".into(), 7.0.into()] {
        value.encode_amf0(&mut body).expect("AMF0");
    }
    flash.send(notes, &[MediaFrame::new(MediaKind::Data, 0, body.into())]);
    page.shows("onNote a note 7").await;

    // A stream for everybody: over HTTP and over WebSocket in the page.
    let _ffmpeg = Ffmpeg::publish(&format!("rtmp://{}/meeting/cam", node.rtmp()), 600.0);
    node.logged(&["publication started", "cam"]).await;
    let flash_play = flash.play("cam").await;
    let peer_play = peer.play("cam").await;
    let playing = "video.currentTime > 1 && video.videoWidth == 320 && colours() > 20";
    eval(&page, "watch('cam.flv')").await;
    page.until(playing).await;
    let watchers = eval(&page, "overJson('watchers', 'cam')").await;
    assert_eq!(watchers, r#"["HTTP RTMFP RTMP"]"#);
    eval(&page, "watch(folder.replace('http', 'ws') + 'cam.flv')").await;
    page.until(playing).await;
    page.until("overJson('watchers', 'cam').then(([all]) => all == 'RTMFP RTMP WebSocket')").await;
    let is_key = |frames: &[MediaFrame]| frames.iter().any(|f| f.is_keyframe).then_some(());
    wait::until_some("video by RTMP", || is_key(&flash.frames(flash_play))).await;
    wait::until_some("video by RTMFP", || is_key(&peer.frames(peer_play))).await;

    assert_eq!(node.panics(), 0);
    assert!(!node.has_logged(&["ERROR"]), "nothing went wrong in between");
}

/// Calls a function that answers nothing.
fn call_only(client: &RtmpClient, name: &str, text: &'static str) {
    let mut args = Vec::new();
    Value::from(text).encode_amf0(&mut args).expect("AMF0");
    client.with(|client| client.call(name, &args)).expect("it fits");
}

#[tokio::test]
async fn the_chat_page_shows_who_is_there_and_what_they_say() {
    let node = TestNode::builder("N")
        .www("chat/main.lua", &file("www/chat/main.lua"))
        .www("chat/index.html", &file("www/chat/index.html"))
        .start()
        .await;
    let browser = Browser::start();
    let address = format!("http://{}/chat/", node.http());
    let enter = async |page: &Page<'_>, text: &str| {
        page.until("!$('text').disabled").await;
        let text = serde_json::Value::from(text);
        eval(page, &format!("void ($('text').value = {text}, $('form').requestSubmit())")).await;
    };
    let ann = browser.open(&address).await;
    enter(&ann, "Ann").await;
    ann.shows("You are here as Ann.").await;
    enter(&ann, "before Bob").await;
    let bob = browser.open(&address).await;
    enter(&bob, "ann").await;
    bob.shows("ann is here already.").await;
    enter(&bob, "Bob").await;
    bob.shows("before Bob").await;
    bob.until("present().join() == 'Ann,Bob'").await;
    ann.shows("Bob came in.").await;
    ann.until("present().join() == 'Ann,Bob'").await;
    enter(&bob, "<b>hi</b> & \"you\"").await;
    ann.shows("<b>hi</b> & \"you\"").await;
    eval(&bob, "void $('text').dispatchEvent(new Event('input'))").await;
    ann.until("document.querySelector('#people .typing').textContent == 'Bob'").await;
    // A client of another protocol takes part.
    let flash = RtmpClient::connect(node.rtmp(), "chat").await;
    call_only(&flash, "join", "Flo");
    ann.shows("Flo came in.").await;
    call_only(&flash, "say", "from Flash");
    bob.shows("from Flash").await;
    drop(flash);
    bob.shows("Flo left.").await;
    // An interruption: the page comes back by itself.
    eval(&bob, "socket.close()").await;
    ann.shows("Bob left.").await;
    bob.until("socket.readyState == WebSocket.OPEN && me == 'Bob'").await;
    ann.until("present().join() == 'Ann,Bob'").await;
    bob.go(&address).await;
    ann.until("present().join() == 'Ann'").await;
    // Lengths are those of characters, whatever their bytes; a phone sees the end and who is there.
    bob.resize(390, 600).await;
    enter(&bob, &"Б".repeat(24)).await;
    bob.until("me == 'Б'.repeat(24) && present().join() == 'Ann,' + me").await;
    for _ in 0..8 {
        enter(&bob, &"ж".repeat(900)).await;
    }
    ann.until("document.querySelectorAll('.message').length >= 10").await;
    ann.until("[...document.querySelectorAll('.message')].at(-1).textContent.length == 900").await;
    let at_end = "$('log').scrollHeight - $('log').scrollTop - $('log').clientHeight < 2";
    ann.until(at_end).await;
    bob.until(at_end).await;
    bob.until("$('people').offsetHeight > 0 && document.documentElement.scrollWidth <= 390").await;
    // What no page sends is no trouble.
    let mut rude = WebSocketClient::connect(node.http(), "/chat").await;
    for message in [r#"["join",7]"#, r#"["say","x"]"#, r#"["typing"]"#, r#"["join",{}]"#] {
        rude.text(message).await;
    }
    assert_eq!(rude.next_text().await, r#"["onRefused","A name has 1 to 24 characters."]"#);
    assert_eq!(rude.next_text().await, r#"["onRefused","A name has 1 to 24 characters."]"#);
    assert!(!node.has_logged(&["ERROR"]), "no handler failed");
}
