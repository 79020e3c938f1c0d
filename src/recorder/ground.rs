//! Where a recorder goes on from when it has got a stream's lease.
//!
//! Comes in: index and spool. Goes out: the number and the joint behind what is committed, and what of the spool still
//! has its number. Never: writes to store or index.

use super::members::Shared;
use super::numbers::Numbers;
use super::shadow;
use super::spool::StreamSpool;
use super::timeline::{Joint, hash_of};
use crate::container::cmaf;
use crate::crash_points::reached;
use crate::index::{Index, Lease, Tail};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::{Segment, StreamName, UtcUs};
use crate::store;
use std::sync::Arc;

/// Committed segments that a joint is made from: a track may be missing from the last one.
const LOOK_BACK: usize = 3;
/// Later than any recording.
const END_OF_TIME: UtcUs = UtcUs(i64::MAX / 4);
/// Most shadows whose pictures are compared with the committed ones.
const MOST_SEARCHED: usize = 64;

/// Where a recorder goes on from.
pub struct Ground {
    /// Number and the like of the next segment.
    pub numbers: Numbers,
    /// Segments in the spool whose number is theirs.
    pub pending: Vec<SegmentId>,
    /// Where the committed timeline ends; `None` when nothing is committed, or the last of it is not listed any more.
    pub joint: Option<Joint>,
}

/// Reads where things stand under a new `lease`; `taken_over` says that its last holder did not give it up.
///
/// # Errors
/// When the index does not answer, or the spool cannot be read.
pub async fn prepare(
    shared: Arc<Shared>,
    spool: StreamSpool,
    lease: Lease,
    taken_over: bool,
) -> anyhow::Result<Ground> {
    let index = &*shared.environment.index;
    let stream = &lease.stream;
    let tail = index.tail(stream).await?;
    let newest = index.newest(stream, END_OF_TIME, LOOK_BACK).await?;
    let reader = spool.clone();
    let pending = tokio::task::spawn_blocking(move || reader.pending()).await??;
    let are_void = numbers_are_void(index, &tail, &pending).await?;
    let kept = tokio::task::spawn_blocking(move || still_numbered(&spool, pending, are_void)).await??;
    let mut committed = with_tables(index, stream, newest).await?;
    let mut numbers = Numbers {
        sequence: tail.next_sequence,
        discontinuity: tail.discontinuity,
        run: None,
        lost: false,
        end: tail.end.unwrap_or(UtcUs(0)),
        segment_us: 0,
        leaves_room: taken_over && tail.next_sequence > 0,
    };
    if let Some(newest) = kept.pending.last() {
        numbers.sequence = numbers.sequence.max(newest.sequence + 1);
        numbers.end = numbers.end.max(newest.end());
        match kept.rows.last() {
            Some(row) => numbers.discontinuity = numbers.discontinuity.max(row.segment.discontinuity),
            // Its number stays taken; one more discontinuity than needed does no harm.
            None => numbers.discontinuity += 1,
        }
    }
    let last_of_all = numbers.sequence.checked_sub(1);
    let known = committed.last().map_or(0, |s| s.segment.id.sequence);
    committed.extend(kept.rows.into_iter().filter(|r| r.segment.id.sequence > known));
    // A marked segment is not listed: then nothing tells where the media ends.
    let ends = committed.last().is_some_and(|s| Some(s.segment.id.sequence) == last_of_all);
    let joint = if ends { Joint::after(&committed) } else { None };
    numbers.run = joint.as_ref().map(|j| j.run);
    Ok(Ground { numbers, pending: kept.pending, joint })
}

/// Whether the numbers of what waits in a spool, `pending` by number, are another's by now.
///
/// # Errors
/// When the index does not answer.
pub async fn numbers_are_void(index: &dyn Index, tail: &Tail, pending: &[SegmentId]) -> crate::index::Result<bool> {
    let (Some(first), Some(last)) = (pending.first(), tail.next_sequence.checked_sub(1)) else { return Ok(false) };
    // The epoch under which the last number was given: not that of the newest listed row, which may have been filled in, and
    // has none. Where the row is gone already, whatever waits here is older.
    let newest = index.row(&first.stream, last).await?;
    if newest.is_none_or(|row| row.segment.id.epoch > first.epoch) {
        return Ok(true);
    }
    // An object of an older epoch may have been adopted under such a number, by whoever made the index anew.
    for id in pending.iter().take_while(|id| id.sequence <= last) {
        let row = index.row(&id.stream, id.sequence).await?;
        if row.is_some_and(|row| Some(row.segment.object) != id.object_key()) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Kept {
    pending: Vec<SegmentId>,
    /// The last of them, as far as they can be read.
    rows: Vec<SegmentWithTables>,
}

/// Sorts what waits in the spool: where the numbers are void it becomes shadows.
fn still_numbered(spool: &StreamSpool, pending: Vec<SegmentId>, are_void: bool) -> std::io::Result<Kept> {
    if are_void {
        for id in &pending {
            spool.demote(id)?;
            reached("demotion.at-start");
        }
        return Ok(Kept { pending: Vec::new(), rows: Vec::new() });
    }
    let mut rows = Vec::new();
    for id in pending.iter().rev().take(LOOK_BACK).rev() {
        let row = spool.segment(id).ok().zip(id.object_key());
        match row.map(|(object, key)| cmaf::read_segment(&key, &object)) {
            Some(Ok(row)) => rows.push(row),
            // The publisher will find it, too, and set it aside.
            Some(Err(_)) | None => rows.clear(),
        }
    }
    Ok(Kept { pending, rows })
}

/// Rows with their sample tables; only those from the last one without tables on.
///
/// # Errors
/// What the index says.
pub async fn with_tables(
    index: &dyn Index,
    stream: &StreamName,
    rows: Vec<Segment>,
) -> anyhow::Result<Vec<SegmentWithTables>> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let mut tables = index.sample_tables(stream, first.id.sequence, last.id.sequence + 1).await?;
    let mut whole = Vec::with_capacity(rows.len());
    for segment in rows {
        match tables.iter().position(|(n, t)| *n == segment.id.sequence && t.len() == segment.tracks.len()) {
            Some(at) => whole.push(SegmentWithTables { segment, tables: tables.swap_remove(at).1 }),
            None => whole.clear(),
        }
    }
    Ok(whole)
}

/// Looks for the last committed pictures among shadows of one run.
///
/// # Errors
/// When the committed object cannot be read.
pub async fn find_content(
    shared: &Shared,
    spool: &StreamSpool,
    mut joint: Joint,
    shadows: Vec<SegmentId>,
) -> anyhow::Result<Joint> {
    let object = store::read_all(&*shared.environment.store, &joint.object, 0..u64::MAX >> 1).await?;
    let row = cmaf::read_segment(&joint.object, &object)?;
    for (part, table) in row.segment.tracks.iter().zip(&row.tables).filter(|(p, _)| p.track == joint.lead) {
        let mut payload = cmaf::payload_of(part, &object).unwrap_or_default();
        for sample in &table.samples {
            let Some((data, rest)) = payload.split_at_checked(sample.size as usize) else { break };
            joint.lead_hashes.push(hash_of(data));
            payload = rest;
        }
    }
    let spool = spool.clone();
    Ok(tokio::task::spawn_blocking(move || {
        let newest = shadows.len().saturating_sub(MOST_SEARCHED);
        for id in &shadows[newest..] {
            let cut = spool.shadow(id).ok().and_then(|object| shadow::read(&spool, id, object).ok());
            if joint.find_content(cut.iter()) {
                break;
            }
        }
        joint
    })
    .await?)
}
