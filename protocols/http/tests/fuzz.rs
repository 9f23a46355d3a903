//! The fuzz body over its corpus, and over each input cut short.

use std::path::Path;

#[test]
fn http_holds_its_promises_over_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/http");
    let files = std::fs::read_dir(folder).expect("the corpus");
    let mut count = 0;
    for file in files {
        let data = std::fs::read(file.expect("a file").path()).expect("the input");
        for end in 0..=data.len() {
            ramona_http::fuzz::http(&data[..end]);
        }
        count += 1;
    }
    assert!(count >= 10, "the corpus is complete");
}
