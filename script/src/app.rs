//! The tree of applications: what is loaded, from which file, and when to look again
//! (ENV-01..11, CLU-12, CLU-13).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mlua::{Function, Lua, LuaString, Value};

use crate::core::Core;
use crate::host::LogLevel;
use crate::loader::{chunk_name, prepare};

/// An application's file is looked at once in this time (ENV-08).
const CHECK_PERIOD_MS: u64 = 2_000;

/// Folders inside folders that a path may name; the longest path of Linux (PATH_MAX, 4,096
/// bytes) holds more, but no person's does.
const MAX_PATH_PARTS: usize = 64;

/// What tells one version of a file from another.
type Stamp = (Option<SystemTime>, u64);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    /// The chunk runs right now.
    Loading,
    /// Loaded, from a file or (without stamp) from a folder without one.
    Loaded,
    /// The text of the failure.
    Failed(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Record {
    status: Status,
    /// The file's version, `None` when there is none (ENV-04).
    stamp: Option<Stamp>,
    checked_ms: u64,
    /// Another node loaded it since its file was looked at, too soon to look again (CLU-13).
    announced: bool,
}

impl Record {
    fn loading(stamp: Option<Stamp>, checked_ms: u64) -> Self {
        Self { status: Status::Loading, stamp, checked_ms, announced: false }
    }

    fn is_recent(&self, time: u64) -> bool {
        time.saturating_sub(self.checked_ms) < CHECK_PERIOD_MS
    }
}

/// Why an application cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// ENV-05.
    Missing,
    /// ENV-07: the text of the load failure.
    Failed(Vec<u8>),
}

/// All applications that were opened.
#[derive(Debug)]
pub(crate) struct Apps {
    www: PathBuf,
    records: BTreeMap<String, Record>,
    stopping: bool,
}

impl Apps {
    pub(crate) fn new(www: PathBuf) -> Self {
        Self { www, records: BTreeMap::new(), stopping: false }
    }

    fn folder(&self, path: &str) -> PathBuf {
        self.www.join(path.trim_start_matches('/'))
    }

    /// Paths of loaded applications, parents first (CLU-12).
    pub(crate) fn running(&self) -> Vec<String> {
        self.records
            .iter()
            .filter(|(_, record)| record.status == Status::Loaded)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Text of the root's load failure (CLU-10).
    pub(crate) fn root_failure(&self) -> Option<Vec<u8>> {
        match self.records.get("").map(|record| &record.status) {
            Some(Status::Failed(text)) => Some(text.clone()),
            _ => None,
        }
    }
}

/// The path of an application as ENV-01 writes it: `""` or `/a/b`; nothing leads above `www`.
/// `None` for what can be no folder.
pub(crate) fn normalise(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    if parts.len() > MAX_PATH_PARTS || parts.iter().any(|part| part.contains('\0')) {
        return None;
    }
    Some(parts.iter().flat_map(|part| ["/", part]).collect())
}

/// Every application on the way to a path, the root first.
fn lineage(path: &str) -> Vec<&str> {
    let mut all = vec![""];
    all.extend(path.match_indices('/').skip(1).map(|(at, _)| &path[..at]));
    if !path.is_empty() {
        all.push(path);
    }
    all
}

fn stamp_of(file: &Path) -> Option<Stamp> {
    let meta = fs::metadata(file).ok()?;
    meta.is_file().then(|| (meta.modified().ok(), meta.len()))
}

impl Core {
    /// Opens an application: loads it and its parents if they are not, reloads them if their
    /// file changed (ENV-03, ENV-08).
    ///
    /// # Errors
    /// The application does not exist, or its file does not load.
    pub(crate) fn open_app(&self, lua: &Lua, path: &str) -> Result<(), OpenError> {
        let mut result = Ok(());
        for part in lineage(path) {
            result = self.ensure(lua, part, false);
            if result == Err(OpenError::Missing) {
                return result;
            }
        }
        result
    }

