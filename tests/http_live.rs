//! Players over HTTP and WebSocket: FLV and transport streams of what RTMP clients publish.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use ramona_actors::metrics::Protocol;
use ramona_media::{MediaFrame, MediaKind};
use ramona_testkit::ffmpeg::Ffmpeg;

use ramona_testkit::{
    RtmfpClient, RtmpClient, Stranger, TestNode, WebSocketClient, flv, http_get, pictures, wait,
};

const WITNESS: &str = r#"
function onConnection(client)
	if client.path == "/refused" then error("not you") end
	NOTE(client.protocol, " connected")
	function client:onSubscribe(listener)
		NOTE("key is ", tostring(listener.parameters.key))
		if listener.parameters.key == "wrong" then error("wrong key") end
		if listener.parameters.key == "none" then return false end
	end
	function client:onUnsubscribe(listener) NOTE("no viewer of ", listener.publication.name) end
end
function onDisconnection(client) NOTE(client.protocol, " left") end
"#;

async fn node() -> TestNode {
    TestNode::builder("N").www("main.lua", WITNESS).start().await
}

fn url(node: &TestNode, path: &str) -> String {
    format!("http://{}{path}", node.http())
}

/// A player that reads tags as they come.
struct Player {
    stranger: Stranger,
    head: String,
}

impl Player {
    /// Asks for a stream and reads the head of the answer.
    async fn get(from: SocketAddr, path: &str) -> Self {
        Self::ask(from, path, "").await
    }

    /// The same by WebSocket.
    async fn upgrade(from: SocketAddr, path: &str) -> Self {
        let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        Self::ask(from, path, headers).await
    }

    async fn ask(from: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stranger = Stranger::connect(from).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {from}\r\n{headers}\r\n");
        assert!(stranger.send(request.as_bytes()).await);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(stranger.read(1).await.expect("the head of an answer"));
        }
        Self { stranger, head: String::from_utf8(head).expect("text") }
    }

    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.stranger.read(count).await.expect("the stream goes on")
    }

    /// File header: which kinds of media it announces.
    async fn header(&mut self) -> u8 {
        let header = self.bytes(13).await;
        assert_eq!(header[..4], *b"FLV\x01");
        assert_eq!(header[5..], *b"\0\0\0\x09\0\0\0\0");
        header[4]
    }

    async fn tag(&mut self) -> MediaFrame {
        let head = self.bytes(11).await;
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let time = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        let body = Bytes::from(self.bytes(length).await);
        let behind: [u8; 4] = self.bytes(4).await.try_into().expect("four bytes");
        assert_eq!(u32::from_be_bytes(behind) as usize, length + 11);
        let kind = match head[0] {
            8 => MediaKind::Audio,
            9 => MediaKind::Video,
            18 => MediaKind::Data,
            other => panic!("tag type {other}"),
        };
        MediaFrame::new(kind, time, body)
    }

    /// Tags up to one with the body of `last`.
    async fn tags_to(&mut self, last: &MediaFrame) -> Vec<MediaFrame> {
        let mut tags = Vec::new();
        while tags.last().is_none_or(|tag: &MediaFrame| tag.payload != last.payload) {
            tags.push(self.tag().await);
        }
        tags
    }

    /// The payload of a binary message in one frame.
    async fn message(&mut self) -> Vec<u8> {
        let head = self.bytes(2).await;
        assert_eq!(head[0], 0x82, "a whole binary message");
        let length = match head[1] {
            126 => {
                let long: [u8; 2] = self.bytes(2).await.try_into().expect("two bytes");
                usize::from(u16::from_be_bytes(long))
            }
            127 => {
                let long: [u8; 8] = self.bytes(8).await.try_into().expect("eight bytes");
                u64::from_be_bytes(long) as usize
            }
            short => usize::from(short),
        };
        self.bytes(length).await
    }
}

fn bodies(frames: &[MediaFrame]) -> Vec<(MediaKind, &[u8])> {
    frames.iter().map(|frame| (frame.kind, &frame.payload[..])).collect()
}

fn last(frames: &[MediaFrame]) -> &MediaFrame {
    frames.last().expect("frames")
}

