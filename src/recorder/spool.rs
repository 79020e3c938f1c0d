//! The spool: cut segments on a local disk until store and index have them.
//!
//! Comes in: segment objects and init segments. Goes out: the same, after any crash, in order. An entry is the
//! object itself under its own name; object and name together rebuild the index row (`cmaf::read_segment`).
//! A file is either whole or not there: written under a temporary name, synced, renamed, folder synced.
//! Beside what waits to be published lie shadows: segments whose number is not known yet, or is not theirs any more.
//! The limit holds for all together. Never: deletes what it cannot read; that is moved aside for an operator.

use super::registry::{Kind, Registry};
use crate::crash_points::reached;
use crate::media::segment::SegmentId;
use crate::media::{InitHash, RunId, StreamName};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Folder of a stream's shadows, in its folder.
const SHADOW: &str = "shadow";
/// Folder of those that were set back.
const EARLIER: &str = "earlier";

/// What goes when the spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// What has waited longest, of any stream: after an outage the newest hours are there.
    DropOldest,
    /// What comes: after an outage all is there up to where the spool was full.
    #[default]
    DropNewest,
}

/// The spool of one process: a folder that it alone uses.
#[derive(Debug)]
pub struct Spool {
    root: PathBuf,
    holder: String,
    max_bytes: u64,
    when_full: WhenFull,
    registry: Mutex<Registry>,
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
        Self::open_with(root, max_bytes, WhenFull::default())
    }

    /// As [`Spool::open`], with a choice of what goes when `max_bytes` are reached.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_with(root: &Path, max_bytes: u64, when_full: WhenFull) -> io::Result<Arc<Self>> {
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
        let mut registry = Registry::default();
        for (name, folder) in stream_folders(root)? {
            register(&mut registry, &name, &folder, Kind::Numbered)?;
            register(&mut registry, &name, &folder.join(SHADOW), Kind::Shadow)?;
            register(&mut registry, &name, &folder.join(EARLIER), Kind::Earlier)?;
        }
        let registry = Mutex::new(registry);
        Ok(Arc::new(Self { root: root.into(), holder, max_bytes, when_full, registry, _lock: lock }))
    }

    /// A name for leases that stays the same as long as the spool does: a recorder that was killed gets its
    /// leases back at once.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Bytes of segments in the spool, of all streams.
    pub fn used_bytes(&self) -> u64 {
        self.registry().used_bytes()
    }

    /// Whether segments are being dropped because it is full.
    pub fn is_full(&self) -> bool {
        self.registry().full
    }

    /// Streams that have segments waiting, or shadows.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn streams(&self) -> io::Result<Vec<StreamName>> {
        let mut names = Vec::new();
        for (name, folder) in stream_folders(&self.root)? {
            let any = |folder: &Path| {
                let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
                files.any(|f| f.path().extension().is_some_and(|e| e == "cmfs"))
            };
            if any(&folder) || any(&folder.join(SHADOW)) || any(&folder.join(EARLIER)) {
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
        fs::create_dir_all(folder.join(SHADOW))?;
        fs::create_dir_all(folder.join(EARLIER))?;
        Ok(StreamSpool { spool: self.clone(), stream: stream.clone(), folder })
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for `bytes` more, as configured, and reserves it.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut registry = self.registry();
        let used = registry.used_bytes();
        if used + bytes <= self.max_bytes {
            if used + bytes <= self.max_bytes / 10 * 9 && std::mem::take(&mut registry.full) {
                tracing::info!("the spool has room again");
                metrics::gauge!("evertape_spool_full").set(0.0);
            }
            registry.reserve(bytes);
            return Ok(());
        }
        if !std::mem::replace(&mut registry.full, true) {
            tracing::error!(max_bytes = self.max_bytes, when_full = ?self.when_full,
                "THE SPOOL IS FULL: segments are lost from now on; bring store and index back, or raise recorder.spool_max_mib");
            metrics::gauge!("evertape_spool_full").set(1.0);
        }
        while registry.used_bytes() + bytes > self.max_bytes {
            // Shadows of what others record are spare, whatever is configured.
            let victim = match self.when_full {
                WhenFull::DropOldest => registry.oldest(),
                WhenFull::DropNewest => registry.oldest_spare(),
            };
            let Some((kind, id)) = victim else {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "the spool has reached recorder.spool_max_mib"));
            };
            let folder = self.root.join("streams").join(id.stream.as_str().replace('/', "+"));
            match fs::remove_file(path_of(&folder, kind, &id)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => registry.drop_entry(kind, &id),
            }
            if kind == Kind::Numbered || !registry.is_spare(&id.stream) {
                metrics::counter!("evertape_segments_lost_total", "stream" => id.stream.to_string()).increment(1);
            }
            metrics::counter!("evertape_spool_dropped_total", "stream" => id.stream.to_string()).increment(1);
        }
        registry.reserve(bytes);
        Ok(())
    }
}

