//! `ramona check`: do all applications compile?

use std::fs;
use std::path::Path;

use mlua::Lua;
use mlua::chunk::ChunkMode;

use crate::loader::{chunk_name, prepare};

/// Folders inside folders that are searched, so that a link to a parent ends.
const MAX_DEPTH: usize = 32;

/// What is wrong with the `main.lua` files below `dir/www`, as `file:line: text`.
pub(crate) fn check(dir: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    folder(&Lua::new(), dir, &dir.join("www"), 0, &mut problems);
    problems
}

fn folder(lua: &Lua, dir: &Path, path: &Path, depth: usize, problems: &mut Vec<String>) {
    let file = path.join("main.lua");
    if file.is_file() {
        let chunk = chunk_name(dir, &file);
        let shown = chunk[1..].to_owned();
        match fs::read(&file) {
            Ok(text) => {
                let source = prepare(&text);
                if let Some(line) = source.first_pair {
                    problems.push(format!(
                        "{shown}:{line}: 'is not' is no Lua operator, read as '~=': please write '~='"
                    ));
                }
                let loaded = lua
                    .load(&*source.text)
                    .set_name(chunk)
                    .set_mode(ChunkMode::Text)
                    .into_function();
                match loaded {
                    Ok(_) => {}
                    Err(mlua::Error::SyntaxError { message, .. }) => problems.push(message),
                    Err(error) => problems.push(format!("{shown}: {error}")),
                }
            }
            Err(error) => problems.push(format!("{shown}: {error}")),
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
        problems.push(format!("{}: folders nested too deep, not searched", path.display()));
    }
}
