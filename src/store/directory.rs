//! Object store in a directory.
//!
//! Comes in: keys, whole bodies. Goes out: files `{root}/{key}`, ranges of them. An object is written beside
//! the tree, flushed, then linked to its name, so a name never shows half a body. Never follows a symbolic
//! link below its root, never overwrites where the file system has hard links.
//!
//! A folder and an object cannot share a name: with an object `a` there can be none called `a/b`. S3 allows
//! it, the keys of this program never need it, and `put` says so clearly.

mod list;
mod read;

use super::{ByteStream, ObjectInfo, ObjectStore, Put, Result, StoreError, StoreErrorKind};
use crate::media::ObjectKey;
use bytes::Bytes;
use read::{Buffers, PIECE_BYTES, Reader, read_pieces};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// Marks a folder as a store and holds unfinished files. No key starts with a dot.
const MARKER: &str = ".evertape";
/// Unfinished files older than this belong to a process that is gone.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);
/// Longest wait for the disk in one call, or for one batch of a stream.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait of a ping (see [`ObjectStore::ping`]).
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls that read, or that write, at one time: a disk that hangs must not take every blocking thread.
const READS_AT_ONCE: usize = 128;
const WRITES_AT_ONCE: usize = 64;
/// How often a put starts again when its folder is removed under it by a delete.
const PUT_ATTEMPTS: usize = 32;
/// Folders remembered as durable.
const DURABLE_FOLDERS: usize = 4096;

/// Objects as files below one folder. Several processes may share it.
#[derive(Debug)]
pub struct DirectoryStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Canonical.
    root: PathBuf,
    /// Whether the marker was there at open; from then on its absence means that the disk is not mounted.
    marked: bool,
    buffers: Arc<Buffers>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    durable: Mutex<HashMap<PathBuf, FolderId>>,
}

/// Tells a folder from one that was created later under the same name, even with its inode number.
#[derive(Debug, PartialEq, Eq)]
struct FolderId {
    device: u64,
    inode: u64,
    created: SystemTime,
}

/// What stands where an object should be.
enum Standing {
    Nothing,
    Object,
}