/// Of one run, what had numbers once was cut before what never had any; its times may have been moved since (a clock that
/// was put right, a file), so that they say nothing of the order. Takes the places that the run has in `ids`.
fn numbered_first(ids: &mut [SegmentId]) {
    let mut kinds: BTreeMap<RunId, [bool; 2]> = BTreeMap::new();
    ids.iter().for_each(|id| kinds.entry(id.run).or_default()[usize::from(id.epoch > 0)] = true);
    for (run, _) in kinds.into_iter().filter(|(_, kinds)| *kinds == [true, true]) {
        let places: Vec<usize> = (0..ids.len()).filter(|n| ids.get(*n).is_some_and(|id| id.run == run)).collect();
        let mut of_run: Vec<SegmentId> = places.iter().filter_map(|n| ids.get(*n).cloned()).collect();
        of_run.sort_by_key(|id| (id.epoch == 0, id.epoch, id.sequence));
        for (place, id) in places.into_iter().zip(of_run) {
            if let Some(at) = ids.get_mut(place) {
                *at = id;
            }
        }
    }
}

fn path_of(folder: &Path, kind: Kind, id: &SegmentId) -> PathBuf {
    let name = format!("{}.cmfs", id.base_name());
    match kind {
        Kind::Numbered => folder.join(name),
        Kind::Shadow => folder.join(SHADOW).join(name),
        Kind::Earlier => folder.join(EARLIER).join(name),
    }
}

fn stream_folders(root: &Path) -> io::Result<Vec<(StreamName, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("streams"))? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(name) = name.to_str().and_then(|n| StreamName::parse(&n.replace('+', "/")).ok()) {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

fn register(registry: &mut Registry, stream: &StreamName, folder: &Path, kind: Kind) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|n| n.strip_suffix(".cmfs"));
        if let Some(id) = id.and_then(|base| SegmentId::parse_base_name(stream, base)) {
            registry.add(kind, id, entry.metadata()?.len());
        }
    }
    Ok(())
}

impl StreamSpool {
    /// Writes a cut segment. When this returns, it survives a crash.
    ///
    /// # Errors
    /// When the disk is full, the spool's limit is reached, or the disk fails.
    pub fn put_segment(&self, id: &SegmentId, object: &[u8]) -> io::Result<()> {
        self.put(Kind::Numbered, id, object)
    }

    /// Writes a cut segment whose number is only its own.
    ///
    /// # Errors
    /// As [`StreamSpool::put_segment`].
    pub fn put_shadow(&self, id: &SegmentId, object: &[u8]) -> io::Result<()> {
        self.put(Kind::Shadow, id, object)
    }

    fn put(&self, kind: Kind, id: &SegmentId, object: &[u8]) -> io::Result<()> {
        let bytes = object.len() as u64;
        self.spool.make_room(bytes)?;
        let result = self.write(&path_of(&self.folder, kind, id), object);
        let mut registry = self.spool.registry();
        registry.unreserve(bytes);
        if result.is_ok() {
            registry.add(kind, id.clone(), bytes);
        }
        result
    }

    /// Writes an init segment, once; small, kept as long as segments may need it.
    ///
    /// # Errors
    /// As [`StreamSpool::put_segment`].
    pub fn put_init(&self, hash: InitHash, init: &[u8]) -> io::Result<()> {
        let path = self.folder.join(format!("{hash}.mp4"));
        if path.exists() { Ok(()) } else { self.write(&path, init) }
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
        fs::read(path_of(&self.folder, Kind::Numbered, id))
    }

    /// Reads a shadow, also one that was set back.
    ///
    /// # Errors
    /// When it is not there or the disk fails.
    pub fn shadow(&self, id: &SegmentId) -> io::Result<Vec<u8>> {
        fs::read(path_of(&self.folder, self.kind_of_shadow(id), id))
    }

    fn kind_of_shadow(&self, id: &SegmentId) -> Kind {
        self.spool.registry().shadow(id).unwrap_or(Kind::Shadow)
    }

