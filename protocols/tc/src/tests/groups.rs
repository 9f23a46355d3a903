use ramona_rtmfp::PeerId;

use super::*;
use crate::client::GroupHandle;
use crate::connection::GroupJoin;
use crate::limits::MAX_GROUPS;

const GROUP: [u8; 32] = [0xc3; 32];

fn joined(world: &mut World, at: usize) -> Vec<(GroupJoin, [u8; 32])> {
    world.served(at).connection.groups().collect()
}

fn members(world: &World, at: usize) -> Vec<(GroupHandle, PeerId)> {
    let member = |event: &ClientEvent| match event {
        ClientEvent::Member { group, peer } => Some((*group, *peer)),
        _ => None,
    };
    world.peers[at].events.iter().filter_map(member).collect()
}

/// Vector V14: no answer to the first, `0b` and the first's id to the second, on a flow that
/// answers its group flow (the client refuses others).
#[test]
fn rtmfp_100_the_second_member_is_told_the_first_and_the_first_nothing() {
    let mut world = connected(30, 2);
    let first = world.client(0).join_group(&GROUP).expect("queued");
    let second = world.client(1).join_group(&GROUP).expect("queued");
    world.run(SECOND);
    let [(_, group)] = joined(&mut world, 0)[..] else { panic!("no join") };
    assert_eq!(group, GROUP);
    let [(join, _)] = joined(&mut world, 1)[..] else { panic!("no join") };
    let (now, peer) = (world.now, world.peer_id(0));
    assert!(world.served(1).connection.tell_member(now, join, peer));
    world.run(SECOND);
    assert_eq!(members(&world, 1), [(second, peer)]);
    assert!(members(&world, 0).is_empty());
    // More members go on the same flow.
    assert!(world.served(1).connection.tell_member(now, join, PeerId([9; 32])));
    world.run(SECOND);
    assert_eq!(members(&world, 1), [(second, peer), (second, PeerId([9; 32]))]);
    assert_ne!(first, GroupHandle(SendFlowId(0)));
    let refused = |event: &ClientEvent| matches!(event, ClientEvent::FlowRefused { .. });
    assert!(!world.peers[1].events.iter().any(refused));
}

/// This crate's part: as many as are told arrive, in order, also with loss.
#[test]
fn rtmfp_101_all_members_that_are_told_arrive_under_loss() {
    let mut world = connected(31, 1);
    world.loss = 10;
    let group = world.client(0).join_group(&GROUP).expect("queued");
    world.run(20 * SECOND);
    let [(join, _)] = joined(&mut world, 0)[..] else { panic!("no join") };
    for id in 0..6 {
        let now = world.now;
        assert!(world.served(0).connection.tell_member(now, join, PeerId([id; 32])));
    }
    world.run(20 * SECOND);
    let expected: Vec<_> = (0..6).map(|id| (group, PeerId([id; 32]))).collect();
    assert_eq!(members(&world, 0), expected);
}

/// By the end of the flow, by the client's death, and by the server.
#[test]
fn rtmfp_103_a_membership_ends_with_its_flow_with_the_session_and_at_the_servers_wish() {
    let mut world = connected(32, 1);
    let first = world.client(0).join_group(&GROUP).expect("queued");
    world.client(0).join_group(&[1; 32]).expect("queued");
    let third = world.client(0).join_group(&[2; 32]).expect("queued");
    world.run(SECOND);
    let joins = joined(&mut world, 0);
    assert_eq!(joins.len(), 3);
    world.client(0).leave_group(first);
    world.run(SECOND);
    let (join, group) = *joins.iter().find(|(_, group)| *group == GROUP).expect("first");
    let leave = Event::LeaveGroup { join, group };
    assert_eq!(world.served(0).events.last(), Some(&leave));
    let now = world.now;
    assert!(!world.served(0).connection.tell_member(now, join, PeerId([1; 32])));
    let (join, group) = *joins.iter().find(|(_, group)| *group == [2; 32]).expect("third");
    world.served(0).connection.end_join(join);
    world.run(SECOND);
    assert_eq!(world.served(0).events.last(), Some(&Event::LeaveGroup { join, group }));
    assert_eq!(world.peers[0].events.last(), Some(&ClientEvent::GroupRefused(third)));
    // kill -9: nothing comes any more.
    world.peers[0].is_cut = true;
    world.run(80 * SECOND);
    let [.., leave, Event::Closed(_)] = &world.served(0).events[..] else {
        panic!("{:?}", world.served(0).events)
    };
    assert!(matches!(leave, Event::LeaveGroup { group, .. } if *group == [1; 32]), "{leave:?}");
    assert!(joined(&mut world, 0).is_empty());
}