#[tokio::test]
async fn htt_12_and_pub_19_every_tag_arrives_as_it_was_published_and_time_begins_at_0() {
    let node = node().await;
    let mut early = Player::get(node.http(), "/stage.flv").await;
    assert!(early.head.starts_with("HTTP/1.1 200 "), "{}", early.head);
    assert!(early.head.contains("content-type: video/x-flv"), "{}", early.head);
    assert!(!early.head.contains("content-length"), "{}", early.head);
    assert!(!early.head.contains("chunked"), "{}", early.head);
    node.logged(&["key is nil"]).await;

    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let mut frames = pictures::headers().to_vec();
    frames.extend(pictures::range(20..50, 10, 5_000));
    publisher.send(stream, &frames);
    assert_eq!(early.header().await, 5);
    let received = early.tags_to(last(&frames)).await;
    assert_eq!(bodies(&received), bodies(&frames));
    // Times since a frame that was published with the time `start`.
    let times = |frames: &[MediaFrame], start: u32| -> Vec<u32> {
        let pictures = flv::pictures_and_sound(frames);
        pictures.iter().map(|frame| frame.timestamp_ms.wrapping_sub(start)).collect()
    };
    let begin = flv::pictures_and_sound(&frames)[0].timestamp_ms;
    assert_eq!(times(&received, 0), times(&frames, begin));

    // A late player gets the headers and the last group, and then the same as the others.
    let mut late = Player::get(node.http(), "/stage.flv?key=right").await;
    assert_eq!(late.header().await, 5);
    let group = late.tags_to(last(&frames)).await;
    let start = frames.iter().rposition(|frame| frame.is_keyframe).expect("a key frame");
    assert_eq!(bodies(&flv::pictures_and_sound(&group)), bodies(&frames[start..]));
    let late_begin = frames[start].timestamp_ms;
    assert_eq!(times(&group, 0), times(&frames[start..], late_begin));
    assert!(late_begin > begin && group.iter().take(3).all(|tag| tag.timestamp_ms == 0));
    node.logged(&["key is right"]).await;
    let more = pictures::range(50..60, 10, 200_000);
    publisher.send(stream, &more);
    for (player, begin) in [(&mut early, begin), (&mut late, late_begin)] {
        let received = player.tags_to(last(&more)).await;
        assert_eq!(bodies(&received), bodies(&more));
        assert_eq!(times(&received, 0), times(&more, begin));
    }
    let media = node.metrics().media(Protocol::Http);
    wait::until("frames to be counted", || media.frames_out.load(Relaxed) >= 40).await;
    assert_eq!(media.frames_dropped.load(Relaxed), 0);
}

#[tokio::test]
async fn htt_12_a_player_that_leaves_is_unsubscribed_before_it_is_disconnected() {
    let node = node().await;
    let player = Player::get(node.http(), "/stage.flv").await;
    node.logged(&["key is nil"]).await;
    drop(player);
    node.logged(&["HTTP left"]).await;
    let lines = node.log_lines();
    let at = |part: &str| lines.iter().position(|line| line.contains(part)).expect("a line");
    assert!(at("no viewer of stage") < at("HTTP left"));
}