    /// Sets a shadow back that lies before the end of what is committed: it is not placed again, and may fill a gap.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_back(&self, id: &SegmentId) -> io::Result<()> {
        self.turn_into(Kind::Shadow, Kind::Earlier, id)
    }

    /// What waits, by ascending sequence. Leftovers of writes that a crash cut short are removed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn pending(&self) -> io::Result<Vec<SegmentId>> {
        let mut ids = self.entries(&self.folder)?;
        ids.sort_by_key(|id| (id.sequence, id.epoch));
        Ok(ids)
    }

    /// The shadows that were not placed yet, in the order in which they were recorded: by time, and where the runs of a
    /// source that states the same time again overlap, run by run.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn shadows(&self) -> io::Result<Vec<SegmentId>> {
        let mut ids = self.entries(&self.folder.join(SHADOW))?;
        ids.sort_by_key(|id| (id.start, id.sequence));
        let mut seen: BTreeSet<RunId> = BTreeSet::new();
        let mut last = None;
        // A run that comes again after another one.
        let mixed = ids.iter().any(|id| last.replace(id.run) != Some(id.run) && !seen.insert(id.run));
        if mixed {
            // Runs are named by the time at which they began.
            ids.sort_by_key(|id| (id.run, id.start, id.sequence));
        }
        numbered_first(&mut ids);
        Ok(ids)
    }

    /// Those that were set back, in no order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn earlier(&self) -> io::Result<Vec<SegmentId>> {
        self.entries(&self.folder.join(EARLIER))
    }

    /// All shadows by time, those that were set back, too; those of one run in the order in which they were recorded.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all_shadows(&self) -> io::Result<Vec<SegmentId>> {
        let mut ids = self.entries(&self.folder.join(SHADOW))?;
        ids.extend(self.earlier()?);
        ids.sort_by_key(|id| (id.start, id.sequence));
        numbered_first(&mut ids);
        Ok(ids)
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<SegmentId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(".tmp-") {
                fs::remove_file(entry.path())?;
            } else if let Some(base) = name.strip_suffix(".cmfs") {
                match SegmentId::parse_base_name(&self.stream, base) {
                    Some(id) => ids.push(id),
                    None => fs::rename(entry.path(), self.folder.join("damaged").join(name))?,
                }
            }
        }
        Ok(ids)
    }

    /// Keeps a segment from being dropped while it is worked on; `false` when it has been dropped.
    pub fn hold(&self, id: &SegmentId) -> bool {
        self.spool.registry().hold(Kind::Numbered, id)
    }

    /// Others may have what is being recorded, or not: what shadows are worth.
    pub fn set_spare(&self, spare: bool) {
        self.spool.registry().set_spare(&self.stream, spare);
    }

    /// Removes a segment that store and index have.
    ///
    /// # Errors
    /// When the disk fails. Not being there is no error.
    pub fn remove(&self, id: &SegmentId) -> io::Result<()> {
        self.remove_entry(Kind::Numbered, id)
    }

    /// Removes a shadow, also one that was set back.
    ///
    /// # Errors
    /// As [`StreamSpool::remove`].
    pub fn remove_shadow(&self, id: &SegmentId) -> io::Result<()> {
        self.remove_entry(self.kind_of_shadow(id), id)
    }

    fn remove_entry(&self, kind: Kind, id: &SegmentId) -> io::Result<()> {
        match fs::remove_file(path_of(&self.folder, kind, id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => {
                self.spool.registry().remove(kind, id);
                Ok(())
            }
        }
    }

    /// Makes a shadow of a segment whose number is not its own any more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn demote(&self, id: &SegmentId) -> io::Result<()> {
        self.turn_into(Kind::Numbered, Kind::Shadow, id)
    }

    fn turn_into(&self, from: Kind, to: Kind, id: &SegmentId) -> io::Result<()> {
        fs::rename(path_of(&self.folder, from, id), path_of(&self.folder, to, id))?;
        let mut registry = self.spool.registry();
        if let Some(bytes) = registry.remove(from, id) {
            registry.add(to, id.clone(), bytes);
        }
        Ok(())
    }

    /// Moves an entry that cannot be published out of the way, for an operator to look at.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn quarantine(&self, id: &SegmentId) -> io::Result<()> {
        self.set_aside(Kind::Numbered, id)
    }

    /// As [`StreamSpool::quarantine`], of a shadow.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn quarantine_shadow(&self, id: &SegmentId) -> io::Result<()> {
        self.set_aside(self.kind_of_shadow(id), id)
    }

    fn set_aside(&self, kind: Kind, id: &SegmentId) -> io::Result<()> {
        let to = self.folder.join("damaged").join(format!("{}.cmfs", id.base_name()));
        fs::rename(path_of(&self.folder, kind, id), to)?;
        self.spool.registry().remove(kind, id);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = path.parent().unwrap_or(&self.folder);
        let temporary = folder.join(format!(".tmp-{name}"));
        let result = (|| {
            let mut file = File::create(&temporary)?;
            reached("spool.created");
            file.write_all(bytes)?;
            reached("spool.written");
            file.sync_all()?;
            reached("spool.synced");
            fs::rename(&temporary, path)?;
            reached("spool.renamed");
            File::open(folder)?.sync_all()?;
            reached("spool.folder-synced");
            Ok(())
        })();
        if result.is_err() {
            // Its number will be given again: nothing of it may stay under either name.
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(path);
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

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
