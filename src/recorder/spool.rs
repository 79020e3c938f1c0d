//! The spool: cut segments on a local disk until store and index have them.
//!
//! Comes in: segment objects and init segments. Goes out: the same, after any crash, in order. An entry is the
//! object itself under its own name; object and name together rebuild the index row (`cmaf::read_segment`).
//! A file is either whole or not there: written under a temporary name, synced, renamed, folder synced.
//! Never: deletes what it cannot read; that is moved aside for an operator.

use crate::media::segment::SegmentId;
use crate::media::{InitHash, StreamName};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The spool of one process: a folder that it alone uses.
#[derive(Debug)]
pub struct Spool {
    root: PathBuf,
    holder: String,
    max_bytes: u64,
    used_bytes: AtomicU64,
    /// Held as long as the process lives.
    _lock: File,
}

/// One stream's part of the spool.
#[derive(Debug, Clone)]
pub struct StreamSpool {
    spool: Arc<Spool>,
    stream: StreamName,
    folder: PathBuf,
}

impl Spool {
    /// Opens the folder, creating it, and locks it against other processes.
    ///
    /// # Errors
    /// When it cannot be created or written, or another process has it.
    pub fn open(root: &Path, max_bytes: u64) -> io::Result<Arc<Self>> {
        fs::create_dir_all(root.join("streams"))?;
        let lock = File::create(root.join("lock"))?;
        lock.try_lock().map_err(|e| match e {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use by another evertape process; give each its own recorder.spool", root.display()),
            ),
            fs::TryLockError::Error(e) => e,
        })?;
        let holder = holder_id(root)?;
        let spool = Self { root: root.into(), holder, max_bytes, used_bytes: AtomicU64::new(0), _lock: lock };
        spool.used_bytes.store(folder_bytes(&spool.root.join("streams"))?, Ordering::Relaxed);
        Ok(Arc::new(spool))
    }

    /// A name for leases that stays the same as long as the spool does: a recorder that was killed gets its
    /// leases back at once.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Bytes in the spool, of all streams.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Streams that have segments waiting.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn streams(&self) -> io::Result<Vec<StreamName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("streams"))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|n| StreamName::parse(&n.replace('+', "/")).ok()) else { continue };
            let mut files = fs::read_dir(entry.path())?.flatten();
            if files.any(|f| f.path().extension().is_some_and(|e| e == "cmfs")) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// One stream's part.
    ///
    /// # Errors
    /// When its folder cannot be created.
    pub fn stream(self: &Arc<Self>, stream: &StreamName) -> io::Result<StreamSpool> {
        // '+' is in no stream name, so the folder's name is the stream's and nothing else's.
        let folder = self.root.join("streams").join(stream.as_str().replace('/', "+"));
        fs::create_dir_all(folder.join("damaged"))?;
        Ok(StreamSpool { spool: self.clone(), stream: stream.clone(), folder })
    }
}

impl StreamSpool {
    /// Writes a cut segment. When this returns, it survives a crash.
    ///
    /// # Errors
    /// When the disk is full, the spool's limit is reached, or the disk fails.
    pub fn put_segment(&self, id: &SegmentId, object: &[u8]) -> io::Result<()> {
        let used = self.spool.used_bytes.fetch_add(object.len() as u64, Ordering::Relaxed);
        let result = if used + object.len() as u64 > self.spool.max_bytes {
            Err(io::Error::new(io::ErrorKind::StorageFull, "the spool has reached recorder.spool_max_mib"))
        } else {
            self.write(&format!("{}.cmfs", id.base_name()), object)
        };
        if result.is_err() {
            self.spool.used_bytes.fetch_sub(object.len() as u64, Ordering::Relaxed);
        }
        result
    }

    /// Writes an init segment, once; small, kept as long as segments may need it.
    ///
    /// # Errors
    /// As [`StreamSpool::put_segment`].
    pub fn put_init(&self, hash: InitHash, init: &[u8]) -> io::Result<()> {
        let name = format!("{hash}.mp4");
        if self.folder.join(&name).exists() { Ok(()) } else { self.write(&name, init) }
    }