    /// Opens what exists of the way to a path: the last application that does (EVT-08).
    pub(crate) fn open_nearest(&self, lua: &Lua, path: &str) -> String {
        let mut nearest = "";
        // Nothing is loaded again when all were closed.
        if !self.apps.borrow().stopping {
            for part in lineage(path) {
                if self.ensure(lua, part, false) == Err(OpenError::Missing) {
                    break;
                }
                nearest = part;
            }
        }
        nearest.to_owned()
    }

    /// Opens an application that another node loaded (CLU-13): at once, or when its file may be
    /// looked at again, for nothing will announce it a second time.
    pub(crate) fn open_announced(&self, lua: &Lua, path: &str) {
        let time = self.host.epoch_ms();
        self.with_record(path, |record| record.announced = record.is_recent(time));
        // Missing is ignored, a load failure is in the log.
        let _ = self.open_app(lua, path);
    }

    /// To be called every 2 s: looks at the root's file whatever the time (ENV-08), and at those of
    /// announced applications.
    pub(crate) fn check_files(&self, lua: &Lua) {
        // A failure is in the log.
        let _ = self.ensure(lua, "", true);
        let time = self.host.epoch_ms();
        let due: Vec<String> = {
            let mut apps = self.apps.borrow_mut();
            let due = apps.records.iter_mut().filter(|(_, record)| !record.is_recent(time));
            due.filter_map(|(path, record)| {
                std::mem::take(&mut record.announced).then(|| path.clone())
            })
            .collect()
        };
        for path in due {
            self.open_announced(lua, &path);
        }
    }

    fn ensure(&self, lua: &Lua, path: &str, now: bool) -> Result<(), OpenError> {
        let time = self.host.epoch_ms();
        let (folder, known, stopping) = {
            let apps = self.apps.borrow();
            (apps.folder(path), apps.records.get(path).cloned(), apps.stopping)
        };
        if let Some(known) = &known {
            let recent = known.is_recent(time) && !now;
            if recent || stopping || known.status == Status::Loading {
                return answer(&known.status);
            }
        }
        let file = folder.join("main.lua");
        let stamp = stamp_of(&file);
        if stamp.is_none() && !path.is_empty() && !folder.is_dir() {
            self.forget(lua, path);
            return Err(OpenError::Missing);
        }
        match known {
            Some(known) if known.stamp == stamp => {
                self.with_record(path, |record| record.checked_ms = time);
                answer(&known.status)
            }
            Some(known) => {
                let failed = matches!(known.status, Status::Failed(_));
                if !failed {
                    self.unload(lua, path);
                }
                self.put(path, Record::loading(stamp, time));
                if stamp.is_none() && !failed {
                    // ENV-10: only the first half of a reload.
                    self.set_loaded(path, true);
                    self.with_record(path, |record| record.status = Status::Loaded);
                    return Ok(());
                }
                self.load(lua, path, stamp.is_some().then_some(file.as_path()))
            }
            None => {
                self.put(path, Record::loading(stamp, time));
                let parent = path.rfind('/').map(|at| &path[..at]);
                self.call_shared("new_app", (path, parent));
                self.load(lua, path, stamp.is_some().then_some(file.as_path()))
            }
        }
    }

    /// ENV-06.
    fn load(&self, lua: &Lua, path: &str, file: Option<&Path>) -> Result<(), OpenError> {
        if let Some(file) = file
            && let Err((text, trace)) = self.run_file(lua, path, file)
        {
            self.log_error(path, &text, &trace);
            self.call_shared("clear_env", path);
            self.with_record(path, |record| record.status = Status::Failed(text.clone()));
            return Err(OpenError::Failed(text));
        }
        self.set_loaded(path, true);
        self.with_record(path, |record| record.status = Status::Loaded);
        self.event("onStart", "lifecycle", (path, "onStart"));
        self.host.announce_app(path);
        if self.apps.borrow().root_failure().is_none() {
            self.event("onServerConnection", "replay", (path, "onServerConnection"));
        }
        let text = format!("Application www{path} loaded");
        self.log_app(LogLevel::Info, path, text.as_bytes());
        Ok(())
    }

