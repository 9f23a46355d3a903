//! The fuzz bodies over their seeds, cut off everywhere and with flipped bits.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::fuzz;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    let seeds: Vec<_> = paths.iter().map(|path| fs::read(path).expect("a seed")).collect();
    assert!(!seeds.is_empty());
    seeds
}

#[test]
fn seeds_of_messages_their_cuts_and_flips_are_read_without_harm() {
    for seed in seeds("tc_messages") {
        for cut in 0..=seed.len() {
            fuzz::messages(&seed[..cut]);
        }
        for bit in 0..8 * seed.len() {
            let mut flipped = seed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fuzz::messages(&flipped);
        }
    }
}

#[test]
fn seeds_of_connections_and_some_of_their_cuts_and_flips_do_no_harm() {
    for seed in seeds("tc_connection") {
        fuzz::connection(&seed);
        // Each run has a handshake and minutes of virtual time, so only some.
        for part in 1..8 {
            fuzz::connection(&seed[..seed.len() * part / 8]);
            let mut flipped = seed.clone();
            let at = seed.len() * part / 8;
            flipped[at] ^= 1 << part;
            fuzz::connection(&flipped);
        }
    }
}

/// Metadata, messages that mean something, and any bytes.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = vec![
        b"TC\x04\x00".to_vec(),
        b"TC\x04\x01".to_vec(),
        b"TC\x05\x02".to_vec(),
        b"GC".to_vec(),
        [&[1, 33, 0x15][..], &[7; 32]].concat(),
        b"\x01\x05\x10abcd".to_vec(),
        super::hex("040000000000220000000000000002"),
        super::hex("040000000000220000000000000001"),
        super::hex("0400000000000600000539"),
        super::hex("0400000000000300000001000003e8"),
        super::hex("08000000010aaf01aabb"),
        super::hex("09000000011701000000aabb"),
        super::hex("09000000012701000000aabb"),
        super::hex("140000000002000b73657450656572496e666f00000000000000000005"),
        super::hex("14000000000200077075626c69736800000000000000000005020003666f6f"),
        super::hex("1400000000020004706c617900000000000000000005020003666f6f"),
        super::hex("140000000002000c63726561746553747265616d000000000000000000"),
    ];
    prop_oneof![
        3 => prop::sample::select(known),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Above the packets: random messages on random flows.
    #[test]
    fn rtmfp_114_random_steps_of_a_client_do_no_harm(
        seed: u8,
        is_let_in in prop::bool::weighted(0.8),
        steps in prop::collection::vec((any::<u8>(), value()), 0..60),
    ) {
        let mut data = vec![seed];
        if is_let_in {
            // connect, createStream and publish, or hardly anything would be taken.
            data.extend_from_slice(&[0, 0, 11, 0, 1, 0, 11, 0, 2, 0, 11, 0]);
        }
        for (step, value) in steps {
            data.extend_from_slice(&[step, value.len() as u8]);
            data.extend_from_slice(&value);
        }
        fuzz::connection(&data);
    }

    #[test]
    fn random_messages_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::messages(&bytes);
    }
}
