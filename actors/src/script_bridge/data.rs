//! The persistent table `data` on the disk (DAT-07).
//!
//! `<dir>/data/.store` is a [`fjall`] database; its only table holds a tag (`v` value, `t` table) and
//! the value for each key of [`ramona_script::data_key`]. An assignment is one record of a journal of
//! our own ([`journal`], in `<dir>/data/.store-journal`), which is with the operating system when the
//! script goes on: a killed process loses nothing that it ever told anybody. A thread brings it into
//! the database ([`writer`]) and to the disk: a failing machine loses the last second. The folder of
//! a MonaServer is read once, when there is no database yet.

mod journal;
mod writer;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::{Keyspace, PartitionCreateOptions, PartitionHandle, PersistMode};
use md5::{Digest, Md5};
use ramona_script::{DataChange, data_key};
use tracing::{error, info, warn};

use self::journal::{Journal, Segment};
use self::writer::{Queue, Writer};

/// All of `data` is in memory once, in Lua; the database needs little of its own.
const CACHE_BYTES: u64 = 4 << 20;
const WRITE_BUFFER_BYTES: u64 = 16 << 20;

/// Folders inside folders that are read from a MonaServer; as deep as `data` may be.
const MAX_DEPTH: usize = 64;

/// Largest value that is read from a MonaServer; the bound of `data` itself.
const MAX_VALUE: u64 = 16 << 20;

const VALUE: u8 = b'v';
const TABLE: u8 = b't';

/// The database, or nothing when it cannot be used.
pub(super) struct DataStore {
    dir: PathBuf,
    open: Option<Open>,
    failures: Arc<AtomicU64>,
    waits: Arc<AtomicU64>,
}

