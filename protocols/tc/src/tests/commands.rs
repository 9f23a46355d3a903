use std::net::SocketAddr;

use ramona_amf::{Amf0Encoder, Object, Value};
use ramona_rtmp::{
    Event as NetEvent, Message, PublishMode, PublishRefusal, RejectCode, UserControl,
};

use super::*;
use crate::connection::Connection;

/// Sends the body of a message of the vectors, which begins with type and time.
fn say(world: &mut World, at: usize, stream: u32, message: &str) {
    let bytes = Bytes::from(hex(message));
    let (kind, timestamp_ms, payload) = crate::message::decode(&bytes).expect("whole");
    let message = Message { kind, stream: StreamId(stream), timestamp_ms, payload };
    world.client(at).send_message(&message).expect("queued");
    world.run(2 * SECOND);
}

fn nets(world: &mut World, at: usize) -> Vec<NetEvent> {
    let net = |event: &Event| match event {
        Event::Net(event) => Some(event.clone()),
        _ => None,
    };
    world.served(at).events.iter().filter_map(net).collect()
}

/// Vector V15: connect of rtmfp-cpp, transaction 1.
#[test]
fn rtmfp_080_connect_of_rtmfp_cpp_is_read_and_answered_with_its_transaction() {
    let mut world = World::new(1);
    let at = world.add().expect("a session");
    let connect = concat!(
        "1400000000020007636f6e6e656374003ff00000000000000300036170700200046c697665001261",
        "7564696f466f75724363496e666f4d61700300012a00400000000000000000000900066361707345",
        "78000000000000000000000e6f626a656374456e636f64696e670000000000000000000005746355",
        "726c02001b72746d66703a2f2f3132372e302e302e313a323935302f6c6976650012766964656f46",
        "6f75724363496e666f4d61700300012a004000000000000000000009000009"
    );
    say(&mut world, at, 0, connect);
    let NetEvent::Connect(connect) = &nets(&mut world, at)[0] else { panic!("no connect") };
    assert_eq!((&connect.app[..], connect.path.as_str()), (&b"live"[..], "/live"));
    assert_eq!(connect.object_encoding, 0);
    let [ClientEvent::Net(Net::Result { transaction, values })] = &world.peers[at].events[..]
    else {
        panic!("{:?}", world.peers[at].events)
    };
    assert_eq!(*transaction, 1.0);
    let code = values[0].get("code").and_then(Value::as_string).expect("a code");
    assert_eq!(code, "NetConnection.Connect.Success");
}

/// Transaction 0, as librtmfp says it, with user and token.
#[test]
fn rtmfp_080_connect_with_transaction_0_and_arguments_is_answered() {
    let mut world = World::new(2);
    let at = world.add().expect("a session");
    let object = Object::new().with("app", "live").with("tcUrl", "rtmfp://h/live?a=1");
    let mut payload = Vec::new();
    for value in
        ["connect".into(), Value::Number(0.0), object.into(), "user".into(), "token".into()]
    {
        value.encode_amf0(&mut payload).expect("encodes");
    }
    let payload = payload.into();
    let message = Message { kind: 20, stream: StreamId(0), timestamp_ms: 0, payload };
    world.client(at).send_message(&message).expect("queued");
    world.run(SECOND);
    let NetEvent::Connect(connect) = &nets(&mut world, at)[0] else { panic!("no connect") };
    assert_eq!(&connect.query[..], b"a=1");
    let (args, _) = ramona_amf::decode_amf0_all(&connect.args);
    assert_eq!(args, [Value::from("user"), Value::from("token")]);
    assert!(world.served(at).connection.is_connected());
    assert!(matches!(&world.peers[at].events[..],
        [ClientEvent::Net(Net::Result { transaction, .. })] if *transaction == 0.0));
}

#[test]
fn rtmfp_089_a_rejected_connect_is_answered_and_the_session_ends() {
    let mut world = World::new(3);
    world.decide = |connection: &mut Connection, event| {
        if matches!(event, Event::Net(NetEvent::Connect(_))) {
            connection.net(connection.now()).reject_connect(RejectCode::Rejected, b"go away");
        }
    };
    let at = world.add().expect("a session");
    world.client(at).connect("rtmfp://h/live", &[]).expect("queued");
    world.run(5 * SECOND);
    let events = &world.peers[at].events;
    let ClientEvent::Net(Net::Refused(info)) = &events[0] else { panic!("{events:?}") };
    assert_eq!(info.get("level"), Some(&Value::from("error")));
    assert_eq!(info.get("code"), Some(&Value::from("NetConnection.Connect.Rejected")));
    assert!(events.iter().any(|event| matches!(event, ClientEvent::Closed(_))), "{events:?}");
    let served = world.served(at);
    assert!(matches!(served.events.last(), Some(Event::Closed(_))), "{:?}", served.events);
    world.run(100 * SECOND);
    assert!(world.served(at).is_over);
}

