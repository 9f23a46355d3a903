use ramona_amf::Value;
use ramona_rtmp::CloseKind;

use super::*;

fn has_ended(world: &World, at: usize) -> bool {
    world.peers[at].events.iter().any(|event| matches!(event, ClientEvent::Closed(_)))
}

fn reason(world: &mut World, at: usize) -> String {
    match world.served(at).events.last() {
        Some(Event::Closed(reason)) => reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rtmfp_088_when_the_client_ends_its_control_flow_streams_and_control_end_too() {
    let mut world = connected(60, 1);
    let id = publishing(&mut world, 0, "a");
    world.client(0).send_frame(id, &audio(0), true).expect("queued");
    let group = world.client(0).join_group(&[7; 32]).expect("queued");
    world.run(SECOND);
    world.client(0).close_control();
    world.run(5 * SECOND);
    assert_eq!(reason(&mut world, 0), "closed by the client");
    let events = &world.peers[0].events;
    for event in [
        ClientEvent::FlowRejected { stream: StreamId(0), code: 0 },
        ClientEvent::FlowRejected { stream: id, code: 0 },
        ClientEvent::GroupRefused(group),
        ClientEvent::ControlEnded,
    ] {
        assert!(events.contains(&event), "{event:?} of {events:?}");
    }
    assert!(has_ended(&world, 0), "then the session ends");
    let leave = |event: &Event| matches!(event, Event::LeaveGroup { .. });
    assert!(world.served(0).events.iter().any(leave));
    world.run(100 * SECOND);
    assert!(world.served(0).is_over);
}

/// §7.10: status, end of the control flow, end of the session.
#[test]
fn the_server_says_why_ends_its_control_flow_and_then_the_session() {
    for (seed, close, loss) in [
        (61, CloseKind::Normal, 0),
        (62, CloseKind::AppShutdown, 0),
        (63, CloseKind::IdleTimeout, 0),
        (64, CloseKind::Normal, 10),
    ] {
        let mut world = connected(seed, 1);
        playing(&mut world, 0, "a");
        world.loss = loss;
        let before = world.peers[0].events.len();
        let now = world.now;
        world.served(0).connection.close(now, close);
        world.run(20 * SECOND);
        let events = &world.peers[0].events[before..];
        let code = match &events[0] {
            ClientEvent::Net(Net::Status { stream: StreamId(0), code, .. }) => code.clone(),
            ClientEvent::Net(Net::Error { transaction, info }) if *transaction == 0.0 => {
                info.get("code").and_then(Value::as_string).expect("a code").clone()
            }
            other => panic!("{other:?}"),
        };
        let expected = match close {
            CloseKind::Normal => "NetConnection.Connect.Closed",
            CloseKind::AppShutdown => "NetConnection.Connect.AppShutdown",
            CloseKind::IdleTimeout => "NetConnection.Connect.IdleTimeout",
        };
        assert_eq!(code, expected);
        let says_close = |event: &ClientEvent| matches!(event, ClientEvent::Net(Net::Call { name, .. }) if name == "close");
        assert!(events.iter().any(says_close), "{events:?}");
        let ended = events.iter().position(|event| *event == ClientEvent::ControlEnded);
        let closed = events.iter().position(|event| matches!(event, ClientEvent::Closed(_)));
        assert!(ended.is_some() && ended < closed, "{events:?}");
        assert_eq!(reason(&mut world, 0), "closed by the server side");
        world.run(100 * SECOND);
        assert!(world.served(0).is_over);
    }
}

#[test]
fn a_client_that_does_not_answer_the_close_is_given_up() {
    let mut world = connected(65, 1);
    world.peers[0].is_cut = true;
    let now = world.now;
    world.served(0).connection.close(now, CloseKind::Normal);
    world.run(SECOND);
    assert_eq!(reason(&mut world, 0), "closed by the server side", "told at once");
    world.run(100 * SECOND);
    assert!(world.served(0).is_over);
}

#[test]
fn a_client_that_rejects_the_servers_control_flow_is_closed() {
    let mut world = connected(66, 1);
    let flow = ramona_rtmfp::RecvFlowId(2);
    world.client(0).session_mut().reject_flow(flow, 0);
    world.run(5 * SECOND);
    assert_eq!(reason(&mut world, 0), "the client rejected the control flow");
    assert!(has_ended(&world, 0));
    let rejected = ClientEvent::FlowRejected { stream: StreamId(0), code: 0 };
    assert!(world.peers[0].events.contains(&rejected), "its own is rejected too");
}

#[test]
fn a_session_without_connect_is_closed_after_its_time_and_one_that_waits_is_not() {
    let mut world = World::new(67);
    let at = world.add().expect("a session");
    world.run(40 * SECOND);
    assert_eq!(reason(&mut world, at), "no connect command within 30s");
    let mut world = World::new(68);
    world.decide = |_, _| {};
    let at = world.add().expect("a session");
    world.client(at).connect("rtmfp://h/live", &[]).expect("queued");
    world.run(50 * SECOND);
    assert!(world.served(at).connection.is_waiting());
    let now = world.now;
    world.served(at).connection.net(now).accept_connect(&[]);
    world.run(50 * SECOND);
    assert!(world.served(at).connection.is_connected());
}

#[test]
fn the_end_of_the_session_is_the_end_of_the_connection() {
    let mut world = connected(69, 2);
    let now = world.now;
    world.client(0).close(now);
    world.served(1).connection.session_mut().discard();
    world.run(SECOND);
    assert_eq!(reason(&mut world, 0), "session closed by the client");
    assert_eq!(reason(&mut world, 1), "session closed by the server side");
    assert!(!world.served(0).connection.is_connected());
    world.run(30 * SECOND);
    assert!(world.served(0).is_over && world.served(1).is_over);
}

#[test]
fn the_command_close_and_a_broken_command_end_the_connection() {
    let mut world = connected(70, 2);
    world.client(0).call("close", &[]).expect("queued");
    let flow = Bytes::from_static(b"\x00\x00\x00\x00");
    let (kind, stream, timestamp_ms) = (20, StreamId(0), 0);
    let message = ramona_rtmp::Message { kind, stream, timestamp_ms, payload: flow };
    world.client(1).send_message(&message).expect("queued");
    world.run(5 * SECOND);
    assert_eq!(reason(&mut world, 0), "closed by the client");
    assert!(reason(&mut world, 1).contains("command"), "{}", reason(&mut world, 1));
    assert!(has_ended(&world, 0) && has_ended(&world, 1));
}
