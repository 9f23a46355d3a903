//! The fuzz body over the corpus, its truncations and its flipped bits.

use std::path::Path;

use ramona_media::fuzz::containers;

#[test]
fn containers_hold_their_promises_over_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/containers");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let seeds: Vec<_> = files.map(|file| std::fs::read(file).unwrap()).collect();
    assert!(seeds.len() >= 8, "{} seeds in {}", seeds.len(), folder.display());
    for seed in seeds {
        containers(&seed);
        for end in 0..seed.len() {
            containers(&seed[..end]);
        }
        let mut bytes = seed.clone();
        for index in 0..bytes.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 0xff] {
                bytes[index] ^= flip;
                containers(&bytes);
                bytes[index] ^= flip;
            }
        }
    }
}
