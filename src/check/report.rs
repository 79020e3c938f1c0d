//! What was found: counts, and the first of each kind by name.
//!
//! Comes in: findings from many hands, in any order. Goes out: a report for people and for machines, the same for the same
//! findings. Never: more names in memory than were asked for.

use super::Progress;
use crate::media::{ObjectKey, StreamName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A listed row whose object is not there: what players ask for is missing.
    RowWithoutObject,
    /// An object that no row names, and whose number is free: a recording nobody can see.
    ObjectWithoutRow,
    /// Row and object differ in size.
    SizeDiffers,
    /// Deep: an object that cannot be read, or whose checksums say that it is not what was written.
    DamagedObject,
    /// Deep: an object that is whole, but says something else than its row.
    RowDiffers,
    /// A row that cannot be read.
    DamagedRow,
    /// What the index keeps of a stream as a whole does not follow from its rows.
    StreamDiffers,
    /// Deep: the database finds its own files damaged.
    DamagedDatabase,
    /// An init segment that rows need is not in the bucket.
    InitMissing,
    /// An init segment in the bucket is not what its name says.
    InitDamaged,
    /// The index does not know what an init segment says.
    InitUnknown,
    /// An object whose number another one of a higher epoch has. It takes space, no more.
    SupersededObject,
    /// An object whose number another one of the same epoch has.
    ConflictingObject,
    /// Nothing of Evertape's.
    ForeignFile,
}

impl Kind {
    /// For people, plural.
    fn words(self) -> &'static str {
        match self {
            Self::RowWithoutObject => "rows without object",
            Self::ObjectWithoutRow => "objects without row",
            Self::SizeDiffers => "objects of another size than their row says",
            Self::DamagedObject => "damaged objects",
            Self::RowDiffers => "objects that say something else than their row",
            Self::DamagedRow => "damaged rows",
            Self::StreamDiffers => "streams whose summary does not follow from their rows",
            Self::DamagedDatabase => "places where the database is damaged",
            Self::InitMissing => "init segments that are not in the bucket",
            Self::InitDamaged => "init segments that are not what their name says",
            Self::InitUnknown => "init segments the index does not know",
            Self::SupersededObject => "superseded objects",
            Self::ConflictingObject => "objects whose number another one has",
            Self::ForeignFile => "foreign files",
        }
    }

    /// What to do about it.
    fn advice(self) -> &'static str {
        match self {
            Self::RowWithoutObject => {
                "players get 404 for them. Is [store] the right bucket? If they are lost, --repair unlists them"
            }
            Self::ObjectWithoutRow => {
                "recordings that nobody can see: --repair adopts them, but for those whose number another recorder had \
                 already, or may give out yet"
            }
            Self::SizeDiffers | Self::DamagedObject => {
                "bring the objects back from a backup of the bucket; else delete them and run --repair"
            }
            Self::RowDiffers => "the object holds the truth: `evertape reindex` into an empty index gives its row",
            Self::DamagedRow | Self::DamagedDatabase | Self::StreamDiffers => {
                "the database is damaged: bring it back from a backup, or reindex into an empty one"
            }
            Self::InitMissing => "--repair makes them again from the index",
            Self::InitDamaged => "delete the file, then --repair makes it again from the index",
            Self::InitUnknown => "--repair reads them from the bucket",
            Self::SupersededObject => "they only take space, and may be deleted by hand",
            Self::ConflictingObject => "two recorders wrote one number; compare the two before one is deleted",
            Self::ForeignFile => "Evertape did not write them and leaves them alone",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Finding {
    /// Stream, where it is of one.
    pub stream: Option<StreamName>,
    /// Object.
    pub key: ObjectKey,
    /// A few words.
    pub detail: String,
}

/// Findings of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// How many of them were mended.
    pub repaired: u64,
    /// The first ones by stream and key.
    pub first: BTreeSet<Finding>,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Streams of index or bucket.
    pub streams: u64,
    /// Rows read.
    pub rows: u64,
    /// Objects listed.
    pub objects: u64,
    /// Deep: bytes read.
    pub bytes_read: u64,
    /// Deep: parts whose checksum is right.
    pub verified_parts: u64,
    /// Deep: parts from before there were checksums.
    pub unverified_parts: u64,
    /// What is wrong.
    pub findings: BTreeMap<Kind, Group>,
    /// Why something that could be mended was not.
    pub refused: Vec<String>,
    /// How long it took.
    pub took_ms: u64,
}