    /// What was wrong, and where the script stood.
    fn run_file(&self, lua: &Lua, path: &str, file: &Path) -> Result<(), (Vec<u8>, String)> {
        let chunk = chunk_name(&self.config.dir, file);
        let plain = |text: String| (text.into_bytes(), String::new());
        let text = fs::read(file).map_err(|error| plain(format!("{}: {error}", &chunk[1..])))?;
        let source = self.prepare(path, &chunk, &text);
        let failure = self
            .shared_event("run_chunk")
            .and_then(|run| {
                let source = lua.create_string(&source)?;
                run.call::<(Option<LuaString>, Option<LuaString>)>((path, source, chunk.as_str()))
            })
            .map_err(|error| plain(error.to_string()))?;
        match failure {
            (Some(text), trace) => {
                let trace = trace.map(|trace| trace.to_string_lossy()).unwrap_or_default();
                Err((text.as_bytes().to_vec(), trace))
            }
            (None, _) => Ok(()),
        }
    }

    /// Rewrites a source text and says so once per file (ENV-36).
    fn prepare(&self, path: &str, chunk: &str, text: &[u8]) -> Vec<u8> {
        let source = prepare(text);
        if let Some(line) = source.first_pair {
            let text = format!(
                "{}:{line}: 'is not' is no Lua operator, read as '~=': please write '~='",
                &chunk[1..]
            );
            self.log_app(LogLevel::Warn, path, text.as_bytes());
        }
        source.text.into_owned()
    }

    /// The first half of ENV-09.
    fn unload(&self, lua: &Lua, path: &str) {
        self.event("onServerDisconnection", "replay", (path, "onServerDisconnection"));
        self.event("onStop", "lifecycle", (path, "onStop"));
        self.set_loaded(path, false);
        self.call_shared("clear_env", path);
        // Twice: the first finds the objects that scripts dropped, the second what they held.
        for _ in 0..2 {
            if let Err(error) = lua.gc_collect() {
                self.log_app(LogLevel::Error, path, error.to_string().as_bytes());
            }
        }
        self.collect();
    }

    /// ENV-05, ENV-10: the folder is gone; its children went with it.
    fn forget(&self, lua: &Lua, path: &str) {
        let below = format!("{path}/");
        let gone: Vec<String> = {
            let apps = self.apps.borrow();
            apps.records
                .keys()
                .rev()
                .filter(|known| *known == path || known.starts_with(&below))
                .cloned()
                .collect()
        };
        for path in gone {
            let status = self.apps.borrow().records.get(&path).map(|record| record.status.clone());
            if status == Some(Status::Loaded) {
                self.unload(lua, &path);
            }
            self.apps.borrow_mut().records.remove(&path);
            self.call_shared("remove_app", path.as_str());
        }
    }

    /// ENV-11: children before their parent.
    pub(crate) fn stop_apps(&self, lua: &Lua) {
        self.apps.borrow_mut().stopping = true;
        self.call_shared("refused_servers", ());
        let mut running = self.apps.borrow().running();
        running.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        for path in running {
            self.unload(lua, &path);
            self.apps.borrow_mut().records.remove(&path);
        }
    }

    fn put(&self, path: &str, record: Record) {
        self.apps.borrow_mut().records.insert(path.to_owned(), record);
    }

    fn with_record(&self, path: &str, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.apps.borrow_mut().records.get_mut(path) {
            change(record);
        }
    }

    fn set_loaded(&self, path: &str, loaded: bool) {
        self.call_shared("set_loaded", (path, loaded));
    }

    pub(crate) fn add_app_natives(&self) -> mlua::Result<()> {
        // ENV-27: `name` is relative to `parent` and stays below it.
        self.native("open_app", |core, lua, (parent, name): (LuaString, LuaString)| {
            let Some(below) = normalise(&name.to_string_lossy()).filter(|path| !path.is_empty())
            else {
                return Ok(None);
            };
            let path = parent.to_string_lossy() + &below;
            Ok(core.open_app(lua, &path).is_ok().then_some(path))
        })?;
        self.native("absolute_path", |core, lua, path: LuaString| {
            lua.create_string(absolute_path(&core.www(), &path.as_bytes())).map(Some)
        })?;
        self.native("find_chunk", |core, lua, (app, name): (LuaString, LuaString)| {
            let app = app.to_string_lossy();
            match core.find_chunk(&app, &name.to_string_lossy()) {
                Ok((file, owner)) => {
                    let chunk = chunk_name(&core.config.dir, &file);
                    match fs::read(&file) {
                        Ok(text) => {
                            let source = core.prepare(&owner, &chunk, &text);
                            Ok((Some(lua.create_string(source)?), Some(chunk), Some(owner)))
                        }
                        Err(error) => Ok((None, Some(format!("{}: {error}", &chunk[1..])), None)),
                    }
                }
                Err(text) => Ok((None, Some(text), None)),
            }
        })
    }