struct Open {
    journal: RefCell<Journal>,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl DataStore {
    /// Of the folder `dir/data`; opened by [`load`](Self::load). `failures` counts changes that
    /// could not be saved, `waits` assignments that waited because the disk is behind.
    pub(super) fn new(dir: &Path, failures: Arc<AtomicU64>, waits: Arc<AtomicU64>) -> Self {
        Self { dir: dir.join("data"), open: None, failures, waits }
    }

    /// Opens the database, imports a MonaServer's folder when it is new, and reads everything.
    /// What fails is logged, and nothing is deleted: the node runs without saving.
    pub(super) fn load(&mut self) -> Vec<DataChange> {
        match self.try_load() {
            Ok(entries) => entries,
            Err(problem) => {
                self.open = None;
                error!(
                    "data is not loaded and will not be saved: {}: {problem}; the files are left as \
                     they are: restore {} from a backup, or move it away to begin with an empty table",
                    self.dir.display(),
                    self.dir.join(".store").display()
                );
                Vec::new()
            }
        }
    }

    fn try_load(&mut self) -> Result<Vec<DataChange>, Box<dyn std::error::Error>> {
        let folder = self.dir.join(".store");
        let is_new = !folder.exists();
        fs::create_dir_all(&self.dir)?;
        // Built aside, so that an import that is cut off is done again.
        let building = self.dir.join(".store.new");
        if is_new {
            if building.exists() {
                fs::remove_dir_all(&building)?;
            }
            let (keyspace, partition) = open(&building)?;
            let imported = import(&self.dir)?;
            for (key, value) in &imported {
                partition.insert(key, tagged(VALUE, value))?;
            }
            keyspace.persist(PersistMode::SyncAll)?;
            drop((partition, keyspace));
            fs::rename(&building, &folder)?;
            if !imported.is_empty() {
                info!(
                    "data: {} values of a MonaServer read from {}; its files are not used any more",
                    imported.len(),
                    self.dir.display()
                );
            }
        }
        let (keyspace, partition) = open(&folder)?;
        let journals = self.dir.join(".store-journal");
        fs::create_dir_all(&journals)?;
        let (read, next) = journal::read(&journals, |changes| {
            let mut batch = keyspace.batch();
            changes.into_iter().for_each(|change| add(&mut batch, &partition, change));
            batch.commit().map_err(Box::<dyn std::error::Error>::from)
        })?;
        // Only what the database has on the disk may be forgotten.
        keyspace.persist(PersistMode::SyncAll)?;
        for path in read {
            fs::remove_file(path)?;
        }
        let mut entries = Vec::new();
        for entry in partition.iter() {
            let (key, value) = entry?;
            let key = Bytes::copy_from_slice(&key);
            match value.split_first() {
                Some((&VALUE, value)) => {
                    entries.push(DataChange::Set(key, Bytes::copy_from_slice(value)));
                }
                Some((&TABLE, _)) => entries.push(DataChange::Table(key)),
                _ => error!("data: the entry of key '{}' is unknown", key.escape_ascii()),
            }
        }
        let segment = Segment::create(&journals, next)?;
        let queue = Arc::new(Queue::new(self.waits.clone()));
        queue.switched(segment.file.clone(), None);
        let writer = Writer {
            queue: queue.clone(),
            keyspace,
            partition,
            folder: journals,
            next: next + 1,
            failures: self.failures.clone(),
        };
        let thread = std::thread::Builder::new().name("script-data".to_owned());
        let writer = Some(thread.spawn(|| writer.run())?);
        self.open = Some(Open { journal: RefCell::new(Journal::new(segment)), queue, writer });
        Ok(entries)
    }

    /// Saves the changes of one assignment, together.
    pub(super) fn save(&self, changes: Vec<DataChange>) {
        let Some(open) = &self.open else {
            self.failures.fetch_add(1, Relaxed);
            return;
        };
        let mut journal = open.journal.borrow_mut();
        if let Err(problem) = journal.append(&changes) {
            failed(&self.failures, &problem);
        }
        // Even then the database may still get it.
        if !open.queue.push(changes) {
            failed(&self.failures, &"nobody brings them into the database any more");
        }
        if journal.is_full() {
            open.seal(&mut journal);
        }
    }

    /// Everything is on the disk when this returns (ENV-11).
    pub(super) fn sync(&self) {
        let Some(open) = &self.open else { return };
        let mut journal = open.journal.borrow_mut();
        if !journal.is_empty() {
            // Then the writer has made the next segment.
            open.queue.wait();
            open.seal(&mut journal);
        }
        open.queue.wait();
    }
}

impl Open {
    /// Goes on in another segment, if one is ready.
    fn seal(&self, journal: &mut Journal) {
        if let Some(spare) = self.queue.spare() {
            let current = spare.file.clone();
            let before = journal.go_on_in(spare);
            self.queue.switched(current, Some(before));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.queue.end();
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            error!("data: the thread that saves it ended by a panic; the journal has what it left");
        }
    }
}

/// One line, then the counter: a full disk fails each time.
fn failed(failures: &AtomicU64, problem: &dyn std::fmt::Display) {
    if failures.fetch_add(1, Relaxed) == 0 {
        error!("data: changes cannot be saved: {problem}; make room on the disk, restart");
    }
}

fn add(batch: &mut fjall::Batch, partition: &PartitionHandle, change: DataChange) {
    match change {
        DataChange::Set(key, value) => batch.insert(partition, &key[..], tagged(VALUE, &value)),
        DataChange::Table(key) => batch.insert(partition, &key[..], [TABLE]),
        DataChange::Remove(key) => batch.remove(partition, &key[..]),
    }
}

fn open(folder: &Path) -> fjall::Result<(Keyspace, PartitionHandle)> {
    let keyspace = fjall::Config::new(folder)
        .cache_size(CACHE_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .flush_workers(1)
        .compaction_workers(1)
        // The journal is flushed by the writer.
        .fsync_ms(None)
        .open()?;
    let partition = keyspace.open_partition("data", PartitionCreateOptions::default())?;
    Ok((keyspace, partition))
}

fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + value.len());
    out.push(tag);
    out.extend_from_slice(value);
    out
}

/// The values below a MonaServer's `data`: a folder for each key on the way, in the last one a file
/// that is named by the MD5 of what it holds. A file of another content is removed (DAT-07); of
/// two in one folder the newer counts.
fn import(dir: &Path) -> std::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut values = Vec::new();
    import_folder(dir, &mut Vec::new(), &mut values)?;
    Ok(values)
}

fn import_folder(
    folder: &Path,
    parts: &mut Vec<Vec<u8>>,
    values: &mut Vec<(Vec<u8>, Vec<u8>)>,
) -> std::io::Result<()> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().into_encoded_bytes());
        // A link may lead anywhere.
        let kind = entry.file_type()?;
        if kind.is_dir() && !name.starts_with(b".store") {
            if parts.len() == MAX_DEPTH {
                warn!("data: {} is nested too deep, not read", path.display());
                continue;
            }
            parts.push(name);
            import_folder(&path, parts, values)?;
            parts.pop();
        } else if kind.is_file() && is_digest(&name) && !parts.is_empty() {
            let meta = entry.metadata()?;
            if meta.len() > MAX_VALUE {
                warn!("data: {} is larger than {MAX_VALUE} bytes, not read", path.display());
                continue;
            }
            let value = fs::read(&path)?;
            if digest(&value).as_bytes() != name.to_ascii_lowercase() {
                warn!(
                    "data: {} is removed, its name is not the MD5 of what it holds",
                    path.display()
                );
                fs::remove_file(&path)?;
                continue;
            }
            let time = meta.modified().ok();
            if newest.as_ref().is_none_or(|(known, _)| *known <= time) {
                newest = Some((time, value));
            }
        }
    }
    if let Some((_, value)) = newest {
        values.push((data_key(parts), value));
    }
    Ok(())
}