/// Vector V15: createStream and publish as librtmfp says them.
#[test]
fn rtmfp_082_streams_are_created_without_null_and_published_with_a_name_in_amf3() {
    let mut world = connected(4, 1);
    say(&mut world, 0, 0, "140000000002000c63726561746553747265616d000000000000000000");
    let answer = world.peers[0].events.last().expect("an answer");
    let one = Value::Number(1.0);
    assert!(matches!(answer, ClientEvent::Net(Net::Result { transaction, values })
        if *transaction == 0.0 && *values == [one]));
    say(&mut world, 0, 0, "140000000002000c63726561746553747265616d00400000000000000005");
    say(&mut world, 0, 1, "14000000000200077075626c69736800000000000000000005110607666f6f");
    say(&mut world, 0, 2, "14000000000200077075626c69736800000000000000000005020003666f6f");
    let names: Vec<_> = nets(&mut world, 0)
        .into_iter()
        .filter_map(|event| match event {
            NetEvent::Publish { stream, name, mode, .. } => Some((stream.0, name, mode)),
            _ => None,
        })
        .collect();
    let foo = Bytes::from_static(b"foo");
    assert_eq!(names, [(1, foo.clone(), PublishMode::Live), (2, foo, PublishMode::Live)]);
}

/// The second one's refusal, on its stream; the order of the first one's acceptance.
#[test]
fn rtmfp_083_publish_starts_and_a_second_publisher_of_the_name_gets_bad_name() {
    let mut world = connected(5, 2);
    let id = publishing(&mut world, 0, "a");
    assert_eq!(codes(&world, 0, id), ["NetStream.Publish.Start"]);
    world.decide = |connection, event| {
        if let Event::Net(NetEvent::Publish { stream, .. }) = event {
            connection.net(connection.now()).refuse_publish(*stream, &PublishRefusal::BadName);
        }
    };
    let id = stream(&mut world, 1);
    world.client(1).publish(id, "a", PublishMode::Live).expect("queued");
    world.run(SECOND);
    assert_eq!(codes(&world, 1, id), ["NetStream.Publish.BadName"]);
}

