//! What lies in the spool, by name and size, so that its limit can be kept without asking the disk.
//!
//! Comes in: entries written, removed, held. Goes out: bytes in use, and what to drop when there is no room.
//! Never: I/O.

use crate::media::segment::SegmentId;
use crate::media::{StreamName, UtcUs};
use std::collections::{BTreeMap, BTreeSet};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Waits to be published under its number.
    Numbered,
    /// Its number is not known.
    Shadow,
    /// A shadow from before the end of what is committed.
    Earlier,
}

type Key = (UtcUs, StreamName, Kind, u64, u64);

#[derive(Debug)]
struct Entry {
    id: SegmentId,
    bytes: u64,
    held: bool,
}

/// All entries of a spool.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: BTreeMap<Key, Entry>,
    used_bytes: u64,
    reserved_bytes: u64,
    /// Streams that others record as well.
    spare: BTreeSet<StreamName>,
    /// Segments are being dropped.
    pub full: bool,
}

fn key(kind: Kind, id: &SegmentId) -> Key {
    (id.start, id.stream.clone(), kind, id.sequence, id.epoch)
}

impl Registry {
    /// Bytes on the disk, and those being written.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes + self.reserved_bytes
    }

    pub fn reserve(&mut self, bytes: u64) {
        self.reserved_bytes += bytes;
    }

    pub fn unreserve(&mut self, bytes: u64) {
        self.reserved_bytes = self.reserved_bytes.saturating_sub(bytes);
    }

    pub fn add(&mut self, kind: Kind, id: SegmentId, bytes: u64) {
        self.used_bytes += bytes;
        if let Some(old) = self.entries.insert(key(kind, &id), Entry { id, bytes, held: false }) {
            self.used_bytes -= old.bytes;
        }
    }

    /// Removes an entry; gives its size if it was there.
    pub fn remove(&mut self, kind: Kind, id: &SegmentId) -> Option<u64> {
        let entry = self.entries.remove(&key(kind, id))?;
        self.used_bytes -= entry.bytes;
        Some(entry.bytes)
    }

    /// As [`Registry::remove`].
    pub fn drop_entry(&mut self, kind: Kind, id: &SegmentId) {
        let _ = self.remove(kind, id);
    }

    /// Keeps an entry from being dropped; `false` when it is not there.
    pub fn hold(&mut self, kind: Kind, id: &SegmentId) -> bool {
        let entry = self.entries.get_mut(&key(kind, id));
        entry.map(|entry| entry.held = true).is_some()
    }

    pub fn set_spare(&mut self, stream: &StreamName, spare: bool) {
        if spare {
            self.spare.insert(stream.clone());
        } else {
            self.spare.remove(stream);
        }
    }

    pub fn is_spare(&self, stream: &StreamName) -> bool {
        self.spare.contains(stream)
    }

    /// What kind of shadow an entry is, if it is one.
    pub fn shadow(&self, id: &SegmentId) -> Option<Kind> {
        [Kind::Shadow, Kind::Earlier].into_iter().find(|kind| self.entries.contains_key(&key(*kind, id)))
    }

    /// The oldest shadow of a stream that others record.
    pub fn oldest_spare(&self) -> Option<(Kind, SegmentId)> {
        let spare = |(key, _): &(&Key, &Entry)| key.2 != Kind::Numbered && self.spare.contains(&key.1);
        self.entries.iter().find(spare).map(|(key, entry)| (key.2, entry.id.clone()))
    }

    /// What is to go first: spare shadows, then whatever is oldest and not being worked on.
    pub fn oldest(&self) -> Option<(Kind, SegmentId)> {
        let oldest = || self.entries.iter().find(|(_, e)| !e.held).map(|(key, e)| (key.2, e.id.clone()));
        self.oldest_spare().or_else(oldest)
    }
}
