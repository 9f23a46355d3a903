//! `ramona check`: do all applications compile?

use std::fs;
use std::path::Path;

use mlua::Lua;
use mlua::chunk::ChunkMode;

use crate::loader::{chunk_name, prepare};

/// Folders inside folders that are searched, so that a link to a parent ends.
const MAX_DEPTH: usize = 32;

/// Something about a `main.lua`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `file:line: text`.
    pub text: String,
    /// The file does not load; otherwise it does, and the text is a hint.
    pub is_failure: bool,
}

impl Finding {
    fn failure(text: String) -> Self {
        Self { text, is_failure: true }
    }
}

/// What is wrong with the `main.lua` files below `dir/www`.
pub(crate) fn check(dir: &Path) -> Vec<Finding> {
    let mut problems = Vec::new();
    folder(&Lua::new(), dir, &dir.join("www"), 0, &mut problems);
    problems
}

fn folder(lua: &Lua, dir: &Path, path: &Path, depth: usize, problems: &mut Vec<Finding>) {
    let file = path.join("main.lua");
    if file.is_file() {
        let chunk = chunk_name(dir, &file);
        let shown = chunk[1..].to_owned();
        match fs::read(&file) {
            Ok(text) => {
                let source = prepare(&text);
                if let Some(line) = source.first_pair {
                    let text = format!(
                        "{shown}:{line}: 'is not' is no Lua operator, read as '~=': please write '~='"
                    );
                    problems.push(Finding { text, is_failure: false });
                }
                let loaded = lua
                    .load(&*source.text)
                    .set_name(chunk)
                    .set_mode(ChunkMode::Text)
                    .into_function();
                match loaded {
                    Ok(_) => {}
                    Err(mlua::Error::SyntaxError { message, .. }) => {
                        problems.push(Finding::failure(message));
                    }
                    Err(error) => problems.push(Finding::failure(format!("{shown}: {error}"))),
                }
            }
            Err(error) => problems.push(Finding::failure(format!("{shown}: {error}"))),
        }
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    let mut folders: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    if depth < MAX_DEPTH {
        for inner in folders {
            folder(lua, dir, &inner, depth + 1, problems);
        }
    } else if !folders.is_empty() {
        let text = format!("{}: folders nested too deep, not searched", path.display());
        problems.push(Finding::failure(text));
    }
}
