//! The fuzz bodies over the corpus, its truncations and its flipped bits.

use std::path::Path;

use ramona_websocket::fuzz;

fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        seeds += 1;
        body(&seed);
        for end in 0..seed.len() {
            body(&seed[..end]);
        }
        let mut bytes = seed.clone();
        for index in 0..bytes.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 0xff] {
                bytes[index] ^= flip;
                body(&bytes);
                bytes[index] ^= flip;
            }
        }
    }
    assert!(seeds >= 5, "{seeds} seeds in {}", folder.display());
}

#[test]
fn frames_of_the_corpus_are_judged_the_same_in_any_pieces() {
    run("websocket_guard", fuzz::websocket_guard);
}

#[test]
fn texts_of_the_corpus_never_confuse_a_session() {
    run("websocket_text", fuzz::websocket_text);
}
