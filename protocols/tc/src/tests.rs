//! A [`Connection`](crate::Connection) and [`Client`](crate::Client)s, joined by endpoints in
//! virtual time.

mod bounds;
mod closing;
mod commands;
mod fuzzing;
mod groups;
mod media;
mod sync;

use std::time::Duration;

use bytes::Bytes;
use ramona_media::{MediaFrame, MediaKind};
use ramona_rtmfp::{FlowOptions, Message, SendFlowId};
use ramona_rtmp::{ClientEvent as Net, StreamId};

use crate::client::ClientEvent;
use crate::connection::Event;
use crate::harness::World;

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// A world with `count` clients whose connect was accepted.
fn connected(seed: u8, count: usize) -> World {
    let mut world = World::new(seed);
    for _ in 0..count {
        connect(&mut world);
    }
    world
}

fn connect(world: &mut World) -> usize {
    let at = world.add().expect("a session");
    world.client(at).connect("rtmfp://192.0.2.1/live", &[]).expect("queued");
    world.run(2 * SECOND);
    let is_connected =
        |event: &ClientEvent| matches!(event, ClientEvent::Net(Net::Connected { .. }));
    assert!(world.peers[at].events.iter().any(is_connected), "{:?}", world.peers[at].events);
    at
}

/// A stream of the client.
fn stream(world: &mut World, at: usize) -> StreamId {
    world.client(at).create_stream().expect("queued");
    world.run(2 * SECOND);
    let ids = world.peers[at].events.iter().rev().find_map(|event| match event {
        ClientEvent::Net(Net::StreamCreated(id)) => Some(*id),
        _ => None,
    });
    ids.expect("createStream is answered")
}

fn publishing(world: &mut World, at: usize, name: &str) -> StreamId {
    let id = stream(world, at);
    world.client(at).publish(id, name, ramona_rtmp::PublishMode::Live).expect("queued");
    world.run(2 * SECOND);
    assert!(codes(world, at, id).contains(&"NetStream.Publish.Start".to_owned()));
    id
}

fn playing(world: &mut World, at: usize, name: &str) -> StreamId {
    let id = stream(world, at);
    world.client(at).play(id, name).expect("queued");
    world.run(2 * SECOND);
    assert!(codes(world, at, id).contains(&"NetStream.Play.Start".to_owned()));
    id
}

/// Codes of the statuses that a client got on a stream.
fn codes(world: &World, at: usize, id: StreamId) -> Vec<String> {
    let code = |event: &ClientEvent| match event {
        ClientEvent::Net(Net::Status { stream, code, .. }) if *stream == id => {
            Some(String::from_utf8_lossy(code).into_owned())
        }
        _ => None,
    };
    world.peers[at].events.iter().filter_map(code).collect()
}

/// Frames that the server got of a client.
fn published(world: &mut World, at: usize) -> Vec<MediaFrame> {
    let frame = |event: &Event| match event {
        Event::Net(ramona_rtmp::Event::Media { frame, .. }) => Some(frame.clone()),
        _ => None,
    };
    world.served(at).events.iter().filter_map(frame).collect()
}

/// Frames that a client got.
fn seen(world: &World, at: usize) -> Vec<MediaFrame> {
    let frame = |event: &ClientEvent| match event {
        ClientEvent::Net(Net::Media { frame, .. }) => Some(frame.clone()),
        _ => None,
    };
    world.peers[at].events.iter().filter_map(frame).collect()
}

fn video(time: u32, is_keyframe: bool, length: usize) -> MediaFrame {
    let mut body = vec![if is_keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0];
    body.resize(5 + length, time as u8);
    MediaFrame::new(MediaKind::Video, time, body.into())
}

fn video_header() -> MediaFrame {
    // Vector V15.
    let body = hex(concat!(
        "17000000000164001effe100196764001eacb405017fcb80880000030008000003019478b17501000468ef3cb0",
        "fdf8f800"
    ));
    MediaFrame::new(MediaKind::Video, 0, body.into())
}

fn audio(time: u32) -> MediaFrame {
    MediaFrame::new(MediaKind::Audio, time, Bytes::from_static(b"\xaf\x01audio"))
}

fn audio_header() -> MediaFrame {
    // Vector V12.
    MediaFrame::new(MediaKind::Audio, 0, hex("af00120856e500").into())
}

fn metadata() -> MediaFrame {
    let body = Bytes::from_static(b"\x02\x00\x0aonMetaData\x05");
    MediaFrame::new(MediaKind::Data, 0, body)
}

/// A flow of any metadata, answering nothing.
fn raw_flow(world: &mut World, at: usize, metadata: &[u8]) -> SendFlowId {
    let metadata = Bytes::copy_from_slice(metadata);
    let options = FlowOptions { metadata, ..FlowOptions::default() };
    world.client(at).session_mut().open_flow(options).expect("a flow")
}

fn raw_write(world: &mut World, at: usize, flow: SendFlowId, message: &[u8]) {
    let now = world.now;
    let message = Message::reliable(&[], Bytes::copy_from_slice(message));
    world.client(at).session_mut().write(now, flow, &message).expect("written");
}
