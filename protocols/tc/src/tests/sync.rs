use super::*;

const DATA: &[u8] = b"TC\x04\x01";
/// Vector V15: flow synchronisation 0 of two flows.
const SYNC: &[u8] = &[4, 0, 0, 0, 0, 0, 0x22, 0, 0, 0, 0, 0, 0, 0, 2];

fn sound(time: u8) -> [u8; 8] {
    [8, 0, 0, 0, time, 0xaf, 1, time]
}

fn times(world: &mut World) -> Vec<u32> {
    published(world, 0).iter().map(|frame| frame.timestamp_ms).collect()
}

#[test]
fn rtmfp_090_a_flow_waits_until_all_have_said_the_same_and_nobody_is_told() {
    let mut world = connected(90, 1);
    publishing(&mut world, 0, "a");
    let (one, two) = (raw_flow(&mut world, 0, DATA), raw_flow(&mut world, 0, DATA));
    for message in [&sound(1)[..], SYNC, &sound(3), &sound(4)] {
        raw_write(&mut world, 0, one, message);
    }
    world.run(2 * SECOND);
    assert_eq!(times(&mut world), [1], "held back");
    raw_write(&mut world, 0, two, &sound(2));
    world.run(SECOND);
    assert_eq!(times(&mut world), [1, 2], "the other flow goes on");
    raw_write(&mut world, 0, two, SYNC);
    raw_write(&mut world, 0, two, &sound(5));
    world.run(SECOND);
    let mut all = times(&mut world);
    assert_eq!(all[..2], [1, 2]);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5]);
    let served = world.served(0);
    assert_eq!(served.connection.stats().flow_syncs, 2);
    assert_eq!(served.connection.stats().messages_ignored, 0);
}

/// [P] of §7.8.
#[test]
fn rtmfp_090_when_a_flow_ends_the_others_wait_no_longer() {
    let mut world = connected(91, 1);
    publishing(&mut world, 0, "a");
    let (one, two) = (raw_flow(&mut world, 0, DATA), raw_flow(&mut world, 0, DATA));
    for message in [SYNC, &sound(1)] {
        raw_write(&mut world, 0, one, message);
    }
    raw_write(&mut world, 0, two, &sound(2));
    world.run(SECOND);
    assert_eq!(times(&mut world), [2]);
    world.client(0).session_mut().close_flow(two);
    world.run(SECOND);
    assert_eq!(times(&mut world), [2, 1]);
    raw_write(&mut world, 0, one, &sound(3));
    world.run(SECOND);
    assert_eq!(times(&mut world), [2, 1, 3], "and it goes on");
}

#[test]
fn a_synchronisation_of_one_flow_or_none_holds_nothing_back() {
    let mut world = connected(92, 1);
    publishing(&mut world, 0, "a");
    let flow = raw_flow(&mut world, 0, DATA);
    for count in [0, 1] {
        let mut sync = SYNC.to_vec();
        sync[14] = count;
        raw_write(&mut world, 0, flow, &sync);
        raw_write(&mut world, 0, flow, &sound(count));
    }
    world.run(SECOND);
    assert_eq!(times(&mut world), [0, 1]);
}

/// A flow that waits stays suspended through a decision.
#[test]
fn a_decision_does_not_wake_a_flow_that_waits_for_others() {
    let mut world = connected(93, 1);
    publishing(&mut world, 0, "a");
    let id = stream(&mut world, 0);
    let flow = raw_flow(&mut world, 0, DATA);
    raw_write(&mut world, 0, flow, SYNC);
    world.run(SECOND);
    world.decide = |_, _| {};
    world.client(0).play(id, "b").expect("queued");
    world.run(SECOND);
    assert!(world.served(0).connection.is_waiting());
    raw_write(&mut world, 0, flow, &sound(1));
    world.run(SECOND);
    let now = world.now;
    world.served(0).connection.net(now).accept_play(id, true, true, true);
    world.run(SECOND);
    assert!(times(&mut world).is_empty());
    world.client(0).session_mut().close_flow(flow);
    let other = raw_flow(&mut world, 0, DATA);
    raw_write(&mut world, 0, other, SYNC);
    world.run(SECOND);
    assert_eq!(times(&mut world), [1]);
}
