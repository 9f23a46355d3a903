//! CLU-08 with real links: whatever the order in which hellos arrive, one link stays.

use std::time::Duration;

use super::hello;
use super::pair::Pair;
use crate::{CloseReason, Event, Hello, Keep, LinkIdentity, NodeId, keep_which};

/// The links that one node believes in: number of the pair, and what `keep_which` compares.
struct Node {
    id: NodeId,
    live: Vec<(usize, LinkIdentity)>,
}

impl Node {
    fn new(hello: &Hello) -> Self {
        Self { id: hello.node_id, live: Vec::new() }
    }

    /// What the owner of all links does on `Up`: the numbers of the links to close.
    fn up(&mut self, number: usize, new: LinkIdentity) -> Vec<usize> {
        let mut losers = Vec::new();
        self.live.retain(|(existing, identity)| match keep_which(self.id, identity, &new) {
            Keep::New => {
                losers.push(*existing);
                false
            }
            Keep::Existing => {
                losers.push(number);
                true
            }
            Keep::Both => true,
        });
        if !losers.contains(&number) {
            self.live.push((number, new));
        }
        losers
    }
}

/// Dials of node 1 (`true`) or node 2, each some milliseconds after the one before.
fn run(seed: u64, dials: &[(bool, u64)], secret: &str) -> (Vec<Pair>, [Node; 2]) {
    let (one, two) = (hello(1), hello(2));
    let mut nodes = [Node::new(&one), Node::new(&two)];
    let mut pairs: Vec<Pair> = Vec::new();
    let mut due: Vec<(u64, bool)> = Vec::new();
    for &(by_one, pause) in dials {
        due.push((due.last().map_or(0, |(at, _)| *at) + pause, by_one));
    }
    for at in 0..300 {
        while pairs.len() < due.len() && due[pairs.len()].0 <= at {
            let number = pairs.len();
            let dial = |hello: &Hello| Hello { dial: 1 + number as u64, ..hello.clone() };
            let mut pair = match due[number].1 {
                true => Pair::new(seed + number as u64, dial(&one), two.clone(), [secret; 2]),
                false => Pair::new(seed + number as u64, dial(&two), one.clone(), [secret; 2]),
            };
            pair.now += Duration::from_millis(at);
            pairs.push(pair);
        }
        for (number, by_one) in (0..pairs.len()).map(|n| (n, due[n].1)).collect::<Vec<_>>() {
            pairs[number].run(Duration::from_millis(1));
            for at_dialler in [true, false] {
                let node = &mut nodes[usize::from(by_one != at_dialler)];
                let pair = &mut pairs[number];
                let end = if at_dialler { &mut pair.dialler } else { &mut pair.acceptor };
                let identity = end.link.identity();
                let mut losers = Vec::new();
                for event in end.take() {
                    match event {
                        Event::Up(_) => losers.extend(node.up(number, identity.unwrap())),
                        Event::Closed(reason) => {
                            assert_eq!(reason, CloseReason::Duplicate);
                            node.live.retain(|(live, _)| *live != number);
                        }
                        _ => {}
                    }
                }
                for loser in losers {
                    // This node's end of the losing link.
                    let is_dialler = due[loser].1 == (node.id == one.node_id);
                    let pair = &mut pairs[loser];
                    match is_dialler {
                        true => pair.dialler.link.close_duplicate(),
                        false => pair.acceptor.link.close_duplicate(),
                    }
                }
            }
        }
    }
    (pairs, nodes)
}

fn survivor(seed: u64, dials: &[(bool, u64)], secret: &str) -> usize {
    let (pairs, nodes) = run(seed, dials, secret);
    let up: Vec<_> = (0..pairs.len()).filter(|&n| pairs[n].dialler.link.is_up()).collect();
    assert_eq!(up.len(), 1, "seed {seed}: exactly one link stays");
    assert!(pairs[up[0]].acceptor.link.is_up());
    for node in nodes {
        assert_eq!(node.live.iter().map(|(n, _)| *n).collect::<Vec<_>>(), up, "seed {seed}");
    }
    up[0]
}

#[test]
fn two_nodes_that_dial_each_other_keep_the_dial_of_the_smaller_id() {
    for seed in 0..60 {
        let secret = if seed % 2 == 0 { "" } else { "s" };
        let pause = seed % 30;
        assert_eq!(survivor(seed, &[(true, 0), (false, pause)], secret), 0);
        assert_eq!(survivor(seed, &[(false, 0), (true, pause)], secret), 1);
    }
}

#[test]
fn an_entry_listed_twice_keeps_the_later_dial() {
    for seed in 0..60 {
        assert_eq!(survivor(seed, &[(true, 0), (true, seed % 30)], ""), 1);
    }
}

#[test]
fn many_dials_both_ways_end_in_one_link() {
    for seed in 0..30 {
        let dials = [(true, 0), (false, 1), (true, seed % 7), (false, 0), (false, 3), (true, 0)];
        assert_eq!(survivor(seed, &dials, ""), 5, "the smaller id's latest");
    }
}
