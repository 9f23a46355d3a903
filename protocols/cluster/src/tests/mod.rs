//! Two links in memory under virtual time, and the rules that need both ends.

mod bad_input;
mod corpus;
mod duplicates;
mod lifetime;
mod messages;
mod pair;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{Capabilities, Hello, NodeId};

pub(crate) fn hello(id: u8) -> Hello {
    Hello {
        node_id: NodeId([id; 16]),
        incarnation: 1_000 + u64::from(id),
        capabilities: Capabilities::default(),
        dial: 1,
        host: format!("www.host{id}.com:1935"),
        ports: vec![("RTMP".into(), 1935), ("RTMFP".into(), 0)],
        configuration: vec![("RTMFP.port".into(), "1936".into())],
        properties: Vec::new(),
    }
}

fn any_pairs(most: usize) -> impl Strategy<Value = Vec<(Bytes, Bytes)>> {
    let bytes = |range| proptest::collection::vec(any::<u8>(), range).prop_map(Bytes::from);
    proptest::collection::vec((bytes(1..30), bytes(0..60)), 0..most)
}

pub(crate) fn any_hello() -> impl Strategy<Value = Hello> {
    (
        any::<([u8; 16], u64, u64, u64)>(),
        "\\PC{0,60}",
        proptest::collection::vec(("[A-Za-z]{1,32}", any::<u16>()), 0..8),
        any_pairs(30),
        any_pairs(10),
    )
        .prop_map(
            |((id, incarnation, capabilities, dial), host, ports, configuration, properties)| {
                Hello {
                    node_id: NodeId(id),
                    incarnation,
                    capabilities: Capabilities(capabilities),
                    dial,
                    host,
                    ports,
                    configuration,
                    properties,
                }
            },
        )
}