impl DirectoryStore {
    /// Opens the store below `root`, creating it if need be, and removes unfinished files an hour old.
    /// A folder that cannot be written to opens too: a playback node needs no more.
    ///
    /// # Errors
    /// `Refused` or `Unavailable` when the folder can be neither read nor created.
    pub fn open(root: &Path) -> Result<Self> {
        let what = format!("open the store {}", root.display());
        let fail = |error: io::Error| match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                StoreError::new(StoreErrorKind::Refused, format!("{what}: it is not a folder")).because(error)
            }
            _ => io_error(&what, error),
        };
        fs::create_dir_all(root).map_err(fail)?;
        let root = fs::canonicalize(root).map_err(fail)?;
        fs::read_dir(&root).map_err(fail)?;
        match fs::create_dir_all(root.join(MARKER).join("tmp")) {
            Ok(()) => {
                // The store's own name must outlive a crash too, otherwise no object in it does.
                for folder in [root.join(MARKER), root.clone()].iter().map(PathBuf::as_path).chain(root.parent()) {
                    // Above the root there may be no permission to; what is there was there before.
                    sync_folder(folder).or_else(|error| if folder == root { Err(fail(error)) } else { Ok(()) })?;
                }
                remove_leftovers(&root.join(MARKER).join("tmp"));
            }
            Err(error) => tracing::warn!(store = %root.display(), %error, "this store can be read only"),
        }
        let marked = root.join(MARKER).is_dir();
        let inner = Inner {
            root,
            marked,
            buffers: Arc::default(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            writes: Arc::new(Semaphore::new(WRITES_AT_ONCE)),
            durable: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

#[async_trait::async_trait]
impl ObjectStore for DirectoryStore {
    async fn put(&self, key: &ObjectKey, body: Bytes, _content_type: &'static str) -> Result<Put> {
        let key = key.clone();
        self.inner.blocking(&self.inner.writes, "put", move |inner| inner.put(&key, &body)).await
    }

    fn is_near(&self) -> bool {
        true
    }

    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        let owner = Arc::clone(&self.inner);
        let key = key.clone();
        let reader = self.inner.blocking(&self.inner.reads, "get", move |_| Inner::get(owner, &key, range)).await?;
        Ok(reader.into_stream())
    }

    async fn head(&self, key: &ObjectKey) -> Result<u64> {
        let key = key.clone();
        self.inner.blocking(&self.inner.reads, "head", move |inner| Ok(inner.open_object("head", &key)?.1)).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<()> {
        // In portions, so that a long list is no long call.
        for portion in keys.chunks(256) {
            let portion = portion.to_vec();
            let job = move |inner: &Inner| portion.iter().try_for_each(|key| inner.delete(key));
            self.inner.blocking(&self.inner.writes, "delete", job).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.inner
            .blocking(&self.inner.reads, "list", move |inner| {
                inner.check_root("list")?;
                list::list(inner, &prefix, after.as_ref(), limit)
            })
            .await
    }

    /// Reads, never writes: a full disk must not take the playback of what is on it away.
    async fn ping(&self) -> Result<()> {
        let answer = self.inner.blocking(&self.inner.reads, "ping", |inner| {
            inner.check_root("ping")?;
            fs::read_dir(&inner.root).map(drop).map_err(|error| io_error("ping", error))
        });
        tokio::time::timeout(PING_TIMEOUT, answer).await.unwrap_or_else(|_| {
            Err(StoreError::new(StoreErrorKind::Unavailable, "ping: the disk does not answer within 2 s"))
        })
    }
}

impl Inner {
    /// Runs `job` on a blocking thread, one of a bounded number, and waits for it a bounded time.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        permits: &Arc<Semaphore>,
        what: &'static str,
        job: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (inner, permits) = (Arc::clone(self), Arc::clone(permits));
        let ended = move |_| StoreError::new(StoreErrorKind::Other, format!("{what}: its thread ended"));
        let run = async move {
            let permit = permits
                .acquire_owned()
                .await
                .map_err(|_| StoreError::new(StoreErrorKind::Other, format!("{what}: the store is closed")))?;
            let work = move || {
                let _permit = permit;
                job(&inner)
            };
            tokio::task::spawn_blocking(work).await.map_err(ended)?
        };
        tokio::time::timeout(CALL_TIMEOUT, run).await.unwrap_or_else(|_| {
            let why = format!("{what}: the disk does not answer within {} s", CALL_TIMEOUT.as_secs());
            Err(StoreError::new(StoreErrorKind::Unavailable, why))
        })
    }

    /// An empty mount point must not pass for an empty store, or deletions and listings would tell lies.
    fn check_root(&self, what: &str) -> Result<()> {
        let sound = if self.marked { self.root.join(MARKER).is_dir() } else { self.root.is_dir() };
        if sound {
            return Ok(());
        }
        let why = format!("{what}: {} is not the store any more: is its disk mounted?", self.root.display());
        Err(StoreError::new(StoreErrorKind::Unavailable, why))
    }

    fn path(&self, key: &ObjectKey) -> (PathBuf, PathBuf) {
        let path = self.root.join(key.as_str());
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        (path, folder)
    }

    /// Whether `folder`, below the root, is there; refuses one that is reached through a symbolic link.
    fn check_folder(&self, folder: &Path, what: &str) -> Result<bool> {
        match fs::canonicalize(folder) {
            Ok(real) if real == folder => Ok(true),
            Ok(_) => Err(link_in_the_way(what)),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(io_error(what, error)),
        }
    }

    /// Opens an object: its file and its size.
    fn open_object(&self, operation: &str, key: &ObjectKey) -> Result<(File, u64)> {
        let what = format!("{operation} {key}");
        let missing = || {
            self.check_root(&what)?;
            Err(StoreError::new(StoreErrorKind::NotFound, format!("{what}: no such object")))
        };
        let (path, folder) = self.path(key);
        if !self.check_folder(&folder, &what)? {
            return missing();
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return missing(),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(link_in_the_way(&what)),
            Err(error) => return Err(io_error(&what, error)),
        };
        let metadata = file.metadata().map_err(|error| io_error(&what, error))?;
        if metadata.is_file() { Ok((file, metadata.len())) } else { missing() }
    }

    fn get(inner: Arc<Self>, key: &ObjectKey, range: Range<u64>) -> Result<Reader> {
        if range.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Other, format!("get {key}: an empty range")));
        }
        let (file, size) = inner.open_object("get", key)?;
        if range.start >= size {
            let why = format!("get {key}: byte {} of an object of {size}", range.start);
            return Err(StoreError::new(StoreErrorKind::RangeNotSatisfiable, why));
        }
        let end = range.end.min(size);
        // The first piece comes with the same hop to a blocking thread.
        let first = (PIECE_BYTES as u64).min(end - range.start);
        let ready = read_pieces(&inner.buffers, &file, range.start, first)
            .map_err(|error| io_error(&format!("get {key}"), error))?;
        Ok(Reader { inner, file: Arc::new(file), key: key.to_string(), ready, next: range.start + first, end })
    }

    fn put(&self, key: &ObjectKey, body: &[u8]) -> Result<Put> {
        let what = format!("put {key}");
        let fail = |error| io_error(&what, error);
        self.check_root(&what)?;
        let (path, folder) = self.path(key);
        self.ensure_folder(&folder, &what)?;
        if let Standing::Object = self.standing(&path, &what)? {
            self.make_durable(&folder).map_err(fail)?;
            return Ok(Put::AlreadyThere);
        }
        let unfinished = Unfinished::write(&self.root, body).map_err(fail)?;
        for _ in 0..PUT_ATTEMPTS {
            self.ensure_folder(&folder, &what)?;
            let placed = match fs::hard_link(&unfinished.0, &path) {
                Err(error) if has_no_links(&error) => {
                    // Two writers at once may then both write; the key's bytes are the same by design.
                    match self.standing(&path, &what)? {
                        Standing::Nothing => fs::rename(&unfinished.0, &path),
                        Standing::Object => Err(ErrorKind::AlreadyExists.into()),
                    }
                }
                placed => placed,
            };
            let put = match placed {
                Ok(()) => Put::Written,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => match self.standing(&path, &what)? {
                    Standing::Object => Put::AlreadyThere,
                    // Deleted again, or an empty folder that is gone now.
                    Standing::Nothing => continue,
                },
                // A delete has removed the emptied folder in between.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(fail(error)),
            };
            self.make_durable(&folder).map_err(fail)?;
            return Ok(put);
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, format!("{what}: its folder is removed again and again")))
    }

    fn standing(&self, path: &Path, what: &str) -> Result<Standing> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Standing::Object),
            Ok(metadata) if metadata.is_dir() => match fs::remove_dir(path) {
                Ok(()) => Ok(Standing::Nothing),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Standing::Nothing),
                Err(_) => Err(StoreError::new(
                    StoreErrorKind::Other,
                    format!("{what}: a folder of that name is in the way; a directory cannot hold both"),
                )),
            },
            Ok(_) => Err(link_in_the_way(what)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Standing::Nothing),
            Err(error) => Err(io_error(what, error)),
        }
    }

    /// Creates `folder`, below the root, step by step.
    fn ensure_folder(&self, folder: &Path, what: &str) -> Result<()> {
        if self.check_folder(folder, what)? && folder.is_dir() {
            return Ok(());
        }
        let below = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let mut path = self.root.clone();
        for component in below.components() {
            path.push(component);
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => match fs::symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => {}
                    Ok(metadata) if metadata.is_file() => {
                        let why = format!(
                            "{what}: an object is in the way, named like one of its folders; a directory cannot hold both"
                        );
                        return Err(StoreError::new(StoreErrorKind::Other, why));
                    }
                    Ok(_) => return Err(link_in_the_way(what)),
                    // Removed in between; so the link will fail and the put start again.
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                    Err(error) => return Err(io_error(what, error)),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => return self.check_root(what),
                Err(error) => return Err(io_error(what, error)),
            }
        }
        Ok(())
    }

    /// Makes the names in `folder` and all folders down to it survive a crash of the machine, whoever made them.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        let mut fresh = Vec::new();
        for ancestor in folder.ancestors().take_while(|ancestor| *ancestor != self.root) {
            let id = FolderId::of(ancestor);
            let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            if id.is_some() && durable.get(ancestor) == id.as_ref() {
                break;
            }
            drop(durable);
            fresh.push((ancestor, id));
        }
        // A folder that is gone has lost its last object to a delete since: nothing to keep.
        let sync = |path: &Path| match sync_folder(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced,
        };
        sync(folder)?;
        for (ancestor, _) in &fresh {
            sync(ancestor.parent().unwrap_or(&self.root))?;
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() + fresh.len() > DURABLE_FOLDERS {
            durable.clear();
        }
        durable.extend(fresh.into_iter().filter_map(|(path, id)| Some((path.to_owned(), id?))));
        Ok(())
    }

    fn delete(&self, key: &ObjectKey) -> Result<()> {
        let what = format!("delete {key}");
        self.check_root(&what)?;
        let (path, folder) = self.path(key);
        if !self.check_folder(&folder, &what)? {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Ok(()) => {}
            // A folder is no object; so there is none of that name.
            Err(error) if is_missing(&error) || error.kind() == ErrorKind::IsADirectory => {}
            Err(error) => return Err(io_error(&what, error)),
        }
        // Only an empty folder can be removed, so this takes nothing from a put that runs meanwhile.
        for ancestor in folder.ancestors().take_while(|ancestor| *ancestor != self.root) {
            if fs::remove_dir(ancestor).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl FolderId {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino(), created: metadata.created().ok()? })
    }
}

