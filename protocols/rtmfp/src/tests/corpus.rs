//! The fuzz bodies over the committed seeds, their truncations and their flipped bits.

use std::path::Path;

use crate::entropy::Entropy;
use crate::fuzz;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("corpus folder")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has seeds");
    files.iter().map(|path| std::fs::read(path).expect("seed")).collect()
}

/// Runs a body over the seeds and `variants` changes of each.
fn run(target: &str, body: fn(&[u8]), variants: usize) {
    let mut entropy = Entropy::from_seed([33; 32]);
    for seed in seeds(target) {
        body(&seed);
        for cut in (0..seed.len()).step_by(1 + seed.len() / 64) {
            body(&seed[..cut]);
        }
        for _ in 0..variants {
            let mut changed = seed.clone();
            for _ in 0..1 + entropy.u32() % 4 {
                let at = entropy.u32() as usize % changed.len().max(1);
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << (entropy.u32() % 8);
                }
            }
            body(&changed);
        }
    }
}

#[test]
fn rtmfp_114_seeds_of_packets_do_no_harm() {
    run("rtmfp_packet", fuzz::packet, 2000);
}

#[test]
fn rtmfp_114_seeds_of_options_do_no_harm() {
    run("rtmfp_options", fuzz::options, 1000);
}

#[test]
fn rtmfp_114_seeds_of_handshakes_do_no_harm() {
    run("rtmfp_handshake", fuzz::handshake, 100);
}

#[test]
fn rtmfp_114_seeds_of_sessions_do_no_harm() {
    run("rtmfp_session", fuzz::session, 60);
}
