//! Runs the fuzz bodies over the committed seeds, and over cut and damaged copies of them.

use std::fs;
use std::path::Path;

use super::pair::Seeded;
use crate::fuzz;

fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the crate") {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        seeds += 1;
        body(&seed);
        // At most 64 cuts and 192 flips for each seed: the whole takes a second, unoptimised.
        let step = seed.len().div_ceil(64).max(1);
        for cut in (0..seed.len()).step_by(step) {
            body(&seed[..cut]);
        }
        let mut random = Seeded::new(seeds);
        for _ in 0..if seed.is_empty() { 0 } else { 192 } {
            let mut damaged = seed.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(seed.len() as u64) as usize;
                damaged[at] ^= 1 << random.below(8);
            }
            body(&damaged);
        }
    }
    assert!(seeds >= 4, "{target} has {seeds} seeds");
}

#[test]
fn frames_of_an_accepted_peer() {
    run("frames", fuzz::frames);
}

#[test]
fn openings_and_hellos() {
    run("hello", fuzz::hello);
}

#[test]
fn noise_records() {
    run("noise_records", fuzz::noise_records);
}

#[test]
fn target_lists() {
    run("targets", fuzz::targets);
}
