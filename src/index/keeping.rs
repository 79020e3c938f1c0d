//! What is kept: the part of the port that retention, repair and reindexing use, and what both adapters decide alike.
//!
//! Comes in: segments whose objects are in the store, locks, sizes. Goes out: rows, marks, counts. Never: a lease; what
//! is done here goes on beside a living recorder.

use super::error::error;
use super::row::NewRow;
use super::stream_row::{Existing, StreamRow, Verdict};
use super::{IndexErrorKind, Result};
use crate::media::lock::{Lock, LockId};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::InitInfo;
use crate::media::{Segment, StreamName, UtcRange, UtcUs};
use std::collections::BTreeMap;

/// A row, listed or marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it says.
    pub segment: Segment,
    /// When it was marked for deletion; `None` while it is listed.
    pub marked: Option<UtcUs>,
}

/// What became of segments that were adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adopted {
    /// Rows that are there now and were not before.
    pub written: u64,
    /// Rows that were there already, listed or marked.
    pub kept: u64,
    /// Segments whose number another of a higher epoch has.
    pub superseded: u64,
    /// Segments whose number another of the same epoch has: one writer made two. The first stays.
    pub conflicting: u64,
    /// Segments whose number lies at or behind the tail, and so is the lease holder's to give out: by its higher epoch it
    /// would take the place of what was listed by then.
    pub reserved: u64,
}

impl std::ops::AddAssign for Adopted {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.kept += other.kept;
        self.superseded += other.superseded;
        self.conflicting += other.conflicting;
        self.reserved += other.reserved;
    }
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The retention of a stream that was applied last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedRetention {
    /// The settings in words, only ever compared.
    pub setting: String,
    /// What ended before this moment was marked.
    pub cutoff: UtcUs,
}

/// Retention, repair and reindexing; without leases.
#[async_trait::async_trait]
pub trait Keeping: Send + Sync + 'static {
    /// Writes the rows of up to a thousand segments of `stream` whose objects are in the store, with the init segments
    /// they need, in one transaction, without a lease. Idempotent. Of two with one number the higher epoch holds. The
    /// stream is registered, its tail follows the highest number, and its lease's epoch becomes at least the highest of
    /// `segments`, so that whoever takes the lease writes above them. A number that the holder of the lease may give out
    /// yet, of a lower epoch, is reserved: nothing is written.
    async fn adopt(&self, stream: &StreamName, segments: &[SegmentWithTables], inits: &[InitInfo]) -> Result<Adopted>;

    /// Removes the listed rows of these very segments of `stream`, up to a thousand: their numbers turned out to be void.
    /// Their objects stay. While nobody holds the lease, the tail goes back to the newest row that is left. Returns how
    /// many were listed.
    async fn withdraw(&self, stream: &StreamName, segments: &[SegmentId]) -> Result<u64>;

    /// Up to `limit` rows that start in `window`, listed or marked, by start and number, after `after` if given.
    async fn rows(
        &self,
        stream: &StreamName,
        window: UtcRange,
        after: Option<(UtcUs, u64)>,
        limit: usize,
    ) -> Result<Vec<Row>>;

    /// The row with this number, listed or marked.
    async fn row(&self, stream: &StreamName, sequence: u64) -> Result<Option<Row>>;

    /// Marks these very segments as of `now`, locked or not: their objects are gone. Returns how many were listed.
    async fn mark(&self, segments: &[SegmentId], now: UtcUs) -> Result<u64>;

    /// Writes a lock. From then on, until it expires, nothing that overlaps it is marked by
    /// [`super::Index::mark_expired`]; what was marked before stays marked. Idempotent: the same lock again changes
    /// nothing.
    async fn add_lock(&self, lock: &Lock) -> Result<()>;

    /// Locks that overlap `window`, by start.
    async fn locks(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<Lock>>;

    /// Removes a lock. Returns whether it was there.
    async fn remove_lock(&self, stream: &StreamName, id: LockId) -> Result<bool>;

    /// Removes the locks of all streams that expired before a moment. Returns how many.
    async fn forget_locks(&self, expired_before: UtcUs) -> Result<u64>;

    /// Bytes of all listed segments of a stream. Reads no segments.
    async fn stored_bytes(&self, stream: &StreamName) -> Result<u64>;

    /// Bytes of all listed segments of each stream that has any, by name. Reads no segments.
    async fn all_stored_bytes(&self) -> Result<Vec<(StreamName, u64)>>;

    /// Bytes of the listed segments of a stream by the UTC hour in which they start, for hours that begin in `window`,
    /// ascending; hours without any are left out. Reads no segments: it tells in which hours anything has changed.
    async fn hour_bytes(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<(UtcUs, u64)>>;

    /// The moment up to which listed segments (of `stream`, or of all streams) must go so that at most `keep_bytes` are
    /// left: the end of the newest one that does not fit any more. `None` when all fit.
    async fn bytes_cutoff(&self, stream: Option<&StreamName>, keep_bytes: u64) -> Result<Option<UtcUs>>;

    /// What [`super::Index::mark_expired`] would mark with `cutoff` at `now`, without a limit.
    async fn expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs) -> Result<Amount>;

    /// The retention that was applied last.
    async fn applied_retention(&self, stream: &StreamName) -> Result<Option<AppliedRetention>>;

    /// Remembers the retention that is applied.
    async fn set_applied_retention(&self, stream: &StreamName, applied: &AppliedRetention) -> Result<()>;

    /// What the database itself finds wrong in its files, in its own words; empty when all is well, or when it cannot
    /// tell. Reads everything.
    async fn integrity(&self) -> Result<Vec<String>>;

    /// Spans of time, oldest first, at most `limit`, whose segments, of all streams, were all marked before
    /// `marked_before`, and that can be deleted whole. None where rows are deleted one by one anyway.
    async fn deletable_spans(&self, marked_before: UtcUs, limit: usize) -> Result<Vec<UtcRange>>;

    /// Deletes a span that [`Keeping::deletable_spans`] named, whole, when it holds exactly `segments` rows, all marked
    /// before `marked_before`: those whose objects the caller has deleted. Else it stays. Returns whether it went.
    async fn delete_span(&self, span: UtcRange, marked_before: UtcUs, segments: u64) -> Result<bool>;
}

