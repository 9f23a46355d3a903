//! The fuzz bodies over the corpus, its truncations and its flipped bits.

use std::path::Path;

use ramona_amf::fuzz;

/// Every file of `corpus/<target>/`.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let seeds: Vec<_> = files.map(|file| std::fs::read(file).unwrap()).collect();
    assert!(seeds.len() >= 8, "{} seeds in {}", seeds.len(), folder.display());
    seeds
}

fn run(target: fn(&[u8]), seeds: &[Vec<u8>]) {
    for seed in seeds {
        target(seed);
        for end in 0..seed.len() {
            target(&seed[..end]);
        }
        let mut bytes = seed.clone();
        for index in 0..bytes.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 0xff] {
                bytes[index] ^= flip;
                target(&bytes);
                bytes[index] ^= flip;
            }
        }
    }
}

#[test]
fn amf0_holds_its_promises_over_the_corpus() {
    run(fuzz::amf0, &corpus("amf0"));
}

#[test]
fn amf3_holds_its_promises_over_the_corpus() {
    run(fuzz::amf3, &corpus("amf3"));
}

#[test]
fn amf3_seeds_hold_their_promises_inside_amf0() {
    let seeds: Vec<_> =
        corpus("amf3").into_iter().map(|seed| [&[0x11], &seed[..]].concat()).collect();
    run(fuzz::amf0, &seeds);
}

#[test]
fn seeds_are_valid_but_for_those_that_say_otherwise() {
    for (target, decode) in [
        ("amf0", ramona_amf::decode_amf0_all as fn(&[u8]) -> _),
        ("amf3", ramona_amf::decode_amf3_all),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap();
            let (_, error): (Vec<_>, _) = decode(&std::fs::read(file.path()).unwrap());
            let broken = file.file_name().to_string_lossy().starts_with("broken");
            assert_eq!(error.is_some(), broken, "{:?}: {error:?}", file.path());
        }
    }
}
