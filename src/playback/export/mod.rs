//! The virtual MP4: a progressive file, `moov` first, of any window over recorded segments.
//!
//! Comes in: a window, the index rows of its segments, the sample tables of the few segments at its edges.
//! Goes out: the exact size, a strong entity tag, and for any range of bytes a list of slices: bytes, tables
//! to be rendered from sample tables, ranges of objects. Memory is some hundred bytes per segment, whatever
//! lies in them; the same inputs always give the same file. Never: I/O, a clock, the file as a whole.
//!
//! How a caller makes one: rows of the window, [`ExportPlan::edges`], tables of those into a [`TableSet`],
//! [`ExportPlan::new`]; then for each of [`ExportPlan::slices`] either its bytes, or
//! [`ExportPlan::render`] after loading the tables it names, or a range of an object.

mod plan;
mod select;
mod slices;
mod spans;
mod tables;
#[cfg(test)]
mod tests;

pub use slices::{Slice, Slices, TablePiece};
pub use tables::{EncodedTables, TableSet};

use crate::container::progressive::{HeadPiece, TooLarge};
use crate::media::segment::SegmentId;
use crate::media::{InitHash, ObjectKey, RunId, Segment, StreamName, Ticks, TrackId, UtcRange, UtcUs};
use std::borrow::Borrow;

/// Why there is no export, or no piece of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Nothing of the chosen tracks is in the window.
    #[error("nothing is recorded in this window")]
    NothingRecorded,
    /// A segment needs an init segment that was not given.
    #[error("init segment {0} is unknown")]
    UnknownInit(InitHash),
    /// An init segment holds no usable sample entry.
    #[error("init segment {0} has no usable sample entry")]
    DamagedInit(InitHash),
    /// The sample tables of this segment were needed and not given.
    #[error("the sample tables of segment {0} are missing")]
    MissingTables(u64),
    /// The sample tables of this segment are not what its row says.
    #[error("the sample tables of segment {0} disagree with its row")]
    Disagree(u64),
    /// A row says what cannot be.
    #[error("segment {sequence}: {what}")]
    Damaged {
        /// Which segment.
        sequence: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More samples or formats than one MP4 file can have.
    #[error("too much for one MP4 file")]
    TooLarge,
}

impl From<TooLarge> for ExportError {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

/// A segment of which something is in the file.
#[derive(Debug, Clone)]
struct SegmentRecord {
    sequence: u64,
    epoch: u64,
    start: UtcUs,
    /// First byte of its media, counted from the first byte of media in the file.
    media_at: u64,
    duration_us: u32,
    /// Index into `runs`.
    run: u32,
    /// Index into `other_keys`, or [`OWN_KEY`].
    key: u32,
}

/// The segment's object has the name that its id gives.
const OWN_KEY: u32 = u32::MAX;

/// Entries that a track has in its tables before some part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entries {
    samples: u32,
    times: u32,
    compositions: u32,
    syncs: u32,
}

/// One track's share of a segment: one chunk.
#[derive(Debug, Clone)]
struct PartRecord {
    /// First byte in the object.
    object_at: u64,
    bytes: u32,
    /// What of its part of the segment lies before them: the boxes, and samples that are left out.
    before_bytes: u32,
    /// What of it lies behind them.
    behind_bytes: u32,
    /// First byte, counted from the first byte of media in the file.
    media_at: u64,
    /// Sum of its deltas in `stts`.
    total: i64,
    /// Entries of the parts before.
    before: Entries,
    /// Index into the plan's segments.
    segment: u32,
    /// Samples of its table before the first one in the file.
    skip: u32,
    /// Place of its table in the segment.
    ordinal: u16,
    /// `sample_description_index`, from 1.
    description: u16,
}

#[derive(Debug, Clone)]
struct TrackRecord {
    id: TrackId,
    parts: Vec<PartRecord>,
    entries: Entries,
}

