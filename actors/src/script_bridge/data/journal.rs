//! The journal of `data`: what was assigned and the database has not got yet.
//!
//! An assignment is one record, written by one call of the script's thread: then the operating system
//! has it, and a killed process loses nothing. Nothing here waits for a disk or for another thread.
//! The database does both, so it gets its changes later ([`writer`](super::writer)).
//!
//! A segment is a file of records: length (`u32`, big endian) and XXH3 (`u64`) of what follows, which
//! is a list of changes: `v` key value, `t` key, `r` key, each key and value with its length in front.
//! Segments have rising numbers for names. Reading records twice does no harm: the last one of a key
//! counts, and all behind it are there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use ramona_script::DataChange;
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

/// Length and checksum.
const HEAD: usize = 4 + 8;

/// A segment of at least this size is full: what has to be read again after a kill is little more.
pub(super) const SEGMENT_BYTES: u64 = 4 << 20;

/// The buffer of records keeps no more than this from one to the next.
const KEPT_BUFFER: usize = 64 << 10;

const VALUE: u8 = b'v';
const TABLE: u8 = b't';
const REMOVE: u8 = b'r';

/// One file of the journal.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    pub(super) file: Arc<File>,
}

impl Segment {
    /// A new and empty one.
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = folder.join(format!("{number:016}"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        // Its name as well outlives a failing machine.
        File::open(folder)?.sync_all()?;
        Ok(Self { path, file: Arc::new(file) })
    }

    /// The database has all of it.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }
}

/// The segment that is being written.
pub(super) struct Journal {
    segment: Segment,
    /// Bytes of whole records in it.
    length: u64,
    /// The end of the file is no whole record, and it could not be cut off.
    is_torn: bool,
    buffer: Vec<u8>,
}

impl Journal {
    pub(super) fn new(segment: Segment) -> Self {
        Self { segment, length: 0, is_torn: false, buffer: Vec::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.length >= SEGMENT_BYTES || self.is_torn
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0 && !self.is_torn
    }

    /// Goes on in another segment; answers the one before.
    pub(super) fn go_on_in(&mut self, next: Segment) -> Segment {
        (self.length, self.is_torn) = (0, false);
        std::mem::replace(&mut self.segment, next)
    }

    /// Writes a record; when this answers, a killed process loses nothing of it. An error leaves no
    /// part of it behind.
    pub(super) fn append(&mut self, changes: &[DataChange]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("the journal was cut off in the middle of an assignment"));
        }
        encode(&mut self.buffer, changes)?;
        let written = (&*self.segment.file).write_all(&self.buffer);
        if written.is_ok() {
            self.length += self.buffer.len() as u64;
        } else {
            self.is_torn = self.segment.file.set_len(self.length).is_err();
        }
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER);
        written
    }
}

fn encode(out: &mut Vec<u8>, changes: &[DataChange]) -> io::Result<()> {
    out.clear();
    out.resize(HEAD, 0);
    for change in changes {
        match change {
            DataChange::Set(key, value) => {
                out.push(VALUE);
                text(out, key)?;
                text(out, value)?;
            }
            DataChange::Table(key) => {
                out.push(TABLE);
                text(out, key)?;
            }
            DataChange::Remove(key) => {
                out.push(REMOVE);
                text(out, key)?;
            }
        }
    }
    let length = length_of(&out[HEAD..])?;
    let sum = xxh3_64(&out[HEAD..]).to_be_bytes();
    out[..4].copy_from_slice(&length);
    out[4..HEAD].copy_from_slice(&sum);
    Ok(())
}

fn text(out: &mut Vec<u8>, text: &[u8]) -> io::Result<()> {
    out.extend_from_slice(&length_of(text)?);
    out.extend_from_slice(text);
    Ok(())
}

fn length_of(text: &[u8]) -> io::Result<[u8; 4]> {
    // The bounds of `data` are far below.
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok(length.to_be_bytes())
}

