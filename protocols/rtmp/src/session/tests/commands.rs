//! Commands of encoders and players, calls both ways, and several streams on one connection.

use super::*;
use crate::handshake::Greeting;
use crate::limits::MAX_ENCODER_CALLS;
use crate::limits::MAX_STREAMS;

fn connect_event(pair: &Pair) -> &crate::event::Connect {
    match &pair.events[0] {
        Event::Connect(connect) => connect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn connect_gives_path_query_properties_and_arguments() {
    let mut pair = Pair::new();
    let args = amf0(&["a".into(), Value::Number(2.0)]);
    pair.client.connect("rtmp://host:1935/Games//myGame/?x=1&y", &args).expect("fits");
    pair.drive();
    let connect = connect_event(&pair);
    assert_eq!(connect.path, "/Games/myGame");
    assert_eq!(connect.query, "x=1&y");
    assert_eq!(connect.app, "Games//myGame/?x=1&y");
    assert_eq!(connect.args, args);
    assert_eq!(connect.properties.get("flashVer"), Some(&"LNX 10,0,45,2".into()));
    assert_eq!(connect.object_encoding, 0);
}

#[test]
fn control_messages_and_result_of_connect_leave_in_one_piece() {
    let mut pair = Pair::new();
    pair.drive();
    pair.transmits = 0;
    pair.client.connect("rtmp://host/app", &[]).expect("fits");
    pair.drive();
    assert_eq!(pair.transmits, 1);
    let controls = pair.client_events.iter().filter(|event| {
        matches!(
            event,
            ClientEvent::ChunkSize(65_536)
                | ClientEvent::WindowAcknowledgementSize(_)
                | ClientEvent::PeerBandwidth(_)
        )
    });
    assert_eq!(controls.count(), 3, "{:?}", pair.client_events);
    let result = pair.client_events.last();
    assert!(matches!(result, Some(ClientEvent::Connected { .. })), "{result:?}");
}

#[test]
fn nothing_is_consumed_while_a_decision_is_open() {
    let mut pair = Pair::new();
    pair.decide = undecided;
    pair.client.connect("rtmp://host/app", &[]).expect("fits");
    pair.client.create_stream();
    pair.drive();
    assert!(pair.session.is_waiting());
    assert!(pair.unconsumed() > 0);
    let waiting = pair.unconsumed();
    pair.drive();
    assert_eq!(pair.unconsumed(), waiting);
    pair.session.accept_connect(&[]);
    pair.drive();
    assert!(!pair.session.is_waiting());
    assert_eq!(pair.unconsumed(), 0);
    assert_eq!(pair.created(), StreamId(1));
}

#[test]
fn enhanced_rtmp_codecs_are_repeated_in_the_result() {
    let mut pair = Pair::new();
    let list = Value::Array(vec!["av01".into(), "hvc1".into()]);
    let object = Object::new().with("app", "app").with("fourCcList", list.clone());
    let map = Value::from(Object::new().with("hvc1", 1.0));
    pair.client.connect_with(object.with("videoFourCcInfoMap", map), &[]).expect("fits");
    pair.drive();
    let Some(ClientEvent::Connected { properties, .. }) = pair.client_events.last() else {
        panic!("{:?}", pair.client_events)
    };
    assert_eq!(properties.get("fourCcList"), Some(&list));
    let forward = Value::from(Object::new().with("*", 4.0));
    assert_eq!(properties.get("videoFourCcInfoMap"), Some(&forward));
    assert_eq!(properties.get("audioFourCcInfoMap"), None);
}

#[test]
fn publish_tells_mode_and_query_and_gives_media_unchanged() {
    for (mode, text) in [
        (PublishMode::Live, "live"),
        (PublishMode::Record, "record"),
        (PublishMode::Append, "append"),
    ] {
        let (mut pair, stream) = Pair::with_stream();
        pair.client.publish(stream, "flv:s?k=v?w", mode).expect("fits");
        let frames = [
            frame(MediaKind::Data, 0, b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05"),
            frame(MediaKind::Video, 40, &[0x1C; 70_000]),
            frame(MediaKind::Video, 80, &[0x91, b'h', b'v', b'c', b'1', 0]),
            frame(MediaKind::Audio, 0x0100_0000, b"\xaf\x01aac"),
            frame(MediaKind::Audio, 0x0100_0001, b""),
        ];
        for frame in &frames {
            pair.client.send_frame(stream, frame).expect("fits");
        }
        pair.drive();
        let (name, query) = (Bytes::from_static(b"flv:s"), Bytes::from_static(b"k=v?w"));
        let mut expected = vec![Event::Publish { stream, name, query, mode }];
        expected.extend(frames.map(|frame| Event::Media { stream, frame }));
        assert_eq!(pair.events, expected, "{text}");
        assert_eq!(pair.statuses().len(), 1, "{text} is answered like live");
    }
}

#[test]
fn data_of_amf3_type_loses_its_leading_zero() {
    let (mut pair, stream) = Pair::with_stream();
    pair.client.publish(stream, "s", PublishMode::Live).expect("fits");
    let payload = Bytes::from_static(b"\x00\x02\x00\x01f\x11\x01");
    let message = Message { kind: 15, stream, timestamp_ms: 3, payload };
    pair.client.send_message(&message).expect("fits");
    pair.drive();
    let frame = frame(MediaKind::Data, 3, b"\x02\x00\x01f\x11\x01");
    assert_eq!(pair.events.last(), Some(&Event::Media { stream, frame }));
}

#[test]
fn aggregate_becomes_its_frames() {
    let (mut pair, stream) = Pair::with_stream();
    pair.client.publish(stream, "s", PublishMode::Live).expect("fits");
    let payload =
        b"\x08\0\0\x01\0\0\x05\0\0\0\0A\0\0\0\x0c\x09\0\0\x02\0\0\x09\0\0\0\0VV\0\0\0\x0d";
    let message =
        Message { kind: 22, stream, timestamp_ms: 100, payload: Bytes::from_static(payload) };
    pair.client.send_message(&message).expect("fits");
    pair.drive();
    let frames = [frame(MediaKind::Audio, 100, b"A"), frame(MediaKind::Video, 104, b"VV")];
    let expected = frames.map(|frame| Event::Media { stream, frame });
    assert_eq!(pair.events[1..], expected);
}

#[test]
fn play_tells_start_and_reset() {
    let (mut pair, stream) = Pair::with_stream();
    let args = ["mp4:s?unbuffered=true".into(), (-3000.0).into(), (-1.0).into(), false.into()];
    pair.client.stream_command(stream, "play", &args).expect("fits");
    pair.drive();
    let expected = Event::Play {
        stream,
        name: Bytes::from_static(b"mp4:s"),
        query: Bytes::from_static(b"unbuffered=true"),
        start_ms: -3000.0,
        reset: false,
        buffer_ms: None,
    };
    assert_eq!(pair.events, [expected]);
}

#[test]
fn play_defaults_are_live_or_recorded_with_reset() {
    let (mut pair, stream) = Pair::with_stream();
    pair.client.play(stream, "s").expect("fits");
    pair.drive();
    assert!(matches!(pair.events[0], Event::Play { start_ms: -2000.0, reset: true, .. }));
}

#[test]
fn play2_goes_on_with_another_name() {
    let (mut pair, stream) = Pair::with_stream();
    pair.client.play(stream, "low").expect("fits");
    let options = Object::new().with("streamName", "high").with("transition", "switch");
    pair.client.stream_command(stream, "play2", &[options.into()]).expect("fits");
    pair.drive();
    assert_eq!(pair.events[1], Event::StopPlay { stream });
    let Event::Play { name, .. } = &pair.events[2] else { panic!("{:?}", pair.events) };
    assert_eq!(name, "high");
}

#[test]
fn false_instead_of_a_name_ends_publishing_and_playing() {
    let (mut pair, stream) = Pair::with_stream();
    pair.client.publish(stream, "s", PublishMode::Live).expect("fits");
    pair.client.stream_command(stream, "publish", &[false.into()]).expect("fits");
    pair.client.play(stream, "s").expect("fits");
    pair.client.stream_command(stream, "play", &[Value::Null]).expect("fits");
    pair.drive();
    assert_eq!(pair.events[1], Event::Unpublish { stream });
    assert_eq!(pair.events[3], Event::StopPlay { stream });
    assert_eq!(pair.events.len(), 4);
}

#[test]
fn pause_receive_and_buffer_length_become_events() {
    let (mut pair, stream) = Pair::with_stream();
    pair.client.play(stream, "s").expect("fits");
    pair.drive();
    pair.forget();
    for (name, on) in [("pause", true), ("pauseRaw", false)] {
        pair.client.stream_command(stream, name, &[on.into(), 10.0.into()]).expect("fits");
    }
    pair.client.stream_command(stream, "receiveAudio", &[false.into()]).expect("fits");
    pair.client.stream_command(stream, "receiveVideo", &[false.into()]).expect("fits");
    pair.client.set_buffer_length(stream, 3000);
    pair.drive();
    assert_eq!(
        pair.events,
        [
            Event::Pause { stream, on: true },
            Event::Pause { stream, on: false },
            Event::ReceiveAudio { stream, on: false },
            Event::ReceiveVideo { stream, on: false },
            Event::BufferLength { stream, length_ms: 3000 },
        ]
    );
    let codes: Vec<_> = pair.statuses().into_iter().map(|status| status.2).collect();
    assert_eq!(codes, ["NetStream.Pause.Notify", "NetStream.Unpause.Notify"]);
    // The next play of the stream brings it along.
    pair.client.play(stream, "t").expect("fits");
    pair.drive();
    let told = |event: &Event| matches!(event, Event::Play { buffer_ms: Some(3000), .. });
    assert!(pair.events.iter().any(told), "{:?}", pair.events);
}

const OF_ENCODERS: [&str; 7] = [
    "releaseStream",
    "FCPublish",
    "FCUnpublish",
    "FCSubscribe",
    "FCUnsubscribe",
    "getStreamLength",
    "_checkbw",
];

/// What a client hears that sends all of them: transactions and values of results, and the
/// commands beside.
fn answers_of_encoder_commands(decide: fn(&mut Session, &Event)) -> (Pair, Vec<String>) {
    let (mut pair, _) = Pair::with_stream();
    pair.decide = decide;
    let asked = OF_ENCODERS.map(|name| pair.client.call(name, &amf0(&["s".into()])).expect("fits"));
    pair.drive();
    let shown = pair.client_events.iter().map(|event| match event {
        ClientEvent::Result { transaction, values } => {
            let index = asked.iter().position(|asked| asked == transaction).expect("it was asked");
            format!("{} {values:?}", OF_ENCODERS[index])
        }
        ClientEvent::Call { name, args, .. } => {
            assert_eq!(args[0].get("description"), Some(&"s".into()));
            String::from_utf8_lossy(name).into_owned()
        }
        other => panic!("{other:?}"),
    });
    let shown = shown.collect();
    (pair, shown)
}

#[test]
fn cli_22_commands_of_encoders_are_answered_when_no_script_defines_them() {
    // Unknown to the script, and functions of it that say nothing, are the same.
    let (pair, answers) = answers_of_encoder_commands(|session, event| {
        let Event::Call { transaction, .. } = event else { panic!("{event:?}") };
        assert!(session.connection_mut().leave_call(*transaction));
        assert!(!session.connection_mut().leave_call(*transaction), "answered once");
    });
    assert_eq!(pair.events.len(), OF_ENCODERS.len());
    let expected = [
        "releaseStream []",
        "FCPublish []",
        "onFCPublish",
        "FCUnpublish []",
        "onFCUnpublish",
        "FCSubscribe []",
        "onFCSubscribe",
        "FCUnsubscribe []",
        "onFCUnsubscribe",
        "getStreamLength [Number(0.0)]",
        "_checkbw []",
    ];
    assert_eq!(answers, expected);
}

#[test]
fn cli_22_commands_of_encoders_are_answered_by_the_script_that_defines_them() {
    let (_, answers) = answers_of_encoder_commands(|session, event| {
        let Event::Call { transaction, .. } = event else { panic!("{event:?}") };
        session.answer_call(*transaction, &amf0(&[5.0.into()])).expect("fits");
        assert!(!session.connection_mut().leave_call(*transaction), "answered already");
    });
    assert_eq!(answers, OF_ENCODERS.map(|name| format!("{name} [Number(5.0)]")));
}

#[test]
fn cli_22_more_commands_of_encoders_than_any_sends_do_not_wait_for_the_script() {
    let (mut pair, _) = Pair::with_stream();
    pair.decide = undecided;
    for _ in 0..MAX_ENCODER_CALLS + 5 {
        pair.client.call("releaseStream", &[]).expect("fits");
    }
    // Without transaction nothing can be answered but what follows.
    pair.client.stream_command(StreamId(0), "_checkbw", &[]).expect("fits");
    pair.drive();
    assert_eq!(pair.events.len(), MAX_ENCODER_CALLS);
    assert_eq!(pair.client_events.len(), 5);
}

#[test]
fn calls_pass_their_values_both_ways() {
    for object_encoding in [0, 3] {
        let config = ClientConfig { object_encoding, ..ClientConfig::default() };
        let mut pair = Pair::with(config, vec![usize::MAX]);
        pair.client.connect("rtmp://host/app", &[]).expect("fits");
        pair.drive();
        pair.forget();
        pair.decide = |session, event| {
            if let Event::Call { transaction, args, .. } = event {
                let twice = [&args[..], &args[..]].concat();
                session.answer_call(*transaction, &twice).expect("fits");
                session.invoke(b"onTest", args).expect("fits");
                session.write_message(args).expect("fits");
            }
        };
        let args = amf0(&["v".into(), Value::ByteArray(Bytes::from_static(b"raw"))]);
        let transaction = pair.client.call("test", &args).expect("fits");
        pair.drive();
        let name = Bytes::from_static(b"test");
        let args = Bytes::from(args);
        assert_eq!(pair.events, [Event::Call { transaction, name, args }]);
        let one = vec![Value::from("v"), Value::ByteArray(Bytes::from_static(b"raw"))];
        let two = [&one[..], &one[..]].concat();
        let name = Bytes::from_static(b"onTest");
        assert_eq!(
            pair.client_events,
            [
                ClientEvent::Result { transaction, values: two },
                ClientEvent::Call { stream: StreamId(0), name, args: one.clone() },
                ClientEvent::Result { transaction: 0.0, values: one },
            ],
            "object encoding {object_encoding}"
        );
    }
}

#[test]
fn call_without_transaction_gets_no_answer() {
    let (mut pair, _) = Pair::with_stream();
    pair.decide = |session, event| {
        if let Event::Call { transaction, .. } = event {
            session.answer_call(*transaction, &[5]).expect("fits");
            session.fail_call(*transaction, b"no");
        }
    };
    pair.client.stream_command(StreamId(0), "test", &[]).expect("fits");
    pair.drive();
    assert_eq!(pair.events.len(), 1);
    assert_eq!(pair.client_events, []);
}

#[test]
fn command_in_an_amf3_message_is_read() {
    let (mut pair, _) = Pair::with_stream();
    let body = amf0(&["test".into(), 9.0.into(), Value::Null, "x".into()]);
    let payload = [&[0], &body[..]].concat().into();
    let stream = StreamId(0);
    let message = Message { kind: 17, stream, timestamp_ms: 0, payload };
    pair.client.send_message(&message).expect("fits");
    pair.drive();
    let args = amf0(&["x".into()]).into();
    let name = Bytes::from_static(b"test");
    assert_eq!(pair.events, [Event::Call { transaction: 9.0, name, args }]);
}

#[test]
fn script_values_beyond_a_message_are_refused_and_the_connection_lives() {
    let (mut pair, _) = Pair::with_stream();
    let huge = vec![5; 100 << 20];
    assert!(pair.session.invoke(b"f", &huge).is_err());
    assert!(pair.session.answer_call(1.0, &huge).is_err());
    assert!(pair.session.write_raw(&huge).is_err());
    pair.session.status(None, &huge, &huge);
    pair.drive();
    assert_eq!(pair.client_events.len(), 1);
    assert_eq!(pair.closed(), None);
}

#[test]
fn status_of_a_script_follows_its_code_and_its_call() {
    let (mut pair, _) = Pair::with_stream();
    pair.session.status(None, b"Test.Done", b"d");
    pair.session.status(Some(4.0), b"Test.Error", b"e");
    pair.drive();
    let first = status(StreamId(0), "status", "NetConnection.Test.Done", "d");
    assert_eq!(pair.statuses(), [first]);
    let info = info("error", "NetConnection.Test.Error", "e");
    assert_eq!(pair.client_events[1], ClientEvent::Error { transaction: 4.0, info });
}

#[test]
fn several_streams_live_side_by_side_and_ids_are_used_again() {
    let (mut pair, first) = Pair::with_stream();
    pair.client.create_stream();
    pair.drive();
    let second = pair.created();
    assert_ne!(first, second);
    pair.client.publish(first, "a", PublishMode::Live).expect("fits");
    pair.client.publish(second, "b", PublishMode::Live).expect("fits");
    pair.client.send_frame(second, &frame(MediaKind::Audio, 1, b"b")).expect("fits");
    pair.client.send_frame(first, &frame(MediaKind::Audio, 2, b"a")).expect("fits");
    pair.drive();
    let streams: Vec<_> = pair
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Media { stream, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    assert_eq!(streams, [second, first]);
    pair.client.delete_stream(first);
    pair.client.send_frame(first, &frame(MediaKind::Audio, 3, b"late")).expect("fits");
    pair.client.create_stream();
    pair.drive();
    assert_eq!(pair.events.last(), Some(&Event::Unpublish { stream: first }));
    assert_eq!(pair.created(), first);
}

#[test]
fn streams_of_one_connection_are_counted() {
    let (mut pair, _) = Pair::with_stream();
    for _ in 0..MAX_STREAMS {
        pair.client.create_stream();
    }
    pair.drive();
    let text = pair.closed().map(ToString::to_string);
    assert_eq!(text.as_deref(), Some("more than 64 streams on one connection"));
}

#[test]
fn client_that_says_close_ends_the_connection() {
    let (mut pair, _) = Pair::with_stream();
    pair.client.stream_command(StreamId(0), "close", &[]).expect("fits");
    pair.drive();
    assert_eq!(pair.closed(), Some(&CloseReason::Peer));
}

#[test]
fn every_greeting_leads_to_a_connection() {
    for greeting in [Greeting::Simple, Greeting::DigestFirst, Greeting::DigestSecond] {
        let config = ClientConfig { greeting, ..ClientConfig::default() };
        let mut pair = Pair::with(config, vec![usize::MAX]);
        pair.client.connect("rtmp://host/app", &[]).expect("fits");
        pair.drive();
        let digest = greeting != Greeting::Simple;
        assert_eq!(pair.client_events[0], ClientEvent::HandshakeDone(digest));
        assert!(pair.session.connection().is_connected());
    }
}
