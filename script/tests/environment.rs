//! ENV-*, LOG-*, EVT-01, EVT-02, EVT-05: applications and what they see.

mod common;

use common::*;
use ramona_script::*;

#[test]
fn env_02_start_creates_www_and_loads_the_root_before_any_client() {
    let mut node = Node::cold(&[]);
    node.engine.start();
    assert!(node.dir.path().join("www").is_dir());
    let node = Node::root("function onStart(path) NOTE('start <', path, '>') end");
    assert_eq!(node.notes(), ["start <>"]);
    assert_eq!(node.asked(), [Asked::Announce(String::new())]);
    assert_eq!(node.take_lines(LogLevel::Info), ["Application www loaded"]);
    node.quiet();
}
