//! The node's own pages in a real browser: the player of `www/live`, the operator's page.

use ramona_testkit::chromium::Browser;
use ramona_testkit::ffmpeg::Ffmpeg;
use ramona_testkit::{Certificate, NodeBuilder, TestNode};

fn node() -> NodeBuilder {
    TestNode::builder("N")
        .www("live/main.lua", include_str!("../www/live/main.lua"))
        .www("live/index.html", include_str!("../www/live/index.html"))
        .www("live/mpegts.js", include_str!("../www/live/mpegts.js"))
}

/// Pictures move: the video's clock does.
const MOVES: &str = "window.seen = window.seen ?? video.currentTime, video.currentTime > seen + 1";

#[tokio::test]
async fn the_live_page_plays_over_each_transport_and_shows_how_late_it_is() {
    let node = node().start().await;
    let browser = Browser::start();
    let base = format!("http://{}/live/?name=test", node.http());
    // It is there before the stream, and says so.
    let page = browser.open(&base).await;
    page.shows("Nobody publishes this stream now.").await;
    let _publisher = Ffmpeg::publish(&format!("rtmp://{}/live/test", node.rtmp()), 300.0);
    for over in ["", "&over=ws", "&over=ts"] {
        if !over.is_empty() {
            page.go(&format!("{base}{over}")).await;
        }
        page.until("document.getElementById('state').dataset.is === 'live'").await;
        page.until("video.videoWidth === 320 && video.videoHeight === 180").await;
        page.until("/^\\d+\\.\\d\\d s$/.test(document.getElementById('latency').textContent)")
            .await;
        page.until("/^\\d+ ms$/.test(document.getElementById('first').textContent)").await;
        page.shows("H.264, AAC").await;
        page.until(MOVES).await;
    }
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn the_live_page_plays_over_https_and_wss() {
    let certificate = Certificate::new();
    let node = node().tls(&certificate).start().await;
    let _publisher = Ffmpeg::publish(&format!("rtmp://{}/live/test", node.rtmp()), 300.0);
    let browser = Browser::start();
    let base = format!("https://{}/live/?name=test", node.https());
    let page = browser.open(&base).await;
    for over in ["", "&over=ws", "&over=ts"] {
        if !over.is_empty() {
            page.go(&format!("{base}{over}")).await;
        }
        page.until("document.getElementById('state').dataset.is === 'live'").await;
        page.until("video.videoWidth === 320 && video.videoHeight === 180").await;
        page.until(MOVES).await;
    }
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn the_live_page_says_plainly_when_the_browser_or_the_script_will_not() {
    let refuses = "function onSubscribe(client, listener) error('not for you') end";
    let node = node().www("live/main.lua", refuses).start().await;
    let browser = Browser::start();
    let page = browser.open(&format!("http://{}/live/index.html", node.http())).await;
    page.shows("The server refuses to show this stream.").await;
    page.eval("mpegts.isSupported = () => false, start()").await.expect("no exception");
    page.shows("This browser cannot play the stream.").await;
}

#[tokio::test]
async fn the_operators_page_is_live_and_draws_its_plots() {
    let node = node().start().await;
    let _publisher = Ffmpeg::publish(&format!("rtmp://{}/live/test", node.rtmp()), 300.0);
    let browser = Browser::start();
    // `/` leads there: the root application has nothing of its own to show.
    let page = browser.open(&format!("http://{}/", node.http())).await;
    page.until("location.pathname === '/status'").await;
    page.until("document.getElementById('state').dataset.is === 'live'").await;
    page.shows("No other node is linked.").await;
    page.until("document.querySelector('#publication-rows td')?.textContent === 'test'").await;
    page.until("/bit\\/s$/.test(document.getElementById('in').textContent)").await;
    page.until("document.querySelectorAll('.plot canvas').length === 4").await;
    page.until("past.at.length >= 3").await;
    // Its publisher is a client, with an address and a rate.
    page.until("/^127\\.0\\.0\\.1:/.test(document.querySelector('#client-rows td')?.textContent)")
        .await;
    page.until(
        "/bit\\/s$/.test(document.querySelector('#client-rows td:nth-child(2)')?.textContent)",
    )
    .await;
    // A phone shows all of it without scrolling to the side, and wide tables by themselves.
    page.resize(390, 844).await;
    page.until("[...document.querySelectorAll('.plot canvas')].every(at => at.clientWidth < 390)")
        .await;
    page.until("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        .await;
    page.until("innerWidth === 390").await;
    let errors = browser.lines();
    assert!(errors.iter().all(|line| !line.contains("rror")), "{errors:#?}");
}