#[tokio::test]
async fn htt_12_and_lis_07_on_subscribe_decides_and_reads_the_query() {
    let node = node().await;
    let (code, _, body) = http_get(node.http(), "/stage.flv?key=wrong").await;
    assert_eq!(code, 403);
    assert!(body.contains("wrong key"), "{body}");
    let (code, _, body) = http_get(node.http(), "/stage.ts?key=none").await;
    assert_eq!(code, 403);
    assert!(body.contains("Not authorized to play stage"), "{body}");
    let (code, _, _) = http_get(node.http(), "/nowhere/stage.flv").await;
    assert_eq!(code, 503, "no such application");
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn a_player_stays_when_another_publisher_takes_the_name_and_its_time_goes_on() {
    let node = node().await;
    let mut player = Player::get(node.http(), "/stage.flv").await;
    let mut times = Vec::new();
    for run in 0..3 {
        let publisher = RtmpClient::connect(node.rtmp(), "").await;
        let stream = publisher.publish("stage").await;
        let mut frames = pictures::headers().to_vec();
        frames.extend(pictures::range(run * 10..run * 10 + 10, 10, 100));
        publisher.send(stream, &frames);
        if run == 0 {
            player.header().await;
        }
        let received = player.tags_to(last(&frames)).await;
        assert_eq!(bodies(&received), bodies(&frames));
        times.extend(received.iter().map(|frame| frame.timestamp_ms));
        let mark = node.log_mark();
        drop(publisher);
        node.logged_since(mark, &["publication ended"]).await;
    }
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn a_stream_without_video_does_not_announce_any() {
    let node = node().await;
    let mut player = Player::get(node.http(), "/stage.flv").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let [_, header] = pictures::headers();
    let sound = [header, pictures::audio(1), pictures::audio(2)];
    publisher.send(stream, &sound);
    assert_eq!(player.header().await, 4);
    assert_eq!(bodies(&player.tags_to(last(&sound)).await), bodies(&sound));
}

#[tokio::test]
async fn a_slow_player_loses_frames_up_to_a_key_frame_and_others_lose_none() {
    let node = TestNode::builder("N")
        .www("main.lua", WITNESS)
        .ini("media.queueBytes = 262144\nmedia.gopBytes = 65536")
        .start()
        .await;
    let mut slow = Player::get(node.http(), "/stage.flv").await;
    let mut quick = Player::get(node.http(), "/stage.flv").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let media = node.metrics().media(Protocol::Http);
    let mut sent = 0;
    // As much as fits into the sockets, and then until something is lost.
    while media.frames_dropped.load(Relaxed) == 0 {
        assert!(sent < 20_000, "sockets end somewhere");
        let frames = match sent {
            0 => pictures::stream(20, 10, 4_000),
            _ => pictures::range(sent..sent + 20, 10, 4_000),
        };
        publisher.send(stream, &frames);
        if sent == 0 {
            quick.header().await;
        }
        let received = quick.tags_to(last(&frames)).await;
        assert_eq!(bodies(&received), bodies(&frames));
        sent += 20;
    }
    // Who looks at the publication sees it.
    let (_, _, seen) = ramona_testkit::http_get(node.http(), "/status/data").await;
    let seen: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
    assert!(seen["publications"]["rows"][0]["dropped"].as_u64() > Some(0), "{seen:#}");
    // The slow one reads again: whole tags, and behind the gap a key frame first.
    slow.header().await;
    let caught_up = Cell::new(false);
    let reading = async {
        let mut received = Vec::new();
        loop {
            let tag = slow.tag().await;
            if tag.is_keyframe && pictures::number(&tag) >= sent {
                caught_up.set(true);
                return received;
            }
            received.push(tag);
        }
    };
    let sending = async {
        let mut next = sent;
        while !caught_up.get() {
            let frames = pictures::range(next..next + 10, 10, 4_000);
            publisher.send(stream, &frames);
            quick.tags_to(last(&frames)).await;
            next += 10;
        }
    };
    let (received, ()) = tokio::join!(reading, sending);
    let numbers: Vec<u32> = flv::pictures_and_sound(&received)
        .iter()
        .filter(|tag| tag.kind == MediaKind::Video)
        .map(pictures::number)
        .collect();
    assert!(numbers.is_sorted());
    for pair in numbers.windows(2) {
        assert!(pair[1] == pair[0] + 1 || pair[1] % 10 == 0, "{pair:?}: a gap ends at a key frame");
    }
    let whole = u32::try_from(numbers.len()).expect("not so many") == sent;
    assert!(!whole, "something was lost");
}

#[tokio::test]
async fn pub_19_flv_over_websocket_is_the_same_file_in_messages_of_whole_tags() {
    let node = node().await;
    let mut player = Player::upgrade(node.http(), "/stage.flv?key=right").await;
    assert!(player.head.starts_with("HTTP/1.1 101 "), "{}", player.head);
    node.logged(&["WebSocket connected"]).await;
    node.logged(&["key is right"]).await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let mut frames = pictures::stream(10, 5, 100);
    frames.extend(pictures::range(10..12, 5, 1_000));
    frames.extend(pictures::range(12..14, 5, 100_000));
    publisher.send(stream, &frames);
    assert_eq!(player.message().await.len(), 13, "the file header");
    let time = |tag: &[u8]| u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]]);
    for frame in &frames {
        let tag = player.message().await;
        assert_eq!(tag[11..tag.len() - 4], frame.payload[..]);
        assert_eq!(time(&tag), frame.timestamp_ms);
    }
    // A late one gets the past in one message; its time begins at 0.
    let mut late = Player::upgrade(node.http(), "/stage.flv").await;
    let past = late.message().await;
    assert_eq!(past[..3], *b"FLV");
    assert_eq!(time(&past[13..]), 0);
    let more = pictures::video(14, false, 100_000);
    publisher.send(stream, [&more]);
    let begin = 10 * 40;
    for (player, begin) in [(&mut player, 0), (&mut late, begin)] {
        let tag = player.message().await;
        assert_eq!((time(&tag), &tag[11..tag.len() - 4]), (14 * 40 - begin, &more.payload[..]));
    }
    // A masked ping with the payload "hi" is answered, a masked close ends it.
    assert!(player.stranger.send(b"\x89\x82\0\0\0\0hi").await);
    assert_eq!(player.bytes(4).await, b"\x8A\x02hi");
    assert!(player.stranger.send(b"\x88\x80\0\0\0\0").await);
    node.logged(&["no viewer of stage"]).await;
    node.logged(&["WebSocket left"]).await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn wsk_05_a_player_that_answers_no_ping_is_let_go_and_one_that_does_stays() {
    let node = TestNode::builder("N").www("main.lua", WITNESS).ini("WebSocket.timeout = 1");
    let node = node.start().await;
    // Nobody publishes: nothing but pings shows who is there.
    let mut silent = Player::upgrade(node.http(), "/stage.flv").await;
    let mut there = Player::upgrade(node.http(), "/stage.flv").await;
    let gone = async {
        assert_eq!(silent.bytes(2).await, b"\x89\0");
        node.logged(&["no viewer of stage"]).await;
        node.logged(&["WebSocket left"]).await;
    };
    let answers = async {
        loop {
            assert_eq!(there.bytes(2).await, b"\x89\0");
            assert!(there.stranger.send(b"\x8A\x80\0\0\0\0").await);
        }
    };
    tokio::select! {
        () = gone => {}
        () = answers => {}
    }
    assert_eq!(node.count_logged(&["WebSocket left"]), 1);
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    publisher.send(stream, &pictures::stream(10, 5, 100));
    let mut head = there.bytes(2).await;
    while head == b"\x89\0" {
        head = there.bytes(2).await;
    }
    assert_eq!(head, [0x82, 13], "the file header, in a message");
}

