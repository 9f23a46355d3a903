//! The fuzz bodies over the corpus, its truncations and its flipped bits.

use std::path::Path;

use ramona_formats::{fuzz, read_json, read_query, read_xml, read_xmlrpc};

/// Every file of `corpus/<target>/`, with its name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let seeds: Vec<_> = files
        .map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(file).unwrap())
        })
        .collect();
    assert!(seeds.len() >= 8, "{} seeds in {}", seeds.len(), folder.display());
    seeds
}

fn run(target: &str, body: fn(&[u8])) {
    for (_, seed) in corpus(target) {
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
}

#[test]
fn json_holds_its_promises_over_the_corpus() {
    run("json", fuzz::json);
}

#[test]
fn xml_holds_its_promises_over_the_corpus() {
    run("xml", fuzz::xml);
}

#[test]
fn xmlrpc_holds_its_promises_over_the_corpus() {
    run("xmlrpc", fuzz::xmlrpc);
}

#[test]
fn query_holds_its_promises_over_the_corpus() {
    run("query", fuzz::query);
}

#[test]
fn xml_rpc_seeds_hold_their_promises_as_xml() {
    for (_, seed) in corpus("xmlrpc") {
        fuzz::xml(&seed);
    }
}

#[test]
fn seeds_are_valid_but_for_those_that_say_otherwise() {
    for (target, read) in [
        ("json", read_json as fn(&[u8]) -> _),
        ("xml", read_xml),
        ("xmlrpc", read_xmlrpc),
        ("query", read_query),
    ] {
        for (name, seed) in corpus(target) {
            let result = read(&seed);
            assert_eq!(result.is_err(), name.starts_with("broken"), "{target}/{name}: {result:?}");
        }
    }
}