impl Report {
    /// Whether all is well, or was mended.
    pub fn is_clean(&self) -> bool {
        self.refused.is_empty() && self.findings.values().all(|group| group.repaired >= group.count)
    }

    /// Findings of a kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.findings.get(&kind).map_or(0, |group| group.count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took_ms.div_ceil(1000);
        writeln!(f, "{} streams, {} rows, {} objects in {seconds} s", self.streams, self.rows, self.objects)?;
        if self.verified_parts + self.unverified_parts > 0 {
            writeln!(
                f,
                "{} parts are what was written; {} are from before there were checksums",
                self.verified_parts, self.unverified_parts
            )?;
        }
        for (kind, group) in &self.findings {
            write!(f, "\n{}: {}", kind.words(), group.count)?;
            if group.repaired > 0 {
                write!(f, ", mended: {}", group.repaired)?;
            }
            writeln!(f)?;
            for finding in &group.first {
                let space = if finding.detail.is_empty() { "" } else { "  " };
                writeln!(f, "  {}{space}{}", finding.key, finding.detail)?;
            }
            if group.count > group.first.len() as u64 {
                writeln!(f, "  and {} more", group.count - group.first.len() as u64)?;
            }
            if group.repaired < group.count {
                writeln!(f, "  → {}", kind.advice())?;
            }
        }
        for why in &self.refused {
            writeln!(f, "\nNot mended: {why}")?;
        }
        if self.findings.is_empty() {
            writeln!(f, "Index and bucket agree.")?;
        }
        Ok(())
    }
}

/// Collects findings.
pub(super) struct Collector {
    most_named: usize,
    progress: Arc<Progress>,
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    streams: BTreeSet<StreamName>,
    findings: BTreeMap<Kind, Group>,
    refused: Vec<String>,
    verified_parts: u64,
    unverified_parts: u64,
}

impl Collector {
    pub fn new(most_named: usize, progress: Arc<Progress>) -> Self {
        Self { most_named, progress, begun: Instant::now(), inner: Mutex::default() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is wrong.
    pub fn add(&self, kind: Kind, stream: Option<&StreamName>, key: &ObjectKey, detail: impl Into<String>) {
        Progress::add(&self.progress.findings, 1);
        let mut inner = self.inner();
        let group = inner.findings.entry(kind).or_default();
        group.count += 1;
        group.first.insert(Finding { stream: stream.cloned(), key: key.clone(), detail: detail.into() });
        if group.first.len() > self.most_named {
            group.first.pop_last();
        }
    }

    /// So many of a kind were mended.
    pub fn repaired(&self, kind: Kind, count: u64) {
        self.inner().findings.entry(kind).or_default().repaired += count;
    }

    /// Why something was not mended.
    pub fn refuse(&self, why: String) {
        self.inner().refused.push(why);
    }

    /// A stream was looked at.
    pub fn stream(&self, stream: &StreamName) {
        let mut inner = self.inner();
        if !inner.streams.contains(stream) {
            inner.streams.insert(stream.clone());
        }
    }

    /// Parts were checked.
    pub fn parts(&self, verified: u64, unverified: u64) {
        let mut inner = self.inner();
        inner.verified_parts += verified;
        inner.unverified_parts += unverified;
    }

    pub fn finish(self) -> Report {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            streams: inner.streams.len() as u64,
            rows: read(&self.progress.rows),
            objects: read(&self.progress.objects),
            bytes_read: read(&self.progress.bytes_read),
            verified_parts: inner.verified_parts,
            unverified_parts: inner.unverified_parts,
            findings: inner.findings.into_iter().filter(|(_, group)| group.count > 0).collect(),
            refused: inner.refused,
            took_ms: self.begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        }
    }
}
