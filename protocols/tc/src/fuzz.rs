//! Bodies of the fuzz targets: plain functions that assert what must hold for any bytes.

use std::time::Duration;

use bytes::Bytes;
use ramona_rtmfp::{FlowOptions, Message, Priority, SendFlowId};
use ramona_rtmp::StreamId;

use crate::harness::World;
use crate::metadata::FlowKind;
use crate::{limits, message, peer_info};

/// Decoders of metadata, user control and `setPeerInfo`.
pub fn messages(data: &[u8]) {
    if let Some(kind) = FlowKind::decode(data) {
        assert_eq!(FlowKind::decode(&kind.encode()), Some(kind));
    }
    let bytes = Bytes::copy_from_slice(data);
    if let Some((kind, timestamp_ms, body)) = message::decode(&bytes) {
        assert_eq!([&message::header(kind, timestamp_ms)[..], &body].concat(), data);
        message::read_user_control(&body);
        let addresses = peer_info::read(kind, &body).unwrap_or_default();
        assert!(addresses.len() <= limits::MAX_PEER_ADDRESSES);
    }
}

/// Steps of a client after the handshake: messages of any bytes on flows of any metadata, in
/// order with proper commands, and with loss. The server neither panics nor grows beyond its
/// limits, and says nothing after it is closed.
pub fn connection(data: &[u8]) {
    let Some((&seed, mut data)) = data.split_first() else { return };
    let mut world = World::new(seed & 0x7f);
    world.loss = u32::from(seed >> 7) * 10;
    let Some(at) = world.add() else { return };
    let mut flows: Vec<SendFlowId> = Vec::new();
    while let [step, rest @ ..] = data {
        data = run_step(&mut world, at, *step, rest, &mut flows);
        check(&mut world, at);
    }
    world.run(Duration::from_secs(200));
    check(&mut world, at);
}

/// One step; what is left of the input.
fn run_step<'a>(
    world: &mut World,
    at: usize,
    step: u8,
    rest: &'a [u8],
    flows: &mut Vec<SendFlowId>,
) -> &'a [u8] {
    let length = usize::from(rest.first().copied().unwrap_or(0)).min(rest.len().saturating_sub(1));
    let (value, rest) = match rest.get(1..) {
        Some(rest) => rest.split_at(length),
        None => (&[][..], rest),
    };
    let client = world.client(at);
    // Writes fail when the session or a flow is over: that is one of the things to try.
    let _ = match step % 12 {
        0 => client.connect("rtmfp://192.0.2.1/live", &[]),
        1 => client.create_stream(),
        2 => client.publish(StreamId(1), "a", ramona_rtmp::PublishMode::Live),
        3 => client.play(StreamId(1), "a"),
        4 => client.delete_stream(StreamId(1)),
        5 => client.send_join(Bytes::copy_from_slice(value)).map(drop),
        6 => {
            client.close_control();
            Ok(())
        }
        7 => {
            let options = FlowOptions {
                metadata: Bytes::copy_from_slice(value),
                priority: Priority::Routine,
                ..FlowOptions::default()
            };
            flows.extend(client.session_mut().open_flow(options));
            Ok(())
        }
        8 => {
            let now = world.now;
            let session = world.client(at).session_mut();
            match flows.get(usize::from(step / 12) % flows.len().max(1)) {
                Some(flow) => {
                    let message = Message::reliable(&[], Bytes::copy_from_slice(value));
                    session.write(now, *flow, &message)
                }
                None => Ok(()),
            }
        }
        9 => {
            if let Some(flow) = flows.pop() {
                client.session_mut().close_flow(flow);
            }
            Ok(())
        }
        10 => match message::decode(&Bytes::copy_from_slice(value)) {
            Some((kind, timestamp_ms, payload)) => {
                let stream = StreamId(u32::from(step / 12) % 3);
                let message = ramona_rtmp::Message { kind, stream, timestamp_ms, payload };
                client.send_message(&message)
            }
            None => Ok(()),
        },
        _ => {
            world.run(Duration::from_millis(20 * u64::from(step)));
            Ok(())
        }
    };
    rest
}

fn check(world: &mut World, at: usize) {
    use crate::connection::Event;
    let served = world.served(at);
    let is_closed = |event: &Event| matches!(event, Event::Closed(_));
    if let Some(end) = served.events.iter().position(is_closed) {
        assert_eq!(end + 1, served.events.len(), "nothing follows the end: {:?}", served.events);
    }
    let joined = |event: &&Event| matches!(event, Event::JoinGroup { .. });
    let left = |event: &&Event| matches!(event, Event::LeaveGroup { .. });
    let members = served.connection.groups().count();
    assert!(members <= limits::MAX_GROUPS);
    let (joins, leaves) =
        (served.events.iter().filter(joined).count(), served.events.iter().filter(left).count());
    assert_eq!(joins - leaves, members, "joins and leaves are told in pairs");
    assert!(
        served.connection.flow_count()
            <= limits::BASE_FLOWS
                + limits::FLOWS_PER_STREAM * ramona_rtmp::limits::MAX_STREAMS
                + limits::MAX_GROUPS
    );
}
