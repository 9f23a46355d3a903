//! What the documentation names is there.

use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file of the repository, as git lists them.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(ROOT)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are text");
    names
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|path| Path::new(ROOT).join(path).is_file())
        .collect()
}

fn pages() -> Vec<PathBuf> {
    let is_page = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "md");
    files().into_iter().filter(is_page).collect()
}

/// What stands between each `open` and the `close` after it.
fn between<'a>(mut text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    while let Some((_, rest)) = text.split_once(open) {
        let Some((inside, rest)) = rest.split_once(close) else { break };
        found.push(inside);
        text = rest;
    }
    found
}

/// The anchor that a heading gets on a page.
fn anchor(heading: &str) -> String {
    let kept = |c: char| (c.is_alphanumeric() || c == '-' || c == '_').then_some(c);
    let letters = heading.trim().to_lowercase();
    letters.chars().filter_map(|c| if c == ' ' { Some('-') } else { kept(c) }).collect()
}

#[test]
fn links_of_pages_lead_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let page_text = text(&page);
        for target in between(&page_text, "](", ")") {
            if target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().expect("a file has a folder").join(file),
            };
            assert!(Path::new(ROOT).join(&file).exists(), "{}: {target}", page.display());
            if !heading.is_empty() {
                let of_file = text(&file);
                let headings = of_file.lines().filter_map(|line| line.strip_prefix('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
                assert!(anchors.any(|anchor| anchor == heading), "{}: {target}", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} links were looked at");
}

#[test]
fn files_that_the_architecture_names_exist() {
    let files = files();
    let is_there = |name: &str| {
        let name = name.trim_end_matches('/');
        files.iter().any(|path| {
            path.ends_with(name)
                || path.ancestors().skip(1).any(|folder| folder.ends_with(name) && !name.is_empty())
        })
    };
    let page = text("docs/architecture.md");
    let mut seen = 0;
    for name in between(&page, "`", "`") {
        let is_file =
            [".rs", ".lua", ".md", ".ini", ".toml", "/"].iter().any(|end| name.ends_with(end));
        let is_name = !name.contains([' ', '(', ':', '*', '$']) && name.len() > 3;
        if is_file && is_name {
            assert!(is_there(name), "docs/architecture.md names {name}, which does not exist");
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} files were looked at");
}

/// The table "Bounds" gives a name, a value and the counter that moves.
#[test]
fn bounds_and_counters_of_the_architecture_are_names_in_the_code() {
    let page = text("docs/architecture.md");
    let (_, table) = page.split_once("## Bounds").expect("the heading");
    let (table, _) = table.split_once("\n## ").expect("the next heading");
    let is_code = |path: &&PathBuf| path.extension().is_some_and(|ext| ext == "rs" || ext == "lua");
    let code: Vec<String> = files().iter().filter(is_code).map(text).collect();
    let mut seen = 0;
    for name in between(table, "`", "`") {
        let is_constant = name.len() > 3
            && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
        if is_constant || name.starts_with("ramona_") {
            let is_there = code.iter().any(|text| text.contains(name));
            assert!(is_there, "docs/architecture.md names {name}, which is not in the code");
            seen += 1;
        }
    }
    assert!(seen > 80, "only {seen} names were looked at");
}

#[test]
fn no_file_holds_the_marks_of_an_unfinished_merge() {
    for path in files() {
        let Ok(text) = std::fs::read_to_string(Path::new(ROOT).join(&path)) else { continue };
        let is_mark = |line: &&str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
        assert_eq!(text.lines().find(is_mark), None, "{}", path.display());
    }
}
