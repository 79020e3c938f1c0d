//! Whether an object that no row names has a place among the rows.
//!
//! Comes in: what orphans say of themselves, the rows beside them. Goes out: those that can be listed without putting
//! anything out of order. Never: writes.

use super::{CheckError, Run, patiently};
use crate::media::segment::SegmentWithTables;
use crate::media::{Segment, UtcRange, UtcUs};
use crate::playback::plan::MAX_LOST;

/// Those of `rows`, of one stream, that lie in number, time and discontinuities between what is listed.
pub(super) async fn with_place(
    run: &Run,
    mut rows: Vec<SegmentWithTables>,
) -> Result<Vec<SegmentWithTables>, CheckError> {
    rows.sort_by_key(|row| (row.segment.id.sequence, row.segment.id.start));
    let mut placed: Vec<SegmentWithTables> = Vec::with_capacity(rows.len());
    for row in rows {
        let segment = &row.segment;
        // Of two with one number, adopting takes the one of the higher epoch.
        let beside = placed.iter().rev().find(|p| p.segment.id.sequence < segment.id.sequence);
        if beside.is_none_or(|before| in_order(&before.segment, segment)) && has_place(run, segment).await? {
            placed.push(row);
        }
    }
    Ok(placed)
}

fn in_order(before: &Segment, after: &Segment) -> bool {
    before.id.sequence < after.id.sequence
        && before.id.end() <= after.id.start
        && before.discontinuity <= after.discontinuity
}

async fn has_place(run: &Run, segment: &Segment) -> Result<bool, CheckError> {
    let (stream, id) = (&segment.id.stream, &segment.id);
    // One of the two may have its very number, of a lower epoch: that one gives way.
    let before = patiently(async || run.index.newest(stream, id.start, 2).await).await?;
    let behind = UtcRange::new(id.start, UtcUs(i64::MAX));
    let after = patiently(async || run.index.rows(stream, behind, None, 2).await).await?;
    let before = before.iter().rfind(|before| before.id.sequence != id.sequence);
    let after = after.iter().map(|row| &row.segment).find(|after| after.id.sequence != id.sequence);
    let is_between =
        before.is_none_or(|before| in_order(before, segment)) && after.is_none_or(|after| in_order(segment, after));
    if !is_between {
        return Ok(false);
    }
    // Nor where a recorder took the stream over before it: then its number was void. What fills a gap has no epoch.
    for number in (id.sequence.saturating_sub(MAX_LOST + 1)..id.sequence).rev() {
        let row = patiently(async || run.index.row(stream, number).await).await?;
        let Some(before) = row.map(|row| row.segment) else { continue };
        if before.id.epoch > 0 || !in_order(&before, segment) {
            let is_void = id.epoch > 0 && before.id.epoch > id.epoch;
            return Ok(!is_void && in_order(&before, segment));
        }
    }
    Ok(true)
}
