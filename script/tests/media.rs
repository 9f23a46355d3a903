//! PUB-*, LIS-*, ITR-03, ITR-06, CLI-33..36, MON-10: publications and listeners.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use common::*;
use ramona_amf::Value;
use ramona_media::{MediaFrame, MediaKind};
use ramona_script::*;

const OPEN: &str = "function onConnection(c) client = c end";

fn connected(text: &str) -> Node {
    let mut node = Node::root(&format!("{OPEN}\n{text}"));
    node.connect(1).unwrap();
    node.asked();
    node
}

fn data(values: &[Value]) -> MediaFrame {
    MediaFrame::new(MediaKind::Data, 40, amf0(values).into())
}

#[test]
fn itr_03_and_mon_03_and_pub_01_running_publications_of_clients_and_scripts() {
    let mut node = connected(
        "function onPublish(c, p) NOTE(p.running, #mona.publications) end
         own = mona:publish('own')
         function onManage()
            for name, p in pairs(mona.publications) do NOTE(name, p.name, p.running, mona.publications(name) == p) end
            for i, p in mona.publications:ipairs() do NOTE(i, p.name) end
            NOTE(#mona.publications, mona.publications.count, tostring(mona.publications('x')))
         end",
    );
    node.publish(1, 5, "live").unwrap();
    node.engine.tick();
    let expected = ["false1", "ownowntruetrue", "livelivetruetrue", "1own", "2live", "22nil"];
    assert_eq!(node.notes(), expected);
}

#[test]
fn itr_11_an_element_named_like_a_built_in_is_reached_by_call() {
    let node = Node::root(
        "p = mona:publish('count') NOTE(mona.publications('count') == p, mona.publications.count)",
    );
    assert_eq!(node.notes(), ["true1"]);
}

#[test]
fn mon_10_publish_gives_nil_for_a_running_name() {
    let mut node = Node::root(
        "a = mona:publish('x') NOTE(a.running, a.name, tostring(a.publisherId), tostring(mona:publish('x')))
         b = mona:publish('r', 'record') c = mona:publish() NOTE('<', c.name, '>')",
    );
    assert_eq!(node.notes(), ["truexnilnil", "<>"]);
    assert_eq!(node.errors(), ["mona:publish: x is already publishing"]);
    assert_eq!(node.warnings(), ["mona:publish: nothing is recorded, r is live"]);
    let publish = |name: &str, record| Asked::Publish { name: name.into(), record };
    let asked = node.asked();
    assert_eq!(asked[..3], [publish("x", false), publish("r", true), publish("", false)]);
    // The name of a script's publication cannot be taken by a client.
    node.connect(1).unwrap();
    assert_eq!(node.publish(1, 5, "x"), rejected("x is already publishing"));
}

#[test]
fn cli_34_and_mon_10_in_on_unpublish_the_name_is_free_for_the_script() {
    let mut node = Node::root(
        "function onUnpublish(client, publication)
            slate = mona:publish(publication.name)
            NOTE(publication.name, publication.running, slate.running, slate ~= publication)
         end
         function onManage() NOTE(mona.publications('x') == slate, #mona.publications, slate.running) end",
    );
    node.connect(1).unwrap();
    node.publish(1, 5, "x").unwrap();
    node.engine.unpublish(PublicationId(5));
    assert_eq!(node.notes(), ["xfalsetruetrue"]);
    node.tick();
    assert_eq!(node.notes(), ["true1true"]);
    assert_eq!(node.errors(), Vec::<String>::new());
}

#[test]
fn pub_02_03_and_20_time_and_packet_in_any_order() {
    let node = Node::root(
        "p = mona:publish('x')
         p:pushVideo(5, '\\23\\1bc') p:pushVideo('\\23\\1bc', 5) p:pushVideo('\\23\\1bc', '5') p:pushVideo('5', '\\23\\1bc')
         p:pushAudio('7', 8, 20) p:pushAudio('12', '13') p:pushVideo('ab', 4294967296 + 9) p:pushVideo('ab', -1.5)
         p:pushVideo(1, 2) p:pushVideo('a') p:pushVideo() p:pushVideo('a', 'b') p:pushVideo({}, 1) p:pushVideo('a', 0/0)",
    );
    let frames = node.frames();
    let shown: Vec<_> =
        frames.iter().map(|frame| (frame.kind, frame.timestamp_ms, &frame.payload[..])).collect();
    let packet = &b"\x17\x01bc"[..];
    let (audio, video) = (MediaKind::Audio, MediaKind::Video);
    assert_eq!(
        shown,
        [
            (video, 5, packet),
            (video, 5, packet),
            (video, 5, packet),
            (video, 5, packet),
            (audio, 8, b"7"),
            (audio, 13, b"12"),
            (video, 9, b"ab"),
            (video, 4_294_967_294, b"ab"),
        ]
    );
    assert!(frames[0].is_keyframe);
    assert_eq!(node.errors().len(), 6);
}

#[test]
fn pub_02_pushing_what_does_not_run_is_an_error() {
    let mut node = connected(
        "function onPublish(c, p) p:pushVideo('a', 1) p:pushData('x') p:flush() end
         p = mona:publish('x') p:close() p:pushAudio('a', 1)",
    );
    node.publish(1, 5, "live").unwrap();
    assert!(node.frames().is_empty());
    assert_eq!(node.errors().len(), 4);
}

#[test]
fn pub_04_and_16_and_22_forms_of_data() {
    let node = Node::root(
        "p = mona:publish('x')
         p:pushData(mona:toAMF0('f', 1)) p:pushData('f', 1) p:pushData(5) p:pushData({ a = 1 })
         p:pushData('[1]') p:pushData('raw') p:pushData('raw again') p:pushData()
         p:pushAMFData(mona:toAMF0('g')) p:pushAMF0Data('g', 2) p:pushJSONData('[1]')
         p:writeProperties({ width = 320 }) p:writeProperties('onOther', { a = 1 }) p:clearProperties() p:writeProperties(5)",
    );
    let frames: Vec<Vec<Value>> =
        node.frames().iter().map(|frame| amf0_values(&frame.payload)).collect();
    assert_eq!(frames[0], [text("f"), number(1.0)]);
    assert_eq!(frames[1], frames[0]);
    assert_eq!(frames[2], [number(5.0)]);
    assert!(
        matches!(&frames[3][..], [Value::Object(object)] if object.get("a") == Some(&number(1.0)))
    );
    assert_eq!(frames[4], [number(1.0)]);
    let raw = |bytes: &'static str| [Value::ByteArray(bytes.as_bytes().into())];
    assert_eq!(frames[5], raw("raw"));
    assert_eq!(frames[6], raw("raw again"));
    assert_eq!(frames[7], [text("g")]);
    assert_eq!(frames[8], [text("g"), number(2.0)]);
    assert_eq!(frames[9], [number(1.0)]);
    assert_eq!(frames[10][..2], [text("@setDataFrame"), text("onMetaData")]);
    assert_eq!(frames[11][..2], [text("@setDataFrame"), text("onOther")]);
    assert_eq!(frames[12], [text("@clearDataFrame"), text("onOther")]);
    assert_eq!(frames.len(), 13);
    assert!(node.warnings().is_empty());
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn pub_18_and_22_json_and_xmlrpc_become_the_same_message() {
    let node = Node::root(
        "p = mona:publish('x')
         p:pushJSONData('[\"f\",1]') p:pushData('[\"f\",1]') p:pushJSONData('f', 1) p:pushXMLRPCData('f', 1)
         p:pushXMLRPCData('<methodCall><methodName>f</methodName><params><param><value><int>1</int></value></param></params></methodCall>')
         p:pushJSONData({ 1 }) p:pushData('{\"a\":1}') p:pushData('[1,') p:pushJSONData('[1,') p:pushXMLRPCData('<') p:pushData('\"x\"')",
    );
    let frames: Vec<Vec<Value>> =
        node.frames().iter().map(|frame| amf0_values(&frame.payload)).collect();
    for frame in &frames[..5] {
        assert_eq!(*frame, [text("f"), number(1.0)]);
    }
    assert_eq!(frames[5], [Value::Array(vec![number(1.0)])]);
    assert!(
        matches!(&frames[6][..], [Value::Object(object)] if object.get("a") == Some(&number(1.0)))
    );
    // What is no JSON after all is bytes.
    assert_eq!(frames[7], [Value::ByteArray((&b"[1,"[..]).into())]);
    assert_eq!(frames[8], [Value::ByteArray((&b"\"x\""[..]).into())]);
    assert_eq!(frames.len(), 9);
    assert_eq!(node.errors().len(), 2);
}

#[test]
fn mon_29_a_media_writer_makes_a_file() {
    let node = Node::root(
        "w = mona:createMediaWriter()
         local a, b = w:write('video', 0, '\\23\\0'), w:write(8, 5, '\\175\\1')
         NOTE(a:sub(1, 3), #a, ' ', b:byte(1), ' ', #b)
         local ts = mona:createMediaWriter('mp2t')
         ts:write('audio', 0, '\\175\\0\\18\\16')
         NOTE(#ts:write('audio', 23, '\\175\\1\\33\\0') % 188)
         NOTE(#w:write('what', 0, ''), #w:write(9), #w:write('video', 0/0, ''))",
    );
    assert_eq!(node.notes(), ["FLV30 8 17", "0", "0015"]);
    assert_eq!(node.errors().len(), 2);
}

#[test]
fn pub_05_close_of_a_script_publication_frees_the_name_at_once() {
    let node = Node::root(
        "p = mona:publish('x') p.mark = 'kept' p:close() p:close()
         NOTE(tostring(p.name), tostring(p.running), p.mark, #mona.publications)",
    );
    assert_eq!(node.notes(), ["nilnilkept0"]);
    let asked = node.asked();
    let closed = Asked::Close { publication: 1_000, status: None };
    assert_eq!(asked.iter().filter(|asked| **asked == closed).count(), 1);
    node.quiet();
}

#[test]
fn pub_05_close_of_a_client_publication_gives_the_status_and_ends_it() {
    let mut node = connected(
        "function onPublish(c, p) publication = p end
         function onUnpublish(c, p) NOTE('unpublished ', p.name, ' ', p.running) end
         function onManage() publication:close('Publish.Error', 'm') publication:close('again') NOTE(publication.running, #mona.publications) end",
    );
    node.publish(1, 5, "live").unwrap();
    node.engine.tick();
    let status = Some(("Publish.Error".to_owned(), "m".to_owned()));
    assert_eq!(node.asked(), [Asked::Close { publication: 5, status }]);
    node.engine.unpublish(PublicationId(5));
    assert_eq!(node.notes(), ["false0", "unpublished live false"]);
    // The name is free again, for another object.
    node.publish(1, 6, "live").unwrap();
    node.quiet();
}

#[test]
fn pub_05_a_script_may_publish_the_name_of_a_client_that_it_ends_at_once() {
    let mut node = connected(
        "function onPublish(c, p) p.owner = c function p:onVideo(time) NOTE('video ', time) end end
         function onUnpublish(c, p)
            NOTE('unpublished ', p.name, ' ', p.running, ' ', p.owner == c, ' ', p ~= slate, ' ', slate.running)
         end
         function onManage()
            local p = mona.publications('live')
            p:close() slate = mona:publish('live')
            NOTE(p.running, ' ', slate.running, ' ', mona.publications('live') == slate, ' ', #mona.publications)
         end
         function onSubscribe(c, l) NOTE(l.publication == slate) end",
    );
    node.publish(1, 5, "live").unwrap();
    node.engine.tick();
    // What the client still sends is nothing to the script any more.
    node.engine.media(PublicationId(5), &[video(20, b"\x17\x01")]);
    node.engine.metadata(PublicationId(5), None);
    node.engine.unpublish(PublicationId(5));
    node.engine.unpublish(PublicationId(5));
    assert_eq!(node.notes(), ["false true true 1", "unpublished live false true true true"]);
    assert_eq!(node.publish(1, 6, "live"), rejected("live is already publishing"));
    node.subscribe(1, 7, "live").unwrap();
    assert_eq!(node.notes(), ["true"]);
    node.quiet();
}

#[test]
fn pub_06_and_07_packets_reach_the_handlers_that_are_set() {
    let mut node = connected(
        "function onPublish(c, p)
            function p:onVideo(time, packet) NOTE('v', time, type(time), packet:byte(1), self == p) end
            p.onAudio = function(self, time, packet) NOTE('a', time, #packet) end
            function onManage() p.onVideo = nil end
         end",
    );
    node.publish(1, 5, "live").unwrap();
    let watch =
        |audio, video, data| Asked::Watch { publication: 5, watch: Watch { audio, video, data } };
    assert_eq!(node.asked(), [watch(false, true, false), watch(true, true, false)]);
    let audio = MediaFrame::new(MediaKind::Audio, 21, Bytes::from_static(b"\xAF\x01"));
    node.engine.media(PublicationId(5), &[video(20, b"\x17\x01"), audio]);
    assert_eq!(node.notes(), ["v20number23true", "a212"]);
    // A handler that was taken away: the node hears of it at the next packet.
    node.engine.tick();
    node.engine.media(PublicationId(5), &[video(40, b"\x27")]);
    assert!(node.notes().is_empty());
    assert_eq!(node.asked(), [watch(true, false, false)]);
    node.engine.media(PublicationId(77), &[video(40, b"\x27")]);
    node.quiet();
}

#[test]
fn pub_06_to_08_what_a_script_pushes_raises_no_event() {
    let mut node = Node::root(
        "p = mona:publish('x')
         for _, name in ipairs { 'onVideo', 'onAudio', 'onData', 'onVideoPacket' } do p[name] = function() NOTE(name) end end
         p:pushVideo('\\23\\1', 1) p:pushAudio('\\175\\1', 1) p:pushData('f', 1)",
    );
    node.tick();
    assert!(node.notes().is_empty());
    let watches = node.asked().into_iter().filter(|asked| matches!(asked, Asked::Watch { .. }));
    assert_eq!(watches.count(), 0, "the node is not asked for them either");
    node.quiet();
}

#[test]
fn pub_08_23_and_24_forms_of_on_data() {
    let mut node = connected(
        "function onPublish(c, p)
            if p.name == 'full' then
                function p:onData(name, packet, ...)
                    NOTE(tostring(name), ' ', select('#', ...), ' ', tostring((...)), ' ', (select('#', mona:fromAMF(packet))))
                end
            elseif p.name == 'packet' then function p:onData(x) NOTE(type(x), #x) end
            elseif p.name == 'dots' then function p:onData(...) NOTE((...)) end
            elseif p.name == 'older' then function p:onDataPacket(name, packet) NOTE(name, ' ', mona:fromAMF(packet)) end end
         end",
    );
    let message = data(&[text("f"), number(1.0), Value::Null]);
    let without_name = data(&[number(7.0)]);
    for (id, name) in [(1, "full"), (2, "packet"), (3, "dots"), (4, "older")] {
        node.publish(1, id, name).unwrap();
        node.engine.media(PublicationId(id), std::slice::from_ref(&message));
    }
    node.engine.media(PublicationId(1), &[without_name]);
    assert_eq!(node.notes(), ["f 2 1 3", "string14", "f", "f 1(null)", "nil 1 7 1"]);
    node.quiet();
    let torn = MediaFrame::new(MediaKind::Data, 0, Bytes::from_static(b"\x02\x00\x01f\x02\x00"));
    node.engine.media(PublicationId(1), &[torn]);
    assert_eq!(node.notes(), ["f 0 nil 1"]);
    assert_eq!(node.errors().len(), 2, "one of the node, one of mona:fromAMF");
}

#[test]
fn pub_10_and_itr_06_listeners_of_a_publication() {
    let mut node = connected(
        "function onSubscribe(c, l) NOTE('asks ', #l.publication.listeners, ' ', l.publication.running) end
         function onUnsubscribe(c, l) NOTE('leaves ', #l.publication.listeners) end
         function onManage()
            local p = mona.publications('live')
            for c, l in pairs(p.listeners) do NOTE(l.client == c, p.listeners(c) == l, p.listeners[c.id] == l, p.listeners(c.rawId) == l) end
            for i, l in ipairs(p.listeners) do NOTE(i, l.publication == p, l.id == l.client.id) end
            NOTE(#p.listeners, tostring(p.listeners('x')))
         end",
    );
    node.subscribe(1, 5, "live").unwrap();
    node.publish(1, 9, "live").unwrap();
    node.connect(2).unwrap();
    node.subscribe(2, 6, "live").unwrap();
    assert_eq!(node.notes(), ["asks 0 false", "asks 1 true"]);
    node.engine.tick();
    let element = "truetruetruetrue";
    assert_eq!(node.notes(), [element, element, "1truetrue", "2truetrue", "2nil"]);
    node.engine.unsubscribe(ListenerId(5));
    node.engine.unpublish(PublicationId(9));
    node.engine.unsubscribe(ListenerId(6));
    assert_eq!(node.notes(), ["leaves 2", "leaves 1"]);
    node.quiet();
}

#[test]
fn a_publication_that_listeners_wait_for_is_the_same_object_when_it_starts() {
    let mut node = connected(
        "function onSubscribe(c, l) waiting = l.publication waiting.mark = 'set before' listener = l
            function waiting:onVideo() NOTE('video') end end
         function onPublish(c, p) NOTE(p == waiting, p.mark) end
         function onManage() NOTE(listener.publication == waiting, listener.publication.running, #listener.publication.listeners) end",
    );
    node.subscribe(1, 5, "live").unwrap();
    node.publish(1, 9, "live").unwrap();
    let watch = Watch { video: true, ..Watch::default() };
    assert!(node.asked().contains(&Asked::Watch { publication: 9, watch }));
    node.engine.unpublish(PublicationId(9));
    node.engine.tick();
    assert_eq!(node.notes(), ["trueset before", "falsefalse1"]);
}

#[test]
fn pub_11_to_14_and_qos_01_to_05_publisher_and_numbers() {
    let mut node = connected(
        "function onPublish(c, p) function c:f()
            return p.publisherId == c.id, p.publisher == c, p.lastTime, p.droppedFrames, p.audioQOS.byteRate, p.videoQOS.lostRate,
                p.dataQOS.latency, p.audioQOS.congestionRate, p.videoQOS.lastSendingTime, p.audioQOS == p.audioQOS
         end end",
    );
    let info = node.publication(5, "live");
    let qos: Arc<MediaQos> = info.qos.clone();
    node.engine.publish(ClientId(1), info).unwrap();
    qos.last_time_ms.store(500, Relaxed);
    qos.audio.byte_rate.store(1_000, Relaxed);
    qos.video.dropped_frames.store(3, Relaxed);
    qos.video.lost_ppm.store(250_000, Relaxed);
    qos.data.latency_ms.store(12, Relaxed);
    qos.video.last_sending_ms.store(99, Relaxed);
    let yes = Value::Bool(true);
    let numbers = [500.0, 3.0, 1_000.0, 0.25, 12.0, 0.0, 99.0].map(number);
    let mut expected = vec![yes.clone(), yes.clone()];
    expected.extend(numbers);
    expected.push(yes);
    assert_eq!(node.answer(1, "f", &[]), expected);
}

#[test]
fn pub_14_and_22_what_a_script_pushed_counts_at_once() {
    let node = Node::root(
        "p = mona:publish('x') NOTE(p.lastTime)
         p:pushVideo('\\23\\1', 40) p:pushData('f') NOTE(p.lastTime)
         p:pushAudioPacket(60, 'ab') p:pushData('g') NOTE(p.lastTime)",
    );
    assert_eq!(node.notes(), ["0", "40", "60"]);
    let times: Vec<_> = node.frames().iter().map(|frame| frame.timestamp_ms).collect();
    assert_eq!(times, [40, 40, 60, 60], "data has the time of the media before it");
}

#[test]
fn pub_15_and_17_metadata() {
    let mut node = connected(
        "function onPublish(c, p) publication = p
            function p:onProperties(t) NOTE(tostring(t and t.width), ' ', tostring(p.properties == t), ' ', tostring(p.height)) end end",
    );
    node.publish(1, 5, "live").unwrap();
    let metadata =
        Value::EcmaArray(vec![("width".into(), number(320.0)), ("height".into(), number(240.0))]);
    node.engine.metadata(PublicationId(5), Some(amf0(&[text("onMetaData"), metadata]).into()));
    node.engine.metadata(PublicationId(5), None);
    assert_eq!(node.notes(), ["320 true 240", "nil true nil"]);
    node.quiet();
}

#[test]
fn pub_21_names_of_2014() {
    let node = Node::root(
        "p = mona:publish('x')
         p:pushVideoPacket(5, 'abc', 1) p:pushAudioPacket('6', 'abc', 9, 2) p:pushDataPacket('name', mona:toAMF0(1))
         p:pushDataPacket('n', 'xx'..mona:toAMF0(2), 2) p:pushVideoPacket('x')",
    );
    let frames = node.frames();
    assert_eq!((frames[0].timestamp_ms, &frames[0].payload[..]), (5, &b"bc"[..]));
    assert_eq!((frames[1].timestamp_ms, &frames[1].payload[..]), (6, &b""[..]));
    assert_eq!(amf0_values(&frames[2].payload), [text("name"), number(1.0)]);
    assert_eq!(amf0_values(&frames[3].payload), [text("n"), number(2.0)]);
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn pub_25_handlers_of_2014_are_used_when_the_others_are_absent() {
    let mut node = connected(
        "function onPublish(c, p)
            function p:onVideoPacket(time, packet) NOTE('old video ', time) end
            function p:onAudioPacket(time) NOTE('old audio') end
            function p:onAudio(time) NOTE('new audio') end
         end",
    );
    node.publish(1, 5, "live").unwrap();
    let audio = MediaFrame::new(MediaKind::Audio, 1, Bytes::from_static(b"\xAF"));
    node.engine.media(PublicationId(5), &[video(3, b"\x17"), audio]);
    assert_eq!(node.notes(), ["old video 3", "new audio"]);
}

#[test]
fn pub_25_and_evt_15_global_packet_events_of_2014_get_the_client_and_the_publication() {
    let script = "function onConnection(c) client = c end
         function onVideoPacket(c, p, time, packet) NOTE(c == client, ' ', p.name, ' ', time, ' ', #packet) end
         function onDataPacket(c, p, name, packet) NOTE(c == client, ' ', p.name, ' ', name, ' ', mona:fromAMF(packet)) end
         function onPublish(c, p)
            if p.name == 'own' then function p:onVideo(time) NOTE('own ', time) end end
         end";
    let mut node = Node::root(script);
    node.connect(1).unwrap();
    node.publish(1, 5, "live").unwrap();
    node.publish(1, 6, "own").unwrap();
    let watch = |publication, audio, video, data| Asked::Watch {
        publication,
        watch: Watch { audio, video, data },
    };
    let watches = |node: &Node| {
        let asked = node.asked().into_iter();
        asked.filter(|asked| matches!(asked, Asked::Watch { .. })).collect::<Vec<_>>()
    };
    assert_eq!(watches(&node), [watch(5, false, true, true), watch(6, false, true, true)]);
    node.engine.media(PublicationId(5), &[video(3, b"\x17\x01"), data(&[text("f"), number(1.0)])]);
    node.engine.media(PublicationId(6), &[video(4, b"\x17\x01")]);
    assert_eq!(node.notes(), ["true live 3 2", "true live f 1", "own 4"]);
    // A version without them: the node need not send packets any more, and again.
    node.file("www/main.lua", "function onConnection(c) end");
    node.tick();
    assert_eq!(watches(&node), [watch(5, false, false, false), watch(6, false, true, false)]);
    node.file("www/main.lua", script);
    node.tick();
    assert_eq!(watches(&node), [watch(5, false, true, true), watch(6, false, true, true)]);
    // Not for what scripts publish.
    node.file("www/main.lua", &format!("{script} p = mona:publish('s') p:pushVideo('\\23\\1', 1)"));
    node.tick();
    assert!(node.notes().is_empty());
    node.quiet();
}

#[test]
fn cli_33_who_may_publish() {
    let mut node = connected(
        "function client_onPublish(self, p) if p.name == 'no' then return false elseif p.name == 'err' then error('text')
            elseif p.name == 'nil' then return nil elseif p.name == 'zero' then return 0 elseif p.name == 'shut' then p:close() end end
         client_set = true
         function onManage() client.onPublish = client_onPublish NOTE(#mona.publications) end",
    );
    node.engine.tick();
    assert_eq!(node.publish(1, 1, "no"), rejected("Not allowed to publish no"));
    assert_eq!(node.publish(1, 2, "err"), rejected("text"));
    assert_eq!(node.publish(1, 3, "shut"), rejected("Not allowed to publish shut"));
    node.publish(1, 4, "nil").unwrap();
    node.publish(1, 5, "zero").unwrap();
    node.publish(1, 6, "any").unwrap();
    node.engine.tick();
    assert_eq!(node.notes(), ["0", "3"]);
    // A refused name is free.
    assert_eq!(node.publish(1, 7, "no"), rejected("Not allowed to publish no"));
    assert!(node.publish(99, 8, "x").is_err());
}

#[test]
fn cli_34_unpublish_is_told_once_and_not_for_scripts() {
    let mut node = connected(
        "own = mona:publish('own') function onUnpublish(c, p) NOTE(p.name, ' ', c == client, ' ', #mona.publications) end
         function onPublish(c, p) keep = p end function onManage() NOTE(tostring(keep.name)) own:close() end",
    );
    node.publish(1, 5, "live").unwrap();
    node.engine.unpublish(PublicationId(5));
    node.engine.unpublish(PublicationId(5));
    node.engine.tick();
    node.engine.publication_ended(PublicationId(1_000));
    assert_eq!(node.notes(), ["live true 1", "nil"]);
    node.quiet();
}

#[test]
fn cli_35_who_may_play() {
    let mut node = connected(
        "function onSubscribe(c, l) local n = l.publication.name
            if n == 'no' then return false elseif n == 'err' then error('busy host:1935') elseif n == 'nil' then return nil end end",
    );
    assert_eq!(node.subscribe(1, 1, "no"), rejected("Not authorized to play no"));
    assert_eq!(node.subscribe(1, 2, "err"), rejected("busy host:1935"));
    node.subscribe(1, 3, "nil").unwrap();
    node.engine.unsubscribe(ListenerId(1));
    assert!(node.subscribe(99, 4, "x").is_err());
}

#[test]
fn cli_36_unsubscribe_comes_for_accepted_listeners_only() {
    let mut node = connected(
        "count = 0 function onSubscribe(c, l) if count == 1 then error('full') end count = count + 1 end
         function onUnsubscribe(c, l) count = count - 1 NOTE(count) end",
    );
    node.subscribe(1, 1, "s").unwrap();
    assert!(node.subscribe(1, 2, "s").is_err());
    node.engine.unsubscribe(ListenerId(2));
    node.engine.unsubscribe(ListenerId(1));
    node.engine.unsubscribe(ListenerId(1));
    assert_eq!(node.notes(), ["0"]);
}

#[test]
fn lis_01_to_07_what_a_listener_is() {
    let mut node = connected(
        "function onSubscribe(c, l)
            NOTE(l.publication.name, l.client == c, l.id == c.id, l.a, l.parameters.a, tostring(l.none), l.audioQOS.byteRate, type(l.videoQOS.latency), l.dataQOS.lostRate)
            NOTE(l.receiveAudio, l.receiveVideo, l.audioSampleAccess, l.videoSampleAccess)
            listener = l
         end
         function onManage() listener.receiveVideo = false listener.mine = 1 listener.id = 5 NOTE(listener.receiveVideo, listener.mine) end",
    );
    let info = ListenerInfo { query: "a=1&b=x".into(), ..node.listener(5, 1, "live") };
    node.engine.subscribe(info, None).unwrap();
    node.engine.tick();
    assert_eq!(node.notes(), ["livetruetrue11nil0number0", "truetruetruetrue", "false1"]);
    let expected =
        [Asked::Listener { listener: 5, audio: true, video: false, access: (true, true) }];
    assert_eq!(node.asked(), expected);
    assert_eq!(node.warnings().len(), 1);
}

#[test]
fn lis_05_and_06_what_on_subscribe_sets_comes_once_with_the_answer() {
    let mut node = connected(
        "function onSubscribe(c, l) l.receiveAudio = false l.audioSampleAccess = false l.videoSampleAccess = 0 end",
    );
    node.subscribe(1, 5, "live").unwrap();
    let expected =
        [Asked::Listener { listener: 5, audio: false, video: true, access: (false, true) }];
    assert_eq!(node.asked(), expected);
}

#[test]
fn pub_09_flush_returns_nothing_and_loses_nothing() {
    let node = Node::root(
        "p = mona:publish('x') p:pushAudio('ab', 1) NOTE(select('#', p:flush())) p:pushAudio('cd', 2)",
    );
    assert_eq!(node.notes(), ["0"]);
    assert_eq!(node.frames().len(), 2);
    node.quiet();
}

#[test]
fn wri_10_a_writer_has_the_numbers_of_its_sending() {
    let mut node = connected(
        "function onManage() local q = client.writer.qos
            NOTE(type(q.latency), q.byteRate, q.lostRate, q == client.writer.qos) end",
    );
    node.engine.tick();
    assert_eq!(node.notes(), ["number00true"]);
    node.quiet();
}

#[test]
fn pub_17_on_flush_follows_the_handler_that_flushed() {
    let mut node = Node::root(
        "p = mona:publish('x')
         function p:onFlush() NOTE('flushed ', self.name) self:flush() end
         function onManage() p:flush() p:flush() NOTE('managed') end
         function onPublish(client, publication)
            function publication:onVideo(time) NOTE(time) end
            function publication:onFlush() NOTE('read') end
         end",
    );
    node.connect(1).unwrap();
    node.tick();
    assert_eq!(node.notes(), ["managed", "flushed x"], "{:?}", node.errors());
    node.tick();
    assert_eq!(node.notes(), ["managed", "flushed x"]);
    node.publish(1, 5, "live").unwrap();
    node.engine.media(PublicationId(5), &[video(1, b"\x17\x01"), video(2, b"\x27\x01")]);
    assert_eq!(node.notes(), ["1", "2", "read"]);
    node.quiet();
}

#[test]
fn pub_21_and_qos_02_packets_that_a_script_calls_lost_are_a_rate() {
    let mut node = Node::root(
        "p = mona:publish('x')
         p:pushVideoPacket(0, 'a') NOTE(p.videoQOS.lostRate)
         p:pushVideoPacket(1, 'a', 0, 1) NOTE(p.videoQOS.lostRate, ' ', p.audioQOS.lostRate)
         p:pushVideoPacket(2, 'a', 0, 0) p:pushVideoPacket(3, 'a', 0, -5) NOTE(p.videoQOS.lostRate)
         function onManage() p:pushVideoPacket(4, 'a') NOTE(p.videoQOS.lostRate < 0.2) p:pushAudioPacket(4, 'a', 0, 1 / 0) end",
    );
    assert_eq!(node.notes(), ["0", "0.5 0", "0.25"]);
    for _ in 0..3 {
        node.tick();
    }
    assert_eq!(node.notes(), ["false", "true", "true"]);
    assert_eq!(node.errors(), Vec::<String>::new());
}