/// Hands on all records of a folder in order, and answers the files that they stood in and the number
/// that the next segment may have. The first record that is not whole ends its segment: the machine
/// failed while it was written.
pub(super) fn read<E: From<io::Error>>(
    folder: &Path,
    mut each: impl FnMut(Vec<DataChange>) -> Result<(), E>,
) -> Result<(Vec<PathBuf>, u64), E> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.parse::<u64>().ok()) {
            segments.push((number, folder.join(name)));
        }
    }
    segments.sort();
    let next = segments.last().map_or(0, |(number, _)| number.saturating_add(1));
    for (_, path) in &segments {
        let mut rest = Bytes::from(fs::read(path)?);
        while !rest.is_empty() {
            let Some(changes) = record(&mut rest) else {
                warn!(file = %path.display(), left = rest.len(), "data: the end of the journal is not whole, passed over");
                break;
            };
            each(changes)?;
        }
    }
    Ok((segments.into_iter().map(|(_, path)| path).collect(), next))
}

/// Takes one record off; nothing when it is not whole.
fn record(rest: &mut Bytes) -> Option<Vec<DataChange>> {
    let mut head = rest.get(..HEAD)?;
    let (length, sum) = (head.get_u32() as usize, head.get_u64());
    let end = HEAD.checked_add(length).filter(|end| *end <= rest.len())?;
    let mut body = rest.slice(HEAD..end);
    if xxh3_64(&body) != sum {
        return None;
    }
    let mut changes = Vec::new();
    while !body.is_empty() {
        let tag = body.get_u8();
        let key = take(&mut body)?;
        changes.push(match tag {
            VALUE => DataChange::Set(key, take(&mut body)?),
            TABLE => DataChange::Table(key),
            REMOVE => DataChange::Remove(key),
            _ => return None,
        });
    }
    rest.advance(end);
    Some(changes)
}

fn take(body: &mut Bytes) -> Option<Bytes> {
    let length = body.try_get_u32().ok()? as usize;
    (length <= body.len()).then(|| body.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &'static str, value: &str) -> DataChange {
        DataChange::Set(key.into(), Bytes::copy_from_slice(value.as_bytes()))
    }

    fn all(folder: &Path) -> Vec<Vec<DataChange>> {
        let mut records = Vec::new();
        let each = |record| {
            records.push(record);
            Ok::<(), io::Error>(())
        };
        read(folder, each).unwrap();
        records
    }

    #[test]
    fn records_are_read_in_the_order_of_their_writing_across_segments() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(Segment::create(dir.path(), 9).unwrap());
        let first = vec![set("a", "1"), DataChange::Table("t".into())];
        let second = vec![DataChange::Remove("a".into()), set("", "")];
        journal.append(&first).unwrap();
        journal.go_on_in(Segment::create(dir.path(), 10).unwrap());
        journal.append(&second).unwrap();
        // The process is killed: nothing is closed, nothing flushed.
        std::mem::forget(journal);
        assert_eq!(all(dir.path()), [first, second]);
        let next = read(dir.path(), |_| Ok::<(), io::Error>(())).unwrap().1;
        assert_eq!(next, 11);
    }

    #[test]
    fn a_record_that_is_cut_or_spoiled_ends_its_segment_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(Segment::create(dir.path(), 0).unwrap());
        journal.append(&[set("a", "1")]).unwrap();
        let whole = journal.length as usize;
        journal.append(&[set("b", "2")]).unwrap();
        journal.go_on_in(Segment::create(dir.path(), 1).unwrap());
        journal.append(&[set("c", "3")]).unwrap();
        let path = dir.path().join(format!("{:016}", 0));
        let good = fs::read(&path).unwrap();
        let expected = [vec![set("a", "1")], vec![set("c", "3")]];
        for end in whole..good.len() {
            fs::write(&path, &good[..end]).unwrap();
            assert_eq!(all(dir.path()), expected, "cut at {end}");
        }
        for at in whole..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(all(dir.path()), expected, "spoiled at {at}");
        }
    }
}