/// The order of §7.7, on flows that answer the client's control flow (the client refuses others).
#[test]
fn rtmfp_084_and_081_a_player_gets_begin_reset_start_access_notify_metadata_headers_and_frames_in_order()
 {
    let mut world = connected(6, 1);
    let id = stream(&mut world, 0);
    let before = world.peers[0].events.len();
    world.decide = |connection, event| {
        if let Event::Net(NetEvent::Play { stream, .. }) = event {
            let now = connection.now();
            connection.net(connection.now()).accept_play(*stream, true, true, true);
            let frames = [metadata(), audio_header(), video_header(), video(0, true, 3000)];
            for frame in &frames {
                assert!(connection.send_media(now, *stream, frame, 0, true));
            }
        }
    };
    world.client(0).play(id, "a").expect("queued");
    world.run(SECOND);
    let events = &world.peers[0].events[before..];
    assert!(!events.iter().any(|e| matches!(e, ClientEvent::FlowRefused { .. })), "{events:?}");
    // The data flow alone is in order with itself; audio and video have their own.
    let words: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Net(Net::Control(UserControl::StreamBegin(stream))) if *stream == id => {
                Some("begin".into())
            }
            ClientEvent::Net(Net::Status { stream, code, .. }) if *stream == id => {
                Some(String::from_utf8_lossy(code).into_owned())
            }
            ClientEvent::Net(Net::Media { frame, .. }) if frame.kind == MediaKind::Data => {
                let (name, _) = ramona_media::leading_name(&frame.payload).expect("a name");
                Some(String::from_utf8_lossy(name).into_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        words,
        [
            "begin",
            "NetStream.Play.Reset",
            "NetStream.Play.Start",
            "|RtmpSampleAccess",
            "NetStream.Play.PublishNotify",
            "onMetaData"
        ]
    );
    let of = |kind| seen(&world, 0).into_iter().filter(move |f| f.kind == kind).collect::<Vec<_>>();
    assert_eq!(of(MediaKind::Audio), [audio_header()]);
    assert_eq!(of(MediaKind::Video), [video_header(), video(0, true, 3000)]);
}

/// Vector V15: the bodies of StreamBegin, Play.Reset, sample access and Publish.Start.
#[test]
fn a_play_is_answered_on_the_data_flow_with_the_fields_of_the_vectors() {
    let mut world = connected(7, 1);
    let id = playing(&mut world, 0, "foo");
    let status = |wanted: &str| {
        world.peers[0].events.iter().find_map(|event| match event {
            ClientEvent::Net(Net::Status { stream, level, code, description })
                if *stream == id && *code == wanted =>
            {
                Some((level.clone(), description.clone()))
            }
            _ => None,
        })
    };
    let (level, description) = status("NetStream.Play.Reset").expect("a status");
    assert_eq!((&level[..], &description[..]), (&b"status"[..], &b"Playing and resetting foo"[..]));
    let access = hex("0200117c52746d7053616d706c6541636365737301010101");
    assert!(seen(&world, 0).iter().any(|frame| frame.payload == access));
}

/// Vector V15.
#[test]
fn rtmfp_045_peer_info_is_told_and_answered_with_the_keepalive_timers() {
    let mut world = connected(8, 1);
    for message in [
        concat!(
            "140000000002000b73657450656572496e666f00000000000000000002000f3139322e302e322e323a3536",
            "32313902000f5b666430303a3a325d3a3432353332"
        ),
        "140000000002000b73657450656572496e666f00000000000000000005",
        concat!(
            "11000000000002000b73657450656572496e666f0000000000000000000502000f3139322e302e322e323a",
            "3536323139"
        ),
    ] {
        say(&mut world, 0, 0, message);
    }
    let told: Vec<Vec<SocketAddr>> = world
        .served(0)
        .events
        .iter()
        .filter_map(|event| match event {
            Event::PeerInfo(addresses) => Some(addresses.clone()),
            _ => None,
        })
        .collect();
    let v4: SocketAddr = "192.0.2.2:56219".parse().expect("address");
    let v6: SocketAddr = "[fd00::2]:42532".parse().expect("address");
    assert_eq!(told, [vec![v4, v6], vec![], vec![v4]]);
    let keepalive = ClientEvent::Keepalive { server_ms: 15_000, peer_ms: 10_000 };
    let answers = world.peers[0].events.iter().filter(|event| **event == keepalive).count();
    assert_eq!(answers, 3);
    assert!(nets(&mut world, 0).iter().all(|event| !matches!(event, NetEvent::Call { .. })));
}

/// On this side: the period of the server's configuration is what the client is told, and what it
/// then obeys.
#[test]
fn rtmfp_092_the_client_pings_at_the_period_that_it_is_told() {
    let mut world = World::new(9);
    world.config.keepalive_server = 5 * SECOND;
    let at = connect(&mut world);
    let addresses = ["192.0.2.9:1".parse().expect("address")];
    world.client(at).set_peer_info(&addresses).expect("queued");
    world.run(SECOND);
    let before = world.served(at).connection.session().stats().packets_received;
    world.run(20 * SECOND);
    let after = world.served(at).connection.session().stats().packets_received;
    assert!((3..=5).contains(&(after - before)), "{}", after - before);
}

/// §7.1: nothing overtakes a decision.
#[test]
fn what_follows_a_question_waits_for_the_answer() {
    let mut world = World::new(10);
    world.decide = |_, _| {};
    let at = world.add().expect("a session");
    world.client(at).connect("rtmfp://h/live", &[]).expect("queued");
    world.client(at).call("early", &[]).expect("queued");
    world.client(at).create_stream().expect("queued");
    world.run(5 * SECOND);
    assert!(world.served(at).connection.is_waiting());
    assert_eq!(nets(&mut world, at).len(), 1, "connect alone");
    assert!(world.peers[at].events.is_empty());
    world.client(at).call("late", &[]).expect("queued");
    world.run(5 * SECOND);
    assert_eq!(nets(&mut world, at).len(), 1);
    let now = world.now;
    world.served(at).connection.net(now).accept_connect(&[]);
    world.run(SECOND);
    let names: Vec<_> = nets(&mut world, at)
        .into_iter()
        .filter_map(|event| match event {
            NetEvent::Call { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(names, [&b"early"[..], b"late"]);
    let created = ClientEvent::Net(Net::StreamCreated(StreamId(1)));
    assert!(world.peers[at].events.contains(&created));
}

#[test]
fn buffer_lengths_and_pings_are_taken_from_user_control_messages() {
    let mut world = connected(11, 1);
    let id = playing(&mut world, 0, "a");
    world.client(0).set_buffer_length(id, 3000).expect("queued");
    world.client(0).set_buffer_length(StreamId(0), 700).expect("queued");
    world.client(0).set_buffer_length(StreamId(9), 1).expect("queued");
    say(&mut world, 0, 0, "0400000000000600000539");
    let lengths: Vec<_> = nets(&mut world, 0)
        .into_iter()
        .filter_map(|event| match event {
            NetEvent::BufferLength { stream, length_ms } => Some((stream, length_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(lengths, [(id, 3000), (id, 700)]);
    let pong = ClientEvent::Net(Net::Control(UserControl::PingResponse(0x539)));
    assert_eq!(world.peers[0].events.last(), Some(&pong));
}

#[test]
fn calls_are_answered_on_the_control_flow_and_writers_have_flows_of_their_own() {
    let mut world = connected(12, 1);
    let transaction = world.client(0).call("f", &[]).expect("queued");
    world.run(SECOND);
    let mut args = Vec::new();
    Amf0Encoder::new(&mut args).number(7.0);
    let connection = &mut world.served(0).connection;
    connection.net(connection.now()).answer_call(transaction, &args).expect("fits");
    let writer = connection.open_writer().expect("a writer");
    let flows = connection.session().stats();
    connection.set_writer(Some(writer), false);
    connection.net(connection.now()).invoke(b"onOne", &args).expect("fits");
    connection.set_writer(None, true);
    connection.net(connection.now()).invoke(b"onTwo", &args).expect("fits");
    world.run(SECOND);
    let events = &world.peers[0].events;
    let seven = || vec![Value::Number(7.0)];
    let answer = ClientEvent::Net(Net::Result { transaction, values: seven() });
    assert!(events.contains(&answer), "{events:?}");
    for name in [&b"onOne"[..], b"onTwo"] {
        let (stream, name) = (StreamId(0), Bytes::from_static(name));
        let call = ClientEvent::Net(Net::Call { stream, name, args: seven() });
        assert!(events.contains(&call), "{events:?}");
    }
    let connection = &mut world.served(0).connection;
    connection.close_writer(writer);
    connection.set_writer(Some(writer), true);
    connection.net(connection.now()).invoke(b"onThree", &args).expect("fits");
    world.run(SECOND);
    let is_third = |event: &ClientEvent| matches!(event, ClientEvent::Net(Net::Call { name, .. }) if name == "onThree");
    assert!(world.peers[0].events.iter().any(is_third), "a writer that is over: the control flow");
    assert_eq!(flows.flows_rejected, 0);
}

/// A status, an answer of a script, a push: often the first packet for a long time.
#[test]
fn what_the_server_says_after_a_silence_is_sent_once_and_bears_its_own_time() {
    let mut world = connected(13, 1);
    world.run(12 * SECOND);
    let round_trip = world.served(0).connection.session().round_trip();
    for second in 0..3 {
        let now = world.now;
        let connection = &mut world.served(0).connection;
        connection.net(now).invoke(b"onLate", &[]).expect("fits");
        world.run(12 * SECOND);
        let calls = world.peers[0].events.iter().filter(
            |event| matches!(event, ClientEvent::Net(Net::Call { name, .. }) if name == "onLate"),
        );
        assert_eq!(calls.count(), second + 1);
    }
    let session = world.served(0).connection.session();
    let stats = session.stats();
    assert_eq!((stats.timeouts, stats.losses), (0, 0), "nothing was lost, nothing is sent again");
    // The silence is no round trip.
    assert_eq!(session.round_trip(), round_trip);
}

/// Under loss: everything arrives, once and in order.
#[test]
fn rtmfp_080_to_084_with_a_tenth_of_the_packets_lost_all_commands_arrive_once_and_in_order() {
    for seed in 20..24 {
        let mut world = World::new(seed);
        world.loss = 10;
        let at = world.add().expect("a session");
        world.client(at).connect("rtmfp://h/live", &[]).expect("queued");
        for call in 0..100 {
            world.client(at).call(&format!("call{call}"), &[]).expect("queued");
        }
        world.run(60 * SECOND);
        let names: Vec<_> = nets(&mut world, at)
            .into_iter()
            .filter_map(|event| match event {
                NetEvent::Call { name, .. } => Some(String::from_utf8_lossy(&name).into_owned()),
                _ => None,
            })
            .collect();
        let expected: Vec<_> = (0..100).map(|call| format!("call{call}")).collect();
        assert_eq!(names, expected, "seed {seed}");
        let publisher = publishing_later(&mut world, at);
        assert_eq!(codes(&world, at, publisher), ["NetStream.Publish.Start"]);
    }
}

fn publishing_later(world: &mut World, at: usize) -> StreamId {
    world.client(at).create_stream().expect("queued");
    world.run(20 * SECOND);
    world.client(at).publish(StreamId(1), "a", PublishMode::Live).expect("queued");
    world.run(20 * SECOND);
    StreamId(1)
}
