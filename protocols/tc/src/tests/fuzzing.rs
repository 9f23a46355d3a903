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
    for seed in seeds("messages") {
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
    for seed in seeds("connection") {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// RTMFP-114, above the packets: random messages on random flows.
    #[test]
    fn random_steps_of_a_client_do_no_harm(steps in prop::collection::vec(any::<u8>(), 0..400)) {
        // Connect and a stream first, most times, or hardly anything would be let in.
        let mut data = vec![steps.first().copied().unwrap_or(0)];
        if steps.len() % 4 > 0 {
            data.extend_from_slice(&[0, 0, 11, 0, 1, 0, 11, 0]);
        }
        data.extend_from_slice(&steps);
        fuzz::connection(&data);
    }

    #[test]
    fn random_messages_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::messages(&bytes);
    }
}