#[tokio::test]
async fn lis_05_a_script_mutes_and_shows_video_to_players_of_http_and_websocket() {
    let script = r#"
    viewers = {}
    function onSubscribe(client, listener)
        listener.receiveVideo = false
        table.insert(viewers, listener)
    end
    function onConnection(client)
        function client:show() for _, listener in ipairs(viewers) do listener.receiveVideo = true end return true end
    end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let mut plain = Player::get(node.http(), "/stage.flv").await;
    let mut framed = Player::upgrade(node.http(), "/stage.flv").await;
    let publisher = RtmpClient::connect(node.rtmp(), "").await;
    let stream = publisher.publish("stage").await;
    let muted = pictures::stream(20, 5, 500);
    publisher.send(stream, &muted);
    // The heads of both codecs pass, and all sound.
    plain.header().await;
    let heard = plain.tags_to(last(&muted)).await;
    let expected: Vec<_> =
        muted.iter().filter(|frame| frame.is_header || is_sound(frame)).collect();
    assert_eq!(bodies(&heard).len(), expected.len());
    assert!(heard.iter().zip(expected).all(|(heard, sent)| heard.payload == sent.payload));
    framed.message().await;
    let mut messages = 0;
    while framed.message().await[11..].get(..6) != Some(&last(&muted).payload[..6]) {
        messages += 1;
    }
    assert_eq!(messages + 1, heard.len(), "the same in messages");
    publisher.call("show", &[]).await.expect("an answer");
    // The middle of a group is no place to begin, whenever the gates open.
    let sending = async {
        for next in (21..).step_by(4) {
            publisher.send(stream, &pictures::range(next..next + 4, 5, 500));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let reading = async {
        let mut tag = plain.tag().await;
        while is_sound(&tag) {
            tag = plain.tag().await;
        }
        assert!(tag.is_keyframe && pictures::number(&tag) >= 21, "{tag:?}");
        let mut tag = framed.message().await;
        while tag[0] == 8 {
            tag = framed.message().await;
        }
        assert_eq!((tag[0], tag[11], tag[12]), (9, 0x17, 1), "a key frame");
    };
    tokio::select! {
        () = sending => {}
        () = reading => {}
    }
}

fn is_sound(frame: &MediaFrame) -> bool {
    frame.kind == MediaKind::Audio
}

#[tokio::test]
async fn htt_12_ffmpeg_decodes_flv_and_transport_stream_without_an_error() {
    let node = TestNode::builder("N").www("app/main.lua", "").start().await;
    let publisher = Ffmpeg::publish(&format!("rtmp://{}/app/stage", node.rtmp()), 120.0);
    node.logged(&["publication started"]).await;
    for path in ["/app/stage.flv", "/app/stage.ts"] {
        let mut player = Ffmpeg::decode(&url(&node, path), 3.0);
        player.finished().await;
        // Into the middle of a group.
        let mut player = Ffmpeg::grab_picture(&url(&node, path));
        player.finished().await;
        assert_eq!(ramona_testkit::ffmpeg::png_size(&player.picture()), (320, 180));
    }
    drop(publisher);
}

#[tokio::test]
async fn htt_12_head_has_the_headers_only() {
    let node = node().await;
    let mut stranger = Stranger::connect(node.http()).await;
    let request =
        format!("HEAD /stage.ts HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.http());
    assert!(stranger.send(request.as_bytes()).await);
    let answer = String::from_utf8(stranger.closed().await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-type: video/mp2t"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn players_end_with_the_node() {
    let mut node = node().await;
    let player = Player::get(node.http(), "/stage.flv").await;
    node.logged(&["key is nil"]).await;
    let closed = player.stranger.closed();
    let stopped = node.stop();
    let (rest, took) = tokio::join!(closed, stopped);
    assert!(rest.is_empty());
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn pub_16_cleared_metadata_reaches_players_of_every_protocol_and_nobody_after_them() {
    let script = r#"function onConnection(client)
            function client:onSubscribe() NOTE(client.protocol, " plays") end
            function client:begin() stage = mona:publish("stage") return #stage.listeners end
            function client:set() stage:writeProperties({ width = 320 }) return true end
            function client:clear() stage:clearProperties() return true end
            function client:more() stage:pushData("more", 1) return true end
        end"#;
    let node = TestNode::builder("N").www("main.lua", script).start().await;
    let mut file = Player::get(node.http(), "/stage.flv").await;
    let flash = RtmpClient::connect(node.rtmp(), "").await;
    let shown = flash.play("stage").await;
    let peer = RtmfpClient::connect(node.rtmfp(), "").await;
    let met = peer.play("stage").await;
    let mut page = WebSocketClient::connect(node.http(), "/").await;
    page.text(r#"["__play","stage"]"#).await;
    node.logged(&["WebSocket plays"]).await;
    let asker = RtmpClient::connect(node.rtmp(), "").await;
    assert_eq!(asker.call("begin", &[]).await, Ok(vec![4.0.into()]));
    flash.status(shown.0, "NetStream.Play.PublishNotify").await;
    peer.status(met.0, "NetStream.Play.PublishNotify").await;
    assert_eq!(page.next_text().await, r#"["__publishing","stage"]"#);

    let cleared = Bytes::from_static(b"\x02\x00\x0aonMetaData\x03\x00\x00\x09");
    let cleared = MediaFrame::new(MediaKind::Data, 0, cleared);
    for call in ["set", "clear"] {
        asker.call(call, &[]).await.expect("done");
    }
    // Before them the access to samples.
    assert_eq!(flash.frames_to(shown, &cleared).await.len(), 3);
    assert_eq!(peer.frames_to(met, &cleared).await.len(), 3);
    assert_eq!(page.next_text().await, r#"["onMetaData",{"width":320}]"#);
    assert_eq!(page.next_text().await, r#"["onMetaData",{}]"#);
    file.header().await;
    assert_eq!(file.tags_to(&cleared).await.len(), 2);

    let late = RtmpClient::connect(node.rtmp(), "").await;
    let first = late.play("stage").await;
    asker.call("more", &[]).await.expect("done");
    let more = Bytes::from_static(b"\x02\x00\x04more\x00\x3f\xf0\0\0\0\0\0\0");
    let more = MediaFrame::new(MediaKind::Data, 0, more);
    assert_eq!(bodies(&late.frames_to(first, &more).await)[1..], bodies(&[more]));
}
