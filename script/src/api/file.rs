//! `mona:listPaths` (MON-22, FIL-*).

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use mlua::{Lua, LuaString, Table};

use crate::core::Core;
use crate::host::LogLevel;

/// Entries of one folder that are listed; the rest is cut, with a WARN.
const MAX_PATHS: usize = 100_000;

impl Core {
    pub(crate) fn add_file_natives(&self) -> mlua::Result<()> {
        self.native("list_paths", |core, lua, (dir, label): (LuaString, LuaString)| {
            let folder = core.folder_of(&dir.as_bytes());
            let shown = folder.display().to_string();
            match entries(&folder) {
                Ok((paths, cut)) => {
                    if cut {
                        let text = format!("{shown} holds more than {MAX_PATHS} entries");
                        core.log_here(lua, LogLevel::Warn, text.as_bytes());
                    }
                    let list = lua.create_table_with_capacity(paths.len(), 0)?;
                    for path in paths {
                        list.raw_push(entry(lua, &path)?)?;
                    }
                    Ok(Some(list))
                }
                Err(error) => {
                    let text = format!("{}: {shown}: {error}", label.to_string_lossy());
                    core.log_here(lua, LogLevel::Error, text.as_bytes());
                    Ok(None)
                }
            }
        })
    }

    /// `<www>/<dir>`, absolute.
    fn folder_of(&self, dir: &[u8]) -> PathBuf {
        let dir = Path::new(std::ffi::OsStr::from_bytes(dir));
        let www = self.www();
        let folder = www.join(dir.strip_prefix("/").unwrap_or(dir));
        // Without slash at the end, and without asking the disk.
        std::path::absolute(&folder).unwrap_or(folder).components().collect()
    }
}

fn entries(folder: &Path) -> io::Result<(Vec<PathBuf>, bool)> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        if paths.len() == MAX_PATHS {
            paths.sort();
            return Ok((paths, true));
        }
        paths.push(entry?.path());
    }
    paths.sort();
    Ok((paths, false))
}

fn entry(lua: &Lua, path: &Path) -> mlua::Result<Table> {
    let bytes =
        |part: Option<&std::ffi::OsStr>| lua.create_string(part.unwrap_or_default().as_bytes());
    // Of a link, what it leads to; of one that leads nowhere, nothing.
    let meta = fs::metadata(path).ok();
    let folder = meta.as_ref().is_some_and(fs::Metadata::is_dir);
    let size = meta.as_ref().filter(|meta| meta.is_file()).map_or(0, fs::Metadata::len);
    let modified = meta.and_then(|meta| meta.modified().ok());
    let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut parent =
        path.parent().map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default();
    parent.push(b'/');
    let table = lua.create_table()?;
    table.raw_set("name", bytes(path.file_name())?)?;
    table.raw_set("base", bytes(path.file_stem())?)?;
    table.raw_set("extension", bytes(path.extension())?)?;
    table.raw_set("size", size as f64)?;
    table.raw_set("modified", modified.map_or(0.0, |time| time.as_secs() as f64))?;
    table.raw_set("folder", folder)?;
    table.raw_set("path", bytes(Some(path.as_os_str()))?)?;
    table.raw_set("parent", lua.create_string(&parent)?)?;
    Ok(table)
}