fn is_digest(name: &[u8]) -> bool {
    name.len() == 32 && name.iter().all(u8::is_ascii_hexdigit)
}

fn digest(value: &[u8]) -> String {
    Md5::digest(value).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &Path) -> (DataStore, Vec<DataChange>) {
        let mut store = DataStore::new(dir, Arc::default(), Arc::default());
        let entries = store.load();
        (store, entries)
    }

    fn set(parts: &[&str], value: &str) -> DataChange {
        DataChange::Set(data_key(parts).into(), value.to_owned().into())
    }

    #[test]
    fn dat_07_changes_are_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (first, entries) = store(dir.path());
        assert_eq!(entries, []);
        let table = DataChange::Table(data_key(&["b"]).into());
        first.save(vec![set(&["a"], "1"), table.clone(), set(&["b", "c"], "\0")]);
        first.save(vec![DataChange::Remove(data_key(&["a"]).into())]);
        first.sync();
        drop(first);
        let (_second, entries) = store(dir.path());
        assert_eq!(entries, [table, set(&["b", "c"], "\0")]);
    }

    #[test]
    fn dat_07_what_the_database_has_not_got_is_read_from_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = store(dir.path());
        first.save(vec![set(&["a"], "1"), set(&["b"], "2")]);
        drop(first);
        // A process that was killed before its writer came to anything.
        let journals = dir.path().join("data/.store-journal");
        let mut killed = Journal::new(Segment::create(&journals, 1_000).unwrap());
        killed.append(&[set(&["a"], "3")]).unwrap();
        killed.append(&[DataChange::Remove(data_key(&["b"]).into()), set(&["c"], "4")]).unwrap();
        let expected = [set(&["a"], "3"), set(&["c"], "4")];
        let (second, entries) = store(dir.path());
        assert_eq!(entries, expected);
        assert!(!journals.join(format!("{:016}", 1_000)).exists(), "what was read is gone");
        drop(second);
        assert_eq!(store(dir.path()).1, expected);
    }

    #[test]
    fn a_full_segment_of_the_journal_is_forgotten_when_the_database_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = store(dir.path());
        let value = "v".repeat(64 << 10);
        for number in 0..1_000 {
            first.save(vec![set(&["k", &(number % 10).to_string()], &value)]);
        }
        first.sync();
        let journals = fs::read_dir(dir.path().join("data/.store-journal")).unwrap();
        let left: u64 = journals.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(left, 0, "60 MiB were written");
        drop(first);
        assert_eq!(store(dir.path()).1.len(), 10);
    }

    #[test]
    fn dat_07_a_folder_of_mona_server_is_read_once_and_wrong_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, name: &str, value: &str| {
            let folder = dir.path().join("data").join(path);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), value).unwrap();
        };
        put("app/players/Ann", &digest(b"10"), "10");
        put("app/name", &digest(b"x"), "changed behind its back");
        put("", "node-id", "not a value");
        put("top", "readme.txt", "not a value");
        let (first, entries) = store(dir.path());
        assert_eq!(entries, [set(&["app", "players", "Ann"], "10")]);
        let wrong = dir.path().join("data/app/name").join(digest(b"x"));
        assert!(!wrong.exists());
        assert!(dir.path().join("data/top/readme.txt").exists());
        assert!(dir.path().join("data/node-id").exists());
        drop(first);
        put("late", &digest(b"1"), "1");
        assert_eq!(store(dir.path()).1.len(), 1);
    }

    #[test]
    fn a_spoiled_database_is_an_error_and_nothing_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = store(dir.path());
        for number in 0..100 {
            first.save(vec![set(&["k", &number.to_string()], "value")]);
        }
        first.sync();
        drop(first);
        let folder = dir.path().join("data/.store");
        let files = |folder: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = files(&folder);
        for name in &before {
            let path = folder.join(name);
            if path.is_file() {
                fs::write(&path, [0xFF; 4_000]).unwrap();
            }
        }
        let (spoiled, entries) = store(dir.path());
        assert_eq!(entries, []);
        spoiled.save(vec![set(&["a"], "1")]);
        assert_eq!(spoiled.failures.load(Relaxed), 1);
        assert_eq!(files(&folder), before);
    }
}