    /// ENV-37: the file, and the application whose environment its chunk gets.
    fn find_chunk(&self, app: &str, name: &str) -> Result<(PathBuf, String), String> {
        let named = Path::new(name);
        let apps = self.apps.borrow();
        if named.is_absolute() {
            if !named.is_file() {
                return Err(format!("{name} is no file"));
            }
            let owner = apps
                .records
                .keys()
                .filter(|path| named.starts_with(apps.folder(path)))
                .max_by_key(|path| path.len())
                .map_or_else(|| app.to_owned(), Clone::clone);
            return Ok((named.to_owned(), owner));
        }
        for path in lineage(app).into_iter().rev() {
            let file = apps.folder(path).join(named);
            if file.is_file() {
                return Ok((file, path.to_owned()));
            }
        }
        if named.is_file() {
            return Ok((named.to_owned(), app.to_owned()));
        }
        Err(format!("{name} is found neither in www{app} nor above it"))
    }

    /// Calls a function of the prelude that answers nothing.
    pub(crate) fn call_shared(&self, name: &str, args: impl mlua::IntoLuaMulti) {
        let Some(hooks) = self.hooks.get() else { return };
        let result = hooks.shared.raw_get::<Function>(name).and_then(|f| f.call::<Value>(args));
        if let Err(error) = result {
            self.internal_error(name, &error);
        }
    }
}

fn answer(status: &Status) -> Result<(), OpenError> {
    match status {
        Status::Loading | Status::Loaded => Ok(()),
        Status::Failed(text) => Err(OpenError::Failed(text.clone())),
    }
}

/// MON-09: always with a final slash, repeated slashes merged.
fn absolute_path(www: &Path, path: &[u8]) -> Vec<u8> {
    let absolute = std::path::absolute(www).unwrap_or_else(|_| www.to_owned());
    let mut out = absolute.into_os_string().into_encoded_bytes();
    out.push(b'/');
    out.extend_from_slice(path);
    out.push(b'/');
    out.dedup_by(|a, b| *a == b'/' && *b == b'/');
    out
}

#[cfg(test)]
mod tests {
    use super::{absolute_path, lineage, normalise};
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn env_01_paths_are_normalised_and_stay_inside() {
        assert_eq!(normalise("/").as_deref(), Some(""));
        assert_eq!(normalise("Games//myGame/").as_deref(), Some("/Games/myGame"));
        assert_eq!(normalise("/a/./b/../c").as_deref(), Some("/a/c"));
        assert_eq!(normalise("/../../x").as_deref(), Some("/x"));
        assert_eq!(normalise("/a\0b"), None);
        assert_eq!(normalise(&"/a".repeat(65)), None);
    }

    #[test]
    fn parents_come_first() {
        assert_eq!(lineage(""), [""]);
        assert_eq!(lineage("/a"), ["", "/a"]);
        assert_eq!(lineage("/a/b/c"), ["", "/a", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn mon_09_the_path_ends_in_one_slash() {
        let path = absolute_path(Path::new("/srv//www"), b"//a///b/");
        assert_eq!(path, b"/srv/www/a/b/");
    }

    proptest! {
        #[test]
        fn a_normalised_path_has_no_way_out(path in "[./a]{0,40}") {
            let normal = normalise(&path).unwrap();
            prop_assert!(!normal.split('/').any(|part| part == ".." || part == "."));
            prop_assert!(!normal.contains("//") && !normal.ends_with('/'));
            prop_assert_eq!(normalise(&normal), Some(normal.clone()));
        }
    }
}
