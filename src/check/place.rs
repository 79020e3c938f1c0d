//! Whether an object that no row names has a place among the rows.
//!
//! Comes in: what orphans say of themselves, the rows beside them. Goes out: those that can be listed without putting
//! anything out of order. Never: writes.

use super::{CheckError, Run, patiently};
use crate::media::segment::SegmentWithTables;
use crate::media::{Segment, UtcRange, UtcUs};
use crate::playback::plan::MAX_LOST;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Those of `rows`, of one stream, that lie in number, time and discontinuities between what is listed. Of those that
/// exclude each other, the ones of the later epoch: whoever took the stream over had seen where it ended.
pub(super) async fn with_place(
    run: &Run,
    mut rows: Vec<SegmentWithTables>,
) -> Result<Vec<SegmentWithTables>, CheckError> {
    rows.sort_by_key(|row| (Reverse(row.segment.id.epoch), row.segment.id.sequence, row.segment.id.start));
    let mut placed: BTreeMap<u64, SegmentWithTables> = BTreeMap::new();
    for row in rows {
        let (segment, number) = (&row.segment, row.segment.id.sequence);
        if placed.contains_key(&number) {
            continue;
        }
        let before = placed.range(..number).next_back().map(|(_, row)| &row.segment);
        let after = placed.range(number..).next().map(|(_, row)| &row.segment);
        // Its number was void once another recorder had taken the stream over before it. What fills a gap has no epoch.
        let is_void = segment.id.epoch > 0 && before.is_some_and(|before| before.id.epoch > segment.id.epoch);
        if !is_void && is_between(before, segment, after) && has_place(run, segment).await? {
            placed.insert(number, row);
        }
    }
    Ok(placed.into_values().collect())
}

fn is_between(before: Option<&Segment>, segment: &Segment, after: Option<&Segment>) -> bool {
    before.is_none_or(|before| in_order(before, segment)) && after.is_none_or(|after| in_order(segment, after))
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
    if !is_between(before, segment, after) {
        return Ok(false);
    }
    // Nor where its number was void.
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