/// Rows of segments to be adopted.
///
/// # Errors
/// `Other` for a segment of another stream, or one that no reader would take back.
pub(super) fn adoptable(stream: &StreamName, segments: &[SegmentWithTables]) -> Result<Vec<NewRow>> {
    if let Some(other) = segments.iter().find(|s| s.segment.id.stream != *stream) {
        let message = format!("{} is not of the stream {stream} that is adopted", other.segment.object);
        return Err(error(IndexErrorKind::Other, message));
    }
    segments.iter().map(NewRow::of).collect()
}

/// Microseconds of an hour.
pub(super) const HOUR_US: i64 = 3_600_000_000;

/// What [`Keeping::adopt`] does with a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Adoption {
    /// Segments to be written, by place in the batch; by number.
    pub write: Vec<usize>,
    /// Rows that go first: start and number.
    pub replace: Vec<(UtcUs, u64)>,
    pub adopted: Adopted,
}

impl Adoption {
    /// Decides, with the stream as it stands and the rows that have one of the batch's numbers.
    pub fn of(batch: &[SegmentWithTables], stream: &StreamRow, existing: &BTreeMap<u64, Existing>) -> Result<Self> {
        // What the holder itself, or a later one, has written moves the tail.
        let own = batch.iter().map(|s| &s.segment.id).filter(|id| id.epoch >= stream.epoch).map(|id| id.sequence);
        let next = own.max().map_or(0, |n| n.saturating_add(1)).max(stream.tail.next_sequence);
        let is_reserved = |id: &SegmentId| stream.holder.is_some() && id.epoch < stream.epoch && id.sequence >= next;
        let mut order: Vec<usize> = (0..batch.len()).collect();
        let key = |place: &usize| batch.get(*place).map(|s| (s.segment.id.sequence, u64::MAX - s.segment.id.epoch));
        order.sort_by_key(key);
        let mut adoption = Self::default();
        let mut last: Option<&Segment> = None;
        for place in order {
            let Some(segment) = batch.get(place).map(|s| &s.segment) else { continue };
            let adopted = &mut adoption.adopted;
            match last.replace(segment).filter(|l| l.id.sequence == segment.id.sequence) {
                Some(before) if before.object == segment.object => adopted.kept += 1,
                Some(before) if before.id.epoch == segment.id.epoch => adopted.conflicting += 1,
                Some(_) => adopted.superseded += 1,
                None => match existing.get(&segment.id.sequence).map(|e| (e, e.weigh(segment))) {
                    None if is_reserved(&segment.id) => adopted.reserved += 1,
                    None => {
                        adopted.written += 1;
                        adoption.write.push(place);
                    }
                    Some((_, Ok(Verdict::Keep))) => adopted.kept += 1,
                    Some((_, Ok(Verdict::Superseded))) => adopted.superseded += 1,
                    Some((old, Ok(Verdict::Replace))) => {
                        adopted.written += 1;
                        adoption.write.push(place);
                        adoption.replace.push((old.start, segment.id.sequence));
                    }
                    Some((_, Err(error))) if error.kind == IndexErrorKind::Damaged => adopted.conflicting += 1,
                    Some((_, Err(error))) => return Err(error),
                },
            }
        }
        Ok(adoption)
    }
}

/// Which hour the newest so-many bytes begin in, and how many of its bytes they still take. Hours come newest first.
pub(super) fn boundary_hour(hours: &[(i64, i64)], keep_bytes: u64) -> Option<(i64, u64)> {
    let mut left = keep_bytes;
    for (hour, bytes) in hours {
        match left.checked_sub(u64::try_from(*bytes).unwrap_or(0)) {
            Some(less) => left = less,
            None => return Some((*hour, left)),
        }
    }
    None
}

/// The end of the newest segment that does not fit into `left` bytes. Rows (start, duration, bytes) come newest first.
pub(super) fn first_that_does_not_fit(rows: &[(i64, i64, i64)], mut left: u64) -> Option<UtcUs> {
    for (start, duration_us, bytes) in rows {
        match left.checked_sub(u64::try_from(*bytes).unwrap_or(0)) {
            Some(less) => left = less,
            None => return Some(UtcUs(*start).plus_us(*duration_us)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_begin_where_the_next_segment_does_not_fit() {
        let hours = [(30, 50), (20, 100), (10, 7)];
        assert_eq!(boundary_hour(&hours, 157), None);
        assert_eq!(boundary_hour(&hours, 156), Some((10, 6)));
        assert_eq!(boundary_hour(&hours, 150), Some((10, 0)));
        assert_eq!(boundary_hour(&hours, 149), Some((20, 99)));
        assert_eq!(boundary_hour(&hours, 0), Some((30, 0)));
        assert_eq!(boundary_hour(&[], 0), None);
        let rows = [(26, 6, 40), (20, 6, 60)];
        assert_eq!(first_that_does_not_fit(&rows, 99), Some(UtcUs(26)));
        assert_eq!(first_that_does_not_fit(&rows, 39), Some(UtcUs(32)));
        assert_eq!(first_that_does_not_fit(&rows, 100), None);
    }
}