    /// Reads an init segment.
    ///
    /// # Errors
    /// When it is not there or the disk fails.
    pub fn init(&self, hash: InitHash) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(format!("{hash}.mp4")))
    }

    /// Reads a segment.
    ///
    /// # Errors
    /// When it is not there or the disk fails.
    pub fn segment(&self, id: &SegmentId) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(format!("{}.cmfs", id.base_name())))
    }

    /// What waits, by ascending sequence. Leftovers of writes that a crash cut short are removed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn pending(&self) -> io::Result<Vec<SegmentId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(".tmp-") {
                fs::remove_file(entry.path())?;
            } else if let Some(base) = name.strip_suffix(".cmfs") {
                match SegmentId::parse_base_name(&self.stream, base) {
                    Some(id) => ids.push(id),
                    None => self.set_aside(name)?,
                }
            }
        }
        ids.sort_by_key(|id| (id.sequence, id.epoch));
        Ok(ids)
    }

    /// Removes a segment that store and index have.
    ///
    /// # Errors
    /// When the disk fails. Not being there is no error.
    pub fn remove(&self, id: &SegmentId) -> io::Result<()> {
        let path = self.folder.join(format!("{}.cmfs", id.base_name()));
        let bytes = fs::metadata(&path).map_or(0, |m| m.len());
        match fs::remove_file(path) {
            Ok(()) => {
                let _ = self
                    .spool
                    .used_bytes
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |u| Some(u.saturating_sub(bytes)));
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Moves an entry that cannot be published out of the way, for an operator to look at.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn quarantine(&self, id: &SegmentId) -> io::Result<()> {
        self.set_aside(&format!("{}.cmfs", id.base_name()))
    }

    fn set_aside(&self, name: &str) -> io::Result<()> {
        fs::rename(self.folder.join(name), self.folder.join("damaged").join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(format!(".tmp-{name}"));
        let result = (|| {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, self.folder.join(name))?;
            File::open(&self.folder)?.sync_all()
        })();
        if result.is_err() {
            // Its number will be given again: nothing of it may stay under either name.
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(self.folder.join(name));
        }
        result
    }
}

fn holder_id(root: &Path) -> io::Result<String> {
    let path = root.join("holder");
    match fs::read_to_string(&path) {
        Ok(text) if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(text),
        _ => {
            let id = uuid::Uuid::now_v7().simple().to_string();
            let mut file = File::create(&path)?;
            file.write_all(id.as_bytes())?;
            file.sync_all()?;
            Ok(id)
        }
    }
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { folder_bytes(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{RunId, UtcUs};

    fn id(stream: &StreamName, sequence: u64) -> SegmentId {
        SegmentId {
            stream: stream.clone(),
            run: RunId(7),
            epoch: 1,
            sequence,
            start: UtcUs(1_409_148_900_000_000),
            duration_us: 6_000_000,
        }
    }

    #[test]
    fn entries_survive_reopening_in_order_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let name = StreamName::parse("sport/uhd-1").unwrap();
        let holder = {
            let spool = Spool::open(dir.path(), 1 << 20).unwrap();
            let stream = spool.stream(&name).unwrap();
            for n in [11, 9, 10] {
                stream.put_segment(&id(&name, n), &[n as u8; 100]).unwrap();
            }
            fs::write(stream.folder.join(".tmp-x.cmfs"), b"half").unwrap();
            fs::write(stream.folder.join("nonsense.cmfs"), b"?").unwrap();
            assert!(Spool::open(dir.path(), 1).is_err(), "two processes in one spool");
            spool.holder().to_owned()
        };
        let spool = Spool::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spool.holder(), holder);
        assert_eq!(spool.streams().unwrap(), std::slice::from_ref(&name));
        let stream = spool.stream(&name).unwrap();
        let pending = stream.pending().unwrap();
        assert_eq!(pending.iter().map(|i| i.sequence).collect::<Vec<_>>(), [9, 10, 11]);
        assert_eq!(stream.segment(&pending[1]).unwrap(), [10; 100]);
        stream.remove(&pending[0]).unwrap();
        stream.remove(&pending[0]).unwrap();
        assert_eq!(stream.pending().unwrap().len(), 2);
        assert!(stream.folder.join("damaged/nonsense.cmfs").exists());
        assert!(!stream.folder.join(".tmp-x.cmfs").exists());
    }

    #[test]
    fn a_full_spool_refuses_and_takes_again_once_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let name = StreamName::parse("x").unwrap();
        let spool = Spool::open(dir.path(), 250).unwrap();
        let stream = spool.stream(&name).unwrap();
        stream.put_segment(&id(&name, 1), &[0; 100]).unwrap();
        stream.put_segment(&id(&name, 2), &[0; 100]).unwrap();
        let full = stream.put_segment(&id(&name, 3), &[0; 100]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        stream.remove(&id(&name, 1)).unwrap();
        stream.put_segment(&id(&name, 3), &[0; 100]).unwrap();
    }
}