/// A file that has no key yet; removed when dropped.
struct Unfinished(PathBuf);

impl Unfinished {
    /// A new file with these bytes, on the disk and not only in memory.
    fn write(root: &Path, body: &[u8]) -> io::Result<Self> {
        let folder = root.join(MARKER).join("tmp");
        fs::create_dir_all(&folder)?;
        let path = folder.join(uuid::Uuid::now_v7().simple().to_string());
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let unfinished = Self(path);
        file.write_all(body)?;
        file.sync_all()?;
        Ok(unfinished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already where it was renamed; else what stays is removed at the next open.
        let _ = fs::remove_file(&self.0);
    }
}

fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
        if matches!(age, Ok(Ok(age)) if age > LEFTOVER_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network file systems cannot flush folders; they keep names by themselves.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn has_no_links(error: &io::Error) -> bool {
    let codes = [libc::EPERM, libc::EOPNOTSUPP, libc::ENOSYS, libc::EMLINK];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Nothing can be of that name here.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename)
}

fn link_in_the_way(what: &str) -> StoreError {
    let why = format!("{what}: a symbolic link or special file is in the way, and none is followed below the store");
    StoreError::new(StoreErrorKind::Refused, why)
}

/// What a failure of the disk means to the caller.
fn io_error(what: &str, error: io::Error) -> StoreError {
    let (kind, why) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (StoreErrorKind::Unavailable, "the disk is full; free space or enlarge it".to_owned())
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (StoreErrorKind::Refused, format!("{error}; check the owner and the mode of the store's folder"))
        }
        ErrorKind::CrossesDevices => {
            (StoreErrorKind::Refused, "a folder of the store lies on another disk; it must be on one".to_owned())
        }
        ErrorKind::UnexpectedEof => (StoreErrorKind::Other, "the file ends early: it was changed".to_owned()),
        ErrorKind::NotFound => (StoreErrorKind::Unavailable, "a folder of the store is gone".to_owned()),
        ErrorKind::TimedOut
        | ErrorKind::Interrupted
        | ErrorKind::ResourceBusy
        | ErrorKind::OutOfMemory
        | ErrorKind::StaleNetworkFileHandle => (StoreErrorKind::Unavailable, error.to_string()),
        _ => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::EIO) => (StoreErrorKind::Unavailable, error.to_string()),
            _ => (StoreErrorKind::Other, error.to_string()),
        },
    };
    StoreError::new(kind, format!("{what}: {why}")).because(error)
}

#[cfg(test)]
mod tests;