/// A progressive MP4 of a window, all of it known except the bytes.
#[derive(Debug, Clone)]
pub struct ExportPlan {
    stream: StreamName,
    window: UtcRange,
    duration: Ticks,
    gaps: Vec<UtcRange>,
    runs: Vec<RunId>,
    other_keys: Vec<ObjectKey>,
    segments: Vec<SegmentRecord>,
    tracks: Vec<TrackRecord>,
    /// Pieces before the media, each with its file offset.
    head: Vec<(u64, HeadPiece)>,
    /// File offset of the first byte of media.
    media_start: u64,
    total_bytes: u64,
    etag: String,
}

impl ExportPlan {
    /// Numbers of the segments whose sample tables [`ExportPlan::new`] needs, ascending: those at either end
    /// of each span between breaks, and those whose successor begins before they end. `segments` as there.
    ///
    /// # Errors
    /// `Damaged` for rows that say what cannot be.
    pub fn edges(window: UtcRange, segments: &[impl Borrow<Segment>]) -> Result<Vec<u64>, ExportError> {
        let segments: Vec<&Segment> = segments.iter().map(Borrow::borrow).collect();
        spans::check(&segments)?;
        let spans = spans::split(window, &segments);
        let indices = spans::edges(&spans, &segments);
        Ok(indices.into_iter().filter_map(|i| segments.get(i)).map(|s| s.id.sequence).collect())
    }

    /// The plan for `window` of one stream.
    ///
    /// `segments`, by ascending number, are all that overlap the window. One more on either side does no harm
    /// and lets sound begin and end exactly with the window; more before it help where the first one's video
    /// does not begin with a sync sample. `inits` are those that the segments name. `edge_tables` has the
    /// tables of [`ExportPlan::edges`]. `tracks` chooses tracks; those that do not occur are passed over.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn new(
        window: UtcRange,
        segments: &[impl Borrow<Segment>],
        inits: &[crate::media::InitInfo],
        edge_tables: &TableSet,
        tracks: Option<&[TrackId]>,
    ) -> Result<ExportPlan, ExportError> {
        let segments: Vec<&Segment> = segments.iter().map(Borrow::borrow).collect();
        plan::make(window, &segments, inits, edge_tables, tracks)
    }

    /// The stream it is of.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Size of the file in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Strong entity tag (RFC 9110 8.8.3) with its quotes: equal tags mean equal bytes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Parts of the window of which nothing is recorded, ascending; they are left out of the file.
    pub fn gaps(&self) -> &[UtcRange] {
        &self.gaps
    }

    /// Length of the presentation.
    pub fn duration(&self) -> Ticks {
        self.duration
    }

    /// The tracks in the file, in the order of their `track_ID` from 1.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.tracks.iter().map(|t| t.id)
    }

    /// Memory that the plan holds, in bytes.
    pub fn memory_bytes(&self) -> usize {
        fn of<T>(list: &Vec<T>) -> usize {
            list.capacity() * size_of::<T>()
        }
        let head: usize = self.head.iter().map(|(_, p)| if let HeadPiece::Bytes(b) = p { b.len() } else { 0 }).sum();
        let parts: usize = self.tracks.iter().map(|t| of(&t.parts)).sum();
        let keys: usize = self.other_keys.iter().map(|k| k.as_str().len()).sum();
        size_of::<Self>()
            + head
            + parts
            + keys
            + of(&self.segments)
            + of(&self.runs)
            + of(&self.gaps)
            + of(&self.head)
            + of(&self.tracks)
            + of(&self.other_keys)
    }

    /// A name for `Content-Disposition`, ASCII without quotes, spaces or slashes.
    pub fn file_name(&self) -> String {
        super::file::name(&self.stream, self.window, "mp4")
    }

    /// Key of the object that holds a segment.
    fn key_of(&self, record: &SegmentRecord) -> Option<ObjectKey> {
        if record.key != OWN_KEY {
            return self.other_keys.get(record.key as usize).cloned();
        }
        let id = SegmentId {
            stream: self.stream.clone(),
            run: *self.runs.get(record.run as usize)?,
            epoch: record.epoch,
            sequence: record.sequence,
            start: record.start,
            duration_us: i64::from(record.duration_us),
        };
        id.object_key()
    }
}