#[test]
fn rtmfp_104_a_plain_specification_joins_the_group_of_its_hash() {
    let mut world = connected(33, 1);
    let text = b"G:027f02010101000103010c050e74657374011b";
    world.client(0).join_group_of(text).expect("queued");
    world.run(SECOND);
    let [(_, group)] = joined(&mut world, 0)[..] else { panic!("no join") };
    // Vector V14: its hash.
    assert_eq!(group[..], hex("8a8b584da2c116ec28b8ce6aeb096d74f68bad5aa70c889264b41c7e9d42fca3"));
}

#[test]
fn ids_of_other_lengths_are_refused_and_counted() {
    let mut world = connected(34, 1);
    for length in [0_u8, 1, 31, 33, 100] {
        let mut message = vec![0x01, length + 1, 0x15];
        message.resize(3 + usize::from(length), 5);
        let group = world.client(0).send_join(message.into()).expect("queued");
        world.run(SECOND);
        let refused = ClientEvent::GroupRefused(group);
        assert_eq!(world.peers[0].events.last(), Some(&refused), "{length}");
    }
    let large = vec![0x01; 64 << 10];
    let group = world.client(0).send_join(large.into()).expect("queued");
    world.run(5 * SECOND);
    assert_eq!(world.peers[0].events.last(), Some(&ClientEvent::GroupRefused(group)));
    assert!(joined(&mut world, 0).is_empty());
    let served = world.served(0);
    assert_eq!(served.connection.stats().bad_joins, 6);
    assert!(served.connection.is_connected(), "the connection goes on");
    assert!(!served.events.iter().any(|e| matches!(e, Event::JoinGroup { .. })));
}

#[test]
fn a_group_flow_before_connect_is_refused() {
    let mut world = World::new(35);
    let at = world.add().expect("a session");
    let group = world.client(at).join_group(&GROUP).expect("queued");
    world.run(SECOND);
    assert_eq!(world.peers[at].events, [ClientEvent::GroupRefused(group)]);
}

/// "A peer that joins and leaves a thousand groups": a bounded number at a time, and each is told
/// in pairs.
#[test]
fn groups_at_a_time_are_bounded_and_a_thousand_can_come_and_go() {
    let mut world = connected(36, 1);
    for id in 0..MAX_GROUPS as u8 + 6 {
        world.client(0).join_group(&[id; 32]).expect("queued");
    }
    world.run(5 * SECOND);
    assert_eq!(joined(&mut world, 0).len(), MAX_GROUPS);
    let refused = |event: &&ClientEvent| matches!(event, ClientEvent::GroupRefused(_));
    assert_eq!(world.peers[0].events.iter().filter(refused).count(), 6);
    assert!(world.served(0).connection.is_connected());

    let mut world = connected(37, 1);
    for round in 0..1000_u32 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&round.to_be_bytes());
        let group = world.client(0).join_group(&id).expect("queued");
        world.run(ms(300));
        world.client(0).leave_group(group);
    }
    world.run(SECOND);
    let served = world.served(0);
    let count = |wanted: fn(&Event) -> bool| served.events.iter().filter(|e| wanted(e)).count();
    assert_eq!(count(|e| matches!(e, Event::JoinGroup { .. })), 1000);
    assert_eq!(count(|e| matches!(e, Event::LeaveGroup { .. })), 1000);
    assert!(served.connection.is_connected());
    assert!(served.connection.flow_count() < 3);
}
